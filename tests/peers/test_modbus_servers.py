"""Our field bus against Modbus servers by other people: libmodbus over TCP and a serial port, and pyModbusTCP.

Each is read into the image, and its switch is moved through the write guard by every function a profile can name.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

import pytest
from pyModbusTCP.server import DataBank, ModbusServer

from drivers.bus import FieldBus
from drivers.device import Device, Gateway, LineFormat
from drivers.modbus import Request
from drivers.modbus_rtu import Question
from drivers.outcome import Reply
from drivers.profile import Billing, Profile, Switch, WriteRange
from drivers.write_guard import WriteRefusedError, guarded_write
from scada.position import CLOSED, OPEN
from scada.quality import GOOD
from tests.peers.cable import cable
from tests.peers.libmodbus import Server, rtu_server, tcp_server
from tests.unit.drivers.harness import Plant, profile, register, seeded, until
from tests.unit.drivers_field.conftest import free_ports

UNIT: Final = 9
COUNTS: Final = 1_234_567  # 12345.67 kWh
VOLTS: Final = 0x4366_4CCD  # 230.3 as IEEE 754 single
SWITCH_AT, FREE_AT = 8, 20
REGISTERS = (
    register("Energy", 0, "u32", order="CDAB", scale=Fraction(1, 100)),
    register("Voltage", 2, "f32", function=4),
)
STATES: Final = ((0, OPEN), (1, CLOSED))
BILLING: Final = Billing("Energy", 10, 10**8)


def model(function: int) -> Profile:
    """Return a meter whose switch is moved by function 5, 6 or 16 and that lets two registers be written."""
    position = register("Position", SWITCH_AT, "bit", function=1) if function == 5 else register("Position", SWITCH_AT)
    return profile(
        *REGISTERS,
        position,
        billing=BILLING,
        switch=Switch("Position", STATES, function, SWITCH_AT, 0, 0xFF00 if function == 5 else 1, verify_s=3.0),
        writable=(WriteRange(16, FREE_AT, FREE_AT + 1),),
    )


@asynccontextmanager
async def polled(
    reactor: Any, function: int, gateway: Callable[[Plant], Gateway]
) -> AsyncIterator[tuple[Plant, FieldBus]]:
    plant = Plant(1)
    device = Device(
        "m", "g1", UNIT, model(function), 1, 1, {"Energy": 0, "Voltage": 1, "Position": 2}, 0, position_row=2
    )
    bus = FieldBus(reactor, plant.clock, [gateway(plant)], [device], plant.stage, seeded())
    bus.start()
    try:
        await until(lambda: all(plant.quality(0, n) == GOOD for n in range(3)), "all good")
        yield plant, bus
    finally:
        await bus.stop()


async def reads_and_switches(plant: Plant, bus: FieldBus) -> None:
    columns = plant.publish()
    assert list(columns.points.raw) == [COUNTS]
    assert list(columns.points.quality) == [GOOD]
    assert plant.value(0, 0) == 12345.67
    assert round(plant.value(0, 1), 4) == 230.3
    assert plant.value(0, 2) == CLOSED
    for target in (OPEN, CLOSED):
        await bus.actuate("m", target)
        await until(lambda target=target: plant.value(0, 2) == target, "read back")  # type: ignore[misc]
    assert list(plant.publish().points.raw) == [COUNTS], "the counter is what it was"


async def writes_what_is_allowed(bus: FieldBus, wrapped: Callable[[Request], Any]) -> None:
    """Write two registers at once; the counter beside them cannot even be asked for."""
    meter = model(6)
    outcome, frames = await bus.ask("g1", wrapped(guarded_write(meter, UNIT, 16, FREE_AT, (0xABCD, 7))))
    assert outcome == Reply(b"")
    assert frames
    with pytest.raises(WriteRefusedError, match="counter Energy"):
        guarded_write(meter, UNIT, 16, 0, (0, 0))


def filled(server: Server) -> Server:
    server.registers[0], server.registers[1] = COUNTS & 0xFFFF, COUNTS >> 16
    server.inputs[2], server.inputs[3] = VOLTS >> 16, VOLTS & 0xFFFF
    server.coils[SWITCH_AT] = server.registers[SWITCH_AT] = 1
    return server


@pytest.fixture(params=["engine", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Poll with the compiled engine, or as where nothing can be compiled."""
    if request.param == "plain":
        monkeypatch.setattr("numba.config.DISABLE_JIT", True)
    return str(request.param)


@pytest.mark.parametrize("function", [5, 6, 16])
def test_libmodbus_over_tcp(reactor_loop: Any, path: str, function: int) -> None:
    async def story(server: Server, port: int) -> None:
        filled(server)
        async with polled(reactor_loop.reactor, function, lambda plant: plant.gateway(port)) as (plant, bus):
            assert (bus.engine is None) == (path == "plain")
            await reads_and_switches(plant, bus)
            await writes_what_is_allowed(bus, lambda request: request)
            assert server.registers[FREE_AT : FREE_AT + 2] == [0xABCD, 7]

    with tcp_server() as (server, port):
        reactor_loop.run(story(server, port))


@pytest.mark.parametrize("function", [5, 6, 16])
def test_libmodbus_on_a_serial_port(reactor_loop: Any, function: int) -> None:
    async def story(server: Server, near: str) -> None:
        def port(plant: Plant) -> Gateway:
            line = LineFormat(19_200, "E")
            return replace(plant.gateway(0), host="", transport="serial", path=near, line=line)

        async with polled(reactor_loop.reactor, function, port) as (plant, bus):
            await reads_and_switches(plant, bus)
            await writes_what_is_allowed(bus, Question)
            assert server.registers[FREE_AT : FREE_AT + 2] == [0xABCD, 7]

    with cable() as (near, far), rtu_server(far, UNIT, 19_200, "E") as server:
        reactor_loop.run(story(filled(server), near))


class Bank(DataBank):  # type: ignore[misc]
    """pyModbusTCP's memory, filled; its own defaults are 65,536 of everything."""

    def __init__(self, words: Sequence[int], inputs: Sequence[int]) -> None:
        super().__init__(coils_size=64, d_inputs_size=64, h_regs_size=64, i_regs_size=64)
        self.set_holding_registers(0, list(words))
        self.set_input_registers(2, list(inputs))
        self.set_holding_registers(SWITCH_AT, [1])
        self.set_coils(SWITCH_AT, [True])


@pytest.mark.parametrize("function", [5, 6, 16])
def test_pymodbustcp(reactor_loop: Any, path: str, function: int) -> None:
    async def story(bank: Bank, port: int) -> None:
        async with polled(reactor_loop.reactor, function, lambda plant: plant.gateway(port)) as (plant, bus):
            assert (bus.engine is None) == (path == "plain")
            await reads_and_switches(plant, bus)
            await writes_what_is_allowed(bus, lambda request: request)
            assert bank.get_holding_registers(FREE_AT, 2) == [0xABCD, 7]

    bank = Bank((COUNTS & 0xFFFF, COUNTS >> 16), (VOLTS >> 16, VOLTS & 0xFFFF))
    (port,) = free_ports(1)
    server = ModbusServer("127.0.0.1", port, no_block=True, data_bank=bank)
    server.start()
    try:
        reactor_loop.run(story(bank, port))
    finally:
        server.stop()

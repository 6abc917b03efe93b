"""Our field bus against the public `dlt645` package as a meter, behind a TCP gateway and on a serial port.

Where it departs from DL/T 645-2007:
* A request for another address is answered, with an error word; the standard's meter is silent.
* Its status words are four decimal digits, so that not every bit can be set; here the one of the relay is.
* It knows no 0400010C, and no control 1C: the relay is not switched here.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final

from dlt645.service.serversvc.server_service import MeterServerService

from drivers import dlt645
from drivers.bus import FieldBus
from drivers.device import Device, Gateway, LineFormat
from drivers.dialects import Question
from drivers.outcome import ExceptionReply, Reply
from scada.position import OPEN
from scada.quality import GOOD
from tests.peers.cable import cable
from tests.unit.drivers.harness import Plant, seeded, until
from tests.unit.drivers_field.conftest import free_ports
from tests.unit.drivers_field.speaking import DLT_2007

ADDRESS: Final = "202626110016"
MEASURES: Final = (
    "ActiveEnergyImportTotal", "VoltageL1", "Position", "CurrentL1", "ActivePowerTotal", "MeterNumber"
)  # fmt: skip
METER: Final = replace(DLT_2007, registers=tuple(r for r in DLT_2007.registers if r.measure in MEASURES), clock="")


def filled(meter: MeterServerService) -> MeterServerService:
    """Give it values that use every digit, and power that flows backwards."""
    meter.set_address(bytes.fromhex(ADDRESS)[::-1])
    assert meter.set_00(0x00010000, 123456.78)
    assert meter.set_02(0x02010100, 229.9)
    assert meter.set_02(0x02020100, -12.345)
    assert meter.set_02(0x02030000, -2.8374)
    assert meter.set_04(0x04000402, ADDRESS)
    assert meter.set_04(0x04000503, "0010")  # bit 4: the relay is open
    return meter


@contextmanager
def served(meter: MeterServerService) -> Iterator[MeterServerService]:
    assert meter.server.start()
    try:
        yield filled(meter)
    finally:
        assert meter.server.stop()


@asynccontextmanager
async def polled(reactor: Any, gateway: Callable[[Plant], Gateway]) -> AsyncIterator[tuple[Plant, FieldBus]]:
    plant = Plant(1)
    rows = {measure: row for row, measure in enumerate(MEASURES)}
    device = Device("m", "g1", 0, METER, 1, 1, rows, 0, position_row=rows["Position"], address=ADDRESS, serial=ADDRESS)
    bus = FieldBus(reactor, plant.clock, [gateway(plant)], [device], plant.stage, seeded())
    bus.start()
    try:
        await until(lambda: all(plant.quality(0, row) == GOOD for row in rows.values()), "all good")
        yield plant, bus
    finally:
        await bus.stop()


async def asked(bus: FieldBus, question: Question) -> Any:
    return (await bus.ask("g1", question))[0]


async def reads_and_asks(plant: Plant, bus: FieldBus, meter: MeterServerService) -> None:
    await until(lambda: list(plant.publish().points.quality) == [GOOD], "charged from: the meter is who it should be")
    assert list(plant.publish().points.raw) == [12_345_678]
    shown = dict(zip(MEASURES, (round(plant.value(0, row), 4) for row in range(len(MEASURES))), strict=True))
    assert shown == {
        "ActiveEnergyImportTotal": 123456.78, "VoltageL1": 229.9, "Position": OPEN, "CurrentL1": -12.345,
        "ActivePowerTotal": -2.8374, "MeterNumber": int(ADDRESS),
    }  # fmt: skip
    assert await asked(bus, dlt645.read_address()) == Reply(bytes.fromhex(ADDRESS)[::-1])
    refused = await asked(bus, dlt645.read(ADDRESS, 0x0400FFFF))
    assert isinstance(refused, ExceptionReply)
    meter.set_00(0x00010000, 123456.79)
    await until(lambda: list(plant.publish().points.raw) == [12_345_679], "the next hundredth")


def test_it_is_read_through_a_gateway(reactor_loop: Any) -> None:
    (port,) = free_ports(1)

    async def story(meter: MeterServerService) -> None:
        def gateway(plant: Plant) -> Gateway:
            return replace(plant.gateway(port), transport="tcp", line=LineFormat(115_200))

        async with polled(reactor_loop.reactor, gateway) as (plant, bus):
            await reads_and_asks(plant, bus, meter)

    with served(MeterServerService.new_tcp_server("127.0.0.1", port)) as meter:
        reactor_loop.run(story(meter))


def test_it_is_read_on_a_serial_port(reactor_loop: Any) -> None:
    async def story(meter: MeterServerService, near: str) -> None:
        def port(plant: Plant) -> Gateway:
            return replace(plant.gateway(0), transport="serial", path=near, line=LineFormat(9600, "E"))

        async with polled(reactor_loop.reactor, port) as (plant, bus):
            await reads_and_asks(plant, bus, meter)

    with cable() as (near, far), served(MeterServerService.new_rtu_server(far, 8, 1, 9600, "N", 1.0)) as meter:
        reactor_loop.run(story(meter, near))

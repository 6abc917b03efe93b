"""The field bus against a server by other people: every function code that is used, read and written over real TCP."""

import asyncio
from fractions import Fraction
from typing import Any

from harness import Plant, profile, register, seeded, until
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.bus import FieldBus
from drivers.device import Device
from drivers.profile import Billing, Switch
from scada.position import CLOSED, OPEN
from scada.quality import GOOD

MODEL = profile(
    register("Energy", 0, "u32", scale=Fraction(1, 100)),
    register("Power", 2, "f32", function=4),
    register("Position", 8),
    billing=Billing("Energy", 10, 10**8),
    switch=Switch("Position", ((0, OPEN), (1, CLOSED)), 16, 8, 0, 1, verify_s=3.0),
)


def test_reads_and_writes(reactor_loop: Any) -> None:
    async def story() -> None:
        words = SimData(0, values=[0x0012, 0xD687, 0x42F6, 0xE666, 0, 0, 0, 0, 1, 0], datatype=DataType.REGISTERS)
        server = ModbusTcpServer([SimDevice(unit, [words]) for unit in (1, 2)], address=("127.0.0.1", 0))
        await server.listen()
        port = server.transport.sockets[0].getsockname()[1]
        plant = Plant(2)
        rows = [{"Energy": 6 * n, "Power": 6 * n + 1, "Position": 6 * n + 2} for n in range(2)]
        devices = [Device(f"m{n}", "g1", n + 1, MODEL, 1, 1, rows[n], n, position_row=6 * n + 2) for n in range(2)]
        bus = FieldBus(reactor_loop.reactor, plant.clock, [plant.gateway(port)], devices, plant.stage, seeded())
        bus.start()
        try:
            await until(lambda: all(plant.quality(n, k) == GOOD for n in range(2) for k in range(3)), "all good")
            assert list(plant.publish().points.raw) == [1234567, 1234567]
            assert plant.value(0, 0) == 12345.67
            assert round(plant.value(1, 1), 4) == 123.45
            assert plant.value(1, 2) == CLOSED
            await bus.actuate("m1", OPEN)
            await until(lambda: plant.value(1, 2) == OPEN, "read back")
            assert plant.value(0, 2) == CLOSED
        finally:
            await bus.stop()
            await server.shutdown()
            await asyncio.sleep(0)

    reactor_loop.run(story())

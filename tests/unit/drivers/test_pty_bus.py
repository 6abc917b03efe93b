"""The field bus over a real pseudo-terminal: values, a command with its read-back, a dead meter, a lost adapter."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness import CLOSED_WORD, COMMAND_AT, STATUS_AT, FakeGateway, Plant, seeded, until
from rtu_bus import PtyEnd, RtuBus

from drivers.bus import FieldBus
from drivers.device import LineFormat
from drivers.modbus_rtu import with_crc
from scada.position import CLOSED, OPEN
from scada.quality import GOOD

ONLINE, POSITION = 3, 2


class Setup:
    """Meters on an RS-485 bus behind a pseudo-terminal, and the field bus that reads them."""

    def __init__(self, reactor: Any, units: int, folder: Path, period_s: float) -> None:
        self.meters = FakeGateway(units)
        self.dead: set[int] = set()
        self.deaf_for = 0  # so many frames get no answer
        self.rtu = RtuBus()
        self.rtu.answer = self.answer
        self.port = folder / "com1.tty"
        self.plug_in()
        self.plant = Plant(units)
        line = {"transport": "serial", "path": "com1.tty", "line": LineFormat(115200, "E", 1)}
        gateway = self.plant.gateway(0, timeout_s=0.2, period_s=period_s, **line)
        self.bus = FieldBus(
            reactor, self.plant.clock, [gateway], self.plant.devices, self.plant.stage, seeded(), folder
        )

    def plug_in(self) -> None:
        self.end = PtyEnd(self.rtu)
        self.port.unlink(missing_ok=True)
        self.port.symlink_to(self.end.path)

    async def answer(self, frame: bytes) -> bytes:
        """Answer as a meter does; the map is that of the Modbus TCP gateway of the other tests."""
        unit = frame[0]
        if self.deaf_for and frame[1] == 3:
            self.deaf_for -= 1
            return b""
        if unit in self.dead:
            return b""
        reply = self.meters.answer(struct.pack(">HHH", 0, 0, len(frame) - 2) + frame[:-2])
        return with_crc(reply[6:])

    def asked(self, unit: int) -> int:
        return sum(frame[0] == unit for frame in self.rtu.heard)


@asynccontextmanager
async def polled(reactor: Any, units: int, folder: Path, period_s: float = 0.05) -> AsyncIterator[Setup]:
    at = Setup(reactor, units, folder, period_s)
    at.bus.start()
    try:
        await until(lambda: all(at.plant.quality(number) == GOOD for number in range(units)), "all are read")
        yield at
    finally:
        await at.bus.stop()
        at.end.close()


def test_a_command_over_a_serial_line_is_accepted_and_read_back(reactor_loop: Any, tmp_path: Path) -> None:
    async def story() -> None:
        async with polled(reactor_loop.reactor, 3, tmp_path, period_s=30.0) as at:
            assert at.plant.value(1, 0) == 10.02
            await at.bus.actuate("m1", OPEN)
            assert at.meters.registers[2][COMMAND_AT] == 0
            await until(lambda: at.plant.value(1, POSITION) == OPEN, "read back between two polls")
            at.deaf_for = 2  # the meter hears nothing while its mechanism moves
            await at.bus.actuate("m1", CLOSED)
            assert at.meters.registers[2][STATUS_AT] == CLOSED_WORD
            await until(lambda: at.plant.value(1, POSITION) == CLOSED, "read back after two looks that failed")
            assert at.rtu.at_once == [], "never two questions at once"

    reactor_loop.run(story())


def test_a_dead_meter_among_ten_on_a_serial_line_is_lost_alone(reactor_loop: Any, tmp_path: Path) -> None:
    async def story() -> None:
        async with polled(reactor_loop.reactor, 10, tmp_path) as at:
            at.dead.add(4)
            await until(lambda: at.plant.value(3, ONLINE) == 0, "lost")
            before, begun_s = (at.asked(1), at.asked(4)), asyncio.get_running_loop().time()
            await until(lambda: at.asked(1) > before[0] + 100, "the others are polled")
            looks = 1 + (asyncio.get_running_loop().time() - begun_s) / 8  # 0.4 s of a look are paid for in 8 s
            assert at.asked(4) - before[1] <= 1 + looks
            assert all(at.plant.quality(number) == GOOD for number in range(10) if number != 3)
            assert at.rtu.at_once == []
            at.dead.clear()
            await until(lambda: at.plant.quality(3) == GOOD, "found again", 40.0)

    reactor_loop.run(story())


def test_an_adapter_that_was_pulled_out_comes_back_with_all_its_meters(reactor_loop: Any, tmp_path: Path) -> None:
    async def story() -> None:
        async with polled(reactor_loop.reactor, 3, tmp_path) as at:
            at.end.close()
            await until(lambda: all(at.plant.quality(number) != GOOD for number in range(3)), "all are lost together")
            at.plug_in()
            asked = at.asked(1)
            await until(lambda: at.asked(1) > asked + 3, "polled again")
            await until(lambda: all(at.plant.quality(number) == GOOD for number in range(3)), "good again")
            await asyncio.sleep(0)

    reactor_loop.run(story())

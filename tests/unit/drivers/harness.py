"""What the tests of the drivers share: profiles and devices as data, a stage to look into, and gateways that misbehave.

The gateways are real servers on loopback. `Gateway stations` below answer as a meter would; a behaviour may replace the
answer by anything: other bytes, nothing, a delay, the end of the connection.
"""

import asyncio
import contextlib
import random
import struct
from collections.abc import Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from drivers.device import Device, Gateway
from drivers.profile import Billing, Profile, Register, Switch
from scada.clock import SystemClock
from scada.image import Columns, Layout
from scada.position import CLOSED, OPEN
from scada.stage import Stage

ENERGY_AT = 0
VOLTAGE_AT = 2
STATUS_AT = 20
COMMAND_AT = 30
OPEN_WORD = 0x0F
CLOSED_WORD = 0xF0


def register(measure: str, address: int, type_: Any = "u16", function: int = 3, **more: Any) -> Register:
    more.setdefault("scale", Fraction(1))
    return Register(measure, function, address, type_, unit="", description_zh="测点", description_en=measure, **more)


def profile(*registers: Register, **more: Any) -> Profile:
    more.setdefault("billing", None)
    more.setdefault("switch", None)
    return Profile("test", "Maker", "Model", "electricity", registers, **more)


METER = profile(
    register("Energy", ENERGY_AT, "u32", scale=Fraction(1, 100), ratio="ctpt"),
    register("Voltage", VOLTAGE_AT, scale=Fraction(1, 10), low=10.0, high=300.0),
    register("Position", STATUS_AT),
    billing=Billing("Energy", 10, 10**8),
    switch=Switch("Position", ((OPEN_WORD, OPEN), (CLOSED_WORD, CLOSED)), 6, COMMAND_AT, 0, 0xFF00, verify_s=3.0),
)
ROWS_EACH = 6  # Energy, Voltage, Position, Online, ErrorCount, ResponseTimeMs


def device(number: int, gateway: str = "g1", unit: int | None = None) -> Device:
    """Make device `number`; its image rows are ROWS_EACH * number and following."""
    at = ROWS_EACH * number
    rows = {"Energy": at, "Voltage": at + 1, "Position": at + 2}
    return Device(
        f"m{number}", gateway, number + 1 if unit is None else unit, METER, 1, 1, rows,
        point=number, online_row=at + 3, errors_row=at + 4, response_ms_row=at + 5, position_row=at + 2,
    )  # fmt: skip


class Plant:
    """A stage for `devices` meters and one gateway, and the columns it is published into."""

    def __init__(self, devices: int) -> None:
        tags = ROWS_EACH * devices + 3
        self.layout = Layout({"tags": tags, "points": devices, "accounts": 0, "alarms": 0}, bytes(32))
        self.stage = Stage(self.layout, np.ones(tags, dtype=np.bool_), 1.0, 1)
        self.work = Columns.private(self.layout)
        self.clock = SystemClock()
        self.devices = tuple(device(number) for number in range(devices))
        self.scan = 0

    def gateway(self, port: int, **more: Any) -> Gateway:
        at = ROWS_EACH * len(self.devices)
        more = {"timeout_s": 0.3, "period_s": 0.1, "in_flight": 1, **more}
        return Gateway("g1", "127.0.0.1", port, online_row=at, timeouts_row=at + 1, cycle_ms_row=at + 2, **more)

    def publish(self) -> Columns:
        self.scan += 1
        self.stage.publish(self.work, self.scan, self.clock.utc_ns())
        return self.work

    def value(self, number: int, offset: int) -> float:
        return float(self.publish().tags.value[ROWS_EACH * number + offset])

    def quality(self, number: int, offset: int = 0) -> int:
        return int(self.publish().tags.quality[ROWS_EACH * number + offset])


Reaction = Callable[["FakeGateway", bytes, asyncio.StreamWriter], Awaitable[bytes]]


async def honest(gateway: "FakeGateway", frame: bytes, writer: asyncio.StreamWriter) -> bytes:
    """Answer as the standard says."""
    return gateway.answer(frame)


class FakeGateway:
    """A Modbus TCP server with a register map per unit; `react` decides what really goes out."""

    def __init__(self, units: int, react: Reaction = honest) -> None:
        self.react = react
        self.registers = {unit: dict.fromkeys(range(64), 0) for unit in range(1, units + 1)}
        for unit, words in self.registers.items():
            words[ENERGY_AT + 1] = 1000 + unit
            words[VOLTAGE_AT] = 2300
            words[STATUS_AT] = CLOSED_WORD
        self.requests: list[bytes] = []
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and reset every connection."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self.open):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open.add(writer)
        try:
            while True:
                head = await reader.readexactly(6)
                frame = head + await reader.readexactly(head[5])
                self.requests.append(frame)
                writer.write(await self.react(self, frame, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client or the test has gone: that is the end of this connection and no more
        finally:
            self._tasks.discard(task)
            self.open.discard(writer)
            writer.close()

    def answer(self, frame: bytes) -> bytes:
        """Return the right reply to a read of registers or a write of one register."""
        unit, function, address, count = struct.unpack_from(">BBHH", frame, 6)
        words = self.registers[unit]
        if function == 6:
            words[address] = count
            if address == COMMAND_AT:
                words[STATUS_AT] = CLOSED_WORD if count else OPEN_WORD
            return frame
        values = [words[address + i] for i in range(count)]
        pdu = struct.pack(f">BB{count}H", function, 2 * count, *values)
        return frame[:4] + struct.pack(">HB", 1 + len(pdu), unit) + pdu


def exception(frame: bytes, code: int) -> bytes:
    """Return an exception reply to a request."""
    return frame[:4] + bytes((0, 3, frame[6], frame[7] | 0x80, code))


async def until(condition: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    """Wait for a condition; the limit only bounds a failing test."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not condition():
        if loop.time() > end:
            raise AssertionError(f"never came true: {what}")
        await asyncio.sleep(0.01)


def seeded() -> random.Random:
    return random.Random(20261123)


def open_descriptors() -> int:
    """Count what is open. The first listener of a process keeps /dev/null in reserve for good."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the folder itself, while it is listed
            count += link.readlink() != Path("/dev/null")
    return count

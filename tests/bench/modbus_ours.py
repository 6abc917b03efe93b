"""Our side of the Modbus benches: a park of meters with 20 registers, polled by lines of the compiled engine.

After every cycle of a line the payloads of all its meters are compared with what the simulator must have said, and
wiped, so that an old answer cannot pass for a new one.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from fractions import Fraction
from typing import Any

from drivers.device import Device
from drivers.engine import Engine
from drivers.engine_cycle import Cycle, Then
from drivers.modbus import read_request
from drivers.modbus_tcp import Line, State
from drivers.outcome import Outcome
from drivers.profile import Profile, Register
from drivers.replies import FRESH_SLOT, STALE_SLOT, ReplyStore
from scada.clock import SystemClock
from tests.bench.modbus_simulator import REGISTERS, expected

TIMEOUT_S = 5.0
CONNECT_LIMIT_S = 30.0


def meter_profile() -> Profile:
    """Return a meter of 20 registers in one block."""
    more: dict[str, Any] = {"unit": "", "description_zh": "测点", "scale": Fraction(1, 10)}
    registers = tuple(Register(f"R{i}", 3, i, "u16", description_en=f"R{i}", **more) for i in range(REGISTERS))
    return Profile("bench", "Maker", "Model", "electricity", registers, billing=None, switch=None)


def meters_of(connections: int, meters: int) -> list[Device]:
    """Return the meters, those of one line one after the other."""
    profile = meter_profile()
    return [
        Device(f"{line}.{unit}", str(line), unit, profile, 1, 1, {f"R{i}": 0 for i in range(REGISTERS)})
        for line in range(connections)
        for unit in range(1, meters + 1)
    ]


class PolledLine:
    """One connection whose meters are polled, cycle after cycle while `again` holds."""

    def __init__(self, reactor: Any, engine: Engine, port: int, number: int, meters: int, in_flight: int) -> None:
        seed = random.Random(number)
        self.line = Line(reactor, engine.clock, "127.0.0.1", port, in_flight, TIMEOUT_S, seed, engine=engine)
        assert self.line.seat is not None
        self.seat = self.line.seat
        slots = [engine.store.slot(f"{number}.{unit}", 0) for unit in range(1, meters + 1)]
        self.seat.serve(self, {slot: read_request(i + 1, 3, 0, REGISTERS) for i, slot in enumerate(slots)})
        self.cycle = Cycle([[slot] for slot in slots])
        self.again = False
        self.cycles = 0
        self.wrong = 0
        self.on_end: Callable[[], None] = lambda: None
        self.wipes = True  # else somebody decodes the payloads first
        self._fresh = engine.store.fresh[slots[0] : slots[-1] + 1]
        size = 2 * REGISTERS
        self._payload = engine.store.arena[slots[0] * size : (slots[-1] + 1) * size]
        self._right = b"".join(expected(unit) for unit in range(1, meters + 1))
        self._all_fresh = bytes((FRESH_SLOT,)) * meters
        self.line.open()

    def begin(self) -> None:
        self.seat.begin(self.cycle)

    def good(self, slot: int, elapsed_ns: int) -> None:
        raise AssertionError("nobody asked for single replies")

    def answered(self, slot: int, outcome: Outcome, elapsed_ns: int) -> Then:
        raise AssertionError(f"slot {slot}: {outcome}")

    def ended(self) -> None:
        self.cycles += 1
        self.wrong += self._fresh.tobytes() != self._all_fresh or self._payload.tobytes() != self._right
        if self.wipes:
            self._fresh.fill(STALE_SLOT)
            self._payload.fill(0)
        self.on_end()
        if self.again:
            self.begin()


class Park:
    """All lines, connected."""

    def __init__(self, reactor: Any, port: int, connections: int, meters: int, in_flight: int) -> None:
        self.store = ReplyStore(meters_of(connections, meters))
        self.engine = Engine(reactor, SystemClock(), self.store, connections)
        self.lines = [PolledLine(reactor, self.engine, port, n, meters, in_flight) for n in range(connections)]
        self._loop = asyncio.get_running_loop()

    async def connected(self) -> None:
        """Wait until every line is up. AssertionError when one is not in time."""
        end = time.monotonic() + CONNECT_LIMIT_S
        while any(line.line.state is not State.UP for line in self.lines):
            assert time.monotonic() < end, "the lines do not connect"
            await asyncio.sleep(0.02)

    async def idle(self) -> None:
        """Wait until no line is in a cycle; AssertionError when one stays in it."""
        for _ in range(1000):
            if not any(line.seat.running for line in self.lines):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("a cycle does not end")

    def polls(self) -> int:
        return sum(line.seat.good_replies for line in self.lines)

    async def close(self) -> None:
        await asyncio.gather(*(line.line.close().asFuture(self._loop) for line in self.lines))

    def check(self) -> None:
        """AssertionError when a value was wrong, or a line was fenced."""
        wrong = sum(line.wrong for line in self.lines)
        fences = sum(line.line.figures.fences for line in self.lines)
        assert not wrong and not fences, f"{wrong} cycles with wrong values, {fences} fences"


async def ours(reactor: Any, port: int, connections: int, meters: int, run_s: float, in_flight: int) -> float:
    """Poll as fast as it goes; return polls a second. Every value is compared."""
    park = Park(reactor, port, connections, meters, in_flight)
    await park.connected()
    for line in park.lines:
        line.again = True
        line.begin()
    await asyncio.sleep(0.1)
    begun, first = time.perf_counter(), park.polls()
    await asyncio.sleep(run_s)
    rate = (park.polls() - first) / (time.perf_counter() - begun)
    for line in park.lines:
        line.again = False
    await park.idle()
    park.check()
    await park.close()
    return rate


def run_with_reactor(work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Install the loop of a room, run `work(reactor)` on it, and end with what it raised."""
    from scada.room import install_loop

    loop, reactor = install_loop()
    tasks: list[asyncio.Task[None]] = []

    async def live() -> None:
        try:
            await work(reactor)
        finally:
            reactor.stop()

    reactor.callWhenRunning(lambda: tasks.append(loop.create_task(live())))
    reactor.run()
    tasks[0].result()

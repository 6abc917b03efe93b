"""More connections than one look of the engine takes, and more events than its table holds."""

import random
import resource
import struct
from collections import Counter
from collections.abc import Iterator

import pytest
from harness import profile, register
from twisted.internet.testing import MemoryReactorClock
from wired import NoLoop, SocketTransport, SteppedClock

from drivers import engine_tables as col
from drivers.device import Device
from drivers.engine import Engine
from drivers.engine_cycle import Cycle, Then
from drivers.modbus import read_request
from drivers.modbus_tcp import Line
from drivers.outcome import Outcome, Silence
from drivers.replies import ReplyStore

LINES = col.EVENTS_MAX + 10  # one event each is more than the table holds; more than READY_MAX sockets, too
READS = (read_request(1, 3, 0x10, 1), read_request(1, 3, 0x20, 1))


class Site:
    """Lines of one meter with two blocks each; `heard` counts the good replies of every slot."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        meter = profile(register("a", 0x10), register("b", 0x20))
        devices = [Device(f"m{n}", f"g{n}", 1, meter, 1, 1, {}) for n in range(LINES)]
        self.store = ReplyStore(devices)
        clock = SteppedClock(self.reactor)
        self.engine = Engine(self.reactor, clock, self.store, LINES, NoLoop())
        self.slots = [[self.store.slot(device.id, block) for block in (0, 1)] for device in devices]
        self.heard: Counter[int] = Counter()
        self.outcomes: list[Outcome] = []
        self.cycles = 0
        self.transports: list[SocketTransport] = []
        self.lines = [
            Line(self.reactor, clock, "h", n, 2, 1.0, random.Random(n), engine=self.engine) for n in range(LINES)
        ]
        for line, slots in zip(self.lines, self.slots, strict=True):
            assert line.seat is not None
            line.seat.serve(self, dict(zip(slots, READS, strict=True)))
            line.seat.tell(True)
            line.open()
            wire = self.reactor.tcpClients[-1][2].buildProtocol(None)
            self.transports.append(SocketTransport())
            wire.makeConnection(self.transports[-1])

    def begin(self) -> None:
        for line, slots in zip(self.lines, self.slots, strict=True):
            assert line.seat is not None
            line.seat.begin(Cycle([[slot] for slot in slots]))

    def answer(self, number: int, value: int) -> None:
        """Answer both questions of a line, the second one first."""
        far = self.transports[number].far
        sent = far.recv(4096)
        for request in (sent[12:24], sent[:12]):
            far.sendall(request[:4] + struct.pack(">HBBBH", 5, 1, 3, 2, value))

    def close(self) -> None:
        for line in self.lines:
            line.close()
        for transport in self.transports:
            transport.near.close()
            transport.far.close()

    # -- what the seats say

    def good(self, slot: int, elapsed_ns: int) -> None:
        self.heard[slot] += 1

    def answered(self, slot: int, outcome: Outcome, elapsed_ns: int) -> Then:
        self.outcomes.append(outcome)
        return Then.STOP

    def ended(self) -> None:
        self.cycles += 1


@pytest.fixture
def site() -> Iterator[Site]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * LINES)), hard))
    made = Site()
    yield made
    made.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_all_answers_that_come_at_once_are_taken_once(site: Site) -> None:
    site.begin()
    for number in range(LINES):
        site.answer(number, number)
    looks = 0
    while site.cycles < LINES:
        site.engine.ready()
        looks += 1
        assert looks < LINES, "the engine looks and sees nothing"
    assert looks > 1, "they did not fit into one look"
    assert all(site.heard[slot] == 1 for slots in site.slots for slot in slots)
    assert [int.from_bytes(_payload(site, slots[0]), "big") for slots in site.slots] == list(range(LINES))


def test_all_that_are_late_at_once_are_told(site: Site) -> None:
    site.begin()
    for _ in range(3):
        site.reactor.advance(1.01)
    assert site.outcomes.count(Silence("timeout", True)) == LINES, "the older of two; the other is asked once more"
    assert all(transport.aborted for transport in site.transports)


def _payload(site: Site, slot: int) -> bytes:
    at = site.store.payload_at[slot]
    return site.store.arena[at : at + 2].tobytes()

"""The Modbus TCP engine of one site: all connections behind one descriptor, and one compiled call for all that is ready.

A poll that is answered as it should be costs no Python at all: compiled code takes the bytes, checks them, puts the
payload into the reply store and sends the next request of the cycle. What is not plainly good comes here as an event and
goes to the line, which judges, fences and connects as without an engine.
Rule: this file moves events between tables and lines; what an outcome means for a device is the poller's business.
"""

import asyncio
import os
import platform
import select
import sys
from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, Protocol

import numba
import numpy as np
import numpy.typing as npt

from drivers import engine_tables as col
from drivers.engine_kernel import look, reserve, step, sweep, watch
from drivers.engine_tables import NOBODY, Tables, make_tables
from drivers.flight import Pending
from drivers.frame_log import FrameLog
from drivers.modbus import Request, Wrong
from drivers.outcome import Outcome, Reply, Violation
from drivers.replies import ReplyStore
from scada.clock import Clock

SWEEP_S: Final = 0.02  # a time-out is noticed this much late at most
EPOLL_EVENT_BYTES: Final = 12 if platform.machine() in ("x86_64", "AMD64") else 16  # packed on that one alone
WRONGS: Final = {col.WRONG_PROTOCOL: Wrong.PROTOCOL_ID, col.WRONG_LENGTH: Wrong.LENGTH}

Numbers = npt.NDArray[np.int64]


def engine_available() -> bool:
    """Tell whether this machine can run the engine: Linux' epoll, and a numba that compiles."""
    return sys.platform == "linux" and not numba.config.DISABLE_JIT


class Then(Enum):
    """What shall follow an outcome that was not plainly good."""

    ON = "the next block of the device"
    AGAIN = "the same block, behind the others"
    STOP = "nothing more of the device in this cycle"


class CycleClient(Protocol):
    """Who gives a line its cycles and hears of them: the poller."""

    def good(self, slot: int, elapsed_ns: int) -> None:
        """Hear of a right answer, because `tell` asked for it; the payload is in the reply store."""
        ...

    def answered(self, slot: int, outcome: Outcome, elapsed_ns: int) -> Then:
        """Judge an outcome that the engine did not take itself; the payload of a Reply is in the reply store."""
        ...

    def ended(self) -> None:
        """Hear that every chain has been asked and nothing of it is in flight."""
        ...


class LineEnd(Protocol):
    """What the engine needs of a line."""

    log: FrameLog

    def judge(self, frame: bytes, pending: Pending | None) -> None: ...

    def late(self, pending: Pending) -> None: ...

    def broken(self, violation: Violation, received: bytes) -> None: ...

    def gone(self) -> None: ...

    def fence(self) -> None: ...

    def pump(self) -> None: ...


class Cycle:
    """A list of chains, ready to be handed to a seat any number of times. A chain is the slots of one device."""

    def __init__(self, chains: Sequence[Sequence[int]]) -> None:
        """ValueError for an empty chain."""
        if not all(chains):
            raise ValueError("a chain without a poll")
        self.slots: Numbers = np.array([slot for chain in chains for slot in chain], dtype=np.int64)
        lengths = np.array([len(chain) for chain in chains], dtype=np.int64)
        ends = np.cumsum(lengths)
        last = np.zeros(len(self.slots), dtype=np.int64)
        last[ends - 1] = 1
        self.items: Numbers = self.slots << 1 | last
        self.starts: Numbers = ends - lengths


class Engine:
    """All Modbus TCP lines of a site that take part. One thread: the loop's."""

    def __init__(self, reactor: Any, clock: Clock, store: ReplyStore, lines: int, loop: Any = None) -> None:
        """lines: how many seats there will be. loop: who watches the descriptor; the running one when none is given."""
        self.reactor = reactor
        self.clock = clock
        self.store = store
        self.tables: Tables = make_tables(lines, len(store.fresh), store)
        self.requests: dict[int, Request] = {}  # by slot
        self._loop = loop
        self._seats: list[Seat] = []
        self._epoll: select.epoll | None = None
        self._attached = 0
        self._sweeper: Any = None
        self._events: deque[tuple[Seat, list[int], bytes]] = deque()
        self._dealing = False
        self._planned = 0  # polls

    def seat(self, line: LineEnd, in_flight: int, timeout_ns: int, first_transaction: int) -> "Seat":
        """Make the place of one line. IndexError when there are more lines than announced."""
        seat = Seat(self, len(self._seats), line)
        row = self.tables.conns[seat.row]
        row[col.C_LIMIT] = in_flight
        row[col.C_TIMEOUT_NS] = timeout_ns
        row[col.C_NEXT] = first_transaction
        self._seats.append(seat)
        return seat

    def plan(self, slot: int, request: Request) -> None:
        """Say what has to be asked for a slot. ValueError for anything but a read that fits the slot."""
        size = request.reply_frame_bytes - request.payload_at
        if request.writes or size != self.store.payload_bytes[slot]:
            raise ValueError(f"slot {slot} of {self.store.payload_bytes[slot]} bytes is not filled by {request}")
        poll = self.tables.polls[slot]
        poll[col.P_FRAME_BYTES] = request.reply_frame_bytes
        poll[col.P_PAYLOAD_AT] = request.payload_at
        poll[col.P_PADDING] = request.padding_mask
        self.tables.heads[slot] = np.frombuffer(request.wire_tail + request.reply_tail, dtype=np.uint8)
        self.requests[slot] = request

    def reserve_items(self, count: int) -> int:
        """Set aside places for the polls of one line; return the first."""
        first, self._planned = self._planned, self._planned + count
        if self._planned > len(self.tables.items):
            raise ValueError(f"{self._planned} polls planned for {len(self.tables.items)} slots")
        return first

    # -- the descriptor

    def watch(self, fd: int, row: int) -> None:
        """Begin to read a connection."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop_now().add_reader(self._epoll.fileno(), self.ready)
            self._sweeper = self.reactor.callLater(SWEEP_S, self._sweep)
        error = watch(self.tables, self._epoll.fileno(), EPOLL_EVENT_BYTES, fd, row)
        if error:
            raise OSError(error, os.strerror(error))
        self._attached += 1

    def unwatch(self, fd: int) -> None:
        """Stop reading a connection, before it is closed."""
        assert self._epoll is not None
        self._epoll.unregister(fd)
        self._attached -= 1
        if self._attached == 0:
            self._loop_now().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
            if self._sweeper.active():
                self._sweeper.cancel()

    def _loop_now(self) -> Any:
        return self._loop if self._loop is not None else asyncio.get_running_loop()

    # -- compiled calls and what they leave for Python

    def ready(self) -> None:
        """Serve everything that can be read."""
        if self._epoll is None:
            return
        clock = self.clock
        fd = self._epoll.fileno()
        if step(self.tables, fd, EPOLL_EVENT_BYTES, clock.mono_ns(), clock.utc_ns(), clock.speed) or self._events:
            self.deal()

    def go_on(self, row: int) -> None:
        """Go on with one connection: bytes that wait, then what may be sent."""
        clock = self.clock
        if look(self.tables, row, clock.mono_ns(), clock.utc_ns(), clock.speed):
            self.deal()

    def take_place(self, row: int) -> int:
        """Put a question of a line in flight; return its transaction id."""
        return reserve(self.tables, row, self.clock.mono_ns())

    def _sweep(self) -> None:
        self._sweeper = self.reactor.callLater(SWEEP_S, self._sweep)
        if sweep(self.tables, self.clock.mono_ns()):
            self.deal()

    def deal(self) -> None:
        """Hand all events to their lines, those too that come while others are handled."""
        self._fetch()
        if self._dealing:
            return
        self._dealing = True
        try:
            while self._events:
                seat, event, frame = self._events.popleft()
                seat.take(event, frame)
                self._fetch()
        finally:
            self._dealing = False

    def _fetch(self) -> None:
        """Move the events out of the table, whose rows and frames are used again by the next compiled call."""
        count = int(self.tables.count[0])
        self.tables.count[0] = 0
        for i, event in enumerate(self.tables.events[:count].tolist()):
            frame = self.tables.frames[i, : event[col.E_BYTES]].tobytes()
            self._events.append((self._seats[event[col.E_CONN]], event, frame))


class Seat:
    """The place of one line in the engine: its flight, and its cycle."""

    def __init__(self, engine: Engine, row: int, line: LineEnd) -> None:
        self.row = row
        self._engine = engine
        self._line = line
        self._conn = engine.tables.conns[row]
        self._flights = engine.tables.flights[row]
        self._asked: dict[int, Pending] = {}  # questions of the line, by transaction id
        self._client: CycleClient | None = None
        self._first_item = 0
        self._size = 0
        self._running = False
        self._slow = 0  # polls of the cycle that the line has in its hands
        self._good_before = 0  # good replies on earlier connections
        self._takers: Final = {
            col.GOOD: self._take_good, col.FRAME: self._take_frame, col.BROKEN: self._take_broken,
            col.GONE: self._take_gone, col.STUCK: self._take_stuck, col.ROOM: self._take_room,
            col.ENDED: self._take_ended, col.LATE: self._take_late,
        }  # fmt: skip

    # -- the flight of the line (flight.Flight)

    @property
    def answered(self) -> bool:
        return bool(self._conn[col.C_GOOD] > self._good_before)

    def attach(self, transport: Any) -> bool:
        conn = self._conn
        conn[col.C_FD] = transport.getHandle().fileno()
        conn[col.C_LIFE] += 1
        conn[[col.C_HALTED, col.C_WANTED, col.C_HAVE]] = 0
        self._good_before = int(conn[col.C_GOOD])
        self._engine.watch(int(conn[col.C_FD]), self.row)
        return True

    def detach(self) -> None:
        if self._conn[col.C_FD] != NOBODY:
            self._engine.unwatch(int(self._conn[col.C_FD]))
            self._conn[col.C_FD] = NOBODY

    def room(self) -> int:
        return int(self._conn[col.C_LIMIT] - self._conn[col.C_FLYING])

    def launch(self, pending: Pending) -> int:
        transaction = self._engine.take_place(self.row)
        self._asked[transaction] = pending
        return transaction

    def waiting(self, any_left: bool) -> None:
        conn = self._conn
        if any_left:
            conn[col.C_WANTED] = 1
        elif conn[col.C_WANTED] or conn[col.C_AT] < conn[col.C_END]:
            conn[col.C_WANTED] = 0
            self._engine.go_on(self.row)

    def take_all(self) -> list[Pending]:
        newest = int(self._conn[col.C_NEXT])
        flying = [flight for flight in self._flights.tolist() if flight[col.F_TRANSACTION] != NOBODY]
        flying.sort(key=lambda flight: (flight[col.F_SENT_NS], (flight[col.F_TRANSACTION] - newest) % 0x1_0000))
        self._flights[:, col.F_TRANSACTION] = NOBODY
        self._conn[[col.C_FLYING, col.C_POLLS]] = 0
        return [
            self._asked.pop(transaction) if item == NOBODY else self._slow_poll(item, sent_ns, transaction)
            for transaction, item, sent_ns in flying
        ]

    def abandon(self) -> None:
        self._conn[col.C_AT] = self._conn[col.C_END]
        self._end_if_done()

    # -- cycles

    def serve(self, client: CycleClient, requests: dict[int, Request]) -> None:
        """Say who polls what over this line: requests by slot."""
        self._client = client
        self._first_item = self._engine.reserve_items(len(requests))
        self._size = len(requests)
        for slot, request in requests.items():
            self._engine.plan(slot, request)

    def begin(self, cycle: Cycle) -> None:
        """Ask every chain of a cycle once. ValueError for more polls than were planned; RuntimeError inside a cycle."""
        if len(cycle.items) > self._size:
            raise ValueError(f"{len(cycle.items)} polls on a line that was planned for {self._size}")
        if self._running:
            raise RuntimeError("a cycle is under way")
        first = self._first_item
        self._engine.tables.items[first : first + len(cycle.items)] = cycle.items
        self._engine.tables.starts[first : first + len(cycle.starts)] = cycle.starts + first
        self._conn[col.C_WATCHED] = self._line.log.everything
        self._conn[col.C_AT] = first
        self._conn[col.C_END] = first + len(cycle.starts)
        self._running = True
        self._go_on()

    def tell(self, every: bool) -> None:
        """Make every good reply an event, or only those of slots that `tell_of` names."""
        self._conn[col.C_TELL] = every

    def tell_of(self, slot: int, wanted: bool) -> None:
        """Make the good replies of one slot events."""
        self._engine.tables.polls[slot, col.P_TELL] = wanted

    @property
    def running(self) -> bool:
        """Tell whether a cycle is under way."""
        return self._running

    @property
    def good_replies(self) -> int:
        """Good replies to polls since the start."""
        return int(self._conn[col.C_GOOD])

    def _go_on(self) -> None:
        self._conn[col.C_RUNNING] = 1
        self._engine.go_on(self.row)
        self._end_if_done()

    def _end_if_done(self) -> None:
        conn = self._conn
        if self._running and not self._slow and not conn[col.C_POLLS] and conn[col.C_AT] == conn[col.C_END]:
            self._running = False
            conn[col.C_RUNNING] = 0
            assert self._client is not None
            self._client.ended()

    def _slow_poll(self, item: int, sent_ns: int, transaction: int) -> Pending:
        """Give a poll of the cycle to the line, which finishes it as one of its own questions."""
        slot = int(self._engine.tables.items[item]) >> 1
        self._slow += 1

        def done(outcome: Outcome, elapsed_ns: int) -> None:
            self._slow -= 1
            self._finish(item, slot, outcome, elapsed_ns)

        return Pending(self._engine.requests[slot], done, sent_ns, 1, transaction)

    def _finish(self, item: int, slot: int, outcome: Outcome, elapsed_ns: int) -> None:
        assert self._client is not None
        if isinstance(outcome, Reply):
            self._engine.store.put(slot, outcome.payload, self._engine.clock.utc_ns())
        then = self._client.answered(slot, outcome, elapsed_ns)
        if then is Then.ON and not self._engine.tables.items[item] & 1:
            self._conn[col.C_AT] -= 1  # into the place that its chain left when it started
            self._engine.tables.starts[self._conn[col.C_AT]] = item + 1
        elif then is Then.AGAIN:
            self._append(item)
        self._go_on()

    def _append(self, item: int) -> None:
        """Put a chain behind the others; it left a place at the front when it started."""
        starts = self._engine.tables.starts
        at, end = int(self._conn[col.C_AT]), int(self._conn[col.C_END])
        starts[at - 1 : end - 1] = starts[at:end].copy()
        starts[end - 1] = item
        self._conn[col.C_AT] = at - 1

    # -- events

    def take(self, event: list[int], frame: bytes) -> None:
        """Handle one event, unless the connection that it speaks of has been fenced meanwhile."""
        if event[col.E_LIFE] == self._conn[col.C_LIFE] and self._conn[col.C_FD] != NOBODY:
            self._takers[event[col.E_KIND]](event, frame)

    def _take_good(self, event: list[int], frame: bytes) -> None:
        assert self._client is not None
        self._client.good(int(self._engine.tables.items[event[col.E_ITEM]]) >> 1, event[col.E_ELAPSED_NS])

    def _pending(self, event: list[int]) -> Pending | None:
        """Return what was asked under the transaction of an event, None when nobody asked."""
        transaction = event[col.E_TRANSACTION]
        if event[col.E_ITEM] == NOBODY:
            return self._asked.pop(transaction, None)
        return self._slow_poll(event[col.E_ITEM], self._engine.clock.mono_ns() - event[col.E_ELAPSED_NS], transaction)

    def _take_frame(self, event: list[int], frame: bytes) -> None:
        self._line.judge(frame, self._pending(event))
        self._engine.go_on(self.row)

    def _take_broken(self, event: list[int], frame: bytes) -> None:
        self._line.broken(Violation(WRONGS[event[col.E_ELAPSED_NS]]), frame)

    def _take_gone(self, event: list[int], frame: bytes) -> None:
        self.detach()
        self._line.gone()

    def _take_stuck(self, event: list[int], frame: bytes) -> None:
        self._line.fence()

    def _take_room(self, event: list[int], frame: bytes) -> None:
        self._line.pump()

    def _take_ended(self, event: list[int], frame: bytes) -> None:
        self._end_if_done()

    def _take_late(self, event: list[int], frame: bytes) -> None:
        pending = self._pending(event)
        assert pending is not None
        self._line.late(pending)

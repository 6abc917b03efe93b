"""The Modbus TCP engine of a site: all connections behind one descriptor, one compiled call for all that is ready.

A poll that is answered as it should be costs no Python at all: compiled code takes the bytes, checks them, puts the
payload into the reply store and sends the next request of the cycle. What is not plainly good comes here as an event
and goes to the line, which judges, fences and connects as without an engine.
Rule: this file moves events between tables and lines; what an outcome means for a device is the poller's business.
"""

import asyncio
import os
import platform
import select
from collections import deque
from typing import Any, Final

from drivers import engine_tables as col
from drivers.engine_cycle import Cycle, LineEnd
from drivers.engine_kernel import begin, look, reserve, step, sweep, watch
from drivers.engine_seat import Seat
from drivers.engine_tables import Tables, make_tables
from drivers.modbus import HEAD_BYTES, READ_LIMIT, Request
from drivers.pulse import Pulse
from drivers.replies import ReplyStore
from scada.clock import Clock

EPOLL_EVENT_BYTES: Final = 12 if platform.machine() in ("x86_64", "AMD64") else 16  # packed on that one alone
HELD_UP_NS: Final = 100_000_000  # ten beats: the process stood still, or its loop was held up
CATCH_UP_MAX: Final = 50  # looks of two milliseconds; what has not been taken then is late
ASK_BYTES: Final = col.REQUEST_BYTES - HEAD_BYTES


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
        self.pulse = Pulse(reactor, self._sweep)  # a time-out is noticed a beat late at most
        self._swept_ns = clock.mono_ns()
        self._events: deque[tuple[Seat, list[int], bytes]] = deque()
        self._dealing = False
        self._planned = 0  # polls

    def seat(self, line: LineEnd, in_flight: int, timeout_ns: int, first_transaction: int) -> Seat:
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
        if request.function not in READ_LIMIT or size != self.store.payload_bytes[slot]:
            raise ValueError(f"slot {slot} of {self.store.payload_bytes[slot]} bytes is not filled by {request}")
        poll = self.tables.polls[slot]
        poll[col.P_ASK] = int.from_bytes(request.wire_tail[-ASK_BYTES:], "big")
        poll[col.P_FRAME_BYTES] = 0 if request.looks_answered else request.reply_frame_bytes  # 0: Python judges it
        poll[col.P_PADDING] = request.padding_mask
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
            self.pulse.hold()
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
            self.pulse.release()

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

    def begin(self, row: int, first: int, cycle: Cycle) -> None:
        """Begin a cycle of one line, whose places in the lists begin at `first`."""
        clock = self.clock
        now = (clock.mono_ns(), clock.utc_ns(), clock.speed)
        if begin(self.tables, row, first, cycle.items, cycle.starts, *now):
            self.deal()

    def take_place(self, row: int) -> int:
        """Put a question of a line in flight; return its transaction id."""
        return reserve(self.tables, row, self.clock.mono_ns())

    def _sweep(self) -> None:
        now = self.clock.mono_ns()
        if now - self._swept_ns > HELD_UP_NS:
            self._catch_up()
        self._swept_ns = now
        if sweep(self.tables, now):
            self.deal()

    def _catch_up(self) -> None:
        """Take what came while nothing here ran: it is not late, we are."""
        good = self.tables.conns[:, col.C_GOOD]
        before = -1
        for _ in range(CATCH_UP_MAX):
            if (now := int(good.sum())) == before:
                break
            before = now
            self.ready()

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
        count = int(self.tables.pushed[0])
        self.tables.pushed[0] = 0
        for i, event in enumerate(self.tables.events[:count].tolist()):
            frame = self.tables.frames[i, : event[col.E_BYTES]].tobytes() if event[col.E_BYTES] else b""
            seat = self._seats[event[col.E_CONN]]
            seat.stands |= event[col.E_KIND] in col.HALTING
            self._events.append((seat, event, frame))

"""The place of one Modbus TCP line in the engine: its transactions in flight, and the cycle that it carries out.

Rule: what compiled code left undone is finished here with the line's own means; nothing here looks into a frame.
"""

from typing import TYPE_CHECKING, Any, Final

from drivers import engine_tables as col
from drivers.engine_cycle import Cycle, CycleClient, LineEnd, Then
from drivers.engine_tables import NOBODY
from drivers.flight import Pending
from drivers.modbus import TRANSACTIONS, Request, Wrong
from drivers.outcome import Outcome, Reply, Violation

if TYPE_CHECKING:
    from drivers.engine import Engine

WRONGS: Final = {col.WRONG_PROTOCOL: Wrong.PROTOCOL_ID, col.WRONG_LENGTH: Wrong.LENGTH}


class Seat:
    """The place of one line in the engine: its flight, and its cycle."""

    def __init__(self, engine: "Engine", row: int, line: LineEnd) -> None:
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
        self._fd = NOBODY  # of the present connection
        self._life = 0  # connections there have been
        self._slow = 0  # polls of the cycle that the line has in its hands
        self._good_before = 0  # good replies on earlier connections
        self.stands = False  # an event for which the connection stands still waits to be taken
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
        conn, fd = self._conn, transport.getHandle().fileno()
        self._engine.watch(fd, self.row)
        self._fd = fd
        self._life += 1
        conn[col.C_FD] = self._fd
        conn[col.C_LIFE] = self._life
        conn[[col.C_HALTED, col.C_WANTED, col.C_HAVE]] = 0
        self._good_before = int(conn[col.C_GOOD])
        return True

    def detach(self) -> None:
        if self._fd != NOBODY:
            self._engine.unwatch(self._fd)
            self._fd = NOBODY
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
            self._resume()

    def take_all(self) -> list[Pending]:
        newest = int(self._conn[col.C_NEXT])
        flying = [flight for flight in self._flights.tolist() if flight[col.F_TRANSACTION] != NOBODY]
        flying.sort(key=lambda flight: (flight[col.F_SENT_NS], (flight[col.F_TRANSACTION] - newest) % TRANSACTIONS))
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

    def serve(self, client: CycleClient, requests: dict[int, Request], spare: int = 0) -> None:
        """Say who polls what over this line: requests by slot. spare: how many `also` may bring."""
        self._client = client
        self._size = len(requests) + spare
        self._first_item = self._engine.reserve_items(self._size)
        self.also(requests)

    def also(self, requests: dict[int, Request]) -> None:
        """Say what else may be in a cycle, from the next one on."""
        for slot, request in requests.items():
            self._engine.plan(slot, request)

    def begin(self, cycle: Cycle) -> None:
        """Ask every chain of a cycle once. ValueError for more polls than were planned; RuntimeError inside a cycle."""
        if len(cycle.items) > self._size:
            raise ValueError(f"{len(cycle.items)} polls on a line that was planned for {self._size}")
        if self._running:
            raise RuntimeError("a cycle is under way")
        self._conn[col.C_WATCHED] = self._line.log.everything
        self._running = True
        self._engine.begin(self.row, self._first_item, cycle)

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
        self._resume()
        self._end_if_done()

    def _resume(self) -> None:
        """Let the connection go on, unless it stands still for something that waits to be judged."""
        if not self.stands:
            self._engine.go_on(self.row)

    def _end_if_done(self) -> None:
        conn = self._conn
        busy = self._slow or self.stands or conn[col.C_POLLS]
        if self._running and not busy and conn[col.C_AT] == conn[col.C_END]:
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
        """Handle one event. Where its connection has been fenced meanwhile, what it answers is not believed."""
        kind = event[col.E_KIND]
        if kind in col.HALTING:
            self.stands = False
        if event[col.E_LIFE] == self._life and self._fd != NOBODY:
            self._takers[kind](event, frame)
        else:
            pending = self._pending(event) if kind in (col.FRAME, col.LATE) else None
            if pending is not None:
                self._line.lost(pending)
        if self._fd == NOBODY:
            self._end_if_done()  # who reads the next byte of a connection sees the end; this one has no next byte

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
        self._resume()

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

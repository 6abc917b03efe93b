"""A Modbus TCP connection that can be trusted: several transactions in flight, commands first, fenced after any doubt.

A `Line` keeps one connection to one gateway. Fencing means: the connection is aborted and its late bytes have nobody to
read them, so an answer that comes after its time-out can never be taken for the answer to a later request.
With an `Engine`, compiled code reads the connection and takes the plainly good answers to the polls of a cycle; what it
leaves comes here and is judged as ever.
Rule: this file moves requests and judged outcomes; it does not know what a register means.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from twisted.internet import protocol
from twisted.internet.defer import Deferred

from drivers.flight import IN_FLIGHT_MAX, Done, Pending, PlainFlight
from drivers.frame_log import FrameLog
from drivers.lines import (
    CONNECT_TIMEOUT_S,
    JITTER,
    QUEUE_MAX,
    RECONNECT_FIRST_S,
    RECONNECT_MAX_S,
    LineFigures,
    State,
)
from drivers.modbus import TRANSACTIONS, Parser, Request, check_reply, transaction_of
from drivers.outcome import Outcome, Silence, Violation
from scada.clock import NS_PER_S, Clock

if TYPE_CHECKING:  # numba is not loaded for a tool that asks one meter
    from drivers.engine import Engine
    from drivers.engine_seat import Seat

SENDS_MAX: Final = 2  # a read that was in flight when another one failed is sent once more, not for ever
UNSOLICITED_MAX: Final = 64  # replies nobody asked for that one connection may show before it is dropped


class _Wire(protocol.Protocol):  # type: ignore[misc]
    """One TCP connection of a line; after a fence the line no longer knows it."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self.parser = Parser()
        self.unsolicited = 0
        self.answered = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._line.wire_up(self)

    def send(self, data: bytes) -> bool:
        """Hand bytes to the kernel at once, without a round through the reactor; False when it does not take them all.

        At most IN_FLIGHT_MAX small requests are unanswered, so a full socket buffer means a peer that does not read.
        """
        sent: object = self.transport.writeSomeData(data)
        return sent == len(data)

    def dataReceived(self, data: bytes) -> None:
        self._line.wire_data(self, data)

    def abort(self) -> None:
        """End the connection at once; the line hears of its end."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self._line.wire_lost(self)


class _Attempt(protocol.ClientFactory):  # type: ignore[misc]
    """One attempt to connect."""

    noisy = False

    def __init__(self, line: "Line") -> None:
        self._line = line

    def buildProtocol(self, addr: Any) -> _Wire:
        return _Wire(self._line)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._line.attempt_failed(self, reason.getErrorMessage())


class Line:
    """The connection to one gateway. One thread: the reactor's."""

    fence_s = 0.0  # a new connection is quicker than silence

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        host: str,
        port: int,
        in_flight: int,
        timeout_s: float,
        rng: random.Random,
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[str], None] = lambda reason: None,
        engine: "Engine | None" = None,
    ) -> None:
        """on_up: a connection is made. on_down(reason): an attempt gave no useful connection (each attempt).

        engine: who reads the connection and carries out cycles (`seat`); without one the line does, poll by poll.
        """
        self._reactor = reactor
        self._clock = clock
        self._host = host
        self._port = port
        self._timeout_ns = int(timeout_s * NS_PER_S)
        self._rng = rng
        self._on_up = on_up
        self._on_down = on_down
        self._urgent: deque[Pending] = deque()
        self._normal: deque[Pending] = deque()
        limits = (min(max(in_flight, 1), IN_FLIGHT_MAX), self._timeout_ns, rng.randrange(TRANSACTIONS))
        self.seat: Seat | None = engine.seat(self, *limits) if engine is not None else None
        self._plain = PlainFlight(reactor, clock, *limits, self.late)
        self._flight = self.seat or self._plain
        self._corked = False
        self._wire: _Wire | None = None
        self._closing: set[_Wire] = set()
        self._closed: Deferred[None] | None = None
        self._attempt: _Attempt | None = None
        self._connector: Any = None
        self._retry: Any = None
        self._delay_s = RECONNECT_FIRST_S
        self.state = State.CLOSED
        self.figures = LineFigures()
        self.log = FrameLog()

    # -- what the poller may ask

    def open(self) -> None:
        """Start to connect, and keep connected until `close`."""
        if self.state is State.CLOSED:
            self._connect()

    def close(self) -> "Deferred[None]":
        """End the connection and fail what waits; the Deferred fires when no socket is left."""
        self.state = State.CLOSED
        self._cancel_timers()
        self._attempt = None
        if self._connector is not None:
            self._connector.disconnect()
            self._connector = None
        self._drop_wire()
        self._fail_all("closed")
        self._closed = Deferred()
        closed = self._closed
        self._tell_closed()
        return closed

    def ask(self, request: Request, done: Done, urgent: bool = False) -> None:
        """Send a request when its turn comes; `done` is called exactly once, possibly before this returns.

        urgent: before everything that waits. A line that is down fails at once: a command must never be sent late.
        """
        if self.state in (State.CLOSED, State.WAITING):
            done(Silence("not connected", False), 0)
            return
        queue = self._urgent if urgent else self._normal
        if len(queue) >= QUEUE_MAX and urgent:  # of many commands at once the last ones fail, each for itself
            done(Silence("too many wait", False), 0)
            return
        if len(queue) >= QUEUE_MAX:
            raise OverflowError(f"more than {QUEUE_MAX} requests wait for {self._host}:{self._port}")
        queue.append(Pending(request, done))
        self.pump()

    def withdraw(self, request: Request) -> None:
        """Forget an urgent request that waits, without its `done`; one that is in flight goes on to its outcome."""
        self._urgent = deque(pending for pending in self._urgent if pending.request is not request)

    # -- sending and judging

    def pump(self) -> None:
        """Send what may fly now, all in one write."""
        wire = self._wire
        if wire is None or self._corked:
            return
        frames = []
        while (queue := self._urgent or self._normal) and self._flight.room() > 0:
            frames.append(self._launch(queue.popleft()))
        if frames and not wire.send(b"".join(frames)):
            self.fence()
        else:
            self._flight.waiting(bool(self._urgent or self._normal))

    def _launch(self, pending: Pending) -> bytes:
        pending.sends += 1
        pending.sent_ns = self._clock.mono_ns()
        pending.transaction = self._flight.launch(pending)
        return pending.request.encode(pending.transaction)

    def wire_data(self, wire: _Wire, data: bytes) -> None:
        """Take bytes of a connection; those of a fenced one are nobody's."""
        if wire is not self._wire:
            return
        self._corked = True  # what the outcomes ask for goes out together
        for item in wire.parser.feed(data):
            if isinstance(item, Violation):
                self.broken(item, data)
            else:
                self.judge(item, self._plain.land(transaction_of(item)))
            if wire is not self._wire:
                break
        self._corked = False
        self.pump()

    def judge(self, frame: bytes, pending: Pending | None) -> None:
        """Take a whole frame of the present connection and what was asked under its transaction id, if anything was."""
        wire = self._wire
        if wire is None:
            return
        if pending is None:
            self._unsolicited(wire)
            return
        outcome = check_reply(pending.request, transaction_of(frame), frame)
        elapsed_ns = self._clock.mono_ns() - pending.sent_ns
        if isinstance(outcome, Violation):
            self.figures.violations[outcome.wrong] += 1
            self.fence()
        else:
            wire.answered = True
        if self.log.wants(outcome):
            self._note(pending, frame, outcome)
        pending.done(outcome, elapsed_ns)

    def _note(self, pending: Pending, received: bytes, outcome: Outcome) -> None:
        """Put one transaction into the frame log."""
        now = self._clock.mono_ns()
        sent = pending.request.encode(pending.transaction)
        self.log.note(pending.request, sent, received, outcome, self._clock.utc_ns(), now, now - pending.sent_ns)

    def _unsolicited(self, wire: _Wire) -> None:
        """Ignore a late, repeated or invented reply, up to a limit."""
        self.figures.unsolicited += 1
        wire.unsolicited += 1
        if wire.unsolicited > UNSOLICITED_MAX:
            self.fence()

    def late(self, pending: Pending) -> None:
        """Fence after a time-out: `pending` is over its time and flies no more."""
        outcome = Silence("timeout", True)
        self.figures.timeouts += 1
        self._note(pending, b"", outcome)
        self.fence()
        pending.done(outcome, self._timeout_ns)

    def lost(self, pending: Pending) -> None:
        """Take back what was sent over a connection that is fenced, before its answer was looked at."""
        self._return_to_queue([pending])
        self.pump()

    # -- fence and failure

    def broken(self, violation: Violation, received: bytes) -> None:
        """Fence a stream that has no frame border any more; the oldest in flight fails with the violation."""
        self.figures.violations[violation.wrong] += 1
        self.fence(violation, received)

    def gone(self) -> None:
        """Take leave of a connection that the peer ended."""
        if self._wire is not None:
            self._wire.abort()

    def fence(self, outcome: Violation | None = None, received: bytes = b"") -> None:
        """Abort the connection and make a new one.

        The oldest in flight fails with `outcome`, if there is one; other reads wait for the new connection.
        """
        self.figures.fences += 1
        calm = self._calm(self._wire)
        self._drop_wire()
        flown = self._flight.take_all()
        self._reconnect(at_once=calm)
        if outcome is not None and flown:
            first = flown.pop(0)
            self._note(first, received, outcome)
            first.done(outcome, self._clock.mono_ns() - first.sent_ns)
        self._return_to_queue(flown)

    def _calm(self, wire: _Wire | None) -> bool:
        """Tell whether the connection has given at least one answer."""
        return wire is not None and (wire.answered or self._flight.answered)

    def _return_to_queue(self, flown: Sequence[Pending]) -> None:
        """Queue reads once more, in their old order; a write that flew is undetermined and never repeated here."""
        for pending in reversed(flown):
            if pending.request.writes or pending.sends >= SENDS_MAX or self.state is State.CLOSED:
                pending.done(Silence("lost", True), self._clock.mono_ns() - pending.sent_ns)
            else:
                self._normal.appendleft(pending)

    def _drop_wire(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._flight.detach()
            self._closing.add(wire)
            wire.abort()

    def _fail_all(self, reason: Literal["not connected", "closed"]) -> None:
        self._flight.abandon()
        waiting = [*self._flight.take_all(), *self._urgent, *self._normal]
        self._urgent.clear()
        self._normal.clear()
        for pending in waiting:
            pending.done(Silence(reason, pending.request.writes and pending.sends > 0), 0)

    # -- connecting

    def _connect(self) -> None:
        self._retry = None
        self.state = State.CONNECTING
        self._attempt = _Attempt(self)
        self._connector = self._reactor.connectTCP(self._host, self._port, self._attempt, timeout=CONNECT_TIMEOUT_S)

    def _reconnect(self, at_once: bool) -> None:
        """Connect again: at once after a connection that had answered, else after a delay that doubles."""
        if self.state is State.CLOSED:
            return
        if at_once:
            self._delay_s = RECONNECT_FIRST_S
            self._connect()
            return
        self.state = State.WAITING
        self._retry = self._reactor.callLater(self._delay_s * self._rng.uniform(1 - JITTER, 1 + JITTER), self._connect)
        self._delay_s = min(2 * self._delay_s, RECONNECT_MAX_S)

    def wire_up(self, wire: _Wire) -> None:
        """Take a new connection into use."""
        if self.state is not State.CONNECTING:
            self._closing.add(wire)
            wire.abort()
            return
        self.state = State.UP
        self._wire = wire
        try:
            if self._flight.attach(wire.transport):
                wire.transport.stopReading()
        except OSError as error:  # no descriptor is left for who reads it
            self._drop_wire()
            self._give_up(f"the connection cannot be read: {error.strerror}")
            return
        self.figures.connects += 1
        self._on_up()
        self.pump()

    def attempt_failed(self, attempt: _Attempt, reason: str) -> None:
        """Wait and try again; what waits in the queue fails now, so that nothing is sent late."""
        if attempt is not self._attempt:
            return
        self._connector = None
        self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        """End an attempt that gave no useful connection."""
        self._reconnect(at_once=False)
        self._fail_all("not connected")
        self._on_down(reason)

    def wire_lost(self, wire: _Wire) -> None:
        """Handle the end of a connection: ours after a fence, or the peer's."""
        if wire is self._wire:
            calm = self._calm(wire)
            self._wire = None
            self._flight.detach()
            flown = self._flight.take_all()
            self._reconnect(at_once=calm)
            self._return_to_queue(flown)
            if not calm:
                self._on_down("the gateway closed the connection before it answered anything")
        self._closing.discard(wire)
        self._tell_closed()

    def _tell_closed(self) -> None:
        if self._closed is not None and self.state is State.CLOSED and not self._closing:
            closed, self._closed = self._closed, None
            closed.callback(None)

    def _cancel_timers(self) -> None:
        self._plain.close()
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None

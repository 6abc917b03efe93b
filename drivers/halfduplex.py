"""A line that carries one transaction at a time: RS-485 on a serial port, behind a transparent gateway, behind a DTU.

Nothing in such a line says which question an answer belongs to, so the line itself must keep them apart: one owner,
one question, silence between two of them, old bytes thrown away before each, and after a time-out a *fence*: nobody is
asked until the late answer has come or the line was quiet for another time-out. What is later still is not believed: a
question that could be mistaken for the one given up is preceded by a *mark*, or asked twice (`drivers.owed`).
Rule: this file moves bytes and judged outcomes; what a frame is and whom it answers, the question (an Exchange) knows.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from drivers.device import LateReplies, LineFormat
from drivers.frame_log import FRAME_MAX, FrameLog
from drivers.lines import QUEUE_MAX, Done, LineFigures, State
from drivers.outcome import Continue, ExceptionReply, Exchange, Judged, Outcome, Reply, Scanner, Silence, Violation
from drivers.owed import Owed
from drivers.transports import Link
from scada.clock import NS_PER_S, Clock

SENDS_MAX: Final = 2  # a read that a lost connection interrupted is sent once more, not for ever
BYTE_PAUSE_S: Final = (
    0.5  # DL/T 645-2007 5.2.6: at most 500 ms between two bytes of one frame; gateways split frames, too
)
TURNAROUND_S: Final = 0.1  # MODBUS over Serial Line V1.02 2.4.1: 100 to 200 ms after a broadcast
FENCE_TIMEOUTS: Final = 1.0  # a device that is late by more than another time-out is as good as dead
MUTE_MAX: Final = 8  # time-outs without one byte between them: the connection may be dead without knowing
FENCE_S_MAX: Final = 30.0  # bytes that come for longer are no late answer but noise, which the scanners skip
LATE_TIMEOUTS: Final = 10.0  # a device that was late again and again is not asked for so long
PROOF_S: Final = 0.5  # silence between an answer in doubt and the same question again: what was held back comes at once
PROOF_TIMEOUTS: Final = 0.5  # at most; then of a device that is always later than the fence the second one is too late
HELD_UP_NS: Final = 100_000_000  # a timer so late was held up, and with it the reading of what came
CATCH_UP_NS: Final = 10_000_000
BABBLE_S_MAX: Final = 3.0  # the same where no answer can be late: longer than any frame (256 bytes at 1200 baud, 2.3 s)


@dataclass(slots=True)
class _Pending:
    exchange: Exchange
    done: Done
    timeout_ns: int
    sends: int = 0


@dataclass(slots=True)
class _Transaction:
    """The question on the wire."""

    pending: _Pending
    asked: Exchange  # the question itself, or the mark before it
    part: Exchange  # what is on the wire: that, or what asks for the next part of its answer
    scanner: Scanner
    begun_ns: int
    again: bool = False  # it was answered once, in doubt
    shown: Reply | None = None  # an answer in doubt; the line waits whether more comes
    more: bool = False  # which it did
    held_up: bool = False  # its time was over long before anybody looked; the line waits for what lies in the kernel
    first_by_ns: int = 0  # when the first byte must have come
    whole_by_ns: int = 0  # when all of it must have come
    heard_ns: int = 0  # the last byte; 0: none yet
    wrong: Violation | None = None
    received: bytes = b""  # for the frame log


@dataclass(slots=True)
class _Fence:
    """What is waited for after a time-out."""

    asked: Exchange
    part: Exchange
    scanner: Scanner
    only: bool  # no other answer may come now
    sure: bool  # nor does the device owe any other, however old, so that its answer is known when it comes
    from_ns: int
    quiet_ns: int  # silence that proves that nothing comes any more
    owed_ns: int  # until when the answer may come at all, on a line that was quiet
    last_ns: int  # when the line is used again whatever comes
    searched: int = 0  # bytes


class BusLine:
    """One half-duplex line. One thread: the reactor's."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        link: Link,
        form: LineFormat,
        timeout_s: float,
        gap_s: float,
        late: LateReplies = "wait",
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """gap_s: silence kept between two transactions. on_up, on_down: as for a Modbus TCP line."""
        self._reactor = reactor
        self._clock = clock
        self._link = link
        self._char_ns = int(form.char_s * NS_PER_S)
        self._timeout_ns = int(timeout_s * NS_PER_S)
        self._gap_ns = int(gap_s * NS_PER_S)
        self._late: LateReplies = late
        self._on_up = on_up
        self._on_down = on_down
        self._urgent: deque[_Pending] = deque()
        self._normal: deque[_Pending] = deque()
        self._flying: _Transaction | None = None
        self._fence: _Fence | None = None
        self._free_from_ns = 0  # the line is silent until then
        self._babble_from_ns = self._stray_ns = -self._gap_ns  # since when, and last, bytes came that nobody asked for
        self._timer: Any = None
        self._mute = 0  # time-outs since anything came
        self._owed = Owed(int(LATE_TIMEOUTS * self._timeout_ns))
        self._proof_ns = max(self._gap_ns, int(min(PROOF_S * NS_PER_S, PROOF_TIMEOUTS * self._timeout_ns)))
        self.figures = LineFigures()
        self.log = FrameLog()

    @property
    def state(self) -> State:
        """Return where the line is in its life."""
        return self._link.state

    @property
    def fence_s(self) -> float:
        """Return how long the line serves nobody after a time-out."""
        return 0.0 if self._late == "reconnect" else FENCE_TIMEOUTS * self._timeout_ns / NS_PER_S

    # -- what the poller may ask

    def open(self) -> None:
        """Start to connect, and keep connected until `close`."""
        self._link.open(self)

    def close(self) -> Any:
        """End the connection and fail what waits; the Deferred fires when nothing is held any more."""
        closed = self._link.close()
        self._fence = None
        self._fail_all("closed")
        self._cancel_timer()
        return closed

    def ask(self, question: Exchange, done: Done, urgent: bool = False, timeout_s: float = 0.0) -> None:
        """Send a question when its turn comes; `done` is called exactly once, possibly before this returns.

        urgent: before everything that waits. timeout_s: patience with the first byte, 0: the line's own. A line that is
        down fails at once: a command must never be sent late.
        """
        if self.state in (State.CLOSED, State.WAITING):
            done(Silence("not connected", False), 0)
            return
        queue = self._urgent if urgent else self._normal
        if len(queue) >= QUEUE_MAX and urgent:  # of many commands at once the last ones fail, each for itself
            done(Silence("too many wait", False), 0)
            return
        if len(queue) >= QUEUE_MAX:
            raise OverflowError(f"more than {QUEUE_MAX} requests wait for {self._link.name}")
        queue.append(_Pending(question, done, int(timeout_s * NS_PER_S) or self._timeout_ns))
        self._pump()

    def withdraw(self, question: Exchange) -> None:
        """Forget an urgent question that waits, without its `done`; one that is on the wire goes on to its outcome."""
        self._urgent = deque(pending for pending in self._urgent if pending.exchange is not question)

    # -- sending

    def _pump(self) -> None:
        """Send the next question when the line is free, else come back when it is."""
        if self._flying is not None or self.state is not State.UP or not (self._urgent or self._normal):
            return
        left_ns = self._free_from_ns - self._clock.mono_ns()
        if left_ns > 0:
            self._wake_in(left_ns)
            return
        self._lift_fence()
        pending = (self._urgent or self._normal).popleft()
        pending.sends += 1
        now = self._clock.mono_ns()
        if self._owed.bars(pending.exchange, now):
            pending.done(Silence("timeout", False), 0)
            self._pump()
            return
        asked = self._owed.mark_for(pending.exchange) or pending.exchange
        self._send(_Transaction(pending, asked, asked, asked.scanner(), now))

    def _send(self, flying: _Transaction) -> None:
        """Put a question, or the question for the next part of its answer, on the wire."""
        now, part = self._clock.mono_ns(), flying.part
        self._flying = flying
        self.figures.requests += 1
        wire = part.wire
        sent_ns = now + len(wire) * self._char_ns
        patience_ns = int(TURNAROUND_S * NS_PER_S) if part.broadcast else flying.pending.timeout_ns
        flying.first_by_ns = flying.whole_by_ns = sent_ns + patience_ns
        if not part.broadcast:
            flying.whole_by_ns += part.reply_bytes * self._char_ns + int(BYTE_PAUSE_S * NS_PER_S)
        self._wake_in(flying.first_by_ns - now)
        self._link.discard_input()
        self._link.write(wire)

    def _wake_in(self, delay_ns: int) -> None:
        """Let the one timer of the line run out; an earlier setting is void."""
        self._cancel_timer()
        self._timer = self._reactor.callLater(max(delay_ns, 0) / NS_PER_S, self._wake)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _wake(self) -> None:
        self._timer = None
        flying = self._flying
        if flying is None:
            self._pump()
            return
        left_ns = self._deadline_ns(flying) - self._clock.mono_ns()
        if left_ns > 0:
            self._wake_in(left_ns)
        elif left_ns < -HELD_UP_NS and not flying.held_up:  # the process stood still: what came meanwhile is not late
            flying.held_up = True
            self._wake_in(CATCH_UP_NS)
        elif flying.part.broadcast:
            self._end(flying, Reply(b""))
        elif flying.shown is not None:
            self._prove(flying, flying.shown)
        else:
            self._give_up(flying)

    def _deadline_ns(self, flying: _Transaction) -> int:
        """Return when the answer is late: no first byte, a pause inside the frame, or too long as a whole.

        After an answer in doubt: when nothing more came for so long that the next step may be taken.
        """
        if flying.shown is not None:
            return min(flying.heard_ns + self._proof_ns, flying.whole_by_ns + int(BABBLE_S_MAX * NS_PER_S))
        if not flying.heard_ns:
            return flying.first_by_ns
        pause_ns = flying.heard_ns + int(BYTE_PAUSE_S * NS_PER_S)
        return min(flying.whole_by_ns, max(flying.first_by_ns, pause_ns))

    # -- judging

    def link_data(self, data: bytes) -> None:
        """Take bytes from the wire: to the question on it, to the fence, or away."""
        flying = self._flying
        self._mute = 0
        if flying is None or not flying.first_by_ns:
            self._stray(data)
            return
        flying.heard_ns = self._clock.mono_ns()
        data = data[: FRAME_MAX - len(flying.received)]  # behind so much noise nobody looks for an answer
        flying.received += data
        for item in flying.scanner.feed(data):
            if self._flying is not flying:  # the answer is complete, and this is behind it
                self.figures.unsolicited += 1
            elif isinstance(item, Violation):
                self._note_wrong(flying, item)
            else:
                self._judge(flying, item)

    def _judge(self, flying: _Transaction, frame: bytes) -> None:
        judged = flying.part.judge(frame)
        if judged is None or flying.shown is not None:  # late, foreign, or an echo of ours
            self.figures.unsolicited += 1
            flying.more |= judged is not None
        elif isinstance(judged, Violation):
            self._note_wrong(flying, judged)
        elif isinstance(judged, Continue):
            self._go_on(flying, judged.exchange)
        else:
            self._take(flying, judged)

    def _take(self, flying: _Transaction, judged: Judged) -> None:
        """End with an answer that can be no other's, or ask on."""
        if isinstance(judged, Reply):
            if self._owed.doubts(flying.asked):
                flying.shown = judged
                self._wake_in(self._proof_ns)
                return
            self._owed.settle(flying.asked)
        if flying.asked is not flying.pending.exchange:  # a device that refuses its mark is asked twice
            self._ask(flying)
        else:
            self._end(flying, judged)

    def _prove(self, flying: _Transaction, shown: Reply) -> None:
        """Ask again after the silence behind an answer in doubt, or believe the second one."""
        if not flying.again:
            self._ask(flying, again=True)
        elif flying.more:  # behind the second answer, so that it was not the last
            self._give_up(flying)
        else:
            self._owed.settle(flying.asked, certain=True)
            self._end(flying, shown)

    def _note_wrong(self, flying: _Transaction, wrong: Violation) -> None:
        """Count a broken frame and wait on: the right one may still come, and until then nobody else may be asked."""
        self.figures.violations[wrong.wrong] += 1
        flying.wrong = wrong

    def _ask(self, flying: _Transaction, again: bool = False) -> None:
        """Ask the question itself, behind its mark, or again."""
        question = flying.pending.exchange
        self._send_soon(_Transaction(flying.pending, question, question, question.scanner(), flying.begun_ns, again))

    def _go_on(self, flying: _Transaction, part: Exchange) -> None:
        """Ask for the next part of the answer."""
        begun_ns, again = flying.begun_ns, flying.again
        self._send_soon(_Transaction(flying.pending, flying.asked, part, part.scanner(), begun_ns, again))

    def _send_soon(self, waiting: _Transaction) -> None:
        """Send what belongs to the same transaction after the gap; nobody comes between."""
        self._flying = waiting

        def send() -> None:
            if self._flying is waiting:
                self._send(waiting)

        self._cancel_timer()
        self._timer = self._reactor.callLater(self._gap_ns / NS_PER_S, send)

    def _stray(self, data: bytes) -> None:
        """Look at bytes that come while nobody was asked: the late answer that a fence waits for, or noise."""
        now = self._clock.mono_ns()
        fence = self._fence
        if fence is None:
            if now - self._stray_ns > self._gap_ns:
                self._babble_from_ns = now
            self._stray_ns = now
            patient_until_ns = self._babble_from_ns + int(BABBLE_S_MAX * NS_PER_S)
            self._free_from_ns = max(self._free_from_ns, min(now + self._gap_ns, patient_until_ns))
            return
        self._free_from_ns = min(max(self._free_from_ns, now + fence.quiet_ns), fence.last_ns)
        data = data[: max(0, FRAME_MAX - fence.searched)]
        fence.searched += len(data)
        for item in fence.scanner.feed(data):
            late = None if isinstance(item, Violation) else fence.part.judge(item)
            self.figures.unsolicited += late is not None
            if late is not None and fence.only:
                self._free_from_ns = now + self._gap_ns
                self._lift_fence()
                if isinstance(late, Reply):
                    self._owed.settle(fence.asked, certain=fence.sure)
                break
        self._pump()

    def _lift_fence(self) -> None:
        """Serve everybody again, from `_free_from_ns` on."""
        fence, self._fence = self._fence, None
        if fence is not None:
            self.figures.overtime_ns += max(0, self._free_from_ns - fence.from_ns - fence.quiet_ns)

    # -- the end of a transaction

    def _end(self, flying: _Transaction, outcome: Outcome, silent_ns: int = 0) -> None:
        """Tell the outcome and free the line after the gap, or after `silent_ns`."""
        now = self._clock.mono_ns()
        self._flying = None
        self._free_from_ns = now + max(self._gap_ns, silent_ns)
        self._cancel_timer()
        self.figures.busy_ns += now - flying.begun_ns
        self.figures.good += isinstance(outcome, Reply)
        if isinstance(outcome, Reply) and outcome.tolerated:
            self.figures.tolerated[outcome.tolerated] += 1
        self.figures.exceptions += isinstance(outcome, ExceptionReply)
        if self.log.wants(outcome):
            self._note(flying, outcome, now)
        flying.pending.done(outcome, now - flying.begun_ns)
        self._pump()

    def _note(self, flying: _Transaction, outcome: Outcome, now: int) -> None:
        """Put one transaction into the frame log; of an answer in parts, the last part."""
        spent_ns = now - flying.begun_ns
        question = flying.pending.exchange
        self.log.note(question, flying.part.wire, flying.received, outcome, self._clock.utc_ns(), now, spent_ns)

    def _give_up(self, flying: _Transaction) -> None:
        """End a transaction without its answer, and keep the line silent until that cannot come any more."""
        self.figures.timeouts += flying.wrong is None
        self.figures.fences += 1
        self._mute += 1
        if self._late == "reconnect":
            self._flying = None
            self._link.drop()
            self._end(flying, flying.wrong or Silence("timeout", True))
            return
        fence = self._raise_fence(flying)
        if self._mute >= MUTE_MAX:
            self._mute = 0
            self._flying = None
            self._link.suspect()
        self._end(flying, flying.wrong or Silence("timeout", True), fence.quiet_ns)

    def _raise_fence(self, flying: _Transaction) -> _Fence:
        """Let nobody be asked until the answer to a given-up question has come, or the line was quiet for long."""
        now = self._clock.mono_ns()
        only, sure = self._owed.miss(flying.asked, now, barred=flying.again)
        quiet_ns = max(int(FENCE_TIMEOUTS * flying.pending.timeout_ns), self._gap_ns)
        last_ns = now + int(FENCE_S_MAX * NS_PER_S)
        owed_ns = flying.first_by_ns + quiet_ns
        self._fence = _Fence(flying.asked, flying.part, flying.scanner, only, sure, now, quiet_ns, owed_ns, last_ns)
        return self._fence

    # -- the link

    def link_up(self) -> None:
        """Use a connection that was made. What the former one still owed may come over this one: the fence stays."""
        self.figures.connects += 1
        now = self._clock.mono_ns()
        self._free_from_ns = now + self._gap_ns
        if self._fence is not None:
            self._fence.scanner = self._fence.part.scanner()
            self._fence.from_ns = now
            self._fence.last_ns = now + int(FENCE_S_MAX * NS_PER_S)
            self._free_from_ns = max(now + self._fence.quiet_ns, self._fence.owed_ns)
        self._on_up()
        self._pump()

    def link_down(self, reason: str) -> None:
        """Fail what waits when an attempt to connect failed, so that nothing is sent late."""
        self._fail_all("not connected")
        self._on_down(reason)

    def link_lost(self) -> None:
        """Queue the read that a lost connection interrupted once more; a write is undetermined and never repeated."""
        self._cancel_timer()
        flying, self._flying = self._flying, None
        if flying is not None:
            self._lose(flying)
        if self.state is State.WAITING:  # the other side comes back when it likes: no command is sent then
            commands = [pending for pending in self._urgent if pending.exchange.writes]
            self._urgent = deque(pending for pending in self._urgent if not pending.exchange.writes)
            for pending in commands:
                pending.done(Silence("not connected", False), 0)

    def _lose(self, flying: _Transaction) -> None:
        """End a question on a connection that is lost: a read is queued once more, before the others."""
        if self._late == "wait":
            self._raise_fence(flying)
        pending = flying.pending
        if pending.exchange.writes or pending.sends >= SENDS_MAX or self.state is State.CLOSED:
            pending.done(Silence("lost", True), self._clock.mono_ns() - flying.begun_ns)
        else:
            self._normal.appendleft(pending)

    def _fail_all(self, reason: Literal["not connected", "closed"]) -> None:
        waiting = [*self._urgent, *self._normal]
        self._urgent.clear()
        self._normal.clear()
        flying, self._flying = self._flying, None
        if flying is not None:
            waiting.insert(0, flying.pending)
        for pending in waiting:
            pending.done(Silence(reason, pending.exchange.writes and pending.sends > 0), 0)

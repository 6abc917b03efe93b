"""The frame log of one line: the last transactions, byte by byte, in a ring that never grows beyond its budget.

A line asks `wants(outcome)` when a transaction ended and then calls `note`. While nobody follows and `log_frames` is
off, only what went wrong is kept, so that the frames of a fault are there when somebody comes to look.
Rule: no I/O; secrets are masked before they are kept, so that neither a page nor a file can show them.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from drivers.masking import masked
from drivers.outcome import ExceptionReply, Outcome, Reply, Silence

BUDGET_BYTES: Final = 64 * 1024  # for each line: about 500 Modbus transactions, or some minutes of a 2400 baud bus
ENTRY_BYTES: Final = 200  # what an entry weighs beside its frames
FRAME_MAX: Final = 4096  # bytes of a babbling line that are kept of one transaction
FOLLOW_NS: Final = 10_000_000_000  # who follows asks every second or so; who is gone for ten, has gone


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction."""

    number: int  # counts up on its line; a gap means that entries were dropped, or not wanted
    utc_ns: int  # its end
    elapsed_ns: int
    sent: bytes
    received: bytes  # everything that came, noise too
    outcome: str
    good: bool
    hidden: tuple[int, ...] = ()  # places in `sent` that held a secret
    hidden_received: tuple[int, ...] = ()  # the same in `received`: of an adapter that hears itself


def outcome_text(outcome: Outcome) -> str:
    """Return an outcome in one line."""
    if isinstance(outcome, Reply):
        return f"reply, another {outcome.tolerated}" if outcome.tolerated else "reply"
    if isinstance(outcome, ExceptionReply):
        return f"exception {outcome.code:02X}, {outcome.meaning.name}"
    return outcome.reason if isinstance(outcome, Silence) else f"wrong reply: {outcome.wrong}"


class FrameLog:
    """The ring of one line. One thread."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES, log_frames: bool = False) -> None:
        """log_frames: keep plainly good transactions too, although nobody follows."""
        self._budget = budget_bytes
        self._always = log_frames
        self._entries: deque[Entry] = deque()
        self._weight = 0
        self._number = 0
        self._followed_until_ns = 0
        self._captures: dict[int, Callable[[Entry], None]] = {}  # id of a question -> who waits for its frames
        self.everything = log_frames  # good transactions are wanted now; a hot path looks at this alone

    def follow(self, mono_ns: int) -> None:
        """Keep everything for a while: somebody watches."""
        self._followed_until_ns = mono_ns + FOLLOW_NS
        self.everything = True

    def capture(self, question: object, take: Callable[[Entry], None]) -> None:
        """Hand the entries of one question to `take`, whatever is logged, until `release`."""
        self._captures[id(question)] = take
        self.everything = True

    def release(self, question: object, mono_ns: int) -> None:
        """End a capture."""
        self._captures.pop(id(question), None)
        self.expire(mono_ns)

    def expire(self, mono_ns: int) -> None:
        """Stop to keep good transactions when nobody has asked for a while."""
        self.everything = self._always or bool(self._captures) or mono_ns < self._followed_until_ns

    def wants(self, outcome: Outcome) -> bool:
        """Tell whether a transaction that ended so is to be noted."""
        return self.everything or not isinstance(outcome, Reply)

    def note(
        self, question: Any, sent: bytes, received: bytes, outcome: Outcome, utc_ns: int, mono_ns: int, elapsed_ns: int
    ) -> None:
        """Keep one transaction that ended now, and drop the oldest beyond the budget.

        question: what the line was asked, by identity; sent: its bytes on the wire, b"" when nothing went out.
        """
        shown, hidden = masked(sent)
        heard, hidden_received = masked(received[:FRAME_MAX])
        self._number += 1
        good = isinstance(outcome, Reply)
        text = outcome_text(outcome)
        entry = Entry(self._number, utc_ns, elapsed_ns, shown, heard, text, good, hidden, hidden_received)
        take = self._captures.get(id(question))
        if take is not None:
            take(entry)
        self._entries.append(entry)
        self._weight += _weight(entry)
        while self._weight > self._budget and self._entries:
            self._weight -= _weight(self._entries.popleft())
        if not self._captures and not self._always:
            self.expire(mono_ns)

    def entries(self, after: int = 0) -> list[Entry]:
        """Return what is kept with a number above `after`, oldest first."""
        return [entry for entry in self._entries if entry.number > after]


def _weight(entry: Entry) -> int:
    return ENTRY_BYTES + len(entry.sent) + len(entry.received)

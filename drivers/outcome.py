"""How a question to a device can end, whichever protocol asked it, and what a question on a half-duplex line offers.

Rule: data and shapes only. A protocol module judges frames into these; a line moves them; the poller places the blame.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from scada.quality import BAD_COMMUNICATION_ERROR

Answer = Literal["refused", "fault", "pending", "busy", "unreachable"]


@dataclass(frozen=True, slots=True)
class ExceptionMeaning:
    """What an exception of any protocol means for the device that was asked."""

    name: str
    answer: Answer
    quality: int  # of the tags that were asked for, when the answer concerns them alone


UNKNOWN_EXCEPTION: Final = ExceptionMeaning("unknown exception", "fault", BAD_COMMUNICATION_ERROR)


@dataclass(frozen=True, slots=True)
class Reply:
    """The right answer. `payload`: the data bytes, exactly as many as asked and free of framing; b"" for a write.

    `tolerated`: a deviation from the standard that is known and harmless, by the name under which it is counted.
    """

    payload: bytes
    tolerated: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ExceptionReply:
    """The peer understood and says no. `code`: exception code, or error byte, as on the wire."""

    code: int
    meaning: ExceptionMeaning = field(default=UNKNOWN_EXCEPTION, compare=False)


@dataclass(frozen=True, slots=True)
class Violation:
    """The peer broke the protocol. `wrong`: the name under which it is counted."""

    wrong: str


@dataclass(frozen=True, slots=True)
class Silence:
    """No judged answer came. `sent`: the request may have reached the device."""

    reason: Literal["timeout", "lost", "not connected", "closed", "too many wait"]
    sent: bool


Judged = Reply | ExceptionReply | Violation
Outcome = Judged | Silence


class Scanner(Protocol):
    """Cuts a stream that may hold noise into frames, for one transaction; resynchronises by itself."""

    def feed(self, data: bytes) -> list[bytes | Violation]:
        """Return the whole frames that `data` completes, and a Violation for each broken one that was skipped."""
        ...


@dataclass(frozen=True, slots=True)
class Continue:
    """The answer has more parts: ask `exchange` next, in the same transaction; its judgement gives the whole."""

    exchange: "Exchange"


class Exchange(Protocol):
    """One question on a line that carries one transaction at a time: serial, transparent gateway, dial-in."""

    @property
    def wire(self) -> bytes:
        """Return the bytes to send, wake-up bytes included."""
        ...

    @property
    def writes(self) -> bool:
        """Tell whether it can change the device, so that it must never be repeated silently."""
        ...

    @property
    def broadcast(self) -> bool:
        """Tell that nobody answers it."""
        ...

    @property
    def reply_bytes(self) -> int:
        """Return how long the right answer is on the wire, for the time budget of the bus."""
        ...

    @property
    def alike(self) -> tuple[Hashable, Hashable]:
        """Return (who is asked, what the right answer looks like): equal where answers may be mistaken."""
        ...

    def scanner(self) -> Scanner:
        """Return a fresh scanner for the answer."""
        ...

    def judge(self, frame: bytes) -> Judged | Continue | None:
        """Judge a whole frame; None when it answers something else (late, foreign, an echo): drop it and wait on."""
        ...

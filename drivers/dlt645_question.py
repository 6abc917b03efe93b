"""One question to a DL/T 645 meter, of either edition, and the judgement whether a frame answers it.

Rule: only a frame with the right direction, function, address, identifier and length becomes a Reply. What may be the
late answer to another question, a neighbour's or our own echo gives None; what is provably the answer and malformed is
a Violation. This file does not know what the data mean.

Source: DL/T 645-2007 sections 5 and 7, DL/T 645-1997 sections 4 and 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from drivers.dlt645_frame import (
    DATA_AT,
    DATA_MAX,
    FRAME_MIN,
    FROM_METER,
    FUNCTION,
    MORE,
    REFUSED,
    WAKE_MAX,
    Frame,
    FrameScanner,
    LonelyScanner,
    Wrong,
    address_matches,
    encode_frame,
    is_one_meter,
    open_frame,
    plain,
)
from drivers.outcome import (
    UNKNOWN_EXCEPTION,
    Continue,
    ExceptionMeaning,
    ExceptionReply,
    Judged,
    Reply,
    Scanner,
    Violation,
)

ANY_LENGTH: Final = -1  # payload_bytes of a read whose length nobody knows (the tools' ad-hoc reads)
PARTS_MAX: Final = 64  # follow-up frames of one reply: 12 kB, more than the longest record of a meter


@dataclass(frozen=True, slots=True)
class Edition:
    """In what the editions of 2007 and 1997 differ when frames are made and judged."""

    name: str
    read: int  # function codes
    follow_up: int
    read_address: int | None
    di_bytes: int
    sequenced: bool  # follow-up frames carry a sequence number
    serr: frozenset[int]  # functions whose error reply has two bytes
    meanings: Mapping[int, ExceptionMeaning] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, encoded once. It is an Exchange of drivers.outcome."""

    edition: Edition
    address: bytes  # as on the wire; wildcard bytes match any
    function: int
    wire: bytes = field(repr=False)  # may hold a password
    lead: bytes = field(repr=False)  # what the data of the right answer begin with: mostly the identifier; b"" none
    payload_bytes: int  # behind the lead, ANY_LENGTH when unknown
    writes: bool
    broadcast: bool
    wake_bytes: int
    sequence: int = 0  # of a follow-up question; 0: the first
    so_far: bytes = b""  # data of the parts before this one
    right_head: bytes = field(default=b"", repr=False)  # the right answer up to its payload; b"" when it may vary

    @property
    def reply_bytes(self) -> int:
        """Length of the right answer on the wire, with the longest lead-in a meter sends."""
        return WAKE_MAX + FRAME_MIN + len(self.lead) + max(self.payload_bytes, 0)

    @property
    def alike(self) -> tuple[bytes, tuple[int, bytes, int]]:
        """Return the address, and function, lead and length of the answer."""
        return self.address, (self.function, self.lead, self.payload_bytes)

    def scanner(self) -> Scanner:
        """Return a fresh scanner for the answer."""
        return LonelyScanner() if self.function == self.edition.read_address else FrameScanner()

    def judge(self, frame: bytes) -> Judged | Continue | None:
        """Judge a frame that the scanner delivered; None when it answers something else: drop it and wait on."""
        if self.right_head and frame.startswith(self.right_head):  # the head holds C and L: nothing else can differ
            return Reply(plain(frame[len(self.right_head) : -2]))
        return self._judge(open_frame(frame))

    def _judge(self, shown: Frame) -> Judged | Continue | None:
        ours = shown.control & FROM_METER and shown.control & FUNCTION == self.function
        if not ours or self.broadcast or not address_matches(self.address, shown.address):
            return None
        if not is_one_meter(shown.address):
            return Violation(Wrong.ADDRESS)
        if shown.control & REFUSED:
            return self._refusal(shown)
        if self.function in (self.edition.read, self.edition.follow_up):
            return self._part(shown)
        if shown.control & MORE:
            return Violation(Wrong.FLAGS)
        if len(shown.data) != len(self.lead) + self.payload_bytes:
            return Violation(Wrong.LENGTH)
        if not shown.data.startswith(self.lead):
            return Violation(Wrong.ECHO)
        if self.function == self.edition.read_address and shown.data != shown.address:
            return Violation(Wrong.ADDRESS)
        return Reply(shown.data[len(self.lead) :])

    def _refusal(self, shown: Frame) -> Judged:
        """Take the error word, one byte or two. Undefined words exist in the field and are kept as they came."""
        right = 2 if self.function in self.edition.serr else 1
        if shown.control & MORE or len(shown.data) != right:
            return Violation(Wrong.ERROR_FORM)
        code = int.from_bytes(shown.data, "little")
        return ExceptionReply(code, self.edition.meanings.get(code, UNKNOWN_EXCEPTION))

    def _part(self, shown: Frame) -> Judged | Continue | None:
        """Take one part of a read; the parts are joined until the bit for more is clear."""
        if len(shown.data) < len(self.lead):
            return Violation(Wrong.LENGTH)
        if not shown.data.startswith(self.lead):
            return None
        body = shown.data[len(self.lead) :]
        if self.sequence and self.edition.sequenced:
            if not body:
                return Violation(Wrong.LENGTH)
            body, sequence = body[:-1], body[-1]
            if 0 < sequence == self.sequence - 1:
                return None  # the answer to the question before, once more
            if sequence != self.sequence:
                return Violation(Wrong.SEQUENCE)
        whole = self.so_far + body
        if shown.control & MORE:
            return self._more(shown.address, whole, bool(body))
        return Reply(whole) if self.payload_bytes in (ANY_LENGTH, len(whole)) else Violation(Wrong.LENGTH)

    def _more(self, shown: bytes, whole: bytes, grew: bool) -> Violation | Continue:
        """Ask the meter that answered (its real address) for the next part, unless it promises what cannot be."""
        if not grew:
            return Violation(Wrong.LENGTH)
        if 0 <= self.payload_bytes <= len(whole):
            return Violation(Wrong.FLAGS)
        if self.sequence >= PARTS_MAX:
            return Violation(Wrong.PARTS)
        sequence = self.sequence + 1
        data = self.lead + bytes((sequence,)) if self.edition.sequenced else self.lead
        wire = encode_frame(shown, self.edition.follow_up, data, self.wake_bytes)
        question = replace(self, address=shown, function=self.edition.follow_up, wire=wire, right_head=b"")
        return Continue(replace(question, sequence=sequence, so_far=whole))


def ask(
    edition: Edition,
    address: bytes,
    function: int,
    data: bytes,
    wake_bytes: int,
    *,
    lead: bytes = b"",
    payload_bytes: int = 0,
    writes: bool = True,
    broadcast: bool = False,
) -> Request:
    """Make a request; the named arguments say what the right answer looks like. ValueError for impossible lengths."""
    wire = encode_frame(address, function, data, wake_bytes)
    head = b""
    in_one_frame = 0 <= payload_bytes <= DATA_MAX - len(lead)
    if in_one_frame and not broadcast and is_one_meter(address) and function != edition.read_address:
        head = encode_frame(address, function | FROM_METER, lead + bytes(payload_bytes))[: DATA_AT + len(lead)]
    return Request(
        edition, address, function, wire, lead, payload_bytes, writes, broadcast, wake_bytes, right_head=head
    )


def only_one_meter(address: bytes, deed: str) -> bytes:
    """Return the address of a command. ValueError for a wildcard or broadcast: it could reach the wrong meter."""
    if not is_one_meter(address):
        raise ValueError(f"{deed} needs the full address of one meter, not a wildcard or the broadcast address")
    return address

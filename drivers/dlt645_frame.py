"""The envelope that DL/T 645-2007 and 1997 share: addresses, frames, and the scanner that cuts them out of a stream.

Rule: the length field ends a frame, never a byte that looks like its end; after anything broken the scanner goes on one
byte further, because a start mark may stand inside data. This file does not know what the data mean.

Source: DL/T 645-2007 section 5 (frame format), DL/T 645-1997 section 4.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from drivers.bcd import is_bcd
from drivers.outcome import Violation

START: Final = 0x68
END: Final = 0x16
WAKE: Final = 0xFE  # lead-in, 0 to 4 of them before a frame
WAKE_MAX: Final = 4
FRAME_MIN: Final = 12  # 68, six of address, 68, C, L, CS, 16
DATA_AT: Final = 10
DATA_MAX: Final = 200  # section 5.3.5: a read answers at most 200 bytes, a write asks at most 50
FRAME_MAX: Final = FRAME_MIN + DATA_MAX
MASK: Final = 0x33  # added to each data byte by the sender

FROM_METER: Final = 0x80  # bits of the control byte C
REFUSED: Final = 0x40
MORE: Final = 0x20  # a follow-up frame exists
FUNCTION: Final = 0x1F

# Every byte that C may be: a question carries no flags. What starts with another is noise that looks like a frame.
CONTROLS: Final = frozenset(range(256)) - frozenset(
    control for control in range(FROM_METER) if control & (REFUSED | MORE)
)

ADDRESS_DIGITS: Final = 12
ANY: Final = 0xAA  # wildcard byte of an address
BROADCAST: Final = bytes((0x99,)) * 6
ANYONE: Final = bytes((ANY,)) * 6

_ADD: Final = bytes((value + MASK) & 0xFF for value in range(256))
_TAKE: Final = bytes((value - MASK) & 0xFF for value in range(256))
_START: Final = bytes((START,))


class Wrong(StrEnum):
    """What a frame has wrong; also the name under which it is counted."""

    CHECKSUM = "checksum"
    END = "end mark"
    LENGTH = "length"
    ADDRESS = "address"
    FLAGS = "flags"
    SEQUENCE = "sequence number"
    PARTS = "too many parts"
    ERROR_FORM = "error form"
    ECHO = "echo"
    CROWD = "more than one meter or noise"


class Frame(NamedTuple):
    """A frame taken apart. `data` are free of the 0x33."""

    address: bytes  # six bytes as on the wire, lowest pair of digits first
    control: int
    data: bytes


def plain(data: bytes) -> bytes:
    """Return received data bytes with 0x33 taken from each."""
    return data.translate(_TAKE)


def encode_frame(address: bytes, control: int, data: bytes = b"", wake_bytes: int = 0) -> bytes:
    """Return a frame, of either direction. ValueError when address, data or lead-in have an impossible length."""
    if len(address) != 6 or len(data) > DATA_MAX or not 0 <= wake_bytes <= WAKE_MAX:
        raise ValueError(f"address of {len(address)} bytes, {len(data)} data bytes, {wake_bytes} wake-up bytes")
    body = b"%c%b%c%c%c%b" % (START, address, START, control, len(data), data.translate(_ADD))
    return b"%b%b%c%c" % (bytes((WAKE,)) * wake_bytes, body, sum(body) & 0xFF, END)


def open_frame(frame: bytes) -> Frame:
    """Take apart a frame that the scanner delivered."""
    return Frame(frame[1:7], frame[8], frame[DATA_AT:-2].translate(_TAKE))


def address_bytes(digits: str) -> bytes:
    """Return the six wire bytes of an address of 1 to 12 digits; AA stands for a wildcard byte.

    Shorter numbers are led by zeros. Wildcards may only lead: the real low digits come last on paper. ValueError else.
    """
    text = digits.upper().rjust(ADDRESS_DIGITS, "0")
    real = text.lstrip("A")
    if (
        not digits
        or len(text) != ADDRESS_DIGITS
        or len(real) % 2
        or not (real == "" or (real.isdecimal() and real.isascii()))
    ):
        raise ValueError(f"{digits!r} is no meter address: 1 to 12 digits, AA for bytes that do not matter")
    return bytes.fromhex(text)[::-1]


def address_text(address: bytes) -> str:
    """Return the address as printed on the meter; wildcard bytes are AA."""
    return address[::-1].hex().upper()


def is_one_meter(address: bytes) -> bool:
    """Tell whether an address names exactly one meter: decimal, and not the broadcast."""
    return is_bcd(address) and address != BROADCAST


def address_matches(asked: bytes, shown: bytes) -> bool:
    """Tell whether the address of a frame is the one asked for, byte by byte; a wildcard byte takes any."""
    return asked == shown or all(a in (b, ANY) for a, b in zip(asked, shown, strict=True))


class FrameScanner:
    """Cut frames out of a stream with noise, for one transaction. Keeps fewer than FRAME_MAX bytes."""

    def __init__(self) -> None:
        self._rest = b""
        self._broken_to = 0  # where the frame last reported as broken would have ended, from the start of _rest
        self.noise_bytes = 0  # bytes outside of frames so far, lead-in not counted

    @property
    def pending_bytes(self) -> int:
        """Return how many bytes it keeps of a frame that is not whole yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes | Violation]:
        """Return the whole frames that `data` completes, and a Violation for each broken one that was skipped.

        However the stream is cut, the same items come. Frames inside the extent of a broken one are found; further
        broken starts inside it are not reported again.
        """
        stream = self._rest + data if self._rest else data
        size = len(stream)
        items: list[bytes | Violation] = []
        at = 0
        while True:
            start = stream.find(_START, at)
            if start < 0:
                start = size
            if start > at:
                self.noise_bytes += start - at - stream.count(WAKE, at, start)
            at = start
            if size - at < DATA_AT:
                break
            if stream[at + 7] == START and stream[at + 8] in CONTROLS:
                end = at + FRAME_MIN + stream[at + 9]
                wrong = _wrong(stream, at, end)
                if wrong is None:
                    if end > size:
                        break
                    items.append(stream[at:end])
                    at = end
                    continue
                if at >= self._broken_to:
                    items.append(Violation(wrong))
                    self._broken_to = end
            self.noise_bytes += 1
            at += 1
        self._rest = stream[at:]
        self._broken_to = max(self._broken_to - at, 0)
        return items


def _wrong(stream: bytes, at: int, end: int) -> Wrong | None:
    """Return what is wrong with the frame stream[at:end]; None when nothing is, as far as it has arrived."""
    if stream[at + 9] > DATA_MAX:
        return Wrong.LENGTH
    if end > len(stream):
        return None
    if stream[end - 1] != END:
        return Wrong.END
    return None if sum(stream[at : end - 2]) & 0xFF == stream[end - 2] else Wrong.CHECKSUM


NOISE_MAX: Final = 4  # bytes outside of frames that a line may show when a driver turns it around; no meter sends them


class LonelyScanner(FrameScanner):
    """The scanner of a question that only one meter may answer because it carries no address (read address).

    Two meters that answer together make garbage. It reports that once, as a Violation CROWD, instead of silence.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frames = 0
        self._told = False

    def feed(self, data: bytes) -> list[bytes | Violation]:
        """Return the one frame, or the one Violation CROWD when anything else came with it."""
        items = super().feed(data)
        self._frames += sum(isinstance(item, bytes) and bool(item[8] & FROM_METER) for item in items)
        broken = any(isinstance(item, Violation) for item in items)
        if self._told or not (broken or self._frames > 1 or self.noise_bytes > NOISE_MAX):
            return [] if self._told else items
        self._told = True
        return [Violation(Wrong.CROWD)]

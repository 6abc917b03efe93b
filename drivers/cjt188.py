"""CJ/T 188 without I/O: water, gas, heat and cooling meters; questions to bytes, bytes to frames, and what they answer.

A question keeps everything that the right answer must show: meter type, address, function, identifier and length.
Rule: the length field ends a frame, never a byte that looks like its end; a frame that differs from the right answer
never becomes a value; this file does not know which line carries the bytes, nor what the data mean. Nothing
in it can write what changes a register, a price or a key (A010, A013, A014, A016) or hides a meter (A018).

The sequence number (SER) cannot be required: meters in the field answer 12 with 03. A reply with another one is taken
when type, address, function, identifier and length are right, and says so (`Reply.tolerated`), so that the line counts
it; the line keeps late answers of the same shape out (`drivers.owed`).

Source: CJ/T 188-2004 section 7 with the additions of the 2018 edition.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from drivers.cjt188_words import GAS_TYPES, PLAIN_TYPES, WRITE_REPLY_BYTES, refusal_meaning
from drivers.device import Device
from drivers.outcome import ExceptionReply, Judged, Reply, Violation

START: Final = 0x68
END: Final = 0x16
WAKE: Final = 0xFE
WAKE_MAX: Final = 20  # battery meters sleep; no maker asks for more
ANY: Final = 0xAA  # wildcard byte of type and address
LEAD_IN_BYTES: Final = 4  # FE that a meter may send before its answer, in the time budget of the bus

ADDRESS_AT: Final = 2
ADDRESS_BYTES: Final = 7
ADDRESS_DIGITS: Final = 14
NUMBER_DIGITS: Final = 10  # the last digits on paper; the four before them are the maker's code
CONTROL_AT: Final = 9
LENGTH_AT: Final = 10
DATA_AT: Final = 11
FRAME_MIN: Final = 13  # 68, T, seven of address, C, L, CS, 16
DATA_MAX: Final = 0x64  # section 7.3.5: a read answers at most 64H bytes, a write asks at most 32H
ANY_LENGTH: Final = -1  # payload_bytes of a read whose length nobody knows (the tools' ad-hoc reads)
HEAD_BYTES: Final = 3  # identifier and sequence number lead the data
REFUSAL_BYTES: Final = 3  # sequence number and the two status bytes
NOISE_MAX: Final = 4  # bytes outside of frames that a line may show when a driver turns it around; no meter sends them

FROM_METER: Final = 0x80
REFUSED: Final = 0x40
MORE: Final = 0x20  # a follow-up frame exists
FUNCTION: Final = 0x1F
READ_DATA: Final = 0x01
READ_ADDRESS: Final = 0x03
WRITE_DATA: Final = 0x04
FUNCTIONS: Final = frozenset({READ_DATA, READ_ADDRESS, WRITE_DATA, 0x09, 0x15, 0x16})

ADDRESS_DI: Final = 0x810A
CLOCK_DI: Final = 0xA015
SETTLEMENT_DAY_DI: Final = 0xA011
READING_DAY_DI: Final = 0xA012
VALVE_DI: Final = 0xA017
VALVE_OPEN: Final = 0x55
VALVE_CLOSE: Final = 0x99

_START: Final = bytes((START,))


class Wrong(StrEnum):
    """What a frame has wrong; also the name under which it is counted."""

    CHECKSUM = "checksum"
    END = "end mark"
    LENGTH = "length"
    TYPE = "meter type"
    ADDRESS = "address"
    FOLLOW_UP = "follow-up"
    EXCEPTION_FORM = "exception form"
    CROWD = "more than one meter or noise"


class Tolerated(StrEnum):
    """A deviation that is accepted; also the name under which it is counted."""

    SEQUENCE = "sequence number"
    TYPE = "meter type"


@dataclass(frozen=True, slots=True)
class Station:
    """One meter on a line, and how it wants to be asked."""

    address: bytes  # seven bytes as on the wire, lowest pair of digits first; AA: any
    meter_type: int = 0x10  # T; AA: any
    di_low_first: bool = False
    any_type: bool = False  # the answer may carry another T
    wake_bytes: int = 4

    def __post_init__(self) -> None:
        if len(self.address) != ADDRESS_BYTES or not 0 <= self.wake_bytes <= WAKE_MAX:
            raise ValueError(f"address of {len(self.address)} bytes, {self.wake_bytes} wake-up bytes")
        if self.meter_type != ANY and self.meter_type not in PLAIN_TYPES:
            raise ValueError(f"T {self.meter_type:02X} is no meter type: 10 to 49, or AA for any")

    @property
    def is_one(self) -> bool:
        """Tell whether this names one meter."""
        return ANY not in self.address


def station_of(device: Device) -> Station:
    """Return where a device is and how its profile wants it asked. ValueError for an address that is none."""
    model = device.profile
    return Station(
        address_bytes(device.address), model.meter_type, model.di_low_first, model.any_type, model.wake_bytes
    )


def answered_type(station: Station, received: bytes) -> int | None:
    """Return the type T of the meter whose frame is in what came from this address; None when there is none."""
    for item in FrameScanner().feed(received):
        if isinstance(item, bytes) and item[CONTROL_AT] & FROM_METER and _is_of(station.address, item):
            return item[1]
    return None


def _is_of(asked: bytes, frame: bytes) -> bool:
    """Tell whether a frame carries an address, byte by byte or by a wildcard of the question."""
    shown = frame[ADDRESS_AT:CONTROL_AT]
    return asked == shown or all(a in (b, ANY) for a, b in zip(asked, shown, strict=True))


def address_bytes(digits: str) -> bytes:
    """Return the seven wire bytes of an address as printed: ten digits, led by the four of the maker's code if any.

    AA stands for a byte that may be anything; the maker's code may be hexadecimal. ValueError else.
    """
    text = digits.upper().rjust(ADDRESS_DIGITS, "0")
    pairs = [text[i : i + 2] for i in range(0, len(text), 2)]
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if not digits or len(data) != ADDRESS_BYTES or not all(p.isdecimal() or p == "AA" for p in pairs[2:]):
        raise ValueError(
            f"{digits!r} is no meter address: 1 to {NUMBER_DIGITS} digits, four of the maker's code before them if any"
        )
    return data[::-1]


def address_text(address: bytes) -> str:
    """Return an address of seven wire bytes as printed: the maker's code, then the number."""
    return address[::-1].hex().upper()


def encode_frame(meter_type: int, address: bytes, control: int, data: bytes, wake_bytes: int = 0) -> bytes:
    """Return a frame of either direction. ValueError for an address or data of an impossible length."""
    if len(address) != ADDRESS_BYTES or len(data) > DATA_MAX:
        raise ValueError(f"address of {len(address)} bytes, {len(data)} data bytes")
    body = bytes((START, meter_type)) + address + bytes((control, len(data))) + data
    return bytes((WAKE,)) * wake_bytes + body + bytes((sum(body) & 0xFF, END))


@dataclass(frozen=True, slots=True)
class Question:
    """One question to one meter (an `outcome.Exchange`), with all that its right answer must show."""

    wire: bytes
    station: Station
    function: int
    identifier: bytes  # as on the wire
    sequence: int
    payload_bytes: int  # behind identifier and sequence number; ANY_LENGTH when unknown
    broadcast: bool = False

    @property
    def writes(self) -> bool:
        """Tell whether it can change the meter."""
        return self.function == WRITE_DATA

    @property
    def reply_bytes(self) -> int:
        """Return how long the right answer is on the wire, with its lead-in."""
        return LEAD_IN_BYTES + FRAME_MIN + HEAD_BYTES + max(self.payload_bytes, 0)

    @property
    def alike(self) -> tuple[bytes, tuple[int, bytes, int]]:
        """Return the address, and function, identifier and length; some meters do not echo the sequence number."""
        return self.station.address, (self.function, self.identifier, self.payload_bytes)

    def scanner(self) -> "FrameScanner":
        """Return a fresh scanner."""
        alone = self.function == READ_ADDRESS and not self.station.is_one
        return LonelyScanner() if alone else FrameScanner()

    def judge(self, frame: bytes) -> Judged | None:
        """Judge a whole frame; None for what another meter or another question is meant by, and for our own echo.

        The payload of a read is what stands behind identifier and sequence number; that of a read of the address is
        T and the seven address bytes; that of a write is the status that the meter sends with it, if any.
        """
        wrong = _broken(frame)
        if wrong is not None:
            return Violation(wrong)
        control, data = frame[CONTROL_AT], frame[DATA_AT:-2]
        if not control & FROM_METER or control & FUNCTION != self.function or not _is_of(self.station.address, frame):
            return None
        any_type = self.station.any_type or self.station.meter_type == ANY
        if frame[1] not in (PLAIN_TYPES if any_type else (self.station.meter_type,)):
            return Violation(Wrong.TYPE)
        if control & MORE:
            return Violation(Wrong.FOLLOW_UP)
        if control & REFUSED:
            return _refusal(control, data)
        if data[:2] != self.identifier and len(data) >= HEAD_BYTES:
            return None
        if len(data) < HEAD_BYTES or self.payload_bytes not in (ANY_LENGTH, len(data) - HEAD_BYTES):
            return Violation(Wrong.LENGTH)
        return self._reply(frame, data)

    def _reply(self, frame: bytes, data: bytes) -> Judged:
        tolerated = ""
        if frame[1] != self.station.meter_type and self.station.meter_type != ANY:
            tolerated = Tolerated.TYPE
        if data[2] != self.sequence:
            tolerated = Tolerated.SEQUENCE
        if self.function != READ_ADDRESS:
            return Reply(data[HEAD_BYTES:], tolerated)
        number = frame[ADDRESS_AT : ADDRESS_AT + NUMBER_DIGITS // 2]
        return Reply(frame[1:CONTROL_AT], tolerated) if number.hex().isdecimal() else Violation(Wrong.ADDRESS)


def _refusal(control: int, data: bytes) -> ExceptionReply | Violation:
    if len(data) != REFUSAL_BYTES:
        return Violation(Wrong.EXCEPTION_FORM)
    status = int.from_bytes(data[1:], "little")
    return ExceptionReply(status, refusal_meaning(control & FUNCTION == WRITE_DATA, status))


def _ask(station: Station, function: int, di: int, sequence: int, payload_bytes: int, data: bytes = b"") -> Question:
    if not (0 <= di <= 0xFFFF and 0 <= sequence <= 0xFF and ANY_LENGTH <= payload_bytes <= DATA_MAX - HEAD_BYTES):
        raise ValueError(f"identifier {di:04X}, sequence number {sequence}, {payload_bytes} bytes of data")
    identifier = di.to_bytes(2, "little" if station.di_low_first else "big")
    body = identifier + bytes((sequence,)) + data
    wire = encode_frame(station.meter_type, station.address, function, body, station.wake_bytes)
    return Question(wire, station, function, identifier, sequence, payload_bytes)


def read(station: Station, di: int, payload_bytes: int = ANY_LENGTH, sequence: int = 0) -> Question:
    """Ask for the data of an identifier (901F current, D120 to D12B settlements), `payload_bytes` long behind SER."""
    return _ask(station, READ_DATA, di, sequence, payload_bytes)


def read_address(station: Station, sequence: int = 0) -> Question:
    """Ask who is there. With the address all AA only one meter may be on the line: several answer all at once."""
    return _ask(station, READ_ADDRESS, ADDRESS_DI, sequence, 0)


def _write(station: Station, di: int, data: bytes, sequence: int) -> Question:
    if not station.is_one:
        raise ValueError("a write needs the address of one meter")
    return _ask(station, WRITE_DATA, di, sequence, WRITE_REPLY_BYTES.get(di, 0), data)


def set_valve(station: Station, value: int, sequence: int = 0, gas_may_open: bool = False) -> Question:
    """Command the valve: VALVE_OPEN or VALVE_CLOSE. The reply carries the status, the movement takes 5 to 30 s.

    ValueError for another value, for a station that is not one meter, and for opening gas: that is done on site after a
    leak check. gas_may_open: someone has made sure of it. A wildcard type may be gas.
    """
    if value not in (VALVE_OPEN, VALVE_CLOSE):
        raise ValueError(f"a valve is commanded by 55 (open) or 99 (close), not {value:02X}")
    maybe_gas = station.meter_type == ANY or station.meter_type in GAS_TYPES
    if value == VALVE_OPEN and maybe_gas and not gas_may_open:
        raise ValueError("a gas valve is opened on site after a leak check, never from afar")
    return _write(station, VALVE_DI, bytes((value,)), sequence)


def set_clock(station: Station, civil: datetime, sequence: int = 0) -> Question:
    """Set the clock to a local civil time: ss mm hh DD MM YY CC (A015)."""
    return _write(station, CLOCK_DI, bytes.fromhex(civil.strftime("%Y%m%d%H%M%S"))[::-1], sequence)


def set_settlement_day(station: Station, day: int, sequence: int = 0) -> Question:
    """Set the day of the month on which the meter freezes its register (A011). ValueError outside 1..28.

    Later days do not come in every month.
    """
    return _write(station, SETTLEMENT_DAY_DI, _day(day), sequence)


def set_reading_day(station: Station, day: int, sequence: int = 0) -> Question:
    """Set the day of the month on which the meter is read (A012). ValueError outside 1..28."""
    return _write(station, READING_DAY_DI, _day(day), sequence)


def _day(day: int) -> bytes:
    if not 1 <= day <= 28:
        raise ValueError(f"day {day} does not come in every month; 1 to 28 do")
    return bytes.fromhex(f"{day:02d}")


class FrameScanner:
    """Cut frames out of a stream with noise, for one transaction. Keeps fewer than 2 * FRAME_MIN + DATA_MAX bytes.

    A start mark counts when a known meter type, a known function and a possible length stand behind it; a frame inside
    the data of such a frame is never taken, unless the outer one turns out to be broken. However the stream is cut, the
    same items come.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._broken_to = 0  # end of the broken frame reported last, from the start of _rest
        self.noise_bytes = 0  # bytes outside of frames so far, lead-in not counted

    def feed(self, data: bytes) -> list[bytes | Violation]:
        """Return the whole frames that `data` completes, and a Violation for each broken one that was skipped.

        Further broken starts inside the extent of a broken frame are not reported again.
        """
        stream = self._rest + data if self._rest else data
        items: list[bytes | Violation] = []
        at = counted = 0
        while (at := stream.find(_START, at)) >= 0:
            if not _may_begin(stream, at):
                at += 1
                continue
            if len(stream) - at < DATA_AT or (end := at + FRAME_MIN + stream[at + LENGTH_AT]) > len(stream):
                break
            wrong = _broken(stream[at:end])
            if wrong is None:
                items.append(stream[at:end])
                self.noise_bytes += at - counted - stream.count(WAKE, counted, at)
                at = counted = end
                continue
            if at >= self._broken_to:
                items.append(Violation(wrong))
                self._broken_to = end
            at += 1
        at = len(stream) if at < 0 else at
        self.noise_bytes += at - counted - stream.count(WAKE, counted, at)
        self._rest = stream[at:]
        self._broken_to = max(self._broken_to - at, 0)
        return items


class LonelyScanner(FrameScanner):
    """The scanner of a question to whoever is on the line (read address with wild bytes).

    Meters that answer together make garbage. It reports that once, as a Violation CROWD, instead of silence, and from
    then on no frame: one that came through would be one meter of several.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frames = 0
        self._told = False

    def feed(self, data: bytes) -> list[bytes | Violation]:
        """Return the one frame, or the one Violation CROWD when anything else came with it or before."""
        items = super().feed(data)
        frames = [item for item in items if isinstance(item, bytes)]
        self._frames += sum(frame[CONTROL_AT] & FROM_METER > 0 for frame in frames)
        if self._frames <= 1 and len(frames) == len(items) and self.noise_bytes <= NOISE_MAX and not self._told:
            return items
        told, self._told = self._told, True
        return [] if told else [Violation(Wrong.CROWD)]


def _may_begin(stream: bytes, at: int) -> bool:
    """Tell whether a frame may begin at a start mark, as far as its head has arrived."""
    head = stream[at : at + DATA_AT]
    return (
        (len(head) <= 1 or head[1] in PLAIN_TYPES or head[1] == ANY)
        and (len(head) <= CONTROL_AT or head[CONTROL_AT] & FUNCTION in FUNCTIONS)
        and (len(head) <= LENGTH_AT or head[LENGTH_AT] <= DATA_MAX)
    )


def _broken(frame: bytes) -> Wrong | None:
    """Return what is wrong with a whole frame, None when nothing is."""
    if len(frame) < FRAME_MIN or frame[0] != START or len(frame) != FRAME_MIN + frame[LENGTH_AT]:
        return Wrong.LENGTH
    if frame[-1] != END:
        return Wrong.END
    return None if sum(frame[:-2]) & 0xFF == frame[-2] else Wrong.CHECKSUM

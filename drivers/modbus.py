"""Modbus over TCP without I/O: requests to bytes, bytes to frames, and the judgement whether a frame answers a request.

Three outcomes only: a `Reply`, an `ExceptionReply`, or a `Violation` of the protocol, which the transport answers by
fencing the connection. Rule: a frame that differs from the right answer in any field never becomes a value; this file
does not know which socket carries the bytes.

Source: MODBUS Application Protocol V1.1b3 and MODBUS Messaging on TCP/IP Implementation Guide V1.0b.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drivers.outcome import UNKNOWN_EXCEPTION, ExceptionMeaning, ExceptionReply, Judged, Reply, Violation
from scada.quality import BAD_CONFIGURATION_ERROR, BAD_DEVICE_FAILURE, BAD_NO_COMMUNICATION

HEAD_BYTES: Final = 6  # transaction, protocol and length field; the length field counts what follows it
MBAP_BYTES: Final = 7  # the same with the unit id
PDU_MAX: Final = 253  # V1.1b3 section 4.1: RS-485 ADU 256 - address 1 - CRC 2
LENGTH_MIN: Final = 3  # unit, function and one byte: no reply is shorter than an exception
LENGTH_MAX: Final = 1 + PDU_MAX
TRANSACTIONS: Final = 0x1_0000
EXCEPTION_BIT: Final = 0x80
EXCEPTION_FRAME_BYTES: Final = MBAP_BYTES + 2

READ_LIMIT: Final = {1: 2000, 2: 2000, 3: 125, 4: 125}  # V1.1b3 sections 6.1 to 6.4: coils or registers in one read
BIT_READS: Final = frozenset({1, 2})
# Sections 6.5, 6.6, 6.11, 6.12, 6.17: coils or registers in one write
WRITE_LIMIT: Final = {5: 1, 6: 1, 15: 1968, 16: 123, 23: 121}
READ_WRITE: Final = 23
BIT_WRITES: Final = frozenset({5, 15})
IDENTIFY: Final = 43  # section 6.21, with MEI type 14: read device identification
MEI_IDENTIFY: Final = 14
PART_BYTES: Final = 6  # MEI type, access, conformity, more follows, next object, number of objects
MORE_FOLLOWS: Final = 0xFF
COIL_ON: Final = 0xFF00  # section 6.5: the only word that sets a coil; 0 clears it

_HEAD: Final = struct.Struct(">HHH")
_TAIL: Final = struct.Struct(">HHB")  # protocol, length, unit
_WORD: Final = struct.Struct(">H")


class Wrong(StrEnum):
    """What a frame has wrong; also the name under which it is counted."""

    PROTOCOL_ID = "protocol id"
    LENGTH = "length"
    TRANSACTION = "transaction"
    UNIT = "unit"
    FUNCTION = "function"
    EXCEPTION_FORM = "exception form"
    BYTE_COUNT = "byte count"
    COUNT = "register count"
    PADDING = "padding bits"
    ECHO = "echo"
    OBJECTS = "objects"
    CRC = "crc"  # of a serial frame


# V1.1b3 section 7. 0A and 0B speak of the slave behind the gateway, not of the gateway (MGate, NPort manuals).
EXCEPTIONS: Final[dict[int, ExceptionMeaning]] = {
    0x01: ExceptionMeaning("illegal function", "refused", BAD_CONFIGURATION_ERROR),
    0x02: ExceptionMeaning("illegal data address", "refused", BAD_CONFIGURATION_ERROR),
    0x03: ExceptionMeaning("illegal data value", "refused", BAD_CONFIGURATION_ERROR),
    0x04: ExceptionMeaning("device failure", "fault", BAD_DEVICE_FAILURE),
    0x05: ExceptionMeaning("acknowledge", "pending", BAD_NO_COMMUNICATION),
    0x06: ExceptionMeaning("busy", "busy", BAD_NO_COMMUNICATION),
    0x08: ExceptionMeaning("memory parity error", "fault", BAD_DEVICE_FAILURE),
    0x0A: ExceptionMeaning("gateway path unavailable", "unreachable", BAD_NO_COMMUNICATION),
    0x0B: ExceptionMeaning("gateway target failed to respond", "unreachable", BAD_NO_COMMUNICATION),
}


def exception_meaning(code: int) -> ExceptionMeaning:
    """Return the meaning of an exception code; makers use codes outside the standard (41, 42, 43, 4B)."""
    return EXCEPTIONS.get(code, UNKNOWN_EXCEPTION)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, encoded once, with the bytes that every right answer to it must show.

    `wire_tail`, `reply_tail`: the frame from the protocol id on; only the transaction id before it changes from poll to
    poll, so that the hot path compares bytes instead of taking fields apart.
    """

    unit: int
    function: int
    wire_tail: bytes
    reply_tail: bytes
    reply_frame_bytes: int  # 0 when only the reply itself says how long it is (function 43)
    payload_at: int  # where the payload of a read begins; the end of the frame for a write
    padding_mask: int = 0  # bits of the last payload byte that a coil read must leave 0

    @property
    def looks_answered(self) -> bool:
        """Tell whether its own echo has the form of its right answer, although it reads.

        17 to 24 coils from 0300 to 03FF: the high byte of the address stands where three bytes of data are announced.
        """
        reads = self.payload_at != self.reply_frame_bytes
        return (
            reads and len(self.wire_tail) + 2 == self.reply_frame_bytes and self.wire_tail.startswith(self.reply_tail)
        )

    @property
    def writes(self) -> bool:
        """Tell whether it can change the device, so that it must never be repeated silently."""
        return self.function in WRITE_LIMIT

    def encode(self, transaction: int) -> bytes:
        """Return the frame under a transaction id 0..65535."""
        return _WORD.pack(transaction) + self.wire_tail


def read_request(unit: int, function: int, address: int, count: int) -> Request:
    """Make a read of `count` coils (functions 1, 2) or registers (3, 4). ValueError when it is not a legal request."""
    _check_place(unit, address, count, READ_LIMIT.get(function, 0))
    payload_bytes = (count + 7) // 8 if function in BIT_READS else 2 * count
    head = bytes((function, payload_bytes))
    spare = -count % 8 if function in BIT_READS else 0
    return Request(
        unit=unit,
        function=function,
        wire_tail=_TAIL.pack(0, 6, unit) + struct.pack(">BHH", function, address, count),
        reply_tail=_TAIL.pack(0, 1 + len(head) + payload_bytes, unit) + head,
        reply_frame_bytes=MBAP_BYTES + len(head) + payload_bytes,
        payload_at=MBAP_BYTES + len(head),
        padding_mask=0xFF << (8 - spare) & 0xFF,
    )


def write_request(unit: int, function: int, address: int, values: Sequence[int]) -> Request:
    """Make a write: function 5 (values: one truth value), 6 (one word), 15 (truth values) or 16 (words).

    ValueError when it is not a legal request. Unit 0, the broadcast, is refused: nothing would answer.
    """
    _check_place(unit, address, len(values), 0 if function == READ_WRITE else WRITE_LIMIT.get(function, 0))
    _check_values(unit, values)
    if function in (5, 6):
        word = (COIL_ON if values[0] else 0) if function == 5 else values[0]
        pdu = echo = struct.pack(">BHH", function, address, word)
    else:
        echo = struct.pack(">BHH", function, address, len(values))
        data = _bits(values) if function == 15 else struct.pack(f">{len(values)}H", *values)
        pdu = echo + bytes((len(data),)) + data
    return Request(
        unit=unit,
        function=function,
        wire_tail=_TAIL.pack(0, 1 + len(pdu), unit) + pdu,
        reply_tail=_TAIL.pack(0, 1 + len(echo), unit) + echo,
        reply_frame_bytes=MBAP_BYTES + len(echo),
        payload_at=MBAP_BYTES + len(echo),
    )


def read_write_request(unit: int, address: int, count: int, write_address: int, values: Sequence[int]) -> Request:
    """Make a write of words and a read of `count` registers in one transaction (function 23); it writes first.

    ValueError when it is not a legal request.
    """
    _check_place(unit, address, count, READ_LIMIT[3])
    _check_place(unit, write_address, len(values), WRITE_LIMIT[READ_WRITE])
    _check_values(unit, values)
    head = struct.pack(">BHHHHB", READ_WRITE, address, count, write_address, len(values), 2 * len(values))
    pdu = head + struct.pack(f">{len(values)}H", *values)
    return Request(
        unit=unit,
        function=READ_WRITE,
        wire_tail=_TAIL.pack(0, 1 + len(pdu), unit) + pdu,
        reply_tail=_TAIL.pack(0, 3 + 2 * count, unit) + bytes((READ_WRITE, 2 * count)),
        reply_frame_bytes=MBAP_BYTES + 2 + 2 * count,
        payload_at=MBAP_BYTES + 2,
    )


def identify_request(unit: int, access: int = 1, first_object: int = 0) -> Request:
    """Ask who made the device (function 43/14). access: 1 basic, 2 regular, 3 extended objects, 4 one object.

    The payload of its reply is one part: see `drivers.modbus_identity`. ValueError when it is not a legal request.
    """
    if not (0 <= unit <= 255 and 1 <= access <= 4 and 0 <= first_object <= 255):
        raise ValueError(f"unit {unit}, access {access}, object {first_object}")
    pdu = bytes((IDENTIFY, MEI_IDENTIFY, access, first_object))
    reply_tail = _TAIL.pack(0, 0, unit) + pdu[:3]  # its length is not known yet
    return Request(unit, IDENTIFY, _TAIL.pack(0, 1 + len(pdu), unit) + pdu, reply_tail, 0, MBAP_BYTES + 1)


def _check_values(unit: int, values: Sequence[int]) -> None:
    if unit == 0 or not all(0 <= value <= 0xFFFF for value in values):
        raise ValueError(f"a write to unit {unit} with values {values!r}")


def _bits(values: Sequence[int]) -> bytes:
    """Return truth values as bytes, the first one in the lowest bit (section 6.11)."""
    packed = sum(1 << at for at, value in enumerate(values) if value)
    return packed.to_bytes((len(values) + 7) // 8, "little")


def _check_place(unit: int, address: int, count: int, limit: int) -> None:
    if not (0 <= unit <= 255 and 1 <= count <= limit and address >= 0 and address + count <= 0x1_0000):
        raise ValueError(f"unit {unit}, address {address}, count {count} of at most {limit}")


class Parser:
    """Cut a byte stream into frames by the length field.

    There is no resynchronisation: after a Violation the stream has no known frame border any more, so the parser stays
    silent and the transport must drop the connection.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._broken = False

    def feed(self, data: bytes) -> list[bytes | Violation]:
        """Return the frames that `data` completes, in order; a Violation is the last item ever returned."""
        if self._broken:
            return []
        stream = self._rest + data if self._rest else data
        items: list[bytes | Violation] = []
        at = 0
        while len(stream) - at >= HEAD_BYTES:
            _, protocol, length = _HEAD.unpack_from(stream, at)
            if protocol or not LENGTH_MIN <= length <= LENGTH_MAX:
                self._broken = True
                items.append(Violation(Wrong.PROTOCOL_ID if protocol else Wrong.LENGTH))
                return items
            end = at + HEAD_BYTES + length
            if end > len(stream):
                break
            items.append(stream[at:end])
            at = end
        self._rest = stream[at:]
        return items


def transaction_of(frame: bytes) -> int:
    """Return the transaction id of a frame that the parser delivered."""
    return frame[0] << 8 | frame[1]


def check_reply(request: Request, transaction: int, frame: bytes) -> Judged:
    """Judge whether a whole frame answers the request that was sent under a transaction id; every field is compared."""
    right = (
        len(frame) == request.reply_frame_bytes
        and frame.startswith(request.reply_tail, 2)
        and frame[0] << 8 | frame[1] == transaction
    )
    if not right:
        return _judge(request, transaction, frame)
    if request.padding_mask and frame[-1] & request.padding_mask:
        return Violation(Wrong.PADDING)
    if frame.endswith(request.wire_tail) and request.looks_answered:
        return Violation(Wrong.ECHO)
    return Reply(frame[request.payload_at :])


def _judge(request: Request, transaction: int, frame: bytes) -> Judged:
    """Say what is wrong with a frame that is not the right answer, or that it is an exception, or an identification."""
    if len(frame) < EXCEPTION_FRAME_BYTES:
        return Violation(Wrong.LENGTH)
    shown, protocol, length = _HEAD.unpack_from(frame)
    header: tuple[tuple[bool, Wrong], ...] = (
        (protocol != 0, Wrong.PROTOCOL_ID),
        (length != len(frame) - HEAD_BYTES, Wrong.LENGTH),
        (shown != transaction, Wrong.TRANSACTION),
        (frame[6] != request.unit, Wrong.UNIT),
        (frame[7] & ~EXCEPTION_BIT != request.function, Wrong.FUNCTION),
    )
    for broken, wrong in header:
        if broken:
            return Violation(wrong)
    if frame[7] & EXCEPTION_BIT:
        return (
            ExceptionReply(frame[8], exception_meaning(frame[8]))
            if len(frame) == EXCEPTION_FRAME_BYTES
            else Violation(Wrong.EXCEPTION_FORM)
        )
    if request.function == IDENTIFY:
        return _judge_part(request, frame[MBAP_BYTES + 1 :])
    if request.payload_at == request.reply_frame_bytes:
        return Violation(Wrong.ECHO)
    announced = frame[8]
    if announced != len(frame) - MBAP_BYTES - 2 or (announced % 2 and request.function not in BIT_READS):
        return Violation(Wrong.BYTE_COUNT)
    return Violation(Wrong.COUNT)


def _judge_part(request: Request, part: bytes) -> Reply | Violation:
    """Judge one part of a device identification, whose length only its own objects tell."""
    if len(part) < PART_BYTES or part[:2] != request.reply_tail[-2:]:
        return Violation(Wrong.ECHO)
    if part_bytes(part) != len(part):
        return Violation(Wrong.OBJECTS)
    asked, following = request.wire_tail[-1], part[4]
    if part[3] not in (0, MORE_FOLLOWS) or (part[3] and following <= asked):
        return Violation(Wrong.OBJECTS)  # a part that points back would be asked for without end
    return Reply(part)


def part_bytes(part: bytes) -> int:
    """Return how many bytes an identification part covers from its MEI type on; -1 while that cannot be told."""
    end = PART_BYTES
    if len(part) < end:
        return -1
    for _ in range(part[5]):
        if len(part) < end + 2:
            return -1
        end += 2 + part[end + 1]
    return end

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
EXCEPTION_BIT: Final = 0x80
EXCEPTION_FRAME_BYTES: Final = MBAP_BYTES + 2

READ_LIMIT: Final = {1: 2000, 2: 2000, 3: 125, 4: 125}  # V1.1b3 sections 6.1 to 6.4: coils or registers in one read
BIT_READS: Final = frozenset({1, 2})
WRITE_LIMIT: Final = {5: 1, 6: 1, 16: 123}  # sections 6.5, 6.6, 6.12
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
    reply_frame_bytes: int
    payload_at: int  # where the payload of a read begins; the end of the frame for a write
    padding_mask: int = 0  # bits of the last payload byte that a coil read must leave 0

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
    """Make a write: function 5 (values: one truth value), 6 (one word) or 16 (words).

    ValueError when it is not a legal request. Unit 0, the broadcast, is refused: nothing would answer.
    """
    _check_place(unit, address, len(values), WRITE_LIMIT.get(function, 0))
    if unit == 0 or not all(0 <= value <= 0xFFFF for value in values):
        raise ValueError(f"a write to unit {unit} with values {values!r}")
    if function == 5:
        pdu = echo = struct.pack(">BHH", 5, address, COIL_ON if values[0] else 0)
    elif function == 6:
        pdu = echo = struct.pack(">BHH", 6, address, values[0])
    else:
        echo = struct.pack(">BHH", 16, address, len(values))
        pdu = echo + bytes((2 * len(values),)) + struct.pack(f">{len(values)}H", *values)
    return Request(
        unit=unit,
        function=function,
        wire_tail=_TAIL.pack(0, 1 + len(pdu), unit) + pdu,
        reply_tail=_TAIL.pack(0, 1 + len(echo), unit) + echo,
        reply_frame_bytes=MBAP_BYTES + len(echo),
        payload_at=MBAP_BYTES + len(echo),
    )


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
    return Reply(frame[request.payload_at :])


def _judge(request: Request, transaction: int, frame: bytes) -> ExceptionReply | Violation:
    """Say what is wrong with a frame that is not the right answer, or that it is an exception."""
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
    if request.writes:
        return Violation(Wrong.ECHO)
    announced = frame[8]
    if announced != len(frame) - MBAP_BYTES - 2 or (announced % 2 and request.function not in BIT_READS):
        return Violation(Wrong.BYTE_COUNT)
    return Violation(Wrong.COUNT)

"""Modbus RTU without I/O, on a serial line or through a transparent gateway: a request of `drivers.modbus` with a CRC.

A serial frame has no start mark and no transaction id, so a scanner looks for the answer to one request: its unit, its
function and a right CRC, at every place of the stream. Rule: one judgement for TCP and RTU, that of `drivers.modbus`.

What RTU cannot tell: a late answer of the same shape (unit, function, length) from the answer awaited, and the echo of
an adapter from the answer to function 5 or 6. After a time-out the line keeps silent and then believes no answer of
that shape before the device has shown that it owes none (`drivers.owed`); a switch is proved by its position, never by
the answer to the command.

Source: MODBUS over Serial Line V1.02 section 2.5.1 (frame), 6.2.2 (CRC).
"""

import struct
from dataclasses import dataclass
from typing import Final

from drivers.modbus import (
    EXCEPTION_BIT,
    HEAD_BYTES,
    IDENTIFY,
    Request,
    Wrong,
    check_reply,
    part_bytes,
)
from drivers.modbus_identity import next_request, objects_bytes
from drivers.outcome import Continue, Judged, Reply, Violation

CRC_BYTES: Final = 2
FRAME_MAX: Final = 256  # section 2.5.1: address 1, PDU 253, CRC 2
EXCEPTION_BYTES: Final = 5
UNIT_BYTES: Final = 1
IDENTIFY_MAX: Final = FRAME_MAX

_POLYNOMIAL: Final = 0xA001  # 8005 reflected


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_CRC: Final = tuple(_crc_of_byte(value) for value in range(256))


def crc16(data: bytes) -> int:
    """Return the CRC of Modbus; it goes out low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def with_crc(data: bytes) -> bytes:
    """Return unit and PDU with their CRC behind them."""
    return data + crc16(data).to_bytes(CRC_BYTES, "little")


def has_right_crc(frame: bytes) -> bool:
    """Tell whether the last two bytes are the CRC of the others: then the CRC over all of them is 0."""
    return crc16(frame) == 0


@dataclass(frozen=True, slots=True)
class Question:
    """One request on a serial line (an `outcome.Exchange`).

    `parts`: the objects of a device identification that came so far. Its Reply carries the objects of all parts; any
    other Reply is that of `drivers.modbus`.
    """

    request: Request
    parts: bytes = b""
    broadcast: bool = False

    @property
    def wire(self) -> bytes:
        """Return the frame to send."""
        return with_crc(self.request.wire_tail[HEAD_BYTES - 2 :])

    @property
    def writes(self) -> bool:
        """Tell whether it can change the device."""
        return self.request.writes

    @property
    def reply_bytes(self) -> int:
        """Return how long the right answer is on the wire, or the longest one of a device identification."""
        size = self.request.reply_frame_bytes
        return size - HEAD_BYTES + CRC_BYTES if size else IDENTIFY_MAX

    @property
    def alike(self) -> tuple[int, tuple[int, int]]:
        """Return the unit, and function and length: no answer shows more of its question."""
        return self.request.unit, (self.request.function, self.reply_bytes)

    def scanner(self) -> "ReplyScanner":
        """Return a fresh scanner for the answer to this request."""
        return ReplyScanner(self.request)

    def judge(self, frame: bytes) -> Judged | Continue | None:
        """Judge a whole frame; None when another unit sent it or when it answers another function."""
        if len(frame) < EXCEPTION_BYTES or len(frame) > FRAME_MAX:
            return Violation(Wrong.LENGTH)
        if not has_right_crc(frame):
            return Violation(Wrong.CRC)
        if frame[0] != self.request.unit or frame[1] & ~EXCEPTION_BIT != self.request.function:
            return None
        judged = check_reply(self.request, 0, struct.pack(">HHH", 0, 0, len(frame) - CRC_BYTES) + frame[:-CRC_BYTES])
        if self.request.function != IDENTIFY or not isinstance(judged, Reply):
            return judged
        parts = self.parts + objects_bytes(judged.payload)
        following = next_request(self.request, judged.payload)
        return Reply(parts) if following is None else Continue(Question(following, parts))


class ReplyScanner:
    """Find the answer to one request in a stream with noise. Keeps fewer than FRAME_MAX bytes.

    Every place where the unit and the function stand (or its exception) may begin a frame; the first one that is whole
    with a right CRC is it, whatever began before it. So noise can hide no answer, and however the stream is cut, the
    same items come.
    """

    def __init__(self, request: Request) -> None:
        self._function = request.function
        self._start = bytes((request.unit,))
        self._expected = request.reply_tail[HEAD_BYTES - 2 :]
        self._echoes = request.payload_at == request.reply_frame_bytes
        self._rest = b""
        self._broken_to = 0  # end of the broken frame reported last, from the start of _rest

    def feed(self, data: bytes) -> list[bytes | Violation]:
        """Return the frames that `data` completes, and a Violation for an expected one whose CRC is wrong."""
        stream = self._rest + data if self._rest else data
        items: list[bytes | Violation] = []
        while (end := self._first(stream, items)) > 0:
            stream = stream[end:]
            self._broken_to = max(self._broken_to - end, 0)
        dropped = max(len(stream) - FRAME_MAX + 1, 0)
        self._rest = stream[dropped:]
        self._broken_to = max(self._broken_to - dropped, 0)
        return items

    def _first(self, stream: bytes, items: list[bytes | Violation]) -> int:
        """Append the items up to the first whole frame; return where that ends, 0 when there is none."""
        whole = []
        at = stream.find(self._start)
        while at >= 0:
            size = self._size(stream[at : at + FRAME_MAX])
            if 0 < size <= len(stream) - at:
                whole.append((at + size, at))
            at = stream.find(self._start, at + 1)
        for end, start in sorted(whole):
            if has_right_crc(stream[start:end]):
                items.append(stream[start:end])
                return end
            if start >= self._broken_to and stream.startswith(self._expected, start):
                items.append(Violation(Wrong.CRC))
                self._broken_to = end
        return 0

    def _size(self, frame: bytes) -> int:
        """Return how long the frame is that begins here; 0 when none does, or when that cannot be told yet."""
        if len(frame) < EXCEPTION_BYTES:
            return 0
        if frame[1] == self._function | EXCEPTION_BIT:
            return EXCEPTION_BYTES
        if frame[1] != self._function:
            return 0
        if self._function == IDENTIFY:
            part = part_bytes(frame[2:])
            return part + 2 + CRC_BYTES if part > 0 else 0
        if self._echoes:
            return len(self._expected) + CRC_BYTES
        return 3 + frame[2] + CRC_BYTES

"""Frames as the simulated field builds and takes them apart: Modbus TCP and RTU, DL/T 645, CJ/T 188.

Written from the standards and apart from the drivers' own parsers, so that field and driver check each other. A frame
is taken into its parts, of which hostile replies change one each, and joined again.
Rule: bytes in, bytes out; what the data mean is not known here.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

Family = Literal["mbap", "rtu", "dlt645", "cjt188"]

START: Final = 0x68  # DL/T 645-2007 section 5, CJ/T 188 section 5
END: Final = 0x16
WAKE: Final = 0xFE
OFFSET: Final = 0x33  # added to every data byte of DL/T 645
METER_ADDRESS: Final = {"dlt645": 6, "cjt188": 7}  # bytes of an address


def crc16(data: bytes) -> bytes:
    """Return the checksum of Modbus RTU, low byte first (polynomial A001 reflected, start FFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


@dataclass(slots=True)
class ModbusParts:
    """A Modbus TCP or RTU frame."""

    rtu: bool
    unit: int
    pdu: bytes
    transaction: int = 0
    protocol: int = 0
    length: int | None = None  # None: as it should be
    checksum_error: int = 0

    def join(self) -> bytes:
        if self.rtu:
            body = bytes([self.unit]) + self.pdu
            low, high = crc16(body)
            return body + bytes([low ^ self.checksum_error, high])
        length = len(self.pdu) + 1 if self.length is None else self.length
        return struct.pack(">HHHB", self.transaction, self.protocol, length, self.unit) + self.pdu


@dataclass(slots=True)
class MeterParts:
    """A frame of DL/T 645 or CJ/T 188, without wake-up bytes."""

    family: Family
    address: bytes  # as on the wire, lowest pair first
    control: int
    data: bytes  # DL/T 645: without the offset
    kind: int = 0  # CJ/T 188: meter type T
    length: int | None = None
    checksum_error: int = 0
    offset: int = OFFSET
    second_start: int = START
    end: int = END

    def join(self) -> bytes:
        length = len(self.data) if self.length is None else self.length
        if self.family == "dlt645":
            coded = bytes((byte + self.offset) & 0xFF for byte in self.data)
            body = bytes([START, *self.address, self.second_start, self.control, length & 0xFF]) + coded
        else:
            body = bytes([START, self.kind, *self.address, self.control, length & 0xFF]) + self.data
        return body + bytes([(sum(body) + self.checksum_error) & 0xFF, self.end])


Parts = ModbusParts | MeterParts


def split(family: Family, frame: bytes) -> Parts:
    """Take a whole, well-formed frame into its parts."""
    if family == "mbap":
        transaction, protocol, _length, unit = struct.unpack_from(">HHHB", frame)
        return ModbusParts(False, unit, frame[7:], transaction, protocol)
    if family == "rtu":
        return ModbusParts(True, frame[0], frame[1:-2])
    if family == "dlt645":
        data = bytes((byte - OFFSET) & 0xFF for byte in frame[10:-2])
        return MeterParts(family, frame[1:7], frame[8], data)
    return MeterParts(family, frame[2:9], frame[9], frame[11:-2], frame[1])


# ---- hearing requests ------------------------------------------------------------------------------------------------

RTU_MAX: Final = 256
METER_MAX: Final = 270  # longest frame of either meter protocol, with its wake-up bytes
RTU_FIXED: Final = 8  # requests of functions 1 to 6
RTU_COUNTED: Final = {15: (6, 9), 16: (6, 9), 23: (10, 13)}  # function: place of the byte count, bytes around the data
IDENTIFY_BYTES: Final = 7
# Silence after which a receiver forgets what it has: 500 ms between bytes (DL/T 645-2007 section 5.3.4); for RTU, where
# 3.5 characters would be right, as long as a network may tear a frame apart.
PATIENCE_S: Final[dict[Family, float]] = {"rtu": 0.05, "dlt645": 0.5, "cjt188": 0.5, "mbap": 0.0}


class Ear:
    """The receiver of one protocol on a line where others may be spoken: finds whole requests in any bytes."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._bytes = b""
        self._heard_s = 0.0

    def feed(self, data: bytes, mono_s: float) -> list[bytes]:
        """Return the requests that `data` completes; what was begun too long ago is forgotten."""
        if mono_s - self._heard_s > PATIENCE_S[self.family]:
            self._bytes = b""
        self._heard_s = mono_s
        self._bytes += data
        frames = []
        while found := self._find():
            start, size = found
            frames.append(self._bytes[start : start + size])
            self._bytes = self._bytes[start + size :]
        self._bytes = self._bytes[-METER_MAX:]
        return frames

    def _find(self) -> tuple[int, int] | None:
        """Return (start, size) of the first whole request; one that is not complete yet hides none behind it."""
        measure = _rtu_size if self.family == "rtu" else _dlt645_size if self.family == "dlt645" else _cjt188_size
        for start in range(len(self._bytes)):
            size = measure(self._bytes[start:])
            if size:
                return start, size
        if self.family == "rtu" and 4 <= len(self._bytes) <= RTU_MAX and _crc_holds(self._bytes):
            return 0, len(self._bytes)  # a function nobody here knows: it is refused, not overheard
        return None


def _rtu_size(data: bytes) -> int:
    """Return the size of the request that `data` begins with, 0 for none (yet)."""
    if len(data) < IDENTIFY_BYTES:
        return 0
    function, size = data[1], 0
    if 1 <= function <= 6:
        size = RTU_FIXED
    elif function in RTU_COUNTED:
        place, around = RTU_COUNTED[function]
        size = around + data[place] if len(data) > place else 0
    elif function == 0x2B:
        size = IDENTIFY_BYTES
    return size if 0 < size <= len(data) and _crc_holds(data[:size]) else 0


def _crc_holds(frame: bytes) -> bool:
    return crc16(frame[:-2]) == frame[-2:]


def _dlt645_size(data: bytes) -> int:
    if len(data) < 12 or data[0] != START or data[7] != START:
        return 0
    return _closed(data, 12 + data[9])


def _cjt188_size(data: bytes) -> int:
    if len(data) < 13 or data[0] != START:
        return 0
    return _closed(data, 13 + data[10])


def _closed(data: bytes, size: int) -> int:
    whole = len(data) >= size and data[size - 1] == END and data[size - 2] == sum(data[: size - 2]) & 0xFF
    return size if whole else 0

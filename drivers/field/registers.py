"""Encode measures into Modbus words and meter bytes: the inverse of a profile's type, order, scale and ratio.

Rule: nothing here knows a meter; the profile's Register is the whole truth about the wire.
"""

import math
import struct
from datetime import datetime
from fractions import Fraction
from typing import Final

from drivers.cjt188_words import UNIT_CODES, UNITS, unit_factor
from drivers.device import Device
from drivers.profile import CLOCK_MILLIS, Ratio, Register, RegisterType, WordOrder

_FLOAT: Final = struct.Struct(">f")
_FLOAT_MAX: Final = 3.4028234663852886e38  # largest finite IEEE 754 binary32
WORD_BITS: Final = 16
BCD_SIGN: Final = 0x80  # of the highest byte (DL/T 645-2007, annex A)
SIGNED_DIGIT: Final = 8
DAY_BITS: Final = 5  # below the weekday, in a clock with milliseconds

# type -> (smallest, largest) raw value of the integer types
RANGES: Final[dict[RegisterType, tuple[int, int]]] = {
    "bit": (0, 1),
    "u16": (0, (1 << 16) - 1),
    "s16": (-(1 << 15), (1 << 15) - 1),
    "u32": (0, (1 << 32) - 1),
    "s32": (-(1 << 31), (1 << 31) - 1),
    "u64": (0, (1 << 64) - 1),
    "s64": (-(1 << 63), (1 << 63) - 1),
}

# order -> (words swapped, bytes inside a word swapped); for four words "swapped" means reversed as a whole
_ORDERS: Final[dict[WordOrder, tuple[bool, bool]]] = {
    "ABCD": (False, False),
    "CDAB": (True, False),
    "BADC": (False, True),
    "DCBA": (True, True),
}


def ratio_of(device: Device, ratio: Ratio) -> int:
    """Return by how much the device's transformers multiply a register with this ratio."""
    return {"": 1, "ct": device.ct, "pt": device.pt, "ctpt": device.ct * device.pt}[ratio]


def ordered(value: int, words: int, order: WordOrder) -> tuple[int, ...]:
    """Split an unsigned raw value into words in the order of the wire."""
    swap_words, swap_bytes = _ORDERS[order]
    split = [(value >> (WORD_BITS * (words - 1 - i))) & 0xFFFF for i in range(words)]
    if swap_bytes:
        split = [(word >> 8) | (word & 0xFF) << 8 for word in split]
    return tuple(reversed(split)) if swap_words else tuple(split)


def encode_counts(register: Register, counts: int) -> tuple[int, ...]:
    """Encode raw counts; a number too large for the type loses its high bits, as a counter that rolls over does.

    A float register takes the counts as a float. A "bit" gives one word of 0 or 1.
    """
    if register.type == "bit":
        return (counts & 1,)
    if register.type == "f32":
        return encode_float(register, float(counts))
    return ordered(counts & ((1 << (WORD_BITS * register.words)) - 1), register.words, register.order)


def encode_float(register: Register, raw: float) -> tuple[int, ...]:
    """Encode a raw IEEE 754 number; beyond the range it shows the largest finite one."""
    limited = min(max(raw, -_FLOAT_MAX), _FLOAT_MAX)
    return ordered(int.from_bytes(_FLOAT.pack(limited), "big"), register.words, register.order)


def encode_value(register: Register, value: float, units_per_count: float) -> tuple[int, ...]:
    """Encode an analog value: rounded to the nearest count and held at the ends of the type, as meters do.

    value            in engineering units, primary side
    units_per_count  `units_per_count(register, ratio)` as a float
    """
    raw = value / units_per_count
    if register.type == "f32":
        return encode_float(register, raw)
    return encode_counts(register, rounded(register, raw))


def rounded(register: Register, raw: float) -> int:
    """Round an analog value in counts to the nearest one and hold it at the ends of the type, as meters do."""
    low, high = limits(register)
    return min(max(math.floor(raw + 0.5), low), high)


def limits(register: Register) -> tuple[int, int]:
    """Return the smallest and the largest count that an integer or decimal register can show."""
    digits = 2 * register.size
    if register.type == "bcd":
        return 0, 10**digits - 1
    if register.type == "sbcd":
        largest = SIGNED_DIGIT * 10 ** (digits - 1) - 1  # the top bit is the sign: the first digit ends at 7
        return -largest, largest
    return RANGES[register.type]


def encode_bcd(counts: int, size: int, signed: bool = False) -> bytes:
    """Encode packed decimal digits, lowest byte first; digits that do not fit are lost, as in a counter."""
    digits = abs(counts) % 10 ** (2 * size)
    data = bytearray.fromhex(f"{digits:0{2 * size}d}")
    if signed:
        data[0] = data[0] & ~BCD_SIGN | (BCD_SIGN if counts < 0 else 0)
    return bytes(reversed(data))


def encode_clock(layout: str, moment: datetime) -> bytes:
    """Encode a date and time as the layout of a clock register says: one letter a byte in wire order, "-" is 0."""
    parts = {
        "s": moment.second, "m": moment.minute, "h": moment.hour, "w": moment.isoweekday() % 7, "D": moment.day,
        "M": moment.month, "Y": moment.year % 100, "C": moment.year // 100, "-": 0,
    }  # fmt: skip
    return b"".join(encode_bcd(parts[letter], 1) for letter in layout)


def encode_binary_clock(layout: str, moment: datetime) -> bytes:
    """Encode a date and time as the layout of a Modbus clock register says: one binary number a byte.

    With milliseconds ("tt") the weekday stands above the day, 1 is Sunday (IEC 60870-5-4 as Schneider Electric has it).
    """
    parts = {
        "s": moment.second, "m": moment.minute, "h": moment.hour, "w": moment.isoweekday() % 7, "D": moment.day,
        "M": moment.month, "Y": moment.year % 100, "C": moment.year // 100, "-": 0,
    }  # fmt: skip
    if CLOCK_MILLIS in layout:
        parts["D"] |= (moment.isoweekday() % 7 + 1) << DAY_BITS
    high, low = divmod(1000 * moment.second + moment.microsecond // 1000, 256)
    octets = (parts[letter] for letter in layout.replace(CLOCK_MILLIS, ""))
    plain, at = bytes(octets), layout.find(CLOCK_MILLIS)
    return plain if at < 0 else plain[:at] + bytes((high, low)) + plain[at:]


def encode(register: Register, raw: int | float) -> bytes:
    """Encode the raw value of any register but a clock into its payload bytes; analog values are whole counts here."""
    if register.type in ("bcd", "sbcd"):
        return encode_bcd(int(raw), register.size, register.type == "sbcd")
    words = encode_float(register, float(raw)) if register.type == "f32" else encode_counts(register, int(raw))
    return b"".join(word.to_bytes(2, "big") for word in words)


def unit_code(unit: str) -> int:
    """Return the unit byte of CJ/T 188 under which one count of a register in `unit` is one count on the wire.

    ValueError when the annex has none, as for bar or °C.
    """
    for code in UNIT_CODES if unit in UNITS else ():
        if unit_factor(code, unit) == 1:
            return code
    raise ValueError(f"CJ/T 188 has no unit code for {unit!r}")


def units_per_count(register: Register, ratio: int) -> Fraction:
    """Return the primary engineering units of one count."""
    return register.scale * ratio

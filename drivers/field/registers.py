"""Encode measures into Modbus words: the inverse of a profile's type, order, scale and ratio.

Rule: nothing here knows a meter; the profile's Register is the whole truth about the wire.
"""

import math
import struct
from fractions import Fraction
from typing import Final

from drivers.device import Device
from drivers.profile import Ratio, Register, RegisterType, WordOrder

_FLOAT: Final = struct.Struct(">f")
_FLOAT_MAX: Final = 3.4028234663852886e38  # largest finite IEEE 754 binary32
WORD_BITS: Final = 16

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
    low, high = RANGES[register.type]
    return encode_counts(register, min(max(math.floor(raw + 0.5), low), high))


def units_per_count(register: Register, ratio: int) -> Fraction:
    """Return the primary engineering units of one count."""
    return register.scale * ratio

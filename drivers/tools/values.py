"""Registers out of a payload, one by one and exactly: what a commissioning engineer compares with the meter's display.

Rule: no floats and no arrays: a value is a Fraction, shown with as many decimals as its scale has, so that the tool is
a second witness beside the compiled decoder of the scan.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from drivers.bcd import decode_bcd, decode_sbcd
from drivers.cjt188_words import unit_factor
from drivers.modbus import BIT_READS
from drivers.pollplan import Block
from drivers.profile import CLOCK_MILLIS, Profile, Register
from scada.position import BAD_STATE, POSITIONS
from scada.quality import BAD_SENSOR_FAILURE, GOOD, UNCERTAIN_UNITS_EXCEEDED

DECIMALS_MAX: Final = 6  # a float, or a scale like 1/3, is cut for the eye
METER_OFFSET_H: Final = 8  # meters of DL/T 645 and CJ/T 188 show China Standard Time
ORDERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "ABCD": lambda data: data,
    "CDAB": lambda data: b"".join(reversed([data[i : i + 2] for i in range(0, len(data), 2)])),
    "BADC": lambda data: b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2)),
    "DCBA": lambda data: data[::-1],
}
CLOCK_PARTS: Final = "smhDMYC"
# Bits of the numbers of a clock with milliseconds (IEC 60870-5-4); above them stand weekday, summer time and validity
CLOCK_BITS: Final[Mapping[str, int]] = {"s": 0x3F, "m": 0x3F, "h": 0x1F, "D": 0x1F, "M": 0x0F, "Y": 0x7F, "C": 0xFF}


@dataclass(frozen=True, slots=True)
class Value:
    """One register as it was read."""

    measure: str
    zh: str
    en: str
    text: str  # what people read; "" when there is nothing to show
    unit: str
    quality: int
    raw: str  # its bytes as they stood in the payload, hexadecimal
    number: Fraction | None = None


def values_of(profile: Profile, block: Block, payload: bytes, ct: int, pt: int, utc_ns: int) -> list[Value]:
    """Return the values of the block's registers in their order."""
    return [_value(profile, block, profile.registers[index], payload, ct, pt, utc_ns) for index in block.registers]


def _value(profile: Profile, block: Block, register: Register, payload: bytes, ct: int, pt: int, utc_ns: int) -> Value:
    data = _bytes_of(block, register, payload)
    raw = data.hex(" ").upper()
    named = (register.measure, register.description_zh, register.description_en)
    if register.type == "clock":
        return _clock(register, data, profile.protocol == "modbus", named, utc_ns)
    try:
        counts = _counts(register, data)
    except ValueError:
        counts = None
    factor = _factor(register, payload, ct, pt)
    if counts is None or factor is None:
        return Value(*named, "", register.unit, BAD_SENSOR_FAILURE, raw)
    states = _states(profile, register)
    if states is not None:
        position = states.get(int(counts), BAD_STATE)
        return Value(*named, POSITIONS[position], "", GOOD, raw, Fraction(position))
    if register.measure == profile.identity and register.type == "bcd":  # a nameplate has its zeros in front
        return Value(*named, str(int(counts)).zfill(2 * register.size), "", GOOD, raw, counts)
    number = counts * factor
    low, high = register.low, register.high
    outside = (low is not None and number < Fraction(low)) or (high is not None and number > Fraction(high))
    return Value(*named, shown(number, factor, register), register.unit,
                 UNCERTAIN_UNITS_EXCEEDED if outside else GOOD, raw, number)  # fmt: skip


def _bytes_of(block: Block, register: Register, payload: bytes) -> bytes:
    if block.function == 0:
        return payload[register.at : register.at + register.bytes]
    at = register.address - block.address
    if block.function in BIT_READS:
        return bytes((payload[at // 8] >> at % 8 & 1,))
    return payload[2 * at : 2 * (at + register.words)]


def _counts(register: Register, data: bytes) -> Fraction | None:
    """Return the counts of a register, None when it is absent. ValueError when its bytes are no number."""
    if register.type == "bcd":
        count = decode_bcd(data)
        return None if count is None else Fraction(_masked(register, count))
    if register.type == "sbcd":
        count = decode_sbcd(data)
        return None if count is None else Fraction(count)
    ordered = ORDERS[register.order](data)
    pattern = int.from_bytes(ordered, "big")
    if register.absent is not None and pattern == register.absent:
        return None
    if register.type == "f32":
        return _single(pattern)
    if register.type == "bit":
        return Fraction(pattern & 1)
    if register.type.startswith("s"):
        return Fraction(int.from_bytes(ordered, "big", signed=True))
    return Fraction(_masked(register, pattern))


def _masked(register: Register, pattern: int) -> int:
    if not register.mask:
        return pattern
    return (pattern & register.mask) // (register.mask & -register.mask)


def _single(pattern: int) -> Fraction | None:
    """Return an IEEE 754 single; None for NaN, infinities and subnormals, which are no measurements."""
    exponent = pattern >> 23 & 0xFF
    if exponent == 0xFF or (exponent == 0 and pattern & 0x7F_FFFF):
        return None
    number: float = struct.unpack(">f", pattern.to_bytes(4, "big"))[0]
    return Fraction(number)


def _factor(register: Register, payload: bytes, ct: int, pt: int) -> Fraction | None:
    """Return engineering units per count; None when the payload's unit byte is unknown or of another quantity."""
    ratio = {"": 1, "ct": ct, "pt": pt, "ctpt": ct * pt}[register.ratio]
    if register.unit_at < 0:
        return register.scale * ratio
    factor = unit_factor(payload[register.unit_at], register.unit)
    return None if factor is None else register.scale * ratio * factor


def _states(profile: Profile, register: Register) -> dict[int, int] | None:
    switch = profile.switch
    return dict(switch.states) if switch is not None and switch.position == register.measure else None


def shown(number: Fraction, factor: Fraction, register: Register) -> str:
    """Return a number with the decimals of its scale: 12345.60 for counts of 0.01."""
    decimals = 0
    while decimals < DECIMALS_MAX and (factor * 10**decimals).denominator != 1:
        decimals += 1
    if register.type == "f32":
        return f"{float(number):.7g}"
    scaled = round(number * 10**decimals)
    digits = f"{abs(scaled):0{decimals + 1}d}"
    text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return f"-{text}" if scaled < 0 else text


def _clock(register: Register, data: bytes, binary: bool, named: tuple[str, str, str], utc_ns: int) -> Value:
    """Show the meter's clock and by how much it is fast. binary: its numbers are, as in Modbus."""
    raw = data.hex(" ").upper()
    shown_at = clock_of(register.layout, data, binary)
    if shown_at is None:
        return Value(*named, "", register.unit, BAD_SENSOR_FAILURE, raw)
    here = datetime(1970, 1, 1) + timedelta(seconds=utc_ns // 1_000_000_000, hours=METER_OFFSET_H)
    fast_s = round((shown_at - here).total_seconds())
    return Value(*named, f"{shown_at:%Y-%m-%d %H:%M:%S} ({fast_s:+d} s)", "", GOOD, raw, Fraction(fast_s))


def clock_of(layout: str, data: bytes, binary: bool = False) -> datetime | None:
    """Return the date and time of some bytes, one letter of the layout for each; None when they show none.

    They are BCD, or binary; with "tt", milliseconds of the minute, flags stand above the binary numbers.
    """
    parts: dict[str, int] = {}
    for letter, byte in zip(layout, data, strict=False):
        if letter not in CLOCK_PARTS:
            continue
        digits = str(byte) if binary else f"{byte:02X}"
        if not digits.isdecimal():
            return None
        parts[letter] = int(digits)
    if binary and CLOCK_MILLIS in layout:
        parts = {letter: number & CLOCK_BITS[letter] for letter, number in parts.items()}
        parts["s"] = int.from_bytes(data[layout.index(CLOCK_MILLIS) :][:2], "big") // 1000
    year = parts.get("C", 20) * 100 + parts.get("Y", 0)
    try:
        day = datetime(year, parts.get("M", 1), parts.get("D", 1))
        return day.replace(hour=parts.get("h", 0), minute=parts.get("m", 0), second=parts.get("s", 0))
    except ValueError:
        return None

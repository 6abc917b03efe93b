"""The slow, obvious twin of the bulk decoder: one register of one payload after the other, in whole numbers and dates.

Rule: it shares no step with `bulk_kernel`, only the profile; tests hold the two against each other.
"""

import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from drivers.cjt188_words import unit_factor
from drivers.modbus import BIT_READS
from drivers.pollplan import Block
from drivers.profile import Profile, Register
from scada.image import NO_RATE, RATE_COLUMNS
from scada.position import BAD_STATE
from scada.quality import BAD_CONFIGURATION_ERROR, BAD_SENSOR_FAILURE, GOOD, UNCERTAIN_UNITS_EXCEEDED, is_bad, is_good

EPOCH: Final = datetime(1970, 1, 1)
MICROSECOND: Final = timedelta(microseconds=1)
_BITS: Final = {"m": 6, "h": 5, "D": 5, "M": 4, "Y": 7}  # of the numbers of a clock that has flags above them


@dataclass(slots=True)
class Told:
    """What one register says."""

    quality: int
    value: float = 0.0
    counts: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What one payload says."""

    registers: tuple[Told, ...]  # in the order of `block.registers`
    billed: bool  # the charged register is in this block
    raw: int | None  # its counts, None when the last ones stand
    quality: int  # of the point
    rates: tuple[int, ...]  # one for each of RATE_COLUMNS


def read(
    profile: Profile, block: Block, ct: int, pt: int, payload: bytes, received_ns: int = 0, offset_s: int = 0
) -> Reading:
    """Return what a checked payload means."""
    told: dict[str, Told] = {}
    for index in block.registers:
        register = profile.registers[index]
        told[register.measure] = _tell(profile, block, register, (ct, pt), payload, received_ns, offset_s)
    billing = profile.billing
    raw, quality, rates = None, GOOD, (NO_RATE,) * len(RATE_COLUMNS)
    billed = billing is not None and billing.measure in told
    if billing is not None and billed:
        last = min(billing.modulus_counts, 2**63) - 1
        charged = told[billing.measure]
        if not 0 <= charged.counts <= last and is_good(charged.quality):
            charged.quality = UNCERTAIN_UNITS_EXCEEDED
        quality = charged.quality
        raw = charged.counts if 0 <= charged.counts <= last and not is_bad(quality) else None
        named = (*billing.rates, *[""] * len(RATE_COLUMNS))[: len(RATE_COLUMNS)]
        rates = tuple(_rate(told.get(measure), last) for measure in named)
    if profile.switch is not None and profile.switch.position in told:
        position = told[profile.switch.position]
        position.value = float(dict(profile.switch.states).get(position.counts, BAD_STATE))
    return Reading(tuple(told.values()), billed, raw, quality, rates)


def _rate(told: Told | None, last: int) -> int:
    return told.counts if told is not None and told.quality == GOOD and 0 <= told.counts <= last else NO_RATE


def _tell(
    profile: Profile,
    block: Block,
    register: Register,
    ratios: tuple[int, int],
    payload: bytes,
    received_ns: int,
    offset_s: int,
) -> Told:
    if register.type == "clock":
        at = 2 * (register.address - block.address) if block.function else register.at
        data = payload[at : at + register.bytes]
        return _limited(register, _clock(profile, register, data, received_ns, offset_s))
    told, number = _number(profile, block, register, payload)
    if is_bad(told.quality):
        return told
    factor = register.scale * {"": 1, "ct": ratios[0], "pt": ratios[1], "ctpt": ratios[0] * ratios[1]}[register.ratio]
    if register.unit_at >= 0:
        unit = unit_factor(payload[register.unit_at], register.unit)
        if unit is None:
            return Told(BAD_SENSOR_FAILURE)
        if profile.billing is not None and register.measure in (profile.billing.measure, *profile.billing.rates):
            if unit.denominator != 1:
                return Told(BAD_CONFIGURATION_ERROR)
            told.counts *= unit.numerator
        told.value = number * (factor.numerator * unit.numerator) / (factor.denominator * unit.denominator)
    else:
        told.value = number * factor.numerator / factor.denominator
    return _limited(register, told)


def _limited(register: Register, told: Told) -> Told:
    low = -math.inf if register.low is None else register.low
    high = math.inf if register.high is None else register.high
    if told.quality == GOOD and not low <= told.value <= high:
        told.quality = UNCERTAIN_UNITS_EXCEEDED
    return told


def _number(profile: Profile, block: Block, register: Register, payload: bytes) -> tuple[Told, float]:
    """Return (quality and counts, the number on the wire)."""
    if block.function in BIT_READS:
        bit = register.address - block.address
        counts = payload[bit // 8] >> bit % 8 & 1
        return Told(GOOD, counts=counts), float(counts)
    at = 2 * (register.address - block.address) if block.function else register.at
    data = _in_order(profile, register, payload[at : at + register.bytes])
    pattern = int.from_bytes(data, "big")
    if pattern == register.absent:
        return Told(BAD_SENSOR_FAILURE), 0.0
    if register.type == "f32":
        return _single(profile, register, data)
    if register.type in ("bcd", "sbcd"):
        counts_or_none = _digits(register, data)
        if counts_or_none is None:
            return Told(BAD_SENSOR_FAILURE), 0.0
        return Told(GOOD, counts=counts_or_none), float(counts_or_none)
    counts = _masked(profile, register, pattern)
    return Told(GOOD, counts=counts), float(counts)


def _masked(profile: Profile, register: Register, pattern: int) -> int:
    bits = 8 * register.bytes
    if register.mask:
        below = bin(register.mask)[::-1].index("1")
        pattern, bits = (pattern & register.mask) >> below, register.mask.bit_length() - below
    if register.type == "bit":
        return pattern & 1
    shows_position = profile.switch is not None and profile.switch.position == register.measure
    if register.type.startswith("s") and not shows_position and pattern >> (bits - 1):
        return pattern - (1 << bits)
    return pattern


def _in_order(profile: Profile, register: Register, data: bytes) -> bytes:
    """Return the bytes most significant first."""
    if register.type in ("bcd", "sbcd") and profile.protocol != "modbus":
        return data[::-1]
    if register.order == "DCBA":
        return data[::-1]
    pairs = [data[i : i + 2] for i in range(0, len(data), 2)]
    if register.order == "CDAB":
        return b"".join(reversed(pairs))
    return b"".join(pair[::-1] for pair in pairs) if register.order == "BADC" else data


def _digits(register: Register, data: bytes) -> int | None:
    text = data.hex()
    negative = register.type == "sbcd" and data[0] >= 0x80  # the sign is the top bit
    if negative:
        text = bytes([data[0] - 0x80, *data[1:]]).hex()
    if not text.isdecimal():
        return None
    return -int(text) if negative else int(text)


def _single(profile: Profile, register: Register, data: bytes) -> tuple[Told, float]:
    (number,) = struct.unpack(">f", data)
    if not math.isfinite(number) or 0 < abs(number) < 2.0**-126:  # the smallest normal single
        return Told(BAD_SENSOR_FAILURE), 0.0
    told = Told(GOOD)
    billing = profile.billing
    if billing is not None and register.measure in (billing.measure, *billing.rates):
        told.counts = round(Fraction(number) * register.scale * 1000 / billing.milli_per_count)
    return told, number


def _clock(profile: Profile, register: Register, data: bytes, received_ns: int, offset_s: int) -> Told:
    parts: dict[str, int] = {"s": 0, "C": 20}
    flagged = "tt" in register.layout
    for letter, octet in zip(register.layout, data, strict=True):
        text = f"{octet:02x}"
        if letter not in "w-t":
            if profile.protocol != "modbus" and not text.isdecimal():
                return Told(BAD_SENSOR_FAILURE)
            parts[letter] = octet if profile.protocol == "modbus" else int(text)
    if flagged:  # IEC 60870-5-4: milliseconds of the minute, and flags above the numbers
        millis = int.from_bytes(data[register.layout.index("tt") :][:2], "big")
        parts |= {letter: parts[letter] % 2**bits for letter, bits in _BITS.items() if letter in parts}
        parts["s"], parts["ms"] = divmod(millis, 1000)
    ours = datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(seconds=offset_s)
    if "D" not in parts:
        return _time_of_day(parts, received_ns, offset_s)
    try:
        if parts["Y"] > 99:  # two digits
            raise ValueError(parts["Y"])
        shown = datetime(100 * parts["C"] + parts["Y"], parts["M"], parts["D"], parts["h"], parts["m"], parts["s"])
        shown += timedelta(milliseconds=parts.get("ms", 0))
    except (ValueError, OverflowError):
        return Told(BAD_SENSOR_FAILURE)
    if shown.year < EPOCH.year or parts["C"] > 21:  # nanoseconds end in the year 2262
        return Told(BAD_SENSOR_FAILURE)
    ahead_ns = (shown - ours) // MICROSECOND * 1000 - received_ns
    return Told(GOOD, float(ahead_ns) / 1e9)


def _time_of_day(parts: dict[str, int], received_ns: int, offset_s: int) -> Told:
    if parts["h"] > 23 or parts["m"] > 59 or parts["s"] > 59:  # hours, minutes, seconds
        return Told(BAD_SENSOR_FAILURE)
    shown_ms = 1000 * (3600 * parts["h"] + 60 * parts["m"] + parts["s"]) + parts.get("ms", 0)
    half_ns = 43_200 * 1_000_000_000
    ahead_ns = shown_ms * 1_000_000 - offset_s * 1_000_000_000 - received_ns
    return Told(GOOD, float((ahead_ns + half_ns) % (2 * half_ns) - half_ns) / 1e9)

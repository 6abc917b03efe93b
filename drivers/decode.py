"""Payloads of block reads to values: every profile is compiled once into index arrays, and numpy does the rest.

Rule: pure; a pattern that is no measurement (absent, NaN, infinite, subnormal) comes out as a bad quality, never as a
number to be used, and the billing register comes out as the exact integer that was on the wire, never through a float.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.modbus import BIT_READS
from drivers.pollplan import Block, place_of
from drivers.profile import Profile, Register, WordOrder
from scada.image import NO_RATE
from scada.position import BAD_STATE
from scada.quality import BAD_SENSOR_FAILURE, GOOD, UNCERTAIN_UNITS_EXCEEDED

RAW_BYTES: Final = 8  # every pattern is widened to 64 bits
# Byte positions of a register in the order most significant first, as (swap words, swap bytes inside words)
ORDERS: Final[dict[WordOrder, tuple[bool, bool]]] = {
    "ABCD": (False, False), "CDAB": (True, False), "BADC": (False, True), "DCBA": (True, True),
}  # fmt: skip
SIGNED: Final = frozenset({"s16", "s32", "s64"})

Values = npt.NDArray[np.float64]
Qualities = npt.NDArray[np.uint32]
Patterns = npt.NDArray[np.uint64]


class Decoded(NamedTuple):
    """What one block says. Row i of the arrays is `block.registers[i]`."""

    values: Values  # (k,) engineering units; meaningless where the quality is bad
    quality: Qualities  # (k,)
    good: bool  # every row is good
    billing_raw: int | None  # counts of the billing register; None when it is not in this block
    billing_quality: int
    rates_raw: tuple[int, ...]  # counts of the rate registers read with it, NO_RATE where none; () when not in here
    position: int | None  # Dbpos of the switch; None when its register is not in this block


class Decoder:
    """The compiled decoder of one device: a profile with the device's transformer ratios and its poll plan."""

    def __init__(self, profile: Profile, ct: int, pt: int, plan: Sequence[Block]) -> None:
        self._blocks = tuple(_BlockDecoder(profile, ct, pt, block) for block in plan)

    def decode(self, block: int, payload: bytes) -> Decoded:
        """Decode the checked payload of block number `block` of the plan."""
        return self._blocks[block].decode(payload)


@dataclass(frozen=True, slots=True)
class _Position:
    at: int
    states: dict[int, int]


@dataclass(frozen=True, slots=True)
class _Billing:
    at: int
    signed_bits: int  # 0 for an unsigned register
    modulus_counts: int
    rates_at: tuple[int, ...]  # places of the rate registers, -1 where there is none; () without rate registers


class _BlockDecoder:
    """Index arrays and factors of one block. k registers, gathered from the payload plus one zero byte."""

    def __init__(self, profile: Profile, ct: int, pt: int, block: Block) -> None:
        registers = [profile.registers[index] for index in block.registers]
        self._bits = block.function in BIT_READS
        self._gather = _bit_places(block, registers) if self._bits else _byte_places(block, registers)
        factors = [register.scale * _ratio(register, ct, pt) for register in registers]
        self._numerator = np.array([factor.numerator for factor in factors], dtype=np.float64)
        self._denominator = np.array([factor.denominator for factor in factors], dtype=np.float64)
        self._float = np.flatnonzero([register.type == "f32" for register in registers])
        self._bit_rows = np.flatnonzero([register.type == "bit" and not self._bits for register in registers])
        self._signed = np.flatnonzero([register.type in SIGNED for register in registers])
        self._shift = np.array([64 - 16 * registers[i].words for i in self._signed], dtype=np.int64)
        self._absent_rows = np.flatnonzero([register.absent is not None for register in registers])
        self._absent = np.array([r.absent for r in registers if r.absent is not None], dtype=np.uint64)
        self._low = np.array([-np.inf if r.low is None else r.low for r in registers])
        self._high = np.array([np.inf if r.high is None else r.high for r in registers])
        self._limited = bool(np.isfinite(self._low).any() or np.isfinite(self._high).any())
        self._billing = _billing_of(profile, registers)
        self._position = _position_of(profile, registers)

    def decode(self, payload: bytes) -> Decoded:
        raw = self._patterns(payload)
        quality = np.zeros(len(raw), dtype=np.uint32)
        if self._float.size:
            self._refuse_non_numbers(raw, quality)
        if self._absent_rows.size:
            quality[self._absent_rows[raw[self._absent_rows] == self._absent]] = BAD_SENSOR_FAILURE
        values = self._numbers(raw)
        if self._limited:
            outside = ((values < self._low) | (values > self._high)) & (quality == GOOD)
            quality[outside] = UNCERTAIN_UNITS_EXCEEDED
        billing_raw = self._bill(raw, quality)
        position = self._place(raw, values)
        billing_quality = GOOD if self._billing is None else int(quality[self._billing.at])
        return Decoded(
            values, quality, not quality.any(), billing_raw, billing_quality, self._rates(raw, quality), position
        )

    def _patterns(self, payload: bytes) -> Patterns:
        """Return (k,) the unsigned pattern of each register, zero-extended."""
        if self._bits:
            bits = np.unpackbits(np.frombuffer(payload, dtype=np.uint8), bitorder="little")
            return bits[self._gather].astype(np.uint64)
        octets = np.frombuffer(payload + b"\0", dtype=np.uint8)
        raw: Patterns = octets[self._gather].view(">u8")[:, 0].astype(np.uint64)
        if self._bit_rows.size:
            raw[self._bit_rows] &= np.uint64(1)
        return raw

    def _refuse_non_numbers(self, raw: Patterns, quality: Qualities) -> None:
        """Mark NaN, infinities and subnormals of IEEE 754 single floats, and make their pattern a harmless 0."""
        pattern = raw[self._float]
        exponent = (pattern >> np.uint64(23)) & np.uint64(0xFF)
        mantissa = pattern & np.uint64(0x7F_FFFF)
        refused = self._float[(exponent == 0xFF) | ((exponent == 0) & (mantissa != 0))]
        quality[refused] = BAD_SENSOR_FAILURE
        raw[refused] = 0

    def _numbers(self, raw: Patterns) -> Values:
        """Return (k,) engineering values; count * numerator / denominator rounds once, a factor 0.1 twice."""
        counts = raw.astype(np.float64)
        if self._signed.size:
            counts[self._signed] = raw[self._signed].view(np.int64) << self._shift >> self._shift
        if self._float.size:
            counts[self._float] = raw[self._float].astype(np.uint32).view(np.float32)
        return counts * self._numerator / self._denominator

    def _bill(self, raw: Patterns, quality: Qualities) -> int | None:
        """Return the billing counts exactly; outside 0..modulus-1 no such register exists: the reading is doubtful."""
        billing = self._billing
        if billing is None:
            return None
        counts = int(raw[billing.at])
        if billing.signed_bits and counts >> (billing.signed_bits - 1):
            counts -= 1 << billing.signed_bits
        if not 0 <= counts < billing.modulus_counts and quality[billing.at] == GOOD:
            quality[billing.at] = UNCERTAIN_UNITS_EXCEEDED
        return counts

    def _rates(self, raw: Patterns, quality: Qualities) -> tuple[int, ...]:
        """Return the counts of the rate registers; NO_RATE for one that is bad or beyond the register's range."""
        if self._billing is None:
            return ()
        modulus = self._billing.modulus_counts
        return tuple(
            counts if at >= 0 and quality[at] == GOOD and (counts := int(raw[at])) < modulus else NO_RATE
            for at in self._billing.rates_at
        )

    def _place(self, raw: Patterns, values: Values) -> int | None:
        """Return the Dbpos of the switch and put it in the place of its raw value."""
        if self._position is None:
            return None
        position = self._position.states.get(int(raw[self._position.at]), BAD_STATE)
        values[self._position.at] = position
        return position


def _ratio(register: Register, ct: int, pt: int) -> int:
    return {"": 1, "ct": ct, "pt": pt, "ctpt": ct * pt}[register.ratio]


def _byte_places(block: Block, registers: list[Register]) -> npt.NDArray[np.int64]:
    """Return (k, 8): the payload bytes of each pattern, most significant first, led by the zero byte."""
    zero = 2 * block.count
    places = [[zero] * (RAW_BYTES - 2 * r.words) + _ordered(2 * place_of(block, r), r) for r in registers]
    return np.array(places, dtype=np.int64)


def _ordered(at: int, register: Register) -> list[int]:
    swap_words, swap_bytes = ORDERS[register.order]
    words = [[at + 2 * i, at + 2 * i + 1] for i in range(register.words)]
    if swap_words:
        words.reverse()
    return [place for word in words for place in (reversed(word) if swap_bytes else word)]


def _bit_places(block: Block, registers: list[Register]) -> npt.NDArray[np.int64]:
    return np.array([place_of(block, register) for register in registers], dtype=np.int64)


def _billing_of(profile: Profile, registers: list[Register]) -> _Billing | None:
    if profile.billing is None:
        return None
    for at, register in enumerate(registers):
        if register.measure == profile.billing.measure:
            if register.type in ("f32", "bit"):
                raise ValueError(f"{profile.id}: {register.measure} is no integer register and cannot be charged")
            bits = 16 * register.words if register.type in SIGNED else 0
            modulus = min(profile.billing.modulus_counts, 2**63)  # the image holds int64
            return _Billing(at, bits, modulus, _rates_of(profile.billing.rates, registers))
    return None


def _rates_of(rates: Sequence[str], registers: list[Register]) -> tuple[int, ...]:
    """Return the place of each rate register in the block that reads the billing register, -1 where it is not."""
    places = {register.measure: at for at, register in enumerate(registers)}
    return tuple(places.get(measure, -1) for measure in rates)


def _position_of(profile: Profile, registers: list[Register]) -> _Position | None:
    if profile.switch is None:
        return None
    for at, register in enumerate(registers):
        if register.measure == profile.switch.position:
            return _Position(at, dict(profile.switch.states))
    return None

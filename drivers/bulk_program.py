"""What the bulk decoder must do for one block of one profile, as arrays: a program made once from the profile's data.

Rule: everything that a profile can get wrong is refused here with a name, so that the kernel has nothing to doubt but
the bytes of the meter.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.cjt188_words import UNIT_CODES, unit_factor
from drivers.device import Device
from drivers.modbus import BIT_READS
from drivers.pollplan import Block, place_of
from drivers.profile import CLOCK_IGNORED, CLOCK_LETTERS, CLOCK_MILLIS, Profile, Register, WordOrder
from scada.image import RATE_COLUMNS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BYTES_MOST: Final = 8  # every pattern is widened to 64 bits
NOWHERE: Final = -1  # no such byte, register or unit

# Columns of `Program.registers`. The first BYTES_MOST: where the bytes stand in the payload, most significant first;
# of a clock where second (or CLOCK_MILLIS), minute, hour, day, month, year and century stand; of a bit of a bit read
# its number.
R_KIND, R_BYTES, R_SHIFT, R_SIGN, R_HAS_ABSENT, R_UNIT_AT, R_UNIT, R_COUNTED = range(BYTES_MOST, BYTES_MOST + 8)
REGISTER_WIDTH: Final = BYTES_MOST + 8
# R_SIGN: number of bits of a two's complement pattern, 0 when unsigned; of K_BCD 1 when the top bit is a sign
# R_UNIT: index into `units`; R_COUNTED: 1 when whole counts are wanted, for the ledger
K_BIT, K_INTEGER, K_FLOAT, K_BCD, K_CLOCK, K_CLOCK_BINARY, K_CLOCK_FLAGGED = range(7)
CLOCK_KINDS: Final = (K_CLOCK, K_CLOCK_BINARY, K_CLOCK_FLAGGED)

# Entries of `Program.head`
H_BILL, H_LAST, H_POSITION, H_RATE = range(4)  # H_LAST: highest count; H_RATE: the first of len(RATE_COLUMNS)
HEAD_WIDTH: Final = H_RATE + len(RATE_COLUMNS)

MASK, ABSENT = 0, 1  # columns of `words`
LOW, HIGH = 0, 1  # columns of `limits`
ALL_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
IMAGE_MODULUS: Final = 2**63  # the image holds int64
MANTISSA_BITS: Final = 24  # of an IEEE 754 single
EXACT_BITS: Final = 53  # of a double

# Byte positions of a register in the order most significant first, as (swap words, swap bytes inside words)
ORDERS: Final[dict[WordOrder, tuple[bool, bool]]] = {
    "ABCD": (False, False), "CDAB": (True, False), "BADC": (False, True), "DCBA": (True, True),
}  # fmt: skip
KINDS: Final = {"bit": K_BIT, "f32": K_FLOAT, "bcd": K_BCD, "sbcd": K_BCD, "clock": K_CLOCK}
SIGNED: Final = frozenset({"s16", "s32", "s64"})
UNMASKED: Final = frozenset({"f32", "sbcd", "clock"})  # what a mask would tear apart


class Program(NamedTuple):
    """One block of one profile. k registers in the order of `block.registers`, c pairs of transformer ratios."""

    head: Ints  # (HEAD_WIDTH,)
    registers: Ints  # (k, REGISTER_WIDTH)
    words: npt.NDArray[np.uint64]  # (k, 2) mask, absent pattern
    limits: Floats  # (k, 2) plausible from, to
    factors: Floats  # (c, k, 2) numerator, denominator of engineering units per count, with the ratios
    units: Ints  # (u, 256, 2) per unit byte: numerator (0: refused), denominator
    states: Ints  # (s, 2) raw value of the switch, Dbpos
    counts_per: Floats  # (2,) numerator, denominator: counts in one unit of a float that is charged
    scratch_counts: Ints  # (k,) of the payload in work
    scratch_values: Floats  # (k,)
    scratch_quality: npt.NDArray[np.uint32]  # (k,)


def make_program(profile: Profile, block: Block, ratios: Sequence[tuple[int, int]]) -> Program:
    """Return the program of a block for devices with these (ct, pt). ValueError when it cannot be decoded."""
    registers = [profile.registers[index] for index in block.registers]
    k = len(registers)
    rows = [_register(profile, block, register) for register in registers]
    kinds = sorted({register.unit for register in registers if register.unit_at >= 0})
    for row, register in zip(rows, registers, strict=True):
        if register.unit_at >= 0:
            row[R_UNIT] = kinds.index(register.unit)
    words = [(register.mask or ALL_BITS, register.absent or 0) for register in registers]
    limits = [(-np.inf if r.low is None else r.low, np.inf if r.high is None else r.high) for r in registers]
    factors = [[_parts(register.scale * ratio_of(register, *pair)) for register in registers] for pair in ratios]
    head, counts_per = _head(profile, registers)
    return Program(
        np.array(head, dtype=np.int64),
        np.array(rows, dtype=np.int64),
        np.array(words, dtype=np.uint64),
        np.array(limits, dtype=np.float64),
        np.array(factors, dtype=np.float64).reshape(len(ratios), k, 2),
        np.array([_unit_table(unit) for unit in kinds], dtype=np.int64).reshape(len(kinds), 256, 2),
        np.array(_states(profile, head), dtype=np.int64).reshape(-1, 2),
        np.array(_parts(counts_per), dtype=np.float64),
        np.zeros(k, dtype=np.int64),
        np.zeros(k, dtype=np.float64),
        np.zeros(k, dtype=np.uint32),
    )


def ratio_of(register: Register, ct: int, pt: int) -> int:
    """Return what the counts of a register are multiplied with on a device with these transformers."""
    return {"": 1, "ct": ct, "pt": pt, "ctpt": ct * pt}[register.ratio]


def ratios_of(devices: Iterable[Device]) -> list[tuple[int, int]]:
    """Return the different pairs (ct, pt) of devices, in the order of their first use."""
    return list(dict.fromkeys((device.ct, device.pt) for device in devices))


def bills_in(profile: Profile, registers: Iterable[Register]) -> bool:
    """Tell whether the register that is charged is among these."""
    return profile.billing is not None and any(r.measure == profile.billing.measure for r in registers)


def _parts(factor: Fraction) -> tuple[int, int]:
    return factor.numerator, factor.denominator


def _register(profile: Profile, block: Block, register: Register) -> list[int]:
    row = [NOWHERE] * REGISTER_WIDTH
    row[R_KIND] = KINDS.get(register.type, K_INTEGER)
    row[R_BYTES] = register.bytes
    row[R_SHIFT] = _shift(register)
    row[R_SIGN] = 0 if _is_position(profile, register) else _sign(register)  # its states are unsigned patterns
    row[R_HAS_ABSENT] = int(register.absent is not None)
    row[R_UNIT_AT] = register.unit_at
    row[R_COUNTED] = int(_counted(profile, register))
    if register.mask and register.type in UNMASKED:
        raise ValueError(f"{profile.id}: {register.measure} of type {register.type} cannot have a mask")
    if block.function in BIT_READS:
        row[0], row[R_BYTES] = place_of(block, register), 0
        return row
    at = 2 * place_of(block, register) if block.function else register.at
    places = _clock_places(profile, register, at) if register.type == "clock" else _places(profile, register, at)
    if max(*places, register.unit_at, at + register.bytes - 1) >= block.payload_bytes:
        raise ValueError(f"{profile.id}: {register.measure} ends behind the data that are read with it")
    row[: len(places)] = places
    if register.type == "clock" and profile.protocol == "modbus":
        row[R_KIND] = K_CLOCK_FLAGGED if CLOCK_MILLIS in register.layout else K_CLOCK_BINARY
    return row


def _is_position(profile: Profile, register: Register) -> bool:
    return profile.switch is not None and register.measure == profile.switch.position


def _sign(register: Register) -> int:
    if register.type == "sbcd":
        return 1
    if register.type not in SIGNED:
        return 0
    return register.mask.bit_length() - _shift(register) if register.mask else 8 * register.bytes


def _shift(register: Register) -> int:
    """Return how many bits stand below the lowest that counts."""
    return (register.mask & -register.mask).bit_length() - 1 if register.mask else 0


def _places(profile: Profile, register: Register, at: int) -> list[int]:
    """Return where the bytes stand, most significant first. Decimals of meters with identifiers come lowest first."""
    size = register.bytes
    if not 1 <= size <= BYTES_MOST:
        raise ValueError(f"{profile.id}: {register.measure} has {size} bytes; 1 to {BYTES_MOST} can be decoded")
    swap_words, swap_bytes = ORDERS[register.order]
    if register.type in ("bcd", "sbcd") and profile.protocol != "modbus":
        swap_words = swap_bytes = True
    if swap_words and swap_bytes:
        return list(range(at + size - 1, at - 1, -1))
    if size % 2 and size > 1 and (swap_words or swap_bytes):
        raise ValueError(f"{profile.id}: {register.measure} has {size} bytes, which order {register.order} cannot swap")
    words = [list(range(at + i, min(at + i + 2, at + size))) for i in range(0, size, 2)]
    if swap_words:
        words.reverse()
    return [place for word in words for place in (reversed(word) if swap_bytes else word)]


def _clock_places(profile: Profile, register: Register, at: int) -> list[int]:
    """Return where second .. century stand. A clock shows hour and minute, and the whole date or nothing of it."""
    layout = register.layout
    if profile.protocol == "modbus" and "s" not in layout:
        layout = layout.replace(CLOCK_MILLIS, "s" + CLOCK_IGNORED[-1], 1)
    wrong = set(layout) - set(CLOCK_LETTERS + CLOCK_IGNORED)
    if wrong or len(layout) != register.bytes or any(layout.count(letter) > 1 for letter in CLOCK_LETTERS):
        allowed = f"one letter of {CLOCK_LETTERS}{CLOCK_IGNORED} for each of its {register.bytes} bytes"
        raise ValueError(f"{profile.id}: layout {layout!r} of {register.measure} is not {allowed}")
    if not {"h", "m"} <= set(layout) or len({"D", "M", "Y"} & set(layout)) not in (0, 3):
        raise ValueError(f"{profile.id}: layout {layout!r} of {register.measure} shows no time that can be compared")
    return [at + layout.index(letter) if letter in layout else NOWHERE for letter in CLOCK_LETTERS]


def _counted(profile: Profile, register: Register) -> bool:
    return profile.billing is not None and register.measure in (profile.billing.measure, *profile.billing.rates)


@lru_cache
def _unit_table(unit: str) -> list[tuple[int, int]]:
    """Return for every unit byte how many of `unit` one counted unit is, exactly; (0, 1) for a byte that is refused."""
    factors = {code: unit_factor(code, unit) or Fraction(0) for code in UNIT_CODES}
    return [_parts(factors.get(code, Fraction(0))) for code in range(256)]


def _head(profile: Profile, registers: list[Register]) -> tuple[list[int], Fraction]:
    """Return the head, and the counts in one unit of a float that is charged (1 where none is)."""
    head = [NOWHERE] * HEAD_WIDTH
    places = {register.measure: at for at, register in enumerate(registers)}
    if profile.switch is not None:
        head[H_POSITION] = places.get(profile.switch.position, NOWHERE)
    counts_per = Fraction(1)
    if profile.billing is not None and profile.billing.measure in places:
        head[H_BILL] = places[profile.billing.measure]
        head[H_LAST] = min(profile.billing.modulus_counts, IMAGE_MODULUS) - 1
        for i, measure in enumerate(profile.billing.rates):
            head[H_RATE + i] = places.get(measure, NOWHERE)
        charged = [registers[at] for at in (head[H_BILL], *head[H_RATE:]) if at != NOWHERE]
        if len({(r.type == "f32", r.scale if r.type == "f32" else 1) for r in charged}) > 1:
            wrong = f"rate registers and {profile.billing.measure} have not one type and scale"
            raise ValueError(f"{profile.id}: {wrong}, and floats are counted by one resolution")
        counts_per = _counts_per(profile, charged[0])
    return head, counts_per


def _counts_per(profile: Profile, register: Register) -> Fraction:
    """Return 1 / resolution of a charged float: how many counts of the ledger one unit on the wire is.

    A single has 24 significant bits, so that its product with a whole number below 2**29 fits into the 53 bits of a
    double: the count is exact before it is rounded.
    """
    billing = profile.billing
    assert billing is not None
    if register.type in ("bit", "clock"):
        raise ValueError(f"{profile.id}: {register.measure} of type {register.type} cannot be charged")
    if register.type != "f32":
        return Fraction(1)
    counts_per = register.scale * 1000 / billing.milli_per_count
    if max(_parts(counts_per)) >= 1 << (EXACT_BITS - MANTISSA_BITS):
        raise ValueError(f"{profile.id}: {register.measure} cannot be counted exactly in {billing.milli_per_count}")
    return counts_per


def _states(profile: Profile, head: list[int]) -> Sequence[tuple[int, int]]:
    return profile.switch.states if profile.switch is not None and head[H_POSITION] != NOWHERE else ()

"""The bulk decoder, compiled: payloads of one block of many devices straight into the columns of the stage.

Rule: plain functions over arrays and scalars, no allocation, compiled at import; `bulk_twin` says the same slowly, and
tests hold the two against each other. A pattern that is no measurement changes the quality and nothing else.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from drivers.bulk_program import (
    ABSENT,
    H_BILL,
    H_LAST,
    H_POSITION,
    H_RATE,
    HIGH,
    K_BCD,
    K_BIT,
    K_CLOCK,
    K_CLOCK_BINARY,
    K_CLOCK_FLAGGED,
    K_FLOAT,
    LOW,
    MASK,
    R_BYTES,
    R_COUNTED,
    R_HAS_ABSENT,
    R_KIND,
    R_SHIFT,
    R_SIGN,
    R_UNIT,
    R_UNIT_AT,
    Program,
)
from scada.compiled import compiled
from scada.image import NO_RATE, RATE_COLUMNS
from scada.position import BAD_STATE
from scada.quality import BAD_CONFIGURATION_ERROR, BAD_SENSOR_FAILURE, GOOD, UNCERTAIN_UNITS_EXCEEDED
from scada.stage import Staged

BAD_FROM: Final = 0x8000_0000  # the bound of scada.quality.bad_mask; a kernel cannot call it
BAD_PATTERN: Final = -1  # digits or a date that do not exist
IMPOSSIBLE: Final = -(2**62)  # the same where numbers may be negative: no 16 digits reach it
UNCOUNTABLE: Final = -2  # a float beyond every register: its count only has to be out of range
COUNT_MOST: Final = 2.0**62
RATES: Final = len(RATE_COLUMNS)
DAY_S: Final = 86_400
NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
MS_PER_S: Final = 1000
MS_PER_MINUTE: Final = 60_000
CENTURY: Final = 20  # of a clock that shows two digits of the year

INT: Final = numba.int64
INTS: Final = numba.int64[::1]
TABLE: Final = numba.int64[:, ::1]
FLOATS: Final = numba.float64[::1]
WORD: Final = numba.uint32
OCTETS: Final = numba.uint8[::1]
FLAGS: Final = numba.boolean[::1]


class Slots(NamedTuple):
    """The slots of one block and the places of their values. n devices, k registers."""

    payload: npt.NDArray[np.uint8]  # (n, payload_bytes)
    received_ns: npt.NDArray[np.int64]  # (n,)
    fresh: npt.NDArray[np.uint8]  # (n,) in place
    rows: npt.NDArray[np.int64]  # (n, k) image rows
    ratio: npt.NDArray[np.int64]  # (n,) first index of Program.factors
    point: npt.NDArray[np.int64]  # (n,) row of the points section that this block bills, -1: none
    position_row: npt.NDArray[np.int64]  # (n,) row that shows the position again, -1: none


PROGRAM: Final = numba.types.NamedTuple(
    (
        INTS, TABLE, numba.uint64[:, ::1], numba.float64[:, ::1], numba.float64[:, :, ::1], numba.int64[:, :, ::1],
        TABLE, FLOATS, INTS, FLOATS, numba.uint32[::1],
    ),
    Program,
)  # fmt: skip
SLOTS: Final = numba.types.NamedTuple((numba.uint8[:, ::1], INTS, OCTETS, TABLE, INTS, INTS, INTS), Slots)
STAGED: Final = numba.types.NamedTuple(
    (FLOATS, numba.uint32[::1], INTS, FLAGS, FLAGS, *[INTS] * (1 + RATES), numba.uint32[::1], INTS, FLAGS, FLAGS),
    Staged,
)
JUDGED: Final = numba.types.Tuple((numba.int64, numba.float64, numba.uint32))  # counts, number, quality


@compiled((numba.uint8[:, ::1], INT, TABLE, INT), numba.uint64, inner=True, forced=True)
def gather(payload: Any, i: int, registers: Any, r: int) -> Any:
    """Return the pattern of register r, most significant byte first."""
    pattern = np.uint64(0)
    for b in range(registers[r, R_BYTES]):
        pattern = (pattern << np.uint64(8)) | np.uint64(payload[i, registers[r, b]])
    return pattern


@compiled((numba.uint64, INT), inner=True, forced=True)
def decimal(pattern: Any, digits: int) -> Any:
    """Return the number of packed decimal digits, BAD_PATTERN when one of them is above 9."""
    number: Any = 0
    for d in range(digits - 1, -1, -1):
        nibble = np.int64((pattern >> np.uint64(4 * d)) & np.uint64(15))
        if nibble > 9:
            return BAD_PATTERN
        number = 10 * number + nibble
    return number


@compiled((numba.uint64, INT, INT), inner=True, forced=True)
def signed_decimal(pattern: Any, size: int, signed: int) -> Any:
    """Return the number of packed decimals whose top bit may be a sign; the least integer when a digit is above 9."""
    negative = False
    if signed:
        top = np.uint64(1) << np.uint64(8 * size - 1)
        negative = (pattern & top) != np.uint64(0)
        pattern = pattern & ~top
    number: Any = decimal(pattern, 2 * size)
    if number == BAD_PATTERN:
        return IMPOSSIBLE
    return -number if negative else number


@compiled((INT, INT, INT), inner=True, forced=True)
def days_from(year: int, month: int, day: int) -> Any:
    """Return the days from 1970-01-01 to a date of the Gregorian calendar; BAD_PATTERN when it does not exist."""
    if year < 1970 or month < 1 or month > 12 or day < 1:
        return BAD_PATTERN
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    length = 31 - (month == 4 or month == 6 or month == 9 or month == 11)
    if month == 2:
        length = 28 + leap
    if day > length:
        return BAD_PATTERN
    # A year that begins in March has its odd day at the end; months of it follow the line (153 m + 2) / 5.
    y = year - (month <= 2)
    era = y // 400
    of_era = y - 400 * era
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return 146_097 * era + 365 * of_era + of_era // 4 - of_era // 100 + of_year - 719_468


@compiled((numba.uint8[:, ::1], INT, TABLE, INT, INT, INT), inner=True, forced=True)
def part(payload: Any, i: int, registers: Any, r: int, place: int, bits: int) -> Any:
    """Return one part of a clock (minute .. century), BAD_PATTERN when its digits do not exist.

    bits: that hold the number, where a clock has flags above it
    """
    octet, kind = np.uint64(payload[i, registers[r, place]]), registers[r, R_KIND]
    if kind == K_CLOCK_FLAGGED:
        octet = octet & np.uint64((1 << bits) - 1)
    number: Any = decimal(octet, 2) if kind == K_CLOCK else np.int64(octet)
    return number


@compiled((numba.uint8[:, ::1], INT, TABLE, INT), inner=True, forced=True)
def of_minute(payload: Any, i: int, registers: Any, r: int) -> Any:
    """Return how much of its minute a clock shows, ms; 0 without seconds, BAD_PATTERN for what no minute has."""
    place = registers[r, 0]
    if place < 0:
        return 0
    millis: Any = 0
    if registers[r, R_KIND] == K_CLOCK_FLAGGED:
        millis = np.int64(payload[i, place]) * 256 + np.int64(payload[i, place + 1])
    else:
        millis = part(payload, i, registers, r, 0, 8) * MS_PER_S
    return millis if 0 <= millis < MS_PER_MINUTE else BAD_PATTERN


@compiled((numba.uint8[:, ::1], INT, TABLE, INT, INT, INT), JUDGED, inner=True, forced=True)
def clock(payload: Any, i: int, registers: Any, r: int, received_ns: int, offset_s: int) -> Any:
    """Return how many seconds the meter's clock is ahead of ours; what shows no date is compared by the time of day."""
    millis = of_minute(payload, i, registers, r)
    minute = part(payload, i, registers, r, 1, 6)
    hour = part(payload, i, registers, r, 2, 5)
    wrong = millis < 0 or minute < 0 or minute > 59 or hour < 0 or hour > 23
    ahead_ns = (3600 * hour + 60 * minute - offset_s) * NS_PER_S + millis * NS_PER_MS - received_ns
    if registers[r, 3] < 0:
        day_ns = DAY_S * NS_PER_S
        ahead_ns = (ahead_ns + day_ns // 2) % day_ns - day_ns // 2
    else:
        century = part(payload, i, registers, r, 6, 8) if registers[r, 6] >= 0 else CENTURY
        year = part(payload, i, registers, r, 5, 7)
        wrong = wrong or century < 0 or year < 0 or year > 99
        month = part(payload, i, registers, r, 4, 4)
        days = days_from(100 * century + year, month, part(payload, i, registers, r, 3, 5))
        wrong = wrong or days < 0 or century > 21  # beyond, nanoseconds leave int64
        if not wrong:
            ahead_ns += days * DAY_S * NS_PER_S
    if wrong:
        return 0, 0.0, np.uint32(BAD_SENSOR_FAILURE)
    return 0, ahead_ns / NS_PER_S, np.uint32(GOOD)


@compiled((numba.uint64, INT, FLOATS), JUDGED, inner=True, forced=True)
def single(pattern: Any, counted: int, counts_per: Any) -> Any:
    """Judge an IEEE 754 single: NaN, infinities and subnormals are no measurement. Its count is exact, then rounded."""
    exponent = np.int64((pattern >> np.uint64(23)) & np.uint64(0xFF))
    mantissa = np.int64(pattern & np.uint64(0x7F_FFFF))
    if exponent == 0xFF or (exponent == 0 and mantissa != 0):
        return 0, 0.0, np.uint32(BAD_SENSOR_FAILURE)
    number = np.float64(np.uint32(pattern).view(np.float32))
    counts: Any = 0
    if counted:
        exact = number * counts_per[0] / counts_per[1]
        counts = np.int64(np.rint(exact)) if -1.0 <= exact <= COUNT_MOST else UNCOUNTABLE
    return counts, number, np.uint32(GOOD)


@compiled((numba.uint64, TABLE, INT), JUDGED, inner=True, forced=True)
def whole(pattern: Any, registers: Any, r: int) -> Any:
    """Judge a pattern of whole counts: bits, integers, packed decimals (all ones: absent)."""
    kind, size, sign = registers[r, R_KIND], registers[r, R_BYTES], registers[r, R_SIGN]
    counts: Any = np.int64(pattern)
    if kind == K_BCD:
        counts = signed_decimal(pattern, size, sign)
        if counts == IMPOSSIBLE:
            return 0, 0.0, np.uint32(BAD_SENSOR_FAILURE)
        return counts, np.float64(counts), np.uint32(GOOD)
    if sign:
        counts = (counts << (64 - sign)) >> (64 - sign)
        return counts, np.float64(counts), np.uint32(GOOD)
    return counts, np.float64(pattern), np.uint32(GOOD)


@compiled((PROGRAM, SLOTS, INT, INT, INT), JUDGED, inner=True, forced=True)
def judge(program: Any, slots: Any, i: int, r: int, offset_s: int) -> Any:
    """Return (counts, number in counts before scale, quality) of register r of device i."""
    registers, payload = program.registers, slots.payload
    kind = registers[r, R_KIND]
    if kind in (K_CLOCK, K_CLOCK_BINARY, K_CLOCK_FLAGGED):
        return clock(payload, i, registers, r, slots.received_ns[i], offset_s)
    if registers[r, R_BYTES] == 0:
        place = registers[r, 0]
        pattern = np.uint64((payload[i, place >> 3] >> np.uint8(place & 7)) & np.uint8(1))
    else:
        pattern = gather(payload, i, registers, r)
    if registers[r, R_HAS_ABSENT] and pattern == program.words[r, ABSENT]:
        return 0, 0.0, np.uint32(BAD_SENSOR_FAILURE)
    if kind == K_FLOAT:
        return single(pattern, registers[r, R_COUNTED], program.counts_per)
    pattern = (pattern & program.words[r, MASK]) >> np.uint64(registers[r, R_SHIFT])
    if kind == K_BIT:
        pattern = pattern & np.uint64(1)
    return whole(pattern, registers, r)


@compiled((PROGRAM, SLOTS, INT, INT, INT), numba.void, inner=True, forced=True)
def measure(program: Any, slots: Any, i: int, r: int, offset_s: int) -> None:
    """Put counts, engineering value and quality of register r of device i into the scratch columns.

    count * numerator / denominator rounds once; a factor 0.1 would round twice.
    """
    counts, number, quality = judge(program, slots, i, r, offset_s)
    numerator = program.factors[slots.ratio[i], r, 0]
    denominator = program.factors[slots.ratio[i], r, 1]
    unit_at = program.registers[r, R_UNIT_AT]
    if unit_at >= 0 and quality < BAD_FROM:
        code = slots.payload[i, unit_at]
        unit = program.registers[r, R_UNIT]
        times, parts = program.units[unit, code, 0], program.units[unit, code, 1]
        numerator *= times
        denominator *= parts
        if times == 0:
            quality = np.uint32(BAD_SENSOR_FAILURE)
        elif program.registers[r, R_COUNTED]:
            if parts != 1:
                quality = np.uint32(BAD_CONFIGURATION_ERROR)  # a part of a count cannot be billed
            counts = counts * times if abs(counts) <= program.head[H_LAST] // times else UNCOUNTABLE
    value = number * numerator / denominator
    if quality == GOOD and (value < program.limits[r, LOW] or value > program.limits[r, HIGH]):
        quality = np.uint32(UNCERTAIN_UNITS_EXCEEDED)
    program.scratch_counts[r] = counts
    program.scratch_values[r] = value
    program.scratch_quality[r] = quality


@compiled((PROGRAM, INT))
def rate(program: Any, n: int) -> Any:
    """Return the counts of rate register n; NO_RATE where there is none, and for one that is bad or out of range."""
    r = program.head[H_RATE + n]
    if r < 0 or program.scratch_quality[r] != GOOD:
        return NO_RATE
    counts = program.scratch_counts[r]
    return counts if 0 <= counts <= program.head[H_LAST] else NO_RATE


@compiled((PROGRAM, SLOTS, STAGED, INT), numba.void, inner=True, forced=True)
def bill(program: Any, slots: Any, staged: Any, i: int) -> None:
    """Stage the register that is charged, exactly as counted; one that cannot be believed leaves the last one."""
    r = program.head[H_BILL]
    if r < 0:
        return
    counts = program.scratch_counts[r]
    possible = 0 <= counts <= program.head[H_LAST]
    if not possible and program.scratch_quality[r] == GOOD:
        program.scratch_quality[r] = np.uint32(UNCERTAIN_UNITS_EXCEEDED)
    point = slots.point[i]
    if point < 0:
        return
    quality = program.scratch_quality[r]
    usable = possible and quality < BAD_FROM
    staged.point_quality[point] = quality
    staged.point_usable[point] = usable
    staged.point_dirty[point] = True
    if usable:
        staged.raw[point] = counts
        staged.rate1_raw[point] = rate(program, 0)
        staged.rate2_raw[point] = rate(program, 1)
        staged.rate3_raw[point] = rate(program, 2)
        staged.rate4_raw[point] = rate(program, 3)
        staged.rate5_raw[point] = rate(program, 4)
        staged.point_time[point] = slots.received_ns[i]


@compiled((PROGRAM,), numba.void, inner=True, forced=True)
def place(program: Any) -> None:
    """Put the Dbpos of the switch in the place of its raw value."""
    r = program.head[H_POSITION]
    if r < 0:
        return
    position = BAD_STATE
    for s in range(len(program.states)):
        if program.states[s, 0] == program.scratch_counts[r]:
            position = program.states[s, 1]
    program.scratch_values[r] = position


@compiled((STAGED, INT, numba.float64, WORD, INT), numba.void, inner=True, forced=True)
def put(staged: Any, row: int, value: float, quality: int, time_ns: int) -> None:
    """Stage one tag; a bad one keeps its old value and time."""
    usable = quality < BAD_FROM
    staged.tag_quality[row] = quality
    staged.tag_usable[row] = usable
    staged.tag_dirty[row] = True
    if usable:
        staged.value[row] = value
        staged.tag_time[row] = time_ns


@compiled((PROGRAM, SLOTS, STAGED, INT, INT, INT))
def decode(program: Any, slots: Any, staged: Any, first: int, last: int, offset_s: int) -> int:
    """Stage every fresh payload of the devices first..last-1 and take its mark away; return how many there were.

    offset_s: local time of the site less UTC, for the clocks of meters.   Twin: bulk_twin.decode
    """
    taken = 0
    for i in range(first, last):
        if slots.fresh[i] == 0:
            continue
        slots.fresh[i] = 0
        taken += 1
        for r in range(len(program.registers)):
            measure(program, slots, i, r, offset_s)
        bill(program, slots, staged, i)
        place(program)
        for r in range(len(program.registers)):
            quality = program.scratch_quality[r]
            put(staged, slots.rows[i, r], program.scratch_values[r], quality, slots.received_ns[i])
        r = program.head[H_POSITION]
        if r >= 0 and slots.position_row[i] >= 0:
            quality = program.scratch_quality[r]
            put(staged, slots.position_row[i], program.scratch_values[r], quality, slots.received_ns[i])
    return taken


@compiled((STAGED, INT, WORD, WORD, INT), numba.void, inner=True, forced=True)
def fail_tag(staged: Any, row: int, quality: int, otherwise: int, spoils: int) -> None:
    """Lower one tag: `quality` where a usable value is held, else `otherwise`; spoils: what is held is given up."""
    if spoils:
        staged.tag_usable[row] = False
    staged.tag_quality[row] = quality if staged.tag_usable[row] else otherwise
    staged.tag_dirty[row] = True


@compiled((PROGRAM, SLOTS, STAGED, INT, INT, WORD, WORD, INT))
def fail(
    program: Any, slots: Any, staged: Any, i: int, offset_s: int, quality: int, otherwise: int, spoils: int
) -> int:
    """Stage that the block of device i has no valid reply, after what had come before; values and times stay.

    quality: of rows that hold a usable value; otherwise: of those that never did; spoils: what they hold is given up
    """
    taken = decode(program, slots, staged, i, i + 1, offset_s)
    for r in range(len(program.registers)):
        fail_tag(staged, slots.rows[i, r], quality, otherwise, spoils)
    if slots.position_row[i] >= 0 and program.head[H_POSITION] >= 0:
        fail_tag(staged, slots.position_row[i], quality, otherwise, spoils)
    point = slots.point[i]
    if point >= 0 and program.head[H_BILL] >= 0:
        if spoils:
            staged.point_usable[point] = False
        staged.point_quality[point] = quality if staged.point_usable[point] else otherwise
        staged.point_dirty[point] = True
    return taken

"""Many charges at once, compiled: blocks of charge rows as the books hold them, computed again from their readings.

Only what a row says about readings (terms, two registers, two times) is believed; segment, rate, tier, tier position,
price, quantity and money are computed from zero and compared. The rows of an interval lie together and in the order in
which the kernel wrote them, the intervals of a point in the order of time.

Rule: no code shared with the live kernel; `replay.py` says the same slowly. Nothing is written to a row.
"""

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from billing_core.columns import E_BOUNDS, E_PERIOD, E_PRICES, E_RATE, E_START_S, Table
from scada.compiled import compiled, inlined

# Columns of a block: a charge as it is stored.
B_SEQ: Final = 0
B_LINE: Final = 1
B_TERMS: Final = 2
B_RAW_FROM: Final = 3
B_FROM_S: Final = 4
B_RAW_TO: Final = 5
B_TO_S: Final = 6
B_SEGMENT_FROM_S: Final = 7
B_SEGMENT_TO_S: Final = 8
B_RATE: Final = 9
B_TIER: Final = 10
B_POSITION: Final = 11
B_PRICE_MICRO: Final = 12
B_MILLI: Final = 13
B_NANO: Final = 14
B_KIND: Final = 15
B_METHOD: Final = 16
B_REVERSES_SEQ: Final = 17  # 0: none
B_REVERSES_LINE: Final = 18
BLOCK_WIDTH: Final = 19

# What terms of supply mean, by their number in the books.
M_POINT: Final = 0  # row of `points`, -1 for terms that do not exist
M_SCHEDULE: Final = 1  # which schedule
M_PER_COUNT: Final = 2
M_MODULUS: Final = 3
MEANS_WIDTH: Final = 4

# What is known of a point so far.
P_RAW: Final = 0
P_S: Final = 1  # time of the last reading, -1 before the first
P_POSITION: Final = 2
P_PERIOD: Final = 3
P_ENTRY: Final = 4  # where its last interval ended in the schedules of this window
P_MILLI: Final = 5
P_NANO: Final = 6
POINT_WIDTH: Final = 7
NO_PERIOD_YET: Final = -(2**62)

# Why `check` stopped at a row.
SAME: Final = 0
OTHER_KIND: Final = 1  # not computed here: a reversal, an estimate, a split by rate registers
NO_CHAIN: Final = 2  # does not begin where the interval before ended
NO_SCHEDULE: Final = 3  # outside the schedules of this window, or in a minute without price
DIFFERENT: Final = 4

TABLE: Final = numba.int64[:, ::1]
COLUMN: Final = numba.int64[::1]
INT: Final = numba.int64
PAIR: Final = numba.types.UniTuple(numba.int64, 2)


def fresh_points(count: int) -> Table:
    """Return (count, POINT_WIDTH) points that no charge of was seen yet."""
    points = np.zeros((count, POINT_WIDTH), dtype=np.int64)
    points[:, (P_S, P_ENTRY)] = -1
    points[:, P_PERIOD] = NO_PERIOD_YET
    return points


@inlined
def _share(quantity: int, elapsed_s: int, total_s: int) -> int:
    """Return floor(quantity * elapsed_s / total_s) without a product above the int64 scale; 0 <= elapsed <= total."""
    whole = quantity // total_s
    return whole * elapsed_s + (quantity - whole * total_s) * elapsed_s // total_s


@inlined
def _seek(entries: Table, low: int, high: int, hint: int, at_s: int) -> int:
    """Return the entry of [low, high) in force at at_s, -1 when there is none. hint: that one, or just before."""
    if low <= hint < high - 1 and entries[hint, E_START_S] <= at_s:
        if at_s < entries[hint + 1, E_START_S]:
            return hint
        if hint + 2 < high and at_s < entries[hint + 2, E_START_S]:
            return hint + 1
    first = low
    while low < high:
        middle = (low + high) // 2
        if entries[middle, E_START_S] <= at_s:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low > first else -1


@inlined
def _reads(rows: Table, row: int, other: int) -> bool:
    """Tell whether two rows carry the same terms and readings."""
    return bool(
        rows[row, B_TERMS] == rows[other, B_TERMS]
        and rows[row, B_RAW_FROM] == rows[other, B_RAW_FROM]
        and rows[row, B_FROM_S] == rows[other, B_FROM_S]
        and rows[row, B_RAW_TO] == rows[other, B_RAW_TO]
        and rows[row, B_TO_S] == rows[other, B_TO_S]
    )


@inlined
def _says(
    rows: Table,
    row: int,
    at_s: int,
    until_s: int,
    rate: int,
    tier: int,
    position: int,
    price: int,
    milli: int,
    method: int,
) -> bool:
    """Tell whether a row is the charge that its readings make."""
    return bool(
        rows[row, B_MILLI] == milli
        and rows[row, B_NANO] == milli * price
        and rows[row, B_PRICE_MICRO] == price
        and rows[row, B_RATE] == rate
        and rows[row, B_TIER] == tier
        and rows[row, B_POSITION] == position
        and rows[row, B_SEGMENT_FROM_S] == at_s
        and rows[row, B_SEGMENT_TO_S] == until_s
        and rows[row, B_METHOD] == method
        and rows[row, B_KIND] == 0
    )  # fmt: skip


@inlined
def _interval(
    rows: Table,
    i: int,
    milli: int,
    points: Table,
    p: int,
    entries: Table,
    k: int,
    end: int,
    prices: Table,
    bounds: Table,
    volume: npt.NDArray[Any],
) -> tuple[int, int]:
    """Compute the rows of one interval again, from row i on; return (row after them, SAME), or why not.

    The point is moved on when all agree.

    milli > 0 used between the two readings; k < end - 1: entry in force at the first one
    """
    from_s, to_s = rows[i, B_FROM_S], rows[i, B_TO_S]
    position, period = points[p, P_POSITION], points[p, P_PERIOD]
    method = 0 if to_s <= entries[k + 1, E_START_S] else 1
    row = i
    at_s = from_s
    done = nano = 0
    while at_s < to_s:
        limits = entries[k, E_BOUNDS]
        if k + 1 >= end or entries[k, E_PRICES] < 0:
            return i, NO_SCHEDULE
        if volume[limits]:
            return i, OTHER_KIND
        until_s = min(entries[k + 1, E_START_S], to_s)
        upto = milli if until_s == to_s else _share(milli, until_s - from_s, to_s - from_s)
        part = upto - done
        if entries[k, E_PERIOD] != period:
            position, period = 0, entries[k, E_PERIOD]
        while part > 0:
            tier = 0
            while position >= bounds[limits, tier]:
                tier += 1
            take = min(part, bounds[limits, tier] - position)
            price = prices[entries[k, E_PRICES], tier]
            if row >= rows.shape[0] or not (
                _says(rows, row, at_s, until_s, entries[k, E_RATE], tier, position, price, take, method)
                and _reads(rows, row, i)
            ):
                return i, DIFFERENT
            row += 1
            nano += take * price
            position += take
            part -= take
        done = upto
        at_s = until_s
        k += 1
    points[p, P_RAW], points[p, P_S] = rows[i, B_RAW_TO], to_s
    points[p, P_POSITION], points[p, P_PERIOD] = position, period
    points[p, P_ENTRY] = k - 1
    points[p, P_MILLI] += milli
    points[p, P_NANO] += nano
    return row, SAME


@compiled((TABLE, INT, TABLE, TABLE, TABLE, COLUMN, TABLE, TABLE, COLUMN), PAIR)
def check(
    rows: Table,
    begin: int,
    means: Table,
    points: Table,
    entries: Table,
    first: npt.NDArray[Any],
    prices: Table,
    bounds: Table,
    volume: npt.NDArray[Any],
) -> tuple[int, int]:
    """Compute rows from `begin` on again; return (first row not agreed on, why) or (number of rows, SAME).

    rows   (n, BLOCK_WIDTH), the last interval complete       means  (terms, MEANS_WIDTH)
    points (p, POINT_WIDTH), moved on by every interval that agrees, and only by those
    entries, first, prices, bounds, volume   as schedule.Schedules has them

    Intervals under volume tiers are OTHER_KIND: they are rare, and an uplift may follow them.
    """
    i = begin
    while i < rows.shape[0]:
        terms = rows[i, B_TERMS]
        p = means[terms, M_POINT]
        if rows[i, B_KIND] != 0 or rows[i, B_METHOD] > 1 or p < 0:
            return i, OTHER_KIND
        if points[p, P_S] >= 0 and (rows[i, B_RAW_FROM] != points[p, P_RAW] or rows[i, B_FROM_S] < points[p, P_S]):
            return i, NO_CHAIN
        counts = rows[i, B_RAW_TO] - rows[i, B_RAW_FROM]
        if counts < 0:
            counts += means[terms, M_MODULUS]
        milli = counts * means[terms, M_PER_COUNT]
        if milli <= 0:  # no charge is made of nothing
            return i, DIFFERENT
        schedule = means[terms, M_SCHEDULE]
        end = first[schedule + 1]
        k = _seek(entries, first[schedule], end, points[p, P_ENTRY], rows[i, B_FROM_S])
        if k < 0 or k + 1 >= end or rows[i, B_TO_S] <= rows[i, B_FROM_S]:
            return i, NO_SCHEDULE
        row, why = _interval(rows, i, milli, points, p, entries, k, end, prices, bounds, volume)
        if why != SAME:
            return i, why
        i = row
    return i, SAME

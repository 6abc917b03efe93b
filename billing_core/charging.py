"""The compiled steps that turn open charges and intervals into rows, and find their place in the calendar.

Rule: plain functions over the int64 tables of columns.py, called by the kernel for the readings that are not the common
case, and by the engine for checkpoints and new calendars.
"""

from typing import Any, Final

import numba
import numpy.typing as npt

from billing_core.columns import (
    C_PRICE,
    C_RATE,
    C_START_S,
    NO_PRICE,
    R_FROM_S,
    R_MILLI,
    R_NANO,
    R_POINT,
    R_PRICE_MICRO,
    R_RATE,
    R_RAW_FROM,
    R_RAW_TO,
    R_SEGMENT_FROM_S,
    R_SEGMENT_TO_S,
    R_TO_S,
    S_LAST_RAW,
    S_LAST_S,
    S_OPEN_END_S,
    S_OPEN_PRICE,
    S_OPEN_RATE,
    S_OPEN_RAW,
    S_OPEN_S,
    T_MILLI_PER_COUNT,
    T_MODULUS,
    T_TARIFF,
    Table,
)
from billing_core.compiled import compiled, inlined

TABLE: Final = numba.int64[:, ::1]
COLUMN: Final = numba.int64[::1]
INT: Final = numba.int64
TRIPLE: Final = numba.types.UniTuple(numba.int64, 3)


@inlined
def split(quantity: int, elapsed_s: int, total_s: int) -> int:
    """Return floor(quantity * elapsed_s / total_s) without a product above the int64 scale; 0 <= elapsed <= total."""
    whole = quantity // total_s
    rest = quantity - whole * total_s
    return whole * elapsed_s + rest * elapsed_s // total_s


@inlined
def find(entries: Table, low: int, high: int, at_s: int) -> int:
    """Return the entry in [low, high) in force at at_s; low - 1 when at_s lies before the window."""
    first = low
    while low < high:
        middle = (low + high) // 2
        if entries[middle, C_START_S] <= at_s:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low > first else -1


@compiled((TABLE, TABLE, TABLE, COLUMN, INT), numba.void)
def place(state: Table, terms: Table, entries: Table, first: npt.NDArray[Any], i: int) -> None:
    """Begin a new open charge of point i at its last billed reading, in the calendar entry in force there."""
    tariff = terms[i, T_TARIFF]
    k = find(entries, first[tariff], first[tariff + 1], state[i, S_LAST_S])
    state[i, S_OPEN_RAW] = state[i, S_LAST_RAW]
    state[i, S_OPEN_S] = state[i, S_LAST_S]
    if k < 0 or k + 1 >= first[tariff + 1]:  # outside the window: the next reading takes the long way
        state[i, S_OPEN_END_S] = state[i, S_LAST_S]
        state[i, S_OPEN_PRICE] = NO_PRICE
        state[i, S_OPEN_RATE] = 0
    else:
        state[i, S_OPEN_END_S] = entries[k + 1, C_START_S]
        state[i, S_OPEN_PRICE] = entries[k, C_PRICE]
        state[i, S_OPEN_RATE] = entries[k, C_RATE]


@compiled((TABLE, TABLE, TABLE, INT, INT))
def close(state: Table, terms: Table, rows: Table, used: int, i: int) -> int:
    """Turn the open charge of point i into a row when it holds any quantity; return the rows used. Needs one free."""
    counts = state[i, S_LAST_RAW] - state[i, S_OPEN_RAW]
    if counts == 0:
        return used
    if counts < 0:  # only a row of its own may roll over, so at most once
        counts += terms[i, T_MODULUS]
    milli = counts * terms[i, T_MILLI_PER_COUNT]
    rows[used, R_POINT] = i
    rows[used, R_RAW_FROM] = state[i, S_OPEN_RAW]
    rows[used, R_FROM_S] = state[i, S_OPEN_S]
    rows[used, R_RAW_TO] = state[i, S_LAST_RAW]
    rows[used, R_TO_S] = state[i, S_LAST_S]
    rows[used, R_SEGMENT_FROM_S] = state[i, S_OPEN_S]
    rows[used, R_SEGMENT_TO_S] = state[i, S_LAST_S]
    rows[used, R_RATE] = state[i, S_OPEN_RATE]
    rows[used, R_PRICE_MICRO] = state[i, S_OPEN_PRICE]
    rows[used, R_MILLI] = milli
    rows[used, R_NANO] = milli * state[i, S_OPEN_PRICE]
    state[i, S_OPEN_RAW] = state[i, S_LAST_RAW]
    state[i, S_OPEN_S] = state[i, S_LAST_S]
    return used + 1


@compiled((TABLE, TABLE, TABLE, INT))
def close_all(state: Table, terms: Table, rows: Table, used: int) -> int:
    """Turn every open charge into a row, for a checkpoint; return the rows used. Needs n_points free."""
    for i in range(state.shape[0]):
        used = close(state, terms, rows, used, i)
    return used


@compiled((TABLE, TABLE, TABLE, COLUMN, INT), numba.void)
def renew_all(state: Table, terms: Table, entries: Table, first: npt.NDArray[Any], old_to_s: int) -> None:
    """Find every point's place in a new calendar that takes over from one that ended at old_to_s.

    An open charge that ran to the old window's end goes on to the true end of its entry: same price, no false border.
    """
    for i in range(state.shape[0]):
        if state[i, S_LAST_S] < 0:
            continue
        if state[i, S_OPEN_PRICE] < 0:
            place(state, terms, entries, first, i)
        elif state[i, S_OPEN_END_S] == old_to_s:
            tariff = terms[i, T_TARIFF]
            k = find(entries, first[tariff], first[tariff + 1], old_to_s - 1)
            state[i, S_OPEN_END_S] = entries[k + 1, C_START_S]


@compiled((TABLE, COLUMN, INT, INT, INT, INT), TRIPLE)
def weigh(
    entries: Table, first: npt.NDArray[Any], tariff: int, from_s: int, to_s: int, milli: int
) -> tuple[int, int, int]:
    """Price an interval without writing it. Return (number of entries touched or -1 no price, nano, first entry)."""
    k = begin = find(entries, first[tariff], first[tariff + 1], from_s)
    if k < 0:
        return -1, 0, 0
    done = nano = 0
    end = first[tariff + 1]
    while True:
        price = entries[k, C_PRICE]
        if price < 0 or k + 1 >= end:
            return -1, 0, 0
        until_s = min(entries[k + 1, C_START_S], to_s)
        upto = split(milli, until_s - from_s, to_s - from_s)
        nano += (upto - done) * price
        done = upto
        k += 1
        if until_s == to_s:
            return k - begin, nano, begin


@compiled((TABLE, TABLE, TABLE, INT, INT, INT, INT, INT, INT))
def write_split(
    state: Table, entries: Table, rows: Table, used: int, i: int, k: int, raw: int, to_s: int, milli: int
) -> int:
    """Write the interval from the last billed reading to (raw, to_s) as rows, one per entry that got a quantity."""
    from_s = state[i, S_LAST_S]
    at_s = from_s
    done = 0
    while at_s < to_s:
        until_s = min(entries[k + 1, C_START_S], to_s)
        upto = split(milli, until_s - from_s, to_s - from_s)
        if upto > done:
            rows[used, R_POINT] = i
            rows[used, R_RAW_FROM] = state[i, S_LAST_RAW]
            rows[used, R_FROM_S] = from_s
            rows[used, R_RAW_TO] = raw
            rows[used, R_TO_S] = to_s
            rows[used, R_SEGMENT_FROM_S] = at_s
            rows[used, R_SEGMENT_TO_S] = until_s
            rows[used, R_RATE] = entries[k, C_RATE]
            rows[used, R_PRICE_MICRO] = entries[k, C_PRICE]
            rows[used, R_MILLI] = upto - done
            rows[used, R_NANO] = (upto - done) * entries[k, C_PRICE]
            used += 1
        done = upto
        at_s = until_s
        k += 1
    return used

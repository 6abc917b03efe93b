"""The compiled steps that price an interval: find the entry, split at its borders and at tier borders, write rows.

Rule: plain functions over the tables of desk.py, called by the kernel for the readings that are not the common case,
and by the engine for checkpoints, new schedules and changes by a person.
"""

from typing import Final

import numba

from billing_core.columns import (
    E_BOUNDS,
    E_PERIOD,
    E_PRICES,
    E_RATE,
    E_START_S,
    KIND_METERED,
    KIND_UPLIFT,
    METHOD_READ,
    METHOD_REGISTERS,
    METHOD_TIME,
    NO_PRICE,
    R_FROM_S,
    R_KIND,
    R_METHOD,
    R_MILLI,
    R_NANO,
    R_POINT,
    R_POSITION_MILLI,
    R_PRICE_MICRO,
    R_RATE,
    R_RAW_FROM,
    R_RAW_TO,
    R_SEGMENT_FROM_S,
    R_SEGMENT_TO_S,
    R_TERMS,
    R_TIER,
    R_TO_S,
    RATES_MOST,
    S_CHANGED_SCAN,
    S_LAST_RAW,
    S_LAST_S,
    S_OPEN_BOUND,
    S_OPEN_END_S,
    S_OPEN_POSITION,
    S_OPEN_PRICE,
    S_OPEN_RATE,
    S_OPEN_RAW,
    S_OPEN_S,
    S_OPEN_TIER,
    S_PERIOD,
    S_POSITION_MILLI,
    S_RATE_RAW,
    T_MILLI_PER_COUNT,
    T_MODULUS,
    T_SCHEDULE,
    T_TERMS,
    Table,
)
from billing_core.desk import DESK, INT, Desk
from billing_core.rate_registers import by_registers, split, take
from scada.compiled import compiled, inlined

QUAD: Final = numba.types.UniTuple(numba.int64, 4)
TRIPLE: Final = numba.types.UniTuple(numba.int64, 3)


@inlined
def find(entries: Table, low: int, high: int, at_s: int) -> int:
    """Return the entry in [low, high) in force at at_s; -1 when at_s lies before the window."""
    first = low
    while low < high:
        middle = (low + high) // 2
        if entries[middle, E_START_S] <= at_s:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low > first else -1


@compiled((DESK, INT), numba.void)
def place(desk: Desk, i: int) -> None:
    """Begin a new open charge of point i at its last billed reading, in the entry and tier in force there.

    Volume tiers: a position exactly at a bound leaves no room in the open charge, so that the next count takes the long
    way and posts the uplift. Graduated tiers: it stands at the begin of the next tier.
    """
    state, entries = desk.state, desk.entries
    end = desk.first[desk.terms[i, T_SCHEDULE] + 1]
    k = find(entries, desk.first[desk.terms[i, T_SCHEDULE]], end, state[i, S_LAST_S])
    state[i, S_OPEN_RAW] = state[i, S_LAST_RAW]
    state[i, S_OPEN_S] = state[i, S_LAST_S]
    state[i, S_OPEN_END_S] = state[i, S_LAST_S]
    state[i, S_OPEN_PRICE] = NO_PRICE
    state[i, S_OPEN_RATE] = state[i, S_OPEN_TIER] = 0
    if k < 0 or k + 1 >= end:  # outside the window: the next reading takes the long way
        return
    if entries[k, E_PERIOD] != state[i, S_PERIOD]:
        state[i, S_PERIOD] = entries[k, E_PERIOD]
        state[i, S_POSITION_MILLI] = 0
    position = state[i, S_POSITION_MILLI]
    limits = entries[k, E_BOUNDS]
    tier = 0
    while desk.bounds[limits, tier] < position or (desk.bounds[limits, tier] == position and desk.volume[limits] == 0):
        tier += 1
    state[i, S_OPEN_POSITION] = position
    state[i, S_OPEN_BOUND] = desk.bounds[limits, tier]
    state[i, S_OPEN_TIER] = tier
    state[i, S_OPEN_END_S] = entries[k + 1, E_START_S]
    state[i, S_OPEN_RATE] = entries[k, E_RATE]
    if entries[k, E_PRICES] >= 0:
        state[i, S_OPEN_PRICE] = desk.prices[entries[k, E_PRICES], tier]


@compiled((DESK, INT), numba.void)
def show(desk: Desk, i: int) -> None:
    """Put the price of the next unit of point i, at the instant of the scan, where people see it."""
    entries, begin, end = desk.entries, desk.first[desk.terms[i, T_SCHEDULE]], desk.first[desk.terms[i, T_SCHEDULE] + 1]
    k = find(entries, begin, end, desk.now_s[0])
    price, rate = NO_PRICE, 0
    if k >= 0 and entries[k, E_PRICES] >= 0:
        position = desk.state[i, S_POSITION_MILLI] if entries[k, E_PERIOD] == desk.state[i, S_PERIOD] else 0
        tier = 0
        while desk.bounds[entries[k, E_BOUNDS], tier] <= position:
            tier += 1
        price, rate = desk.prices[entries[k, E_PRICES], tier], entries[k, E_RATE]
    if price != desk.price_micro[i] or rate != desk.rate[i]:
        desk.price_micro[i] = price
        desk.rate[i] = rate
        desk.state[i, S_CHANGED_SCAN] = desk.now_s[1]


@compiled((DESK,), numba.void)
def show_all(desk: Desk) -> None:
    """Show every point's price."""
    for i in range(desk.state.shape[0]):
        show(desk, i)


@compiled((DESK, INT, INT))
def close(desk: Desk, used: int, i: int) -> int:
    """Turn the open charge of point i into a row when it holds any quantity; return the rows used. Needs one free."""
    state, rows = desk.state, desk.rows
    counts = state[i, S_LAST_RAW] - state[i, S_OPEN_RAW]
    if counts == 0:
        return used
    if counts < 0:  # only a row of its own may roll over, so at most once
        counts += desk.terms[i, T_MODULUS]
    rows[used, R_POINT] = i
    rows[used, R_TERMS] = desk.terms[i, T_TERMS]
    rows[used, R_RAW_FROM] = state[i, S_OPEN_RAW]
    rows[used, R_FROM_S] = rows[used, R_SEGMENT_FROM_S] = state[i, S_OPEN_S]
    rows[used, R_RAW_TO] = state[i, S_LAST_RAW]
    rows[used, R_TO_S] = rows[used, R_SEGMENT_TO_S] = state[i, S_LAST_S]
    rows[used, R_RATE] = state[i, S_OPEN_RATE]
    rows[used, R_TIER] = state[i, S_OPEN_TIER]
    rows[used, R_POSITION_MILLI] = state[i, S_OPEN_POSITION]
    rows[used, R_PRICE_MICRO] = state[i, S_OPEN_PRICE]
    rows[used, R_MILLI] = counts * desk.terms[i, T_MILLI_PER_COUNT]
    rows[used, R_NANO] = rows[used, R_MILLI] * state[i, S_OPEN_PRICE]
    rows[used, R_KIND] = KIND_METERED
    rows[used, R_METHOD] = METHOD_READ
    state[i, S_OPEN_POSITION] += rows[used, R_MILLI]
    state[i, S_OPEN_RAW] = state[i, S_LAST_RAW]
    state[i, S_OPEN_S] = state[i, S_LAST_S]
    return used + 1


@compiled((DESK, INT))
def close_all(desk: Desk, used: int) -> int:
    """Turn every open charge into a row, for a checkpoint; return the rows used. Needs n_points free."""
    for i in range(desk.state.shape[0]):
        used = close(desk, used, i)
    return used


@compiled((DESK, INT), numba.void)
def renew_all(desk: Desk, old_to_s: int) -> None:
    """Find every point's place in new schedules that take over from ones that ended at old_to_s.

    An open charge that ran to the old window's end goes on to the true end of its entry: same price, no false border.
    """
    state, entries = desk.state, desk.entries
    for i in range(state.shape[0]):
        if state[i, S_LAST_S] < 0:
            continue
        if state[i, S_OPEN_PRICE] < 0:
            place(desk, i)
        elif state[i, S_OPEN_END_S] == old_to_s:
            schedule = desk.terms[i, T_SCHEDULE]
            k = find(entries, desk.first[schedule], desk.first[schedule + 1], old_to_s - 1)
            state[i, S_OPEN_END_S] = entries[k + 1, E_START_S]


@compiled((DESK, INT, INT, INT, INT, INT), TRIPLE, inner=True)
def slices(desk: Desk, used: int, k: int, position: int, quantity: int, write: int) -> tuple[int, int, int]:
    """Split what lies in entry k at tier borders, from a tier position on. Return (parts, nano, position after).

    Volume tiers: the first unit beyond a bound raises all units of the period before it to the new price (an uplift).
    """
    limits, row = desk.entries[k, E_BOUNDS], desk.entries[k, E_PRICES]
    parts = nano = tier = 0
    while desk.bounds[limits, tier] < position:
        tier += 1
    while quantity > 0:
        before, price, kind = position, desk.prices[row, tier], KIND_METERED
        milli = min(desk.bounds[limits, tier] - position, quantity)
        if milli == 0:  # at the bound, and more comes
            tier += 1
            milli, price, kind = position, desk.prices[row, tier] - price, KIND_UPLIFT
            if desk.volume[limits] == 0 or milli == 0 or price == 0:
                continue
        else:
            position += milli
            quantity -= milli
        nano += milli * price
        if write != 0:
            rows = desk.rows
            rows[used + parts, R_TIER] = tier
            rows[used + parts, R_POSITION_MILLI] = before
            rows[used + parts, R_PRICE_MICRO] = price
            rows[used + parts, R_MILLI] = milli
            rows[used + parts, R_NANO] = milli * price
            rows[used + parts, R_KIND] = kind
        parts += 1
    return parts, nano, position


@compiled((DESK, INT, INT, INT, INT, INT, INT, INT, INT, INT), numba.void, inner=True)
def label(
    desk: Desk, begin: int, end: int, i: int, raw: int, to_s: int, at_s: int, until_s: int, rate: int, method: int
) -> None:
    """Write what rows [begin, end) share: both readings, their part of the interval, its rate and how it was found."""
    for used in range(begin, end):
        row = desk.rows[used]
        row[R_POINT] = i
        row[R_TERMS] = desk.terms[i, T_TERMS]
        row[R_RAW_FROM] = desk.state[i, S_LAST_RAW]
        row[R_FROM_S] = desk.state[i, S_LAST_S]
        row[R_RAW_TO] = raw
        row[R_TO_S] = to_s
        row[R_SEGMENT_FROM_S] = at_s
        row[R_SEGMENT_TO_S] = until_s
        row[R_RATE] = rate
        row[R_METHOD] = method


@compiled((DESK, INT, INT, INT, INT, INT, INT), QUAD, inner=True)
def spread(desk: Desk, used: int, i: int, raw: int, to_s: int, milli: int, write: int) -> tuple[int, int, int, int]:
    """Price the interval from the last billed reading of point i to (raw, to_s); write its rows when `write` is set.

    Return (parts, nano, tier position after, its period); parts is -1 when a second of it has no price. milli > 0.
    """
    state, entries, from_s = desk.state, desk.entries, desk.state[i, S_LAST_S]
    schedule = desk.terms[i, T_SCHEDULE]
    end = desk.first[schedule + 1]
    k = find(entries, desk.first[schedule], end, from_s)
    if k < 0 or k + 1 >= end:
        return -1, 0, 0, 0
    method = METHOD_READ
    if to_s > entries[k + 1, E_START_S]:
        method = METHOD_REGISTERS if by_registers(desk, i, k, end, to_s, milli) != 0 else METHOD_TIME
    position, period = state[i, S_POSITION_MILLI], state[i, S_PERIOD]
    at_s, done, parts, nano = from_s, 0, 0, 0
    while at_s < to_s:
        if k + 1 >= end or entries[k, E_PRICES] < 0:
            return -1, 0, 0, 0
        if entries[k, E_PERIOD] != period:
            position, period = 0, entries[k, E_PERIOD]
        until_s = min(entries[k + 1, E_START_S], to_s)
        if method == METHOD_REGISTERS:
            share = take(desk, entries[k, E_RATE], until_s - at_s)
        else:
            upto = split(milli, until_s - from_s, to_s - from_s)
            share, done = upto - done, upto
        found, more, position = slices(desk, used + parts, k, position, share, write)
        if write != 0:
            label(desk, used + parts, used + parts + found, i, raw, to_s, at_s, until_s, entries[k, E_RATE], method)
        parts, nano, at_s, k = parts + found, nano + more, until_s, k + 1
    if write != 0 and method == METHOD_REGISTERS:
        for rate in range(RATES_MOST):
            desk.evidence[used, rate] = state[i, S_RATE_RAW + rate]
            desk.evidence[used, RATES_MOST + rate] = desk.rate_raw[i, rate]
    return parts, nano, position, period

"""One scan of all supply points, compiled: judge each new register, charge it, debit its account.

Rule: plain functions over int64 tables and scalars; no `self`, no allocation, explicit signatures, compiled before the
first scan. `reference.py` says the same slowly; tests hold the two against each other.

Per point an *open charge* runs from (OPEN_RAW, OPEN_S) to (LAST_RAW, LAST_S) inside one entry of its schedule and one
tier, and grows with each reading. It becomes a row when the entry ends, when the next tier begins, when the register
rolls over, or when the engine cuts a checkpoint. An interval that crosses borders is split (charging.py); each part is
a row that carries both readings.

The common reading, inside the fences of its point (fences.py), is billed in the loop of `bill_scan`; everything else
by `bill_point`.
"""

from typing import Any, Final

import numba
import numpy.typing as npt

from billing_core.bounds import TOTAL_MAX
from billing_core.charging import close, find, label, place, show, slices, spread
from billing_core.columns import (
    E_PERIOD,
    E_PRICES,
    E_RATE,
    HELD_JUMP,
    HELD_LIMIT,
    HELD_METER,
    HELD_NO_PRICE,
    HELD_NONE,
    HELD_RANGE,
    HELD_REVERSE,
    KIND_ESTIMATE,
    KIND_METERED,
    METHOD_PERSON,
    R_KIND,
    RATES_MOST,
    S_BILLED_MILLI,
    S_CHANGED_SCAN,
    S_CHARGED_NANO,
    S_FIRST_RAW,
    S_FIRST_S,
    S_HELD,
    S_HELD_RAW,
    S_HELD_S,
    S_LAST_RAW,
    S_LAST_S,
    S_MOVED_S,
    S_OPEN_BOUND,
    S_OPEN_END_S,
    S_OPEN_PRICE,
    S_PERIOD,
    S_POSITION_MILLI,
    S_RATE_RAW,
    T_ACCOUNT,
    T_MAX_MILLI_PER_S,
    T_MILLI_PER_COUNT,
    T_MODULUS,
    T_READING_MAX_MILLI,
    T_SCHEDULE,
    Table,
)
from billing_core.desk import COLUMN, DESK, INT, PAIR, TABLE, Desk
from billing_core.fences import raise_fences, settle
from billing_core.registers import REFRESH_S_MAX, follow
from scada.compiled import compiled

NS_PER_S: Final = 1_000_000_000
UNCERTAIN_FROM: Final = 0x4000_0000  # OPC 10000-4: the two top bits are 00 for Good; only Good is billed
ALWAYS: Final = 2**62  # an instant after every reading
WAITING: Final = -1  # no room for the rows of this point now; its register stands and is billed later


@compiled((TABLE, TABLE, INT, INT, INT, INT, INT), numba.void, inner=True)
def hold(state: Table, terms: Table, scan: int, i: int, reason: int, raw: int, now_s: int) -> None:
    """Hold point i: its last billed register stands. A reading out of range is no place to compare the next with."""
    if state[i, S_HELD] != reason:
        state[i, S_HELD] = reason
        state[i, S_CHANGED_SCAN] = scan
    if 0 <= raw < terms[i, T_MODULUS]:
        state[i, S_HELD_RAW] = raw
        state[i, S_HELD_S] = now_s


@compiled((TABLE, TABLE, INT, INT, INT), PAIR, inner=True)
def judge(state: Table, terms: Table, i: int, raw: int, now_s: int) -> tuple[int, int]:
    """Return (reason to hold point i or HELD_NONE, counts) by the rules of registers.py. now_s > LAST_S."""
    held = state[i, S_HELD]
    modulus = terms[i, T_MODULUS]
    doubted = held in (HELD_REVERSE, HELD_JUMP)
    if held == HELD_METER or (doubted and now_s <= state[i, S_HELD_S]):
        return held, 0
    if raw < 0 or raw >= modulus:
        return (held if doubted else HELD_RANGE), 0
    per_count = terms[i, T_MILLI_PER_COUNT]
    rate = terms[i, T_MAX_MILLI_PER_S]
    most = terms[i, T_READING_MAX_MILLI]
    last_s = state[i, S_LAST_S]
    reason, counts = follow(
        state[i, S_LAST_RAW], last_s, state[i, S_MOVED_S], raw, now_s, per_count, modulus, rate, most
    )
    if doubted:
        doubt_s = state[i, S_HELD_S]
        still_s = doubt_s - REFRESH_S_MAX
        doubt, _ = follow(state[i, S_HELD_RAW], doubt_s, still_s, raw, now_s, per_count, modulus, rate, most)
        if reason != HELD_NONE or doubt == HELD_NONE:
            return held, 0
    return reason, counts


@compiled((DESK, INT, INT, INT, INT), inner=True)
def begin(desk: Desk, scan: int, i: int, raw: int, now_s: int) -> int:
    """Take the first good reading of point i as the register from which it is billed; return HELD_NONE or a reason."""
    state = desk.state
    if raw < 0 or raw >= desk.terms[i, T_MODULUS]:
        return HELD_RANGE
    if state[i, S_HELD] == HELD_METER:
        return HELD_METER
    state[i, S_LAST_RAW] = state[i, S_FIRST_RAW] = raw
    state[i, S_LAST_S] = state[i, S_FIRST_S] = state[i, S_MOVED_S] = now_s
    state[i, S_HELD] = HELD_NONE
    state[i, S_CHANGED_SCAN] = scan
    place(desk, i)
    return HELD_NONE


@compiled((DESK, INT, INT, INT, INT, INT, INT, INT), PAIR)
def charge(desk: Desk, used: int, room: int, scan: int, i: int, raw: int, now_s: int, counts: int) -> tuple[int, int]:
    """Charge `counts` to point i and debit its account. Return (HELD_NONE, WAITING or a reason to hold, rows used)."""
    state, account = desk.state, desk.terms[i, T_ACCOUNT]
    milli = counts * desk.terms[i, T_MILLI_PER_COUNT]
    position, period = state[i, S_POSITION_MILLI] + milli, state[i, S_PERIOD]
    grows = now_s <= state[i, S_OPEN_END_S] and state[i, S_OPEN_PRICE] >= 0
    grows = grows and raw >= state[i, S_LAST_RAW] and position <= state[i, S_OPEN_BOUND]
    parts = nano = 0
    if grows:
        nano = milli * state[i, S_OPEN_PRICE]
    elif counts > 0:
        parts, nano, position, period = spread(desk, used, i, raw, now_s, milli, 0)
        if parts < 0:
            return HELD_NO_PRICE, used
    billed, charged = state[i, S_BILLED_MILLI] + milli, state[i, S_CHARGED_NANO] + nano
    left_nano = desk.balance_nano[account] - nano
    if billed > TOTAL_MAX or abs(charged) > TOTAL_MAX or abs(left_nano) > TOTAL_MAX or position > TOTAL_MAX:
        return HELD_LIMIT, used
    if not grows:
        if used + parts + 1 > room:
            return WAITING, used
        used = close(desk, used, i)
        if counts > 0:
            spread(desk, used, i, raw, now_s, milli, 1)
            used += parts
    state[i, S_LAST_RAW] = raw
    state[i, S_LAST_S] = now_s
    if counts > 0:
        state[i, S_MOVED_S] = now_s
        state[i, S_POSITION_MILLI] = position
        state[i, S_PERIOD] = period
        state[i, S_BILLED_MILLI] = billed
        state[i, S_CHARGED_NANO] = charged
        state[i, S_CHANGED_SCAN] = scan
        desk.balance_nano[account] = left_nano
        desk.account_scan[account] = scan
    if not grows:
        place(desk, i)
        show(desk, i)
    return HELD_NONE, used


@compiled((DESK, INT, INT, INT, INT, INT), PAIR)
def estimate(desk: Desk, used: int, room: int, scan: int, i: int, milli: int) -> tuple[int, int]:
    """Charge a quantity that a person gave, at the price of the present instant, between the last register and now.

    Return (HELD_NONE, WAITING or why it cannot be charged, rows used); nothing is done unless HELD_NONE.
    """
    state, account, at_s = desk.state, desk.terms[i, T_ACCOUNT], desk.now_s[0]
    schedule = desk.terms[i, T_SCHEDULE]
    k = find(desk.entries, desk.first[schedule], desk.first[schedule + 1], at_s)
    if k < 0 or desk.entries[k, E_PRICES] < 0:
        return HELD_NO_PRICE, used
    if desk.entries[k, E_PERIOD] != state[i, S_PERIOD]:
        state[i, S_POSITION_MILLI], state[i, S_PERIOD] = 0, desk.entries[k, E_PERIOD]
    parts, nano, position = slices(desk, used, k, state[i, S_POSITION_MILLI], milli, 0)
    billed, charged = state[i, S_BILLED_MILLI] + milli, state[i, S_CHARGED_NANO] + nano
    left_nano = desk.balance_nano[account] - nano
    if billed > TOTAL_MAX or abs(charged) > TOTAL_MAX or abs(left_nano) > TOTAL_MAX:
        return HELD_LIMIT, used
    if used + parts + 1 > room:
        return WAITING, used
    used = close(desk, used, i)
    slices(desk, used, k, state[i, S_POSITION_MILLI], milli, 1)
    label(desk, used, used + parts, i, state[i, S_LAST_RAW], at_s, state[i, S_LAST_S], at_s, desk.entries[k, E_RATE],
          METHOD_PERSON)  # fmt: skip
    for row in range(used, used + parts):
        if desk.rows[row, R_KIND] == KIND_METERED:
            desk.rows[row, R_KIND] = KIND_ESTIMATE
    state[i, S_POSITION_MILLI], state[i, S_BILLED_MILLI], state[i, S_CHARGED_NANO] = position, billed, charged
    state[i, S_CHANGED_SCAN] = desk.account_scan[account] = scan
    desk.balance_nano[account] = left_nano
    return HELD_NONE, used + parts


@compiled((DESK, INT, INT, INT, INT, INT, INT), PAIR, inner=True)
def bill_point(desk: Desk, used: int, room: int, scan: int, i: int, raw: int, now_s: int) -> tuple[int, int]:
    """Bill one reading of point i by all the rules. Return (rows used, 1 when the point waits for room, else 0)."""
    state = desk.state
    if state[i, S_LAST_S] < 0:
        reason = begin(desk, scan, i, raw, now_s)
    else:
        reason, counts = judge(state, desk.terms, i, raw, now_s)
        if reason == HELD_NONE:
            reason, used = charge(desk, used, room, scan, i, raw, now_s, counts)
    if reason > HELD_NONE:
        hold(state, desk.terms, scan, i, reason, raw, now_s)
    elif reason == WAITING:
        return used, 1
    elif state[i, S_HELD] != HELD_NONE:
        state[i, S_HELD] = HELD_NONE
        state[i, S_CHANGED_SCAN] = scan
    return used, 0


@compiled((DESK, COLUMN, COLUMN, COLUMN), numba.void)
def keep_rates(desk: Desk, rated: npt.NDArray[Any], raw: npt.NDArray[Any], source_ns: npt.NDArray[Any]) -> None:
    """Remember the rate registers that were read with the register billed last. rated: rows of points that have any."""
    for i in rated:
        if desk.last_s[i] == source_ns[i] // NS_PER_S and desk.last_raw[i] == raw[i]:
            for rate in range(RATES_MOST):
                desk.state[i, S_RATE_RAW + rate] = desk.rate_raw[i, rate]


@compiled((DESK, INT, INT, INT), inner=True)
def believed(desk: Desk, i: int, counts: int, now_s: int) -> int:
    """Return 1 when the connection can have carried a step inside the fences of point i in the time it had."""
    last_s = numba.int64(desk.last_s[i])
    reason, _ = follow(
        0, last_s, numba.int64(desk.moved_s[i]), counts, now_s, desk.terms[i, T_MILLI_PER_COUNT],
        desk.terms[i, T_MODULUS], desk.terms[i, T_MAX_MILLI_PER_S], desk.terms[i, T_READING_MAX_MILLI],
    )  # fmt: skip
    return 1 if reason == HELD_NONE else 0


@compiled((INT, INT, COLUMN, numba.uint32[::1], COLUMN, DESK, INT, INT, INT, INT), PAIR)
def bill_scan(
    scan: int,
    instant_s: int,
    raw: npt.NDArray[Any],
    quality: npt.NDArray[Any],
    source_ns: npt.NDArray[Any],
    desk: Desk,
    used: int,
    room: int,
    low: int,
    high: int,
) -> tuple[int, int]:
    """Bill one scan of points [low, high). Return (rows used, points that wait as there is no room for their rows).

    raw, source_ns  (n_points,) int64 counts and ns UTC     quality  (n_points,) uint32; only Good is billed
    desk  changed in place; rows[used:room] may be written. Readings later than instant_s are not billed.
    Exact: nano = milli * micro. Overflow is excluded by bounds.py.  See docs/billing.md
    """
    waiting = 0
    for row in range(low, high):
        i = numba.uintp(row)  # an index that cannot be negative needs no test for it
        now_s, last_s = source_ns[i] // NS_PER_S, numba.int64(desk.last_s[i])
        if quality[i] >= UNCERTAIN_FROM or now_s <= last_s or now_s > instant_s:
            continue
        counts = raw[i] - desk.last_raw[i]
        if raw[i] >= desk.last_raw[i] and raw[i] <= desk.fence_raw[i] and now_s <= desk.fence_s[i]:
            if counts == 0:
                desk.last_s[i] = now_s
                continue
            account, nano = desk.account[i], counts * desk.per_count_nano[i]
            left_nano = desk.balance_nano[account] - nano
            if left_nano >= -TOTAL_MAX and (counts <= desk.step_max[i] or believed(desk, row, counts, now_s) != 0):
                desk.last_raw[i] = raw[i]
                desk.last_s[i] = desk.moved_s[i] = now_s
                desk.billed_milli[i] += counts * desk.per_count_milli[i]
                desk.charged_nano[i] += nano
                desk.changed_scan[i] = scan
                desk.balance_nano[account] = left_nano
                desk.account_scan[account] = scan
                continue
        settle(desk, row)
        used, waits = bill_point(desk, used, room, scan, row, raw[i], now_s)
        raise_fences(desk, row)
        waiting += waits
    return used, waiting


@compiled((DESK, TABLE, numba.uint32[::1], TABLE, INT, INT, INT), PAIR)
def bill_block(
    desk: Desk,
    raw: Table,
    quality: npt.NDArray[Any],
    source_ns: Table,
    done: int,
    used: int,
    room: int,
) -> tuple[int, int]:
    """Bill recorded scans [done, n_readings) of all points. Return (scans billed, rows used).

    raw, source_ns  (n_readings, n_points)      quality  (n_points,) uint32 of all of them
    Fewer scans than there are: the rows are full; take them and call again with `done` as it was returned.
    """
    for k in range(done, raw.shape[0]):
        used, waiting = bill_scan(k, ALWAYS, raw[k], quality, source_ns[k], desk, used, room, 0, raw.shape[1])
        if waiting > 0:
            return k, used
    return raw.shape[0], used

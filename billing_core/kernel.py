"""One scan of all supply points, compiled: judge each new register, charge it, debit its account.

Rule: plain functions over int64 tables and scalars; no `self`, no allocation, explicit signatures, compiled before the
first scan. `reference.py` says the same slowly; tests hold the two against each other.

Per point an *open charge* runs from (OPEN_RAW, OPEN_S) to (LAST_RAW, LAST_S) inside one calendar entry and grows with
each reading. It becomes a row when the entry ends, when the register rolls over, or when the engine cuts a checkpoint.
An interval that crosses rate borders is split in proportion to whole seconds, cumulatively rounded down, so that the
parts add up to the whole exactly; each part is a row that carries both readings.
"""

from typing import Any, Final

import numba
import numpy.typing as npt

from billing_core.bounds import TOTAL_MAX
from billing_core.charging import COLUMN, INT, TABLE, close, place, weigh, write_split
from billing_core.columns import (
    HELD_JUMP,
    HELD_LIMIT,
    HELD_METER,
    HELD_NO_PRICE,
    HELD_NONE,
    HELD_RANGE,
    HELD_REVERSE,
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
    S_OPEN_END_S,
    S_OPEN_PRICE,
    T_ACCOUNT,
    T_MAX_MILLI_PER_S,
    T_MILLI_PER_COUNT,
    T_MODULUS,
    T_READING_MAX_MILLI,
    T_TARIFF,
    Table,
)
from billing_core.compiled import compiled
from billing_core.registers import REFRESH_S_MAX, follow

NS_PER_S: Final = 1_000_000_000
UNCERTAIN_FROM: Final = 0x4000_0000  # OPC 10000-4: the two top bits are 00 for Good; only Good is billed

PAIR: Final = numba.types.UniTuple(numba.int64, 2)

WAITING: Final = -1  # no room for the rows of this point now; its register stands and is billed later


@compiled((TABLE, TABLE, INT, INT, INT, INT, INT), numba.void)
def hold(state: Table, terms: Table, scan: int, i: int, reason: int, raw: int, now_s: int) -> None:
    """Hold point i: its last billed register stands. A reading out of range is no place to compare the next with."""
    if state[i, S_HELD] != reason:
        state[i, S_HELD] = reason
        state[i, S_CHANGED_SCAN] = scan
    if 0 <= raw < terms[i, T_MODULUS]:
        state[i, S_HELD_RAW] = raw
        state[i, S_HELD_S] = now_s


@compiled((TABLE, TABLE, INT, INT, INT), PAIR)
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


@compiled((TABLE, TABLE, TABLE, COLUMN, INT, INT, INT, INT), INT)
def begin(
    state: Table, terms: Table, entries: Table, first: npt.NDArray[Any], scan: int, i: int, raw: int, now_s: int
) -> int:
    """Take the first good reading of point i as the register from which it is billed; return HELD_NONE or a reason."""
    if raw < 0 or raw >= terms[i, T_MODULUS]:
        return HELD_RANGE
    if state[i, S_HELD] == HELD_METER:
        return HELD_METER
    state[i, S_LAST_RAW] = state[i, S_FIRST_RAW] = raw
    state[i, S_LAST_S] = state[i, S_FIRST_S] = state[i, S_MOVED_S] = now_s
    state[i, S_HELD] = HELD_NONE
    state[i, S_CHANGED_SCAN] = scan
    place(state, terms, entries, first, i)
    return HELD_NONE


@compiled((TABLE, TABLE, COLUMN, COLUMN, TABLE, COLUMN, TABLE, INT, INT, INT, INT, INT, INT, INT), PAIR)
def charge(
    state: Table,
    terms: Table,
    balance_nano: npt.NDArray[Any],
    account_scan: npt.NDArray[Any],
    entries: Table,
    first: npt.NDArray[Any],
    rows: Table,
    used: int,
    room: int,
    scan: int,
    i: int,
    raw: int,
    now_s: int,
    counts: int,
) -> tuple[int, int]:
    """Charge `counts` to point i and debit its account. Return (HELD_NONE, WAITING or a reason to hold, rows used)."""
    milli = counts * terms[i, T_MILLI_PER_COUNT]
    grows = now_s <= state[i, S_OPEN_END_S] and state[i, S_OPEN_PRICE] >= 0 and raw >= state[i, S_LAST_RAW]
    parts = nano = k = 0
    if grows:
        nano = milli * state[i, S_OPEN_PRICE]
    elif counts > 0:
        parts, nano, k = weigh(entries, first, terms[i, T_TARIFF], state[i, S_LAST_S], now_s, milli)
        if parts < 0:
            return HELD_NO_PRICE, used
    account = terms[i, T_ACCOUNT]
    billed = state[i, S_BILLED_MILLI] + milli
    charged = state[i, S_CHARGED_NANO] + nano
    if billed > TOTAL_MAX or charged > TOTAL_MAX or balance_nano[account] - nano < -TOTAL_MAX:
        return HELD_LIMIT, used
    if not grows:
        if used + parts + 1 > room:
            return WAITING, used
        used = close(state, terms, rows, used, i)
        if counts > 0:
            used = write_split(state, entries, rows, used, i, k, raw, now_s, milli)
    state[i, S_LAST_RAW] = raw
    state[i, S_LAST_S] = now_s
    if counts > 0:
        state[i, S_MOVED_S] = now_s
        state[i, S_BILLED_MILLI] = billed
        state[i, S_CHARGED_NANO] = charged
        state[i, S_CHANGED_SCAN] = scan
        balance_nano[account] -= nano
        account_scan[account] = scan
    if not grows:
        place(state, terms, entries, first, i)
    return HELD_NONE, used


@compiled((TABLE, TABLE, COLUMN, COLUMN, TABLE, COLUMN, TABLE, INT, INT, INT, INT, INT, INT), PAIR)
def bill_point(
    state: Table,
    terms: Table,
    balance_nano: npt.NDArray[Any],
    account_scan: npt.NDArray[Any],
    entries: Table,
    first: npt.NDArray[Any],
    rows: Table,
    used: int,
    room: int,
    scan: int,
    i: int,
    raw: int,
    now_s: int,
) -> tuple[int, int]:
    """Bill one reading of point i by all the rules. Return (rows used, 1 when the point waits for room, else 0)."""
    if state[i, S_LAST_S] < 0:
        reason = begin(state, terms, entries, first, scan, i, raw, now_s)
    else:
        reason, counts = judge(state, terms, i, raw, now_s)
        if reason == HELD_NONE:
            reason, used = charge(
                state, terms, balance_nano, account_scan, entries, first, rows, used, room, scan, i, raw, now_s, counts
            )
    if reason > HELD_NONE:
        hold(state, terms, scan, i, reason, raw, now_s)
    elif reason == WAITING:
        return used, 1
    elif state[i, S_HELD] != HELD_NONE:
        state[i, S_HELD] = HELD_NONE
        state[i, S_CHANGED_SCAN] = scan
    return used, 0


@compiled(
    (INT, INT, COLUMN, numba.uint32[::1], COLUMN, TABLE, TABLE, COLUMN, COLUMN, TABLE, COLUMN, TABLE, INT,
     INT),
    PAIR,
)  # fmt: skip
def bill_scan(
    scan: int,
    instant_s: int,
    raw: npt.NDArray[Any],
    quality: npt.NDArray[Any],
    source_ns: npt.NDArray[Any],
    terms: Table,
    state: Table,
    balance_nano: npt.NDArray[Any],
    account_scan: npt.NDArray[Any],
    entries: Table,
    first: npt.NDArray[Any],
    rows: Table,
    used: int,
    room: int,
) -> tuple[int, int]:
    """Bill one scan of all points. Return (rows used, points that wait because there is no room for their rows).

    raw, source_ns  (n_points,) int64 counts and ns UTC     quality  (n_points,) uint32; only Good is billed
    terms, state    (n_points, ...) int64, see columns.py; state in place
    balance_nano, account_scan  (n_accounts,) int64, in place; a balance may go below zero
    rows  (capacity, ROW_WIDTH) int64; rows[used:room] may be written. Readings later than instant_s are not billed.
    Exact: nano = milli * micro. Overflow is excluded by bounds.py.  See docs/billing.md
    """
    waiting = 0
    for i in range(state.shape[0]):
        now_s = source_ns[i] // NS_PER_S
        last_s = state[i, S_LAST_S]
        if quality[i] >= UNCERTAIN_FROM or now_s <= last_s or now_s > instant_s:
            continue
        last_raw, price = state[i, S_LAST_RAW], state[i, S_OPEN_PRICE]
        if (
            last_s >= 0
            and raw[i] >= last_raw
            and raw[i] < terms[i, T_MODULUS]
            and now_s <= state[i, S_OPEN_END_S]
            and price >= 0
            and state[i, S_HELD] == HELD_NONE
        ):  # the common case of bill_point, on scalars: a call that carries arrays costs more than the billing
            per_count = terms[i, T_MILLI_PER_COUNT]
            reason, counts = follow(
                last_raw, last_s, state[i, S_MOVED_S], raw[i], now_s, per_count, terms[i, T_MODULUS],
                terms[i, T_MAX_MILLI_PER_S], terms[i, T_READING_MAX_MILLI],
            )  # fmt: skip
            milli = counts * per_count
            nano = milli * price
            account = terms[i, T_ACCOUNT]
            billed, charged = state[i, S_BILLED_MILLI] + milli, state[i, S_CHARGED_NANO] + nano
            left_nano = balance_nano[account] - nano
            if reason == HELD_NONE and billed <= TOTAL_MAX and charged <= TOTAL_MAX and left_nano >= -TOTAL_MAX:
                state[i, S_LAST_RAW] = raw[i]
                state[i, S_LAST_S] = now_s
                if counts > 0:
                    state[i, S_MOVED_S] = now_s
                    state[i, S_BILLED_MILLI] = billed
                    state[i, S_CHARGED_NANO] = charged
                    state[i, S_CHANGED_SCAN] = scan
                    balance_nano[account] = left_nano
                    account_scan[account] = scan
                continue
        used, waits = bill_point(
            state, terms, balance_nano, account_scan, entries, first, rows, used, room, scan, i, raw[i], now_s
        )
        waiting += waits
    return used, waiting

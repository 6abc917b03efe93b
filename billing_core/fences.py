"""The fences: the few numbers of an open charge that one reading in the common case needs, and how far they are true.

`raise_fences` derives them from the wide state of a point; while readings stay inside (register, second, step) the scan
moves only them and the columns people see. `settle` brings the wide state up to date before anything else is done with
the point. Inside the fences billing is exact: nano = counts x per_count_nano, milli = counts x per_count_milli, and no
total can leave the scale (bounds.py).

A fence is never a rule: what lies beyond takes the long way (kernel.bill_point), which decides.
"""

from typing import Final

import numba

from billing_core.bounds import TOTAL_MAX
from billing_core.columns import (
    HELD_NONE,
    S_BILLED_MILLI,
    S_CHANGED_SCAN,
    S_CHARGED_NANO,
    S_HELD,
    S_LAST_RAW,
    S_LAST_S,
    S_MOVED_S,
    S_OPEN_BOUND,
    S_OPEN_END_S,
    S_OPEN_PRICE,
    S_POSITION_MILLI,
    T_ACCOUNT,
    T_MAX_MILLI_PER_S,
    T_MILLI_PER_COUNT,
    T_MODULUS,
    T_READING_MAX_MILLI,
)
from billing_core.desk import DESK, INT, Desk
from scada.compiled import compiled

CLOSED: Final = -1  # fence_raw that no register passes
SHORT_MAX: Final = 2**31 - 1
SECOND_MAX: Final = 2**32 - 1  # the year 2106


@compiled((DESK, INT), numba.void)
def settle(desk: Desk, i: int) -> None:
    """Bring the wide state of point i up to what was billed inside its fences."""
    state = desk.state
    if state[i, S_LAST_S] < 0:
        return
    counts = desk.last_raw[i] - state[i, S_LAST_RAW]
    if counts > 0:
        milli = counts * numba.int64(desk.per_count_milli[i])
        state[i, S_LAST_RAW] = desk.last_raw[i]
        state[i, S_MOVED_S] = desk.moved_s[i]
        state[i, S_BILLED_MILLI] += milli
        state[i, S_POSITION_MILLI] += milli
        state[i, S_CHARGED_NANO] += counts * desk.per_count_nano[i]
    state[i, S_LAST_S] = desk.last_s[i]


@compiled((DESK, INT), numba.void)
def raise_fences(desk: Desk, i: int) -> None:
    """Derive the fences of point i, and what people see of it, from its wide state."""
    state, terms = desk.state, desk.terms
    desk.billed_milli[i] = state[i, S_BILLED_MILLI]
    desk.charged_nano[i] = state[i, S_CHARGED_NANO]
    desk.held[i] = state[i, S_HELD]
    if state[i, S_CHANGED_SCAN] > numba.int64(desk.changed_scan[i]):
        desk.changed_scan[i] = state[i, S_CHANGED_SCAN]
    desk.last_raw[i], desk.fence_raw[i] = state[i, S_LAST_RAW], CLOSED
    if state[i, S_LAST_S] < 0:
        desk.last_s[i] = 0
        return
    desk.last_s[i], desk.moved_s[i] = state[i, S_LAST_S], state[i, S_MOVED_S]
    per_count, price = terms[i, T_MILLI_PER_COUNT], state[i, S_OPEN_PRICE]
    if state[i, S_HELD] != HELD_NONE or price < 0 or per_count > SHORT_MAX or per_count > TOTAL_MAX // max(price, 1):
        return
    desk.per_count_milli[i], desk.per_count_nano[i] = per_count, price * per_count
    desk.account[i] = terms[i, T_ACCOUNT]
    room = min(state[i, S_OPEN_BOUND], TOTAL_MAX) - state[i, S_POSITION_MILLI]
    counts = min(room, TOTAL_MAX - state[i, S_BILLED_MILLI]) // per_count
    if price > 0:
        counts = min(counts, (TOTAL_MAX - state[i, S_CHARGED_NANO]) // (price * per_count))
    desk.fence_raw[i] = min(terms[i, T_MODULUS] - 1, state[i, S_LAST_RAW] + counts)
    desk.fence_s[i] = min(state[i, S_OPEN_END_S], SECOND_MAX)
    step = min(2 * terms[i, T_MAX_MILLI_PER_S] // per_count + 1, terms[i, T_READING_MAX_MILLI] // per_count)
    desk.step_max[i] = min(step, SHORT_MAX)


@compiled((DESK,), numba.void)
def settle_all(desk: Desk) -> None:
    """Bring every point's wide state up to date."""
    for i in range(desk.state.shape[0]):
        settle(desk, i)


@compiled((DESK,), numba.void)
def raise_all(desk: Desk) -> None:
    """Derive every point's fences."""
    for i in range(desk.state.shape[0]):
        raise_fences(desk, i)

"""Split an interval over rate periods by the meter's own rate registers instead of by time.

The registers are believed when

* the meter has one for every rate period of the interval, read together with the total at both ends, and
* what they counted adds up to what the total counted, within one count for each register (each is cut off on its own)
  and two more (they are not latched in the same instant).

The difference goes to the register that counted most. Where a rate period comes more than once in the interval (a gap
over days), its quantity is split over its stretches in proportion to their seconds, cumulatively rounded down.
"""

from typing import Final

from billing_core.columns import (
    E_RATE,
    E_START_S,
    RATES_MOST,
    S_LAST_S,
    S_RATE_RAW,
    T_MILLI_PER_COUNT,
    T_MODULUS,
)
from billing_core.desk import DESK, INT, Desk
from scada.compiled import compiled, inlined

TOLERANCE_COUNTS: Final = 2
QUANTITY: Final = 0  # rows of Desk.split: milli of each rate in the interval ...
TOTAL_S: Final = 1  # ... the seconds in which it is in force ...
TAKEN_S: Final = 2  # ... and those of them that are already priced
SPLIT_HEIGHT: Final = 3


@inlined
def split(quantity: int, elapsed_s: int, total_s: int) -> int:
    """Return floor(quantity * elapsed_s / total_s) without a product above the int64 scale; 0 <= elapsed <= total."""
    whole = quantity // total_s
    rest = quantity - whole * total_s
    return whole * elapsed_s + rest * elapsed_s // total_s


@compiled((DESK, INT, INT, INT, INT), inner=True)
def rates_of(desk: Desk, i: int, k: int, end: int, to_s: int) -> int:
    """Note how long each rate is in force from the last billed reading of point i to to_s; return how many are."""
    desk.split[:] = 0
    at_s = desk.state[i, S_LAST_S]
    while at_s < to_s:
        if k + 1 >= end or desk.entries[k, E_RATE] < 0:
            return 0
        until_s = min(desk.entries[k + 1, E_START_S], to_s)
        desk.split[TOTAL_S, desk.entries[k, E_RATE]] += until_s - at_s
        at_s, k = until_s, k + 1
    rates = 0
    for rate in range(RATES_MOST):
        rates += desk.split[TOTAL_S, rate] > 0
    return rates


@compiled((DESK, INT, INT, INT, INT, INT), inner=True)
def by_registers(desk: Desk, i: int, k: int, end: int, to_s: int, milli: int) -> int:
    """Put the quantity of each rate into desk.split and return 1, or 0 when the registers cannot say it."""
    if desk.rate_raw.shape[0] == 0 or rates_of(desk, i, k, end, to_s) < 2:
        return 0
    per_count, modulus = desk.terms[i, T_MILLI_PER_COUNT], desk.terms[i, T_MODULUS]
    counts = milli // per_count
    counted = registers = most = 0
    for rate in range(RATES_MOST):
        if desk.split[TOTAL_S, rate] == 0:
            continue
        last, raw = desk.state[i, S_RATE_RAW + rate], desk.rate_raw[i, rate]
        if last < 0 or raw < 0 or raw >= modulus:
            return 0
        moved = raw - last if raw >= last else raw - last + modulus
        if moved > counts + RATES_MOST + TOLERANCE_COUNTS:
            return 0  # also keeps the sum inside the scale
        counted += moved
        registers += 1
        desk.split[QUANTITY, rate] = moved
        if moved > desk.split[QUANTITY, most] or desk.split[TOTAL_S, most] == 0:
            most = rate
    rest = counts - counted
    desk.split[QUANTITY, most] += rest
    if abs(rest) > registers + TOLERANCE_COUNTS or desk.split[QUANTITY, most] < 0:
        return 0
    for rate in range(RATES_MOST):
        desk.split[QUANTITY, rate] *= per_count
    return 1


@inlined
def take(desk: Desk, rate: int, seconds: int) -> int:
    """Return the share of the next stretch of a rate in the interval that by_registers has split."""
    total_s, taken_s = desk.split[TOTAL_S, rate], desk.split[TAKEN_S, rate]
    quantity = desk.split[QUANTITY, rate]
    desk.split[TAKEN_S, rate] = taken_s + seconds
    return split(quantity, taken_s + seconds, total_s) - split(quantity, taken_s, total_s)

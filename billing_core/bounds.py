"""Where the int64 scale ends, and the proof that the kernel stays inside it.

Quantities are milli (thousandths of the priced unit), prices micro, money nano = milli * micro. Nothing in the kernel
can overflow when `check_bounds` accepted the terms, because

* counts * milli_per_count <= modulus * milli_per_count <= TOTAL_MAX                       (checked here)
* a reading brings at most READING_NANO_MAX // dearest price milli; more is held as a jump  (terms)
* balance, charged and billed totals move only while they stay within +-TOTAL_MAX           (kernel: HELD_LIMIT)
* volume tiers: each of the at most TIERS_MOST - 1 uplifts of a period is at most UPLIFT_NANO_MAX, or, in periods that
  begin inside the interval, at most its quantity x dearest price; a reading brings TIERS_MOST times less, so that both
  together stay below 2 * READING_NANO_MAX                                                 (checked here, terms)
* max_milli_per_s * seconds <= RATE_MAX * SECONDS_MAX < 2**62                               (checked here)
* a split uses q*e + r*e//t with q = d//t, r = d%t < t <= SECONDS_MAX, so every product is below 2**62
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from billing_core.columns import (
    T_ACCOUNT,
    T_MAX_MILLI_PER_S,
    T_MILLI_PER_COUNT,
    T_MODULUS,
    T_READING_MAX_MILLI,
    TERMS_WIDTH,
    Table,
)
from billing_core.plan import NO_PRICE_MICRO, TIERS_MOST, Plan
from billing_core.points import PointSpec
from scada.errors import Fault

TOTAL_MAX: Final = 2**61  # 2.3e9 units of currency; 2.3e15 units of quantity
READING_NANO_MAX: Final = 2**60  # one reading interval of one point: 1.15e9 units of currency
PRICE_MICRO_MAX: Final = 10**12  # a million per unit: covers currencies without decimals
UPLIFT_NANO_MAX: Final = READING_NANO_MAX // TIERS_MOST  # a period posted again: 1.4e8 units of currency
RATE_MAX: Final = 2**30  # milli per second: a thousand units a second, beyond any one connection
SECONDS_MAX: Final = 2**31 - 1  # 68 years between two readings
MODULUS_MAX: Final = 2**62


def terms_row(point: PointSpec, reading_max_milli: int) -> Table:
    """Return (TERMS_WIDTH,) terms of supply of a point within the bounds; schedule and number are not filled."""
    row = np.zeros(TERMS_WIDTH, dtype=np.int64)
    row[T_MILLI_PER_COUNT] = point.milli_per_count
    row[T_MODULUS] = point.modulus_counts
    row[T_MAX_MILLI_PER_S] = point.max_milli_per_s
    row[T_READING_MAX_MILLI] = reading_max_milli
    row[T_ACCOUNT] = point.account
    return row


def reading_max_milli(plan: Plan) -> int:
    """Return the largest quantity that one reading may bring under a plan."""
    raises = TIERS_MOST if any(v.tiers is not None and v.tiers.mode == "volume" for v in plan.versions) else 1
    return READING_NANO_MAX // (max([1, *_prices(plan)]) * raises)


def check_bounds(points: Sequence[PointSpec], plans: Sequence[Plan]) -> list[Fault]:
    """Return a fault for every number that would let the kernel leave the int64 scale; empty when all is safe."""
    faults = [
        Fault("tariffs", plan.id, f"a price of {price} micro is out of scale", f"0 .. {PRICE_MICRO_MAX}")
        for plan in plans
        for price in sorted({*_prices(plan), *_parts(plan)})
        if price != NO_PRICE_MICRO and not 0 <= price <= PRICE_MICRO_MAX
    ]
    for point in points:
        limits = (
            ("milli_per_count", point.milli_per_count, 1, TOTAL_MAX),
            ("modulus_counts", point.modulus_counts, 10, MODULUS_MAX),
            ("modulus_counts * milli_per_count", point.modulus_counts * point.milli_per_count, 10, TOTAL_MAX),
            ("max_milli_per_s", point.max_milli_per_s, 1, RATE_MAX),
        )
        faults += [
            Fault("points", f"{point.id}.{name}", f"{value} is out of scale", f"{least} .. {most}")
            for name, value, least, most in limits
            if not least <= value <= most
        ]
    return faults + [fault for point in points for fault in _raises(point, plans[point.tariff])]


def _raises(point: PointSpec, plan: Plan) -> Iterator[Fault]:
    """Yield a fault where posting a period again at the next tier of a volume plan could leave the scale."""
    for version in plan.versions:
        tiers = version.tiers
        if tiers is None or tiers.mode != "volume":
            continue
        more = max(0, point.options.household - tiers.household_from + 1) if tiers.household_from else 0
        bound = max(tiers.bounds_milli, default=0) + more * tiers.household_add_milli
        if bound * max([1, *_prices(plan)]) > UPLIFT_NANO_MAX:
            yield Fault("tariffs", f"{plan.id}: tiers", f"bound {bound} is out of scale", "bound x price below 1.4e8")


def _prices(plan: Plan) -> Iterator[int]:
    """Yield every price that a slot of the plan may use, in every tier."""
    for version in plan.versions:
        used = {slot.rate for table in version.tables for slot in table.slots}
        for rate in used:
            prices = [version.price_micro(rate, tier) for tier in range(version.tier_count)]
            if NO_PRICE_MICRO not in prices:  # a minute without price is held, at run time
                yield from prices


def _parts(plan: Plan) -> Iterator[int]:
    for version in plan.versions:
        for part in version.parts:
            for tiers in part.price_micro:
                yield from tiers

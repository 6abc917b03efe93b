"""Maximum demand and transformer capacity: what the highest window of a month, or the connection, costs.

Rule: integers: watts, volt-amperes, nano. `demand_watch.py` finds the windows; this file prices them.
"""

from collections.abc import Sequence
from typing import Final, Literal

KILO: Final = 1_000
PERCENT: Final = 100
FREE_PERCENT: Final = 105  # of the contracted demand; above it the excess costs more
DAYS_OF_FEE_MONTH: Final = 30  # 1/30 of the monthly fee for each day of an incomplete month

Mode = Literal["actual", "contract"]
Over = Literal["contract-plus-double", "actual-plus-excess"]


def chargeable_w(mode: Mode, over: Over, actual_w: int, contract_w: int) -> int:
    """Return the demand that is paid for, W.

    actual: the maximum. contract: up to 105 % of it the contracted value; above, by one of the rule's two readings:
    "contract-plus-double": contract + 2 x (actual - 1.05 contract); "actual-plus-excess": actual + (actual - 1.05
    contract). 1.05 contract is rounded down to the watt, in favour of neither by more than one.
    """
    if mode == "actual":
        return actual_w
    free_w = contract_w * FREE_PERCENT // PERCENT
    if actual_w <= free_w:
        return contract_w
    excess_w = actual_w - free_w
    return contract_w + 2 * excess_w if over == "contract-plus-double" else actual_w + excess_w


def load_hours_reached(milli_kwh: int, capacity_va: int, kwh_per_kva: int) -> bool:
    """Return whether the month's energy reaches so many kWh per kVA (rule of 2023: 260)."""
    return kwh_per_kva > 0 and capacity_va > 0 and milli_kwh >= kwh_per_kva * capacity_va


def demand_nano(price_nano_per_kw: int, watt: int, percent: int = PERCENT) -> int:
    """Return price x demand x percent, rounded down to the nano."""
    return price_nano_per_kw * watt * percent // (KILO * PERCENT)


def capacity_month_nano(price_nano_per_kva: int, capacity_va: int) -> int:
    """Return the fee of a whole month, rounded down to the nano."""
    return price_nano_per_kva * capacity_va // KILO


def prorated_nano(segments: Sequence[tuple[int, int]], days_of_month: int, thirty: bool) -> int:
    """Return what days of a month cost, given runs of (fee of a whole month in nano, days), rounded down to the nano.

    A month whose every day is covered costs its fee, split by its own days where the fee changed. Of an incomplete
    month each day costs 1/30 of the fee when `thirty`, else 1/days_of_month. Never falls when a day is added.
    """
    covered = sum(days for _, days in segments)
    assert 0 <= covered <= days_of_month, segments
    divisor = DAYS_OF_FEE_MONTH if thirty and covered < days_of_month else days_of_month
    return sum(fee * days for fee, days in segments) // divisor

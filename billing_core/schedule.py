"""The schedule: plans unrolled into sorted UTC borders, so that the kernel never sees a zone, a date or a version.

Rule: zones, dates and clock changes are understood here and nowhere else in the billing core.

Within a stretch of constant UTC offset local time is UTC plus that offset, so a day's slots lie where the wall clock
says; a clock change only ends the stretch. An hour that a clock change repeats is priced twice, one that it skips not
at all. Accumulation periods begin at the first second of a local date.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from billing_core.columns import (
    E_BOUNDS,
    E_PERIOD,
    E_PRICES,
    E_START_S,
    ENTRY_WIDTH,
    NO_PRICE,
    UNBOUNDED_MILLI,
    Table,
)
from billing_core.plan import (
    HOLIDAY,
    MAKE_UP,
    RATES,
    TIERS_MOST,
    WEEKEND,
    WORKING,
    Days,
    Plan,
    TierOptions,
    Tiers,
    Version,
)
from billing_core.zones import DAY_S, EPOCH_DAY, local_day, midnight_s, stretches

__all__ = ["DAY_S", "Schedule", "Schedules", "entry_at", "midnight_s", "options_used", "unroll", "unroll_all"]
MONTHS_OF_YEAR: Final = 12
NO_RATE: Final = -1
NO_ROW: Final = -1
NO_PERIOD: Final = 0  # of versions without tiers: one position that never returns to zero
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SATURDAY: Final = 5

Prices = tuple[int, ...]  # of one rate, (TIERS_MOST,)
Bounds = tuple[int, ...]  # (TIERS_MOST,) upper bounds, then 1 for volume tiers and 0 for graduated ones


class Schedule(NamedTuple):
    """A plan over one window. Entry k holds from E_START_S to the next entry's; the last begins at the window's end.

    entries (m, ENTRY_WIDTH) of columns E_*         prices (p, TIERS_MOST) micro, rows named by E_PRICES (-1: no price)
    bounds (b, TIERS_MOST) milli, rows named by E_BOUNDS; UNBOUNDED_MILLI for the last tier and the unused ones
    volume (b,) 1 where the whole period is priced at the tier reached, 0 where each slice has its own price
    """

    entries: Table
    prices: Table
    bounds: Table
    volume: npt.NDArray[np.int64]


class Schedules(NamedTuple):
    """Several schedules one after the other. `first` (n + 1,) offsets into entries; the rows are those of all."""

    entries: Table
    prices: Table
    bounds: Table
    volume: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    from_s: int
    to_s: int


class Rate(NamedTuple):
    """A stretch of one rate period within one version."""

    start_s: int
    rate: int  # NO_RATE where no slot covers the minute
    version: int  # index, NO_ROW where the plan has none


class Period(NamedTuple):
    """A stretch of one accumulation period within one version."""

    start_s: int
    period: int
    bounds: Bounds


UNTIERED: Final[Bounds] = (*[UNBOUNDED_MILLI] * TIERS_MOST, 0)


def unroll(plan: Plan, options: TierOptions, from_s: int, to_s: int) -> Schedule:
    """Return the plan's entries over [from_s, to_s), sorted, adjacent ones different, closed by one without price."""
    return _joined(plan, rates(plan, from_s, to_s), periods(plan, options, from_s, to_s), to_s)


def unroll_all(pairs: Iterable[tuple[Plan, TierOptions]], from_s: int, to_s: int) -> Schedules:
    """Unroll every pair over one window. The days of a plan are walked once; options alike in it share the work."""
    walked: dict[int, tuple[Plan, list[Rate]]] = {}
    joined: dict[tuple[int, tuple[Period, ...]], Schedule] = {}
    found = []
    for plan, options in pairs:
        if id(plan) not in walked:
            walked[id(plan)] = plan, rates(plan, from_s, to_s)
        alike = id(plan), tuple(periods(plan, options, from_s, to_s))
        if alike not in joined:
            joined[alike] = _joined(plan, walked[id(plan)][1], list(alike[1]), to_s)
        found.append(joined[alike])
    return _concatenated(found, from_s, to_s)


def entry_at(entries: Sequence[Sequence[int]] | Table, at_s: int) -> int:
    """Return the index of the entry in force at a UTC second, -1 before the first."""
    return bisect_right(entries, at_s, key=lambda entry: int(entry[E_START_S])) - 1


def options_used(plan: Plan, options: TierOptions) -> TierOptions:
    """Return the options reduced to what the plan looks at, so that points that share a schedule can be found."""
    tiers = [version.tiers for version in plan.versions if version.tiers is not None]
    household = any(found.household_from and options.household >= found.household_from for found in tiers)
    opened = any(found.period == "anniversary" or found.prorate_first for found in tiers)
    opened_s = midnight_s(plan.timezone, local_day(plan.timezone, options.opened_s)) if opened else 0
    return TierOptions(options.household if household else 0, opened_s if options.opened_s > 0 else 0)


# --- rate periods


def kinds_of(days: Days, day: int) -> frozenset[str]:
    """Return the kinds of day that an ordinal counts as: its special name, or holiday, or make-up, or its weekday."""
    for name, named in days.special:
        if day in named:
            return frozenset((name,))
    if day in days.holidays:
        return frozenset((HOLIDAY,))
    if day in days.make_up:
        return frozenset((MAKE_UP, WORKING))
    weekday = (day - 1) % 7  # ordinal 1 was a Monday
    return frozenset((WEEKDAYS[weekday], WORKING if weekday < SATURDAY else WEEKEND))


def tables_at(version: Version, day: int) -> list[int]:
    """Return the indices of the day tables that fit a local date; a sound version has exactly one."""
    return _fitting(version, _month_day(day), kinds_of(version.days, day))


def _month_day(day: int) -> tuple[int, int]:
    when = date.fromordinal(day)
    return when.month, when.day


def _fitting(version: Version, month_day: tuple[int, int], kinds: frozenset[str]) -> list[int]:
    return [
        index
        for index, table in enumerate(version.tables)
        if (not table.kinds or table.kinds & kinds)
        and (not table.seasons or any(within(s.first, s.last, month_day) for s in table.seasons))
    ]


def within(first: tuple[int, int], last: tuple[int, int], month_day: tuple[int, int]) -> bool:
    """Tell whether a date of a year lies in a season, both ends included; a season may pass the end of the year."""
    if first <= last:
        return first <= month_day <= last
    return month_day >= first or month_day <= last


def rates(plan: Plan, from_s: int, to_s: int) -> list[Rate]:
    """Return the rate periods over [from_s, to_s), adjacent ones different."""
    found: list[Rate] = []
    for version, begin_s, end_s in _versions(plan, from_s, to_s):
        if version == NO_ROW:
            _extend(found, [Rate(begin_s, NO_RATE, NO_ROW)])
            continue
        for stretch_from_s, stretch_to_s, offset_s in stretches(plan.timezone, begin_s, end_s):
            _extend(found, _days(plan.versions[version], version, stretch_from_s, stretch_to_s, offset_s))
    return found


def _versions(plan: Plan, from_s: int, to_s: int) -> Iterator[tuple[int, int, int]]:
    """Yield (index of the version or NO_ROW, from, to) that cover [from_s, to_s)."""
    at_s = from_s
    for index, version in enumerate(plan.versions):
        begin_s, end_s = max(version.from_s, at_s), min(version.to_s, to_s)
        if begin_s >= end_s:
            continue
        if begin_s > at_s:
            yield NO_ROW, at_s, begin_s
        yield index, begin_s, end_s
        at_s = end_s
    if at_s < to_s:
        yield NO_ROW, at_s, to_s


def _days(version: Version, index: int, from_s: int, to_s: int, offset_s: int) -> Iterator[Rate]:
    """Lay the slots of each local day over [from_s, to_s) at one UTC offset; a minute without a slot has no rate."""
    layouts = [_layout(sorted((s.start_minute, s.end_minute, s.rate) for s in table.slots)) for table in version.tables]
    known: dict[tuple[tuple[int, int], frozenset[str]], list[int]] = {}
    for day in range((from_s + offset_s) // DAY_S, (to_s - 1 + offset_s) // DAY_S + 1):
        alike = _month_day(day + EPOCH_DAY), kinds_of(version.days, day + EPOCH_DAY)
        if (fitting := known.get(alike)) is None:
            fitting = known[alike] = _fitting(version, *alike)
        begin_s = day * DAY_S - offset_s
        borders = layouts[fitting[0]] if len(fitting) == 1 else [(0, NO_RATE)]  # no guess where two tables fit
        for (start_s, rate), (end_s, _) in pairwise([*borders, (DAY_S, NO_RATE)]):
            if begin_s + end_s > from_s and begin_s + start_s < to_s:
                yield Rate(max(begin_s + start_s, from_s), rate, index)


def _layout(slots: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Return (second of the day, rate) borders of sorted slots, with NO_RATE where none lies."""
    borders: list[tuple[int, int]] = []
    covered = 0
    for start, end, rate in slots:
        if start > covered:
            borders.append((covered * 60, NO_RATE))
        borders.append((start * 60, rate))
        covered = end
    if covered * 60 < DAY_S:
        borders.append((covered * 60, NO_RATE))
    return borders


def _extend(found: list[Rate], more: Iterable[Rate]) -> None:
    for rate in more:
        if not found or found[-1][1:] != rate[1:]:
            found.append(rate)


# --- accumulation periods of tiers


def periods(plan: Plan, options: TierOptions, from_s: int, to_s: int) -> list[Period]:
    """Return the accumulation periods and their bounds over [from_s, to_s), adjacent ones different."""
    found: list[Period] = []
    for index, begin_s, end_s in _versions(plan, from_s, to_s):
        tiers = plan.versions[index].tiers if index != NO_ROW else None
        if tiers is None:
            found.append(Period(begin_s, NO_PERIOD, UNTIERED))
            continue
        day = _period_begin(tiers, plan.timezone, options, local_day(plan.timezone, begin_s))
        at_s = begin_s
        while at_s < end_s:
            bounds = _bounds(tiers, plan.timezone, options, day)
            found.append(Period(at_s, midnight_s(plan.timezone, day), bounds))
            day = _period_next(tiers, plan.timezone, options, day)
            at_s = midnight_s(plan.timezone, day)
    return [period for k, period in enumerate(found) if k == 0 or found[k - 1][1:] != period[1:]]


def _period_begin(tiers: Tiers, timezone: str, options: TierOptions, day: int) -> int:
    """Return the ordinal of the date on which the accumulation period of a date begins."""
    when = date.fromordinal(day)
    if tiers.period == "month":
        begin = when.replace(day=tiers.settlement_day)
        return (begin if begin <= when else _months_on(begin, -1)).toordinal()
    month, first = _year_begin(tiers, timezone, options)
    begin = _date(when.year, month, first)
    return (begin if begin <= when else _date(when.year - 1, month, first)).toordinal()


def _period_next(tiers: Tiers, timezone: str, options: TierOptions, begin: int) -> int:
    """Return the ordinal of the date on which the period after the one that begins at an ordinal begins."""
    when = date.fromordinal(begin)
    if tiers.period == "month":
        return _months_on(when, 1).toordinal()
    return _date(when.year + 1, *_year_begin(tiers, timezone, options)).toordinal()


def _year_begin(tiers: Tiers, timezone: str, options: TierOptions) -> tuple[int, int]:
    """Return (month, day) on which years begin: that of the opening, else January's settlement day."""
    if tiers.period == "anniversary" and options.opened_s > 0:
        opened = date.fromordinal(local_day(timezone, options.opened_s))
        return opened.month, opened.day
    return 1, tiers.settlement_day


def _bounds(tiers: Tiers, timezone: str, options: TierOptions, begin: int) -> Bounds:
    """Return the bounds of the period that begins at an ordinal: for the household, and for a part of a first year.

    First period: bounds x remaining months / 12, the month of the opening counted whole, floor to a thousandth.
    """
    more = max(0, options.household - tiers.household_from + 1) if tiers.household_from else 0
    bounds = [bound + more * tiers.household_add_milli for bound in tiers.bounds_milli]
    if tiers.prorate_first and tiers.period == "year" and options.opened_s > 0:
        opened = local_day(timezone, options.opened_s)
        if begin < opened < _period_next(tiers, timezone, options, begin):
            months = MONTHS_OF_YEAR - _months_between(date.fromordinal(begin), date.fromordinal(opened))
            bounds = [bound * months // MONTHS_OF_YEAR for bound in bounds]
    return (*bounds, *[UNBOUNDED_MILLI] * (TIERS_MOST - len(bounds)), int(tiers.mode == "volume"))


def _months_between(begin: date, when: date) -> int:
    """Return how many whole months lie between two dates."""
    months = (when.year - begin.year) * MONTHS_OF_YEAR + when.month - begin.month
    return months - (when.day < begin.day)


def _months_on(when: date, months: int) -> date:
    """Return the same day of a month later or earlier; settlement days are at most 28, so it always exists."""
    month = when.month - 1 + months
    return when.replace(year=when.year + month // MONTHS_OF_YEAR, month=month % MONTHS_OF_YEAR + 1)


def _date(year: int, month: int, day: int) -> date:
    """Return a date; an anniversary of 29 February is on 28 February in common years."""
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, month + 1, 1) - timedelta(days=1)


# --- tables for the kernel


def _joined(plan: Plan, by_rate: list[Rate], by_period: list[Period], to_s: int) -> Schedule:
    """Merge the borders of rate periods and accumulation periods into entries."""
    prices: dict[Prices, int] = {}
    bounds: dict[Bounds, int] = {}
    entries: list[tuple[int, int, int, int, int]] = []
    priced: dict[tuple[int, int], int] = {}
    j = 0
    for k, rate in enumerate(by_rate):
        if (row := priced.get(rate[1:])) is None:
            row = priced[rate[1:]] = _prices_row(plan, rate, prices)
        end_s = by_rate[k + 1].start_s if k + 1 < len(by_rate) else to_s
        at_s = rate.start_s
        while at_s < end_s:
            while j + 1 < len(by_period) and by_period[j + 1].start_s <= at_s:
                j += 1
            limits = bounds.setdefault(by_period[j].bounds, len(bounds))
            entry = (at_s, rate.rate if row != NO_ROW else NO_RATE, row, limits, by_period[j].period)
            if not entries or entries[-1][1:] != entry[1:]:
                entries.append(entry)
            at_s = min(end_s, by_period[j + 1].start_s) if j + 1 < len(by_period) else end_s
    last = entries[-1] if entries else (to_s, NO_RATE, NO_ROW, bounds.setdefault(UNTIERED, len(bounds)), NO_PERIOD)
    entries.append((to_s, NO_RATE, NO_ROW, last[E_BOUNDS], last[E_PERIOD]))
    return _schedule(entries, list(prices), list(bounds))


def _prices_row(plan: Plan, rate: Rate, rows: dict[Prices, int]) -> int:
    """Return the row of the prices of a rate, entered when new; NO_ROW where one of its tiers has no price."""
    if rate.version == NO_ROW or not 0 <= rate.rate < len(RATES):
        return NO_ROW
    version = plan.versions[rate.version]
    prices = [version.price_micro(rate.rate, tier) for tier in range(version.tier_count)]
    if min(prices) <= NO_PRICE:
        return NO_ROW
    return rows.setdefault((*prices, *[prices[-1]] * (TIERS_MOST - len(prices))), len(rows))


def _schedule(entries: list[tuple[int, int, int, int, int]], prices: list[Prices], bounds: list[Bounds]) -> Schedule:
    table = np.array(bounds, dtype=np.int64).reshape(-1, TIERS_MOST + 1)
    return Schedule(
        np.array(entries, dtype=np.int64).reshape(-1, ENTRY_WIDTH),
        np.array(prices, dtype=np.int64).reshape(-1, TIERS_MOST),
        np.ascontiguousarray(table[:, :TIERS_MOST]),
        table[:, TIERS_MOST].copy(),
    )


def _concatenated(found: Sequence[Schedule], from_s: int, to_s: int) -> Schedules:
    first = np.zeros(len(found) + 1, dtype=np.int64)
    np.cumsum([len(schedule.entries) for schedule in found], out=first[1:])
    entries = []
    prices = bounds = 0
    for schedule in found:
        moved = schedule.entries.copy()
        moved[moved[:, E_PRICES] != NO_ROW, E_PRICES] += prices
        moved[:, E_BOUNDS] += bounds
        entries.append(moved)
        prices += len(schedule.prices)
        bounds += len(schedule.bounds)
    nothing = _schedule([], [], [])
    return Schedules(
        np.concatenate([nothing.entries, *entries]),
        np.concatenate([nothing.prices, *(schedule.prices for schedule in found)]),
        np.concatenate([nothing.bounds, *(schedule.bounds for schedule in found)]),
        np.concatenate([nothing.volume, *(schedule.volume for schedule in found)]),
        first,
        from_s,
        to_s,
    )

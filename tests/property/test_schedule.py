"""Schedules of random plans against a model that looks at one second at a time, with a wall clock and a diary."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing_core.columns import E_BOUNDS, E_PERIOD, E_PRICES, E_RATE, E_START_S, UNBOUNDED_MILLI
from billing_core.plan import (
    ALWAYS_S,
    FOREVER_S,
    MINUTES_OF_DAY,
    Days,
    DayTable,
    Plan,
    Season,
    Slot,
    TierOptions,
    Tiers,
    Version,
)
from billing_core.plan_body import plan_body, plan_of
from billing_core.plan_past import past_changed
from billing_core.schedule import entry_at, options_used, unroll
from tests.plans import part

BEGIN = date(2026, 1, 1)
BEGIN_S = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
SPAN_S = 400 * 86_400
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KINDS = ("working", "weekend", "holiday")
# Clock changes in both hemispheres, by half an hour, at midnight itself, and none at all.
ZONES = (
    "Asia/Shanghai",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Asuncion",
    "Africa/Cairo",
    "Asia/Kathmandu",
)
NAMED = date(2026, 3, 24)  # the fortnight from here has clock changes, and the days that plans name
DATES = st.integers(0, 13).map(lambda days: NAMED.toordinal() + days)
NAMED_S = int(datetime(2026, 3, 24, tzinfo=UTC).timestamp())
SECONDS = st.one_of(
    st.integers(BEGIN_S, BEGIN_S + SPAN_S),
    st.integers(NAMED_S - 86_400, NAMED_S + 14 * 86_400),
    st.builds(lambda quarter, off: BEGIN_S + quarter * 900 + off, st.integers(0, 9_000), st.sampled_from([-1, 0, 1])),
)


@st.composite
def slots(draw: st.DrawFn) -> tuple[Slot, ...]:
    borders = sorted(draw(st.sets(st.integers(1, MINUTES_OF_DAY - 1), max_size=4)))
    ends = [*borders, MINUTES_OF_DAY]
    return tuple(Slot(a, b, draw(st.integers(0, 4))) for a, b in zip([0, *borders], ends, strict=True))


@st.composite
def tables(draw: st.DrawFn) -> tuple[DayTable, ...]:
    """Return day tables of which exactly one fits any date."""
    first = draw(st.tuples(st.integers(1, 6), st.integers(1, 28)))
    last = draw(st.tuples(st.integers(7, 12), st.integers(1, 28)))
    after, before = _next(last), _before(first)
    seasons = draw(st.sampled_from([[()], [(Season(first, last),), (Season(after, before),)]]))
    found: list[DayTable] = []
    for season in seasons:
        if draw(st.booleans()):
            kinds = [frozenset({kind}) for kind in (*KINDS, "special")]
        else:
            kinds = [frozenset({day}) for day in WEEKDAYS] + [frozenset({"holiday", "special", "make_up"})]
        found += [DayTable(season, kind, draw(slots())) for kind in kinds]
    return tuple(found)


@st.composite
def tiers(draw: st.DrawFn) -> Tiers | None:
    if draw(st.booleans()):
        return None
    bounds = tuple(sorted(draw(st.sets(st.integers(1, 10_000), min_size=2, max_size=2))))
    period = draw(st.sampled_from(["month", "year", "anniversary"]))
    return Tiers(
        draw(st.sampled_from(["graduated", "volume"])),
        period,
        bounds,
        draw(st.integers(1, 28)),
        draw(st.sampled_from([0, 3])),
        draw(st.integers(1, 500)),
        draw(st.booleans()),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    borders = sorted(draw(st.sets(SECONDS, max_size=2)))
    begins = [draw(st.sampled_from([ALWAYS_S, BEGIN_S + 5])) if not borders else ALWAYS_S, *borders]
    ends = [*begins[1:], draw(st.sampled_from([FOREVER_S, BEGIN_S + SPAN_S - 7]))]
    versions = []
    for begin_s, end_s in zip(begins, ends, strict=True):
        limits = draw(tiers())
        count = 3 if limits else 1
        prices = {rate: tuple(draw(st.integers(0, 9)) for _ in range(count)) for rate in range(5)}
        days = Days(
            draw(st.frozensets(DATES, max_size=9)),
            draw(st.frozensets(DATES, max_size=9)),
            (("special", draw(st.frozensets(DATES, max_size=9))),),
        )
        versions.append(Version(begin_s, end_s, draw(tables()), days, (part(prices, limits),), limits))
    kept = tuple(version for version in versions if version.from_s < version.to_s)
    return Plan("p", "", "", "electricity", "kWh", "CNY", draw(st.sampled_from(ZONES)), kept)


OPTIONS = st.builds(TierOptions, st.integers(0, 6), st.one_of(st.just(0), st.just(BEGIN_S - 10**8), SECONDS))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plans(), OPTIONS, st.data())
def test_every_second_is_priced_as_a_person_would(plan: Plan, options: TierOptions, data: st.DataObject) -> None:
    from_s = data.draw(SECONDS)
    to_s = from_s + data.draw(st.integers(1, 40 * 86_400))
    found = unroll(plan, options, from_s, to_s)
    starts = found.entries[:, E_START_S].tolist()
    assert (starts[0], starts[-1]) == (from_s, to_s)
    assert starts == sorted(set(starts))
    near = [second + shift for second in starts for shift in (-1, 0, 1)]
    free = data.draw(st.lists(st.integers(from_s, to_s - 1), max_size=20))
    for at_s in [second for second in (*near, *free) if from_s <= second < to_s]:
        assert told(found, at_s) == by_hand(plan, options, at_s), (datetime.fromtimestamp(at_s, UTC), plan.timezone)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plans(), OPTIONS, SECONDS)
def test_bodies_options_and_the_past(plan: Plan, options: TierOptions, until_s: int) -> None:
    again = plan_of(plan_body(plan))
    assert again == plan
    assert not past_changed(plan, again, until_s)
    if plan.version_at(until_s - 1) is not None:
        gone = replace(plan, versions=tuple(v for v in plan.versions if not v.from_s <= until_s - 1 < v.to_s))
        assert past_changed(plan, gone, until_s)
    window = (BEGIN_S + 40 * 86_400, BEGIN_S + 300 * 86_400)
    full, used = unroll(plan, options, *window), unroll(plan, options_used(plan, options), *window)
    assert all((a == b).all() for a, b in zip(full, used, strict=True))


def told(found: Any, at_s: int) -> tuple[Any, ...]:
    entry = found.entries[entry_at(found.entries, at_s)]
    limits = [int(bound) for bound in found.bounds[entry[E_BOUNDS]] if bound != UNBOUNDED_MILLI]
    if entry[E_PRICES] < 0:
        return (-1, None, limits, int(entry[E_PERIOD]))
    prices = found.prices[entry[E_PRICES], : len(limits) + 1].tolist()
    return int(entry[E_RATE]), prices, (limits, int(found.volume[entry[E_BOUNDS]])), int(entry[E_PERIOD])


def by_hand(plan: Plan, options: TierOptions, at_s: int) -> tuple[Any, ...]:
    """Return (rate, price of each tier, (bounds, volume), second in which the period began) of one second."""
    zone = ZoneInfo(plan.timezone)
    local = datetime.fromtimestamp(at_s, zone)
    version = next((v for v in plan.versions if v.from_s <= at_s < v.to_s), None)
    if version is None:
        return (-1, None, [], 0)
    table = next(table for table in version.tables if _fits(table, version.days, local.date()))
    minute = local.hour * 60 + local.minute
    rate = next(slot.rate for slot in table.slots if slot.start_minute <= minute < slot.end_minute)
    if version.tiers is None:
        return rate, [version.price_micro(rate, 0)], ([], 0), 0
    begin = local.date()
    while not _begins(version.tiers, options, zone, begin):
        begin -= timedelta(days=1)
    bounds = _bounds(version.tiers, options, zone, begin)
    period = int(datetime(begin.year, begin.month, begin.day, tzinfo=zone).timestamp())
    prices = [version.price_micro(rate, tier) for tier in range(3)]
    return rate, prices, (bounds, int(version.tiers.mode == "volume")), period


def _fits(table: DayTable, days: Days, day: date) -> bool:
    if table.seasons:
        season = table.seasons[0]
        at = (day.month, day.day)
        inside = (
            season.first <= at <= season.last if season.first <= season.last else not season.last < at < season.first
        )
        if not inside:
            return False
    number = day.toordinal()
    if number in days.special[0][1]:
        kinds = {"special"}
    elif number in days.holidays:
        kinds = {"holiday"}
    elif number in days.make_up:
        kinds = {"working", "make_up"}
    else:
        kinds = {WEEKDAYS[day.weekday()], "weekend" if day.weekday() > 4 else "working"}
    return bool(kinds & table.kinds)


def _begins(tiers: Tiers, options: TierOptions, zone: ZoneInfo, day: date) -> bool:
    if tiers.period == "month":
        return day.day == tiers.settlement_day
    month, first = 1, tiers.settlement_day
    if tiers.period == "anniversary" and options.opened_s:
        opened = datetime.fromtimestamp(options.opened_s, zone)
        month, first = opened.month, opened.day
        if (month, first) == (2, 29) and day.year % 4 != 0:
            first = 28
    return (day.month, day.day) == (month, first)


def _bounds(tiers: Tiers, options: TierOptions, zone: ZoneInfo, begin: date) -> list[int]:
    more = 0
    for person in range(1, options.household + 1):
        if tiers.household_from and person >= tiers.household_from:
            more += tiers.household_add_milli
    bounds = [bound + more for bound in tiers.bounds_milli]
    if not (tiers.prorate_first and tiers.period == "year" and options.opened_s):
        return bounds
    opened = datetime.fromtimestamp(options.opened_s, zone).date()
    if not begin < opened < begin.replace(year=begin.year + 1):
        return bounds
    months = 12
    while _month_on(begin, 12 - months + 1) <= opened:
        months -= 1
    return [bound * months // 12 for bound in bounds]


def _month_on(day: date, months: int) -> date:
    month = day.month - 1 + months
    return day.replace(year=day.year + month // 12, month=month % 12 + 1)


def _next(day: tuple[int, int]) -> tuple[int, int]:
    after = date(2024, *day) + timedelta(days=1)
    return after.month, after.day


def _before(day: tuple[int, int]) -> tuple[int, int]:
    before = date(2024, *day) - timedelta(days=1)
    return before.month, before.day

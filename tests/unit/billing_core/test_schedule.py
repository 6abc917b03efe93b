"""Schedules against a walk through every minute of a year, in zones with and without clock changes."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from billing_core.columns import E_BOUNDS, E_PERIOD, E_PRICES, E_RATE, E_START_S, UNBOUNDED_MILLI
from billing_core.plan import HOLIDAY, NO_OPTIONS, Days, DayTable, Plan, Season, Slot, TierOptions, Tiers
from billing_core.schedule import entry_at, options_used, unroll, unroll_all
from billing_core.zones import DAY_S
from tests.plans import plan, version

YEAR_FROM_S = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
YEAR_TO_S = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
FIRST_HOLIDAY = date(2026, 10, 1).toordinal()
DAYS = Days(
    frozenset(range(FIRST_HOLIDAY, FIRST_HOLIDAY + 7)),
    frozenset({date(2026, 9, 27).toordinal(), date(2026, 10, 10).toordinal()}),
    (("festival", frozenset({date(2026, 2, 17).toordinal(), date(2026, 10, 2).toordinal()})),),
)
SUMMER, REST = Season((6, 15), (9, 14)), Season((9, 15), (6, 14))
# Borders at odd minutes, a season and a holiday of their own, and one minute of summer working days without a rate.
TABLES = (
    DayTable((SUMMER,), frozenset({"working"}), (Slot(0, 510, 3), Slot(511, 1140, 1), Slot(1140, 1440, 0))),
    DayTable((REST,), frozenset({"working"}), (Slot(0, 1439, 2), Slot(1439, 1440, 1))),
    DayTable((), frozenset({"weekend", HOLIDAY}), (Slot(0, 61, 3), Slot(61, 1440, 4))),
    DayTable((), frozenset({"festival"}), (Slot(0, 1440, 4),)),
)
PRICES = {0: 50, 1: 40, 2: 30, 3: 20, 4: 10}


def tou(timezone: str) -> Plan:
    """Return a plan whose prices rise in the middle of a day in May."""
    rise_s = int(datetime(2026, 5, 5, 3, 17, tzinfo=UTC).timestamp())
    versions = (
        version(PRICES, TABLES, to_s=rise_s, days=DAYS),
        version({rate: price + 1 for rate, price in PRICES.items()}, TABLES, from_s=rise_s, days=DAYS),
    )
    return Plan("t", "", "", "electricity", "kWh", "CNY", timezone, versions)


def by_the_clock(found: Plan, at_s: int) -> tuple[int, int]:
    """Return (rate, price) that somebody with a wall clock, a diary and the printed tariff finds."""
    local = datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(found.timezone))
    day, minute = local.date().toordinal(), local.hour * 60 + local.minute
    current = found.versions[0] if at_s < found.versions[0].to_s else found.versions[1]
    if day in DAYS.special[0][1]:
        table = TABLES[3]
    elif day in DAYS.holidays or (local.weekday() >= 5 and day not in DAYS.make_up):
        table = TABLES[2]
    else:
        table = TABLES[0] if date(2026, 6, 15) <= local.date() <= date(2026, 9, 14) else TABLES[1]
    for slot in table.slots:
        if slot.start_minute <= minute < slot.end_minute:
            return slot.rate, current.price_micro(slot.rate, 0)
    return -1, -1


@pytest.mark.parametrize("timezone", ["Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_every_minute_of_a_year(timezone: str) -> None:
    found = tou(timezone)
    entries, prices, _, _ = unroll(found, TierOptions(), YEAR_FROM_S, YEAR_TO_S)
    rows, prices = entries.tolist(), [*prices[:, 0].tolist(), -1]
    k = 0
    for at_s in range(YEAR_FROM_S, YEAR_TO_S, 60):
        while rows[k + 1][E_START_S] <= at_s:
            k += 1
        assert (rows[k][E_RATE], prices[rows[k][E_PRICES]]) == by_the_clock(found, at_s), datetime.fromtimestamp(at_s)
    assert (entries[:, E_START_S] % 60 == 0).all()


def test_a_day_of_clock_change_has_23_or_25_hours_and_its_repeated_hour_the_same_slot_twice() -> None:
    night = plan("n", {1: 2, 3: 1}, (Slot(0, 180, 3), Slot(180, 1440, 1)), timezone="America/New_York")
    lengths = []
    for day in (date(2026, 3, 8), date(2026, 7, 1), date(2026, 11, 1)):
        midnight = datetime.combine(day, datetime.min.time(), ZoneInfo("America/New_York"))
        entries = unroll(night, TierOptions(), int(midnight.timestamp()), int(midnight.timestamp()) + DAY_S).entries
        lengths.append(int(entries[1, E_START_S] - entries[0, E_START_S]) // 3600)
    assert lengths == [2, 3, 4]  # hours of the valley rate up to 03:00


def test_an_untiered_plan_has_one_tier_without_bound_and_one_period() -> None:
    found = unroll(plan("f", {2: 7}, timezone="Europe/Berlin"), TierOptions(), YEAR_FROM_S, YEAR_TO_S)
    assert found.entries.tolist() == [[YEAR_FROM_S, 2, 0, 0, 0], [YEAR_TO_S, -1, -1, 0, 0]]
    assert found.prices.tolist() == [[7] * 8]
    assert found.bounds.tolist() == [[UNBOUNDED_MILLI] * 8]
    assert found.volume.tolist() == [0]


def test_neighbours_differ_and_the_window_is_closed() -> None:
    entries = unroll(tou("America/New_York"), TierOptions(), YEAR_FROM_S, YEAR_TO_S).entries
    assert entries[0, E_START_S] == YEAR_FROM_S
    assert entries[-1].tolist() == [YEAR_TO_S, -1, -1, 0, 0]
    for before, after in pairwise(entries.tolist()):
        assert before[E_START_S] < after[E_START_S]
        assert before[1:] != after[1:] or after[0] == YEAR_TO_S


YEARLY = Tiers("graduated", "year", (2_160_000, 4_200_000))


def starts(tiers: Tiers, options: TierOptions = NO_OPTIONS, timezone: str = "Asia/Shanghai") -> list[tuple[str, int]]:
    """Return (local date and time, first bound) of every accumulation period that a 2026 sees, by its number."""
    tiered = plan("t", {2: (1, 2, 3)}, tiers=tiers, timezone=timezone)
    found = unroll(tiered, options, YEAR_FROM_S, YEAR_TO_S)
    seen: dict[int, int] = {}
    for row in found.entries.tolist():
        assert row[E_PERIOD] == row[E_START_S] or row[E_START_S] in (YEAR_FROM_S, YEAR_TO_S)
        seen[row[E_PERIOD]] = int(found.bounds[row[E_BOUNDS], 0])
    zone = ZoneInfo(timezone)
    return [(datetime.fromtimestamp(at_s, zone).strftime("%Y-%m-%d %H:%M"), bound) for at_s, bound in seen.items()]


def test_periods_begin_at_local_midnight_of_month_year_and_anniversary() -> None:
    months = starts(Tiers("graduated", "month", (100, 300)), timezone="America/New_York")
    assert [begin for begin, _ in months] == ["2025-12-01 00:00", *(f"2026-{m:02}-01 00:00" for m in range(1, 13))]
    settled = starts(Tiers("graduated", "month", (100, 300), settlement_day=25))
    assert [begin for begin, _ in settled[:3]] == ["2025-12-25 00:00", "2026-01-25 00:00", "2026-02-25 00:00"]
    assert starts(YEARLY) == [("2026-01-01 00:00", 2_160_000), ("2027-01-01 00:00", 2_160_000)]
    leap_day_s = int(datetime(2024, 2, 29, 12, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
    anniversary = Tiers("graduated", "anniversary", (2_160_000, 4_200_000))
    assert [begin for begin, _ in starts(anniversary, TierOptions(0, leap_day_s))] == [
        "2025-02-28 00:00",
        "2026-02-28 00:00",
    ]


def test_a_household_widens_every_bound_and_a_partial_first_year_narrows_it() -> None:
    opened_s = int(datetime(2026, 7, 15, 9, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
    wide = Tiers("graduated", "year", (2_160_000, 4_200_000), household_from=5, household_add_milli=100_000)
    assert starts(wide, TierOptions(4))[0][1] == 2_160_000
    assert starts(wide, TierOptions(6))[0][1] == 2_360_000
    partial = Tiers("graduated", "year", (2_160_000, 4_200_000), prorate_first=True)
    # July to December: 2160 x 6 / 12
    assert starts(partial, TierOptions(0, opened_s)) == [
        ("2026-01-01 00:00", 1_080_000),
        ("2027-01-01 00:00", 2_160_000),
    ]
    january_s = int(datetime(2026, 1, 1, 9, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
    assert starts(partial, TierOptions(0, january_s))[0][1] == 2_160_000


@pytest.mark.parametrize(
    ("opened", "months"),
    [((2026, 1, 20), 12), ((2026, 1, 21), 12), ((2026, 2, 19), 12), ((2026, 2, 20), 11), ((2026, 3, 15), 11),
     ((2026, 12, 20), 1), ((2027, 1, 19), 1), ((2025, 12, 1), 12)],
)  # fmt: skip
def test_months_of_a_first_year_are_counted_from_settlement_day_to_settlement_day(
    opened: tuple[int, int, int], months: int
) -> None:
    opened_s = int(datetime(*opened, 9, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
    settled = Tiers("graduated", "year", (1_200, 2_400), settlement_day=20, prorate_first=True)
    periods = dict(starts(settled, TierOptions(0, opened_s)))
    assert periods["2026-01-20 00:00"] == 100 * months


def test_a_new_version_inside_a_period_carries_the_position_on() -> None:
    rise_s = int(datetime(2026, 5, 5, 3, 17, tzinfo=UTC).timestamp())
    versions = (
        version({2: (1, 2, 3)}, to_s=rise_s, tiers=YEARLY),
        version({2: (4, 5, 6)}, from_s=rise_s, tiers=Tiers("volume", "year", (1_000_000, 4_000_000))),
    )
    tiered = Plan("t", "", "", "electricity", "kWh", "CNY", "Asia/Shanghai", versions)
    entries, prices, bounds, volume = unroll(tiered, TierOptions(), YEAR_FROM_S, rise_s + DAY_S)
    assert entries[:, E_START_S].tolist() == [YEAR_FROM_S, rise_s, rise_s + DAY_S]
    assert len(set(entries[:, E_PERIOD].tolist())) == 1
    assert prices[entries[:2, E_PRICES], 0].tolist() == [1, 4]
    assert bounds[entries[:2, E_BOUNDS], 0].tolist() == [2_160_000, 1_000_000]
    assert volume[entries[:2, E_BOUNDS]].tolist() == [0, 1]


def test_outside_of_the_versions_nothing_has_a_price() -> None:
    middle = version({2: 5}, from_s=YEAR_FROM_S + DAY_S, to_s=YEAR_FROM_S + 2 * DAY_S)
    short = Plan("t", "", "", "water", "m3", "CNY", "Asia/Shanghai", (middle,))
    entries = unroll(short, TierOptions(), YEAR_FROM_S, YEAR_TO_S).entries
    assert entries[:, E_PRICES].tolist() == [-1, 0, -1, -1]


def test_a_tier_without_price_has_no_price_at_all() -> None:
    holed = plan("t", {2: (1, -1, 3)}, tiers=YEARLY)
    assert (unroll(holed, TierOptions(), YEAR_FROM_S, YEAR_TO_S).entries[:, E_PRICES] == -1).all()


def test_schedules_of_several_plans_lie_one_after_the_other() -> None:
    tiered = plan("t", {2: (1, 2, 3)}, tiers=YEARLY)
    pairs = [(tou("Asia/Shanghai"), TierOptions()), (tiered, TierOptions(3)), (tou("Asia/Kathmandu"), TierOptions())]
    together = unroll_all(pairs, YEAR_FROM_S, YEAR_TO_S)
    for number, (found, options) in enumerate(pairs):
        alone = unroll(found, options, YEAR_FROM_S, YEAR_TO_S)
        rows = together.entries[together.first[number] : together.first[number + 1]]
        assert (rows[:, [E_START_S, E_RATE, E_PERIOD]] == alone.entries[:, [E_START_S, E_RATE, E_PERIOD]]).all()
        assert (together.bounds[rows[:, E_BOUNDS]] == alone.bounds[alone.entries[:, E_BOUNDS]]).all()
        assert (together.volume[rows[:, E_BOUNDS]] == alone.volume[alone.entries[:, E_BOUNDS]]).all()
        priced = rows[:, E_PRICES] >= 0
        assert (priced == (alone.entries[:, E_PRICES] >= 0)).all()
        assert (together.prices[rows[priced, E_PRICES]] == alone.prices[alone.entries[priced, E_PRICES]]).all()
    assert len(unroll_all([], 0, 1).entries) == 0


@pytest.mark.parametrize("timezone", ["Asia/Shanghai", "America/New_York"])
def test_any_window_says_the_same(timezone: str) -> None:
    found = tou(timezone)
    whole = unroll(found, TierOptions(), YEAR_FROM_S, YEAR_TO_S)
    for from_s in range(YEAR_FROM_S, YEAR_TO_S - 9 * DAY_S, 9 * DAY_S + 12_345):
        piece = unroll(found, TierOptions(), from_s, from_s + 9 * DAY_S)
        for at_s in range(from_s, from_s + 9 * DAY_S, 1_799):
            rows = piece.entries[entry_at(piece.entries, at_s)], whole.entries[entry_at(whole.entries, at_s)]
            assert (rows[0][[E_RATE, E_PERIOD]] == rows[1][[E_RATE, E_PERIOD]]).all()


def test_points_that_share_a_schedule_are_found() -> None:
    assert options_used(plan("f", {2: 7}), TierOptions(7, 12345)) == TierOptions()
    partial = plan("t", {2: (1, 2, 3)}, tiers=Tiers("graduated", "year", (1, 2), prorate_first=True))
    morning, evening = (YEAR_FROM_S + hours * 3600 for hours in (1, 9))
    assert options_used(partial, TierOptions(7, morning)) == options_used(partial, TierOptions(2, evening))
    assert options_used(partial, TierOptions(7, morning)) != options_used(partial, TierOptions(2, evening + DAY_S))
    assert timedelta(seconds=options_used(partial, TierOptions(0, morning)).opened_s) > timedelta(0)

"""The calendar against a walk through every minute of a year, in zones with and without clock changes."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from billing_core.calendar import entry_at, unroll, unroll_all
from billing_core.columns import NO_PRICE
from billing_core.tariff import Slot, Tariff

WORKDAYS, WEEKEND, WEEK = frozenset(range(5)), frozenset({5, 6}), frozenset(range(7))
YEAR_FROM_S = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
YEAR_TO_S = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())


def tariff(timezone: str) -> Tariff:
    """Return a week with borders at odd minutes, a weekend of its own, and one minute that nobody priced."""
    slots = (
        Slot(WORKDAYS, 0, 510, 3), Slot(WORKDAYS, 510, 711, 1), Slot(WORKDAYS, 712, 1140, 2),
        Slot(WORKDAYS, 1140, 1440, 0), Slot(WEEKEND, 0, 1440, 4),
    )  # fmt: skip
    return Tariff("t", "", "", "electricity", "kWh", "CNY", timezone, {0: 50, 1: 40, 2: 30, 3: 20, 4: 10}, slots)


def by_the_clock(plan: Tariff, at_s: int) -> int:
    """Return the price that somebody with a wall clock and the printed tariff finds."""
    local = datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(plan.timezone))
    minute = local.hour * 60 + local.minute
    for slot in plan.slots:
        if local.weekday() in slot.days and slot.start_minute <= minute < slot.end_minute:
            return plan.price_micro[slot.rate]
    return NO_PRICE


@pytest.mark.parametrize("timezone", ["Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_every_minute_of_a_year(timezone: str) -> None:
    plan = tariff(timezone)
    entries = unroll(plan, YEAR_FROM_S, YEAR_TO_S)
    k = 0
    for at_s in range(YEAR_FROM_S, YEAR_TO_S, 60):
        while entries[k + 1].start_s <= at_s:
            k += 1
        assert entries[k].price_micro == by_the_clock(plan, at_s), datetime.fromtimestamp(at_s, UTC)
    assert all(entry.start_s % 60 == 0 for entry in entries)


def test_neighbours_differ_and_the_window_is_closed() -> None:
    entries = unroll(tariff("America/New_York"), YEAR_FROM_S, YEAR_TO_S)
    assert entries[0].start_s == YEAR_FROM_S
    assert entries[-1] == (YEAR_TO_S, NO_PRICE, -1)
    for before, after in pairwise(entries):
        assert before.start_s < after.start_s
        assert before[1:] != after[1:]


def test_a_flat_tariff_is_one_entry() -> None:
    flat = Tariff("f", "", "", "water", "m3", "CNY", "Europe/Berlin", {2: 7}, (Slot(WEEK, 0, 1440, 2),))
    assert unroll(flat, YEAR_FROM_S, YEAR_TO_S) == [(YEAR_FROM_S, 7, 2), (YEAR_TO_S, NO_PRICE, -1)]


@pytest.mark.parametrize("timezone", ["Asia/Shanghai", "America/New_York"])
def test_any_window_says_the_same(timezone: str) -> None:
    whole = unroll(tariff(timezone), YEAR_FROM_S, YEAR_TO_S)
    for from_s in range(YEAR_FROM_S, YEAR_TO_S - 9 * 86_400, 12_345_678 // 9):
        part = unroll(tariff(timezone), from_s, from_s + 9 * 86_400)
        for at_s in range(from_s, from_s + 9 * 86_400, 1_799):
            assert part[entry_at(part, at_s)][1:] == whole[entry_at(whole, at_s)][1:]


def test_calendars_of_several_tariffs_lie_one_after_the_other() -> None:
    plans = [tariff("Asia/Shanghai"), tariff("America/New_York")]
    calendar = unroll_all(plans, YEAR_FROM_S, YEAR_TO_S)
    for number, plan in enumerate(plans):
        rows = calendar.entries[calendar.first[number] : calendar.first[number + 1]]
        assert [tuple(row) for row in rows.tolist()] == unroll(plan, YEAR_FROM_S, YEAR_TO_S)

"""The untiered calendar of the kernel: first-tier prices of a schedule, neighbours different, windows alike."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from billing_core.calendar import entry_at, unroll, unroll_all
from billing_core.columns import NO_PRICE
from billing_core.plan import DayTable, Plan, Slot
from tests.plans import plan

YEAR_FROM_S = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
YEAR_TO_S = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())


def tariff(timezone: str) -> Plan:
    """Return a week with borders at odd minutes, a weekend of its own, and one minute that nobody priced."""
    work = (Slot(0, 510, 3), Slot(510, 711, 1), Slot(712, 1140, 2), Slot(1140, 1440, 0))
    tables = (DayTable((), frozenset({"working"}), work), DayTable((), frozenset({"weekend"}), (Slot(0, 1440, 4),)))
    return plan("t", {0: 50, 1: 40, 2: 30, 3: 20, 4: 10}, tables=tables, timezone=timezone)


def test_neighbours_differ_and_the_window_is_closed() -> None:
    entries = unroll(tariff("America/New_York"), YEAR_FROM_S, YEAR_TO_S)
    assert entries[0].start_s == YEAR_FROM_S
    assert entries[-1] == (YEAR_TO_S, NO_PRICE, -1)
    for before, after in pairwise(entries):
        assert before.start_s < after.start_s
        assert before[1:] != after[1:]


def test_a_flat_tariff_is_one_entry() -> None:
    flat = plan("f", {2: 7}, timezone="Europe/Berlin")
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
    for number, found in enumerate(plans):
        rows = calendar.entries[calendar.first[number] : calendar.first[number + 1]]
        assert [tuple(row) for row in rows.tolist()] == unroll(found, YEAR_FROM_S, YEAR_TO_S)

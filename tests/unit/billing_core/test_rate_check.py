"""Rate registers: when the meter's table equals the plan's, and when its registers can be believed."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_core.plan import (
    ALWAYS_S,
    FOREVER_S,
    HOLIDAY,
    WEEKEND,
    WORKING,
    Days,
    DayTable,
    Plan,
    PricePart,
    Season,
    Slot,
    Version,
)
from billing_core.points import PointSpec
from billing_core.rate_check import INCOMPLETE, NONE, SUM_MISMATCH, TABLE_MISMATCH, USED, RateCheck
from billing_core.rate_tables import Week, disagreement, week_minutes
from scada.image import NO_RATE, RATE_COLUMNS, Columns, Layout
from scada.quality import GOOD, UNCERTAIN_NO_COMMUNICATION

PEAK, FLAT, VALLEY = 1, 2, 3
DAY: Week = tuple([((0, 480, VALLEY), (480, 1320, PEAK), (1320, 1440, VALLEY))] * 7)
PART = PricePart("energy", "电能", "Energy", ((-1,), (1,), (1,), (1,), (-1,)))


def table(slots: tuple[tuple[int, int, int], ...], *kinds: str, seasons: tuple[Season, ...] = ()) -> DayTable:
    return DayTable(seasons, frozenset(kinds), tuple(Slot(*slot) for slot in slots))


def plan(*tables: DayTable, days: Days | None = None) -> Plan:
    version = Version(ALWAYS_S, FOREVER_S, tables, days or Days(), (PART,))
    return Plan("e", "电", "Power", "electricity", "kWh", "CNY", "Asia/Shanghai", (version,))


def test_equal_tables_agree_however_they_are_cut() -> None:
    cut = ((0, 300, VALLEY), (300, 480, VALLEY), (480, 1320, PEAK), (1320, 1440, VALLEY))
    assert disagreement(plan(table(cut)), DAY) == ""


def test_weekends_are_days_of_their_own() -> None:
    flat: tuple[tuple[int, int, int], ...] = ((0, 1440, FLAT),)
    both = plan(table(DAY[0], WORKING, HOLIDAY), table(flat, WEEKEND))
    assert disagreement(both, (*DAY[:5], flat, flat)) == ""
    assert "on 2024-01-06" in disagreement(both, DAY)  # the first Saturday looked at


def test_a_holiday_that_the_meter_does_not_know_is_found() -> None:
    newyear = date(2031, 1, 1).toordinal()
    other = plan(
        table(DAY[0], WORKING, WEEKEND),
        table(((0, 1440, VALLEY),), HOLIDAY),
        days=Days(holidays=frozenset({newyear})),
    )
    assert "on 2031-01-01 the plan says 00:00-24:00 T4" in disagreement(other, DAY)


def test_a_season_that_the_meter_does_not_know_is_found() -> None:
    seasons = plan(
        table(DAY[0], seasons=(Season((9, 1), (6, 30)),)),
        table(((0, 1440, PEAK),), seasons=(Season((7, 1), (8, 31)),)),
    )
    assert "on 2024-07-01" in disagreement(seasons, DAY)


def test_minutes_of_a_week() -> None:
    minutes = week_minutes(DAY)
    assert (minutes[6][479], minutes[6][480], minutes[6][1319], minutes[6][1320]) == (VALLEY, PEAK, PEAK, VALLEY)


POINT = PointSpec(
    "p", "m", 0, 0, "electricity", "kWh", 10, 100_000_000, 1000,
    rate_registers=True, rate_week=DAY, rates_used=(True, True, True, True, False),
)  # fmt: skip


def checked(raw: int, rates: tuple[int, ...], point: PointSpec = POINT, quality: int = GOOD) -> int:
    columns = Columns.private(Layout({"tags": 0, "points": 1, "accounts": 0, "alarms": 0}, b"\0" * 32))
    columns.points.raw[0], columns.points.quality[0] = raw, quality
    for name, value in zip(RATE_COLUMNS, rates, strict=True):
        getattr(columns.points, name)[0] = value
    check = RateCheck()
    check.renew([point], [plan(table(DAY[0]))])
    check.mark(columns.points)
    return int(columns.points.rate_check[0])


# reference D.1-10: |total - sum| <= 0.01 x registers + 0.02; four registers of 0.01 kWh: six counts
@pytest.mark.parametrize(
    ("raw", "rates", "state"),
    [
        (100_006, (40_000, 30_000, 20_000, 10_000, NO_RATE), USED),
        (100_007, (40_000, 30_000, 20_000, 10_000, NO_RATE), SUM_MISMATCH),
        (99_994, (40_000, 30_000, 20_000, 10_000, NO_RATE), USED),
        (99_993, (40_000, 30_000, 20_000, 10_000, NO_RATE), SUM_MISMATCH),
        (100_000, (40_000, NO_RATE, 20_000, 10_000, NO_RATE), INCOMPLETE),
        (2, (99_999_999, 1, 1, 1, NO_RATE), USED),  # the total has rolled over, a rate register not yet
    ],
)
def test_the_sum_check(raw: int, rates: tuple[int, ...], state: int) -> None:
    assert checked(raw, rates) == state


def test_other_points_are_left_alone() -> None:
    assert checked(100, (0,) * 5, replace(POINT, rate_registers=False)) == NONE
    assert checked(100, (0,) * 5, quality=UNCERTAIN_NO_COMMUNICATION) == NONE
    assert checked(100, (100, 0, 0, 0, 0), replace(POINT, rate_week=(((0, 1440, FLAT),),) * 7)) == TABLE_MISMATCH


@given(st.lists(st.integers(0, 30_000_000), min_size=4, max_size=4), st.integers(0, 4))
def test_registers_that_are_cut_off_always_pass(parts: list[int], more: int) -> None:
    """Each register shows whole counts of what it counted; the total shows whole counts of all of it together."""
    thousandths = [part * 1000 + 999 * (index < more) for index, part in enumerate(parts)]
    total = sum(thousandths) // 1000 % POINT.modulus_counts
    shown = [part // 1000 for part in thousandths]
    assert checked(total, (*shown, NO_RATE)) == USED

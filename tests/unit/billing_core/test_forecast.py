"""Days left and the hour a purse is empty: medians, profiles, spread charges, the ring, the examples of the page."""

import numpy as np
import pytest

from billing_core.forecast import (
    DAY_H,
    HOUR_S,
    KEPT_H,
    NEVER_S,
    UNKNOWN_S,
    WEEK_H,
    Costs,
    Forecaster,
    daily_median,
    reached,
    week_profile,
)
from tests.docs.pages import table

YUAN = 1_000_000_000
NOW_H = 500_000
NOW_S = NOW_H * HOUR_S


def array(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def forecaster(hours: dict[int, int], accounts: int = 1, now_s: int = NOW_S) -> Forecaster:
    """One account whose hour (relative to NOW_H) cost so many nano."""
    found = Forecaster(accounts)
    rows = np.array([(0, NOW_H + hour, nano) for hour, nano in hours.items()], dtype=np.int64).reshape(-1, 3)
    found.costs.restore(now_s, rows)
    return found


def looked(found: Forecaster, balance: int, overdraft: int = 0, now_s: int = NOW_S) -> tuple[float, int, int]:
    outlook = found.outlook(now_s, array(balance), array(overdraft))
    return float(outlook.days_left[0]), int(outlook.empty_s[0]), int(outlook.limit_s[0])


def test_the_page_tells_the_truth_about_days_left() -> None:
    for costs, balance, median, days_left in table("billing-credit.md", "cost of the last seven days"):
        daily = [int(cost) * YUAN for cost in costs.split(",")]
        hours = {-DAY_H * (len(daily) - day) + 5: nano for day, nano in enumerate(daily)}
        hours = {-DAY_H * len(daily) - 1: 0} | hours
        found = forecaster(hours)
        outlook = found.outlook(NOW_S, array(int(float(balance) * YUAN)), array(0))
        assert outlook.known[0]
        assert int(outlook.daily_nano[0]) == int(float(median) * YUAN)
        assert float(outlook.days_left[0]) == pytest.approx(float(days_left))


def test_the_workshop_of_the_page_is_empty_at_16_on_the_third_day() -> None:
    noon_h = NOW_H - NOW_H % DAY_H + 12  # hours of UTC days stand for local ones
    hours = {
        hour - NOW_H: 5 * YUAN for hour in range(noon_h - KEPT_H + 1, noon_h) if 8 <= hour % DAY_H < 18
    }  # fmt: skip
    found = forecaster({noon_h - KEPT_H - NOW_H: 0} | hours, now_s=noon_h * HOUR_S)
    _, empty_s, limit_s = looked(found, 120 * YUAN, 25 * YUAN, noon_h * HOUR_S)
    assert empty_s == (noon_h + 2 * DAY_H + 3) * HOUR_S  # within the hour that ends at 16:00
    assert limit_s == (noon_h + 3 * DAY_H - 4 + 2) * HOUR_S  # 10 more until 18:00, then 15 from 08:00 on


def test_nothing_is_told_before_a_whole_day_is_known() -> None:
    found = forecaster({-20: YUAN, -3: YUAN})
    days_left, empty_s, limit_s = looked(found, 100 * YUAN)
    assert np.isnan(days_left)
    assert (empty_s, limit_s) == (UNKNOWN_S, UNKNOWN_S)


def test_a_purse_that_nothing_is_taken_from_lasts_for_ever() -> None:
    found = forecaster({-100: 0, -99: 0})
    days_left, empty_s, _ = looked(found, 100 * YUAN)
    assert days_left == np.inf
    assert empty_s == NEVER_S
    assert looked(found, -YUAN)[0:2] == (0.0, NOW_S)  # empty already


def test_the_part_of_the_running_hour_that_is_over_counts_no_more() -> None:
    profile = np.zeros((1, WEEK_H), dtype=np.int64)
    profile[0, 0], profile[0, 1] = 60 * YUAN, 60 * YUAN
    half = NOW_S + HOUR_S // 2
    assert reached(profile, half, array(30 * YUAN))[0] == half
    assert reached(profile, half, array(31 * YUAN))[0] == NOW_S + HOUR_S
    assert reached(profile, half, array(120 * YUAN))[0] == NOW_S + WEEK_H * HOUR_S  # the rest of the hour, a week on
    assert reached(profile, half, array(120 * YUAN * 520 + 1))[0] == NEVER_S


def test_a_charge_over_hours_is_spread_and_nothing_is_lost() -> None:
    costs = Costs(2)
    costs.advance(NOW_S)
    from_s = NOW_S - 3 * HOUR_S - 900
    costs.add(array(1, 0), array(from_s, NOW_S - 100), array(NOW_S - 900, NOW_S), array(10 * YUAN + 7, 5))
    assert int(costs.nano.sum()) == 10 * YUAN + 7 + 5
    quarter = (10 * YUAN + 7) // (3 * HOUR_S) * 900
    assert int(costs.nano[1, (NOW_H - 4) % KEPT_H]) == quarter
    assert int(costs.nano[1, (NOW_H - 3) % KEPT_H]) == quarter * 4
    assert int(costs.nano[0, (NOW_H - 1) % KEPT_H]) == 5  # a charge that ends on the hour belongs before it


def test_the_ring_forgets_what_is_too_old_and_takes_nothing_from_before_it() -> None:
    costs = Costs(1)
    costs.advance(NOW_S)
    costs.add(array(0), array(NOW_S), array(NOW_S + 10), array(7))
    costs.advance(NOW_S + (KEPT_H - 1) * HOUR_S)
    assert int(costs.nano.sum()) == 7
    costs.advance(NOW_S + KEPT_H * HOUR_S)
    assert int(costs.nano.sum()) == 0
    costs.add(array(0), array(NOW_S), array(NOW_S + 10), array(7))
    assert int(costs.nano.sum()) == 0
    costs.advance(NOW_S + 10 * KEPT_H * HOUR_S)  # a long sleep
    assert costs.now_h == NOW_H + 10 * KEPT_H


def test_median_and_profile_against_a_slow_twin() -> None:
    random = np.random.default_rng(20261123)
    costs = Costs(6)
    costs.advance(NOW_S)
    since = [NOW_H - 600, NOW_H - 300, NOW_H - 170, NOW_H - 100, NOW_H - 25, NOW_H - 3]
    truth: dict[tuple[int, int], int] = {}
    for row, begin in enumerate(since):
        for hour in range(max(begin, NOW_H - KEPT_H + 1), NOW_H):
            truth[row, hour] = int(random.integers(0, 10**12))
    table_ = np.array([(row, hour, nano) for (row, hour), nano in truth.items()], dtype=np.int64)
    costs.restore(NOW_S, table_)
    daily, known = daily_median(costs)
    profile = week_profile(costs)
    for row in range(6):
        first = min(hour for r, hour in truth if r == row) + 1  # the first hour may be a part of one
        whole = min((NOW_H - first) // DAY_H, 7)
        sums = sorted(
            sum(truth[row, hour] for hour in range(NOW_H - DAY_H * (day + 1), NOW_H - DAY_H * day))
            for day in range(whole)
        )
        assert known[row] == (whole > 0)
        if whole:
            assert int(daily[row]) == (sums[(whole - 1) // 2] + sums[whole // 2]) // 2
        for ahead in (0, 1, 23, 100, 167):
            same = [truth[row, hour] for hour in range(first, NOW_H) if (hour - NOW_H - ahead) % WEEK_H == 0]
            if same:
                assert int(profile[row, ahead]) == sum(same) // len(same)


def test_whole_hours_alone_make_the_profile_old() -> None:
    found = forecaster({-30: YUAN, -2: YUAN})
    looked(found, YUAN)
    found.costs.add(array(0), array(NOW_S), array(NOW_S + 5), array(9))
    assert not found.costs.stale  # the running hour is not whole
    found.costs.add(array(0), array(NOW_S - 20), array(NOW_S - 10), array(9))
    assert found.costs.stale

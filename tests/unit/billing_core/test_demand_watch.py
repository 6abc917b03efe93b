"""The demand watch: which window of fifteen minutes is the highest, and what is no evidence."""

import numpy as np

from billing_core.demand_watch import DemandWatch, Watched

BEGIN_S = 1_792_972_800  # a whole minute


class Meter:
    """One register of 0.01 kWh counts on a hundredfold transformer, sampled by a watch."""

    def __init__(self, **changes: int) -> None:
        facts = {"row": 0, "milli_per_count": 1000, "modulus_counts": 10_000, "max_milli_per_s": 100_000}
        self.watch = DemandWatch([Watched(**(facts | {"window_s": 900, "slide_s": 60} | changes))])
        self.now_s, self.raw = BEGIN_S, 0

    def minutes(self, count: int, kwh_each: int, good: bool = True, step_s: int = 60) -> int:
        """Let time pass; return the highest window so far, W."""
        for _ in range(count):
            self.now_s += step_s
            self.raw = (self.raw + kwh_each) % 10_000
            column = np.array([self.raw]), np.array([self.now_s]), np.array([good])
            self.watch.observe(*column)
        return int(self.watch.highest_w[0])


def test_no_window_before_a_quarter_of_an_hour() -> None:
    meter = Meter()
    assert meter.minutes(15, 10) == 0
    assert meter.minutes(1, 10) == 600_000  # 150 kWh in 900 s


def test_the_window_slides_by_minutes() -> None:
    """Five minutes at 1200 kW that lie across a quarter of an hour count in whole."""
    meter = Meter()
    meter.minutes(28, 5)
    assert meter.minutes(5, 20) == (10 * 5 + 5 * 20) * 4_000
    assert meter.minutes(30, 5) == 600_000
    evidence = meter.watch.take()[0]
    assert (evidence.to_s - evidence.from_s, evidence.watt) == (900, 600_000)
    assert evidence.raw_to - evidence.raw_from == 150
    assert meter.watch.take() == []


def test_scans_within_a_minute_take_one_sample() -> None:
    slow, fast = Meter(), Meter()
    slow.minutes(20, 60)
    fast.minutes(20 * 60, 1, step_s=1)
    assert slow.watch.highest_w[0] == 3_600_000 == fast.watch.highest_w[0]


def test_a_gap_proves_only_its_average() -> None:
    meter = Meter()
    meter.minutes(20, 5)
    meter.minutes(10, 60, good=False)
    assert meter.minutes(1, 60) == (11 * 60 + 4 * 5) * 4_000


def test_at_an_hour_per_scan_the_hour_counts() -> None:
    meter = Meter()
    assert meter.minutes(3, 500, step_s=3600) == 500_000


def test_a_rollover_is_no_demand_and_a_swap_is_forgotten() -> None:
    meter = Meter()
    meter.raw = 9_900
    assert meter.minutes(30, 10) == 600_000
    other = Meter()
    other.minutes(20, 10)
    other.watch.forget(0)
    other.raw = 5_000
    assert other.minutes(15, 10) == 600_000
    assert other.minutes(1, 10) == 600_000


def test_a_register_faster_than_its_connection_is_no_evidence() -> None:
    meter = Meter(max_milli_per_s=200)
    assert meter.minutes(30, 20) == 0


def test_a_month_begins_with_its_own_windows() -> None:
    meter = Meter()
    meter.minutes(30, 20)
    meter.watch.restart(0, meter.now_s)
    assert meter.watch.take() == []
    assert meter.minutes(14, 5) == 0
    assert meter.minutes(1, 5) == 300_000


def test_time_that_goes_back_begins_again() -> None:
    meter = Meter()
    meter.minutes(30, 5)
    meter.now_s -= 3600
    meter.raw = 0
    assert meter.minutes(16, 5) == 300_000

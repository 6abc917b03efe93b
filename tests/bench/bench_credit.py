"""What credit control costs a scan, and what a forecast of every purse costs once a minute.

Run: .venv/bin/python tests/bench/bench_credit.py
Goal: 10,000 accounts, one in a hundred overdrawn: at most 10 ms a scan, 50 ms a forecast; the forecast of some accounts
is computed again by a plain walk down the hours in the same run.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from loguru import logger

sys.path.insert(0, str(Path(__file__).parents[2]))

from billing_core.credit import CreditControl
from billing_core.forecast import HOUR_S, KEPT_H, WEEK_H, Forecaster, week_profile
from billing_core.points import PointSpec
from scada.image import Columns, Layout
from scada.position import CLOSED
from scada.quality import GOOD
from scada.scan import Instant
from tests.scenario.credit_bench import NOON_S, YUAN, account, breaker, settings

ACCOUNTS = 10_000
SCANS = 60
SCAN_MS_MOST = 10.0
FORECAST_MS_MOST = 50.0
CHECKED = 50
SEED = 20_261_123


def main() -> int:
    quick = "--quick" in sys.argv
    logger.remove()
    count = 500 if quick else ACCOUNTS
    scans_ms = decided(count)
    fresh_ms, minute_ms = forecast(count)
    scan_ms = statistics.median(scans_ms)
    print(f"{count} accounts, 1 % overdrawn: decide {scan_ms:.2f} ms median, {max(scans_ms):.2f} ms most")
    print(f"forecast: {minute_ms:.2f} ms once a minute, {fresh_ms:.2f} ms once an hour (median and profile anew)")
    met = quick or (scan_ms <= SCAN_MS_MOST and minute_ms <= FORECAST_MS_MOST)
    print("bars met" if met else "BARS MISSED")
    return 0 if met else 1


def decided(count: int) -> list[float]:
    """Return ms of each scan; every hundredth account is due and waits for its notice."""
    rows = range(count)
    points = [PointSpec(f"p{r}", f"b{r}", r, 0, "electricity", "kWh", 1, 1000, 1) for r in rows]
    work = Columns.private(Layout({"tags": count, "points": count, "accounts": count, "alarms": 0}, b""))
    work.points.quality[:] = work.tags.quality[:] = GOOD
    work.tags.value[:] = CLOSED
    work.accounts.committed_nano[:] = work.accounts.balance_nano[:] = 1000 * YUAN
    work.accounts.committed_nano[::100] = -20 * YUAN
    rules = settings(notice_lead_s=259_200.0)
    control = CreditControl([account(r) for r in rows], points, [breaker(r) for r in rows], rules, "Asia/Shanghai")
    times_ms = []
    for scan in range(1, SCANS + 1):
        instant = Instant(scan, (NOON_S + scan) * 10**9, scan * 10**9)
        begun = time.perf_counter_ns()
        wishes = control.decide(instant, work)
        times_ms.append((time.perf_counter_ns() - begun) / 1e6)
        assert not wishes
    assert control.held_count == (count + 99) // 100
    return times_ms[2:]  # the first scan judges and tells everybody


def forecast(count: int) -> tuple[float, float]:
    """Return ms of a forecast after an hour has ended, and of one within the hour; check some against a plain walk."""
    random = np.random.default_rng(SEED)
    forecaster = Forecaster(count)
    now_h = NOON_S // HOUR_S
    hours = np.array([(row, now_h - KEPT_H + 1, 0) for row in range(count)], dtype=np.int64)
    forecaster.costs.restore(NOON_S, hours)
    forecaster.costs.nano[:] = random.integers(0, YUAN, forecaster.costs.nano.shape)
    balance = random.integers(0, 500 * YUAN, count)
    overdraft = np.full(count, 10 * YUAN)
    begun = time.perf_counter_ns()
    found = forecaster.outlook(NOON_S, balance, overdraft)
    fresh_ms = (time.perf_counter_ns() - begun) / 1e6
    begun = time.perf_counter_ns()
    again = forecaster.outlook(NOON_S, balance, overdraft)
    minute_ms = (time.perf_counter_ns() - begun) / 1e6
    assert np.array_equal(found.empty_s, again.empty_s)
    profile = week_profile(forecaster.costs)
    for row in random.integers(0, count, CHECKED).tolist():
        left, hour = int(balance[row]), 0
        while (cost := int(profile[row, hour % WEEK_H])) < left:
            left -= cost
            hour += 1
        assert int(found.empty_s[row]) == NOON_S + hour * HOUR_S, row
    return fresh_ms, minute_ms


if __name__ == "__main__":
    sys.exit(main())

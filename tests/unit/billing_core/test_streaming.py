"""Recorded readings in blocks: the same money as scan by scan, in bounded memory."""

import numpy as np
import pytest

from billing_core.columns import R_MILLI, R_NANO, R_POINT
from billing_core.engine import BillingEngine
from billing_core.plan import Slot, Tiers
from billing_core.points import AccountSpec, PointSpec
from billing_core.streaming import Stream
from scada.image import Columns, Layout
from scada.scan import Instant
from tests.plans import plan

BEGIN_S = 1_792_971_600
PLAN = plan(
    "t",
    {1: (1_200_000, 1_500_000), 3: (300_001, 600_001)},
    (Slot(0, 480, 3), Slot(480, 1440, 1)),
    tiers=Tiers("volume", "month", (20_000,)),
)
POINTS = [PointSpec(f"p{row}", "m", row, 0, "electricity", "kWh", 10, 10**8, 30_000) for row in range(5)]
ACCOUNTS = [AccountSpec(f"t{row}", "", "", "CNY", 0, 0, 0, 0, 0, False, ()) for row in range(5)]
READINGS = 3_000


def history() -> tuple[np.ndarray, np.ndarray]:
    raw = np.random.default_rng(7).integers(0, 9, (READINGS, len(POINTS))).cumsum(axis=0)
    times = np.repeat((BEGIN_S + np.arange(READINGS) * 900)[:, None] * 10**9, len(POINTS), axis=1)
    times[5::17, 2] = 0  # readings that never came
    return raw, times


def test_blocks_of_any_size_bill_what_single_scans_bill() -> None:
    raw, times = history()
    layout = Layout({"tags": 0, "points": len(POINTS), "accounts": len(POINTS), "alarms": 0}, b"\0" * 32)
    engine, work = BillingEngine(POINTS, ACCOUNTS, [PLAN]), Columns.private(layout)
    work.points.quality[:] = 0
    for scan in range(READINGS):
        work.points.raw[:], work.points.source_time[:] = raw[scan], times[scan]
        engine.bill(Instant(scan + 1, int(times[scan].max()), 0), work)
    for size in (1, 97, READINGS):
        run = Stream(POINTS, ACCOUNTS, [PLAN], BEGIN_S, BEGIN_S + READINGS * 900, room=64)
        rows = []
        for begin in range(0, READINGS, size):
            block = slice(begin, begin + size)
            rows += [full.copy() for full in run.bill(raw[block], times[block])]
        rows.append(run.close().copy())
        table = np.concatenate(rows)
        assert run.charged_nano.tolist() == work.points.charged_nano.tolist()
        assert run.billed_milli.tolist() == work.points.billed_milli.tolist()
        assert not run.held.any()
        assert [int(table[table[:, R_POINT] == row, R_NANO].sum()) for row in range(5)] == run.charged_nano.tolist()
        assert len(table) == len(set(map(tuple, table.tolist())))
        assert (table[:, R_MILLI] > 0).all()


def test_a_gap_that_no_buffer_holds_is_said() -> None:
    run = Stream(POINTS[:1], ACCOUNTS, [PLAN], BEGIN_S, BEGIN_S + 400 * 86_400, room=1)
    raw = np.array([[0], [1_000_000]])
    times = np.array([[BEGIN_S], [BEGIN_S + 399 * 86_400]]) * 10**9
    with pytest.raises(ValueError, match="give more room"):
        list(run.bill(raw, times))

"""Billing over time: every minute of a year with both clock changes, month ends, versions, batches, racing top-ups."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_core.columns import KIND_UPLIFT, R_KIND, R_MILLI, R_NANO, R_PRICE_MICRO, R_RATE, R_TIER
from billing_core.engine import BillingEngine
from billing_core.plan import FOREVER_S, NO_OPTIONS, Plan, Slot, Tiers
from billing_core.points import AccountSpec, PointSpec
from billing_core.reference import Book, Point, Reading, bill, book_of
from billing_core.schedule import unroll
from scada.image import Columns, Layout
from scada.quality import GOOD
from scada.scan import Instant
from tests.plans import part, plan

DAY_S = 86_400
ACCOUNT = AccountSpec("t", "", "", "CNY", 0, 0, 0, 0, 0, False, ())
LAYOUT = Layout({"tags": 0, "points": 1, "accounts": 1, "alarms": 0}, b"\0" * 32)
NEW_YORK = ZoneInfo("America/New_York")
PRICES = {1: (1_000_000, 1_300_000), 2: (700_000, 1_000_000), 3: (400_000, 700_000)}
SLOTS = (Slot(0, 95, 3), Slot(95, 421, 2), Slot(421, 1263, 1), Slot(1263, 1440, 3))  # a border inside both changes
TIERED = plan("t", PRICES, SLOTS, timezone="America/New_York", tiers=Tiers("graduated", "month", (20_000,)))


class Meter:
    def __init__(self, tariff: Plan = TIERED, milli_per_s: int = 2**30) -> None:
        self.engine = BillingEngine(
            [PointSpec("p", "m", 0, 0, "electricity", "kWh", 1, 10**12, milli_per_s)], [ACCOUNT], [tariff]
        )
        self.work = Columns.private(LAYOUT)
        self.scans = 0
        self.rows: list[list[int]] = []

    def read(self, at_s: int, raw: int) -> None:
        self.scans += 1
        points = self.work.points
        points.raw[0], points.quality[0], points.source_time[0] = raw, GOOD, at_s * 10**9
        self.engine.bill(Instant(self.scans, at_s * 10**9, 0), self.work)

    def cut(self) -> None:
        if (checkpoint := self.engine.cut()) is not None:
            self.engine.applied(checkpoint)
            self.rows += checkpoint.rows.tolist()


def rate_of(at_s: int) -> int:
    """Return the rate period of a second as the wall clock in New York says it."""
    local = datetime.fromtimestamp(at_s, UTC).astimezone(NEW_YORK)
    minute = local.hour * 60 + local.minute
    return next(slot.rate for slot in SLOTS if slot.start_minute <= minute < slot.end_minute)


def test_every_minute_of_a_year_is_priced_as_the_wall_clock_says() -> None:
    """One unit of milli a minute: 525,600 readings through the kernel, both clock changes among them."""
    meter = Meter(replace(TIERED, versions=(replace(TIERED.versions[0], tiers=None, parts=(part(PRICES_FLAT),)),)))
    begin_s = int(datetime(2026, 1, 1, tzinfo=NEW_YORK).timestamp())
    expected = [0] * 5
    meter.read(begin_s, 0)
    for count in range(1, 365 * 1440 + 1):
        expected[rate_of(begin_s + (count - 1) * 60)] += 1
        meter.read(begin_s + count * 60, count)
        if count % 40_000 == 0:
            meter.cut()
    meter.cut()
    charged = [sum(row[R_MILLI] for row in meter.rows if row[R_RATE] == rate) for rate in range(5)]
    assert charged == expected
    assert sum(charged) == 525_600


PRICES_FLAT = {rate: prices[0] for rate, prices in PRICES.items()}


@pytest.mark.parametrize("day", [datetime(2026, 3, 8), datetime(2026, 11, 1)])
def test_a_day_of_23_or_25_hours_as_one_gap(day: datetime) -> None:
    """The hour that comes twice is billed twice in its slot, the one that is skipped in none."""
    meter = Meter()
    begin_s = int(day.replace(tzinfo=NEW_YORK).timestamp())
    end_s = int(day.replace(day=day.day + 1, tzinfo=NEW_YORK).timestamp())
    assert end_s - begin_s in (23 * 3600, 25 * 3600)
    meter.read(begin_s, 0)
    meter.read(end_s, (end_s - begin_s) // 60)  # a milli a minute
    meter.cut()
    expected = [0] * 5
    for at_s in range(begin_s, end_s, 60):
        expected[rate_of(at_s)] += 1
    assert [sum(row[R_MILLI] for row in meter.rows if row[R_RATE] == rate) for rate in range(5)] == expected


def test_a_tier_position_begins_anew_at_local_midnight_of_the_month() -> None:
    meter = Meter()
    border_s = int(datetime(2026, 4, 1, tzinfo=NEW_YORK).timestamp())
    meter.read(border_s - 3600, 0)
    meter.read(border_s - 60, 30_000)
    meter.read(border_s + 60, 30_120)  # a milli a second over midnight
    meter.read(border_s + 120, 30_180)
    meter.cut()
    assert [(row[R_TIER], row[R_MILLI], row[R_PRICE_MICRO]) for row in meter.rows] == [
        (0, 20_000, 400_000), (1, 10_000, 700_000), (1, 60, 700_000), (0, 60, 400_000), (0, 60, 400_000)
    ]  # fmt: skip


def test_a_version_that_begins_inside_an_interval_splits_it() -> None:
    border_s = int(datetime(2026, 4, 2, 12, tzinfo=NEW_YORK).timestamp())
    old = replace(TIERED.versions[0], to_s=border_s)
    new = replace(TIERED.versions[0], from_s=border_s, to_s=FOREVER_S, tiers=None, parts=(part({1: 5, 2: 5, 3: 5}),))
    meter = Meter(replace(TIERED, versions=(old, new)))
    meter.read(border_s - 100, 0)
    meter.read(border_s + 300, 400)
    meter.cut()
    assert [(row[R_MILLI], row[R_PRICE_MICRO]) for row in meter.rows] == [(100, 1_000_000), (300, 5)]


def test_a_top_up_that_races_a_border_changes_no_charge() -> None:
    """Money paid in between scan, border and checkpoint: charges and balance are the same in every order."""
    border_s = int(datetime(2026, 4, 2, 7, 1, tzinfo=NEW_YORK).timestamp())
    found = []
    for when in range(5):
        meter = Meter()
        acts = [
            lambda meter=meter: meter.read(border_s - 2, 0),
            lambda meter=meter: meter.read(border_s - 1, 10),
            lambda meter=meter: meter.read(border_s + 1, 30),
            lambda meter=meter: meter.engine.cut(),
            lambda meter=meter: meter.cut(),
        ]
        for number, act in enumerate(acts):
            act()
            if number == when:
                meter.engine.credit(0, 10**12)
        meter.read(border_s + 2, 30)
        found.append(([row[R_NANO] for row in meter.rows], int(meter.work.accounts.balance_nano[0])))
    assert found == [([10 * 700_000, 10 * 700_000, 10 * 1_000_000], 10**12 - 24_000_000)] * 5


HISTORY = st.lists(st.tuples(st.integers(1, 40_000), st.integers(0, 3_000)), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(HISTORY, st.sampled_from(["graduated", "volume"]), st.data())
def test_batches_of_any_size_bill_the_same(steps: list[tuple[int, int]], mode: str, data: st.DataObject) -> None:
    """Readings left out at will inside a rate period: the same money to the nano, tiers and uplifts included."""
    tariff = plan("t", {2: (500_000, 800_000, 1_100_000)}, tiers=Tiers(mode, "year", (9_000, 9_500)))  # type: ignore[arg-type]
    at_s = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp())
    readings = [(at_s, 0)]
    for gap_s, counts in steps:
        readings.append((readings[-1][0] + gap_s, readings[-1][1] + counts))
    kept = [True, *(data.draw(st.booleans()) for _ in readings[2:]), True]
    totals = []
    for chosen in ([True] * len(readings), kept):
        meter = Meter(tariff)
        for (second, raw), is_read in zip(readings, chosen, strict=True):
            if is_read:
                meter.read(second, raw)
            if data.draw(st.booleans()):
                meter.cut()
        meter.cut()
        by_tier = [
            sum(row[R_MILLI] for row in meter.rows if row[R_TIER] == tier and row[R_KIND] != KIND_UPLIFT)
            for tier in range(3)
        ]
        raised = sum(row[R_NANO] for row in meter.rows if row[R_KIND] == KIND_UPLIFT)
        totals.append((by_tier, raised, sum(row[R_NANO] for row in meter.rows)))
    assert totals[0] == totals[1]


def test_a_volume_plan_costs_the_whole_period_at_the_tier_reached() -> None:
    tariff = plan("t", {2: (1_000_000, 1_500_000, 2_000_000)}, tiers=Tiers("volume", "month", (100_000, 300_000)))
    at_s = int(datetime(2026, 2, 2, tzinfo=UTC).timestamp())
    for used, price in ((100_000, 1_000_000), (100_001, 1_500_000), (300_000, 1_500_000), (300_001, 2_000_000)):
        for steps in (1, 7):
            meter = Meter(tariff)
            for step in range(steps + 1):
                meter.read(at_s + step * 60, used * step // steps)
            meter.cut()
            assert sum(row[R_NANO] for row in meter.rows) == used * price
            assert meter.work.points.charged_nano[0] == used * price


def test_charges_join_over_every_kind_of_border() -> None:
    meter = Meter()
    at_s = int(datetime(2026, 1, 30, tzinfo=UTC).timestamp())
    for step in range(200):
        meter.read(at_s + step * 5_000, step * 977)
        if step % 7 == 0:
            meter.cut()
    meter.cut()
    ends = [(row[2], row[3], row[4], row[5]) for row in meter.rows]
    for before, after in pairwise(dict.fromkeys(ends)):
        assert before[2:] == after[:2]


def reference_of(tariff: Plan, from_s: int, to_s: int) -> tuple[Point, Book]:
    return Point(1, 10**12, 2**30, 2**40), book_of(unroll(tariff, NO_OPTIONS, from_s, to_s))


def test_a_month_in_quarter_hours_equals_the_reference() -> None:
    begin_s = int(datetime(2026, 1, 1, tzinfo=NEW_YORK).timestamp())
    meter, (point, book) = Meter(), reference_of(TIERED, begin_s - DAY_S, begin_s + 40 * DAY_S)
    used = np.random.default_rng(3).integers(0, 60, 30 * 96).cumsum()
    for quarter, raw in enumerate(used.tolist()):
        meter.read(begin_s + quarter * 900, raw)
        bill(point, Reading(raw, begin_s + quarter * 900), book)
    assert meter.work.points.charged_nano[0] == sum(part.nano for part in point.parts)

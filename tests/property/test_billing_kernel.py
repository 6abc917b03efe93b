"""The kernel against its slow twin on random histories, and what must hold for any history at all."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_core import reference
from billing_core.bounds import READING_NANO_MAX
from billing_core.calendar import DAY_S, unroll
from billing_core.columns import (
    R_FROM_S,
    R_MILLI,
    R_NANO,
    R_POINT,
    R_PRICE_MICRO,
    R_RATE,
    R_RAW_FROM,
    R_RAW_TO,
    R_SEGMENT_FROM_S,
    R_SEGMENT_TO_S,
    R_TO_S,
    S_CHARGED_NANO,
    S_HELD,
    S_LAST_RAW,
    S_LAST_S,
)
from billing_core.engine import BillingEngine
from billing_core.plan import Slot
from billing_core.points import AccountSpec, PointSpec
from billing_core.state import BillingState, Checkpoint
from scada.image import Columns, Layout
from scada.quality import BAD_TIMEOUT, GOOD, GOOD_LOCAL_OVERRIDE, UNCERTAIN_LAST_USABLE
from scada.scan import Instant
from tests.plans import plan

BEGIN_S = 1_793_000_000  # autumn 2026, a fortnight before New York's clocks change
MODULUS = 100_000
TARIFFS = (
    plan("flat", {2: 3_450_000}, medium="water", unit="m3"),
    plan(
        "tou",
        {1: 1_234_567, 2: 683_700, 3: 300_001},
        (Slot(0, 480, 3), Slot(480, 720, 1), Slot(720, 1080, 2), Slot(1080, 1440, 1)),
        timezone="America/New_York",
    ),
    plan("gap", {2: 500_000}, (Slot(0, 600, 2), Slot(601, 1440, 2))),
)
DEAREST = (3_450_000, 1_234_567, 500_000)
POINTS = tuple(
    PointSpec(f"p{row}", f"m{row}", row % 2, tariff, "electricity", "kWh", per_count, MODULUS, 2_000)
    for row, (tariff, per_count) in enumerate([(0, 1), (1, 10), (1, 400), (2, 7)])
)
ACCOUNTS = tuple(AccountSpec(f"t{row}", "租户", "Tenant", "CNY", 0, 0, 0, 0, 0, False, ()) for row in range(2))
LAYOUT = Layout({"tags": 0, "points": len(POINTS), "accounts": len(ACCOUNTS), "alarms": 0}, b"\0" * 32)
QUALITIES = st.sampled_from([GOOD, GOOD, GOOD, GOOD, GOOD_LOCAL_OVERRIDE, UNCERTAIN_LAST_USABLE, BAD_TIMEOUT])
GAPS_S = st.one_of(st.integers(0, 3), st.integers(1, 900), st.integers(3_000, 40_000), st.integers(DAY_S, 3 * DAY_S))
STEPS = st.one_of(st.integers(0, 5), st.integers(0, 400), st.integers(-50, 30_000), st.integers(-MODULUS, MODULUS))


@dataclass(frozen=True)
class Step:
    """One scan: seconds since the last, and per point (counts moved, quality, seconds the source time lags)."""

    gap_s: int
    moves: tuple[tuple[int, int, int], ...]
    cut: bool
    commit: bool
    restart: bool


HISTORIES = st.lists(
    st.builds(
        Step,
        GAPS_S,
        st.tuples(*[st.tuples(STEPS, QUALITIES, st.integers(0, 2))] * len(POINTS)),
        st.booleans(),
        st.booleans(),
        st.sampled_from([False] * 9 + [True]),
    ),
    min_size=1,
    max_size=25,
)


class Books:
    """The simplest data base there could be: what was committed, and what a restart finds."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.state = BillingEngine(POINTS, ACCOUNTS, TARIFFS)._saved.copy()
        self.balance = np.zeros(len(ACCOUNTS), dtype=np.int64)
        self.seq = 0

    def commit(self, checkpoint: Checkpoint) -> None:
        assert checkpoint.seq == self.seq + 1
        self.seq = checkpoint.seq
        self.rows += checkpoint.rows.tolist()
        self.state[checkpoint.point_rows] = checkpoint.points
        self.balance -= checkpoint.account_nano

    def restored(self) -> BillingState:
        return BillingState(self.seq, 0, self.state, self.balance, np.zeros(0, dtype=np.int64))


def twins() -> list[reference.Point]:
    return [
        reference.Point(
            point.milli_per_count, MODULUS, point.max_milli_per_s, READING_NANO_MAX // DEAREST[point.tariff]
        )
        for point in POINTS
    ]  # fmt: skip


ENTRIES = [unroll(tariff, BEGIN_S - DAY_S, BEGIN_S + 120 * DAY_S) for tariff in TARIFFS]


def play(history: list[Step], engine: BillingEngine, books: Books, work: Columns, models: list[reference.Point]) -> int:
    """Feed a history to the engine and, unless it restarts, to the slow twins; return the last instant."""
    now_s = BEGIN_S
    for scan, step in enumerate(history, start=1):
        now_s += step.gap_s
        for row, (counts, quality, lag_s) in enumerate(step.moves):
            work.points.raw[row] = (work.points.raw[row] + counts) % MODULUS
            work.points.quality[row] = quality
            work.points.source_time[row] = (now_s - lag_s) * 10**9 + 999
            if quality in (GOOD, GOOD_LOCAL_OVERRIDE):
                raw = int(work.points.raw[row])
                reference.bill(models[row], reference.Reading(raw, now_s - lag_s), ENTRIES[POINTS[row].tariff])
        engine.bill(Instant(scan, now_s * 10**9 + 10**9 - 1, 0), work)
        if step.cut:
            checkpoint = engine.cut()
            assert checkpoint is engine.cut()
            if checkpoint is not None and step.commit:
                books.commit(checkpoint)
                engine.applied(checkpoint)
    return now_s


def settle(engine: BillingEngine, books: Books) -> None:
    """Commit until nothing is left."""
    while (checkpoint := engine.cut()) is not None:
        books.commit(checkpoint)
        engine.applied(checkpoint)


def check_row(row: list[int]) -> None:
    """Compute one charge again from its two readings and the tariff alone."""
    point = POINTS[row[R_POINT]]
    first = reference.Reading(row[R_RAW_FROM], row[R_FROM_S])
    last = reference.Reading(row[R_RAW_TO], row[R_TO_S])
    milli = (last.raw - first.raw) % MODULUS * point.milli_per_count
    parts = reference.price(first, last, milli, ENTRIES[point.tariff])
    match = [part for part in parts if part.from_s == row[R_SEGMENT_FROM_S] and part.to_s == row[R_SEGMENT_TO_S]]
    assert [(part.rate, part.price_micro, part.milli, part.nano) for part in match] == [
        (row[R_RATE], row[R_PRICE_MICRO], row[R_MILLI], row[R_NANO])
    ]


def check_books(books: Books) -> None:
    """Every charge can be computed again; charges of a point join; wallets hold what was charged."""
    intervals: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
    spent = [0] * len(ACCOUNTS)
    for row in books.rows:
        check_row(row)
        spent[POINTS[row[R_POINT]].account] += row[R_NANO]
        interval = (row[R_RAW_FROM], row[R_FROM_S], row[R_RAW_TO], row[R_TO_S])
        if interval not in intervals[row[R_POINT]][-1:]:
            intervals[row[R_POINT]].append(interval)
    assert (-books.balance).tolist() == spent
    for chain in intervals.values():
        for (_, _, raw_to, to_s), (raw_from, from_s, _, _) in pairwise(chain):
            assert raw_to == raw_from
            assert to_s <= from_s


@settings(max_examples=150, deadline=None)
@given(HISTORIES)
def test_kernel_equals_reference(history: list[Step]) -> None:
    engine, books, work, models = BillingEngine(POINTS, ACCOUNTS, TARIFFS), Books(), Columns.private(LAYOUT), twins()
    play(history, engine, books, work, models)
    settle(engine, books)
    for row, model in enumerate(models):
        assert engine._state[row, S_HELD] == model.held
        assert books.state[row, S_CHARGED_NANO] == sum(part.nano for part in model.parts)
        assert work.points.billed_milli[row] == sum(part.milli for part in model.parts)
        if model.last is not None:
            assert (engine._state[row, S_LAST_RAW], engine._state[row, S_LAST_S]) == (model.last.raw, model.last.at_s)
        by_rate: dict[int, int] = defaultdict(int)
        for part in model.parts:
            by_rate[part.rate] += part.milli
        for charge in books.rows:
            if charge[R_POINT] == row:
                by_rate[charge[R_RATE]] -= charge[R_MILLI]
        assert not any(by_rate.values())
    check_books(books)


@settings(max_examples=60, deadline=None)
@given(HISTORIES, HISTORIES)
def test_a_restart_at_any_point_charges_every_count_once(before: list[Step], after: list[Step]) -> None:
    engine, books, work = BillingEngine(POINTS, ACCOUNTS, TARIFFS), Books(), Columns.private(LAYOUT)
    play(before, engine, books, work, twins())
    reborn = BillingEngine(POINTS, ACCOUNTS, TARIFFS)  # killed: what was not committed is gone
    reborn.restore(books.restored())
    play(after, reborn, books, work, twins())
    settle(reborn, books)
    check_books(books)
    for row, point in enumerate(POINTS):
        counts = sum({tuple(charge[1:5]): (charge[R_RAW_TO] - charge[R_RAW_FROM]) % MODULUS
                      for charge in books.rows if charge[R_POINT] == row}.values())  # fmt: skip
        assert work.points.billed_milli[row] == counts * point.milli_per_count


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 60)), min_size=2, max_size=30), st.data())
def test_fewer_readings_bill_the_same_quantity(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    """Readings that never came change how a crossing is split, never how much is charged; flat tariffs not at all."""
    kept = [data.draw(st.booleans()) for _ in steps[1:-1]]
    totals = []
    for chosen in ([True] * len(steps), [True, *kept, True]):
        models = twins()[:2]
        raw, at_s = 0, BEGIN_S
        for (gap_s, counts), is_read in zip(steps, chosen, strict=True):
            raw, at_s = raw + counts, at_s + gap_s
            for model, point in zip(models, POINTS, strict=False):
                if is_read:
                    reference.bill(model, reference.Reading(raw, at_s), ENTRIES[point.tariff])
        totals.append(
            (
                [sum(part.milli for part in model.parts) for model in models],
                sum(part.nano for part in models[0].parts),
            )
        )
    assert totals[0] == totals[1]

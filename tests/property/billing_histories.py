"""Random histories of registers for the tests of the billing kernel, and the simplest data base there could be."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from billing_core import reference
from billing_core.columns import RATES_MOST, S_LAST_S, V_BEFORE, V_FROM_S, V_POINT, V_TO_S
from billing_core.engine import BillingEngine
from billing_core.plan import NO_OPTIONS, Plan, Slot, Tiers
from billing_core.points import AccountSpec, PointSpec
from billing_core.rate_check import RateCheck
from billing_core.schedule import unroll
from billing_core.state import BillingState, Checkpoint, fresh_state
from billing_core.supplies import Supplies
from billing_core.zones import DAY_S
from scada.image import RATE_COLUMNS, Columns, Layout
from scada.quality import BAD_TIMEOUT, GOOD, GOOD_LOCAL_OVERRIDE, UNCERTAIN_LAST_USABLE
from scada.scan import Instant
from tests.plans import plan

BEGIN_S: Final = 1_793_000_000  # autumn 2026, a fortnight before New York's clocks change
MODULUS: Final = 100_000
PLANS: Final = (
    plan("flat", {2: 3_450_000}, medium="water", unit="m3"),
    plan(
        "tou",
        {1: 1_234_567, 2: 683_700, 3: 300_001},
        (Slot(0, 480, 3), Slot(480, 720, 1), Slot(720, 1080, 2), Slot(1080, 1440, 1)),
        timezone="America/New_York",
    ),
    plan("gap", {2: 500_000}, (Slot(0, 600, 2), Slot(601, 1440, 2))),
    plan(
        "graduated",
        {1: (1_200_000, 1_250_000, 1_500_000), 3: (300_001, 350_001, 600_001)},
        (Slot(0, 487, 3), Slot(487, 1320, 1), Slot(1320, 1440, 3)),
        tiers=Tiers("graduated", "month", (7_003, 40_000), settlement_day=3),
    ),
    plan(
        "volume",
        {1: (1_000_000, 1_500_000, 1_400_000, 2_000_000), 3: (400_000, 900_000, 800_000, 1_400_000)},
        (Slot(0, 480, 3), Slot(480, 1440, 1)),
        timezone="America/New_York",
        tiers=Tiers("volume", "month", (100_000, 300_000, 300_000)),
    ),
    plan("year", {2: (528_300, 578_300, 828_300)}, tiers=Tiers("graduated", "year", (2_160_000, 4_200_000))),
)
POINTS: Final = tuple(
    PointSpec(
        f"p{row}", f"m{row}", row % 2, tariff, "electricity", "kWh", per_count, MODULUS, 2_000, rate_registers=rated
    )
    for row, (tariff, per_count, rated) in enumerate(
        [(0, 1, False), (1, 10, True), (1, 400, False), (2, 7, False), (3, 3, True), (4, 40, False), (5, 100, False)]
    )
)
ACCOUNTS: Final = tuple(AccountSpec(f"t{row}", "租户", "Tenant", "CNY", 0, 0, 0, 0, 0, False, ()) for row in range(2))
LAYOUT: Final = Layout({"tags": 0, "points": len(POINTS), "accounts": len(ACCOUNTS), "alarms": 0}, b"\0" * 32)
QUALITIES = st.sampled_from([GOOD, GOOD, GOOD, GOOD, GOOD_LOCAL_OVERRIDE, UNCERTAIN_LAST_USABLE, BAD_TIMEOUT])
GAPS_S = st.one_of(st.integers(0, 3), st.integers(1, 900), st.integers(3_000, 40_000), st.integers(DAY_S, 3 * DAY_S))
STEPS = st.one_of(st.integers(0, 5), st.integers(0, 400), st.integers(-50, 30_000), st.integers(-MODULUS, MODULUS))


@dataclass(frozen=True)
class Step:
    """One scan: seconds since the last, and per point (counts moved, quality, seconds the source time lags)."""

    gap_s: int
    moves: tuple[tuple[int, int, int], ...]
    rates: tuple[int, ...]  # share of the move that each rate register takes, in eighths; out of balance: not believed
    cut: bool
    commit: bool
    restart: bool


HISTORIES = st.lists(
    st.builds(
        Step,
        GAPS_S,
        st.tuples(*[st.tuples(STEPS, QUALITIES, st.integers(0, 2))] * len(POINTS)),
        st.sampled_from([(0, 0, 0, 8, 0), (0, 3, 1, 4, 0), (0, 8, 0, 0, 0), (0, 4, 0, 0, 0), (1, 1, 1, 1, 4)]),
        st.booleans(),
        st.booleans(),
        st.sampled_from([False] * 9 + [True]),
    ),
    min_size=1,
    max_size=25,
)


def book_of(tariff: Plan, from_s: int = BEGIN_S - DAY_S, days: int = 120) -> reference.Book:
    return reference.book_of(unroll(tariff, NO_OPTIONS, from_s, from_s + days * DAY_S))


BOOKS: Final = [book_of(tariff) for tariff in PLANS]


class Books:
    """What was committed, and what a restart finds."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.evidence: dict[tuple[int, int, int], list[int]] = {}  # (point, from, to) -> rate registers of both ends
        self.state = fresh_state(len(POINTS), len(ACCOUNTS)).points
        self.balance = np.zeros(len(ACCOUNTS), dtype=np.int64)
        self.seq = 0

    def commit(self, checkpoint: Checkpoint) -> None:
        assert checkpoint.seq == self.seq + 1
        self.seq = checkpoint.seq
        self.rows += checkpoint.rows.tolist()
        for row in checkpoint.evidence.tolist():
            interval = row[V_POINT], row[V_FROM_S], row[V_TO_S]
            assert interval not in self.evidence
            self.evidence[interval] = row[V_BEFORE:]
        self.state[checkpoint.point_rows] = checkpoint.points
        self.balance -= checkpoint.account_nano

    def restored(self) -> BillingState:
        return BillingState(self.seq, 0, self.state, self.balance, np.zeros(0, dtype=np.int64))

    def settle(self, engine: BillingEngine) -> None:
        """Commit until nothing is left."""
        while (checkpoint := engine.cut()) is not None:
            self.commit(checkpoint)
            engine.applied(checkpoint)


def twins() -> list[reference.Point]:
    table = Supplies(POINTS, ACCOUNTS, PLANS).table
    return [
        reference.Point(point.milli_per_count, MODULUS, point.max_milli_per_s, int(table[row, 3]))
        for row, point in enumerate(POINTS)
    ]


class EveryRegister(RateCheck):
    """Hands every rate register to the kernel, which has to find out for itself what it can use."""

    def renew(self, points: Any, plans: Any) -> None:
        self._rows = np.array([row for row, point in enumerate(points) if point.rate_registers], dtype=np.int64)

    def mark(self, points: Any) -> None:
        """Nothing is checked."""

    def believed(self, points: Any, last_s: Any) -> Any:
        return np.stack([getattr(points, name)[self._rows] for name in RATE_COLUMNS], axis=1)


def engine_of() -> BillingEngine:
    engine = BillingEngine(POINTS, ACCOUNTS, PLANS)
    engine._rate_check = EveryRegister()
    return engine


class Field:
    """Meters that count as a history says, before an engine and its slow twins."""

    def __init__(self) -> None:
        self.engine = engine_of()
        self.work = Columns.private(LAYOUT)
        self.models = twins()
        self.books = Books()
        self.now_s = BEGIN_S
        self.scans = 0
        for row, point in enumerate(POINTS):
            for name in RATE_COLUMNS:
                getattr(self.work.points, name)[row] = 0 if point.rate_registers else -1

    def play(self, history: list[Step]) -> None:
        """Feed a history to the engine and to the twins."""
        for step in history:
            self.now_s += step.gap_s
            self.scans += 1
            for row, (counts, quality, lag_s) in enumerate(step.moves):
                self._move(row, counts, quality, self.now_s - lag_s, step.rates)
            self.engine.bill(Instant(self.scans, self.now_s * 10**9 + 10**9 - 1, 0), self.work)
            if step.cut:
                checkpoint = self.engine.cut()
                assert checkpoint is self.engine.cut()
                if checkpoint is not None and step.commit:
                    self.books.commit(checkpoint)
                    self.engine.applied(checkpoint)

    def _move(self, row: int, counts: int, quality: int, at_s: int, rates: tuple[int, ...]) -> None:
        points: Any = self.work.points
        points.raw[row] = raw = (int(points.raw[row]) + counts) % MODULUS
        points.quality[row] = quality
        points.source_time[row] = at_s * 10**9 + 999
        registers: dict[int, int] = {}
        if POINTS[row].rate_registers:
            for rate in range(RATES_MOST):
                column = getattr(points, RATE_COLUMNS[rate])
                column[row] = registers[rate] = (int(column[row]) + counts * rates[rate] // 8) % MODULUS
        if quality in (GOOD, GOOD_LOCAL_OVERRIDE):
            reference.bill(self.models[row], reference.Reading(raw, at_s, registers), BOOKS[POINTS[row].tariff])


def readings(state: Any) -> list[tuple[int, int]]:
    """Return where every register stands, NEVER left out."""
    return [(int(s[0]), int(s[1])) for s in state if s[S_LAST_S] >= 0]

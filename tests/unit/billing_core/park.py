"""A small park for the tests of the books: two tenants, three points, two tariffs, and an engine that reads it."""

from dataclasses import dataclass

from billing_core.engine import BillingEngine
from billing_core.plan import Slot
from billing_core.points import AccountSpec, PointSpec
from scada.image import Columns, Layout
from scada.quality import GOOD
from scada.scan import Instant
from tests.plans import plan

BEGIN_S = 1_792_971_600  # 2026-10-26 07:40 in Shanghai, twenty minutes before the peak
YUAN = 1_000_000_000
TARIFFS = (
    plan("tou", {1: 1_200_000, 3: 300_001}, (Slot(0, 480, 3), Slot(480, 1440, 1))),
    plan("water", {2: 3_450_000}, medium="water", unit="m3"),
)
POINTS = (
    PointSpec("p1", "m1", 0, 0, "electricity", "kWh", 10, 100_000_000, 30_000),
    PointSpec("p2", "m2", 1, 0, "electricity", "kWh", 400, 100_000_000, 30_000),
    PointSpec("p3", "m3", 1, 1, "water", "m3", 1, 100_000, 5_000),
)
ACCOUNTS = (
    AccountSpec("t1", "甲", "First", "CNY", 100 * YUAN, 0, 0, 0, 0, False, ("m1",)),
    AccountSpec("t2", "乙", "Second", "CNY", 0, 0, 0, 0, 0, False, ("m2",)),
)
LAYOUT = Layout({"tags": 0, "points": len(POINTS), "accounts": len(ACCOUNTS), "alarms": 0}, b"\0" * 32)


@dataclass
class Park:
    """Meters that count and an engine that reads them once a scan."""

    engine: BillingEngine
    work: Columns
    now_s: int = BEGIN_S
    scan: int = 0

    @classmethod
    def new(cls) -> "Park":
        return cls(BillingEngine(POINTS, ACCOUNTS, TARIFFS), Columns.private(LAYOUT))

    def step(self, *counts: int, gap_s: int = 1, quality: int = GOOD) -> None:
        """Let time pass, move each register, scan."""
        self.now_s += gap_s
        self.scan += 1
        for row, moved in enumerate(counts):
            self.work.points.raw[row] = (self.work.points.raw[row] + moved) % POINTS[row].modulus_counts
        self.work.points.quality[:] = quality
        self.work.points.source_time[:] = self.now_s * 10**9
        self.engine.bill(Instant(self.scan, self.now_s * 10**9, 0), self.work)

    def reborn(self) -> None:
        """Lose the engine and everything it had not committed, as SIGKILL does."""
        self.engine = BillingEngine(POINTS, ACCOUNTS, TARIFFS)

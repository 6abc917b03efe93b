"""Changes by a person: what each does to registers, money and terms, and how it is refused without a trace."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from billing_core import fences
from billing_core.columns import (
    HELD,
    R_KIND,
    R_METHOD,
    R_MILLI,
    R_NANO,
    R_POINT,
    R_PRICE_MICRO,
    R_RAW_FROM,
    R_RAW_TO,
    R_TERMS,
    R_TIER,
)
from billing_core.engine import BillingEngine
from billing_core.plan import Slot, Tiers
from billing_core.points import AccountSpec, PointSpec
from billing_core.state import Act, Change, Target
from scada.errors import Refused
from scada.image import Columns, Layout
from scada.quality import GOOD
from scada.scan import Instant
from tests.plans import part, plan

BEGIN_S = 1_792_971_600  # 2026-10-26 07:40 in Shanghai
ACT = Act("key-1", "li", "desk-1", "why")
YUAN = 10**9
TOU = plan("tou", {1: 1_200_000, 3: 300_000}, (Slot(0, 480, 3), Slot(480, 1440, 1)))
TIERED = plan("tiered", {2: (500_000, 800_000)}, tiers=Tiers("graduated", "month", (10_000,)))
WATER = plan("water", {2: 3_000_000}, medium="water", unit="m3")
POINTS = (
    PointSpec("p1", "m1", 0, 0, "electricity", "kWh", 400, 100_000_000, 30_000),
    PointSpec("p2", "m2", 1, 1, "electricity", "kWh", 10, 100_000_000, 30_000),
)
ACCOUNTS = tuple(AccountSpec(name, "", "", "CNY", 0, 0, 0, 0, 0, False, ()) for name in ("t1", "t2"))
LAYOUT = Layout({"tags": 0, "points": 2, "accounts": 4, "alarms": 0}, b"\0" * 32)


class Site:
    def __init__(self) -> None:
        self.engine = BillingEngine(POINTS, ACCOUNTS, (TOU, TIERED, WATER), spare_accounts=1)
        self.work = Columns.private(LAYOUT)
        self.now_s = BEGIN_S
        self.scans = 0

    def scan(self, *registers: int, after_s: int = 60) -> None:
        self.now_s += after_s
        self.scans += 1
        self.work.points.raw[:] = registers
        self.work.points.quality[:] = GOOD
        self.work.points.source_time[:] = self.now_s * 10**9
        self.engine.bill(Instant(self.scans, self.now_s * 10**9, 0), self.work)

    def cut(self) -> list[list[int]]:
        checkpoint = self.engine.cut()
        assert checkpoint is not None
        self.engine.applied(checkpoint)
        return checkpoint.rows.tolist()

    def held(self) -> list[str]:
        return [HELD[reason] for reason in self.work.points.held]

    def everything(self) -> Any:
        engine = self.engine
        assert engine._desk is not None
        fences.settle_all(engine._desk)
        return [
            table.tolist()
            for table in (engine._state, engine._supplies.table, engine._balance, engine._rows[: engine._used])
        ] + [engine._used, list(engine._supplies.points), engine._supplies.listed()]


def test_a_released_jump_is_billed_as_one_interval() -> None:
    site = Site()
    site.scan(1_000, 0)
    site.scan(1_001, 0)
    site.scan(900_000, 0)
    site.scan(900_010, 0)  # goes on from the doubtful register
    assert site.held() == ["jump", "none"]
    assert site.engine.doubt(0).milli == (900_010 - 1_001) * 400
    site.cut()
    change = site.engine.release(0, ACT)
    assert (change.kind, change.key, change.who, change.memo) == ("release", "key-1", "li", "why")
    assert change.document["milli"] == (900_010 - 1_001) * 400
    assert change.document["nano"] == change.document["milli"] * 300_000
    checkpoint = site.engine.cut()
    assert checkpoint is not None
    assert checkpoint.change is change
    assert [(row[R_RAW_FROM], row[R_RAW_TO]) for row in checkpoint.rows.tolist()] == [(1_001, 900_010)]
    site.engine.applied(checkpoint)
    site.scan(900_011, 0)
    assert site.held() == ["none", "none"]
    assert site.work.points.billed_milli[0] == (900_011 - 1_000) * 400


def test_a_rejected_register_is_gone_on_from_and_nothing_is_charged() -> None:
    site = Site()
    site.scan(5_000, 0)
    site.scan(12, 0)
    site.cut()
    with pytest.raises(Refused, match=r"hold\.reverse: the register of p1 went back from 5000 to 12; reject it"):
        site.engine.release(0, ACT)
    change = site.engine.reject(0, ACT)
    assert (change.document["raw_from"], change.document["raw_to"]) == (5_000, 12)
    assert site.cut() == []
    site.scan(14, 0)
    assert site.held() == ["none", "none"]
    assert site.work.points.billed_milli[0] == 2 * 400


def test_a_register_that_went_back_may_be_released_as_rolled_over() -> None:
    site = Site()
    site.scan(80_000_000, 0)
    site.scan(10, 0, after_s=86_400)
    assert site.held()[0] == "reverse"
    site.cut()
    with pytest.raises(Refused, match="scale"):
        replace_reading_max(site)
        site.engine.release(0, ACT, rollover=True)
    assert site.engine.doubt(0).milli == 20_000_010 * 400


def replace_reading_max(site: Site) -> None:
    site.engine._supplies.table[0, 3] = 1_000


def test_only_doubts_are_decided_by_a_person() -> None:
    site = Site()
    with pytest.raises(Refused, match=r"billing\.no-scan"):
        site.engine.release(0, ACT)
    site.scan(1, 1)
    with pytest.raises(Refused, match=r"hold\.none"):
        site.engine.release(0, ACT)
    site.scan(-5, 1)
    with pytest.raises(Refused, match=r"hold\.not-for-a-person"):
        site.engine.reject(0, ACT)


def test_a_meter_swap_bills_the_old_final_then_the_new_first() -> None:
    """Vector D.1-7: (12400.00 - 12345.67) x 40 + (3.60 - 0.35) x 30 = 2270.70 kWh."""
    site = Site()
    site.scan(1_234_567, 0)
    site.cut()
    target = Target(0, meter="m9", milli_per_count=300, final_raw=1_240_000, first_raw=35)
    site.now_s += 3_600
    site.scan(1_234_567, 0, after_s=0)
    site.cut()
    site.now_s += 3_600
    site.engine._now_s = site.now_s
    site.engine._clock[0] = site.now_s
    site.engine.retarget([target], ACT)
    site.scan(360, 0, after_s=60)
    site.scan(360, 0, after_s=3600)
    rows = [row for row in site.cut() if row[R_POINT] == 0]
    assert sum(row[R_MILLI] for row in rows) == 2_270_700
    assert {(row[R_TERMS], row[R_MILLI]) for row in rows if row[R_RAW_FROM] == 35} == {(2, 97_500)}
    assert site.engine.point(0).meter == "m9"


def test_the_gap_of_a_swap_is_an_estimate_given_by_a_person() -> None:
    site = Site()
    site.scan(1_000, 0)
    site.scan(1_001, 0)
    site.cut()
    site.engine.retarget([Target(0, meter="m9", first_raw=0, gap_milli=5_000)], ACT)
    rows = site.cut()
    assert [(row[R_KIND], row[R_METHOD], row[R_MILLI], row[R_NANO]) for row in rows] == [(4, 3, 5_000, 1_500_000_000)]
    site.scan(1, 0)
    assert site.work.points.billed_milli[0] == 400 + 5_000 + 400
    assert site.work.accounts.balance_nano[0] == -(5_800 * 300_000)


def test_a_change_of_ratio_cuts_at_the_register_that_was_read() -> None:
    site = Site()
    site.scan(100, 0)
    site.scan(110, 0)
    site.cut()
    site.engine.retarget([Target(0, milli_per_count=600)], ACT)
    site.scan(113, 0)
    assert site.work.points.billed_milli[0] == 10 * 400 + 3 * 600
    assert [(row[R_RAW_FROM], row[R_RAW_TO], row[R_TERMS]) for row in site.cut()] == [(110, 113, 2)]


def test_a_tenancy_changes_who_pays_and_the_position_stays_with_the_point() -> None:
    site = Site()
    site.scan(0, 0)
    site.scan(0, 999)  # 9.99 kWh, ten counts short of the tier
    site.cut()
    row = site.engine.adopt(replace(ACCOUNTS[0], id="t9"))
    site.engine.retarget([Target(1, account=row)], replace(ACT, kind="tenancy"))
    site.scan(0, 1_003)
    assert site.work.accounts.balance_nano.tolist()[1:3] == [-9_990 * 500_000, -(10 * 500_000 + 30 * 800_000)]
    checkpoint = site.engine.cut()
    assert checkpoint is not None
    assert checkpoint.accounts == ("t1", "t2", "t9")
    assert checkpoint.change is not None
    assert checkpoint.change.kind == "tenancy"
    assert [checkpoint.terms[row[R_TERMS]].account for row in checkpoint.rows.tolist()] == ["t9", "t9"]
    assert [(row[R_TIER], row[R_PRICE_MICRO]) for row in checkpoint.rows.tolist()] == [(0, 500_000), (1, 800_000)]


def test_a_tier_position_may_be_carried_along() -> None:
    site = Site()
    site.scan(0, 0)
    site.engine.retarget([Target(1, position_milli=10_000)], ACT)
    assert site.work.points.price_micro[1] == 800_000
    site.cut()
    site.scan(0, 1)
    assert site.work.points.charged_nano[1] == 10 * 800_000


def test_a_published_plan_prices_from_its_version_on_and_makes_no_border() -> None:
    site = Site()
    site.scan(0, 0)
    site.scan(10, 10)
    site.cut()
    later_s = site.now_s + 90
    first = replace(TOU.versions[0], to_s=later_s)
    dearer = replace(TOU.versions[0], from_s=later_s, parts=(part({1: 2_000_000, 3: 600_000}),))
    change = site.engine.publish([replace(TOU, versions=(first, dearer))], ACT)
    assert change.document["plans"] == ["tou"]
    assert change.document["points"] == ["p1"]
    site.scan(20, 20)
    site.scan(30, 30)
    rows = [row for row in site.cut() if row[R_POINT] == 0]
    assert [(row[R_PRICE_MICRO], row[R_MILLI], row[R_TERMS]) for row in rows] == [
        (300_000, 4_000, 2), (300_000, 2_000, 2), (600_000, 2_000, 2)
    ]  # fmt: skip


def test_a_plan_that_changes_the_past_is_not_published() -> None:
    site = Site()
    site.scan(0, 0)
    before = site.everything()
    with pytest.raises(Refused, match=r"plan\.past"):
        site.engine.publish([plan("tou", {1: 1, 3: 1}, (Slot(0, 480, 3), Slot(480, 1440, 1)))], ACT)
    with pytest.raises(Refused, match=r"plan\.unit"):
        site.engine.publish([plan("tou", {2: 1}, medium="water", unit="m3")], ACT)
    assert site.everything() == before


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        ([Target(0, account=7)], r"account\.unknown"),
        ([Target(9)], r"point\.unknown"),
        ([Target(0, plan="no")], r"plan\.unknown"),
        ([Target(0, plan="water")], r"plan\.unit"),
        ([Target(0, meter="m9")], r"meter\.first-missing"),
        ([Target(0, final_raw=2)], r"meter\.final-implausible"),
        ([Target(0, final_raw=10**8)], r"meter\.range"),
        ([Target(0, final_raw=1_011, at_s=BEGIN_S)], r"meter\.final-time"),
        ([Target(0, first_raw=10**8, meter="m9")], r"meter\.range"),
        ([Target(0, gap_milli=-1)], r"meter\.gap"),
        ([Target(0, position_milli=-1)], r"tier\.position"),
        ([Target(0, milli_per_count=0)], r"billing\.terms"),
        ([Target(0), Target(0)], r"point\.twice"),
        ([], r"point\.twice"),
        ([Target(0, milli_per_count=1), Target(1, plan="no")], r"plan\.unknown"),
    ],
)
def test_what_is_refused_leaves_no_trace(targets: list[Target], code: str) -> None:
    site = Site()
    site.scan(1_000, 0)
    site.scan(1_010, 5)
    before = site.everything()
    with pytest.raises(Refused, match=code):
        site.engine.retarget(targets, ACT)
    assert site.everything() == before
    site.scan(1_011, 5)
    assert site.work.points.billed_milli.tolist() == [11 * 400, 50]


def test_one_change_at_a_time_and_it_waits_for_its_checkpoint() -> None:
    site = Site()
    site.scan(0, 0)
    site.engine.retarget([Target(0, account=1)], ACT)
    with pytest.raises(Refused, match=r"billing\.busy"):
        site.engine.retarget([Target(0, account=0)], ACT)
    checkpoint = site.engine.cut()
    with pytest.raises(Refused, match=r"billing\.busy"):
        site.engine.retarget([Target(0, account=0)], ACT)
    assert checkpoint is not None
    assert isinstance(checkpoint.change, Change)
    assert checkpoint.point_rows.tolist() == [0, 1]
    assert checkpoint.point_terms.tolist() == [2, 1]
    site.engine.applied(checkpoint)
    assert site.engine.cut() is None


def test_accounts_are_adopted_while_there_is_room() -> None:
    site = Site()
    assert site.engine.adopt(replace(ACCOUNTS[0], id="t3")) == 2
    with pytest.raises(Refused, match=r"account\.exists"):
        site.engine.adopt(replace(ACCOUNTS[0], id="t3"))
    with pytest.raises(Refused, match=r"account\.no-room"):
        site.engine.adopt(replace(ACCOUNTS[0], id="t4"))
    site.engine.credit(2, 5 * YUAN)
    site.scan(0, 0)
    assert site.work.accounts.balance_nano.tolist() == [0, 0, 5 * YUAN, 0]


def test_terms_of_the_books_beat_the_configuration() -> None:
    site = Site()
    site.scan(100, 0)
    site.engine.retarget([Target(0, milli_per_count=600, account=1, plan="tiered")], ACT)
    checkpoint = site.engine.cut()
    assert checkpoint is not None
    terms = checkpoint.terms[checkpoint.point_terms[0]]
    from billing_core.state import BillingState

    nobody = np.zeros(0, dtype=np.int64)
    books = BillingState(1, site.now_s, checkpoint.points.copy(), np.zeros(2, dtype=np.int64), nobody, {0: terms})
    site.engine = BillingEngine(POINTS, ACCOUNTS, (TOU, TIERED, WATER))
    site.engine.restore(books)
    site.scan(101, 0)
    assert site.work.accounts.balance_nano.tolist()[:2] == [0, -600 * 500_000]

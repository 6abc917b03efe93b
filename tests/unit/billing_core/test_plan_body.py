"""Bodies of plans: what is stored describes the plan wholly, and bodies of the first releases are still read."""

from dataclasses import replace

from billing_core.components import BaseQuantity, Capacity, Demand, FixedCharge, Minimum, PowerFactor
from billing_core.plan import HOLIDAY, Days, DayTable, Plan, Season, Slot, Tax, TierOptions, Tiers
from billing_core.plan_body import body_hash, plan_body, plan_hash, plan_of
from billing_core.schedule import unroll
from tests.plans import plan, version

TIERS = Tiers("graduated", "year", (2_160_000, 4_200_000), 1, 5, 100_000, True)
TABLES = (
    DayTable((Season((7, 1), (9, 30)),), frozenset({"working", "weekend"}), (Slot(0, 480, 3), Slot(480, 1440, 1))),
    DayTable((Season((10, 1), (6, 30)),), frozenset({"working", "weekend"}), (Slot(0, 1440, 2),)),
    DayTable((), frozenset({HOLIDAY, "festival"}), (Slot(0, 1440, 4),)),
)
DAYS = Days(frozenset({739_000, 739_001}), frozenset({739_010}), (("festival", frozenset({739_020})),))


def full_plan() -> Plan:
    """Return a plan that uses everything a plan can hold."""
    first = version(
        {1: (3, 4, 5), 2: (1, 2, 3), 3: (0, 0, 0), 4: (9, 9, 9)}, TABLES, to_s=10**9, days=DAYS, tiers=TIERS
    )
    components = (
        FixedCharge("f", "固", "F", "day", 5, False),
        Demand("d", "需", "D", 40, "contract", "actual-plus-excess", 900, 60, 260, 90),
        Capacity("c", "容", "C", 24, "calendar"),
        PowerFactor("p", "力", "P", 90, ((0, 5), (100, -7)), ("energy",)),
        Minimum("m", "底", "M", 7),
        BaseQuantity("b", "基", "B", 8),
    )
    second = version({2: 1}, from_s=10**9)
    return Plan(
        "all", "全", "All", "electricity", "kWh", "CNY", "Asia/Shanghai",
        (replace(first, components=components, tax=Tax(130_000, False)), second),
    )  # fmt: skip


def test_a_plan_is_the_same_after_it_was_stored() -> None:
    assert plan_of(plan_body(full_plan())) == full_plan()
    assert len({plan_hash(found) for found in (full_plan(), plan("a", {2: 1}), plan("b", {2: 1}))}) == 3


def test_a_body_of_the_first_releases_is_still_read_and_keeps_its_hash() -> None:
    week = [0, 1, 2, 3, 4, 5, 6]
    body = {
        "id": "tou", "medium": "electricity", "unit": "kWh", "currency": "CNY", "timezone": "Asia/Shanghai",
        "price_micro": {"1": 1_200_000, "3": 300_001}, "slots": [[week, 0, 480, 3], [week, 480, 1440, 1]],
    }  # fmt: skip
    assert body_hash(body).hex() == "80ef0565fce7043afe194e898dfdf4a2c53ffebb3984b9e15fd36b1f6809107f"
    now = plan("tou", {1: 1_200_000, 3: 300_001}, (Slot(0, 480, 3), Slot(480, 1440, 1)))
    old, new = (unroll(found, TierOptions(), 0, 30 * 86_400) for found in (plan_of(body), now))
    assert (old.entries == new.entries).all()
    assert (old.prices == new.prices).all()

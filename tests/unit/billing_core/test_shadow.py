"""A past period under another plan: figures by hand, borders of the period, tiers from their beginning, lists."""

import csv
import io
import json
from fractions import Fraction

from billing_core.plan import Slot, TierOptions, Tiers
from billing_core.shadow import Piece, as_csv, as_json, counting_from, percent_text, shadow
from tests.plans import plan
from tests.unit.billing_core.replay_cases import BEGIN_S

HOUR_S = 3600
NOBODY = TierOptions()
OLD_MICRO = 600_000
TOU = plan("tou", {1: 1_000_000, 3: 300_000}, (Slot(0, 480, 3), Slot(480, 1440, 1)))
TIERED = plan("tiered", {2: (500_000, 900_000)}, tiers=Tiers("graduated", "month", (10_000,)))


def piece(account: str, from_h: int, to_h: int, milli: int, kind: int = 0) -> Piece:
    from_s, to_s = BEGIN_S + from_h * HOUR_S, BEGIN_S + to_h * HOUR_S
    return Piece(f"p-{account}", account, NOBODY, from_s, to_s, kind, milli, milli * OLD_MICRO)


def test_who_pays_what_more() -> None:
    """a: 10 kWh by night, b: 10 kWh by day, c: 4 hours across 08:00, half and half."""
    pieces = [piece("a", 0, 1, 10_000), piece("b", 9, 10, 10_000), piece("c", 6, 10, 10_000)]
    found = shadow(TOU, pieces, BEGIN_S, BEGIN_S + 24 * HOUR_S, above_percent=10)
    assert [(t.account, t.old_nano, t.new_nano) for t in found.tenants] == [
        ("b", 6_000_000_000, 10_000_000_000),
        ("c", 6_000_000_000, 6_500_000_000),
        ("a", 6_000_000_000, 3_000_000_000),
    ]
    assert found.total.more_nano == 1_500_000_000
    assert [tenant.more_percent for tenant in found.tenants] == [Fraction(200, 3), Fraction(25, 3), Fraction(-50)]
    assert found.above == 1


def test_the_period_cuts_pieces_and_the_parts_add_up() -> None:
    whole = [piece("a", 6, 10, 10_001)]
    parts = [
        shadow(TOU, whole, BEGIN_S + from_h * HOUR_S, BEGIN_S + to_h * HOUR_S).total
        for from_h, to_h in ((0, 7), (7, 9), (9, 24))
    ]
    at_once = shadow(TOU, whole, BEGIN_S, BEGIN_S + 24 * HOUR_S).total
    assert sum(part.milli for part in parts) == at_once.milli == 10_001
    assert sum(part.old_nano for part in parts) == at_once.old_nano == 10_001 * OLD_MICRO


def test_tiers_climb_from_the_beginning_of_the_new_plans_period() -> None:
    """8 kWh before the period, 6 within it: 2 in the first tier, 4 above 10 kWh."""
    pieces = [piece("a", 0, 1, 8_000), piece("a", 30, 31, 6_000)]
    found = shadow(TIERED, pieces, BEGIN_S + 24 * HOUR_S, BEGIN_S + 48 * HOUR_S)
    assert found.tenants[0].milli == 6_000
    assert found.tenants[0].new_nano == 2_000 * 500_000 + 4_000 * 900_000
    assert counting_from(TIERED, NOBODY, BEGIN_S + 40 * HOUR_S) == BEGIN_S
    assert counting_from(TOU, NOBODY, BEGIN_S + 40 * HOUR_S) == BEGIN_S + 40 * HOUR_S


def test_an_uplift_is_money_without_quantity() -> None:
    pieces = [piece("a", 0, 1, 1_000), piece("a", 0, 1, 500, kind=1)]
    found = shadow(TOU, pieces, BEGIN_S, BEGIN_S + 24 * HOUR_S).tenants[0]
    assert (found.milli, found.old_nano, found.new_nano) == (1_000, 1_500 * OLD_MICRO, 1_000 * 300_000)


def test_machines_get_exact_text() -> None:
    found = shadow(TOU, [piece("a", 9, 10, 1)], BEGIN_S, BEGIN_S + 24 * HOUR_S)
    data = json.loads(json.dumps(as_json(found)))
    assert data["tenants"] == [
        {"account": "a", "quantity": "0.001", "old": "0.000600000", "new": "0.001000000", "more": "0.000400000",
         "more_percent": "66.67"}
    ]  # fmt: skip
    assert data["tenants_above"] == 1
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert rows == data["tenants"]


def test_percentages_round_half_up_and_know_nothing_paid() -> None:
    assert [percent_text(Fraction(*parts)) for parts in ((1, 200), (-1, 200), (1, 3), (-1, 1000))] == [
        "0.01", "-0.01", "0.33", "0.00"
    ]  # fmt: skip
    assert percent_text(None) == ""

"""The rules of an account's money as tables: split of a payment, limits, second persons, closing."""

from dataclasses import replace
from typing import Any

import pytest

from billing_core import account_rules as rules
from billing_core import chart, closing
from billing_core.account_desk import KINDS
from billing_core.account_rules import STANDARD, ApprovalNeeded, Purse, Wish, shown, split
from billing_core.ledger import NANO_PER_UNIT
from billing_core.state import Register
from scada.errors import Refused

YUAN = NANO_PER_UNIT
FEN = YUAN // 100
EMPTY = Purse("a", "open", 0, 0, 0, 0, 0, STANDARD, 100, FEN)


def purse(**changes: Any) -> Purse:
    return replace(EMPTY, **changes)


@pytest.mark.parametrize(
    ("paid", "owed", "lent", "percent", "debt", "emergency", "wallet"),
    [
        (100 * YUAN, 0, 0, 100, 0, 0, 100 * YUAN),
        (100 * YUAN, 30 * YUAN, 20 * YUAN, 100, 30 * YUAN, 20 * YUAN, 50 * YUAN),  # debt, emergency credit, balance
        (100 * YUAN, 300 * YUAN, 20 * YUAN, 100, 100 * YUAN, 0, 0),
        (100 * YUAN, 300 * YUAN, 20 * YUAN, 30, 30 * YUAN, 20 * YUAN, 50 * YUAN),
        (33 * FEN, YUAN, 0, 50, 16 * FEN, 0, 17 * FEN),  # down to a coin, in favour of the wallet
        (YUAN, 5 * FEN, 0, 50, 5 * FEN, 0, 95 * FEN),  # never more than is owed
        (YUAN, YUAN, 2 * YUAN, 0, 0, YUAN, 0),
    ],
)
def test_a_payment_is_split_in_a_fixed_order(
    paid: int, owed: int, lent: int, percent: int, debt: int, emergency: int, wallet: int
) -> None:
    found = split(purse(owed_nano=owed, emergency_nano=lent, recovery_percent=percent), paid)
    assert found == (debt, emergency, wallet)
    assert sum(found) == paid


@pytest.mark.parametrize(
    ("amount_nano", "balance_nano", "channel", "code"),
    [
        (YUAN, 0, "cash", None),
        (5000 * YUAN, 0, "transfer", None),
        (YUAN - FEN, 0, "cash", "topup.amount-below"),
        (5000 * YUAN + FEN, 0, "cash", "topup.amount-above"),
        (YUAN + 1, 0, "cash", "topup.amount-coins"),
        (YUAN, 1_000_000 * YUAN, "cash", "topup.balance-above"),
        (YUAN, 0, "wampum", "topup.channel"),
    ],
)
def test_limits_of_a_top_up(amount_nano: int, balance_nano: int, channel: str, code: str | None) -> None:
    wish = Wish("topup", amount_nano, channel)
    if code is None:
        assert sum(nano for _, nano in rules.top_up(purse(wallet_nano=balance_nano), wish).entries) == 0
        return
    with pytest.raises(Refused) as caught:
        rules.top_up(purse(wallet_nano=balance_nano), wish)
    assert caught.value.code == code


def test_the_hoarding_limit_counts_what_reaches_the_wallet() -> None:
    full = purse(wallet_nano=1_000_000 * YUAN, owed_nano=50 * YUAN)
    assert dict(rules.top_up(full, Wish("topup", 50 * YUAN, "cash")).entries) == {
        "cash": -50 * YUAN,
        "debt:a": 50 * YUAN,
    }


def test_no_way_leads_from_the_wallet_to_a_property_fee_or_back() -> None:
    rich = purse(wallet_nano=100 * YUAN, owed_nano=10 * YUAN, property_nano=-10 * YUAN)
    for verb, build in rules.BUILDERS.items():
        against = "opening" if verb == "debt" else "writeoff"
        wish = Wish(verb, YUAN, "cash", "why", against, "bob")
        lent = replace(rich, limits=replace(STANDARD, emergency_nano=YUAN))
        moved = {account.partition(":")[0] for account, _ in build(lent, wish).entries}
        assert not {"wallet", "property"} <= moved, verb


def test_every_verb_has_rules_and_a_kind_of_transfer() -> None:
    assert rules.BUILDERS.keys() <= rules.RULES.keys()
    assert KINDS.keys() == rules.BUILDERS.keys() - {"topup"}
    assert set(KINDS.values()) <= chart.TRANSFERS.keys()
    for verb, table in rules.RULES.items():
        for rule in table:
            assert rule.mend(EMPTY, Wish(verb, 1, reason="x")), (verb, rule.code)


def test_a_second_person_is_asked_above_the_limit_and_not_at_it() -> None:
    rich = purse(wallet_nano=1000 * YUAN)
    rules.refund(rich, Wish("refund", 500 * YUAN, "cash", "x"))
    with pytest.raises(ApprovalNeeded, match=r"approval\.refund.*500\.00"):
        rules.refund(rich, Wish("refund", 500 * YUAN + FEN, "cash", "x"))
    rules.refund(rich, Wish("refund", 500 * YUAN + FEN, "cash", "x", approved_by="bob"))
    with pytest.raises(ApprovalNeeded, match=r"approval\.correction"):
        rules.correction(rich, Wish("correction", -100 * YUAN - FEN, reason="x", against="writeoff"))


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.00"), (FEN, "0.01"), (-1, "-0.000000001"), (12_345_000_000, "12.345"), (-2 * YUAN, "-2.00")],
)
def test_amounts_are_shown_exactly(nano: int, text: str) -> None:
    assert shown(nano) == text


# ---- closing


@pytest.mark.parametrize(
    ("wallet", "paid", "rounding"),
    [
        (10 * YUAN, 10 * YUAN, 0),
        (10 * YUAN + 4_999_999, 10 * YUAN, 4_999_999),
        (10 * YUAN + 5_000_000, 10 * YUAN + FEN, -5_000_000),  # half a coin in favour of the tenant
        (1, 0, 1),
    ],
)
def test_a_closing_pays_whole_coins_and_leaves_exactly_nothing(wallet: int, paid: int, rounding: int) -> None:
    entries = dict(closing.closing(purse(wallet_nano=wallet), "cash", "x", "refuse").entries)
    assert entries == {
        name: nano for name, nano in (("wallet:a", -wallet), ("cash", paid), ("rounding", rounding)) if nano
    }


def test_a_closing_settles_everything_that_belongs_to_the_account() -> None:
    full = purse(wallet_nano=100 * YUAN, owed_nano=10 * YUAN, emergency_nano=5 * YUAN, unused_subsidy_nano=20 * YUAN)
    entries = dict(closing.closing(replace(full, property_nano=-9 * YUAN), "cash", "x", "refuse").entries)
    assert entries == {
        "wallet:a": -100 * YUAN, "subsidies": 20 * YUAN, "debt:a": 10 * YUAN, "emergency:a": 5 * YUAN,
        "cash": 65 * YUAN,
    }  # fmt: skip


def test_a_loss_is_written_off_by_two_people() -> None:
    owing = purse(wallet_nano=-150 * YUAN)
    with pytest.raises(Refused, match=r"closing\.owes.*150\.00"):
        closing.closing(owing, "cash", "x", "refuse")
    with pytest.raises(ApprovalNeeded, match=r"approval\.writeoff"):
        closing.closing(owing, "cash", "x", "writeoff")
    entries = closing.closing(owing, "cash", "x", "writeoff", approved_by="bob").entries
    assert entries == (("wallet:a", 150 * YUAN), ("writeoff", -150 * YUAN))
    assert closing.closing(owing, "cash", "x", "pay").entries[1] == ("cash", -150 * YUAN)


def test_a_token_stands_for_registers_and_amounts_and_not_for_times() -> None:
    register = Register("p", "m", 100, 5, 10, "none")
    found = closing.reckoning(purse(wallet_nano=YUAN))
    first = closing.preview("a", [register], found, [])
    assert closing.preview("a", [replace(register, at_s=9)], found, [])["token"] == first["token"]
    moved = closing.preview("a", [replace(register, raw=101)], closing.reckoning(purse(wallet_nano=YUAN - FEN)), [])
    assert moved["token"] != first["token"]
    assert closing.changes(first, moved)[:2] == [
        "p: register 100 -> 101",
        "Balance, consumption to the final reading included: 1.00 -> 0.99",
    ]
    closing.require_same(first, moved, FEN)
    with pytest.raises(Refused, match=r"closing\.changed"):
        closing.require_same(first, moved, 0)
    other = closing.preview("a", [replace(register, meter="m2")], found, [])
    with pytest.raises(Refused, match=r"closing\.changed"):
        closing.require_same(first, other, 100 * YUAN)


def test_a_final_register_is_good_and_fresh() -> None:
    closing.require_fresh([Register("p", "m", 1, 100, 10, "none")], 1000, 900)
    with pytest.raises(Refused, match=r"closing\.stale.*901 s ago"):
        closing.require_fresh([Register("p", "m", 1, 100, 10, "none")], 1001, 900)
    with pytest.raises(Refused, match=r"closing\.held.*jump"):
        closing.require_fresh([Register("p", "m", 1, 1000, 10, "jump")], 1000, 900)

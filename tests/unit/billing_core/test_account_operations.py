"""Acts on accounts over the operation desk and a real PostgreSQL: splits, reversals, second persons, terms, replays."""

import asyncio
from collections.abc import Awaitable

import pytest

from billing_core.account_rules import CLOSED
from scada.errors import Refused
from tests.unit.billing_core.counter import ANN, BOB, FEN, till
from tests.unit.billing_core.park import BEGIN_S, YUAN
from tests.unit.billing_core.test_store import assert_clean, execute, query, run

DAY_S = 86_400


async def refused(code: str, act: Awaitable[object]) -> str:
    with pytest.raises(Refused) as caught:
        await act
    assert caught.value.code == code, caught.value
    return caught.value.detail


def balance(dsn: str, account: str) -> int:
    return int(query(dsn, f"SELECT coalesce((SELECT nano FROM balance WHERE account = '{account}'), 0)"))


def test_a_top_up_pays_debt_by_its_share_then_emergency_credit_then_the_wallet(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await core.ask(
                "account.debt", account="t1", amount_nano=30 * YUAN, against="opening", reason="old", key="d"
            )
            await core.ask("account.emergency", account="t1", amount_nano=15 * YUAN, key="e")
            assert core.live("t1") == 115 * YUAN
            first = await core.ask("account.topup", account="t1", amount_minor=2001, channel="cash", key="p1")
            parts = (first["debt_nano"], first["emergency_nano"], first["wallet_nano"])
            assert parts == (10 * YUAN, 1001 * FEN, 0)  # half of 20.01, down to a coin; the rest of it to the credit
            assert (first["amount_nano"], first["balance_nano"]) == (2001 * FEN, 115 * YUAN)
            again = await core.ask("account.topup", account="t1", amount_minor=2001, channel="cash", key="p1")
            assert again == {**first, "repeated": True}
            second = await core.ask("account.topup", account="t1", amount_minor=10000, channel="wechat", key="p2")
            assert (second["debt_nano"], second["emergency_nano"]) == (20 * YUAN, 499 * FEN)
            assert core.live("t1") == second["balance_nano"] == 115 * YUAN + 7501 * FEN
            await refused(
                "topup.key-reused",
                core.ask("account.topup", account="t1", amount_minor=10001, channel="wechat", key="p2"),
            )

    run(test)
    assert [balance(postgres_dsn, f"{kind}:t1") for kind in ("debt", "emergency")] == [0, 0]
    assert_clean(postgres_dsn)


def test_emergency_credit_is_lent_once_until_it_is_paid_back(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await refused(
                "emergency.limit", core.ask("account.emergency", account="t1", amount_nano=21 * YUAN, key="a")
            )
            await core.ask("account.emergency", account="t1", amount_nano=20 * YUAN, key="b")
            await refused("emergency.once", core.ask("account.emergency", account="t1", amount_nano=YUAN, key="c"))
            await core.ask("account.topup", account="t1", amount_minor=2000, channel="cash", key="p")
            await core.ask("account.emergency", account="t1", amount_nano=YUAN, key="c")

    run(test)
    assert_clean(postgres_dsn)


def test_a_receipt_is_reversed_once_and_whole(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await core.ask("account.debt", account="t1", amount_nano=5 * YUAN, against="opening", reason="old", key="d")
            paid = await core.ask("account.topup", account="t1", amount_minor=5000, channel="cash", key="p")
            wrong = {"receipt": paid["number"], "reason": "wrong tenant", "key": "r"}
            await refused("account.reason", core.ask("account.reverse", **{**wrong, "reason": " ", "key": "r4"}))
            undone = await core.ask("account.reverse", **wrong)
            assert undone["entries"] == [["cash", 50 * YUAN], ["debt:t1", -5 * YUAN], ["wallet:t1", -45 * YUAN]]
            assert core.live("t1") == 100 * YUAN
            assert (await core.ask("account.reverse", **wrong))["repeated"]
            await refused("receipt.reversed", core.ask("account.reverse", **{**wrong, "key": "r2"}))
            await refused("receipt.unknown", core.ask("account.reverse", **{**wrong, "receipt": "R9", "key": "r3"}))

    run(test)
    assert balance(postgres_dsn, "debt:t1") == -5 * YUAN
    assert query(postgres_dsn, "SELECT number FROM receipt_reversal") == "R0000000003"
    assert_clean(postgres_dsn)
    with pytest.raises(Exception, match="append-only"):
        execute(postgres_dsn, "DELETE FROM receipt_reversal")


def test_a_refund_above_the_limit_waits_for_somebody_else(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            small = {"account": "t1", "amount_nano": 10 * YUAN, "channel": "transfer", "reason": "moves"}
            assert (await core.ask("account.refund", **small, key="s"))["entries"][0] == ["wallet:t1", -10 * YUAN]
            large = {**small, "amount_nano": 60 * YUAN, "key": "big"}
            pending = await core.ask("account.refund", **large)
            assert (pending["pending"], pending["code"]) == ("big", "approval.refund")
            assert core.live("t1") == 90 * YUAN
            await refused("approval.self", core.ask("account.approve", key="big"))
            console = type(BOB)("console:root", "admin", "host")
            await refused("approval.person", core.ask("account.approve", console, key="big"))
            done = await core.ask("account.approve", BOB, key="big")
            assert (done["requested_by"], done["approved_by"], core.live("t1")) == ("ann", "bob", 30 * YUAN)
            assert (await core.ask("account.approve", BOB, key="big"))["repeated"]
            assert (await core.ask("account.refund", **large))["repeated"]  # who asked learns that it is done
            await refused("approval.unknown", core.ask("account.approve", BOB, key="none"))
            detail = await refused("refund.balance", core.ask("account.refund", **{**large, "key": "more"}))
            assert "at most 30.00" in detail

    run(test)
    document = query(postgres_dsn, "SELECT body FROM document JOIN transfer USING (seq) WHERE idempotency_key = 'big'")
    assert document["approved_by"] == "bob"
    assert_clean(postgres_dsn)


def test_a_request_that_was_turned_down_stays_down(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            wanted = {
                "account": "t1",
                "amount_nano": -40 * YUAN,
                "against": "revenue:water",
                "reason": "typo",
                "key": "c",
            }
            assert (await core.ask("account.correct", **wanted))["code"] == "approval.correction"
            await refused("account.reason", core.ask("account.reject", BOB, key="c"))
            await core.ask("account.reject", BOB, key="c", reason="no proof")
            await refused("approval.done", core.ask("account.approve", BOB, key="c"))
            await refused("approval.rejected", core.ask("account.correct", **wanted))
            small = {**wanted, "amount_nano": 12 * YUAN, "against": "writeoff", "key": "c2"}
            assert (await core.ask("account.correct", **small))["entries"] == [
                ["wallet:t1", 12 * YUAN],
                ["writeoff", -12 * YUAN],
            ]
            for other in ("cash", "revenue:", "revenue:wind"):
                await refused(
                    "account.against", core.ask("account.correct", **{**small, "against": other, "key": "c3"})
                )

    run(test)
    assert_clean(postgres_dsn)


def test_a_subsidy_is_used_before_own_money_and_its_rest_goes_back(postgres_dsn: str) -> None:
    """Unused = max(0, grant - charges since), within the term; what was used stays used."""

    async def test() -> None:
        async with till(postgres_dsn) as core:
            core.park.step()
            grant = {
                "account": "t1",
                "amount_nano": 30 * YUAN,
                "until_s": BEGIN_S + DAY_S,
                "reason": "term",
                "key": "g",
            }
            await core.ask("account.subsidy", **grant)
            for _ in range(10):
                core.park.step(100, 0, 0, gap_s=600)  # 1.00 kWh each
            await core.commit()
            used = 130 * YUAN - core.live("t1")
            assert 0 < used < 30 * YUAN
            detail = await refused(
                "refund.balance",
                core.ask("account.refund", account="t1", amount_nano=101 * YUAN, channel="cash", reason="x", key="r"),
            )
            assert "at most 100.00" in detail  # the rest of the subsidy is not paid out
            assert (await core.ask("account.expire"))["cleared"] == []
            core.clock.now_s = BEGIN_S + DAY_S
            cleared = (await core.ask("account.expire"))["cleared"]
            assert [entry["entries"] for entry in cleared] == [
                [["wallet:t1", used - 30 * YUAN], ["subsidies", 30 * YUAN - used]]
            ]
            assert core.live("t1") == 100 * YUAN
            assert (await core.ask("account.expire"))["cleared"] == []

    run(test)
    assert balance(postgres_dsn, "subsidies") < 0
    assert_clean(postgres_dsn)


def test_property_fees_have_a_purse_of_their_own(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            fee = {"account": "t1", "amount_nano": 300 * YUAN, "reason": "2026-10", "key": "f"}
            await core.ask("account.property-fee", **fee)
            assert core.live("t1") == 100 * YUAN
            paid = {"account": "t1", "amount_nano": 120 * YUAN, "channel": "transfer", "key": "p"}
            await core.ask("account.property-payment", **paid)
            assert core.live("t1") == 100 * YUAN

    run(test)
    assert balance(postgres_dsn, "property:t1") == -180 * YUAN
    assert_clean(postgres_dsn)


def test_an_overdrawn_wallet_becomes_a_debt_that_is_paid_in_instalments(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            debt = {"account": "t1", "amount_nano": 40 * YUAN, "against": "wallet", "reason": "agreed", "key": "d"}
            await core.ask("account.debt", **debt)
            assert core.live("t1") == 140 * YUAN
            await core.ask("account.instalment", account="t1", amount_nano=15 * YUAN, key="i")
            await refused("debt.none", core.ask("account.instalment", account="t1", amount_nano=26 * YUAN, key="j"))
            await core.ask("account.recover", account="t1", percent=10, reason="agreed", key="share")
            await refused("debt.percent", core.ask("account.recover", account="t1", percent=101, reason="x", key="y"))
            paid = await core.ask("account.topup", account="t1", amount_minor=1000, channel="cash", key="p")
            assert (paid["debt_nano"], paid["wallet_nano"]) == (YUAN, 9 * YUAN)

    run(test)
    assert balance(postgres_dsn, "debt:t1") == -24 * YUAN
    assert_clean(postgres_dsn)


def test_two_operators_cannot_pay_the_same_money_out_twice(postgres_dsn: str) -> None:
    """Both see 100; the books let one of them."""

    async def test() -> None:
        async with till(postgres_dsn) as core:
            wanted = {"account": "t1", "amount_nano": 45 * YUAN, "channel": "cash", "reason": "moves"}
            acts = [core.ask("account.refund", who, **wanted, key=f"k{n}") for n, who in enumerate((ANN, BOB, ANN))]
            results = await asyncio.gather(*acts, return_exceptions=True)
            assert [type(result) for result in results].count(Refused) == 1
            assert core.live("t1") == 10 * YUAN

    run(test)
    assert_clean(postgres_dsn)


def test_a_closed_account_takes_no_money(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await core.ask("account.recover", account="t1", percent=10, reason="x", key="row")
            execute(postgres_dsn, f"UPDATE purse SET state = '{CLOSED}' WHERE account = 't1'")
            top_up = {"account": "t1", "amount_minor": 1000, "channel": "cash", "key": "p"}
            await refused("account.closed", core.ask("account.topup", **top_up))
            money = {"account": "t1", "amount_nano": YUAN, "reason": "x", "key": "k"}
            for name in ("refund", "correct", "debt", "instalment", "emergency", "property-fee", "property-payment"):
                await refused("account.closed", core.ask(f"account.{name}", **money))
            await refused("account.unknown", core.ask("account.refund", **{**money, "account": "nobody"}))

    run(test)

"""Posting besides charges: once per key, seen by the chain with its document, balances of the moment, lost answers."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from billing_core import posting
from billing_core.posting import Balances, Draft, NewAccount
from billing_core.state import Change
from billing_core.store import LedgerStore
from scada.errors import DatabaseAway, Refused
from scada.operations import Who
from tests.unit.billing_core.park import ACCOUNTS, BEGIN_S, POINTS, TARIFFS, YUAN, Park
from tests.unit.billing_core.test_store import (
    LosesAnswers,
    assert_clean,
    audited,
    opened,
    prepared,
    query,
    run,
)
from tests.unit.billing_core.test_store_changes import tamper

ANN = Who("ann", "cashier", "desk-1")
DOCUMENT = {"reason": "双倍扣费", "lines": [{"nano": 5, "of": ["p1", None, True]}], "big": 2**62}


def moved(nano: int, target: str = "wallet:t2", source: str = "subsidies", **changes: Any) -> posting.Build:
    draft = Draft(((source, -nano), (target, nano)), "a reason", **changes)
    return lambda _: draft


async def refused(store: LedgerStore, build: posting.Build, code: str, key: str = "k", kind: str = "grant") -> None:
    with pytest.raises(Refused) as error:
        await store.post(key, kind, ANN, build)
    assert error.value.code == code, error.value


def test_a_posting_with_a_document_is_in_the_chain_once(postgres_dsn: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            build = moved(7 * YUAN, document=DOCUMENT)
            first, second = await asyncio.gather(*[store.post("k", "grant", ANN, build) for _ in range(2)])
            assert (first.repeated, second.repeated) == (False, True)
            assert (first.credit_now, second.credit_now) == ({"t2": 7 * YUAN}, {})
            assert first.balances == {"subsidies": -7 * YUAN, "wallet:t2": 7 * YUAN}
            plain: dict[str, Any] = {"repeated": False, "credit_now": {}, "balances": {}}
            assert replace(second, **plain) == replace(first, **plain) == await store.find("k")
            assert await store.find("nothing") is None
            assert (first.document, first.who, first.station, first.memo) == (DOCUMENT, "ann", "desk-1", "a reason")
            await refused(store, moved(8 * YUAN, document=DOCUMENT), "ledger.key-reused")
            await refused(store, moved(7 * YUAN, document=DOCUMENT), "ledger.key-reused", kind="refund")

    run(test)
    assert query(postgres_dsn, "SELECT nano FROM balance WHERE account = 'wallet:t2'") == 7 * YUAN
    assert query(postgres_dsn, "SELECT kind FROM account WHERE id = 'subsidies'") == "subsidies"
    assert_clean(postgres_dsn)


def test_build_sees_balances_and_a_repeated_key_sees_those_of_then(postgres_dsn: str) -> None:
    """A refund of all that is left is the same refund when it is asked for again, although nothing is left."""

    def all_of_it(balances: Balances) -> Draft:
        left = balances("wallet:t1")
        if left <= 0 or balances("clearing:wechat") != 0:
            raise Refused("refund.nothing", "nothing left")
        return Draft((("wallet:t1", -left), ("cash", left)), document={"left": left})

    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            posted = await store.post("refund", "refund", ANN, all_of_it, at_s=BEGIN_S)
            assert (posted.entries, posted.plant_time_s) == (
                (("wallet:t1", -100 * YUAN), ("cash", 100 * YUAN)),
                BEGIN_S,
            )
            assert (await store.post("refund", "refund", ANN, all_of_it)).repeated
            await refused(store, all_of_it, "refund.nothing", key="another")
            assert (await store.post("another", "grant", ANN, moved(1))).seq == posted.seq + 1

    run(test)
    assert_clean(postgres_dsn)


def test_what_was_asked_can_be_compared_instead(postgres_dsn: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            asked = {"to": "t2", "yuan": 3}
            await store.post("k", "grant", ANN, moved(3, document={"asked": asked, "now": 1}))
            again = await store.post("k", "grant", ANN, moved(9), same=posting.asked(asked))
            assert (again.repeated, again.entries[1]) == (True, ("wallet:t2", 3))
            with pytest.raises(Refused, match=r"ledger\.key-reused"):
                await store.post("k", "grant", ANN, moved(3), same=posting.asked({"to": "t1"}))

    run(test)


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (moved(5, target="wallet:nobody"), "account.unknown"),
        (moved(5, target="debt:nobody"), "account.unknown"),
        (moved(5, target="piggybank"), "ledger.account"),
        (moved(5, target="wallet:"), "ledger.account"),
        (moved(0), "ledger.unbalanced"),
        (lambda _: Draft((("cash", 5),)), "ledger.unbalanced"),
        (lambda _: Draft((("cash", 5), ("wallet:t1", -4))), "ledger.unbalanced"),
        (lambda _: Draft(()), "ledger.empty"),
        (moved(2**62), "ledger.scale"),
        (moved(5, document={"price": 0.1}), "ledger.document"),
        (moved(5, document={"text": "a\0b"}), "ledger.document"),
        (moved(5, document={"text": "\ud800"}), "ledger.document"),
        (moved(5, document={"a": [{"b": {1, 2}}]}), "ledger.document"),
        (lambda balances: Draft((("cash", -balances("wallet:nobody")),)), "account.unknown"),
    ],
)
def test_what_the_books_do_not_take(postgres_dsn: str, build: posting.Build, code: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            await refused(store, build, code)
            await refused(store, moved(5), "ledger.key", key="")
            await refused(store, moved(5), "ledger.key", key="k" * 201)
            assert await store.find("k") is None

    run(test)
    assert query(postgres_dsn, "SELECT count(*) FROM transfer") == 1
    assert_clean(postgres_dsn)


def test_accounts_open_with_their_first_posting(postgres_dsn: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            wallet = NewAccount("wallet:new", "新", "New", "CNY")
            facts = await store.post("open", "account", ANN, lambda _: Draft((), document={"a": 1}, opens=(wallet,)))
            assert (facts.entries, facts.credit_now) == ((), {})
            split = (("cash", -10), ("debt:new", 4), ("wallet:new", 3), ("wallet:new", 3))
            paid = await store.post("pay", "recovery", ANN, lambda _: Draft(split))
            assert (paid.credit_now, paid.balances["wallet:new"]) == ({"new": 6}, 6)

    run(test)
    assert query(postgres_dsn, "SELECT name_zh || name_en FROM account WHERE id = 'wallet:new'") == "新New"
    assert query(postgres_dsn, "SELECT name_zh || kind FROM account WHERE id = 'debt:new'") == "欠费 newdebt"
    assert query(postgres_dsn, "SELECT nano FROM balance WHERE account = 'wallet:new'") == 6
    assert_clean(postgres_dsn)


def test_a_trade_writes_its_own_rows_in_the_same_transaction(postgres_dsn: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)

            async def fails(cursor: Any, seq: int) -> None:
                await cursor.execute("UPDATE account SET name_en = %s WHERE id = 'wallet:t1'", [f"seq {seq}"])
                raise Refused("trade.no", "changed its mind")

            await refused(store, moved(5, also=fails), "trade.no")
            assert await store.find("k") is None

    run(test)
    assert query(postgres_dsn, "SELECT name_en FROM account WHERE id = 'wallet:t1'") == "First"


def test_a_posting_whose_answer_was_lost_reaches_the_live_balance_once(postgres_dsn: str) -> None:
    async def test() -> None:
        lossy = LosesAnswers(postgres_dsn, "ledger")
        store = LedgerStore(lossy, "demo")
        await store.prepare(POINTS, ACCOUNTS, TARIFFS)
        both = moved(5, source="wallet:t1")
        for key in ("asked-again", "never"):
            lossy.lose = True
            with pytest.raises(DatabaseAway):
                await store.post(key, "transfer", ANN, both)
            lossy.lose = False
        assert (await store.post("asked-again", "transfer", ANN, both)).credit_now == {"t1": -5, "t2": 5}
        assert (await store.post("asked-again", "transfer", ANN, both)).credit_now == {}
        assert (await store.renew()).late_credits == (("t1", -5), ("t2", 5))
        assert (await store.renew()).late_credits == ()
        await store.close()

    run(test)
    assert_clean(postgres_dsn)


def test_a_change_enters_the_chain_with_its_checkpoint(postgres_dsn: str) -> None:
    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)
            park.step()
            for _ in range(2):  # the second is made under the same key: it took place, so it stands as well
                park.step(3, 1, 20)
                cut = park.engine.cut()
                assert cut is not None
                change = Change("change-1", "release", "ann", "desk-1", "looked at it", {"point": "p1", "raw": 3})
                await store.commit(replace(cut, change=change))
                await store.commit(replace(cut, change=change))  # its answer was lost
                park.engine.applied(cut)
            found = await store.find("change-1")
            assert found is not None
            assert (found.kind, found.document) == ("change", {"change": "release", "point": "p1", "raw": 3})

    run(test)
    assert query(postgres_dsn, "SELECT count(*) FROM transfer WHERE kind = 'change'") == 2
    assert_clean(postgres_dsn)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE document SET body = jsonb_set(body, '{big}', '4')",
        "UPDATE document SET body = jsonb_set(body, '{lines,0,of,0}', '\"p2\"')",
        "DELETE FROM document",
        "INSERT INTO document VALUES (1, '{}')",
    ],
)
def test_the_audit_reads_documents(postgres_dsn: str, tampering: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            await store.post("k", "grant", ANN, moved(7, document=DOCUMENT))

    run(test)
    assert_clean(postgres_dsn)
    tamper(postgres_dsn, tampering)
    code, printed = audited(postgres_dsn)
    assert (code, "does not have its hash" in printed) == (1, True)

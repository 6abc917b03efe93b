"""Acts whose answer was lost, ends of terms by themselves, and a scenario of a whole money life in rows."""

import asyncio
import contextlib
from typing import Any

import pytest

from billing_core.expiry import expire_subsidies
from scada.errors import DatabaseAway
from tests.unit.billing_core.counter import BOB, FEN, till
from tests.unit.billing_core.park import YUAN
from tests.unit.billing_core.test_account_operations import balance, refused
from tests.unit.billing_core.test_store import LosesAnswers, assert_clean, run
from tests.unit.billing_core.test_tenancies import NEW, ticked


def test_an_act_whose_answer_was_lost_is_done_once(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn, database=LosesAnswers) as core:
            store: Any = core.books
            for name, more in (
                ("refund", {"channel": "cash", "reason": "x"}),
                ("correct", {"against": "writeoff", "reason": "x"}),
                ("emergency", {}),
            ):
                wanted = {"account": "t1", "amount_nano": 3 * YUAN, "key": name, **more}
                store.database.lose = True
                with pytest.raises(DatabaseAway):
                    await core.ask(f"account.{name}", **wanted)
                store.database.lose = False
                assert (await core.ask(f"account.{name}", **wanted))["repeated"]
            assert core.live("t1") == 103 * YUAN

    run(test)
    assert balance(postgres_dsn, "wallet:t1") == 103 * YUAN
    assert_clean(postgres_dsn)


@pytest.mark.parametrize("lost", range(1, 12))
def test_an_opening_that_was_cut_off_anywhere_is_ended_by_repeating_it(postgres_dsn: str, lost: int) -> None:
    """The connection breaks after the n-th transaction of the opening; the same command ends it."""

    async def test() -> None:
        class BreaksOnce(LosesAnswers):
            left = 10**9

            @contextlib.asynccontextmanager
            async def transaction(self) -> Any:  # type: ignore[override]
                async with super().transaction() as cursor:
                    yield cursor
                BreaksOnce.left -= 1
                if BreaksOnce.left == 0:
                    raise DatabaseAway("connection lost after COMMIT was sent")

        async with till(postgres_dsn, database=BreaksOnce) as core:
            ticked(core)
            ticked(core, 0, 5, 5)
            await core.commit()
            BreaksOnce.left = lost
            with contextlib.suppress(DatabaseAway):
                await core.ask("tenant.open", key="k", tenant=NEW)
            BreaksOnce.left = 10**9
            checkpoint = core.park.engine.cut()
            if checkpoint is not None:
                await core.commit()
            done = await core.ask("tenant.open", key="k", tenant=NEW)
            assert [receipt["balance_nano"] for receipt in done["receipts"]] == [100 * YUAN, 30 * YUAN]
            assert core.residents.points_of("noodles") == [1]
            assert core.live("noodles") == 100 * YUAN
            await core.commit()

    run(test)
    assert_clean(postgres_dsn)


def test_the_end_of_a_term_comes_by_itself(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            until_s = core.clock.now_s + 100
            given = {"account": "t1", "amount_nano": 5 * YUAN, "until_s": until_s, "reason": "x", "key": "g"}
            await core.ask("account.subsidy", **given)
            core.clock.now_s = until_s
            task = asyncio.create_task(expire_subsidies(core.desk.perform, lambda: True, every_s=0.01))
            for _ in range(1000):
                await asyncio.sleep(0.01)
                if core.live("t1") == 100 * YUAN:
                    break
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(test)
    assert balance(postgres_dsn, "subsidies") == 0
    assert_clean(postgres_dsn)


# act, arguments, then wallet, debt, emergency credit and property fees afterwards, in yuan and fen
LIFE: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("account.topup", {"amount_minor": 5000, "channel": "wechat"}, "150.00 0.00 0.00 0.00"),
    ("account.emergency", {"amount_nano": 20 * YUAN}, "170.00 0.00 20.00 0.00"),
    ("account.debt", {"amount_nano": 60 * YUAN, "against": "opening", "reason": "old"}, "170.00 60.00 20.00 0.00"),
    ("account.property-fee", {"amount_nano": 80 * YUAN, "reason": "October"}, "170.00 60.00 20.00 -80.00"),
    ("account.topup", {"amount_minor": 3000, "channel": "cash"}, "170.00 45.00 5.00 -80.00"),
    ("account.instalment", {"amount_nano": 5 * YUAN}, "165.00 40.00 5.00 -80.00"),
    (
        "account.correct",
        {"amount_nano": -250 * FEN, "against": "revenue:water", "reason": "x"},
        "162.50 40.00 5.00 -80.00",
    ),
    ("account.recover", {"percent": 100, "reason": "agreed"}, "162.50 40.00 5.00 -80.00"),
    ("account.topup", {"amount_minor": 5000, "channel": "cash"}, "167.50 0.00 0.00 -80.00"),
    ("account.property-payment", {"amount_nano": 80 * YUAN, "channel": "transfer"}, "167.50 0.00 0.00 0.00"),
    ("account.refund", {"amount_nano": 1750 * FEN, "channel": "cash", "reason": "x"}, "150.00 0.00 0.00 0.00"),
    ("account.reverse", {"receipt": "R0000000010", "reason": "wrong"}, "145.00 40.00 5.00 0.00"),
)


def test_a_whole_money_life(postgres_dsn: str) -> None:
    from billing_core.account_rules import shown

    async def test() -> None:
        async with till(postgres_dsn) as core:
            for number, (name, given, _) in enumerate(LIFE):
                account = {} if name == "account.reverse" else {"account": "t1"}
                await core.ask(name, **account, **given, key=f"life-{number}")
                seen.append(" ".join([shown(core.live("t1"))]))
            await refused("approval.unknown", core.ask("account.approve", BOB, key="life-1"))

    seen: list[str] = []
    run(test)
    assert seen == [expected.split()[0] for _, _, expected in LIFE]
    last = LIFE[-1][2].split()
    found = [balance(postgres_dsn, f"{kind}:t1") for kind in ("wallet", "debt", "emergency", "property")]
    assert [shown(found[0]), shown(-found[1]), shown(-found[2]), shown(found[3])] == last
    assert_clean(postgres_dsn)

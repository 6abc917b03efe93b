"""The books when something changes between two starts, and when an answer is lost in an unlucky order."""

from dataclasses import replace

import psycopg
import pytest

from billing_core.columns import HELD_METER, HELD_NONE
from billing_core.store import LEASE_S, LedgerStore
from scada.database import Database
from scada.errors import DatabaseAway, Refused, WattkeeperError
from tests.unit.billing_core.park import ACCOUNTS, POINTS, TARIFFS, YUAN, Park
from tests.unit.billing_core.test_store import (
    LosesAnswers,
    assert_clean,
    audited,
    committed,
    execute,
    opened,
    paid,
    prepared,
    run,
)


def test_an_unsure_top_up_counts_what_the_books_say_and_not_what_was_asked_last(postgres_dsn: str) -> None:
    """10 were posted and the answer was lost; the clerk changes the amount, and that answer is lost too."""

    async def test() -> None:
        lossy = LosesAnswers(postgres_dsn, "ledger")
        store = LedgerStore(lossy, "demo")
        await store.prepare(POINTS, ACCOUNTS, TARIFFS)
        lossy.lose = True
        with pytest.raises(DatabaseAway):
            await paid(store, "t2", 10, "k")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lossy, "_dsn", "host=/nonexistent dbname=nothing")
            await lossy.close()
            lossy._closed = False
            with pytest.raises(DatabaseAway):
                await paid(store, "t1", 20, "k")
        lossy.lose = False
        assert (await store.renew()).late_credits == (("t2", 10 * YUAN),)
        with pytest.raises(Refused, match=r"topup\.key-reused"):
            await paid(store, "t1", 20, "k")
        await store.close()

    run(test)
    assert_clean(postgres_dsn)


def test_a_meter_that_was_changed_by_mistake_and_back_is_billed_on(postgres_dsn: str) -> None:
    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)
            park.step(5, 5, 5)
            park.step(1, 1, 1)
            await committed(store, park)
            swapped = (replace(POINTS[0], meter="m9"), *POINTS[1:])
            park.engine.restore(await store.prepare(swapped, ACCOUNTS, TARIFFS))
            park.step(1, 1, 1)
            await committed(store, park)
            assert park.work.points.held[0] == HELD_METER
            park.engine.restore(await store.prepare(swapped, ACCOUNTS, TARIFFS))  # it stays held over a restart
            park.step(1, 1, 1)
            assert park.work.points.held[0] == HELD_METER
            await prepared(store, park)
            park.step(1, 1, 1)
            assert park.work.points.held[0] == HELD_NONE
            assert park.work.points.billed_milli[0] == 4 * POINTS[0].milli_per_count
            await committed(store, park)

    run(test)
    assert_clean(postgres_dsn)


@pytest.mark.parametrize("last", [5, 99_999_000])
def test_a_register_that_rolls_over_elsewhere_now_is_another_meter(postgres_dsn: str, last: int) -> None:
    """The last register of the books may not even exist on the new one; nothing is charged, nothing credited."""

    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)
            park.step(last, 5, 5)
            park.step(1, 1, 1)
            await committed(store, park)
            other = (replace(POINTS[0], modulus_counts=1_000_000), *POINTS[1:])
            park.engine = type(park.engine)(other, ACCOUNTS, TARIFFS)
            park.engine.restore(await store.prepare(other, ACCOUNTS, TARIFFS))
            park.work.points.raw[0] = 10
            park.step(1, 1, 1)
            park.step(1, 1, 1)
            assert park.work.points.held[0] == HELD_METER
            assert park.work.points.billed_milli[0] == POINTS[0].milli_per_count
            await committed(store, park)

    run(test)
    assert_clean(postgres_dsn)


def test_an_opening_balance_that_is_edited_later_makes_no_money(postgres_dsn: str) -> None:
    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)  # t2 opens with nothing
            await paid(store, "t2", 10, "a")
            edited = (replace(ACCOUNTS[0], opening_nano=7 * YUAN), replace(ACCOUNTS[1], opening_nano=500 * YUAN))
            state = await store.prepare(POINTS, edited, TARIFFS)
            assert state.committed_nano.tolist() == [100 * YUAN, 10 * YUAN]

    run(test)
    assert_clean(postgres_dsn)


def test_a_core_that_commits_seldom_is_not_taken_for_dead(postgres_dsn: str) -> None:
    async def test() -> None:
        first = LedgerStore(Database(postgres_dsn, "ledger"), "demo", "first", checkpoint_s=600.0)
        second = LedgerStore(Database(postgres_dsn, "ledger"), "demo", "second", checkpoint_s=600.0)
        await first.prepare(POINTS, ACCOUNTS, TARIFFS)
        execute(postgres_dsn, f"UPDATE book SET seen_at = now() - interval '{LEASE_S + 580} seconds'")
        with pytest.raises(Refused, match=r"ledger\.held"):
            await second.prepare(POINTS, ACCOUNTS, TARIFFS)
        await first.close()
        await second.close()

    run(test)


@pytest.mark.parametrize(
    "change",
    [
        "balance_nano = balance_nano + 1",
        "number = 'R9'",
        "channel = 'card'",
        "who = 'eve'",
        "station = 'elsewhere'",
        "plant_time = plant_time + interval '1 day'",
        "currency = 'USD'",
    ],
)
def test_the_audit_reads_every_word_of_a_receipt(postgres_dsn: str, change: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            await paid(store, "t2", 10, "a")
            await paid(store, "t2", 5, "b")

    run(test)
    assert_clean(postgres_dsn)
    tamper(postgres_dsn, f"UPDATE receipt SET {change} WHERE seq = 3")
    code, printed = audited(postgres_dsn)
    assert code == 1
    assert "receipt" in printed


def tamper(dsn: str, statement: str) -> None:
    """Change what is protected, as a superuser who switched the triggers off."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)


def test_an_audit_of_a_data_base_without_books_says_so(empty_postgres_dsn: str) -> None:
    with pytest.raises(WattkeeperError, match=r"start run\.py once"):
        audited(empty_postgres_dsn)


@pytest.mark.parametrize("change", ["meter = 'm9'", "unit = 'MWh'", "modulus_counts = modulus_counts * 10"])
def test_the_audit_finds_changed_terms_of_supply(postgres_dsn: str, change: str) -> None:
    """Which meter was read, and in which unit, is as much a part of a charge as its price."""

    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)
            park.step(5, 5, 5)
            park.step(1, 1, 1)
            await committed(store, park)

    run(test)
    assert_clean(postgres_dsn)
    tamper(postgres_dsn, f"UPDATE terms SET {change} WHERE point = 'p1'")
    code, printed = audited(postgres_dsn)
    assert (code, "its charges are not the ones that were posted" in printed) == (1, True)

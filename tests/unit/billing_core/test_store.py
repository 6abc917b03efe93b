"""The books on a real PostgreSQL: openings, checkpoints, top-ups, lost answers, kills, fencing, append-only tables."""

import asyncio
import contextlib
import io
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from billing_core.account_rules import STANDARD
from billing_core.commands import run_audit
from billing_core.credit import StopRecord
from billing_core.ledger import Receipt
from billing_core.store import LedgerStore, Overtaken
from billing_core.topup import LimitsOf
from scada import database
from scada.database import Database
from scada.errors import DatabaseAway, Refused
from tests.plans import plan
from tests.unit.billing_core.park import ACCOUNTS, BEGIN_S, POINTS, TARIFFS, YUAN, Park
from tests.unit.billing_core.replaying import replayed

CENT_MINOR = 100  # one yuan in fen
NOW_NS = BEGIN_S * 10**9


def audited(dsn: str) -> tuple[int, str]:
    """Run the audit; return its exit code and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = run_audit(dsn)
    return code, printed.getvalue()


def assert_clean(dsn: str) -> None:
    """Neither the audit finds a difference nor the replay, which shares no code with it."""
    code, printed = audited(dsn)
    assert code == 0, printed
    assert printed.splitlines()[-1].endswith(" 0 differences")
    code, printed = replayed(dsn, all=True)
    assert code == 0, printed


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(whole())


@contextlib.asynccontextmanager
async def opened(dsn: str, holder: str = "here", limits: LimitsOf | None = None) -> AsyncIterator[LedgerStore]:
    store = LedgerStore(Database(dsn, "ledger"), "demo", holder, limits)
    try:
        yield store
    finally:
        await store.close()


async def prepared(store: LedgerStore, park: Park) -> None:
    park.engine.restore(await store.prepare(POINTS, ACCOUNTS, TARIFFS))


async def committed(store: LedgerStore, park: Park) -> None:
    checkpoint = park.engine.cut()
    if checkpoint is not None:
        await store.commit(checkpoint)
        park.engine.applied(checkpoint)


async def paid(store: LedgerStore, account: str, yuan: int, key: str, channel: str = "cash") -> Receipt:
    return await store.top_up(account, yuan * CENT_MINOR, channel, key, "ann", "desk-1", NOW_NS)


def query(dsn: str, statement: str) -> Any:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        row = connection.execute(statement).fetchone()
        assert row is not None
        return row[0]


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute(statement)


def test_charges_and_openings_are_booked_and_audited(postgres_dsn: str) -> None:
    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)
            park.step()
            for _ in range(5):
                park.step(3, 1, 20, gap_s=5)
            park.step(3, 1, 20, gap_s=1800)  # crosses 08:00
            await committed(store, park)
            assert park.work.accounts.balance_nano[0] == 100 * YUAN - int(park.work.points.charged_nano[0])
            await prepared(store, park)  # a restart finds the same balances
            assert park.engine.cut() is None

    run(test)
    assert query(postgres_dsn, "SELECT nano FROM balance WHERE account = 'wallet:t1'") < 100 * YUAN
    assert query(postgres_dsn, "SELECT count(*) FROM charge WHERE method = 1") == 4
    assert_clean(postgres_dsn)


def test_opening_balances_are_posted_once(postgres_dsn: str) -> None:
    async def test() -> None:
        for _ in range(3):
            async with opened(postgres_dsn) as store:
                state = await store.prepare(POINTS, ACCOUNTS, TARIFFS)
                assert state.committed_nano.tolist() == [100 * YUAN, 0]

    run(test)
    assert query(postgres_dsn, "SELECT count(*) FROM transfer") == 1
    assert_clean(postgres_dsn)


def test_a_free_minute_is_charged_at_nothing(postgres_dsn: str) -> None:
    async def test() -> None:
        from billing_core.engine import BillingEngine

        free = (plan("tou", {2: 0}), plan("water", {2: 0}, medium="water", unit="m3"))
        park = Park.new()
        park.engine = BillingEngine(POINTS, ACCOUNTS, free)
        async with opened(postgres_dsn) as store:
            park.engine.restore(await store.prepare(POINTS, ACCOUNTS, free))
            park.step()
            park.step(3, 1, 20)
            await committed(store, park)

    run(test)
    assert query(postgres_dsn, "SELECT count(*) FROM charge WHERE nano = 0 AND milli > 0") == 3
    assert_clean(postgres_dsn)


def test_a_checkpoint_whose_answer_was_lost_is_charged_once(postgres_dsn: str) -> None:
    """Fault 28: the commit took place, the core does not know, repeats it, and goes on."""

    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)
            park.step()
            park.step(3, 1, 20)
            checkpoint = park.engine.cut()
            assert checkpoint is not None
            await store.commit(checkpoint)
            park.step(3, 1, 20)
            assert park.engine.cut() is checkpoint
            await store.commit(checkpoint)
            park.engine.applied(checkpoint)
            await committed(store, park)

    run(test)
    assert query(postgres_dsn, "SELECT sum(milli) FROM charge") == (3 * 10 + 1 * 400 + 20) * 2
    assert_clean(postgres_dsn)


def test_top_up_is_credited_once_per_key(postgres_dsn: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            receipts = await asyncio.gather(*[paid(store, "t2", 50, "order-1") for _ in range(5)])
            assert [receipt.repeated for receipt in receipts].count(False) == 1
            assert {receipt.number for receipt in receipts} == {receipts[0].number}
            assert sum(receipt.credit_now_nano for receipt in receipts) == 50 * YUAN
            again = await paid(store, "t2", 50, "order-2", channel="wechat")
            assert (again.balance_nano, again.repeated) == (100 * YUAN, False)
            for account, yuan, key, code in (
                ("t2", 51, "order-1", "topup.key-reused"),
                ("t1", 50, "order-1", "topup.key-reused"),
                ("t2", 0, "order-3", "topup.amount-below"),
                ("t2", -5, "order-3", "topup.amount-below"),
                ("t2", 5001, "order-3", "topup.amount-above"),
                ("t2", 50, "", "topup.key-length"),
                ("nobody", 50, "order-3", "account.unknown"),
            ):
                with pytest.raises(Refused) as refused:
                    await paid(store, account, yuan, key)
                assert refused.value.code == code

    run(test)
    assert query(postgres_dsn, "SELECT nano FROM balance WHERE account = 'clearing:wechat'") == -50 * YUAN
    assert query(postgres_dsn, "SELECT count(*) FROM receipt") == 2
    assert_clean(postgres_dsn)


def test_hoarding_limit_and_coins(postgres_dsn: str) -> None:
    async def test() -> None:
        tight = replace(STANDARD, hoarding_nano=120 * YUAN)
        async with opened(postgres_dsn, limits=lambda account, account_class: tight) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            with pytest.raises(Refused) as refused:
                await paid(store, "t1", 21, "a")
            assert refused.value.code == "topup.balance-above"
            assert (await paid(store, "t1", 20, "a")).balance_nano == 120 * YUAN

    run(test)


class LosesAnswers(Database):
    """A data base that commits and then loses the connection before it can say so."""

    lose = False

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[database.Cursor]:
        async with super().transaction() as cursor:
            yield cursor
        if self.lose:
            raise DatabaseAway("connection lost after COMMIT was sent")


def test_a_top_up_whose_answer_was_lost_reaches_the_live_balance_once(postgres_dsn: str) -> None:
    async def test() -> None:
        park = Park.new()
        lossy = LosesAnswers(postgres_dsn, "ledger")
        store = LedgerStore(lossy, "demo")
        await prepared(store, park)
        park.step()
        for key in ("asked-again", "never-asked-again"):
            lossy.lose = True
            with pytest.raises(DatabaseAway):
                await paid(store, "t2", 10, key)
            lossy.lose = False
        receipt = await paid(store, "t2", 10, "asked-again")
        assert (receipt.repeated, receipt.credit_now_nano) == (True, 10 * YUAN)
        assert (await paid(store, "t2", 10, "asked-again")).credit_now_nano == 0
        checkpoint = park.engine.cut()
        assert checkpoint is not None
        assert (await store.commit(checkpoint)).late_credits == (("t2", 10 * YUAN),)
        assert (await store.commit(checkpoint)).late_credits == ()
        await store.close()

    run(test)
    assert query(postgres_dsn, "SELECT nano FROM balance WHERE account = 'wallet:t2'") == 20 * YUAN
    assert_clean(postgres_dsn)


def test_a_second_core_stays_passive_and_an_overtaken_one_stops(postgres_dsn: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn, "first") as first, opened(postgres_dsn, "second") as second:
            await first.prepare(POINTS, ACCOUNTS, TARIFFS)
            with pytest.raises(Refused) as refused:
                await second.prepare(POINTS, ACCOUNTS, TARIFFS)
            assert refused.value.code == "ledger.held"
            await first.renew()
            execute(postgres_dsn, "UPDATE book SET seen_at = now() - interval '1 minute'")  # paused, as by SIGSTOP
            await second.prepare(POINTS, ACCOUNTS, TARIFFS)
            with pytest.raises(Overtaken):
                await paid(first, "t1", 10, "late")
            with pytest.raises(Overtaken):
                await first.renew()
        async with opened(postgres_dsn, "second") as again:  # the same core after a crash waits for nobody
            await again.prepare(POINTS, ACCOUNTS, TARIFFS)
        other = LedgerStore(Database(postgres_dsn, "ledger"), "elsewhere")
        with pytest.raises(Refused, match=r"ledger\.site"):
            await other.prepare(POINTS, ACCOUNTS, TARIFFS)
        await other.close()

    run(test)


def test_a_point_with_another_meter_is_held(postgres_dsn: str) -> None:
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
            assert park.work.points.held.tolist() == [6, 0, 0]
            assert park.work.points.billed_milli.tolist() == [10, 800, 2]

    run(test)


def test_credit_stops_survive_a_restart(postgres_dsn: str) -> None:
    async def test() -> None:
        async with opened(postgres_dsn) as store:
            await store.record_stops([StopRecord("t1", "m1", True, BEGIN_S, -5, "credit.exhausted")] * 2)
            assert await store.open_stops() == [("t1", "m1", BEGIN_S)]
            await store.record_stops([StopRecord("t1", "m1", False, BEGIN_S + 60, 5, "credit.topped-up")])
            assert await store.open_stops() == []

    run(test)


def test_killed_at_random_moments_nothing_is_lost_or_doubled(make_postgres_server: Callable[[], Any]) -> None:
    """Faults 17 and 27: PostgreSQL dies while a checkpoint is written; now and then the core dies with it."""
    server = make_postgres_server()
    dsn = server.make("killed")
    database.migrate(dsn)
    chance = random.Random(20261123)

    async def test() -> None:
        park = Park.new()
        async with opened(dsn) as store:
            await prepared(store, park)
            park.step(7, 7, 7)
            first = park.work.points.raw.tolist()
            for round_number in range(6):
                park.step(*[chance.randrange(5) for _ in POINTS], gap_s=chance.choice([1, 7, 400]))
                commit = asyncio.create_task(committed(store, park))
                await asyncio.sleep(chance.random() * 0.01)
                server.stop(signal.SIGKILL)
                with contextlib.suppress(DatabaseAway):
                    await commit
                park.step(*[chance.randrange(5) for _ in POINTS], gap_s=3)
                server.start()
                if round_number % 2:
                    park.reborn()
                    await prepared(store, park)
                    park.step(gap_s=1)
                await _until_back(store, park)
            await committed(store, park)
            used = [raw - begun for raw, begun in zip(park.work.points.raw.tolist(), first, strict=True)]
            due = [point.milli_per_count * counts for point, counts in zip(POINTS, used, strict=True)]
            assert park.work.points.billed_milli.tolist() == due

    run(test)
    assert_clean(dsn)


async def _until_back(store: LedgerStore, park: Park) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await committed(store, park)
            except DatabaseAway:
                await asyncio.sleep(0.05)
            else:
                return


async def _some_books(dsn: str) -> None:
    park = Park.new()
    async with opened(dsn) as store:
        await prepared(store, park)
        park.step()
        for _ in range(4):
            park.step(3, 1, 20, gap_s=400)
            await committed(store, park)
        await paid(store, "t2", 10, "a")


PROTECTED = ("transfer", "posted_entry", "charge", "document", "receipt", "tariff_version", "terms")
BIT = "set_byte(body, 15, get_byte(body, 15) # 1)"  # the first balance's last transfer, the first point's register
CHANGES = {
    "transfer": "memo = 'x'",
    "posted_entry": "nano = 1",
    "document": "body = '{}'",
    "charge": "milli = 1",
    "receipt": "who = 'x'",
    "tariff_version": "tariff = 'x'",
    "terms": "unit = 'x'",
}


@pytest.mark.parametrize("table", PROTECTED)
def test_the_books_are_append_only(postgres_dsn: str, table: str) -> None:
    run(lambda: _some_books(postgres_dsn))
    for statement in (f"UPDATE {table} SET {CHANGES[table]}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            execute(postgres_dsn, statement)


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE charge SET milli = milli + 1, nano = nano + price_micro WHERE seq = 3 AND line = 0", "the reference"),
        ("UPDATE charge SET raw_to = raw_to + 1 WHERE seq = 4 AND line = 0", "its charges are not the ones"),
        ("UPDATE charge SET price_micro = 1, nano = milli WHERE seq = 3 AND line = 1", "the reference says"),
        ("DELETE FROM charge WHERE seq = 3 AND line = 0", "the charge before ended at"),
        ("UPDATE posted_entry SET nano = nano + 1 WHERE seq = 1 AND line = 0", "sum to 1 nano"),
        ("UPDATE posted_entry SET nano = nano * 2 WHERE seq = 1", "does not have its hash"),
        ("DELETE FROM posted_entry WHERE seq = 1", "could never have been posted"),
        ("INSERT INTO posted_entry VALUES (3, 0, 'wallet:t1', -5), (3, 1, 'cash', 5)", "the entry says"),
        ("DELETE FROM transfer WHERE seq = 3", "transfers 3 to 3 are missing"),
        ("DELETE FROM transfer WHERE seq = (SELECT max(seq) FROM transfer)", "the chain ends with"),
        ("UPDATE transfer SET memo = 'x' WHERE seq = 2", "does not have its hash"),
        ("UPDATE transfer SET who = 'x' WHERE seq = 1", "does not have its hash"),
        ("UPDATE transfer SET hash = sha256('x') WHERE seq = 3", "does not continue the hash chain"),
        (f"UPDATE balance_page SET body = {BIT}", "last moved by transfer"),
        ("UPDATE balance_page SET body = set_byte(body, 7, get_byte(body, 7) # 1)", "its entries sum to"),
        (f"UPDATE point_page SET body = {BIT}", "last register"),
        ("UPDATE receipt SET amount_nano = amount_nano + 1", "did not pay"),
        ("DELETE FROM receipt", "without receipt"),
        ("UPDATE tariff_version SET body = jsonb_set(body, '{unit}', '\"MWh\"')", "tariff version"),
        ("UPDATE terms SET milli_per_count = 11 WHERE point = 'p1'", "the reference says"),
    ],
)
def test_the_audit_finds_what_a_superuser_changed(postgres_dsn: str, tampering: str, found: str) -> None:
    run(lambda: _some_books(postgres_dsn))
    assert_clean(postgres_dsn)
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute("SET session_replication_role = replica")
        connection.execute(tampering)
    code, printed = audited(postgres_dsn)
    assert code == 1
    assert found in printed

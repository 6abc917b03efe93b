"""What credit control keeps and reads back, on a real data base: notices, decisions, states, costs of hours."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from billing_core.credit import CreditControl
from billing_core.credit_commands import add_commands
from billing_core.credit_operations import CreditActs
from billing_core.credit_store import CreditStore
from billing_core.posting import Draft
from scada.database import Database
from scada.errors import Refused
from scada.image import Columns, Layout
from scada.operations import OperationDesk, Who
from scada.position import CLOSED
from scada.quality import GOOD
from scada.scan import Instant
from tests.scenario.credit_bench import DAY, HOUR, MINUTE, SHANGHAI, YUAN, breaker, settings
from tests.unit.billing_core.park import ACCOUNTS, BEGIN_S, POINTS, TARIFFS, Park
from tests.unit.billing_core.test_store import committed, opened, prepared, query

ANN = Who("ann", "operator", "desk-1")
RULES = settings(grace_s=0.0, notice_lead_s=600.0)


class Desk:
    """Credit control of the small park, its store and its operations."""

    def __init__(self, dsn: str, rows: int = 2) -> None:
        self.database = Database(dsn, "ledger")
        self.store = CreditStore(self.database)
        self.work = Columns.private(Layout({"tags": 2, "points": 3, "accounts": rows, "alarms": 0}, b""))
        self.work.tags.quality[:] = self.work.points.quality[:] = GOOD
        self.work.tags.value[:] = CLOSED
        self.work.accounts.committed_nano[:] = 100 * YUAN
        self.now_s = BEGIN_S
        self.scans = 0
        self.begin()

    def begin(self) -> None:
        breakers = [breaker(0, id="m1"), breaker(1, id="m2", position_row=1)]
        self.control = CreditControl(ACCOUNTS, POINTS, breakers, RULES, "Asia/Shanghai")
        clock: Any = SimpleNamespace(utc_ns=lambda: self.now_s * 10**9)
        acts = CreditActs(self.control, self.store, self.work, clock, "Asia/Shanghai")
        self.operations = OperationDesk(acts.operations())

    def scan(self, after_s: int = 1) -> list[str]:
        self.now_s += after_s
        self.scans += 1
        instant = Instant(self.scans, self.now_s * 10**9, self.now_s * 10**9)
        return [wish.breaker for wish in self.control.decide(instant, self.work)]

    async def keep(self) -> None:
        await self.store.keep(self.control, lambda: self.now_s)

    async def restart(self) -> None:
        self.begin()
        self.control.restore([], self.now_s, await self.store.load(self.now_s))

    async def ask(self, name: str, who: Who = ANN, **arguments: Any) -> dict[str, Any]:
        return json.loads(await self.operations.perform(f"credit.{name}", json.dumps(arguments), who))


@contextlib.asynccontextmanager
async def desk_of(dsn: str) -> AsyncIterator[Desk]:
    desk = Desk(dsn)
    try:
        yield desk
    finally:
        await desk.database.close()


def run(dsn: str, test: Callable[[Desk], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with desk_of(dsn) as desk:
            await test(desk)

    asyncio.run(whole())


def test_a_notice_is_delivered_when_it_is_committed_and_stays(postgres_dsn: str) -> None:
    async def test(desk: Desk) -> None:
        desk.work.accounts.committed_nano[0] = -20 * YUAN
        desk.scan()
        assert desk.scan(DAY) == []  # nothing was committed, so nobody was told
        await desk.keep()
        assert desk.scan(599) == []
        await desk.restart()  # the clock of the notice goes on in a new core
        assert desk.scan() == ["m1"]

    run(postgres_dsn, test)
    row = "SELECT (account, kind, channel, result, text_zh LIKE '%停止供电%')::text FROM notice WHERE kind = 'final'"
    assert query(postgres_dsn, row) == "(t1,final,board,delivered,t)"
    lead = "SELECT extract(epoch FROM delivered - created)::int FROM notice WHERE kind = 'final' ORDER BY id LIMIT 1"
    assert query(postgres_dsn, lead) == DAY
    for table in ("notice", "credit_event"):
        with psycopg.connect(postgres_dsn) as connection:
            connection.execute("SET search_path TO wattkeeper")
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                connection.execute(f"DELETE FROM {table}")


def test_keeping_twice_writes_once(postgres_dsn: str) -> None:
    async def test(desk: Desk) -> None:
        desk.work.accounts.committed_nano[0] = -20 * YUAN
        desk.scan()
        control = desk.control
        lost: Any = SimpleNamespace(  # the answer of the first COMMIT was lost
            notices=control.notices, changed=control.changed, events=control.events, whole_hours=control.whole_hours,
            delivered=lambda *_: None, kept=lambda *_: None,
        )  # fmt: skip
        await desk.store.keep(lost, lambda: desk.now_s)
        await desk.keep()
        await desk.keep()
        assert control.notices() == ()
        assert control.changed() == []

    run(postgres_dsn, test)
    assert query(postgres_dsn, "SELECT count(*) FROM notice") == 1
    assert query(postgres_dsn, "SELECT state FROM credit_account WHERE account = 't1'") == 4


def test_decisions_are_kept_first_once_per_key_and_for_the_next_core(postgres_dsn: str) -> None:
    async def test(desk: Desk) -> None:
        desk.work.accounts.committed_nano[0] = -20 * YUAN
        asked = {"account": "t1", "reason": "透析设备", "key": "k1", "hours": 48}
        first = await desk.ask("protect", **asked)
        again = await desk.ask("protect", **asked)
        assert (first["repeated"], again["repeated"], first["owner"]) == (False, True, "ann")
        assert first["until_s"] == BEGIN_S + 48 * HOUR
        with pytest.raises(Refused, match=r"credit\.key-reused"):
            await desk.ask("pause", **asked)
        await desk.restart()
        desk.scan()
        (shown,) = (await desk.ask("status", account="t1"))["accounts"]
        assert (shown["state"], shown["refusal"]) == ("protected", "credit.protected")
        (hold,) = shown["holds"]
        assert (hold["kind"], hold["owner"], hold["reason"]) == ("protect", "ann", "透析设备")
        await desk.ask("unprotect", account="t1", reason="已撤走", key="k2")
        desk.scan()
        (shown,) = (await desk.ask("status", account="t1"))["accounts"]
        assert (shown["state"], shown["holds"]) == ("pending_stop", [])

    run(postgres_dsn, test)
    assert query(postgres_dsn, "SELECT count(*) FROM credit_event") == 2


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("protect", {"account": "t9", "reason": "x", "hours": 1}, "account.unknown"),
        ("protect", {"account": "t1", "reason": " ", "hours": 1}, "credit.reason"),
        ("protect", {"account": "t1", "reason": "x"}, "credit.until"),
        ("protect", {"account": "t1", "reason": "x", "hours": 1, "until": "2026-10-27 10:00"}, "credit.until"),
        ("protect", {"account": "t1", "reason": "x", "until": "2026-10-25 10:00"}, "credit.until"),
        ("protect", {"account": "t1", "reason": "x", "until": "2028-10-25 10:00"}, "credit.until"),
        ("protect", {"account": "t1", "reason": "x", "until": "soon"}, "credit.until"),
        ("pause-all", {"reason": "x"}, "credit.until"),
        ("unprotect", {"account": "t1", "reason": "x"}, "credit.not-held"),
        ("resume-all", {"reason": "x"}, "credit.not-held"),
        ("settle", {"account": "t1", "reason": "x"}, "credit.not-held"),
        ("reconnect", {"account": "t1", "reason": "x"}, "credit.not-permitted"),
        ("protect", {"account": "t1", "reason": "x", "hours": 1, "for": 3}, "operation.arguments"),
    ],
)
def test_what_is_refused_is_not_kept(postgres_dsn: str, name: str, arguments: dict[str, Any], code: str) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(Refused) as refused:
            await desk.ask(name, key="k", **arguments)
        assert refused.value.code == code

    run(postgres_dsn, test)
    assert query(postgres_dsn, "SELECT count(*) FROM credit_event") == 0


def test_who_may_not_decide(postgres_dsn: str) -> None:
    async def test(desk: Desk) -> None:
        for role in ("viewer", "finance", "engineer"):
            with pytest.raises(Refused, match="role"):
                await desk.ask("pause-all", Who("bob", role, "desk"), reason="x", key="k", hours=1)
        await desk.ask("pause-all", Who("bob", "operator", "desk"), reason="x", key="k", hours=1)
        assert desk.control.stops_held == 4
        assert (await desk.ask("status"))["holds"][0]["kind"] == "pause"
        desk.scan(HOUR)
        assert desk.control.stops_held == 0  # its time is over

    run(postgres_dsn, test)


def test_a_page_of_accounts_leads_to_the_next(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing_core.credit_operations.PAGE", 1)

    async def test(desk: Desk) -> None:
        first = await desk.ask("status")
        second = await desk.ask("status", from_row=first["next_row"])
        assert [page["accounts"][0]["account"] for page in (first, second)] == ["t1", "t2"]
        assert second["next_row"] == -1

    run(postgres_dsn, test)


def test_costs_of_hours_outlive_a_restart_whether_they_were_kept_or_only_charged(postgres_dsn: str) -> None:
    async def test(desk: Desk) -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)
            park.step(0, 0, 0)
            for hour in range(30):
                park.step(5_000, 100, 10, gap_s=HOUR)
                checkpoint = park.engine.cut()
                assert checkpoint is not None
                await committed(store, park)
                desk.now_s = park.now_s
                desk.scan()
                desk.control.charged(checkpoint)
                if hour < 26:
                    await desk.keep()
            desk.scan(HOUR)
            before = desk.control.forecaster.costs
            assert before.nano[0].sum() > 0
            await desk.restart()
            after = desk.control.forecaster.costs
            assert (after.now_h, after.nano.sum(axis=1).tolist()) == (before.now_h, before.nano.sum(axis=1).tolist())
            desk.scan(MINUTE)
            outlook = desk.control.outlook
            assert outlook is not None
            assert outlook.known.all()
            assert outlook.daily_nano[0] > 0

    run(postgres_dsn, test)
    assert query(postgres_dsn, "SELECT count(DISTINCT hour) FROM cost_hour") >= 25


def test_property_fees_never_count_towards_a_stop(postgres_dsn: str) -> None:
    async def test(desk: Desk) -> None:
        async with opened(postgres_dsn) as store:
            state = await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            draft = Draft((("property:t1", -5_000 * YUAN), ("revenue:fees", 5_000 * YUAN)), "物业费")
            posted = await store.post("fee-1", "property", ANN, lambda _: draft)
            assert posted.credit_now == {}
            later = await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            assert later.committed_nano.tolist() == state.committed_nano.tolist()
            desk.work.accounts.committed_nano[:] = later.committed_nano
            desk.scan()
            assert desk.control.tenants()["t1"].state == 0

    run(postgres_dsn, test)


def test_notices_and_events_can_be_listed(postgres_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    async def test(desk: Desk) -> None:
        desk.work.accounts.committed_nano[0] = -20 * YUAN
        desk.scan()
        await desk.keep()
        await desk.ask("dispute", account="t1", reason="电表读数", key="k")

    run(postgres_dsn, test)
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(), lambda args: None, lambda args: postgres_dsn)  # type: ignore[arg-type]
    for words in (["credit", "notices", "t1", "--json"], ["credit", "events", "--json"], ["credit", "notices", "t2"]):
        args = parser.parse_args(words)
        assert args.run(args) == 0
    notices, events, nothing = capsys.readouterr().out.split("\n")[:3]
    (notice,) = json.loads(notices)
    assert (notice["kind"], notice["result"]) == ("final", "delivered")
    assert json.loads(events)[0]["reason"] == "电表读数"
    assert nothing.split() == ["account", "kind", "created", "channel", "delivered", "result", "text_zh", "text_en"]
    assert SHANGHAI.key == "Asia/Shanghai"

"""A month of a small site on a real PostgreSQL: midnights, demand, shares, settlement, and what each proves."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from billing_core import power_factor, settlement
from billing_core.components import BaseQuantity, Capacity, Demand, FixedCharge, Minimum, PowerFactor
from billing_core.engine import BillingEngine
from billing_core.plan import Plan, Slot, Tax
from billing_core.plan_body import plan_hash
from billing_core.points import AccountSpec, PointSpec
from billing_core.settle_clock import Live, SettlementClock, Supply
from billing_core.settle_desk import SYSTEM, SettlementDesk, Site
from billing_core.settle_store import SettleStore
from billing_core.shares import Place, ShareGroup
from billing_core.store import LedgerStore
from scada.database import Database
from scada.errors import Refused
from scada.image import Columns, Layout
from scada.quality import GOOD
from scada.scan import Instant
from tests.plans import plan
from tests.unit.billing_core.test_store import assert_clean, query

ZONE = ZoneInfo("Asia/Shanghai")
BEGIN_S = 1_793_462_400  # 2026-11-01 00:00 in Shanghai, a Sunday
DAY_S, HOUR_S = 86_400, 3_600
END_S = BEGIN_S + 30 * DAY_S
YUAN = 1_000_000_000
FEN = YUAN // 100


def with_components(base: Plan, *components: Any, ppm: int = 130_000) -> Plan:
    version = replace(base.versions[0], components=components, tax=Tax(ppm))
    return replace(base, versions=(version,))


INDUSTRY = with_components(
    plan("industry", {1: 1_000_003, 3: 300_001}, (Slot(0, 480, 3), Slot(480, 1440, 1))),
    Demand("demand", "需量", "Demand", 40 * YUAN, "contract", load_hours_kwh_per_kva=260, load_hours_percent=90),
    FixedCharge("line", "线路费", "Line", "day", 150_000_000),
    PowerFactor("pf", "力调", "Power factor", 90, power_factor.standard_steps(90)),
)
HOME = with_components(
    plan("home", {2: 558_300}),
    FixedCharge("service", "服务费", "Service", "month", 30 * YUAN),
    Minimum("minimum", "保底", "Minimum", 50 * YUAN),
    BaseQuantity("base", "基础电量", "Base quantity", 10_000),
)
PUBLIC = with_components(plan("public", {2: 700_000}), Capacity("capacity", "容量费", "Capacity", 24 * YUAN))
PLANS = (INDUSTRY, HOME, PUBLIC)
POINTS = (
    PointSpec("p1", "m1", 0, 0, "electricity", "kWh", 1_000, 100_000_000, 1_000_000),
    PointSpec("p2", "m2", 1, 1, "electricity", "kWh", 10, 100_000_000, 30_000),
    PointSpec("p3", "m3", 2, 2, "electricity", "kWh", 10, 100_000_000, 30_000),
)
ACCOUNTS = tuple(
    AccountSpec(name, zh, en, "CNY", 100_000 * YUAN, 0, 0, 0, 0, False, ())
    for name, zh, en in (("t1", "厂", "Works"), ("t2", "家", "Home"), ("t3", "物业", "House"))
)
LAYOUT = Layout({"tags": 0, "points": 3, "accounts": 3, "alarms": 0}, b"\0" * 32)
GROUP = ShareGroup(
    "stairs",
    "楼道",
    "Stairs",
    "electricity",
    "area",
    "t3",
    ("p1", "p2"),
    points=("p3",),
    tax_ppm=130_000,
    compliance=True,
)
PLACES = {"p1": Place(area_milli=200_000), "p2": Place(area_milli=100_000)}


class Works:
    """The site: an engine, its books, the settlement clock, and meters that a test moves."""

    def __init__(self, dsn: str) -> None:
        self.engine = BillingEngine(POINTS, ACCOUNTS, PLANS)
        self.work = Columns.private(LAYOUT)
        self.books = LedgerStore(Database(dsn, "ledger"), "demo")
        self.store = SettleStore(Database(dsn, "read"), Database(dsn, "ledger"))
        self.now_s, self.scan, self.reactive = BEGIN_S - HOUR_S, 0, 0
        self.payer = [0, 1, 2]
        self.plans = {plan_hash(one).hex(): one for one in PLANS}
        site = Site(ZONE, 1, FEN, {GROUP.id: GROUP}, PLACES)
        rows = {account.id: row for row, account in enumerate(ACCOUNTS)}
        self.desk = SettlementDesk(
            site, self.store, self.books, lambda a, nano: self.engine.credit(rows[a], nano), lambda: self.now_s
        )
        self.clock = self.new_clock()

    def new_clock(self) -> SettlementClock:
        live = Live(self.supplies, lambda: self.plans, lambda _: self.reactive, self.work, lambda: True)
        return SettlementClock(self.desk, live, None)  # type: ignore[arg-type]

    def supplies(self) -> list[Supply]:
        return [
            Supply(
                p.id, row, ACCOUNTS[self.payer[row]].id, plan_hash(PLANS[p.tariff]).hex(), p.meter, p.milli_per_count,
                p.modulus_counts, p.max_milli_per_s, contract_w=300_000, capacity_va=400_000,
            )
            for row, p in enumerate(POINTS)
        ]  # fmt: skip

    async def __aenter__(self) -> "Works":
        self.engine.restore(await self.books.prepare(POINTS, ACCOUNTS, PLANS))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.books.close()
        await self.store.close()

    def step(self, gap_s: int, *counts: int) -> None:
        """Let time pass, move each register, scan."""
        self.now_s += gap_s
        self.scan += 1
        for row, moved in enumerate(counts):
            self.work.points.raw[row] += moved
        self.work.points.quality[:] = GOOD
        self.work.points.source_time[:] = self.now_s * 10**9
        self.engine.bill(Instant(self.scan, self.now_s * 10**9, 0), self.work)

    async def tick(self) -> None:
        await self.clock.step(self.now_s)

    async def commit(self) -> None:
        checkpoint = self.engine.cut()
        if checkpoint is not None:
            await self.books.commit(checkpoint)
            self.engine.applied(checkpoint)

    async def month(self) -> None:
        """Live through November: 3 hours a step, a peak of 400 kW on the 12th, and an hour of December."""
        await self.tick()  # the core runs before the month begins
        self.step(HOUR_S)
        await self.tick()
        for hour in range(0, 30 * 24, 3):
            day = hour // 24
            if (day, hour % 24) == (11, 9):
                for _ in range(20):
                    self.step(60, 7)  # 7 kWh a minute: 420 kW
                    await self.tick()
                self.step(3 * HOUR_S - 1200, 160, 70, 33)
            else:
                self.step(3 * HOUR_S, 300, 70, 33)  # 100 kW; 0.7 kWh; 0.33 kWh
            self.reactive += 90_000
            await self.tick()
            if hour % 24 == 0:
                await self.commit()
        await self.commit()
        self.step(HOUR_S, 50, 20, 10)
        await self.commit()
        await self.tick()


def run(dsn: str, test: Callable[[Works], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Works(dsn) as works:
            await test(works)

    asyncio.run(whole())


def by_component(document: dict[str, Any]) -> dict[str, int]:
    return {line["component"]: line["minor"] for line in document["lines"] if line["kind"] != "energy"}


def assert_adds_up(document: dict[str, Any]) -> None:
    """The sum of the lines is the movement of the balance; every line is in coins."""
    charged = sum(line["minor"] for line in document["lines"]) * document["minor_nano"]
    moved = sum(movement["nano"] for movement in document["movements"])
    assert document["opening_nano"] + moved - charged == document["closing_nano"]


def balance(dsn: str, account: str) -> int:
    return int(query(dsn, f"SELECT nano FROM balance WHERE account = '{account}'"))


def assert_recomputed(dsn: str) -> None:
    """Every transfer of this trade has the entries that its document gives again."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        documents = connection.execute(
            "SELECT seq, body FROM document JOIN transfer USING (seq) "
            "WHERE kind IN ('fixed', 'demand', 'share', 'settlement')"
        ).fetchall()
        assert documents
        for seq, body in documents:
            entries = connection.execute(
                "SELECT account, nano FROM entry WHERE seq = %s ORDER BY line", [seq]
            ).fetchall()
            assert tuple(entries) == settlement.recompute(body)


def test_a_month_is_settled_line_by_line(postgres_dsn: str) -> None:
    async def test(works: Works) -> None:
        await works.month()
        with pytest.raises(Refused, match=r"settle\.shares"):
            await works.desk.run("t1", "2026-11", SYSTEM)
        bills = await works.desk.draft_shares("2026-11", SYSTEM)
        energy = 30 * 8 * 33 * 10 * 700_000
        assert bills[0]["total_nano"] == energy + 9_600 * YUAN
        assert bills[0]["compliance"] == "shared-cost"
        assert sum(bills[0]["shares"].values()) == bills[0]["total_minor"] == 965_544
        assert bills[0]["shares"] == {"p1/t1": 643_696, "p2/t2": 321_848}
        await works.desk.confirm_shares("stairs", "2026-11", SYSTEM)
        documents = {name: await works.desk.run(name, "2026-11", SYSTEM) for name in ("t1", "t2", "t3")}
        for document in documents.values():
            assert_adds_up(document)
            assert document["notes"] == []
        works_month = by_component(documents["t1"])
        kwh = 30 * 8 * 300 - 300 + 140 + 160
        assert kwh == 72_000
        # 420 kW against a contract of 300: 300 + 2 x (420 - 315) = 510 kW at 40; 180 kWh/kVA stay below 260
        assert works_month["demand"] == 510 * 40_00
        assert works_month["line"] == 30 * 15
        # 72 000 kWh and 21 600 kvarh: 0.958 -> 0.96, -0.75 % of basic and energy fee
        energy_nano = sum(line["nano"] for line in documents["t1"]["lines"] if line["kind"] == "energy")
        assert abs(works_month["pf"] * FEN + (510 * 40 * YUAN + energy_nano) * 75 // 10_000) <= FEN // 2
        assert works_month["stairs"] == 643_696
        home = by_component(documents["t2"])
        # 168 kWh, 10 free: 93.79 - 5.583; the minimum of 50 is reached
        assert home == {"service": 30_00, "base": -558, "stairs": 321_848}
        house = by_component(documents["t3"])
        assert house == {"capacity": 960_000, "stairs": -965_544}
        again = await works.desk.run("t1", "2026-11", SYSTEM)
        assert again == documents["t1"]
        assert documents["t1"]["tax"][0]["ppm"] == 130_000

    run(postgres_dsn, test)
    vat = balance(postgres_dsn, "tax:vat")
    assert vat > 0
    assert vat % FEN == 0
    assert_clean(postgres_dsn)
    assert_recomputed(postgres_dsn)


def test_the_wallet_is_in_coins_after_its_first_settlement(postgres_dsn: str) -> None:
    """Rounding goes to its own account; what lies after the month is not touched."""

    async def test(works: Works) -> None:
        await works.month()
        await works.desk.draft_shares("2026-11", SYSTEM)
        await works.desk.confirm_shares("stairs", "2026-11", SYSTEM)
        document = await works.desk.run("t1", "2026-11", SYSTEM)
        assert document["opening_nano"] == 100_000 * YUAN
        assert document["closing_nano"] % FEN == 0
        after_nano = 50 * 1_000 * 300_001 + 150_000_000 + 50 * 40 * YUAN  # the first hour of December: 50 kWh, 50 kW
        assert balance(postgres_dsn, "wallet:t1") == document["closing_nano"] - after_nano
        assert abs(balance(postgres_dsn, "rounding")) <= len(document["lines"]) * FEN // 2

    run(postgres_dsn, test)


def test_a_late_charge_is_a_line_of_the_next_statement(postgres_dsn: str) -> None:
    async def test(works: Works) -> None:
        works.step(HOUR_S)
        await works.tick()
        works.step(20 * DAY_S, 10_000, 100)
        await works.commit()
        works.now_s = END_S + HOUR_S  # nothing was read until December
        works.desk = replace_groups(works)
        first = await works.desk.run("t2", "2026-11", SYSTEM)
        assert first["notes"] == ["not-read-to-the-end:p2"]
        works.now_s = BEGIN_S + 20 * DAY_S
        works.step(20 * DAY_S, 0, 2_000)  # 20 kWh, a third of the time in December
        await works.commit()
        with pytest.raises(Refused, match=r"settle\.not-over"):
            await works.desk.run("t2", "2026-12", SYSTEM)
        works.now_s = END_S + 31 * DAY_S
        second = await works.desk.run("t2", "2026-12", SYSTEM)
        energy = {line["late"]: line["milli"] for line in second["lines"] if line["kind"] == "energy"}
        assert energy == {True: 10_000, False: 10_000}
        assert second["opening_nano"] == first["closing_nano"]
        assert_adds_up(second)
        with pytest.raises(Refused, match=r"settle\.order"):
            await works.desk.preview("t2", "2027-02")

    run(postgres_dsn, test)
    assert_clean(postgres_dsn)


def replace_groups(works: Works) -> SettlementDesk:
    """Return the desk of a site without share groups."""
    site = replace(works.desk.site, groups={})
    rows = {account.id: row for row, account in enumerate(ACCOUNTS)}
    return SettlementDesk(
        site, works.store, works.books, lambda a, nano: works.engine.credit(rows[a], nano), lambda: works.now_s
    )


def test_midnights_missed_are_caught_up_once_and_in_order(postgres_dsn: str) -> None:
    async def test(works: Works) -> None:
        works.step(HOUR_S)
        await works.tick()
        works.step(5 * DAY_S + 1, 10, 10, 10)
        await works.tick()
        works.clock = works.new_clock()  # a restart
        await works.tick()
        works.step(DAY_S, 10, 10, 10)
        await works.clock.step(works.now_s)

    run(postgres_dsn, test)
    found = query(
        postgres_dsn,
        "SELECT string_agg(to_char(time_from AT TIME ZONE 'Asia/Shanghai', 'DD'), ' ' ORDER BY seq) "
        "FROM assessment WHERE component = 'line'",
    )
    assert found == "02 03 04 05 06 07"  # the first step is at midnight of the 1st itself
    assert_recomputed(postgres_dsn)
    assert_clean(postgres_dsn)


def test_a_posting_whose_answer_was_lost_is_not_posted_twice(postgres_dsn: str) -> None:
    async def test(works: Works) -> None:
        works.step(HOUR_S)
        await works.tick()
        works.step(DAY_S, 10, 10, 10)
        await works.tick()
        await works.store.set_clock(BEGIN_S)  # as if the core had died before it noted the day
        works.clock = works.new_clock()
        await works.tick()

    run(postgres_dsn, test)
    assert query(postgres_dsn, "SELECT count(*) FROM assessment WHERE component = 'line'") == 1
    assert query(postgres_dsn, "SELECT count(*) FROM transfer WHERE kind = 'fixed'") == 1


def test_a_tenant_who_leaves_pays_to_the_day_and_the_next_one_from_it(postgres_dsn: str) -> None:
    """t2 has p2 until the 11th, 10:00; then the house has it."""

    async def test(works: Works) -> None:
        works.desk = replace_groups(works)
        works.clock = works.new_clock()
        works.step(HOUR_S - 1)
        await works.tick()
        works.step(1)
        await works.tick()
        for _ in range(10):
            works.step(DAY_S, 2_400, 10, 10)
            await works.tick()
            await works.commit()
        works.step(10 * HOUR_S, 1_000, 10, 10)
        await works.commit()
        left_s = works.now_s
        preview = await works.desk.close_lines("t2", left_s)
        assert by_component(preview) == {"service": 11_00, "base": -61, "minimum": 18_33}
        assert_adds_up(preview)
        closed = await works.desk.close("t2", left_s, SYSTEM)
        assert closed["closing_nano"] == preview["closing_nano"] == balance(postgres_dsn, "wallet:t2")
        works.payer[1] = 2
        works.step(1)
        await works.tick()
        works.step(DAY_S, 2_400, 0, 10)
        await works.tick()

    run(postgres_dsn, test)
    service = "SELECT sum(nano) FROM assessment WHERE component = 'service' AND account = '{}'"
    assert query(postgres_dsn, service.format("t2")) == 11 * YUAN
    assert query(postgres_dsn, service.format("t3")) == 19 * YUAN
    assert_clean(postgres_dsn)
    assert_recomputed(postgres_dsn)


def test_every_new_maximum_is_posted_with_its_evidence(postgres_dsn: str) -> None:
    async def test(works: Works) -> None:
        works.step(HOUR_S)
        await works.tick()
        for minute in range(60):
            works.step(60, 2 + minute // 15)
            await works.tick()
        works.clock = works.new_clock()  # a restart knows the month's maximum
        for _ in range(40):
            works.step(60, 4)
            await works.tick()
        for _ in range(40):
            works.step(60, 6)
            await works.tick()

    run(postgres_dsn, test)
    assert query(postgres_dsn, "SELECT max(watt) FROM demand") == 360_000
    assert query(postgres_dsn, "SELECT bool_and(extract(epoch FROM window_to - window_from) = 900) FROM demand")
    assert query(postgres_dsn, "SELECT bool_and((raw_to - raw_from) * milli_per_count * 3600 / 900 = watt) FROM demand")
    assert query(postgres_dsn, "SELECT sum(nano) FROM assessment WHERE component = 'demand'") == 360 * 40 * YUAN
    assert_recomputed(postgres_dsn)

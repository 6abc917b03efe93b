"""The replay of real books: engine and store write random lives into PostgreSQL, the replay computes them again."""

import asyncio
import contextlib
import io
import json
import random
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing_core.commands import run_audit
from billing_core.engine import BillingEngine
from billing_core.plan import Plan, Slot, TierOptions, Tiers
from billing_core.points import AccountSpec, PointSpec
from billing_core.replay_commands import run_explain
from billing_core.shadow_commands import run_shadow
from billing_core.state import Act, Target
from billing_core.store import LedgerStore
from scada.database import Database
from scada.errors import WattkeeperError
from scada.image import Columns, Layout
from scada.quality import GOOD
from scada.scan import Instant
from tests.plans import plan, version
from tests.unit.billing_core.replaying import replayed

BEGIN_S = 1_792_971_600  # 2026-10-26 07:40 in Shanghai
DAY = (Slot(0, 480, 3), Slot(480, 660, 1), Slot(660, 1020, 2), Slot(1020, 1260, 1), Slot(1260, 1440, 3))
TIERED = {1: (1_000_000, 1_100_000, 1_300_000), 2: (600_000, 700_000, 900_000), 3: (300_000, 400_000, 600_000)}
TIERS = Tiers("graduated", "month", (40_000, 90_000))
PLANS = (
    plan("home", TIERED, DAY, tiers=TIERS),
    plan("slab", {2: (1_000_000, 1_500_000, 2_000_000)}, tiers=Tiers("volume", "month", (30_000, 60_000))),
    plan("water", {2: (3_450_000, 4_830_000)}, tiers=Tiers("graduated", "year", (9_000,)), medium="water", unit="m3"),
    plan("flat", {2: 683_700}),
)
YUAN = 1_000_000_000
MODULUS = 100_000
POINTS = (
    PointSpec("p1", "m1", 0, 0, "electricity", "kWh", 10, MODULUS, 30_000),
    PointSpec("p2", "m2", 1, 1, "electricity", "kWh", 40, MODULUS, 30_000),
    PointSpec("p3", "m3", 1, 2, "water", "m3", 1, MODULUS, 30_000),
    PointSpec("p4", "m4", 2, 3, "electricity", "kWh", 10, MODULUS, 30_000, TierOptions(household=6)),
)
ACCOUNTS = tuple(
    AccountSpec(name, name, name, "CNY", nano, 0, 0, 0, 0, False, ())
    for name, nano in (("t1", 100 * YUAN), ("t2", 0), ("t3", 7 * YUAN))
)
LAYOUT = Layout({"tags": 0, "points": len(POINTS), "accounts": len(ACCOUNTS), "alarms": 0}, b"\0" * 32)


class Life:
    """A few meters over weeks: readings, gaps, kills, changes by people; every checkpoint goes to the books."""

    def __init__(self, dsn: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.engine = BillingEngine(POINTS, ACCOUNTS, PLANS)
        self.work = Columns.private(LAYOUT)
        self.work.points.raw[:] = [self.rng.randrange(MODULUS) for _ in POINTS]
        self.now_s, self.scans, self.changes = BEGIN_S, 0, 0
        self.plans = list(PLANS)
        self.store = LedgerStore(Database(dsn, "ledger"), "demo", "here")

    async def live(self, scans: int, *acts: Callable[["Life"], None]) -> None:
        """Run `scans` scans with the acts at random places among them."""
        self.engine.restore(await self.store.prepare(POINTS, ACCOUNTS, PLANS))
        when = {self.rng.randrange(scans // 4, scans): act for act in acts}
        try:
            for scan in range(scans):
                self.step()
                if scan in when:
                    await self.commit()
                    when[scan](self)
                    await self.commit()
                if self.rng.random() < 0.15:
                    await self.commit()
                if self.rng.random() < 0.1:
                    await self.pay()
            await self.commit()
        finally:
            await self.store.close()

    def step(self) -> None:
        """Let seconds to hours pass, move the registers, scan."""
        gap_s = self.rng.choice((1, 1, 10, 60, 900, 900, 3600, 5 * 3600, 30 * 3600))
        self.now_s += gap_s
        self.scans += 1
        points = self.work.points
        for row in range(len(POINTS)):
            moved = 0 if self.rng.random() < 0.2 else self.rng.randrange(1 + gap_s // 20)
            points.raw[row] = (int(points.raw[row]) + moved) % MODULUS
        points.quality[:] = GOOD
        points.source_time[:] = self.now_s * 10**9
        self.engine.bill(Instant(self.scans, self.now_s * 10**9, 0), self.work)

    async def commit(self) -> None:
        checkpoint = self.engine.cut()
        if checkpoint is not None:
            await self.store.commit(checkpoint)
            self.engine.applied(checkpoint)

    async def pay(self) -> None:
        account = self.rng.choice(ACCOUNTS).id
        receipt = await self.store.top_up(account, 5_000, "cash", str(self.scans), "ann", "desk", self.now_s * 10**9)
        self.engine.credit([a.id for a in ACCOUNTS].index(account), receipt.credit_now_nano)

    def act(self) -> Act:
        self.changes += 1
        return Act(f"act-{self.changes}", "ann", "desk", "why")


def swap(life: Life) -> None:
    """A new meter: final register, gap estimate, first register, another ratio."""
    final = int(life.work.points.raw[0]) + 3
    first = life.rng.randrange(50)
    target = Target(0, meter="m1-new", milli_per_count=30, final_raw=final % MODULUS, first_raw=first, gap_milli=2_345)
    life.now_s += 60
    life.scans += 1
    life.engine.bill(Instant(life.scans, life.now_s * 10**9, 0), life.work)
    life.engine.retarget([target], life.act())
    life.work.points.raw[0] = first


def tenancy(life: Life) -> None:
    life.engine.retarget([Target(1, account=0)], life.act())


def carried(life: Life) -> None:
    """Another plan, with a tier position that somebody brought along."""
    life.engine.retarget([Target(3, plan="home", position_milli=39_000)], life.act())


def publish(life: Life) -> None:
    """Other prices from an hour from now, in the middle of the month."""
    home = PLANS[0]
    at_s = life.now_s + 3600
    dearer = {rate: tuple(micro + 50_000 for micro in prices) for rate, prices in TIERED.items()}
    old = home.versions[0]
    fresh = version(dearer, old.tables, from_s=at_s, tiers=Tiers("graduated", "month", (50_000, 70_000)))
    earlier = version(TIERED, old.tables, to_s=at_s, tiers=TIERS)
    life.engine.publish([Plan(**{**_fields(home), "versions": (earlier, fresh)})], life.act())


def _fields(found: Plan) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Plan.__slots__}


def reject(life: Life) -> None:
    """A register that went back; a person lets billing go on from there."""
    life.work.points.raw[2] = (int(life.work.points.raw[2]) - 500) % MODULUS
    for _ in range(2):
        life.now_s += 5
        life.scans += 1
        life.work.points.source_time[:] = life.now_s * 10**9
        life.engine.bill(Instant(life.scans, life.now_s * 10**9, 0), life.work)
    life.engine.reject(2, life.act())


ACTS = (swap, tenancy, carried, publish, reject)


def lived(dsn: str, seed: int, scans: int = 250, *acts: Callable[[Life], None]) -> None:
    asyncio.run(Life(dsn, seed).live(scans, *acts))


def execute(dsn: str, statement: str) -> int:
    """Falsify the books as somebody with the data base's own rights could; return the rows changed."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute("SET session_replication_role = replica")
        return connection.execute(statement).rowcount


def query(dsn: str, statement: str) -> Any:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize("seed", range(4))
def test_replay_equals_the_ledger(postgres_dsn: str, seed: int) -> None:
    lived(postgres_dsn, seed, 250, *ACTS)
    code, printed = replayed(postgres_dsn, all=True)
    assert code == 0, printed
    assert printed.rstrip().endswith("0 differences")
    with contextlib.redirect_stdout(io.StringIO()) as audited:
        assert run_audit(postgres_dsn) == 0, audited.getvalue()
    for account in ("t1", "t2", "t3"):
        code, printed = replayed(postgres_dsn, account=account)
        assert code == 0, printed[-2000:]
        balance = query(postgres_dsn, f"SELECT nano FROM balance WHERE account = 'wallet:{account}'")[0][0]
        data = json.loads(replayed(postgres_dsn, account=account, json=True)[1])
        assert data["differences"] == 0
        assert data["balances"][f"wallet:{account}"].replace(".", "").lstrip("-0") == str(abs(balance)).lstrip("0")


def test_a_derivation_of_a_real_charge_can_be_asked_for(postgres_dsn: str) -> None:
    lived(postgres_dsn, 5, 120)
    seq, line, nano = query(postgres_dsn, "SELECT seq, line, nano FROM charge WHERE tier = 1 ORDER BY seq, line")[0]
    for language, word in (("en", "tier        2 of"), ("zh", "阶梯        2 档")):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = run_explain(Namespace(charge=f"{seq}:{line}", lang=language, json=False), postgres_dsn)
        assert code == 0
        assert word in printed.getvalue()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_explain(Namespace(charge=f"{seq}:{line}", lang="en", json=True), postgres_dsn)
    found = json.loads(printed.getvalue())
    assert (found["nano"], found["difference"]) == (nano, "")
    assert found["price_micro"] == sum(part["price_micro"] for part in found["parts"])


@pytest.mark.parametrize(
    ("charge", "what"), [("x", "is no charge"), ("1:2:3", "is no charge"), ("999999:0", "hold no charge")]
)
def test_a_charge_that_is_not_there_is_refused_in_words(postgres_dsn: str, charge: str, what: str) -> None:
    lived(postgres_dsn, 5, 30)
    with pytest.raises(WattkeeperError, match=what):
        run_explain(Namespace(charge=charge, lang="en", json=False), postgres_dsn)


def test_unknown_account_and_no_wish_are_refused_in_words(postgres_dsn: str) -> None:
    lived(postgres_dsn, 5, 30)
    with pytest.raises(WattkeeperError, match="know no account 'nobody'"):
        replayed(postgres_dsn, account="nobody")
    with pytest.raises(WattkeeperError, match="name what to replay"):
        replayed(postgres_dsn)
    with pytest.raises(WattkeeperError, match="is no time"):
        replayed(postgres_dsn, account="t1", from_="yesterday")


def test_a_period_shows_only_its_lines_and_computes_all(postgres_dsn: str) -> None:
    lived(postgres_dsn, 6, 120)
    whole = json.loads(replayed(postgres_dsn, account="t2", json=True)[1])
    later = json.loads(replayed(postgres_dsn, account="t2", json=True, from_=str(BEGIN_S + 10 * 86_400))[1])
    assert later["charges"] == whole["charges"]
    assert later["balances"] == whole["balances"]
    assert 0 < len(later["lines"]) < len(whole["lines"])
    assert later["lines"] == whole["lines"][-len(later["lines"]) :]


# --- falsified books

VICTIM = (
    "(SELECT ctid FROM charge WHERE kind = 0 AND method = 0 AND terms = {terms} ORDER BY seq, line OFFSET 20 LIMIT 1)"
)
FALSE = {
    "a changed price": "price_micro = price_micro + 1, nano = milli * (price_micro + 1)",
    "money alone": "nano = nano + 1",
    "a moved reading": "raw_to = raw_to + 1",
    "a moved time": "time_to = time_to + interval '1 second', segment_to = segment_to + interval '1 second'",
    "a shifted tier position": "position_milli = position_milli + 1",
    "another tier": "tier = tier + 1",
    "another rate": "rate = (rate + 1) % 4",
    "a quantity": "milli = milli + 10",
    "another method": "method = 1",
    "another kind": "kind = 3",
}


@pytest.mark.parametrize("what", FALSE)
def test_a_falsified_charge_is_found_and_named(postgres_dsn: str, what: str) -> None:
    lived(postgres_dsn, 7, 150)
    terms = query(postgres_dsn, "SELECT id FROM terms WHERE point = 'p1'")[0][0]
    victim = VICTIM.format(terms=terms)
    seq, line, point = query(postgres_dsn, f"SELECT seq, line, 'p1' FROM charge WHERE ctid = {victim}")[0]
    assert execute(postgres_dsn, f"UPDATE charge SET {FALSE[what]} WHERE ctid = {victim}") == 1
    named = {f"{seq}:{line}", *_next_charge(postgres_dsn, terms, seq, line)}
    code, printed = replayed(postgres_dsn, all=True)
    assert code == 1
    assert any(name in printed.splitlines()[0] for name in named), printed[:1000]
    assert f"point {point}" in printed.splitlines()[0]
    code, printed = replayed(postgres_dsn, account="t1")
    assert code == 1
    first = next(text for text in printed.splitlines() if text.startswith("!!!"))
    assert any(name in first for name in named), first
    differing = int(printed.rstrip().rsplit(" transfers, ", 1)[1].split()[0])
    assert differing <= 4, printed[-1500:]  # the fault, and what follows from it: not every later line


def _next_charge(dsn: str, terms: int, seq: int, line: int) -> list[str]:
    """Return the charge after one: where a register was moved, that is where the chain breaks."""
    after = f"terms = {terms} AND (seq, line) > ({seq}, {line})"
    return [f"{a}:{b}" for a, b in query(dsn, f"SELECT seq, line FROM charge WHERE {after} ORDER BY 1, 2 LIMIT 1")]


def test_a_dropped_charge_is_found(postgres_dsn: str) -> None:
    lived(postgres_dsn, 7, 150)
    terms = query(postgres_dsn, "SELECT id FROM terms WHERE point = 'p1'")[0][0]
    victim = VICTIM.format(terms=terms)
    seq, line = query(postgres_dsn, f"SELECT seq, line FROM charge WHERE ctid = {victim}")[0]
    follower = _next_charge(postgres_dsn, terms, seq, line)[0]
    assert execute(postgres_dsn, f"DELETE FROM charge WHERE ctid = {victim}") == 1
    code, printed = replayed(postgres_dsn, all=True)
    assert code == 1
    assert printed.startswith(f"charge {follower}, point p1: begins at register")
    assert "balance of wallet:t1" in printed


def test_the_last_charge_cannot_be_dropped_either(postgres_dsn: str) -> None:
    lived(postgres_dsn, 8, 100)
    assert execute(
        postgres_dsn,
        "DELETE FROM charge WHERE ctid = (SELECT c.ctid FROM charge c JOIN terms t ON t.id = c.terms "
        "WHERE t.point = 'p3' ORDER BY seq DESC, line DESC LIMIT 1)",
    )
    code, printed = replayed(postgres_dsn, all=True)
    assert code == 1
    assert "point p3: last register" in printed


def test_a_top_up_that_was_raised_is_found(postgres_dsn: str) -> None:
    lived(postgres_dsn, 9, 100)
    assert execute(postgres_dsn, "UPDATE posted_entry SET nano = nano + 1 WHERE account = 'wallet:t2'") > 0
    for given in ({"all": True}, {"account": "t2"}):
        code, printed = replayed(postgres_dsn, **given)
        assert code == 1
        assert "balance of wallet:t2" in printed


# --- a past period under another plan


def test_the_shadow_of_a_plan_over_real_books(postgres_dsn: str, tmp_path: Path) -> None:
    """The same plan costs the same to the nano; a plan at twice the price twice as much."""
    lived(postgres_dsn, 10, 150)
    dearer = plan("flat", {2: 2 * 683_700})
    for new, factor in ((PLANS[3], 1), (dearer, 2)):
        given = {"plan": "flat", "file": tmp_path, "other": None, "from_": str(BEGIN_S), "to_": str(BEGIN_S + 10**8)}
        args = Namespace(**given, above=10, top=5, csv=tmp_path / "out.csv", json=True)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert run_shadow(args, postgres_dsn, lambda _args, _file, new=new: [new]) == 0
        found = json.loads(printed.getvalue())
        charged = query(postgres_dsn, "SELECT sum(nano) FROM charge JOIN terms t ON t.id = terms WHERE point = 'p4'")
        old, fresh = (int(found["total"][name].replace(".", "")) for name in ("old", "new"))
        assert (old, fresh) == (charged[0][0], factor * charged[0][0])
        assert found["tenants_above"] == (factor == 2)
        assert (tmp_path / "out.csv").read_text(encoding="utf-8-sig").count("\n") == 2


def test_the_shadow_of_a_tiered_plan_under_itself_is_what_was_paid(postgres_dsn: str, tmp_path: Path) -> None:
    lived(postgres_dsn, 11, 150)
    given = {"plan": "home", "file": None, "other": "home", "from_": str(BEGIN_S), "to_": str(BEGIN_S + 10**8)}
    args = Namespace(**given, above=10, top=5, csv=None, json=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_shadow(args, postgres_dsn, lambda _args, _file: [])
    found = json.loads(printed.getvalue())["total"]
    assert found["old"] == found["new"] != "0.000000000"


# --- recorded registers


def recorded(dsn: str, terms: str, shift: int = 0) -> None:
    """Record, as the historian does, each register that a charge of m1 ends at; `shift` counts beside one of them."""
    execute(dsn, "INSERT INTO tag (id) VALUES ('demo/M/m1/EnergyTotal')")
    rows = query(dsn, f"SELECT raw_to, time_to FROM charge WHERE terms = {terms} ORDER BY time_to")
    wrong = len(rows) // 2
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute("CREATE TABLE history_all PARTITION OF history DEFAULT")
        for number, (raw, time) in enumerate(rows):
            value = (raw + (shift if number == wrong else 0)) / 100
            sample = "INSERT INTO history (tag_id, time, value, quality) SELECT tag_id, %s, %s, 0 FROM tag"
            connection.execute(sample, [time, value])


@pytest.mark.parametrize("shift", [0, 1])
def test_readings_lie_on_the_recorded_registers(postgres_dsn: str, shift: int) -> None:
    lived(postgres_dsn, 12, 100)
    terms = query(postgres_dsn, "SELECT id FROM terms WHERE point = 'p1'")[0][0]
    recorded(postgres_dsn, terms, shift)
    for given in ({"all": True}, {"account": "t1"}):
        code, printed = replayed(postgres_dsn, registers=True, **given)
        assert code == shift, printed
        assert "readings held against recorded registers" in printed
        assert ("the historian recorded" in printed) == bool(shift)

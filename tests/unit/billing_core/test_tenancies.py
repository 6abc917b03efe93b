"""Lives of tenants on real books: open, restart, hand over, move out; what changed in between is refused."""

from collections.abc import Mapping
from typing import Any

from billing_core.office import Office
from billing_core.posting import Draft
from scada.operations import Who
from tests.unit.billing_core.counter import BOB, FEN, Till, till
from tests.unit.billing_core.park import YUAN
from tests.unit.billing_core.replaying import replayed
from tests.unit.billing_core.test_account_operations import balance, refused
from tests.unit.billing_core.test_store import assert_clean as assert_audited
from tests.unit.billing_core.test_store import query, run

NEW: Mapping[str, Any] = {
    "id": "noodles",
    "name_zh": "面馆",
    "name_en": "Noodle bar",
    "contact": "13800000000",
    "household": 2,
    "accounts": [
        {
            "id": "noodles",
            "points": ["p2"],
            "alarm1_nano": 50 * YUAN,
            "overdraft_nano": 10 * YUAN,
            "opening_minor": 10000,
        },
        {"id": "noodles-water", "points": ["p3"], "channel": "wechat", "opening_minor": 3000},
    ],
}


def assert_clean(dsn: str) -> None:
    """The books are whole, and every charge comes out of its readings and tenancies again."""
    assert_audited(dsn)
    code, printed = replayed(dsn, all=True)
    assert code == 0, printed


def ticked(core: Till, *counts: int, gap_s: int = 60) -> None:
    core.park.step(*counts, gap_s=gap_s)
    core.clock.now_s = core.park.now_s


async def opened(core: Till, key: str = "open-1") -> Mapping[str, Any]:
    ticked(core)
    ticked(core, 0, 5, 5)  # the house used a little
    return await core.ask("tenant.open", key=key, tenant=NEW)


async def left(core: Till, account: str, key: str = "out", **more: Any) -> Mapping[str, Any]:
    shown = await core.ask("tenant.preview", account=account)
    given = {"account": account, "token": shown["token"], "key": key, "reason": "lease ended", **more}
    return await core.ask("tenant.move-out", **given)


def test_open_gives_vacant_points_a_payer_and_takes_the_opening_credit(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            done = await opened(core)
            assert [entry["point"] for entry in done["registers"]] == ["p2", "p3"]
            assert [entry["final_raw"] for entry in done["registers"]] == [5, 5]
            assert [receipt["balance_nano"] for receipt in done["receipts"]] == [100 * YUAN, 30 * YUAN]
            ticked(core, 0, 10, 0)
            assert core.live("noodles") < 100 * YUAN == core.live("t1")
            again = await core.ask("tenant.open", key="open-1", tenant=NEW)
            assert again["repeated"]
            assert again["receipts"] == done["receipts"]
            await refused("account.exists", core.ask("tenant.open", key="open-2", tenant=NEW))
            other = {**NEW, "id": "b", "accounts": [{"id": "b", "points": ["p2"]}]}
            await refused("tenancy.occupied", core.ask("tenant.open", key="open-3", tenant=other))
            await core.commit()
        async with till(postgres_dsn) as core:  # a restart: accounts, points and balances are known again
            assert core.residents.points_of("noodles") == [1]
            core.park.now_s += 3600
            core.park.work.points.raw[:] = (0, 15, 5)
            ticked(core)
            before = core.live("noodles")
            ticked(core, 0, 10, 10, gap_s=600)
            assert core.live("noodles") < before
            await core.ask("account.topup", account="noodles", amount_minor=500, channel="cash", key="later")
            await core.commit()

    run(test)
    assert balance(postgres_dsn, "wallet:t2") < 0  # the house paid for its own five counts
    assert query(postgres_dsn, "SELECT household FROM tenant") == 2
    assert_clean(postgres_dsn)


def test_what_cannot_be_opened_is_refused_by_its_name(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            ticked(core)
            purse = NEW["accounts"][0]
            for code, change in (
                ("tenant.id", {"id": "Noodles"}),
                ("tenant.accounts", {"accounts": []}),
                ("tenant.accounts", {"accounts": [{**purse, "alarm2_nano": 51 * YUAN}]}),
                ("account.class", {"accounts": [{**purse, "account_class": "king"}]}),
                ("account.exists", {"accounts": [{**purse, "id": "t1"}]}),
                ("point.unknown", {"accounts": [{**purse, "points": ["p9"]}]}),
                ("tenancy.occupied", {"accounts": [{**purse, "points": ["p1"]}]}),
                ("point.twice", {"accounts": [purse, {**purse, "id": "second"}]}),
                ("tenant.household", {"household": -1}),
                ("plan.unknown", {"plan": "free"}),
                ("operation.arguments", {"acounts": []}),
                ("operation.arguments", {"accounts": [{**purse, "alarm": 1}]}),
                ("account.no-room", {"accounts": [{**purse, "id": f"a{n}", "points": ["p2"]} for n in range(5)]}),
            ):
                await refused(code, core.ask("tenant.open", key="k", tenant={**NEW, **change}))
            await refused("tenant.key", core.ask("tenant.open", key="k" * 101, tenant=NEW))
            await refused("account.unknown", core.ask("tenant.preview", account="nobody"))
            shown = await core.ask("tenant.preview", account="t2")
            house = {"account": "t2", "token": shown["token"], "key": "h", "reason": "x"}
            await refused("tenancy.house", core.ask("tenant.move-out", **house))

    run(test)
    assert query(postgres_dsn, "SELECT count(*) FROM purse") == 0


def test_a_preset_is_stored_and_opened_with_one_command(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            ticked(core)
            await core.ask("tenant.preset", id="shop-101", tenant=NEW)
            await refused("preset.unknown", core.ask("tenant.open", key="k", preset="shop-102"))
            await refused("tenant.open", core.ask("tenant.open", key="k"))
            assert (await core.ask("tenant.open", key="k", preset="shop-101"))["accounts"] == [
                "noodles",
                "noodles-water",
            ]

    run(test)
    assert_clean(postgres_dsn)


def test_tiers_stay_with_the_room_or_begin_anew(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            done = await opened(core)
            assert all("position_milli" not in entry or entry["position_milli"] is None for entry in done["registers"])
            ticked(core, 0, 5, 0)
            shown = await core.ask("tenant.preview", account="noodles")
            heir = {"id": "rice", "name_zh": "饭", "name_en": "Rice", "accounts": [{"id": "rice", "points": ["p2"]}]}
            given = {"account": "noodles", "token": shown["token"], "key": "over", "reason": "x", "carry": True}
            await core.ask("tenant.hand-over", **given, successor={**heir, "reset_tiers": True, "household": 3})
            point = core.park.engine.point(1)
            assert (point.options.household, point.options.opened_s) == (3, core.clock.now_s)
            ticked(core, 0, 5, 0)
            await core.commit()

    run(test)
    assert_clean(postgres_dsn)


def test_a_move_out_pays_what_was_shown_and_leaves_exactly_nothing(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await opened(core)
            ticked(core, 0, 7, 0)
            shown = await core.ask("tenant.preview", account="noodles")
            lines = {line["code"]: line["nano"] for line in shown["lines"]}
            assert lines["balance"] == lines["net"] == core.live("noodles")
            assert lines["refund"] == lines["net"] + lines["rounding"]
            assert lines["refund"] % FEN == 0
            assert abs(lines["rounding"]) * 2 <= FEN
            wanted = {"account": "noodles", "token": shown["token"], "key": "out", "reason": "lease ended"}
            pending = await core.ask("tenant.move-out", **wanted)
            assert pending["code"] == "approval.refund"
            assert core.residents.points_of("noodles") == [1]  # nothing was touched
            done = await core.ask("account.approve", BOB, key="out")
            assert (done["paid_nano"], done["approved_by"]) == (lines["refund"], "bob")
            assert (done["supply"], core.stopped) == ([{"breaker": "m2", "command": "c-1"}], ["m2"])
            assert core.residents.points_of("t2") == [1]
            assert core.live("noodles") == 0
            again = await core.ask("tenant.move-out", **wanted)
            assert again["repeated"]
            assert core.stopped == ["m2"]
            paying = core.ask("account.topup", account="noodles", amount_minor=500, channel="cash", key="late")
            await refused("account.closed", paying)
            await refused("account.closed", core.ask("tenant.preview", account="noodles"))
            before = core.live("t2")
            ticked(core, 0, 3, 0)
            assert core.live("t2") < before  # the room is the house's now
            await core.commit()

    run(test)
    assert balance(postgres_dsn, "wallet:noodles") == 0
    assert query(postgres_dsn, "SELECT state FROM purse WHERE account = 'noodles'") == "closed"
    assert_clean(postgres_dsn)


def test_what_changed_since_the_preview_is_refused_and_named(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await opened(core)
            shown = await core.ask("tenant.preview", account="noodles-water")
            wanted = {"account": "noodles-water", "token": shown["token"], "key": "out", "reason": "x"}
            ticked(core, 0, 0, 10)
            detail = await refused("closing.changed", core.ask("tenant.move-out", **wanted))
            assert "p3: register 5 -> 15" in detail
            await refused("closing.token", core.ask("tenant.move-out", **{**wanted, "token": "nobody"}))
            ticked(core, gap_s=2000)
            core.park.work.points.source_time[:] = 0
            core.clock.now_s += 2000
            shown = await core.ask("tenant.preview", account="noodles-water")
            stale = {**wanted, "token": shown["token"]}
            await refused("closing.stale", core.ask("tenant.move-out", **stale))
            done = await core.ask("tenant.move-out", **stale, accept_stale=True)
            assert done["paid_nano"] == shown["paid_nano"]

    run(test)
    assert_clean(postgres_dsn)


def test_consumption_since_the_preview_may_be_allowed(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await opened(core)
            shown = await core.ask("tenant.preview", account="noodles-water")
            ticked(core, 0, 0, 10)  # 0.01 m3, 0.0345
            wanted = {"account": "noodles-water", "token": shown["token"], "key": "out", "reason": "x"}
            done = await core.ask("tenant.move-out", **wanted, within_nano=10 * FEN)
            assert done["paid_nano"] == 30 * YUAN - 3 * FEN
            assert dict(done["entries"])["rounding"] == -4_500_000  # 29.9655 in the wallet, 29.97 paid

    run(test)
    assert balance(postgres_dsn, "wallet:noodles-water") == 0
    assert_clean(postgres_dsn)


def test_debts_emergency_credit_and_subsidies_are_settled_in_the_closing(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await opened(core)
            who = {"account": "noodles", "reason": "x"}
            await core.ask("account.debt", **who, amount_nano=20 * YUAN, against="opening", key="d")
            await core.ask("account.emergency", account="noodles", amount_nano=15 * YUAN, key="e")
            until_s = core.clock.now_s + 1000
            await core.ask("account.subsidy", **who, amount_nano=40 * YUAN, until_s=until_s, key="s")
            await core.ask("account.property-fee", **who, amount_nano=12 * YUAN, key="f")
            shown = await core.ask("tenant.preview", account="noodles")
            lines = {line["code"]: line["nano"] for line in shown["lines"]}
            taken = (lines["subsidy"], lines["debt"], lines["emergency"], lines["property"])
            assert taken == (-40 * YUAN, -20 * YUAN, -15 * YUAN, -12 * YUAN)
            assert shown["paid_nano"] == 80 * YUAN
            await left(core, "noodles")
            await core.ask("account.approve", BOB, key="out")

    run(test)
    for account, nano in (("wallet", 0), ("debt", 0), ("emergency", 0), ("property", -12 * YUAN)):
        assert balance(postgres_dsn, f"{account}:noodles") == nano
    assert balance(postgres_dsn, "subsidies") == 0
    assert_clean(postgres_dsn)


def test_who_owes_pays_up_or_is_written_off(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await opened(core)
            debt = {"account": "noodles-water", "amount_nano": 31 * YUAN, "against": "opening", "reason": "x"}
            await core.ask("account.debt", **debt, key="d")
            detail = await refused("closing.owes", left(core, "noodles-water"))
            assert "1.00" in detail
            done = await left(core, "noodles-water", unpaid="pay", channel="cash")
            assert (done["paid_nano"], dict(done["entries"])["cash"]) == (-YUAN, -YUAN)

    run(test)
    assert_clean(postgres_dsn)


class Fee:
    """A last statement of two yuan and a half."""

    def __init__(self, office: Office) -> None:
        self.office = office

    async def due(self, account: str, at_s: int) -> int:
        return 0 if await self.office.books.find(f"fee:{account}") else -250 * FEN

    async def close(self, account: str, at_s: int, who: Who) -> None:
        entries = ((f"wallet:{account}", -250 * FEN), ("revenue:fees", 250 * FEN))
        posted = await self.office.books.post(f"fee:{account}", "fixed", who, lambda balances: Draft(entries, "fee"))
        for name, nano in posted.credit_now.items():
            self.office.credit_now(name, nano)


def test_the_last_statement_is_shown_and_posted_before_the_refund(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn, statements=Fee) as core:
            await opened(core)
            shown = await core.ask("tenant.preview", account="noodles-water")
            lines = {line["code"]: line["nano"] for line in shown["lines"]}
            assert (lines["statement"], lines["refund"]) == (-250 * FEN, 2750 * FEN)
            done = await left(core, "noodles-water")
            assert done["paid_nano"] == 2750 * FEN
            assert core.live("noodles-water") == 0

    run(test)
    assert balance(postgres_dsn, "revenue:fees") == 250 * FEN
    assert_clean(postgres_dsn)


def test_a_refused_switch_off_is_told_and_not_fatal(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await opened(core)
            core.refuse_switching = "interlock.stale"
            await left(core, "noodles")
            done = await core.ask("account.approve", BOB, key="out")
            assert done["supply"] == [{"breaker": "m2", "refused": "interlock.stale: does not hold"}]

    run(test)
    supply = "SELECT body -> 'supply' FROM document JOIN transfer USING (seq) WHERE idempotency_key = 'out'"
    assert query(postgres_dsn, supply) == [{"breaker": "m2", "refused": "interlock.stale: does not hold"}]
    assert_clean(postgres_dsn)


def test_ownership_goes_over_in_one_cut_without_switching_off(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as core:
            await opened(core)
            ticked(core, 0, 3, 0)
            shown = await core.ask("tenant.preview", account="noodles")
            heir = {
                "id": "rice",
                "name_zh": "饭馆",
                "name_en": "Rice bar",
                "accounts": [{"id": "rice", "points": ["p2"]}],
            }
            wanted = {"account": "noodles", "token": shown["token"], "key": "over", "reason": "sold", "successor": heir}
            wrong = {**heir, "accounts": [{"id": "rice", "points": ["p2", "p3"]}]}
            await refused("handover.points", core.ask("tenant.hand-over", **{**wanted, "successor": wrong}, carry=True))
            before = core.live("noodles")
            done = await core.ask("tenant.hand-over", **wanted, carry=True)
            assert (done["paid_nano"], done["successor"], core.stopped) == (before, ["rice"], [])
            assert (core.live("noodles"), core.live("rice")) == (0, before)
            assert (await core.ask("tenant.hand-over", **wanted, carry=True))["repeated"]
            ticked(core, 0, 3, 0)
            assert core.live("rice") < before
            await core.commit()

    run(test)
    assert_clean(postgres_dsn)

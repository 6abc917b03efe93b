"""What must not cost anybody a cent: half-known states, keys asked twice at once, positions that a person set."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from billing_core.account_store import opened_in
from billing_core.plan import Slot, Tiers
from billing_core.residents import Residents
from billing_core.state import Act, Target
from scada.errors import Refused
from scada.operations import Who
from tests.plans import plan
from tests.unit.billing_core import counter, park
from tests.unit.billing_core.counter import Till, till
from tests.unit.billing_core.park import BEGIN_S, TARIFFS
from tests.unit.billing_core.test_meter_operations import in_loop, put, sound, stored
from tests.unit.billing_core.test_store import run

ALL = Who("eve", "admin", "desk-3")


async def tell(opened: Till, name: str, **arguments: Any) -> Mapping[str, Any]:
    """Ask for something as somebody who may ask for everything."""
    opened.clock.now_s = opened.park.now_s
    return await opened.ask(name, ALL, reason="on site", key=arguments.pop("key", name), **arguments)


async def begin_tiers_anew(opened: Till, row: int = 1) -> None:
    """Set the tier position of a point to zero, as a tenancy with new tiers does."""
    engine, act = opened.park.engine, Act("anew", "eve", "desk-3", "a new household", "tenancy")
    await opened.counter.office.change(lambda: engine.retarget([Target(row, position_milli=0)], act))


@pytest.mark.parametrize("used_since", [0, 100])
def test_a_restatement_stops_where_a_person_set_the_tier_position(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, used_since: int
) -> None:
    """The tenant before had a wrong final register; the new one began at zero and stays where they are."""
    tiers = Tiers("graduated", "year", (100_000, 300_000))
    tiered = plan("tou", {1: (1_000_000, 1_500_000, 2_000_000)}, (Slot(0, 1440, 1),), tiers=tiers)
    for module in (counter, park):
        monkeypatch.setattr(module, "TARIFFS", (tiered, TARIFFS[1]))

    async def test() -> None:
        async with till(postgres_dsn) as opened:
            put(opened, 1_000)
            put(opened, 1_100, gap_s=60)
            put(opened, 1_100, gap_s=600)
            done = await tell(opened, "meter.swap", point="p2", old_final="15.00", new_first="0.00")
            put(opened, 25, gap_s=60)  # 10 kWh more: 210
            await begin_tiers_anew(opened)
            put(opened, 25 + used_since, gap_s=60)  # 40 kWh in the first tier
            await opened.commit()
            assert stored(opened)[1] == 210_000 + used_since * 400
            back = await tell(opened, "meter.late", point="p2", readings=[[done["final_s"], "12.50"]])
            assert (back["milli"], back["nano"]) == (-100_000, -100_000 * 1_500_000)
            assert opened.park.engine.standing(1).position_milli == used_since * 400
            put(opened, 26 + used_since, gap_s=60)
            await opened.commit()
            sound(postgres_dsn)
        async with till(postgres_dsn) as opened:
            assert opened.park.engine.standing(1).position_milli == used_since * 400 + 400

    run(test)


@in_loop
async def test_a_restatement_before_the_first_scan_posts_nothing(postgres_dsn: str) -> None:
    """A core that has just opened its books could not follow: balance in memory and in the books would differ."""
    late = {"point": "p2", "readings": [[BEGIN_S + 1200, "10.30"]]}
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_040, gap_s=2400)
        await opened.commit()
        now_s, before = opened.park.now_s, stored(opened)
    async with till(postgres_dsn) as opened:
        opened.park.now_s = now_s
        with pytest.raises(Refused, match=r"billing.no-scan"):
            await tell(opened, "meter.late", **late)
        put(opened, 1_040)
        assert stored(opened) == before
        assert not (await tell(opened, "meter.late", **late))["repeated"]
        assert opened.live("t2") == -stored(opened)[2]
        sound(postgres_dsn)


@in_loop
async def test_a_key_that_is_asked_twice_at_once_is_done_once(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_100, gap_s=60)
        wish = {"point": "p2", "old_final": "11.00", "new_first": "11.00", "gap": "2.5"}
        both = await asyncio.gather(tell(opened, "meter.swap", **wish), tell(opened, "meter.swap", **wish))
        assert sorted(answer["repeated"] for answer in both) == [False, True]
        assert stored(opened)[1] == 100 * 400 + 2_500
        await opened.commit()
        sound(postgres_dsn)


@in_loop
async def test_a_key_of_another_act_is_refused_by_tariffs(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_100, gap_s=60)
        await tell(opened, "meter.ratio", point="p2", ratio="60/1", key="one")
        with pytest.raises(Refused, match=r"ledger.key-reused"):
            await tell(opened, "tariff.assign", point="p2", plan="tou", household=5, key="one")
        first = await tell(opened, "tariff.assign", point="p2", plan="tou", household=5, key="two")
        again = await tell(opened, "tariff.assign", point="p2", plan="tou", household=5, key="two")
        assert again["change"]["points"] == first["change"]["points"]


ABSURD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("meter.swap", {"point": "p2", "old_final": "11.00", "new_first": "0", "at_s": 10**12}),
    ("meter.swap", {"point": "p2", "old_final": "11.00", "new_first": "0", "at_s": 10**12, "preview": True}),
    ("meter.swap", {"point": "p2", "old_final": "11.00", "new_first": "0", "at_s": 10**30, "preview": True}),
    ("meter.swap", {"point": "p2", "old_final": "11.00", "new_first": "0", "at_s": -(10**30), "preview": True}),
    ("meter.swap", {"point": "p2", "old_final": "NaN", "new_first": "0"}),
    ("meter.swap", {"point": "p2", "old_final": "11.00", "new_first": "0", "gap": "1e14"}),
    ("meter.ratio", {"point": "p2", "ratio": "99999999999999999999"}),
    ("meter.late", {"point": "p2", "readings": [[10**30, "10.00"]]}),
    ("meter.late", {"point": "p2", "readings": [[-(10**30), "10.00"]]}),
    ("meter.late", {"point": "p2", "readings": [[10**15, "10.00"]]}),
    ("meter.ratio", {"point": "p2", "ratio": "50", "key": ""}),
    ("meter.ratio", {"point": "p2", "ratio": "50", "key": "k" * 1999}),
    ("meter.ratio", {"point": "p2", "ratio": "50", "key": "a\nb"}),
    ("meter.ratio", {"point": "p2", "ratio": "50", "key": "a\ud800b"}),
    ("meter.late", {"point": "p2", "readings": [[BEGIN_S + 30, "10.50"]], "key": ""}),
    ("meter.late", {"point": "p2", "readings": [[BEGIN_S + 30, "10.50"]], "key": "k" * 1999}),
    ("tariff.assign", {"point": "p2", "plan": "tou", "household": 10**30}),
    ("tariff.assign", {"point": "p2", "plan": "tou", "household": -5}),
    ("tariff.assign", {"point": "p2", "plan": "tou", "opened_s": 10**30}),
    ("tariff.assign", {"point": "p2", "plan": "tou", "opened_s": -(10**30)}),
)


@pytest.mark.parametrize(("operation", "arguments"), ABSURD)
@in_loop
async def test_absurd_arguments_are_refused_and_change_nothing(
    postgres_dsn: str, operation: str, arguments: dict[str, Any]
) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_100, gap_s=60)
        await opened.commit()
        before, point = stored(opened), opened.park.engine.point(1)
        with pytest.raises(Refused):
            await tell(opened, operation, **arguments)
        assert (stored(opened), opened.park.engine.point(1)) == (before, point)
        put(opened, 1_110, gap_s=60)
        assert stored(opened)[1] == before[1] + 10 * 400
        await opened.commit()
        sound(postgres_dsn)


@pytest.mark.parametrize(
    ("purse", "code"),
    [
        ({"alarm1_nano": 10**30}, "tenant.accounts"),
        ({"reconnect_nano": -(10**30)}, "tenant.accounts"),
        ({"opening_minor": -5}, "topup.amount-below"),
        ({"opening_minor": 10**30}, "topup.amount-above"),
        ({"opening_minor": 1000, "channel": "gold"}, "topup.channel"),
    ],
)
@in_loop
async def test_a_tenant_is_opened_with_all_that_was_asked_for_or_not_at_all(
    postgres_dsn: str, purse: dict[str, Any], code: str
) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        opened.clock.now_s = opened.park.now_s
        one = {"id": "new-a", "points": ["p2"], **purse}
        tenant = {"id": "new", "name_zh": "新", "name_en": "New", "accounts": [one]}
        with pytest.raises(Refused, match=code):
            await opened.ask("tenant.open", ALL, tenant=tenant, key="open")
        assert "new-a" not in opened.residents.specs
        assert opened.residents.payers[1] == "t2"


@in_loop
async def test_too_few_spare_rows_at_a_start_are_told_before_anything_is_taken(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        opened.clock.now_s = opened.park.now_s
        accounts = [{"id": "new-a", "points": ["p2"]}, {"id": "new-b", "points": ["p3"]}]
        tenant = {"id": "new", "name_zh": "新", "name_en": "New", "accounts": accounts}
        await opened.ask("tenant.open", ALL, tenant=tenant, key="open")
        found = await opened_in(opened.books)
    known = Residents.configured(park.POINTS, park.ACCOUNTS, house="t2", spare=1)
    with pytest.raises(Refused, match=r"account.no-room: 2 accounts .* 1 are free"):
        known.restore(found)
    assert (list(known.specs), known.spare) == (["t1", "t2"], 1)


@in_loop
async def test_a_request_that_two_people_decide_at_once_has_one_end(postgres_dsn: str) -> None:
    """Turned down is not paid out."""
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        paid = {"account": "t1", "amount_nano": 60 * park.YUAN, "channel": "cash", "reason": "moves", "key": "back"}
        assert (await opened.ask("account.refund", counter.ANN, **paid))["pending"] == "back"
        cid = Who("cid", "admin", "desk-4")
        ends = await asyncio.gather(
            opened.ask("account.reject", cid, key="back", reason="no"),
            opened.ask("account.approve", ALL, key="back", reason="yes"),
            return_exceptions=True,
        )
        assert [isinstance(end, Refused) for end in ends] == [False, True]
        assert opened.live("t1") == 100 * park.YUAN
        sound(postgres_dsn)


@in_loop
async def test_what_was_used_and_is_not_in_the_books_yet_is_used(postgres_dsn: str) -> None:
    """No refund of it, and no subsidy that is taken back although it was used up."""
    async with till(postgres_dsn) as opened:
        put(opened, 0)
        opened.clock.now_s = opened.park.now_s
        until_s = opened.park.now_s + 600
        granted = {"account": "t1", "amount_nano": 50 * park.YUAN, "until_s": until_s, "reason": "heat", "key": "heat"}
        await opened.ask("account.subsidy", ALL, **granted)
        opened.park.step(10_000, 0, 0, gap_s=599)  # 100 kWh
        used_nano = 100_000 * 300_001
        opened.clock.now_s = until_s
        back = {"account": "t1", "amount_nano": 100 * park.YUAN, "channel": "cash", "reason": "moves", "key": "back"}
        with pytest.raises(Refused, match=r"refund.balance"):
            await opened.ask("account.refund", ALL, **back)
        cleared = (await opened.ask("account.expire", ALL))["cleared"]
        assert [one["entries"][0] for one in cleared] == [["wallet:t1", used_nano - 50 * park.YUAN]]
        assert opened.live("t1") == 100 * park.YUAN
        await opened.commit()
        sound(postgres_dsn)

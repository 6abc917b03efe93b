"""What is asked of tariffs, over real books: list, show, publish, assign, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from billing_core.plan import Plan, Slot
from billing_core.plan_body import body_hash, pack, plan_body, plan_hash, plan_of, unpack
from scada.errors import Refused
from scada.operations import Who
from tests.plans import plan, version
from tests.unit.billing_core.counter import ANN, Till, till
from tests.unit.billing_core.park import TARIFFS, Park
from tests.unit.billing_core.test_store import assert_clean, query, run

ADMIN = Who("root", "admin", "console")
TOU = TARIFFS[0]
PEAK, VALLEY = 1, 3


def risen(at_s: int) -> Plan:
    later = version({PEAK: 2_000_000, VALLEY: 500_000}, TOU.versions[0].tables, from_s=at_s)
    return replace(TOU, versions=(replace(TOU.versions[0], to_s=at_s), later))


async def published(desk: Till, new: Plan, key: str, reason: str = "prices rise") -> Any:
    packed = pack(plan_body(new))
    return await desk.ask("tariff.publish", ADMIN, packed=packed, reason=reason, key=key)


def spent(park: Park) -> list[int]:
    return [int(nano) for nano in park.work.points.charged_nano]


def test_a_published_version_prices_from_its_second_on(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as desk:
            park = desk.park
            park.step()
            park.step(100, 0, 0, gap_s=60)
            before = spent(park)[0]
            assert before == 100 * 10 * 300_001  # valley, 0.01 kWh a count
            answer = await published(desk, risen(park.now_s + 60), "k")
            assert (answer["published"], answer["points"]) == (True, ["p1", "p2"])
            park.step(100, 0, 0, gap_s=120)  # half before the change, half after
            assert spent(park)[0] - before == 50 * 10 * 300_001 + 50 * 10 * 500_000
            await desk.commit()
            (listed,) = [row for row in (await desk.ask("tariff.list", ANN))["plans"] if row["id"] == "tou"]
            assert (listed["versions"], listed["hash"]) == (2, plan_hash(risen(park.now_s - 60)).hex())
            shown = plan_of(unpack((await desk.ask("tariff.show", ANN, plan="tou"))["packed"]))
            assert shown == risen(park.now_s - 60)
            again = await published(desk, shown, "l")
            assert again["published"] is False

    run(test)
    assert query(postgres_dsn, "SELECT body->>'change' FROM document ORDER BY seq DESC LIMIT 1") == "publish"
    assert_clean(postgres_dsn)


def test_a_point_is_billed_by_another_plan_from_now_on(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as desk:
            park = desk.park
            park.step()
            await published(desk, plan("care", {2: 100_000}), "k")
            park.step(100, 100, 0, gap_s=60)
            before = spent(park)
            answer = await desk.ask(
                "tariff.assign", ADMIN, point="p1", plan="care", reason="in need", key="a", household=3
            )
            assert answer["change"]["points"][0]["after"]["plan"] == "care"
            park.step(100, 100, 0, gap_s=60)
            after = spent(park)
            assert after[0] - before[0] == 100 * 10 * 100_000
            assert after[1] - before[1] == 100 * 400 * 300_001
            await desk.commit()

    run(test)
    assert_clean(postgres_dsn)


@pytest.mark.parametrize(
    ("name", "who", "arguments", "code"),
    [
        ("tariff.assign", ADMIN, {"point": "p9", "plan": "tou", "reason": "r", "key": "k"}, "point.unknown"),
        ("tariff.assign", ADMIN, {"point": "p1", "plan": "none", "reason": "r", "key": "k"}, "plan.unknown"),
        ("tariff.assign", ADMIN, {"point": "p1", "plan": "water", "reason": "r", "key": "k"}, "plan.unit"),
        ("tariff.assign", ADMIN, {"point": "p1", "plan": "tou", "reason": "", "key": "k"}, "reason"),
        ("tariff.assign", ANN, {"point": "p1", "plan": "tou", "reason": "r", "key": "k"}, "role"),
        ("tariff.show", ANN, {"plan": "none"}, "plan.unknown"),
        ("tariff.publish", ADMIN, {"packed": ["abc"], "reason": "r", "key": "k"}, "plan.unsound"),
        ("tariff.publish", ADMIN, {"packed": pack({"id": "x"}), "reason": "r", "key": "k"}, "plan.unsound"),
        ("tariff.publish", ADMIN, {"packed": pack(plan_body(TOU)), "reason": "r", "key": "k", "x": 1}, "operation"),
    ],
)  # fmt: skip
def test_what_is_refused(postgres_dsn: str, name: str, who: Who, arguments: dict[str, Any], code: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as desk:
            desk.park.step()
            with pytest.raises(Refused, match=code.replace(".", r"\.")):
                await desk.ask(name, who, **arguments)

    run(test)


@pytest.mark.parametrize(
    ("new", "wrong"),
    [
        (plan("tou", {2: 1}, (Slot(0, 480, 2), Slot(481, 1440, 2))), "minute 480 is not covered exactly once"),
        (plan("tou", {1: 1}), "rate flat has no price"),
        (plan("tou", {2: 10**12 + 1}), "a price above"),
        (replace(TOU, timezone="Asia/Shangai"), "unknown time zone 'Asia/Shangai'"),
        (replace(TOU, versions=()), "no version"),
        (replace(TOU, versions=(replace(TOU.versions[0], to_s=100), version({2: 1}, from_s=200))), "a gap or overlap"),
        (replace(TOU, versions=(replace(TOU.versions[0], tables=()),)), "2024-01-01 fits 0 day tables"),
        (replace(TOU, versions=(replace(TOU.versions[0], tables=TOU.versions[0].tables * 2),)), "fits 2 day tables"),
    ],
)
def test_an_unsound_plan_is_not_published(postgres_dsn: str, new: Plan, wrong: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as desk:
            desk.park.step()
            with pytest.raises(Refused, match=wrong) as refused:
                await published(desk, new, "k")
            assert refused.value.code == "plan.unsound"

    run(test)


def test_a_publication_that_changes_the_past_is_refused_and_leaves_all_as_it_was(postgres_dsn: str) -> None:
    async def test() -> None:
        async with till(postgres_dsn) as desk:
            desk.park.step()
            desk.park.step(1, 1, 1, gap_s=60)
            with pytest.raises(Refused, match=r"plan tou changes the past, from 2026-10-26 07:40 on; add a version"):
                await published(desk, risen(desk.park.now_s - 30), "k")
            assert [p.id for p in desk.park.engine.plans] == ["tou", "water"]
            assert desk.park.engine.plans[0] == TOU
            desk.park.step(1, 1, 1)
            await desk.commit()

    run(test)
    assert_clean(postgres_dsn)


def test_a_large_body_is_packed_into_short_texts() -> None:
    tables = tuple(replace(TOU.versions[0].tables[0], kinds=frozenset({f"kind-{n}"})) for n in range(40))
    months = tuple(version({1: n + 1, 3: n}, tables, from_s=n * 10**6, to_s=(n + 1) * 10**6) for n in range(120))
    body = plan_body(replace(TOU, versions=months))
    packed = pack(body)
    assert max(map(len, packed)) <= 2000
    assert sum(map(len, packed)) < 60_000
    assert body_hash(unpack(packed)) == body_hash(body)
    with pytest.raises(ValueError, match="no packed plan"):
        unpack(["0" * 50])

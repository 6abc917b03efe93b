"""Plans in the books: the past stays, at a start and at a publication; what is published is stored and in force."""

from dataclasses import replace
from typing import Any

import pytest

from billing_core.plan import Plan
from billing_core.plan_body import plan_body, plan_hash
from billing_core.reader import check_past
from billing_core.state import Act
from scada.errors import ConfigurationError, Refused
from tests.plans import version
from tests.unit.billing_core.park import ACCOUNTS, POINTS, TARIFFS, Park
from tests.unit.billing_core.test_store import assert_clean, committed, opened, query, run

PEAK, VALLEY = 1, 3
TOU = TARIFFS[0]


def risen(at_s: int) -> Plan:
    """Return the plan of two points with other prices from a second on."""
    tables = TOU.versions[0].tables
    later = version({PEAK: 2_000_000, VALLEY: 500_000}, tables, from_s=at_s)
    return replace(TOU, versions=(replace(TOU.versions[0], to_s=at_s), later))


async def billed(store: Any, park: Park) -> None:
    park.engine.restore(await store.prepare(POINTS, ACCOUNTS, TARIFFS))
    park.step()
    park.step(5, 5, 5, gap_s=60)
    await committed(store, park)


def test_a_start_with_another_past_is_refused_and_one_with_another_future_is_not(postgres_dsn: str) -> None:
    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await billed(store, park)
        async with opened(postgres_dsn) as store:
            with pytest.raises(ConfigurationError) as refused:
                await store.prepare(POINTS, ACCOUNTS, (risen(park.now_s - 30), TARIFFS[1]))
            (fault,) = refused.value.faults
            assert (fault.place, fault.wrong) == ("tariff.tou", "changes the past, from 2026-10-26 07:40 on")
            with pytest.raises(ConfigurationError):
                check_past(postgres_dsn, (risen(park.now_s - 30), TARIFFS[1]))
            check_past(postgres_dsn, (risen(park.now_s + 30), TARIFFS[1]))
            await store.prepare(POINTS, ACCOUNTS, (risen(park.now_s + 30), TARIFFS[1]))
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)  # the future may also be taken back

    run(test)
    assert_clean(postgres_dsn)


def test_a_publication_is_stored_with_its_body_and_in_force(postgres_dsn: str) -> None:
    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await billed(store, park)
            new = risen(park.now_s + 30)
            act = Act("k", "anna", "desk", "prices rise", document={"bodies": [plan_body(new)]})
            park.engine.publish([new], act)
            await committed(store, park)
            park.step(5, 5, 5, gap_s=60)
            await committed(store, park)
            with pytest.raises(Refused, match=r"plan\.past"):
                park.engine.publish([TOU], Act("l", "anna", "desk", "back"))
        async with opened(postgres_dsn) as store:
            with pytest.raises(ConfigurationError):
                await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            await store.prepare(POINTS, ACCOUNTS, (new, TARIFFS[1]))
        stored = query(postgres_dsn, "SELECT body FROM plan_in_force WHERE plan = 'tou'")
        assert bytes(stored) == plan_hash(new)

    run(test)
    assert_clean(postgres_dsn)

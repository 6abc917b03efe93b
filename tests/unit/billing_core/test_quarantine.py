"""A row that the books would never take stops its own supply point and no other."""

from dataclasses import replace

import pytest

from billing_core import quarantine
from billing_core.columns import R_FROM_S, R_KIND, R_MILLI, R_NANO, R_POSITION_MILLI, R_PRICE_MICRO, R_RATE, R_RAW_TO
from billing_core.columns import R_SEGMENT_TO_S as TO
from billing_core.state import Checkpoint
from tests.unit.billing_core.park import POINTS, Park
from tests.unit.billing_core.test_store import assert_clean, committed, opened, prepared, query, run

POISONS = {
    "negative quantity": {R_MILLI: -5, R_NANO: -5 * 300_001},
    "price of no rate": {R_RATE: 9},
    "wrong product": {R_NANO: 1},
    "negative price": {R_PRICE_MICRO: -1},
    "register below zero": {R_RAW_TO: -1},
    "unknown kind": {R_KIND: 7},
    "position below zero": {R_POSITION_MILLI: -1},
    "interval turned round": {TO: 0},
    "interval without a beginning": {R_FROM_S: 2**40},
}


def poisoned(checkpoint: Checkpoint, poison: dict[int, int], line: int = 0) -> Checkpoint:
    rows = checkpoint.rows.copy()
    for column, value in poison.items():
        rows[line, column] = value
    return replace(checkpoint, rows=rows)


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_every_impossible_row_is_seen(poison: dict[int, int]) -> None:
    park = Park.new()
    park.step()
    park.step(3, 1, 20)
    cut = park.engine.cut()
    assert cut is not None
    assert not quarantine.faulty(cut.rows).any()
    assert quarantine.separate(cut, POINTS) == (cut, None)
    found = quarantine.faulty(poisoned(cut, poison).rows).tolist()
    assert found == [True, False, False]


def test_the_others_are_charged_and_the_point_is_billed_from_its_last_good_register(postgres_dsn: str) -> None:
    async def test() -> None:
        park = Park.new()
        async with opened(postgres_dsn) as store:
            await prepared(store, park)
            park.step()
            park.step(3, 1, 20)
            await committed(store, park)
            park.step(4, 1, 20)
            cut = park.engine.cut()
            assert cut is not None
            bad = poisoned(cut, POISONS["negative quantity"])
            for _ in range(2):  # its answer was lost: the repetition says the same
                assert (await store.commit(bad)).quarantined == ("p1",)
            await prepared(store, park)  # the core begins again from the books
            park.step(2, 1, 20)
            assert park.work.points.billed_milli.tolist() == [(3 + 4 + 2) * 10, 3 * 400, 60]
            await committed(store, park)
            told = await store.find("quarantine:demo:2")
            assert told is not None
            assert told.document is not None
            assert [entry["point"] for entry in told.document["points"]] == ["p1"]

    run(test)
    assert query(postgres_dsn, "SELECT sum(milli)::bigint FROM charge") == 9 * 10 + 3 * 400 + 60
    assert_clean(postgres_dsn)

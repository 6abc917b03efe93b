"""A maximum demand is charged once: over the end of a month, and when the data base goes away while it is posted."""

from typing import Any

import pytest

from billing_core.posting import Posted
from scada.errors import DatabaseAway
from tests.unit.billing_core.test_settlement import DAY_S, HOUR_S, YUAN, Works, assert_recomputed, run
from tests.unit.billing_core.test_store import query

CHARGED = "SELECT sum(nano) FROM assessment WHERE component = 'demand'"
DUE = f"SELECT max(watt) / 1000 * {40 * YUAN} FROM demand WHERE month = '{{}}'"


async def rising(works: Works, minutes: int) -> None:
    """Let power rise by 60 kW a quarter of an hour."""
    for minute in range(minutes):
        works.step(60, 2 + minute // 15)
        try:
            await works.tick()
        except DatabaseAway:  # as the task does: what is not posted comes with the next step
            continue


def test_what_is_posted_after_the_end_of_a_month_knows_what_was_posted_in_it(postgres_dsn: str) -> None:
    """The last maximum of the month is posted in the next one; most of it was reserved before."""

    async def test(works: Works) -> None:
        works.step(HOUR_S)
        await works.tick()
        works.step(30 * DAY_S - 53 * 60)
        await works.tick()
        await rising(works, 52)
        works.step(120, 4)
        await works.tick()

    run(postgres_dsn, test)
    assert query(postgres_dsn, "SELECT count(*) FROM demand WHERE month = '2026-11'") > 1
    assert query(postgres_dsn, CHARGED) == query(postgres_dsn, DUE.format("2026-11"))
    assert_recomputed(postgres_dsn)


def test_a_maximum_whose_answer_was_lost_counts_for_the_next_one(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(works: Works) -> None:
        post, lost = works.books.post, []

        async def losing(key: str, kind: str, *given: Any, **more: Any) -> Posted:
            posted = await post(key, kind, *given, **more)
            if kind == "demand" and len(lost) < 20:  # long enough for a higher one
                lost.append(key)
                raise DatabaseAway("the answer was lost")
            return posted

        monkeypatch.setattr(works.books, "post", losing)
        works.step(HOUR_S)
        await works.tick()
        await rising(works, 120)
        assert len(set(lost)) > 1

    run(postgres_dsn, test)
    assert query(postgres_dsn, CHARGED) == query(postgres_dsn, DUE.format("2026-11"))
    assert_recomputed(postgres_dsn)

"""The pages' SQL on a real PostgreSQL with the newest schema."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hmi import queries
from tests.transactions import in_transaction

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ask(dsn: str, question: Callable[[Any], Awaitable[Any]]) -> Any:
    return in_transaction(dsn, "read", question)


def test_a_new_data_base_has_nothing_to_show(postgres_dsn: str) -> None:
    assert ask(postgres_dsn, lambda cursor: queries.entries(cursor, "t-s01")) == []
    assert ask(postgres_dsn, lambda cursor: queries.charges(cursor, "t-s01", "Asia/Shanghai")) == []
    assert ask(postgres_dsn, lambda cursor: queries.charged_before(cursor, NOW)) == {}
    day = timedelta(days=1)
    assert ask(postgres_dsn, lambda cursor: queries.history(cursor, "park/M/x/Y", NOW - day, NOW, 100)) == []


def test_instants_of_the_plant_clock_are_utc() -> None:
    assert queries.utc_of(1_700_000_000 * 10**9) == datetime.fromtimestamp(1_700_000_000, UTC)

"""The schema, its policies and the same questions as on partitions, on a real TimescaleDB.

Bulk loading is tested on PostgreSQL (tests/unit/scada/test_history.py): this build takes no COPY FROM STDIN.
"""

from typing import Any

import psycopg
import pytest
import uvloop

from scada import database, history_tables
from scada.database import Database
from tests import history_cases
from tests.history_cases import TAGS

pytestmark = pytest.mark.timescale

ROWS_A_STATEMENT = 2000
INSERT = "INSERT INTO history SELECT t, %s, v, q FROM unnest(%s::timestamptz[], %s::float8[], %s::int8[]) r(t, v, q)"


def ask(dsn: str, statement: str, *values: Any) -> list[Any]:
    """Run one statement in a clean session."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DISCARD ALL")
        connection.execute("SET search_path TO wattkeeper, public")
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def history(timescale_server: str) -> list[history_cases.Row]:
    rows = history_cases.rows()
    for number, tag in enumerate(TAGS, start=1):
        ask(timescale_server, "INSERT INTO tag (id) VALUES (%s)", tag)
        mine = [row for row in rows if row.tag == tag]
        for start in range(0, len(mine), ROWS_A_STATEMENT):
            part = mine[start : start + ROWS_A_STATEMENT]
            ask(
                timescale_server,
                INSERT,
                number,
                [row.time for row in part],
                [row.value for row in part],
                [row.quality for row in part],
            )
    return rows


def test_schema_is_the_newest(timescale_dsn: str) -> None:
    database.require_current_schema(timescale_dsn)
    database.migrate(timescale_dsn)


def test_history_is_a_compressing_hypertable(timescale_dsn: str) -> None:
    found = ask(
        timescale_dsn,
        "SELECT hypertable_schema, hypertable_name, compression_enabled FROM timescaledb_information.hypertables"
        " WHERE hypertable_name = 'history'",
    )
    assert found == [("wattkeeper", "history", True)]


def test_every_resolution_is_a_continuous_aggregate_that_answers_for_its_tail(timescale_dsn: str) -> None:
    found = ask(
        timescale_dsn,
        "SELECT view_name, materialized_only FROM timescaledb_information.continuous_aggregates ORDER BY 1",
    )
    assert found == [("history_15m", False), ("history_1d", False), ("history_1h", False)]


def test_policies(timescale_dsn: str) -> None:
    async def retention() -> None:
        connection = Database(timescale_dsn, "history")
        for days in (30, 400):  # told again with another figure, the newest holds
            async with connection.transaction() as cursor:
                assert not await history_tables.is_partitioned(cursor)
                await history_tables.set_retention(cursor, days)
        await connection.close()

    uvloop.run(retention())
    jobs = ask(timescale_dsn, "SELECT proc_name, config FROM timescaledb_information.jobs WHERE job_id >= 1000")
    names = sorted(name for name, _ in jobs)
    assert names.count("policy_refresh_continuous_aggregate") == 3
    assert names.count("policy_compression") == 1
    assert [config["drop_after"] for name, config in jobs if name == "policy_retention"] == ["400 days"]


def test_columns_are_those_of_the_partitions(timescale_dsn: str, postgres_dsn: str) -> None:
    statement = """
        SELECT table_name, column_name, data_type FROM information_schema.columns
        WHERE table_schema = 'wattkeeper' AND table_name IN ('history', 'history_15m', 'history_1h', 'history_1d')
        ORDER BY table_name, column_name
    """
    assert ask(timescale_dsn, statement) == ask(postgres_dsn, statement)


def questions(dsn: str, history: list[history_cases.Row]) -> list[int]:
    ask(dsn, "SELECT 1")

    async def run() -> list[int]:
        reader = Database(dsn, "read")
        try:
            async with reader.transaction() as cursor:
                return await history_cases.check_questions(cursor, history)
        finally:
            await reader.close()

    return uvloop.run(run())


def test_questions_before_between_and_after_refresh_and_compression(
    timescale_dsn: str, history: list[history_cases.Row]
) -> None:
    expected = {0, 120, 300, 900, 1800, 3600, 7200, 86_400, 172_800}
    assert expected <= set(questions(timescale_dsn, history))
    for name in ("history_15m", "history_1h", "history_1d"):
        ask(timescale_dsn, f"CALL refresh_continuous_aggregate('{name}', '2026-11-19Z', '2026-11-21Z')")
    assert expected <= set(questions(timescale_dsn, history))
    for name in ("history_15m", "history_1h", "history_1d"):
        ask(timescale_dsn, f"CALL refresh_continuous_aggregate('{name}', NULL, NULL)")
    assert expected <= set(questions(timescale_dsn, history))
    compressed = ask(timescale_dsn, "SELECT compress_chunk(c) FROM show_chunks('history') c")
    assert len(compressed) == 4
    assert expected <= set(questions(timescale_dsn, history))

"""History in partitions: every double comes back, batches count once, roll-ups and raw rows give one answer."""

import math
import struct
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
import uvloop

from scada import history_tables
from scada.database import Database
from scada.history_batch import ROW, Batch, decode, encode
from scada.history_store import HistoryStore
from tests import history_cases
from tests.history_cases import BEGIN, TAGS

DOUBLES = [0.0, -0.0, 1.0, -1.5, 1 / 3, 5e-324, -5e-324, 1.7976931348623157e308, 1e-308, math.inf, -math.inf, math.nan]
WRITER = "5b2c5f2e-1d35-4ab7-b3f3-0a7b8b8f0001"


async def store(database: Database, *batches: Batch) -> None:
    await HistoryStore(400).store(database, list(batches), durable=False)


def test_every_double_and_quality_comes_back_bit_by_bit(postgres_dsn: str) -> None:
    rows = np.zeros(len(DOUBLES), dtype=ROW)
    rows["time_ns"] = 1_700_000_000_123_456_000 + np.arange(len(DOUBLES)) * 1000
    rows["value"] = DOUBLES
    rows["quality"] = [0, 0xFFFF_FFFF, 0x8000_0000, 0x7FFF_FFFF, *range(1, len(DOUBLES) - 3)]

    async def run() -> list[Any]:
        database = Database(postgres_dsn, "history")
        await store(database, decode(encode(Batch(WRITER, 1, TAGS, rows))))
        async with database.transaction() as cursor:
            await cursor.execute("SELECT time, value, quality FROM history ORDER BY time")
            found = await cursor.fetchall()
        await database.close()
        return found

    found = uvloop.run(run())
    assert [struct.pack("d", value) for _, value, _ in found] == [struct.pack("d", value) for value in DOUBLES]
    assert [quality for _, _, quality in found] == rows["quality"].tolist()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert [(time - epoch) // timedelta(microseconds=1) * 1000 for time, _, _ in found] == rows["time_ns"].tolist()


def test_encoding_keeps_only_the_tags_that_occur() -> None:
    rows = np.zeros(3, dtype=ROW)
    rows["tag"] = [700, 2, 700]
    rows["value"] = [1, 2, 3]
    ids = tuple(f"park/M/e-{n}/电压" for n in range(1000))
    read = decode(encode(Batch(WRITER, 9, ids, rows)))
    assert (read.writer, read.number, read.ids) == (WRITER, 9, (ids[2], ids[700]))
    assert [read.ids[tag] for tag in read.rows["tag"]] == [ids[700], ids[2], ids[700]]
    assert read.rows["value"].tolist() == [1, 2, 3]


def test_a_batch_given_again_counts_once(postgres_dsn: str) -> None:
    history = history_cases.rows(days=1, step_s=600)

    async def run() -> int:
        database = Database(postgres_dsn, "history")
        first, second = history_cases.batch_of(history, 1), history_cases.batch_of(history, 2)
        await store(database, first)
        await store(database, first, second)
        await store(database, second)
        await store(database, first)
        async with database.transaction() as cursor:
            await cursor.execute("SELECT count(*) FROM history")
            row = await cursor.fetchone()
        await database.close()
        assert row is not None
        return int(row[0])

    assert uvloop.run(run()) == 2 * len(history)


@pytest.mark.parametrize("roll_ups", [[], [86_400 * 1.5], [3600, 86_400, 90_000, 86_400 * 4]], ids=["0", "1", "4"])
def test_questions_have_one_answer_however_far_the_roll_up_is(postgres_dsn: str, roll_ups: list[float]) -> None:
    history = history_cases.rows()

    async def run() -> list[int]:
        database = Database(postgres_dsn, "history")
        await store(database, history_cases.batch_of(history))
        for seconds in roll_ups:
            async with database.transaction() as cursor:
                await history_tables.roll_up(cursor, BEGIN + timedelta(seconds=seconds))
        reader = Database(postgres_dsn, "read")
        async with reader.transaction() as cursor:
            widths = await history_cases.check_questions(cursor, history)
        await database.close()
        await reader.close()
        return widths

    widths = uvloop.run(run())
    assert {0, 120, 300, 900, 1800, 3600, 7200, 86_400, 172_800} <= set(widths)


def test_roll_up_moves_rows_from_the_tail_once(postgres_dsn: str) -> None:
    history = history_cases.rows(days=2)

    async def run() -> tuple[list[Any], list[Any]]:
        database = Database(postgres_dsn, "history")
        async with database.transaction() as cursor:
            await history_tables.roll_up(cursor, BEGIN)  # nothing yet
        await store(database, history_cases.batch_of(history))
        seen = []
        for _ in range(2):
            async with database.transaction() as cursor:
                await history_tables.roll_up(cursor, BEGIN + timedelta(days=2))
                await cursor.execute("SELECT name, until FROM rollup_mark ORDER BY name")
                marks = await cursor.fetchall()
                await cursor.execute("SELECT count(*), sum(samples) FROM history_15m_stored")
                seen.append((marks, await cursor.fetchall()))
        async with database.transaction() as cursor:
            await cursor.execute("SELECT sum(samples) FROM history_15m")
            total = await cursor.fetchall()
        await database.close()
        assert total == [(len(history),)]
        return seen[0], seen[1]

    first, second = uvloop.run(run())
    assert first == second
    assert first[0][2] == ("history_1h", datetime(2026, 11, 22, 3, tzinfo=UTC))


def test_partitions_are_made_by_day_and_dropped_by_age(postgres_dsn: str) -> None:
    async def run() -> tuple[list[str], list[Any]]:
        database = Database(postgres_dsn, "history")
        await store(database, history_cases.batch_of(history_cases.rows(days=3, step_s=600)))
        async with database.transaction() as cursor:
            await history_tables.ensure_partitions(cursor, [date(2031, 12, 31), date(2026, 11, 20)])
            dropped = await history_tables.drop_expired(cursor, datetime(2026, 12, 2, 12, tzinfo=UTC), 10)
            await cursor.execute("SELECT relid::regclass::text FROM pg_partition_tree('history') WHERE isleaf")
            left = await cursor.fetchall()
        await database.close()
        return dropped, sorted(name for (name,) in left)

    dropped, left = uvloop.run(run())
    assert dropped == ["history_p20261120", "history_p20261121"]
    assert left == ["history_p20261122", "history_p20261123", "history_p20311231"]


def test_an_unknown_tag_has_no_history(postgres_dsn: str) -> None:
    async def run() -> int:
        reader = Database(postgres_dsn, "read")
        async with reader.transaction() as cursor:
            trend = await history_cases.read_history(cursor, "park/M/none/V", BEGIN, BEGIN + timedelta(days=1), 10)
        await reader.close()
        return len(trend.samples)

    assert uvloop.run(run()) == 0


def test_a_trend_reads_only_the_partitions_it_needs(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        for day in range(1, 21):
            connection.execute(
                f"CREATE TABLE history_p202611{day:02d} PARTITION OF history"
                f" FOR VALUES FROM ('2026-11-{day:02d} 00:00Z') TO ('2026-11-{day + 1:02d} 00:00Z')"
            )
        plan = connection.execute(
            "EXPLAIN SELECT * FROM history WHERE tag_id = 1 AND time >= '2026-11-05Z' AND time < '2026-11-06Z'"
        ).fetchall()
    assert {word for (line,) in plan for word in line.split() if "history_p" in word} == {
        "history_p20261105_tag_id_time_idx",
        "history_p20261105",
    }

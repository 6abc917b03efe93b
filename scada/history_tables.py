"""Keep the tables of the history in shape: partitions ahead of the rows, roll-ups behind them, old ones removed.

Rule: all of it follows plant time, which the caller gives. On TimescaleDB the server's own policies do this work, by
its own clock, and only the retention is set from here.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from psycopg import sql

from scada.database import Cursor

ROLL_UP_SPANS_MAX: Final = 8  # of one call and resolution; what is behind after a long pause follows in the next calls
ROLL_UP_SPAN: Final = timedelta(days=1)  # of one statement: a day of raw rows is read within its time limit
PARTITION_PREFIX: Final = "history_p"
ORIGIN: Final = datetime(2000, 1, 3, tzinfo=UTC)  # of every bucket; TimescaleDB's own


async def is_partitioned(cursor: Cursor) -> bool:
    """Tell whether the history lies in partitions of our own, as against a hypertable."""
    await cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = 'history'::regclass")
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def ensure_partitions(cursor: Cursor, days: Iterable[date]) -> None:
    """Make the partitions of these days of UTC unless they are there.

    A table is made apart and attached, which locks out neither readers nor writers of the other partitions.
    """
    wanted = {_partition(day): day for day in days}
    await cursor.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'history'::regclass AND c.relname = ANY(%s)",
        [list(wanted)],
    )
    present = {name for (name,) in await cursor.fetchall()}
    for name in sorted(wanted.keys() - present):
        day = wanted[name]
        await cursor.execute(
            sql.SQL("CREATE TABLE {} (LIKE history INCLUDING CONSTRAINTS)").format(sql.Identifier(name))
        )
        await cursor.execute(
            sql.SQL("ALTER TABLE history ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier(name), sql.Literal(_midnight(day)), sql.Literal(_midnight(day + timedelta(days=1)))
            )
        )


async def roll_up(cursor: Cursor, until: datetime) -> None:
    """Store the roll-ups of every whole bucket before `until`. No row of an earlier time may come afterwards."""
    await cursor.execute("SELECT name, width, until FROM rollup_mark ORDER BY name FOR UPDATE")
    for name, width, mark in await cursor.fetchall():
        mark = mark or await _first_bucket(cursor, width)
        if mark is None:
            continue  # no row yet
        for _ in range(ROLL_UP_SPANS_MAX):
            end = _bucket(min(until, mark + max(width, ROLL_UP_SPAN)), width)
            if end <= mark:
                break
            await _store(cursor, name, end)
            mark = end


async def _store(cursor: Cursor, name: str, end: datetime) -> None:
    """Move the tail's buckets before `end` into the table, and the mark to `end`."""
    statement = sql.SQL("INSERT INTO {} SELECT * FROM {}({}) ON CONFLICT DO NOTHING")
    await cursor.execute(
        statement.format(sql.Identifier(f"{name}_stored"), sql.Identifier(f"{name}_until"), sql.Literal(end))
    )
    await cursor.execute("UPDATE rollup_mark SET until = %s WHERE name = %s", [end, name])


async def drop_expired(cursor: Cursor, now: datetime, retention_days: int) -> list[str]:
    """Drop the partitions that hold only rows older than retention_days; return their names. Roll-ups stay."""
    limit = _partition((now - timedelta(days=retention_days)).date())
    await cursor.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'history'::regclass AND c.relname < %s ORDER BY c.relname",
        [limit],
    )
    names = [name for (name,) in await cursor.fetchall()]
    for name in names:
        await cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    return names


async def set_retention(cursor: Cursor, retention_days: int) -> None:
    """Tell TimescaleDB how long raw rows are kept."""
    await cursor.execute("SELECT remove_retention_policy('history', if_exists => true)")
    await cursor.execute("SELECT add_retention_policy('history', make_interval(days => %s))", [retention_days])


async def _first_bucket(cursor: Cursor, width: timedelta) -> datetime | None:
    """Return the bucket of the oldest row, None while there is none."""
    await cursor.execute("SELECT min(time) FROM history")
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return None
    return _bucket(row[0], width)


def _bucket(time: datetime, width: timedelta) -> datetime:
    """Return the start of the bucket that holds `time`."""
    return time - (time - ORIGIN) % width


def _partition(day: date) -> str:
    return f"{PARTITION_PREFIX}{day:%Y%m%d}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

"""The alarms' tables: the journal that came from disk goes in, live states and lists come out.

Rule: the one file of `alarms` with SQL. Records arrive in the order they were written, and may arrive twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncCursor

from alarms.lifecycle import LiveAlarm

Cursor = AsyncCursor[tuple[Any, ...]]

LIST_MAX: Final = 1000  # lines of one page of a list; a person filters before he reads more

# Names of the table's columns, in the order of the record's fields in _RECORDS.
_COLUMNS: Final = """
    id, alarm, source, priority, event, state_from, state_to, value, raised_value, "limit", unit, quality,
    plant_time_ns, user_name, station, comment, text_zh, text_en
"""

_RECORDS: Final = f"""
    ROWS FROM (jsonb_to_recordset(%(records)s::jsonb) AS (
        id uuid, alarm text, source text, priority smallint, event text, state_from text, state_to text,
        value double precision, raised_value double precision, "limit" double precision, unit text, quality bigint,
        plant_time_ns bigint, "user" text, station text, comment text, text_zh text, text_en text
    )) WITH ORDINALITY AS r ({_COLUMNS}, place)
"""

# A record that is in the journal already changes no state either, whatever the clock did meanwhile.
_TAKE: Final = f"""
    WITH added AS (
        INSERT INTO alarm_journal ({_COLUMNS}) SELECT {_COLUMNS} FROM {_RECORDS} ORDER BY place
        ON CONFLICT (id) DO NOTHING
        RETURNING alarm, sequence, state_to, plant_time_ns, raised_value, quality
    )
    INSERT INTO alarm_state (alarm, state, since_ns, value, quality)
    SELECT DISTINCT ON (alarm) alarm, state_to, plant_time_ns, raised_value, quality FROM added
    ORDER BY alarm, sequence DESC
    ON CONFLICT (alarm) DO UPDATE
        SET state = excluded.state, since_ns = excluded.since_ns, value = excluded.value, quality = excluded.quality
"""

_LIVE: Final = "SELECT alarm, state, since_ns, value, quality FROM alarm_state WHERE state <> 'normal' ORDER BY alarm"

_RECENT: Final = f"""
    SELECT sequence, {_COLUMNS}
    FROM alarm_journal
    WHERE (%(before)s::bigint IS NULL OR sequence < %(before)s)
        AND (%(source)s::text IS NULL OR source = %(source)s)
        AND (%(priority_max)s::smallint IS NULL OR priority <= %(priority_max)s)
        AND (%(from_ns)s::bigint IS NULL OR plant_time_ns >= %(from_ns)s)
        AND (%(to_ns)s::bigint IS NULL OR plant_time_ns < %(to_ns)s)
    ORDER BY sequence DESC LIMIT %(lines)s
"""


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of the alarm journal as lists show it; the fields are the columns of alarm_journal."""

    sequence: int  # give the last one as `before` for the next page
    id: UUID
    alarm: str
    source: str
    priority: int
    event: str
    state_from: str
    state_to: str
    value: float  # at this transition
    raised_value: float  # of the transition that raised it
    limit: float
    unit: str
    quality: int
    plant_time_ns: int
    user: str
    station: str
    comment: str
    text_zh: str
    text_en: str


async def sink(cursor: Cursor, records: Sequence[Mapping[str, Any]]) -> None:
    """Take records of the journal's stream "alarm" into SQL: journal and live states in the caller's transaction."""
    await cursor.execute(_TAKE, {"records": json.dumps(list(records), ensure_ascii=False)})


async def load(cursor: Cursor) -> list[LiveAlarm]:
    """Return every alarm that is not normal, for AlarmEngine.restore; drain the journal first."""
    await cursor.execute(_LIVE)
    return [LiveAlarm(*row) for row in await cursor.fetchall()]


async def recent(
    cursor: Cursor,
    *,
    source: str | None = None,
    priority_max: int | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    before: int | None = None,
    lines: int = 200,
) -> list[JournalLine]:
    """Return journal lines, newest first.

    priority_max  2 gives critical and high      from_ns, to_ns  plant time, to_ns excluded
    before        sequence of the last line of the page before      lines  at most LIST_MAX
    """
    await cursor.execute(
        _RECENT,
        {
            "source": source,
            "priority_max": priority_max,
            "from_ns": from_ns,
            "to_ns": to_ns,
            "before": before,
            "lines": min(lines, LIST_MAX),
        },
    )
    return [JournalLine(*row) for row in await cursor.fetchall()]

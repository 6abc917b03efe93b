"""The command journal in SQL: records that came from disk go in, open commands and lists come out.

Rule: the one file with SQL about commands. Records arrive in the order they were written, and may arrive twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import AsyncCursor

from scada.command import Actor, Command
from scada.position import POSITIONS

Cursor = AsyncCursor[tuple[Any, ...]]

LIST_MAX: Final = 1000  # lines of one page of a list; a person filters before he reads more

_INSERT: Final = """
    INSERT INTO command_journal (
        id, command, breaker, target, state, origin, user_name, role, station, reason, detail, plant_time_ns,
        elapsed_ns, conditions)
    SELECT id, command, breaker, target, state, origin, user_name, role, station, reason, detail, plant_time_ns,
        elapsed_ns, conditions
    FROM ROWS FROM (jsonb_to_recordset(%(records)s::jsonb) AS (
        id uuid, command uuid, breaker text, target text, state text, origin text, "user" text, role text,
        station text, reason text, detail text, plant_time_ns bigint, elapsed_ns bigint, conditions jsonb
    )) WITH ORDINALITY AS r (
        id, command, breaker, target, state, origin, user_name, role, station, reason, detail, plant_time_ns,
        elapsed_ns, conditions, place
    )
    ORDER BY place
    ON CONFLICT (id) DO NOTHING
"""

# Newest record of every command that has no end, unless a later command was sent to the same breaker.
_OPEN: Final = """
    SELECT command::text, breaker, target, state, origin, user_name, role, station, reason, detail, plant_time_ns
    FROM (SELECT DISTINCT ON (command) * FROM command_journal ORDER BY command, sequence DESC) AS newest
    WHERE state IN ('selected', 'sent', 'accepted', 'undetermined')
        AND NOT EXISTS (
            SELECT FROM command_journal AS later
            WHERE later.breaker = newest.breaker AND later.sequence > newest.sequence AND later.state = 'sent')
    ORDER BY sequence
"""

_LAST_VERIFIED: Final = """
    SELECT DISTINCT ON (breaker) breaker, target, origin, plant_time_ns FROM command_journal WHERE state = 'verified'
    ORDER BY breaker, sequence DESC
"""

# A command that the device refused moved nothing and leaves nothing to expect.
_LAST_SENT: Final = """
    SELECT DISTINCT ON (breaker) breaker, target, origin, plant_time_ns FROM command_journal AS sent
    WHERE state = 'sent' AND (
        NOT EXISTS (SELECT FROM command_journal AS refused
            WHERE refused.command = sent.command AND refused.state = 'failed')
        OR EXISTS (SELECT FROM command_journal AS taken
            WHERE taken.command = sent.command AND taken.state IN ('accepted', 'undetermined')))
    ORDER BY breaker, sequence DESC
"""

_RECENT: Final = """
    SELECT sequence, command::text, breaker, target, state, origin, user_name, role, station, reason, detail,
        plant_time_ns, elapsed_ns, conditions
    FROM command_journal
    WHERE (%(before)s::bigint IS NULL OR sequence < %(before)s)
        AND (%(breaker)s::text IS NULL OR breaker = %(breaker)s)
        AND (%(command)s::uuid IS NULL OR command = %(command)s)
        AND (%(from_ns)s::bigint IS NULL OR plant_time_ns >= %(from_ns)s)
        AND (%(to_ns)s::bigint IS NULL OR plant_time_ns < %(to_ns)s)
    ORDER BY sequence DESC LIMIT %(lines)s
"""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One line of the command journal as lists show it: one state that a command entered."""

    sequence: int  # give the last one as `before` for the next page
    command: str
    breaker: str
    target: str
    state: str
    origin: str
    user: str
    role: str
    station: str
    reason: str
    detail: str
    plant_time_ns: int
    elapsed_ns: int
    conditions: list[dict[str, Any]]


class LastSent(NamedTuple):
    """The last command that was sent to a breaker."""

    target: int
    origin: str
    plant_time_ns: int


@dataclass(frozen=True, slots=True)
class KnownCommands:
    """What ControlDesk.restore takes over after a restart."""

    open: list[Command]
    commanded: dict[str, int]  # breaker -> target of the last command that was sent and not refused
    settled: dict[str, int]  # breaker -> target of the last command that was verified
    last: dict[str, LastSent]


async def sink(cursor: Cursor, records: Sequence[Mapping[str, Any]]) -> None:
    """Take records of the journal's stream "command" into SQL, in the caller's transaction."""
    await cursor.execute(_INSERT, {"records": json.dumps(list(records), ensure_ascii=False)})


async def load(cursor: Cursor) -> KnownCommands:
    """Return what the journal knows, for ControlDesk.restore; drain the journal first."""
    await cursor.execute(_OPEN)
    commands = [_command(row) for row in await cursor.fetchall()]
    sent, verified = await _last(cursor, _LAST_SENT), await _last(cursor, _LAST_VERIFIED)
    return KnownCommands(
        commands,
        {breaker: command.target for breaker, command in sent.items()},
        {breaker: command.target for breaker, command in verified.items()},
        sent,
    )


async def recent(
    cursor: Cursor,
    *,
    breaker: str | None = None,
    command: str | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    before: int | None = None,
    lines: int = 200,
) -> list[CommandLine]:
    """Return journal lines, newest first; from_ns, to_ns are plant time, to_ns excluded; lines at most LIST_MAX."""
    await cursor.execute(
        _RECENT,
        {
            "breaker": breaker,
            "command": command,
            "from_ns": from_ns,
            "to_ns": to_ns,
            "before": before,
            "lines": min(lines, LIST_MAX),
        },
    )
    return [CommandLine(*row) for row in await cursor.fetchall()]


async def _last(cursor: Cursor, query: LiteralString) -> dict[str, LastSent]:
    """Return breaker -> the last command that a query finds."""
    await cursor.execute(query)
    return {
        breaker: LastSent(POSITIONS.index(target), origin, plant_time_ns)
        for breaker, target, origin, plant_time_ns in await cursor.fetchall()
    }


def _command(row: tuple[Any, ...]) -> Command:
    """Return a command as it stood in the journal. Its monotonic times died with the process that measured them."""
    command, breaker, target, state, origin, user, role, station, reason, detail, plant_time_ns = row
    return Command(
        command,
        breaker,
        POSITIONS.index(target),
        Actor(user, role, station, origin),
        reason,
        state,
        detail,
        proof_after_utc_ns=plant_time_ns,
        times_utc_ns={state: plant_time_ns},
    )

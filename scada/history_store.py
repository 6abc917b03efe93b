"""Batches of history into SQL: each at most once, whatever was in doubt.

Rule: the number of a writer's last batch is committed with its rows, so a batch that may have been stored already can
be given again; batches of one writer come in their order.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from scada import history_tables
from scada.database import Cursor, Database
from scada.history_batch import COPY, WIRE_HEAD, WIRE_TAIL, Batch, wire

CHUNK_ROWS: Final = 20_000  # about 1 MB on the wire: the loop gets its turn between two chunks
ASKED_TAGS: Final = 10_000  # in one question: a site's tags all at once are twenty megabytes that stay scattered
KNOWN_TABLES: Final = 2  # ours, and that of the batches an earlier core left in the spool
NS_PER_US: Final = 1000

NEW_BATCH: Final = """
    INSERT INTO history_writer (writer, number) VALUES (%s, %s)
    ON CONFLICT (writer) DO UPDATE SET number = excluded.number, changed_at = now()
    WHERE history_writer.number < excluded.number
    RETURNING number
"""
NEW_TAGS: Final = "INSERT INTO tag (id) SELECT unnest(%s::text[]) ON CONFLICT (id) DO NOTHING"
TAGS: Final = "SELECT id, tag_id FROM tag WHERE id = ANY(%s)"


class HistoryStore:
    """The tables of the history, and what was learnt about them on this connection."""

    def __init__(self, retention_days: int) -> None:
        self._retention_days = retention_days
        self._known: list[tuple[Sequence[str], npt.NDArray[np.int32]]] = []  # newest first
        self._partitioned: bool | None = None
        self._retention_told = False

    def forget(self) -> None:
        """Ask again for everything: another data base may answer next, or the same without its last half second."""
        self._known = []
        self._partitioned = None

    async def store(self, database: Database, batches: list[Batch], durable: bool) -> None:
        """Store batches in one transaction; those that are there already are passed over.

        durable: return only when they are on the server's disk
        """
        numbers = [await self._tag_numbers(database, batch.ids) for batch in batches]
        async with database.transaction() as cursor:
            if durable:
                await cursor.execute("SET LOCAL synchronous_commit = on")
            if self._partitioned is None:
                self._partitioned = await history_tables.is_partitioned(cursor)
            fresh = [
                (batch, tag_ids)
                for batch, tag_ids in zip(batches, numbers, strict=True)
                if await self._is_new(cursor, batch)
            ]
            if self._partitioned and fresh:
                await history_tables.ensure_partitions(cursor, set().union(*(batch.days() for batch, _ in fresh)))
            if fresh:
                await _copy(cursor, fresh)

    async def maintain(self, database: Database, complete_to_ns: int) -> None:
        """Roll up and drop what is too old. complete_to_ns: plant time before which no row will come any more."""
        complete_to = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=complete_to_ns // NS_PER_US)
        async with database.transaction() as cursor:
            if not await history_tables.is_partitioned(cursor):
                if not self._retention_told:
                    await history_tables.set_retention(cursor, self._retention_days)
                    self._retention_told = True
                return
            await history_tables.roll_up(cursor, complete_to)
        async with database.transaction() as cursor:
            await history_tables.drop_expired(cursor, complete_to, self._retention_days)

    async def _is_new(self, cursor: Cursor, batch: Batch) -> bool:
        await cursor.execute(NEW_BATCH, [batch.writer, batch.number])
        return await cursor.fetchone() is not None

    async def _tag_numbers(self, database: Database, ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return (len(ids),) numbers of tags in the table `tag`; unknown ones get a number, which is then for ever."""
        for known, numbers in self._known:
            if known is ids or known == ids:
                return numbers
        numbers = np.empty(len(ids), dtype=np.int32)
        async with database.transaction() as cursor:
            await cursor.execute("SET LOCAL synchronous_commit = on")  # rows will refer to them
            for start in range(0, len(ids), ASKED_TAGS):
                asked = list(ids[start : start + ASKED_TAGS])
                await cursor.execute(NEW_TAGS, [asked])
                await cursor.execute(TAGS, [asked])
                found = dict(await cursor.fetchall())
                numbers[start : start + len(asked)] = [found[tag] for tag in asked]
        self._known = [(ids, numbers), *self._known[: KNOWN_TABLES - 1]]
        return numbers


async def _copy(cursor: Cursor, batches: list[tuple[Batch, npt.NDArray[np.int32]]]) -> None:
    async with cursor.copy(COPY) as copy:
        await copy.write(WIRE_HEAD)
        for batch, tag_ids in batches:
            for start in range(0, len(batch.rows), CHUNK_ROWS):
                await copy.write(wire(batch.rows[start : start + CHUNK_ROWS], tag_ids))
        await copy.write(WIRE_TAIL)

"""The historian: chooses in every scan which values are worth recording, and brings them into the data base.

    Historian.record (scan) -> buffer -> Historian.flush -> HistoryStore.store -> COPY
                                               \\-> Spool (disk) while the data base is away, then oldest first

Rule: `record` is a few operations on whole columns and cannot fail; everything that waits happens in `flush`.
"""

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import psycopg
from loguru import logger

from scada.clock import NS_PER_S
from scada.database import Database
from scada.errors import DatabaseAway
from scada.history_batch import ROW, Batch, decode, encode
from scada.history_store import HistoryStore
from scada.image import Columns, Layout
from scada.quality import good_mask
from scada.scan import Instant
from scada.spool import Spool
from scada.tags import TagTable

HEARTBEAT_S: Final = 600.0  # usual practice: every 5 to 15 minutes
HEARTBEAT_SPREAD: Final = 0.25  # of the period, so that the tags of one start do not beat together for ever
GOLDEN: Final = 0.618_033_988_749_895  # spreads any number of rows evenly
RETENTION_DAYS: Final = 400  # a year and a month to compare with
LATENESS_NS: Final = 600 * NS_PER_S  # no row is older than this before its scan: the roll-up's mark may follow it
BUFFER_SCANS: Final = 20  # scans in which *every* tag changes; what does not fit becomes a batch of its own
PENDING_ROWS_MAX: Final = 4_000_000  # 96 MB of memory when neither data base nor disk takes anything
CATCH_UP_ROWS: Final = 50_000  # of one commit: ten milliseconds of this process, and little to repeat
CATCH_UP_S: Final = 5.0  # of one flush, so that other records get their turn
SETTLE_S: Final = (
    3.0  # commits of role "history" are on the disk after 3 x wal_writer_delay = 0.6 s; with room to spare
)
MAINTAIN_S: Final = 60.0
NEVER: Final = 0xFFFF_FFFF  # no status code: the first scan of a start records every tag, so that a trend shows the gap
T = TypeVar("T")
POISON: Final = (psycopg.DataError, psycopg.IntegrityError)


class Historian:
    """Recorder of one core. `record` in the scan; one `flush` at a time beside it."""

    def __init__(
        self,
        tags: TagTable,
        layout: Layout,
        spool_folder: Path,
        heartbeat_s: float = HEARTBEAT_S,
        retention_days: int = RETENTION_DAYS,
    ) -> None:
        count = layout.counts["tags"]
        self._ids = tags.ids
        self._kept = tags.mask("history")
        self._deadband = np.array([tag.deadband for tag in tags.tags], dtype=np.float64)
        spread = 1.0 - HEARTBEAT_SPREAD * np.modf(np.arange(count) * GOLDEN)[0]
        self._heartbeat_ns = (heartbeat_s * NS_PER_S * spread).astype(np.int64)
        self._last_value = np.full(count, np.nan)
        self._last_quality = np.full(count, NEVER, dtype=np.uint32)
        self._last_ns = np.zeros(count, dtype=np.int64)
        self._buffer = np.empty(BUFFER_SCANS * max(count, 1), dtype=ROW)
        self._filled = 0
        self._recorded_to_ns = 0
        self._taken_to_ns = 0  # every row up to this scan is in a batch
        self._writer = str(uuid.uuid4())
        self._number = 0
        self._pending: deque[Batch] = deque()
        self._settling: deque[tuple[float, Batch]] = deque()
        self._spool = Spool(spool_folder)
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history-spool")
        self._store = HistoryStore(retention_days)
        self._saving: Future[list[Batch]] | None = None
        self._maintained_s = float("-inf")
        self._disk_refuses = False
        self.lost_rows = 0
        """rows given up because buffer, memory or spool had reached its bound"""

    @property
    def queue_rows(self) -> int:
        """Rows that are recorded and not yet in the data base."""
        return self._filled + self._pending_rows() + self._spool.rows

    def _pending_rows(self) -> int:
        return sum(len(batch.rows) for batch in self._pending)

    @property
    def spool_bytes(self) -> int:
        return self._spool.size_bytes

    # ---- in the scan

    def record(self, instant: Instant, work: Columns) -> None:
        """Phase "record": buffer the values that differ from what was last recorded, or that have been silent too long.

        A change of quality always counts, a change of value when it is beyond the tag's deadband. A
        good value is recorded at its source time, everything else at the scan's: when it became so.
        """
        tags = work.tags
        with np.errstate(invalid="ignore"):  # infinity less infinity
            within = np.abs(tags.value - self._last_value) <= self._deadband
        same = within | (tags.value == self._last_value) | (np.isnan(tags.value) & np.isnan(self._last_value))
        due = instant.utc_ns - self._last_ns >= self._heartbeat_ns
        rows = np.flatnonzero(self._kept & (~same | due | (tags.quality != self._last_quality)))
        room = len(self._buffer) - self._filled
        if len(rows) > room and self._pending_rows() < PENDING_ROWS_MAX:  # a flush waits for a hanging server
            self._batch()
            room = len(self._buffer)
        if len(rows) > room:
            self.lost_rows += len(rows) - room  # they still differ in the next scan
            rows = rows[:room]
        source_ns = tags.source_time[rows]
        usable = good_mask(tags.quality[rows]) & (source_ns > self._last_ns[rows]) & (source_ns <= instant.utc_ns)
        usable &= source_ns > instant.utc_ns - LATENESS_NS
        times = np.where(usable, source_ns, instant.utc_ns)
        target = self._buffer[self._filled : self._filled + len(rows)]
        target["time_ns"], target["tag"] = times, rows
        target["value"], target["quality"] = tags.value[rows], tags.quality[rows]
        self._filled += len(rows)
        self._last_value[rows], self._last_quality[rows] = tags.value[rows], tags.quality[rows]
        self._last_ns[rows] = times
        self._recorded_to_ns = instant.utc_ns

    # ---- beside the scan

    async def flush(self, database: Database) -> None:
        """Bring what was recorded into the data base, or onto the disk while it is away.

        Raises DatabaseAway after everything is kept on the disk (or, when that is full, in memory).
        """
        await self._saved()
        self._take()
        try:
            await self._catch_up(database)
            if len(self._spool):
                await self._spool_pending()  # behind the others
                return
            while self._pending:
                await self._keep(database, self._pending[0])
                self._settle(self._pending.popleft())
            await self._maintain(database)
        except DatabaseAway:
            # What a server that crashed had not yet written is told from what it has by the batch numbers.
            self._pending.extendleft(batch for _, batch in reversed(self._settling))
            self._settling.clear()
            self._store.forget()
            await self._spool_pending()
            raise
        except asyncio.CancelledError:
            if self._pending:
                self._saving = self._disk.submit(self._put, list(self._pending))
                self._pending.clear()
            raise

    def close(self) -> None:
        """Put on the disk what no flush took, and let the disk's thread go."""
        self._take()
        self._disk.submit(self._put, list(self._pending))
        self._pending.clear()
        self._disk.shutdown()

    def _batch(self) -> None:
        """Make a batch of the buffer."""
        self._taken_to_ns = self._recorded_to_ns
        if self._filled:
            self._number += 1
            self._pending.append(Batch(self._writer, self._number, self._ids, self._buffer[: self._filled].copy()))
            self._filled = 0

    def _take(self) -> None:
        """Make a batch of the buffer, and keep memory within its bound."""
        self._batch()
        while self._pending_rows() > PENDING_ROWS_MAX:
            self.lost_rows += len(self._pending.popleft().rows)

    async def _keep(self, database: Database, batch: Batch) -> None:
        """Store one batch that is in memory; what the data base refuses is set aside on the disk for a person."""
        try:
            await self._store.store(database, [batch], durable=False)
        except POISON as error:
            logger.error("history: the data base refuses a batch of {} rows: {}", len(batch.rows), error)
            await self._on_disk(self._set_aside, batch)

    async def _catch_up(self, database: Database) -> None:
        """Store what waits on the disk, oldest first, for as long as a flush may take."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        while len(self._spool) and loop.time() - begun_s < CATCH_UP_S:
            waiting = await self._on_disk(self._spool.oldest, CATCH_UP_ROWS)
            batches = {number: decode(body) for number, body in waiting}
            try:
                await self._store.store(database, list(batches.values()), durable=True)
            except POISON:
                await self._store_one_by_one(database, batches)
            for number in batches:
                await self._on_disk(self._spool.remove, number)

    async def _store_one_by_one(self, database: Database, batches: dict[int, Batch]) -> None:
        """Store each spooled batch in a transaction of its own, so that a poisonous one is set aside alone."""
        for number, batch in batches.items():
            try:
                await self._store.store(database, [batch], durable=True)
            except POISON as error:
                logger.error("history: the data base refuses batch {} of the spool: {}", number, error)
                await self._on_disk(self._spool.set_aside, number)

    async def _maintain(self, database: Database) -> None:
        """Once a minute: roll up what is complete, drop what is too old."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._maintained_s >= MAINTAIN_S and self._taken_to_ns:
            await self._store.maintain(database, self._taken_to_ns - LATENESS_NS)
            self._maintained_s = now_s

    def _settle(self, batch: Batch) -> None:
        """Remember a committed batch until the server's disk has it for certain."""
        now_s = asyncio.get_running_loop().time()
        self._settling.append((now_s, batch))
        while now_s - self._settling[0][0] > SETTLE_S:
            self._settling.popleft()

    # ---- the disk, always by its one thread: it may take seconds

    async def _spool_pending(self) -> None:
        batches = list(self._pending)
        self._pending.clear()
        self._saving = self._disk.submit(self._put, batches)
        await self._saved()

    async def _saved(self) -> None:
        """Wait for batches on their way to the disk, of a cancelled flush too, and take back what it refused."""
        if self._saving is not None:
            left = await asyncio.shield(asyncio.wrap_future(self._saving))
            self._saving = None
            self._pending.extendleft(reversed(left))

    def _put(self, batches: list[Batch]) -> list[Batch]:
        """Put batches into the spool; return those the disk did not take."""
        for at, batch in enumerate(batches):
            try:
                before = self._spool.rows
                self._spool.put(encode(batch), len(batch.rows))
                self.lost_rows += before + len(batch.rows) - self._spool.rows
            except OSError as error:
                if not self._disk_refuses:
                    logger.error("history: the spool takes nothing ({}); rows wait in memory", error)
                self._disk_refuses = True
                return batches[at:]
        self._disk_refuses = False
        return []

    def _set_aside(self, batch: Batch) -> None:
        with contextlib.suppress(OSError):  # said above; there is no other place
            self._spool.set_aside(self._spool.put(encode(batch), len(batch.rows)))

    def _on_disk(self, work: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

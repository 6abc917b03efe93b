"""The journal on disk: what must not be forgotten even while the data base is away, one JSON line for each record.

A record is acknowledged when `write` returns: it is then on the disk. `drain` moves records into SQL in the order in
which they were written, possibly twice after a crash, so a sink inserts ON CONFLICT (id) DO NOTHING.

A line is "<crc32 of the rest, 8 hex digits> <JSON>\\n", in segments "<number, 12 digits>.jsonl". Rule: a segment grows
at its end and is removed whole once it has been drained; nothing in it is ever changed.

What is damaged goes to `damaged.jsonl`, what SQL refuses to `refused.jsonl`, both in the same folder, for a person.
"""

import asyncio
import contextlib
import json
import os
import uuid
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from loguru import logger

from scada.database import Cursor, Database
from scada.errors import WattkeeperError

SEGMENT_BYTES: Final = 4 << 20  # about 10,000 records: what is read again after a crash takes well under a second
JOURNAL_BYTES_MAX: Final = 1 << 30  # two million records; a park makes a few thousand a day
SETTLED_BYTES: Final = 64 << 10  # a drained segment this large is left, so that a restart does not drain it again
BATCH_RECORDS: Final = 500  # of one transaction: milliseconds, and small enough to repeat
SIDE_FILE_BYTES_MAX: Final = 64 << 20  # evidence, not an archive
LINE_BYTES_MAX: Final = 1 << 20  # a record is a few hundred bytes; more is a programmer's error
CRC_CHARS: Final = 8
LOG_CHARS_MAX: Final = 2000

# What SQL says about one bad record, as against a bad data base or a bad program.
POISON: Final = (psycopg.DataError, psycopg.IntegrityError)

Record = dict[str, Any]
Sink = Callable[[Cursor, list[Record]], Awaitable[None]]


class JournalStopped(WattkeeperError):
    """The journal cannot take a record (disk full or broken, bound reached). What it was for must not happen."""


class Journal:
    """Append-only records of several streams in one folder. One writer, one thread.

    damaged   lines found unreadable at the start or while draining
    refused   records that SQL refused
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES, bytes_max: int = JOURNAL_BYTES_MAX) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._bytes_max = bytes_max
        self._sizes: dict[int, int] = {}
        self._drained_to = 0  # offset in the oldest segment
        self._draining = asyncio.Lock()  # where it stands belongs to one drain at a time
        self.damaged = 0
        self.refused = 0
        for path in sorted(folder.glob("*.jsonl")):
            if path.stem.isdigit():
                self._sizes[int(path.stem)] = path.stat().st_size
        if self._sizes:
            self._cut_torn_tail(max(self._sizes))
        self._file = -1
        self._begin_segment()

    @property
    def waiting_bytes(self) -> int:
        """Bytes on disk that have not been drained."""
        return sum(self._sizes.values()) - self._drained_to

    def write(self, stream: str, record: Mapping[str, Any]) -> str:
        """Put one record on the disk and return its id. Raises JournalStopped; the record then does not exist."""
        return self._append(stream, [record])[0]

    def write_many(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Put records on the disk together: one wait for the disk. Raises JournalStopped; then none of them exists."""
        if records:
            self._append(stream, records)

    async def drain(self, database: Database, sinks: Mapping[str, Sink]) -> int:
        """Move every waiting record into SQL; return how many. Raises DatabaseAway, having moved some or none.

        sinks: stream -> what inserts its records (each has "id") with the given cursor, ignoring ids that are there.
        """
        async with self._draining:
            moved = 0
            while True:
                batch, end = self._read_batch()
                if batch:
                    try:
                        await _insert(database, batch, sinks)
                    except POISON:
                        await self._insert_one_by_one(database, batch, sinks)
                    moved += len(batch)
                if end is None:
                    return moved
                self._advance(*end)

    def close(self) -> None:
        """Close the file; everything that was acknowledged is on the disk already."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # ---- writing

    def _append(self, stream: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
        ids = [str(record.get("id") or uuid.uuid4()) for record in records]
        lines = [
            _encode({"stream": stream, "record": {**record, "id": name}})
            for name, record in zip(ids, records, strict=True)
        ]
        data = b"".join(lines)
        if sum(self._sizes.values()) + len(data) > self._bytes_max:
            raise JournalStopped(f"{self._folder}: the journal has reached its bound of {self._bytes_max} bytes")
        if self._sizes[self._number] >= self._segment_bytes or self._file < 0:
            self._begin_segment()
        start = self._sizes[self._number]
        try:
            _write_all(self._file, data)
            os.fsync(self._file)
        except OSError as error:
            self._give_up_segment(start)
            raise JournalStopped(f"{self._folder}: {error}") from error
        self._sizes[self._number] = start + len(data)
        return ids

    def _begin_segment(self) -> None:
        number, flags = self._next_segment()
        try:
            file = os.open(self._path(number), flags | os.O_WRONLY | os.O_APPEND, 0o600)
            _sync_folder(self._folder)
        except OSError as error:
            raise JournalStopped(f"{self._folder}: {error}") from error
        self.close()
        self._file, self._number = file, number
        self._sizes[number] = 0

    def _next_segment(self) -> tuple[int, int]:
        """Return number and flags of the next segment: the newest again when it was given up empty.

        A disk that stays full would otherwise get a new file with every record that it refuses.
        """
        newest = max(self._sizes, default=0)
        if self._file < 0 and self._sizes.get(newest) == 0 and self._path(newest).stat().st_size == 0:
            return newest, 0
        return newest + 1, os.O_CREAT | os.O_EXCL

    def _give_up_segment(self, good_bytes: int) -> None:
        """Leave a segment on which the disk failed, without the bytes that nobody was told are there.

        After a failed fsync nobody knows what reached the disk, and a second one may succeed falsely, so this file is
        not written again, unless nothing is left of it.
        """
        with contextlib.suppress(OSError):  # a cut that fails leaves a torn line, which its checksum shows
            os.ftruncate(self._file, good_bytes)
        self.close()

    # ---- reading

    def _read_batch(self) -> tuple[list[tuple[str, Record]], tuple[int, int] | None]:
        """Return the next (stream, record)s of the oldest segment and (number, offset) behind them, None at the end."""
        number = min(self._sizes)
        batch: list[tuple[str, Record]] = []
        offset = self._drained_to
        with self._path(number).open("rb") as file:
            file.seek(offset)
            while offset < self._sizes[number] and len(batch) < BATCH_RECORDS:
                line = file.readline(LINE_BYTES_MAX)
                offset += len(line)
                entry = _decode(line)
                if entry is None:
                    self._report_damage(number, line)
                else:
                    batch.append((entry["stream"], entry["record"]))
        at_end = number == self._number and offset == self._drained_to
        return batch, None if at_end else (number, offset)

    def _advance(self, number: int, offset: int) -> None:
        """Note that the oldest segment has been drained up to `offset`; remove it when that is all of it."""
        self._drained_to = offset
        if offset < self._sizes[number]:
            return
        if number == self._number:
            if offset < SETTLED_BYTES:
                return
            try:
                self._begin_segment()
            except JournalStopped:
                return  # disk full: later
        self._path(number).unlink()
        del self._sizes[number]
        self._drained_to = 0

    async def _insert_one_by_one(
        self, database: Database, batch: list[tuple[str, Record]], sinks: Mapping[str, Sink]
    ) -> None:
        """Insert each record in a transaction of its own, so that a poisonous one stays behind alone."""
        for entry in batch:
            try:
                await _insert(database, [entry], sinks)
            except POISON as error:
                self.refused += 1
                self._keep_aside("refused.jsonl", {"reason": str(error), "stream": entry[0], "record": entry[1]})
                logger.error("the data base refuses a record of stream {}: {}", entry[0], str(error).strip())

    def _cut_torn_tail(self, number: int) -> None:
        """Cut what a crash left behind the last whole line of the newest segment: nobody was told that it is there."""
        data = self._path(number).read_bytes()
        end = 0
        at = 0
        for line in data.splitlines(keepends=True):
            at += len(line)
            if _decode(line) is not None:
                end = at
        if end < len(data):
            logger.warning("journal: {} bytes behind the last whole record were cut", len(data) - end)
            self._keep_aside("damaged.jsonl", {"segment": number, "tail": data[end : end + LINE_BYTES_MAX].hex()})
            os.truncate(self._path(number), end)
            self._sizes[number] = end

    def _report_damage(self, number: int, line: bytes) -> None:
        self.damaged += 1
        self._keep_aside("damaged.jsonl", {"segment": number, "line": line.hex()})
        logger.error("journal: a damaged record of segment {} was set aside", number)

    def _keep_aside(self, name: str, content: Mapping[str, Any]) -> None:
        path = self._folder / name
        try:
            if path.exists() and path.stat().st_size > SIDE_FILE_BYTES_MAX:
                raise OSError(f"{path} has reached its bound")
            with path.open("ab") as file:
                file.write(_encode(content))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            logger.error("journal: {}; the log is the only place left for: {}", error, str(content)[:LOG_CHARS_MAX])

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.jsonl"


async def _insert(database: Database, batch: list[tuple[str, Record]], sinks: Mapping[str, Sink]) -> None:
    """Insert a batch in one transaction, each stream's records together and in order."""
    streams: dict[str, list[Record]] = {}
    for stream, record in batch:
        streams.setdefault(stream, []).append(record)
    async with database.transaction() as cursor:
        await cursor.execute("SET LOCAL synchronous_commit = on")  # the segment may be removed as soon as this returns
        for stream, records in streams.items():
            await sinks[stream](cursor, records)


def _encode(content: Mapping[str, Any]) -> bytes:
    """Return one line. JSON here includes NaN and infinities, which measured values may be."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    line = b"%08x %b\n" % (zlib.crc32(body), body)
    if len(line) > LINE_BYTES_MAX:
        raise ValueError(f"a journal record of {len(line)} bytes; at most {LINE_BYTES_MAX} are allowed")
    return line


def _decode(line: bytes) -> dict[str, Any] | None:
    """Return the content of a line, None when it is torn or damaged."""
    body = line[CRC_CHARS + 1 : -1]
    if not body or line != b"%08x %b\n" % (zlib.crc32(body), body):
        return None
    content: dict[str, Any] = json.loads(body)
    return content


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

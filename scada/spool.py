"""The spool: batches of history that wait on disk for the data base, oldest first, within a bound.

One file for each batch, "<number, 15 digits>-<rows>.batch": magic, CRC-32 and length of the body, body. A file is
written aside, brought to the disk and renamed, so that a crash leaves a whole batch or none.

Rule: losing history is bad, stopping the scan is worse. At its bound the spool gives up its oldest batch and counts it.
"""

import contextlib
import os
import struct
import zlib
from pathlib import Path
from typing import Final

from loguru import logger

MAGIC: Final = b"WKSPOOL1"
HEAD: Final = struct.Struct("<8sIQ")  # magic, CRC-32 of the body, length of the body
SPOOL_BYTES_MAX: Final = 2 << 30  # a day of the demonstration park many times over; a share of a small disk
DAMAGED_FILES_MAX: Final = 100  # evidence for a person, not an archive


class Spool:
    """Batches in one folder. One writer; every method blocks on the disk.

    size_bytes    on disk now
    given_up      batches removed because the bound was reached
    rows          rows of history in them
    damaged       batches whose checksum was wrong; they were moved to the folder "damaged"
    """

    def __init__(self, folder: Path, bytes_max: int = SPOOL_BYTES_MAX) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._bytes_max = bytes_max
        for torn in folder.glob("*.new"):
            torn.unlink()
        self._sizes: dict[int, int] = {}
        self._rows: dict[int, int] = {}
        for path in folder.glob("*-*.batch"):
            number, rows = map(int, path.stem.split("-"))
            self._sizes[number], self._rows[number] = path.stat().st_size, rows
        self._next = max(self._sizes, default=0) + 1
        self.given_up = 0
        self.damaged = 0

    @property
    def size_bytes(self) -> int:
        return sum(self._sizes.values())

    @property
    def rows(self) -> int:
        return sum(self._rows.values())

    def __len__(self) -> int:
        return len(self._sizes)

    def put(self, body: bytes, rows: int) -> int:
        """Put a batch behind all others; return its number. Raises OSError, and then nothing is left of it."""
        size = HEAD.size + len(body)
        while self._sizes and self.size_bytes + size > self._bytes_max:
            self._give_up(min(self._sizes))
        number = self._next
        self._rows[number] = rows
        scratch = self._path(number).with_suffix(".new")
        try:
            with scratch.open("wb") as file:
                file.write(HEAD.pack(MAGIC, zlib.crc32(body), len(body)))
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            scratch.rename(self._path(number))
        except OSError:
            del self._rows[number]
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise
        self._sizes[number] = size
        self._next += 1
        return number

    def oldest(self, rows_max: int) -> list[tuple[int, bytes]]:
        """Return (number, body) of the oldest batches, at least one and together at most rows_max rows.

        Damaged ones are set aside on the way.
        """
        found: list[tuple[int, bytes]] = []
        rows = 0
        for number in sorted(self._sizes):
            rows += self._rows[number]
            if found and rows > rows_max:
                break
            body = self._read(number)
            if body is not None:
                found.append((number, body))
        return found

    def remove(self, number: int) -> None:
        """Remove a batch that the data base has."""
        if number in self._sizes:
            self._path(number).unlink(missing_ok=True)
        self._sizes.pop(number, None)
        self._rows.pop(number, None)

    def set_aside(self, number: int) -> None:
        """Move a batch that cannot be used to the folder "damaged", where a person finds it."""
        self.damaged += 1
        aside = self._folder / "damaged"
        aside.mkdir(exist_ok=True)
        if sum(1 for _ in aside.iterdir()) < DAMAGED_FILES_MAX:
            with contextlib.suppress(FileNotFoundError):
                self._path(number).rename(aside / self._path(number).name)
        self.remove(number)
        logger.error("history: damaged batch {} of the spool was set aside", number)

    def _read(self, number: int) -> bytes | None:
        """Return the body, None after setting a damaged or missing batch aside."""
        try:
            data = self._path(number).read_bytes()
        except FileNotFoundError:
            data = b""
        if len(data) >= HEAD.size:
            magic, checksum, length = HEAD.unpack_from(data)
            body = data[HEAD.size :]
            if magic == MAGIC and length == len(body) and checksum == zlib.crc32(body):
                return body
        self.set_aside(number)
        return None

    def _give_up(self, number: int) -> None:
        if not self.given_up:
            logger.error("history: the spool is full; its oldest batches are given up")
        self.given_up += 1
        self.remove(number)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:015d}-{self._rows[number]}.batch"

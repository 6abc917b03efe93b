"""The process image: one memory-mapped file of columns, written by the core alone and read by every other room.

The core works on private columns during a scan and publishes them in one short copy under a sequence lock, so that
a reader sees whole scans only. Rule: nobody but the core constructs an `ImageWriter`; readers copy, never hold views.

File: a header of HEADER_BYTES, then every column, each aligned to ALIGNMENT, in the order of SECTIONS.
"""

import fcntl
import mmap
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.errors import WattkeeperError
from scada.quality import BAD_WAITING_FOR_INITIAL_DATA

MAGIC: Final = b"WATTIMG1"
HEADER_BYTES: Final = 4096  # one page
ALIGNMENT: Final = 64  # a cache line
HEARTBEAT_LIMIT_NS: Final = 2_000_000_000  # a reader sees within two seconds that the writer is gone
SNAPSHOT_TRIES: Final = 2000  # a publication lasts well under a millisecond; 2000 x 50 us bound the wait to 0.1 s
SNAPSHOT_PAUSE_S: Final = 50e-6

HEADER: Final = np.dtype(
    [
        ("magic", "S8"),
        ("layout_hash", "V32"),
        ("writer_pid", "<i8"),
        ("sequence", "<u8"),  # odd while a publication is under way
        ("heartbeat_mono_ns", "<i8"),  # CLOCK_MONOTONIC, one clock for all processes of the machine
        ("scan", "<u8"),
        ("scan_utc_ns", "<i8"),  # plant time of the scan
        ("speed", "<i8"),
    ]
)

# One table of every column there is. Money is nano (1e-9) of the currency, quantities thousandths of the priced unit.
SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "tags": {"value": "<f8", "quality": "<u4", "source_time": "<i8", "changed_scan": "<u8"},
    "points": {
        "raw": "<i8",  # billing register in its own counts, exactly as read
        "rate1_raw": "<i8",  # the meter's own rate registers (sharp .. deep valley), read in the same instant ...
        "rate2_raw": "<i8",
        "rate3_raw": "<i8",
        "rate4_raw": "<i8",
        "rate5_raw": "<i8",  # ... -1 where the meter has none, or did not say it with this reading
        "quality": "<u4",
        "source_time": "<i8",
        "billed_milli": "<i8",  # quantity charged since the point was opened
        "charged_nano": "<i8",  # money charged since the point was opened
        "price_micro": "<i8",  # price in force
        "rate": "<u1",  # rate period in force, index into billing_core.plan.RATES
        "held": "<u1",  # reason the point is held for a person, 0 = not held
        "rate_check": "<u1",  # whether the rate registers can be believed, index into billing_core.rate_check.STATES
        "changed_scan": "<u8",
    },
    "accounts": {
        "balance_nano": "<i8",  # live: committed balance less what is accrued and not yet committed
        "committed_nano": "<i8",  # what the ledger says
        "credit_state": "<u1",  # index into billing_core.credit.STATES
        "changed_scan": "<u8",
    },
    "alarms": {
        "state": "<u1",  # index into alarms.lifecycle.STATES
        "priority": "<u1",  # 1 critical .. 4 low
        "value": "<f8",  # value that raised it
        "since": "<i8",  # plant time of the last transition, ns
        "changed_scan": "<u8",
    },
}


RATE_COLUMNS: Final = tuple(name for name in SECTIONS["points"] if name.startswith("rate") and name.endswith("_raw"))
NO_RATE: Final = -1  # a rate register that is not known


class ImageGone(WattkeeperError):
    """The image cannot be trusted now: no file, another layout, or the writer's heartbeat has stopped."""


class LayoutChanged(ImageGone):
    """A living core writes an image of another configuration: this room runs on an outdated one."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How many rows each section has, and the hash of the configuration that says so."""

    counts: Mapping[str, int]
    hash: bytes

    def offsets(self) -> tuple[dict[tuple[str, str], int], int]:
        """Return the byte offset of each (section, column) and the size of the whole file."""
        place: dict[tuple[str, str], int] = {}
        at = HEADER_BYTES
        for section, columns in SECTIONS.items():
            for column, dtype in columns.items():
                place[section, column] = at
                at += np.dtype(dtype).itemsize * self.counts[section]
                at += -at % ALIGNMENT
        return place, max(at, HEADER_BYTES + ALIGNMENT)


class Columns:
    """Every column of the image as a numpy array: `columns.tags.value`, `columns.accounts.balance_nano`, ...

    Views into `buffer`, which has the file's size and layout.
    """

    def __init__(self, layout: Layout, buffer: Any) -> None:
        place, self.size = layout.offsets()
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(buffer, dtype=np.uint8)
        self.tags = SimpleNamespace()
        self.points = SimpleNamespace()
        self.accounts = SimpleNamespace()
        self.alarms = SimpleNamespace()
        for (section, column), at in place.items():
            view = np.frombuffer(buffer, dtype=SECTIONS[section][column], count=layout.counts[section], offset=at)
            setattr(getattr(self, section), column, view)

    @classmethod
    def private(cls, layout: Layout) -> "Columns":
        """Return columns in ordinary memory: zeros, with every quality waiting for its first data."""
        columns = cls(layout, bytearray(layout.offsets()[1]))
        columns.tags.quality[:] = BAD_WAITING_FOR_INITIAL_DATA
        columns.points.quality[:] = BAD_WAITING_FOR_INITIAL_DATA
        for name in RATE_COLUMNS:
            getattr(columns.points, name)[:] = NO_RATE
        return columns


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One whole scan, copied out of the image."""

    scan: int
    scan_utc_ns: int
    speed: int
    columns: Columns


class ImageWriter:
    """The one writer of an image file. A second writer on the same file is refused."""

    def __init__(self, path: Path, layout: Layout, speed: int = 1) -> None:
        self._lock = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise WattkeeperError(f"{path}: another core is writing this image") from error
        size = layout.offsets()[1]
        scratch = path.with_suffix(".new")
        try:
            with scratch.open("w+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)  # a disk that is full later would kill us with SIGBUS
                self._map = mmap.mmap(file.fileno(), size)
        except OSError as error:
            self._lock.close()
            raise WattkeeperError(f"{path}: no room for the image: {error}") from error
        self._columns = Columns(layout, self._map)
        self._header = np.frombuffer(self._map, dtype=HEADER, count=1)
        self._header["magic"] = MAGIC
        self._header["layout_hash"] = np.void(layout.hash)
        self._header["writer_pid"] = os.getpid()
        self._header["speed"] = speed
        self._header["sequence"] = 0
        scratch.replace(path)  # readers of the old file see its heartbeat stop and open this one

    def publish(self, columns: Columns, scan: int, utc_ns: int, mono_ns: int) -> None:
        """Copy one whole scan into the file. Lasts as long as one memory copy of the columns."""
        self._header["sequence"] += 1
        self._columns.bytes[HEADER_BYTES:] = columns.bytes[HEADER_BYTES:]
        self._header["scan"] = scan
        self._header["scan_utc_ns"] = utc_ns
        self._header["heartbeat_mono_ns"] = mono_ns
        self._header["sequence"] += 1

    def close(self) -> None:
        """Stop the heartbeat: readers see at once that the core has gone."""
        self._header["heartbeat_mono_ns"] = 0
        self._lock.close()


class ImageReader:
    """A room's window on the image. Opens the file when it can, and again when the core was restarted."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path = path
        self._layout = layout
        self._buffer: mmap.mmap | None = None
        self._inode = 0

    def snapshot(self) -> Snapshot:
        """Return a consistent copy of the last scan.

        Raises ImageGone when there is no image, when it was made by another configuration, or when the
        writer's heartbeat is older than HEARTBEAT_LIMIT_NS. Callers then show everything as bad.
        """
        header, buffer = self._open()
        for _ in range(SNAPSHOT_TRIES):
            before = int(header["sequence"][0])
            if before % 2 == 0:
                beat = int(header["heartbeat_mono_ns"][0])
                copy = bytearray(buffer)
                if int(header["sequence"][0]) == before:
                    if time.monotonic_ns() - beat > HEARTBEAT_LIMIT_NS:
                        self._buffer = None
                        raise ImageGone(f"{self._path}: the core's heartbeat has stopped")
                    head = np.frombuffer(copy, dtype=HEADER, count=1)[0]
                    columns = Columns(self._layout, copy)
                    return Snapshot(int(head["scan"]), int(head["scan_utc_ns"]), int(head["speed"]), columns)
            time.sleep(SNAPSHOT_PAUSE_S)
        self._buffer = None
        raise ImageGone(f"{self._path}: the core stopped in the middle of a publication")

    def _open(self) -> tuple[npt.NDArray[np.void], mmap.mmap]:
        try:
            inode = self._path.stat().st_ino
        except OSError as error:
            raise ImageGone(f"{self._path}: no image; is the core running?") from error
        if self._buffer is None or inode != self._inode:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < HEADER_BYTES:
                    raise ImageGone(f"{self._path}: not an image")
                self._buffer = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
            self._inode = inode
        header = np.frombuffer(self._buffer, dtype=HEADER, count=1)
        if header["magic"][0] != MAGIC or bytes(header["layout_hash"][0]) != self._layout.hash:
            self._buffer = None
            alive = time.monotonic_ns() - int(header["heartbeat_mono_ns"][0]) <= HEARTBEAT_LIMIT_NS
            raise (LayoutChanged if alive else ImageGone)(
                f"{self._path}: made by another configuration; restart this room with the core's"
            )
        return header, self._buffer


def last_scan_utc_ns(path: Path) -> int:
    """Return the plant time of the last scan an earlier core published, or 0; needs no layout."""
    if not path.exists() or path.stat().st_size < HEADER_BYTES:
        return 0
    with path.open("rb") as file:
        head = np.frombuffer(file.read(HEADER.itemsize), dtype=HEADER, count=1)[0]
    return int(head["scan_utc_ns"]) if head["magic"] == MAGIC else 0

"""A batch of history: what the scan recorded since the last flush, and its two forms, on disk and on the wire.

Rule: a batch on disk is self-contained (it names its tags), so that it outlives a change of the configuration.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# One recorded value. "tag" is an index into the batch's ids.
ROW: Final = np.dtype([("time_ns", "<i8"), ("value", "<f8"), ("quality", "<u4"), ("tag", "<u4")])

# PostgreSQL's COPY BINARY: after the signature, for each row the number of fields, and each field with its length
# before it, all big-endian. PostgreSQL manual, COPY, "Binary Format".
WIRE_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("time_bytes", ">i4"), ("time_us", ">i8"),
        ("tag_bytes", ">i4"), ("tag_id", ">i4"),
        ("value_bytes", ">i4"), ("value", ">f8"),
        ("quality_bytes", ">i4"), ("quality", ">i8"),
    ]
)  # fmt: skip
WIRE_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, length of the extension
WIRE_TAIL: Final = b"\xff\xff"
COPY: Final = "COPY history (time, tag_id, value, quality) FROM STDIN (FORMAT BINARY)"
EPOCH_2000_NS: Final = 946_684_800_000_000_000  # PostgreSQL's timestamps count from 2000-01-01 UTC
NS_PER_US: Final = 1000
NS_PER_DAY: Final = 86_400_000_000_000
COMPRESSION: Final = 1  # zlib's fastest: ids repeat, so even that makes a fifth of them

Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows that belong together: written by one start of the core under one number, once."""

    writer: str
    """uuid of the start of the core"""
    number: int
    """grows by at least one from batch to batch of a writer"""
    ids: Sequence[str]
    """tag ids that rows["tag"] points into"""
    rows: Rows
    """(n,) ROW"""

    def days(self) -> set[date]:
        """Return the days of UTC on which there are rows."""
        return {
            (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(day))).date()
            for day in np.unique(self.rows["time_ns"] // NS_PER_DAY)
        }


def encode(batch: Batch) -> bytes:
    """Return the form for the disk: a JSON line with the tags that occur, then the rows, compressed."""
    used, tags = np.unique(batch.rows["tag"], return_inverse=True)
    rows = batch.rows.copy()
    rows["tag"] = tags
    head = {"writer": batch.writer, "number": batch.number, "ids": [batch.ids[int(tag)] for tag in used]}
    text = json.dumps(head, ensure_ascii=False).encode() + b"\n"
    return zlib.compress(text + rows.tobytes(), COMPRESSION)


def decode(body: bytes) -> Batch:
    """Return the batch that `encode` wrote."""
    text, _, rows = zlib.decompress(body).partition(b"\n")
    head: dict[str, Any] = json.loads(text)
    return Batch(head["writer"], head["number"], tuple(head["ids"]), np.frombuffer(rows, dtype=ROW))


def wire(rows: Rows, tag_ids: npt.NDArray[np.int32]) -> bytes:
    """Return the rows as the body of COPY BINARY, without signature and end.

    rows (n,) ROW;  tag_ids (m,) int32: number in the table `tag` for each index in rows["tag"]
    """
    out = np.empty(len(rows), dtype=WIRE_ROW)
    out["fields"] = 4
    out["time_bytes"], out["time_us"] = 8, (rows["time_ns"] - EPOCH_2000_NS) // NS_PER_US
    out["tag_bytes"], out["tag_id"] = 4, tag_ids[rows["tag"]]
    out["value_bytes"], out["value"] = 8, rows["value"]
    out["quality_bytes"], out["quality"] = 8, rows["quality"]
    return out.tobytes()

"""Integer tables as the body of a binary COPY.

Source: PostgreSQL manual, "COPY", binary format: signature, flags, header length, then per row the number of fields and
for each field its length and big-endian value, and at the end -1.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
TRAILER: Final = b"\xff\xff"
EPOCH_2000_S: Final = 946_684_800  # PostgreSQL counts timestamps from 2000-01-01 UTC
US_PER_S: Final = 1_000_000


class Field(NamedTuple):
    """One column: its values and the size of its type on the wire (2 smallint, 4 integer, 8 bigint, timestamptz)."""

    values: npt.NDArray[np.int64]
    size: int


def timestamps(seconds: npt.NDArray[np.int64]) -> Field:
    """Return whole UTC seconds as a timestamptz column."""
    return Field((seconds - EPOCH_2000_S) * US_PER_S, 8)


def body(fields: Sequence[Field]) -> bytes:
    """Return the whole COPY body of columns of equal length."""
    layout: list[tuple[str, str]] = [("count", ">i2")]
    for index, field in enumerate(fields):
        layout += [(f"length{index}", ">i4"), (f"value{index}", f">i{field.size}")]
    rows: npt.NDArray[Any] = np.empty(len(fields[0].values), dtype=np.dtype(layout))
    rows["count"] = len(fields)
    for index, field in enumerate(fields):
        rows[f"length{index}"] = field.size
        rows[f"value{index}"] = field.values
    return HEADER + rows.tobytes() + TRAILER

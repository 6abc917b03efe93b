"""What the publish phase does to every tag, compiled: move what is staged, note what changed, let it grow stale.

Rule: one pass over plain columns, no allocation. The points section, a tenth as long, is published with whole columns
(`stage`), by the same rules; a test holds the two together.
"""

from typing import Any, Final

import numba
import numpy as np

from scada.compiled import compiled
from scada.quality import BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE, UNCERTAIN_NO_COMMUNICATION

GOOD_BELOW: Final = 0x4000_0000  # the bound of scada.quality.good_mask; a kernel cannot call it

INT: Final = numba.int64
INTS: Final = numba.int64[::1]
FLOATS: Final = numba.float64[::1]
WORDS: Final = numba.uint32[::1]
SCANS: Final = numba.uint64[::1]
FLAGS: Final = numba.boolean[::1]


@compiled((WORDS, INTS, SCANS, INT, INT, INT, INT, INT), numba.void, inner=True)
def age(
    quality: Any, time: Any, changed_scan: Any, row: int, stale_ns: int, bad_after_ns: int, scan: int, utc_ns: int
) -> None:
    """Lower the quality of a value that is older than its limit, and again when it stays so."""
    old_ns = utc_ns - time[row]
    if old_ns <= stale_ns:
        return
    if quality[row] < GOOD_BELOW or quality[row] == UNCERTAIN_LAST_USABLE:
        quality[row] = np.uint32(UNCERTAIN_NO_COMMUNICATION)
        changed_scan[row] = scan
    if old_ns > stale_ns + bad_after_ns and quality[row] == UNCERTAIN_NO_COMMUNICATION:
        quality[row] = np.uint32(BAD_NO_COMMUNICATION)
        changed_scan[row] = scan


@compiled((FLOATS, WORDS, INTS, FLAGS, FLOATS, WORDS, INTS, SCANS, FLAGS, INTS, INT, INT, INT), numba.void)
def publish_tags(
    value: Any,
    quality: Any,
    time: Any,
    dirty: Any,
    to_value: Any,
    to_quality: Any,
    to_time: Any,
    to_changed: Any,
    from_field: Any,
    stale_ns: Any,
    bad_after_ns: int,
    scan: int,
    utc_ns: int,
) -> None:
    """Publish the tags section. from_field: rows that can grow stale; stale_ns: after how long each of them does."""
    for row in range(len(value)):
        if dirty[row]:
            dirty[row] = False
            if value[row] != to_value[row] or quality[row] != to_quality[row]:
                to_changed[row] = scan
            to_value[row] = value[row]
            to_quality[row] = quality[row]
            to_time[row] = time[row]
        if from_field[row]:
            age(to_quality, to_time, to_changed, row, stale_ns[row], bad_after_ns, scan, utc_ns)

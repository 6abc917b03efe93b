"""Limits over whole columns: which alarm conditions go on or off in a scan.

Only a good value raises or clears. While the quality is bad or uncertain, or the value is no number, a condition stays
as it is and a running delay starts again: a delay counts uninterrupted good time. Communication loss is an alarm of its
own on the Online tag, which stays good.

Rule: a numba kernel over arrays, and its slow twin beside it; neither knows states, texts or journals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from alarms.definition import AlarmDefinition, Comparison
from scada.clock import NS_PER_S
from scada.quality import is_good

COMPARISONS: Final[tuple[Comparison, ...]] = ("above", "below", "equal")
ABOVE: Final = 0
BELOW: Final = 1
EQUAL: Final = 2

IDLE: Final = 0  # in `pending_ns`: no delay is running; plant time is never zero
GOOD_BELOW: Final = np.uint32(0x4000_0000)  # the bound of scada.quality.good_mask; a kernel cannot call it

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Conditions:
    """Every definition as columns, and the state of its condition. Row i belongs to definition i."""

    tag_row: Ints
    comparison: npt.NDArray[np.uint8]  # index into COMPARISONS
    limit: npt.NDArray[np.float64]
    deadband: npt.NDArray[np.float64]
    on_delay_ns: Ints
    off_delay_ns: Ints
    active: npt.NDArray[np.uint8]  # 1 while the condition is on
    pending_ns: Ints  # plant time since which it has been about to change, IDLE when it is not
    changed: Ints  # scratch of the kernel: rows that changed

    @classmethod
    def of(cls, definitions: Sequence[AlarmDefinition]) -> "Conditions":
        """Return the columns of definitions, every condition off."""
        count = len(definitions)
        return cls(
            np.array([item.tag_row for item in definitions], dtype=np.int64),
            np.array([COMPARISONS.index(item.comparison) for item in definitions], dtype=np.uint8),
            np.array([item.limit for item in definitions], dtype=np.float64),
            np.array([item.deadband for item in definitions], dtype=np.float64),
            np.array([round(item.on_delay_s * NS_PER_S) for item in definitions], dtype=np.int64),
            np.array([round(item.off_delay_s * NS_PER_S) for item in definitions], dtype=np.int64),
            np.zeros(count, dtype=np.uint8),
            np.full(count, IDLE, dtype=np.int64),
            np.zeros(count, dtype=np.int64),
        )


def evaluate(conditions: Conditions, utc_ns: int, value: npt.NDArray[np.float64], quality: Any) -> Ints:
    """Bring every condition up to date; return the rows that changed, a view that is valid until the next call.

    value (n_tags,) float64, quality (n_tags,) uint32: columns of the image.   utc_ns: plant time of the scan
    """
    c = conditions
    count = _scan(
        utc_ns, value, quality, c.tag_row, c.comparison, c.limit, c.deadband, c.on_delay_ns, c.off_delay_ns,
        c.active, c.pending_ns, c.changed,
    )  # fmt: skip
    return c.changed[:count]


@numba.njit(
    "int64(int64, float64[::1], uint32[::1], int64[::1], uint8[::1], float64[::1], float64[::1], int64[::1],"
    " int64[::1], uint8[::1], int64[::1], int64[::1])",
    cache=True,
)  # type: ignore[untyped-decorator]
def _scan(
    utc_ns: int,
    value: Any,
    quality: Any,
    tag_row: Any,
    comparison: Any,
    limit: Any,
    deadband: Any,
    on_delay_ns: Any,
    off_delay_ns: Any,
    active: Any,
    pending_ns: Any,
    changed: Any,
) -> int:
    """Do one scan of all conditions in place; return how many rows of `changed` were filled. Twin: `one`."""
    count = 0
    for row in range(len(tag_row)):
        tag = tag_row[row]
        v = value[tag]
        if quality[tag] >= GOOD_BELOW or not math.isfinite(v):
            pending_ns[row] = IDLE
            continue
        kind = comparison[row]
        if active[row] == 0:
            if kind == ABOVE:
                wants = v > limit[row]
            elif kind == BELOW:
                wants = v < limit[row]
            else:
                wants = v == limit[row]
            delay_ns = on_delay_ns[row]
        else:
            if kind == ABOVE:
                wants = v <= limit[row] - deadband[row]
            elif kind == BELOW:
                wants = v >= limit[row] + deadband[row]
            else:
                wants = v != limit[row]
            delay_ns = off_delay_ns[row]
        if not wants:
            pending_ns[row] = IDLE
            continue
        if pending_ns[row] == IDLE:
            pending_ns[row] = utc_ns
        if utc_ns - pending_ns[row] >= delay_ns:
            active[row] = 1 - active[row]
            pending_ns[row] = IDLE
            changed[count] = row
            count += 1
    return count


def one(
    definition: AlarmDefinition, active: bool, pending_ns: int, utc_ns: int, value: float, quality: int
) -> tuple[bool, int]:
    """Return (active, pending_ns) of one definition after a scan: the slow, obvious twin of the kernel."""
    if not is_good(quality) or not math.isfinite(value):
        return active, IDLE
    over = definition.limit - definition.deadband if active else definition.limit
    under = definition.limit + definition.deadband if active else definition.limit
    on = {"above": value > over, "below": value < under, "equal": value == definition.limit}[definition.comparison]
    if on == active:
        return active, IDLE
    since_ns = utc_ns if pending_ns == IDLE else pending_ns
    delay_s = definition.off_delay_s if active else definition.on_delay_s
    if utc_ns - since_ns >= round(delay_s * NS_PER_S):
        return on, IDLE
    return active, since_ns

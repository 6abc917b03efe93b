"""The stage: where drivers put readings between two scans, and from where the scan publishes them all at once.

Rule: a failed read changes the quality and keeps the value and its *old* time; nothing enters without both.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.clock import NS_PER_S
from scada.image import NO_RATE, RATE_COLUMNS, Columns, Layout
from scada.quality import BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE, UNCERTAIN_NO_COMMUNICATION, good_mask

STALE_SCANS: Final = 3  # usual practice: stale = max(3 scan periods, STALE_LEAST_S)
STALE_LEAST_S: Final = 10
BAD_AFTER_S: Final = 60  # a stale value is uncertain first, and bad after a minute

NO_RATES: Final = (NO_RATE,) * len(RATE_COLUMNS)

Rows = npt.NDArray[np.int64]


class Stage:
    """Readings that came since the last scan. Filled by drivers, emptied by the publish phase; one thread."""

    def __init__(self, layout: Layout, field_rows: npt.NDArray[np.bool_], scan_period_s: float, speed: int) -> None:
        self._columns = Columns.private(layout)
        self._dirty_tags = np.zeros(layout.counts["tags"], dtype=np.bool_)
        self._dirty_points = np.zeros(layout.counts["points"], dtype=np.bool_)
        self._field = field_rows
        stale_s = max(STALE_SCANS * scan_period_s, STALE_LEAST_S)
        self._stale_ns = int(stale_s * NS_PER_S) * speed
        self._bad_ns = int((stale_s + BAD_AFTER_S) * NS_PER_S) * speed

    def put(self, rows: Rows, values: npt.NDArray[np.float64], quality: int, source_time_ns: int) -> None:
        """Stage the values of one reply. rows (k,) image rows; values (k,) float64."""
        tags = self._columns.tags
        tags.value[rows] = values
        tags.quality[rows] = quality
        tags.source_time[rows] = source_time_ns
        self._dirty_tags[rows] = True

    def put_register(
        self, point: int, raw: int, quality: int, source_time_ns: int, rates_raw: Sequence[int] = NO_RATES
    ) -> None:
        """Stage one billing register in its own counts, exactly as read.

        rates_raw  the meter's rate registers of the same reply, one for each of RATE_COLUMNS; NO_RATE where none
        """
        points = self._columns.points
        for name, rate_raw in zip(RATE_COLUMNS, rates_raw, strict=True):
            getattr(points, name)[point] = rate_raw
        points.raw[point] = raw
        points.quality[point] = quality
        points.source_time[point] = source_time_ns
        self._dirty_points[point] = True

    def fail(self, rows: Rows, points: Rows, quality: int) -> None:
        """Stage a failure: quality changes, value and source time stay as they were."""
        self._columns.tags.quality[rows] = quality
        self._columns.points.quality[points] = quality
        self._dirty_tags[rows] = True
        self._dirty_points[points] = True

    def newest(self, row: int) -> tuple[float, int, int]:
        """Return (value, quality, source time) of a tag as it was last read, which the next scan will publish."""
        tags = self._columns.tags
        return float(tags.value[row]), int(tags.quality[row]), int(tags.source_time[row])

    def publish(self, work: Columns, scan: int, utc_ns: int) -> None:
        """Move what is staged into the core's working columns and let old values grow stale."""
        rows = np.flatnonzero(self._dirty_tags)
        _move(self._columns.tags, work.tags, rows, ("value", "quality", "source_time"), scan)
        self._dirty_tags[:] = False
        points = np.flatnonzero(self._dirty_points)
        _move(self._columns.points, work.points, points, ("raw", "quality", "source_time", *RATE_COLUMNS), scan)
        self._dirty_points[:] = False
        self._age(work.tags, self._field, scan, utc_ns)
        self._age(work.points, np.ones(len(work.points.raw), dtype=np.bool_), scan, utc_ns)

    def _age(self, columns: Any, eligible: npt.NDArray[np.bool_], scan: int, utc_ns: int) -> None:
        age = utc_ns - columns.source_time
        usable = good_mask(columns.quality) | (columns.quality == UNCERTAIN_LAST_USABLE)
        stale = eligible & (age > self._stale_ns) & usable
        columns.quality[stale] = UNCERTAIN_NO_COMMUNICATION
        dead = eligible & (age > self._bad_ns) & (columns.quality == UNCERTAIN_NO_COMMUNICATION)
        columns.quality[dead] = BAD_NO_COMMUNICATION
        columns.changed_scan[stale | dead] = scan


def _move(source: Any, target: Any, rows: Rows, names: tuple[str, ...], scan: int) -> None:
    """Copy the rows of the named columns, and note the scan for rows whose value or quality differs."""
    head = names[0]
    changed = (getattr(source, head)[rows] != getattr(target, head)[rows]) | (
        source.quality[rows] != target.quality[rows]
    )
    for column in names:
        getattr(target, column)[rows] = getattr(source, column)[rows]
    target.changed_scan[rows[changed]] = scan

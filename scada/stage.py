"""The stage: where drivers put readings between two scans, and from where the scan publishes them all at once.

Rule: a failed read changes the quality and keeps the value and its *old* time; nothing enters without both.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scada.clock import NS_PER_S
from scada.image import NO_RATE, RATE_COLUMNS, Columns, Layout
from scada.quality import BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE, UNCERTAIN_NO_COMMUNICATION, good_mask
from scada.stage_kernel import publish_tags

STALE_SCANS: Final = 3  # usual practice: stale = max(3 scan periods, STALE_LEAST_S)
STALE_LEAST_S: Final = 10
STALE_PERIODS: Final = 3  # the same for a value that comes less often than a scan
BAD_AFTER_S: Final = 60  # a stale value is uncertain first, and bad after a minute

NEVER_NS: Final = 2**63 - 1  # an instant after every reading

NO_RATES: Final = (NO_RATE,) * len(RATE_COLUMNS)

Rows = npt.NDArray[np.int64]


class Staged(NamedTuple):
    """The columns of a stage as compiled decoders write them; t tags, p points."""

    value: npt.NDArray[np.float64]  # (t,)
    tag_quality: npt.NDArray[np.uint32]
    tag_time: npt.NDArray[np.int64]
    tag_dirty: npt.NDArray[np.bool_]  # differs from what was published, perhaps
    tag_usable: npt.NDArray[np.bool_]  # holds a value that was good or uncertain when it came
    raw: npt.NDArray[np.int64]  # (p,)
    rate1_raw: npt.NDArray[np.int64]
    rate2_raw: npt.NDArray[np.int64]
    rate3_raw: npt.NDArray[np.int64]
    rate4_raw: npt.NDArray[np.int64]
    rate5_raw: npt.NDArray[np.int64]
    point_quality: npt.NDArray[np.uint32]
    point_time: npt.NDArray[np.int64]
    point_dirty: npt.NDArray[np.bool_]
    point_usable: npt.NDArray[np.bool_]


class Stage:
    """Readings that came since the last scan. Filled by drivers, emptied by the publish phase; one thread."""

    def __init__(self, layout: Layout, field_rows: npt.NDArray[np.bool_], scan_period_s: float, speed: int) -> None:
        self._columns = Columns.private(layout)
        tags, points = layout.counts["tags"], layout.counts["points"]
        self.staged = staged_columns(self._columns)
        self._dirty_tags, self._dirty_points = self.staged.tag_dirty, self.staged.point_dirty
        self.sources: list[Callable[[int], None]] = []  # called with the scan's UTC ns before it publishes
        self._field = field_rows
        self._speed = speed
        stale_ns = self._stale_after_ns(max(STALE_SCANS * scan_period_s, STALE_LEAST_S))
        self._stale_tags_ns = np.full(tags, stale_ns, dtype=np.int64)
        self._stale_points_ns = np.full(points, stale_ns, dtype=np.int64)
        self._trusted_from_ns = np.zeros(points, dtype=np.int64)
        self._doubt = np.full(points, UNCERTAIN_LAST_USABLE, dtype=np.uint32)
        self._bad_after_ns = BAD_AFTER_S * NS_PER_S * speed

    def _stale_after_ns(self, seconds: float) -> int:
        return int(seconds * NS_PER_S) * self._speed

    def expect(self, rows: Rows, points: Rows, period_s: float) -> None:
        """Let rows that are read every `period_s` only (a slow line) grow stale after STALE_PERIODS of it."""
        least_ns = self._stale_after_ns(STALE_PERIODS * period_s)
        self._stale_tags_ns[rows] = np.maximum(self._stale_tags_ns[rows], least_ns)
        self._stale_points_ns[points] = np.maximum(self._stale_points_ns[points], least_ns)

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

    def trust(self, points: Rows, from_ns: Rows, quality: npt.NDArray[np.uint32]) -> None:
        """Publish good registers of points as good only when they came at `from_ns` or later, else with `quality`.

        NEVER_NS: none of them, because whose register it is, is in doubt. points, from_ns, quality (k,)
        """
        self._trusted_from_ns[points] = from_ns
        self._doubt[points] = quality
        self._dirty_points[points] = True

    def newest(self, row: int) -> tuple[float, int, int]:
        """Return (value, quality, source time) of a tag as it was last read, which the next scan will publish."""
        tags = self._columns.tags
        return float(tags.value[row]), int(tags.quality[row]), int(tags.source_time[row])

    def publish(self, work: Columns, scan: int, utc_ns: int) -> None:
        """Move what is staged into the core's working columns and let old values grow stale."""
        for take in self.sources:
            take(utc_ns)
        staged, tags = self.staged, work.tags
        publish_tags(
            staged.value, staged.tag_quality, staged.tag_time, staged.tag_dirty,
            tags.value, tags.quality, tags.source_time, tags.changed_scan,
            self._field, self._stale_tags_ns, self._bad_after_ns, scan, utc_ns,
        )  # fmt: skip
        points = np.flatnonzero(self._dirty_points)
        _move(self._columns.points, work.points, points, ("raw", "quality", "source_time", *RATE_COLUMNS), scan)
        self._dirty_points[:] = False
        doubted = (work.points.source_time < self._trusted_from_ns) & good_mask(work.points.quality)
        work.points.quality[doubted] = self._doubt[doubted]
        work.points.changed_scan[doubted] = scan
        self._age(work.points, self._stale_points_ns, scan, utc_ns)

    def _age(self, columns: Any, stale_ns: Rows, scan: int, utc_ns: int) -> None:
        age = utc_ns - columns.source_time
        usable = good_mask(columns.quality) | (columns.quality == UNCERTAIN_LAST_USABLE)
        stale = (age > stale_ns) & usable
        columns.quality[stale] = UNCERTAIN_NO_COMMUNICATION
        dead = (age > stale_ns + self._bad_after_ns) & (columns.quality == UNCERTAIN_NO_COMMUNICATION)
        columns.quality[dead] = BAD_NO_COMMUNICATION
        columns.changed_scan[stale | dead] = scan


def staged_columns(columns: Columns) -> Staged:
    """Return private columns as a compiled decoder takes them; nothing is dirty and nothing usable."""
    tags, points = columns.tags, columns.points
    flags = [np.zeros(len(section.quality), dtype=np.bool_) for section in (tags, tags, points, points)]
    rates: list[Any] = [getattr(points, name) for name in RATE_COLUMNS]
    tag_part = (tags.value, tags.quality, tags.source_time, flags[0], flags[1])
    return Staged._make((*tag_part, points.raw, *rates, points.quality, points.source_time, flags[2], flags[3]))


def _move(source: Any, target: Any, rows: Rows, names: tuple[str, ...], scan: int) -> None:
    """Copy the rows of the named columns, and note the scan for rows whose value or quality differs."""
    head = names[0]
    changed = (getattr(source, head)[rows] != getattr(target, head)[rows]) | (
        source.quality[rows] != target.quality[rows]
    )
    for column in names:
        getattr(target, column)[rows] = getattr(source, column)[rows]
    target.changed_scan[rows[changed]] = scan

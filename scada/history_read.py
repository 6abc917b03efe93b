"""Trends: the history of one tag between two times, in no more samples than a screen can show.

Rule: few rows are given as they were recorded; many are put into equal buckets, from the raw rows or from the coarsest
roll-up that is fine enough. The same statements run on TimescaleDB and on partitions.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from psycopg import sql

from scada.database import Cursor

POINTS_MAX: Final = 5_000  # nobody sees more on a screen, and a request must not ask for a million
LOOK_BACK: Final = timedelta(hours=1)  # longer than the heartbeat: the value a trend starts with
ORIGIN: Final = datetime(2000, 1, 3, tzinfo=UTC)  # of all buckets, as in the migration
USABLE: Final = "quality < 2147483648 AND value BETWEEN -1e150 AND 1e150"  # as in the migration
NAN: Final = float("nan")

# Widths a person can read off an axis, and the table that answers for them.
WIDTHS: Final[tuple[tuple[int, str], ...]] = (
    *((seconds, "history") for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)),
    (900, "history_15m"),
    (1800, "history_15m"),
    *((hours * 3600, "history_1h") for hours in (1, 2, 4, 6, 12)),
    *((days * 86_400, "history_1d") for days in (1, 2, 7, 14, 28, 91, 364)),
)

RAW: Final = """
    (SELECT time, value, quality FROM history
     WHERE tag_id = %(tag)s AND time >= %(before)s AND time < %(start)s ORDER BY time DESC LIMIT 1)
    UNION ALL
    (SELECT time, value, quality FROM history
     WHERE tag_id = %(tag)s AND time >= %(start)s AND time < %(end)s ORDER BY time LIMIT %(limit)s)
    ORDER BY 1
"""
FROM_RAW: Final = f"""
    SELECT date_bin(%(width)s, time, %(origin)s) AS bucket,
           avg(value) FILTER (WHERE {USABLE}), min(value) FILTER (WHERE {USABLE}), max(value) FILTER (WHERE {USABLE}),
           (array_agg(value ORDER BY time DESC) FILTER (WHERE {USABLE}))[1], max(quality), count(*)
    FROM history WHERE tag_id = %(tag)s AND time >= %(start)s AND time < %(end)s
    GROUP BY 1 ORDER BY 1
"""
FROM_ROLL_UP: Final = """
    SELECT date_bin(%(width)s, bucket, %(origin)s) AS wide,
           sum(value_sum) / nullif(sum(usable), 0), min(value_min), max(value_max),
           (array_agg(value_last ORDER BY bucket DESC) FILTER (WHERE usable > 0))[1], max(quality), sum(samples)
    FROM {} WHERE tag_id = %(tag)s AND bucket >= %(start)s AND bucket < %(end)s
    GROUP BY 1 ORDER BY 1
"""


class Sample(NamedTuple):
    """One recorded value, or one bucket of them."""

    time: datetime
    """of the value, or the start of the bucket; UTC"""
    value: float
    """the value, or the mean of the bucket's usable samples; NaN when there is none"""
    minimum: float
    maximum: float
    last: float
    """the newest usable value of the bucket: what to show of a counter"""
    quality: int
    """OPC UA StatusCode; of a bucket the worst"""
    samples: int


@dataclass(frozen=True, slots=True)
class Trend:
    """Samples in the order of time."""

    width_s: int
    """width of the buckets; 0 when the samples are the recorded values"""
    samples: tuple[Sample, ...]


async def read_history(cursor: Cursor, tag_id: str, from_utc: datetime, to_utc: datetime, points_max: int) -> Trend:
    """Return the history of a tag in [from_utc, to_utc), at most points_max + 1 samples.

    tag_id      the tag's id, e.g. "park/M/e-a101/ActivePowerTotal"; an unknown one has no samples
    from_utc    aware datetimes

    Recorded values begin with the last one before from_utc, so that a trend starts with a known value.
    """
    points_max = max(2, min(points_max, POINTS_MAX))
    number = await _number(cursor, tag_id)
    if number is None or to_utc <= from_utc:
        return Trend(0, ())
    span: dict[str, object] = {"tag": number, "start": from_utc, "end": to_utc, "origin": ORIGIN}
    await cursor.execute(RAW, {**span, "before": from_utc - LOOK_BACK, "limit": points_max + 1})
    rows = await cursor.fetchall()
    if sum(time >= from_utc for time, _, _ in rows) <= points_max:
        return Trend(0, tuple(Sample(time, value, value, value, value, quality, 1) for time, value, quality in rows))
    width_s, table = _width(to_utc - from_utc, points_max)
    width = timedelta(seconds=width_s)
    span |= {"width": width, "start": from_utc - (from_utc - ORIGIN) % width}
    statement = FROM_RAW if table == "history" else FROM_ROLL_UP
    await cursor.execute(sql.SQL(statement).format(sql.Identifier(table)), span)
    return Trend(width_s, tuple(_sample(row) for row in await cursor.fetchall()))


async def _number(cursor: Cursor, tag_id: str) -> int | None:
    await cursor.execute("SELECT tag_id FROM tag WHERE id = %s", [tag_id])
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


def _width(span: timedelta, points_max: int) -> tuple[int, str]:
    """Return the narrowest width, in seconds, whose buckets number at most points_max, and its table."""
    for seconds, table in WIDTHS:
        if span <= timedelta(seconds=seconds) * (points_max - 1):  # a bucket may stick out at both ends
            return seconds, table
    return WIDTHS[-1]


def _sample(row: tuple[datetime, float | None, float | None, float | None, float | None, int, int]) -> Sample:
    time, mean, minimum, maximum, last, quality, samples = row
    return Sample(
        time,
        _number_or_nan(mean),
        _number_or_nan(minimum),
        _number_or_nan(maximum),
        _number_or_nan(last),
        quality,
        int(samples),
    )


def _number_or_nan(part: float | None) -> float:
    return NAN if part is None else part

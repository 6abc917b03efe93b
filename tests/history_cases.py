"""One history and its right answers by plain Python, asked of every kind of table that can hold it."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import psycopg

from scada.history_batch import ROW, Batch
from scada.history_read import Sample, Trend, read_history
from scada.quality import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_LAST_USABLE

BEGIN = datetime(2026, 11, 20, 3, 7, 30, tzinfo=UTC)
ORIGIN = datetime(2000, 1, 3, tzinfo=UTC)
TAGS = ("park/M/e-a101/ActivePowerTotal", "park/M/e-a102/ActivePowerTotal")


class Row(NamedTuple):
    time: datetime
    tag: str
    value: float
    quality: int


class Question(NamedTuple):
    name: str
    begin: timedelta  # after BEGIN
    span: timedelta
    points_max: int


QUESTIONS = (
    Question("every recorded value", timedelta(hours=3), timedelta(minutes=20), 100),
    Question("minutes from raw rows", timedelta(hours=3), timedelta(minutes=30), 30),
    Question("buckets of minutes", timedelta(hours=5), timedelta(hours=10), 200),
    Question("quarters of an hour", timedelta(), timedelta(days=1), 100),
    Question("half hours", timedelta(hours=1, minutes=11), timedelta(days=1), 60),
    Question("hours", timedelta(), timedelta(days=3), 90),
    Question("two hours", timedelta(), timedelta(days=3), 40),
    Question("days", timedelta(), timedelta(days=3), 5),
    Question("two days", timedelta(), timedelta(days=3), 3),
    Question("before everything", timedelta(days=-9), timedelta(days=1), 100),
    Question("begins in the middle of nothing", timedelta(days=9), timedelta(days=1), 100),
)


def rows(days: int = 3, step_s: int = 37) -> list[Row]:
    """Return a history with gaps, bad stretches, NaN, infinities, absurdities, and a second tag to be kept apart."""
    chance = random.Random(27)
    made = []
    for second in range(0, days * 86_400, step_s):
        time = BEGIN + timedelta(seconds=second, microseconds=chance.randrange(1_000_000))
        if 30_000 < second % 86_400 < 41_000:
            continue
        value = float(chance.randrange(-1000, 1000)) / 4  # sums of quarters are exact in any order
        quality = GOOD
        match chance.randrange(40):
            case 0:
                value = chance.choice([math.nan, math.inf, -math.inf, 1e300, -1.7e308])
            case 1:
                quality = BAD_NO_COMMUNICATION
            case 2:
                quality = UNCERTAIN_LAST_USABLE
        if 50_000 < second % 86_400 < 55_000:
            quality = BAD_NO_COMMUNICATION
        made.append(Row(time, TAGS[0], value, quality))
        made.append(Row(time + timedelta(seconds=1), TAGS[1], 1e6, GOOD))
    return made


def right_samples(history: Sequence[Row], begin: datetime, end: datetime, width_s: int) -> list[Sample]:
    """Return what read_history shall answer for the first tag, by the slow and obvious way."""
    mine = sorted((row for row in history if row.tag == TAGS[0]), key=lambda row: row.time)
    if width_s == 0:
        before = [row for row in mine if begin - timedelta(hours=1) <= row.time < begin][-1:]
        inside = [row for row in mine if begin <= row.time < end]
        return [Sample(row.time, *[row.value] * 4, row.quality, 1) for row in before + inside]
    width = timedelta(seconds=width_s)
    begin -= (begin - ORIGIN) % width
    if width_s >= 900:  # roll-ups are taken whole
        table = max(w for w in (900, 3600, 86_400) if width_s % w == 0)
        end += -(end - ORIGIN) % timedelta(seconds=table)
    buckets: dict[datetime, list[Row]] = {}
    for row in mine:
        if begin <= row.time < end:
            buckets.setdefault(row.time - (row.time - ORIGIN) % width, []).append(row)
    return [_bucket(time, content) for time, content in sorted(buckets.items())]


def _bucket(time: datetime, content: list[Row]) -> Sample:
    usable = [row.value for row in content if row.quality < 0x8000_0000 and abs(row.value) <= 1e150]
    worst = max(row.quality for row in content)
    if not usable:
        return Sample(time, math.nan, math.nan, math.nan, math.nan, worst, len(content))
    mean = sum(usable) / len(usable)
    return Sample(time, mean, min(usable), max(usable), usable[-1], worst, len(content))


async def check_questions(
    cursor: psycopg.AsyncCursor[tuple[object, ...]], history: Sequence[Row], questions: Sequence[Question] = QUESTIONS
) -> list[int]:
    """Ask every question and compare; return the widths that answered, for a test to see that all were tried."""
    widths = []
    for question in questions:
        begin = BEGIN + question.begin
        end = begin + question.span
        trend = await read_history(cursor, TAGS[0], begin, end, question.points_max)
        check(question.name, trend, right_samples(history, begin, end, trend.width_s))
        assert len(trend.samples) <= question.points_max + 1, question.name
        widths.append(trend.width_s)
    return widths


def check(name: str, trend: Trend, right: list[Sample]) -> None:
    assert len(trend.samples) == len(right), name
    for got, expected in zip(trend.samples, right, strict=True):
        assert (got.time, got.quality, got.samples) == (expected.time, expected.quality, expected.samples), name
        for mine, its in zip(got[1:5], expected[1:5], strict=True):
            assert mine == its or (math.isnan(mine) and math.isnan(its)) or math.isclose(mine, its, rel_tol=1e-12), name


def batch_of(history: Sequence[Row], number: int = 1, writer: str = "6f1c1f3e-2f9e-4c0a-8f5e-0a6a54b6f001") -> Batch:
    """Return the rows as the historian would hand them over."""
    out = np.zeros(len(history), dtype=ROW)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    out["time_ns"] = [(row.time - epoch) // timedelta(microseconds=1) * 1000 for row in history]
    out["value"] = [row.value for row in history]
    out["quality"] = [row.quality for row in history]
    out["tag"] = [TAGS.index(row.tag) for row in history]
    return Batch(writer, number, TAGS, out)

"""Queries: the SQL by which pages read the books and history. Read only.

Rule: one statement per function, values as parameters, plain records out; money stays an integer of nano.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

from billing_core.ledger import wallet
from scada.clock import NS_PER_S
from scada.history_read import read_history
from scada.quality import is_bad

MS_PER_S: Final = 1000
ENTRIES_MAX: Final = 30  # what a person reads on one screen; statements are a report's matter


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One movement of an account."""

    at: datetime  # plant time
    kind: str
    memo: str
    nano: int
    who: str


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """What one meter's consumption cost within an hour."""

    at: datetime  # its beginning
    meter: str
    unit: str
    milli: int
    nano: int


async def entries(cursor: Any, account: str) -> list[EntryLine]:
    """Return the latest movements of an account other than charges, newest first."""
    await cursor.execute(
        """
        SELECT t.plant_time, t.kind, t.memo, e.nano, t.who FROM posted_entry e JOIN transfer t USING (seq)
        WHERE e.account = %s AND t.kind <> 'charge' ORDER BY e.seq DESC LIMIT %s
        """,
        (wallet(account), ENTRIES_MAX),
    )
    return [EntryLine(*row) for row in await cursor.fetchall()]


async def charges(cursor: Any, account: str, zone: str) -> list[ChargeLine]:
    """Return what each meter of an account was charged by the hour of a time zone, newest first."""
    await cursor.execute(
        """
        SELECT date_trunc('hour', c.segment_from, %s), s.meter, s.unit, sum(c.milli)::bigint, sum(c.nano)::bigint
        FROM charge c JOIN terms s ON s.id = c.terms
        WHERE s.account = %s AND c.seq > (SELECT max(seq) FROM transfer) - 20000
        GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2 LIMIT %s
        """,
        (zone, wallet(account), ENTRIES_MAX),
    )
    return [ChargeLine(*row) for row in await cursor.fetchall()]


async def charged_before(cursor: Any, instant: datetime) -> dict[str, tuple[int, int]]:
    """Return point -> (quantity in milli, money in nano) charged before an instant, to a checkpoint."""
    await cursor.execute(
        """
        SELECT s.point, s.billed_milli - coalesce(since.milli, 0), s.charged_nano - coalesce(since.nano, 0)
        FROM point_state s LEFT JOIN (
            SELECT t.point, sum(c.milli)::bigint AS milli, sum(c.nano)::bigint AS nano
            FROM charge c JOIN terms t ON t.id = c.terms
            WHERE c.seq >= (SELECT min(seq) FROM transfer WHERE kind = 'charge' AND plant_time >= %s) GROUP BY t.point
        ) since USING (point)
        """,
        (instant,),
    )
    return {point: (milli, nano) for point, milli, nano in await cursor.fetchall()}


def utc_of(ns: int) -> datetime:
    """Return an instant of the plant clock as a datetime."""
    return datetime.fromtimestamp(ns / NS_PER_S, UTC)


async def history(
    cursor: Any, tag_id: str, from_utc: datetime, to_utc: datetime, points_max: int
) -> list[tuple[int, float | None]]:
    """Return (plant time ms, value) of a tag's records, oldest first; None where a record is not usable."""
    trend = await read_history(cursor, tag_id, from_utc, to_utc, points_max)
    single = trend.width_s == 0  # a bucket's mean leaves out what was not usable
    return [
        (
            int(sample.time.timestamp() * MS_PER_S),
            sample.value if isfinite(sample.value) and not (single and is_bad(sample.quality)) else None,
        )
        for sample in trend.samples
    ]

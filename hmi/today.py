"""Today: what each medium was charged since local midnight, for the overview.

The books are asked once a day for what every point had been charged at midnight; the rest is a difference with the
image, so that the figures move with every scan and no browser costs a query.
"""

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from hmi import queries
from hmi.live import BAD, GOOD, Figures
from hmi.lookup import Lookup
from hmi.money import MILLI, NANO
from scada.clock import Clock
from scada.database import Database
from scada.image import Snapshot

RENEW_S: Final = 2.0  # how often the calendar day is looked at
MEDIA: Final = ("electricity", "water", "gas", "steam", "heat", "cooling")  # order on the screen
DECIMALS_QUANTITY: Final = 2
DECIMALS_MONEY: Final = 2


class Today:
    """Charges of the running day by medium."""

    def __init__(self, lookup: Lookup, reads: Database, clock: Clock) -> None:
        points = lookup.plant.points
        self._reads = reads
        self._clock = clock
        self._zone = ZoneInfo(lookup.plant.site.timezone)
        self._ids = [point.id for point in points]
        self._rows = {
            medium: np.array([row for row, point in enumerate(points) if point.medium == medium], dtype=np.int64)
            for medium in MEDIA
        }
        self._day: date | None = None
        self._milli = np.zeros(len(points), dtype=np.int64)  # charged at midnight
        self._nano = np.zeros(len(points), dtype=np.int64)
        self.media = tuple(  # medium and its unit, for the page
            (medium, points[rows[0]].unit) for medium, rows in self._rows.items() if len(rows)
        )

    async def renew(self) -> None:
        """Ask the books when a new day has begun. Raises DatabaseAway; the figures are unknown until it succeeds."""
        now = queries.utc_of(self._clock.utc_ns()).astimezone(self._zone)
        if now.date() == self._day:
            return
        midnight = datetime(now.year, now.month, now.day, tzinfo=self._zone)
        async with self._reads.transaction() as cursor:
            found = await queries.charged_before(cursor, midnight)
        for row, point in enumerate(self._ids):
            self._milli[row], self._nano[row] = found.get(point, (0, 0))
        self._day = now.date()

    def figures(self, snapshot: Snapshot) -> Figures:
        """Return "quantity/<medium>" and "money/<medium>"; without a value while midnight's books are not known."""
        if self._day is None:
            return {f"{what}/{medium}": (None, BAD) for medium, _ in self.media for what in ("quantity", "money")}
        points = snapshot.columns.points
        milli, nano = points.billed_milli - self._milli, points.charged_nano - self._nano
        figures: dict[str, tuple[float | None, int]] = {}
        for medium, _ in self.media:
            rows = self._rows[medium]
            figures[f"quantity/{medium}"] = (round(int(milli[rows].sum()) / MILLI, DECIMALS_QUANTITY), GOOD)
            figures[f"money/{medium}"] = (round(int(nano[rows].sum()) / NANO, DECIMALS_MONEY), GOOD)
        return figures

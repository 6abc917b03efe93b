"""Whether the rate registers of a meter can be believed in this scan, point by point.

They can when the meter's table equals the plan's, all of them came with the reading, and they add up to the total:
|total - sum| <= 0.01 per register + 0.02 units for registers of 0.01, that is a count for each register and two
more. Otherwise the point goes on by its total, split by time; the tag says why, and an alarm tells a person.

Rule: one pass of numpy over the few points that use rate registers; nothing here is charged.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from billing_core.plan import Plan
from billing_core.points import PointSpec
from billing_core.rate_tables import Week, disagreement
from scada.clock import NS_PER_S
from scada.image import NO_RATE, RATE_COLUMNS
from scada.quality import good_mask

STATES: Final = ("none", "used", "tariff_table_mismatch", "sum_mismatch", "incomplete")
NONE: Final = 0  # the point does not use rate registers
USED: Final = 1
TABLE_MISMATCH: Final = 2  # the meter's table is not the plan's
SUM_MISMATCH: Final = 3  # registers do not add up to the total
INCOMPLETE: Final = 4  # a register was missing in the last reading
GAP_FROM_S: Final = 900  # a longer silence is a gap: four polls of the slowest gateways are missing
SLACK_COUNTS: Final = 2  # beside one count for each register, which are cut off and not rounded


class RateCheck:
    """Writes `rate_check` of the points section."""

    def __init__(self) -> None:
        self._compared: dict[tuple[int, Week], tuple[Plan, bool]] = {}  # by identity of the plan, which it keeps alive
        self.renew((), ())

    def renew(self, points: Sequence[PointSpec], plans: Sequence[Plan]) -> None:
        """Compare the meters' tables with the plans' again. plans: as PointSpec.tariff numbers them."""
        using = [(row, point) for row, point in enumerate(points) if point.rate_registers]
        for _, point in using:
            plan = plans[point.tariff]
            if (id(plan), point.rate_week) not in self._compared:
                self._compared[id(plan), point.rate_week] = plan, not disagreement(plan, point.rate_week)
        agrees = [self._compared[id(plans[point.tariff]), point.rate_week][1] for _, point in using]
        self._rows = np.array([row for row, _ in using], dtype=np.int64)
        self._agrees = np.array(agrees, dtype=np.bool_)
        self._used = np.array([point.rates_used for _, point in using], dtype=np.bool_).reshape(-1, len(RATE_COLUMNS))
        self._modulus = np.array([point.modulus_counts for _, point in using], dtype=np.int64)
        self._by_time = np.array([point.catch_up == "time" for _, point in using], dtype=np.bool_)

    def believed(self, points: Any, last_s: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return (points with rate registers, 5) the registers that may split an interval, NO_RATE for the others.

        last_s (n_points,) when each was billed last: a longer gap is split as the point's `catch_up` declares.
        """
        rows = self._rows
        rates = np.stack([getattr(points, name)[rows] for name in RATE_COLUMNS], axis=1)
        gap = points.source_time[rows] // NS_PER_S - last_s[rows] > GAP_FROM_S
        usable = (points.rate_check[rows] == USED) & ~(gap & self._by_time)
        believed: npt.NDArray[np.int64] = np.where(usable[:, None], rates, NO_RATE)
        return believed

    def mark(self, points: Any) -> None:
        """Write points.rate_check from the registers of this scan; points: the points section of the image."""
        rows = self._rows
        if not len(rows):
            return
        rates = np.stack([getattr(points, name)[rows] for name in RATE_COLUMNS], axis=1)
        missing = (self._used & (rates == NO_RATE)).any(axis=1)
        total = np.where(self._used, rates, 0).sum(axis=1) % self._modulus
        apart = (points.raw[rows] - total) % self._modulus
        apart = np.minimum(apart, self._modulus - apart)
        state = np.full(len(rows), USED, dtype=np.uint8)
        state[apart > self._used.sum(axis=1) + SLACK_COUNTS] = SUM_MISMATCH
        state[missing] = INCOMPLETE
        state[~self._agrees] = TABLE_MISMATCH
        known = good_mask(points.quality[rows]) | ~self._agrees
        points.rate_check[rows[known]] = state[known]

"""Whether the rate registers of a meter can be believed in this scan, point by point.

They can when the meter's table equals the plan's, all of them came with the reading, and they add up to the total:
|total - sum| <= 0.01 per register + 0.02 units for registers of 0.01, that is a count for each register and two
more. Otherwise the point goes on by its total, split by time; the tag says why, and an alarm tells a person.

Rule: one pass of numpy over the few points that use rate registers; nothing here is charged.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from billing_core.plan import Plan
from billing_core.points import PointSpec
from billing_core.rate_tables import disagreement
from scada.image import NO_RATE, RATE_COLUMNS
from scada.quality import good_mask

STATES: Final = ("none", "used", "tariff_table_mismatch", "sum_mismatch", "incomplete")
NONE: Final = 0  # the point does not use rate registers
USED: Final = 1
TABLE_MISMATCH: Final = 2  # the meter's table is not the plan's
SUM_MISMATCH: Final = 3  # registers do not add up to the total
INCOMPLETE: Final = 4  # a register was missing in the last reading
SLACK_COUNTS: Final = 2  # beside one count for each register, which are cut off and not rounded


class RateCheck:
    """Writes `rate_check` of the points section."""

    def __init__(self, points: Sequence[PointSpec], plans: Sequence[Plan]) -> None:
        self._points = tuple(points)
        self.renew(plans)

    def renew(self, plans: Sequence[Plan]) -> None:
        """Compare the tables again, after plans have changed. plans: as PointSpec.tariff numbers them."""
        using = [row for row, point in enumerate(self._points) if point.rate_registers]
        agrees = [not disagreement(plans[self._points[row].tariff], self._points[row].rate_week) for row in using]
        self._rows = np.array(using, dtype=np.int64)
        self._agrees = np.array(agrees, dtype=np.bool_)
        self._used = np.array([self._points[row].rates_used for row in using], dtype=np.bool_).reshape(-1, 5)
        self._modulus = np.array([self._points[row].modulus_counts for row in using], dtype=np.int64)

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

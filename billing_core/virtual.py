"""Virtual meters: a register made of what other supply points were billed: a sum, a difference, or a share of them.

    quantity = share x (billed of all that are added - billed of all that are subtracted), thousandths of the unit

The register counts thousandths, from below zero too: a difference may begin negative, and -5 stands as MODULUS - 5,
from where it rolls over to 0 like any register. It never runs backwards: inputs are read in different instants, so a
difference may dip for a moment; then the register stands. A dip beyond `slack_milli` is shown as it is, and the kernel
holds the point for a person like any register that went back. While an input is held, bad or not yet read, so is the
virtual meter.

Rule: pure over the points section of the image and the quantities billed; nothing is charged here.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from billing_core.columns import HELD_NONE
from billing_core.points import PointSpec
from scada.quality import BAD_WAITING_FOR_INITIAL_DATA, GOOD, UNCERTAIN_SUBNORMAL, good_mask

MODULUS: Final = 10**15  # thousandths of a unit; never reached: 10^12 kWh is more than any park uses
PPM: Final = 1_000_000

Ints = npt.NDArray[np.int64]


class VirtualMeters:
    """Writes register, quality and source time of the virtual points, which stand behind all real ones."""

    def __init__(self, points: Sequence[PointSpec]) -> None:
        self.rows: Ints = np.array([row for row, point in enumerate(points) if point.virtual], dtype=np.int64)
        parts = [(at, part) for at, row in enumerate(self.rows) for part in points[row].virtual]
        self._of: Ints = np.array([at for at, _ in parts], dtype=np.int64)  # which virtual meter a part belongs to ...
        self._input: Ints = np.array([part.row for _, part in parts], dtype=np.int64)  # ... the point it takes from ...
        self._ppm: Ints = np.array([part.ppm for _, part in parts], dtype=np.int64)  # ... and what share of it
        self._slack: Ints = np.array([points[row].slack_milli for row in self.rows], dtype=np.int64)
        self.first = int(self.rows[0]) if len(self.rows) else len(points)

    def quantities(self, billed_milli: Ints) -> Ints:
        """Return (n_virtual,) the quantity of each formula, rounded down. billed_milli (n_points,)."""
        whole, rest = np.divmod(billed_milli[self._input], PPM)  # a product of the whole would leave the scale
        total = np.zeros(len(self.rows), dtype=np.int64)
        np.add.at(total, self._of, whole * self._ppm)
        parts = np.zeros(len(self.rows), dtype=np.int64)
        np.add.at(parts, self._of, rest * self._ppm)
        return total + parts // PPM

    def read(self, points: Any, last_raw: Ints, last_s: Ints) -> None:
        """Write the virtual registers of this scan, after the real points were billed.

        points              the points section of the image; raw, quality and source_time of virtual rows are written
        last_raw, last_s    (n_points,) what was billed last; last_s <= 0 before the first reading
        """
        now = self.quantities(points.billed_milli)
        last = np.asarray(last_raw[self.rows], dtype=np.int64)
        before = np.where(last > MODULUS // 2, last - MODULUS, last)
        dips = (last_s[self.rows] > 0) & (now < before) & (before - now <= self._slack)
        points.raw[self.rows] = np.where(dips, before, now) % MODULUS
        usable = good_mask(points.quality[self._input]) & (points.held[self._input] == HELD_NONE)
        points.quality[self.rows] = self._judged(usable, last_s[self._input] > 0)
        oldest = np.full(len(self.rows), np.iinfo(np.int64).max)
        np.minimum.at(oldest, self._of, points.source_time[self._input])
        points.source_time[self.rows] = oldest

    def _judged(self, usable: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
        """Return the quality of each virtual meter from its inputs."""
        all_usable, all_known = np.ones(len(self.rows), dtype=np.bool_), np.ones(len(self.rows), dtype=np.bool_)
        np.logical_and.at(all_usable, self._of, usable)
        np.logical_and.at(all_known, self._of, known)
        judged = np.where(all_usable, GOOD, UNCERTAIN_SUBNORMAL)
        return np.where(all_known, judged, BAD_WAITING_FOR_INITIAL_DATA).astype(np.uint32)

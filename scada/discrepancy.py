"""Discrepancy: a breaker that is not where the last command put it, or is open while current flows.

Rule: judged over all breakers at once from good readings only; a bad reading neither raises nor clears it.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.clock import NS_PER_S
from scada.position import OPEN, TARGETS
from scada.quality import GOOD, UNCERTAIN_SUBNORMAL, good_mask
from scada.readback import NO_CURRENT_A
from scada.scan import Instant

NOT_COMMANDED: Final = -1
NOT_SINCE: Final = -1

Rows = npt.NDArray[np.int64]


class DiscrepancyWatch:
    """Watches every breaker; row i belongs to the i-th breaker it was given."""

    def __init__(
        self,
        position_rows: Sequence[int],
        current_rows: Sequence[int],
        discrepancy_rows: Sequence[int],
        verify_s: Sequence[float],
    ) -> None:
        """Rows are image rows, current -1 where none is measured; verify_s: real seconds a difference may last."""
        count = len(position_rows)
        self._position_rows = np.array(position_rows, dtype=np.int64)
        current = np.array(current_rows, dtype=np.int64)
        self._discrepancy_rows = np.array(discrepancy_rows, dtype=np.int64)
        self._has_current = current >= 0
        self._current_rows = np.where(self._has_current, current, 0)
        self._limit_ns = (np.array(verify_s, dtype=np.float64) * NS_PER_S).astype(np.int64)
        self._since_ns = np.full(count, NOT_SINCE, dtype=np.int64)
        self.commanded = np.full(count, NOT_COMMANDED, dtype=np.int64)
        self.moving = np.zeros(count, dtype=np.bool_)  # a command is under way; its own time-out judges it first
        self.active = np.zeros(count, dtype=np.bool_)

    def flows_while_open(self, tags: Any) -> npt.NDArray[np.bool_]:
        """Return (n,) bool: good readings say open, and a current that is not nothing."""
        rows = self._position_rows
        current_good = self._has_current & good_mask(tags.quality[self._current_rows])
        is_open = good_mask(tags.quality[rows]) & (tags.value[rows] == OPEN)
        flows: npt.NDArray[np.bool_] = is_open & current_good & (tags.value[self._current_rows] > NO_CURRENT_A)
        return flows

    def step(self, tags: Any, instant: Instant) -> None:
        """Judge every breaker and write its Discrepancy tag where it changed.

        The answer is uncertain while the position is not known, so that no alarm is raised or cleared by it.
        """
        rows = self._position_rows
        known = good_mask(tags.quality[rows]) & np.isin(tags.value[rows], TARGETS)
        elsewhere = known & (self.commanded != NOT_COMMANDED) & (tags.value[rows] != self.commanded)
        odd = elsewhere | self.flows_while_open(tags)
        self._since_ns[odd & (self._since_ns == NOT_SINCE)] = instant.mono_ns
        self._since_ns[known & ~odd] = NOT_SINCE
        self.active[known & ~odd] = False
        lasts = instant.mono_ns - self._since_ns >= self._limit_ns
        self.active[odd & lasts & ~self.moving] = True
        self._show(tags, np.where(known, GOOD, UNCERTAIN_SUBNORMAL), instant)

    def _show(self, tags: Any, quality: npt.NDArray[np.int64], instant: Instant) -> None:
        rows = self._discrepancy_rows
        changed = (tags.value[rows] != self.active) | (tags.quality[rows] != quality)
        tags.value[rows[changed]] = self.active[changed]
        tags.quality[rows[changed]] = quality[changed]
        tags.source_time[rows[changed]] = instant.utc_ns
        tags.changed_scan[rows[changed]] = instant.scan

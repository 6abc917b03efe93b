"""Bill recorded readings in blocks, many scans in one compiled call: for replays, rehearsals and what-if.

Same kernel, same rules, no image and no checkpoints. Memory is the block's and the row buffer's, whatever the span.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from billing_core import charging, fences, kernel
from billing_core.columns import NO_PRICE, ROW_WIDTH, S_OPEN_PRICE, STATE_KEPT, STATE_WIDTH, Table
from billing_core.plan import Plan
from billing_core.points import AccountSpec, PointSpec
from billing_core.schedule import unroll_all
from billing_core.state import fresh_state
from billing_core.supplies import Supplies
from billing_core.tables import desk_of, evidence_of, fences_of, rate_registers_of
from billing_core.zones import DAY_S
from scada.image import Columns, Layout


class Stream:
    """One run over recorded readings from fresh books, or from a kept state."""

    def __init__(
        self,
        points: Sequence[PointSpec],
        accounts: Sequence[AccountSpec],
        plans: Sequence[Plan],
        from_s: int,
        to_s: int,
        *,
        points_kept: Table | None = None,
        room: int = 65_536,
    ) -> None:
        """[from_s, to_s): span of the readings. points_kept (n_points, STATE_KEPT). room: rows held at once."""
        count = len(points)
        supplies = Supplies(points, accounts, plans)
        kept = fresh_state(count, 0).points if points_kept is None else points_kept
        state = np.zeros((count, STATE_WIDTH), dtype=np.int64)
        state[:, :STATE_KEPT] = kept
        state[:, S_OPEN_PRICE] = NO_PRICE
        self._shown = Columns.private(
            Layout({"tags": 0, "points": count, "accounts": len(accounts), "alarms": 0}, b"\0" * 32)
        )
        self._room = max(room, 64 * count)
        money = self._shown.accounts
        self._desk = desk_of(
            supplies.table, state, fences_of(count), self._shown.points, money.balance_nano, money.changed_scan,
            np.zeros((self._room + count, ROW_WIDTH), dtype=np.int64),
            unroll_all(supplies.pairs(), from_s - DAY_S, to_s + DAY_S), np.zeros(2, dtype=np.int64),
            rate_registers_of(0), evidence_of(0),
        )  # fmt: skip
        self._good = np.zeros(count, dtype=np.uint32)
        self._used = 0
        charging.renew_all(self._desk, 0)
        fences.raise_all(self._desk)

    @property
    def billed_milli(self) -> npt.NDArray[np.int64]:
        """Quantity of each point so far."""
        billed: npt.NDArray[np.int64] = self._shown.points.billed_milli
        return billed

    @property
    def charged_nano(self) -> npt.NDArray[np.int64]:
        """Money of each point so far."""
        charged: npt.NDArray[np.int64] = self._shown.points.charged_nano
        return charged

    @property
    def held(self) -> npt.NDArray[np.uint8]:
        held: npt.NDArray[np.uint8] = self._shown.points.held
        return held

    def bill(self, raw: Table, source_ns: Table) -> Iterator[Table]:
        """Bill a block; yield closed charges when the buffer is full, (k, ROW_WIDTH); copy what is to be kept.

        raw, source_ns (n_readings, n_points) int64, C-ordered, in the order of time; a time of 0 is no reading.
        Raises ValueError when one interval needs more rows than there is room.
        """
        done = 0
        while done < len(raw):
            done, self._used = kernel.bill_block(
                self._desk, raw, self._good, source_ns, done, self._used, self._room
            )  # fmt: skip
            if done < len(raw):
                if self._used == 0:
                    raise ValueError(f"{self._room} rows are too few for one interval; give more room")
                yield self._drained()

    def close(self) -> Table:
        """Close every open charge and return the rows that are left."""
        fences.settle_all(self._desk)
        self._used = charging.close_all(self._desk, self._used)
        return self._drained()

    def _drained(self) -> Table:
        rows = self._desk.rows[: self._used]
        self._used = 0
        return rows

"""The billing engine: carries the kernel's tables from scan to scan and cuts checkpoints for the books.

Rule: memory only. The engine never waits; while a checkpoint is not committed it hands out the same one again, and the
open charges go on growing, so a data base that is away costs rows only at rate borders. When the row buffer is full the
points that need a row wait: their registers stand and nothing is lost.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from loguru import logger

from billing_core import charging, kernel
from billing_core.bounds import TOTAL_MAX, terms_table
from billing_core.calendar import DAY_S, Calendar, unroll_all
from billing_core.columns import (
    C_PRICE,
    C_RATE,
    C_START_S,
    NEVER,
    NO_PRICE,
    R_NANO,
    R_POINT,
    ROW_WIDTH,
    S_BILLED_MILLI,
    S_CHANGED_SCAN,
    S_CHARGED_NANO,
    S_HELD,
    S_LAST_RAW,
    S_LAST_S,
    S_OPEN_PRICE,
    S_OPEN_RAW,
    S_OPEN_S,
    STATE_KEPT,
    STATE_WIDTH,
    T_ACCOUNT,
    T_TARIFF,
)
from billing_core.plan import Plan
from billing_core.points import AccountSpec, PointSpec
from billing_core.state import (
    Act,
    BillingState,
    Change,
    Checkpoint,
    Doubt,
    Target,
    fresh_state,
    hold_changed_meters,
)
from scada.clock import NS_PER_S
from scada.errors import Refused
from scada.image import Columns
from scada.scan import Instant

CALENDAR_AHEAD_S: Final = 28 * DAY_S  # unrolled in a few ms; at 3600 times speed it lasts eleven minutes
CALENDAR_MARGIN_S: Final = 2 * DAY_S  # renewed when less than this is left
CALENDAR_PAST_S_MAX: Final = 800 * DAY_S  # a register older than two years is held (no price), not guessed
ROWS_LEAST: Final = 65_536  # 22 years of eight borders a day for one point: any single gap fits
ROWS_PER_POINT: Final = 64  # four days of eight borders, two rows each, without a data base
BEHIND_TOLD_S: Final = 60  # a clock that is set right moves by seconds
STATE_REFRESH_S: Final = 60  # a still register's source time is saved this often, so that a restart splits fairly


class Waiting(NamedTuple):
    """Back-pressure of the last scan."""

    rows: int  # charge rows in memory
    points: int  # points that waited for room


class BillingEngine:
    """One scan of billing after the other. Not thread-safe; belongs to the core's loop."""

    def __init__(self, points: Sequence[PointSpec], accounts: Sequence[AccountSpec], plans: Sequence[Plan]) -> None:
        self._plans = tuple(plans)
        self._terms = terms_table(points, plans)
        self._rows = np.zeros((max(ROWS_LEAST, ROWS_PER_POINT * len(points)) + len(points), ROW_WIDTH), dtype=np.int64)
        self._account_scan = np.zeros(len(accounts), dtype=np.int64)
        self._calendar: Calendar | None = None
        self._price = np.full(len(points), -1, dtype=np.int64)
        self._rate = np.zeros(len(points), dtype=np.uint8)
        self.waiting = Waiting(0, 0)
        self.restore(fresh_state(len(points), len(accounts)))

    def restore(self, state: BillingState) -> None:
        """Begin from the books. Points whose meter changed are held; new points begin at their first good reading."""
        self._state = np.zeros((len(self._terms), STATE_WIDTH), dtype=np.int64)
        self._state[:, :STATE_KEPT] = hold_changed_meters(state)
        self._state[:, S_OPEN_RAW] = self._state[:, S_LAST_RAW]
        self._state[:, S_OPEN_S] = self._state[:, S_LAST_S]
        self._state[:, S_OPEN_PRICE] = NO_PRICE  # placed when the calendar is unrolled
        self._saved = state.points.copy()
        self._committed = state.committed_nano.copy()
        self._balance = state.committed_nano.copy()
        self._seq = state.checkpoint_seq
        self._latest_s = state.plant_time_s
        self._told_behind = False
        self._scan = self._now_s = self._used = 0
        self._border_s = 0
        self._pending: Checkpoint | None = None
        self._calendar = None

    def bill(self, instant: Instant, work: Columns) -> None:
        """Bill one scan: read work.points raw, quality and source time; write the money of points and accounts."""
        self._scan = instant.scan
        self._now_s = instant.utc_ns // NS_PER_S
        self._watch_time()
        calendar = self._calendar_now()
        used, waiting = kernel.bill_scan(
            instant.scan,
            self._now_s,
            work.points.raw,
            work.points.quality,
            work.points.source_time,
            self._terms,
            self._state,
            self._balance,
            self._account_scan,
            calendar.entries,
            calendar.first,
            self._rows,
            self._used,
            len(self._rows) - len(self._state),  # the rest is kept for closing every open charge at a cut
        )
        self._used = used
        self.waiting = Waiting(used, waiting)
        if self._now_s >= self._border_s:
            self._price_now(calendar)
        self._publish(work)

    def cut(self) -> Checkpoint | None:
        """Return what is to be committed, or None when nothing changed. The same one again until it was applied."""
        if self._pending is None:
            self._pending = self._new_checkpoint()
        return self._pending

    def applied(self, checkpoint: Checkpoint) -> None:
        """Note that a checkpoint is in the books."""
        if checkpoint is not self._pending:
            raise ValueError(f"checkpoint {checkpoint.seq} is not the one that is pending")
        self._committed -= checkpoint.account_nano
        self._account_scan[checkpoint.account_nano > 0] = self._scan + 1
        self._saved[checkpoint.point_rows] = checkpoint.points
        self._seq = checkpoint.seq
        self._pending = None

    def credit(self, account_row: int, amount_nano: int) -> None:
        """Add a transfer that was posted to the books (a top-up, or a reversal when negative) to the live balance."""
        if abs(int(self._balance[account_row]) + amount_nano) > TOTAL_MAX:
            raise ValueError(f"account {account_row}: balance would leave the scale")
        self._balance[account_row] += amount_nano
        self._committed[account_row] += amount_nano
        self._account_scan[account_row] = self._scan + 1

    # ---- changes by a person; each is one Change in the next cut, or Refused and nothing happened

    def doubt(self, row: int) -> Doubt:
        """Return what is doubtful about a point. Refused "hold.none": it is not held."""
        raise Refused("billing.unready", "this engine takes no changes yet")

    def release(self, row: int, act: Act, rollover: bool = False) -> Change:
        """Believe the doubtful register: bill up to it. rollover: also one that went back, as rolled over."""
        raise Refused("billing.unready", "this engine takes no changes yet")

    def reject(self, row: int, act: Act) -> Change:
        """Bill on from the doubtful register without charging what lies before it."""
        raise Refused("billing.unready", "this engine takes no changes yet")

    def retarget(self, targets: Sequence[Target], act: Act) -> Change:
        """Bill points by other terms from now on, all of them or none."""
        raise Refused("billing.unready", "this engine takes no changes yet")

    def publish(self, plans: Sequence[Plan], act: Act) -> Change:
        """Take new bodies of plans, or new plans. What they say of the past must be what was said before."""
        raise Refused("billing.unready", "this engine takes no changes yet")

    def adopt(self, account: AccountSpec) -> int:
        """Give an account that was opened while running the next spare row; return the row. No Change: memory only."""
        raise Refused("billing.unready", "this engine takes no changes yet")

    def _watch_time(self) -> None:
        """Say once when plant time runs behind what was billed: no reading counts until it has caught up."""
        behind_s = self._latest_s - self._now_s
        if behind_s <= 0:
            self._latest_s = self._now_s
            self._told_behind = False
        elif behind_s > BEHIND_TOLD_S and not self._told_behind:
            self._told_behind = True
            logger.error("plant time is {} s behind the last billing; nothing is billed until they meet", behind_s)

    def _new_checkpoint(self) -> Checkpoint | None:
        used = charging.close_all(self._state, self._terms, self._rows, self._used)
        dirty = self._unsaved()
        if used == 0 and len(dirty) == 0:
            return None
        rows = self._rows[:used].copy()
        rows.flags.writeable = False
        points = self._state[dirty, :STATE_KEPT]
        points.flags.writeable = False
        spent = np.zeros(len(self._balance), dtype=np.int64)
        np.add.at(spent, self._terms[rows[:, R_POINT], T_ACCOUNT], rows[:, R_NANO])
        spent.flags.writeable = False
        assert np.array_equal(self._balance, self._committed - spent), "live balance is not committed less charges"
        self._used = 0
        return Checkpoint(self._seq + 1, self._now_s, rows, dirty, points, spent)

    def _unsaved(self) -> npt.NDArray[np.int64]:
        """Return the points whose state the books do not know: register or hold differs, or its time is old."""
        now, saved = self._state, self._saved
        differs = (now[:, S_LAST_RAW] != saved[:, S_LAST_RAW]) | (now[:, S_HELD] != saved[:, S_HELD])
        differs |= now[:, S_LAST_S] - saved[:, S_LAST_S] >= STATE_REFRESH_S
        differs |= now[:, S_BILLED_MILLI] != saved[:, S_BILLED_MILLI]
        differs |= (now[:, S_LAST_S] >= 0) & (saved[:, S_LAST_S] < 0)
        return np.flatnonzero(differs)

    def _calendar_now(self) -> Calendar:
        """Return a calendar that covers every unbilled second; unroll a new window when this one ends soon."""
        calendar = self._calendar
        if calendar is not None and self._now_s + CALENDAR_MARGIN_S < calendar.to_s:
            return calendar
        known = self._state[self._state[:, S_LAST_S] >= 0, S_LAST_S]
        oldest_s = min(int(known.min()) if len(known) else self._now_s, self._now_s)
        from_s = max(oldest_s, self._now_s - CALENDAR_PAST_S_MAX) - DAY_S
        renewed = unroll_all(self._plans, from_s, self._now_s + CALENDAR_AHEAD_S)
        old_to_s = calendar.to_s if calendar is not None else NEVER
        charging.renew_all(self._state, self._terms, renewed.entries, renewed.first, old_to_s)
        self._calendar = renewed
        self._border_s = 0
        return renewed

    def _price_now(self, calendar: Calendar) -> None:
        """Find the price in force for every point and the next second at which one changes."""
        price = np.full(len(self._plans), -1, dtype=np.int64)
        rate = np.zeros(len(self._plans), dtype=np.uint8)
        self._border_s = calendar.to_s
        for tariff in range(len(self._plans)):
            entries = calendar.entries[calendar.first[tariff] : calendar.first[tariff + 1]]
            k = int(np.searchsorted(entries[:, C_START_S], self._now_s, side="right")) - 1
            price[tariff] = entries[k, C_PRICE]
            rate[tariff] = max(int(entries[k, C_RATE]), 0)
            self._border_s = min(self._border_s, int(entries[k + 1, C_START_S]))
        of_point = self._terms[:, T_TARIFF]
        changed = (price[of_point] != self._price) | (rate[of_point] != self._rate)
        self._state[changed, S_CHANGED_SCAN] = self._scan
        self._price = price[of_point]
        self._rate = rate[of_point]

    def _publish(self, work: Columns) -> None:
        points, accounts = work.points, work.accounts
        points.billed_milli[:] = self._state[:, S_BILLED_MILLI]
        points.charged_nano[:] = self._state[:, S_CHARGED_NANO]
        points.price_micro[:] = self._price
        points.rate[:] = self._rate
        points.held[:] = self._state[:, S_HELD]
        np.maximum(points.changed_scan, self._state[:, S_CHANGED_SCAN].astype(np.uint64), out=points.changed_scan)
        known = len(self._balance)  # the image has spare rows behind
        accounts.balance_nano[:known] = self._balance
        accounts.committed_nano[:known] = self._committed
        changed = accounts.changed_scan[:known]
        np.maximum(changed, self._account_scan.astype(np.uint64), out=changed)

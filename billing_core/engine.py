"""The billing engine: carries the kernel's tables from scan to scan and cuts checkpoints for the books.

Rule: memory only. The engine never waits; while a checkpoint is not committed it hands out the same one again, and the
open charges go on growing, so a data base that is away costs rows only at borders. When the row buffer is full the
points that need a row wait: their registers stand and nothing is lost.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from loguru import logger

from billing_core import changing, charging, fences, kernel, virtual
from billing_core.bounds import TOTAL_MAX
from billing_core.columns import (
    E_START_S,
    HELD,
    NEVER,
    NO_PRICE,
    R_NANO,
    R_TERMS,
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
    S_PERIOD,
    S_POSITION_MILLI,
    STATE_KEPT,
    STATE_WIDTH,
    T_TERMS,
)
from billing_core.desk import Desk
from billing_core.plan import Plan
from billing_core.points import AccountSpec, PointSpec
from billing_core.posting import check_key
from billing_core.rate_check import RateCheck
from billing_core.schedule import Schedules, unroll_all
from billing_core.state import (
    STANDING,
    Act,
    BillingState,
    Change,
    Checkpoint,
    Doubt,
    Register,
    Standing,
    Target,
    fresh_state,
    hold_changed_meters,
)
from billing_core.supplies import Supplies
from billing_core.tables import desk_of, evidence_in, evidence_of, fences_of, rate_registers_of
from billing_core.zones import DAY_S
from scada.clock import NS_PER_S
from scada.errors import ConfigurationError, Refused
from scada.image import Columns
from scada.quality import UNCERTAIN_SUBNORMAL
from scada.scan import Instant

SCHEDULE_AHEAD_S: Final = 28 * DAY_S  # unrolled in a few ms; at 3600 times speed it lasts eleven minutes
SCHEDULE_MARGIN_S: Final = 2 * DAY_S  # renewed when less than this is left
SCHEDULE_PAST_S_MAX: Final = 800 * DAY_S  # a register older than two years is held (no price), not guessed
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

    def __init__(
        self,
        points: Sequence[PointSpec],
        accounts: Sequence[AccountSpec],
        plans: Sequence[Plan],
        *,
        spare_accounts: int = 0,
        room: int | None = None,
    ) -> None:
        """spare_accounts: rows for `adopt`. room: rows in memory; None: enough for days without a data base.

        points: those on virtual meters stand behind the real ones, and are billed after them in every scan.
        """
        self._configured = tuple(points), tuple(accounts), tuple(plans), len(accounts) + spare_accounts
        self._virtual = virtual.VirtualMeters(points)
        most = max(ROWS_LEAST, ROWS_PER_POINT * len(points)) if room is None else room
        self._rows = np.zeros((most + len(points), ROW_WIDTH), dtype=np.int64)
        self._rated = np.array([row for row, point in enumerate(points) if point.rate_registers], dtype=np.int64)
        self._rate_raw = rate_registers_of(len(points) if len(self._rated) else 0)
        self._evidence = evidence_of(len(self._rows) if len(self._rated) else 0)
        self.waiting = Waiting(0, 0)
        self.restore(fresh_state(len(points), len(accounts)))

    def restore(self, state: BillingState) -> None:
        """Begin from the books. Points whose meter changed are held; new points begin at their first good reading."""
        points, accounts, plans, rows = self._configured
        self._supplies = Supplies(points, accounts, plans, rows)
        self._supplies.override(state.terms)
        self._state = np.zeros((len(points), STATE_WIDTH), dtype=np.int64)
        self._state[:, :STATE_KEPT] = hold_changed_meters(state)
        self._state[:, S_OPEN_RAW] = self._state[:, S_LAST_RAW]
        self._state[:, S_OPEN_S] = self._state[:, S_LAST_S]
        self._state[:, S_OPEN_PRICE] = NO_PRICE  # placed when the schedules are unrolled
        self._saved = state.points.copy()
        self._saved_terms = self._supplies.table[:, T_TERMS].copy()
        self._committed = np.zeros(rows, dtype=np.int64)
        self._committed[: len(state.committed_nano)] = state.committed_nano
        self._balance = self._committed.copy()
        self._work: Columns | None = None
        self._fences = fences_of(len(points))
        self._clock = np.zeros(2, dtype=np.int64)
        self._seq = state.checkpoint_seq
        self._latest_s = state.plant_time_s
        self._told_behind = False
        self._scan = self._now_s = self._used = 0
        self._border_s = 0
        self._pending: Checkpoint | None = None
        self._change: Change | None = None
        self._schedules: Schedules | None = None
        self._desk: Desk | None = None
        self._rate_check = RateCheck()
        self._paused: list[int] = []

    def bill(self, instant: Instant, work: Columns) -> None:
        """Bill one scan: read work.points raw, quality and source time; write the money of points and accounts."""
        self._scan = instant.scan
        self._now_s = instant.utc_ns // NS_PER_S
        self._clock[:] = self._now_s, instant.scan
        self._watch_time()
        desk, points = self._desk_now(work), work.points
        if len(self._rated):
            self._rate_check.mark(points)
            self._rate_raw[self._rated] = self._rate_check.believed(points, desk.last_s)
        waiting = self._pass(work, desk, 0, self._virtual.first)
        if self._virtual.first < len(self._state):
            self._virtual.read(points, desk.last_raw, desk.last_s)
            waiting += self._pass(work, desk, self._virtual.first, len(self._state))
        kernel.keep_rates(desk, self._rated, points.raw, points.source_time)
        self.waiting = Waiting(self._used, waiting)
        if self._now_s >= self._border_s:
            self._show_all(desk)

    def _pass(self, work: Columns, desk: Desk, low: int, high: int) -> int:
        """Bill points [low, high); return how many wait for room."""
        points, room = work.points, len(self._rows) - len(self._state)  # the rest is kept for closing all at a cut
        quality = points.quality
        if self._paused:  # their registers stand; the next reading after it brings all that was used
            quality = quality.copy()
            quality[self._paused] = UNCERTAIN_SUBNORMAL
        self._used, waiting = kernel.bill_scan(
            self._scan, self._now_s, points.raw, quality, points.source_time, desk, self._used, room, low, high
        )
        return int(waiting)

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
        self._show_committed(np.flatnonzero(checkpoint.account_nano))
        self._saved[checkpoint.point_rows] = checkpoint.points
        self._saved_terms[checkpoint.point_rows] = checkpoint.point_terms
        self._seq = checkpoint.seq
        self._pending = None

    def credit(self, account_row: int, amount_nano: int) -> None:
        """Add a transfer that was posted to the books (a top-up, or a reversal when negative) to the live balance."""
        if abs(int(self._balance[account_row]) + amount_nano) > TOTAL_MAX:
            raise ValueError(f"account {account_row}: balance would leave the scale")
        self._balance[account_row] += amount_nano
        self._committed[account_row] += amount_nano
        self._show_committed(account_row)

    # ---- changes by a person; each is one Change in the next cut, or Refused and nothing happened

    def point(self, row: int) -> PointSpec:
        """Return what a supply point is billed by now."""
        return self._supplies.points[row]

    def register(self, row: int) -> Register:
        """Return the register of a point as it was last billed."""
        if self._desk is not None:
            fences.settle(self._desk, row)
        state, point = self._state[row], self._supplies.points[row]
        return Register(
            point.id, point.meter, int(state[S_LAST_RAW]), int(state[S_LAST_S]), point.milli_per_count,
            HELD[int(state[S_HELD])],
        )  # fmt: skip

    def uncommitted_nano(self, account_row: int) -> int:
        """Return what was charged to an account and is not in the books yet."""
        return int(self._committed[account_row] - self._balance[account_row])

    @property
    def points(self) -> Sequence[PointSpec]:
        """What every supply point is billed by now, by row. Do not change it."""
        return self._supplies.points

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans in force, with what was published since the start."""
        return tuple(self._supplies.plans)

    @property
    def accounts(self) -> tuple[AccountSpec, ...]:
        """The accounts in the order of their rows, with those adopted since the start."""
        return tuple(self._supplies.accounts)

    def doubt(self, row: int) -> Doubt:
        """Return what is doubtful about a point. Refused "hold.none", "hold.not-for-a-person", "hold.no-reading"."""
        return self._clerk().doubt(row)

    def release(self, row: int, act: Act, rollover: bool = False) -> Change:
        """Believe the doubtful register: bill up to it. rollover: also one that went back, as rolled over."""
        return self._attempt(act, "release", [row], lambda clerk: clerk.release(row, rollover))

    def reject(self, row: int, act: Act) -> Change:
        """Bill on from the doubtful register without charging what lies before it."""
        return self._attempt(act, "reject", [row], lambda clerk: clerk.reject(row))

    def retarget(self, targets: Sequence[Target], act: Act) -> Change:
        """Bill points by other terms from now on, all of them or none."""

        def change(clerk: changing.Clerk) -> dict[str, Any]:
            entries = []
            for target in targets:
                after = changing.wanted(self._supplies, target)
                entries.append(clerk.settle(target, after))
                self._supplies.set(target.row, after)
            desk = self._renewed()
            clerk.desk = desk
            for target, entry in zip(targets, entries, strict=True):
                clerk.carry(target)
                if target.position_milli is not None:
                    entry["position_milli"] = target.position_milli
            return {"points": entries}

        if len({target.row for target in targets}) != len(targets) or not targets:
            raise Refused("point.twice", "name each supply point once")
        return self._attempt(act, "retarget", [target.row for target in targets], change)

    def check_final(self, target: Target) -> None:
        """Refuse a final register as `retarget` would, without changing anything. Refused "meter.*"."""
        if self.standing(target.row).last_s == NEVER:
            raise Refused("point.never-read", "the point has never been read; there is nothing to bill up to")
        self._clerk().final_step(target)

    def publish(self, plans: Sequence[Plan], act: Act) -> Change:
        """Take new bodies of plans, or new plans. What they say of the past must be what was said before."""

        def change(clerk: changing.Clerk) -> dict[str, Any]:
            self._supplies.publish(plans)
            rows = [row for row, point in enumerate(self._supplies.points) if point.tariff in touched]
            for row in rows:
                clerk.cut(row)
                self._supplies.number(row)
            clerk.desk = self._renewed()
            for row in rows:
                clerk.carry(Target(row))
            return {"plans": [plan.id for plan in plans], "points": [self._supplies.points[row].id for row in rows]}

        changing.check_publication(self._supplies, {plan.id: plan for plan in plans}, self._now_s)
        names = {plan.id for plan in plans}
        touched = {index for index, plan in enumerate(self._supplies.plans) if plan.id in names}
        rows = [row for row, point in enumerate(self._supplies.points) if point.tariff in touched]
        return self._attempt(act, "publish", rows, change)

    # ---- restatement: what stands in the books changes while the point waits

    def standing(self, row: int) -> Standing:
        """Return where a supply point stands in memory."""
        if self._desk is not None:
            fences.settle(self._desk, row)
        return Standing(*(int(self._state[row, column]) for column in STANDING))

    def pause(self, row: int) -> None:
        """Let a point's register stand until `resume`. What it uses meanwhile is billed with its next reading.

        Refused "billing.no-scan" as long as nothing was billed.
        """
        self._clerk()
        self._paused.append(row)

    def waits(self, row: int) -> bool:
        """Tell whether a point's register stands since `pause`; not when billing began again from the books since."""
        return row in self._paused

    def resume(self, row: int) -> None:
        if row in self._paused:  # billing that began again waits for nothing
            self._paused.remove(row)

    def restated(self, row: int, milli: int, nano: int, position: tuple[int, int] | None) -> None:
        """Take over what a restatement did to the books of a paused point; the money comes by `credit`.

        milli, nano: more charged than before, may be negative; position: (milli, period) where that moved
        """
        desk = self._clerk().desk
        fences.settle(desk, row)
        assert row in self._paused, "a point is restated while it waits"
        assert self._state[row, S_OPEN_RAW] == self._state[row, S_LAST_RAW], "its open charge is in the books"
        for table in (self._state, self._saved):
            table[row, S_BILLED_MILLI] += milli
            table[row, S_CHARGED_NANO] += nano
            if position is not None and table[row, S_PERIOD] == position[1]:
                table[row, S_POSITION_MILLI] = position[0]
        self._state[row, S_CHANGED_SCAN] = self._scan
        if self._state[row, S_LAST_S] >= 0:
            charging.place(desk, row)
            charging.show(desk, row)
        fences.raise_fences(desk, row)

    def adopt(self, account: AccountSpec) -> int:
        """Give an account that was opened while running the next spare row; return the row. No Change: memory only."""
        supplies = self._supplies
        if any(known.id == account.id for known in supplies.accounts):
            raise Refused("account.exists", f"account {account.id} is open already; choose another id")
        if len(supplies.accounts) == supplies.rooms:
            raise Refused("account.no-room", "no spare row is left; raise [ledger] spare_accounts and restart the core")
        supplies.accounts.append(account)
        points, accounts, plans, rows = self._configured
        self._configured = points, (*accounts, account), plans, rows  # a restore keeps it
        return len(supplies.accounts) - 1

    def _clerk(self) -> changing.Clerk:
        if self._desk is None:
            raise Refused("billing.no-scan", "no scan was billed yet; try again in a second")
        return changing.Clerk(self._desk, self._supplies, self._scan, self._used, len(self._rows) - len(self._state))

    def _attempt(
        self, act: Act, kind: str, rows: Sequence[int], change: Callable[[changing.Clerk], dict[str, Any]]
    ) -> Change:
        """Carry out a change and keep it for the next cut; when it is refused, put everything back as it was."""
        check_key(act.key)  # a checkpoint that the books do not take would stop the billing of the whole site
        if self._change is not None or self._pending is not None:
            raise Refused("billing.busy", "another change waits for the data base; try again when it is committed")
        for row in rows:
            changing.check_row(self._supplies, row)
        clerk, before = self._clerk(), (self._desk, self._schedules, self._supplies.copy())
        fences.settle_all(clerk.desk)  # from here on the wide state leads, until the fences are raised again
        state, balance, scans = self._state[rows], self._balance.copy(), clerk.desk.account_scan.copy()
        try:
            document = change(clerk)
        except Exception as refusal:  # a mistake of the program, too, must leave nothing half done
            self._desk, self._schedules, supplies = before
            self._supplies.become(supplies)
            self._state[rows], self._balance[:], clerk.desk.account_scan[:] = state, balance, scans
            self._border_s = 0  # shows every price again
            if isinstance(refusal, ConfigurationError):
                raise Refused("billing.terms", str(refusal)) from refusal
            raise
        else:
            self._used = clerk.used
        finally:
            assert self._desk is not None
            for row in rows:
                fences.raise_fences(self._desk, row)
        body = {**document, **act.document, "at_s": self._now_s}
        self._change = Change(act.key, act.kind or kind, act.who, act.station, act.memo, body)
        return self._change

    # ---- within

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
        if self._desk is not None:
            fences.settle_all(self._desk)
        used = self._used if self._desk is None else charging.close_all(self._desk, self._used)
        dirty = self._unsaved()
        if used == 0 and len(dirty) == 0 and self._change is None:
            return None
        rows = self._rows[:used].copy()
        evidence = evidence_in(rows, self._evidence[:used])
        points, terms = self._state[dirty, :STATE_KEPT], self._supplies.table[dirty, T_TERMS]
        spent = np.zeros(len(self._balance), dtype=np.int64)
        np.add.at(spent, self._payers()[rows[:, R_TERMS]], rows[:, R_NANO])
        for table in (rows, points, terms, spent, evidence):
            table.flags.writeable = False
        assert np.array_equal(self._balance, self._committed - spent), "live balance is not committed less charges"
        self._used, change, self._change = 0, self._change, None
        return Checkpoint(
            self._seq + 1, self._now_s, rows, dirty, points, spent, self._supplies.listed(), change, terms,
            tuple(account.id for account in self._supplies.accounts), evidence,
        )  # fmt: skip

    def _payers(self) -> npt.NDArray[np.int64]:
        """Return the row of the account that pays, for every number of terms."""
        return np.array(self._supplies.payers, dtype=np.int64)

    def _unsaved(self) -> npt.NDArray[np.int64]:
        """Return the points whose state the books do not know: register or hold differs, or its time is old."""
        now, saved = self._state, self._saved
        differs = (now[:, S_LAST_RAW] != saved[:, S_LAST_RAW]) | (now[:, S_HELD] != saved[:, S_HELD])
        differs |= now[:, S_LAST_S] - saved[:, S_LAST_S] >= STATE_REFRESH_S
        differs |= now[:, S_BILLED_MILLI] != saved[:, S_BILLED_MILLI]
        differs |= now[:, S_CHARGED_NANO] != saved[:, S_CHARGED_NANO]
        differs |= (now[:, S_LAST_S] >= 0) & (saved[:, S_LAST_S] < 0)
        differs |= self._supplies.table[:, T_TERMS] != self._saved_terms
        return np.flatnonzero(differs)

    def _desk_now(self, work: Columns) -> Desk:
        """Return tables on these columns whose schedules cover every unbilled second."""
        if work is not self._work:
            self._take_place(work)
        covered = self._schedules is not None and self._now_s + SCHEDULE_MARGIN_S < self._schedules.to_s
        if covered and self._desk is not None:
            return self._desk
        if self._desk is not None:
            fences.settle_all(self._desk)
        return self._renewed()

    def _take_place(self, work: Columns) -> None:
        """Work on the columns that people see, from now on; what was known goes into them."""
        accounts, rows = work.accounts, len(self._committed)
        if len(accounts.balance_nano) < rows:
            raise ValueError(f"an image with {len(accounts.balance_nano)} rows of accounts cannot show {rows}")
        if self._desk is not None:
            fences.settle_all(self._desk)
        accounts.balance_nano[:rows] = self._balance
        accounts.committed_nano[:rows] = self._committed
        work.points.price_micro[:] = NO_PRICE
        self._balance = accounts.balance_nano[:rows]
        self._work, self._desk = work, None
        self._border_s = 0

    def _renewed(self) -> Desk:
        """Unroll the plans over a new window; open charges go on where they are. The wide state must be settled."""
        assert self._work is not None
        known = self._state[self._state[:, S_LAST_S] >= 0, S_LAST_S]
        oldest_s = min(int(known.min()) if len(known) else self._now_s, self._now_s)
        from_s = max(oldest_s, self._now_s - SCHEDULE_PAST_S_MAX) - DAY_S
        self._rate_check.renew(self._supplies.points, self._supplies.plans)
        old_to_s = self._schedules.to_s if self._schedules is not None else NEVER
        found = self._schedules = unroll_all(self._supplies.pairs(), from_s, self._now_s + SCHEDULE_AHEAD_S)
        points, accounts = self._work.points, self._work.accounts
        self._desk = desk_of(
            self._supplies.table, self._state, self._fences, points, self._balance,
            accounts.changed_scan[: len(self._balance)], self._rows, found, self._clock, self._rate_raw,
            self._evidence,
        )  # fmt: skip
        charging.renew_all(self._desk, old_to_s)
        fences.raise_all(self._desk)
        self._border_s = 0
        return self._desk

    def _show_all(self, desk: Desk) -> None:
        """Show the price in force at every point, and find the next second at which one changes."""
        charging.show_all(desk)
        starts = desk.entries[:, E_START_S]
        later = starts[starts > self._now_s]
        self._border_s = int(later.min()) if len(later) else self._now_s + 1

    def _show_committed(self, rows: Any) -> None:
        """Show that the books changed for some accounts; it counts as seen in the next scan."""
        if self._work is not None:
            accounts = self._work.accounts
            accounts.committed_nano[rows] = self._committed[rows]
            accounts.changed_scan[rows] = self._scan + 1

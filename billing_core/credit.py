"""Credit control: from committed balances to notices, switch-offs and reconnections, each with its reason.

    decide --judge--> state (credit_levels) --tell--> notices --guards--> wishes --desk, read-back--> stops in force

Rule: pure. It wishes, the control desk commands, the desk's read-back tells what became of it. Only what this file
switched off it switches on again. Every refusal is logged by its code when it changes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from loguru import logger

from billing_core import credit_levels as levels
from billing_core.columns import R_NANO, R_POINT, R_SEGMENT_FROM_S, R_SEGMENT_TO_S
from billing_core.credit_guards import ClockGuard, MassGuard, RateGuard
from billing_core.credit_holds import ALL, DISPUTE, MASS_HOLD, PAUSE, PERMIT, PROTECT, RELEASE, CreditEvent, Holds
from billing_core.credit_levels import NORMAL, PENDING_STOP, PROTECTED, STATES
from billing_core.credit_notices import NoticeDesk
from billing_core.credit_rules import Kept, Remembered, Settings, Tenant
from billing_core.credit_stops import Stop
from billing_core.credit_switching import StopRecord, Switching, Wish, position
from billing_core.credit_wishes import Holding, Wishes, refuse
from billing_core.forecast import KEPT_H, Forecaster, Outlook
from billing_core.notices import Notice, Told
from billing_core.points import AccountSpec, PointSpec
from billing_core.state import Checkpoint
from scada.clock import NS_PER_S
from scada.control import Breaker
from scada.image import Columns
from scada.position import OPEN
from scada.quality import good_mask
from scada.scan import Instant

__all__ = ["STATES", "CreditControl", "StopRecord", "Wish"]

NOTHING: Final = Remembered()
OUTLOOK_S: Final = 60  # plant seconds between two forecasts


class CreditControl:
    """Decides once a scan. `held` is true while the mass-trip guard waits for a person (`release`)."""

    def __init__(
        self,
        accounts: Sequence[AccountSpec],
        points: Sequence[PointSpec],
        breakers: Sequence[Breaker],
        settings: Settings,
        timezone: str,
        load_kw: Callable[[str, Columns], float] | None = None,
        speed: int = 1,
        rows: int = 0,
    ) -> None:
        """load_kw: (breaker id, columns) -> load it carries now; without it the load guard is off.

        speed: plant seconds in a real second    rows: accounts the image has room for
        """
        self._breakers: Mapping[str, Breaker] = {breaker.id: breaker for breaker in breakers}
        self._settings = settings
        self._zone = ZoneInfo(timezone)
        self._switching = Switching(settings.reconnect_spacing_s)
        self._mass = MassGuard(settings.hold_percent, settings.hold_interval_s)
        self._rate = RateGuard(settings.stops_max, settings.load_max_kw, settings.stops_interval_s)
        self._wishes = Wishes(self._switching, self._rate, load_kw or (lambda breaker, work: 0.0), self._zone)
        self._clock = ClockGuard(settings.clock_jump_s, settings.clock_steady_s, speed)
        self._desk = NoticeDesk(self._zone)
        self._holds = Holds()
        self._events: list[CreditEvent] = []
        self._changed: dict[str, int] = {}  # account -> second of its change, not kept yet
        self.forecaster = Forecaster(max(rows, len(accounts)))
        self._outlook: Outlook | None = None
        self._outlook_s = -1
        self._now_s = 0
        self._limit1 = np.zeros(len(self.forecaster.costs.nano), dtype=np.int64)  # row -> balance of the first reminder
        self._limit2 = self._limit1.copy()
        self._overdraft = self._limit1.copy()
        self._by_account: dict[str, Tenant] = {}
        self._at_row: dict[int, Tenant] = {}
        self._busy: set[int] = set()  # rows that are judged whatever their balance
        self._payer = np.full(len(points), -1, dtype=np.int64)  # row of each point's account
        for row, spec in enumerate(accounts):
            self._enter(spec, row, [index for index, point in enumerate(points) if point.account == row])

    # --- from start to start, from tenancy to tenancy

    def restore(self, stops: Iterable[Stop], now_s: int, known: Remembered = NOTHING) -> None:
        """Go on where an earlier core stopped.

        stops: (account, breaker, since second) that credit switched off    known: what else was kept
        """
        stops = list(stops)
        self._switching.restore(stops, self._supplies(), now_s)
        self._rate.restore(since_s for _, _, since_s in stops)
        for stand in known.kept:
            if (tenant := self._by_account.get(stand.account)) is not None:
                tenant.remember(stand)
        for (account, kind), at_s in known.told_s.items():
            if (tenant := self._by_account.get(account)) is not None:
                tenant.told.last_s[kind] = at_s
        self._holds = Holds(known.events)
        self._mass.restore({stand.account: stand.due_s for stand in known.kept}, known.events, now_s)
        rows = {tenant.spec.id: tenant.row for tenant in self._by_account.values()}
        costs = [(rows[account], hour, nano) for account, hour, nano in known.hours if account in rows]
        self.forecaster.costs.restore(now_s, np.array(costs, dtype=np.int64).reshape(-1, 3))
        self._busy |= set(rows.values())

    def adopt(self, spec: AccountSpec, row: int, points: Sequence[int], now_s: int) -> None:
        """Take over an account that was opened, or whose points, breakers or limits changed, while the core runs.

        row: of the account in the image; points: rows of the supply points it pays for, from now on. A stop of a
        breaker that is no longer the account's ends in the books; whoever carries it now decides about it afresh.
        """
        before = self._by_account.get(spec.id)
        if before is not None:
            self._payer[before.points[self._payer[before.points] == before.row]] = -1
        tenant = self._enter(spec, row, points)
        if before is not None:
            tenant.take_over(before)
        else:
            self.forecaster.costs.forget(row)
        self._switching.end_foreign(self._supplies(), now_s)

    def leave(self, account: str, now_s: int) -> None:
        """Forget an account that was closed; its stops end in the books, its breakers stay where they are."""
        tenant = self._by_account.pop(account, None)
        self._changed.pop(account, None)
        if tenant is not None and self._at_row.get(tenant.row) is tenant:
            del self._at_row[tenant.row]
        self._switching.end_foreign(self._supplies(), now_s)

    # --- one scan

    def decide(self, instant: Instant, work: Columns) -> Sequence[Wish]:
        """Judge every account on its committed balance; write its credit state; return what should be switched."""
        now_s = instant.utc_ns // NS_PER_S
        self._now_s = now_s
        self._wishes.begin()
        self._rate.forget(now_s)
        self._clock.watch(instant)
        for event in self._holds.expire(now_s):
            logger.warning("credit: {} of {} is over: its time has come", event.verb, event.account or "all")
            self._busy |= set(self._at_row)
        if not 0 <= now_s - self._outlook_s < OUTLOOK_S:
            self._look_ahead(now_s, work)
        tenants = self._attention(work)
        for tenant in tenants:
            self._judge(tenant, instant, work)
        self._guard_mass(now_s)
        wishes: list[Wish] = []
        for tenant in tenants:
            wishes += self._wishes.of(tenant, self._holding(tenant), instant, work, len(wishes))
        return wishes

    def sent(self, wish: Wish, command_id: str, instant: Instant) -> None:
        """Note that the desk sent a wish; what became of it shows in the position of the breaker."""
        logger.info("credit: {} {}: {} (command {})", wish.account, wish.breaker, wish.reason, command_id)
        self._wishes.sent(wish, instant)

    def refused(self, wish: Wish, code: str, instant: Instant) -> None:
        """Note that the desk refused a wish, by its code; it comes again when its waiting time is over."""
        self._switching.tried(wish, instant)
        refuse(self._by_account[wish.account], code)

    def charged(self, checkpoint: Checkpoint) -> None:
        """Learn from a committed checkpoint what the accounts cost."""
        rows = checkpoint.rows
        if len(rows) == 0:
            return
        payer = self._payer[rows[:, R_POINT]]
        paid = rows[payer >= 0]
        payer = payer[payer >= 0]
        self.forecaster.costs.add(payer, paid[:, R_SEGMENT_FROM_S], paid[:, R_SEGMENT_TO_S], paid[:, R_NANO])

    # --- what is to be kept

    def records(self) -> Sequence[StopRecord]:
        """Return the stops and reconnections that are not in the books yet."""
        return tuple(self._switching.records)

    def recorded(self, count: int) -> None:
        """Forget the first `count` records: they are in the books."""
        del self._switching.records[:count]

    def notices(self) -> Sequence[Notice]:
        """Return the notices that are not delivered yet."""
        return tuple(self._desk.waiting)

    def delivered(self, count: int, at_s: int) -> None:
        """Note that the first `count` notices were delivered."""
        for notice in self._desk.waiting[:count]:
            tenant = self._by_account.get(notice.account)
            self._desk.delivered(notice, tenant, at_s)
            self._changed[notice.account] = at_s
        del self._desk.waiting[:count]

    def changed(self) -> list[Kept]:
        """Return how the accounts stand that changed since they were last kept."""
        return [
            Kept(t.spec.id, t.state, t.told_state, at_s, t.due_s, t.told.final_s, t.told.again_s)
            for account, at_s in self._changed.items()
            if (t := self._by_account.get(account)) is not None
        ]

    def events(self) -> Sequence[CreditEvent]:
        """Return the decisions that this file made itself and that are not kept yet."""
        return tuple(self._events)

    def whole_hours(self) -> tuple[list[int], list[tuple[str, int, int]]]:
        """Return the hours whose costs are to be kept, and (account, hour, nano) of each that cost anything."""
        costs = self.forecaster.costs
        hours = sorted(hour for hour in costs.touched if hour < costs.now_h)
        return hours, [
            (tenant.spec.id, hour, nano)
            for hour in hours
            for row, tenant in self._at_row.items()
            if (nano := int(costs.nano[row, hour % KEPT_H]))
        ]

    def kept(self, states: Sequence[Kept], events: int, hours: Iterable[int] = ()) -> None:
        """Note that these states, the first `events` events and the costs of these hours are kept."""
        self.forecaster.costs.touched -= set(hours)
        for stand in states:
            if self._changed.get(stand.account) == stand.since_s:
                del self._changed[stand.account]
        del self._events[:events]

    # --- people

    def apply(self, event: CreditEvent) -> None:
        """Take a decision of a person into account; it is kept already."""
        logger.warning("credit: {} {} by {}: {}", event.verb, event.account or "all", event.who, event.reason)
        if event.verb == RELEASE:
            self._mass.release()
            self._clock.release()
        if event.verb == PERMIT:
            self._by_account[event.account].permitted = True
        self._holds.apply(event)
        self._busy |= set(self._at_row)

    def release(self, user: str) -> None:
        """Let a person end the hold of the mass-trip guard and the suspension by the clock."""
        logger.warning("credit: {} released {} held switch-offs", user, self.held_count)
        self._mass.release()
        self._clock.release()
        key = f"{RELEASE}:{self._now_s}:{user}"
        self._events.append(CreditEvent(key, RELEASE, ALL, self._now_s, 0, "", "released", user, ""))

    @property
    def held(self) -> bool:
        return self._mass.held

    @property
    def held_count(self) -> int:
        return self._mass.count

    @property
    def stops_held(self) -> int:
        """Why no supply at all is switched off now: an index into credit_levels.STOPS_HELD."""
        reasons = (
            self._mass.held, self._clock.suspended, self._holds.own(PROTECT, ALL) is not None,
            self._holds.own(PAUSE, ALL) is not None,
        )  # fmt: skip
        return next((number for number, holds in enumerate(reasons, 1) if holds), 0)

    @property
    def holds(self) -> Holds:
        return self._holds

    @property
    def outlook(self) -> Outlook | None:
        """The newest forecast of every account row; None before the first."""
        return self._outlook

    def tenants(self) -> Mapping[str, Tenant]:
        """Return what is known of every account."""
        return self._by_account

    def refusal(self, account: str) -> str:
        """Return why an account that is due, or may be supplied again, was not switched; "" when nothing is due."""
        return self._by_account[account].refusal

    # --- one tenant

    def _enter(self, spec: AccountSpec, row: int, points: Sequence[int]) -> Tenant:
        own = tuple(self._breakers[name] for name in spec.breakers if name in self._breakers)
        rules = self._settings.classes.get(spec.account_class, self._settings)
        tenant = Tenant(spec, row, own, np.array(points, dtype=np.int64), rules, told=Told({}))
        self._by_account[spec.id] = self._at_row[row] = tenant
        self._payer[tenant.points] = row
        self._overdraft[row] = spec.overdraft_nano
        self._limit1[row], self._limit2[row] = spec.alarm1_nano, spec.alarm2_nano
        self._outlook_s = -1  # the limits in days are worked out again at the next scan
        self._busy.add(row)
        return tenant

    def _supplies(self) -> set[tuple[str, str]]:
        return {(tenant.spec.id, breaker.id) for tenant in self._by_account.values() for breaker in tenant.breakers}

    def _look_ahead(self, now_s: int, work: Columns) -> None:
        """Forecast every purse, and set the balances below which reminders are due."""
        self._outlook_s = now_s
        rows = len(self._overdraft)
        self._outlook = self.forecaster.outlook(now_s, work.accounts.balance_nano[:rows], self._overdraft)
        for row, tenant in self._at_row.items():
            days1, days2 = tenant.rules.remind1_days, tenant.rules.remind2_days
            daily_nano = int(self._outlook.daily_nano[row])
            self._limit1[row], self._limit2[row] = levels.thresholds(tenant.spec, daily_nano, days1, days2)

    def _attention(self, work: Columns) -> list[Tenant]:
        """Return the accounts that are not plainly in credit, in the order of their rows."""
        committed = work.accounts.committed_nano[: len(self._limit1)]
        near = np.flatnonzero(committed < np.maximum(self._limit1 + self._limit1 // 10, 1))
        busy = self._busy | {self._by_account[name].row for name in self._switching.accounts()}
        self._busy = set()
        return [self._at_row[row] for row in sorted(busy.union(near.tolist())) if row in self._at_row]

    def _judge(self, tenant: Tenant, instant: Instant, work: Columns) -> None:
        """Find the state of one account, and tell its tenant."""
        committed_nano = int(work.accounts.committed_nano[tenant.row])
        now_s = instant.utc_ns // NS_PER_S
        state = levels.next_state(self._standing(tenant, committed_nano, work))
        before = (tenant.state, tenant.told_state, tenant.due_s)
        tenant.state = state
        if state == PROTECTED or not levels.is_exhausted(tenant.spec, committed_nano):
            tenant.due_s = 0
            tenant.told.stands_again()
        elif state == PENDING_STOP and not tenant.due_s:
            tenant.due_s = now_s
            self._mass.fell_due(tenant.spec.id, now_s)
        if self._holds.find(PAUSE, tenant.spec.id) is None and tenant.spec.id != self._settings.house:
            days_left = float(self._outlook.days_left[tenant.row]) if self._outlook is not None else float("nan")
            self._desk.tell(tenant, now_s, committed_nano, days_left)
        if state != NORMAL or tenant.told_state != NORMAL:
            self._busy.add(tenant.row)
        if before != (tenant.state, tenant.told_state, tenant.due_s):
            self._changed[tenant.spec.id] = now_s
        if work.accounts.credit_state[tenant.row] != state:
            work.accounts.credit_state[tenant.row] = state
            work.accounts.changed_scan[tenant.row] = instant.scan

    def _standing(self, tenant: Tenant, committed_nano: int, work: Columns) -> levels.Standing:
        """Gather what decides the state of one account."""
        spec = tenant.spec
        mine = self._mine(tenant)
        targets = [breaker for breaker in tenant.breakers if not breaker.protected]
        exhausted = levels.is_exhausted(spec, committed_nano)
        protected = self._is_protected(tenant)
        if exhausted and not protected:
            cut = bool(mine) and all(position(breaker, work) == OPEN for breaker in targets)
        else:
            cut = any(position(breaker, work) == OPEN for breaker in mine)
        good = good_mask(work.points.quality[tenant.points]) & (work.points.held[tenant.points] == 0)
        known = all(position(breaker, work) >= 0 for breaker in mine)  # a stop may be in force already
        limits = int(self._limit1[tenant.row]), int(self._limit2[tenant.row])
        return levels.Standing(
            level=levels.level(spec, committed_nano, tenant.state, limits),
            exhausted=exhausted,
            cut=cut,
            returns=levels.may_return(spec, committed_nano) or protected,
            protected=protected,
            fit=bool(good.all()) and known,
        )

    def _is_protected(self, tenant: Tenant) -> bool:
        switchable = any(not breaker.protected for breaker in tenant.breakers)
        return tenant.spec.protected or not switchable or self._holds.find(PROTECT, tenant.spec.id) is not None

    def _holding(self, tenant: Tenant) -> Holding:
        account = tenant.spec.id
        return Holding(
            mass=self._mass.held,
            clock=self._clock.suspended,
            paused=self._holds.find(PAUSE, account) is not None,
            disputed=self._holds.find(DISPUTE, account) is not None,
            protected=self._is_protected(tenant),
        )

    def _guard_mass(self, now_s: int) -> None:
        """Let the mass-trip guard judge; what it decides is kept, so that a restart does not release it."""
        before = self._mass.held
        pending = sum(tenant.state == PENDING_STOP for tenant in self._at_row.values())
        self._mass.judge(now_s, len(self._by_account), pending)
        if self._mass.held != before:
            verb = MASS_HOLD if self._mass.held else RELEASE
            reason = f"{pending} tenants are due"
            self._events.append(CreditEvent(f"{verb}:{now_s}", verb, ALL, now_s, 0, "", reason, "system", "core"))

    def _mine(self, tenant: Tenant) -> list[Breaker]:
        """Return the breakers that credit opened for an account."""
        return [b for b in tenant.breakers if self._switching.account_of(b.id) == tenant.spec.id]

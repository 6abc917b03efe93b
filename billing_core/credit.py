"""Credit control: from committed balances to reminders, switch-offs and reconnections, each with its reason.

Rule: pure. It wishes, the control desk commands, the desk's read-back tells what became of it. Only what this file
switched off it switches on again. A wish that was refused is tried again after 1, 5 and then every 15 minutes, so a
breaker that was offline is not forgotten, and every refusal is logged by its code when it changes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from loguru import logger

from billing_core.credit_levels import (
    EXHAUSTED,
    FROZEN,
    NORMAL,
    PENDING_STOP,
    PROTECTED,
    STATES,
    STOPPED,
    TRANSITIONS,
    level,
)
from billing_core.credit_stops import Stop
from billing_core.friendly import Hours, is_friendly
from billing_core.points import AccountSpec, PointSpec
from scada.clock import NS_PER_S
from scada.control import Breaker
from scada.image import Columns
from scada.position import CLOSED, OPEN
from scada.quality import good_mask, is_good
from scada.scan import Instant

__all__ = ["STATES", "CreditControl", "StopRecord", "Wish"]

RETRY_S: Final = (60, 300, 900)  # real seconds: 1, 5, 15 minutes; the last one repeats
LEAST_TENANTS_HELD: Final = 2  # the mass-trip guard never holds a single tenant, however small the park


class Settings(Protocol):
    """Table [credit] of the configuration; seconds are plant seconds."""

    @property
    def automatic(self) -> bool: ...
    @property
    def reconnect(self) -> bool: ...
    @property
    def grace_s(self) -> float: ...
    @property
    def stops_max(self) -> int: ...
    @property
    def stops_interval_s(self) -> float: ...
    @property
    def load_max_kw(self) -> float: ...
    @property
    def hold_percent(self) -> float: ...
    @property
    def reconnect_spacing_s(self) -> float: ...
    @property
    def friendly(self) -> Sequence[Hours]: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """A switching that credit control asks the control desk for."""

    breaker: str
    target: int  # OPEN or CLOSED
    account: str
    reason: str


@dataclass(frozen=True, slots=True)
class StopRecord:
    """A supply was switched off for want of credit, or is supplied again; to be kept in the books."""

    account: str
    breaker: str
    stopped: bool
    at_s: int
    balance_nano: int
    reason: str


@dataclass(slots=True)
class _Try:
    """How often a breaker was asked to move to one target, and when it may be asked again."""

    target: int
    count: int = 0
    not_before_ns: int = 0  # monotonic


@dataclass(slots=True)
class _Tenant:
    """What credit control knows about one account."""

    spec: AccountSpec
    row: int
    breakers: tuple[Breaker, ...]
    points: npt.NDArray[np.int64]
    state: int = NORMAL
    due_s: int = 0  # plant second at which the overdraft was used up
    refusal: str = ""


@dataclass(slots=True)
class _Memory:
    """What outlives a scan."""

    stops: dict[str, str] = field(default_factory=dict)  # breaker -> account, switched off by credit
    tries: dict[str, _Try] = field(default_factory=dict)
    fell_due: deque[int] = field(default_factory=deque)  # plant seconds
    sent: deque[tuple[int, float]] = field(default_factory=deque)  # plant second, kW
    reconnected_s: float = -1e18
    records: list[StopRecord] = field(default_factory=list)


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
    ) -> None:
        """load_kw: (breaker id, columns) -> load it carries now; without it the load guard is off."""
        self._breakers: Mapping[str, Breaker] = {breaker.id: breaker for breaker in breakers}
        self._by_account: dict[str, _Tenant] = {}
        for row, spec in enumerate(accounts):
            self._enter(spec, row, [index for index, point in enumerate(points) if point.account == row])
        self._settings = settings
        self._zone = ZoneInfo(timezone)
        self._load_kw = load_kw or (lambda breaker, work: 0.0)
        self._memory = _Memory()
        self._balances: dict[str, int] = {}
        self._loads: dict[str, float] = {}
        self.held = False
        self.held_count = 0

    def restore(self, stops: Iterable[Stop], now_s: int) -> None:
        """Take over (account, breaker, since second) of supplies that credit switched off before a restart.

        A stop ends when the breaker carries another account's supply by now: that one is not ours to close.
        """
        known = list(stops)
        mine = {(tenant.spec.id, breaker.id) for tenant in self._by_account.values() for breaker in tenant.breakers}
        self._memory.stops = {breaker: account for account, breaker, _ in known if (account, breaker) in mine}
        self._memory.sent = deque(sorted((since_s, 0.0) for _, _, since_s in known))
        self._memory.records += [
            StopRecord(account, breaker, False, now_s, 0, "credit.reassigned")
            for account, breaker, _ in known
            if (account, breaker) not in mine
        ]

    def adopt(self, spec: AccountSpec, row: int, points: Sequence[int], now_s: int) -> None:
        """Take over an account that was opened, or whose points, breakers or limits changed, while the core runs.

        row: of the account in the image; points: rows of the supply points it pays for, from now on. A stop of a
        breaker that is no longer the account's ends in the books; whoever carries it now decides about it afresh.
        """
        before = self._by_account.get(spec.id)
        tenant = self._enter(spec, row, points)
        if before is not None:
            tenant.state, tenant.due_s, tenant.refusal = before.state, before.due_s, before.refusal
        self._end_foreign_stops(now_s)

    def leave(self, account: str, now_s: int) -> None:
        """Forget an account that was closed; its stops end in the books, its breakers stay where they are."""
        self._by_account.pop(account, None)
        self._end_foreign_stops(now_s)

    def decide(self, instant: Instant, work: Columns) -> Sequence[Wish]:
        """Judge every account on its committed balance; write its credit state; return what should be switched."""
        now_s = instant.utc_ns // NS_PER_S
        self._forget(now_s)
        for tenant in self._by_account.values():
            self._judge(tenant, instant, work)
        self._guard_mass()
        friendly = is_friendly(self._settings.friendly, self._zone, now_s)
        wishes: list[Wish] = []
        for tenant in self._by_account.values():
            if tenant.state == PENDING_STOP:
                wishes += self._stops(tenant, instant, work, friendly, wishes)
            elif tenant.state in EXHAUSTED:
                self._refuse(tenant, "credit.protected" if tenant.state == PROTECTED else "credit.data-bad")
            elif any(account == tenant.spec.id for account in self._memory.stops.values()):
                wishes += self._reconnections(tenant, instant, work)
            else:
                tenant.refusal = ""
        return wishes

    def sent(self, wish: Wish, command_id: str, instant: Instant) -> None:
        """Note that the desk sent a wish; what became of it shows in the position of the breaker."""
        now_s = instant.utc_ns // NS_PER_S
        logger.info("credit: {} {}: {} (command {})", wish.account, wish.breaker, wish.reason, command_id)
        self._tried(wish, instant)
        if wish.target == OPEN:
            balance_nano = self._balances.get(wish.account, 0)
            if wish.breaker not in self._memory.stops:  # a repetition drops no further load
                self._memory.sent.append((now_s, self._loads.get(wish.breaker, 0.0)))
                self._memory.stops[wish.breaker] = wish.account
                self._memory.records.append(
                    StopRecord(wish.account, wish.breaker, True, now_s, balance_nano, wish.reason)
                )
        else:
            self._memory.reconnected_s = now_s

    def refused(self, wish: Wish, code: str, instant: Instant) -> None:
        """Note that the desk refused a wish, by its code; it comes again when its waiting time is over."""
        self._tried(wish, instant)
        self._refuse(self._by_account[wish.account], code)

    def records(self) -> Sequence[StopRecord]:
        """Return the stops and reconnections that are not in the books yet."""
        return tuple(self._memory.records)

    def recorded(self, count: int) -> None:
        """Forget the first `count` records: they are in the books."""
        del self._memory.records[:count]

    def release(self, user: str) -> None:
        """Let a person end the hold of the mass-trip guard: what is due is switched, at the allowed rate."""
        logger.warning("credit: {} released {} held switch-offs", user, self.held_count)
        self.held = False
        self._memory.fell_due.clear()

    def _enter(self, spec: AccountSpec, row: int, points: Sequence[int]) -> "_Tenant":
        own = tuple(self._breakers[name] for name in spec.breakers if name in self._breakers)
        tenant = self._by_account[spec.id] = _Tenant(spec, row, own, np.array(points, dtype=np.int64))
        return tenant

    def _end_foreign_stops(self, now_s: int) -> None:
        """End every stop of a breaker that carries no supply of the stopped account any more."""
        mine = {(tenant.spec.id, breaker.id) for tenant in self._by_account.values() for breaker in tenant.breakers}
        for breaker, account in list(self._memory.stops.items()):
            if (account, breaker) not in mine:
                del self._memory.stops[breaker]
                self._memory.tries.pop(breaker, None)
                self._memory.records.append(StopRecord(account, breaker, False, now_s, 0, "credit.reassigned"))

    # --- one tenant

    def _judge(self, tenant: _Tenant, instant: Instant, work: Columns) -> None:
        """Find the state of one account."""
        committed_nano = int(work.accounts.committed_nano[tenant.row])
        now_s = instant.utc_ns // NS_PER_S
        found = level(tenant.spec, committed_nano, tenant.state)
        mine = [breaker for breaker in tenant.breakers if self._memory.stops.get(breaker.id) == tenant.spec.id]
        if found is not None:
            state = STOPPED if any(_position(breaker, work) == OPEN for breaker in mine) else found
            tenant.due_s = 0
        else:
            state = self._exhausted(tenant, mine, work)
            if state == PENDING_STOP and not tenant.due_s:
                tenant.due_s = now_s
                self._memory.fell_due.append(now_s)
        if state != tenant.state:
            assert state in TRANSITIONS[tenant.state], f"{STATES[tenant.state]} -> {STATES[state]}"
            tenant.state = state
        if work.accounts.credit_state[tenant.row] != state:
            work.accounts.credit_state[tenant.row] = state
            work.accounts.changed_scan[tenant.row] = instant.scan

    def _exhausted(self, tenant: _Tenant, mine: list[Breaker], work: Columns) -> int:
        """Return the state of an account whose overdraft is used up."""
        targets = [breaker for breaker in tenant.breakers if not breaker.protected]
        if targets and mine and all(_position(breaker, work) == OPEN for breaker in targets):
            return STOPPED
        if tenant.spec.protected or not targets:
            return PROTECTED
        good = good_mask(work.points.quality[tenant.points]) & (work.points.held[tenant.points] == 0)
        known = all(_position(breaker, work) >= 0 for breaker in mine)  # a stop may be in force already
        return PENDING_STOP if good.all() and known else FROZEN

    def _stops(
        self, tenant: _Tenant, instant: Instant, work: Columns, friendly: bool, wished: Sequence[Wish]
    ) -> list[Wish]:
        """Return the switch-offs of one account that is due, or note why there are none."""
        now_s = instant.utc_ns // NS_PER_S
        rules = (
            ("credit.manual", self._settings.automatic),
            ("credit.grace", now_s - tenant.due_s >= self._settings.grace_s),
            ("credit.friendly-hours", not friendly),
            ("credit.mass-guard", not self.held),
        )
        for code, granted in rules:
            if not granted:
                self._refuse(tenant, code)
                return []
        wishes: list[Wish] = []
        for breaker in tenant.breakers:
            if breaker.protected or _position(breaker, work) == OPEN:
                continue
            code = self._stop_refusal(breaker, instant, work, len(wished) + len(wishes))
            if code:
                self._refuse(tenant, code)
            else:
                wishes.append(Wish(breaker.id, OPEN, tenant.spec.id, "credit.exhausted"))
                self._balances[tenant.spec.id] = int(work.accounts.committed_nano[tenant.row])
        return wishes

    def _stop_refusal(self, breaker: Breaker, instant: Instant, work: Columns, wished: int) -> str:
        """Return why a breaker is not tripped in this scan, "" when it may be."""
        load_kw = self._load_kw(breaker.id, work)
        self._loads[breaker.id] = load_kw
        dropped_kw = sum(kw for _, kw in self._memory.sent) + load_kw
        rules = (
            ("credit.position", _position(breaker, work) == CLOSED),
            ("credit.retry", self._may_try(breaker.id, OPEN, instant)),
            ("credit.rate", len(self._memory.sent) + wished < self._settings.stops_max),
            ("credit.load", dropped_kw <= self._settings.load_max_kw),
        )
        return next((code for code, granted in rules if not granted), "")

    def _reconnections(self, tenant: _Tenant, instant: Instant, work: Columns) -> list[Wish]:
        """Return the reconnections of one account whose balance allows supply; end the record of what is closed."""
        now_s = instant.utc_ns // NS_PER_S
        committed_nano = int(work.accounts.committed_nano[tenant.row])
        if committed_nano < tenant.spec.reconnect_nano or committed_nano <= -tenant.spec.overdraft_nano:
            return []
        for breaker in tenant.breakers:
            if self._memory.stops.get(breaker.id) != tenant.spec.id:
                continue
            position = _position(breaker, work)
            if position == CLOSED and self._settled(breaker.id, instant):
                del self._memory.stops[breaker.id]
                self._memory.tries.pop(breaker.id, None)
                self._memory.records.append(
                    StopRecord(tenant.spec.id, breaker.id, False, now_s, committed_nano, "credit.topped-up")
                )
                continue
            code = self._close_refusal(breaker, position, instant, now_s)
            if not code:
                return [Wish(breaker.id, CLOSED, tenant.spec.id, "credit.topped-up")]
            self._refuse(tenant, code)
        return []

    def _close_refusal(self, breaker: Breaker, position: int, instant: Instant, now_s: int) -> str:
        """Return why a breaker is not closed in this scan, "" when it may be. One a scan at most, and spaced."""
        rules = (
            ("credit.manual", self._settings.reconnect),
            ("credit.by-hand", breaker.remote_close),
            ("credit.position", position == OPEN),
            ("credit.retry", self._may_try(breaker.id, CLOSED, instant)),
            ("credit.spacing", now_s - self._memory.reconnected_s >= self._settings.reconnect_spacing_s),
        )
        code = next((code for code, granted in rules if not granted), "")
        if not code:
            self._memory.reconnected_s = now_s  # the next tenant of this same scan waits its turn
        return code

    # --- guards and memory

    def _guard_mass(self) -> None:
        """Hold when too many tenants fell due within one interval: a price or data fault looks just like that."""
        most = max(self._settings.hold_percent / 100 * len(self._by_account), LEAST_TENANTS_HELD)
        self.held_count = sum(tenant.state == PENDING_STOP for tenant in self._by_account.values())
        if len(self._memory.fell_due) > most and not self.held:
            self.held = True
            logger.error("credit: {} tenants fell due at once; switch-offs wait for a person", self.held_count)
        elif self.held and self.held_count == 0:
            self.held = False

    def _forget(self, now_s: int) -> None:
        """Drop what is older than one interval."""
        self._balances.clear()
        self._loads.clear()
        since_s = now_s - self._settings.stops_interval_s
        while self._memory.fell_due and self._memory.fell_due[0] <= since_s:
            self._memory.fell_due.popleft()
        while self._memory.sent and self._memory.sent[0][0] <= since_s:
            self._memory.sent.popleft()

    def _tried(self, wish: Wish, instant: Instant) -> None:
        known = self._memory.tries.get(wish.breaker)
        if known is None or known.target != wish.target:
            known = self._memory.tries[wish.breaker] = _Try(wish.target)
        wait_s = RETRY_S[min(known.count, len(RETRY_S) - 1)]
        known.count += 1
        known.not_before_ns = instant.mono_ns + wait_s * NS_PER_S
        if known.count == len(RETRY_S) + 1:
            logger.error("credit: {} did not follow {} commands; a person is needed", wish.breaker, known.count)

    def _may_try(self, breaker: str, target: int, instant: Instant) -> bool:
        known = self._memory.tries.get(breaker)
        return known is None or known.target != target or instant.mono_ns >= known.not_before_ns

    def _settled(self, breaker: str, instant: Instant) -> bool:
        """Tell whether a closed position can be believed: no trip of ours is still on its way."""
        known = self._memory.tries.get(breaker)
        return known is None or known.target == CLOSED or instant.mono_ns >= known.not_before_ns

    def _refuse(self, tenant: _Tenant, code: str) -> None:
        if tenant.refusal != code:
            tenant.refusal = code
            logger.info("credit: {} is not switched: {}", tenant.spec.id, code)

    def refusal(self, account: str) -> str:
        """Return why an account that is due, or may be supplied again, was not switched; "" when nothing is due."""
        return self._by_account[account].refusal


def _position(breaker: Breaker, work: Columns) -> int:
    """Return OPEN or CLOSED when the position is good, -1 when it cannot be relied on."""
    if not is_good(int(work.tags.quality[breaker.position_row])):
        return -1
    return int(work.tags.value[breaker.position_row])

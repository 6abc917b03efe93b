"""Which supplies are switched now: the conditions of a stop and of a reconnection, one table each, in their order.

Rule: pure; the first condition that does not hold is the reason that is logged and shown.
"""

from collections.abc import Callable
from typing import NamedTuple
from zoneinfo import ZoneInfo

from loguru import logger

from billing_core import credit_levels as levels
from billing_core.credit_guards import RateGuard
from billing_core.credit_levels import FROZEN, PENDING_STOP, PROTECTED
from billing_core.credit_rules import Tenant
from billing_core.credit_switching import Switching, Wish, position
from billing_core.friendly import is_friendly
from scada.clock import NS_PER_S
from scada.control import Breaker
from scada.image import Columns
from scada.position import CLOSED, OPEN
from scada.scan import Instant


class Holding(NamedTuple):
    """What holds switch-offs of one account now, beside its own notices and hours."""

    mass: bool  # the mass-trip guard
    clock: bool  # the clock jumped
    paused: bool
    disputed: bool
    protected: bool


class Wishes:
    """Makes the wishes of one account after the other; at most one reconnection at a time, each noted with its load."""

    def __init__(
        self, switching: Switching, rate: RateGuard, load_kw: Callable[[str, Columns], float], zone: ZoneInfo
    ) -> None:
        self._switching = switching
        self._rate = rate
        self._load_kw = load_kw
        self._zone = zone
        self._facts: dict[str, tuple[int, float]] = {}  # breaker -> (balance, load) of this scan's wishes

    def begin(self) -> None:
        """Begin a scan."""
        self._facts.clear()

    def sent(self, wish: Wish, instant: Instant) -> None:
        """Note that a wish was sent."""
        balance_nano, load_kw = self._facts.get(wish.breaker, (0, 0.0))
        if self._switching.sent(wish, instant, balance_nano):  # a repetition drops no further load
            self._rate.sent(instant.utc_ns // NS_PER_S, load_kw)

    def of(self, tenant: Tenant, holding: Holding, instant: Instant, work: Columns, wished: int) -> list[Wish]:
        """Return what should be switched for one account, or note why nothing is.

        wished: wishes of other accounts in this scan
        """
        committed_nano = int(work.accounts.committed_nano[tenant.row])
        returns = levels.may_return(tenant.spec, committed_nano) or holding.protected
        if tenant.state == PENDING_STOP:
            return self._stops(tenant, holding, instant, work, wished)
        if returns and any(self._is_mine(breaker, tenant) for breaker in tenant.breakers):
            reason = "credit.restored-protected" if holding.protected else "credit.topped-up"
            return self._reconnections(tenant, instant, work, reason)
        tenant.permitted = False
        if tenant.state == PROTECTED:
            refuse(tenant, "credit.protected")
        elif tenant.state == FROZEN:
            refuse(tenant, "credit.data-bad")
        else:
            tenant.refusal = ""
        return []

    def _is_mine(self, breaker: Breaker, tenant: Tenant) -> bool:
        return self._switching.account_of(breaker.id) == tenant.spec.id

    def _stops(self, tenant: Tenant, holding: Holding, instant: Instant, work: Columns, wished: int) -> list[Wish]:
        now_s, rules, told = instant.utc_ns // NS_PER_S, tenant.rules, tenant.told
        conditions = (
            ("credit.manual", rules.automatic),
            ("credit.paused", not holding.paused),
            ("credit.disputed", not holding.disputed),
            ("credit.clock", not holding.clock),
            ("credit.grace", now_s - tenant.due_s >= rules.grace_s),
            ("credit.notice", told.is_informed(now_s, rules.notice_lead_s)),
            ("credit.friendly-hours", not is_friendly(rules.friendly, rules.closed_days, self._zone, now_s)),
            ("credit.notice-again", told.is_reminded(now_s, rules.again_lead_s)),
            ("credit.mass-guard", not holding.mass),
        )
        for code, granted in conditions:
            if not granted:
                refuse(tenant, code)
                return []
        wishes: list[Wish] = []
        for breaker in tenant.breakers:
            if breaker.protected or position(breaker, work) == OPEN:
                continue
            load_kw = self._load_kw(breaker.id, work)
            code = self._stop_refusal(breaker, load_kw, instant, work, wished + len(wishes))
            if code:
                refuse(tenant, code)
            else:
                wishes.append(Wish(breaker.id, OPEN, tenant.spec.id, "credit.exhausted"))
                self._facts[breaker.id] = int(work.accounts.committed_nano[tenant.row]), load_kw
        return wishes

    def _stop_refusal(self, breaker: Breaker, load_kw: float, instant: Instant, work: Columns, wished: int) -> str:
        """Return why a breaker is not tripped in this scan, "" when it may be."""
        conditions = (
            ("credit.position", position(breaker, work) == CLOSED),
            ("credit.retry", self._switching.may_try(breaker.id, OPEN, instant)),
            ("credit.rate", self._rate.allows_stop(wished)),
            ("credit.load", self._rate.allows_load(load_kw)),
        )
        return next((code for code, granted in conditions if not granted), "")

    def _reconnections(self, tenant: Tenant, instant: Instant, work: Columns, reason: str) -> list[Wish]:
        """Return the reconnections of one account whose supply may return; end the record of what is closed."""
        now_s = instant.utc_ns // NS_PER_S
        committed_nano = int(work.accounts.committed_nano[tenant.row])
        for breaker in tenant.breakers:
            if not self._is_mine(breaker, tenant):
                continue
            at = position(breaker, work)
            if at == CLOSED and self._switching.is_settled(breaker.id, instant):
                self._switching.end(breaker.id, now_s, committed_nano, reason)
                continue
            code = self._close_refusal(breaker, tenant, at, instant, now_s)
            if not code:
                return [Wish(breaker.id, CLOSED, tenant.spec.id, reason)]
            refuse(tenant, code)
        return []

    def _close_refusal(self, breaker: Breaker, tenant: Tenant, at: int, instant: Instant, now_s: int) -> str:
        """Return why a breaker is not closed in this scan, "" when it may be. One a scan at most, and spaced."""
        conditions = (
            ("credit.manual", tenant.rules.reconnect or tenant.permitted),
            ("credit.by-hand", breaker.remote_close),
            ("credit.position", at == OPEN),
            ("credit.retry", self._switching.may_try(breaker.id, CLOSED, instant)),
        )
        code = next((code for code, granted in conditions if not granted), "")
        return code or ("" if self._switching.take_turn(now_s) else "credit.spacing")


def refuse(tenant: Tenant, code: str) -> None:
    """Note why an account is not switched; log it when it changes."""
    if tenant.refusal != code:
        tenant.refusal = code
        logger.info("credit: {} is not switched: {}", tenant.spec.id, code)

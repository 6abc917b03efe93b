"""The notices that credit control gives: what each step of an account tells its tenant, and what waits to be delivered.

Rule: pure. A pause silences an account; when it ends, the tenant is told what changed meanwhile, once.
"""

from zoneinfo import ZoneInfo

from loguru import logger

from billing_core.credit_levels import NOTICES, PENDING_STOP
from billing_core.credit_rules import Tenant
from billing_core.friendly import is_friendly, next_working
from billing_core.notices import AGAIN, FINAL, REPEATED, Notice, compose


class NoticeDesk:
    """Decides what is told, and keeps it until it is delivered."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.waiting: list[Notice] = []

    def tell(self, tenant: Tenant, now_s: int, balance_nano: int, days_left: float) -> None:
        """Give the notices that are due to one account in its present state."""
        for kind in self._due(tenant, now_s):
            stop_s = self._stop_s(tenant, now_s) if tenant.state == PENDING_STOP else 0
            notice = compose(
                tenant.spec.id, kind, now_s, balance_nano, days_left, stop_s, tenant.due_s, self._zone
            )  # fmt: skip
            tenant.told.last_s[kind] = now_s
            self.waiting.append(notice)
            logger.info("credit: notice {} to {}", kind, tenant.spec.id)

    def delivered(self, notice: Notice, tenant: Tenant | None, at_s: int) -> None:
        """Note that a notice has reached its tenant; one about a stop that is not due any more changes nothing."""
        if tenant is None or not notice.due_s or notice.due_s != tenant.due_s:
            return
        if notice.kind == FINAL and not tenant.told.final_s:
            tenant.told.final_s = at_s
        if notice.kind == AGAIN:
            tenant.told.again_s = at_s

    def _due(self, tenant: Tenant, now_s: int) -> list[str]:
        kinds = []
        kind = NOTICES[tenant.told_state, tenant.state]
        tenant.told_state = tenant.state
        if kind and not (kind == FINAL and tenant.told.last_s.get(FINAL, -1) >= tenant.due_s):
            kinds.append(kind)
        elif tenant.told.is_repeated(tenant.state, now_s, tenant.rules.notice_repeat_s):
            kinds.append(REPEATED[tenant.state])
        if tenant.state == PENDING_STOP and self._is_again_due(tenant, now_s):
            kinds.append(AGAIN)
        return kinds

    def _is_again_due(self, tenant: Tenant, now_s: int) -> bool:
        """Tell whether the last word before the stop is due: so early that the stop may follow it at once."""
        rules, then_s = tenant.rules, int(now_s + tenant.rules.again_lead_s)
        return (
            tenant.told.needs_again(now_s, rules.again_lead_s)
            and tenant.told.is_informed(then_s, rules.notice_lead_s)
            and then_s - tenant.due_s >= rules.grace_s
            and not is_friendly(rules.friendly, rules.closed_days, self._zone, then_s)
        )

    def _stop_s(self, tenant: Tenant, now_s: int) -> int:
        """Return the earliest second at which the supply may be switched off."""
        rules = tenant.rules
        told_s = (tenant.told.final_s or now_s) + rules.notice_lead_s
        soonest_s = max(tenant.due_s + rules.grace_s, told_s, now_s)
        return next_working(rules.friendly, rules.closed_days, self._zone, int(soonest_s))

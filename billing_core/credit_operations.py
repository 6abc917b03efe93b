"""Operations of credit control: protection 保电, pause 暂停, dispute, release and reconnection, and how accounts stand.

Rule: a decision is in the data base before it takes effect; repeating one by its key changes nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing_core.credit import CreditControl
from billing_core.credit_holds import ALL, DISPUTE, ENDS, HOLDS, PAUSE, PERMIT, PROTECT, RELEASE, CreditEvent
from billing_core.credit_levels import REASONS, RECONNECT_PERMITTED, STATES, STOPS_HELD
from billing_core.credit_rules import Tenant
from billing_core.credit_store import CreditStore
from billing_core.notices import money
from scada.clock import NS_PER_S, Clock
from scada.errors import Refused
from scada.image import Columns
from scada.operations import Operation, Who

PAGE: Final = 40  # accounts in one answer: with long Chinese names 40 kB of the 64 kB that the link carries
HOLD_DAYS_MAX: Final = 400  # a hold that lasts longer belongs into the configuration


@dataclass(frozen=True, slots=True)
class StatusOf:
    """How one account stands, or all of them from a row on, a page at a time."""

    account: str = ""
    from_row: int = 0


@dataclass(frozen=True, slots=True)
class HoldOne:
    """A hold of one account. until: local time of the site, "2026-12-31 18:00"; or hours from now."""

    account: str
    reason: str
    key: str
    owner: str = ""
    until: str = ""
    hours: int = 0


@dataclass(frozen=True, slots=True)
class HoldAll:
    """A hold of every account, with its end."""

    reason: str
    key: str
    owner: str = ""
    until: str = ""
    hours: int = 0


@dataclass(frozen=True, slots=True)
class EndOne:
    """The end of a hold of one account, or a person's button for it."""

    account: str
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class EndAll:
    """The end of a hold of every account."""

    reason: str
    key: str


class CreditActs:
    """Carries out what people decide about credit control."""

    def __init__(self, control: CreditControl, store: CreditStore, work: Columns, clock: Clock, timezone: str) -> None:
        self._control = control
        self._store = store
        self._work = work
        self._clock = clock
        self._zone = ZoneInfo(timezone)

    def operations(self) -> list[Operation]:
        """Return the table of operations."""

        def act(verb: str) -> Any:
            async def handler(who: Who, asked: Any) -> Mapping[str, Any]:
                return await self._act(verb, who, asked)

            return handler

        table: tuple[tuple[str, str, type], ...] = (
            ("protect", PROTECT, HoldOne), ("unprotect", "unprotect", EndOne),
            ("protect-all", PROTECT, HoldAll), ("unprotect-all", "unprotect", EndAll),
            ("pause", PAUSE, HoldOne), ("resume", "resume", EndOne),
            ("pause-all", PAUSE, HoldAll), ("resume-all", "resume", EndAll),
            ("dispute", DISPUTE, EndOne), ("settle", "settle", EndOne),
            ("release", RELEASE, EndAll),
        )  # fmt: skip
        return [
            Operation("credit.status", "account.view", StatusOf, self._status),
            *(Operation(f"credit.{name}", "credit.manage", asked, act(verb)) for name, verb, asked in table),
            Operation("credit.reconnect", "breaker.switch", EndOne, act(PERMIT)),
        ]

    async def _act(self, verb: str, who: Who, asked: Any) -> Mapping[str, Any]:
        """Keep one decision, then let it take effect."""
        account = getattr(asked, "account", ALL)
        now_s = self._clock.utc_ns() // NS_PER_S
        if not asked.reason:
            raise Refused("credit.reason", "say why: the reason is kept with the decision")
        until_s = self._until_s(asked, now_s) if hasattr(asked, "until") else 0
        owner = getattr(asked, "owner", "") or who.user
        event = CreditEvent(
            asked.key, verb, account, now_s, until_s, owner, asked.reason, who.user, who.station
        )  # fmt: skip
        repeated = await self._store.is_repeated(event)
        if not repeated:
            self._require(event, isinstance(asked, HoldOne | EndOne))
            await self._store.decide(event)
            self._control.apply(event)
        return {
            "verb": verb, "account": account, "key": event.key, "at_s": now_s, "until_s": until_s, "owner": owner,
            "repeated": repeated,
        }  # fmt: skip

    def _require(self, event: CreditEvent, of_one: bool) -> None:
        """Refuse what cannot be decided about this account now."""
        tenant = self._tenant(event.account) if of_one else None
        if event.verb in ENDS and self._control.holds.own(ENDS[event.verb], event.account) is None:
            raise Refused("credit.not-held", f"there is no {ENDS[event.verb]} of {event.account or 'all'} to end")
        if event.verb == PERMIT and (tenant is None or tenant.state != RECONNECT_PERMITTED):
            state = "unknown" if tenant is None else STATES[tenant.state]
            raise Refused("credit.not-permitted", f"{event.account} is {state}: its supply may not return now")

    def _tenant(self, account: str) -> Tenant:
        tenant = self._control.tenants().get(account)
        if tenant is None:
            raise Refused("account.unknown", f"there is no account {account!r}")
        return tenant

    def _until_s(self, asked: HoldOne | HoldAll, now_s: int) -> int:
        """Return the end of a hold; Refused "credit.until" when it is missing, past, or too far away."""
        if bool(asked.until) == bool(asked.hours):
            raise Refused("credit.until", "say when the hold ends: either until a time, or for so many hours")
        if asked.hours:
            until_s = now_s + asked.hours * 3600
        else:
            try:
                until = datetime.fromisoformat(asked.until)
            except ValueError as error:
                raise Refused("credit.until", f"no time: {asked.until!r}; such as '2026-12-31 18:00'") from error
            until_s = int((until if until.tzinfo else until.replace(tzinfo=self._zone)).timestamp())
        if not now_s < until_s <= now_s + timedelta(days=HOLD_DAYS_MAX).total_seconds():
            raise Refused("credit.until", f"a hold ends in the future, within {HOLD_DAYS_MAX} days")
        return until_s

    # --- how accounts stand

    async def _status(self, who: Who, asked: StatusOf) -> Mapping[str, Any]:
        control = self._control
        chosen = [self._tenant(asked.account)] if asked.account else list(control.tenants().values())
        chosen = sorted((tenant for tenant in chosen if tenant.row >= asked.from_row), key=lambda tenant: tenant.row)
        page, rest = chosen[:PAGE], chosen[PAGE:]
        return {
            "at_s": self._clock.utc_ns() // NS_PER_S,
            "stops_held": STOPS_HELD[control.stops_held],
            "mass_guard": {"held": control.held, "tenants": control.held_count},
            "holds": [self._hold(kind, ALL) for kind in HOLDS if control.holds.own(kind, ALL)],
            "accounts": [self._account(tenant) for tenant in page],
            "next_row": rest[0].row if rest else -1,
        }

    def _account(self, tenant: Tenant) -> dict[str, Any]:
        row, account, outlook = tenant.row, tenant.spec.id, self._control.outlook
        known = outlook is not None and bool(outlook.known[row])
        days_left = float(outlook.days_left[row]) if outlook is not None and known else None
        return {
            "account": account,
            "name_zh": tenant.spec.name_zh,
            "name_en": tenant.spec.name_en,
            "class": tenant.spec.account_class,
            "state": STATES[tenant.state],
            "balance": money(int(self._work.accounts.committed_nano[row])),
            "overdraft": money(tenant.spec.overdraft_nano),
            "days_left": days_left if days_left is None or math.isfinite(days_left) else None,
            "daily_cost": money(int(outlook.daily_nano[row])) if outlook is not None and known else None,
            "empty": self._time(int(outlook.empty_s[row])) if outlook is not None else "",
            "stop_forecast": self._time(int(outlook.limit_s[row])) if outlook is not None else "",
            "exhausted_since": self._time(tenant.due_s),
            "final_notice": self._time(tenant.told.final_s),
            "refusal": tenant.refusal,
            "refusal_text": REASONS.get(tenant.refusal, ""),
            "holds": [self._hold(kind, account) for kind in HOLDS if self._control.holds.own(kind, account)],
        }

    def _hold(self, kind: str, account: str) -> dict[str, Any]:
        event = self._control.holds.own(kind, account)
        assert event is not None, "the caller has looked"
        return {
            "kind": kind, "until": self._time(event.until_s), "owner": event.owner, "reason": event.reason,
            "who": event.who,
        }  # fmt: skip

    def _time(self, at_s: int) -> str:
        """Return a UTC second as the site's local time, "" for none."""
        return datetime.fromtimestamp(at_s, UTC).astimezone(self._zone).isoformat(" ", "minutes") if at_s > 0 else ""

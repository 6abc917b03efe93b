"""What people ask of an account: top up, reverse, refund, correct, debts, emergency credit, subsidies, property fees.

    run.py account ... --scada.console.perform("account.refund")--> handler --> Counter --> books

Rule: a table of operations; what may be done stands in `account_rules`, what is posted in `account_desk`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from billing_core import ledger
from billing_core.account_desk import Counter
from billing_core.account_rules import ApprovalNeeded, Wish
from billing_core.posting import Posted
from scada.errors import Refused
from scada.operations import Handler, Operation, Who
from scada.roles import Permission

CONSOLE: Final = "console:"  # who sits at the machine; a second person proves themself by a login


@dataclass(frozen=True, slots=True)
class TopUpArguments:
    """Pay money in; debts and emergency credit are paid from it first."""

    account: str
    amount_minor: int
    channel: str
    key: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReverseArguments:
    """Reverse a whole top-up, once; above the balance a second person agrees."""

    receipt: str
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class MoneyArguments:
    """An amount of one account, in nano."""

    account: str
    amount_nano: int
    key: str
    reason: str = ""
    channel: str = ""
    against: str = ""


@dataclass(frozen=True, slots=True)
class SubsidyArguments:
    """Grant a subsidy that ends at a UTC second."""

    account: str
    amount_nano: int
    until_s: int
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class ExpireArguments:
    """Take back what subsidies left whose term has ended."""


@dataclass(frozen=True, slots=True)
class RecoverArguments:
    """Set the share of top-ups that goes to the debt, in per cent."""

    account: str
    percent: int
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class DecideArguments:
    """Agree to a request of somebody else, or turn it down."""

    key: str
    reason: str = ""


def answer(posted: Posted, **more: Any) -> dict[str, Any]:
    """Return what the asker is told about a posting."""
    return {
        "number": ledger.receipt_number(posted.seq),
        "seq": posted.seq,
        "key": posted.key,
        "entries": [[account, nano] for account, nano in posted.entries],
        "repeated": posted.repeated,
        **more,
    }


class AccountOperations:
    """Handlers of the table below."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._one = asyncio.Lock()  # a request is decided by one person at a time
        self.repeaters: dict[str, Callable[[Who, Mapping[str, Any], str], Awaitable[Mapping[str, Any]]]] = {
            "account.refund": self._refund_agreed,
            "account.correct": self._correction_agreed,
            "account.reverse": self._reversal_agreed,
        }

    async def top_up(self, who: Who, wanted: TopUpArguments) -> Mapping[str, Any]:
        office = self._counter.office
        now_ns = office.clock.utc_ns()
        receipt = await office.books.top_up(
            wanted.account,
            wanted.amount_minor,
            wanted.channel,
            wanted.key,
            who.user,
            who.station,
            now_ns,
            wanted.reason,
        )
        if receipt.credit_now_nano:
            office.credit_now(wanted.account, receipt.credit_now_nano)
        return {
            "number": receipt.number,
            "key": wanted.key,
            "amount_nano": receipt.amount_nano,
            "debt_nano": receipt.debt_nano,
            "emergency_nano": receipt.emergency_nano,
            "wallet_nano": receipt.amount_nano - receipt.debt_nano - receipt.emergency_nano,
            "balance_nano": receipt.balance_nano,
            "repeated": receipt.repeated,
        }

    async def reverse(self, who: Who, wanted: ReverseArguments) -> Mapping[str, Any]:
        return await self.guarded(
            who,
            "account.reverse",
            wanted,
            lambda: self._counter.reverse(who, wanted.key, wanted.receipt, wanted.reason),
        )

    def money(self, operation: str, verb: str) -> Handler:
        """Return the handler of a verb that needs an amount and no more."""

        async def handle(who: Who, wanted: MoneyArguments) -> Mapping[str, Any]:
            wish = _wish(verb, wanted)
            return await self.guarded(
                who, operation, wanted, lambda: self._counter.act(who, wanted.key, wish, wanted.account)
            )

        return handle

    async def subsidise(self, who: Who, wanted: SubsidyArguments) -> Mapping[str, Any]:
        return answer(
            await self._counter.subsidise(
                who, wanted.key, wanted.account, wanted.amount_nano, wanted.until_s, wanted.reason
            )
        )

    async def expire(self, who: Who, wanted: ExpireArguments) -> Mapping[str, Any]:
        cleared = [answer(posted) for posted in await self._counter.expire(who)]
        return {"cleared": cleared}

    async def recover(self, who: Who, wanted: RecoverArguments) -> Mapping[str, Any]:
        if not 0 <= wanted.percent <= 100:
            raise Refused("debt.percent", "a share of 0 to 100 per cent")
        return answer(
            await self._counter.recover(who, wanted.key, wanted.account, wanted.percent, wanted.reason),
            recovery_percent=wanted.percent,
        )

    # ---- the second person

    async def guarded(
        self, who: Who, operation: str, wanted: Any, act: Callable[[], Awaitable[Posted]]
    ) -> Mapping[str, Any]:
        """Carry out, or keep the request when a second person must agree; the answer says which of the two."""
        try:
            return answer(await act())
        except ApprovalNeeded as needed:
            return await self.keep_request(who, wanted.key, operation, asdict(wanted), needed)

    async def keep_request(
        self, who: Who, key: str, operation: str, arguments: Mapping[str, Any], needed: ApprovalNeeded
    ) -> Mapping[str, Any]:
        """Keep a request for a second person; Refused "approval.rejected" when it was turned down before."""
        await self._counter.request(who, key, operation, arguments, needed)
        if (await self._counter.approval(key)).state == "rejected":
            raise Refused("approval.rejected", f"request {key!r} was turned down; ask anew") from needed
        return {"pending": key, "code": needed.code, "why": needed.detail}

    async def approve(self, who: Who, wanted: DecideArguments) -> Mapping[str, Any]:
        """Carry out what somebody else asked for. Repeating it is harmless."""
        async with self._one:
            request = await self._decidable(who, wanted, "approved")
            done = await self.repeaters[request.operation](
                Who(request.requested_by, who.role, request.station), request.arguments, who.user
            )
            await self._counter.decide(who, request, "approved", wanted.reason or request.why)
        return {**done, "requested_by": request.requested_by, "approved_by": who.user}

    async def reject(self, who: Who, wanted: DecideArguments) -> Mapping[str, Any]:
        if not wanted.reason:
            raise Refused("account.reason", "say why with --reason; it goes into the books")
        async with self._one:
            request = await self._decidable(who, wanted, "rejected")
            await self._counter.decide(who, request, "rejected", wanted.reason)
        return {"key": request.key, "state": "rejected", "rejected_by": who.user}

    async def _decidable(self, who: Who, wanted: DecideArguments, state: str) -> Any:
        """Return a request that this person may decide like this. Refused "approval.*"."""
        request = await self._counter.approval(wanted.key)
        rules = (
            (
                "approval.person",
                not who.user.startswith(CONSOLE),
                "a second person logs in: account approve --as LOGIN",
            ),
            ("approval.self", who.user != request.requested_by, f"{who.user} asked for it; somebody else decides"),
            ("approval.done", request.state in ("pending", state), f"it was {request.state} by {request.decided_by}"),
            (
                "approval.done",
                request.decided_by in (None, who.user),
                f"it was {request.state} by {request.decided_by}",
            ),
        )
        for code, granted, detail in rules:
            if not granted:
                raise Refused(code, detail)
        return request

    async def _refund_agreed(self, who: Who, given: Mapping[str, Any], approved_by: str) -> Mapping[str, Any]:
        return await self._agreed(who, "refund", given, approved_by)

    async def _correction_agreed(self, who: Who, given: Mapping[str, Any], approved_by: str) -> Mapping[str, Any]:
        return await self._agreed(who, "correction", given, approved_by)

    async def _agreed(self, who: Who, verb: str, given: Mapping[str, Any], approved_by: str) -> Mapping[str, Any]:
        wanted = MoneyArguments(**given)
        wish = replace(_wish(verb, wanted), approved_by=approved_by)
        return answer(await self._counter.act(who, wanted.key, wish, wanted.account))

    async def _reversal_agreed(self, who: Who, given: Mapping[str, Any], approved_by: str) -> Mapping[str, Any]:
        wanted = ReverseArguments(**given)
        return answer(await self._counter.reverse(who, wanted.key, wanted.receipt, wanted.reason, approved_by))


def _wish(verb: str, wanted: MoneyArguments) -> Wish:
    return Wish(verb, wanted.amount_nano, wanted.channel, wanted.reason, wanted.against)


def operations(acts: AccountOperations) -> list[Operation]:
    """Return the table of what can be asked of an account."""
    money: tuple[tuple[str, str, Permission], ...] = (
        ("account.refund", "refund", "account.manage"),
        ("account.correct", "correction", "account.manage"),
        ("account.debt", "debt", "account.manage"),
        ("account.instalment", "instalment", "account.topup"),
        ("account.emergency", "emergency", "account.manage"),
        ("account.property-fee", "property-fee", "account.manage"),
        ("account.property-payment", "property-payment", "account.topup"),
    )
    return [
        Operation("account.topup", "account.topup", TopUpArguments, acts.top_up),
        Operation("account.reverse", "account.manage", ReverseArguments, acts.reverse),
        *(Operation(name, permission, MoneyArguments, acts.money(name, verb)) for name, verb, permission in money),
        Operation("account.subsidy", "account.manage", SubsidyArguments, acts.subsidise),
        Operation("account.expire", "account.manage", ExpireArguments, acts.expire),
        Operation("account.recover", "account.manage", RecoverArguments, acts.recover),
        Operation("account.approve", "account.approve", DecideArguments, acts.approve),
        Operation("account.reject", "account.approve", DecideArguments, acts.reject),
    ]

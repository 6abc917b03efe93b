"""The counter of an account: each act on its money is judged and posted in one locked transaction, once per key.

    handler -> Counter.act -> LedgerStore.post(read: facts of the account; build: account_rules) -> credit_now

What needs a second person is kept as a request; `approve` carries it out under the name of both.
Rule: amounts are nano; what may be done is decided by `account_rules` alone.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from psycopg.types.json import Jsonb

from billing_core import account_rules as rules
from billing_core import account_store as store
from billing_core import ledger, posting
from billing_core.account_rules import ApprovalNeeded, Purse, Wish
from billing_core.account_store import Facts, PaidIn
from billing_core.office import Office
from billing_core.plan import FOREVER_S
from billing_core.posting import Balances, Draft, Posted
from billing_core.residents import Residents
from scada.clock import NS_PER_S
from scada.database import Cursor
from scada.errors import Refused
from scada.operations import Who

Read = Callable[[Cursor], Awaitable[None]]
Also = Callable[[Cursor, int], Awaitable[None]]

# verb -> kind of its transfer (chart.TRANSFERS)
KINDS: Mapping[str, str] = {
    "refund": "refund",
    "correction": "correction",
    "debt": "debt",
    "instalment": "recovery",
    "emergency": "emergency",
    "property-fee": "property",
    "property-payment": "property",
}


class Counter:
    """Acts on the money of accounts. One per core."""

    def __init__(self, office: Office, residents: Residents) -> None:
        self.office = office
        self.residents = residents

    async def act(self, who: Who, key: str, wish: Wish, account: str) -> Posted:
        """Carry out a verb that needs nothing but the purse."""
        return await self.post(
            who,
            key,
            KINDS[wish.verb],
            account,
            lambda purse: rules.BUILDERS[wish.verb](self._as_used(purse), wish),
            asked(account, wish),
        )

    def _as_used(self, purse: Purse) -> Purse:
        """Return a purse without what was used since the last checkpoint, which is spent already."""
        used_nano = self.office.engine.uncommitted_nano(self.residents.rows[purse.account])
        return replace(purse, wallet_nano=purse.wallet_nano - max(0, used_nano))

    async def post(
        self,
        who: Who,
        key: str,
        kind: str,
        account: str,
        build: Callable[[Purse], Draft],
        wanted: Mapping[str, Any],
        read: Read | None = None,
        also: Also | None = None,
    ) -> Posted:
        """Post what `build` makes of the purse inside the transaction; let it count in the live balance.

        wanted: what is asked for; a repeated key must ask for the same.
        """
        self.residents.spec(account)  # Refused for a name nobody knows
        facts = Facts()

        async def fetch(cursor: Cursor) -> None:
            nonlocal facts
            facts = await store.read_facts(cursor, account)
            if read is not None:
                await read(cursor)

        def make(balances: Balances) -> Draft:
            limits = self.residents.limits(account, facts.account_class)
            draft = build(store.purse_of(account, facts, balances, limits, self.office.minor_nano))
            document = {**(draft.document or {}), "asked": dict(wanted)}
            return replace(draft, document=document, also=also or draft.also)

        posted = await self.office.books.post(key, kind, who, make, same=posting.asked(dict(wanted)), read=fetch)
        for name, nano in posted.credit_now.items():
            self.office.credit_now(name, nano)
        return posted

    async def reverse(self, who: Who, key: str, number: str, reason: str, approved_by: str = "") -> Posted:
        """Reverse a top-up, once: the opposite entries, and the receipt is marked."""
        paid: PaidIn | None = None
        account = await self._account_of(number)

        async def read(cursor: Cursor) -> None:
            nonlocal paid
            paid = await store.read_receipt(cursor, number)

        def build(purse: Purse) -> Draft:
            assert paid is not None, "read comes first"
            if paid.reversed_seq is not None:
                raise Refused("receipt.reversed", f"{number} was reversed by transfer {paid.reversed_seq}; it is done")
            taken = sum(nano for name, nano in paid.entries if name == ledger.wallet(account))
            wish = Wish("reversal", taken, reason=reason, approved_by=approved_by)
            return rules.reversal(purse, wish, paid.entries, number)

        async def also(cursor: Cursor, seq: int) -> None:
            await cursor.execute(store.ADD_REVERSAL, {"number": number, "seq": seq})

        wanted = {"receipt": number}
        return await self.post(who, key, "reversal", account, build, wanted, read, also)

    async def subsidise(self, who: Who, key: str, account: str, amount_nano: int, until_s: int, reason: str) -> Posted:
        """Grant a subsidy with a term; what is left at `until_s` goes back (`clear_subsidy`)."""
        now_s = self.now_s()
        wish = Wish("subsidy", amount_nano, reason=reason)

        def build(purse: Purse) -> Draft:
            if not now_s < until_s < FOREVER_S:
                raise Refused("subsidy.term", "the end of the term lies in the past; give a later --until")
            return rules.subsidy_granted(purse, wish, until_s)

        async def also(cursor: Cursor, seq: int) -> None:
            given = {"key": key, "account": account, "nano": amount_nano, "until_s": until_s, "seq": seq}
            await cursor.execute(store.ADD_SUBSIDY, given)

        return await self.post(who, key, "grant", account, build, asked(account, wish, until_s=until_s), also=also)

    async def clear_subsidy(self, who: Who, grant: str, account: str) -> Posted:
        """Take back what a subsidy left at the end of its term: max(0, grant - charges since, within the term)."""
        facts = Facts()

        async def read(cursor: Cursor) -> None:
            nonlocal facts
            facts = await store.read_facts(cursor, account)

        def build(purse: Purse) -> Draft:
            left = rules.unused(facts.grants, facts.uses).get(grant)
            if left is None:
                raise Refused("subsidy.unknown", f"{account} has no running subsidy {grant!r}")
            return rules.subsidy_cleared(purse, grant, left)

        async def also(cursor: Cursor, seq: int) -> None:
            await cursor.execute(store.CLEAR_SUBSIDY, {"key": grant, "seq": seq})

        return await self.post(who, f"expiry:{grant}", "expiry", account, build, {"grant": grant}, read, also)

    async def expire(self, who: Who) -> list[Posted]:
        """Take back what every subsidy left whose term has ended."""
        ended: list[tuple[str, str]] = []

        async def read(cursor: Cursor) -> None:
            await cursor.execute(store.ENDED_GRANTS, {"now_s": self.now_s()})
            ended.extend((str(key), str(account)) for key, account in await cursor.fetchall())

        async def clear() -> list[Posted]:
            return [await self.clear_subsidy(who, grant, account) for grant, account in ended]

        await self.office.books.look(read)
        cleared: list[Posted] = await self.office.quietly(clear) if ended else []  # everything used is in the books
        return cleared

    async def recover(self, who: Who, key: str, account: str, percent: int, reason: str) -> Posted:
        """Set which share of every top-up goes to the debt of an account."""
        spec = self.residents.spec(account)

        def build(purse: Purse) -> Draft:
            rules.judge(purse, Wish("share", 0, reason=reason), (rules.IS_OPEN, rules.HAS_REASON))
            return Draft((), reason, {"account": account, "recovery_percent": percent})

        async def also(cursor: Cursor, seq: int) -> None:
            await store.keep_purse(cursor, spec, rules.OPEN, recovery_percent=percent)

        wanted = {"account": account, "recovery_percent": percent}
        return await self.post(who, key, "account", account, build, wanted, also=also)

    # ---- the second person

    async def request(
        self, who: Who, key: str, operation: str, arguments: Mapping[str, Any], needed: ApprovalNeeded
    ) -> None:
        """Keep what a second person must agree to; the chain has it too."""
        fields = {"operation": operation, "arguments": dict(arguments), "code": needed.code}

        def build(balances: Balances) -> Draft:
            return Draft((), needed.detail, {"request": key, **fields, "asked": fields}, also=also)

        async def also(cursor: Cursor, seq: int) -> None:
            await cursor.execute(
                store.ADD_APPROVAL,
                {
                    "key": key,
                    "operation": operation,
                    "arguments": Jsonb(dict(arguments)),
                    "code": needed.code,
                    "why": needed.detail,
                    "requested_by": who.user,
                    "station": who.station,
                    "seq": seq,
                },
            )

        await self.office.books.post(f"request:{key}", "approval", who, build, same=posting.asked(fields))

    async def approval(self, key: str) -> store.Approval:
        """Return a request. Refused "approval.unknown"."""
        found: list[store.Approval | None] = []

        async def read(cursor: Cursor) -> None:
            found.append(await store.read_approval(cursor, key))

        await self.office.books.look(read)
        if found[0] is None:
            raise Refused("approval.unknown", f"there is no request {key!r}; `account approvals` lists them")
        return found[0]

    async def decide(self, who: Who, request: store.Approval, state: str, reason: str) -> None:
        """Enter the decision of the second person, once."""
        fields = {"request": request.key, "state": state}

        def build(balances: Balances) -> Draft:
            return Draft((), reason, {**fields, "asked": fields}, also=also)

        async def also(cursor: Cursor, seq: int) -> None:
            given = {"key": request.key, "state": state, "decided_by": who.user, "seq": seq}
            await cursor.execute(store.DECIDE_APPROVAL, given)

        await self.office.books.post(f"decision:{request.key}", "approval", who, build, same=posting.asked(fields))

    # ---- small questions

    def now_s(self) -> int:
        return self.office.clock.utc_ns() // NS_PER_S

    async def _account_of(self, number: str) -> str:
        found: list[str] = []

        async def read(cursor: Cursor) -> None:
            found.append((await store.read_receipt(cursor, number)).account)

        await self.office.books.look(read)
        return found[0]


def asked(account: str, wish: Wish, **more: Any) -> dict[str, Any]:
    """Return what makes two requests under one key the same request."""
    facts = {"account": account, "verb": wish.verb, "amount_nano": wish.amount_nano}
    facts |= {name: value for name in ("channel", "against") if (value := getattr(wish, name))}
    return facts | more

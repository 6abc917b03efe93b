"""Tenants, purses, tenancies, subsidies and approvals in PostgreSQL: read and written inside the books' transactions.

Rule: nothing here begins or ends a transaction. What is written here follows from the document of the posting that is
written with it, so the chain proves it; these tables only make it quick to find.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from psycopg.types.json import Jsonb

from billing_core import ledger
from billing_core.account_rules import (
    OPEN,
    AccountClass,
    Grant,
    Purse,
    Use,
    debt,
    emergency,
    property_purse,
    unused,
)
from billing_core.points import AccountSpec
from billing_core.posting import Balances
from scada.database import Cursor
from scada.errors import Refused

if TYPE_CHECKING:
    from billing_core.store import LedgerStore

# What uses a subsidy up besides consumption: everything that settlement takes from the wallet.
USING: Final = ("fixed", "demand", "capacity", "powerfactor", "minimum", "allowance", "share", "tax", "settlement")

FIND_PURSE: Final = """
    SELECT state, account_class, recovery_percent FROM purse WHERE account = %(account)s
"""
RUNNING_GRANTS: Final = """
    SELECT key, nano, until_s, seq FROM subsidy WHERE account = %(account)s AND cleared_seq IS NULL ORDER BY seq
"""
USES: Final = """
    SELECT extract(epoch FROM c.segment_from)::bigint, c.seq, c.nano
    FROM charge c JOIN terms t ON t.id = c.terms WHERE t.account = %(wallet)s AND c.seq > %(seq)s
    UNION ALL
    SELECT extract(epoch FROM t.plant_time)::bigint, t.seq, -e.nano
    FROM entry e JOIN transfer t USING (seq)
    WHERE e.account = %(wallet)s AND t.kind = ANY(%(kinds)s) AND t.seq > %(seq)s
"""
ENDED_GRANTS: Final = "SELECT key, account FROM subsidy WHERE until_s <= %(now_s)s AND cleared_seq IS NULL ORDER BY seq"
ADD_SUBSIDY: Final = """
    INSERT INTO subsidy (key, account, nano, until_s, seq)
    VALUES (%(key)s, %(account)s, %(nano)s, %(until_s)s, %(seq)s)
"""
CLEAR_SUBSIDY: Final = "UPDATE subsidy SET cleared_seq = %(seq)s WHERE key = %(key)s"
CLEAR_SUBSIDIES: Final = "UPDATE subsidy SET cleared_seq = %(seq)s WHERE account = %(account)s AND cleared_seq IS NULL"
BALANCES: Final = "SELECT account, nano FROM balance WHERE account = ANY(%(accounts)s)"
FIND_PREVIEW: Final = """
    SELECT d.body -> 'preview' FROM document d JOIN transfer t USING (seq)
    WHERE t.idempotency_key LIKE 'preview:%%' AND t.kind = 'moveout' AND d.body -> 'asked' ->> 'token' = %(token)s
"""
RECEIPT: Final = """
    SELECT r.seq, substr(r.account, 8), r.amount_nano, r.channel, v.seq
    FROM receipt r LEFT JOIN receipt_reversal v USING (number) WHERE r.number = %(number)s
"""
ENTRIES: Final = "SELECT account, nano FROM entry WHERE seq = %(seq)s ORDER BY line"
ADD_REVERSAL: Final = "INSERT INTO receipt_reversal (number, seq) VALUES (%(number)s, %(seq)s)"
KEEP_PURSE: Final = """
    INSERT INTO purse (account, place, tenant, state, account_class, recovery_percent, spec, opened_seq, closed_seq)
    VALUES (%(account)s, %(place)s, %(tenant)s, %(state)s, %(account_class)s, %(recovery_percent)s, %(spec)s,
            %(opened_seq)s, %(closed_seq)s)
    ON CONFLICT (account) DO UPDATE SET
        state = excluded.state, recovery_percent = coalesce(excluded.recovery_percent, purse.recovery_percent),
        closed_seq = excluded.closed_seq
"""
NEXT_PLACE: Final = "SELECT coalesce(max(place) + 1, 0) FROM purse"
OPENED: Final = """
    SELECT account, place, tenant, state, account_class, spec FROM purse ORDER BY place NULLS FIRST, account
"""
ADD_TENANT: Final = """
    INSERT INTO tenant (id, name_zh, name_en, contact, household, opened_seq)
    VALUES (%(id)s, %(name_zh)s, %(name_en)s, %(contact)s, %(household)s, %(seq)s)
    ON CONFLICT (id) DO NOTHING
"""
ADD_TENANCY: Final = """
    INSERT INTO tenancy (point, account, from_s, seq)
    SELECT unnest(%(points)s::text[]), %(account)s, %(from_s)s, %(seq)s
"""
KEEP_PRESET: Final = """
    INSERT INTO preset (id, body, who) VALUES (%(id)s, %(body)s, %(who)s)
    ON CONFLICT (id) DO UPDATE SET body = excluded.body, who = excluded.who, stored_at = now()
"""
FIND_PRESET: Final = "SELECT body FROM preset WHERE id = %(id)s"
ADD_APPROVAL: Final = """
    INSERT INTO approval (key, operation, arguments, code, why, requested_by, station, seq)
    VALUES (%(key)s, %(operation)s, %(arguments)s, %(code)s, %(why)s, %(requested_by)s, %(station)s, %(seq)s)
"""
FIND_APPROVAL: Final = """
    SELECT key, operation, arguments, code, why, requested_by, station, state, decided_by FROM approval
    WHERE key = %(key)s
"""
DECIDE_APPROVAL: Final = """
    UPDATE approval SET state = %(state)s, decided_by = %(decided_by)s, decided_seq = %(seq)s WHERE key = %(key)s
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tables say about an account, inside the transaction that judges."""

    state: str = OPEN
    account_class: str = ""  # "": as configured
    recovery_percent: int | None = None  # None: as its class
    grants: tuple[Grant, ...] = ()
    uses: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """An account as the tables know it."""

    account: str
    place: int | None  # order of opening; None: a configured account of which something changed
    tenant: str
    state: str
    spec: AccountSpec


@dataclass(frozen=True, slots=True)
class Approval:
    """A request that needs a second person."""

    key: str
    operation: str
    arguments: Mapping[str, Any]
    code: str
    why: str
    requested_by: str
    station: str
    state: str
    decided_by: str | None


@dataclass(frozen=True, slots=True)
class PaidIn:
    """A top-up, found by its receipt."""

    number: str
    seq: int
    account: str
    amount_nano: int
    channel: str
    reversed_seq: int | None
    entries: tuple[ledger.Entry, ...]


def purse_of(account: str, facts: Facts, balances: Balances, limits: AccountClass, coin_nano: int) -> Purse:
    """Return an account as the books hold it now. Refused "account.unknown" by the books."""
    left = unused(facts.grants, facts.uses)
    return Purse(
        account=account,
        state=facts.state,
        wallet_nano=balances(ledger.wallet(account)),
        owed_nano=-balances(debt(account)),
        emergency_nano=-balances(emergency(account)),
        property_nano=balances(property_purse(account)),
        unused_subsidy_nano=sum(left.values()),
        limits=limits,
        recovery_percent=limits.recovery_percent if facts.recovery_percent is None else facts.recovery_percent,
        coin_nano=coin_nano,
    )


async def read_facts(cursor: Cursor, account: str) -> Facts:
    """Return what the tables say about an account; the defaults for one they do not know."""
    await cursor.execute(FIND_PURSE, {"account": account})
    found = await cursor.fetchone()
    facts = Facts() if found is None else Facts(found[0], found[1], found[2])
    await cursor.execute(RUNNING_GRANTS, {"account": account})
    grants = tuple(Grant(str(key), int(nano), int(until_s), int(seq)) for key, nano, until_s, seq in await _all(cursor))
    if not grants:
        return facts
    first = min(grant.seq for grant in grants)
    await cursor.execute(USES, {"wallet": ledger.wallet(account), "seq": first, "kinds": list(USING)})
    uses = tuple(Use(int(at_s), int(seq), int(nano)) for at_s, seq, nano in await _all(cursor))
    return replace(facts, grants=grants, uses=uses)


async def read_receipt(cursor: Cursor, number: str) -> PaidIn:
    """Return a top-up by its receipt. Refused "receipt.unknown"."""
    await cursor.execute(RECEIPT, {"number": number})
    found = await cursor.fetchone()
    if found is None:
        raise Refused("receipt.unknown", f"there is no receipt {number!r}; receipts are listed by `account show`")
    seq, account, amount_nano, channel, reversed_seq = found
    await cursor.execute(ENTRIES, {"seq": seq})
    entries = tuple((str(name), int(nano)) for name, nano in await _all(cursor))
    return PaidIn(number, int(seq), str(account), int(amount_nano), str(channel), reversed_seq, entries)


async def read_approval(cursor: Cursor, key: str) -> Approval | None:
    """Return a request by its key, None when there is none."""
    await cursor.execute(FIND_APPROVAL, {"key": key})
    found = await cursor.fetchone()
    return None if found is None else Approval(*found)


async def read_balances(cursor: Cursor, account: str) -> dict[str, int]:
    """Return ledger account -> nano of everything that belongs to one account."""
    names = [ledger.wallet(account), debt(account), emergency(account), property_purse(account)]
    await cursor.execute(BALANCES, {"accounts": names})
    return {str(name): int(nano) for name, nano in await _all(cursor)}


async def read_preview(cursor: Cursor, token: str) -> Mapping[str, Any] | None:
    """Return the reckoning that somebody was shown under a token."""
    await cursor.execute(FIND_PREVIEW, {"token": token})
    found = await cursor.fetchone()
    return None if found is None else found[0]


async def read_opened(cursor: Cursor) -> list[Opened]:
    """Return the accounts that the tables know, those opened while running in the order of their opening."""
    await cursor.execute(OPENED)
    found = []
    for account, place, tenant, state, account_class, spec in await _all(cursor):
        body = {**spec, "breakers": tuple(spec["breakers"]), "account_class": account_class, "tenant": tenant}
        found.append(Opened(str(account), place, str(tenant), str(state), AccountSpec(**body)))
    return found


async def opened_in(books: "LedgerStore") -> list[Opened]:
    """Return read_opened in a transaction of its own."""
    found: list[Opened] = []

    async def read(cursor: Cursor) -> None:
        found.extend(await read_opened(cursor))

    await books.look(read)
    return found


async def read_preset(cursor: Cursor, preset: str) -> Mapping[str, Any]:
    """Return a stored preset. Refused "preset.unknown"."""
    await cursor.execute(FIND_PRESET, {"id": preset})
    found = await cursor.fetchone()
    if found is None:
        raise Refused("preset.unknown", f"there is no preset {preset!r}; store one with `tenant preset`")
    body: Mapping[str, Any] = found[0]
    return body


async def keep_purse(
    cursor: Cursor,
    spec: AccountSpec,
    state: str,
    *,
    opened_seq: int | None = None,
    closed_seq: int | None = None,
    recovery_percent: int | None = None,
) -> None:
    """Enter an account that is opened (opened_seq given), or what changed about one; None keeps what stood."""
    place = None
    if opened_seq is not None:
        await cursor.execute(NEXT_PLACE)
        row = await cursor.fetchone()
        assert row is not None, "an aggregate always returns a row"
        place = int(row[0])
    await cursor.execute(
        KEEP_PURSE,
        {
            "account": spec.id,
            "place": place,
            "tenant": spec.tenant or spec.id,
            "state": state,
            "account_class": spec.account_class,
            "recovery_percent": recovery_percent,
            "spec": Jsonb(asdict(spec)),
            "opened_seq": opened_seq,
            "closed_seq": closed_seq,
        },
    )


async def _all(cursor: Cursor) -> list[tuple[Any, ...]]:
    return await cursor.fetchall()

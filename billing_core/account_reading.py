"""What the command line shows of accounts, read from the books on a connection of its own.

Rule: reads only, in one snapshot; nothing here asks the core.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from billing_core import ledger
from billing_core.account_rules import OPEN, Grant, Use, debt, emergency, property_purse, unused
from billing_core.account_store import FIND_PURSE, RUNNING_GRANTS, USES, USING
from scada.database import SCHEMA
from scada.errors import DatabaseAway, Refused

Connection = psycopg.Connection[dict[str, Any]]

BALANCES: Final = "SELECT account, nano FROM balance WHERE account = ANY(%(accounts)s)"
RECEIPTS: Final = """
    SELECT r.number, extract(epoch FROM r.plant_time)::bigint AS at_s, r.amount_nano, r.channel, r.who,
           v.number IS NOT NULL AS reversed
    FROM receipt r LEFT JOIN receipt_reversal v USING (number) WHERE r.account = %(wallet)s
    ORDER BY r.seq DESC LIMIT 20
"""
PENDING: Final = """
    SELECT key, operation, arguments, code, why, requested_by FROM approval WHERE state = 'pending' ORDER BY seq
"""
ACCOUNTS: Final = """
    SELECT substr(a.id, 8) AS account, a.name_zh, a.name_en, b.nano AS balance_nano, coalesce(p.state, 'open') AS state
    FROM account a JOIN balance b ON b.account = a.id LEFT JOIN purse p ON p.account = substr(a.id, 8)
    WHERE a.kind = 'wallet' ORDER BY 1
"""
# A reversal stands under the key of the payment it takes back, so that both meet under one order number.
POSTINGS: Final = """
    SELECT t.seq, coalesce(paid.idempotency_key, t.idempotency_key) AS key,
           extract(epoch FROM t.plant_time)::bigint AS at_s, -e.nano AS nano,
           (SELECT substr(w.account, 8) FROM entry w
            WHERE w.seq = t.seq AND w.account LIKE 'wallet:%%' LIMIT 1) AS account
    FROM transfer t JOIN entry e USING (seq)
    LEFT JOIN receipt_reversal v ON v.seq = t.seq
    LEFT JOIN receipt r ON r.number = v.number
    LEFT JOIN transfer paid ON paid.seq = r.seq
    WHERE e.account = %(source)s
      AND t.plant_time >= to_timestamp(%(from_s)s) AND t.plant_time < to_timestamp(%(to_s)s)
    ORDER BY t.seq
"""


@contextlib.contextmanager
def opened(dsn: str) -> Iterator[Connection]:
    """Yield one snapshot of the books. Raises DatabaseAway when the data base cannot be reached."""
    try:
        with psycopg.connect(dsn, row_factory=dict_row) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute("SELECT set_config('search_path', %s, true)", [f"{SCHEMA}, public"])
            yield connection
    except psycopg.OperationalError as error:
        raise DatabaseAway(str(error).strip()) from error


def account_facts(dsn: str, account: str) -> dict[str, Any]:
    """Return what there is to know about an account. Refused "account.unknown"."""
    names = [ledger.wallet(account), debt(account), emergency(account), property_purse(account)]
    with opened(dsn) as books:
        nano = {row["account"]: row["nano"] for row in books.execute(BALANCES, {"accounts": names})}
        if names[0] not in nano:
            raise Refused("account.unknown", f"there is no account {account!r}; `tenant list` names them")
        purse = books.execute(FIND_PURSE, {"account": account}).fetchone()
        receipts = books.execute(RECEIPTS, {"wallet": names[0]}).fetchall()
        left = _unused(books, account)
    return {
        "account": account,
        "state": purse["state"] if purse else OPEN,
        "balance_nano": nano[names[0]],
        "debt_nano": -nano.get(names[1], 0),
        "emergency_nano": -nano.get(names[2], 0),
        "property_nano": nano.get(names[3], 0),
        "unused_subsidy_nano": sum(left.values()),
        "subsidies": [{"key": key, "left_nano": rest} for key, rest in left.items()],
        "receipts": receipts,
    }


def pending(dsn: str) -> list[dict[str, Any]]:
    """Return the requests that wait for a second person."""
    with opened(dsn) as books:
        return books.execute(PENDING).fetchall()


def accounts(dsn: str) -> list[dict[str, Any]]:
    """Return every tenant's account with its balance."""
    with opened(dsn) as books:
        return books.execute(ACCOUNTS).fetchall()


def postings(dsn: str, channel: str, from_s: int, to_s: int) -> list[dict[str, Any]]:
    """Return what the books posted through a channel in [from_s, to_s): nano > 0 came in, < 0 went out."""
    given = {"source": ledger.source_of(channel), "from_s": from_s, "to_s": to_s}
    with opened(dsn) as books:
        return books.execute(POSTINGS, given).fetchall()


def _unused(books: Connection, account: str) -> dict[str, int]:
    rows = books.execute(RUNNING_GRANTS, {"account": account}).fetchall()
    grants = [Grant(row["key"], row["nano"], row["until_s"], row["seq"]) for row in rows]
    if not grants:
        return {}
    given = {"wallet": ledger.wallet(account), "seq": min(grant.seq for grant in grants), "kinds": list(USING)}
    uses = [Use(*map(int, row.values())) for row in books.execute(USES, given)]
    return unused(grants, uses)

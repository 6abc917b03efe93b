"""The steps of a transaction on the books: post, keep, open, enter, read. Each takes the cursor of the one that runs.

Rule: nothing here begins or ends a transaction; `store.py` does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from psycopg.types.json import Jsonb

from billing_core import copying, ledger, sql
from billing_core.columns import (
    R_FROM_S,
    R_MILLI,
    R_NANO,
    R_POINT,
    R_PRICE_MICRO,
    R_RATE,
    R_RAW_FROM,
    R_RAW_TO,
    R_SEGMENT_FROM_S,
    R_SEGMENT_TO_S,
    R_TO_S,
    Table,
)
from billing_core.ledger import Head, Transfer
from billing_core.plan import Plan
from billing_core.plan_body import body_hash, plan_body
from billing_core.points import AccountSpec, PointSpec
from billing_core.state import BillingState, fresh_state
from scada.database import Cursor


@dataclass(slots=True)
class Book:
    """The locked row of `book` within one transaction."""

    epoch: int
    checkpoint_seq: int
    head: Head
    plant_time_s: int
    now_us: int


# The columns of `charge` after seq and line: terms, then the row of the kernel without its point.
CHARGE_COLUMNS: Final = (
    R_RAW_FROM, R_FROM_S, R_RAW_TO, R_TO_S, R_SEGMENT_FROM_S, R_SEGMENT_TO_S, R_RATE, R_PRICE_MICRO, R_MILLI, R_NANO
)  # fmt: skip
CHARGE_SIZES: Final = (4, 8, 8, 8, 8, 8, 8, 2, 8, 8, 8)
CHARGE_TIMES: Final = frozenset({2, 4, 5, 6})


def charge_columns(rows: Table, terms: npt.NDArray[np.int64]) -> Table:
    """Return (k, 11) int64: the charges as they are stored, times in whole seconds."""
    return np.ascontiguousarray(np.column_stack([terms[rows[:, R_POINT]], rows[:, CHARGE_COLUMNS]]), dtype=np.int64)


async def copy_charges(cursor: Cursor, seq: int, columns: Table) -> None:
    """Append the charges of one transfer; columns (k, 11) int64 as charge_columns returns them."""
    fields = [
        copying.Field(np.full(len(columns), seq, dtype=np.int64), 8),
        copying.Field(np.arange(len(columns), dtype=np.int64), 4),
    ]
    for index, size in enumerate(CHARGE_SIZES):
        seconds = index in CHARGE_TIMES
        fields.append(copying.timestamps(columns[:, index]) if seconds else copying.Field(columns[:, index], size))
    async with cursor.copy(sql.COPY_CHARGES) as copy:
        await copy.write(copying.body(fields))


async def post(
    cursor: Cursor, head: Head, transfer: Transfer, posted_at_us: int, document: Mapping[str, Any] | None = None
) -> Head:
    """Append one transfer to the chain and move the balances; return the new head.

    document: what transfer.document_hash is the hash of
    """
    assert transfer.document_hash == ledger.document_hash(document)
    seq = head.seq + 1
    hashed = ledger.chain(head.hash, ledger.canonical(transfer, seq, posted_at_us))
    await cursor.execute(
        sql.POST,
        {
            "seq": seq,
            "key": transfer.key,
            "site": transfer.site,
            "kind": transfer.kind,
            "plant_time_s": transfer.plant_time_s,
            "posted_at_us": posted_at_us,
            "who": transfer.who,
            "station": transfer.station,
            "memo": transfer.memo,
            "charges_hash": transfer.charges_hash or None,
            "prev_hash": head.hash,
            "hash": hashed,
        },
    )
    given = {
        "seq": seq,
        "accounts": [account for account, _ in transfer.entries],
        "nanos": [nano for _, nano in transfer.entries],
    }
    await cursor.execute(sql.POST_ENTRIES, given)
    await cursor.execute(sql.MOVE_BALANCES, given)
    assert cursor.rowcount == len({account for account, _ in transfer.entries}), "every entry has a balance"
    if document is not None:
        await cursor.execute(sql.ADD_DOCUMENT, {"seq": seq, "body": Jsonb(document)})
    return Head(seq, hashed)


async def keep(cursor: Cursor, book: Book) -> None:
    await cursor.execute(
        sql.KEEP_BOOK,
        {
            "checkpoint_seq": book.checkpoint_seq,
            "seq": book.head.seq,
            "hash": book.head.hash,
            "plant_time_s": book.plant_time_s,
        },
    )


async def one(cursor: Cursor) -> tuple[Any, ...]:
    row = await cursor.fetchone()
    assert row is not None, "this statement always returns a row"
    return row


async def open_accounts(cursor: Cursor, accounts: Iterable[tuple[str, str, str, str, str]]) -> None:
    """Open ledger accounts (id, kind, name_zh, name_en, currency) that are not open yet."""
    ids, kinds, zh, en, currencies = map(list, zip(*accounts, strict=True))
    given = {"ids": ids, "kinds": kinds, "zh": zh, "en": en, "currencies": currencies}
    await cursor.execute(sql.OPEN_ACCOUNTS, given)
    await cursor.execute(sql.OPEN_BALANCES, given)


async def open_chart(cursor: Cursor, points: Sequence[PointSpec], accounts: Sequence[AccountSpec]) -> None:
    currency = accounts[0].currency if accounts else "CNY"
    chart = [
        (ledger.CASH, "cash", "现金", "Cash", currency),
        (ledger.OPENING, "opening", "期初", "Opening balances", currency),
        (ledger.ROUNDING, "rounding", "尾差", "Rounding", currency),
    ]
    chart += [
        (ledger.revenue(medium), "revenue", medium, medium, currency) for medium in sorted({p.medium for p in points})
    ]
    chart += [(ledger.wallet(a.id), "wallet", a.name_zh, a.name_en, a.currency) for a in accounts]
    await open_accounts(cursor, chart)


async def enter_terms(
    cursor: Cursor, points: Sequence[PointSpec], accounts: Sequence[AccountSpec], plans: Sequence[Plan]
) -> tuple[npt.NDArray[np.int64], dict[int, bytes]]:
    """Enter bodies of plans and terms of supply that are new.

    Return (n_points,) the number of each point's terms, and the hash of the terms of each number.
    """
    hashes = []
    for plan in plans:
        body = plan_body(plan)
        hashes.append(body_hash(body))
        await cursor.execute(sql.ADD_TARIFF, {"hash": hashes[-1], "tariff": plan.id, "body": Jsonb(body)})
    numbers = np.zeros(len(points), dtype=np.int64)
    terms_hashes: dict[int, bytes] = {}
    for row, point in enumerate(points):
        given: Mapping[str, Any] = {
            "point": point.id,
            "meter": point.meter,
            "account": ledger.wallet(accounts[point.account].id),
            "medium": point.medium,
            "unit": point.unit,
            "milli_per_count": point.milli_per_count,
            "modulus_counts": point.modulus_counts,
            "tariff": hashes[point.tariff],
            "household": 0,
            "opened_s": 0,
        }
        await cursor.execute(sql.FIND_TERMS, given)
        if (found := await cursor.fetchone()) is None:
            await cursor.execute(sql.ADD_TERMS, given)
            await cursor.execute(sql.FIND_TERMS, given)
            found = await one(cursor)
        numbers[row] = found[0]
        terms_hashes[int(found[0])] = ledger.terms_hash(given)
    return numbers, terms_hashes


async def read_state(
    cursor: Cursor, book: Book, points: Sequence[PointSpec], accounts: Sequence[AccountSpec]
) -> BillingState:
    kept = fresh_state(len(points), len(accounts)).points
    rows = {point.id: row for row, point in enumerate(points)}
    changed: list[int] = []
    await cursor.execute(sql.READ_POINTS)
    for name, meter, modulus, *state in await cursor.fetchall():
        if name in rows:
            point = points[rows[name]]
            kept[rows[name], : len(state)] = state
            if (meter, modulus) != (point.meter, point.modulus_counts):
                changed.append(rows[name])
    await cursor.execute(sql.READ_BALANCES)
    balances = {str(account): int(nano) for account, nano in await cursor.fetchall()}
    committed = np.array([balances[ledger.wallet(account.id)] for account in accounts], dtype=np.int64)
    return BillingState(
        book.checkpoint_seq, book.plant_time_s, kept, committed, np.array(changed, dtype=np.int64)
    )  # fmt: skip

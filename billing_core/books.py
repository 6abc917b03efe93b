"""The steps of a transaction on the books: post, keep, open, enter, read. Each takes the cursor of the one that runs.

Rule: nothing here begins or ends a transaction; `store.py` does.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from psycopg.types.json import Jsonb

from billing_core import copying, ledger, sql
from billing_core.columns import (
    R_KIND,
    R_METHOD,
    R_POINT,
    R_PRICE_MICRO,
    R_RATE,
    R_RAW_FROM,
    R_TIER,
    STATE_KEPT,
    V_TERMS,
    Table,
)
from billing_core.ledger import Head, Transfer
from billing_core.pages import ACCOUNTS_A_PAGE, PERSONAL, Accounts, Points
from billing_core.plan import Plan, TierOptions
from billing_core.plan_body import plan_of
from billing_core.points import AccountSpec, PointSpec
from billing_core.state import BillingState, Terms, fresh_state
from billing_core.termsbook import TermsBook
from scada.database import Cursor


@dataclass(slots=True)
class Book:
    """The locked row of `book` within one transaction."""

    epoch: int
    checkpoint_seq: int
    head: Head
    plant_time_s: int
    now_us: int


@dataclass(slots=True)
class Copies:
    """The writer's copies of what a transaction needs of the books. Read again when one failed."""

    accounts: Accounts
    points: Points
    terms: TermsBook


# What ledger.CHARGE names, as the kernel's row has it: (columns there, columns here); what a row reverses comes last.
CHARGE_SLICES: Final = (
    (slice(1, 7), slice(R_RAW_FROM, R_RATE)),
    (slice(7, 8), slice(R_RATE, R_TIER)),
    (slice(8, 11), slice(R_PRICE_MICRO, R_KIND)),
    (slice(11, 13), slice(R_TIER, R_PRICE_MICRO)),
    (slice(13, 15), slice(R_KIND, R_METHOD + 1)),
)
CHARGE_SIZES: Final = (4, 8, 8, 8, 8, 8, 8, 2, 8, 8, 8, 2, 8, 2, 2)
CHARGE_TIMES: Final = frozenset({2, 4, 5, 6})


def charge_columns(rows: Table, terms: npt.NDArray[np.int64]) -> Table:
    """Return (k, 17) int64, ledger.CHARGE: the charges as they are stored, ordered by their terms.

    terms (k,) the number of each row's terms. Rows of the same terms keep their order, so the intervals of a point go
    on joining; a checkpoint in which a point has two terms keeps the order it came in.
    """
    columns = np.zeros((len(rows), len(ledger.CHARGE)), dtype=np.int64)
    columns[:, 0] = terms
    for stored, given in CHARGE_SLICES:
        columns[:, stored] = rows[:, given]
    ordered = bool((terms[1:] >= terms[:-1]).all())
    if not ordered and len(np.unique(terms)) == len(np.unique(rows[:, R_POINT])):
        columns = columns[np.argsort(terms, kind="stable")]
    return columns


async def copy_charges(cursor: Cursor, seq: int, columns: Table) -> None:
    """Append the charges of one transfer; columns (k, 17) int64 as charge_columns returns them."""
    fields = [
        copying.Field(np.full(len(columns), seq, dtype=np.int64), 8),
        copying.Field(np.arange(len(columns), dtype=np.int64), 4),
    ]
    for index, size in enumerate(CHARGE_SIZES):
        seconds = index in CHARGE_TIMES
        fields.append(copying.timestamps(columns[:, index]) if seconds else copying.Field(columns[:, index], size))
    async with cursor.copy(sql.COPY_CHARGES) as copy:
        await copy.write(copying.body(fields))


def evidence_columns(evidence: Table, terms: npt.NDArray[np.int64]) -> Table:
    """Return (n, 13) int64, ledger.RATE_READING, in the order of their key: terms, then time.

    evidence (n, EVIDENCE_WIDTH); terms (n,) the number of each row's terms
    """
    columns = evidence[:, V_TERMS:].copy()
    columns[:, 0] = terms
    return columns[np.lexsort((columns[:, 2], columns[:, 1], columns[:, 0]))]


async def copy_evidence(cursor: Cursor, seq: int, columns: Table) -> None:
    """Append the rate registers of one transfer's charges; columns as evidence_columns returns them."""
    terms, *times = columns[:, 0], columns[:, 1], columns[:, 2]
    fields = [copying.Field(np.full(len(columns), seq, dtype=np.int64), 8), copying.Field(terms, 4)]
    fields += map(copying.timestamps, times)
    fields += [copying.Field(counts, 8) for counts in columns[:, 3:].T]
    async with cursor.copy(sql.COPY_EVIDENCE) as copy:
        await copy.write(copying.body(fields))


async def append(cursor: Cursor, head: Head, transfer: Transfer, posted_at_us: int) -> Head:
    """Append one transfer to the chain; return the new head."""
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
    return Head(seq, hashed)


async def post(
    cursor: Cursor,
    accounts: Accounts,
    head: Head,
    transfer: Transfer,
    posted_at_us: int,
    document: Mapping[str, Any] | None = None,
) -> Head:
    """Append one transfer with its entries and document, and move the balances; return the new head.

    document: what transfer.document_hash is the hash of
    """
    assert transfer.document_hash == ledger.document_hash(document)
    head = await append(cursor, head, transfer, posted_at_us)
    if transfer.entries:
        moved: Counter[str] = Counter()
        for account, nano in transfer.entries:
            moved[account] += nano
        given = {
            "seq": head.seq,
            "accounts": [account for account, _ in transfer.entries],
            "nanos": [nano for _, nano in transfer.entries],
        }
        await cursor.execute(sql.POST_ENTRIES, given)
        await keep_balances(cursor, accounts, accounts.move(moved, head.seq))
    if document is not None:
        await cursor.execute(sql.ADD_DOCUMENT, {"seq": head.seq, "body": Jsonb(document)})
    return head


def move_by_charges(copies: Copies, columns: Table, seq: int) -> npt.NDArray[np.int64]:
    """Debit wallets and credit revenue by charges; return the numbers of the pages that changed."""
    moved = np.zeros(len(copies.accounts), dtype=np.int64)
    wallets, revenues = copies.terms.wallets(columns[:, 0]), copies.terms.revenues(columns[:, 0])
    nano = columns[:, ledger.CHARGE.index("nano")]
    np.subtract.at(moved, wallets, nano)
    np.add.at(moved, revenues, nano)
    numbers = np.flatnonzero(moved)
    return copies.accounts.move_numbers(numbers, moved[numbers], seq)


async def keep_balances(cursor: Cursor, accounts: Accounts, pages: npt.NDArray[np.int64]) -> None:
    await cursor.execute(sql.KEEP_BALANCES, {"pages": pages.tolist(), "body": accounts.packed(pages)})


async def keep_points(cursor: Cursor, points: Points, pages: npt.NDArray[np.int64]) -> None:
    await cursor.execute(sql.KEEP_POINTS, {"pages": pages.tolist(), "body": points.packed(pages)})


async def read_copies(cursor: Cursor) -> Copies:
    """Read the books' balances and registers."""
    await cursor.execute(sql.READ_ACCOUNTS)
    rows = [(str(account), str(currency)) for account, currency in await cursor.fetchall()]
    await cursor.execute(sql.READ_BALANCES, binary=True)
    accounts = Accounts(rows, [(page, body) for page, body in await cursor.fetchall()])
    await cursor.execute(sql.READ_SLOTS)
    slots = {str(point): int(slot) for point, slot in await cursor.fetchall()}
    await cursor.execute(sql.READ_POINTS, binary=True)
    points = Points.read(slots, [(page, body) for page, body in await cursor.fetchall()])
    return Copies(accounts, points, TermsBook())


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


async def open_accounts(cursor: Cursor, accounts: Accounts, rows: Iterable[tuple[str, str, str, str, str]]) -> None:
    """Open ledger accounts (id, kind, name_zh, name_en, currency) that are not open yet; names may change later."""
    rows = list(rows)
    fresh = [row[0] for row in rows if row[0] not in accounts]
    numbers = [accounts.open(row[0], row[4]) for row in rows]
    ids, kinds, zh, en, currencies = map(list, zip(*rows, strict=True))
    given = {"ids": ids, "kinds": kinds, "zh": zh, "en": en, "currencies": currencies, "numbers": numbers}
    await cursor.execute(sql.OPEN_ACCOUNTS, given)
    if fresh:
        pages = np.unique(np.array([accounts.numbers[account] for account in fresh]) // ACCOUNTS_A_PAGE)
        await keep_balances(cursor, accounts, pages)


async def open_chart(
    cursor: Cursor, open_now: Accounts, points: Sequence[PointSpec], accounts: Sequence[AccountSpec]
) -> None:
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
    await open_accounts(cursor, open_now, chart)


def terms_of(point: PointSpec, account: AccountSpec, plan: Plan) -> Terms:
    """Return the terms that the configuration gives a supply point."""
    return Terms(
        point.id, point.meter, account.id, point.medium, point.unit, point.milli_per_count, point.modulus_counts,
        plan, point.options,
    )  # fmt: skip


def terms_of_all(points: Sequence[PointSpec], accounts: Sequence[AccountSpec], plans: Sequence[Plan]) -> list[Terms]:
    """Return the terms that the configuration gives each supply point."""
    return [terms_of(point, accounts[point.account], plans[point.tariff]) for point in points]


async def read_state(
    cursor: Cursor,
    book: Book,
    copies: Copies,
    points: Sequence[PointSpec],
    accounts: Sequence[AccountSpec],
    plans: Sequence[Plan],
) -> BillingState:
    """Return the state that the engine begins with."""
    kept = fresh_state(len(points), len(accounts)).points
    stored, slots = copies.points.state, copies.points.slots
    rows = np.array([row for row, point in enumerate(points) if point.id in slots], dtype=np.int64)
    places = np.array([slots[points[row].id] for row in rows], dtype=np.int64)
    kept[rows] = stored[places, 1 : 1 + STATE_KEPT]
    numbers = stored[places, 0]
    terms = await _read_terms(cursor, numbers, {plan.id: plan for plan in plans})
    by_person = {
        int(row): terms[int(number)]
        for row, number, personal in zip(rows, numbers, stored[places, PERSONAL], strict=True)
        if personal
    }
    changed = [
        int(row)
        for row, number in zip(rows, numbers, strict=True)
        if int(row) not in by_person
        and (terms[int(number)].meter, terms[int(number)].modulus_counts)
        != (points[row].meter, points[row].modulus_counts)
    ]
    committed = np.array([copies.accounts.balance(ledger.wallet(a.id)) for a in accounts], dtype=np.int64)
    return BillingState(
        book.checkpoint_seq, book.plant_time_s, kept, committed, np.array(changed, dtype=np.int64), by_person
    )


async def terms_numbered(cursor: Cursor, numbers: Iterable[int]) -> dict[int, Terms]:
    """Return number -> terms as they were stored."""
    return await _read_terms(cursor, np.array(sorted(numbers), dtype=np.int64), {})


async def _read_terms(cursor: Cursor, numbers: npt.NDArray[np.int64], plans: Mapping[str, Plan]) -> dict[int, Terms]:
    """Return number -> terms; with the configured plan of that name, which knows the past of the stored one."""
    await cursor.execute(sql.READ_TERMS, {"numbers": np.unique(numbers).tolist()})
    found: dict[int, Terms] = {}
    stored: dict[str, Plan] = {}
    for row in await cursor.fetchall():
        plan_id, body = row[-2:]
        plan = plans.get(plan_id) or stored.get(plan_id) or stored.setdefault(plan_id, plan_of(body))
        found[row[0]] = Terms(row[1], row[2], row[3], row[4], row[5], row[6], row[7], plan, TierOptions(row[8], row[9]))
    return found

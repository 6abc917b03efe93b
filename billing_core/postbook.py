"""The steps of a posting inside a transaction: find a key, compare, check, open accounts, append to the chain.

Rule: nothing here begins or ends a transaction; `store.py` does.
"""

from billing_core import books, chart, ledger, posting, sql
from billing_core.books import Book
from billing_core.ledger import CASH, Head, Transfer
from billing_core.pages import Accounts
from billing_core.posting import Posted, Wish
from scada.database import Cursor
from scada.errors import Refused


async def find(cursor: Cursor, key: str) -> Posted | None:
    """Return what was posted under a key, None when nothing was."""
    await cursor.execute(sql.FIND_POSTED, {"key": key})
    row = await cursor.fetchone()
    if row is None:
        return None
    seq, kind, memo, document, plant_time_s, who, station = row
    await cursor.execute(sql.ENTRIES_OF, {"seq": seq})
    entries = tuple((str(account), int(nano)) for account, nano in await cursor.fetchall())
    return Posted(seq, key, kind, entries, memo, document, plant_time_s, who, station)


async def differs(cursor: Cursor, accounts: Accounts, posted: Posted, wish: Wish) -> Refused | None:
    """Return why a posting is not what is asked for now, judged by the balances that stood before it."""
    then: dict[str, int] = {}
    while True:  # each round knows one account more; build asks for few
        try:
            return posting.rebuilt_differs(posted, wish, lambda account: _known(then, accounts, account))
        except _Unknown as unknown:
            await cursor.execute(sql.MOVED_SINCE, {"account": unknown.account, "seq": posted.seq})
            moved = int((await books.one(cursor))[0])
            then[unknown.account] = accounts.balance(unknown.account) - moved


class _Unknown(Exception):
    def __init__(self, account: str) -> None:
        super().__init__(account)
        self.account = account


def _known(then: dict[str, int], accounts: Accounts, account: str) -> int:
    if account not in accounts:
        return 0
    if account not in then:
        raise _Unknown(account)
    return then[account]


async def post(cursor: Cursor, book: Book, accounts: Accounts, wish: Wish, site: str, at_s: int) -> tuple[Posted, Head]:
    """Build, check and append one posting; open the accounts it needs, write the trade's own rows."""

    def balances(account: str) -> int:
        if account not in accounts and chart.kind_of(account) == "wallet":
            raise Refused("account.unknown", f"there is no account {account.partition(':')[2]!r}")
        return accounts.balance(account)

    draft = wish.build(balances)
    posting.check(draft, accounts.balance)
    opened = posting.new_accounts(draft, accounts.currencies, accounts.currencies.get(CASH, ""))
    if opened:
        await books.open_accounts(cursor, accounts, opened)
    transfer = Transfer(
        wish.key, wish.kind, site, at_s, wish.who, wish.station, draft.memo, draft.entries,
        document_hash=ledger.document_hash(draft.document),
    )  # fmt: skip
    head = await books.post(cursor, accounts, book.head, transfer, book.now_us, draft.document)
    if draft.also is not None:
        await draft.also(cursor, head.seq)
    after = {account: accounts.balance(account) for account, _ in draft.entries}
    posted = Posted(
        head.seq, wish.key, wish.kind, draft.entries, draft.memo, draft.document, at_s, wish.who, wish.station,
        credit_now=posting.wallets_of(draft.entries), balances=after,
    )  # fmt: skip
    return posted, head

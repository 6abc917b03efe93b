"""The books in PostgreSQL: opens them, commits checkpoints, posts top-ups, each in one transaction.

Rule: one writer. Every transaction first locks the one row of `book`, which holds the writer's epoch and the head of
the chain; a core that was overtaken finds another epoch there and stops. Repeating any call is harmless: a checkpoint
is known by its number, a transfer by its idempotency key, so an answer lost with the connection is looked up.
"""

import asyncio
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from billing_core import books, ledger, sql
from billing_core.books import Book
from billing_core.columns import R_NANO, R_POINT, STATE_KEPT
from billing_core.credit import StopRecord
from billing_core.ledger import Head, Receipt, TopUpLimits, Transfer
from billing_core.points import AccountSpec, PointSpec
from billing_core.state import BillingState, Checkpoint
from billing_core.tariff import Tariff
from scada.clock import NS_PER_S
from scada.database import Cursor, Database
from scada.errors import DatabaseAway, Refused, WattkeeperError

LEASE_S: Final = 30.0  # a holder is gone that has not written for so long beyond the time of a checkpoint
SYSTEM: Final = "system"
CORE: Final = "core"


class Overtaken(WattkeeperError):
    """Another core has taken these books over; this one must write no more."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit brought."""

    head: Head
    late_credits: tuple[tuple[str, int], ...]  # (account, nano) of top-ups whose answer had been lost


class LedgerStore:
    """The books of one site. prepare() first; then commit() and top_up() may be awaited in any order."""

    def __init__(
        self,
        database: Database,
        site: str,
        holder: str = platform.node(),
        limits: TopUpLimits | None = None,
        checkpoint_s: float = 0.0,
    ) -> None:
        """holder: names this core for the lease; the same after a restart, another for another data directory.

        checkpoint_s: a live core writes at least so often, real seconds
        """
        self._database = database
        self._site = site
        self._holder = holder
        self._limits = limits or TopUpLimits()
        self._lease_s = LEASE_S + checkpoint_s
        self._lock = asyncio.Lock()
        self._epoch = 0
        self._points: tuple[PointSpec, ...] = ()
        self._accounts: tuple[AccountSpec, ...] = ()
        self._terms: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._terms_hashes: dict[int, bytes] = {}
        self._unsure: set[str] = set()  # keys of top-ups whose COMMIT had no answer

    async def prepare(
        self, points: Sequence[PointSpec], accounts: Sequence[AccountSpec], tariffs: Sequence[Tariff]
    ) -> BillingState:
        """Take the books, enter what the configuration names, post opening balances once, return the state.

        Raises Refused "ledger.held" while another core writes, "ledger.site" when the books are another site's.
        """
        async with self._lock, self._database.transaction() as cursor:
            book = await self._take(cursor)
            await books.open_chart(cursor, points, accounts)
            terms, terms_hashes = await books.enter_terms(cursor, points, accounts, tariffs)
            book.head = await self._post_openings(cursor, book, accounts)
            await books.keep(cursor, book)
            state = await books.read_state(cursor, book, points, accounts)
        self._points, self._accounts = tuple(points), tuple(accounts)
        self._terms, self._terms_hashes, self._epoch = terms, terms_hashes, book.epoch
        self._unsure.clear()  # the balances just read contain them
        return state

    async def commit(self, checkpoint: Checkpoint) -> Committed:
        """Write one checkpoint: charges, their transfer, balances and registers, all or nothing. Repeatable."""
        async with self._lock:
            async with self._database.transaction() as cursor:
                book = await self._locked(cursor)
                late = await self._late_credits(cursor)
                if book.checkpoint_seq != checkpoint.seq:
                    if book.checkpoint_seq != checkpoint.seq - 1:
                        raise Overtaken(f"books are at checkpoint {book.checkpoint_seq}, this is {checkpoint.seq}")
                    book.head = await self._write_charges(cursor, book, checkpoint)
                    await self._save_points(cursor, checkpoint)
                    book.checkpoint_seq = checkpoint.seq
                    book.plant_time_s = checkpoint.plant_time_s
                await books.keep(cursor, book)
            self._unsure.clear()
        return Committed(book.head, late)

    async def top_up(
        self, account: str, amount_minor: int, channel: str, key: str, user: str, station: str, plant_utc_ns: int
    ) -> Receipt:
        """Post money paid in, once per key, and return its receipt.

        amount_minor  smallest coins of the currency        key  the payment's own number, the same when repeated
        Refused "account.unknown", "topup.*" (ledger.top_up_refusal), "topup.key-reused" for another payment's key.
        DatabaseAway: unknown whether it was posted; repeat with the same key.
        """
        amount_nano = amount_minor * self._limits.step_nano
        wish = _Payment(account, amount_nano, channel, f"topup:{key}", user, station, plant_utc_ns // NS_PER_S)
        async with self._lock:
            try:
                async with self._database.transaction() as cursor:
                    book = await self._locked(cursor)
                    receipt = await self._repeated(cursor, wish)
                    if receipt is None:
                        receipt = await self._post_top_up(cursor, book, wish)
            except DatabaseAway:
                self._unsure.add(wish.key)
                raise
            self._unsure.discard(wish.key)
            return receipt

    async def renew(self) -> Committed:
        """Keep the lease while there is nothing to commit. Raises Overtaken when another core has the books."""
        async with self._lock:
            async with self._database.transaction() as cursor:
                book = await self._locked(cursor)
                late = await self._late_credits(cursor)
                await books.keep(cursor, book)
            self._unsure.clear()
        return Committed(book.head, late)

    async def record_stops(self, records: Sequence[StopRecord]) -> None:
        """Remember supplies that credit switched off or that are supplied again. Repeatable, in order."""
        async with self._database.transaction() as cursor:
            for record in records:
                given = {
                    "account": record.account,
                    "breaker": record.breaker,
                    "at_s": record.at_s,
                    "balance_nano": record.balance_nano,
                    "reason": record.reason,
                }
                await cursor.execute(sql.STOP_CREDIT if record.stopped else sql.END_CREDIT_STOP, given)

    async def open_stops(self) -> list[tuple[str, str, int]]:
        """Return (account, breaker, since second) of supplies that credit switched off."""
        async with self._database.transaction() as cursor:
            await cursor.execute(sql.OPEN_CREDIT_STOPS)
            return [(str(account), str(breaker), int(at_s)) for account, breaker, at_s in await cursor.fetchall()]

    async def ended_stops(self) -> dict[str, int]:
        """Return breaker -> plant second in which its last stop by credit ended."""
        async with self._database.transaction() as cursor:
            await cursor.execute(sql.ENDED_CREDIT_STOPS)
            return {str(breaker): int(at_s) for breaker, at_s in await cursor.fetchall()}

    async def close(self) -> None:
        await self._database.close()

    # --- inside a transaction

    async def _take(self, cursor: Cursor) -> Book:
        await cursor.execute(sql.MAKE_BOOK, {"site": self._site, "genesis": ledger.GENESIS})
        await cursor.execute(sql.LOCK_BOOK)
        row = await books.one(cursor)
        site, holder, idle_s = row[0], row[1], row[7]
        if site != self._site:
            raise Refused("ledger.site", f"these books belong to site {site!r}, not to {self._site!r}")
        if holder not in ("", self._holder) and idle_s < self._lease_s:
            raise Refused("ledger.held", f"core {holder!r} wrote {idle_s:.0f} s ago; this one stays passive")
        await cursor.execute(sql.TAKE_BOOK, {"holder": self._holder})
        epoch = int((await books.one(cursor))[0])
        return Book(epoch, row[3], Head(row[4], row[5]), row[6], row[8])

    async def _locked(self, cursor: Cursor) -> Book:
        await cursor.execute(sql.LOCK_BOOK)
        row = await books.one(cursor)
        if row[2] != self._epoch:
            raise Overtaken(f"core {row[1]!r} has taken the books over")
        return Book(row[2], row[3], Head(row[4], row[5]), row[6], row[8])

    async def _post_openings(self, cursor: Cursor, book: Book, accounts: Sequence[AccountSpec]) -> Head:
        """Open accounts with what the configuration gives them; one that has been used is never opened again."""
        wanted = {ledger.wallet(account.id): account for account in accounts if account.opening_nano}
        await cursor.execute(sql.UNUSED_ACCOUNTS, {"accounts": list(wanted)})
        unused = {row[0] for row in await cursor.fetchall()}
        head = book.head
        for wallet, account in wanted.items():
            if wallet in unused:
                key = f"opening:{account.id}"
                entries = ((ledger.OPENING, -account.opening_nano), (wallet, account.opening_nano))
                transfer = Transfer(
                    key, "opening", self._site, book.plant_time_s, SYSTEM, CORE, "opening balance", entries
                )
                head = await books.post(cursor, head, transfer, book.now_us)
        return head

    async def _write_charges(self, cursor: Cursor, book: Book, checkpoint: Checkpoint) -> Head:
        if len(checkpoint.rows) == 0:
            return book.head
        columns = books.charge_columns(checkpoint.rows, self._terms)
        transfer = Transfer(
            key=f"charge:{self._site}:{checkpoint.seq}",
            kind="charge",
            site=self._site,
            plant_time_s=checkpoint.plant_time_s,
            who=SYSTEM,
            station=CORE,
            memo="",
            entries=self._charge_entries(checkpoint),
            charges_hash=ledger.charges_hash(columns, self._terms_hashes),
        )
        head = await books.post(cursor, book.head, transfer, book.now_us)
        await books.copy_charges(cursor, head.seq, columns)
        return head

    def _charge_entries(self, checkpoint: Checkpoint) -> tuple[ledger.Entry, ...]:
        wallets = {
            self._accounts[row].id: int(checkpoint.account_nano[row]) for row in np.flatnonzero(checkpoint.account_nano)
        }
        by_point = np.zeros(len(self._points), dtype=np.int64)
        np.add.at(by_point, checkpoint.rows[:, R_POINT], checkpoint.rows[:, R_NANO])
        media: Counter[str] = Counter()
        for row in np.flatnonzero(by_point):
            media[self._points[row].medium] += int(by_point[row])
        return ledger.charge_entries(wallets, media)

    async def _save_points(self, cursor: Cursor, checkpoint: Checkpoint) -> None:
        if len(checkpoint.point_rows) == 0:
            return
        ids = [self._points[row].id for row in checkpoint.point_rows]
        columns = [checkpoint.points[:, column].tolist() for column in range(STATE_KEPT)]
        await cursor.execute(sql.SAVE_POINTS, [ids, self._terms[checkpoint.point_rows].tolist(), *columns])

    async def _repeated(self, cursor: Cursor, wish: "_Payment") -> Receipt | None:
        """Return the receipt of a payment that was posted before, Refused when the key was another payment's."""
        await cursor.execute(sql.FIND_RECEIPT, {"key": wish.key})
        row = await cursor.fetchone()
        if row is None:
            return None
        number, seq, account, amount_nano, balance_nano, currency, channel, plant_time_s, who, station = row
        owed = amount_nano if wish.key in self._unsure else 0
        receipt = Receipt(
            number, seq, account, amount_nano, balance_nano, currency, channel, plant_time_s, who, station, True, owed
        )
        if (receipt.account, receipt.amount_nano, receipt.channel) != (wish.account, wish.amount_nano, wish.channel):
            raise Refused("topup.key-reused", f"this key paid {receipt.amount_nano} nano into {receipt.account}")
        return receipt

    async def _post_top_up(self, cursor: Cursor, book: Book, wish: "_Payment") -> Receipt:
        await cursor.execute(sql.FIND_WALLET, [ledger.wallet(wish.account)])
        found = await cursor.fetchone()
        if found is None:
            raise Refused("account.unknown", f"there is no account {wish.account!r}")
        balance_nano, currency = found
        key = wish.key.removeprefix("topup:")
        refused = ledger.top_up_refusal(self._limits, wish.amount_nano, balance_nano, key, wish.channel)
        if refused is not None:
            raise refused
        source = ledger.source_of(wish.channel)
        await books.open_accounts(cursor, [(source, source.partition(":")[0], source, source, currency)])
        book.head = await books.post(cursor, book.head, wish.transfer(self._site), book.now_us)
        book.plant_time_s = wish.plant_time_s
        receipt = wish.receipt(book.head.seq, balance_nano + wish.amount_nano, currency)
        await cursor.execute(sql.ADD_RECEIPT, receipt_row(receipt))
        await books.keep(cursor, book)
        return receipt

    async def _late_credits(self, cursor: Cursor) -> tuple[tuple[str, int], ...]:
        """Return the top-ups that were posted although their answer never came."""
        if not self._unsure:
            return ()
        await cursor.execute(sql.POSTED_TOP_UPS, {"keys": list(self._unsure)})
        return tuple((str(account), int(nano)) for account, nano in await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class _Payment:
    """What somebody wants to pay in."""

    account: str
    amount_nano: int
    channel: str
    key: str
    user: str
    station: str
    plant_time_s: int

    def transfer(self, site: str) -> Transfer:
        source = ledger.source_of(self.channel)
        entries = ((source, -self.amount_nano), (ledger.wallet(self.account), self.amount_nano))
        return Transfer(self.key, "topup", site, self.plant_time_s, self.user, self.station, self.channel, entries)

    def receipt(self, seq: int, balance_nano: int, currency: str) -> Receipt:
        return Receipt(
            number=ledger.receipt_number(seq),
            seq=seq,
            account=self.account,
            amount_nano=self.amount_nano,
            balance_nano=balance_nano,
            currency=currency,
            channel=self.channel,
            plant_time_s=self.plant_time_s,
            who=self.user,
            station=self.station,
            repeated=False,
            credit_now_nano=self.amount_nano,
        )


def receipt_row(receipt: Receipt) -> dict[str, Any]:
    return {
        "number": receipt.number,
        "seq": receipt.seq,
        "account": ledger.wallet(receipt.account),
        "amount_nano": receipt.amount_nano,
        "balance_nano": receipt.balance_nano,
        "currency": receipt.currency,
        "channel": receipt.channel,
        "plant_time_s": receipt.plant_time_s,
        "who": receipt.who,
        "station": receipt.station,
    }

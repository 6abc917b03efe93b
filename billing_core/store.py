"""The books in PostgreSQL: opens them, commits checkpoints, posts top-ups, each in one transaction.

Rule: one writer. Every transaction first locks the one row of `book`, which holds the writer's epoch and the head of
the chain; a core that was overtaken finds another epoch there and stops. Repeating any call is harmless: a checkpoint
is known by its number, a transfer by its idempotency key, so an answer lost with the connection is looked up.
"""

import asyncio
import contextlib
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from loguru import logger
from psycopg.types.json import Jsonb

from billing_core import anchoring, books, ledger, plan_books, postbook, quarantine, sql
from billing_core.account_rules import STANDARD
from billing_core.anchor import Anchor
from billing_core.books import Book, Copies
from billing_core.columns import R_TERMS, V_TERMS, Table
from billing_core.credit import StopRecord
from billing_core.ledger import NANO_PER_UNIT, Head, Receipt, Transfer
from billing_core.pages import Accounts, Points
from billing_core.plan import Plan
from billing_core.points import AccountSpec, PointSpec
from billing_core.posting import KEY_LENGTH, Build, Posted, Read, Same, Wish, check_key, wallets_of
from billing_core.state import Act, BillingState, Change, Checkpoint
from billing_core.topup import LimitsOf, Payment, receipt_of
from scada.clock import NS_PER_S, Clock
from scada.database import Cursor, Database
from scada.errors import DatabaseAway, Refused, WattkeeperError
from scada.operations import Who

LEASE_S: Final = 30.0  # a holder is gone that has not written for so long beyond the time of a checkpoint
SYSTEM: Final = "system"
CORE: Final = "core"

T = TypeVar("T")


class Overtaken(WattkeeperError):
    """Another core has taken these books over; this one must write no more."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit brought."""

    head: Head
    late_credits: tuple[tuple[str, int], ...]  # (account, nano) of postings whose answer had been lost
    quarantined: tuple[str, ...] = ()  # supply points whose charges the books did not take


@dataclass(frozen=True, slots=True)
class Restating:
    """A restatement as it is posted."""

    act: Act
    document: Mapping[str, Any]
    point: str
    rows: Sequence[tuple[int | None, ...]]  # ledger.CHARGE; None where a row reverses nothing
    milli: int  # more charged than before
    nano: int
    position: tuple[int, int] | None  # (milli, period) of the tiers, where it moved
    at_s: int  # plant time


class LedgerStore:
    """The books of one site. prepare() first; then commit() and top_up() may be awaited in any order."""

    def __init__(
        self,
        database: Database,
        site: str,
        holder: str = platform.node(),
        limits: LimitsOf | None = None,
        checkpoint_s: float = 0.0,
        clock: Clock | None = None,
        coin_nano: int = NANO_PER_UNIT // 100,
        anchor: Anchor | None = None,
    ) -> None:
        """holder: names this core for the lease; the same after a restart, another for another data directory.

        checkpoint_s: a live core writes at least so often, real seconds
        clock: plant time of what is posted; None: the latest that the books know
        limits: what an account may do; None: the standard for all        coin_nano: the smallest coin
        anchor: where heads of the chain are written beside the data base; None: nowhere
        """
        self._anchor = anchor
        self._clock = clock
        self._database = database
        self._site = site
        self._holder = holder
        self._limits = limits or (lambda account, account_class: STANDARD)
        self._coin_nano = coin_nano
        self._lease_s = LEASE_S + checkpoint_s
        self._lock = asyncio.Lock()
        self._epoch = 0
        self._points: tuple[PointSpec, ...] = ()
        self._copies: Copies | None = None  # None: read them again
        self._unsure: set[str] = set()  # keys of postings whose COMMIT had no answer

    async def prepare(
        self, points: Sequence[PointSpec], accounts: Sequence[AccountSpec], plans: Sequence[Plan]
    ) -> BillingState:
        """Take the books, enter what the configuration names, post opening balances once, return the state.

        Raises Refused "ledger.held" while another core writes, "ledger.site" when the books are another site's,
        "ledger.behind-anchor" when they do not hold what was anchored,
        ConfigurationError when a plan changes the past (plan_books.begin).
        """
        async with self._writing() as cursor:
            book = await self._take(cursor)
            if self._anchor is not None:
                await anchoring.compare(cursor, self._anchor, book.head.seq)
            copies = self._copies = await books.read_copies(cursor)
            await plan_books.begin(cursor, plans, book.plant_time_s)
            await books.open_chart(cursor, copies.accounts, points, accounts)
            terms = books.terms_of_all(points, accounts, plans)
            await copies.terms.numbers(cursor, copies.accounts, terms)
            book.head = await self._post_openings(cursor, book, copies.accounts, accounts)
            if self._anchor is not None:
                book.head = await anchoring.journal(cursor, self._anchor, copies.accounts, book, self._site)
            await books.keep(cursor, book)
            state = await books.read_state(cursor, book, copies, points, accounts, plans)
        self._points, self._epoch = tuple(points), book.epoch
        self._unsure.clear()  # the balances just read contain them
        return state

    async def commit(self, checkpoint: Checkpoint) -> Committed:
        """Write one checkpoint: charges, their transfer, balances and registers, all or nothing. Repeatable.

        Points with a row that the books would never take stay out of it and are named in the answer: what the engine
        has of them is not what the books have, so it must begin again from the books (prepare).
        """
        clean, held_back = quarantine.separate(checkpoint, self._points)
        async with self._writing() as cursor:
            book = await self._locked(cursor)
            late = await self._late_credits(cursor)
            if book.checkpoint_seq != checkpoint.seq:
                if book.checkpoint_seq != checkpoint.seq - 1:
                    raise Overtaken(f"books are at checkpoint {book.checkpoint_seq}, this is {checkpoint.seq}")
                await self._write(cursor, book, clean, held_back)
            else:
                await books.keep(cursor, book)
        self._unsure.clear()
        if self._anchor is not None:
            await anchoring.note(self._anchor, book.head)
        names = tuple(str(entry["point"]) for entry in held_back["points"]) if held_back is not None else ()
        return Committed(book.head, late, names)

    async def top_up(
        self,
        account: str,
        amount_minor: int,
        channel: str,
        key: str,
        user: str,
        station: str,
        plant_utc_ns: int,
        reason: str = "",
    ) -> Receipt:
        """Post money paid in, once per key, and return its receipt.

        amount_minor  smallest coins of the currency        key  the payment's own number, the same when repeated
        Refused "account.unknown", "account.closed", "topup.*" (account_rules.RULES), "topup.key-reused" for the key of
        another payment.
        DatabaseAway: unknown whether it was posted; repeat with the same key.
        """
        payment = Payment(
            account, amount_minor * self._coin_nano, channel, key, user, station,
            plant_utc_ns // NS_PER_S, self._limits, self._coin_nano, reason,
        )  # fmt: skip
        at_s = payment.plant_time_s
        wish = Wish(f"topup:{key}", "topup", user, station, payment.draft, at_s, payment.same, payment.read)
        return await self._do(wish, receipt_of)

    async def post(
        self,
        key: str,
        kind: str,
        who: Who,
        build: Build,
        *,
        at_s: int | None = None,
        same: Same | None = None,
        read: Read | None = None,
    ) -> Posted:
        """Post a movement of money, or facts alone, once per key. Every such posting goes through here.

        build  called inside the locked transaction with the balances of ledger accounts as they stand (0 for one that
               is not open yet, Refused "account.unknown" for a wallet that is not); returns a Draft or raises Refused.
               It must be pure: for a repeated key it is called again, with the balances of then.
        kind   one of chart.TRANSFERS        at_s   plant time, None for now
        same   compares a repeated key's posting with what is asked for; default: `build` gives the same entries
        read   fetches, before `build` and in the same transaction, the trade's own rows that it judges by
        Raises Refused: what build raised, "ledger.key", "ledger.key-reused", posting.check, posting.new_accounts.
        DatabaseAway: unknown whether it was posted; repeat with the same key. The caller hands `credit_now` of the
        answer to Office.credit_now; what nobody asks for again comes with the next checkpoint's late credits.
        """

        async def answer(_: Cursor, posted: Posted) -> Posted:
            return posted

        check_key(key)
        return await self._do(Wish(key, kind, who.user, who.station, build, at_s, same, read), answer)

    async def restate(self, order: Restating) -> Posted:
        """Post a restatement: charges taken back and charged again, and what that does to balances and the point.

        Repeatable under its key. The running engine follows with `BillingEngine.restated`.
        """
        async with self._writing() as cursor:
            book = await self._locked(cursor)
            posted = await postbook.find(cursor, order.act.key)
            if posted is None:
                posted = await self._restate(cursor, book, order)
        return posted

    async def _restate(self, cursor: Cursor, book: Book, order: Restating) -> Posted:
        act, copies = order.act, await self._read_copies(cursor)
        columns = np.array([[number or 0 for number in row] for row in order.rows], dtype=np.int64)
        terms = await books.terms_numbered(cursor, set(columns[:, 0].tolist()))
        await copies.terms.numbers(cursor, copies.accounts, tuple(terms.values()))
        transfer = Transfer(
            act.key, "restatement", self._site, order.at_s, act.who, act.station, act.memo, (),
            ledger.charges_hash(columns, copies.terms.hashes), ledger.document_hash(order.document),
        )  # fmt: skip
        book.head = await books.append(cursor, book.head, transfer, book.now_us)
        await books.keep_balances(cursor, copies.accounts, books.move_by_charges(copies, columns, book.head.seq))
        lines = [(book.head.seq, line, *row) for line, row in enumerate(order.rows)]
        await cursor.executemany(sql.ADD_RESTATED, lines)
        await cursor.execute(sql.ADD_DOCUMENT, {"seq": book.head.seq, "body": Jsonb(order.document)})
        pages = copies.points.shift(order.point, order.milli, order.nano, order.position)
        await books.keep_points(cursor, copies.points, pages)
        book.plant_time_s = max(book.plant_time_s, order.at_s)
        await books.keep(cursor, book)
        return Posted(
            book.head.seq, act.key, "restatement", (), act.memo, order.document, order.at_s, act.who, act.station
        )  # fmt: skip

    async def find(self, key: str) -> Posted | None:
        """Return what was posted under a key, None when nothing was."""
        async with self._database.transaction() as cursor:
            return await postbook.find(cursor, key)

    async def look(self, read: Read) -> None:
        """Let a trade read its own rows, in a transaction of its own and without the lock of the books."""
        async with self._database.transaction() as cursor:
            await read(cursor)

    async def renew(self) -> Committed:
        """Keep the lease while there is nothing to commit. Raises Overtaken when another core has the books."""
        async with self._writing() as cursor:
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

    @property
    def database(self) -> Database:
        """The books' connection, for what is kept beside the books and moves no money."""
        return self._database

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

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[Cursor]:
        """One transaction at a time; whatever ends it badly makes the copies doubtful."""
        async with self._lock:
            try:
                async with self._database.transaction() as cursor:
                    yield cursor
            except BaseException:
                self._copies = None
                raise

    async def _post_openings(
        self, cursor: Cursor, book: Book, open_now: Accounts, accounts: Sequence[AccountSpec]
    ) -> Head:
        """Open accounts with what the configuration gives them; one that has been used is never opened again."""
        head = book.head
        for account in accounts:
            wallet = ledger.wallet(account.id)
            if account.opening_nano and not open_now.used(wallet):
                entries = ((ledger.OPENING, -account.opening_nano), (wallet, account.opening_nano))
                transfer = Transfer(
                    f"opening:{account.id}", "opening", self._site, book.plant_time_s, SYSTEM, CORE, "opening balance",
                    entries,
                )  # fmt: skip
                head = await books.post(cursor, open_now, head, transfer, book.now_us)
        return head

    async def _read_copies(self, cursor: Cursor) -> Copies:
        if self._copies is None:
            self._copies = await books.read_copies(cursor)
        return self._copies

    async def _write(
        self, cursor: Cursor, book: Book, checkpoint: Checkpoint, held_back: Mapping[str, Any] | None
    ) -> None:
        """Write charges, what they move, the change that comes with them, and the registers.

        held_back: document of what stays out of the checkpoint
        """
        copies = await self._read_copies(cursor)
        numbers = await copies.terms.numbers(cursor, copies.accounts, checkpoint.terms)
        columns = books.charge_columns(checkpoint.rows, numbers[checkpoint.rows[:, R_TERMS]])
        evidence = books.evidence_columns(checkpoint.evidence, numbers[checkpoint.evidence[:, V_TERMS]])
        seq = book.head.seq + 1
        async with cursor.connection.pipeline():  # one way there and back for all but the charges themselves
            if len(columns):
                book.head = await self._write_charges(cursor, book, copies, checkpoint, columns, evidence)
            if checkpoint.change is not None:
                book.head = await self._write_change(cursor, book, copies, checkpoint.change, checkpoint.plant_time_s)
                await plan_books.published(cursor, checkpoint.change.document)
            if held_back is not None:
                book.head = await self._write_quarantine(cursor, book, copies, checkpoint, held_back)
            if len(checkpoint.point_rows):
                await self._save_points(cursor, copies.points, checkpoint, numbers[checkpoint.point_terms])
            book.checkpoint_seq = checkpoint.seq
            book.plant_time_s = checkpoint.plant_time_s
            await books.keep(cursor, book)
        if len(columns):
            await books.copy_charges(cursor, seq, columns)
        if len(evidence):
            await books.copy_evidence(cursor, seq, evidence)

    async def _write_charges(
        self, cursor: Cursor, book: Book, copies: Copies, checkpoint: Checkpoint, columns: Table, evidence: Table
    ) -> Head:
        """Append the transfer of a checkpoint's charges. Its entries are the sums of its charges, stored nowhere."""
        transfer = Transfer(
            key=f"charge:{self._site}:{checkpoint.seq}",
            kind="charge",
            site=self._site,
            plant_time_s=checkpoint.plant_time_s,
            who=SYSTEM,
            station=CORE,
            memo="",
            entries=(),
            charges_hash=ledger.charges_hash(columns, copies.terms.hashes, evidence),
        )
        head = await books.append(cursor, book.head, transfer, book.now_us)
        pages = books.move_by_charges(copies, columns, head.seq)
        await books.keep_balances(cursor, copies.accounts, pages)
        return head

    async def _write_change(self, cursor: Cursor, book: Book, copies: Copies, change: Change, at_s: int) -> Head:
        """Enter a change that has already taken place in the engine: it cannot be refused any more."""
        document = {"change": change.kind, **change.document}
        key = change.key
        if await postbook.find(cursor, key) is not None:
            key = f"{key[: KEY_LENGTH - 30]}#{book.checkpoint_seq + 1}"
            logger.error("change {} was made twice; the second stands as {}", change.key, key)
        transfer = Transfer(
            key, "change", self._site, at_s, change.who, change.station, change.memo, (),
            document_hash=ledger.document_hash(document),
        )  # fmt: skip
        return await books.post(cursor, copies.accounts, book.head, transfer, book.now_us, document)

    async def _write_quarantine(
        self, cursor: Cursor, book: Book, copies: Copies, checkpoint: Checkpoint, document: Mapping[str, Any]
    ) -> Head:
        names = ", ".join(str(entry["point"]) for entry in document["points"])
        logger.error("checkpoint {}: impossible charges of {} stay out of the books", checkpoint.seq, names)
        transfer = Transfer(
            f"quarantine:{self._site}:{checkpoint.seq}", "quarantine", self._site, checkpoint.plant_time_s, SYSTEM,
            CORE, "impossible charges", (), document_hash=ledger.document_hash(document),
        )  # fmt: skip
        return await books.post(cursor, copies.accounts, book.head, transfer, book.now_us, document)

    async def _save_points(
        self, cursor: Cursor, points: Points, checkpoint: Checkpoint, numbers: npt.NDArray[np.int64]
    ) -> None:
        names = [self._points[row].id for row in checkpoint.point_rows]
        fresh = points.open(names)
        if fresh:
            given = {"points": fresh, "slots": [points.slots[name] for name in fresh]}
            await cursor.execute(sql.OPEN_SLOTS, given)
        pages = points.save(names, numbers, checkpoint.points, checkpoint.change is not None)
        await books.keep_points(cursor, points, pages)

    async def _do(self, wish: Wish, answer: Callable[[Cursor, Posted], Awaitable[T]]) -> T:
        """Post once per key, and answer in the same transaction."""
        try:
            async with self._writing() as cursor:
                book = await self._locked(cursor)
                posted = await self._repeated(cursor, wish)
                if posted is None:
                    posted = await self._post(cursor, book, wish)
                answered = await answer(cursor, posted)
        except (DatabaseAway, asyncio.CancelledError):
            self._unsure.add(wish.key)
            raise
        self._unsure.discard(wish.key)
        return answered

    async def _repeated(self, cursor: Cursor, wish: Wish) -> Posted | None:
        """Return what was posted under this key before; Refused when that was something else."""
        posted = await postbook.find(cursor, wish.key)
        if posted is None:
            return None
        if wish.same is not None:
            refused = wish.same(posted)
        else:
            refused = await postbook.differs(cursor, (await self._read_copies(cursor)).accounts, posted, wish)
        if refused is not None:
            raise refused
        owed = wallets_of(posted.entries) if wish.key in self._unsure else {}
        return replace(posted, repeated=True, credit_now=owed)

    async def _post(self, cursor: Cursor, book: Book, wish: Wish) -> Posted:
        if wish.read is not None:
            await wish.read(cursor)
        at_s = wish.at_s
        if at_s is None:
            at_s = self._clock.utc_ns() // NS_PER_S if self._clock is not None else book.plant_time_s
        accounts = (await self._read_copies(cursor)).accounts
        posted, book.head = await postbook.post(cursor, book, accounts, wish, self._site, at_s)
        book.plant_time_s = at_s
        await books.keep(cursor, book)
        return posted

    async def _late_credits(self, cursor: Cursor) -> tuple[tuple[str, int], ...]:
        """Return what wallets were moved by postings whose answer never came."""
        if not self._unsure:
            return ()
        await cursor.execute(sql.LATE_CREDITS, {"keys": list(self._unsure)})
        return tuple((str(account), int(nano)) for account, nano in await cursor.fetchall())

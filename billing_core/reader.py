"""Reads the books for the audit: one snapshot, row streams of bounded memory, on a connection of its own.

Rule: reads only, and everything from one repeatable-read transaction, so a core that goes on writing does no harm.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, LiteralString, TypeVar

import psycopg

from billing_core import plan_books, sql
from billing_core.audit import ChargeRow, EntryRow, PointRow, ReceiptRow, TermsRow, TransferRow
from billing_core.ledger import GENESIS
from billing_core.plan import Plan
from billing_core.rate_evidence import RateReading
from scada.clock import NS_PER_S
from scada.database import SCHEMA
from scada.errors import DatabaseAway

BATCH_ROWS: Final = 5_000  # about half a megabyte of charges on the way at a time

Row = TypeVar("Row")
Connection = psycopg.Connection[tuple[Any, ...]]


class StoredBooks:
    """The books in PostgreSQL as `audit` reads them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def counts(self) -> tuple[int, int]:
        """Return the numbers of accounts and of entries."""
        accounts, entries = self._one(sql.AUDIT_COUNTS)
        return accounts, entries

    def head(self) -> tuple[int, bytes]:
        found = self._connection.execute(sql.AUDIT_BOOK).fetchone()
        return (found[0], bytes(found[1])) if found is not None else (0, GENESIS)

    def folded_after(self) -> int:
        """Return the number of the last transfer from before charges knew tiers."""
        found = self._connection.execute("SELECT folded_after FROM book").fetchone()
        return int(found[0]) if found is not None else 0

    def hash_of(self, seq: int) -> bytes | None:
        """Return the hash of a transfer, None when there is no such."""
        found = self._connection.execute(sql.HASH_OF, {"seq": seq}).fetchone()
        return bytes(found[0]) if found is not None else None

    def plant_time_s(self) -> int:
        """Return the latest plant time of a checkpoint or top-up, 0 when there is none."""
        found = self._connection.execute(sql.PLANT_TIME).fetchone()
        return int(found[0]) if found is not None else 0

    def transfers(self) -> Iterator[TransferRow]:
        return map(TransferRow._make, self._stream("transfers", sql.AUDIT_TRANSFERS))

    def entries(self) -> Iterator[EntryRow]:
        return map(EntryRow._make, self._stream("entries", sql.AUDIT_ENTRIES))

    def charges(self) -> Iterator[ChargeRow]:
        return map(ChargeRow._make, self._stream("charges", sql.AUDIT_CHARGES))

    def charge(self, seq: int, line: int) -> ChargeRow | None:
        """Return one charge, None when there is none of this number."""
        found = self._connection.execute(sql.AUDIT_CHARGE, {"seq": seq, "line": line}).fetchone()
        return None if found is None else ChargeRow._make(found)

    def rate_readings(self) -> Iterator[RateReading]:
        return map(reading_of, self._stream("rate_readings", sql.AUDIT_RATE_READINGS))

    def rate_reading(self, terms: int, from_s: int, to_s: int) -> RateReading | None:
        """Return the rate registers of an interval, None when there are none."""
        found = self._connection.execute(sql.RATE_READING, {"terms": terms, "from_s": from_s, "to_s": to_s}).fetchone()
        return None if found is None else reading_of(found)

    def proven_after(self) -> int:
        """Return the number of the last transfer from before the books kept rate registers."""
        found = self._connection.execute(sql.PROVEN_AFTER).fetchone()
        return int(found[0]) if found is not None else 0

    def terms(self) -> Iterator[TermsRow]:
        return map(TermsRow._make, self._stream("terms", sql.AUDIT_TERMS))

    def plans_in_force(self, plans: list[str]) -> list[tuple[str, bytes, Mapping[str, Any]]]:
        return self._connection.execute(plan_books.IN_FORCE, {"plans": plans}).fetchall()

    def tariffs(self) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
        return ((row[0], row[1]) for row in self._stream("tariffs", sql.AUDIT_TARIFFS))

    def balances(self) -> Iterator[tuple[str, int, int]]:
        return ((row[0], row[1], row[2]) for row in self._stream("balances", sql.AUDIT_BALANCES))

    def receipts(self) -> Iterator[ReceiptRow]:
        return map(ReceiptRow._make, self._stream("receipts", sql.AUDIT_RECEIPTS))

    def points(self) -> Iterator[PointRow]:
        return map(PointRow._make, self._stream("points", sql.AUDIT_POINTS))

    def _one(self, statement: LiteralString) -> tuple[Any, ...]:
        row = self._connection.execute(statement).fetchone()
        assert row is not None, "a count always returns a row"
        return row

    def _stream(self, name: str, statement: LiteralString) -> Iterator[tuple[Any, ...]]:
        with self._connection.cursor(name=f"audit_{name}") as cursor:
            cursor.itersize = BATCH_ROWS
            cursor.execute(statement)
            yield from cursor


def reading_of(row: tuple[Any, ...]) -> RateReading:
    """Return a row of sql.RATE_READINGS."""
    seq, terms, from_s, to_s, before, after = row
    return RateReading(seq, terms, from_s, to_s, tuple(before), tuple(after))


def plant_time_ns(dsn: str) -> int:
    """Return the latest plant time that the books know, ns UTC; 0 for new books. Raises DatabaseAway."""
    with open_books(dsn) as books:
        return books.plant_time_s() * NS_PER_S


def check_past(dsn: str, plans: Iterable[Plan]) -> None:
    """Raise ConfigurationError when a plan says something else of the past than the books; DatabaseAway."""
    by_id = {plan.id: plan for plan in plans}
    with open_books(dsn) as books:
        plan_books.refuse(by_id, books.plans_in_force(list(by_id)), books.plant_time_s())


@contextlib.contextmanager
def open_books(dsn: str) -> Iterator[StoredBooks]:
    """Open one snapshot of the books. Raises DatabaseAway when the data base cannot be reached."""
    try:
        with psycopg.connect(dsn) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute("SELECT set_config('search_path', %s, true)", [f"{SCHEMA}, public"])
            yield StoredBooks(connection)
    except psycopg.OperationalError as error:
        raise DatabaseAway(str(error).strip()) from error

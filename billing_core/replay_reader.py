"""Reads the books for the replay: one snapshot, readings and terms as they stand, rows in streams of bounded memory.

Rule: reads only, and everything from one repeatable-read snapshot, so a core that goes on writing does no harm. The
stream of all charges has its connection for itself; single rows are looked up on a second one of the same snapshot.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, LiteralString

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.sql import SQL, Literal

from billing_core import sql
from billing_core.columns import KIND_RECHARGE, KIND_REVERSAL, Table
from billing_core.copying import EPOCH_2000_S, HEADER, US_PER_S
from billing_core.ledger import wallet
from billing_core.plan import Plan, TierOptions
from billing_core.plan_body import plan_of
from billing_core.rate_evidence import Evidence, RateReading
from billing_core.reader import reading_of
from billing_core.replay import Charge, Supply
from billing_core.replay_account import Moved
from billing_core.replay_all import Folded, Left, Settled
from billing_core.replay_block import (
    B_FROM_S,
    B_KIND,
    B_SEGMENT_FROM_S,
    B_SEGMENT_TO_S,
    B_SEQ,
    B_TERMS,
    B_TO_S,
    BLOCK_WIDTH,
)
from billing_core.replay_point import Bridge, bridges_of
from billing_core.replay_registers import Curves
from billing_core.settlement import FORMS
from billing_core.shadow import Piece
from scada.database import SCHEMA
from scada.errors import DatabaseAway

BATCH_ROWS: Final = 5_000
BLOCK_ROWS: Final = 65_536  # 16 MB on the way and as integers together
TIMES: Final = (B_FROM_S, B_TO_S, B_SEGMENT_FROM_S, B_SEGMENT_TO_S)
SIZES: Final = (8, 4, 4, 8, 8, 8, 8, 8, 8, 2, 2, 8, 8, 8, 8, 2, 2, 8, 4)  # of the columns B_* on the wire
RECORD: Final = np.dtype(
    [("count", ">i2"), *(pair for k, size in enumerate(SIZES) for pair in ((f"n{k}", ">i4"), (f"v{k}", f">i{size}")))]
)

TERMS: Final = """
    SELECT id, point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff, household, opened_s
    FROM terms ORDER BY id
"""
PLANS: Final = "SELECT hash, body FROM tariff_version"
PLAN_HASHES: Final = "SELECT hash FROM tariff_version WHERE tariff = %(plan)s"
# Rows from before the books knew methods: one that prices a part of an interval was split by time.
METHOD: Final = """
    CASE WHEN (segment_from, segment_to) <> (time_from, time_to) AND seq <= (SELECT folded_after FROM book)
         THEN 1::smallint ELSE method END
"""
CHARGE_LIST: Final = f"""
    SELECT seq, line, terms, raw_from, extract(epoch FROM time_from)::bigint, raw_to,
           extract(epoch FROM time_to)::bigint, extract(epoch FROM segment_from)::bigint,
           extract(epoch FROM segment_to)::bigint, rate, tier, position_milli, price_micro, milli, nano, kind, {METHOD},
           coalesce(reverses_seq, 0), coalesce(reverses_line, 0)
    FROM charge
"""
CHARGES_OF: Final = f"{CHARGE_LIST} WHERE terms = ANY(%(terms)s) AND seq <= %(upto)s ORDER BY seq, line"
ONE_CHARGE: Final = f"{CHARGE_LIST} WHERE seq = %(seq)s AND line = %(line)s"
ALL_CHARGES: Final = f"""
    COPY (
        SELECT seq, line, terms, raw_from, time_from, raw_to, time_to, segment_from, segment_to, rate, tier,
               position_milli, price_micro, milli, nano, kind, {METHOD}, coalesce(reverses_seq, 0),
               coalesce(reverses_line, 0)
        FROM charge ORDER BY seq, line
    ) TO STDOUT (FORMAT BINARY)
"""
TRANSFERS_OF: Final = """
    SELECT t.seq, t.idempotency_key, t.kind, extract(epoch FROM t.plant_time)::bigint, t.who, t.memo, d.body, e.account,
           e.nano
    FROM posted_entry e JOIN transfer t USING (seq) LEFT JOIN document d USING (seq)
    WHERE e.account = ANY(%(accounts)s) ORDER BY e.seq, e.line
"""
CHANGES: Final = """
    SELECT seq, body FROM document JOIN transfer USING (seq) WHERE kind = 'change' ORDER BY seq
"""
ACCOUNTS_OF: Final = (
    "SELECT id FROM account WHERE id LIKE '%%:' || %(account)s AND split_part(id, ':', 2) = %(account)s"
)
BALANCES: Final = "SELECT account, nano FROM balance WHERE account = ANY(%(accounts)s)"
FOLDED: Final = """
    SELECT b.account, b.nano, coalesce(sum(e.nano) FILTER (WHERE t.charges_hash IS NULL), 0)::bigint
    FROM balance b LEFT JOIN posted_entry e ON e.account = b.account LEFT JOIN transfer t ON t.seq = e.seq
    GROUP BY b.account, b.nano ORDER BY b.account
"""
SETTLED: Final = """
    SELECT d.seq, d.body,
           coalesce((SELECT jsonb_agg(jsonb_build_array(account, nano)) FROM posted_entry e WHERE e.seq = d.seq), '[]')
    FROM document d WHERE d.body ->> 'form' = ANY(%(forms)s) ORDER BY d.seq
"""
POINTS: Final = "SELECT point, last_raw, billed_milli, charged_nano FROM point_state WHERE last_s >= 0 ORDER BY point"
# A row that was reversed is as if it had never been; its reversal too.
PIECES: Final = """
    SELECT t.point, t.account, t.household, t.opened_s, extract(epoch FROM c.segment_from)::bigint,
           extract(epoch FROM c.segment_to)::bigint, c.kind, c.milli, c.nano
    FROM charge c JOIN terms t ON t.id = c.terms
    WHERE t.tariff = ANY(%(hashes)s) AND c.kind <> 2 AND c.segment_to > to_timestamp(%(from_s)s)
      AND c.segment_from < to_timestamp(%(to_s)s)
      AND NOT EXISTS (SELECT FROM charge r WHERE r.kind = 2 AND (r.reverses_seq, r.reverses_line) = (c.seq, c.line))
    ORDER BY t.point, c.segment_from, c.position_milli, c.seq, c.line
"""

Connection = psycopg.Connection[tuple[Any, ...]]


class ReplayBooks:
    """The books in PostgreSQL as the replay reads them."""

    def __init__(self, connection: Connection, lookup: Connection) -> None:
        """lookup: a second connection on the same snapshot."""
        self._connection = connection
        self._lookup = lookup

    def curves(self, tags: Mapping[str, str]) -> Curves:
        """Return the registers that the historian recorded. tags: meter -> id of the tag of its register."""
        return Curves(self._connection, tags)

    def plans(self) -> dict[bytes, Plan]:
        """Return every stored plan by its hash."""
        return {bytes(number): plan_of(body) for number, body in self._connection.execute(PLANS)}

    def plan_hashes(self, plan: str) -> list[bytes]:
        """Return the hashes of every stored body of a plan."""
        return [bytes(row[0]) for row in self._connection.execute(PLAN_HASHES, {"plan": plan})]

    def supplies(self) -> dict[int, Supply]:
        """Return every terms of supply by its number."""
        rows = self._connection.execute(TERMS)
        return {row[0]: Supply._make((*row[:8], bytes(row[8]), TierOptions(row[9], row[10]))) for row in rows}

    def bridges(self) -> Iterator[Bridge]:
        """Yield what the documents of changes say of the registers of points, in the order of the chain."""
        for seq, body in self._stream("bridges", CHANGES, {}):
            yield from bridges_of(seq, body)

    def charges_of(self, terms: Sequence[int], upto: int = 2**62) -> Iterator[Charge]:
        """Yield the charges under some terms, in the order in which they were written, up to a transfer."""
        return map(Charge._make, self._stream("charges", CHARGES_OF, {"terms": list(terms), "upto": upto}))

    def charge(self, seq: int, line: int) -> Charge | None:
        row = self._lookup.execute(ONE_CHARGE, {"seq": seq, "line": line}).fetchone()
        return None if row is None else Charge._make(row)

    def evidence(self) -> Evidence:
        """Return what the books keep of splits by rate registers."""
        found = self._connection.execute(sql.PROVEN_AFTER).fetchone()
        return Evidence(self._rate_reading, int(found[0]) if found is not None else 0)

    def readings_left(self, terms: Sequence[int] | None = None) -> Iterator[RateReading]:
        """Yield rate registers that no charge of their transfer was split by. terms: of these alone."""
        for row in self._stream("readings_left", sql.RATE_READINGS_LEFT, {}):
            if terms is None or row[1] in terms:
                yield reading_of(row)

    def ledger_accounts(self, account: str) -> list[str]:
        """Return the ledger accounts of a tenant, the wallet first; none when the books do not know the tenant."""
        found = [row[0] for row in self._connection.execute(ACCOUNTS_OF, {"account": account})]
        return sorted(found, key=lambda name: (name != wallet(account), name))

    def moved(self, accounts: Sequence[str]) -> Iterator[Moved]:
        """Yield the entries of some ledger accounts, in the order in which they were posted."""
        return map(Moved._make, self._stream("moved", TRANSFERS_OF, {"accounts": list(accounts)}))

    def balances(self, accounts: Sequence[str]) -> dict[str, int]:
        return dict(self._connection.execute(BALANCES, {"accounts": list(accounts)}).fetchall())

    def folded(self) -> Iterator[Folded]:
        """Yield every ledger account with the sums of its entries."""
        return map(Folded._make, self._stream("folded", FOLDED, {}))

    def points(self) -> Iterator[Left]:
        """Yield where each supply point was left."""
        return map(Left._make, self._stream("points", POINTS, {}))

    def settled(self) -> Iterator[Settled]:
        """Yield the transfers of settlements, each with its document and entries."""
        for seq, body, entries in self._stream("settled", SETTLED, {"forms": list(FORMS)}):
            yield Settled(seq, body, [(account, nano) for account, nano in entries])

    def pieces(self, hashes: Sequence[bytes], from_s: int, to_s: int) -> Iterator[Piece]:
        """Yield what stands of the charges under some plans that touch [from_s, to_s), point by point."""
        given = {"hashes": list(hashes), "from_s": from_s, "to_s": to_s}
        for point, account, household, opened_s, *rest in self._stream("pieces", PIECES, given):
            yield Piece(point, account.partition(":")[2], TierOptions(household, opened_s), *rest)

    def blocks(self) -> Iterator[Table]:
        """Yield every charge as tables (n, BLOCK_WIDTH), n about BLOCK_ROWS; no interval is cut by a table's end."""
        rest: Table = np.zeros((0, BLOCK_WIDTH), dtype=np.int64)
        for table in self._tables():
            joined = np.concatenate([rest, table])
            whole = _whole_intervals(joined)
            rest = joined[whole:]
            if whole:
                yield joined[:whole]
        if len(rest):
            yield rest

    def _tables(self) -> Iterator[Table]:
        """Read all charges in the order of their primary key, which is the order of the disk: nothing is sorted."""
        self._connection.execute("SET LOCAL enable_sort = off")
        body, begun = bytearray(), False
        with self._connection.cursor().copy(ALL_CHARGES) as copy:
            for message in copy:
                body += message if begun else message[len(HEADER) :]
                begun = True
                if len(body) >= BLOCK_ROWS * RECORD.itemsize:
                    whole = len(body) - len(body) % RECORD.itemsize
                    yield _table(bytes(body[:whole]))
                    del body[:whole]
        yield _table(bytes(body[: len(body) - len(body) % RECORD.itemsize]))  # without the trailer

    def _rate_reading(self, terms: int, from_s: int, to_s: int) -> RateReading | None:
        row = self._lookup.execute(sql.RATE_READING, {"terms": terms, "from_s": from_s, "to_s": to_s}).fetchone()
        return None if row is None else reading_of(row)

    def _stream(self, name: str, statement: LiteralString, given: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        with self._connection.cursor(name=f"replay_{name}") as cursor:
            cursor.itersize = BATCH_ROWS
            cursor.execute(statement, given)
            yield from cursor


def _table(body: bytes) -> Table:
    """Return (n, BLOCK_WIDTH) int64 of whole binary records, times in UTC seconds."""
    records: npt.NDArray[Any] = np.frombuffer(body, dtype=RECORD)
    table = np.empty((len(records), BLOCK_WIDTH), dtype=np.int64)
    for column in range(BLOCK_WIDTH):
        table[:, column] = records[f"v{column}"]
    for column in TIMES:
        table[:, column] //= US_PER_S
        table[:, column] += EPOCH_2000_S
    return table


def _whole_intervals(table: Table) -> int:
    """Return how many leading rows surely belong to whole intervals, and to whole restatements."""
    last = len(table) - 1
    while last > 0 and _together(table[last - 1], table[last]):
        last -= 1
    return max(last, 0)


def _together(row: Table, following: Table) -> bool:
    if row[B_SEQ] != following[B_SEQ]:
        return False
    again = (KIND_REVERSAL, KIND_RECHARGE)
    restated = row[B_KIND] in again or following[B_KIND] in again
    return restated or np.array_equal(row[B_TERMS : B_TO_S + 1], following[B_TERMS : B_TO_S + 1])


@contextlib.contextmanager
def open_replay(dsn: str) -> Iterator[ReplayBooks]:
    """Open one snapshot of the books. Raises DatabaseAway when the data base cannot be reached."""
    try:
        with psycopg.connect(dsn) as connection, psycopg.connect(dsn) as lookup:
            for one in (connection, lookup):
                one.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                one.read_only = True
            snapshot = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert snapshot is not None, "a snapshot always has a name"
            lookup.execute(SQL("SET TRANSACTION SNAPSHOT {}").format(Literal(snapshot[0])))
            for one in (connection, lookup):
                one.execute("SELECT set_config('search_path', %s, true)", [f"{SCHEMA}, public"])
                one.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # one waits while the other streams
            yield ReplayBooks(connection, lookup)
    except psycopg.OperationalError as error:
        raise DatabaseAway(str(error).strip()) from error

"""How fast the books take charges and payments, on a real PostgreSQL with fsync on, with plainer ways in the same run.

Run: python -m tests.bench.bench_ledger [--seconds 8]

One posting is one charge: it debits a wallet, credits revenue, is priced, chained and durable when the commit returns.
Peers: one transaction for each transfer (two entries, two balances, a unique key), as ledgers are commonly written; and
the same rows in sets, one transaction for all postings of a checkpoint, with a row for every entry, balance and point.
The books are audited at the end; a difference fails the run.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))

from billing_core.anchor import Anchor
from billing_core.audit import audit
from billing_core.engine import BillingEngine
from billing_core.points import AccountSpec, PointSpec
from billing_core.posting import Draft
from billing_core.reader import open_books
from billing_core.store import LedgerStore
from scada import database
from scada.database import Database
from scada.image import Columns, Layout
from scada.operations import Who
from scada.scan import Instant
from tests.bench.figures import Figure, percentile, report
from tests.conftest import PostgresServer
from tests.plans import plan

BEGIN_S = 1_793_000_000
PLAN = plan("f", {2: 683_700})
CHECKPOINTS_LEAST = 40
WARM = 5  # statements are prepared after five executions
NAIVE_S = 2.0
CLERK = Who("ann", "cashier", "desk-1")

NAIVE = """
    CREATE TABLE naive_transfer (id bigserial PRIMARY KEY, key text UNIQUE NOT NULL, at timestamptz DEFAULT now());
    CREATE TABLE naive_entry (transfer bigint REFERENCES naive_transfer, account int, nano bigint NOT NULL);
    CREATE INDEX ON naive_entry (account);
    CREATE TABLE naive_balance (account int PRIMARY KEY, nano bigint NOT NULL);
    CREATE TABLE naive_point (point int PRIMARY KEY, raw bigint, at bigint, milli bigint, nano bigint);
    INSERT INTO naive_balance SELECT n, 0 FROM generate_series(0, 10000) n;
    INSERT INTO naive_point SELECT n, 0, 0, 0, 0 FROM generate_series(1, 10000) n;
"""


class Site:
    """Points that all move between two checkpoints, billed by the engine and committed by the store."""

    def __init__(self, dsn: str, count: int, accounts: int) -> None:
        self.count = count
        points = [
            PointSpec(f"p{r}", f"m{r}", r % accounts, 0, "electricity", "kWh", 10, 100_000_000, 30_000)
            for r in range(count)
        ]
        purses = [AccountSpec(f"t{r}", "", "", "CNY", 0, 0, 0, 0, 0, False, ()) for r in range(accounts)]
        self.work = Columns.private(Layout({"tags": 0, "points": count, "accounts": accounts, "alarms": 0}, b"\0" * 32))
        self.work.points.quality[:] = 0
        self.parts = (points, purses, [PLAN])
        self.engine = BillingEngine(*self.parts)
        self.folder = Path(tempfile.mkdtemp(prefix="wattkeeper-anchor-"))
        self.store = LedgerStore(Database(dsn, "ledger"), "bench", anchor=Anchor(self.folder))
        self.scans = 0

    async def close(self) -> None:
        await self.store.close()
        shutil.rmtree(self.folder)

    async def open(self) -> None:
        self.engine.restore(await self.store.prepare(*self.parts))
        self.scan()

    def scan(self) -> None:
        self.scans += 1
        self.work.points.raw[:] += 1 + (np.arange(self.count) + self.scans) % 7
        self.work.points.source_time[:] = (BEGIN_S + self.scans) * 10**9
        self.engine.bill(Instant(self.scans, (BEGIN_S + self.scans) * 10**9, 0), self.work)

    async def commit(self) -> float:
        """Bill one scan and commit it; return how long the commit took, ms."""
        self.scan()
        checkpoint = self.engine.cut()
        assert checkpoint is not None
        assert len(checkpoint.rows) == self.count
        begun = time.perf_counter()
        await self.store.commit(checkpoint)
        lasted_ms = (time.perf_counter() - begun) * 1e3
        self.engine.applied(checkpoint)
        return lasted_ms


@contextmanager
def fresh(server: PostgresServer, name: str) -> Iterator[str]:
    dsn = server.make(name)
    database.migrate(dsn)
    yield dsn
    server.drop(name)


async def checkpoints(dsn: str, count: int, accounts: int, seconds: float) -> tuple[list[float], float]:
    """Commit one checkpoint after the other for some seconds; return their ms, and postings a second all in all."""
    site = Site(dsn, count, accounts)
    await site.open()
    for _ in range(WARM):
        await site.commit()
    lasted: list[float] = []
    while sum(lasted) < seconds * 1e3 or len(lasted) < CHECKPOINTS_LEAST:
        lasted.append(await site.commit())
    await site.close()
    return lasted, count * len(lasted) / sum(lasted) * 1e3


async def payments(dsn: str, seconds: float) -> list[float]:
    """Post grants into one wallet, one after the other; return their ms."""
    site = Site(dsn, 10, 1)
    await site.open()
    lasted: list[float] = []
    while sum(lasted) < seconds * 1e3:
        begun = time.perf_counter()
        entries = (("subsidies", -5), ("wallet:t0", 5))
        await site.store.post(f"g{len(lasted)}", "grant", CLERK, lambda _, entries=entries: Draft(entries))
        lasted.append((time.perf_counter() - begun) * 1e3)
    await site.close()
    return lasted


def audited(dsn: str) -> tuple[int, float]:
    """Return the differences that the audit finds, and charges and entries a second."""
    begun = time.perf_counter()
    with open_books(dsn) as books:
        _, entries = books.counts()
        differences = list(audit(books))
    for difference in differences[:5]:
        print(difference)
    return len(differences), entries / (time.perf_counter() - begun)


def one_by_one(dsn: str) -> float:
    """Return postings a second of one transaction for each, over one connection."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        done, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < NAIVE_S:
            account = done % 10_000 + 1
            with connection.transaction():
                row = connection.execute("INSERT INTO naive_transfer (key) VALUES (%s) RETURNING id", [f"k{done}"])
                number = row.fetchone()
                assert number is not None
                both = "INSERT INTO naive_entry VALUES (%s, %s, %s), (%s, 0, %s)"
                connection.execute(both, [number[0], account, -7, number[0], 7])
                connection.execute("UPDATE naive_balance SET nano = nano - 7 WHERE account = %s", [account])
                connection.execute("UPDATE naive_balance SET nano = nano + 7 WHERE account = 0")
            done += 1
        return done / (time.perf_counter() - begun)


def in_sets(dsn: str, count: int) -> float:
    """Return postings a second when each checkpoint is one transaction of whole sets of rows."""
    numbers = list(range(1, count + 1))
    with psycopg.connect(dsn, autocommit=True) as connection:
        done, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < NAIVE_S or done == 0:
            nano = [7 + done % 5] * count
            with connection.transaction():
                row = connection.execute(
                    "INSERT INTO naive_transfer (key) VALUES (%s) RETURNING id", [f"s{count}-{done}"]
                )
                number = row.fetchone()
                assert number is not None
                given = {"id": number[0], "points": numbers, "nano": nano}
                rows = "unnest(%(points)s::int[], %(nano)s::bigint[]) AS g (p, n)"
                for statement in (
                    f"INSERT INTO naive_entry SELECT %(id)s, p, -n FROM {rows}",
                    f"INSERT INTO naive_entry SELECT %(id)s, 0, n FROM {rows}",
                    f"UPDATE naive_balance SET nano = nano - n FROM {rows} WHERE account = p",
                    "UPDATE naive_balance SET nano = nano + 7 WHERE account = 0",
                    f"UPDATE naive_point SET raw = raw + 1, nano = nano + n FROM {rows} WHERE point = p",
                ):
                    connection.execute(statement.encode(), given)
            done += count
        return done / (time.perf_counter() - begun)


def figures(server: PostgresServer, seconds: float) -> list[Figure]:
    found: list[Figure] = []
    for count, accounts, name, p50, p99 in (
        (500, 500, "500 points", 5.0, 15.0),
        (500, 1, "500 points of one purse", 5.0, 15.0),
        (10_000, 10_000, "10,000 points", 60.0, None),
    ):
        with fresh(server, "bench") as dsn:
            lasted, rate = asyncio.run(checkpoints(dsn, count, accounts, seconds))
            differences, audit_rate = audited(dsn)
            found += [
                Figure(f"checkpoint of {name}, p50", percentile(lasted, 0.5), "ms", at_most=p50),
                Figure(f"checkpoint of {name}, p99", percentile(lasted, 0.99), "ms", at_most=p99),
                Figure(f"{name}: postings a second", rate, "/s", at_least=150_000 if count == 10_000 else None),
                Figure(f"{name}: differences found by the audit", differences, at_most=0),
                Figure(f"{name}: charges audited a second", audit_rate, "/s"),
            ]
    with fresh(server, "bench") as dsn:
        lasted = asyncio.run(payments(dsn, min(seconds, 4.0)))
        differences, _ = audited(dsn)
        found += [
            Figure("payment into one wallet, p50", percentile(lasted, 0.5), "ms"),
            Figure("payment into one wallet, p99", percentile(lasted, 0.99), "ms"),
            Figure("payments: differences found by the audit", differences, at_most=0),
        ]
    with fresh(server, "bench") as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(NAIVE)
        found += [
            Figure("peer, a transaction for each transfer", one_by_one(dsn), "/s"),
            Figure("peer, sets of rows, 500 a transaction", in_sets(dsn, 500), "/s"),
            Figure("peer, sets of rows, 10,000 a transaction", in_sets(dsn, 10_000), "/s"),
        ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of committing, for each kind of checkpoint")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="wattkeeper-bench-"))
    server = PostgresServer(folder)
    server.start()
    try:
        print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}, fsync on")
        return report(figures(server, args.seconds))
    finally:
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())

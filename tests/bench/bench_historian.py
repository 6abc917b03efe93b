"""Historian: rows a second into PostgreSQL by binary COPY, against psycopg's executemany in the same run (P10).

Run: python -m tests.bench.bench_historian [--pairs 5]. Both commit every 10,000 rows on a connection of role
"history"; peer and ours alternate; every row is counted and its values are summed afterwards.
"""

import argparse
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import uvloop

from scada import database, embedded_postgres
from scada.database import Database
from scada.history_batch import ROW, Batch
from scada.history_store import HistoryStore

COMMIT_ROWS = 10_000
PEER_ROWS = 50_000
OUR_ROWS = 500_000
TAGS = tuple(f"bench/M/e-{n:05d}/ActivePowerTotal" for n in range(2_000))
START_NS = 1_795_000_000_000_000_000
PEER = """
    INSERT INTO history (time, tag_id, value, quality)
    VALUES (timestamptz 'epoch' + %s * interval '1 microsecond', %s, %s, %s)
"""


def rows(count: int) -> np.ndarray:
    """Return count rows as scans of all tags would give them: a second apart, values that differ."""
    made = np.zeros(count, dtype=ROW)
    made["time_ns"] = START_NS + np.arange(count) // len(TAGS) * 1_000_000_000
    made["tag"] = np.arange(count) % len(TAGS)
    made["value"] = np.random.default_rng(10).integers(0, 400, count)
    return made


async def ours(connection: Database, made: np.ndarray) -> None:
    store = HistoryStore(400)
    writer = str(uuid.uuid4())
    for number, start in enumerate(range(0, len(made), COMMIT_ROWS), start=1):
        batch = Batch(writer, number, TAGS, made[start : start + COMMIT_ROWS])
        await store.store(connection, [batch], durable=False)


async def peer(connection: Database, made: np.ndarray) -> None:
    for start in range(0, len(made), COMMIT_ROWS):
        part = made[start : start + COMMIT_ROWS]
        records = list(
            zip(
                (part["time_ns"] // 1000).tolist(),
                (part["tag"] + 1).tolist(),
                part["value"].tolist(),
                part["quality"].tolist(),
                strict=True,
            )
        )
        async with connection.transaction() as cursor:
            await cursor.executemany(PEER, records)


async def measure(
    connection: Database, way: Callable[[Database, np.ndarray], Awaitable[None]], made: np.ndarray
) -> float:
    """Return rows a second; the table is emptied before and checked after."""
    async with connection.transaction() as cursor:
        await cursor.execute("TRUNCATE history")
    begun = time.perf_counter()
    await way(connection, made)
    rate = len(made) / (time.perf_counter() - begun)
    async with connection.transaction() as cursor:
        await cursor.execute("SELECT count(*), sum(value) FROM history")
        found = await cursor.fetchone()
    if found != (len(made), float(made["value"].sum())):
        raise SystemExit(f"rows are missing or wrong: {found}")
    return rate


async def compare(dsn: str, pairs: int) -> None:
    connection = Database(dsn, "history")
    await ours(connection, rows(COMMIT_ROWS))  # makes tags and partitions
    ratios = []
    for pair in range(pairs):
        order = [(peer, rows(PEER_ROWS)), (ours, rows(OUR_ROWS))]
        rates = {way: await measure(connection, way, made) for way, made in (order if pair % 2 else reversed(order))}
        ratios.append(rates[ours] / rates[peer])
        print(f"executemany {rates[peer]:>9,.0f} rows/s   ours {rates[ours]:>9,.0f} rows/s   x {ratios[-1]:.1f}")
    print(f"median x {statistics.median(ratios):.1f}, worst x {min(ratios):.1f} (bar 15, stretch 18)")
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    folder = Path(tempfile.mkdtemp(prefix="wattkeeper-bench-"))
    embedded_postgres.initialise(folder / "pg")
    code = "import sys; from pathlib import Path; from scada.embedded_postgres import exec_server;"
    code += "exec_server(Path(sys.argv[1]), Path(sys.argv[2]))"
    server = subprocess.Popen([sys.executable, "-c", code, folder / "pg", folder], stderr=subprocess.DEVNULL)
    try:
        embedded_postgres.wait_ready(embedded_postgres.dsn(folder, "postgres"), 30)
        embedded_postgres.create_database(folder)
        database.migrate(embedded_postgres.dsn(folder))
        uvloop.run(compare(embedded_postgres.dsn(folder), pairs))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

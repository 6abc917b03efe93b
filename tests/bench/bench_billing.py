"""Billing figures with their peers in the same run: kernel against numpy and Decimal, durable postings a second.

    python tests/bench/bench_billing.py [--points 3000] [--scans 300] [--dsn "host=... dbname=..."]

Each figure is checked for correctness: the three bill the same history and must agree to the nano. Kernel and numpy run
in turn; the median of the ratios is printed with the worst. Postings need a data base with a fresh schema (--dsn).
"""

import argparse
import asyncio
import statistics
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from billing_core.engine import BillingEngine
from billing_core.points import AccountSpec, PointSpec
from billing_core.store import LedgerStore
from scada.database import Database
from scada.image import Columns, Layout
from scada.scan import Instant
from tests.plans import plan

BEGIN_S = 1_793_000_000
PAIRS = 5
DECIMAL_POINTS = 300  # Decimal is slow; a tenth of the points is enough to know how slow
MODULUS, PER_COUNT, RATE = 100_000_000, 10, 30_000
TARIFF = plan("f", {2: 683_700})


def park(count: int) -> tuple[BillingEngine, Columns, tuple[Any, ...]]:
    points = [PointSpec(f"p{r}", f"m{r}", r, 0, "electricity", "kWh", PER_COUNT, MODULUS, RATE) for r in range(count)]
    accounts = [AccountSpec(f"t{r}", "", "", "CNY", 0, 0, 0, 0, 0, False, ()) for r in range(count)]
    layout = Layout({"tags": 0, "points": count, "accounts": count, "alarms": 0}, b"\0" * 32)
    work = Columns.private(layout)
    work.points.quality[:] = 0
    return BillingEngine(points, accounts, [TARIFF]), work, (points, accounts, [TARIFF])


def numpy_scan(state: dict[str, Any], raw: Any, quality: Any, source_ns: Any) -> None:
    """Bill one scan with whole-column numpy: quality, order, rollover, plausibility, price, balance."""
    now_s = source_ns // 10**9
    counts = raw - state["last"]
    wrapped = (counts < 0) & (state["last"] > MODULUS - MODULUS // 10) & (raw < MODULUS // 10)
    counts = np.where(wrapped, counts + MODULUS, counts)
    believed = RATE * (now_s - state["last_s"] + np.minimum(state["last_s"] - state["moved_s"], 900) + 1)
    fit = (quality < 0x4000_0000) & (now_s > state["last_s"]) & (counts >= 0) & ((counts - 1) * PER_COUNT <= believed)
    milli = np.where(fit, counts * PER_COUNT, 0)
    nano = milli * state["price"]
    np.copyto(state["last"], raw, where=fit)
    np.copyto(state["last_s"], now_s, where=fit)
    np.copyto(state["moved_s"], now_s, where=fit & (counts > 0))
    state["billed"] += milli
    state["charged"] += nano
    np.subtract.at(state["balance"], state["account"], nano)


def decimal_scan(points: list[dict[str, Any]], raw: list[int], at_s: int) -> None:
    """Bill one scan as an accountant would write it down."""
    for point, reading in zip(points, raw, strict=True):
        counts = Decimal(reading) - point["last"]
        if counts < 0:
            counts += MODULUS
        if (counts - 1) * PER_COUNT <= Decimal(RATE) * (at_s - point["last_s"] + 1):
            energy = counts * PER_COUNT / Decimal(1000)
            point["balance"] -= energy * Decimal("0.683700")
            point["last"], point["last_s"] = Decimal(reading), at_s


def compare(count: int, scans: int) -> None:
    """Print ns per point of kernel, numpy and Decimal; all three bill one history."""
    engine, work, _ = park(count)
    raws = np.cumsum(np.random.default_rng(1).integers(0, 4, (scans * PAIRS + 1, count)), axis=0, dtype=np.int64)
    first = raws[0]
    state: dict[str, Any] = {name: np.zeros(count, dtype=np.int64) for name in ("billed", "charged", "balance")}
    state |= {"last": first.copy(), "last_s": np.full(count, BEGIN_S), "moved_s": np.full(count, BEGIN_S)}
    state |= {"price": np.full(count, 683_700), "account": np.arange(count)}
    engine_scan(engine, work, first, 0)
    ratios, kernel_ns, numpy_ns = [], [], []
    for pair in range(PAIRS):
        part = range(1 + pair * scans, 1 + (pair + 1) * scans)
        begun = time.perf_counter_ns()
        for scan in part:
            engine_scan(engine, work, raws[scan], scan)
        kernel_ns.append((time.perf_counter_ns() - begun) / scans / count)
        begun = time.perf_counter_ns()
        for scan in part:
            work.points.source_time[:] = (BEGIN_S + scan) * 10**9
            numpy_scan(state, raws[scan], work.points.quality, work.points.source_time)
        numpy_ns.append((time.perf_counter_ns() - begun) / scans / count)
        ratios.append(numpy_ns[-1] / kernel_ns[-1])
    assert np.array_equal(work.points.charged_nano, state["charged"])
    assert np.array_equal(work.accounts.balance_nano, state["balance"])
    decimal_ns = decimal_figure(raws[:, :DECIMAL_POINTS], work)
    print(
        f"{count} points: scan {statistics.median(kernel_ns):.1f} ns/point, numpy {statistics.median(numpy_ns):.1f}, "
        f"Decimal {decimal_ns:.0f}; numpy/ours {statistics.median(ratios):.1f}x (worst {min(ratios):.1f}x), "
        f"Decimal/ours {decimal_ns / statistics.median(kernel_ns):.0f}x"
    )


def engine_scan(engine: BillingEngine, work: Columns, raw: Any, scan: int) -> None:
    work.points.raw[:] = raw
    work.points.source_time[:] = (BEGIN_S + scan) * 10**9
    engine.bill(Instant(scan + 1, (BEGIN_S + scan) * 10**9, 0), work)


def decimal_figure(raws: Any, work: Columns) -> float:
    points = [{"last": Decimal(int(raw)), "last_s": BEGIN_S, "balance": Decimal(0)} for raw in raws[0]]
    rows = [[int(raw) for raw in row] for row in raws]
    begun = time.perf_counter_ns()
    for scan in range(1, len(rows)):
        decimal_scan(points, rows[scan], BEGIN_S + scan)
    spent_ns = (time.perf_counter_ns() - begun) / (len(rows) - 1) / len(points)
    for row, point in enumerate(points):
        assert point["balance"] * 10**9 == int(work.accounts.balance_nano[row])
    return spent_ns


async def postings(dsn: str, count: int, commits: int) -> None:
    """Print durable charges a second and the latency of a checkpoint that charges every point."""
    engine, work, parts = park(count)
    store = LedgerStore(Database(dsn, "ledger"), "bench")
    engine.restore(await store.prepare(*parts))
    raw = np.zeros(count, dtype=np.int64)
    engine_scan(engine, work, raw, 0)
    latency_ms = []
    for scan in range(1, commits + 1):
        raw += 1
        engine_scan(engine, work, raw, scan)
        checkpoint = engine.cut()
        assert checkpoint is not None
        begun = time.perf_counter()
        await store.commit(checkpoint)
        latency_ms.append((time.perf_counter() - begun) * 1e3)
        engine.applied(checkpoint)
    await store.close()
    latency_ms.sort()
    p50, p99 = latency_ms[len(latency_ms) // 2], latency_ms[int(len(latency_ms) * 0.99)]
    rate = count * commits / (sum(latency_ms) / 1e3)
    print(f"{count} charges a checkpoint: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {rate:,.0f} durable charges/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=3000)
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--dsn", default="")
    args = parser.parse_args()
    compare(args.points, args.scans)
    if args.dsn:
        asyncio.run(postings(args.dsn, args.points, 100))


if __name__ == "__main__":
    main()

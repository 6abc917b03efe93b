"""Billing figures with their peers in the same run: kernel against numpy, Decimal and memory.

    python tests/bench/bench_billing.py [--points 1000000] [--scans 12]

One history with three rate periods and three tiers, with rate borders, tier borders and single rollovers in it. Kernel
and numpy bill it in turn; Decimal a part of it. All three must agree to the nano. The bytes that a scan of the kernel
must touch are set against a plain copy of memory of the same size.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from billing_core.columns import R_NANO
from billing_core.engine import BillingEngine
from billing_core.plan import NO_OPTIONS, Slot, Tiers
from billing_core.points import AccountSpec, PointSpec
from billing_core.schedule import unroll
from billing_core.streaming import Stream
from scada.image import Columns, Layout
from scada.scan import Instant
from tests.bench.billing_peers import DecimalPeer, NumpyPeer
from tests.bench.figures import Figure, report
from tests.plans import plan

BEGIN_S: Final = 1_792_972_700  # a hundred seconds before 08:00 in Shanghai
PAIRS: Final = 5
GAP_S: Final = 15
BLOCK: Final = 500  # readings of every point in one compiled call
DECIMAL_POINTS: Final = 200  # Decimal is slow; a few points are enough to know how slow
MODULUS, PER_COUNT, RATE = 100_000_000, 10, 30_000
PLAN = plan(
    "tiered",
    {1: (1_200_000, 1_250_000, 1_500_000), 2: (683_700, 733_700, 983_700), 3: (300_001, 350_001, 600_001)},
    (Slot(0, 480, 3), Slot(480, 485, 1), Slot(485, 1440, 2)),
    tiers=Tiers("graduated", "month", (2_000, 5_000)),
)
# Bytes of one point that a scan must read or write (desk.py): register, time, quality; fences; what people see.
READ_BYTES: Final = 8 + 8 + 4 + (8 + 4) + (8 + 4)  # every point: reading, last register and second, two fences
MOVED_BYTES: Final = (4 + 4 + 8 + 4) + (8 + 8 + 8) + (8 + 4 + 4 + 8 + 8 + 8 + 8 + 8)  # moved: terms, totals, and writes
STILL_BYTES: Final = 4  # still: its second


def park(count: int) -> tuple[BillingEngine, Columns, tuple[Any, ...]]:
    points = [PointSpec(f"p{r}", f"m{r}", r, 0, "electricity", "kWh", PER_COUNT, MODULUS, RATE) for r in range(count)]
    accounts = [AccountSpec(f"t{r}", "", "", "CNY", 0, 0, 0, 0, 0, False, ()) for r in range(count)]
    layout = Layout({"tags": 0, "points": count, "accounts": count, "alarms": 0}, b"\0" * 32)
    work = Columns.private(layout)
    work.points.quality[:] = 0
    return BillingEngine(points, accounts, [PLAN], room=4 * count), work, (points, accounts, [PLAN])


def history(count: int) -> tuple[Any, list[Any]]:
    """Return the first registers, and steps that are taken in turn; a few registers roll over."""
    random = np.random.default_rng(1)
    first = random.integers(0, MODULUS // 2, count)
    first[:: max(1, count // 50)] = MODULUS - 20
    steps = [random.integers(0, 4, count) for _ in range(7)]
    for step in steps:
        step[::97] *= 20  # these pass both tier borders
    return first, steps


def compare(count: int, scans: int) -> list[Figure]:
    """Return ns a point of kernel, numpy and Decimal, their ratios, and the kernel's share of the memory bandwidth."""
    engine, work, _ = park(count)
    first, steps = history(count)
    peer = NumpyPeer(
        unroll(PLAN, NO_OPTIONS, BEGIN_S - 86_400, BEGIN_S + 86_400),
        first,
        BEGIN_S,
        PER_COUNT,
        MODULUS,
        RATE,
        10**12,
        3,
    )
    raw, seen = first.copy(), [first[:DECIMAL_POINTS].tolist()]
    engine_scan(engine, work, raw, 0)
    ratios, kernel_ns, numpy_ns = [], [], []
    for pair in range(PAIRS):
        ours, theirs = [], []
        for scan in range(1 + pair * scans, 1 + (pair + 1) * scans):
            raw = (raw + steps[scan % len(steps)]) % MODULUS
            seen.append(raw[:DECIMAL_POINTS].tolist())
            ours.append(engine_scan(engine, work, raw, scan))
            begun = time.perf_counter_ns()
            at_s = BEGIN_S + scan * GAP_S
            peer.scan(scan, at_s, work.points.raw, work.points.quality, work.points.source_time)
            theirs.append(time.perf_counter_ns() - begun)
        kernel_ns.append(statistics.median(ours) / count)
        numpy_ns.append(statistics.median(theirs) / count)
        ratios.append(numpy_ns[-1] / kernel_ns[-1])
        checkpoint = engine.cut()
        assert checkpoint is not None
        engine.applied(checkpoint)
    assert np.array_equal(work.points.billed_milli, peer.billed)
    assert np.array_equal(work.points.charged_nano, peer.charged)
    assert np.array_equal(work.accounts.balance_nano, peer.balance)
    ours, decimal_ns = statistics.median(kernel_ns), decimal_figure(seen, work)
    moved = float(np.mean([np.mean(step > 0) for step in steps]))
    touched = READ_BYTES + moved * MOVED_BYTES + (1 - moved) * STILL_BYTES
    copied = copy_gb_s(int(touched * count))
    return [
        Figure("kernel, a point", ours, "ns"),
        Figure("numpy, a point", statistics.median(numpy_ns), "ns"),
        Figure("Decimal, a point", decimal_ns, "ns"),
        Figure("numpy / kernel, median", statistics.median(ratios), "x", at_least=5),
        Figure("numpy / kernel, worst pair", min(ratios), "x"),
        Figure("Decimal / kernel", decimal_ns / ours, "x", at_least=150),
        Figure("bytes a point", touched, "B"),
        Figure("kernel", touched / ours, "GB/s"),
        Figure("copy of memory", copied, "GB/s"),
        Figure("kernel / copy", 100 * touched / ours / copied, "%"),
    ]


def stream(points: int, readings: int) -> list[Figure]:
    """Return the time of one year of quarter-hour readings with tiers and time of use, with all rows."""
    specs = [PointSpec(f"p{r}", f"m{r}", r, 0, "electricity", "kWh", PER_COUNT, MODULUS, RATE) for r in range(points)]
    accounts = [AccountSpec(f"t{r}", "", "", "CNY", 0, 0, 0, 0, 0, False, ()) for r in range(points)]
    random = np.random.default_rng(2)
    raw, rows, spent_ns, nano = np.zeros(points, dtype=np.int64), 0, 0, 0
    run = Stream(specs, accounts, [PLAN], BEGIN_S, BEGIN_S + readings * 900)
    for begin in range(0, readings, BLOCK):
        many = min(BLOCK, readings - begin)
        block = raw + random.integers(0, 30, (many, points)).cumsum(axis=0)
        raw = block[-1]
        times = np.repeat((BEGIN_S + np.arange(begin, begin + many) * 900)[:, None] * 10**9, points, axis=1)
        begun = time.perf_counter_ns()
        for full in run.bill(block, times):
            rows, nano = rows + len(full), nano + int(full[:, R_NANO].sum())
        spent_ns += time.perf_counter_ns() - begun
    left = run.close()
    assert nano + int(left[:, R_NANO].sum()) == int(run.charged_nano.sum())
    name = f"{points} points x {readings} readings"
    return [Figure(name, spent_ns / 1e9, "s", at_most=3), Figure("rows of it", rows + len(left))]


def engine_scan(engine: BillingEngine, work: Columns, raw: Any, scan: int) -> int:
    """Bill one scan; return the time that the engine took, ns."""
    work.points.raw[:] = raw
    work.points.source_time[:] = (BEGIN_S + scan * GAP_S) * 10**9
    begun = time.perf_counter_ns()
    engine.bill(Instant(scan + 1, (BEGIN_S + scan * GAP_S) * 10**9, 0), work)
    return time.perf_counter_ns() - begun


def copy_gb_s(touched: int) -> float:
    """Return the bandwidth of a copy that reads and writes so many bytes in all, the median of nine."""
    source = np.ones(touched // 16, dtype=np.int64)
    target, spent = np.zeros_like(source), []
    for _ in range(9):
        begun = time.perf_counter_ns()
        np.copyto(target, source)
        spent.append(time.perf_counter_ns() - begun)
    return 2 * source.nbytes / statistics.median(spent)


def decimal_figure(seen: list[list[int]], work: Columns) -> float:
    schedule = unroll(PLAN, NO_OPTIONS, BEGIN_S - 86_400, BEGIN_S + 86_400)
    peers = [DecimalPeer(schedule, raw, BEGIN_S, PER_COUNT, MODULUS, RATE) for raw in seen[0]]
    begun = time.perf_counter_ns()
    for scan, raws in enumerate(seen[1:], start=1):
        for peer, raw in zip(peers, raws, strict=True):
            peer.read(raw, BEGIN_S + scan * GAP_S)
    spent_ns = (time.perf_counter_ns() - begun) / (len(seen) - 1) / len(peers)
    for row, peer in enumerate(peers):
        assert peer.balance * 10**9 == int(work.accounts.balance_nano[row])
    return spent_ns


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--scans", type=int, default=12)
    args = parser.parse_args()
    print(f"{args.points} points, {PAIRS} x {args.scans} scans")
    return report([*compare(args.points, args.scans), *stream(1000, 35_040 if args.points >= 1_000_000 else 3_000)])


if __name__ == "__main__":
    sys.exit(main())

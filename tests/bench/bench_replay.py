"""Replay figures: a year of quarter-hour readings computed again, compiled against Decimal, and the memory it takes.

    python tests/bench/bench_replay.py [--points 1000] [--days 365]

The charges of 1,000 supply points with five rate periods a day and three tiers a month are made day by day, as the
books would hand them over, and computed again from their readings. The bar is held against the time that the one thread
worked while they were computed and compared. A copy with one falsified row must be found, and Decimal must come to the
same money. Then the charges of a few days lie in a data base and `replay_all` streams them from there.
"""

import argparse
import resource
import sys
import tempfile
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

sys.path.insert(0, str(Path(__file__).parents[2]))

from billing_core import copying, sql
from billing_core import replay_block as block
from billing_core.plan import Slot, TierOptions, Tiers
from billing_core.plan_body import body_hash, plan_body
from billing_core.replay_all import Summary, replay_all
from billing_core.replay_reader import open_replay
from billing_core.schedule import Schedules, unroll_all
from scada import database
from tests.conftest import PostgresServer
from tests.plans import plan

BEGIN_S = 1_767_196_800  # 2026-01-01 00:00 in Shanghai
DAY_S, QUARTER_S = 86_400, 900
PER_COUNT, MODULUS = 10, 100_000_000
SLOTS = (
    Slot(0, 480, 3), Slot(480, 540, 2), Slot(540, 660, 1), Slot(660, 1020, 2), Slot(1020, 1080, 1), Slot(1080, 1200, 0),
    Slot(1200, 1320, 2), Slot(1320, 1440, 3),
)  # fmt: skip
PRICES = {
    0: (1_500_000, 1_550_000, 1_800_000),
    1: (1_000_000, 1_050_000, 1_300_000),
    2: (600_000, 650_000, 900_000),
    3: (300_000, 350_000, 600_000),
}
PLAN = plan("home", PRICES, SLOTS, tiers=Tiers("graduated", "month", (180_000, 260_000)))
DECIMAL_POINTS = 2
LIMIT_S = 3.0
MEMORY_SLACK_MIB = 48  # what three quarters of a year more may take: nothing but the allocator's mood


class Park:
    """Makes the charge rows of all points, one day at a time, by whole-column numpy."""

    def __init__(self, points: int) -> None:
        self.raw = np.random.default_rng(7).integers(0, MODULUS // 2, points)
        self.position = np.zeros(points, dtype=np.int64)
        self.period = -1
        self.rng = np.random.default_rng(11)

    def day(self, number: int, schedule: Schedules) -> tuple[Any, Any]:
        """Return (rows, registers (97, points)) of one day."""
        begin_s = BEGIN_S + number * DAY_S
        raws = [self.raw]
        rows = []
        for quarter in range(DAY_S // QUARTER_S):
            from_s = begin_s + quarter * QUARTER_S
            after = (raws[-1] + self.rng.integers(1, 20, len(self.raw))) % MODULUS
            rows.append(self._rows(from_s, raws[-1], after, schedule))
            raws.append(after)
        self.raw = raws[-1]
        return np.concatenate(rows), np.array(raws)

    def _rows(self, from_s: int, before: Any, after: Any, schedule: Schedules) -> Any:
        """Return the rows of one quarter of an hour; borders of rate periods lie on quarters."""
        entry = schedule.entries[int(np.searchsorted(schedule.entries[:, 0], from_s, side="right")) - 1]
        if entry[4] != self.period:
            self.period = int(entry[4])
            self.position[:] = 0
        milli = (after - before) % MODULUS * PER_COUNT
        bounds, prices = schedule.bounds[entry[3]], schedule.prices[entry[2]]
        made = []
        left = milli.copy()
        while left.any():
            open_rows = np.flatnonzero(left)
            tier = np.searchsorted(bounds, self.position[open_rows], side="right")
            take = np.minimum(left[open_rows], bounds[tier] - self.position[open_rows])
            rows = np.zeros((len(open_rows), block.BLOCK_WIDTH), dtype=np.int64)
            columns = {
                block.B_TERMS: open_rows, block.B_RAW_FROM: before[open_rows], block.B_FROM_S: from_s,
                block.B_RAW_TO: after[open_rows], block.B_TO_S: from_s + QUARTER_S, block.B_SEGMENT_FROM_S: from_s,
                block.B_SEGMENT_TO_S: from_s + QUARTER_S, block.B_RATE: entry[1], block.B_TIER: tier,
                block.B_POSITION: self.position[open_rows], block.B_PRICE_MICRO: prices[tier], block.B_MILLI: take,
                block.B_NANO: take * prices[tier],
            }  # fmt: skip
            for column, values in columns.items():
                rows[:, column] = values
            made.append(rows)
            self.position[open_rows] += take
            left[open_rows] -= take
        found = np.concatenate(made)
        return found[np.argsort(found[:, block.B_TERMS], kind="stable")]


def decimal_year(raws: list[list[int]], prices_of: list[tuple[int, list[int]]]) -> list[Decimal]:
    """Return what an accountant makes of quarter-hour registers: money of each point, tiers by month."""
    totals = []
    for registers in raws:
        money, position, month = Decimal(0), Decimal(0), -1
        for quarter, (before, after) in enumerate(pairwise(registers)):
            period, prices = prices_of[quarter]
            if period != month:
                month, position = period, Decimal(0)
            energy = Decimal((after - before) % MODULUS) * PER_COUNT / 1000
            for bound, micro in zip((Decimal(180), Decimal(260), None), prices, strict=False):
                room = energy if bound is None else min(energy, max(bound - position, Decimal(0)))
                money += room * Decimal(micro) / 1_000_000
                position += room
                energy -= room
        totals.append(money)
    return totals


def rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(count: int, days: int) -> int:
    """Print the figures; return 1 when something was wrong or too slow."""
    schedule = unroll_all([(PLAN, TierOptions())], BEGIN_S - DAY_S, BEGIN_S + (days + 2) * DAY_S)
    means = np.array([(p, 0, PER_COUNT, MODULUS) for p in range(count)], dtype=np.int64)
    tables = (schedule.entries, schedule.first, schedule.prices, schedule.bounds, schedule.volume)
    park, points = Park(count), block.fresh_points(count)
    watched: list[list[int]] = [[] for _ in range(DECIMAL_POINTS)]
    took_s, worked_s, rows_seen, faults = 0.0, 0.0, 0, 0
    marks = []
    for day in range(days):
        rows, raws = park.day(day, schedule)
        for point, registers in enumerate(watched):
            registers += raws[:, point].tolist() if day == 0 else raws[1:, point].tolist()
        if day == days // 2:
            faults += not finds_falsification(rows, means, points.copy(), tables)
        begun, worked = time.perf_counter(), time.thread_time()
        agreed, why = block.check(rows, 0, means, points, *tables)
        took_s += time.perf_counter() - begun
        worked_s += time.thread_time() - worked
        faults += (agreed, why) != (len(rows), block.SAME)
        rows_seen += len(rows)
        if day in (days // 4, days - 1):
            marks.append(rss_mib())
    readings = count * days * (DAY_S // QUARTER_S)
    worked = time.thread_time()
    expected = decimal_year(watched, prices_by_quarter(schedule, days))
    decimal_s = (time.thread_time() - worked) / DECIMAL_POINTS * count
    found = [Decimal(int(points[p, block.P_NANO])) / 10**9 for p in range(DECIMAL_POINTS)]
    faults += found != expected
    each_ns = worked_s / rows_seen * 1e9
    print(
        f"replay of {readings:,} readings ({rows_seen:,} charges): {worked_s:.2f} s of one core, {each_ns:.0f} ns each"
    )
    print(f"on the clock {took_s:.2f} s; what lies between is other work on this machine")
    print(f"Decimal, from {DECIMAL_POINTS} of {count} points: {decimal_s:.0f} s, x {decimal_s / worked_s:.0f}")
    print(f"memory, largest: {marks[0]:.0f} MiB after a quarter of the days, {marks[-1]:.0f} MiB after all")
    print("WRONG" if faults else "correct: every charge agrees, a falsified one is found, Decimal comes to the same")
    scaled = LIMIT_S * count * days / 365_000
    print(f"bar: {scaled:.2f} s: {'kept' if worked_s <= scaled else 'MISSED'}")
    return 1 if faults or worked_s > scaled or marks[-1] > marks[0] + MEMORY_SLACK_MIB else 0


def finds_falsification(rows: Any, means: Any, points: Any, tables: tuple[Any, ...]) -> bool:
    """Tell whether a price that is one millionth off is found at its row."""
    false = rows.copy()
    false[len(false) // 2, block.B_PRICE_MICRO] += 1
    row, why = block.check(false, 0, means, points, *tables)
    return why == block.DIFFERENT and false[row, block.B_TERMS] == false[len(false) // 2, block.B_TERMS]


def prices_by_quarter(schedule: Schedules, days: int) -> list[tuple[int, list[int]]]:
    """Return (period, price of each tier) of every quarter of an hour."""
    starts = BEGIN_S + QUARTER_S * np.arange(days * (DAY_S // QUARTER_S))
    places = np.searchsorted(schedule.entries[:, 0], starts, side="right") - 1
    return [
        (int(entry[4]), schedule.prices[entry[2], :3].tolist()) for entry in schedule.entries[places]
    ]  # fmt: skip


# --- from a data base


def streamed(dsn: str, count: int, days: int) -> int:
    """Put some days of charges into a data base, replay them all from there, print how fast; return 1 when wrong."""
    schedule = unroll_all([(PLAN, TierOptions())], BEGIN_S - DAY_S, BEGIN_S + (days + 2) * DAY_S)
    park = Park(count)
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute("SET session_replication_role = replica")  # no transfers stand behind these charges
        enter_terms(connection, count)
        for day in range(days):
            rows, _ = park.day(day, schedule)
            rows[:, block.B_SEQ], rows[:, block.B_LINE] = day + 1, np.arange(len(rows))
            rows[:, block.B_TERMS] += 1
            copy_rows(connection, rows)
    summary = Summary()
    with open_replay(dsn) as books:
        before, begun = rss_mib(), time.perf_counter()
        faults = [str(fault) for fault in replay_all(books, summary)]
        lasted_s = time.perf_counter() - begun
    wrong = len(faults) or summary.charges < count * days * 96 or summary.slow
    rate = summary.charges / lasted_s
    print(f"from the data base: {summary.charges:,} charges in {lasted_s:.1f} s, {rate:,.0f} a second on the clock")
    print(
        f"memory of it: {rss_mib() - before:.0f} MiB more; {'WRONG ' + str(faults[:3]) if wrong else 'no difference'}"
    )
    return int(bool(wrong))


def enter_terms(connection: Any, count: int) -> None:
    body = plan_body(PLAN)
    number = body_hash(body)
    connection.execute("INSERT INTO tariff_version (hash, tariff, body) VALUES (%s, 'home', %s)", [number, Jsonb(body)])
    connection.execute(
        "INSERT INTO terms (point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff) "
        "SELECT 'p' || n, 'm' || n, 'wallet:t' || n, 'electricity', 'kWh', %s, %s, %s FROM generate_series(1, %s) n",
        [PER_COUNT, MODULUS, number, count],
    )


def copy_rows(connection: Any, rows: Any) -> None:
    """Append charges as they are stored."""
    columns = [
        (block.B_SEQ, 8), (block.B_LINE, 4), (block.B_TERMS, 4), (block.B_RAW_FROM, 8), (block.B_FROM_S, 0),
        (block.B_RAW_TO, 8), (block.B_TO_S, 0), (block.B_SEGMENT_FROM_S, 0), (block.B_SEGMENT_TO_S, 0),
        (block.B_RATE, 2), (block.B_PRICE_MICRO, 8), (block.B_MILLI, 8), (block.B_NANO, 8), (block.B_TIER, 2),
        (block.B_POSITION, 8), (block.B_KIND, 2), (block.B_METHOD, 2),
    ]  # fmt: skip
    fields = [copying.Field(rows[:, at], size) if size else copying.timestamps(rows[:, at]) for at, size in columns]
    with connection.cursor().copy(sql.COPY_CHARGES) as copy:
        copy.write(copying.body(fields))


def with_server(count: int, days: int) -> int:
    """Run `streamed` on an embedded server of its own."""
    with tempfile.TemporaryDirectory(prefix="wattkeeper-bench-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            dsn = server.make("bench")
            database.migrate(dsn)
            return streamed(dsn, count, days)
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    args = parser.parse_args()
    wrong = compare(args.points, args.days)
    sys.exit(with_server(args.points, min(args.days, 10)) or wrong)

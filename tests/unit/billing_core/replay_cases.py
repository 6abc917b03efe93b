"""Histories for the tests of the replay: random readings, and the rows that the slow replay makes of them."""

from collections.abc import Sequence

import numpy as np

from billing_core import replay_block as block
from billing_core.plan import Plan, Slot, TierOptions
from billing_core.replay import Charge, Position, Prices, Supply, price
from billing_core.schedule import Schedules, unroll_all

BEGIN_S = 1_767_196_800  # 2026-01-01 00:00 in Shanghai
OPTIONS = TierOptions()
HASH = b"h" * 32
PER_COUNT, MODULUS = 10, 1_000_000
DAY = (Slot(0, 480, 3), Slot(480, 660, 1), Slot(660, 1020, 2), Slot(1020, 1260, 1), Slot(1260, 1440, 3))
TOU_TIERED = {1: (1_000_000, 1_100_000, 1_300_000), 2: (600_000, 700_000, 900_000), 3: (300_000, 400_000, 600_000)}


def supplies(points: int) -> dict[int, Supply]:
    """Return one set of terms for each point, numbered from 1."""
    return {
        n + 1: Supply(n + 1, f"p{n}", f"m{n}", f"wallet:t{n}", "electricity", "kWh", PER_COUNT, MODULUS, HASH, OPTIONS)
        for n in range(points)
    }


def readings(points: int, count: int, seed: int, step_counts: int = 40) -> list[list[tuple[int, int]]]:
    """Return for each point (register, second): steps of seconds to days, still times and rollovers among them."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(points):
        gaps = rng.choice([1, 10, 900, 900, 900, 3600, 3 * 86_400], count)
        counts = np.where(rng.random(count) < 0.2, 0, rng.integers(0, step_counts, count) * (1 + gaps // 900))
        raw = (int(rng.integers(0, MODULUS)) + np.cumsum(counts)) % MODULUS
        found.append(list(zip(raw.tolist(), (BEGIN_S + np.cumsum(gaps)).tolist(), strict=True)))
    return found


def charges(plan: Plan, history: Sequence[Sequence[tuple[int, int]]]) -> list[Charge]:
    """Return the rows that the readings make, checkpoint by checkpoint, one reading of each point in each."""
    prices = Prices({HASH: plan})
    positions = [Position() for _ in history]
    rows: list[Charge] = []
    for at in range(1, len(history[0])):
        line = 0
        for point, of_point in enumerate(history):
            (raw_from, from_s), (raw_to, to_s) = of_point[at - 1], of_point[at]
            milli = (raw_to - raw_from) % MODULUS * PER_COUNT
            if milli == 0:
                continue
            entries = prices.entries(HASH, OPTIONS, from_s, to_s)
            for made in price(from_s, to_s, milli, entries, positions[point]):
                rows.append(Charge(at, line, point + 1, raw_from, from_s, raw_to, to_s, *made))
                line += 1
    return rows


def table(rows: Sequence[Charge]) -> np.ndarray:
    return np.array([row[: block.BLOCK_WIDTH] for row in rows], dtype=np.int64)


def means(points: int) -> np.ndarray:
    """Return what terms 0 .. points mean to the block function; terms 0 do not exist."""
    return np.array([(-1, 0, 1, 2), *((p, 0, PER_COUNT, MODULUS) for p in range(points))], dtype=np.int64)


def schedules(plan: Plan, rows: Sequence[Charge]) -> Schedules:
    return unroll_all([(plan, OPTIONS)], BEGIN_S - 86_400, max(row.to_s for row in rows) + 86_400)

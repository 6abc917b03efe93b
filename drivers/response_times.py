"""Response times of many devices as histograms: mean, 95th percentile and maximum of the last quarter to half an hour.

A bucket is half a power of two of microseconds, as the compiled engine counts them (engine_kernel.bucket_of), so that
both kinds of lines are read alike; inside a bucket the percentile is interpolated, which is right to about a fifth.
Rule: pure; sums only grow, and a window is the difference of two of them.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.health_kernel import percentiles

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Histogram = npt.NDArray[np.uint32]

BUCKETS: Final = 48  # up to 16 s; the same number as engine_tables.BUCKETS
NS_PER_US: Final = 1000
NS_PER_MS: Final = 1e6
WINDOW_NS: Final = 900_000_000_000  # the figures speak of one to two such windows
PERCENTILE: Final = 0.95


def bucket_of(elapsed_ns: int) -> int:
    """Return the bucket of a response time: two for each power of two microseconds. Twin: engine_kernel.bucket_of."""
    rest = max(elapsed_ns, 0) // NS_PER_US
    halvings = max(rest.bit_length() - 2, 0)
    return min(2 * halvings + (rest >> halvings), BUCKETS - 1)


def _edges_ms() -> Floats:
    """Return (BUCKETS + 1,) where each bucket begins, and where the last one ends."""
    edges = list(range(4))
    while len(edges) <= BUCKETS:
        edges += [edges[-2] * 2, edges[-1] * 2]
    return np.array(edges[: BUCKETS + 1], dtype=np.float64) * NS_PER_US / NS_PER_MS


EDGES_MS: Final = _edges_ms()


class Sums(NamedTuple):
    """What has been counted since the start, one row a device or gateway. n rows."""

    answers: Ints  # (n,)
    spent_ns: Ints  # (n,)
    buckets: Histogram  # (n, BUCKETS)


class Figures(NamedTuple):
    """What people read, ms; 0 where nothing was answered in the window. n rows."""

    mean_ms: Floats
    p95_ms: Floats
    max_ms: Floats


class Window:
    """Turns growing sums into the figures of the last one to two windows."""

    def __init__(self, rows: int, now_ns: int) -> None:
        self._base = self._middle = _nothing(rows)
        self._max_before: Ints = np.zeros(rows, dtype=np.int64)
        self._turn_ns = now_ns + WINDOW_NS

    def figures(self, now: Sums, max_ns: Ints) -> Figures:
        """Return the figures. max_ns (n,): longest time since `turned` last said True."""
        answers = now.answers - self._base.answers
        mean_ms = (now.spent_ns - self._base.spent_ns) / np.maximum(answers, 1) / NS_PER_MS
        longest_ms = np.maximum(max_ns, self._max_before) / NS_PER_MS
        p95_ms = np.minimum(percentile_ms(now.buckets, self._base.buckets), longest_ms)
        return Figures(mean_ms, p95_ms, longest_ms)

    def turned(self, now: Sums, max_ns: Ints, now_ns: int) -> bool:
        """Begin the next window when it is time; True tells the owner to count its longest times from 0 again."""
        if now_ns < self._turn_ns:
            return False
        self._turn_ns = now_ns + WINDOW_NS
        self._base, self._middle = self._middle, Sums(now.answers.copy(), now.spent_ns.copy(), now.buckets.copy())
        self._max_before = max_ns.copy()
        return True


def _nothing(rows: int) -> Sums:
    zeros = np.zeros(rows, dtype=np.int64)
    return Sums(zeros, zeros, np.zeros((rows, BUCKETS), dtype=np.uint32))


def percentile_ms(now: Histogram, before: Histogram) -> Floats:
    """Return the PERCENTILE of each histogram of what came since `before`; 0 for an empty one."""
    found = np.zeros(len(now))
    percentiles(now, before, PERCENTILE, EDGES_MS, found)
    return found

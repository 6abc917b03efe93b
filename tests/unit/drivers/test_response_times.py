"""Histograms of response times: the same buckets as the engine's, percentiles near the true ones, windows that end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivers import engine_kernel, engine_tables
from drivers.response_times import BUCKETS, EDGES_MS, WINDOW_NS, Sums, Window, bucket_of, percentile_ms


def test_the_engine_has_as_many_buckets() -> None:
    assert engine_tables.BUCKETS == BUCKETS


@given(st.integers(min_value=0, max_value=60_000_000_000))
def test_both_kinds_of_lines_use_the_same_buckets(elapsed_ns: int) -> None:
    bucket = bucket_of(elapsed_ns)
    assert bucket == engine_kernel.bucket_of(elapsed_ns)
    if bucket < BUCKETS - 1:
        assert EDGES_MS[bucket] <= elapsed_ns // 1000 / 1000 < EDGES_MS[bucket + 1]


@given(st.lists(st.integers(min_value=1_000, max_value=5_000_000_000), min_size=1, max_size=200))
def test_the_percentile_lies_in_the_bucket_of_the_true_one(times_ns: list[int]) -> None:
    now = np.zeros((2, BUCKETS), dtype=np.uint32)
    for elapsed_ns in times_ns:
        now[1, bucket_of(elapsed_ns)] += 1
    found = percentile_ms(now, np.zeros_like(now))
    true_ns = sorted(times_ns)[-(-95 * len(times_ns) // 100) - 1]
    assert found[0] == 0.0
    assert EDGES_MS[bucket_of(true_ns)] <= found[1] <= EDGES_MS[bucket_of(true_ns) + 1]


def sums(answers: int, each_ns: int) -> Sums:
    buckets = np.zeros((1, BUCKETS), dtype=np.uint32)
    buckets[0, bucket_of(each_ns)] = answers
    return Sums(np.array([answers]), np.array([answers * each_ns]), buckets)


def test_a_slow_hour_is_forgotten_after_two_windows() -> None:
    window = Window(1, 0)
    slow, longest = sums(100, 800_000_000), np.array([900_000_000])
    assert window.figures(slow, longest).max_ms[0] == 900.0
    assert not window.turned(slow, longest, WINDOW_NS - 1)
    assert window.turned(slow, longest, WINDOW_NS)
    none = np.array([0])
    assert window.figures(slow, none).max_ms[0] == 900.0, "the window before this one still counts"
    assert window.turned(slow, none, 2 * WINDOW_NS)
    assert window.figures(slow, none) == (0.0, 0.0, 0.0)

"""Limits, deadbands, delays and qualities, one row per scan; every row goes through the kernel and its slow twin."""

import math
from dataclasses import replace

import numpy as np
import pytest

from alarms.definition import AlarmDefinition
from alarms.evaluate import COMPARISONS, GOOD_BELOW, IDLE, Conditions, evaluate, one
from scada.clock import NS_PER_S
from scada.quality import (
    BAD_NO_COMMUNICATION,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    GOOD_LOCAL_OVERRIDE,
    UNCERTAIN_NO_COMMUNICATION,
    good_mask,
)

ABOVE = AlarmDefinition("a", "e1", 0, "above", 100.0, 5.0, 0.0, 0.0, 2, "A", "过流", "Overcurrent")
BELOW = replace(ABOVE, comparison="below", limit=200.0)
EQUAL = replace(ABOVE, comparison="equal", limit=0.0, deadband=0.0)
PLAIN = replace(ABOVE, limit=0.0, deadband=0.0)
SLOW = replace(ABOVE, on_delay_s=3.0, off_delay_s=2.0)
G, B, U = GOOD, BAD_NO_COMMUNICATION, UNCERTAIN_NO_COMMUNICATION

# name -> definition, rows of (second, value, quality, active afterwards)
SCANS: dict[str, tuple[AlarmDefinition, list[tuple[float, float, int, bool]]]] = {
    "above its limit, not at it": (ABOVE, [(1, 100, G, False), (2, 100.1, G, True)]),
    "above clears below the deadband": (
        ABOVE,
        [(1, 101, G, True), (2, 99, G, True), (3, 95.1, G, True), (4, 95, G, False), (5, 99, G, False)],
    ),
    "below clears above the deadband": (
        BELOW,
        [(1, 200, G, False), (2, 199, G, True), (3, 204, G, True), (4, 205, G, False), (5, 201, G, False)],
    ),
    "without a deadband it clears at the limit": (PLAIN, [(1, 1, G, True), (2, 0, G, False)]),
    "equal": (EQUAL, [(1, 1, G, False), (2, 0, G, True), (3, 0, G, True), (4, 1, G, False)]),
    "a bad value never raises": (ABOVE, [(1, 500, B, False), (2, 500, U, False), (3, 500, G, True)]),
    "a bad value never clears": (ABOVE, [(1, 500, G, True), (2, 0, B, True), (3, 0, U, True), (4, 0, G, False)]),
    "waiting for its first value is no zero": (
        EQUAL,
        [(1, 0, BAD_WAITING_FOR_INITIAL_DATA, False), (2, 0, GOOD_LOCAL_OVERRIDE, True)],
    ),
    "what is no number neither raises nor clears": (
        ABOVE,
        [(1, math.inf, G, False), (2, math.nan, G, False), (3, 101, G, True), (4, math.nan, G, True)],
    ),
    "on-delay": (SLOW, [(1, 101, G, False), (3, 101, G, False), (3.9, 101, G, False), (4, 101, G, True)]),
    "on-delay starts again after a dip": (
        SLOW,
        [(1, 101, G, False), (3, 99, G, False), (4, 101, G, False), (6, 101, G, False), (7, 101, G, True)],
    ),
    "on-delay starts again after a bad value": (
        SLOW,
        [(1, 101, G, False), (3, 101, B, False), (4, 101, G, False), (6, 101, G, False), (7, 101, G, True)],
    ),
    "off-delay": (
        SLOW,
        [(1, 101, G, False), (4, 101, G, True), (5, 90, G, True), (6, 90, G, True), (7, 90, G, False)],
    ),
    "off-delay starts again after a bad value": (
        SLOW,
        [
            (1, 101, G, False),
            (4, 101, G, True),
            (5, 90, G, True),
            (6, 90, B, True),
            (7, 90, G, True),
            (9, 90, G, False),
        ],
    ),
    "a scan that comes late makes the delay no longer": (SLOW, [(1, 101, G, False), (60, 101, G, True)]),
    "plant time that steps back lengthens a delay, and raises nothing": (
        SLOW,
        [(10, 101, G, False), (5, 101, G, False), (12, 101, G, False), (13, 101, G, True)],
    ),
}


@pytest.mark.parametrize("name", SCANS)
def test_scans(name: str) -> None:
    definition, rows = SCANS[name]
    conditions = Conditions.of([definition])
    active, pending_ns = False, IDLE
    for second, value, quality, expected in rows:
        utc_ns = int(second * NS_PER_S)
        changed = evaluate(conditions, utc_ns, np.array([float(value)]), np.array([quality], dtype=np.uint32))
        assert bool(conditions.active[0]) == expected, f"kernel, second {second}"
        assert changed.tolist() == ([0] if expected != active else [])
        active, pending_ns = one(definition, active, pending_ns, utc_ns, value, quality)
        assert active == expected, f"twin, second {second}"
        assert conditions.pending_ns[0] == pending_ns


def test_rows_are_independent_and_changed_names_them() -> None:
    conditions = Conditions.of([replace(ABOVE, tag_row=2), replace(BELOW, tag_row=0), replace(ABOVE, tag_row=1)])
    quality = np.zeros(3, dtype=np.uint32)
    assert evaluate(conditions, 1, np.array([1.0, 2.0, 101.0]), quality).tolist() == [0, 1]
    assert evaluate(conditions, 2, np.array([300.0, 101.0, 101.0]), quality).tolist() == [1, 2]


def test_no_definitions() -> None:
    assert evaluate(Conditions.of([]), 1, np.zeros(1), np.zeros(1, dtype=np.uint32)).tolist() == []


def test_the_kernel_judges_quality_as_the_hub_does() -> None:
    for quality in (GOOD, GOOD_LOCAL_OVERRIDE, U, B, int(GOOD_BELOW), int(GOOD_BELOW) - 1):
        column = np.array([quality], dtype=np.uint32)
        assert (column < GOOD_BELOW).tolist() == good_mask(column).tolist()


def test_comparisons_are_those_of_the_kernel() -> None:
    assert COMPARISONS == ("above", "below", "equal")

"""Virtual meters: what they show of what others were billed, and that they never run backwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_core.columns import HELD_NONE, HELD_REVERSE, NEVER
from billing_core.points import PointSpec, VirtualPart
from billing_core.virtual import MODULUS, PPM, VirtualMeters
from scada.image import Columns, Layout
from scada.quality import BAD_WAITING_FOR_INITIAL_DATA, GOOD, UNCERTAIN_NO_COMMUNICATION, UNCERTAIN_SUBNORMAL

REAL = tuple(PointSpec(f"p{n}", f"m{n}", 0, 0, "electricity", "kWh", 10, 10**8, 100) for n in range(3))


def virtual(*parts: tuple[int, int], slack_milli: int = 500) -> PointSpec:
    terms = tuple(VirtualPart(row, ppm) for row, ppm in parts)
    return PointSpec(
        "v", "v", 0, 0, "electricity", "kWh", 1, MODULUS, 300, virtual=terms, slack_milli=slack_milli
    )  # fmt: skip


DIFFERENCE = virtual((0, PPM), (1, -PPM), (2, -PPM))


class Scene:
    """Three real points and one virtual one."""

    def __init__(self, point: PointSpec) -> None:
        self.meters = VirtualMeters((*REAL, point))
        self.columns = Columns.private(Layout({"tags": 0, "points": 4, "accounts": 0, "alarms": 0}, bytes(32)))
        self.columns.points.quality[:] = GOOD
        self.columns.points.source_time[:3] = [5, 7, 6]
        self.last_raw = np.zeros(4, dtype=np.int64)
        self.last_s = np.array([1, 1, 1, NEVER], dtype=np.int64)

    def read(self, *billed: int) -> tuple[int, int]:
        points = self.columns.points
        points.billed_milli[:3] = billed
        self.meters.read(points, self.last_raw, self.last_s)
        raw, quality = int(points.raw[3]), int(points.quality[3])
        if quality == GOOD:
            self.last_raw[3], self.last_s[3] = raw, 1
        return raw, quality


@pytest.mark.parametrize(
    ("point", "billed", "shown"),
    [
        (virtual((0, PPM), (1, PPM), (2, PPM)), (1000, 200, 30), 1230),  # a sum
        (DIFFERENCE, (1000, 200, 30), 770),  # main less sub-meters
        (virtual((0, 333_333)), (1000, 0, 0), 333),  # a share, rounded down
        (virtual((0, 600_000)), (7, 0, 0), 4),
        (virtual((0, 400_000)), (7, 0, 0), 2),
        (virtual((0, 250_000), (1, -250_000)), (2**61, 2**60, 0), 2**58 % MODULUS),  # at the end of the scale
    ],
)
def test_what_a_formula_makes(point: PointSpec, billed: tuple[int, int, int], shown: int) -> None:
    assert Scene(point).read(*billed) == (shown, GOOD)


def test_a_short_dip_is_waited_out_and_a_long_one_is_shown() -> None:
    scene = Scene(DIFFERENCE)
    assert scene.read(10_000, 2_000, 1_000) == (7_000, GOOD)
    assert scene.read(10_000, 2_400, 1_000) == (7_000, GOOD)  # a sub-meter was read before the main meter
    assert scene.read(10_900, 2_400, 1_000) == (7_500, GOOD)
    assert scene.read(10_900, 2_900, 1_001) == (6_999, GOOD)  # 501 below: for the kernel to hold


def test_a_difference_may_begin_below_zero() -> None:
    scene = Scene(DIFFERENCE)
    assert scene.read(0, 5, 0) == (MODULUS - 5, GOOD)
    assert scene.read(0, 6, 0) == (MODULUS - 5, GOOD)  # a dip
    assert scene.read(9, 6, 0) == (3, GOOD)  # rolls over like any register


def test_inputs_decide_quality_and_time() -> None:
    scene = Scene(DIFFERENCE)
    scene.columns.points.quality[1] = UNCERTAIN_NO_COMMUNICATION
    assert scene.read(1, 1, 0)[1] == UNCERTAIN_SUBNORMAL
    scene.columns.points.quality[1] = GOOD
    scene.columns.points.held[2] = HELD_REVERSE
    assert scene.read(1, 1, 0)[1] == UNCERTAIN_SUBNORMAL
    scene.columns.points.held[2] = HELD_NONE
    scene.last_s[0] = NEVER
    assert scene.read(1, 1, 0)[1] == BAD_WAITING_FOR_INITIAL_DATA
    scene.last_s[0] = 1
    assert scene.read(1, 1, 0)[1] == GOOD
    assert scene.columns.points.source_time[3] == 5  # the oldest of what it is made of


@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), min_size=1, max_size=30))
def test_a_sum_of_shares_never_runs_backwards(steps: list[tuple[int, int, int]]) -> None:
    scene = Scene(virtual((0, 123_457), (1, 900_001), (2, PPM)))
    billed, before = np.zeros(3, dtype=np.int64), 0
    for step in steps:
        billed += step
        shown, _ = scene.read(*map(int, billed))
        exact = (123_457 * int(billed[0]) + 900_001 * int(billed[1])) // PPM + int(billed[2])
        assert shown >= before
        assert exact - 2 <= shown <= exact  # each share is rounded down on its own, at most
        before = shown

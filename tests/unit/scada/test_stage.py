"""The stage: what is staged appears in one scan; what fails keeps its old value and time; what is old grows stale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada import quality
from scada.clock import NS_PER_S
from scada.image import Columns, Layout
from scada.stage import BAD_AFTER_S, STALE_LEAST_S, Stage

LAYOUT = Layout({"tags": 4, "points": 2, "accounts": 0, "alarms": 0}, bytes(32))
FIELD = np.array([True, True, True, False])
ROWS = np.array([0, 2])
NONE = np.array([], dtype=np.int64)


def make(speed: int = 1) -> tuple[Stage, Columns]:
    return Stage(LAYOUT, FIELD, 1.0, speed), Columns.private(LAYOUT)


def test_a_reading_appears_with_value_quality_and_time() -> None:
    stage, work = make()
    stage.put(ROWS, np.array([1.5, 2.5]), quality.GOOD, 10)
    stage.put_register(1, 2**62 + 1, quality.GOOD, 11)
    assert work.tags.value[0] == 0
    assert stage.newest(2) == (2.5, quality.GOOD, 10)
    stage.publish(work, 5, 10)
    assert work.tags.value[ROWS].tolist() == [1.5, 2.5]
    assert work.tags.quality[ROWS].tolist() == [quality.GOOD] * 2
    assert work.tags.source_time[ROWS].tolist() == [10, 10]
    assert work.tags.changed_scan.tolist() == [5, 0, 5, 0]
    assert work.points.raw[1] == 2**62 + 1
    assert work.points.changed_scan.tolist() == [0, 5]


def test_the_same_value_again_is_fresher_but_not_a_change() -> None:
    stage, work = make()
    stage.put(ROWS, np.array([1.5, 2.5]), quality.GOOD, 10)
    stage.publish(work, 5, 10)
    stage.put(ROWS, np.array([1.5, 3.0]), quality.GOOD, 20)
    stage.publish(work, 6, 20)
    assert work.tags.source_time[0] == 20
    assert work.tags.changed_scan.tolist() == [5, 0, 6, 0]


def test_a_failure_changes_the_quality_and_keeps_value_and_old_time() -> None:
    stage, work = make()
    stage.put(ROWS, np.array([1.5, 2.5]), quality.GOOD, 10)
    stage.put_register(0, 99, quality.GOOD, 10)
    stage.publish(work, 1, 10)
    stage.fail(ROWS, np.array([0]), quality.UNCERTAIN_LAST_USABLE)
    stage.publish(work, 2, 20)
    assert work.tags.value[ROWS].tolist() == [1.5, 2.5]
    assert work.tags.source_time[ROWS].tolist() == [10, 10]
    assert work.tags.quality[0] == quality.UNCERTAIN_LAST_USABLE
    assert (work.points.raw[0], work.points.source_time[0]) == (99, 10)
    assert work.points.quality[0] == quality.UNCERTAIN_LAST_USABLE


@pytest.mark.parametrize("speed", [1, 3600])
@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (STALE_LEAST_S, quality.GOOD),
        (STALE_LEAST_S + 1, quality.UNCERTAIN_NO_COMMUNICATION),
        (STALE_LEAST_S + BAD_AFTER_S + 1, quality.BAD_NO_COMMUNICATION),
    ],
)
def test_good_values_grow_stale_by_themselves(age_s: int, expected: int, speed: int) -> None:
    stage, work = make(speed)
    stage.put(np.array([0, 3]), np.array([1.0, 1.0]), quality.GOOD, 0)
    stage.put_register(0, 5, quality.GOOD, 0)
    stage.publish(work, 1, 0)
    stage.publish(work, 2, age_s * NS_PER_S * speed)
    assert work.tags.quality[0] == expected
    assert work.points.quality[0] == expected
    assert work.tags.quality[3] == quality.GOOD  # computed by the core: no field, no age
    assert work.tags.changed_scan[0] == (1 if expected == quality.GOOD else 2)


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (STALE_LEAST_S, quality.UNCERTAIN_LAST_USABLE),
        (STALE_LEAST_S + 1, quality.UNCERTAIN_NO_COMMUNICATION),
        (STALE_LEAST_S + BAD_AFTER_S + 1, quality.BAD_NO_COMMUNICATION),
    ],
)
def test_a_last_usable_value_is_not_usable_for_ever(age_s: int, expected: int) -> None:
    """A device may answer "busy" to one block for hours, which is staged anew in every cycle."""
    stage, work = make()
    stage.put(np.array([0]), np.array([1.0]), quality.GOOD, 0)
    stage.put_register(0, 5, quality.GOOD, 0)
    stage.publish(work, 1, 0)
    stage.fail(np.array([0]), np.array([0]), quality.UNCERTAIN_LAST_USABLE)
    stage.publish(work, 2, age_s * NS_PER_S)
    assert work.tags.quality[0] == expected
    assert work.points.quality[0] == expected


def test_a_stale_value_recovers_with_the_next_reading() -> None:
    stage, work = make()
    stage.put(ROWS, np.array([1.0, 1.0]), quality.GOOD, 0)
    stage.publish(work, 1, 0)
    stage.publish(work, 2, 1000 * NS_PER_S)
    stage.put(ROWS, np.array([1.0, 1.0]), quality.GOOD, 1001 * NS_PER_S)
    stage.publish(work, 3, 1001 * NS_PER_S)
    assert work.tags.quality[ROWS].tolist() == [quality.GOOD] * 2
    assert work.tags.changed_scan[0] == 3


def test_staging_nothing_fails_nothing() -> None:
    stage, work = make()
    stage.fail(NONE, NONE, quality.BAD_NO_COMMUNICATION)
    stage.publish(work, 1, 0)
    assert (work.tags.quality == quality.BAD_WAITING_FOR_INITIAL_DATA).all()


@given(st.data())
def test_tags_and_points_are_published_by_the_same_rules(data: st.DataObject) -> None:
    """Tags by one compiled pass, points with whole columns: the same readings, failures and ages give the same."""
    count = 6
    layout = Layout({"tags": count, "points": count, "accounts": 0, "alarms": 0}, bytes(32))
    stage, work = Stage(layout, np.ones(count, dtype=np.bool_), 1.0, 1), Columns.private(layout)
    for scan in range(1, 8):
        for row in range(count):
            act = data.draw(st.sampled_from(["put", "put", "fail", "nothing"]))
            told = data.draw(st.sampled_from([quality.GOOD, quality.UNCERTAIN_LAST_USABLE, quality.BAD_SENSOR_FAILURE]))
            at = np.array([row])
            if act == "put":
                number, time_ns = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 80 * scan)) * NS_PER_S
                stage.put(at, np.array([float(number)]), told, time_ns)
                stage.put_register(row, number, told, time_ns)
            elif act == "fail":
                stage.fail(at, at, told)
        stage.publish(work, scan, 80 * scan * NS_PER_S)
        assert work.tags.value.tolist() == work.points.raw.tolist()
        for name in ("quality", "source_time", "changed_scan"):
            assert getattr(work.tags, name).tolist() == getattr(work.points, name).tolist(), name

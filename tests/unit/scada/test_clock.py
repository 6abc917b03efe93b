"""Plant time: one origin for all rooms, never backwards, true time when nothing was asked for."""

import json
import time
from pathlib import Path

from scada.clock import NS_PER_S, PlantClock, SystemClock, read_clock, write_clock


def test_without_a_file_plant_time_is_the_machines(tmp_path: Path) -> None:
    assert isinstance(read_clock(tmp_path / "clock.json"), SystemClock)


def test_speed_one_on_true_time_is_the_machines_clock(tmp_path: Path) -> None:
    write_clock(tmp_path / "clock.json", 1)
    assert isinstance(read_clock(tmp_path / "clock.json"), SystemClock)


def test_two_rooms_share_one_fast_clock(tmp_path: Path) -> None:
    write_clock(tmp_path / "clock.json", 3600)
    first, second = read_clock(tmp_path / "clock.json"), read_clock(tmp_path / "clock.json")
    assert first == second
    assert isinstance(first, PlantClock)
    mono = time.monotonic_ns()
    elapsed_ns = (mono - first.origin_mono_ns) * 3600
    assert first.utc_ns() >= first.origin_utc_ns + elapsed_ns


def test_plant_time_does_not_run_backwards_over_a_restart(tmp_path: Path) -> None:
    tomorrow = time.time_ns() + 86_400 * NS_PER_S
    write_clock(tmp_path / "clock.json", 1, not_before_utc_ns=tomorrow)
    assert read_clock(tmp_path / "clock.json").utc_ns() >= tomorrow


def test_a_file_from_before_the_machines_start_is_void(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    write_clock(path, 60)
    origin = json.loads(path.read_text())
    path.write_text(json.dumps(origin | {"boot": "another"}))
    assert isinstance(read_clock(path), SystemClock)

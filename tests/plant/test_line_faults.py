"""Lines that break, a park without power, and commands that nobody answers: all comes back, and nothing is assumed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from scada import quality
from scada.position import CLOSED, OPEN
from tests.plant.park import WHO, Park, wait_for
from tests.plant.trial import Trial, make_trial

pytestmark = [pytest.mark.plant, pytest.mark.timeout(420)]

DARK: Final = {"gw-wg": "gateway-kill", "gw-th": "gateway-black-hole", "gw-b5": "gateway-kill", "gw-b4": "gateway-kill",
               "gw-dtu": "gateway-kill"}  # fmt: skip
SHORT: Final = {"gw-a2": "gateway-reset", "gw-a3": "gateway-half-open", "gw-bw": "gateway-reset"}
RESETS: Final = 5
SILENT: Final = ("e-a101", "e-bw204", "e-b501", "w-b401")  # Modbus TCP and RTU, DL/T 645, CJ/T 188: a dead one each
MUTE: Final = ("e-a103", "e-bw202", "e-b502")  # Modbus TCP, Modbus RTU, DL/T 645
LOST: Final = "e-a202"
TWINS: Final = ("e-b602", "e-b503")


@pytest.fixture(scope="module")
def trial(make_shared_park: Callable[..., Park]) -> Iterator[Trial]:
    trial = make_trial(make_shared_park(**{"automatic = true": "automatic = false"}))
    for meter in trial.row:  # flats use so little water that their meters would stand
        if meter.startswith(("w-b4", "w-b5", "w-b6")):
            trial.park.inject("load", meter, "10")
    trial.wait_billed(trial.others_on("gw-bw", ()), 60)
    yield trial
    trial.watcher.stop()


def open_files(park: Park) -> int:
    return len(list((Path("/proc") / str(park.pids()["core"]) / "fd").iterdir()))


def meters_of(trial: Trial, gateways: tuple[str, ...]) -> list[str]:
    return [meter for gateway in gateways for meter in trial.others_on(gateway, ())]


def test_broken_lines_come_back_cost_nobody_else_and_hold_no_file(trial: Trial) -> None:
    files, mark = open_files(trial.park), trial.mark()
    for gateway, order in DARK.items():
        trial.park.inject(order, gateway)
    for _ in range(RESETS):
        for gateway, order in SHORT.items():
            trial.park.inject(order, gateway)
    dark = meters_of(trial, tuple(DARK))
    trial.wait_quality(dark, lambda q: not quality.is_good(q), 60, "meters behind dark lines not be good")
    trial.wait_alarm("gw-wg", "CommunicationLoss", 30)
    trial.assert_undisturbed(mark, meters_of(trial, ("gw-a1", "gw-b1", "gw-b2")))
    for gateway in DARK:
        trial.park.inject("gateway-restore", gateway)
    everybody = [*dark, *meters_of(trial, tuple(SHORT))]
    trial.wait_billed(everybody, 90)
    trial.assert_never_back(mark, everybody)
    wait_for(lambda: open_files(trial.park) <= files, 30, f"no more than {files} open files of the core")


def test_a_park_that_gets_its_power_back_at_once_is_asked_again_and_no_scan_is_missed(trial: Trial) -> None:
    electric = [meter for meter in trial.row if meter.startswith("e-")]
    mark = trial.mark()
    trial.park.inject("power-off")
    trial.wait_quality(trial.row, lambda q: not quality.is_good(q), 60, "no meter be good")
    overruns = trial.counter_of_core("Overruns")
    trial.park.inject("power-on")
    trial.wait_billed(electric, 90)
    assert trial.counter_of_core("Overruns") == overruns
    trial.assert_never_back(mark, [meter for meter in electric if meter != "e-aev2"])  # it rolls over


def test_a_command_that_is_not_acknowledged_is_proved_by_reading_back(trial: Trial) -> None:
    for breaker in MUTE:
        trial.park.inject("mute-command", breaker)
    commands = {breaker: trial.park.switch(breaker, "open") for breaker in MUTE}
    for breaker, command in commands.items():
        wait_for(lambda c=command: trial.park.command_state(c) == "verified", 60, f"{breaker} to be read back as open")
        assert trial.park.tag("M", breaker, "Position") == (OPEN, 0)
        assert trial.park.inject("show", breaker)["position"] == "open"
    trial.clear(MUTE)
    commands = {breaker: trial.park.switch(breaker, "closed") for breaker in MUTE}
    for breaker, command in commands.items():
        wait_for(
            lambda c=command: trial.park.command_state(c) == "verified", 60, f"{breaker} to be read back as closed"
        )


def test_a_command_to_a_meter_that_died_is_undetermined_and_never_assumed(trial: Trial) -> None:
    command = trial.park.ask("SelectBreaker", breaker=LOST, position="open", **WHO)["command"]
    trial.park.inject("meter-silent", LOST)
    trial.park.ask("OperateBreaker", command=command, reason="test", **WHO)
    wait_for(lambda: trial.park.command_state(command) == "undetermined", 60, "the command to be undetermined")
    trial.wait_quality([LOST], lambda q: not quality.is_good(q), 30, "its values not be good")
    assert trial.park.command_state(command) == "undetermined"
    trial.park.inject("meter-restore", LOST)
    wait_for(lambda: trial.park.command_state(command) == "failed", 90, "the reading that it never moved")
    assert trial.park.tag("M", LOST, "Position") == (CLOSED, 0)


def test_a_silent_meter_is_uncertain_then_bad_and_is_charged_once_for_all_of_it(trial: Trial) -> None:
    """Nor do its neighbours lose anything: the values of slow lines, too, are good in every scan."""
    lines = {trial.devices[meter].gateway for meter in SILENT}
    others = [meter for gateway in lines for meter in trial.others_on(gateway, SILENT)]
    trial.wait_billed([*SILENT, *others], 90)
    silent_from = trial.mark()
    for meter in SILENT:
        trial.park.inject("meter-silent", meter)
    trial.wait_quality(SILENT, quality.is_bad, 150, "silent meters to be bad")
    trial.assert_undisturbed(silent_from, others)
    row = trial.row
    before = {m: int(trial.now().raw[row[m]]) for m in SILENT}
    for meter in SILENT:
        assert trial.stages(silent_from, meter) in (["good", "uncertain", "bad"], ["uncertain", "bad"]), meter
        trial.wait_alarm(meter, "CommunicationLoss", 10)
        trial.park.inject("meter-restore", meter)
    trial.wait_billed(SILENT, 200)
    for meter in SILENT:
        readings = wait_for(
            lambda m=meter: charges_over(trial, m, before[m]), 30, f"the charge of {meter} in the books"
        )
        assert len(readings) == 1, (meter, before[meter], readings)
        raw_from, raw_to, whole, milli = readings[0]
        point = trial.park.plant.points[row[meter]]
        assert whole, f"{meter}: parts of the time were not charged"
        assert milli == (raw_to - raw_from) * point.milli_per_count


def charges_over(trial: Trial, meter: str, raw: int) -> list[tuple[int, int, bool, int]]:
    """Return the charged pairs of readings that lie around a register: from, to, all of the time, quantity."""
    return trial.park.sql(
        "SELECT raw_from, raw_to, min(segment_from) = time_from AND max(segment_to) = time_to, sum(milli)"
        " FROM charge c JOIN terms t ON t.id = c.terms"
        " WHERE point = %s AND raw_from <= %s AND raw_to > %s GROUP BY raw_from, raw_to, time_from, time_to",
        trial.point_of(meter), raw, raw,
    )  # fmt: skip


def test_two_meters_that_show_one_number_are_not_charged_until_one_is_right_again(trial: Trial) -> None:
    trial.wait_billed(TWINS, 90)
    trial.park.inject("same-serial", TWINS[0], TWINS[1])
    trial.park.inject("gateway-reset", "gw-b5")  # a line that is connected anew may lead to other meters
    trial.wait_alarm(TWINS[0], "WrongMeter", 60)
    trial.wait_alarm(TWINS[1], "NumberSeenTwice", 60)
    billed = {meter: int(trial.now().billed_milli[trial.row[meter]]) for meter in TWINS}
    trial.wait_billed(trial.others_on("gw-b5", [*TWINS, *SILENT]), 90)
    assert billed == {meter: int(trial.now().billed_milli[trial.row[meter]]) for meter in TWINS}
    trial.clear(TWINS)
    trial.wait_billed(TWINS, 150)


@pytest.mark.at_the_end
def test_the_books_are_what_the_meters_counted(trial: Trial) -> None:
    trial.park.inject("clear")
    trial.settle(trial.row, 90)
    code, last = trial.park.audit()
    assert code == 0, last
    assert last.endswith(" 0 differences")

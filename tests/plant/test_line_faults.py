"""Lines that break, a park without power, crossed cables, commands without an answer: all returns, nothing is assumed.

One park. Some meters are dead from the start, while the tests try other faults in any order; the last one looks at what
became of them, brings them back, and compares the books with what the meters counted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from scada import quality
from scada.position import CLOSED, OPEN
from tests.plant.amp_client import AmpError
from tests.plant.park import WHO, Park, wait_for
from tests.plant.trial import QUICK_LINES, Trial, make_trial

pytestmark = [pytest.mark.plant, pytest.mark.timeout(420)]

DARK: Final = {
    "gw-wg": "gateway-kill",
    "gw-th": "gateway-black-hole",
    "gw-b4": "gateway-kill",
    "gw-dtu": "gateway-kill",
}
SHORT: Final = {"gw-a2": "gateway-reset", "gw-b2": "gateway-half-open", "gw-bw": "gateway-reset"}
RESETS: Final = 5
SILENT: Final = ("e-a101", "e-bw204", "e-b501", "w-b401")  # Modbus TCP and RTU, DL/T 645, CJ/T 188: a dead one each
SLOW: Final = {"e-a104": "400", "e-bw201": "250", "w-b601": "250"}  # milliseconds
CONTROL: Final = "gw-b2"  # the line on which nobody is dead or slow
PACED_READS: Final = 6
# Modbus TCP, Modbus RTU, DL/T 645, CJ/T 188 on a serial port
MUTE: Final = ("e-a103", "e-bw202", "e-b502", "w-b403")
GAS: Final = "g-bw104"
DIALS_IN: Final = "gw-dtu"
LOST: Final = "e-a202"
TWINS: Final = ("e-b602", "e-b503")  # the first one shows the number of the second one
SWAPPED: Final = (("e-a601", "e-a702"), ("e-b504", "e-b601"))  # Modbus TCP, DL/T 645: meters that show a number
SWAPPED_ADDRESSES: Final = ("w-bw202", "w-bw204")  # CJ/T 188: every reply tells whose it is
CROSSED: Final = (*TWINS, *SWAPPED[0], *SWAPPED[1], *SWAPPED_ADDRESSES)
BURST_S: Final = 0.1  # lines that are asked within it are asked together

# A Modbus meter with an identity register: two meters of Tower A become such, and the lights of the park are.
NUMBER: Final = (
    'identity = "MeterNumber"\nregisters = [\n'
    '    { measure = "MeterNumber", function = 3, address = 0x0040, type = "u64", zh = "表号", en = "Meter number",'
    ' poll = "connect" },'
)
FILES: Final = {
    "profiles/hiking-dds238-2.toml": {r"^registers = \[": NUMBER},
    "meters.csv": {rf"^({meter},.*),wattkeeper-demo-1p,": r"\g<1>,hiking-dds238-2," for meter in SWAPPED[0]},
}
SEEN_IN_SCANS: Final = {rf'(id = "gw-{line}"[^[]*)period_s = 1.0': r"\g<1>period_s = 2.0" for line in ("a1", "b2")}


@pytest.fixture(scope="module")
def trial(make_shared_park: Callable[..., Park]) -> Iterator[Trial]:
    changes = {"automatic = true": "automatic = false", **QUICK_LINES, **SEEN_IN_SCANS}
    trial = make_trial(make_shared_park(files=FILES, **changes))
    yield trial
    trial.watcher.stop()


@pytest.fixture(scope="module", autouse=True)
def silent_from(trial: Trial) -> int:
    """Let the dead meters die; return the mark."""
    mark = trial.mark()
    for meter in SILENT:
        trial.park.inject("meter-silent", meter)
    return mark


def open_files(park: Park) -> int:
    return len(list((Path("/proc") / str(park.pids()["core"]) / "fd").iterdir()))


def meters_of(trial: Trial, gateways: Iterable[str]) -> list[str]:
    """Return the living meters behind gateways."""
    return [meter for gateway in gateways for meter in trial.others_on(gateway, SILENT)]


def wait_command(trial: Trial, commands: Mapping[str, str], state: str, timeout_s: float) -> None:
    """commands: breaker -> command"""
    for breaker, command in commands.items():
        wait_for(
            lambda c=command: trial.park.command_state(c) == state, timeout_s, f"the command to {breaker}: {state}"
        )


def test_a_command_that_is_not_acknowledged_is_proved_by_reading_back(trial: Trial) -> None:
    """Electricity and water come back from afar; gas, which is let flow on the spot only, never does.

    Neither the time-outs of the commands nor the dead meters cost a neighbour one good value.
    """
    mark = trial.mark()
    for device in (*MUTE, GAS):
        trial.park.inject("mute-command", device)
    wait_command(trial, {device: trial.park.switch(device, "open") for device in (*MUTE, GAS)}, "verified", 90)
    for device in (*MUTE, GAS):
        assert trial.park.tag("M", device, "Position") == (OPEN, 0)
        assert trial.park.inject("show", device)["position"] == "open"
    wait_command(trial, {device: trial.park.switch(device, "closed") for device in MUTE}, "verified", 90)
    for device in MUTE:
        assert trial.park.inject("show", device)["position"] == "closed"
    with pytest.raises(AmpError, match=r"interlock\.gas"):
        trial.park.switch(GAS, "closed")
    assert trial.park.inject("show", GAS)["position"] == "open"
    trial.park.inject("local-close", GAS)
    wait_for(lambda: trial.park.tag("M", GAS, "Position") == (CLOSED, 0), 60, "the valve that a person opened")
    trial.clear((*MUTE, GAS))
    trial.hurry()
    neighbours = meters_of(trial, {trial.devices[meter].gateway for meter in SILENT})
    trial.assert_undisturbed(mark, [meter for meter in neighbours if meter not in CROSSED])


def test_a_command_to_a_meter_that_died_is_undetermined_and_never_assumed(trial: Trial) -> None:
    command = trial.park.ask("SelectBreaker", breaker=LOST, position="open", **WHO)["command"]
    trial.park.inject("meter-silent", LOST)
    trial.park.ask("OperateBreaker", command=command, reason="test", **WHO)
    wait_command(trial, {LOST: command}, "undetermined", 60)
    trial.wait_quality([LOST], lambda q: not quality.is_good(q), 30, "its values not be good")
    assert trial.park.command_state(command) == "undetermined"
    trial.park.inject("meter-restore", LOST)
    wait_command(trial, {LOST: command}, "failed", 90)
    assert trial.park.tag("M", LOST, "Position") == (CLOSED, 0)


def test_broken_lines_come_back_cost_nobody_else_and_hold_no_file(trial: Trial) -> None:
    files, mark = open_files(trial.park), trial.mark()
    for gateway, order in DARK.items():
        trial.park.inject(order, gateway)
    for _ in range(RESETS):
        for gateway, order in SHORT.items():
            trial.park.inject(order, gateway)
    dark = meters_of(trial, DARK)
    trial.wait_quality(dark, lambda q: not quality.is_good(q), 60, "meters behind dark lines not be good")
    trial.wait_alarm("gw-wg", "CommunicationLoss", 30)
    trial.wait_reads(mark, meters_of(trial, ("gw-a1", "gw-b1")), 3, 30)
    trial.assert_undisturbed(mark, meters_of(trial, ("gw-a1", "gw-b1")))
    for gateway in DARK:
        trial.park.inject("gateway-restore", gateway)
    everybody = [*dark, *meters_of(trial, SHORT)]
    trial.wait_billed(everybody, 120)
    trial.assert_never_back(mark, everybody)
    wait_for(lambda: open_files(trial.park) <= files, 60, f"no more than {files} open files of the core")


def test_all_meters_that_return_at_once_are_asked_one_after_the_other_and_crossed_ones_are_not_charged(
    trial: Trial,
) -> None:
    mark, overruns = trial.mark(), trial.counter_of_core("Overruns")
    foreign = trial.counter("gw-dtu", "LateFrames")
    trial.park.inject("power-off")
    trial.wait_quality(trial.row, lambda q: not quality.is_good(q), 60, "no meter be good")
    billed = trial.billed(CROSSED)
    trial.park.inject("same-serial", *TWINS)
    for one, other in (*SWAPPED, SWAPPED_ADDRESSES):
        trial.park.inject("swap", one, other)
    trial.park.inject("power-on")
    assert_spread(trial.park)
    others = [meter for meter in trial.row if meter.startswith("e-") and meter not in (*SILENT, *CROSSED)]
    trial.wait_billed([*others, GAS], 120)
    assert trial.counter_of_core("Overruns") == overruns
    trial.assert_never_back(mark, [meter for meter in others if meter != "e-aev2"])  # it rolls over
    for meter in (TWINS[0], *SWAPPED[0], *SWAPPED[1]):
        trial.wait_alarm(meter, "WrongMeter", 120)
    trial.wait_alarm(TWINS[1], "NumberSeenTwice", 30)
    for meter in SWAPPED_ADDRESSES:
        trial.wait_alarm(meter, "CommunicationLoss", 120)
    wait_for(lambda: trial.counter("gw-dtu", "LateFrames") > foreign, 60, "replies of other meters to be counted")
    billed[TWINS[1]] = trial.of(TWINS[1], "billed_milli")  # it was right until the other one was read
    trial.wait_reads(trial.mark(), [TWINS[1]], 3, 60)
    assert trial.billed(CROSSED) == billed
    assert not any(trial.is_good(meter) or trial.of(meter, "held") for meter in CROSSED)
    trial.clear(CROSSED)  # the last test waits until all of them are charged again, to the count


def assert_spread(park: Park) -> None:
    """Not even half of the lines were asked in one burst when the power came back."""
    asked = wait_for(lambda: all_asked(park), 90, "every line to be asked")
    together = max(sum(0 <= other - at <= BURST_S for other in asked.values()) for at in asked.values())
    assert together < len(asked) / 2, asked


def all_asked(park: Park) -> dict[str, float]:
    """Return after how many seconds each line was first asked; nothing while one was not."""
    asked: dict[str, float] = park.inject("first-asked")["seconds"]
    return {} if None in asked.values() else asked


@pytest.mark.at_the_end
def test_a_silent_meter_is_charged_once_for_all_of_it_and_the_books_are_what_the_meters_counted(
    trial: Trial, silent_from: int
) -> None:
    trial.wait_quality(SILENT, quality.is_bad, 150, "silent meters to be bad")
    assert_neighbours_lose_nothing(trial)
    before = {meter: trial.of(meter, "raw") for meter in SILENT}
    for meter in SILENT:
        assert trial.stages(silent_from, meter) in (["good", "uncertain", "bad"], ["uncertain", "bad"]), meter
        trial.wait_alarm(meter, "CommunicationLoss", 30)
        trial.park.inject("meter-restore", meter)
    trial.wait_billed(SILENT, 200)
    for meter, raw in before.items():
        readings = wait_for(lambda m=meter, r=raw: charges_over(trial, m, r), 30, f"the charge of {meter} in the books")
        assert len(readings) == 1, (meter, raw, readings)
        raw_from, raw_to, whole, milli = readings[0]
        point = trial.park.plant.points[trial.row[meter]]
        assert whole, f"{meter}: parts of the time were not charged"
        assert milli == (raw_to - raw_from) * point.milli_per_count
    assert_nobody_was_missed_before_he_could_dial(trial)
    trial.park.inject("clear")
    trial.settle(trial.row, 240)  # those whose cables were crossed, too: numbers are read again within two minutes
    trial.assert_audit()


def assert_nobody_was_missed_before_he_could_dial(trial: Trial) -> None:
    """The DTU was called lost when its line was cut, and not at the start."""
    times = trial.park.sql("SELECT plant_time_ns FROM alarm_journal WHERE source = %s", DIALS_IN)
    assert not [time_ns for (time_ns,) in times if time_ns <= trial.begun_ns]


def assert_neighbours_lose_nothing(trial: Trial) -> None:
    """Neighbours of a dead meter, and of a slow one, are read as often as meters on a line without such."""
    mark = trial.mark()
    for meter, delay_ms in SLOW.items():
        trial.park.inject("slow", meter, delay_ms)
    lines = {trial.devices[meter].gateway for meter in SILENT}
    neighbours = {line: trial.others_on(line, [*SILENT, *SLOW]) for line in lines}
    trial.wait_reads(mark, chain(*neighbours.values()), PACED_READS, 120)
    control = trial.pace(mark, trial.others_on(CONTROL))
    paces = {line: trial.pace(mark, meters) / control for line, meters in neighbours.items()}
    print(f"read against their period and a line without dead meters: {paces}")
    assert min(paces.values()) >= 0.95, paces
    for meter in SLOW:
        trial.park.inject("slow", meter, "0")


def charges_over(trial: Trial, meter: str, raw: int) -> list[tuple[int, int, bool, int]]:
    """Return the charged pairs of readings that lie around a register: from, to, all of the time, quantity."""
    return trial.park.sql(
        "SELECT raw_from, raw_to, min(segment_from) = time_from AND max(segment_to) = time_to, sum(milli)"
        " FROM charge c JOIN terms t ON t.id = c.terms"
        " WHERE point = %s AND raw_from <= %s AND raw_to > %s GROUP BY raw_from, raw_to, time_from, time_to",
        trial.point_of(meter), raw, raw,
    )  # fmt: skip

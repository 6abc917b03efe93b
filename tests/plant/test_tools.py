"""The commissioning tools on a running park: asked through the core, switched by its desk, logged frame by frame."""

import json
import signal
import subprocess
from typing import Any

import pytest

from scada.position import CLOSED, OPEN
from tests.plant.park import ROOT, Park, wait_for

pytestmark = [pytest.mark.plant]
METER, BREAKER = "e-a101", "e-a102"


def run(park: Park, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [*park.command(*words), "--lang", "en"]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)


def said(park: Park, *words: str) -> Any:
    done = run(park, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(240)
def test_reading_switching_and_frames_through_the_core(make_park) -> None:
    park = make_park().start()
    gateway = next(device.gateway for device in park.plant.devices if device.id == METER)
    answer = said(park, "meter", "read", METER, "VoltageL1", "--frames")
    assert answer["way"] == f"asked through the running core, line {gateway}"
    shown = next(value for value in answer["values"] if value["measure"] == "VoltageL1")
    assert abs(float(shown["value"]) - park.tag("M", METER, "VoltageL1")[0]) < 5
    assert len(answer["frames"]) == 1

    number = next(device.serial for device in park.plant.devices if device.id == BREAKER)
    wrong = run(park, "meter", "trip", BREAKER, typed="0000\n")
    assert (wrong.returncode, park.tag("M", BREAKER, "Position")) == (1, (CLOSED, 0))
    tripped = run(park, "meter", "trip", BREAKER, "--reason", "trial", typed=f"{number[-4:]}\n")
    assert tripped.returncode == 0, tripped.stderr
    assert [line.split()[0:2] for line in tripped.stdout.splitlines()[-4:]][1:] == [
        ["2", "operate"], ["3", "accept"], ["4", "verify"]
    ]  # fmt: skip
    wait_for(lambda: park.tag("M", BREAKER, "Position") == (OPEN, 0), 30, "the image to show it")
    again = run(park, "meter", "trip", BREAKER, "--yes")
    assert (again.returncode, "interlock.already" in again.stderr) == (1, True)
    assert run(park, "meter", "close", BREAKER, "--yes").returncode == 0
    wait_for(
        lambda: (
            len(
                park.sql(
                    "SELECT 1 FROM command_journal WHERE state = 'verified' AND reason IN ('trial', 'commissioning')"
                )
            )
            >= 2
        ),
        20,
        "the journal",
    )

    with subprocess.Popen(
        [*park.command("meter", "frames", METER, "--follow", "--json")], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as follower:
        assert follower.stdout is not None
        told = (json.loads(line) for line in follower.stdout)
        reply = next(frame for frame in told if frame["outcome"] == "reply")  # a busy machine may miss one before
        follower.send_signal(signal.SIGINT)
        assert follower.wait(30) == 0
    assert reply["received_fields"]

    refused = run(park, "meter", "trip", "--via", gateway, "--unit", "1", "--profile", "wattkeeper-demo-1p",
                  "--force", "--yes")  # fmt: skip
    assert (refused.returncode, "field.desk" in refused.stderr) == (1, True)

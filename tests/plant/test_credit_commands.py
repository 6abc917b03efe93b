"""Credit control from the command line of a running park: protection keeps a supply, its end lets the stop come."""

import json
import subprocess
from typing import Any

import pytest

from scada.position import CLOSED, OPEN
from tests.plant.park import ROOT, Park, wait_for

SPEED = 600
TENANT, BREAKER = "t-s01", "e-a101"

pytestmark = [pytest.mark.plant]


def credit(park: Park, *words: str) -> Any:
    """Run one credit command; return what it answered."""
    done = subprocess.run(
        park.command("credit", *words, "--json"), capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def status(park: Park) -> Any:
    return credit(park, "status", TENANT)["accounts"][0]


def answers(park: Park) -> bool:
    """Tell whether a core with open books answers."""
    command = park.command("credit", "status", TENANT, "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    return done.returncode == 0 and bool(json.loads(done.stdout)["accounts"][0]["holds"])


@pytest.mark.timeout(240)
def test_protected_until_a_person_ends_it_and_stopped_with_proof(make_park) -> None:
    park = make_park(openings={TENANT: "3.00"}).start(speed=SPEED)
    held = credit(park, "protect", TENANT, "--reason", "呼吸机", "--hours", "9000", "--key", "k1")
    again = credit(park, "protect", TENANT, "--reason", "呼吸机", "--hours", "9000", "--key", "k1")
    assert (held["repeated"], again["repeated"]) == (False, True)
    found = wait_for(lambda: (s := status(park))["state"] == "protected" and s, 90, "the overdraft to end")
    assert (found["refusal"], found["holds"][0]["reason"]) == ("credit.protected", "呼吸机")
    assert park.tag("M", BREAKER, "Position") == (CLOSED, 0)

    park.kill("core")  # the hold outlives the core
    wait_for(lambda: answers(park), 60, "the next core to know it")
    wait_for(lambda: status(park)["state"] == "protected", 30, "the protection to be known again")

    credit(park, "unprotect", TENANT, "--reason", "设备已撤")
    wait_for(lambda: park.tag("M", BREAKER, "Position") == (OPEN, 0), 90, "the stop")
    (stop,) = wait_for(lambda: credit(park, "stops", TENANT), 20, "the record of the stop")
    assert [(word["kind"], word["result"]) for word in stop["notices"]][:2] == [
        ("final", "delivered"), ("again", "delivered")
    ]  # fmt: skip
    assert [event["verb"] for event in credit(park, "events", TENANT)] == ["unprotect", "protect"]
    assert "debt" in [word["kind"] for word in credit(park, "notices", TENANT)]
    code, last = park.audit()
    assert code == 0, last

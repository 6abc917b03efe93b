"""Registers of the simulated field from the command line: rejected, swapped, made virtual, split by rate registers."""

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

from billing_core.rate_check import USED
from tests.plant.park import ROOT, Park, wait_for

SPEED = 600


def meter(park: Park, *words: str) -> dict[str, Any]:
    """Run `run.py meter ... --json`; return what it printed."""
    command = park.command("meter", *words, "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def points(park: Park) -> Any:
    return wait_for(park.snapshot, 5, "an image").columns.points


def clean(park: Park) -> None:
    """Audit and replay of everything: no difference."""
    code, last = park.audit()
    assert code == 0, last
    replayed = park.command("replay", "--all")
    done = subprocess.run(replayed, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(240)
def test_a_register_that_was_reset_is_rejected_and_a_meter_is_swapped(make_park) -> None:
    park = make_park().start(speed=SPEED)
    rows = {point.id: row for row, point in enumerate(park.plant.points)}
    reset, swapped = rows["p-e-a103"], rows["p-e-a104"]
    wait_for(lambda: points(park).billed_milli[swapped] > 0, 60, "the first charges")
    for device in ("e-a103", "e-a104"):
        park.inject("set-register", device, "5")
    wait_for(lambda: points(park).held[reset] and points(park).held[swapped], 30, "both to be held")
    held = {one["point"]: one for one in meter(park, "held")["held"]}
    assert {"p-e-a103", "p-e-a104"} <= held.keys()
    assert held["p-e-a103"]["held"] == "reverse"
    billed = int(points(park).billed_milli[reset])

    done = meter(park, "reject", "p-e-a103", "--reason", "register was reset by the maker")
    assert (done["change"], done["repeated"]) == ("reject", False)
    wait_for(lambda: points(park).billed_milli[reset] > billed, 30, "charges from the new register")
    assert points(park).held[reset] == 0

    final, key = held["p-e-a104"]["last_register"], "swap-1"
    at = datetime.fromtimestamp(held["p-e-a104"]["last_s"], UTC).isoformat()
    words = ("swap", "p-e-a104", "--old-final", final, "--new-first", "0.05", "--at", at, "--key", key)
    words += ("--reason", "broken display")
    assert meter(park, *words, "--preview")["preview"]
    assert meter(park, *words)["first_raw"] == 5
    assert meter(park, *words)["repeated"]
    wait_for(lambda: points(park).held[swapped] == 0, 30, "the new meter to be billed")

    shared, difference = rows["p-v-bpump1"], rows["p-v-b3light"]
    wait_for(lambda: points(park).billed_milli[shared] > 0, 60, "the share of the pump house")
    wait_for(lambda: points(park).billed_milli[difference] > 0, 60, "the corridor lighting")
    columns = points(park)
    assert columns.rate_check[rows["p-e-bw104"]] == USED
    pump = int(columns.billed_milli[rows["p-e-bpump"]])
    assert abs(int(columns.billed_milli[shared]) - pump * 6 // 10) <= max(200, pump // 50)

    def split_by_registers() -> bool:
        return park.sql("SELECT count(*) FROM charge WHERE method = 2")[0][0] > 0

    wait_for(split_by_registers, 60, "an interval that the rate registers split")
    assert park.sql("SELECT count(*) FROM rate_reading")[0][0] > 0
    assert park.sql("SELECT count(*) FROM document WHERE body->>'change' IN ('reject', 'swap')") == [(2,)]
    clean(park)

"""A month end of the running system: midnights and demand are posted, a month is settled over the command line."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.plant.park import Park, wait_for

pytestmark = pytest.mark.plant


def told(park: Park, *words: str, code: int = 0) -> Any:
    """Run a command line with --json; return the document it prints."""
    done = subprocess.run(park.command(*words, "--json"), capture_output=True, text=True, check=False)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else done.stderr


@pytest.mark.timeout(180)
def test_midnights_and_demand_are_posted_and_a_month_can_be_previewed(make_park: Callable[..., Park]) -> None:
    park = make_park(openings={"t-w01": "100000", "t-w07": "100000"}).start(speed=7200)
    wait_for(lambda: park.sql("SELECT 1 FROM demand LIMIT 1"), 60, "no maximum demand was posted")
    wait_for(lambda: park.sql("SELECT 1 FROM assessment WHERE kind = 'capacity'"), 60, "no midnight was posted")
    wait_for(lambda: park.sql("SELECT 1 FROM reactive_reading LIMIT 1"), 60, "no reactive register was kept")
    label = park.sql("SELECT month FROM demand LIMIT 1")[0][0]
    (preview,) = told(park, "settle", "preview", "--month", label, "--account", "t-w01")
    charged = preview["charged_minor"] * preview["minor_nano"]
    assert preview["opening_nano"] + preview["movements_nano"] - charged == preview["closing_nano"]
    assert {line["kind"] for line in preview["lines"]} >= {"energy", "demand"}
    refused = told(park, "settle", "run", "--month", label, "--account", "t-w01", code=1)
    assert "settle.not-over" in refused["refused"][0]["refused"]
    code, printed = park.audit()
    assert code == 0, printed

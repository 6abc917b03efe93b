"""A month end of the running system: midnights and demand are posted, a month is settled over the command line."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.plant.park import Park, wait_for

pytestmark = pytest.mark.plant
ONE_LINE = ("point", "item_en", "rate", "tier", "price", "late", "note")
FIRST_MONTH = "SELECT to_char(min(segment_from) AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM') FROM charge"
IS_OVER = """
    SELECT plant_time >= ((%s || '-01')::timestamp + interval '1 month') AT TIME ZONE 'Asia/Shanghai' FROM book
"""


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


@pytest.mark.timeout(180)
def test_a_month_is_settled_from_the_command_line_and_proved(make_park: Callable[..., Park]) -> None:
    """Shares drafted and confirmed, everybody frozen, statements add up; audit and replay find nothing."""
    park = make_park(openings={"t-w01": "100000"}).start(speed=86_400)
    label = wait_for(lambda: park.sql(FIRST_MONTH)[0][0], 30, "the first charge")
    wait_for(lambda: park.sql(IS_OVER, label)[0][0], 60, f"the end of {label}")
    early = told(park, "settle", "run", "--month", label, "--account", "t-w01", code=1)
    assert "b-lighting" in early["refused"][0]["refused"], "shares are confirmed first"
    for draft in told(park, "settle", "shares", "--month", label):
        assert draft["state"] == "draft"
        bill = told(park, "settle", "confirm", draft["group"], "--month", label)
        assert bill["state"] == "confirmed"
        assert sum(share["minor"] for share in bill["shares"]) == bill["total_minor"] > 0
    settled = told(park, "settle", "run", "--month", label)["settled"]
    assert len(settled) >= 48
    (again,) = told(park, "settle", "run", "--month", label, "--account", "t-w01")["settled"]
    assert again in settled, "a frozen month stays as it is"
    for account in settled:
        charged = account["charged_minor"] * account["minor_nano"]
        assert account["opening_nano"] + account["movements_nano"] - charged == account["closing_nano"], account
    for account in settled:
        if account["account"] in ("t-w01", "t-r01"):
            assert_adds_up(park, account)
    assert told(park, "settle", "resale", "--month", label, code=1)["above"] > 0
    code, printed = park.audit()
    assert code == 0, printed
    assert told(park, "replay", "--all")["differences"] == 0


def assert_adds_up(park: Park, account: dict[str, Any]) -> None:
    """Add up the CSV of a statement: balances, one line per price, tax inside the lines."""
    words = park.command("statement", "export", account["account"], "--month", account["label"], "--csv")
    rows = list(csv.DictReader(io.StringIO(subprocess.run(words, capture_output=True, text=True, check=True).stdout)))
    amounts = {name: Decimal(0) for name in ("opening", "movement", "line", "tax", "closing")}
    for row in rows:
        if row["section"] in amounts:
            amounts[row["section"]] += Decimal(row["amount"])
    assert amounts["opening"] + amounts["movement"] - amounts["line"] == amounts["closing"]
    assert amounts["closing"] * 10**9 == account["closing_nano"]
    priced = [tuple(row[name] for name in ONE_LINE) for row in rows if row["section"] == "line" and row["price"]]
    assert len(priced) == len(set(priced)) > 0, "one line per price"
    assert {row["section"] for row in rows} >= {"register", "quantity", "tax"}
    gross = sum(tax["gross_minor"] for tax in account["tax"])
    assert gross == sum(tax["net"] + tax["tax"] for tax in account["tax"])
    assert amounts["line"] * 100 >= gross

"""docs/billing-tariff.md: its tariffs load, and its figures are what the slow reference makes of them."""

import re
import shutil
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from billing_core.columns import E_PERIOD, E_PRICES, E_RATE
from billing_core.plan import RATES, Plan, TierOptions
from billing_core.reference import Point, Position, Reading, book_of, price
from billing_core.schedule import unroll
from config.plant import load
from tests.docs.pages import DOCS, table

PAGE = "billing-tariff.md"
CONFIG = DOCS.parent / "config"
ZONE = ZoneInfo("Asia/Shanghai")
AT_S = int(datetime(2026, 11, 23, 10, tzinfo=ZONE).timestamp())
NANO = Decimal(1_000_000_000)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    folder: Path = tmp_path_factory.mktemp("site") / "site"
    shutil.copytree(CONFIG / "demo", folder)
    shutil.copytree(CONFIG / "profiles", folder / "profiles")
    blocks = re.findall(r"^```toml\n(.*?)^```", (DOCS / PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with (folder / "tariffs.toml").open("a", encoding="utf-8") as stream:
        stream.write("\n".join(["", *blocks]))
    return {plan.id: plan for plan in load(folder).plans}


def second(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


def charged(plan: Plan, options: TierOptions, before: Decimal, quantity: Decimal) -> Decimal:
    """Return what a quantity costs after another in the same period."""
    schedule = unroll(plan, options, AT_S - 3600, AT_S + 7200)
    position = Position(int(before * 1000), int(schedule.entries[0, E_PERIOD]))
    point = Point(1, 10**12, 10**9, 10**12, last=Reading(0, AT_S), position=position)
    milli = int(quantity * 1000)
    parts, _ = price(point, Reading(milli, AT_S + 60), milli, book_of(schedule))
    return sum((part.nano for part in parts), 0) / NANO


def test_times(plans: dict[str, Plan]) -> None:
    rows = table(PAGE, "plan")
    assert len(rows) >= 14
    for name, when, _, rate, amount in rows:
        found = unroll(plans[name], TierOptions(), second(when), second(when) + 1)
        entry = found.entries[0]
        assert RATES[int(entry[E_RATE])] == rate, (name, when)
        assert Decimal(int(found.prices[entry[E_PRICES], 0])) / 1_000_000 == Decimal(amount), (name, when)


def test_tiers(plans: dict[str, Plan]) -> None:
    rows = table(PAGE, "tiers")
    assert len(rows) >= 16
    for name, before, quantity, household, opened, amount in rows:
        options = TierOptions(int(household), second(opened) if opened != "–" else 0)
        found = charged(plans[name], options, Decimal(before), Decimal(quantity))
        assert found == Decimal(amount), (name, before, quantity)

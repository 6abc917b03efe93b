"""The worked examples of docs/billing-settlement.md, computed again."""

import re
from decimal import Decimal
from pathlib import Path

from billing_core import amounts, demand, power_factor, sharing
from billing_core.assessment import due_nano

PAGE = Path(__file__).parents[2] / "docs" / "billing-settlement.md"
YUAN = 1_000_000_000
FEN = YUAN // 100
DEMAND = {
    "price_nano_per_kw": 40 * YUAN, "mode": "contract", "over": "contract-plus-double", "watt": 1_100_000,
    "contract_w": 1_000_000, "capacity_va": 630_000, "milli": 0, "load_hours_kwh_per_kva": 260,
    "load_hours_percent": 90, "days": 30, "days_of_month": 30,
}  # fmt: skip
FEE = demand.capacity_month_nano(24 * YUAN, 400_000)


def capacity(days: int, of_month: int) -> int:
    return due_nano("capacity", {"segments": [[FEE, days]], "days_of_month": of_month, "thirty": True})


def adjusted(active: int, reactive: int) -> int:
    steps = [list(step) for step in power_factor.standard_steps(90)]
    base = {"base_nano": 264_000 * YUAN, "steps": steps}
    return due_nano("power-factor", base | {"active_milli": active, "reactive_milli": reactive})


RESULTS = {
    "fixed-month": due_nano("fixed-month", {"segments": [[300 * YUAN, 10], [330 * YUAN, 20]], "days_of_month": 30}),
    "capacity-days": capacity(12, 30),
    "capacity-month": capacity(31, 31),
    "demand-a": due_nano("demand", DEMAND),
    "demand-b": due_nano("demand", DEMAND | {"over": "actual-plus-excess"}),
    "demand-load": due_nano("demand", DEMAND | {"mode": "actual", "milli": 170_000_000}),
    "power-factor": adjusted(70_000, 71_414),
    "power-factor-good": adjusted(95_000, 31_225),
    "minimum": due_nano(
        "minimum", {"amount_nano": 30 * YUAN, "usage_nano": 12 * YUAN, "days": 30, "days_of_month": 30}
    ),
    "base-quantity": due_nano(
        "base-quantity", {"free_milli": 100_000, "units": [[60_000, 1_200_000], [80_000, 300_000]]}
    ),
    "tax": amounts.tax_inside(100_000, 130_000).tax * FEN,
    "rounding": amounts.posting(1000 * 10 * 683_700, 0, FEN) * FEN,
    "share": sharing.allocate(10_000, {"a": 1, "b": 1, "c": 1})["a"] * FEN,
}


def test_every_figure_of_the_page_is_what_the_rules_give() -> None:
    rows = re.findall(r"^\| ([a-z-]+) \| .* \| (-?[\d.]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: Decimal(figure) for name, figure in rows} == {
        name: Decimal(nano) / YUAN for name, nano in RESULTS.items()
    }

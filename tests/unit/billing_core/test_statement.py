"""Statements as CSV and text, and the resale report: from a document, nothing computed anew."""

import csv
import io
from decimal import Decimal
from typing import Any

from billing_core import resale, statement

FEN = 10_000_000
LINE = {
    "point": "p1", "kind": "energy", "component": "energy-0", "medium": "electricity", "unit": "kWh", "name_zh": "电价",
    "name_en": "Price", "charge_kind": 0, "rate": 1, "tier": 1, "tiers": 3, "price_micro": 600_000, "milli": 100_000,
    "estimated_milli": 2_500, "late": False, "tax_ppm": 130_000, "nano": 60_000_000_000, "minor": 6_000,
    "parts": [
        {"id": "a", "name_zh": "甲", "name_en": "First", "compliance": "", "price_micro": 500_000, "nano": 50 * 10**9},
        {"id": "b", "name_zh": "乙", "name_en": "Second", "compliance": "resale-surcharge", "price_micro": 100_000,
         "nano": 10 * 10**9},
    ],
}  # fmt: skip
SHARE = {
    "point": "p1", "kind": "share", "component": "stairs", "medium": "electricity", "name_zh": "=楼道",
    "name_en": "Stairs", "late": True, "compliance": "shared-cost", "tax_ppm": 130_000,
    "nano": 12_340_000_000, "minor": 1_234,
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "account": "t1", "name_zh": "甲", "name_en": "First", "currency": "CNY", "label": "2026-11", "minor_nano": FEN,
    "timezone": "Asia/Shanghai", "from_s": 1_793_462_400, "to_s": 1_796_054_400, "opening_nano": 100 * 10**9,
    "closing_nano": 100 * 10**9 + 50 * 10**9 - 7_234 * FEN, "lines": [LINE, SHARE], "notes": ["a note"],
    "movements": [{"seq": 9, "kind": "topup", "at_s": 1_793_500_000, "memo": "cash", "nano": 50 * 10**9}],
    "registers": [{"point": "p1", "meter": "m1", "unit": "kWh", "milli_per_count": 10, "raw_from": 5, "raw_to": 10_005,
                   "from_s": 1_793_462_400, "to_s": 1_796_054_400}],
    "tax": [{"medium": "electricity", "ppm": 130_000, "gross_minor": 7_234, "net": 6_402, "tax": 832}],
}  # fmt: skip


def test_the_rows_of_a_statement_add_up() -> None:
    rows = list(csv.DictReader(io.StringIO(statement.as_csv(DOCUMENT))))
    assert list(rows[0]) == list(statement.COLUMNS)
    amounts = {section: Decimal(0) for section in ("opening", "movement", "line", "closing")}
    for row in rows:
        if row["section"] in amounts:
            amounts[row["section"]] += Decimal(row["amount"])
    assert amounts["opening"] + amounts["movement"] - amounts["line"] == amounts["closing"] == Decimal("77.66")
    line = next(row for row in rows if row["section"] == "line")
    assert (line["rate"], line["tier"], line["quantity"], line["price"]) == ("峰 peak", "2", "100", "0.6")
    assert (line["estimated_quantity"], line["tax_percent"]) == ("2.5", "13")
    register = next(row for row in rows if row["section"] == "register")
    assert (register["from"], register["register_from"], register["register_to"]) == (
        "2026-11-01 00:00:00",
        "5",
        "10005",
    )
    assert [row["price"] for row in rows if row["section"] == "part"] == ["0.5", "0.1"]


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    named = DOCUMENT | {"movements": [{**DOCUMENT["movements"][0], "memo": "=1+1"}]}
    assert "'=1+1" in statement.as_csv(named)


def test_people_read_warnings_and_late_lines() -> None:
    text = statement.as_text(DOCUMENT)
    assert "common facilities" in text
    assert "late" in text
    assert "100 kWh x 0.6 (2.5 estimated)" in text


def test_the_effective_price_counts_fees_and_shares() -> None:
    """72.34 for 100 kWh is 0.7234: above 0.60 with 15 % (0.69), below it with 25 % (0.75)."""
    found = resale.effective(DOCUMENT, resale.Purchase("electricity", "", 600_000, 15))
    assert found is not None
    assert (found.price_micro, found.limit_micro, found.above) == (723_400, 690_000, True)
    found = resale.effective(DOCUMENT, resale.Purchase("electricity", "", 600_000, 25))
    assert found is not None
    assert not found.above
    assert resale.effective(DOCUMENT, resale.Purchase("water", "", 600_000, 15)) is None


def test_a_month_without_a_price_of_its_own_takes_the_standing_one() -> None:
    standing, own = resale.Purchase("water", "", 1, 0), resale.Purchase("water", "2026-11", 2, 0)
    assert resale.purchase_of((standing, own), "water", "2026-11") == own
    assert resale.purchase_of((standing, own), "water", "2026-12") == standing
    assert resale.purchase_of((own,), "water", "2026-12") is None

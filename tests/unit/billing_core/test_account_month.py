"""A month of an account as an accountant reads it: one line per price, grounds in words, balances that add up."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from billing_core import grounds, periods, statement
from billing_core.account_month import settle
from billing_core.month_facts import Facts, Movement, Usage

ZONE = ZoneInfo("Asia/Shanghai")
MONTH = periods.month_named(ZONE, "2027-01", 1)
FEN = 10_000_000
YUAN = 1_000_000_000


def usage(milli: int, at_s: int, late: bool = False) -> Usage:
    return Usage("p1", "electricity", "kWh", "", at_s, 3, 0, 0, 344_400, milli, 0, milli * 344_400, late)


def facts(usages: Sequence[Usage], movements: Sequence[Movement] = ()) -> Facts:
    nano = sum(m.nano for m in movements) - sum(u.nano for u in usages)
    return Facts(
        "t1", "甲", "First", "CNY", "2027-01", MONTH, MONTH.from_s, MONTH.to_s, 9, FEN, ZONE, 100 * YUAN + nano, 0,
        previous_closing_nano=None,
        usages=usages, movements=movements,
        registers=[{"point": "p1", "meter": "m1", "unit": "kWh", "milli_per_count": 10, "raw_from": 0, "raw_to": 2_000,
                    "from_s": MONTH.from_s, "to_s": MONTH.to_s + 3_600}],
    )  # fmt: skip


def test_the_part_of_a_charge_over_the_border_is_no_line_of_its_own() -> None:
    document = settle(facts([usage(10_000, MONTH.from_s), usage(5_000, MONTH.to_s - 60), usage(1, 0, late=True)]))
    assert [(line["milli"], line["late"]) for line in document["lines"]] == [(15_000, False), (1, True)]
    assert document["opening_nano"] == 100 * YUAN
    charged = sum(line["minor"] for line in document["lines"]) * FEN
    assert document["closing_nano"] == document["opening_nano"] - charged


def test_what_registers_counted_beyond_the_period_is_told() -> None:
    document = settle(facts([usage(15_000, MONTH.from_s), usage(7, 0, late=True)]))
    (row,) = [row for row in statement.rows(document) if row["section"] == "quantity"]
    assert (row["quantity"], row["unit"]) == ("15", "kWh")
    assert row["note"].startswith("5 kWh")


def test_movements_and_notes_are_in_both_languages() -> None:
    document = settle(facts([], [Movement(7, "topup", MONTH.from_s, "cash", 50 * YUAN)]))
    tax = {"medium": "water", "ppm": 30_000, "gross_minor": 103, "net": 100, "tax": 3}
    noted = document | {"notes": ["not-read-to-the-end:p1"], "tax": [tax]}
    text = statement.as_text(noted)
    for words in ("充值 Top-up", "p1 抄表未到期末", "not read to the end", "water 3%", "不含税 net 1.00"):
        assert words in text


def test_grounds_say_the_figures_of_the_rule() -> None:
    live = {"price_nano_per_kw": 40 * YUAN, "mode": "contract", "over": "contract-plus-double", "watt": 1_100_000,
            "contract_w": 1_000_000, "capacity_va": 0, "milli": 0, "load_hours_kwh_per_kva": 0,
            "load_hours_percent": 100, "days": 30, "days_of_month": 30}  # fmt: skip
    zh, en = grounds.words("demand", live)
    assert "1100 kW x 40" in en
    assert "contract 1000 kW" in en
    assert "计费需量 1100 kW" in zh
    assert "maximum 1234.5 kW" in grounds.words("demand", live | {"mode": "actual", "watt": 1_234_500})[1]
    fee = {"segments": [[300 * YUAN, 10], [330 * YUAN, 20]], "days_of_month": 30}
    assert grounds.words("fixed-month", fee)[1] == "300 a month, 10 of 30 days; 330 a month, 20 of 30 days"
    factor = {"active_milli": 700_000, "reactive_milli": 714_143, "base_nano": 264 * YUAN, "steps": [[70, 100_000]]}
    assert "power factor 0.7 (700 kWh, 714.143 kvarh), 264 x 10 %" in grounds.words("power-factor", factor)[1]
    assert grounds.words("share", {}) == ("", "")

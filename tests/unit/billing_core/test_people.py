"""What people read on the command line: columns that stand below each other, money, local times."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from billing_core import people
from billing_core.account_commands import read_text
from scada.errors import Refused

NANO = 1_000_000_000
SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_a_table_stands_in_columns_with_chinese_text_too() -> None:
    rows = [("t-1", "晨曦咖啡", "8.50"), ("t-22", "Café", "1200.00")]
    lines = people.table(("account", "名称", "balance"), rows, ("balance",))
    assert lines == [
        "account  名称      balance",
        "t-1      晨曦咖啡     8.50",
        "t-22     Café      1200.00",
    ]
    assert len({people.width(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.00"),
        (544_430_700_000, "544.43"),
        (9_999_999, "0.00"),
        (-1, "-0.01"),
        (-10_000_000, "-0.01"),
        (12 * NANO, "12.00"),
    ],
)
def test_a_balance_is_shown_in_coins_and_never_more_than_there_is(nano: int, text: str) -> None:
    assert people.money(nano) == text


def test_times_are_local_and_say_their_offset() -> None:
    assert people.local_time(1_795_480_358, SHANGHAI) == "2026-11-24 08:32:38+08:00"
    assert people.local_text("2026-11-24T00:32:38Z", SHANGHAI) == "2026-11-24 08:32:38+08:00"
    assert people.local_text("", SHANGHAI) == ""
    assert people.local_time(0, SHANGHAI) == "never"


def test_an_answer_is_told_without_json_or_nano() -> None:
    answer = {
        "account": "shop",
        "balance_nano": 544_430_700_000,
        "subsidies": [],
        "receipts": [{"number": "R1", "at_s": 1_795_480_358, "amount_nano": 20 * NANO, "reversed": False}],
        "lines": [["rounding", -4_431_000]],
        "registers": [
            {"point": "p-1", "before": {"account": "house", "plan": "e"}, "after": {"account": "shop", "plan": "e"}}
        ],
        "swap": {"old_meter": "m", "serial": ""},
    }
    assert people.has_times(answer)
    assert people.told(answer, SHANGHAI) == [
        "account              shop",
        "balance                            544.43",
        "subsidies:",
        "  none",
        "receipts:",
        "  number  at                         amount  reversed",
        "  R1      2026-11-24 08:32:38+08:00   20.00  no",
        "lines:",
        "  rounding  -0.004431",
        "registers:",
        "  point  changed",
        "  p-1    account house -> shop",
        "swap:",
        "  old meter            m",
        "  serial               -",
    ]


def test_changed_terms_are_told_once() -> None:
    told = people.told({"before": {"milli_per_count": 200}, "after": {"milli_per_count": 30}, "gap_milli": 0}, SHANGHAI)
    assert told == ["gap                                     0", "changed              milli per count 200 -> 30"]


def test_bare_units_have_a_word() -> None:
    told = people.told({"milli": 22_090, "nano": 19_603_175_200}, SHANGHAI)
    assert [line.split() for line in told] == [["quantity", "22.09"], ["money", "19.6031752"]]
    assert len({people.width(line) for line in told}) == 1


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"file\.read: .*none\.csv cannot be read: No such file"):
        read_text(tmp_path / "none.csv")


def test_without_a_data_base_times_are_told_in_utc() -> None:
    assert people.site_zone("host=/nowhere-at-all port=1 dbname=none").key == "UTC"

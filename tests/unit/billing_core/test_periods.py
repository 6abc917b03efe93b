"""Local days and settlement months, days of clock changes included."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from billing_core import periods
from scada.errors import Refused

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def test_months_begin_at_local_midnight_of_the_settlement_day() -> None:
    month = periods.month_named(SHANGHAI, "2026-11")
    assert (month.label, month.days, month.to_s - month.from_s) == ("2026-11", 30, 30 * 86_400)
    assert month.from_s == 1_793_462_400  # 2026-10-31 16:00 UTC
    assert periods.month_at(SHANGHAI, month.to_s - 1).label == "2026-11"
    assert periods.month_at(SHANGHAI, month.to_s).label == "2026-12"
    shifted = periods.month_named(SHANGHAI, "2026-12", settlement_day=25)
    assert (date.fromordinal(shifted.first), shifted.days) == (date(2026, 12, 25), 31)
    assert periods.month_of_day(SHANGHAI, date(2027, 1, 24).toordinal(), 25).label == "2026-12"


def test_months_with_clock_changes_have_an_hour_less_or_more() -> None:
    assert periods.month_named(BERLIN, "2026-03").to_s - periods.month_named(BERLIN, "2026-03").from_s == 743 * 3600
    assert periods.month_named(BERLIN, "2026-10").to_s - periods.month_named(BERLIN, "2026-10").from_s == 745 * 3600


def test_every_day_of_a_year_begins_once() -> None:
    begin = periods.midnight_s(BERLIN, date(2026, 1, 1).toordinal())
    end = periods.midnight_s(BERLIN, date(2027, 1, 1).toordinal())
    found = list(periods.days_begun(BERLIN, begin - 1, end - 1))
    assert found == list(range(date(2026, 1, 1).toordinal(), date(2027, 1, 1).toordinal()))
    assert list(periods.days_begun(BERLIN, begin, begin + 100)) == []


@pytest.mark.parametrize("label", ["", "2026", "2026-13", "2026-11-01", "November"])
def test_what_is_no_month_is_refused(label: str) -> None:
    with pytest.raises(Refused, match=r"settle\.month"):
        periods.month_named(SHANGHAI, label)

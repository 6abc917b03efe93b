"""[credit] and [[credit_class]]: defaults of a real site, overrides of a class, holidays with the day before."""

from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from billing_core.friendly import is_friendly
from config.plant import load
from tests.scenario.credit_bench import DAY, HOUR, NOON_S

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy

SHANGHAI = ZoneInfo("Asia/Shanghai")
DEMO = 'friendly = [] # a real park: the default, or for example [{ start = "17:00", end = "09:00" }]'


def test_by_default_stops_come_on_working_days_from_9_to_15_alone(copy: "Copy") -> None:
    copy.edit("plant.toml", DEMO, 'holidays = "CN"')
    credit = load(copy.folder).credit
    allowed = [
        hour for hour in range(7 * 24)
        if not is_friendly(credit.friendly, credit.closed_days, SHANGHAI, NOON_S - 12 * HOUR + hour * HOUR)
    ]  # fmt: skip
    monday_to_thursday = [day * 24 + hour for day in range(4) for hour in range(9, 15)]
    friday = [4 * 24 + hour for hour in (9, 10, 11)]
    assert allowed == monday_to_thursday + friday


@pytest.mark.parametrize(
    ("day", "closed"),
    [
        (date(2026, 9, 30), True),  # the day before
        (date(2026, 10, 1), True),
        (date(2026, 10, 7), True),
        (date(2026, 10, 8), False),
        (date(2026, 11, 5), True),  # declared
        (date(2026, 11, 4), False),  # and only it
    ],
)
def test_holidays_the_day_before_and_declared_dates(copy: "Copy", day: date, closed: bool) -> None:
    copy.edit("plant.toml", DEMO, 'holidays = "CN"\nclosed = [2026-11-05]')
    assert (day.toordinal() in load(copy.folder).credit.closed_days) == closed


def test_a_class_changes_what_it_names_and_nothing_else(copy: "Copy") -> None:
    copy.edit("plant.toml", "remind1_days = 10", "remind1_days = 10\nclosed = [2026-11-06]\nautomatic = false")
    credit = load(copy.folder).credit
    resident = credit.classes["resident"]
    assert (resident.remind1_days, resident.remind2_days, credit.remind1_days) == (10, 3, 7)
    assert (resident.automatic, credit.automatic) == (False, True)
    assert (resident.stops_max, resident.friendly, resident.again_lead_s) == (5, (), 60.0)
    assert resident.closed_days == {date(2026, 11, 6).toordinal()}
    assert credit.closed_days == frozenset()


def test_notice_and_guard_of_a_site_that_says_nothing(copy: "Copy") -> None:
    text = (copy.folder / "plant.toml").read_text(encoding="utf-8")
    begin, end = text.index("[credit]"), text.index("[ledger]")
    (copy.folder / "plant.toml").write_text(text[:begin] + text[end:], encoding="utf-8")
    credit = load(copy.folder).credit
    assert (credit.notice_lead_s, credit.again_lead_s, credit.hold_interval_s) == (3.0 * DAY, HOUR, DAY)
    assert (credit.stops_max, credit.hold_percent, credit.clock_jump_s) == (20, 5.0, 300.0)

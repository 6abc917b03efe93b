"""Words of notices, money in them, and the search for the next working hour."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from billing_core.credit_levels import NOTICES
from billing_core.friendly import is_friendly, next_working, with_day_before
from billing_core.notices import AGAIN, REPEATED, TEXTS, compose, money
from tests.scenario.credit_bench import DAY, HOUR, NOON_S, YUAN, hours

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def test_every_kind_has_words_and_every_word_a_kind() -> None:
    assert {*NOTICES.values(), AGAIN} - {""} == set(TEXTS)
    assert set(REPEATED.values()) <= set(TEXTS)


def test_a_final_notice_names_balance_and_time() -> None:
    notice = compose("t1", "final", NOON_S, -1_234 * YUAN // 100, 0.0, NOON_S + 3 * DAY, NOON_S, SHANGHAI)
    assert notice.text_zh == "余额 -12.34 元,透支额度已用尽。如未充值,最早将于 2026-10-29 12:00 停止供电。"
    assert "not before 2026-10-29 12:00" in notice.text_en


@pytest.mark.parametrize(("days", "said"), [(2.54, "2.5 days"), (float("nan"), ""), (float("inf"), "")])
def test_days_are_named_only_when_they_are_known(days: float, said: str) -> None:
    notice = compose("t1", "remind1", NOON_S, 49 * YUAN, days, 0, 0, SHANGHAI)
    assert (said in notice.text_en, "days" in notice.text_en) == (True, bool(said))


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.00"), (9_999_999, "0.00"), (-9_999_999, "0.00"), (-10_000_000, "-0.01"), (12_345_678_901, "12.34")],
)
def test_money_is_cut_towards_zero(nano: int, text: str) -> None:
    assert money(nano) == text


def test_the_next_working_second_is_not_friendly_and_none_before_it_is_missed() -> None:
    windows = (hours(set(range(7)), 900, 540), hours({4}, 720, 1440), hours({5, 6}, 0, 1440))
    for step in range(7 * 24 * 4):
        at_s = NOON_S + step * 900
        found_s = next_working(windows, frozenset(), SHANGHAI, at_s)
        assert not is_friendly(windows, frozenset(), SHANGHAI, found_s)
        assert all(is_friendly(windows, frozenset(), SHANGHAI, second) for second in range(at_s, found_s, 900))


def test_the_next_working_hour_over_a_clock_change() -> None:
    night = (hours(set(range(7)), 900, 540),)
    saturday_s = int(datetime(2026, 10, 24, 16, tzinfo=BERLIN).timestamp())  # clocks go back on Sunday
    found = datetime.fromtimestamp(next_working(night, frozenset(), BERLIN, saturday_s), BERLIN)
    assert (found.day, found.hour, found.minute) == (25, 9, 0)


def test_friendly_for_ever_finds_nothing() -> None:
    always = (hours(set(range(7)), 0, 1440),)
    assert next_working(always, frozenset(), SHANGHAI, NOON_S + HOUR) == NOON_S + HOUR


def test_a_holiday_takes_the_day_before_with_it() -> None:
    assert with_day_before([10, 11, 20]) == {9, 10, 11, 19, 20}

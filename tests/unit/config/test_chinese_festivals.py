"""The statutory holidays against the library that knows them for all the world."""

import holidays
import pytest

from config.chinese_festivals import MOVING, statutory_holidays
from config.holiday_calendar import CHINESE_NAMES, LAST_YEAR


def test_every_year_that_plans_reach_is_in_the_table() -> None:
    assert list(MOVING) == list(range(min(MOVING), LAST_YEAR + 1))


@pytest.mark.parametrize("year", MOVING)
def test_the_table_names_the_days_that_the_library_names(year: int) -> None:
    found = holidays.country_holidays("CN", years=year, observed=False, expand=False, language="en_US")
    expected = {
        (CHINESE_NAMES[name], day)
        for day, names in found.items()
        for name in names.split("; ")
        if not name.startswith("Day off")
    }
    assert set(statutory_holidays(range(year, year + 1))) == expected

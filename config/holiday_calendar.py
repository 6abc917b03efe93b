"""Holidays of a calendar, spelled out as dates: China's with its make-up working days, other countries' as they are.

China's State Council sets holidays and make-up days (调休) for one year at a time; chinesecalendar carries them. For
years that it does not know the statutory holidays stand (`chinese_festivals`), for other countries those of the library
`holidays`, without make-up days. Rule: no clock. What is spelled out reaches from FIRST_YEAR to LAST_YEAR, so that a
plan is the same plan on every day it is loaded; a later release of a library may change what lies in the future.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import chinese_calendar.constants as china

from config.chinese_festivals import statutory_holidays

FIRST_YEAR: Final = 2020
LAST_YEAR: Final = 2040
CHINA: Final = "CN"
# Names in the libraries -> the name of a holiday in tariffs.toml.
CHINESE_NAMES: Final[Mapping[str, str]] = {
    "New Year's Day": "new-year",
    "Spring Festival": "spring-festival",
    "Chinese New Year (Spring Festival)": "spring-festival",
    "Chinese New Year's Eve": "spring-festival",
    "Tomb-sweeping Day": "tomb-sweeping-day",
    "Tomb-Sweeping Day": "tomb-sweeping-day",
    "Labour Day": "labour-day",
    "Labor Day": "labour-day",
    "Dragon Boat Festival": "dragon-boat-festival",
    "National Day": "national-day",
    "Mid-autumn Festival": "mid-autumn-festival",
    "Mid-Autumn Festival": "mid-autumn-festival",
}


@dataclass(frozen=True, slots=True)
class HolidayCalendar:
    """Dates as ordinals."""

    named: Mapping[str, frozenset[int]]  # name of a holiday -> its dates
    make_up: frozenset[int]
    set_until: int  # last year whose holidays and make-up days are set; later ones follow the law alone

    @property
    def holidays(self) -> frozenset[int]:
        return frozenset().union(*self.named.values())


@cache
def holiday_calendar(code: str) -> HolidayCalendar:
    """Return the calendar of "CN", of a country ("DE") or a part of one ("US-NY"). KeyError when there is none."""
    if code == CHINA:
        return _chinese()
    country, _, part = code.partition("-")
    return _of_country(country, part, range(FIRST_YEAR, LAST_YEAR + 1))


def known(code: str) -> bool:
    """Tell whether there is a calendar of this name."""
    try:
        holiday_calendar(code)
    except KeyError:
        return False
    return True


def _chinese() -> HolidayCalendar:
    set_until = max(day.year for day in china.holidays)
    named: dict[str, set[int]] = {}
    for day, name in china.holidays.items():
        if day.year >= FIRST_YEAR:
            named.setdefault(_slug(name), set()).add(day.toordinal())
    for name, day in statutory_holidays(range(set_until + 1, LAST_YEAR + 1)):
        named.setdefault(name, set()).add(day.toordinal())
    make_up = frozenset(day.toordinal() for day in china.workdays if day.year >= FIRST_YEAR and day.weekday() >= 5)
    return HolidayCalendar({name: frozenset(days) for name, days in named.items()}, make_up, set_until)


def _of_country(country: str, part: str, years: range) -> HolidayCalendar:
    """Return statutory holidays. In China those that the law names; elsewhere with the days on which they are kept.

    KeyError for a country or part that the library does not know.
    """
    import holidays  # here: it brings the calendars of every country of the world, eleven megabytes

    if part not in ("", *holidays.list_supported_countries().get(country, ())):
        raise KeyError(country, part)
    if country not in holidays.list_supported_countries():
        raise KeyError(country)
    found = holidays.country_holidays(
        country, subdiv=part or None, years=years, observed=country != CHINA, expand=False, language="en_US"
    )
    named: dict[str, set[int]] = {}
    for day, names in found.items():
        for name in names.split("; "):
            if not name.startswith("Day off"):  # a day moved for one year
                named.setdefault(_slug(name), set()).add(day.toordinal())
    return HolidayCalendar({name: frozenset(days) for name, days in named.items()}, frozenset(), LAST_YEAR)


def _slug(name: str) -> str:
    name = name.removesuffix(" (observed)")
    return CHINESE_NAMES.get(name) or re.sub(r"[^a-z0-9]+", "-", name.lower().replace("'", "")).strip("-")

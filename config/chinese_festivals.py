"""China's statutory holidays of years for which the State Council has not spoken yet: the law and the lunar calendar.

The library `holidays` knows them too, and a test compares both; but it imports the calendars of every country of the
world to tell one, eleven megabytes in every room. Rule: only what the law says, no days off that a notice moves.

Source: 全国年节及纪念日放假办法, revised 2024 (State Council order 795), in force since 2025.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

# Year -> first day of the lunar year, tomb sweeping, dragon boat (5th of the 5th month), mid-autumn (15th of the 8th).
MOVING: Final = {
    2026: ("02-17", "04-05", "06-19", "09-25"),
    2027: ("02-06", "04-05", "06-09", "09-15"),
    2028: ("01-26", "04-04", "05-28", "10-03"),
    2029: ("02-13", "04-04", "06-16", "09-22"),
    2030: ("02-03", "04-05", "06-05", "09-12"),
    2031: ("01-23", "04-05", "06-24", "10-01"),
    2032: ("02-11", "04-04", "06-12", "09-19"),
    2033: ("01-31", "04-04", "06-01", "09-08"),
    2034: ("02-19", "04-05", "06-20", "09-27"),
    2035: ("02-08", "04-05", "06-10", "09-16"),
    2036: ("01-28", "04-04", "05-30", "10-04"),
    2037: ("02-15", "04-04", "06-18", "09-24"),
    2038: ("02-04", "04-05", "06-07", "09-13"),
    2039: ("01-24", "04-05", "05-27", "10-02"),
    2040: ("02-12", "04-04", "06-14", "09-20"),
}
FIXED: Final = (  # name, month, day
    ("new-year", 1, 1),
    ("labour-day", 5, 1),
    ("labour-day", 5, 2),
    ("national-day", 10, 1),
    ("national-day", 10, 2),
    ("national-day", 10, 3),
)
SPRING_FESTIVAL_DAYS: Final = range(-1, 3)  # the eve and three days of the new year


def statutory_holidays(years: range) -> Iterator[tuple[str, date]]:
    """Yield (name of the holiday in tariffs.toml, its day) of every year. KeyError for a year outside MOVING."""
    for year in years:
        for name, month, day in FIXED:
            yield name, date(year, month, day)
        spring, sweeping, boats, autumn = (date.fromisoformat(f"{year}-{text}") for text in MOVING[year])
        for offset in SPRING_FESTIVAL_DAYS:
            yield "spring-festival", spring + timedelta(days=offset)
        yield "tomb-sweeping-day", sweeping
        yield "dragon-boat-festival", boats
        yield "mid-autumn-festival", autumn

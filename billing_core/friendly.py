"""Friendly hours and days: when nobody's supply is switched off for want of credit, so that somebody can be asked.

Source: practice of prepaid utilities: stops on working days from 09:00 to 15:00 only, not from Friday noon to Monday
morning, not on public holidays nor on the day before. What is due waits; what is used meanwhile becomes debt.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from billing_core.plan import MINUTES_OF_DAY

SEARCH_DAYS: Final = 31  # longest run of friendly days that is looked through; a spring festival is nine


class Hours(Protocol):
    """[start, end) minutes of the local day; end <= start crosses midnight and belongs to the day it begins on."""

    @property
    def days(self) -> frozenset[int]: ...  # 0 Monday .. 6 Sunday
    @property
    def start_minute(self) -> int: ...
    @property
    def end_minute(self) -> int: ...


def is_friendly(hours: Iterable[Hours], dates: Collection[int], timezone: ZoneInfo, at_s: int) -> bool:
    """Tell whether a UTC second lies in any of the hours, or on one of the dates.

    dates: local days as proleptic ordinals (datetime.date.toordinal), whole days
    """
    local = datetime.fromtimestamp(at_s, UTC).astimezone(timezone)
    minute, day = local.hour * 60 + local.minute, local.weekday()
    return local.toordinal() in dates or any(_contains(window, day, minute) for window in hours)


def next_working(hours: Sequence[Hours], dates: Collection[int], timezone: ZoneInfo, at_s: int) -> int:
    """Return the first second from at_s on that is not friendly; at_s when there is none within SEARCH_DAYS."""
    if not is_friendly(hours, dates, timezone, at_s):
        return at_s
    midnight = datetime.fromtimestamp(at_s, UTC).astimezone(timezone).replace(hour=0, minute=0, second=0, microsecond=0)
    minutes = sorted({0} | {window.end_minute % MINUTES_OF_DAY for window in hours})
    for day in range(SEARCH_DAYS):
        for minute in minutes:
            local = midnight + timedelta(days=day, minutes=minute)  # wall time; the zone finds its offset
            found_s = int(local.timestamp())
            if found_s > at_s and not is_friendly(hours, dates, timezone, found_s):
                return found_s
    return at_s


def with_day_before(holidays: Iterable[int]) -> frozenset[int]:
    """Return holidays and the day before each, as ordinals."""
    return frozenset(day - before for day in holidays for before in (0, 1))


def _contains(window: Hours, day: int, minute: int) -> bool:
    if window.end_minute > window.start_minute:
        return day in window.days and window.start_minute <= minute < window.end_minute
    from_yesterday = (day - 1) % 7 in window.days and minute < window.end_minute % MINUTES_OF_DAY
    return from_yesterday or (day in window.days and minute >= window.start_minute)

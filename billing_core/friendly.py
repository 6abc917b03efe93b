"""Friendly hours: hours of the local day in which nobody's supply is switched off for want of credit."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from billing_core.plan import MINUTES_OF_DAY


class Hours(Protocol):
    """[start, end) minutes of the local day; end <= start crosses midnight and belongs to the day it begins on."""

    @property
    def days(self) -> frozenset[int]: ...  # 0 Monday .. 6 Sunday
    @property
    def start_minute(self) -> int: ...
    @property
    def end_minute(self) -> int: ...


def is_friendly(hours: Iterable[Hours], timezone: ZoneInfo, at_s: int) -> bool:
    """Tell whether a UTC second lies in any of the hours."""
    local = datetime.fromtimestamp(at_s, UTC).astimezone(timezone)
    minute, day = local.hour * 60 + local.minute, local.weekday()
    return any(_contains(window, day, minute) for window in hours)


def _contains(window: Hours, day: int, minute: int) -> bool:
    if window.end_minute > window.start_minute:
        return day in window.days and window.start_minute <= minute < window.end_minute
    from_yesterday = (day - 1) % 7 in window.days and minute < window.end_minute % MINUTES_OF_DAY
    return from_yesterday or (day in window.days and minute >= window.start_minute)

"""Zones: which local date a second belongs to, and stretches of time in which the offset to UTC stays the same.

Rule: pure; the zone data are the interpreter's.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

DAY_S: Final = 86_400
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
PROBE_S: Final = 6 * 3600  # no zone changes its offset twice within six hours


def local_day(timezone: str, at_s: int) -> int:
    """Return the ordinal of the local date at a UTC second."""
    return (at_s + _offset(_zone(timezone), at_s)) // DAY_S + EPOCH_DAY


def midnight_s(timezone: str, day: int) -> int:
    """Return the UTC second at which a local date (an ordinal) begins, or its first second where clocks skip that."""
    local = datetime.combine(date.fromordinal(day), datetime.min.time(), _zone(timezone))
    return int(local.timestamp())


def stretches(timezone: str, from_s: int, to_s: int) -> Iterator[tuple[int, int, int]]:
    """Yield (from, to, UTC offset in seconds) stretches of constant offset that cover [from_s, to_s)."""
    zone = _zone(timezone)
    start_s = at_s = from_s
    offset_s = _offset(zone, start_s)
    while at_s < to_s:
        next_s = min(at_s + PROBE_S, to_s)
        if (after_s := _offset(zone, next_s)) != offset_s:
            border_s = _border(zone, at_s, next_s)
            yield start_s, border_s, offset_s
            start_s, offset_s = border_s, after_s
        at_s = next_s
    if start_s < to_s:
        yield start_s, to_s, offset_s


def _border(zone: ZoneInfo, low_s: int, high_s: int) -> int:
    """Return the first second in (low_s, high_s] whose offset differs from low_s's."""
    before = _offset(zone, low_s)
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if _offset(zone, middle_s) == before:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s


def _offset(zone: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)

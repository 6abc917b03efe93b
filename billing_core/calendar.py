"""The calendar: tariffs unrolled into sorted UTC borders, so that the kernel never sees a zone or a weekday.

Rule: zones, weekdays and clock changes are understood here and nowhere else in the billing core.

Within a stretch of constant UTC offset local time is UTC plus that offset, so a tariff's week of slots repeats exactly;
a clock change only ends the stretch. An hour that a clock change repeats is priced twice, one that it skips not at all.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from billing_core.columns import NO_PRICE, Table
from billing_core.tariff import MINUTES_OF_DAY, Tariff

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
EPOCH_MONDAY_S: Final = 4 * DAY_S  # 1970-01-05 was a Monday
PROBE_S: Final = 6 * 3600  # no zone changes its offset twice within six hours
NO_RATE: Final = -1


class Entry(NamedTuple):
    """One stretch of constant price: from start_s to the start of the next entry."""

    start_s: int
    price_micro: int  # NO_PRICE where the tariff has none
    rate: int  # index into tariff.RATES, NO_RATE where none


class Calendar(NamedTuple):
    """All tariffs unrolled over one window. entries (m, CALENDAR_WIDTH); first (n_tariffs + 1,) offsets into it.

    Each tariff's last entry begins at the window's end and has no price, so that nothing outside is ever billed.
    """

    entries: Table
    first: npt.NDArray[np.int64]
    from_s: int
    to_s: int


def unroll(tariff: Tariff, from_s: int, to_s: int) -> list[Entry]:
    """Return the tariff's entries over [from_s, to_s), sorted, adjacent ones different, closed by a NO_PRICE entry."""
    week = _week(tariff)
    entries: list[Entry] = []
    for stretch_from, stretch_to, offset_s in _stretches(tariff.timezone, from_s, to_s):
        for entry in _unroll_week(week, stretch_from, stretch_to, offset_s):
            if not entries or entries[-1][1:] != entry[1:]:
                entries.append(entry)
    entries.append(Entry(to_s, NO_PRICE, NO_RATE))
    return entries


def unroll_all(tariffs: Sequence[Tariff], from_s: int, to_s: int) -> Calendar:
    """Unroll every tariff over one window."""
    lists = [unroll(tariff, from_s, to_s) for tariff in tariffs]
    first = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(entries) for entries in lists], out=first[1:])
    flat = [entry for entries in lists for entry in entries]
    return Calendar(np.array(flat, dtype=np.int64).reshape(-1, 3), first, from_s, to_s)


def entry_at(entries: Sequence[Entry], at_s: int) -> int:
    """Return the index of the entry in force at a UTC second, -1 before the first."""
    return bisect_right(entries, at_s, key=lambda entry: entry.start_s) - 1


def _week(tariff: Tariff) -> list[Entry]:
    """Return one local week from Monday 00:00: entries whose start_s counts from there; gaps carry NO_PRICE."""
    slots = sorted(
        ((day * MINUTES_OF_DAY + slot.start_minute) * 60, (day * MINUTES_OF_DAY + slot.end_minute) * 60, slot.rate)
        for slot in tariff.slots
        for day in slot.days
    )
    week: list[Entry] = []
    covered_s = 0
    for start_s, end_s, rate in slots:
        if start_s > covered_s:
            week.append(Entry(covered_s, NO_PRICE, NO_RATE))
        price = tariff.price_micro.get(rate, NO_PRICE)
        week.append(Entry(start_s, price, rate if price != NO_PRICE else NO_RATE))
        covered_s = end_s
    if covered_s < WEEK_S:
        week.append(Entry(covered_s, NO_PRICE, NO_RATE))
    return week


def _unroll_week(week: list[Entry], from_s: int, to_s: int, offset_s: int) -> Iterator[Entry]:
    """Repeat the local week over [from_s, to_s) at one UTC offset."""
    monday_s = (from_s + offset_s - EPOCH_MONDAY_S) // WEEK_S * WEEK_S + EPOCH_MONDAY_S - offset_s
    while monday_s < to_s:
        for index, entry in enumerate(week):
            end_s = monday_s + (week[index + 1].start_s if index + 1 < len(week) else WEEK_S)
            start_s = max(monday_s + entry.start_s, from_s)
            if start_s < min(end_s, to_s):
                yield entry._replace(start_s=start_s)
        monday_s += WEEK_S


def _stretches(timezone: str, from_s: int, to_s: int) -> Iterator[tuple[int, int, int]]:
    """Yield (from, to, UTC offset in seconds) stretches of constant offset that cover [from_s, to_s)."""
    zone = _zone(timezone)
    start_s = at_s = from_s
    while at_s < to_s:
        next_s = min(at_s + PROBE_S, to_s)
        offset_s = _offset(zone, start_s)
        if _offset(zone, next_s) != offset_s:
            border_s = _border(zone, at_s, next_s)
            yield start_s, border_s, offset_s
            start_s = border_s
        at_s = next_s
    if start_s < to_s:
        yield start_s, to_s, _offset(zone, start_s)


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

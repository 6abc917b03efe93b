"""The rate table that is programmed into a meter, held against the day tables of a plan.

A meter with rate registers (T1 尖 .. T5 深谷) adds each unit to the register of its own table. Its registers may price
an interval only when that table says the same as the plan on every day; else the split by time is the honest one.
Rule: pure; a table is seven days (Monday first) of (start minute, end minute, rate), each day covered once.
"""

from collections.abc import Iterator
from datetime import date
from typing import Final

from billing_core.plan import FOREVER_S, MINUTES_OF_DAY, Plan, Version
from billing_core.schedule import tables_at

DaySlots = tuple[tuple[int, int, int], ...]  # (start minute, end minute, index into RATES), ascending
Week = tuple[DaySlots, ...]  # seven

SAMPLE_FIRST: Final = date(2024, 1, 1).toordinal()  # a leap year: every (month, day) there is
SAMPLE_DAYS: Final = 366 + 365  # and another, so that every (month, day) but 29 February falls on two weekdays
S_PER_DAY: Final = 86_400
UNIX_EPOCH: Final = date(1970, 1, 1).toordinal()


def week_minutes(week: Week) -> tuple[tuple[int, ...], ...]:
    """Return the rate of every minute, [weekday][minute]."""
    days = []
    for slots in week:
        minutes = [0] * MINUTES_OF_DAY
        for start, end, rate in slots:
            minutes[start:end] = [rate] * (end - start)
        days.append(tuple(minutes))
    return tuple(days)


def disagreement(plan: Plan, week: Week) -> str:
    """Return where a meter's table first differs from a plan, "" when they say the same on every day.

    Compared are two whole years of dates and every date the plan names, so all seasons, weekdays and kinds of day.
    """
    for version in plan.versions:
        for day in _days(version):
            ours, meters = merged(slots_on(version, day)), merged(week[(day - 1) % 7])  # ordinal 1 was a Monday
            if ours != meters:
                return f"on {date.fromordinal(day)} the plan says {spelled(ours)}, the meter {spelled(meters)}"
    return ""


def slots_on(version: Version, day: int) -> DaySlots:
    """Return the slots of a version on a date (proleptic ordinal)."""
    table = version.tables[tables_at(version, day)[0]]
    return tuple((slot.start_minute, slot.end_minute, slot.rate) for slot in table.slots)


def merged(slots: DaySlots) -> DaySlots:
    """Return slots in order, with neighbours of one rate made one."""
    found: list[tuple[int, int, int]] = []
    for start, end, rate in sorted(slots):
        if found and found[-1][1:] == (start, rate):
            start = found.pop()[0]
        found.append((start, end, rate))
    return tuple(found)


def spelled(slots: DaySlots) -> str:
    """Return slots as people write them."""
    return ", ".join(f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02} T{rate + 1}" for a, b, rate in slots)


def _days(version: Version) -> Iterator[int]:
    """Yield the dates that stand for all dates of a version: samples that lie in it, and the ones it names."""
    first = UNIX_EPOCH + version.from_s // S_PER_DAY
    last = UNIX_EPOCH + min(version.to_s, FOREVER_S) // S_PER_DAY
    begin = max(first, SAMPLE_FIRST)
    yield from range(begin, min(begin + SAMPLE_DAYS, max(last, begin + 1)))
    named = version.days.holidays | version.days.make_up
    for _, dates in version.days.special:
        named |= dates
    yield from sorted(day for day in named if first <= day < last)

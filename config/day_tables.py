"""Lay the slots of a version on its kinds of day: which rate period holds in which minute, in which season.

A day is of exactly one class: a special day, a holiday, a make-up working day, or its weekday. `working` and `weekend`
are names for several classes. A slot that crosses midnight and is given for weekdays ends on the next weekday; given
for kinds of day it wraps within each of them, because a day of a tariff begins at 00:00. Rule: nothing here judges.
"""

from collections.abc import Iterable
from typing import Final

from billing_core.plan import HOLIDAY, MAKE_UP, MINUTES_OF_DAY, RATES, WEEKEND, WORKING, DayTable, Season, Slot
from config.holiday_calendar import CHINA
from config.schema import RateName
from config.tariff_tables import WEEKDAYS, RangeTable, SeasonTable, SlotTable, VersionFields

ALL_YEAR: Final = ""  # the season of a version that has none
SATURDAY: Final = 5
MONTH_DAYS: Final = tuple(
    (month, day) for month, days in enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1)
    for day in range(1, days + 1)
)  # fmt: skip
MonthDay = tuple[int, int]
Layout = dict[tuple[str, str], list[Slot]]  # (season, class of day) -> slots, sorted


def classes_of(version: VersionFields) -> tuple[str, ...]:
    """Return the classes that the days of a version fall into."""
    moved = (MAKE_UP,) if version.holidays == CHINA else ()
    return (*WEEKDAYS, *moved, *((HOLIDAY,) if version.holidays else ()), *(special.id for special in version.special))


def names_of(version: VersionFields) -> dict[str, tuple[str, ...]]:
    """Return what a slot's `days` may name -> the classes it means."""
    classes = classes_of(version)
    working = (*WEEKDAYS[:SATURDAY], *((MAKE_UP,) if MAKE_UP in classes else ()))
    single: dict[str, tuple[str, ...]] = {name: (name,) for name in classes}
    return single | {WORKING: working, WEEKEND: WEEKDAYS[SATURDAY:]}


def seasons_of(version: VersionFields) -> dict[str, frozenset[MonthDay]]:
    """Return season -> its days of the year; the season without ranges has the days that no other names."""
    if not version.season:
        return {ALL_YEAR: frozenset(MONTH_DAYS)}
    named = {season.id: _days_of(season) for season in version.season if season.ranges}
    rest = frozenset(MONTH_DAYS) - frozenset().union(*named.values())
    return {season.id: named.get(season.id, rest) for season in version.season}


def layout(version: VersionFields) -> Layout:
    """Return the slots of every class of day in every season."""
    seasons = tuple(seasons_of(version))
    found: Layout = {(season, day): [] for season in seasons for day in classes_of(version)}
    slots = version.slot or (SlotTable(start="00:00", end="24:00", rate=only_rate(version)),)
    for slot in slots:
        for day, piece in _pieces(version, slot):
            for season in slot.seasons or seasons:
                if (season, day) in found:
                    found[season, day].append(piece)
    return {place: sorted(pieces, key=lambda piece: piece.start_minute) for place, pieces in found.items()}


def rates_used(version: VersionFields) -> tuple[RateName, ...]:
    """Return the rate periods that hold at some time, in the order in which the slots name them."""
    return tuple(dict.fromkeys(slot.rate for slot in version.slot)) or (only_rate(version),)


def only_rate(version: VersionFields) -> RateName:
    """Return the rate period of a version without slots: the only one with a price, else flat."""
    prices = [*([version.price] if version.price is not None else []), *(part.price for part in version.part)]
    named = next((tuple(price) for price in prices if len(price) == 1), ("flat",))
    return named[0]


def day_tables(version: VersionFields) -> tuple[DayTable, ...]:
    """Return one day table for each different day; seasons whose days are alike share theirs."""
    found = layout(version)
    seasons: dict[tuple[tuple[frozenset[str], tuple[Slot, ...]], ...], list[str]] = {}
    for season in seasons_of(version):
        kinds: dict[tuple[Slot, ...], set[str]] = {}
        for day in classes_of(version):
            kinds.setdefault(_merged(found[season, day]), set()).add(day)
        alike = tuple((_named(version, days), slots) for slots, days in kinds.items())
        seasons.setdefault(alike, []).append(season)
    return tuple(
        DayTable(() if len(seasons) == 1 else _ranges(version, names), kinds, slots)
        for alike, names in seasons.items()
        for kinds, slots in alike
    )


def _merged(slots: list[Slot]) -> tuple[Slot, ...]:
    """Return the slots of a day with neighbours of one rate made one."""
    found: list[Slot] = []
    for slot in slots:
        if found and (found[-1].end_minute, found[-1].rate) == (slot.start_minute, slot.rate):
            slot = Slot(found.pop().start_minute, slot.end_minute, slot.rate)
        found.append(slot)
    return tuple(found)


def minute_of(text: str) -> int:
    """Return minutes of the day of "HH:MM"; "24:00" is 1440."""
    return int(text[:2]) * 60 + int(text[3:])


def _pieces(version: VersionFields, slot: SlotTable) -> Iterable[tuple[str, Slot]]:
    """Yield (class, slot within one day) of a slot of the file."""
    start, end, rate = minute_of(slot.start), minute_of(slot.end), RATES.index(slot.rate)
    names = names_of(version)
    for name in dict.fromkeys(slot.days) or classes_of(version):
        for day in names.get(name, ()):
            if start < end:
                yield day, Slot(start, end, rate)
                continue
            yield day, Slot(start, MINUTES_OF_DAY, rate)
            if end:
                after = WEEKDAYS[(WEEKDAYS.index(name) + 1) % len(WEEKDAYS)] if name in WEEKDAYS else day
                yield after, Slot(0, end, rate)


def _named(version: VersionFields, days: set[str]) -> frozenset[str]:
    """Return classes under the fewest names: none when they are all, `working` and `weekend` where they are whole."""
    if days == set(classes_of(version)):
        return frozenset()
    names = names_of(version)
    named = set(days)
    for name in (WORKING, WEEKEND):
        if named >= set(names[name]):
            named = named - set(names[name]) | {name}
    return frozenset(named)


def _days_of(season: SeasonTable) -> frozenset[MonthDay]:
    return frozenset(day for span in season.ranges for day in MONTH_DAYS if _within(span, day))


def _within(span: RangeTable, day: MonthDay) -> bool:
    first, last = _month_day(span.first), _month_day(span.last)
    return first <= day <= last if first <= last else day >= first or day <= last


def _month_day(text: str) -> MonthDay:
    return int(text[:2]), int(text[3:])


def _ranges(version: VersionFields, names: list[str]) -> tuple[Season, ...]:
    """Return seasons as ranges of days, none of which passes the end of the year."""
    seasons = seasons_of(version)
    days = frozenset().union(*(seasons[name] for name in names))
    ranges: list[Season] = []
    for before, day in zip([None, *MONTH_DAYS], MONTH_DAYS, strict=False):
        if day in days:
            if before in days:
                ranges[-1] = Season(ranges[-1].first, day)
            else:
                ranges.append(Season(day, day))
    return tuple(ranges)

"""Local days and settlement months as UTC seconds.

Rule: pure; a zone is a parameter. A day begins at local midnight and lasts 23, 24 or 25 hours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from scada.errors import Refused


@dataclass(frozen=True, slots=True)
class Month:
    """A settlement month: named by the calendar month in which it begins."""

    label: str  # "2026-11"
    first: int  # ordinal of its first local day
    days: int
    from_s: int
    to_s: int


def midnight_s(zone: ZoneInfo, ordinal: int) -> int:
    """Return the UTC second in which a local day begins; where clocks skip midnight, the first second after it."""
    day = date.fromordinal(ordinal)
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp())


def day_of(zone: ZoneInfo, at_s: int) -> int:
    """Return the ordinal of the local day that contains a UTC second."""
    return datetime.fromtimestamp(at_s, zone).toordinal()


def days_begun(zone: ZoneInfo, after_s: int, until_s: int) -> Iterator[int]:
    """Yield the ordinals of the local days that begin in (after_s, until_s], in order."""
    for ordinal in range(day_of(zone, after_s), day_of(zone, until_s) + 1):
        if after_s < midnight_s(zone, ordinal) <= until_s:
            yield ordinal


def month_named(zone: ZoneInfo, label: str, settlement_day: int = 1) -> Month:
    """Return the settlement month "YYYY-MM". Refused "settle.month" when it is none."""
    try:
        year, month = (int(part) for part in label.split("-"))
        first = date(year, month, settlement_day)
        after = date(year + month // 12, month % 12 + 1, settlement_day)
    except ValueError as error:
        raise Refused("settle.month", f"{label!r} is no month; write it as 2026-11") from error
    return Month(
        f"{year:04}-{month:02}",
        first.toordinal(),
        after.toordinal() - first.toordinal(),
        midnight_s(zone, first.toordinal()),
        midnight_s(zone, after.toordinal()),
    )


def month_of_day(zone: ZoneInfo, ordinal: int, settlement_day: int = 1) -> Month:
    """Return the settlement month that contains a local day."""
    day = date.fromordinal(ordinal)
    year, month = (day.year, day.month) if day.day >= settlement_day else previous(day.year, day.month)
    return month_named(zone, f"{year}-{month}", settlement_day)


def month_at(zone: ZoneInfo, at_s: int, settlement_day: int = 1) -> Month:
    """Return the settlement month that contains a UTC second."""
    return month_of_day(zone, day_of(zone, at_s), settlement_day)


def previous(year: int, month: int) -> tuple[int, int]:
    return (year, month - 1) if month > 1 else (year - 1, 12)

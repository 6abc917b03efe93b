"""Settings of credit control from checked tables: friendly hours in minutes, holidays as dates, classes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from billing_core.account_rules import STANDARD
from billing_core.friendly import with_day_before
from config.credit_schema import CreditClassTable, FriendlyTable
from config.day_tables import minute_of
from config.holiday_calendar import holiday_calendar, known
from config.loader import Placed, Sources, listed
from config.schema import DAYS
from config.settings import CreditSettings, FriendlyHours
from scada.errors import Fault

NOT_PLAIN: Final = frozenset(
    {"id", "friendly", "holidays", "closed"}
)  # keys that do not stand in the settings as they are


def credit(sources: Sources) -> CreditSettings:
    """Return the settings of credit control with those of every class."""
    table = sources.one("credit")
    base = CreditSettings(
        **table.model_dump(exclude=NOT_PLAIN),
        friendly=_hours(table.friendly),
        house=sources.one("ledger").house,
        closed_days=_closed(table.holidays, table.closed),
    )
    classes = {placed.item.id: _of_class(base, table, placed.item) for placed in sources.many("credit_class")}
    return replace(base, classes=classes)


def _of_class(base: CreditSettings, table: Any, own: CreditClassTable) -> CreditSettings:
    changes = own.model_dump(exclude=NOT_PLAIN, exclude_none=True)
    if own.friendly is not None:
        changes["friendly"] = _hours(own.friendly)
    holidays = table.holidays if own.holidays is None else own.holidays
    closed = table.closed if own.closed is None else own.closed
    return replace(base, **changes, closed_days=_closed(holidays, closed))


def _hours(tables: tuple[FriendlyTable, ...]) -> tuple[FriendlyHours, ...]:
    return tuple(
        FriendlyHours(frozenset(map(DAYS.index, hours.days)), minute_of(hours.start), minute_of(hours.end))
        for hours in tables
    )


def _closed(country: str, dates: tuple[Any, ...]) -> frozenset[int]:
    return with_day_before(holiday_calendar(country).holidays if country else ()) | {day.toordinal() for day in dates}


def credit_faults(sources: Sources) -> Iterator[Fault]:
    """Yield the faults of [credit] and [[credit_class]] that take more than one table to judge."""
    classes = {*sources.ids.get("account_class", set()), STANDARD.id}
    seen: set[str] = set()
    for placed in sources.many("credit_class"):
        name = placed.item.id
        if name not in classes:
            yield placed.fault("id", f"unknown account class '{name}'", listed(classes))
        elif name in seen:
            yield placed.fault("id", f"class '{name}' stands here twice", "one [[credit_class]] for each class")
        seen.add(name)
    for kind in ("credit", "credit_class"):
        for placed in sources.many(kind):
            yield from _calendar_faults(placed)


def _calendar_faults(placed: Placed[Any]) -> Iterator[Fault]:
    country = placed.item.holidays
    if country and not known(country):
        yield placed.fault("holidays", f"no calendar of country '{country}'", 'an ISO 3166 code such as "CN", or ""')

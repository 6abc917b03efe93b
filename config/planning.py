"""Turn tariff tables into the plans of the billing core. Rule: as in `config.assembly`, nothing here judges."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from billing_core.plan import (
    ALWAYS_S,
    FOREVER_S,
    MINUTES_OF_DAY,
    NO_PRICE_MICRO,
    RATES,
    Days,
    DayTable,
    Plan,
    PricePart,
    Slot,
    Version,
)
from config.loader import Sources
from config.schema import DAYS, MICRO, SlotTable, TariffTable

PART: Final = "price"  # the only part of a plan that names none


class WeekSlot(NamedTuple):
    """A slot and the weekdays it holds on, 0 Monday .. 6 Sunday."""

    days: frozenset[int]
    slot: Slot


def plans(sources: Sources) -> tuple[Plan, ...]:
    site = sources.one("site")
    return tuple(
        Plan(
            id=table.id,
            name_zh=table.name_zh,
            name_en=table.name_en,
            medium=table.medium,
            unit=table.unit,
            currency=site.currency,
            timezone=site.timezone,
            versions=(Version(ALWAYS_S, FOREVER_S, _tables(table), Days(), (_part(table),)),),
        )
        for table in sources.by_id("tariff").values()
    )


def slots_of(tariff: TariffTable) -> Iterator[WeekSlot]:
    """Yield the slots of a tariff; one that crosses midnight becomes two, one without slots covers the week."""
    if not tariff.slot:
        rate = next(iter(tariff.price))
        yield WeekSlot(frozenset(range(len(DAYS))), Slot(0, MINUTES_OF_DAY, RATES.index(rate)))
    for slot in tariff.slot:
        yield from _split(slot)


def minute_of(text: str) -> int:
    """Return minutes of the day of "HH:MM"; "24:00" is 1440."""
    return int(text[:2]) * 60 + int(text[3:])


def exact(amount: Decimal, per_unit: int) -> int:
    """Return a Decimal in integer parts of a unit; the schema has checked that nothing is lost."""
    return int(amount * per_unit)


def _split(slot: SlotTable) -> Iterator[WeekSlot]:
    days = frozenset(map(DAYS.index, slot.days))
    start, end, rate = minute_of(slot.start), minute_of(slot.end), RATES.index(slot.rate)
    if start < end:
        yield WeekSlot(days, Slot(start, end, rate))
        return
    yield WeekSlot(days, Slot(start, MINUTES_OF_DAY, rate))
    if end:
        yield WeekSlot(frozenset((day + 1) % len(DAYS) for day in days), Slot(0, end, rate))


def _tables(tariff: TariffTable) -> tuple[DayTable, ...]:
    """Return one day table for each different day of the week."""
    week = list(slots_of(tariff))
    kinds: dict[tuple[Slot, ...], set[str]] = {}
    for weekday, name in enumerate(DAYS):
        slots = sorted((found.slot for found in week if weekday in found.days), key=lambda slot: slot.start_minute)
        kinds.setdefault(tuple(slots), set()).add(name)
    return tuple(
        DayTable((), frozenset(names) if len(kinds) > 1 else frozenset(), slots) for slots, names in kinds.items()
    )


def _part(tariff: TariffTable) -> PricePart:
    prices = [tariff.price.get(rate) for rate in RATES]  # type: ignore[call-overload]
    micro = tuple((NO_PRICE_MICRO if price is None else exact(price, MICRO),) for price in prices)
    return PricePart(PART, "电价" if tariff.medium == "electricity" else "单价", "Price", micro)

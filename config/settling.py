"""Settings of the settlement from checked tables, and their cross-checks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing_core.resale import Purchase
from billing_core.shares import Place, ShareGroup
from config.loader import Sources
from config.schema import MICRO
from config.settle_schema import ShareGroupTable
from scada.errors import Fault

MILLI = 1_000
PPM_PER_PERCENT = 10_000


@dataclass(frozen=True, slots=True)
class SettlementSettings:
    """What is charged besides the unit, as the site has it."""

    day: int
    groups: Mapping[str, ShareGroup]
    places: Mapping[str, Place]  # point -> its keys for shares, and its capacity
    contract_w: Mapping[str, int]  # point -> contracted demand
    purchases: tuple[Purchase, ...]


def settlement(sources: Sources) -> SettlementSettings:
    points = sources.by_id("point")
    return SettlementSettings(
        day=sources.one("settlement").day,
        groups={placed.item.id: _group(placed.item, sources) for placed in sources.many("share_group")},
        places={
            point.id: Place(
                area_milli=_scaled(point.area_m2, MILLI),
                heads=point.heads,
                weight_milli=_scaled(point.weight, MILLI),
                capacity_va=_scaled(point.capacity_kva, MILLI),
            )
            for point in points.values()
        },
        contract_w={point.id: _scaled(point.contract_kw, MILLI) for point in points.values()},
        purchases=tuple(
            Purchase(p.item.medium, p.item.month, _scaled(p.item.price, MICRO), p.item.cap_percent)
            for p in sources.many("purchase")
        ),
    )


def _group(table: ShareGroupTable, sources: Sources) -> ShareGroup:
    return ShareGroup(
        id=table.id,
        name_zh=table.name_zh,
        name_en=table.name_en,
        medium=table.medium,
        by=table.by,
        payer=table.payer,
        participants=tuple(_participants(table, sources)),
        points=table.points,
        main=table.main,
        subs=table.subs,
        price_micro=_scaled(table.price, MICRO),
        cap_percent=table.cap_percent,
        tax_ppm=_scaled(table.tax_percent, PPM_PER_PERCENT),
        compliance=table.compliance,
    )


def _participants(table: ShareGroupTable, sources: Sources) -> Iterator[str]:
    """Yield the participating points: those named, or all of the medium in the building that are not the source."""
    yield from table.participants
    if table.building:
        tariffs = sources.by_id("tariff")
        source = {*table.points, table.main}
        for point in sources.by_id("point").values():
            tariff = tariffs.get(point.tariff)
            if (
                point.building == table.building
                and tariff is not None
                and tariff.medium == table.medium
                and point.id not in source
                and point.account != table.payer
            ):
                yield point.id


def settlement_faults(sources: Sources) -> Iterator[Fault]:
    """A group has somebody to share by its key; a demand or capacity charge knows what it is for."""
    columns = {"area": "area_m2", "heads": "heads", "weight": "weight", "capacity": "capacity_kva"}
    points, tariffs = sources.by_id("point"), sources.by_id("tariff")
    for placed in sources.many("share_group"):
        column = columns.get(placed.item.by)
        named = [points[name] for name in _participants(placed.item, sources) if name in points]
        if not named and sources.unread & {"point", "tariff"}:
            continue
        if not named:
            yield placed.fault("participants", "nobody takes part", "at least one supply point")
        elif column and not any(getattr(point, column) for point in named):
            wrong = f"shared by {placed.item.by}, but no participant has {column}"
            yield placed.fault("by", wrong, f"{column} in supply_points.csv, or another key")
    for placed in sources.many("point"):
        tariff = tariffs.get(placed.item.tariff)
        needed = _needed(tariff) if tariff is not None else {}
        for column, why in needed.items():
            if not getattr(placed.item, column):
                wrong = f"missing, and tariff '{placed.item.tariff}' {why}"
                yield placed.fault(column, wrong, "a number greater than 0")
    seen: set[tuple[str, str]] = set()
    for placed in sources.many("purchase"):
        key = (placed.item.medium, placed.item.month)
        if key in seen:
            yield placed.fault("month", f"{key[0]} of '{key[1]}' stands twice", "one price per medium and month")
        seen.add(key)


def _needed(tariff: Any) -> dict[str, str]:
    """Return column -> why it is needed, for the components that a tariff or one of its versions has."""
    found: dict[str, str] = {}
    for fields in (tariff, *tariff.version):
        if fields.capacity is not None:
            found["capacity_kva"] = "charges by capacity"
        if fields.demand is not None and fields.demand.mode == "contract":
            found["contract_kw"] = "charges by contracted demand"
        if fields.demand is not None and fields.demand.load_hours_kwh_per_kva:
            found["capacity_kva"] = "counts kWh per kVA"
    return found


def _scaled(amount: Decimal, per_unit: int) -> int:
    """Return a Decimal in integer parts of a unit; the schema has checked that nothing is lost."""
    return int(amount * per_unit)

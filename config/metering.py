"""Turn the tables about metering into the plain records of the trades: rate tables of meters, virtual meters.

Rule: the tables have passed every check, so nothing here judges.
"""

from collections.abc import Iterator
from typing import Final

from billing_core.plan import MINUTES_OF_DAY, RATES
from billing_core.points import PointSpec, VirtualPart
from billing_core.rate_tables import Week, week_minutes
from billing_core.virtual import MODULUS, PPM
from config.loader import Sources
from config.profile_schema import BillingTable
from config.schema import DAYS, MeterRow, PointRow, RateTable, VirtualTable

MILLI: Final = 1000

Placed = tuple[int, int, int, int]  # weekday, start minute, end minute, rate


def rate_names(billing: BillingTable) -> tuple[str, ...]:
    """Return the rate registers of a profile in the order of RATES, "" where it has none; () without any."""
    return tuple(billing.rates.get(rate, "") for rate in RATES) if billing.rates else ()


def rate_week(table: RateTable) -> Week:
    """Return a rate table as seven days of slots; one that crosses midnight becomes two."""
    return tuple(
        tuple(sorted((start, end, rate) for weekday, start, end, rate in placed_slots(table) if weekday == day))
        for day in range(len(DAYS))
    )


def placed_slots(table: RateTable) -> Iterator[Placed]:
    """Yield the slots of a rate table day by day."""
    for slot in table.slot:
        start, end, rate = _minute(slot.start), _minute(slot.end), RATES.index(slot.rate)
        for day in map(DAYS.index, slot.days):
            if start < end:
                yield day, start, end, rate
                continue
            yield day, start, MINUTES_OF_DAY, rate
            if end:
                yield (day + 1) % len(DAYS), 0, end, rate


def week_of(sources: Sources, meter: MeterRow) -> Week:
    """Return the table that is programmed into a meter, () when it has none."""
    return rate_week(sources.by_id("rate_table")[meter.rate_table]) if meter.rate_table else ()


def rate_minutes(sources: Sources) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Return device id -> rate of every minute, [weekday][minute], of every meter with a rate table."""
    minutes = {name: week_minutes(rate_week(table)) for name, table in sources.by_id("rate_table").items()}
    return {m.id: minutes[m.rate_table] for m in sources.by_id("meter").values() if m.rate_table}


def virtual_parts(sources: Sources, table: VirtualTable) -> tuple[VirtualPart, ...]:
    """Return the formula of a virtual meter over rows of supply points."""
    rows = input_rows(sources)
    share_ppm = int(table.share * PPM)
    added = [VirtualPart(rows[name], share_ppm) for name in table.add]
    return (*added, *(VirtualPart(rows[name], -share_ppm) for name in table.subtract))


def input_rows(sources: Sources) -> dict[str, int]:
    """Return the row of every supply point under its own id and under that of its meter."""
    points = list(sources.by_id("point").values())
    return {point.meter: row for row, point in enumerate(points)} | {point.id: row for row, point in enumerate(points)}


def virtual_point(sources: Sources, point: PointRow, account: int, tariff: int, found: list[PointSpec]) -> PointSpec:
    """Return a supply point on a virtual meter. found: the real points, which stand before it."""
    table: VirtualTable = sources.by_id("virtual")[point.meter]
    parts = virtual_parts(sources, table)
    return PointSpec(
        id=point.id,
        meter=table.id,
        account=account,
        tariff=tariff,
        medium=table.medium,
        unit=table.unit,
        milli_per_count=1,
        modulus_counts=MODULUS,
        max_milli_per_s=sum(found[part.row].max_milli_per_s for part in parts),  # at most what its inputs may take
        virtual=parts,
        slack_milli=int(table.slack * MILLI),
    )


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])

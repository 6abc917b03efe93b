"""Checks of metering: rate tables that say each minute once, and who may use rate registers.

Rule: a table that differs from a tariff's is no fault: the meter goes on, split by time, and an alarm tells a person.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from billing_core.plan import MINUTES_OF_DAY, RATES
from config.loader import Placed, Sources, listed, nearest
from config.metering import placed_slots
from config.profile_schema import ProfileTable
from config.profiling import profile_of
from config.schema import DAYS
from drivers.pollplan import plan_blocks
from scada.errors import Fault

LIKE_TOTAL: Final = ("type", "size", "scale", "unit", "ratio", "function", "di", "poll")


def rate_tables(sources: Sources) -> Iterator[Fault]:
    """A rate table covers every minute of the week exactly once."""
    for placed in sources.many("rate_table"):
        cover = [[0] * MINUTES_OF_DAY for _ in DAYS]
        for day, start, end, _ in placed_slots(placed.item):
            for minute in range(start, end):
                cover[day][minute] += 1
        for day, minutes in enumerate(cover):
            at = next((minute for minute, times in enumerate(minutes) if times != 1), None)
            if at is not None:
                wrong = f"{DAYS[day]} {at // 60:02}:{at % 60:02} is covered {minutes[at]} times"
                yield placed.fault("slot", wrong, "every minute of the week exactly once")
                break


def rate_registers(sources: Sources) -> Iterator[Fault]:
    """Only a meter with rate registers has a rate table, which names those registers; only such a meter's are used."""
    meters, profiles, tables = sources.by_id("meter"), sources.by_id("profile"), sources.by_id("rate_table")
    for placed in sources.many("meter"):
        profile, table = profiles.get(placed.item.profile), tables.get(placed.item.rate_table)
        if profile is not None and table is not None:
            yield from _fitting_table(placed, profile, table)
    for placed in sources.many("point"):
        meter = meters.get(placed.item.meter)
        if meter is None:
            continue
        if placed.item.rate_registers and not meter.rate_table:
            wrong = f"yes, but meter '{meter.id}' has no rate_table"
            yield placed.fault("rate_registers", wrong, "no, or a rate_table in meters.csv")
        if placed.item.catch_up == "rate-registers" and not placed.item.rate_registers:
            yield placed.fault("catch_up", "rate-registers, which this point does not use", "time")


def virtual_meters(sources: Sources) -> Iterator[Fault]:
    """A virtual meter takes from real supply points of its medium and unit, each once, and is itself sold once."""
    points, tables, tariffs = sources.by_id("point"), sources.by_id("virtual"), sources.by_id("tariff")
    by_name = {point.meter: point for point in points.values()} | points
    measured = {placed.item.meter for placed in sources.many("point")}
    for placed in sources.many("virtual"):
        table = placed.item
        seen: set[str] = set()
        for column in ("add", "subtract"):
            for name in getattr(table, column):
                point = by_name.get(name)
                tariff = tariffs.get(point.tariff) if point is not None else None
                if point is None:
                    if name in sources.ids.get("meter", set()):
                        allowed = "meters with a supply point, be it of the house account"
                        yield placed.fault(column, f"meter '{name}' measures no supply point", allowed)
                elif point.meter in tables:
                    yield placed.fault(column, f"'{name}' is virtual itself", "real supply points")
                elif point.id in seen:
                    yield placed.fault(column, f"'{name}' stands twice", "each supply point once")
                elif tariff is not None and (tariff.medium, tariff.unit) != (table.medium, table.unit):
                    wrong = f"'{name}' is {tariff.medium} in {tariff.unit}"
                    yield placed.fault(column, wrong, f"supply points of {table.medium} in {table.unit}")
                seen.add(point.id if point is not None else name)
        if table.id not in measured and "point" not in sources.unread:
            yield placed.fault("id", f"no supply point has the virtual meter '{table.id}'", "one supply point")


def virtual_points(sources: Sources) -> Iterator[Fault]:
    """A supply point on a virtual meter has a tariff of its medium and unit, and no rate registers."""
    tables, tariffs = sources.by_id("virtual"), sources.by_id("tariff")
    for placed in sources.many("point"):
        table, tariff = tables.get(placed.item.meter), tariffs.get(placed.item.tariff)
        if table is None:
            continue
        if tariff is not None and (tariff.medium, tariff.unit) != (table.medium, table.unit):
            wrong = f"'{tariff.id}' prices {tariff.medium} in {tariff.unit}"
            yield placed.fault("tariff", wrong, f"a tariff of {table.medium} in {table.unit}")
        if placed.item.rate_registers:
            yield placed.fault("rate_registers", "yes, on a virtual meter", "no")


def _fitting_table(placed: Placed[Any], profile: Any, table: Any) -> Iterator[Fault]:
    registers = profile.billing.rates if profile.billing is not None else {}
    if not registers:
        wrong = f"'{table.id}', but profile {profile.id} has no rate registers"
        yield placed.fault("rate_table", wrong, "empty, or a profile with [billing] rates")
        return
    for rate in sorted({RATES[slot[3]] for slot in placed_slots(table)} - registers.keys()):
        wrong = f"'{table.id}' counts in {rate}, for which profile {profile.id} has no register"
        yield placed.fault("rate_table", wrong, f"a table of {', '.join(registers)}")


def profile_rates(sources: Sources) -> Iterator[Fault]:
    """Rate registers are registers like the charged one, and one read brings them all: one instant, or no sum."""
    for placed in sources.many("profile"):
        bill = placed.item.billing
        registers = {register.measure: register for register in placed.item.registers}
        total = registers.get(bill.measure) if bill is not None else None
        if bill is None or total is None:
            continue
        for rate, measure in bill.rates.items():
            register = registers.get(measure)
            if register is None:
                wrong = f"unknown measure '{measure}'{nearest(measure, registers)}"
                yield placed.fault(f"billing.rates.{rate}", wrong, listed(registers))
            elif any(getattr(register, key) != getattr(total, key) for key in LIKE_TOTAL):
                wrong = f"'{measure}' differs from '{total.measure}' in one of {', '.join(LIKE_TOTAL)}"
                yield placed.fault(f"billing.rates.{rate}", wrong, "a register of the same kind as the charged one")
            elif not _one_block(placed.item, {bill.measure, measure}):
                wrong = f"'{measure}' is not read together with '{total.measure}'"
                yield placed.fault(f"billing.rates.{rate}", wrong, "an address that one read covers with the total's")


def _one_block(table: ProfileTable, measures: set[str]) -> bool:
    """Tell whether one block read of the poll plan brings all of these registers."""
    profile = profile_of(table)
    blocks = ({profile.registers[index].measure for index in block.registers} for block in plan_blocks(profile))
    return any(measures <= block for block in blocks)


METER_CHECKS: Final[tuple[Callable[[Sources], Iterator[Fault]], ...]] = (
    rate_tables,
    rate_registers,
    profile_rates,
    virtual_meters,
    virtual_points,
)

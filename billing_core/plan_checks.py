"""Is a plan sound? The last gate before a body that came from elsewhere prices anything.

Rule: pure. `config.tariff_checks` says the same things about files, with their places; here they are said of a plan.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing_core.bounds import PRICE_MICRO_MAX
from billing_core.plan import MEDIA, MINUTES_OF_DAY, NO_PRICE_MICRO, RATES, TIERS_MOST, Plan, Slot, Version
from billing_core.schedule import tables_at

SAMPLE: Final = range(date(2024, 1, 1).toordinal(), date(2032, 1, 1).toordinal())  # every date on several weekdays


def faults(plan: Plan) -> list[str]:
    """Return what is wrong with a plan, [] when nothing is."""
    return list(_faults(plan))


def _faults(plan: Plan) -> Iterator[str]:
    if plan.medium not in MEDIA:
        yield f"medium {plan.medium!r}; known: {', '.join(MEDIA)}"
    try:
        ZoneInfo(plan.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"unknown time zone {plan.timezone!r}"
    if not plan.versions:
        yield "no version"
    for before, version in zip([None, *plan.versions], plan.versions, strict=False):
        if before is not None and before.to_s != version.from_s:
            yield f"a gap or overlap between versions at {_when(version.from_s)}"
        if version.from_s >= version.to_s:
            yield f"the version from {_when(version.from_s)} ends before it begins"
        for text in _version_faults(version):
            yield f"version from {_when(version.from_s)}: {text}"


def _version_faults(version: Version) -> Iterator[str]:
    for table in version.tables:
        if text := _uncovered(sorted(table.slots, key=lambda slot: slot.start_minute)):
            yield f"table of {', '.join(sorted(table.kinds)) or 'every day'}: {text}"
    named = version.days.holidays | version.days.make_up
    named |= frozenset().union(*(days for _, days in version.days.special))
    for day in [*SAMPLE, *sorted(named)]:
        if (count := len(tables_at(version, day))) != 1:
            yield f"{date.fromordinal(day)} fits {count} day tables"
            break
    tiers = version.tiers
    if tiers is not None and list(tiers.bounds_milli) != sorted(set(tiers.bounds_milli)):
        yield "bounds of tiers that do not rise"
    if version.tier_count > TIERS_MOST or (tiers is not None and min(tiers.bounds_milli, default=0) <= 0):
        yield f"{version.tier_count} tiers; 1 to {TIERS_MOST}, with bounds above 0"
        return
    shapes = {(len(part.price_micro), *map(len, part.price_micro)) for part in version.parts}
    if shapes != {(len(RATES), *(version.tier_count,) * len(RATES))}:
        yield "a part has not one price for each rate period and tier"
        return
    yield from _price_faults(version)


def _price_faults(version: Version) -> Iterator[str]:
    for rate in sorted({slot.rate for table in version.tables for slot in table.slots}):
        if not 0 <= rate < len(RATES):
            yield f"a slot of rate {rate}"
            continue
        prices = [version.price_micro(rate, tier) for tier in range(version.tier_count)]
        if min(prices) <= NO_PRICE_MICRO:
            yield f"rate {RATES[rate]} has no price"
        elif max(prices) > PRICE_MICRO_MAX:
            yield f"rate {RATES[rate]} has a price above {PRICE_MICRO_MAX} micro"


def _uncovered(slots: list[Slot]) -> str:
    covered = 0
    for slot in slots:
        if slot.start_minute != covered or slot.end_minute <= slot.start_minute:
            return f"minute {min(covered, slot.start_minute)} is not covered exactly once"
        covered = slot.end_minute
    return "" if covered == MINUTES_OF_DAY else f"minute {covered} is not covered"


def _when(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC") if at_s > 0 else "the beginning"

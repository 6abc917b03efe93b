"""What a plan said of the past must stay what it said: bills were made by it.

    past_difference(old, new, until_s) -> where the two first differ before a second, "" when they agree

Compared is what decides money: rate and price of every second, tiers, tax and components. Names, the order of tables
and holidays of days to come are not. Rule: pure.
"""

from collections.abc import Hashable, Iterator
from dataclasses import astuple, replace
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from billing_core.plan import FOREVER_S, Days, Plan, PricePart, Tax, Version
from billing_core.schedule import NO_ROW, rates
from billing_core.zones import local_day

ERA_S: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())  # no book of this program is older

Stretch = tuple[int, Hashable]  # from when on, and what holds


def past_changed(old: Plan, new: Plan, until_s: int) -> bool:
    """Tell whether a plan says something else than before of any second before `until_s`."""
    return bool(past_difference(old, new, until_s))


def past_difference(old: Plan, new: Plan, until_s: int, prices_only: bool = False) -> str:
    """Return in words where two bodies of a plan first differ before `until_s`, "" when they agree.

    prices_only  the old body is of the first releases, which knew neither tax nor components
    """
    until_s = min(until_s, FOREVER_S)
    if until_s <= ERA_S:
        return ""
    for name in ("medium", "unit", "currency", "timezone"):
        if getattr(old, name) != getattr(new, name):
            return f"its {name} was {getattr(old, name)}, now {getattr(new, name)}"
    if prices_only:
        new = replace(new, versions=tuple(replace(v, tax=Tax(), components=()) for v in new.versions))
    if _clipped(old, until_s) == _clipped(new, until_s):
        return ""
    before, after = list(_story(old, until_s)), list(_story(new, until_s))
    if before == after:
        return ""
    where = next((k for k, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), None)
    k = min(len(before), len(after)) - 1 if where is None else where
    first_s = min(found[k][0] for found in (before, after) if k < len(found))
    if where is None and len(before) != len(after):
        longer = before if len(before) > len(after) else after
        first_s = longer[k + 1][0]
    if first_s <= ERA_S:
        return "from the beginning on"
    return f"from {datetime.fromtimestamp(first_s, ZoneInfo(new.timezone)):%Y-%m-%d %H:%M} on"


def _clipped(plan: Plan, until_s: int) -> tuple[Version, ...]:
    """Return the versions before a second with the days before it, names left out."""
    last = local_day(plan.timezone, until_s)
    return tuple(
        replace(
            version,
            to_s=min(version.to_s, until_s),
            days=_days_until(version.days, last),
            parts=tuple(map(_nameless, version.parts)),
            components=tuple(replace(component, name_zh="", name_en="") for component in version.components),
        )
        for version in plan.versions
        if version.from_s < until_s
    )


def _days_until(days: Days, last: int) -> Days:
    def until(dates: frozenset[int]) -> frozenset[int]:
        return frozenset(day for day in dates if day <= last)

    return Days(until(days.holidays), until(days.make_up), tuple((name, until(dates)) for name, dates in days.special))


def _nameless(part: PricePart) -> PricePart:
    return replace(part, name_zh="", name_en="", compliance="")


def _story(plan: Plan, until_s: int) -> Iterator[Stretch]:
    """Yield what holds from when on, from ERA_S to `until_s`, neighbours different."""
    facts: dict[tuple[int, int], Hashable] = {}
    last: Hashable = None
    for start_s, rate, version in rates(plan, ERA_S, until_s):
        if (rate, version) not in facts:
            facts[rate, version] = _facts(plan, rate, version)
        if facts[rate, version] != last:
            last = facts[rate, version]
            yield start_s, last


def _facts(plan: Plan, rate: int, index: int) -> Hashable:
    """Return what decides money while a rate period of a version holds."""
    if index == NO_ROW:
        return ()
    version = plan.versions[index]
    return (
        rate,
        tuple((part.id, part.price_micro[rate] if rate >= 0 else ()) for part in version.parts),
        None if version.tiers is None else astuple(version.tiers),
        astuple(version.tax),
        tuple(astuple(replace(component, name_zh="", name_en="")) for component in version.components),
    )

"""Alarm definitions from rules: one rule of alarms.toml becomes one alarm for every tag it watches.

Rule: a rule never names a single device; what it watches follows from medium, profile and kind, so that a new meter is
watched as soon as it is configured.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from alarms.definition import NAME, AlarmDefinition
from config.loader import Sources
from config.profile_schema import ProfileTable
from config.schema import MeterRow, RuleTable, TenantRow
from config.tagging import (
    ACCOUNT,
    ACCOUNT_OFFERS,
    CORE,
    CORE_OFFERS,
    CORE_OWNER,
    DEVICE_OFFERS,
    GATEWAY,
    GATEWAY_OFFERS,
    IDENTITY_OFFERS,
    METER,
    POINT,
    POINT_OFFERS,
    SWITCH_OFFERS,
    tag_id,
)
from scada.tags import TagTable

LETTERS: Final[Mapping[str, str]] = {
    "device": METER,
    "gateway": GATEWAY,
    "point": POINT,
    "account": ACCOUNT,
    "core": CORE,
}
REFERENCES: Final[Mapping[str, frozenset[str]]] = {  # what a rule on a kind of thing may take its limit from
    "device": frozenset({"", "rated_current", "nominal_voltage"}),
    "gateway": frozenset({""}),
    "point": frozenset({""}),
    "account": frozenset({"", "alarm1", "alarm2", "overdraft"}),
    "core": frozenset({""}),
}
WORDS: Final = frozenset({"name", "measure", "limit", "unit", "serial"})  # what a text may name in braces


@dataclass(frozen=True, slots=True)
class Watched:
    """One thing a rule may watch."""

    id: str
    name_zh: str
    name_en: str
    references: Mapping[str, float]  # values for `of`; "" is 1
    serial: str = ""  # of a device


def measures_of(sources: Sources, on: str) -> set[str]:
    """Return every measure that a rule on a kind of thing can watch."""
    fixed = {
        "device": DEVICE_OFFERS + IDENTITY_OFFERS + SWITCH_OFFERS,
        "gateway": GATEWAY_OFFERS,
        "point": POINT_OFFERS,
        "account": ACCOUNT_OFFERS,
        "core": CORE_OFFERS,
    }[on]
    found = {offer.name for offer in fixed}
    if on == "device":
        found |= {register.measure for table in sources.by_id("profile").values() for register in table.registers}
    return found


def build_alarms(sources: Sources, tags: TagTable) -> tuple[AlarmDefinition, ...]:
    """Return the alarms of a checked configuration, rule by rule in the order of the file."""
    site = sources.one("site").id
    return tuple(
        _definition(rule, thing, tags, row, site)
        for rule in (placed.item for placed in sources.many("rule"))
        for thing in _things(rule, sources)
        for measure in rule.measures
        if (row := tags.index.get(tag_id(site, LETTERS[rule.on], thing.id, measure))) is not None
    )


def _things(rule: RuleTable, sources: Sources) -> Iterator[Watched]:
    """Yield what a rule applies to; a thing without the reference it needs is passed over."""
    for thing in _candidates(rule, sources):
        if rule.of in thing.references:
            yield thing


def _candidates(rule: RuleTable, sources: Sources) -> Iterator[Watched]:
    if rule.on == "core":
        yield Watched(CORE_OWNER, "系统", "System", {"": 1.0})
    elif rule.on == "gateway":
        for table in sources.by_id("gateway").values():
            yield Watched(table.id, table.name_zh, table.name_en, {"": 1.0})
    elif rule.on == "point":
        for point in sources.by_id("point").values():
            yield Watched(point.id, point.name_zh, point.name_en, {"": 1.0})
    elif rule.on == "account":
        house = sources.one("ledger").house  # vacant rooms owe nobody a top-up
        for tenant in sources.by_id("tenant").values():
            if tenant.id == house:
                continue
            yield Watched(tenant.id, tenant.name_zh, tenant.name_en, _account_references(tenant))
    else:
        profiles = sources.by_id("profile")
        for meter in sources.by_id("meter").values():
            profile = profiles[meter.profile]
            if _applies(rule, profile):
                yield Watched(
                    meter.id,
                    meter.name_zh,
                    meter.name_en,
                    _device_references(meter, profile),
                    meter.serial or meter.address,
                )


def _applies(rule: RuleTable, profile: ProfileTable) -> bool:
    return (
        rule.medium in (None, profile.medium)
        and (not rule.profiles or profile.id in rule.profiles)
        and rule.switch in (None, profile.switch is not None)
    )


def _device_references(meter: MeterRow, profile: ProfileTable) -> dict[str, float]:
    found = {"": 1.0}
    if meter.rated_current_a:
        found["rated_current"] = meter.rated_current_a
    if profile.voltage_v:
        found["nominal_voltage"] = profile.voltage_v
    return found


def _account_references(tenant: TenantRow) -> dict[str, float]:
    return {
        "": 1.0,
        "alarm1": float(tenant.alarm1),
        "alarm2": float(tenant.alarm2),
        "overdraft": -float(tenant.overdraft),
    }


def _definition(rule: RuleTable, thing: Watched, tags: TagTable, row: int, site: str) -> AlarmDefinition:
    tag = tags.tags[row]
    reference = thing.references[rule.of]
    limit = _product(rule.limit, reference)
    unit = tag.currency or tag.unit
    words: dict[str, Any] = {"name": NAME, "limit": f"{limit:g}", "unit": unit, "serial": thing.serial}
    return AlarmDefinition(
        id=f"{tag.id}/{rule.name}",
        source=thing.id,
        tag_row=row,
        comparison=rule.comparison,
        limit=limit,
        deadband=_product(rule.deadband, abs(reference)),
        on_delay_s=rule.on_delay_s,
        off_delay_s=rule.off_delay_s,
        priority=rule.priority,
        unit=unit,
        wording_zh=sys.intern(rule.text_zh.format(measure=tag.description_zh, **words)),
        wording_en=sys.intern(rule.text_en.format(measure=tag.description_en, **words)),
        name_zh=thing.name_zh,
        name_en=thing.name_en,
    )


@cache
def _product(factor: float, reference: float) -> float:
    """Return the product, never -0, as the same object for the same numbers: a limit is that of thousands of alarms."""
    return factor * reference + 0.0

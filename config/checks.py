"""Cross-checks: what takes more than one table to judge, as one table of checks that know nothing of each other.

Rule: a check passes over what an earlier step has already reported (a missing table, an unknown name), so that one slip
gives one fault.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.addresses import ADDRESS_CHECKS
from config.alarm_checks import ALARM_CHECKS
from config.assembly import billing_register
from config.crediting import credit_faults
from config.gateways import GATEWAY_CHECKS
from config.loader import Placed, Sources, listed, nearest
from config.meter_checks import METER_CHECKS
from config.network_checks import NETWORK_CHECKS, loops
from config.profile_checks import PROFILE_CHECKS
from config.protocol_checks import PROTOCOL_CHECKS
from config.secrets import secret_faults
from config.settling import settlement_faults
from config.tariff_checks import TARIFF_CHECKS
from scada.errors import Fault

Check = Callable[[Sources], Iterator[Fault]]

# Ids that must differ from each other: they name folders, tags and people look for them in one search box.
NAMED: Final = ("site", "building", "gateway", "station", "rate_table", "virtual", "meter", "point", "tenant", "tariff")
SPOKEN: Final = {
    "rate_table": "rate table",
    "virtual": "virtual meter",
    "point": "supply point",
    "edge": "switch or line",
    "node": "diagram node",
}  # kinds as people say them


@dataclass(frozen=True, slots=True)
class Reference:
    """One column that names something of another kind."""

    kind: str
    column: str
    target: str
    optional: bool = False
    also: str = ""  # another kind it may name


REFERENCES: Final = (
    Reference("meter", "profile", "profile"),
    Reference("meter", "gateway", "gateway"),
    Reference("meter", "building", "building", optional=True),
    Reference("meter", "feeder", "meter", optional=True),
    Reference("meter", "rate_table", "rate_table", optional=True),
    Reference("point", "meter", "meter", also="virtual"),
    Reference("virtual", "add", "point", also="meter"),
    Reference("virtual", "subtract", "point", also="meter"),
    Reference("point", "account", "tenant"),
    Reference("ledger", "house", "tenant", optional=True),
    Reference("tenant", "account_class", "account_class", optional=True),
    Reference("point", "tariff", "tariff"),
    Reference("point", "building", "building"),
    Reference("load", "id", "meter"),
    Reference("simulation", "open_at_start", "meter"),
    Reference("rule", "profiles", "profile"),
    Reference("share_group", "payer", "tenant"),
    Reference("share_group", "participants", "point"),
    Reference("share_group", "building", "building", optional=True),
    Reference("share_group", "points", "point"),
    Reference("share_group", "main", "point", optional=True),
    Reference("share_group", "subs", "point"),
)

# A search for the nearest of 10,000 names takes 0.1 s, and a table of another plant has thousands of unknown ones
SUGGESTIONS_MAX: Final = 20
WORD_OF_COLUMN: Final = {"feeder": "feeder", "account": "account"}  # where people say another word than the target's


def check_all(sources: Sources) -> Iterator[Fault]:
    """Yield every fault that the cross-checks find, but not where a cell that cannot be read is told already."""
    told = {(fault.file, fault.place) for fault in sources.faults if fault.place.startswith("line ")}
    for check in CHECKS:
        yield from (fault for fault in check(sources) if (fault.file, fault.place) not in told)


def duplicate_ids(sources: Sources) -> Iterator[Fault]:
    """One id names one thing, whatever its kind."""
    seen: dict[str, str] = {}
    for kind, placed, item in _named(sources):
        told = f"the {SPOKEN.get(kind, kind)} at {placed.file}, {placed.key}"
        if item.id in seen:
            name = "id" if item is placed.item else f"{kind}.{item.id}.id"
            yield placed.fault(name, f"'{item.id}' already names {seen[item.id]}", "an id used nowhere else")
        seen.setdefault(item.id, told)


def duplicate_profiles(sources: Sources) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for placed in sources.many("profile"):
        if placed.item.id in seen:
            yield placed.fault("id", f"'{placed.item.id}' already stands in {seen[placed.item.id]}", "one file per id")
        seen.setdefault(placed.item.id, placed.file)


def unknown_names(sources: Sources) -> Iterator[Fault]:
    """Every reference names something that exists, even if that something has faults of its own."""
    for reference in REFERENCES:
        if reference.target in sources.unread or reference.also in sources.unread:
            continue
        known = sources.ids.get(reference.target, set()) | sources.ids.get(reference.also, set())
        allowed, left = listed(known), SUGGESTIONS_MAX
        for placed in sources.many(reference.kind):
            value = getattr(placed.item, reference.column)
            for name in value if isinstance(value, tuple) else (value,):
                if name in known or (reference.optional and not name):
                    continue
                word = WORD_OF_COLUMN.get(reference.column, reference.target)
                wrong = f"unknown {word} '{name}'" + (nearest(name, known) if left else "")
                left = max(0, left - 1)
                yield placed.fault(reference.column, wrong, allowed)


def unknown_floors(sources: Sources) -> Iterator[Fault]:
    buildings = sources.by_id("building")
    for kind in ("meter", "point"):
        for placed in sources.many(kind):
            building = buildings.get(placed.item.building)
            floor = placed.item.floor
            if building is None or not floor or floor in building.floors:
                continue
            wrong = f"unknown floor '{floor}' of building '{building.id}'{nearest(floor, building.floors)}"
            yield placed.fault("floor", wrong, ", ".join(building.floors) or "nothing, the building lists no floors")


def homeless_devices(sources: Sources) -> Iterator[Fault]:
    """A device stands in a building or is named by an edge of a station."""
    drawn = {edge.device for placed in sources.many("station") for edge in placed.item.edge}
    for placed in sources.many("meter"):
        if not placed.item.building and placed.item.id not in drawn and "station" not in sources.unread:
            allowed = "a building, or an edge of a station that names the device"
            yield placed.fault("building", "neither in a building nor in a station", allowed)


def feeders(sources: Sources) -> Iterator[Fault]:
    """A feeder is a device with a switch of the same medium, and nothing feeds itself by a detour."""
    meters, profiles = sources.by_id("meter"), sources.by_id("profile")
    for placed in sources.many("meter"):
        own, feeder = profiles.get(placed.item.profile), meters.get(placed.item.feeder)
        above = profiles.get(feeder.profile) if feeder else None
        if own is None or feeder is None or above is None:
            continue
        if above.switch is None:
            wrong = f"'{feeder.id}' has no switch (profile {above.id})"
            yield placed.fault("feeder", wrong, "a device whose profile has a [switch]")
        elif above.medium != own.medium:
            wrong = f"'{feeder.id}' carries {above.medium}, this device {own.medium}"
            yield placed.fault("feeder", wrong, f"a feeder of {own.medium}")
    parents = {meter.id: meter.feeder for meter in meters.values()}
    first = {placed.item.id: placed for placed in reversed(sources.many("meter"))}
    for loop in loops(parents):
        wrong = "feeders form a loop: " + " -> ".join((*loop, loop[0]))
        yield first[loop[0]].fault("feeder", wrong, "feeders that lead to an incomer without a feeder")


def ratings(sources: Sources) -> Iterator[Fault]:
    """A charged connection says what it can carry; transformer ratios stand only where the profile uses them."""
    profiles = sources.by_id("profile")
    charged = {placed.item.meter for placed in sources.many("point")}
    for placed in sources.many("meter"):
        meter, profile = placed.item, profiles.get(placed.item.profile)
        if profile is None:
            continue
        column = "rated_current_a" if profile.medium == "electricity" else "max_per_h"
        if meter.id in charged and getattr(meter, column) is None:
            wrong = f"missing, and this {profile.medium} meter is charged"
            yield placed.fault(column, wrong, "what the connection can carry, greater than 0")
        used = {register.ratio for register in profile.registers}
        for ratio in ("ct", "pt"):
            value = getattr(meter, ratio)
            if value != 1 and not used & {ratio, "ctpt"}:
                yield placed.fault(ratio, f"{value}, but profile {profile.id} uses no {ratio.upper()}", "1 or empty")


def points(sources: Sources) -> Iterator[Fault]:
    """A supply point has a meter of its own, whose profile says which register is charged, and a fitting tariff."""
    meters, profiles, tariffs = sources.by_id("meter"), sources.by_id("profile"), sources.by_id("tariff")
    taken: dict[str, str] = {}
    for placed in sources.many("point"):
        point = placed.item
        if point.meter in taken:
            wrong = f"'{point.meter}' already measures supply point '{taken[point.meter]}'"
            yield placed.fault("meter", wrong, "one meter on one supply point")
        taken.setdefault(point.meter, point.id)
        meter = meters.get(point.meter)
        profile = profiles.get(meter.profile) if meter else None
        if profile is None:
            continue
        if profile.billing is None:
            wrong = f"'{point.meter}' has no billing register (profile {profile.id})"
            yield placed.fault("meter", wrong, "a meter whose profile has [billing]")
        elif point.tariff in tariffs:
            yield from _fitting_tariff(placed, profile, tariffs[point.tariff])


def _fitting_tariff(placed: Placed[Any], profile: Any, tariff: Any) -> Iterator[Fault]:
    if tariff.medium != profile.medium:
        wrong = f"'{tariff.id}' prices {tariff.medium}, meter '{placed.item.meter}' measures {profile.medium}"
        yield placed.fault("tariff", wrong, f"a tariff of {profile.medium}")
        return
    registers = {register.measure: register for register in profile.registers}
    if profile.billing.measure in registers and billing_register(profile).unit != tariff.unit:
        unit = billing_register(profile).unit
        wrong = f"'{tariff.id}' prices {tariff.unit}, meter '{placed.item.meter}' counts {unit}"
        yield placed.fault("tariff", wrong, f"a tariff per {unit}")


def limits(sources: Sources) -> Iterator[Fault]:
    """The amounts of a purse stand in the order in which a falling balance meets them."""
    for placed in sources.many("tenant"):
        tenant = placed.item
        if tenant.alarm2 > tenant.alarm1:
            yield placed.fault("alarm2", f"{tenant.alarm2} is above alarm1 {tenant.alarm1}", "at most alarm1")
        if tenant.alarm2 < -tenant.overdraft:
            wrong = f"{tenant.alarm2} is below the end of supply at {-tenant.overdraft}"
            yield placed.fault("alarm2", wrong, "a warning that comes before the supply ends")
        if tenant.reconnect <= -tenant.overdraft:
            wrong = f"{tenant.reconnect} is not above the end of supply at {-tenant.overdraft}"
            yield placed.fault("reconnect", wrong, "a balance above minus overdraft")


def idle_tenants(sources: Sources) -> Iterator[Fault]:
    """A purse without a supply point is a slip: nothing would ever be charged to it."""
    paying = {placed.item.account for placed in sources.many("point")}
    paying |= {placed.item.house for placed in sources.many("ledger")}  # as long as no room is vacant
    for placed in sources.many("tenant"):
        if placed.item.id not in paying and not {"point", "ledger"} & sources.unread:
            yield placed.fault("id", f"no supply point is paid by '{placed.item.id}'", "at least one supply point")


def zone(sources: Sources) -> Iterator[Fault]:
    for placed in sources.many("site"):
        try:
            ZoneInfo(placed.item.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            wrong = f"unknown time zone '{placed.item.timezone}'"
            yield placed.fault("timezone", wrong, "an IANA name such as Asia/Shanghai")


def simulation(sources: Sources) -> Iterator[Fault]:
    """A simulated field knows the load of every charged meter and opens only what can open."""
    loaded = {placed.item.id for placed in sources.many("load")} | sources.ids.get("load", set())
    for placed in sources.many("point"):
        if (
            loaded
            and "load" not in sources.unread
            and placed.item.meter in sources.ids.get("meter", set())
            and placed.item.meter not in loaded
        ):
            wrong = f"meter '{placed.item.meter}' has no load in field.toml"
            yield placed.fault("meter", wrong, f"a line '{placed.item.meter} = {{ nominal = ... }}' under [load]")
    meters, profiles = sources.by_id("meter"), sources.by_id("profile")
    for placed in sources.many("simulation"):
        for name in placed.item.open_at_start:
            profile = profiles.get(meters[name].profile) if name in meters else None
            if profile is not None and profile.switch is None:
                yield placed.fault("open_at_start", f"'{name}' has no switch", "devices whose profile has a [switch]")


def _named(sources: Sources) -> Iterator[tuple[str, Placed[Any], Any]]:
    """Yield (kind, where it stands, table) of everything that has an id in the common name space."""
    for kind in NAMED:
        for placed in sources.many(kind):
            yield kind, placed, placed.item
    for placed in sources.many("station"):
        for node in placed.item.node:
            yield "node", placed, node
        for edge in placed.item.edge:
            yield "edge", placed, edge


CHECKS: Final[tuple[Check, ...]] = (
    zone,
    duplicate_ids,
    duplicate_profiles,
    *ADDRESS_CHECKS,
    *GATEWAY_CHECKS,
    unknown_names,
    unknown_floors,
    homeless_devices,
    feeders,
    ratings,
    points,
    limits,
    idle_tenants,
    simulation,
    credit_faults,
    settlement_faults,
    *TARIFF_CHECKS,
    *METER_CHECKS,
    *NETWORK_CHECKS,
    *PROFILE_CHECKS,
    *PROTOCOL_CHECKS,
    secret_faults,
    *ALARM_CHECKS,
)

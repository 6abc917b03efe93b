"""Turn checked tables into the plain records of the trades: gateways, devices, points, accounts, tariffs, breakers, ...

Rule: the tables have passed every check, so nothing here judges; every number is converted exactly once, from Decimal
or Fraction to the integer the billing core wants.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from billing_core.account_rules import STANDARD, AccountClass
from billing_core.plan import TierOptions
from billing_core.points import AccountSpec, PointSpec
from config import metering, settings
from config.addresses import is_identified, meter_address
from config.loader import Sources
from config.planning import exact, moment_s
from config.profile_schema import ProfileTable, RegisterTable
from config.profiling import profiles, secrets
from config.schema import NANO, MeterRow
from config.tagging import METER, device_folders, rows_of
from drivers.budget import period_of
from drivers.counters import DEVICE_COUNTERS
from drivers.device import NO_ROW, Device, Gateway
from drivers.profile import Profile
from scada.control import Breaker
from scada.tags import TagTable
from scada.topology import Edge, Network, Node

OVERLOAD: Final = Fraction(
    12, 10
)  # a connection carries at most 1.2 times its rating for long (VEE practice: maximum check)
READS: Final = 2  # reads of a position: the one that may be lost, and the next
QUEUE_S: Final = 1.0  # what a read may wait for others on its line
POSITION_FRESH_S_MAX: Final = 60.0  # nobody switches on what was true more than a minute ago, however slow the line is
SECONDS_PER_HOUR: Final = 3600
MILLI: Final = 1000
FIXED_NAMES: Final[Mapping[str, settings.Name]] = {
    "Areas": settings.Name("区域", "Areas"),
    "Stations": settings.Name("变电所", "Stations"),
    "Tenants": settings.Name("租户", "Tenants"),
    "Gateways": settings.Name("通信网关", "Gateways"),
    "System": settings.Name("系统", "System"),
    "core": settings.Name("核心", "Core"),
}


def devices(sources: Sources, tags: TagTable) -> tuple[Device, ...]:
    row = rows_of(sources, tags)
    known = profiles(sources)
    point_of = {point.meter: number for number, point in enumerate(sources.by_id("point").values())}
    secret_of = secrets(sources)
    meters = sources.by_id("meter").values()
    return tuple(
        _device(meter, known[meter.profile], point_of.get(meter.id, NO_ROW), row, secret_of) for meter in meters
    )


def points(sources: Sources) -> tuple[PointSpec, ...]:
    meters, known = sources.by_id("meter"), sources.by_id("profile")
    account_row = _numbers(sources, "tenant")
    tariff_row = _numbers(sources, "tariff")
    zone = sources.one("site").timezone
    found: list[PointSpec] = []
    for point in sources.by_id("point").values():
        payer, tariff = account_row[point.account], tariff_row[point.tariff]
        if point.meter not in meters:
            found.append(metering.virtual_point(sources, point, payer, tariff, found))
            continue
        meter = meters[point.meter]
        profile = known[meter.profile]
        found.append(
            PointSpec(
                id=point.id,
                meter=meter.id,
                account=payer,
                tariff=tariff,
                medium=profile.medium,
                unit=billing_register(profile).unit,
                milli_per_count=profile.billing.milli_per_count * ratio_of(billing_register(profile).ratio, meter),
                modulus_counts=profile.billing.modulus_counts,
                max_milli_per_s=max_milli_per_s(meter, profile),
                rate_registers=point.rate_registers,
                rate_week=metering.week_of(sources, meter),
                rates_used=tuple(map(bool, metering.rate_names(profile.billing))),
                catch_up=point.catch_up,
                options=TierOptions(point.household, moment_s(point.opened, zone) if point.opened else 0),
                register_milli=profile.billing.milli_per_count,
            )
        )
    return tuple(found)


def accounts(sources: Sources) -> tuple[AccountSpec, ...]:
    meters, known = sources.by_id("meter"), sources.by_id("profile")
    currency = sources.one("site").currency
    house = sources.one("ledger").house  # vacant rooms are switched by people
    breakers: dict[str, list[str]] = {}
    for point in sources.by_id("point").values():
        if (meter := meters.get(point.meter)) is None:  # a virtual meter has no switch
            continue
        profile = known[meter.profile]
        if profile.medium == "electricity" and profile.switch and not meter.protected:
            breakers.setdefault(point.account, []).append(meter.id)
    return tuple(
        AccountSpec(
            id=tenant.id,
            name_zh=tenant.name_zh,
            name_en=tenant.name_en,
            currency=currency,
            opening_nano=exact(tenant.opening, NANO),
            alarm1_nano=exact(tenant.alarm1, NANO),
            alarm2_nano=exact(tenant.alarm2, NANO),
            overdraft_nano=exact(tenant.overdraft, NANO),
            reconnect_nano=exact(tenant.reconnect, NANO),
            protected=tenant.protected,
            breakers=() if tenant.protected or tenant.id == house else tuple(breakers.get(tenant.id, ())),
            account_class=tenant.account_class or STANDARD.id,
            tenant=tenant.tenant or tenant.id,
        )
        for tenant in sources.by_id("tenant").values()
    )


def account_classes(sources: Sources) -> dict[str, AccountClass]:
    """Return the limits of every class, the standard ones always among them."""
    tables = sources.by_id("account_class").values()
    return {STANDARD.id: STANDARD} | {
        table.id: AccountClass(
            id=table.id,
            name_zh=table.name_zh,
            name_en=table.name_en,
            least_nano=exact(table.least, NANO),
            most_nano=exact(table.most, NANO),
            hoarding_nano=exact(table.hoarding, NANO),
            recovery_percent=table.recovery_percent,
            emergency_nano=exact(table.emergency, NANO),
            refund_limit_nano=exact(table.refund_limit, NANO),
            correction_limit_nano=exact(table.correction_limit, NANO),
        )
        for table in tables
    }


def breakers(
    sources: Sources, tags: TagTable, gateways: Sequence[Gateway], devices: Sequence[Device]
) -> tuple[Breaker, ...]:
    """Return every device with a switch. A protected tenant's supply is protected too; gas is never opened remotely."""
    fresh_s = _position_fresh_s(gateways, devices)
    row = rows_of(sources, tags)
    known = sources.by_id("profile")
    tenants = sources.by_id("tenant")
    guarded = {point.meter for point in sources.by_id("point").values() if tenants[point.account].protected}
    found = []
    for meter in sources.by_id("meter").values():
        profile: ProfileTable = known[meter.profile]
        if profile.switch is None:
            continue
        current = profile.switch.current
        found.append(
            Breaker(
                id=meter.id,
                name_zh=meter.name_zh,
                name_en=meter.name_en,
                kind="breaker" if profile.medium == "electricity" else "valve",
                medium=profile.medium,
                position_row=row(METER, meter.id, profile.switch.position),
                current_row=row(METER, meter.id, current) if current else NO_ROW,
                online_row=row(METER, meter.id, "Online"),
                command_row=row(METER, meter.id, "CommandState"),
                discrepancy_row=row(METER, meter.id, "Discrepancy"),
                verify_s=profile.switch.verify_s,
                protected=meter.protected or meter.id in guarded,
                remote_close=profile.medium != "gas",
                fresh_s=fresh_s[meter.id],
            )
        )
    return tuple(found)


def _position_fresh_s(gateways: Sequence[Gateway], devices: Sequence[Device]) -> dict[str, float]:
    """Return for how long the position of each device counts as fresh, s: one read may be lost, and one may queue."""
    behind: dict[str, list[Device]] = {gateway.id: [] for gateway in gateways}
    for device in devices:
        behind[device.gateway].append(device)
    period_s = {gateway.id: period_of(gateway, behind[gateway.id]) for gateway in gateways}
    return {device.id: min(READS * period_s[device.gateway] + QUEUE_S, POSITION_FRESH_S_MAX) for device in devices}


def networks(sources: Sources) -> tuple[Network, ...]:
    return tuple(
        Network(
            id=station.id,
            name_zh=station.name_zh,
            name_en=station.name_en,
            nodes=tuple(Node(n.id, n.kind, n.name_zh, n.name_en, n.voltage_v) for n in station.node),
            edges=tuple(Edge(e.id, e.kind, e.a, e.b, e.name_zh, e.name_en, e.device) for e in station.edge),
        )
        for station in sources.by_id("station").values()
    )


def names(sources: Sources) -> dict[str, settings.Name]:
    """Return the names of everything that has an id, and of the fixed folders of tag paths."""
    found = dict(FIXED_NAMES)
    for kind in ("building", "gateway", "station", "virtual", "meter", "point", "tenant", "tariff"):
        found |= {table.id: settings.Name(table.name_zh, table.name_en) for table in sources.by_id(kind).values()}
    for station in sources.by_id("station").values():
        found |= {part.id: settings.Name(part.name_zh, part.name_en) for part in (*station.node, *station.edge)}
    site = sources.one("site")
    return found | {site.id: settings.Name(site.name_zh, site.name_en)}


def field_settings(sources: Sources) -> settings.FieldSettings:
    simulation = sources.one("simulation")
    return settings.FieldSettings(
        control_port=sources.one("field").control_port,
        loads={
            load.id: settings.LoadSettings(load.nominal, load.shape, load.seed, load.initial_counts)
            for load in sources.by_id("load").values()
        },
        open_at_start=frozenset(simulation.open_at_start if simulation else ()),
    )


def ratio_of(ratio: str, meter: MeterRow) -> int:
    """Return what a register's counts are multiplied with on this device."""
    return {"": 1, "ct": meter.ct, "pt": meter.pt, "ctpt": meter.ct * meter.pt}[ratio]


def billing_register(profile: ProfileTable) -> RegisterTable:
    """Return the register that a profile charges; it must have [billing]."""
    assert profile.billing is not None
    return next(register for register in profile.registers if register.measure == profile.billing.measure)


def max_milli_per_s(meter: MeterRow, profile: ProfileTable) -> int:
    """Return what the connection can carry in thousandths of the priced unit per second, rounded up, at least 1.

    Electricity: rated current x nominal voltage x phases x OVERLOAD, in W = Wh/h; others: max_per_h x OVERLOAD.
    """
    if profile.medium == "electricity":
        assert meter.rated_current_a is not None  # checks.ratings
        watt = Fraction(meter.rated_current_a) * Fraction(profile.voltage_v) * profile.phases
        return max(1, math.ceil(watt * OVERLOAD / SECONDS_PER_HOUR))
    assert meter.max_per_h is not None  # checks.ratings
    return max(1, math.ceil(Fraction(meter.max_per_h) * MILLI * OVERLOAD / SECONDS_PER_HOUR))


def _numbers(sources: Sources, kind: str) -> dict[str, int]:
    return {name: number for number, name in enumerate(sources.by_id(kind))}


def _device(meter: MeterRow, profile: Profile, point: int, row: Any, secret_of: Any) -> Device:
    return Device(
        id=meter.id,
        gateway=meter.gateway,
        unit=meter.unit or 0,
        profile=profile,
        ct=meter.ct,
        pt=meter.pt,
        rows={register.measure: row(METER, meter.id, register.measure) for register in profile.registers},
        point=point,
        online_row=row(METER, meter.id, "Online"),
        errors_row=row(METER, meter.id, "ErrorCount"),
        response_ms_row=row(METER, meter.id, "ResponseTimeMs"),
        position_row=row(METER, meter.id, profile.switch.position) if profile.switch else NO_ROW,
        address=meter_address(meter.address, profile.protocol),
        serial=meter.serial,
        secret=secret_of(meter, profile),
        identity_row=row(METER, meter.id, "IdentityFault") if is_identified(profile.identity, meter) else NO_ROW,
        counters_row=row(METER, meter.id, DEVICE_COUNTERS[0]),
    )


def point_places(sources: Sources) -> dict[str, settings.Place]:
    return {p.id: settings.Place(p.building, p.floor, p.room) for p in sources.by_id("point").values()}


def device_places(sources: Sources) -> dict[str, settings.Place]:
    folders = device_folders(sources)
    return {m.id: settings.Place(folders[m.id][1], m.floor, "") for m in sources.by_id("meter").values()}


def device_phases(sources: Sources) -> dict[str, int]:
    """Return device id -> 1 or 3 for electricity, 0 for every other medium."""
    known = sources.by_id("profile")
    return {meter.id: known[meter.profile].phases for meter in sources.by_id("meter").values()}

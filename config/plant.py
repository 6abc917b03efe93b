"""The plant: everything a room knows about the site it serves, loaded from a configuration folder.

Rule: loading is all or nothing. `load` returns a plant that passed every check or raises ConfigurationError with every
fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alarms.definition import AlarmDefinition
from billing_core.account_rules import AccountClass
from billing_core.plan import Plan
from billing_core.points import AccountSpec, PointSpec
from config import assembly, metering, planning
from config.alarming import build_alarms
from config.checks import check_all
from config.crediting import credit
from config.gateways import gateways
from config.loader import Sources, read_sources
from config.settings import (
    Building,
    CreditSettings,
    FieldSettings,
    FriendlyHours,
    HistorySettings,
    HmiSettings,
    LedgerSettings,
    LoadSettings,
    Name,
    OpcuaSettings,
    Place,
    Site,
)
from config.settling import SettlementSettings, settlement
from config.tagging import build_tags, tag_id
from drivers.device import Device, Gateway
from scada.control import Breaker
from scada.errors import ConfigurationError
from scada.image import SECTIONS, Layout
from scada.tags import TagTable, layout_hash
from scada.topology import Network

__all__ = [
    "Building",
    "CreditSettings",
    "FieldSettings",
    "FriendlyHours",
    "HistorySettings",
    "HmiSettings",
    "LedgerSettings",
    "LoadSettings",
    "Name",
    "OpcuaSettings",
    "Place",
    "Plant",
    "Site",
    "load",
]


@dataclass(frozen=True, slots=True)
class Plant:
    """One site, ready to run. Tuples are in image order: a row number indexes the tuple and the columns alike."""

    site: Site
    scan_period_s: float
    checkpoint_s: float
    tags: TagTable
    layout: Layout
    gateways: tuple[Gateway, ...]
    devices: tuple[Device, ...]
    points: tuple[PointSpec, ...]
    accounts: tuple[AccountSpec, ...]
    plans: tuple[Plan, ...]
    alarms: tuple[AlarmDefinition, ...]
    breakers: tuple[Breaker, ...]
    networks: tuple[Network, ...]
    names: Mapping[str, Name]  # by id of anything, and by fixed folder of tag paths
    buildings: tuple[Building, ...]
    point_places: Mapping[str, Place]  # by point id
    device_places: Mapping[str, Place]  # by device id; a station's device stands in its station
    serials: Mapping[str, str]  # device id -> number on the nameplate
    device_feeder: Mapping[str, str]  # device id -> id of the breaker that supplies it, or ""
    device_phases: Mapping[str, int]  # device id -> 1 or 3 for electricity, 0 for every other medium
    rate_minutes: Mapping[str, tuple[tuple[int, ...], ...]]  # device id -> rate of each minute, [weekday][minute]
    field: FieldSettings
    opcua: OpcuaSettings
    hmi: HmiSettings
    credit: CreditSettings
    history: HistorySettings
    ledger: LedgerSettings
    account_classes: Mapping[str, AccountClass]  # by id; "standard" is always there
    settlement: SettlementSettings

    def row(self, letter: str, owner: str, measure: str) -> int:
        """Return the image row of a tag; KeyError when there is no such tag."""
        return self.tags.index[tag_id(self.site.id, letter, owner, measure)]


def load(folder: Path) -> Plant:
    """Read and check a configuration folder. Raises ConfigurationError with every fault found."""
    sources = read_sources(folder)
    faults = sources.faults + list(check_all(sources))
    if faults:
        raise ConfigurationError(faults)
    return _build(sources)


def _build(sources: Sources) -> Plant:
    """Make the plant of a configuration without faults."""
    tags = build_tags(sources)
    lines, devices = gateways(sources, tags), assembly.devices(sources, tags)
    points = assembly.points(sources)
    accounts = assembly.accounts(sources)
    alarms = build_alarms(sources, tags)
    ledger = LedgerSettings(**sources.one("ledger").model_dump())
    scan, history = sources.one("scan"), sources.one("history")
    return Plant(
        site=Site(**sources.one("site").model_dump()),
        scan_period_s=scan.period_s,
        checkpoint_s=scan.checkpoint_s,
        tags=tags,
        layout=_layout(tags, points, accounts, alarms, ledger.spare_accounts),
        gateways=lines,
        devices=devices,
        points=points,
        accounts=accounts,
        plans=planning.plans(sources),
        alarms=alarms,
        breakers=assembly.breakers(sources, tags, lines, devices),
        networks=assembly.networks(sources),
        names=assembly.names(sources),
        buildings=tuple(Building(**table.model_dump()) for table in sources.by_id("building").values()),
        point_places=assembly.point_places(sources),
        device_places=assembly.device_places(sources),
        serials={meter.id: meter.serial for meter in sources.by_id("meter").values()},
        device_feeder={meter.id: meter.feeder for meter in sources.by_id("meter").values()},
        device_phases=assembly.device_phases(sources),
        rate_minutes=metering.rate_minutes(sources),
        field=assembly.field_settings(sources),
        opcua=OpcuaSettings(**sources.one("opcua").model_dump()),
        hmi=HmiSettings(**sources.one("hmi").model_dump()),
        credit=credit(sources),
        history=HistorySettings(**history.model_dump()),
        ledger=ledger,
        account_classes=assembly.account_classes(sources),
        settlement=settlement(sources),
    )


def _layout(
    tags: TagTable,
    points: tuple[PointSpec, ...],
    accounts: tuple[AccountSpec, ...],
    alarms: tuple[AlarmDefinition, ...],
    spare_accounts: int,
) -> Layout:
    """Return the image's layout: sections in the order of scada.image, hashed with the ids of their rows.

    Behind the configured accounts stand spare rows for those that are opened while the core runs.
    """
    rows: dict[str, list[str]] = {
        "tags": [f"{tag.id} {tag.kind}" for tag in tags.tags],
        "points": [point.id for point in points],
        "accounts": [account.id for account in accounts] + [""] * spare_accounts,
        "alarms": [alarm.id for alarm in alarms],
    }
    columns = [f"{section}.{name} {dtype}" for section, table in SECTIONS.items() for name, dtype in table.items()]
    return Layout({section: len(rows[section]) for section in SECTIONS}, layout_hash([columns, *rows.values()]))

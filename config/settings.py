"""The plain settings of a plant: small frozen records that rooms read from `config.plant.Plant`.

Rule: no behaviour and no file formats; `config.assembly` fills them from checked tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.field.shapes import Shape


@dataclass(frozen=True, slots=True)
class Name:
    """How a thing is shown to people."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Site:
    """The park."""

    id: str
    name_zh: str
    name_en: str
    timezone: str  # IANA name
    currency: str  # ISO 4217
    currency_exponent: int = 2  # decimals of a posted amount


@dataclass(frozen=True, slots=True)
class Building:
    """One building and its floors from the bottom to the top."""

    id: str
    name_zh: str
    name_en: str
    floors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a supply point is."""

    building: str  # id
    floor: str
    room: str


@dataclass(frozen=True, slots=True)
class OpcuaSettings:
    """Where the OPC UA server listens and whom it admits."""

    host: str
    anonymous: bool  # a read-only session without a user


@dataclass(frozen=True, slots=True)
class HmiSettings:
    """Where the HMI listens."""

    host: str


@dataclass(frozen=True, slots=True)
class FriendlyHours:
    """Hours of a local day in which credit never switches off: [start, end) minutes; end < start crosses midnight."""

    days: frozenset[int]  # 0 Monday .. 6 Sunday: the day on which the hours begin
    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class CreditSettings:
    """How credit control behaves; see config/README.md, tables [credit] and [[credit_class]]. Plant seconds."""

    automatic: bool
    reconnect: bool
    grace_s: float
    notice_lead_s: float
    again_lead_s: float
    notice_repeat_s: float
    remind1_days: int
    remind2_days: int
    stops_max: int
    stops_interval_s: float
    load_max_kw: float
    hold_percent: float
    hold_interval_s: float
    reconnect_spacing_s: float
    clock_jump_s: float
    clock_steady_s: float  # real seconds
    friendly: tuple[FriendlyHours, ...]
    house: str  # account of vacant rooms: nobody is told, nothing is switched; "": none
    closed_days: frozenset[int]  # holidays, the days before them, declared dates; proleptic ordinals
    classes: Mapping[str, "CreditSettings"] = field(default_factory=dict)  # by class of accounts, where it differs


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Accounts of the site itself."""

    house: str  # account id that vacant rooms belong to; "": none
    spare_accounts: int  # rows of the image for accounts that are opened while running


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """What the historian keeps."""

    heartbeat_s: float  # plant seconds between two records of an unchanged value
    retention_days: int


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What one simulated meter sees."""

    nominal: float  # W of electricity, else priced units per hour
    shape: Shape
    seed: int
    initial_counts: int = 0  # its billing register at the very first start


@dataclass(frozen=True, slots=True)
class FieldSettings:
    """The simulated field. A device without a load of its own carries what hangs below it (`Plant.device_feeder`)."""

    control_port: int
    loads: Mapping[str, LoadSettings]  # device id -> load
    open_at_start: frozenset[str]  # devices whose breaker begins open; every other begins closed

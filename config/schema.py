"""The shape of every configuration file, as frozen pydantic models: which keys exist, their types, bounds and defaults.

Rule: one table or one CSV row at a time. What takes two of them to judge (references, duplicates, loops) is in
`config.checks`; nothing here reads a file. Money and prices arrive as Decimal and never pass through a float.
"""

from decimal import Decimal
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from drivers.field.shapes import Shape
from scada.topology import EdgeKind, NodeKind
from scada.units import UNECE_CODE

Medium = Literal["electricity", "water", "gas", "steam", "heat", "cooling"]
RateName = Literal["sharp", "peak", "flat", "valley", "deep_valley"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

DAYS: Final[tuple[Day, ...]] = get_args(Day)
ID_PATTERN: Final = r"^[a-z0-9][a-z0-9-]*$"
MEASURE_PATTERN: Final = r"^[A-Z][A-Za-z0-9]*$"
MINUTE_PATTERN: Final = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
DATE_PATTERN: Final = r"^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))?$"
RATIO_MAX: Final = 100_000  # a 500 kV transformer has 5000; a larger number is a slip of the finger
MONEY_MAX: Final = Decimal(1_000_000_000)  # 1e9 major units are 1e18 nano, which int64 still holds with room
NANO: Final = 1_000_000_000
MICRO: Final = 1_000_000


def _known_unit(unit: str) -> str:
    if unit not in UNECE_CODE:
        raise ValueError(f"a unit of scada.units: {', '.join(filter(None, UNECE_CODE))} (or empty)")
    return unit


def _at_most(decimals: int) -> AfterValidator:
    """Validate that a Decimal has at most so many decimals, so that its integer form is exact."""

    def check(value: Decimal) -> Decimal:
        if (value * 10**decimals) % 1:
            raise ValueError(f"at most {decimals} decimals")
        return value

    return AfterValidator(check)


def _yes_no(value: object) -> object:
    """Accept the Chinese words a spreadsheet may hold; pydantic knows the English ones."""
    return {"是": True, "否": False}.get(value, value) if isinstance(value, str) else value


Id = Annotated[str, Field(pattern=ID_PATTERN, max_length=40)]
Text = Annotated[str, Field(min_length=1, max_length=80)]
Measure = Annotated[str, Field(pattern=MEASURE_PATTERN, max_length=60)]
Unit = Annotated[str, AfterValidator(_known_unit)]
Minute = Annotated[str, Field(pattern=MINUTE_PATTERN)]
YesNo = Annotated[bool, BeforeValidator(_yes_no)]
Money = Annotated[Decimal, Field(gt=-MONEY_MAX, lt=MONEY_MAX), _at_most(9)]
Price = Annotated[Decimal, Field(ge=0, lt=MICRO), _at_most(6)]
Quantity = Annotated[Decimal, Field(ge=0, lt=MICRO), _at_most(3)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Table(BaseModel):
    """A table whose every key is known and whose values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)


class Named(Table):
    """A thing with an identity and two names."""

    id: Id
    name_zh: Text
    name_en: Text


# ---- plant.toml ------------------------------------------------------------------------------------------------------


class SiteTable(Named):
    timezone: str  # IANA name
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]  # ISO 4217
    currency_exponent: Literal[2] = 2  # decimals of a posted amount


class ScanTable(Table):
    period_s: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    checkpoint_s: Annotated[float, Field(ge=1, le=600)] = 10.0  # most seconds of charges that wait for the ledger


class OpcuaTable(Table):
    host: str = "127.0.0.1"  # address to listen on; 0.0.0.0 lets other machines in
    anonymous: bool = False  # admits a read-only session without a user


class HmiTable(Table):
    host: str = "127.0.0.1"  # address to listen on; put a TLS proxy before it when other machines shall come in


class LedgerTable(Table):
    """Accounts of the site itself, and room for those that are opened while it runs."""

    house: str = ""  # account that vacant rooms belong to; never switched off. Empty: rooms cannot become vacant
    spare_accounts: Annotated[int, Field(ge=0, le=4096)] = 32  # accounts that may be opened until the next start


class AccountClassTable(Named):
    """What accounts of a class may do; a tenant names it in the column `account_class`. Major units of the currency."""

    least: Annotated[Money, Field(gt=0)] = Decimal(1)  # of one top-up
    most: Annotated[Money, Field(gt=0)] = Decimal(5000)  # of one top-up; common limit of Chinese counters
    hoarding: Annotated[Money, Field(gt=0)] = Decimal(1_000_000)  # most a balance may reach by top-ups (囤积限额)
    recovery_percent: Annotated[int, Field(ge=0, le=100)] = 100  # share of a top-up that goes to a debt
    emergency: Annotated[Money, Field(ge=0)] = Decimal(0)  # most emergency credit; lent once until it is paid back
    refund_limit: Annotated[Money, Field(ge=0)] = Decimal(500)  # a refund above it needs a second person
    correction_limit: Annotated[Money, Field(ge=0)] = Decimal(100)  # a correction above it needs a second person

    @model_validator(mode="after")
    def _limits_leave_room(self) -> "AccountClassTable":
        if not self.least <= self.most <= self.hoarding:
            raise ValueError("limits that leave room: least <= most <= hoarding")
        return self


class HistoryTable(Table):
    heartbeat_s: Annotated[float, Field(ge=10, le=3600)] = 600.0  # an unchanged value is recorded at least this often
    retention_days: Annotated[int, Field(ge=1)] = 730


class FieldTable(Table):
    control_port: Port = 15010  # where the simulated field takes its orders


class BuildingTable(Named):
    floors: tuple[Text, ...] = ()


class NodeTable(Named):
    kind: NodeKind
    voltage_v: Annotated[float, Field(gt=0)]


class EdgeTable(Named):
    kind: EdgeKind
    a: Id
    b: Id
    device: str = ""  # of a breaker edge

    @model_validator(mode="after")
    def _device_and_kind_agree(self) -> "EdgeTable":
        if (self.kind == "breaker") != bool(self.device):
            raise ValueError("a breaker edge names its device, and only a breaker edge does")
        return self


class RateSlot(Table):
    days: tuple[Day, ...] = DAYS
    start: Minute
    end: Minute  # exclusive; earlier than `start` means the next day
    rate: RateName

    @model_validator(mode="after")
    def _lasts(self) -> "RateSlot":
        if self.start == self.end or self.start == "24:00":
            raise ValueError("a slot that lasts: start before 24:00 and different from end")
        return self


class RateTable(Named):
    """The rate table that is programmed into meters: which register (T1 尖 .. T5 深谷) counts at what time."""

    slot: Annotated[tuple[RateSlot, ...], Field(min_length=1)]


class VirtualTable(Named):
    """A virtual meter: share x (sum of what `add` was billed - sum of what `subtract` was billed)."""

    medium: Medium
    unit: Unit
    add: Annotated[tuple[Id, ...], Field(min_length=1)]  # supply points, or the meters that measure them
    subtract: tuple[Id, ...] = ()
    share: Annotated[Decimal, Field(gt=0, le=1), _at_most(6)] = Decimal(1)
    slack: Annotated[Decimal, Field(ge=0), _at_most(3)] = Decimal("0.5")  # a dip of so many units is waited out


class StationTable(Named):
    node: tuple[NodeTable, ...]
    edge: tuple[EdgeTable, ...]


# ---- alarms.toml -----------------------------------------------------------------------------------------------------


class RuleTable(Table):
    """One rule: which tags it watches and what it makes of each."""

    name: Measure
    on: Literal["device", "gateway", "point", "account", "core"]
    measures: Annotated[tuple[Measure, ...], Field(min_length=1)]
    medium: Medium | None = None
    profiles: tuple[Id, ...] = ()  # none: every profile
    switch: bool | None = None  # True: only devices with a breaker or valve
    comparison: Literal["above", "below", "equal"]
    limit: float = 1.0  # an absolute limit, or a factor of `of`
    of: Literal["", "rated_current", "nominal_voltage", "alarm1", "alarm2", "overdraft"] = ""
    deadband: Annotated[float, Field(ge=0)] = 0.0  # absolute, or a factor of `of`
    on_delay_s: Annotated[float, Field(ge=0)] = 0.0
    off_delay_s: Annotated[float, Field(ge=0)] = 0.0
    priority: Annotated[int, Field(ge=1, le=4)]
    text_zh: Text
    text_en: Text


# ---- CSV rows --------------------------------------------------------------------------------------------------------


class MeterRow(Named):
    """One row of meters.csv: a meter, or a breaker with its protection unit."""

    profile: str
    gateway: str
    unit: Annotated[int, Field(ge=1, le=247)] | None = None  # Modbus
    address: Annotated[str, Field(max_length=20)] = ""  # DL/T 645, CJ/T 188: digits of the meter number
    serial: Annotated[str, Field(max_length=80)] = ""  # empty: its number is not compared with what it shows
    ct: Annotated[int, Field(ge=1, le=RATIO_MAX)] = 1
    pt: Annotated[int, Field(ge=1, le=RATIO_MAX)] = 1
    rated_current_a: Annotated[float, Field(gt=0)] | None = None  # primary amperes; electricity
    max_per_h: Annotated[float, Field(gt=0)] | None = None  # priced units per hour; other media
    building: str = ""  # empty for the devices of a station
    floor: str = ""
    feeder: str = ""  # device with a switch that supplies this one
    rate_table: str = ""  # the table programmed into the meter, where its profile has rate registers
    protected: YesNo = False


class PointRow(Named):
    """One row of supply_points.csv."""

    meter: str
    account: str
    tariff: str
    building: str
    floor: str = ""
    room: str = ""
    rate_registers: YesNo = False  # split by the meter's rate registers where its table equals the tariff's
    catch_up: Literal["time", "rate-registers"] = "time"  # how what was used in a gap is spread over rate periods
    household: Annotated[int, Field(ge=0, le=1000)] = 0  # persons: widens the tiers of a tariff that says so
    opened: Annotated[str, Field(pattern=DATE_PATTERN)] = ""  # of the tenancy: anniversary and first year of tiers
    contract_kw: Quantity = Decimal(0)  # contracted demand
    capacity_kva: Quantity = Decimal(0)  # of the transformers, for capacity fees and the 260 kWh/kVA rule
    area_m2: Quantity = Decimal(0)  # keys of shared costs
    heads: Annotated[int, Field(ge=0, le=100_000)] = 0
    weight: Quantity = Decimal(0)


class TenantRow(Named):
    """One row of tenants.csv: a tenant and the purse; amounts in major units of the currency."""

    opening: Money = Decimal(0)
    alarm1: Money
    alarm2: Money
    overdraft: Annotated[Money, Field(ge=0)] = Decimal(0)
    reconnect: Money
    protected: YesNo = False
    account_class: str = ""  # an id of [[account_class]]; empty: the standard limits
    tenant: str = ""  # whose purse this is, when one tenant has several; empty: a tenant of its own


# ---- field.toml ------------------------------------------------------------------------------------------------------


class LoadTable(Table):
    """What a simulated meter sees."""

    id: Id  # device
    nominal: Annotated[float, Field(ge=0)]  # W, or priced units per hour
    shape: Shape
    seed: Annotated[int, Field(ge=0)]
    initial_counts: Annotated[int, Field(ge=0)] = 0  # its billing register at the very first start


class SimulationTable(Table):
    open_at_start: tuple[Id, ...] = ()  # devices whose breaker begins open

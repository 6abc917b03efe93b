"""The shape of tariffs.toml and power_factor.toml: tariffs, their dated versions, and what is charged besides the unit.

Rule: as in `config.schema`, one table at a time. Whatever takes two keys to judge is in `config.tariff_checks`.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from config.schema import Day, Id, Medium, Minute, Money, Named, Price, RateName, Table, Text, Unit

RATE_NAMES: Final[tuple[RateName, ...]] = get_args(RateName)
PRICE_DECIMALS: Final = 6  # micro
QUANTITY_DECIMALS: Final = 3  # milli
PRICE_BELOW: Final = Decimal(1_000_000)
DATE_TIME: Final = "%Y-%m-%d %H:%M"
MONTH_DAY_PATTERN: Final = r"^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


def _number(value: object) -> Decimal:
    """Return a price; one of TOML's floats is a Decimal already, so that nothing is ever rounded."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError("a number, or one number for each tier")
    number = Decimal(value)
    if not number.is_finite() or not 0 <= number < PRICE_BELOW:
        raise ValueError(f"0 or more and less than {PRICE_BELOW}")
    if (number * 10**PRICE_DECIMALS) % 1:
        raise ValueError(f"at most {PRICE_DECIMALS} decimals")
    return number


def _of_tiers(value: object) -> tuple[Decimal, ...]:
    """Return the price of each tier, or the one price of all."""
    found = tuple(_number(price) for price in value) if isinstance(value, (list, tuple)) else (_number(value),)
    if not found:
        raise ValueError("a number, or one number for each tier")
    return found


def _by_rate(value: object) -> object:
    """Spread a price that is the same in every rate period over all of them."""
    return value if isinstance(value, dict) else dict.fromkeys(RATE_NAMES, value)


def _a_date(value: object) -> object:
    """Accept TOML's own dates beside text."""
    if isinstance(value, datetime):
        return value.strftime(DATE_TIME)
    return value.isoformat() if isinstance(value, date) else value


def _is_date(value: str) -> str:
    """Validate "2026-12-01" or "2026-12-01 08:00"."""
    try:
        datetime.strptime(value, DATE_TIME if len(value) > len("2026-12-01") else "%Y-%m-%d")
    except ValueError as error:
        raise ValueError('a date such as "2026-12-01", or "2026-12-01 08:00"') from error
    return value


def _is_month_day(value: str) -> str:
    try:
        date.fromisoformat(f"2024-{value}")
    except ValueError as error:
        raise ValueError('a day of the year MM-DD, for example "07-01"') from error
    return value


def _dates(value: str) -> str:
    """Validate "2026-02-17" or a range "2026-02-15/2026-02-23"."""
    try:
        first, last = (date.fromisoformat(text) for text in (value.split("/") * 2)[:2])
    except (ValueError, TypeError) as error:
        raise ValueError('a date "2026-02-17" or a range "2026-02-15/2026-02-23"') from error
    if last < first or value.count("/") > 1:
        raise ValueError("a range whose last date is not before its first")
    return value


Moment = Annotated[str, BeforeValidator(_a_date), AfterValidator(_is_date)]
MonthDay = Annotated[str, AfterValidator(_is_month_day)]
TierPrices = Annotated[tuple[Decimal, ...], PlainValidator(_of_tiers)]
Prices = Annotated[dict[RateName, TierPrices], BeforeValidator(_by_rate)]
Percent = Annotated[Decimal, Field(ge=0, le=100)]
KindOfDay = Annotated[str, Field(min_length=1, max_length=40)]


def _milli(value: Decimal) -> Decimal:
    if (value * 10**QUANTITY_DECIMALS) % 1:
        raise ValueError(f"at most {QUANTITY_DECIMALS} decimals")
    return value


Quantity = Annotated[Decimal, Field(ge=0, lt=10**12), AfterValidator(_milli)]


class SlotTable(Table):
    """A stretch of some days in which one rate period holds."""

    days: tuple[KindOfDay, ...] = ()  # weekdays, working, weekend, holiday, special days; none: every day
    seasons: tuple[Id, ...] = ()  # none: all year
    start: Minute
    end: Minute  # exclusive; earlier than `start` crosses midnight
    rate: RateName

    @model_validator(mode="after")
    def _lasts(self) -> "SlotTable":
        if self.start == self.end or self.start == "24:00":
            raise ValueError("a slot that lasts: start before 24:00 and different from end")
        return self


class RangeTable(Table):
    """Days of a year, both ends included; an end before its beginning lies in the next year."""

    first: MonthDay
    last: MonthDay


class SeasonTable(Table):
    id: Id
    ranges: tuple[RangeTable, ...] = ()  # none: the days that no other season names


class SpecialTable(Table):
    """A kind of day of its own."""

    id: Id
    dates: tuple[Annotated[str, AfterValidator(_dates)], ...] = ()
    holiday: Id | None = None  # a holiday of the calendar, e.g. "spring-festival"

    @model_validator(mode="after")
    def _names_days(self) -> "SpecialTable":
        if not self.dates and self.holiday is None:
            raise ValueError("dates, or a holiday of the calendar")
        return self


class PartTable(Named):
    """One part of the unit price; what the tenant pays for a unit is the sum of the parts."""

    price: Prices
    factor: Annotated[Decimal, Field(gt=0, le=1)] = Decimal(1)  # sewage: share of the water that is let off


class ServiceFeeTable(Table):
    """An addition to the unit price, folded into it. Where fees may not be collected on top, that is said."""

    id: Id = "service-fee"
    name_zh: Text = "服务费"
    name_en: Text = "Service fee"
    percent: Percent | None = None  # of the sum of the parts
    per_unit: Price | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "ServiceFeeTable":
        if (self.percent is None) == (self.per_unit is None):
            raise ValueError("either percent or per_unit")
        return self


class TiersTable(Table):
    """Blocks of consumption: bound k is the last unit of tier k; there is one tier more than there are bounds."""

    mode: Literal["graduated", "volume"] = "graduated"
    period: Literal["month", "year", "anniversary"]
    bounds: Annotated[tuple[Quantity, ...], Field(min_length=1)]
    settlement_day: Annotated[int, Field(ge=1, le=28)] = 1
    household_from: Annotated[int, Field(ge=0, le=100)] = 0
    household_add: Quantity = Decimal(0)
    prorate_first: bool = False


class TaxTable(Table):
    percent: Percent
    inclusive: bool = True  # False: the tax is added to every price and amount of the version


class FixedTable(Named):
    per: Literal["day", "month"]
    amount: Annotated[Money, Field(ge=0)]
    while_stopped: bool = True


class DemandTable(Table):
    id: Id = "demand"
    name_zh: Text = "需量电费"
    name_en: Text = "Demand charge"
    price: Annotated[Money, Field(ge=0)]  # per kW and month
    mode: Literal["actual", "contract"] = "actual"
    over: Literal["contract-plus-double", "actual-plus-excess"] = "contract-plus-double"
    window_s: Annotated[int, Field(ge=60, le=3600)] = 900
    slide_s: Annotated[int, Field(ge=60, le=3600)] = 60
    load_hours_kwh_per_kva: Annotated[int, Field(ge=0, le=744)] = 0
    load_hours_percent: Annotated[int, Field(ge=1, le=100)] = 100


class CapacityTable(Table):
    id: Id = "capacity"
    name_zh: Text = "容量电费"
    name_en: Text = "Capacity charge"
    price: Annotated[Money, Field(ge=0)]  # per kVA and month
    days: Literal["thirty", "calendar"] = "thirty"


class PowerFactorTable(Table):
    id: Id = "power-factor"
    name_zh: Text = "力调电费"
    name_en: Text = "Power-factor adjustment"
    standard: Id  # a table of power_factor.toml: "pf-90", "pf-85", "pf-80"
    parts: tuple[Id, ...] = ()  # price parts that belong to the base; none: all of them


class MinimumTable(Table):
    id: Id = "minimum"
    name_zh: Text = "最低收费"
    name_en: Text = "Minimum charge"
    amount: Annotated[Money, Field(ge=0)]


class BaseQuantityTable(Table):
    id: Id = "base-quantity"
    name_zh: Text = "基础用量"
    name_en: Text = "Base quantity"
    quantity: Quantity


class VersionFields(Table):
    """What a version of a tariff may say, and what the tariff may say for all of its versions."""

    price: Prices | None = None  # the only price part, when there is no more to say about it
    part: tuple[PartTable, ...] = ()
    slot: tuple[SlotTable, ...] = ()  # none: one rate all year
    season: tuple[SeasonTable, ...] = ()
    special: tuple[SpecialTable, ...] = ()
    holidays: Annotated[str, Field(max_length=12)] = ""  # "CN", or a country or part of it ("DE", "US-NY"); none: ""
    service_fee: ServiceFeeTable | None = None
    tiers: TiersTable | None = None
    tax: TaxTable | None = None
    fixed: tuple[FixedTable, ...] = ()
    demand: DemandTable | None = None
    capacity: CapacityTable | None = None
    power_factor: PowerFactorTable | None = None
    minimum: MinimumTable | None = None
    base_quantity: BaseQuantityTable | None = None


class VersionTable(VersionFields):
    """A dated version. A key that it does not name is that of its tariff."""

    model_config = ConfigDict(populate_by_name=True)

    from_: Annotated[Moment | None, Field(alias="from")] = None  # none: for ever before
    to: Moment | None = None  # none: until the next version begins, or for ever


class TariffTable(Named, VersionFields):
    medium: Medium
    unit: Unit
    version: tuple[VersionTable, ...] = ()  # none: what the tariff says holds for ever


class PowerFactorStep(Table):
    """Consecutive power factors: `percent` at `first`, and `each` more for every hundredth on the way to `last`."""

    first: Annotated[Decimal, Field(ge=0, le=1)]
    last: Annotated[Decimal, Field(ge=0, le=1)]
    percent: Annotated[Decimal, Field(gt=-100, lt=1000)]
    each: Annotated[Decimal, Field(ge=0, lt=100)] = Decimal(0)


class PowerFactorSteps(Named):
    """One table of power_factor.toml."""

    standard: Annotated[Decimal, Field(gt=0, le=1)]
    step: Annotated[tuple[PowerFactorStep, ...], Field(min_length=1)]


WEEKDAYS: Final[tuple[Day, ...]] = get_args(Day)

"""Turn tariff tables into the plans of the billing core.

Rule: as in `config.assembly`, nothing here judges: `config.tariff_checks` asks the same functions and tells what is
wrong. Prices are fractions until they are known to be whole, so that no factor, fee or tax is ever rounded.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from billing_core.components import BaseQuantity, Capacity, Component, Demand, FixedCharge, Minimum, PowerFactor
from billing_core.plan import (
    ALWAYS_S,
    FOREVER_S,
    NO_PRICE_MICRO,
    RATES,
    Days,
    Plan,
    PricePart,
    Tax,
    Tiers,
    Version,
)
from billing_core.zones import local_day
from config.day_tables import day_tables, rates_used
from config.holiday_calendar import holiday_calendar
from config.loader import Sources
from config.schema import MICRO, NANO, RateName
from config.tariff_tables import (
    DATE_TIME,
    PartTable,
    PowerFactorSteps,
    SpecialTable,
    TariffTable,
    TaxTable,
    TiersTable,
    VersionFields,
    VersionTable,
)

MILLI: Final = 1000
PPM_PER_PERCENT: Final = 10_000
HUNDRED: Final = 100
RESALE_SURCHARGE: Final = "resale-surcharge"  # 国办函〔2020〕129号: nothing may be charged on top of utility prices
WORDS: Final = {
    "electricity": "电价", "water": "水价", "gas": "气价", "steam": "汽价", "heat": "热价", "cooling": "冷价",
}  # fmt: skip


class Dated(NamedTuple):
    """One version of a tariff with everything that it has from its tariff."""

    key: str  # where it stands in the tariff: "" or "version.2"
    own: frozenset[str]  # keys that it names itself
    table: VersionTable
    from_s: int
    to_s: int


class Part(NamedTuple):
    """A price part with fractions of micro that must turn out whole: factor, percent and tax are applied."""

    id: str
    name_zh: str
    name_en: str
    compliance: str
    micro: Mapping[RateName, tuple[Fraction, ...]]  # of each tier


def plans(sources: Sources) -> tuple[Plan, ...]:
    site = sources.one("site")
    steps = {table.id: table for table in sources.by_id("power_factor").values()}
    return tuple(
        Plan(
            id=table.id,
            name_zh=table.name_zh,
            name_en=table.name_en,
            medium=table.medium,
            unit=table.unit,
            currency=site.currency,
            timezone=site.timezone,
            versions=tuple(
                _version(table, dated, site.timezone, steps) for dated in dated_versions(table, site.timezone)
            ),
        )
        for table in sources.by_id("tariff").values()
    )


def dated_versions(tariff: TariffTable, timezone: str) -> list[Dated]:
    """Return the versions in the order of the file; a tariff without any is one version for ever."""
    if not tariff.version:
        return [Dated("", frozenset(), VersionTable(**_fields(tariff, tariff)), ALWAYS_S, FOREVER_S)]
    begins = [ALWAYS_S if table.from_ is None else moment_s(table.from_, timezone) for table in tariff.version]
    ends = [*begins[1:], FOREVER_S]
    return [
        Dated(
            f"version.{number}",
            frozenset(table.model_fields_set),
            VersionTable(**_fields(tariff, table), from_=table.from_, to=table.to),
            begin_s,
            end_s if table.to is None else moment_s(table.to, timezone),
        )
        for number, (table, begin_s, end_s) in enumerate(zip(tariff.version, begins, ends, strict=True), start=1)
    ]


def moment_s(text: str, timezone: str) -> int:
    """Return the UTC second of a local date, or date and time; of a repeated hour the first."""
    local = datetime.strptime(text, DATE_TIME) if ":" in text else datetime.fromisoformat(text)
    return int(local.replace(tzinfo=ZoneInfo(timezone)).timestamp())


def parts_of(tariff: TariffTable, version: VersionFields) -> list[Part]:
    """Return the price parts of the rates in use, factor, service fee and exclusive tax applied, nothing rounded."""
    tax = _tax_factor(version.tax)
    tiers = tier_count(version)
    parts = [
        Part(part.id, part.name_zh, part.name_en, "", dict(_micro(part, rates_used(version), tiers)))
        for part in parts_named(tariff, version)
    ]
    parts += _service_fee(version, parts)
    return [
        part._replace(micro={rate: tuple(price * tax for price in prices) for rate, prices in part.micro.items()})
        for part in parts
    ]


def parts_named(tariff: TariffTable, version: VersionFields) -> list[PartTable]:
    """Return the parts as the file names them; a plain `price` is one part without name of its own."""
    found = list(version.part)
    if version.price is not None:
        found.insert(0, PartTable(id="price", name_zh=WORDS[tariff.medium], name_en="Price", price=version.price))
    return found


def tier_count(version: VersionFields) -> int:
    return 1 if version.tiers is None else len(version.tiers.bounds) + 1


def amounts_of(version: VersionFields) -> Iterator[tuple[str, Fraction]]:
    """Yield (key, nano) of every amount besides unit prices, exclusive tax applied, nothing rounded."""
    tax = _tax_factor(version.tax)
    for number, fixed in enumerate(version.fixed, start=1):
        yield f"fixed.{number}.amount", Fraction(fixed.amount) * NANO * tax
    for key, amount in (
        ("demand.price", version.demand and version.demand.price),
        ("capacity.price", version.capacity and version.capacity.price),
        ("minimum.amount", version.minimum and version.minimum.amount),
    ):
        if amount is not None:
            yield key, Fraction(amount) * NANO * tax


def special_days(version: VersionFields, special: SpecialTable) -> frozenset[int]:
    """Return the ordinals of a kind of day: its own dates, and those of the holiday it names."""
    days: set[int] = set()
    for text in special.dates:
        first, last = (date.fromisoformat(part).toordinal() for part in (text.split("/") * 2)[:2])
        days |= set(range(first, last + 1))
    if special.holiday is not None and version.holidays:
        days |= holiday_calendar(version.holidays).named.get(special.holiday, frozenset())
    return frozenset(days)


def steps_of(table: PowerFactorSteps) -> tuple[tuple[int, Fraction], ...]:
    """Return (power factor in hundredths, ppm) of every hundredth that a table names, sorted."""
    found: list[tuple[int, Fraction]] = []
    for step in table.step:
        first, last = int(step.first * HUNDRED), int(step.last * HUNDRED)
        way = range(first, last + 1) if first <= last else range(first, last - 1, -1)
        for number, hundredth in enumerate(way):
            percent = Fraction(step.percent) + number * Fraction(step.each)
            found.append((hundredth, percent * PPM_PER_PERCENT))
    return tuple(sorted(found))


def exact(amount: Decimal, per_unit: int) -> int:
    """Return a Decimal in integer parts of a unit; the schema has checked that nothing is lost."""
    return int(amount * per_unit)


def _fields(tariff: TariffTable, table: VersionFields) -> dict[str, object]:
    """Return every key of a version, from the version itself or else from its tariff."""
    return {
        name: getattr(table if name in table.model_fields_set else tariff, name) for name in VersionFields.model_fields
    }


def _tax_factor(tax: TaxTable | None) -> Fraction:
    return Fraction(1) if tax is None or tax.inclusive else 1 + Fraction(tax.percent) / HUNDRED


def _micro(part: PartTable, rates: Iterable[RateName], tiers: int) -> Iterator[tuple[RateName, tuple[Fraction, ...]]]:
    factor = Fraction(part.factor) * MICRO
    for rate in rates:
        if rate in part.price:
            yield rate, tuple(Fraction(price) * factor for price in _spread(part.price[rate], tiers))


def _spread(prices: tuple[Decimal, ...], tiers: int) -> tuple[Decimal, ...]:
    return prices * tiers if len(prices) == 1 else prices


def _service_fee(version: VersionFields, parts: list[Part]) -> Iterator[Part]:
    """Yield the service fee as a part of its own: so much of the sum of the parts, or so much per unit."""
    fee = version.service_fee
    if fee is None or not parts:
        return
    micro: dict[RateName, tuple[Fraction, ...]] = {}
    for rate in parts[0].micro:
        if all(rate in part.micro for part in parts):
            sums = [sum(prices, Fraction(0)) for prices in zip(*(part.micro[rate] for part in parts), strict=False)]
            if fee.percent is not None:
                micro[rate] = tuple(price * Fraction(fee.percent) / HUNDRED for price in sums)
            else:
                micro[rate] = (Fraction(fee.per_unit or 0) * MICRO,) * len(sums)
    yield Part(fee.id, fee.name_zh, fee.name_en, RESALE_SURCHARGE, micro)


def _version(tariff: TariffTable, dated: Dated, timezone: str, steps: Mapping[str, PowerFactorSteps]) -> Version:
    table = dated.table
    return Version(
        from_s=dated.from_s,
        to_s=dated.to_s,
        tables=day_tables(table),
        days=_days(dated, timezone),
        parts=tuple(_part(part, tier_count(table)) for part in parts_of(tariff, table)),
        tiers=None if table.tiers is None else _tiers(table.tiers),
        tax=Tax() if table.tax is None else Tax(exact(table.tax.percent, PPM_PER_PERCENT), table.tax.inclusive),
        components=tuple(_components(table, steps)),
    )


def _days(dated: Dated, timezone: str) -> Days:
    """Return the holidays and special days of a version, those within its time only."""
    table = dated.table
    first = local_day(timezone, dated.from_s) if dated.from_s > ALWAYS_S else 0
    last = local_day(timezone, dated.to_s) if dated.to_s < FOREVER_S else date.max.toordinal()

    def within(days: frozenset[int]) -> frozenset[int]:
        return frozenset(day for day in days if first <= day <= last)

    special = tuple((special.id, within(special_days(table, special))) for special in table.special)
    if not table.holidays:
        return Days(special=special)
    calendar = holiday_calendar(table.holidays)
    return Days(within(calendar.holidays), within(calendar.make_up), special)


def _part(part: Part, tiers: int) -> PricePart:
    nothing = (Fraction(NO_PRICE_MICRO),) * tiers
    micro = tuple(tuple(map(int, part.micro.get(rate, nothing))) for rate in RATES)  # type: ignore[call-overload]
    return PricePart(part.id, part.name_zh, part.name_en, micro, part.compliance)


def _tiers(table: TiersTable) -> Tiers:
    return Tiers(
        mode=table.mode,
        period=table.period,
        bounds_milli=tuple(exact(bound, MILLI) for bound in table.bounds),
        settlement_day=table.settlement_day,
        household_from=table.household_from,
        household_add_milli=exact(table.household_add, MILLI),
        prorate_first=table.prorate_first,
    )


def _components(version: VersionFields, steps: Mapping[str, PowerFactorSteps]) -> Iterator[Component]:
    nano = {key: int(amount) for key, amount in amounts_of(version)}
    for number, fixed in enumerate(version.fixed, start=1):
        amount = nano[f"fixed.{number}.amount"]
        yield FixedCharge(fixed.id, fixed.name_zh, fixed.name_en, fixed.per, amount, fixed.while_stopped)
    if (demand := version.demand) is not None:
        yield Demand(**demand.model_dump(exclude={"price"}), price_nano_per_kw=nano["demand.price"])
    if (capacity := version.capacity) is not None:
        yield Capacity(**capacity.model_dump(exclude={"price"}), price_nano_per_kva=nano["capacity.price"])
    if (factor := version.power_factor) is not None:
        table = steps[factor.standard]
        ppm = tuple((hundredth, int(found)) for hundredth, found in steps_of(table))
        hundredths = exact(table.standard, HUNDRED)
        yield PowerFactor(factor.id, factor.name_zh, factor.name_en, hundredths, ppm, factor.parts)
    if (minimum := version.minimum) is not None:
        yield Minimum(minimum.id, minimum.name_zh, minimum.name_en, nano["minimum.amount"])
    if (base := version.base_quantity) is not None:
        yield BaseQuantity(base.id, base.name_zh, base.name_en, exact(base.quantity, MILLI))

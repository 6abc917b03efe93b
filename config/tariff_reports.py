"""What people are told about plans: a line, a page, and what to know before one is used."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing_core.columns import E_PRICES, E_RATE
from billing_core.components import BaseQuantity, Capacity, Component, Demand, FixedCharge, Minimum, PowerFactor
from billing_core.plan import ALWAYS_S, FOREVER_S, NO_OPTIONS, RATES, DayTable, Plan, Version
from billing_core.plan_body import plan_hash
from billing_core.schedule import unroll
from config import planning
from config.holiday_calendar import LAST_YEAR, holiday_calendar
from config.loader import Sources

MICRO: Final = Decimal(1_000_000)
NANO: Final = Decimal(1_000_000_000)
MILLI: Final = Decimal(1000)
PPM_PER_PERCENT: Final = Decimal(10_000)
RATE_NAMES: Final = ("尖 sharp", "峰 peak", "平 flat", "谷 valley", "深谷 deep valley")
CHINA: Final = "CNY"

Note = Mapping[str, str]  # tariff, zh, en


def summary(plan: Plan) -> dict[str, Any]:
    """Return what a list says of a plan."""
    return {
        "id": plan.id, "name_zh": plan.name_zh, "name_en": plan.name_en, "medium": plan.medium, "unit": plan.unit,
        "versions": len(plan.versions), "hash": plan_hash(plan).hex(),
    }  # fmt: skip


def notes(sources: Sources) -> Iterator[Note]:
    """Yield what is no fault and yet worth knowing: fees that may be forbidden, calendars that end, plans that end."""
    site = sources.one("site")
    told: set[tuple[str, str]] = set()
    for table in sources.by_id("tariff").values():
        for dated in planning.dated_versions(table, site.timezone):
            for zh, en in _notes(dated, site.currency):
                if (table.id, en) not in told:
                    told.add((table.id, en))
                    yield {"tariff": table.id, "zh": zh, "en": en}


def _notes(dated: planning.Dated, currency: str) -> Iterator[tuple[str, str]]:
    table = dated.table
    if table.service_fee is not None and currency == CHINA:
        yield (
            f"含服务费“{table.service_fee.name_zh}”：国办函〔2020〕129号规定不得在公用事业价格之外加收费用，请确认有依据",
            f"service fee '{table.service_fee.id}': fees on top of utility prices are forbidden in China since"
            " 2021-03-01 (State Council 2020-129) unless a rule of the place allows them",
        )
    if table.holidays:
        until = holiday_calendar(table.holidays).set_until
        if until < LAST_YEAR:
            yield (
                f"节假日安排已公布至{until}年；{until + 1}至{LAST_YEAR}年按法定节日，不含调休",
                f"holidays and make-up days are set until {until}; {until + 1} to {LAST_YEAR} follow the law alone,"
                " without make-up days",
            )
        yield (
            f"{LAST_YEAR}年以后按星期计",
            f"after {LAST_YEAR} every date goes by its weekday",
        )
    if dated.to_s < FOREVER_S and dated.table.to is not None:
        yield (
            f"{table.to}之后若无下一版本则无价格，用量将被挂起",
            f"after {table.to} there is no price unless another version follows; consumption is then held",
        )


def shown(plan: Plan, at_s: int | None) -> Iterator[str]:
    """Yield the lines of a page about a plan; with `at_s` only the version and the rate period in force then."""
    yield f"{plan.id}  {plan.name_zh} / {plan.name_en}  {plan.medium}, {plan.currency}/{plan.unit}, {plan.timezone}"
    yield f"hash {plan_hash(plan).hex()}"
    if at_s is not None:
        yield _at(plan, at_s)
    for version in plan.versions:
        if at_s is None or version.from_s <= at_s < version.to_s:
            yield ""
            yield f"{_when(version.from_s, plan)} .. {_when(version.to_s, plan)}"
            yield from (f"  {line}" for line in _version_lines(version, plan))


def _at(plan: Plan, at_s: int) -> str:
    """Return the rate period and the prices at one second."""
    found = unroll(plan, NO_OPTIONS, at_s, at_s + 1)
    row = int(found.entries[0, E_PRICES])
    if row < 0:
        return f"{_when(at_s, plan)}: no price, consumption is held"
    version = plan.version_at(at_s)
    assert version is not None  # it has a price
    tiers = found.prices[row, : version.tier_count]
    prices = " | ".join(_decimal(int(price), MICRO) for price in tiers)
    return f"{_when(at_s, plan)}: {RATE_NAMES[int(found.entries[0, E_RATE])]} {prices}"


def _version_lines(version: Version, plan: Plan) -> Iterator[str]:
    used = sorted({slot.rate for table in version.tables for slot in table.slots})
    for rate in used:
        prices = [version.price_micro(rate, tier) for tier in range(version.tier_count)]
        parts = ""
        if len(version.parts) > 1:
            each = (" | ".join(_decimal(micro, MICRO) for micro in part.price_micro[rate]) for part in version.parts)
            names = (part.name_zh for part in version.parts)
            parts = " = " + " + ".join(f"{name} {price}" for name, price in zip(names, each, strict=True))
        yield f"{RATE_NAMES[rate]}: {' | '.join(_decimal(price, MICRO) for price in prices)}{parts}"
    if (tiers := version.tiers) is not None:
        bounds = ", ".join(_decimal(bound, MILLI) for bound in tiers.bounds_milli)
        added = f", from person {tiers.household_from} + {_decimal(tiers.household_add_milli, MILLI)} each"
        yield f"阶梯 tiers ({tiers.mode}, {tiers.period}): {bounds} {plan.unit}{added if tiers.household_from else ''}"
    for table in version.tables:
        yield from _table_lines(table)
    named = (("节假日 holidays", version.days.holidays), ("调休 make-up days", version.days.make_up))
    for name, days in (*named, *((f"特殊日 {name}", days) for name, days in version.days.special)):
        if days:
            first, last = (date.fromordinal(day).isoformat() for day in (min(days), max(days)))
            yield f"{name}: {len(days)} from {first} to {last}"
    tax = version.tax
    if tax.ppm:
        kind = "included 含税" if tax.inclusive else "was added 价外税已计入"
        yield f"税 tax {_decimal(tax.ppm, PPM_PER_PERCENT)} %, {kind}"
    yield from (f"{found.name_zh} / {found.name_en}: {_component(found)}" for found in version.components)


def _table_lines(table: DayTable) -> Iterator[str]:
    seasons = ", ".join(f"{s.first[0]:02}-{s.first[1]:02}..{s.last[0]:02}-{s.last[1]:02}" for s in table.seasons)
    slots = ", ".join(
        f"{_clock(slot.start_minute)}-{_clock(slot.end_minute)} {RATES[slot.rate]}" for slot in table.slots
    )
    yield f"{', '.join(sorted(table.kinds)) or 'every day'}{' in ' + seasons if seasons else ''}: {slots}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _component(found: Component) -> str:
    if isinstance(found, FixedCharge):
        return f"{_decimal(found.amount_nano, NANO)} per {found.per}"
    if isinstance(found, Demand):
        return f"{_decimal(found.price_nano_per_kw, NANO)} per kW and month, {found.mode}"
    if isinstance(found, Capacity):
        return f"{_decimal(found.price_nano_per_kva, NANO)} per kVA and month"
    if isinstance(found, PowerFactor):
        return f"standard {Decimal(found.standard_hundredths) / 100}"
    if isinstance(found, Minimum):
        return f"{_decimal(found.amount_nano, NANO)} per month"
    assert isinstance(found, BaseQuantity)
    return f"{_decimal(found.milli, MILLI)} free per month"


def _decimal(value: int, per_unit: Decimal) -> str:
    return f"{(value / per_unit).normalize():f}"


def _when(at_s: int, plan: Plan) -> str:
    if at_s == ALWAYS_S:
        return "always"
    if at_s >= FOREVER_S:
        return "for ever"
    return datetime.fromtimestamp(at_s, ZoneInfo(plan.timezone)).strftime("%Y-%m-%d %H:%M")

"""Tariff plans as data: what a unit costs, from when to when, and what is charged besides the unit.

A plan is a row of dated versions that join without gap or overlap. A version prices every minute by season, kind of
day and slot (rate period), and every unit by its place in the tiers; the price of a unit is the sum of its parts.
Components that do not hang on the single unit (fixed charges, demand, capacity, ...) are in `components.py`.

Rule: plain frozen integers, dates as proleptic ordinals (`datetime.date.toordinal`), money in micro per unit. Nothing
here reads a clock or a zone; `schedule.py` unrolls a plan for the kernel, `config/` builds and checks it.
"""

from dataclasses import dataclass
from typing import Final, Literal

from billing_core.components import Component

RATES: Final = ("sharp", "peak", "flat", "valley", "deep_valley")  # 尖 峰 平 谷 深谷
MEDIA: Final = ("electricity", "water", "gas", "steam", "heat", "cooling")
MINUTES_OF_DAY: Final = 1440
ALWAYS_S: Final = 0  # from_s of a version without beginning: 1970, before any meter this program reads
FOREVER_S: Final = 2**40  # to_s of the version that has no end
NO_PRICE_MICRO: Final = -1  # of a rate that no slot uses
TIERS_MOST: Final = 8  # widest table of tiers the kernel holds; the widest in public use has six

# Kinds of day. A date is special when the version names it, else a holiday, else a make-up working day, else it goes
# by its weekday: it then is of that weekday's kind ("mon" .. "sun") and of kind working or weekend, both at once.
WORKING: Final = "working"
WEEKEND: Final = "weekend"
HOLIDAY: Final = "holiday"
MAKE_UP: Final = "make_up"  # 调休: a Saturday or Sunday that is worked; also of kind working


@dataclass(frozen=True, slots=True)
class Slot:
    """One rate period of a day: [start, end) in minutes of the local day, never crossing midnight."""

    start_minute: int
    end_minute: int
    rate: int  # index into RATES


@dataclass(frozen=True, slots=True)
class Season:
    """Dates of a year, both ends included, as (month, day); an end before its start lies in the next year."""

    first: tuple[int, int]
    last: tuple[int, int]


@dataclass(frozen=True, slots=True)
class DayTable:
    """The slots of some days. Exactly one table of a version fits any date, and its slots cover the day once."""

    seasons: tuple[Season, ...]  # none: all year
    kinds: frozenset[str]  # WORKING, WEEKEND, HOLIDAY, MAKE_UP, "mon" .. "sun", names of special days; empty: all
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Days:
    """Which dates are no ordinary weekdays, spelled out, so that a bill can be computed again in ten years."""

    holidays: frozenset[int] = frozenset()  # ordinals
    make_up: frozenset[int] = frozenset()  # 调休: Saturdays and Sundays that are working days
    special: tuple[tuple[str, frozenset[int]], ...] = ()  # name of the kind of day -> ordinals


@dataclass(frozen=True, slots=True)
class PricePart:
    """One part of the unit price: energy, resource fee, sewage, fund, service fee. Factors and percents are applied."""

    id: str
    name_zh: str
    name_en: str
    price_micro: tuple[tuple[int, ...], ...]  # [rate][tier]; one row for each of RATES, NO_PRICE_MICRO where not used
    compliance: str = ""  # word of a warning, e.g. "resale-surcharge": extra charges that local rules may forbid


@dataclass(frozen=True, slots=True)
class Tiers:
    """Blocks of consumption within an accumulation period; tier k reaches up to and including bounds_milli[k]."""

    mode: Literal["graduated", "volume"]  # each slice at its own price | everything at the price of the tier reached
    period: Literal[
        "month", "year", "anniversary"
    ]  # calendar month (from settlement_day), year, or year of the opening
    bounds_milli: tuple[int, ...]  # ascending, thousandths of the unit, one less than there are tiers
    settlement_day: int = 1  # 1..28, local midnight at which a month begins
    household_from: int = 0  # persons of a household from which bounds are widened; 0: never
    household_add_milli: int = 0  # added to every bound for each person from `household_from` on
    prorate_first: bool = False  # first period after the opening: bounds x remaining months / months of the period


@dataclass(frozen=True, slots=True)
class Tax:
    """Value added tax of the medium. Prices of a plan are what the tenant pays, unless `inclusive` is false."""

    ppm: int = 0  # millionths: 130_000 is 13 %
    inclusive: bool = True  # False: PricePart.price_micro already carries the tax that was added at load


@dataclass(frozen=True, slots=True)
class Version:
    """A plan from one second to another, UTC, [from_s, to_s)."""

    from_s: int
    to_s: int
    tables: tuple[DayTable, ...]
    days: Days
    parts: tuple[PricePart, ...]
    tiers: Tiers | None = None
    tax: Tax = Tax()
    components: tuple[Component, ...] = ()

    @property
    def tier_count(self) -> int:
        return 1 if self.tiers is None else len(self.tiers.bounds_milli) + 1

    def price_micro(self, rate: int, tier: int) -> int:
        """Return the whole price of a unit, -1 where any part has none."""
        prices = [part.price_micro[rate][tier] for part in self.parts]
        return -1 if not prices or min(prices) < 0 else sum(prices)


@dataclass(frozen=True, slots=True)
class Plan:
    """One tariff: what a unit of one medium costs at any time."""

    id: str
    name_zh: str
    name_en: str
    medium: str
    unit: str  # priced unit: kWh, m3, GJ, t
    currency: str
    timezone: str  # IANA name
    versions: tuple[Version, ...]  # each begins where the one before ends

    def version_at(self, at_s: int) -> Version | None:
        return next((version for version in self.versions if version.from_s <= at_s < version.to_s), None)


@dataclass(frozen=True, slots=True)
class TierOptions:
    """What a supply point adds to the tiers of its plan. Points with equal options share one compiled schedule."""

    household: int = 0  # persons
    opened_s: int = 0  # UTC second of the opening: anniversary and first, partial period; 0: long ago


NO_OPTIONS: Final = TierOptions()

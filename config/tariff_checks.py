"""Checks of tariffs: every minute of every day has exactly one rate, every rate a price in every tier, nothing rounded.

Rule: what is checked is what is charged: slots, days, prices and versions are asked of the functions that make the
plan.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from billing_core.bounds import PRICE_MICRO_MAX
from billing_core.plan import MINUTES_OF_DAY, RATES, TIERS_MOST
from config import holiday_calendar, planning
from config.day_tables import MONTH_DAYS, layout, names_of, rates_used, seasons_of
from config.loader import Placed, Sources, listed, nearest
from config.tariff_tables import TariffTable, VersionTable
from scada.errors import Fault

Check = Callable[[Sources], Iterator[Fault]]
Stretch = tuple[int, int, int]  # start minute, end minute, how many slots cover it
ONCE: Final = "every minute of every day exactly once"
HUNDREDTHS: Final = range(101)


class Place(NamedTuple):
    """One version of one tariff, and how to name a key of it in a fault."""

    placed: Placed[TariffTable]
    dated: planning.Dated

    @property
    def table(self) -> VersionTable:
        return self.dated.table

    def fault(self, name: str, wrong: str, allowed: str) -> Fault:
        """Return a fault at a key of the version, or of its tariff when the version has the key from there."""
        own = name.partition(".")[0] in self.dated.own | {"from", "to"}
        return self.placed.fault(".".join(filter(None, (self.dated.key if own else "", name))), wrong, allowed)


def versions(sources: Sources) -> Iterator[Fault]:
    """Versions join: each has a beginning, after that of the one before, and ends where the next begins."""
    for placed in sources.many("tariff"):
        dated = planning.dated_versions(placed.item, _zone(sources))
        for before, version in zip([None, *dated], dated, strict=False):
            place = Place(placed, version)
            if before is not None and version.table.from_ is None:
                yield place.fault("from", "missing", "the date on which this version begins")
            elif before is not None and version.from_s <= before.from_s:
                wrong = f"{version.table.from_} is not after {before.table.from_ or 'the beginning'}"
                yield place.fault("from", wrong, "versions in the order of their dates")
            elif before is not None and before.to_s != version.from_s:
                word = "gap" if before.to_s < version.from_s else "overlap"
                wrong = f"{word}: the version before ends {before.table.to}, this one begins {version.table.from_}"
                yield place.fault("from", wrong, "no `to` but on a last version, or the same date in both")
            if version.to_s <= version.from_s and version.table.to is not None:
                yield place.fault("to", f"{version.table.to} is not after its beginning", "a later date")


def _once(check: Check) -> Check:
    """Tell a fault once that several versions of a tariff have in common."""

    @functools.wraps(check)
    def told(sources: Sources) -> Iterator[Fault]:
        yield from dict.fromkeys(check(sources))

    return told


@_once
def days(sources: Sources) -> Iterator[Fault]:
    """Slots name known days and seasons; seasons share out the year; no date is of two special kinds."""
    for place in _places(sources):
        table = place.table
        if table.holidays and not holiday_calendar.known(table.holidays):
            allowed = "CN, another country (ISO 3166) or a part of one such as US-NY"
            yield place.fault("holidays", f"no calendar '{table.holidays}'", allowed)
            continue
        yield from _names(place)
        yield from _seasons(place)
        yield from _specials(place)


@_once
def coverage(sources: Sources) -> Iterator[Fault]:
    """Every minute of every day is covered exactly once; equal faults of several days are one."""
    for place in _places(sources):
        if (places := _priceless(place)) is not None:
            yield places
            continue
        found: dict[Stretch, dict[str, list[str]]] = {}
        for (season, day), slots in layout(place.table).items():
            minutes = np.zeros(MINUTES_OF_DAY, dtype=np.int64)
            for slot in slots:
                minutes[slot.start_minute : slot.end_minute] += 1
            for stretch in _stretches(minutes):
                found.setdefault(stretch, {}).setdefault(season, []).append(day)
        for (start, end, times), of_season in found.items():
            wrong = "not covered" if times == 0 else f"covered {times} times"
            alike = len(of_season) == len(seasons_of(place.table)) and len(set(map(tuple, of_season.values()))) == 1
            for season, names in list(of_season.items())[: 1 if alike else None]:
                when = f"{'' if alike else season + ' '}{', '.join(names)} {_clock(start)}-{_clock(end)}"
                yield place.fault("slot", f"{'gap' if times == 0 else 'overlap'}: {when} {wrong}", ONCE)


@_once
def prices(sources: Sources) -> Iterator[Fault]:
    """Every rate in use has a price in every part and every tier; prices come out in whole millionths."""
    for place in _places(sources):
        parts = planning.parts_named(place.placed.item, place.table)
        if not parts:
            yield place.fault("price", "missing", "a price, or parts of one")
        tiers = planning.tier_count(place.table)
        missing = False
        for number, part in enumerate(parts, start=0 if place.table.price is not None else 1):
            key = f"part.{number}.price" if number else "price"
            for rate in rates_used(place.table):
                if rate not in part.price:
                    missing = True
                    yield place.fault(key, f"no price for the rate '{rate}' that a slot uses", f"{rate} = a price")
            for rate, named in part.price.items():
                if len(named) not in (1, tiers):
                    missing = True
                    yield place.fault(
                        f"{key}.{rate}", f"{len(named)} prices for {tiers} tiers", f"one price, or {tiers}"
                    )
        if parts and not missing:
            yield from _whole_prices(place)


@_once
def tiers(sources: Sources) -> Iterator[Fault]:
    """Bounds rise, and there are not more tiers than the kernel holds."""
    for place in _places(sources):
        if (table := place.table.tiers) is None:
            continue
        if any(after <= before for before, after in zip([0, *table.bounds], table.bounds, strict=False)):
            yield place.fault("tiers.bounds", f"{', '.join(map(str, table.bounds))}", "bounds above 0 that rise")
        if len(table.bounds) >= TIERS_MOST:
            yield place.fault("tiers.bounds", f"{len(table.bounds)} bounds", f"at most {TIERS_MOST - 1}")
        if bool(table.household_from) != bool(table.household_add):
            allowed = "both household_from and household_add, or neither"
            yield place.fault("tiers.household_add", "one without the other", allowed)
        if table.prorate_first and table.period != "year":
            yield place.fault("tiers.prorate_first", f"with period '{table.period}'", "only with period 'year'")


@_once
def components(sources: Sources) -> Iterator[Fault]:
    """Ids are unique within a version; tables and parts that are named exist; amounts come out in whole nano."""
    known = sources.ids.get("power_factor", set())
    for place in _places(sources):
        table = place.table
        named = [part.id for part in planning.parts_named(place.placed.item, table)]
        named += [table.service_fee.id] if table.service_fee is not None else []
        ids = [*named, *(fixed.id for fixed in table.fixed)]
        ids += [found.id for found in _single(table) if found is not None]
        for twice in sorted({name for name in ids if ids.count(name) > 1}):
            yield place.fault("", f"'{twice}' names two parts or components", "an id for each")
        if (factor := table.power_factor) is not None:
            if factor.standard not in known and "power_factor" not in sources.unread:
                wrong = f"no table '{factor.standard}'{nearest(factor.standard, known)}"
                yield place.fault("power_factor.standard", wrong, listed(known))
            for part in factor.parts:
                if part not in named:
                    yield place.fault("power_factor.parts", f"no part '{part}'{nearest(part, named)}", listed(named))
        if (demand := table.demand) is not None and demand.window_s % demand.slide_s:
            wrong = f"{demand.window_s} s is no multiple of {demand.slide_s} s"
            yield place.fault("demand.window_s", wrong, "a window of whole slides")
        for key, nano in planning.amounts_of(table):
            if nano.denominator != 1:
                yield place.fault(key, "with its tax no whole billionth", "an amount that its tax leaves exact")
        if table.tax is not None and (table.tax.percent * planning.PPM_PER_PERCENT) % 1:
            yield place.fault("tax.percent", str(table.tax.percent), "at most 4 decimals")


def power_factors(sources: Sources) -> Iterator[Fault]:
    """A table of power factors has every hundredth from 0 to 1 exactly once, and a known standard."""
    seen: set[str] = set()
    for placed in sources.many("power_factor"):
        if placed.item.id in seen:
            yield placed.fault("id", f"'{placed.item.id}' stands twice", "one table for each id")
        seen.add(placed.item.id)
        numbers = (placed.item.standard, *(edge for step in placed.item.step for edge in (step.first, step.last)))
        if any((number * planning.HUNDRED) % 1 for number in numbers):
            yield placed.fault("step", "a power factor with more than 2 decimals", "hundredths from 0.00 to 1.00")
            continue
        steps = planning.steps_of(placed.item)
        found = [hundredth for hundredth, _ in steps]
        if found != list(HUNDREDTHS):
            wrong = sorted(set(HUNDREDTHS) - set(found)) or sorted({h for h in found if found.count(h) > 1})
            word = "missing" if len(set(found)) < len(HUNDREDTHS) else "twice"
            yield placed.fault("step", f"{wrong[0] / 100:.2f} {word}", "every hundredth from 0.00 to 1.00 once")
        if any(ppm.denominator != 1 for _, ppm in steps):
            yield placed.fault("step", "a percentage with more than 4 decimals", "at most 4 decimals")


def openings(sources: Sources) -> Iterator[Fault]:
    """The opening of a supply point is a date of the calendar."""
    for placed in sources.many("point"):
        if placed.item.opened:
            try:
                date.fromisoformat(placed.item.opened)
            except ValueError:
                yield placed.fault("opened", f"'{placed.item.opened}' is no date", "a date YYYY-MM-DD")


def _zone(sources: Sources) -> str:
    """Return the site's zone, or UTC while its own check has to complain."""
    site = sources.one("site")
    try:
        return str(ZoneInfo(site.timezone).key) if site is not None else "UTC"
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"


def _places(sources: Sources) -> Iterator[Place]:
    for placed in sources.many("tariff"):
        for dated in planning.dated_versions(placed.item, _zone(sources)):
            yield Place(placed, dated)


def _single(table: VersionTable) -> Iterable[Any]:
    return table.demand, table.capacity, table.power_factor, table.minimum, table.base_quantity


def _names(place: Place) -> Iterator[Fault]:
    table = place.table
    names, seasons = names_of(table), [season.id for season in table.season]
    for number, slot in enumerate(table.slot, start=1):
        for name in slot.days:
            if name not in names:
                allowed = f"{', '.join(names)}{'' if table.holidays else ' (holiday needs `holidays`)'}"
                yield place.fault(f"slot.{number}.days", f"no kind of day '{name}'{nearest(name, names)}", allowed)
        for name in slot.seasons:
            if name not in seasons:
                wrong = f"no season '{name}'{nearest(name, seasons)}"
                yield place.fault(f"slot.{number}.seasons", wrong, listed(seasons))


def _seasons(place: Place) -> Iterator[Fault]:
    found = seasons_of(place.table)
    ids = [season.id for season in place.table.season]
    if len(set(ids)) != len(ids):
        yield place.fault("season", "two seasons with one id", "an id for each season")
    if sum(not season.ranges for season in place.table.season) > 1:
        yield place.fault("season", "two seasons without ranges", "at most one, for the rest of the year")
        return
    for day in MONTH_DAYS:
        times = sum(day in days for days in found.values())
        if times != 1:
            wrong = f"{day[0]:02}-{day[1]:02} lies in {'no season' if times == 0 else f'{times} seasons'}"
            yield place.fault("season", wrong, "every day of the year in one season")
            return


def _specials(place: Place) -> Iterator[Fault]:
    table = place.table
    seen: dict[int, str] = {}
    for special in table.special:
        if special.id in names_of(table.model_copy(update={"special": ()})):
            yield place.fault(
                f"special.{special.id}", f"'{special.id}' is the name of a kind of day", "a name of its own"
            )
        if special.holiday is not None:
            known = holiday_calendar.holiday_calendar(table.holidays).named if table.holidays else {}
            if special.holiday not in known:
                wrong = f"no holiday '{special.holiday}'{nearest(special.holiday, known)}"
                yield place.fault(f"special.{special.id}.holiday", wrong, listed(known) if known else "with `holidays`")
        for day in sorted(planning.special_days(table, special)):
            if seen.setdefault(day, special.id) != special.id:
                wrong = f"{date.fromordinal(day)} is '{seen[day]}' too"
                yield place.fault(f"special.{special.id}", wrong, "each date in one special day")
                break


def _priceless(place: Place) -> Fault | None:
    """Return the fault of several prices that no slot tells apart."""
    if place.table.slot:
        return None
    for part in planning.parts_named(place.placed.item, place.table):
        if len(part.price) > 1 and not (len(part.price) == len(RATES) and len(set(part.price.values())) == 1):
            allowed = "one price, or slots that say when each holds"
            return place.fault("price", f"{len(part.price)} prices and no slot", allowed)
    return None


def _whole_prices(place: Place) -> Iterator[Fault]:
    parts = planning.parts_of(place.placed.item, place.table)
    for part in parts:
        for rate, micro in part.micro.items():
            for price in micro:
                if price.denominator != 1:
                    wrong = f"'{part.id}' {rate}: {float(price) / 1e6:.9f} after factor, fee and tax"
                    yield place.fault("price", wrong, "prices that stay whole millionths")
                    return
    for rate in rates_used(place.table):
        dearest = max(sum(column) for column in zip(*(part.micro[rate] for part in parts), strict=False))
        if dearest > PRICE_MICRO_MAX:
            yield place.fault("price", f"{rate}: the parts add up to {int(dearest) // 10**6}", "less than a million")


def _stretches(minutes: Any) -> Iterator[Stretch]:
    """Yield the stretches of a day that are not covered exactly once."""
    edges = np.flatnonzero(np.diff(minutes)) + 1
    for start, end in zip([0, *edges], [*edges, MINUTES_OF_DAY], strict=True):
        if minutes[start] != 1:
            yield int(start), int(end), int(minutes[start])


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


TARIFF_CHECKS: Final[tuple[Check, ...]] = (
    versions, days, coverage, prices, tiers, components, power_factors, openings,
)  # fmt: skip

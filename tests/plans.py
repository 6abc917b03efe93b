"""Plans for tests: one version for ever, one price part, no components, unless a test asks for more."""

from collections.abc import Mapping, Sequence

from billing_core.plan import (
    ALWAYS_S,
    FOREVER_S,
    MINUTES_OF_DAY,
    NO_PRICE_MICRO,
    RATES,
    Days,
    DayTable,
    Plan,
    PricePart,
    Slot,
    Tiers,
    Version,
)

NO_DAYS = Days()
ALL_DAY = (Slot(0, MINUTES_OF_DAY, RATES.index("flat")),)


def plan(
    name: str,
    prices: Mapping[int, int | Sequence[int]],
    slots: Sequence[Slot] = ALL_DAY,
    *,
    tables: Sequence[DayTable] = (),
    tiers: Tiers | None = None,
    medium: str = "electricity",
    unit: str = "kWh",
    timezone: str = "Asia/Shanghai",
) -> Plan:
    """Return a plan. prices: rate -> micro, or micro of each tier; `tables` stand instead of `slots`."""
    found = tuple(tables) or (DayTable((), frozenset(), tuple(slots)),)
    only = version(prices, found, tiers=tiers)
    return Plan(name, "", "", medium, unit, "CNY", timezone, (only,))


def version(
    prices: Mapping[int, int | Sequence[int]],
    tables: Sequence[DayTable] = (DayTable((), frozenset(), ALL_DAY),),
    *,
    from_s: int = ALWAYS_S,
    to_s: int = FOREVER_S,
    days: Days = NO_DAYS,
    tiers: Tiers | None = None,
) -> Version:
    return Version(from_s, to_s, tuple(tables), days, (part(prices, tiers),), tiers)


def part(prices: Mapping[int, int | Sequence[int]], tiers: Tiers | None = None, name: str = "energy") -> PricePart:
    """Return a price part; a single price holds in every tier."""
    count = 1 if tiers is None else len(tiers.bounds_milli) + 1
    spread = {rate: (micro,) * count if isinstance(micro, int) else tuple(micro) for rate, micro in prices.items()}
    return PricePart(name, "", "", tuple(spread.get(rate, (NO_PRICE_MICRO,) * count) for rate in range(len(RATES))))

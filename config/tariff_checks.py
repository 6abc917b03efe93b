"""Checks of tariffs: every minute of a week has exactly one rate, and every rate a price.

Rule: slots are laid on the minutes of a week with the same function that makes the kernel's tariff, so what is
checked is what is charged.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from billing_core.plan import MINUTES_OF_DAY
from config.loader import Placed, Sources
from config.planning import slots_of
from config.schema import DAYS
from scada.errors import Fault

Stretch = tuple[int, int, int]  # start minute, end minute, how many slots cover it
ONCE: Final = "every minute of the week exactly once"


def coverage(sources: Sources) -> Iterator[Fault]:
    """Every minute of a week is covered exactly once; equal gaps of several days are one fault."""
    for placed in sources.many("tariff"):
        if not placed.item.slot and len(placed.item.price) != 1:
            count = len(placed.item.price)
            yield placed.fault("price", f"{count} prices and no slot", "one price, or slots that say when each holds")
            continue
        found: dict[Stretch, list[int]] = {}
        for day, minutes in enumerate(_cover(placed)):
            for stretch in _stretches(minutes):
                found.setdefault(stretch, []).append(day)
        for (start, end, times), days in found.items():
            wrong = "not covered" if times == 0 else f"covered {times} times"
            spoken = f"{', '.join(DAYS[day] for day in days)} {_clock(start)}-{_clock(end)} {wrong}"
            yield placed.fault("slot", f"{'gap' if times == 0 else 'overlap'}: {spoken}", ONCE)


def prices(sources: Sources) -> Iterator[Fault]:
    """Every rate that a slot uses has a price."""
    for placed in sources.many("tariff"):
        for rate in dict.fromkeys(slot.rate for slot in placed.item.slot):
            if rate not in placed.item.price:
                yield placed.fault("price", f"no price for the rate '{rate}' that a slot uses", f"{rate} = a price")


def _cover(placed: Placed[Any]) -> Any:
    """Return (7, 1440) int: how many slots cover each minute of the week."""
    cover = np.zeros((len(DAYS), MINUTES_OF_DAY), dtype=np.int64)
    for days, slot in slots_of(placed.item):
        cover[sorted(days), slot.start_minute : slot.end_minute] += 1
    return cover


def _stretches(minutes: Any) -> Iterator[Stretch]:
    """Yield the stretches of a day that are not covered exactly once."""
    edges = np.flatnonzero(np.diff(minutes)) + 1
    for start, end in zip([0, *edges], [*edges, MINUTES_OF_DAY], strict=True):
        if minutes[start] != 1:
            yield int(start), int(end), int(minutes[start])


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


TARIFF_CHECKS: Final[tuple[Callable[[Sources], Iterator[Fault]], ...]] = (coverage, prices)

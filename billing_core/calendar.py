"""The calendar: untiered prices of plans over a window, for the kernel that knows no tiers yet (see schedule.py)."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from billing_core import schedule
from billing_core.columns import E_PRICES, E_RATE, E_START_S, NO_PRICE, Table
from billing_core.plan import Plan, TierOptions
from billing_core.schedule import NO_ROW
from billing_core.zones import DAY_S

__all__ = ["DAY_S", "Calendar", "Entry", "entry_at", "unroll", "unroll_all"]


class Entry(NamedTuple):
    """One stretch of constant price: from start_s to the start of the next entry."""

    start_s: int
    price_micro: int  # NO_PRICE where the plan has none
    rate: int  # index into plan.RATES, NO_RATE where none


class Calendar(NamedTuple):
    """All plans unrolled over one window. entries (m, CALENDAR_WIDTH); first (n_plans + 1,) offsets into it.

    Each plan's last entry begins at the window's end and has no price, so that nothing outside is ever billed.
    """

    entries: Table
    first: npt.NDArray[np.int64]
    from_s: int
    to_s: int


def unroll(plan: Plan, from_s: int, to_s: int) -> list[Entry]:
    """Return the plan's entries at the price of its first tier, sorted, closed by a NO_PRICE entry."""
    found = schedule.unroll(plan, TierOptions(), from_s, to_s)
    entries: list[Entry] = []
    for row in found.entries.tolist():
        price = int(found.prices[row[E_PRICES], 0]) if row[E_PRICES] != NO_ROW else NO_PRICE
        entry = Entry(row[E_START_S], price, row[E_RATE])
        if not entries or entries[-1][1:] != entry[1:] or entry.start_s == to_s:
            entries.append(entry)
    return entries


def unroll_all(plans: Sequence[Plan], from_s: int, to_s: int) -> Calendar:
    """Unroll every plan over one window."""
    lists = [unroll(plan, from_s, to_s) for plan in plans]
    first = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(entries) for entries in lists], out=first[1:])
    flat = [entry for entries in lists for entry in entries]
    return Calendar(np.array(flat, dtype=np.int64).reshape(-1, 3), first, from_s, to_s)


def entry_at(entries: Sequence[Entry], at_s: int) -> int:
    """Return the index of the entry in force at a UTC second, -1 before the first."""
    return bisect_right(entries, at_s, key=lambda entry: entry.start_s) - 1

"""The proof: every charge again, from nothing but readings, plans, terms and transfers.

    readings of a row --price--> lines --PointReplay (replay_point.py)--> compared with the rows of the books

Of a charge row only what it says about readings is believed: its terms, two registers, two times. The rate registers
that split an interval are stored beside the charges (`rate_reading`). Segments, rates,
tiers, tier positions, prices, quantities and money are computed again, with an own tier position that begins at zero.
Rule: pure, slow and obvious; `replay_block.py` does the same for millions of rows.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from billing_core.columns import KIND_METERED, KIND_UPLIFT, METHOD_READ, METHOD_REGISTERS, METHOD_TIME
from billing_core.plan import Plan, TierOptions
from billing_core.rate_evidence import RateReading
from billing_core.schedule import NO_ROW, unroll
from billing_core.zones import DAY_S

WINDOW_S: Final = 32 * DAY_S  # schedules are unrolled in pieces of this length and kept while charges lie in them
WINDOWS_KEPT: Final = 256
NO_PERIOD_YET: Final = -(2**62)
SLACK_COUNTS: Final = 2  # beside one count for each rate register


class Charge(NamedTuple):
    """A charge row as the books hold it. Times UTC seconds."""

    seq: int
    line: int
    terms: int
    raw_from: int
    from_s: int
    raw_to: int
    to_s: int
    segment_from_s: int
    segment_to_s: int
    rate: int
    tier: int
    position_milli: int
    price_micro: int
    milli: int
    nano: int
    kind: int
    method: int
    reverses_seq: int = 0
    reverses_line: int = 0

    @property
    def name(self) -> str:
        return f"{self.seq}:{self.line}"

    @property
    def readings(self) -> tuple[int, int, int, int, int]:
        """What of a row is evidence: terms, and two registers with their times."""
        return self.terms, self.raw_from, self.from_s, self.raw_to, self.to_s


class Line(NamedTuple):
    """One charge as the replay computes it: what of an interval lies in one entry and one tier."""

    segment_from_s: int
    segment_to_s: int
    rate: int
    tier: int
    position_milli: int
    price_micro: int
    milli: int
    nano: int
    kind: int
    method: int


class Supply(NamedTuple):
    """Terms of supply by their number in the books."""

    number: int
    point: str
    meter: str
    account: str  # ledger account, wallet:<account>
    medium: str
    unit: str
    milli_per_count: int
    modulus_counts: int
    plan_hash: bytes
    options: TierOptions


class Entry(NamedTuple):
    """One stretch of a schedule: from start_s to the start of the next."""

    start_s: int
    rate: int
    prices_micro: tuple[int, ...]  # of each tier; () where there is no price
    bounds_milli: tuple[int, ...]
    volume: bool
    period: int


@dataclass(slots=True)
class Position:
    """How much of an accumulation period a supply point has used."""

    milli: int = 0
    period: int = NO_PERIOD_YET

    def enter(self, period: int) -> None:
        """Go on in a period; the position returns to zero where it changes."""
        if period != self.period:
            self.milli, self.period = 0, period


class Unpriced(Exception):
    """An interval that no plan prices: such a charge could never have been made."""


class Prices:
    """Schedules of stored plans, unrolled piece by piece."""

    def __init__(self, plans: Mapping[bytes, Plan]) -> None:
        self._plans = plans
        self._window = lru_cache(WINDOWS_KEPT)(self._unroll)

    def plan(self, plan_hash: bytes) -> Plan:
        if plan_hash not in self._plans:
            raise Unpriced(f"the books hold no plan {plan_hash.hex()[:12]}")
        return self._plans[plan_hash]

    def hash_of(self, plan: str, at_s: int) -> bytes | None:
        """Return the hash of a body of a plan that says something of an instant; what bodies say of the past is one."""
        bodies = ((number, body) for number, body in self._plans.items() if body.id == plan)
        return next((number for number, body in bodies if body.version_at(at_s) is not None), None)

    def entries(self, plan_hash: bytes, options: TierOptions, from_s: int, to_s: int) -> Sequence[Entry]:
        """Return the entries from the one in force at from_s to the first that begins at or after to_s."""
        window = self._window(plan_hash, options, from_s // WINDOW_S, to_s // WINDOW_S)
        return window[_at(window, from_s) : _at(window, to_s - 1) + 2]

    def _unroll(self, plan_hash: bytes, options: TierOptions, first: int, last: int) -> list[Entry]:
        schedule = unroll(self.plan(plan_hash), options, first * WINDOW_S, (last + 1) * WINDOW_S + DAY_S)
        prices = [tuple(row) for row in schedule.prices.tolist()]
        bounds = [tuple(row) for row in schedule.bounds.tolist()]
        volume = [bool(flag) for flag in schedule.volume.tolist()]
        return [
            Entry(start_s, rate, prices[row] if row != NO_ROW else (), bounds[limits], volume[limits], period)
            for start_s, rate, row, limits, period in schedule.entries.tolist()
        ]


def _at(entries: Sequence[Entry], at_s: int) -> int:
    return bisect_right(entries, at_s, key=lambda entry: entry.start_s) - 1


def price(from_s: int, to_s: int, milli: int, entries: Sequence[Entry], position: Position) -> list[Line]:
    """Charge a quantity used evenly over [from_s, to_s): split at entries by whole seconds, then at tier bounds.

    entries   from the one in force at from_s on, as Prices.entries returns them
    position  of the supply point, moved on
    Raises Unpriced where any second has no price.
    """
    parts = stretches(from_s, to_s, entries)
    shares = []
    for _, start_s, end_s in parts:
        done = milli * (start_s - from_s) // (to_s - from_s)
        shares.append(milli * (end_s - from_s) // (to_s - from_s) - done)
    return charge(parts, shares, METHOD_READ if len(parts) == 1 else METHOD_TIME, position)


def price_by_rates(
    from_s: int, to_s: int, milli_of: Mapping[int, int], entries: Sequence[Entry], position: Position
) -> list[Line]:
    """Charge what the meter's own rate registers counted: each rate's quantity over its stretches, by whole seconds.

    milli_of   rate -> quantity in the interval
    """
    parts = stretches(from_s, to_s, entries)
    total_s, taken_s = Counter[int](), Counter[int]()
    for entry, start_s, end_s in parts:
        total_s[entry.rate] += end_s - start_s
    shares = []
    for entry, start_s, end_s in parts:
        rate, milli = entry.rate, milli_of.get(entry.rate, 0)
        done = milli * taken_s[rate] // total_s[rate]
        taken_s[rate] += end_s - start_s
        shares.append(milli * taken_s[rate] // total_s[rate] - done)
    return charge(parts, shares, METHOD_REGISTERS, position)


def counted_by_rate(reading: RateReading, counts: int, supply: Supply, rates: Sequence[int]) -> dict[int, int]:
    """Return rate -> quantity as the meter's own registers counted it; what they lack of the total goes to the largest.

    counts   of the total register        rates   those in force in the interval, ascending
    Raises Unpriced where registers like these split nothing (docs/billing-meters.md, "Rate registers").
    """
    moved = {}
    for rate in rates:
        begun, ended = reading.before[rate], reading.after[rate]
        if begun < 0 or not 0 <= ended < supply.modulus_counts:
            raise Unpriced(f"rate register {rate + 1} was not read at both ends ({begun} to {ended})")
        moved[rate] = (ended - begun) % supply.modulus_counts
    rest = counts - sum(moved.values())
    largest = max(rates, key=lambda rate: moved[rate])  # the first of equals
    if len(moved) < 2 or abs(rest) > len(moved) + SLACK_COUNTS or moved[largest] + rest < 0:
        raise Unpriced(f"its rate registers counted {list(moved.values())}, the total register {counts}")
    moved[largest] += rest
    return {rate: used * supply.milli_per_count for rate, used in moved.items()}


def stretches(from_s: int, to_s: int, entries: Sequence[Entry]) -> list[tuple[Entry, int, int]]:
    """Return the entries that [from_s, to_s) touches, each with its part of it. Raises Unpriced."""
    found = []
    for entry, until in pairwise(entries):
        start_s, end_s = max(entry.start_s, from_s), min(until.start_s, to_s)
        if start_s < end_s:
            if not entry.prices_micro:
                raise Unpriced(f"the plan has no price from {start_s} to {end_s}")
            found.append((entry, start_s, end_s))
    if not found or found[0][1] != from_s or found[-1][2] != to_s:
        raise Unpriced(f"no schedule covers {from_s} to {to_s}")
    return found


def charge(
    parts: Sequence[tuple[Entry, int, int]], shares: Sequence[int], method: int, position: Position
) -> list[Line]:
    """Return the lines of quantities that lie in one entry each; the position moves on."""
    lines: list[Line] = []
    for (entry, start_s, end_s), share in zip(parts, shares, strict=True):
        position.enter(entry.period)
        lines += climb(entry, start_s, end_s, share, method, position)
    return lines


def climb(
    entry: Entry, from_s: int, to_s: int, milli: int, method: int, position: Position, kind: int = KIND_METERED
) -> Iterator[Line]:
    """Yield the lines of a quantity within one entry: one for each tier, and an uplift where a volume tier ends."""
    tier = tier_of(entry, position.milli)
    while milli:
        take = min(milli, entry.bounds_milli[tier] - position.milli)
        micro = entry.prices_micro[tier]
        if take:
            yield Line(from_s, to_s, entry.rate, tier, position.milli, micro, take, take * micro, kind, method)
        position.milli += take
        milli -= take
        if milli:
            tier += 1
            raised = entry.prices_micro[tier] - micro
            if entry.volume and raised and position.milli:
                earlier = position.milli
                yield Line(
                    from_s, to_s, entry.rate, tier, earlier, raised, earlier, earlier * raised, KIND_UPLIFT, method
                )  # fmt: skip


def tier_of(entry: Entry, position_milli: int) -> int:
    """Return the tier of the next unit; at the bound of a volume tier still that tier, as nothing lies above it yet."""
    next_unit = position_milli if entry.volume else position_milli + 1
    return next(tier for tier, bound in enumerate(entry.bounds_milli) if bound >= next_unit)

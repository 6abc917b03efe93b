"""The proof: every charge again, from nothing but readings, plans, terms and transfers.

    readings of a row --price--> lines --compare--> the rows of the books, field by field

Of a charge row only what it says about readings is believed: its terms, two registers, two times. Segments, rates,
tiers, tier positions, prices, quantities and money are computed again, with an own tier position that begins at zero.
Rule: pure, slow and obvious; `replay_block.py` does the same for millions of rows.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import Final, NamedTuple

from billing_core.plan import Plan, TierOptions
from billing_core.schedule import NO_ROW, unroll
from billing_core.zones import DAY_S

WINDOW_S: Final = 32 * DAY_S  # schedules are unrolled in pieces of this length and kept while charges lie in them
WINDOWS_KEPT: Final = 256
NO_PERIOD_YET: Final = -(2**62)
KIND_METERED, KIND_UPLIFT, KIND_REVERSAL, KIND_RECHARGE, KIND_ESTIMATE = range(5)
METHOD_READ, METHOD_TIME, METHOD_REGISTERS, METHOD_PERSON = range(4)


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
    Raises Unpriced where a part that holds any quantity has no price.
    """
    method = METHOD_READ if to_s <= entries[1].start_s else METHOD_TIME
    lines: list[Line] = []
    done = 0
    for entry, until in pairwise(entries):
        start_s, end_s = max(entry.start_s, from_s), min(until.start_s, to_s)
        if start_s >= to_s:
            break
        upto = milli * (end_s - from_s) // (to_s - from_s)
        if upto > done:
            lines += climb(entry, start_s, end_s, upto - done, method, position)
        done = upto
    if done != milli:
        raise Unpriced(f"the schedule ends before {to_s}")
    return lines


def climb(entry: Entry, from_s: int, to_s: int, milli: int, method: int, position: Position) -> Iterator[Line]:
    """Yield the lines of a quantity within one entry: one for each tier, and an uplift where a volume tier ends."""
    if not entry.prices_micro:
        raise Unpriced(f"the plan has no price from {from_s} to {to_s}")
    position.enter(entry.period)
    tier = tier_of(entry, position.milli)
    while milli:
        take = min(milli, entry.bounds_milli[tier] - position.milli)
        micro = entry.prices_micro[tier]
        if take:
            yield Line(
                from_s, to_s, entry.rate, tier, position.milli, micro, take, take * micro, KIND_METERED, method
            )  # fmt: skip
        position.milli += take
        milli -= take
        if milli:
            tier += 1
            if entry.volume:
                yield _uplift(entry, from_s, to_s, tier, method, position.milli)


def _uplift(entry: Entry, from_s: int, to_s: int, tier: int, method: int, milli: int) -> Line:
    """Return what the earlier units of the period cost more, now that a tier is reached."""
    micro = entry.prices_micro[tier] - entry.prices_micro[tier - 1]
    return Line(from_s, to_s, entry.rate, tier, milli, micro, milli, milli * micro, KIND_UPLIFT, method)


def tier_of(entry: Entry, position_milli: int) -> int:
    """Return the tier of the next unit; at the bound of a volume tier still that tier, as nothing lies above it yet."""
    next_unit = position_milli if entry.volume else position_milli + 1
    return next(tier for tier, bound in enumerate(entry.bounds_milli) if bound >= next_unit)


# --- comparing


class Compared(NamedTuple):
    """A row of the books beside what the replay makes of its readings."""

    near: Charge  # the row, or the one before the place where it should be
    row: Charge | None  # None: the books lack it
    line: Line | None  # None: the replay has no such charge
    text: str  # what differs; "" when nothing does


FIELDS: Final = Line._fields


def differences(row: Charge, line: Line) -> str:
    """Return which fields of a row are not what its readings make them, "" when all agree."""
    found = [
        f"{name} is {getattr(row, name)}, its readings make it {value}"
        for name, value in zip(FIELDS, line, strict=True)
        if getattr(row, name) != value
    ]
    return "; ".join(found)


@dataclass(slots=True)
class PointReplay:
    """One supply point, interval by interval, in the order in which the books hold them."""

    point: str
    prices: Prices
    position: Position = field(default_factory=Position)
    raw: int = 0
    at_s: int = -1  # of the last reading; -1 before the first
    milli: int = 0
    nano: int = 0

    def interval(self, supply: Supply, rows: Sequence[Charge]) -> Iterator[Compared]:
        """Compare the rows of one interval (all with the same readings). After a difference go on from the books."""
        first = rows[0]
        broken = self._joins(first)
        if broken:
            self.position.milli = first.position_milli  # what was lost cannot be known; judge the rest by itself
        try:
            lines = self._lines(supply, first)
        except Unpriced as unpriced:
            yield Compared(first, first, None, f"{broken}{unpriced}")
            lines = []
        else:
            for row, line in zip_longest(rows, lines):
                yield compared(row or rows[-1], row, line, broken)
                broken = ""
        self.raw, self.at_s = first.raw_to, first.to_s
        self.milli += sum(line.milli for line in lines if line.kind == KIND_METERED)
        self.nano += sum(line.nano for line in lines)

    def _lines(self, supply: Supply, row: Charge) -> list[Line]:
        if row.to_s <= row.from_s:
            raise Unpriced(f"the readings at {row.from_s} and {row.to_s} are no interval")
        counts = (row.raw_to - row.raw_from) % supply.modulus_counts
        entries = self.prices.entries(supply.plan_hash, supply.options, row.from_s, row.to_s)
        return price(row.from_s, row.to_s, counts * supply.milli_per_count, entries, self.position)

    def _joins(self, row: Charge) -> str:
        if self.at_s < 0 or (row.raw_from == self.raw and row.from_s >= self.at_s):
            return ""
        return (
            f"begins at register {row.raw_from} ({row.from_s}), the charge before ended at {self.raw} ({self.at_s}): "
            "a reading was moved, or a row is missing; "
        )


def compared(near: Charge, row: Charge | None, line: Line | None, broken: str = "") -> Compared:
    """Return a row and a line side by side, with what differs."""
    if row is None:
        return Compared(near, None, line, f"{broken}after it the books lack a charge: {line}")
    if line is None:
        return Compared(near, row, None, f"{broken}its readings make no such charge")
    return Compared(near, row, line, f"{broken}{differences(row, line)}")


def intervals(rows: Iterable[Charge]) -> Iterator[list[Charge]]:
    """Group rows that price the same two readings under the same terms; they lie together."""
    group: list[Charge] = []
    for row in rows:
        if group and (row.readings != group[0].readings or row.kind not in (KIND_METERED, KIND_UPLIFT)):
            yield group
            group = []
        group.append(row)
    if group:
        yield group

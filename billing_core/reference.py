"""The slow twin of the kernel: one point, one reading at a time, plain Python integers, nothing clever.

It is the model that property tests hold the kernel against, and the arithmetic by which the audit computes every charge
again. Rule: no numba, no numpy, no shared code with the kernel; when the two differ, read the rules in docs/billing.md.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final, NamedTuple

from billing_core.columns import (
    E_BOUNDS,
    E_PERIOD,
    E_PRICES,
    E_RATE,
    E_START_S,
    HELD_JUMP,
    HELD_METER,
    HELD_NO_PRICE,
    HELD_NONE,
    HELD_RANGE,
    HELD_REVERSE,
    KIND_METERED,
    KIND_UPLIFT,
    METHOD_READ,
    METHOD_REGISTERS,
    METHOD_TIME,
)

REFRESH_S_MAX: Final = 900
DOUBTS: Final = (HELD_REVERSE, HELD_JUMP)


class Book(NamedTuple):
    """A schedule in plain lists: entries (start_s, rate, row of prices, row of bounds, period), and those rows."""

    entries: Sequence[Sequence[int]]
    prices: Sequence[Sequence[int]]
    bounds: Sequence[Sequence[int]]
    volume: Sequence[int]


@dataclass(frozen=True, slots=True)
class Reading:
    """A good register reading, and what the meter's rate registers said with it: rate -> counts."""

    raw: int
    at_s: int
    rates: Mapping[int, int] = field(default_factory=dict)


class Position(NamedTuple):
    """Where a supply point stands in its tiers."""

    milli: int = 0  # charged in the accumulation period ...
    period: int = 0  # ... of this number


@dataclass(frozen=True, slots=True)
class Part:
    """One charge: what of an interval lies in one entry and one tier, and what it costs."""

    first: Reading
    last: Reading
    from_s: int
    to_s: int
    rate: int
    tier: int
    position_milli: int  # before this part
    price_micro: int
    milli: int
    kind: int
    method: int

    @property
    def nano(self) -> int:
        return self.milli * self.price_micro


@dataclass(slots=True)
class Point:
    """One supply point's terms and what is known about its register."""

    milli_per_count: int
    modulus: int
    max_milli_per_s: int
    reading_max_milli: int
    last: Reading | None = None
    moved_s: int = 0
    position: Position = field(default_factory=Position)
    held: int = HELD_NONE
    doubtful: Reading | None = None
    parts: list[Part] = field(default_factory=list)


class NoPrice(Exception):
    """A second of an interval lies in no entry, or in one without price."""


def book_of(schedule: Any) -> Book:
    """Return a schedule (schedule.Schedule) as plain lists."""
    return Book(*(getattr(schedule, name).tolist() for name in Book._fields))


def bill(point: Point, reading: Reading, book: Book) -> None:
    """Bill one good reading: extends point.parts, or holds the point."""
    in_range = 0 <= reading.raw < point.modulus
    if point.last is not None and reading.at_s <= point.last.at_s:
        return
    if point.last is None:
        point.held = _begin(point, reading, book) if in_range else HELD_RANGE
        return
    reason = judge(point, reading)
    if reason == HELD_NONE:
        reason = accept(point, reading, book)
    if reason != HELD_NONE and in_range:
        point.doubtful = reading
    point.held = reason


def accept(point: Point, reading: Reading, book: Book) -> int:
    """Charge what was used up to a reading that is believed; return HELD_NONE, or HELD_NO_PRICE and nothing is done."""
    assert point.last is not None
    counts = (reading.raw - point.last.raw) % point.modulus
    try:
        parts, position = price(point, reading, counts, book)
    except NoPrice:
        return HELD_NO_PRICE
    point.parts += parts
    point.moved_s = reading.at_s if counts else point.moved_s
    point.last = reading
    point.position = standing(position, reading.at_s, book)
    return HELD_NONE


def judge(point: Point, reading: Reading) -> int:
    """Return HELD_NONE when the reading may be billed, else why not."""
    assert point.last is not None
    doubted = point.held in DOUBTS
    if point.held == HELD_METER:
        return HELD_METER
    if not 0 <= reading.raw < point.modulus:
        return point.held if doubted else HELD_RANGE
    reason = follows(point, point.last, point.moved_s, reading)
    if not doubted:
        return reason
    assert point.doubtful is not None
    if reading.at_s <= point.doubtful.at_s or reason != HELD_NONE:
        return point.held
    still_in_doubt = follows(point, point.doubtful, point.doubtful.at_s - REFRESH_S_MAX, reading) == HELD_NONE
    return point.held if still_in_doubt else HELD_NONE


def follows(point: Point, last: Reading, moved_s: int, reading: Reading) -> int:
    """Return HELD_NONE when the reading can follow the last one, else HELD_REVERSE or HELD_JUMP."""
    forward = reading.raw >= last.raw
    tenth = point.modulus // 10
    if not forward and not (last.raw > point.modulus - tenth and reading.raw < tenth):
        return HELD_REVERSE
    counts = reading.raw - last.raw if forward else reading.raw - last.raw + point.modulus
    seconds = (reading.at_s - last.at_s) + min(last.at_s - moved_s, REFRESH_S_MAX) + 1
    carried = (counts - 1) * point.milli_per_count <= point.max_milli_per_s * seconds
    if carried and counts * point.milli_per_count <= point.reading_max_milli:
        return HELD_NONE
    return HELD_JUMP if forward else HELD_REVERSE


def price(point: Point, reading: Reading, counts: int, book: Book) -> tuple[list[Part], Position]:
    """Return the charges of an interval from the point's last reading to a new one, and the tier position after it.

    Split over the entries by the meter's rate registers where they can say it, else in proportion to whole seconds,
    then at the tier borders. The metered parts add up to the quantity exactly. A still register costs nothing anywhere.
    Raises NoPrice.
    """
    assert point.last is not None
    position = point.position
    if counts == 0:
        return [], position
    stretches = borders(point.last.at_s, reading.at_s, book)
    shares, method = by_registers(point, reading, counts, stretches, book), METHOD_REGISTERS
    if shares is None:
        milli, first_s, last_s = counts * point.milli_per_count, point.last.at_s, reading.at_s
        shares = [share_milli(milli, first_s, last_s, from_s, to_s) for from_s, to_s, _ in stretches]
        method = METHOD_READ if len(stretches) == 1 else METHOD_TIME
    parts: list[Part] = []
    for (from_s, to_s, index), share in zip(stretches, shares, strict=True):
        position = standing(position, from_s, book)
        for tier, before, price_micro, milli, kind in slices(position.milli, share, book.entries[index], book):
            rate = book.entries[index][E_RATE]
            parts.append(Part(point.last, reading, from_s, to_s, rate, tier, before, price_micro, milli, kind, method))
        position = Position(position.milli + share, position.period)
    return parts, position


def borders(first_s: int, last_s: int, book: Book) -> list[tuple[int, int, int]]:
    """Return (from, to, index of the entry) for every entry between two instants. Raises NoPrice."""
    later = (entry[E_START_S] for entry in book.entries[entry_at(book, first_s) + 1 :])
    cuts = list(takewhile(lambda start_s: start_s < last_s, later))
    found = []
    for from_s, to_s in zip([first_s, *cuts], [*cuts, last_s], strict=True):
        index = entry_at(book, from_s)
        if index < 0 or index + 1 == len(book.entries) or book.entries[index][E_PRICES] < 0:
            raise NoPrice
        found.append((from_s, to_s, index))
    return found


def standing(position: Position, at_s: int, book: Book) -> Position:
    """Return the tier position at an instant: zero when its accumulation period is not the one before."""
    index = entry_at(book, at_s)
    if index < 0 or index + 1 == len(book.entries):  # outside the schedule nothing is known
        return position
    period = book.entries[index][E_PERIOD]
    return position if period == position.period else Position(0, period)


def slices(position_milli: int, milli: int, entry: Sequence[int], book: Book) -> list[tuple[int, int, int, int, int]]:
    """Return (tier, position before, price, quantity, kind) for each tier that a quantity of one entry reaches.

    Volume tiers: going beyond a bound raises everything charged before it in the period to the new price.
    """
    prices, bounds = book.prices[entry[E_PRICES]], book.bounds[entry[E_BOUNDS]]
    found: list[tuple[int, int, int, int, int]] = []
    end = position_milli + milli
    below = 0
    for tier, bound in enumerate(bounds):
        if tier and position_milli <= bounds[tier - 1] < end and book.volume[entry[E_BOUNDS]]:
            raised = prices[tier] - prices[tier - 1]
            if raised and bounds[tier - 1]:
                found.append((tier, bounds[tier - 1], raised, bounds[tier - 1], KIND_UPLIFT))
        from_milli, to_milli = max(position_milli, below), min(end, bound)
        if from_milli < to_milli:
            found.append((tier, from_milli, prices[tier], to_milli - from_milli, KIND_METERED))
        below = max(below, bound)
    return found


def by_registers(
    point: Point, reading: Reading, counts: int, stretches: Sequence[tuple[int, int, int]], book: Book
) -> list[int] | None:
    """Return the quantity of each stretch as the meter's rate registers say it, None where they cannot."""
    assert point.last is not None
    rates = [book.entries[index][E_RATE] for _, _, index in stretches]
    if len(set(rates)) < 2 or not all(r in point.last.rates and r in reading.rates for r in rates):
        return None
    if any(not 0 <= reading.rates[rate] < point.modulus for rate in rates):
        return None
    moved = {rate: (reading.rates[rate] - point.last.rates[rate]) % point.modulus for rate in sorted(set(rates))}
    rest = counts - sum(moved.values())
    most = max(moved, key=lambda rate: (moved[rate], -rate))
    moved[most] += rest
    if abs(rest) > len(moved) + 2 or moved[most] < 0:
        return None
    seconds = {r: sum(to - at for (at, to, _), rate in zip(stretches, rates, strict=True) if rate == r) for r in moved}
    taken = dict.fromkeys(moved, 0)
    shares = []
    for (from_s, to_s, _), rate in zip(stretches, rates, strict=True):
        at_s, milli = taken[rate], moved[rate] * point.milli_per_count
        shares.append(share_milli(milli, 0, seconds[rate], at_s, at_s + to_s - from_s))
        taken[rate] += to_s - from_s
    return shares


def share_milli(milli: int, first_s: int, last_s: int, from_s: int, to_s: int) -> int:
    """Return the share of [from_s, to_s) in a quantity used evenly over [first_s, last_s); cumulative floor."""
    total_s = last_s - first_s
    return milli * (to_s - first_s) // total_s - milli * (from_s - first_s) // total_s


def entry_at(book: Book, at_s: int) -> int:
    """Return the index of the entry in force at a UTC second, -1 before the first."""
    return bisect_right(book.entries, at_s, key=lambda entry: entry[E_START_S]) - 1


def _begin(point: Point, reading: Reading, book: Book) -> int:
    point.last = reading
    point.moved_s = reading.at_s
    point.position = standing(point.position, reading.at_s, book)
    return HELD_NONE

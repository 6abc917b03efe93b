"""Late and corrected readings: what was charged is taken back and charged again in the period it belongs to.

    effective charges of a point + readings given by a person -> reversals, recharges, the shift of the tier position

The charges are grouped into their intervals between two register readings. A given reading cuts the interval it lies
in, or takes the place of the reading at its second. Every touched interval is priced again from the tier position it
began with; the ones behind it are priced again for as long as their position differs, so at most to the end of the
accumulation period. An interval whose rows come out as they were is left alone. Nothing is edited: reversals name the
rows they take back, and both stand in the books for ever.

Rule: pure, plain integers; pricing is that of `reference.py`, the same by which the audit computes every charge.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

from billing_core.columns import (
    KIND_ESTIMATE,
    KIND_METERED,
    KIND_RECHARGE,
    KIND_UPLIFT,
    METHOD_PERSON,
    METHOD_TIME,
)
from billing_core.reference import Book, NoPrice, Position, borders, entry_at, share_milli, slices, standing
from scada.errors import Refused

QUANTITY_KINDS: Final = (KIND_METERED, KIND_RECHARGE, KIND_ESTIMATE)  # an uplift has no quantity of its own


class Row(NamedTuple):
    """One charge, as the table `charge` holds it."""

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


class Charge(NamedTuple):
    """A charge that stands: it is no reversal, and nothing has reversed it."""

    seq: int
    line: int
    row: Row


class Given(NamedTuple):
    """A reading that a person gives: the register at a second, UTC."""

    at_s: int
    raw: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What terms of supply say about the charges that name them."""

    account: str  # account id, of the tenancy at that time
    medium: str
    milli_per_count: int
    modulus: int
    max_milli_per_s: int
    book: Book  # the plan's schedule over all intervals in question


@dataclass(frozen=True, slots=True)
class Interval:
    """What was used between two readings."""

    terms: int
    raw_from: int
    from_s: int
    raw_to: int
    to_s: int
    segments: tuple["Segment", ...] = ()  # how it was split; () where a given reading makes it anew
    given: bool = False  # a person gave one of its readings
    estimate: bool = False  # for a gap: no readings of its own


class Segment(NamedTuple):
    """A stretch of an interval within one rate period."""

    from_s: int
    to_s: int
    milli: int
    method: int


@dataclass(frozen=True, slots=True)
class Group:
    """Charges that stand, and the intervals that take their place."""

    old: tuple[Charge, ...]
    intervals: tuple[Interval, ...]
    touched: bool = False


@dataclass(frozen=True, slots=True)
class Restatement:
    """What has to be posted."""

    reversed: tuple[Charge, ...]
    rows: tuple[Row, ...]  # the recharges
    position: Position | None  # where the point stands in its tiers after the last interval; None: as it did
    readings: tuple[Given, ...]
    stood: Position | None = None  # where it stood there before; elsewhere now: a person set it since, and it stays

    @property
    def milli(self) -> int:
        """How much more was used than was charged."""
        return quantity(self.rows) - quantity([charge.row for charge in self.reversed])

    @property
    def nano(self) -> int:
        """How much more it costs; negative when money goes back."""
        return sum(row.nano for row in self.rows) - sum(charge.row.nano for charge in self.reversed)


def restate(charges: Sequence[Charge], given: Sequence[Given], facts: Mapping[int, Facts]) -> Restatement:
    """Return what readings given by a person change.

    charges   every charge of the point that stands, in the order in which it was written, from at least the interval
              before the first reading to the last
    facts     number of terms -> what they say
    Refused: "late.order", "late.before", "late.after", "late.range", "late.between", "late.nothing", "late.no-price".
    """
    groups = list(grouped(charges))
    for reading in in_order(given):
        groups = insert(groups, reading, facts)
    first = next((at for at, group in enumerate(groups) if group.touched), len(groups))
    try:
        found = repriced(groups, first, facts)
    except NoPrice as error:
        raise Refused("late.no-price", "a part of the time in question has no price in its plan") from error
    if not found.reversed and not found.rows:
        raise Refused("late.nothing", "these readings change nothing: what was charged is what they say")
    return Restatement(found.reversed, found.rows, found.position, tuple(given), found.stood)


def grouped(charges: Sequence[Charge]) -> Iterator[Group]:
    """Yield the charges interval by interval."""
    for _, members in groupby(charges, key=lambda charge: (charge.row[:5], charge.row.kind == KIND_ESTIMATE)):
        rows = tuple(members)
        first = rows[0].row
        interval = Interval(
            *first[:5], segments=tuple(segments_of(rows)), estimate=any(r.row.kind == KIND_ESTIMATE for r in rows)
        )
        yield Group(rows, (interval,))


def segments_of(rows: Sequence[Charge]) -> Iterator[Segment]:
    """Yield the stretches of an interval, the slices of one stretch made one again."""
    own = [charge.row for charge in rows if charge.row.kind in QUANTITY_KINDS]
    for (from_s, to_s), members in groupby(own, key=lambda row: (row.segment_from_s, row.segment_to_s)):
        slices_ = list(members)
        yield Segment(from_s, to_s, sum(row.milli for row in slices_), slices_[0].method)


def in_order(given: Sequence[Given]) -> list[Given]:
    """Return readings in the order of their times; Refused "late.order" when two stand at one second."""
    ordered = sorted(given)
    if len({reading.at_s for reading in ordered}) != len(ordered) or not ordered:
        raise Refused("late.order", "give at least one reading, and no two of the same second")
    return ordered


def insert(groups: Sequence[Group], reading: Given, facts: Mapping[int, Facts]) -> list[Group]:
    """Return the groups with a reading put in its place."""
    spans = [(index, at) for index, group in enumerate(groups) for at in range(len(group.intervals))]
    metered = [(i, k, groups[i].intervals[k]) for i, k in spans if not groups[i].intervals[k].estimate]
    if not metered or reading.at_s < metered[0][2].from_s:
        raise Refused("late.before", "the reading lies before the first charge of this supply point")
    if reading.at_s >= metered[-1][2].to_s:
        raise Refused(
            "late.after",
            "the reading is not older than the last billed one, from which billing goes on; what follows is billed "
            "when the meter is read, and a wrong register is corrected with reject or swap",
        )
    found = list(groups)
    for place, (index, at, interval) in enumerate(metered):
        if interval.from_s < reading.at_s < interval.to_s:
            pieces = cut(interval, reading, facts[interval.terms])
            return replaced(found, index, at, pieces)
        if interval.to_s == reading.at_s:
            found = replaced(found, index, at, (ending(interval, reading, facts[interval.terms]),))
            follower = metered[place + 1]
            if (follower[2].from_s, follower[2].raw_from) == (interval.to_s, interval.raw_to):
                started = starting(follower[2], reading, facts[follower[2].terms])
                found = replaced(found, follower[0], follower[1], (started,))
            return found
        if reading.at_s < interval.to_s:  # between two intervals, where the register stood still
            break
    before = next(interval for _, _, interval in reversed(metered) if interval.to_s < reading.at_s)
    if before.raw_to != reading.raw:
        raise Refused(
            "late.between",
            f"the register stood at {before.raw_to} counts before and after; {reading.raw} cannot be",
        )
    return found


def replaced(groups: Sequence[Group], index: int, at: int, pieces: tuple[Interval, ...]) -> list[Group]:
    """Return the groups with one interval replaced."""
    group = groups[index]
    intervals = (*group.intervals[:at], *pieces, *group.intervals[at + 1 :])
    return [*groups[:index], Group(group.old, intervals, True), *groups[index + 1 :]]


def cut(interval: Interval, reading: Given, facts: Facts) -> tuple[Interval, ...]:
    """Return the two intervals before and after a reading; one that moved nothing is left out."""
    used = (interval.raw_to - interval.raw_from) % facts.modulus
    before = (reading.raw - interval.raw_from) % facts.modulus
    if not 0 <= reading.raw < facts.modulus:
        raise Refused("late.range", f"a register of this meter is 0 to {facts.modulus - 1} counts")
    if before > used:
        raise Refused(
            "late.between",
            f"{reading.raw} counts does not lie between its neighbours {interval.raw_from} and {interval.raw_to}",
        )
    first = Interval(interval.terms, interval.raw_from, interval.from_s, reading.raw, reading.at_s, given=True)
    second = Interval(interval.terms, reading.raw, reading.at_s, interval.raw_to, interval.to_s, given=True)
    return tuple(piece for piece in (first, second) if piece.raw_from != piece.raw_to)


def ending(interval: Interval, reading: Given, facts: Facts) -> Interval:
    """Return an interval with another last register."""
    believable(interval.raw_from, reading.raw, interval.to_s - interval.from_s, facts)
    return Interval(interval.terms, interval.raw_from, interval.from_s, reading.raw, interval.to_s, given=True)


def starting(interval: Interval, reading: Given, facts: Facts) -> Interval:
    """Return an interval with another first register."""
    believable(reading.raw, interval.raw_to, interval.to_s - interval.from_s, facts)
    return Interval(interval.terms, reading.raw, interval.from_s, interval.raw_to, interval.to_s, given=True)


def believable(raw_from: int, raw_to: int, seconds: int, facts: Facts) -> None:
    """Refuse a step that the connection cannot carry; a register that goes back is one, too."""
    if not (0 <= raw_from < facts.modulus and 0 <= raw_to < facts.modulus):
        raise Refused("late.range", f"a register of this meter is 0 to {facts.modulus - 1} counts")
    counts = (raw_to - raw_from) % facts.modulus
    if (counts - 1) * facts.milli_per_count > facts.max_milli_per_s * (seconds + 1):
        raise Refused(
            "late.between",
            f"from {raw_from} to {raw_to} counts in {seconds} s is more than this connection carries; "
            "a corrected register lies between its neighbours",
        )


@dataclass(slots=True)
class _Found:
    reversed: tuple[Charge, ...]
    rows: tuple[Row, ...]
    position: Position | None
    stood: Position | None = None


def repriced(groups: Sequence[Group], first: int, facts: Mapping[int, Facts]) -> _Found:
    """Price the groups again from the first touched one to where nothing differs any more. Raises NoPrice.

    A group that did not begin where the one before it left the tiers begins where a person set them; it stays there.
    """
    back: list[Charge] = []
    again: list[Row] = []
    last_touched = max((at for at, group in enumerate(groups) if group.touched), default=-1)
    position = stood = begun(groups[first], facts) if first < len(groups) else Position()
    for at in range(first, len(groups)):
        group = groups[at]
        old = begun(group, facts)
        position, stood = (
            standing(one, group.old[0].row.segment_from_s, _book(group, facts)) for one in (position, stood)
        )
        if stood != old:
            position = old
        if at > last_touched and position == old:
            return _Found(tuple(back), tuple(again), None)
        rows: list[Row] = []
        for interval in group.intervals:
            made, position = priced(interval, position, facts[interval.terms])
            rows += made
        if not same(group.old, rows):
            back += group.old
            again += rows
        stood = ended(group, facts)
    return _Found(tuple(back), tuple(again), position if first < len(groups) else None, stood)


def begun(group: Group, facts: Mapping[int, Facts]) -> Position:
    """Return the tier position with which a group's charges began."""
    own = next(charge.row for charge in group.old if charge.row.kind in QUANTITY_KINDS)
    book = _book(group, facts)
    return Position(own.position_milli, book.entries[entry_at(book, own.segment_from_s)][-1])


def ended(group: Group, facts: Mapping[int, Facts]) -> Position:
    """Return the tier position with which a group's charges ended."""
    own = next(charge.row for charge in reversed(group.old) if charge.row.kind in QUANTITY_KINDS)
    book = _book(group, facts)
    return Position(own.position_milli + own.milli, book.entries[entry_at(book, own.segment_from_s)][-1])


def _book(group: Group, facts: Mapping[int, Facts]) -> Book:
    return facts[group.old[0].row.terms].book


def priced(interval: Interval, position: Position, facts: Facts) -> tuple[list[Row], Position]:
    """Return the charges of an interval and the tier position after it. Raises NoPrice."""
    rows: list[Row] = []
    for segment in interval.segments or split_by_time(interval, facts):
        ((from_s, _, index),) = borders(segment.from_s, segment.to_s, facts.book)
        position = standing(position, from_s, facts.book)
        entry = facts.book.entries[index]
        for tier, before, price_micro, milli, kind in slices(position.milli, segment.milli, entry, facts.book):
            rows.append(
                Row(
                    interval.terms, interval.raw_from, interval.from_s, interval.raw_to, interval.to_s, segment.from_s,
                    segment.to_s, entry[1], tier, before, price_micro, milli, milli * price_micro,
                    KIND_UPLIFT if kind == KIND_UPLIFT else KIND_RECHARGE, segment.method,
                )
            )  # fmt: skip
        position = Position(position.milli + segment.milli, position.period)
    return rows, position


def split_by_time(interval: Interval, facts: Facts) -> list[Segment]:
    """Split an interval over rate periods in proportion to whole seconds; one that lies in one period is exact."""
    milli = (interval.raw_to - interval.raw_from) % facts.modulus * facts.milli_per_count
    stretches = borders(interval.from_s, interval.to_s, facts.book)
    method = METHOD_PERSON if len(stretches) == 1 else METHOD_TIME
    parts = [
        Segment(from_s, to_s, share_milli(milli, interval.from_s, interval.to_s, from_s, to_s), method)
        for from_s, to_s, _ in stretches
    ]
    return [part for part in parts if part.milli]


def same(old: Sequence[Charge], rows: Sequence[Row]) -> bool:
    """Tell whether recharges say what the charges said; kind and method are how, not what."""
    said = [charge.row._replace(kind=charge.row.kind == KIND_UPLIFT, method=0) for charge in old]
    return said == [row._replace(kind=row.kind == KIND_UPLIFT, method=0) for row in rows]


def quantity(rows: Sequence[Row]) -> int:
    """Return what rows say was used, thousandths."""
    return sum(row.milli for row in rows if row.kind in QUANTITY_KINDS)


def amounts(found: Restatement, facts: Mapping[int, Facts]) -> dict[tuple[str, str], int]:
    """Return (account, medium) -> nano to be charged, of every account whose amount changes; negative is given back."""
    due: Counter[tuple[str, str]] = Counter()
    for row in found.rows:
        due[facts[row.terms].account, facts[row.terms].medium] += row.nano
    for charge in found.reversed:
        due[facts[charge.row.terms].account, facts[charge.row.terms].medium] -= charge.row.nano
    return {who: nano for who, nano in due.items() if nano}

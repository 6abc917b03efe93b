"""The slow twin of the kernel: one point, one reading at a time, plain Python integers, nothing clever.

It is the model that property tests hold the kernel against, and the arithmetic by which the audit computes every charge
again. Rule: no numba, no numpy, no shared code with the kernel; when the two differ, read the rules in docs/billing.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from billing_core.calendar import Entry, entry_at
from billing_core.columns import (
    HELD_JUMP,
    HELD_METER,
    HELD_NO_PRICE,
    HELD_NONE,
    HELD_RANGE,
    HELD_REVERSE,
    NO_PRICE,
)

REFRESH_S_MAX: Final = 900
DOUBTS: Final = (HELD_REVERSE, HELD_JUMP)


@dataclass(frozen=True, slots=True)
class Reading:
    """A good register reading."""

    raw: int
    at_s: int


@dataclass(frozen=True, slots=True)
class Part:
    """One charge: what of an interval lies in one calendar entry, and what it costs."""

    first: Reading
    last: Reading
    from_s: int
    to_s: int
    rate: int
    price_micro: int
    milli: int

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
    held: int = HELD_NONE
    doubtful: Reading | None = None
    parts: list[Part] = field(default_factory=list)


def bill(point: Point, reading: Reading, entries: Sequence[Entry]) -> None:
    """Bill one good reading: extends point.parts, or holds the point."""
    in_range = 0 <= reading.raw < point.modulus
    if point.last is not None and reading.at_s <= point.last.at_s:
        return
    if point.last is None:
        point.held = _begin(point, reading) if in_range else HELD_RANGE
        return
    reason = judge(point, reading)
    if reason == HELD_NONE:
        counts = (reading.raw - point.last.raw) % point.modulus
        parts = price(point.last, reading, counts * point.milli_per_count, entries)
        if any(part.price_micro == NO_PRICE for part in parts):
            reason = HELD_NO_PRICE
        else:
            point.parts += [part for part in parts if part.milli]
            point.moved_s = reading.at_s if counts else point.moved_s
            point.last = reading
    if reason != HELD_NONE and in_range:
        point.doubtful = reading
    point.held = reason


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


def price(first: Reading, last: Reading, milli: int, entries: Sequence[Entry]) -> list[Part]:
    """Split a quantity over the calendar entries between two readings, in proportion to whole seconds.

    The parts add up to `milli` exactly. A part outside the calendar or in a minute without price has NO_PRICE.
    A still register costs nothing anywhere, and has no parts.
    """
    if milli == 0:
        return []
    borders = [entry.start_s for entry in entries if first.at_s < entry.start_s < last.at_s]
    parts: list[Part] = []
    for from_s, to_s in zip([first.at_s, *borders], [*borders, last.at_s], strict=True):
        index = entry_at(entries, from_s)
        entry = entries[index] if index >= 0 else Entry(from_s, NO_PRICE, -1)
        share = share_milli(milli, first.at_s, last.at_s, from_s, to_s)
        parts.append(Part(first, last, from_s, to_s, entry.rate, entry.price_micro, share))
    return parts


def share_milli(milli: int, first_s: int, last_s: int, from_s: int, to_s: int) -> int:
    """Return the share of [from_s, to_s) in a quantity used evenly over [first_s, last_s); cumulative floor."""
    total_s = last_s - first_s
    return milli * (to_s - first_s) // total_s - milli * (from_s - first_s) // total_s


def _begin(point: Point, reading: Reading) -> int:
    point.last = reading
    point.moved_s = reading.at_s
    return HELD_NONE

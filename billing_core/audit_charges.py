"""The audit's part about charges: each computed again from its readings, joined to the one before, and summed.

* metered    the interval between two readings, split as its method says, in the tiers the point had reached; by rate
             registers as the books keep these
* estimate   a quantity that a person gave, at the price of the instant it was given in
* reversal   exactly what the row charged that it names, negative
* recharge   an interval like a metered one, from the tier position it carries; it does not join, a restatement does

Where a person's change moved the register a point goes on from, the document of that change says so.
Rule: pure; a row that differs is told once, and the audit goes on from what the books say.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, NamedTuple

from billing_core import reference
from billing_core.columns import (
    E_RATE,
    KIND_ESTIMATE,
    KIND_RECHARGE,
    KIND_REVERSAL,
    KIND_UPLIFT,
    METHOD_REGISTERS,
    UNBOUNDED_MILLI,
)
from billing_core.plan import Plan, TierOptions
from billing_core.rate_evidence import Evidence, Interval, Missing, RateReading
from billing_core.replay_point import bridges_of
from billing_core.schedule import unroll
from billing_core.zones import DAY_S

WINDOW_S: Final = 32 * DAY_S  # schedules are unrolled in pieces of this length and kept while charges lie in them
WINDOWS_KEPT: Final = 256
Priced = tuple[int, int, int, int, int, int, int, int, bool]  # what is compared of a row


class ChargeRow(NamedTuple):
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
    price_micro: int
    milli: int
    nano: int
    tier: int
    position_milli: int
    kind: int
    method: int
    reverses_seq: int  # 0: none
    reverses_line: int


class TermsRow(NamedTuple):
    id: int
    point: str
    meter: str
    account: str
    medium: str
    unit: str
    milli_per_count: int
    modulus_counts: int
    tariff: bytes
    household: int
    opened_s: int


class PointRow(NamedTuple):
    point: str
    last_raw: int
    last_s: int
    first_raw: int
    first_s: int
    billed_milli: int
    charged_nano: int


class Difference(NamedTuple):
    """Something in the books that is not as it must be."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


Find = Callable[[int, int], ChargeRow | None]


@dataclass(slots=True)
class PointSum:
    """What the charges of one point add up to so far."""

    raw_to: int = -1
    to_s: int = -1
    milli: int = 0
    nano: int = 0
    first: tuple[int, int] | None = None  # register and time of its first charge; None: moved by a change before it
    begun: bool = False
    position: reference.Position | None = None  # after the last metered charge; None: not known


class ChargeAudit:
    """Goes through the charges of all transfers in the order of the books."""

    def __init__(
        self, terms: Mapping[int, TermsRow], plans: Mapping[bytes, Plan], find: Find, evidence: Evidence
    ) -> None:
        """find: (seq, line) -> the row of the books, for reversals. evidence: of splits by rate registers."""
        self._evidence = evidence
        self._left: set[Interval] = set()  # rate registers of the transfer at hand that no charge has used yet
        self._terms = terms
        self._plans = plans
        self._find = find
        self._points: defaultdict[str, PointSum] = defaultdict(PointSum)
        self._window = lru_cache(WINDOWS_KEPT)(self._unroll)

    def transfer(
        self, place: str, charges: Sequence[ChargeRow], readings: Sequence[RateReading] = ()
    ) -> Iterator[Difference]:
        """Compare the charges of one transfer, interval by interval. readings: the rate registers it carries."""
        self._left = {reading.interval for reading in readings}
        for (number, raw_from, from_s, raw_to, to_s, back), group in groupby(
            charges, key=lambda charge: (*charge[2:7], charge.kind == KIND_REVERSAL)
        ):
            where = f"{place}, terms {number}, {from_s} to {to_s}"
            term = self._terms.get(number)
            if term is None:
                yield Difference(where, "no such terms of supply")
                continue
            where, rows = f"{where}, point {term.point}", tuple(group)
            if back:
                yield from self._reversals(where, term, rows)
                continue
            yield from self._priced(where, term, rows)
            if not any(row.kind in (KIND_RECHARGE, KIND_ESTIMATE) for row in rows):
                yield from self._joined(where, self._points[term.point], raw_from, from_s)
                self._points[term.point].raw_to, self._points[term.point].to_s = raw_to, to_s
        for number, from_s, to_s in sorted(self._left):
            yield Difference(
                f"{place}, terms {number}, {from_s} to {to_s}", "carries rate registers that split nothing"
            )

    def change(self, seq: int, document: Mapping[str, Any]) -> None:
        """Follow a change by a person that moved the register from which a point goes on."""
        for bridge in bridges_of(seq, document):
            point = self._points[bridge.point]
            point.begun = True
            point.raw_to, point.to_s = bridge.raw, bridge.at_s
            if bridge.position_milli is not None or bridge.plan:
                point.position = None

    def left(self, stored: Iterable[PointRow]) -> Iterator[Difference]:
        """Compare where each register was left with the charges of its point."""
        for row in stored:
            point = self._points.pop(row.point, None) or PointSum(row.first_raw, row.first_s, 0, 0, row[3:5])
            first = point.first or (row.first_raw, row.first_s)
            facts = (
                ("quantity billed", row.billed_milli, point.milli),
                ("money charged", row.charged_nano, point.nano),
                ("last register", row.last_raw, point.raw_to),
                ("first register", row.first_raw, first[0]),
            )
            for name, found, folded in facts:
                if found != folded:
                    yield Difference(f"point {row.point}", f"{name}: {found} stored, its charges say {folded}")
            if not row.first_s <= first[1] <= point.to_s <= row.last_s:
                yield Difference(f"point {row.point}", "its times do not enclose its charges")
        for name in sorted(self._points):
            yield Difference(f"point {name}", "has charges and no state")

    # ---- within

    def _joined(self, where: str, point: PointSum, raw_from: int, from_s: int) -> Iterator[Difference]:
        if not point.begun:
            point.begun, point.first = True, (raw_from, from_s)
        elif (point.raw_to, point.to_s > from_s) != (raw_from, False):
            text = f"begins at {raw_from} ({from_s}), the charge before ended at {point.raw_to} ({point.to_s})"
            yield Difference(where, text)

    def _reversals(self, where: str, term: TermsRow, rows: Sequence[ChargeRow]) -> Iterator[Difference]:
        point = self._points[term.point]
        point.position = None  # a restatement moves it; the next charge says where to
        for row in rows:
            taken = self._find(row.reverses_seq, row.reverses_line)
            if taken is None:
                yield Difference(where, f"takes back {row.reverses_seq}:{row.reverses_line}, which does not exist")
                continue
            expected = (*taken[2:11], -taken.milli, -taken.nano, taken.tier, taken.position_milli)
            if row[2:15] != expected or (row.reverses_seq, row.reverses_line) >= (row.seq, row.line):
                yield Difference(where, f"takes back {row[2:15]}, the row it names says {expected}")
            point.milli -= taken.milli if taken.kind != KIND_UPLIFT else 0
            point.nano -= taken.nano

    def _priced(self, where: str, term: TermsRow, rows: Sequence[ChargeRow]) -> Iterator[Difference]:
        """Compute an interval again from the tier position at which it began."""
        point, own = self._points[term.point], [row for row in rows if row.kind != KIND_UPLIFT]
        found = [_compared(row) for row in rows]
        expected: list[Priced] = []
        if own and term.tariff in self._plans:
            try:
                reading = self._reading(own[0])
                expected, point.position = self._expected(term, own, point.position, reading)
            except reference.NoPrice:
                point.position = None
            except (Missing, _NoSplit) as fault:
                yield Difference(where, str(fault))
                expected, point.position = found, None
        if found != expected:
            yield Difference(where, f"charged {found}, the reference says {expected}")
            point.position = None
        point.milli += sum(row.milli for row in own)
        point.nano += sum(row.nano for row in rows)

    def _reading(self, first: ChargeRow) -> RateReading | None:
        """Return the rate registers that split an interval, None where none did or they are from before. Missing."""
        if first.method != METHOD_REGISTERS:
            return None
        interval, metered = (first.terms, first.from_s, first.to_s), first.kind != KIND_RECHARGE
        if metered:
            self._left.discard(interval)
        return self._evidence.of(first.seq, interval, metered)

    def _expected(
        self,
        term: TermsRow,
        own: Sequence[ChargeRow],
        stands: reference.Position | None,
        reading: RateReading | None,
    ) -> tuple[list[Priced], reference.Position | None]:
        """Return what the reference makes of an interval, and where the point stands in its tiers after it."""
        first = own[0]
        book = self._book(term, first.from_s, max(first.to_s, first.from_s + 1))
        position = _begun(first, book)
        tiered = book.bounds[book.entries[reference.entry_at(book, first.segment_from_s)][3]][0] != UNBOUNDED_MILLI
        if stands is not None and tiered and first.kind != KIND_RECHARGE:
            position = reference.standing(stands, first.segment_from_s, book)
        priced: list[Priced] = []
        for from_s, to_s, index, milli in _stretches(term, own, book, reading):
            position = reference.standing(position, from_s, book)
            entry = book.entries[index]
            for tier, before, price_micro, part, kind in reference.slices(position.milli, milli, entry, book):
                uplift = kind == KIND_UPLIFT
                nano = part * price_micro
                priced.append((from_s, to_s, entry[E_RATE], price_micro, part, nano, tier, before, uplift))
            position = reference.Position(position.milli + milli, position.period)
        return priced, position if first.kind != KIND_RECHARGE else None

    def _book(self, term: TermsRow, from_s: int, to_s: int) -> reference.Book:
        options = TierOptions(term.household, term.opened_s)
        book = self._window(term.tariff, options, from_s // WINDOW_S, to_s // WINDOW_S)
        low, high = reference.entry_at(book, from_s), reference.entry_at(book, to_s)
        return book._replace(entries=book.entries[low : high + 2])

    def _unroll(self, tariff: bytes, options: TierOptions, first: int, last: int) -> reference.Book:
        from_s, to_s = first * WINDOW_S - DAY_S, (last + 1) * WINDOW_S + DAY_S
        return reference.book_of(unroll(self._plans[tariff], options, from_s, to_s))


def _compared(row: ChargeRow) -> Priced:
    return (
        row.segment_from_s, row.segment_to_s, row.rate, row.price_micro, row.milli, row.nano, row.tier,
        row.position_milli, row.kind == KIND_UPLIFT,
    )  # fmt: skip


def _begun(first: ChargeRow, book: reference.Book) -> reference.Position:
    """Return the tier position that a row says it began at."""
    period = book.entries[max(reference.entry_at(book, first.segment_from_s), 0)][4]
    return reference.Position(first.position_milli, period)


class _NoSplit(Exception):
    """The rate registers in the books could not split this interval."""


def _stretches(
    term: TermsRow, own: Sequence[ChargeRow], book: reference.Book, reading: RateReading | None
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (from, to, index of the entry, quantity) of an interval. Raises NoPrice, _NoSplit.

    reading: the rate registers that split it; None: another method did, or the rows are to be believed
    """
    first = own[0]
    if first.raw_from == first.raw_to:  # an estimate: all of it in one instant
        index = reference.entry_at(book, first.to_s)
        yield first.segment_from_s, first.segment_to_s, index, sum(row.milli for row in own)
        return
    if first.to_s <= first.from_s:
        return
    if reading is not None:
        yield from _split(term, first, book, reading)
        return
    milli = (first.raw_to - first.raw_from) % term.modulus_counts * term.milli_per_count
    said = {(row.segment_from_s, row.segment_to_s): 0 for row in own}
    for row in own:
        said[row.segment_from_s, row.segment_to_s] += row.milli
    by_registers = first.method == METHOD_REGISTERS and sum(said.values()) == milli
    for from_s, to_s, index in reference.borders(first.from_s, first.to_s, book):
        share = said.get((from_s, to_s), 0)
        if not by_registers:
            share = reference.share_milli(milli, first.from_s, first.to_s, from_s, to_s)
        if share:
            yield from_s, to_s, index, share


def _split(
    term: TermsRow, first: ChargeRow, book: reference.Book, reading: RateReading
) -> Iterator[tuple[int, int, int, int]]:
    """Yield the stretches of an interval as its rate registers split it. Raises NoPrice, _NoSplit."""
    before, after = ({rate: raw for rate, raw in enumerate(raws) if raw >= 0} for raws in reading[4:])
    last = reference.Reading(first.raw_from, first.from_s, before)
    point = reference.Point(term.milli_per_count, term.modulus_counts, 0, 0, last)
    stretches = reference.borders(first.from_s, first.to_s, book)
    counts = (first.raw_to - first.raw_from) % term.modulus_counts
    shares = reference.by_registers(point, reference.Reading(first.raw_to, first.to_s, after), counts, stretches, book)
    if shares is None:
        raise _NoSplit(
            f"its rate registers, {list(reading.before)} to {list(reading.after)}, do not fit {counts} counts"
        )
    for (from_s, to_s, index), share in zip(stretches, shares, strict=True):
        if share:
            yield from_s, to_s, index, share

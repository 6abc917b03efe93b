"""One supply point under replay: its readings joined into a chain, its tier position, its rows compared one by one.

    rows of a transfer --intervals--> groups that price the same two readings --PointReplay--> Compared

Where the chain of registers jumps, a document of the books must say why: a meter was swapped, a doubtful register was
rejected, a tenant or plan changed with a carried position (`Bridge`). A restatement takes rows back and charges other
readings of the same stretch; the position goes back with them and comes forward again.
Rule: pure. After a difference the replay goes on from what the books say, so that one fault is reported once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from typing import Any, Final, NamedTuple

from billing_core.columns import (
    KIND_ESTIMATE,
    KIND_METERED,
    KIND_RECHARGE,
    KIND_REVERSAL,
    KIND_UPLIFT,
    METHOD_PERSON,
    METHOD_READ,
    METHOD_REGISTERS,
)
from billing_core.plan import NO_OPTIONS, TierOptions
from billing_core.rate_evidence import Evidence, Missing, believing
from billing_core.replay import (
    Charge,
    Entry,
    Line,
    Position,
    Prices,
    Supply,
    Unpriced,
    climb,
    counted_by_rate,
    price,
    price_by_rates,
    stretches,
)

FIELDS: Final = Line._fields
TAKEN_BACK: Final = Charge._fields[2:13]  # what a reversal repeats of its row: terms to price
Find = Callable[[int, int], Charge | None]  # (seq, line) -> row of the books


class Compared(NamedTuple):
    """A row of the books beside what the replay makes of its readings."""

    near: Charge  # the row, or the one before the place where it should be
    row: Charge | None  # None: the books lack it
    line: Line | None  # None: the replay has no such charge
    text: str  # what differs; "" when nothing does


class Bridge(NamedTuple):
    """Where the chain of a point's registers goes on elsewhere, by a document of the books."""

    seq: int
    point: str
    raw: int  # register it goes on from ...
    at_s: int  # ... and its time
    plan: str = ""  # id of the plan from then on; "" when it stays
    options: TierOptions | None = None
    position_milli: int | None = None  # carried by a person


@dataclass(slots=True)
class Restated:
    """What one restatement has taken back of a point so far, and where its recharges stand."""

    live: Position  # of the point, untouched until the restatement ends
    taken: list[Charge] = field(default_factory=list)
    now: Position = field(default_factory=Position)  # after the last recharge
    raw: int = -1  # register and time it ended at
    to_s: int = -1

    def begun(self, from_s: int) -> Charge | None:
        """Return the first row taken back whose interval began at an instant."""
        rows = (row for row in self.taken if row.from_s == from_s and row.kind != KIND_UPLIFT)
        return min(rows, key=lambda row: (row.segment_from_s, row.position_milli), default=None)

    def shift(self) -> int:
        """Return how far the last recharge stands from where the rows taken back stood at the same instant."""
        rows = [row for row in self.taken if row.to_s <= self.to_s and row.kind != KIND_UPLIFT]
        if not rows:
            return 0
        last = max(rows, key=lambda row: (row.to_s, row.segment_from_s, row.position_milli))
        return self.now.milli - last.position_milli - last.milli


@dataclass(slots=True)
class PointReplay:
    """One supply point, interval by interval, in the order in which the books hold them."""

    point: str
    prices: Prices
    find: Find
    bridges: list[Bridge] = field(default_factory=list)  # those not yet passed, in the order of time
    position: Position = field(default_factory=Position)
    raw: int = 0
    at_s: int = -1  # of the last reading; -1 before the first
    booked_milli: int = -1  # tier position after the last interval, as the books have it
    milli: int = 0
    nano: int = 0
    evidence: Evidence = field(default_factory=believing)  # of splits by rate registers
    restated: "Restated | None" = None  # what the transfer at hand takes back

    def compare(self, supply: Supply, rows: Sequence[Charge]) -> Iterator[Compared]:
        """Compare rows that carry the same terms and readings and are of one kind (but for uplifts)."""
        if rows[0].kind == KIND_REVERSAL:
            yield from map(self._reversal, rows)
        elif any(row.kind == KIND_RECHARGE for row in rows):  # an uplift may stand before it
            yield from self._recharge(supply, rows)
        else:
            yield from self._interval(supply, rows)

    def _interval(self, supply: Supply, rows: Sequence[Charge]) -> Iterator[Compared]:
        first = rows[0]
        given = any(row.kind == KIND_ESTIMATE for row in rows)  # up to the swap itself, which may be the same second
        self.pass_bridges(supply, first.from_s - given)
        broken = self._joins(first)
        if broken or first.position_milli == self.booked_milli:
            self.position.milli = first.position_milli  # what differs was told; judge the rest by itself
        yield from self._against(supply, rows, broken)
        self.raw, self.at_s = first.raw_to, first.to_s
        moved = [row for row in rows if row.kind != KIND_UPLIFT]
        self.booked_milli = moved[-1].position_milli + moved[-1].milli if moved else -1

    def _against(self, supply: Supply, rows: Sequence[Charge], broken: str = "") -> Iterator[Compared]:
        try:
            lines = self._lines(supply, rows)
        except Unpriced as unpriced:
            yield Compared(rows[0], rows[0], None, f"{broken}{unpriced}")
            return
        for row, line in zip_longest(rows, lines):
            yield compared(row or rows[-1], row, line, broken)
            broken = ""
        self.milli += sum(line.milli for line in lines if line.kind != KIND_UPLIFT)
        self.nano += sum(line.nano for line in lines)

    def _lines(self, supply: Supply, rows: Sequence[Charge]) -> list[Line]:
        """Return what the readings of some rows make."""
        row, kind = rows[0], next((row.kind for row in rows if row.kind != KIND_UPLIFT), KIND_METERED)
        given = kind == KIND_ESTIMATE or (kind == KIND_RECHARGE and row.raw_from == row.raw_to)
        if given:
            return self._estimate(supply, rows, kind)
        if row.to_s <= row.from_s:
            raise Unpriced(f"the readings at {row.from_s} and {row.to_s} are no interval")
        milli = (row.raw_to - row.raw_from) % supply.modulus_counts * supply.milli_per_count
        entries = self.prices.entries(supply.plan_hash, supply.options, row.from_s, row.to_s)
        if row.method == METHOD_REGISTERS:
            lines = price_by_rates(
                row.from_s, row.to_s, self._by_rate(rows, milli, supply, entries), entries, self.position
            )
        else:
            lines = price(row.from_s, row.to_s, milli, entries, self.position)
        return lines if kind != KIND_RECHARGE else [_recharged(line, row.method) for line in lines]

    def _by_rate(
        self, rows: Sequence[Charge], milli: int, supply: Supply, entries: Sequence[Entry]
    ) -> Mapping[int, int]:
        """Return rate -> quantity of an interval that rate registers split. Raises Unpriced."""
        row, metered = rows[0], all(row.kind != KIND_RECHARGE for row in rows)
        try:
            reading = self.evidence.of(row.seq, (row.terms, row.from_s, row.to_s), metered)
        except Missing as missing:
            raise Unpriced(str(missing)) from missing
        if reading is None:
            return _said_by_rate(rows, milli, supply)
        rates = sorted({entry.rate for entry, _, _ in stretches(row.from_s, row.to_s, entries)})
        return counted_by_rate(reading, milli // supply.milli_per_count, supply, rates)

    def _estimate(self, supply: Supply, rows: Sequence[Charge], kind: int) -> list[Line]:
        """Return what a quantity that a person gave costs: all of it at the price of the instant it was given in."""
        row, given = rows[0], sum(row.milli for row in rows if row.kind == kind)
        entry = self.prices.entries(supply.plan_hash, supply.options, row.to_s, row.to_s + 1)[0]
        if not entry.prices_micro:
            raise Unpriced(f"the plan has no price at {row.to_s}")
        self.position.enter(entry.period)
        return list(climb(entry, row.from_s, row.to_s, given, METHOD_PERSON, self.position, kind))

    def _joins(self, row: Charge) -> str:
        if self.at_s < 0 or (row.raw_from == self.raw and row.from_s >= self.at_s):
            return ""
        return (
            f"begins at register {row.raw_from} ({row.from_s}), the charge before ended at {self.raw} ({self.at_s}): "
            "a reading was moved, or a row is missing; "
        )

    def pass_bridges(self, supply: Supply | None, upto_s: int) -> None:
        """Go over the bridges that lie before an instant. supply: the terms after them, where known."""
        while self.bridges and self.bridges[0].at_s <= upto_s:
            bridge = self.bridges.pop(0)
            if bridge.at_s < self.at_s:  # passed long ago by rows that needed no help
                continue
            self.raw, self.at_s = bridge.raw, bridge.at_s
            if (plan_hash := self.prices.hash_of(bridge.plan, bridge.at_s)) is not None:
                options = bridge.options or (supply.options if supply is not None else NO_OPTIONS)
                self.position.enter(self.prices.entries(plan_hash, options, bridge.at_s, bridge.at_s + 1)[0].period)
            if bridge.position_milli is not None:
                self.position.milli = bridge.position_milli

    # --- restatements

    def _reversal(self, row: Charge) -> Compared:
        """Compare a row that takes another back with that one."""
        taken = self.find(row.reverses_seq, row.reverses_line)
        if taken is None:
            return Compared(row, row, None, f"takes back {row.reverses_seq}:{row.reverses_line}, which does not exist")
        if self.restated is None:
            self.restated = Restated(self.position)
        self.restated.taken.append(taken)
        expected = taken._replace(milli=-taken.milli, nano=-taken.nano)
        found = [name for name in (*TAKEN_BACK, "milli", "nano") if getattr(row, name) != getattr(expected, name)]
        line = Line._make((*(getattr(expected, name) for name in FIELDS[:8]), KIND_REVERSAL, row.method))
        self.milli -= taken.milli if taken.kind != KIND_UPLIFT else 0
        self.nano -= taken.nano
        return Compared(row, row, line, f"is not what {taken.name} charged: {', '.join(found)} differ" if found else "")

    def _recharge(self, supply: Supply, rows: Sequence[Charge]) -> Iterator[Compared]:
        """Compare rows that charge a stretch again, from the tier position at which what they replace began."""
        if self.restated is None:
            yield Compared(rows[0], rows[0], None, "charges again what nothing took back")
            return
        restated, first = self.restated, rows[0]
        old = restated.begun(first.from_s)
        self.position = restated.now
        if old is not None and first.raw_from != restated.raw:
            entry = self.prices.entries(supply.plan_hash, supply.options, old.segment_from_s, old.segment_from_s + 1)[0]
            shift = restated.shift() if entry.period == self.position.period else 0
            self.position.milli, self.position.period = old.position_milli + shift, entry.period
        yield from self._against(supply, rows)
        restated.raw, restated.to_s = first.raw_to, first.to_s
        self.position = restated.live

    def end_transfer(self) -> None:
        """Let what a restatement changed reach the position that the next charge climbs from."""
        restated, self.restated = self.restated, None
        if restated is not None and restated.now.period == self.position.period:
            self.position.milli += restated.shift()


def compared(near: Charge, row: Charge | None, line: Line | None, broken: str = "") -> Compared:
    """Return a row and a line side by side, with what differs."""
    if row is None:
        return Compared(near, None, line, f"{broken}after it the books lack a charge: {line}")
    if line is None:
        return Compared(near, row, None, f"{broken}its readings make no such charge")
    found = [
        f"{name} is {getattr(row, name)}, its readings make it {value}"
        for name, value in zip(FIELDS, line, strict=True)
        if getattr(row, name) != value
    ]
    return Compared(near, row, line, f"{broken}{'; '.join(found)}")


def intervals(rows: Iterable[Charge]) -> Iterator[list[Charge]]:
    """Group rows that price the same two readings under the same terms; they lie together, reversals apart."""
    for _, group in groupby(rows, key=lambda row: (row.readings, row.kind == KIND_REVERSAL)):
        yield list(group)


def bridges_of(seq: int, document: Mapping[str, Any]) -> Iterator[Bridge]:
    """Yield what a change by a person says about the registers of points."""
    for change in document.get("points", ()):
        if isinstance(change, Mapping) and "first_raw" in change:
            after = change["after"]
            yield Bridge(
                seq, change["point"], change["first_raw"], change["first_s"], after["plan"],
                TierOptions(**after["options"]), change.get("position_milli"),
            )  # fmt: skip
    if "point" in document and "held" in document and "nano" not in document:  # a doubtful register that was rejected
        yield Bridge(seq, document["point"], document["raw_to"], document["to_s"])


def _said_by_rate(rows: Sequence[Charge], milli: int, supply: Supply) -> dict[int, int]:
    """Return what rate registers counted as the rows say, from before the books kept these; it must be the whole."""
    counted: dict[int, int] = {}
    for row in rows:
        if row.kind != KIND_UPLIFT:
            counted[row.rate] = counted.get(row.rate, 0) + row.milli
    whole = all(quantity % supply.milli_per_count == 0 for quantity in counted.values())
    if sum(counted.values()) != milli or not whole:
        raise Unpriced(f"its rate registers make {sum(counted.values())} thousandths, the total register {milli}")
    return counted


def _recharged(line: Line, method: int) -> Line:
    """Return a line as a restatement writes it; within one rate period it says whether a person gave the reading."""
    kept = method if line.method == METHOD_READ and method == METHOD_PERSON else line.method
    return line._replace(kind=line.kind if line.kind == KIND_UPLIFT else KIND_RECHARGE, method=kept)

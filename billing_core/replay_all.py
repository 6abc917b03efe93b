"""The replay of everything: every charge in the order of the chain, block by block, compiled where it can be.

    blocks of rows --replay_block.check--> agreed, or the row it does not agree on or does not know
    that interval  --PointReplay--------> agreed, or what differs

Memory is bounded by the numbers of points, terms and accounts, and by one block and the schedules it touches; the span
does not matter. Rule: pure. The rows come from a `Source`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from billing_core import replay_block as block
from billing_core.columns import KIND_RECHARGE, KIND_REVERSAL, Table
from billing_core.ledger import revenue
from billing_core.plan import Plan, TierOptions
from billing_core.rate_evidence import Evidence, RateReading
from billing_core.replay import Charge, Prices, Supply
from billing_core.replay_account import Replays, left_over, settled_fault
from billing_core.replay_point import Bridge
from billing_core.schedule import Schedules, options_used, unroll_all
from billing_core.zones import DAY_S

WINDOW_S: Final = 32 * DAY_S
Pair = tuple[bytes, TierOptions]


class Folded(NamedTuple):
    """A ledger account: its balance, and the sum of its entries that do not stand for charges."""

    account: str
    balance_nano: int
    entries_nano: int


class Left(NamedTuple):
    """Where the books left a supply point."""

    point: str
    last_raw: int
    billed_milli: int
    charged_nano: int


class Settled(NamedTuple):
    """A transfer of a settlement: the document with every input, and the entries that were posted."""

    seq: int
    document: Mapping[str, Any]
    entries: Sequence[tuple[str, int]]


class Source(Protocol):
    """Where the rows come from, in the order of the chain."""

    def plans(self) -> Mapping[bytes, Plan]: ...
    def supplies(self) -> Mapping[int, Supply]: ...
    def bridges(self) -> Iterable[Bridge]: ...
    def charge(self, seq: int, line: int) -> Charge | None: ...
    def evidence(self) -> Evidence: ...
    def readings_left(self) -> Iterable[RateReading]: ...
    def blocks(self) -> Iterable[Table]: ...
    def points(self) -> Iterable[Left]: ...
    def settled(self) -> Iterable[Settled]: ...
    def folded(self) -> Iterable[Folded]: ...


class Fault(NamedTuple):
    """Something in the books that is not as the replay makes it."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(slots=True)
class Summary:
    """What was computed."""

    charges: int = 0
    slow: int = 0  # of them by PointReplay
    settled: int = 0
    points: int = 0
    accounts: int = 0


def replay_all(source: Source, summary: Summary) -> Iterator[Fault]:
    """Yield everything that differs; count into `summary`."""
    run = _Run(source)
    for rows in source.blocks():
        yield from run.block(rows)
    yield from run.points(source.points())
    supplies = source.supplies()
    for reading in source.readings_left():
        yield Fault("rate registers", left_over(reading, supplies))
    summary.charges, summary.slow, summary.points = run.charges, run.slow, len(run.names)
    for posted in source.settled():
        summary.settled += 1
        if text := settled_fault(posted.document, posted.entries):
            yield Fault(f"transfer {posted.seq}", text)
    moved = run.moved()
    for folded in source.folded():
        summary.accounts += 1
        expected = folded.entries_nano + moved[folded.account]
        if folded.balance_nano != expected:
            text = f"{folded.balance_nano} nano stored, charges and entries come to {expected}"
            yield Fault(f"balance of {folded.account}", text)


class _Run:
    """One pass over all charges."""

    def __init__(self, source: Source) -> None:
        self.names = sorted({supply.point for supply in source.supplies().values()})
        self.charges = self.slow = 0
        self._supplies = source.supplies()
        self._plans = source.plans()
        self._due: Counter[int] = Counter()  # terms -> nano
        self._rows = {name: row for row, name in enumerate(self.names)}
        self._points = block.fresh_points(len(self.names))
        self._means = np.full((max(self._supplies, default=0) + 1, block.MEANS_WIDTH), -1, dtype=np.int64)
        for number, supply in self._supplies.items():
            self._means[number] = self._rows[supply.point], -1, supply.milli_per_count, supply.modulus_counts
        self._pairs: dict[Pair, int] = {}
        self._schedules: Schedules | None = None
        self._replays = Replays(self._supplies, Prices(self._plans), source.charge, source.bridges(), source.evidence())

    def block(self, rows: Table) -> Iterator[Fault]:
        """Compute one block again; the intervals in it are whole."""
        self.charges += len(rows)
        sound = self._known(rows)
        known = np.ascontiguousarray(rows[sound])
        for row in rows[~sound].tolist():
            yield Fault(f"charge {row[0]}:{row[1]}", f"there are no terms of supply {row[block.B_TERMS]}")
        schedules, at = self._cover(known), 0
        while at < len(known):
            at, why = block.check(
                known, at, self._means, self._points, schedules.entries, schedules.first, schedules.prices,
                schedules.bounds, schedules.volume,
            )  # fmt: skip
            if why != block.SAME:
                end = _end(known, at)
                yield from self._slowly(known[at:end])
                at = end
        due = np.zeros(len(self._means), dtype=np.int64)
        np.add.at(due, known[:, block.B_TERMS], known[:, block.B_NANO])
        for number in np.flatnonzero(due).tolist():
            self._due[number] += int(due[number])

    def points(self, stored: Iterable[Left]) -> Iterator[Fault]:
        """Compare where each point was left with its charges."""
        for left in stored:
            if left.point not in self._rows:
                yield Fault(f"point {left.point}", "has a register and no terms of supply")
                continue
            self._give(left.point)
            point = self._replays.point(left.point)
            point.pass_bridges(None, 2**62)
            raw = point.raw if point.at_s >= 0 else left.last_raw
            facts = (
                ("last register", left.last_raw, raw),
                ("quantity billed", left.billed_milli, point.milli),
                ("money charged", left.charged_nano, point.nano),
            )
            for name, found, expected in facts:
                if found != expected:
                    yield Fault(f"point {left.point}", f"{name}: {found} stored, its charges say {expected}")

    def moved(self) -> Counter[str]:
        """Return what the charges move: ledger account -> nano."""
        moved: Counter[str] = Counter()
        for number, nano in self._due.items():
            moved[self._supplies[number].account] -= nano
            moved[revenue(self._supplies[number].medium)] += nano
        return moved

    def _known(self, rows: Table) -> npt.NDArray[np.bool_]:
        """Tell which rows name terms that exist."""
        return np.isin(rows[:, block.B_TERMS], list(self._supplies))

    def _cover(self, rows: Table) -> Schedules:
        """Return schedules of everything that some rows name, over their time."""
        from_s = int(rows[:, block.B_FROM_S].min()) if len(rows) else 0
        to_s = int(rows[:, block.B_TO_S].max()) if len(rows) else DAY_S
        numbers = np.unique(rows[:, block.B_TERMS]).tolist()
        pairs = {number: self._pair(self._supplies[number]) for number in numbers}
        found = self._schedules
        if (
            found is None
            or not found.from_s <= from_s < to_s < found.to_s
            or not set(pairs.values()) <= set(self._pairs)
        ):
            self._pairs = {pair: index for index, pair in enumerate(dict.fromkeys(pairs.values()))}
            named = [(self._plans[plan_hash], options) for plan_hash, options in self._pairs]
            begin_s, end_s = from_s // WINDOW_S * WINDOW_S, (to_s // WINDOW_S + 1) * WINDOW_S + DAY_S
            found = self._schedules = unroll_all(named, begin_s, end_s)
        for number, pair in pairs.items():
            self._means[number, block.M_SCHEDULE] = self._pairs[pair]
        return found

    def _pair(self, supply: Supply) -> Pair:
        return supply.plan_hash, options_used(self._plans[supply.plan_hash], supply.options)

    def _slowly(self, rows: Table) -> Iterator[Fault]:
        """Let the slow replay judge some rows: hand it the state of their points, and take it back."""
        charges = [Charge._make(row) for row in rows.tolist()]
        self.slow += len(charges)
        touched = {self._supplies[charge.terms].point for charge in charges}
        for point in touched:
            self._give(point)
        for compared, supply in self._replays.transfer(charges):
            if compared.text:
                yield Fault(f"charge {compared.near.name}, point {supply.point}", compared.text)
        for point in touched:
            self._take(point)

    def _give(self, name: str) -> None:
        point, state = self._replays.point(name), self._points[self._rows[name]]
        point.raw, point.at_s = int(state[block.P_RAW]), int(state[block.P_S])
        point.position.milli, point.position.period = int(state[block.P_POSITION]), int(state[block.P_PERIOD])
        point.milli, point.nano = int(state[block.P_MILLI]), int(state[block.P_NANO])

    def _take(self, name: str) -> None:
        point, state = self._replays.point(name), self._points[self._rows[name]]
        state[block.P_RAW], state[block.P_S] = point.raw, point.at_s
        state[block.P_POSITION], state[block.P_PERIOD] = point.position.milli, point.position.period
        state[block.P_MILLI], state[block.P_NANO] = point.milli, point.nano


def _end(rows: Table, at: int) -> int:
    """Return the row after the interval, or after the restatement, that begins at a row."""
    again = (KIND_REVERSAL, KIND_RECHARGE)
    end = at + 1
    while end < len(rows) and rows[end, block.B_SEQ] == rows[at, block.B_SEQ]:
        same = np.array_equal(rows[end, block.B_TERMS : block.B_TO_S + 1], rows[at, block.B_TERMS : block.B_TO_S + 1])
        if not same and not (rows[at, block.B_KIND] in again and rows[end, block.B_KIND] <= KIND_RECHARGE):
            break
        end += 1
    return end

"""The replay of one tenant: every charge of every supply point he ever had, every transfer, every balance.

    charges of the points --PointReplay--> compared lines ┐
    entries of the tenant's ledger accounts --------------┴-> steps in the order of the chain

A point's tier position runs through all its tenants, so the whole life of each point is computed; only what the tenant
pays for becomes a step. Rule: pure. The rows come from a `Source`.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, NamedTuple, Protocol

from billing_core import settlement
from billing_core.ledger import wallet
from billing_core.plan import Plan
from billing_core.rate_evidence import Evidence, RateReading
from billing_core.replay import Charge, Prices, Supply
from billing_core.replay_point import Bridge, Compared, Find, PointReplay, intervals

CHARGING: Final = ("charge", "restatement")  # kinds of transfer whose entries are the sum of charge rows


class Moved(NamedTuple):
    """One entry of a transfer, with the transfer it belongs to."""

    seq: int
    key: str
    kind: str
    at_s: int
    who: str
    memo: str
    document: Mapping[str, Any] | None
    account: str  # ledger account
    nano: int


class Source(Protocol):
    """Where the rows come from; each stream in the order of the chain."""

    def plans(self) -> Mapping[bytes, Plan]: ...
    def supplies(self) -> Mapping[int, Supply]: ...
    def bridges(self) -> Iterable[Bridge]: ...
    def charge(self, seq: int, line: int) -> Charge | None: ...
    def charges_of(self, terms: Sequence[int]) -> Iterable[Charge]: ...
    def ledger_accounts(self, account: str) -> Sequence[str]: ...
    def moved(self, accounts: Sequence[str]) -> Iterable[Moved]: ...
    def balances(self, accounts: Sequence[str]) -> Mapping[str, int]: ...
    def evidence(self) -> Evidence: ...
    def readings_left(self, terms: Sequence[int] | None = None) -> Iterable[RateReading]: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a tenant, as the replay sees it: a charge, an entry, or a difference alone."""

    seq: int
    at_s: int
    compared: Compared | None = None
    supply: Supply | None = None
    moved: Moved | None = None
    balance_nano: int = 0  # of the entry's ledger account, after it
    text: str = ""  # what differs; "" when nothing does


@dataclass(slots=True)
class Tally:
    """What a replay adds up to."""

    charges: int = 0
    charged_nano: int = 0
    transfers: int = 0
    differences: int = 0
    balances: Counter[str] = field(default_factory=Counter)  # ledger account -> nano


def replay_account(source: Source, account: str, tally: Tally) -> Iterator[Step]:
    """Yield every step of a tenant, with what differs; count into `tally`."""
    supplies, accounts = source.supplies(), source.ledger_accounts(account)
    mine = {supply.point for supply in supplies.values() if supply.account == wallet(account)}
    terms = [number for number, supply in supplies.items() if supply.point in mine]
    charges = groupby(source.charges_of(terms), key=lambda charge: charge.seq)
    entries = groupby(source.moved(accounts), key=lambda moved: moved.seq)
    replays = Replays(supplies, Prices(source.plans()), source.charge, source.bridges(), source.evidence())
    for reading in source.readings_left(terms):
        tally.differences += 1
        yield Step(reading.seq, reading.to_s, text=left_over(reading, supplies))
    for seq, own_charges, own_entries in _merged(charges, entries):
        due = 0
        for compared, supply in replays.transfer(own_charges):
            if supply.account == wallet(account):
                due += compared.line.nano if compared.line is not None else 0
                yield _charge_step(seq, compared, supply, tally)
            elif compared.text:  # another tenant's charge, but it moves the position that this one climbs on
                tally.differences += 1
                yield Step(seq, 0, compared, supply, text=compared.text)
        yield from _entry_steps(seq, own_entries, due, wallet(account), tally)
    yield from _balance_steps(source.balances(accounts), tally)


def left_over(reading: RateReading, supplies: Mapping[int, Supply]) -> str:
    """Say that rate registers in the books have split nothing."""
    point = supplies[reading.terms].point if reading.terms in supplies else "nowhere"
    span = f"{reading.from_s} to {reading.to_s}"
    return f"transfer {reading.seq} keeps rate registers of {point} from {span}, and no charge that they split"


class Replays:
    """The points under replay; hands each its rows, transfer by transfer."""

    def __init__(
        self,
        supplies: Mapping[int, Supply],
        prices: Prices,
        find: Find,
        bridges: Iterable[Bridge],
        evidence: Evidence,
    ) -> None:
        """bridges: what documents say of the registers of points, in the order of the chain."""
        self._evidence = evidence
        self._supplies = supplies
        self._prices = prices
        self._find = find
        self._points: dict[str, PointReplay] = {}
        self._bridges: defaultdict[str, list[Bridge]] = defaultdict(list)
        for bridge in bridges:
            self._bridges[bridge.point].append(bridge)

    def all(self, charges: Iterable[Charge]) -> Iterator[tuple[Compared, Supply]]:
        """Compare the charges of many transfers, in the order of the chain."""
        for _, own in groupby(charges, key=lambda charge: charge.seq):
            yield from self.transfer(list(own))

    def transfer(self, charges: Sequence[Charge]) -> Iterator[tuple[Compared, Supply]]:
        """Compare the charges of one transfer."""
        touched = set()
        for rows in intervals(charges):
            supply = self._supplies[rows[0].terms]
            touched.add(supply.point)
            for compared in self.point(supply.point).compare(supply, rows):
                yield compared, supply
        for point in touched:
            self._points[point].end_transfer()

    def point(self, point: str) -> PointReplay:
        if point not in self._points:
            bridges = self._bridges[point]
            self._points[point] = PointReplay(point, self._prices, self._find, bridges, evidence=self._evidence)
        return self._points[point]


def _merged(
    charges: Iterable[tuple[int, Iterable[Charge]]], entries: Iterable[tuple[int, Iterable[Moved]]]
) -> Iterator[tuple[int, list[Charge], list[Moved]]]:
    """Join two streams by the number of the transfer."""
    left, right = iter(charges), iter(entries)
    charge, entry = next(left, None), next(right, None)
    while charge is not None or entry is not None:
        seq = min(found[0] for found in (charge, entry) if found is not None)
        own_charges: list[Charge] = []
        own_entries: list[Moved] = []
        if charge is not None and charge[0] == seq:
            own_charges, charge = list(charge[1]), next(left, None)
        if entry is not None and entry[0] == seq:
            own_entries, entry = list(entry[1]), next(right, None)
        yield seq, own_charges, own_entries


def _charge_step(seq: int, compared: Compared, supply: Supply, tally: Tally) -> Step:
    tally.charges += 1
    tally.charged_nano += compared.line.nano if compared.line is not None else 0
    tally.differences += bool(compared.text)
    shown = compared.row or compared.line
    assert shown is not None, "a comparison has a row or a line"
    return Step(seq, shown.segment_to_s, compared, supply, text=compared.text)


def settled_fault(
    document: Mapping[str, Any] | None, entries: Iterable[tuple[str, int]], mine: Container[str] | None = None
) -> str:
    """Return how entries differ from what the document of a settlement makes of its inputs, "" when they do not.

    mine   ledger accounts that are looked at; None: all
    """
    if document is None or document.get("form") not in settlement.FORMS:
        return ""
    expected, found = Counter[str](), Counter[str]()
    for account, nano in settlement.recompute(document):
        expected[account] += nano
    for account, nano in entries:
        found[account] += nano
    seen = (account for account in expected.keys() | found.keys() if mine is None or account in mine)
    differing = sorted(account for account in seen if expected[account] != found[account])
    return "; ".join(f"{name}: {found[name]} nano posted, its document makes {expected[name]}" for name in differing)


def _entry_steps(seq: int, entries: Sequence[Moved], due: int, purse: str, tally: Tally) -> Iterator[Step]:
    """Yield the entries of one transfer. Charges move the purse by their sum, or by entries that must be their sum."""
    booked = [moved.nano for moved in entries if moved.account == purse and moved.kind in CHARGING]
    if not booked:
        tally.balances[purse] -= due
    elif sum(booked) != -due:
        tally.differences += 1
        text = f"the charges of transfer {seq} sum to {due} nano, its entries debit {-sum(booked)}"
        yield Step(seq, entries[0].at_s, text=text)
    tally.transfers += bool(entries)
    if entries:
        sides = [(moved.account, moved.nano) for moved in entries]
        if text := settled_fault(entries[0].document, sides, {account for account, _ in sides}):
            tally.differences += 1
            yield Step(seq, entries[0].at_s, text=f"transfer {seq}: {text}")
    for moved in entries:
        tally.balances[moved.account] += moved.nano
        yield Step(seq, moved.at_s, moved=moved, balance_nano=tally.balances[moved.account])


def _balance_steps(stored: Mapping[str, int], tally: Tally) -> Iterator[Step]:
    for account in sorted(stored.keys() | tally.balances.keys()):
        if stored.get(account, 0) != tally.balances[account]:
            tally.differences += 1
            text = (
                f"balance of {account}: {stored.get(account)} nano stored, its entries sum to {tally.balances[account]}"
            )
            yield Step(0, 0, text=text)

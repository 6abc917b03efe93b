"""The audit: reads the books from the first transfer to the last and computes everything again.

Checked: every transfer sums to zero; numbers are dense and the hash chain unbroken up to the head; every charge equals
what the slow reference makes of its stored readings, rate registers among them, and stored tariff version
(audit_charges.py); charges of a point
join without gap or overlap; a transfer's entries are the sum of its charges; balances are the fold of entries;
registers are where the last charge left them; every top-up has its receipt; the chain holds every head that was
anchored beside the data base.

Rule: pure. The rows come from a `Books`, in the order in which they were written, and are read once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from billing_core import chart, ledger
from billing_core.audit_charges import ChargeAudit, ChargeRow, Difference, PointRow, TermsRow
from billing_core.ledger import GENESIS, Transfer
from billing_core.plan import Plan
from billing_core.plan_body import body_hash, plan_of
from billing_core.rate_evidence import Evidence, RateReading

__all__ = ["Books", "ChargeRow", "Difference", "EntryRow", "PointRow", "ReceiptRow", "TermsRow", "TransferRow", "audit"]


class TransferRow(NamedTuple):
    seq: int
    key: str
    kind: str
    site: str
    plant_time_s: int
    posted_at_us: int
    who: str
    station: str
    memo: str
    charges_hash: bytes | None
    prev_hash: bytes
    hash: bytes
    document: Mapping[str, Any] | None


class EntryRow(NamedTuple):
    seq: int
    account: str
    nano: int


class ReceiptRow(NamedTuple):
    number: str
    seq: int
    account: str
    amount_nano: int
    balance_nano: int
    currency: str
    channel: str
    plant_time_s: int
    who: str
    station: str
    account_currency: str  # of its account


class Books(Protocol):
    """Where the rows come from; each list in the order of its number."""

    def head(self) -> tuple[int, bytes]: ...
    def folded_after(self) -> int: ...
    def transfers(self) -> Iterable[TransferRow]: ...
    def entries(self) -> Iterable[EntryRow]: ...
    def charges(self) -> Iterable[ChargeRow]: ...
    def charge(self, seq: int, line: int) -> ChargeRow | None: ...
    def rate_readings(self) -> Iterable[RateReading]: ...
    def rate_reading(self, terms: int, from_s: int, to_s: int) -> RateReading | None: ...
    def proven_after(self) -> int: ...
    def terms(self) -> Iterable[TermsRow]: ...
    def tariffs(self) -> Iterable[tuple[bytes, Mapping[str, Any]]]: ...
    def balances(self) -> Iterable[tuple[str, int, int]]: ...
    def receipts(self) -> Iterable[ReceiptRow]: ...
    def points(self) -> Iterable[PointRow]: ...


@dataclass(slots=True)
class Sums:
    """What has been folded so far."""

    balances: Counter[str] = field(default_factory=Counter)
    moved: dict[str, int] = field(default_factory=dict)  # account -> last transfer that moved it
    top_ups: dict[int, tuple[Any, ...]] = field(default_factory=dict)  # what their receipts must say

    def move(self, account: str, nano: int, seq: int) -> None:
        self.balances[account] += nano
        if nano:
            self.moved[account] = seq


def audit(books: Books, anchored: Mapping[int, bytes] | None = None) -> Iterator[Difference]:
    """Yield every difference found in the books.

    anchored: number of a transfer -> its hash, as they were written beside the data base
    """
    plans: dict[bytes, Plan] = {}
    for number, body in books.tariffs():
        try:
            plans[number] = plan_of(body)
        except (KeyError, TypeError, ValueError) as error:
            yield Difference(f"tariff version {number.hex()[:12]}", f"its content is no plan: {error!r}")
        if body_hash(body) != number:
            yield Difference(f"tariff version {number.hex()[:12]}", "its content does not have its hash")
    terms = {row.id: row for row in books.terms()}
    sums = Sums()
    charged = ChargeAudit(terms, plans, books.charge, Evidence(books.rate_reading, books.proven_after()))
    yield from _transfers(books, terms, charged, sums, dict(anchored or {}))
    yield from _balances(books, sums)
    yield from charged.left(books.points())
    yield from _receipts(books, sums)


def _transfers(
    books: Books, terms: Mapping[int, TermsRow], charged: ChargeAudit, sums: Sums, anchored: dict[int, bytes]
) -> Iterator[Difference]:
    entries, charges = _Groups(books.entries(), "entry"), _Groups(books.charges(), "charge")
    readings = _Groups(books.rate_readings(), "rate registers")
    hashes = {number: ledger.terms_hash(row._asdict()) for number, row in terms.items()}
    seq, previous, folded_after = 0, GENESIS, books.folded_after()
    for row in books.transfers():
        place = f"transfer {row.seq}"
        if row.seq != seq + 1:
            yield Difference(place, f"transfers {seq + 1} to {row.seq - 1} are missing")
        if row.prev_hash != previous:
            yield Difference(place, "does not continue the hash chain")
        if anchored.pop(row.seq, row.hash) != row.hash:
            yield Difference(place, "is not the one that was anchored beside the data base")
        own_entries, own_charges, own_readings = entries.of(row.seq), charges.of(row.seq), readings.of(row.seq)
        yield from _transfer(row, own_entries, own_charges, own_readings, hashes, row.seq <= folded_after)
        yield from charged.transfer(place, own_charges, own_readings)
        if row.kind == "change":
            charged.change(row.seq, row.document or {})
        if own_charges and row.kind not in ("charge", "restatement"):
            yield Difference(place, f"a {row.kind} carries charges")
        elif own_charges and own_entries:  # as they were stored until entries became the sums of their charges
            yield from _covered(place, own_entries, own_charges, terms)
        for account, nano in _folded(own_charges, terms).items() if not own_entries else ():
            sums.move(account, nano, row.seq)
        for entry in own_entries:
            sums.move(entry.account, entry.nano, row.seq)
        if row.kind == "topup":
            sums.top_ups[row.seq] = _receipt_of(row, own_entries, sums)
        seq, previous = row.seq, row.hash
    if (seq, previous) != books.head():
        yield Difference("book", f"its head is transfer {books.head()[0]}, the chain ends with {seq}")
    if anchored:
        text = f"transfer {max(anchored)} was anchored beside the data base, and is not in the books any more"
        yield Difference("book", f"{text} ({len(anchored)} such heads); the chain ends with {seq}")
    yield from entries.orphans()
    yield from charges.orphans()
    yield from readings.orphans()


def _transfer(
    row: TransferRow,
    entries: tuple[EntryRow, ...],
    charges: tuple[ChargeRow, ...],
    readings: tuple[RateReading, ...],
    hashes: Mapping[int, bytes],
    older: bool,
) -> Iterator[Difference]:
    """Compare one transfer with its entries, the hash of its charges and their terms, and its own hash.

    older: from before charges knew tiers; their hash leaves out what they did not know
    """
    place = f"transfer {row.seq}"
    total = sum(entry.nano for entry in entries)
    if total != 0:
        yield Difference(place, f"entries sum to {total} nano, not to zero")
    charged = charges_hash(charges, hashes, older, readings) if charges else b""
    if charged != (row.charges_hash or b""):
        yield Difference(place, "its charges are not the ones that were posted")
    if any(charge.line != line for line, charge in enumerate(charges)):
        yield Difference(place, "its charges are not numbered one after the other")
    try:
        sides = tuple((entry.account, entry.nano) for entry in entries)
        transfer = Transfer(
            row.key,
            row.kind,
            row.site,
            row.plant_time_s,
            row.who,
            row.station,
            row.memo,
            sides,
            row.charges_hash or b"",
            ledger.document_hash(row.document),
        )
        body = ledger.canonical(transfer, row.seq, row.posted_at_us)
    except AssertionError as broken:
        yield Difference(place, f"could never have been posted: {broken}")
        return
    if ledger.chain(row.prev_hash, body) != row.hash:
        yield Difference(place, "its content does not have its hash")


def _folded(charges: tuple[ChargeRow, ...], terms: Mapping[int, TermsRow]) -> Counter[str]:
    """Return the entries of charges: what they debit and credit, account by account."""
    due: Counter[str] = Counter()
    for charge in charges:
        if (term := terms.get(charge.terms)) is not None:
            due[term.account] -= charge.nano
            due[ledger.revenue(term.medium)] += charge.nano
    return due


def _covered(
    place: str, entries: tuple[EntryRow, ...], charges: tuple[ChargeRow, ...], terms: Mapping[int, TermsRow]
) -> Iterator[Difference]:
    """Compare the entries of a charge transfer with the sum of its charges."""
    due = _folded(charges, terms)
    booked = Counter({entry.account: 0 for entry in entries})
    for entry in entries:
        booked[entry.account] += entry.nano
    for account in sorted(due.keys() | booked.keys()):
        if due[account] != booked[account]:
            yield Difference(
                f"{place}, {account}", f"charges sum to {due[account]} nano, the entry says {booked[account]}"
            )


def _balances(books: Books, sums: Sums) -> Iterator[Difference]:
    stored = {account: (nano, seq) for account, nano, seq in books.balances()}
    for account in sorted(stored.keys() | sums.balances.keys()):
        nano, seq = stored.get(account, (0, 0))
        if nano != sums.balances[account]:
            text = f"{nano} nano stored, its entries sum to {sums.balances[account]}"
            yield Difference(f"balance of {account}", text)
        if seq != sums.moved.get(account, 0):
            text = f"last moved by transfer {seq}, its entries say {sums.moved.get(account, 0)}"
            yield Difference(f"balance of {account}", text)


def _receipt_of(row: TransferRow, entries: tuple[EntryRow, ...], sums: Sums) -> tuple[Any, ...]:
    """Return what the receipt of a top-up must say, in the order of ReceiptRow after `seq`: no number, no currency.

    What came in is on the receipt whole, also where a part of it went to a debt of the same tenant.
    """
    tenant = next((tenant for entry in entries if (tenant := chart.tenant_of(entry.account))), "")
    paid = -sum(entry.nano for entry in entries if chart.tenant_of(entry.account) == "")
    wallet = ledger.wallet(tenant)
    return wallet, paid, sums.balances[wallet], row.memo, row.plant_time_s, row.who, row.station


def _receipts(books: Books, sums: Sums) -> Iterator[Difference]:
    for row in books.receipts():
        place = f"receipt {row.number}"
        expected = sums.top_ups.pop(row.seq, ())
        found = (
            row.account,
            row.amount_nano,
            row.balance_nano,
            row.channel,
            row.plant_time_s,
            row.who,
            row.station,
        )
        if expected[:2] != found[:2]:
            yield Difference(place, f"transfer {row.seq} did not pay {row.amount_nano} nano")
        elif expected != found:
            yield Difference(place, f"says {found}, transfer {row.seq} says {expected}")
        if (row.number, row.currency) != (ledger.receipt_number(row.seq), row.account_currency):
            yield Difference(place, f"transfer {row.seq} has another number, or its account another currency")
    for seq in sums.top_ups:
        yield Difference(f"transfer {seq}", "a top-up without receipt")


def charges_hash(
    charges: Iterable[ChargeRow], hashes: Mapping[int, bytes], older: bool, readings: Iterable[RateReading] = ()
) -> bytes:
    """Return the hash that ties charges, terms and rate registers to their transfer, from rows as they are stored."""

    def of_numbers(numbers: npt.NDArray[np.int64]) -> bytes:
        return b"".join(hashes.get(number, b"") for number in numbers.tolist())  # none only where books were tampered

    columns = np.array([charge[2:] for charge in charges], dtype=np.int64)
    if older:
        columns[:, ledger.CHARGE_FIRST :] = 0
    evidence = np.array([(*reading.interval, *reading.before, *reading.after) for reading in readings], dtype=np.int64)
    return ledger.charges_hash(columns, of_numbers, evidence)


class _Groups:
    """Rows of an ordered list, handed out transfer by transfer; what belongs to none is kept as an orphan."""

    def __init__(self, rows: Iterable[Any], name: str) -> None:
        self._groups = groupby(rows, key=lambda row: int(row.seq))
        self._next = next(self._groups, None)
        self._name = name
        self._orphans: list[int] = []

    def of(self, seq: int) -> tuple[Any, ...]:
        while self._next is not None and self._next[0] < seq:
            self._skip()
        if self._next is None or self._next[0] != seq:
            return ()
        rows = tuple(self._next[1])
        self._next = next(self._groups, None)
        return rows

    def orphans(self) -> Iterator[Difference]:
        while self._next is not None:
            self._skip()
        for seq in self._orphans:
            yield Difference(f"{self._name} of transfer {seq}", "there is no such transfer")

    def _skip(self) -> None:
        assert self._next is not None
        self._orphans.append(self._next[0])
        self._next = next(self._groups, None)

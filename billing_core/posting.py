"""What is posted besides charges: drafts that a trade writes, and the answer it gets.

    trade --build(balances)--> Draft --LedgerStore.post--> Transfer in the chain --> Posted

Rule: pure. A draft is checked here, so that what the books would never take is refused before anything is written.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from billing_core import chart
from billing_core.bounds import TOTAL_MAX
from billing_core.ledger import Entry, wallet
from scada.errors import Refused

KEY_LENGTH: Final = 200
DOCUMENT_DEEP: Final = 32  # nested containers; what people write has four
DOCUMENT_CHARACTERS: Final = 2_000_000  # a settlement of ten thousand lines

Balances = Callable[[str], int]
Build = Callable[[Balances], "Draft"]
Same = Callable[["Posted"], Refused | None]  # why what stands under the key is not what is asked for now
Also = Callable[[Any, int], Awaitable[None]]  # (cursor, seq of the transfer)
Read = Callable[[Any], Awaitable[None]]  # (cursor): fetches what `build` needs besides balances


class NewAccount(NamedTuple):
    """A ledger account that a draft opens under names of its own, as a tenant's wallet is."""

    id: str
    name_zh: str
    name_en: str
    currency: str


@dataclass(frozen=True, slots=True)
class Draft:
    """One movement of money, or of facts alone, as a trade wants it."""

    entries: tuple[Entry, ...]  # (ledger account, nano), positive credits; sums to zero; () with a document alone
    memo: str = ""  # the reason, as people read it
    document: Mapping[str, Any] | None = None  # plain JSON without fractions; enters the hash chain
    opens: tuple[NewAccount, ...] = ()  # wallets; every other account opens by its place in the chart
    also: Also | None = None  # writes the trade's own rows in the same transaction


@dataclass(frozen=True, slots=True)
class Posted:
    """A transfer that is in the books."""

    seq: int
    key: str
    kind: str
    entries: tuple[Entry, ...]
    memo: str
    document: Mapping[str, Any] | None
    plant_time_s: int
    who: str
    station: str
    repeated: bool = False  # the key had been posted before; nothing was posted now
    credit_now: Mapping[str, int] = field(default_factory=dict)
    """account id -> nano that the running engine has still to add to its live balance: hand it to Office.credit_now"""
    balances: Mapping[str, int] = field(default_factory=dict)
    """ledger account -> nano right after it, of every account it moved; empty when repeated"""


@dataclass(frozen=True, slots=True)
class Wish:
    """One posting as it is asked for."""

    key: str
    kind: str
    who: str
    station: str
    build: Build
    at_s: int | None = None  # plant time; None: now
    same: Same | None = None
    read: Read | None = None


def asked(wish: Mapping[str, Any]) -> Same:
    """Return a comparison for repeated keys: what a draft put into its document under "asked" must be `wish`."""

    def same(posted: Posted) -> Refused | None:
        stood = (posted.document or {}).get("asked")
        return None if stood == wish else key_reused(posted, f"asked {stood}")

    return same


def check_key(key: str) -> None:
    """Refuse a key that the books would not take: "ledger.key"."""
    if not 1 <= len(key) <= KEY_LENGTH or not key.isprintable():
        raise Refused("ledger.key", f"a key has 1 to {KEY_LENGTH} printable characters")


def key_reused(posted: Posted, what: str) -> Refused:
    return Refused("ledger.key-reused", f"key {posted.key!r} belongs to transfer {posted.seq}, which {what}")


def rebuilt_differs(posted: Posted, wish: Wish, balances_then: Balances) -> Refused | None:
    """Compare a posting with what its wish makes of the balances of that time: same kind, same entries; the same
    document where no money moved."""
    if posted.kind != wish.kind:
        return key_reused(posted, f"is a {posted.kind}")
    try:
        draft = wish.build(balances_then)
    except Refused as refused:
        return key_reused(posted, f"is another posting; this one is refused: {refused}")
    if draft.entries != posted.entries or (not draft.entries and draft.document != posted.document):
        return key_reused(posted, f"moved {posted.entries}")
    return None


def wallets_of(entries: tuple[Entry, ...]) -> dict[str, int]:
    """Return account id -> nano of the wallets among the entries."""
    moved: Counter[str] = Counter()
    for account, nano in entries:
        if account.startswith(wallet("")):
            moved[account.removeprefix(wallet(""))] += nano
    return {account: nano for account, nano in moved.items() if nano}


def check(draft: Draft, balances: Balances) -> None:
    """Refuse what the books do not take: "ledger.unbalanced", "ledger.empty", "ledger.scale", "ledger.document"."""
    if draft.document is not None:
        check_document(draft.document)
    if not draft.entries and draft.document is None:
        raise Refused("ledger.empty", "a posting moves money or carries a document")
    total = sum(nano for _, nano in draft.entries)
    if total or len(draft.entries) == 1 or not all(nano for _, nano in draft.entries):
        raise Refused("ledger.unbalanced", f"{draft.entries} does not move money from somewhere to somewhere")
    moved: Counter[str] = Counter()
    for account, nano in draft.entries:
        moved[account] += nano
        if abs(balances(account) + moved[account]) > TOTAL_MAX:
            raise Refused("ledger.scale", f"the balance of {account} would leave the scale of the books")


def check_document(document: Mapping[str, Any]) -> None:
    """Refuse "ledger.document" unless the data base gives back exactly what was hashed: objects, lists, text, integers,
    true, false, null; no fraction (a float near money is a mistake), no text that PostgreSQL cannot hold."""
    if fault := _fault(document, "document", DOCUMENT_DEEP):
        raise Refused("ledger.document", fault)
    if len(json.dumps(document)) > DOCUMENT_CHARACTERS:
        raise Refused("ledger.document", f"a document has at most {DOCUMENT_CHARACTERS} characters")


def _fault(value: Any, place: str, deep: int) -> str:
    if deep == 0:
        return f"{place}: nested too deeply"
    if isinstance(value, str):
        sound = "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
        return "" if sound else f"{place}: a text with a character that no text may hold"
    if value is None or isinstance(value, (bool, int)):
        return ""
    if isinstance(value, (list, tuple)):
        parts = ((part, f"{place}[{index}]") for index, part in enumerate(value))
    elif isinstance(value, dict):
        if not all(isinstance(name, str) and not _fault(name, place, 1) for name in value):
            return f"{place}: names are texts"
        parts = ((part, f"{place}.{name}") for name, part in value.items())
    else:
        return f"{place}: {type(value).__name__} is neither text, integer, list nor object"
    return next((fault for part, where in parts if (fault := _fault(part, where, deep - 1))), "")


def new_accounts(draft: Draft, known: Mapping[str, str], currency: str) -> list[tuple[str, str, str, str, str]]:
    """Return (id, kind, zh, en, currency) of the accounts that a draft opens.

    known: ledger accounts that are open -> currency. Refused: "ledger.account" outside the chart, "account.unknown" for
    a tenant whose wallet is neither open nor opened here.
    """
    opened = {account.id: account for account in draft.opens if account.id not in known}
    rows = [
        (account.id, chart.kind_of(account.id), account.name_zh, account.name_en, account.currency)
        for account in opened.values()
    ]
    for name in dict.fromkeys(account for account, _ in draft.entries):
        if name in known or name in opened:
            continue
        kind, tenant = chart.kind_of(name), chart.tenant_of(name)
        purse = wallet(tenant) if tenant else ""
        if kind == "wallet" or (purse and purse not in known and purse not in opened):
            raise Refused("account.unknown", f"there is no account {tenant!r}")
        own = known.get(purse) or (opened[purse].currency if purse in opened else currency)
        rows.append((name, kind, *chart.names_of(name), own))
    return rows

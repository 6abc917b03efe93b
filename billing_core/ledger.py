"""The rules of the books: balanced transfers, their canonical form, the hash chain, the chart of accounts.

Rule: pure. Sign: positive credits an account. A wallet holds what the tenant still has; revenue grows by charges;
cash and clearing go below zero by what was received, so that every transfer, and the whole ledger, sums to zero.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from billing_core.chart import TRANSFERS

GENESIS: Final = b"\0" * 32  # hash before the first transfer
CASH: Final = "cash"
OPENING: Final = "opening"
ROUNDING: Final = "rounding"
CHANNELS: Final = (
    "cash",
    "transfer",
    "card",
    "wechat",
    "alipay",
    "unionpay",
    "gateway",
)  # how money comes in; only cash is ours at once
NANO_PER_UNIT: Final = 1_000_000_000
TERMS: Final = ("point", "meter", "account", "medium", "unit", "milli_per_count", "modulus_counts", "tariff")
OPTIONS: Final = ("household", "opened_s")  # hashed only where they say something: older terms keep their hash

CHARGE: Final = (
    "terms", "raw_from", "from_s", "raw_to", "to_s", "segment_from_s", "segment_to_s", "rate", "price_micro", "milli",
    "nano", "tier", "position_milli", "kind", "method", "reverses_seq", "reverses_line",
)  # fmt: skip
CHARGE_FIRST: Final = CHARGE.index("tier")
RATE_READING: Final = (
    "terms", "from_s", "to_s", "from_1", "from_2", "from_3", "from_4", "from_5", "to_1", "to_2", "to_3", "to_4", "to_5",
)  # fmt: skip

Entry = tuple[str, int]  # account id, nano


@dataclass(frozen=True, slots=True)
class Transfer:
    """One movement of money, before it has a place in the chain."""

    key: str  # idempotency key
    kind: str
    site: str
    plant_time_s: int
    who: str
    station: str
    memo: str
    entries: tuple[Entry, ...]
    charges_hash: bytes = b""  # sha256 of the charge rows it pays for
    document_hash: bytes = b""  # document_hash of what it carries besides money

    def __post_init__(self) -> None:
        """Refuse what must never be posted; a failure here is a programmer's error."""
        assert self.kind in TRANSFERS, self.kind
        assert 1 <= len(self.key) <= 200, self.key
        facts = self.charges_hash != b"" or self.document_hash != b""  # energy at price zero, a change of terms
        assert len(self.entries) >= 2 or (facts and not self.entries), "a transfer has two sides"
        assert all(nano != 0 for _, nano in self.entries), "an entry moves money"
        assert sum(nano for _, nano in self.entries) == 0, "a transfer sums to zero"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the hash chain."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a tenant is given for a top-up."""

    number: str
    seq: int
    account: str
    amount_nano: int
    balance_nano: int  # in the books right after it
    currency: str
    channel: str
    plant_time_s: int
    who: str
    station: str
    repeated: bool  # the key had been posted before; nothing was posted now
    credit_now_nano: int  # what the running engine has still to add to its live balance
    debt_nano: int = 0  # part of the amount that paid a debt
    emergency_nano: int = 0  # part of the amount that paid emergency credit back


def canonical(transfer: Transfer, seq: int, posted_at_us: int) -> bytes:
    """Return the bytes that are hashed: one JSON object, keys sorted, no spaces, ASCII.

    "document" is there only when there is one: transfers from before there were any keep their hash.
    """
    fields = {
        "seq": seq,
        "key": transfer.key,
        "kind": transfer.kind,
        "site": transfer.site,
        "plant_time_s": transfer.plant_time_s,
        "posted_at_us": posted_at_us,
        "who": transfer.who,
        "station": transfer.station,
        "memo": transfer.memo,
        "entries": transfer.entries,
        "charges": transfer.charges_hash.hex(),
    }
    if transfer.document_hash:
        fields["document"] = transfer.document_hash.hex()
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def chain(previous: bytes, body: bytes) -> bytes:
    """Return the hash of a transfer that follows one whose hash is `previous`."""
    return hashlib.sha256(previous + body).digest()


def charges_hash(
    columns: npt.NDArray[np.int64],
    terms: Callable[[npt.NDArray[np.int64]], bytes],
    evidence: npt.NDArray[np.int64] | None = None,
) -> bytes:
    """Return the hash that ties charges, and the terms they name, to their transfer.

    columns: (k, len(CHARGE)) as stored; terms: numbers -> their terms_hash one after the other
    evidence: (n, len(RATE_READING)) as stored, in the order of their key; charges without any hash as they always did
    Rows that say nothing in the columns after CHARGE_FIRST are hashed without them, as they were before there were any.
    """
    plain = not columns[:, CHARGE_FIRST:].any()
    hashed = columns[:, :CHARGE_FIRST] if plain else columns
    digest = hashlib.sha256(np.ascontiguousarray(hashed, dtype="<i8").tobytes())
    digest.update(terms(np.unique(columns[:, 0])))
    if evidence is not None and len(evidence):
        digest.update(b"rate_reading")
        digest.update(np.ascontiguousarray(evidence, dtype="<i8").tobytes())
    return digest.digest()


def document_hash(document: Mapping[str, Any] | None) -> bytes:
    """Return the hash that ties a document to its transfer, b"" without one."""
    if document is None:
        return b""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")).digest()


def terms_hash(terms: Mapping[str, Any]) -> bytes:
    """Return the hash of terms of supply; TERMS and OPTIONS name what belongs to it."""
    facts = {name: value.hex() if isinstance(value := terms[name], bytes) else value for name in TERMS}
    facts |= {name: terms[name] for name in OPTIONS if terms.get(name)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode("ascii")).digest()


def receipt_number(seq: int) -> str:
    """Return the number of the receipt for a top-up, from its transfer's."""
    return f"R{seq:010d}"


def wallet(account: str) -> str:
    """Return the ledger account of a tenant's purse."""
    return f"wallet:{account}"


def revenue(medium: str) -> str:
    """Return the ledger account that the charges of a medium are credited to."""
    return f"revenue:{medium}"


def source_of(channel: str) -> str:
    """Return the ledger account that money of a channel comes from."""
    return CASH if channel == "cash" else f"clearing:{channel}"

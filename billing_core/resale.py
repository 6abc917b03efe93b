"""Resale 转供电: what a tenant effectively pays per unit, fees and shares included, against the price it was bought at.

Rule: pure; from frozen statements or previews, in coins; nothing is estimated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from billing_core.amounts import round_half_up
from billing_core.month_facts import UPLIFT

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the site itself paid for a medium in a month, on average."""

    medium: str
    month: str  # "2026-11"; "" for every month without one of its own
    price_micro: int
    cap_percent: int  # a tenant may pay so much more than the purchase price


@dataclass(frozen=True, slots=True)
class Effective:
    """One account's price of one medium in a month."""

    account: str
    name_zh: str
    name_en: str
    milli: int
    minor: int  # charged, in coins: usage, fees, shares
    price_micro: int  # effective, rounded half up; 0 without usage
    limit_micro: int  # purchase price and cap
    above: bool


def purchase_of(purchases: Iterable[Purchase], medium: str, month: str) -> Purchase | None:
    """Return the purchase price of a month, else the standing one, else None."""
    known = {purchase.month: purchase for purchase in purchases if purchase.medium == medium}
    return known.get(month) or known.get("")


def effective(document: Mapping[str, Any], purchase: Purchase) -> Effective | None:
    """Return what an account effectively paid per unit of the medium; None when it neither used nor paid any.

    An account that receives shares (the payer of a common cost) counts what it kept. Without usage any payment counts
    as above: a price per unit cannot be told.
    """
    lines = [line for line in document["lines"] if line["medium"] == purchase.medium]
    minor = sum(line["minor"] for line in lines)
    milli = sum(line["milli"] for line in lines if line["kind"] == "energy" and line["charge_kind"] != UPLIFT)
    if not milli and not minor:
        return None
    nano = minor * document["minor_nano"]
    limit_micro = purchase.price_micro * (PERCENT + purchase.cap_percent) // PERCENT
    price_micro = round_half_up(nano, milli) if milli > 0 else 0
    return Effective(
        document["account"], document["name_zh"], document["name_en"], milli, minor, price_micro, limit_micro,
        above=nano > limit_micro * milli,
    )  # fmt: skip

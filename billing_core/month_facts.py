"""What the books hold about one account and one period: the input of its settlement.

Rule: plain data, and the sums that more than one trade of the settlement needs.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing_core.periods import Month
from billing_core.plan import Plan, Version
from billing_core.supply import History, Stopped

UPLIFT: Final = 1  # kind of a charge row that prices units again: no quantity of its own


@dataclass(frozen=True, slots=True)
class Usage:
    """Charges of one supply point that have plan, version, rate, tier, price and kind in common, added up."""

    point: str
    medium: str
    unit: str
    plan: str  # hash of its body
    at_s: int  # a time at which the version was in force
    rate: int
    tier: int
    kind: int
    price_micro: int
    milli: int
    estimated_milli: int
    nano: int
    late: bool


@dataclass(frozen=True, slots=True)
class Posted:
    """Assessments of one component that were posted for the period, added up."""

    kind: str
    point: str
    medium: str
    component: str
    name_zh: str
    name_en: str
    tax_ppm: int
    nano: int
    late: bool
    compliance: str = ""  # word of a warning


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that came or went otherwise: top-up, refund, correction, ..."""

    seq: int
    kind: str
    at_s: int
    memo: str
    nano: int  # positive credits the wallet


@dataclass(frozen=True, slots=True)
class Facts:
    """What the books hold about an account and a period."""

    account: str
    name_zh: str
    name_en: str
    currency: str
    label: str  # "2026-11", or "2026-11/close" of a tenancy that ends
    month: Month
    from_s: int
    to_s: int
    cut_seq: int  # last transfer that was looked at
    minor_nano: int
    zone: ZoneInfo
    balance_nano: int  # of the wallet at the cut
    after_nano: int  # what of it lies at or after to_s
    previous_closing_nano: int | None
    usages: Sequence[Usage] = ()
    posted: Sequence[Posted] = ()
    movements: Sequence[Movement] = ()
    histories: Sequence[History] = ()
    plans: Mapping[str, Plan] = field(default_factory=dict)
    highest_w: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (point, component) -> W
    reactive_milli: Mapping[str, int] = field(default_factory=dict)  # point -> kvarh of the period in thousandths
    free_units: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)  # point -> first (milli, price)
    registers: Sequence[Mapping[str, Any]] = ()
    carried: Mapping[str, int] = field(default_factory=dict)  # line key -> nano that earlier statements left over
    stopped: Stopped = lambda _: False
    notes: tuple[str, ...] = ()


def parts_of(usage: Usage, version: Version | None) -> list[dict[str, Any]]:
    """Return the price parts of a line; none where they do not add up to its price (an uplift, a late price)."""
    if version is None:
        return []
    prices = [part.price_micro[usage.rate][usage.tier] for part in version.parts]
    if sum(prices) != usage.price_micro:
        return []
    return [
        {
            "id": part.id,
            "name_zh": part.name_zh,
            "name_en": part.name_en,
            "compliance": part.compliance,
            "price_micro": price,
            "nano": price * usage.milli,
        }
        for part, price in zip(version.parts, prices, strict=True)
    ]


def usage_by_point(usages: Sequence[Usage]) -> dict[str, int]:
    """Return point -> milli that was used; units priced again count once."""
    used: Counter[str] = Counter()
    for usage in usages:
        if usage.kind != UPLIFT:
            used[usage.point] += usage.milli
    return dict(used)


def nano_by_part(usages: Sequence[Usage], plans: Mapping[str, Plan]) -> dict[str, dict[str, int]]:
    """Return point -> price part -> nano; what has no parts stands under ""."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for usage in usages:
        plan = plans.get(usage.plan)
        parts = parts_of(usage, plan.version_at(usage.at_s) if plan else None)
        for part in parts:
            found[usage.point][part["id"]] += part["nano"]
        found[usage.point][""] += usage.nano - sum(part["nano"] for part in parts)
    return {point: dict(parts) for point, parts in found.items()}

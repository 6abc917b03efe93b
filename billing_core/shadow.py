"""A past period under another plan: who would have paid what more, from the readings that the books hold.

    pieces of the period (point by point, in order of time) --price--> new money --by tenant--> Outcome

What a tenant paid is what the books charged for the piece, restatements in and reversals out. What the other plan
would take is computed from the same quantities: each piece was used evenly between its two instants, and tiers climb
from the beginning of the new plan's own accumulation period.

Rule: pure; integers only, but for the percentages that people read.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any, Final, NamedTuple

from billing_core.columns import KIND_UPLIFT
from billing_core.explain import milli, nano
from billing_core.plan import Plan, TierOptions
from billing_core.replay import Position, Prices, price

MOVERS_MOST: Final = 20
CSV_COLUMNS: Final = ("account", "quantity", "old", "new", "more", "more_percent")


class Piece(NamedTuple):
    """A charge that stands: a quantity used evenly over [from_s, to_s) and what it cost. An uplift has no quantity."""

    point: str
    account: str
    options: TierOptions
    from_s: int
    to_s: int
    kind: int
    milli: int
    nano: int


@dataclass(slots=True)
class Tenant:
    """What one tenant used and paid, and would have paid."""

    account: str
    milli: int = 0
    old_nano: int = 0
    new_nano: int = 0

    @property
    def more_nano(self) -> int:
        return self.new_nano - self.old_nano

    @property
    def more_percent(self) -> Fraction | None:
        """Return the rise in per cent of what was paid, None where nothing was paid."""
        return Fraction(100 * self.more_nano, self.old_nano) if self.old_nano else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """All tenants of a plan, those who would pay most more first."""

    plan: str
    from_s: int
    to_s: int
    currency: str
    unit: str
    tenants: tuple[Tenant, ...]
    above_percent: int

    @property
    def total(self) -> Tenant:
        whole = Tenant("")
        for tenant in self.tenants:
            whole.milli += tenant.milli
            whole.old_nano += tenant.old_nano
            whole.new_nano += tenant.new_nano
        return whole

    @property
    def above(self) -> int:
        """Return how many tenants would pay more than `above_percent` more than they did."""
        return sum(
            (percent := tenant.more_percent) is not None and percent > self.above_percent for tenant in self.tenants
        )


def shadow(plan: Plan, pieces: Iterable[Piece], from_s: int, to_s: int, above_percent: int = 10) -> Outcome:
    """Price the pieces of [from_s, to_s) under `plan`. Pieces come point by point and in the order of time.

    Pieces before from_s only move the tier position: give those since `counting_from(plan, ...)`. Raises
    replay.Unpriced where the plan has no price.
    """
    prices = Prices({b"": plan})
    tenants: dict[str, Tenant] = {}
    for _, of_point in groupby(pieces, key=lambda piece: piece.point):
        position = Position()
        for piece in of_point:
            tenant = tenants.setdefault(piece.account, Tenant(piece.account))
            for part in _cut(piece, (from_s, to_s)):
                _charge(prices, part, position, tenant if from_s <= part.from_s < to_s else None)
    found = [tenant for tenant in tenants.values() if tenant.milli or tenant.old_nano]
    found.sort(key=lambda tenant: (-tenant.more_nano, tenant.account))
    return Outcome(plan.id, from_s, to_s, plan.currency, plan.unit, tuple(found), above_percent)


def counting_from(plan: Plan, options: TierOptions, at_s: int) -> int:
    """Return the second from which pieces are needed so that the tier position at at_s is known."""
    entry = Prices({b"": plan}).entries(b"", options, at_s, at_s + 1)[0]
    return min(entry.period, at_s) if entry.period > 0 else at_s


def _charge(prices: Prices, piece: Piece, position: Position, tenant: Tenant | None) -> None:
    """Move the tier position by a piece, and charge it to a tenant when it lies in the period."""
    lines = []
    if piece.kind != KIND_UPLIFT and piece.milli:
        to_s = max(piece.to_s, piece.from_s + 1)  # an estimate may have no length
        entries = prices.entries(b"", piece.options, piece.from_s, to_s)
        lines = price(piece.from_s, to_s, piece.milli, entries, position)
    if tenant is not None:
        tenant.milli += piece.milli if piece.kind != KIND_UPLIFT else 0
        tenant.old_nano += piece.nano
        tenant.new_nano += sum(line.nano for line in lines)


def _cut(piece: Piece, borders: Sequence[int]) -> Iterator[Piece]:
    """Split a piece at the borders of the period by whole seconds, money with it; the parts add up exactly."""
    inside = [border for border in borders if piece.from_s < border < piece.to_s]
    if not inside:
        yield piece
        return
    total_s = piece.to_s - piece.from_s
    at_s, milli_done, nano_done = piece.from_s, 0, 0
    for until_s in (*inside, piece.to_s):
        milli_upto = piece.milli * (until_s - piece.from_s) // total_s
        nano_upto = piece.nano * milli_upto // piece.milli if piece.milli else 0
        yield piece._replace(
            from_s=at_s, to_s=until_s, milli=milli_upto - milli_done, nano=nano_upto - nano_done
        )  # fmt: skip
        at_s, milli_done, nano_done = until_s, milli_upto, nano_upto


# --- what people and machines get


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the whole outcome as plain data; money and quantities as exact decimal text."""
    total = outcome.total
    return {
        "plan": outcome.plan,
        "from_s": outcome.from_s,
        "to_s": outcome.to_s,
        "currency": outcome.currency,
        "unit": outcome.unit,
        "total": _record(total),
        "above_percent": outcome.above_percent,
        "tenants_above": outcome.above,
        "tenants": [_record(tenant) for tenant in outcome.tenants],
    }


def as_csv(outcome: Outcome) -> str:
    """Return one line for each tenant, with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_record(tenant) for tenant in outcome.tenants)
    return text.getvalue()


def _record(tenant: Tenant) -> Mapping[str, str]:
    return {
        "account": tenant.account,
        "quantity": milli(tenant.milli),
        "old": nano(tenant.old_nano),
        "new": nano(tenant.new_nano),
        "more": nano(tenant.more_nano),
        "more_percent": percent_text(tenant.more_percent),
    }


def percent_text(percent: Fraction | None) -> str:
    """Return a percentage with two decimals, half up; "" where there is none."""
    if percent is None:
        return ""
    hundredths = (2 * abs(percent) * 100 + 1) // 2
    sign = "-" if percent < 0 and hundredths else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02}"

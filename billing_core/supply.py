"""Who was supplied under which plan: the history of a supply point, and what a component costs by its days.

A day belongs to the account and the plan that are in force at its local midnight: what is charged by the day is charged
for the day begun, whoever leaves or comes later in it.
Rule: pure; times are UTC seconds, days are ordinals of the plan's zone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from billing_core import demand, periods
from billing_core.assessment import Inputs
from billing_core.components import Capacity, Component, FixedCharge
from billing_core.periods import Month
from billing_core.plan import Plan, Version

Stopped = Callable[[int], bool]  # UTC second -> whether the supply was switched off then


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which nothing changed for a supply point, [from_s, to_s)."""

    from_s: int
    to_s: int
    account: str
    plan: Plan
    contract_w: int
    capacity_va: int


@dataclass(frozen=True, slots=True)
class History:
    """A supply point over time."""

    point: str
    medium: str
    unit: str
    spans: tuple[Span, ...]  # in order

    def at(self, at_s: int) -> Span | None:
        return next((span for span in reversed(self.spans) if span.from_s <= at_s < span.to_s), None)

    def last_of(self, account: str, from_s: int, to_s: int) -> Span | None:
        """Return the last span in which the account had the point within [from_s, to_s)."""
        found = (s for s in reversed(self.spans) if s.account == account and s.from_s < to_s and s.to_s > from_s)
        return next(found, None)


def version_of(span: Span | None, at_s: int) -> Version | None:
    return None if span is None else span.plan.version_at(at_s)


def days_had(history: History, account: str, days: range, zone: ZoneInfo) -> list[int]:
    """Return the days that belong to an account."""
    had = []
    for day in days:
        span = history.at(periods.midnight_s(zone, day))
        if span is not None and span.account == account:
            had.append(day)
    return had


def components_in(history: History, account: str, days: range, zone: ZoneInfo) -> dict[str, tuple[Component, int]]:
    """Return id -> (component as it was last, tax ppm then) of all components on the account's days."""
    found: dict[str, tuple[Component, int]] = {}
    for day in days_had(history, account, days, zone):
        at_s = periods.midnight_s(zone, day)
        version = version_of(history.at(at_s), at_s)
        if version is not None:
            found |= {component.id: (component, version.tax.ppm) for component in version.components}
    return found


def monthly_fee(component: Component, span: Span) -> int:
    """Return what a whole month of a component costs a supply point as it is in a span, nano."""
    if isinstance(component, Capacity):
        return demand.capacity_month_nano(component.price_nano_per_kva, span.capacity_va)
    assert isinstance(component, FixedCharge)
    return component.amount_nano


def segments(
    history: History, component: Component, account: str, days: Sequence[int], zone: ZoneInfo, stopped: Stopped
) -> list[list[int]]:
    """Return runs [month's fee in nano, days] of a monthly component over the account's days."""
    runs: list[list[int]] = []
    for fee in _fees(history, component.id, account, days, zone, stopped):
        if runs and runs[-1][0] == fee:
            runs[-1][1] += 1
        else:
            runs.append([fee, 1])
    return runs


def _fees(
    history: History, component_id: str, account: str, days: Sequence[int], zone: ZoneInfo, stopped: Stopped
) -> Iterator[int]:
    for day in days:
        at_s = periods.midnight_s(zone, day)
        span = history.at(at_s)
        if span is None or span.account != account:
            continue
        version = version_of(span, at_s)
        known = {c.id: c for c in version.components} if version else {}
        component = known.get(component_id)
        rests = isinstance(component, FixedCharge) and not component.while_stopped and stopped(at_s)
        yield 0 if component is None or rests else monthly_fee(component, span)


def by_days(component: Any, month: Month, runs: list[list[int]], posted_nano: int) -> tuple[str, Inputs]:
    """Return (kind, inputs) of the assessment of a monthly component over runs of days."""
    inputs: dict[str, Any] = {"segments": runs, "days_of_month": month.days, "posted_nano": posted_nano}
    if isinstance(component, Capacity):
        return "capacity", inputs | {"thirty": component.days == "thirty"}
    return "fixed-month", inputs

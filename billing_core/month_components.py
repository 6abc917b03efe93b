"""True-ups of a month: what each component of a plan costs an account for its days, less what was posted live.

Rule: pure; COMPONENTS says which function settles which component, in the order in which they need each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from billing_core import periods, supply
from billing_core.assessment import RULES, Assessment, assessed
from billing_core.components import BaseQuantity, Capacity, Component, Demand, FixedCharge, Minimum, PowerFactor
from billing_core.month_facts import Facts, nano_by_part, usage_by_point
from billing_core.supply import History, Span


@dataclass(slots=True)
class PointMonth:
    """One supply point of the account while its month is settled."""

    history: History
    span: Span  # the account's last one in the period
    days: range  # of the month, within the period
    days_had: int
    milli: int  # used
    parts_nano: Mapping[str, int]
    posted: Mapping[str, int]  # component -> nano
    due: dict[str, int] = field(default_factory=dict)  # component -> nano, as far as it is settled
    notes: list[str] = field(default_factory=list)


Settled = tuple[str, Mapping[str, Any]] | None  # kind and inputs of an assessment


def true_ups(facts: Facts) -> tuple[list[Assessment], list[str]]:
    """Return what the settlement adds to what was posted, nothing (0) too, and what people should know."""
    items: list[Assessment] = []
    notes: list[str] = []
    used, parts = usage_by_point(facts.usages), nano_by_part(facts.usages, facts.plans)
    days = _days(facts)
    for history in facts.histories:
        span = history.last_of(facts.account, facts.from_s, facts.to_s)
        if span is None:
            continue
        had = len(supply.days_had(history, facts.account, days, facts.zone))
        posted = {p.component: p.nano for p in facts.posted if p.point == history.point and not p.late}
        point = PointMonth(
            history, span, days, had, used.get(history.point, 0), parts.get(history.point, {}), posted
        )  # fmt: skip
        items += _point_items(facts, point)
        notes += point.notes
    return items, notes


def _days(facts: Facts) -> range:
    """Return the days of the month that begin within the period."""
    first, last = periods.day_of(facts.zone, facts.from_s), periods.day_of(facts.zone, facts.to_s - 1)
    if periods.midnight_s(facts.zone, first) < facts.from_s:
        first += 1
    return range(max(first, facts.month.first), last + 1)


def _point_items(facts: Facts, point: PointMonth) -> list[Assessment]:
    items = []
    known = supply.components_in(point.history, facts.account, point.days, facts.zone)
    for kind_of, settle in COMPONENTS:
        for component, tax_ppm in known.values():
            settled = settle(facts, point, component) if isinstance(component, kind_of) else None
            if settled is None:
                continue
            kind, inputs = settled
            point.due[component.id] = RULES[kind](inputs)
            key = f"settle:{facts.account}:{facts.label}:{point.history.point}:{component.id}"
            items.append(
                assessed(
                    key,
                    kind,
                    facts.account,
                    point.history.point,
                    point.history.medium,
                    component,
                    facts.from_s,
                    facts.to_s,
                    tax_ppm,
                    inputs,
                )
            )
    return items


def _monthly(facts: Facts, point: PointMonth, component: Any) -> Settled:
    if isinstance(component, FixedCharge) and component.per == "day":
        return None  # each midnight has posted its own
    runs = supply.segments(
        point.history, component, facts.account, list(point.days), facts.zone, facts.stopped
    )  # fmt: skip
    return supply.by_days(component, facts.month, runs, point.posted.get(component.id, 0))


def _demand(facts: Facts, point: PointMonth, component: Any) -> Settled:
    return "demand", {
        "price_nano_per_kw": component.price_nano_per_kw,
        "mode": component.mode,
        "over": component.over,
        "watt": facts.highest_w.get((point.history.point, component.id), 0),
        "contract_w": point.span.contract_w,
        "capacity_va": point.span.capacity_va,
        "milli": point.milli,
        "load_hours_kwh_per_kva": component.load_hours_kwh_per_kva,
        "load_hours_percent": component.load_hours_percent,
        "days": point.days_had,
        "days_of_month": facts.month.days,
        "posted_nano": point.posted.get(component.id, 0),
    }


def _base_quantity(facts: Facts, point: PointMonth, component: Any) -> Settled:
    free = component.milli * point.days_had // facts.month.days
    units = [[milli, price] for milli, price in facts.free_units.get(point.history.point, ())]
    return "base-quantity", {
        "free_milli": free,
        "units": units,
        "posted_nano": point.posted.get(component.id, 0),
    }


def _power_factor(facts: Facts, point: PointMonth, component: Any) -> Settled:
    reactive = facts.reactive_milli.get(point.history.point)
    if reactive is None:
        point.notes.append(f"power-factor-without-reactive-reading:{point.history.point}")
        return None
    parts = component.parts or tuple(point.parts_nano)
    basic = sum(point.due.get(c, 0) for c in _basic_fees(facts, point))
    return "power-factor", {
        "active_milli": point.milli,
        "reactive_milli": reactive,
        "base_nano": basic + sum(point.parts_nano.get(part, 0) for part in parts),
        "steps": [list(step) for step in component.steps],
        "posted_nano": point.posted.get(component.id, 0),
    }


def _basic_fees(facts: Facts, point: PointMonth) -> list[str]:
    known = supply.components_in(point.history, facts.account, point.days, facts.zone)
    return [name for name, (component, _) in known.items() if isinstance(component, Demand | Capacity)]


def _minimum(facts: Facts, point: PointMonth, component: Any) -> Settled:
    known = supply.components_in(point.history, facts.account, point.days, facts.zone)
    free = sum(point.due.get(name, 0) for name, (part, _) in known.items() if isinstance(part, BaseQuantity))
    return "minimum", {
        "amount_nano": component.amount_nano,
        "usage_nano": sum(point.parts_nano.values()) + free,
        "days": point.days_had,
        "days_of_month": facts.month.days,
        "posted_nano": point.posted.get(component.id, 0),
    }


Settle = Callable[[Facts, PointMonth, Any], Settled]
COMPONENTS: Final[tuple[tuple[type | tuple[type, ...], Settle], ...]] = (
    ((FixedCharge, Capacity), _monthly),
    (Demand, _demand),
    (BaseQuantity, _base_quantity),
    (PowerFactor, _power_factor),
    (Minimum, _minimum),
)
__all__ = ["COMPONENTS", "Component", "PointMonth", "true_ups"]

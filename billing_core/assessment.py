"""Assessments: what a component of a plan costs a supply point, computed from inputs that are kept with it.

An assessment is posted as `due(kind, inputs) - posted_nano`: the whole amount known to be due, less what earlier
assessments of the same component posted for the same time. So a live demand, a fee that changed within the month and
the settlement at its end all meet in the same figure, and anybody can compute each again from its document.
Rule: inputs are plain JSON data; RULES is the one table that says what they cost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from billing_core import demand, power_factor

Inputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Assessment:
    """One posting of one component."""

    key: str  # idempotency key, unique in the books
    kind: str  # of RULES
    account: str  # who pays
    point: str
    medium: str
    component: str  # id in the plan, or of the group of a share
    name_zh: str
    name_en: str
    from_s: int  # what it is for, [from_s, to_s)
    to_s: int
    tax_ppm: int
    inputs: Inputs
    nano: int  # debit of the wallet; negative gives back


def fixed_day(inputs: Inputs) -> int:
    """Return a standing charge of one day: amount_nano, or 0 where it rests while the supply is stopped."""
    return 0 if inputs["stopped"] and not inputs["while_stopped"] else int(inputs["amount_nano"])


def fixed_month(inputs: Inputs) -> int:
    """Return a standing charge of a month by its days: segments [(month's fee, days), ...], days_of_month."""
    return demand.prorated_nano(inputs["segments"], inputs["days_of_month"], thirty=False)


def capacity(inputs: Inputs) -> int:
    """Return a capacity fee for the days begun: segments [(month's fee, days), ...], days_of_month, thirty."""
    return demand.prorated_nano(inputs["segments"], inputs["days_of_month"], inputs["thirty"])


def demand_reserve(inputs: Inputs) -> int:
    """Return what the month's maximum so far costs: price_nano_per_kw, watt."""
    return demand.demand_nano(inputs["price_nano_per_kw"], inputs["watt"])


def demand_month(inputs: Inputs) -> int:
    """Return a demand charge by the plan's mode, for the days of the month that the account had the point."""
    reached = demand.load_hours_reached(inputs["milli"], inputs["capacity_va"], inputs["load_hours_kwh_per_kva"])
    percent = inputs["load_hours_percent"] if reached else demand.PERCENT
    watt = demand.chargeable_w(inputs["mode"], inputs["over"], inputs["watt"], inputs["contract_w"])
    whole = demand.demand_nano(inputs["price_nano_per_kw"], watt, percent)
    return whole * int(inputs["days"]) // int(inputs["days_of_month"])


def adjustment(inputs: Inputs) -> int:
    """Return a power-factor adjustment: active_milli, reactive_milli, base_nano, steps."""
    factor = power_factor.hundredths(inputs["active_milli"], inputs["reactive_milli"])
    steps = tuple((int(at), int(ppm)) for at, ppm in inputs["steps"])
    return power_factor.adjustment_nano(inputs["base_nano"], power_factor.step_ppm(steps, factor))


def minimum(inputs: Inputs) -> int:
    """Return max(0, minimum of the days - what usage cost): amount_nano, usage_nano, days, days_of_month."""
    least = int(inputs["amount_nano"]) * int(inputs["days"]) // int(inputs["days_of_month"])
    return max(0, least - int(inputs["usage_nano"]))


def base_quantity(inputs: Inputs) -> int:
    """Return what the first, free units of the month cost, negative: free_milli, units [(milli, price_micro), ...]."""
    left, cost = int(inputs["free_milli"]), 0
    for milli, price_micro in inputs["units"]:
        free = min(left, int(milli))
        cost += free * int(price_micro)
        left -= free
    return -cost


def share(inputs: Inputs) -> int:
    """Return a share of a common cost in nano: minor, minor_nano."""
    return int(inputs["minor"]) * int(inputs["minor_nano"])


RULES: Final[Mapping[str, Callable[[Inputs], int]]] = {
    "fixed-day": fixed_day,
    "fixed-month": fixed_month,
    "capacity": capacity,
    "demand-reserve": demand_reserve,
    "demand": demand_month,
    "power-factor": adjustment,
    "minimum": minimum,
    "base-quantity": base_quantity,
    "share": share,
}


def due_nano(kind: str, inputs: Inputs) -> int:
    """Return what a component posts now: the rule's amount less what was posted before."""
    return RULES[kind](inputs) - int(inputs.get("posted_nano", 0))


def assessed(
    key: str, kind: str, account: str, point: str, medium: str, component: Any, from_s: int, to_s: int, tax_ppm: int,
    inputs: Inputs,
) -> Assessment:  # fmt: skip
    """Return the assessment of a component (anything with id and names)."""
    return Assessment(
        key, kind, account, point, medium, component.id, component.name_zh, component.name_en, from_s, to_s, tax_ppm,
        inputs, due_nano(kind, inputs),
    )  # fmt: skip


def as_data(assessments: Iterable[Assessment]) -> list[dict[str, Any]]:
    """Return assessments as plain JSON data, as a transfer's document carries them."""
    return [asdict(item) for item in assessments]


def from_data(items: Sequence[Mapping[str, Any]]) -> list[Assessment]:
    """Return the assessments of a document, each computed again from its inputs."""
    return [Assessment(**{**item, "nano": due_nano(item["kind"], item["inputs"])}) for item in items]

"""Why a line besides the unit costs what it costs, in Chinese and English words for its statement.

Rule: pure; from the inputs of an assessment alone, in the figures that its rule uses.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from billing_core import demand, power_factor
from billing_core.assessment import Inputs

NANO: Final = 1_000_000_000
MILLI: Final = 1_000
PPM_PER_PERCENT: Final = 10_000
HUNDREDTHS: Final = 100
Words = tuple[str, str]


def words(kind: str, inputs: Inputs) -> Words:
    """Return what a component's amount was computed from, ("", "") for kinds that their names explain."""
    return GROUNDS[kind](inputs) if kind in GROUNDS else ("", "")


def _days(inputs: Inputs) -> Words:
    of = inputs["days_of_month"]
    zh = "；".join(f"每月 {_plain(fee, NANO)}，{days}/{of} 天" for fee, days in inputs["segments"])
    en = "; ".join(f"{_plain(fee, NANO)} a month, {days} of {of} days" for fee, days in inputs["segments"])
    return zh, en


def _demand(inputs: Inputs) -> Words:
    charged = demand.chargeable_w(inputs["mode"], inputs["over"], inputs["watt"], inputs["contract_w"])
    price, most = _plain(inputs["price_nano_per_kw"], NANO), _plain(inputs["watt"], MILLI)
    days = f"{inputs['days']}/{inputs['days_of_month']}"
    zh = f"计费需量 {_plain(charged, MILLI)} kW x {price}，最大需量 {most} kW"
    en = f"charged demand {_plain(charged, MILLI)} kW x {price}, maximum {most} kW"
    if inputs["mode"] == "contract":
        contract = _plain(inputs["contract_w"], MILLI)
        zh, en = f"{zh}，合同 {contract} kW", f"{en}, contract {contract} kW"
    if demand.load_hours_reached(inputs["milli"], inputs["capacity_va"], inputs["load_hours_kwh_per_kva"]):
        percent = inputs["load_hours_percent"]
        zh, en = f"{zh}，用电达标 {percent}%", f"{en}, {percent} % by load hours"
    return f"{zh}，{days} 天", f"{en}, {days} days"


def _power_factor(inputs: Inputs) -> Words:
    factor = power_factor.hundredths(inputs["active_milli"], inputs["reactive_milli"])
    if factor is None:
        return "", ""
    steps = tuple((int(at), int(ppm)) for at, ppm in inputs["steps"])
    percent = _plain(power_factor.step_ppm(steps, factor), PPM_PER_PERCENT)
    base, shown = _plain(inputs["base_nano"], NANO), _plain(factor, HUNDREDTHS)
    energy = f"{_plain(inputs['active_milli'], MILLI)} kWh, {_plain(inputs['reactive_milli'], MILLI)} kvarh"
    return (
        f"功率因数 {shown}（{energy}），{base} x {percent}%",
        f"power factor {shown} ({energy}), {base} x {percent} %",
    )


def _minimum(inputs: Inputs) -> Words:
    least, used = _plain(inputs["amount_nano"], NANO), _plain(inputs["usage_nano"], NANO)
    days = f"{inputs['days']}/{inputs['days_of_month']}"
    return f"每月保底 {least}，{days} 天，用量费用 {used}", f"minimum {least} a month, {days} days, usage cost {used}"


def _base_quantity(inputs: Inputs) -> Words:
    free = _plain(inputs["free_milli"], MILLI)
    return f"免费用量 {free}", f"free quantity {free}"


def _plain(value: int, scale: int) -> str:
    return f"{(Decimal(value) / scale).normalize():f}"


GROUNDS: Final[dict[str, Callable[[Inputs], Words]]] = {
    "fixed-month": _days,
    "capacity": _days,
    "demand": _demand,
    "power-factor": _power_factor,
    "minimum": _minimum,
    "base-quantity": _base_quantity,
}

"""Components of a tariff that do not hang on the single unit: fixed charges, demand, capacity, power factor, minimum.

Rule: plain frozen integers; `assessment.py` computes what they cost in a period, settlement posts it. Money is nano of
the currency, as it is charged (tax inside unless the version says otherwise).
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FixedCharge:
    """Standing charge of a supply point, posted at local midnight for the day or month begun."""

    id: str
    name_zh: str
    name_en: str
    per: Literal["day", "month"]
    amount_nano: int
    while_stopped: bool = True  # also while the supply is switched off


@dataclass(frozen=True, slots=True)
class Demand:
    """Maximum demand: the highest average of a sliding window in the month, kW x price; or a contracted demand."""

    id: str
    name_zh: str
    name_en: str
    price_nano_per_kw: int
    mode: Literal["actual", "contract"]
    over: Literal["contract-plus-double", "actual-plus-excess"] = "contract-plus-double"  # the two readings of 105 %
    window_s: int = 900
    slide_s: int = 60
    load_hours_kwh_per_kva: int = 0  # 260: from so many kWh per kVA in the month ...
    load_hours_percent: int = 100  # ... 90: only so much of the demand price is charged


@dataclass(frozen=True, slots=True)
class Capacity:
    """Transformer capacity, kVA x price a month, posted daily as 1/30 of it for each day, or by days of the month."""

    id: str
    name_zh: str
    name_en: str
    price_nano_per_kva: int
    days: Literal["thirty", "calendar"] = "thirty"


@dataclass(frozen=True, slots=True)
class PowerFactor:
    """Adjustment of basic and energy fee by the month's power factor. steps: (power factor in hundredths, ppm)."""

    id: str
    name_zh: str
    name_en: str
    standard_hundredths: int  # 90, 85, 80
    steps: tuple[tuple[int, int], ...]  # every hundredth from 0 to 100, ppm of the base: +5 % is 50_000
    parts: tuple[str, ...] = ()  # price parts that belong to the base; none: all


@dataclass(frozen=True, slots=True)
class Minimum:
    """Minimum charge of a month: max(0, amount - what usage cost), posted at settlement."""

    id: str
    name_zh: str
    name_en: str
    amount_nano: int


@dataclass(frozen=True, slots=True)
class BaseQuantity:
    """Free quantity of a month before the first charged unit (基础电量 as an allowance), given back at settlement."""

    id: str
    name_zh: str
    name_en: str
    milli: int


Component = FixedCharge | Demand | Capacity | PowerFactor | Minimum | BaseQuantity

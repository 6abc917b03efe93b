"""Tariffs: what a unit costs at each minute, as data, and the calendar that unrolls them for the kernel.

Rule: zones, weekdays and clock changes are understood here and nowhere else; the kernel sees UTC seconds only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RATES: Final = ("sharp", "peak", "flat", "valley", "deep_valley")  # 尖 峰 平 谷 深谷
MINUTES_OF_DAY: Final = 1440


@dataclass(frozen=True, slots=True)
class Slot:
    """One rate period on some weekdays: [start, end) in minutes of the local day, never crossing midnight."""

    days: frozenset[int]  # 0 Monday .. 6 Sunday
    start_minute: int
    end_minute: int
    rate: int  # index into RATES


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices of one medium. A flat tariff has one slot that covers the week."""

    id: str
    name_zh: str
    name_en: str
    medium: str
    unit: str  # priced unit: kWh, m3, GJ, t
    currency: str
    timezone: str  # IANA name
    price_micro: Mapping[int, int]  # rate index -> millionths of the currency per unit
    slots: tuple[Slot, ...]  # cover every minute of the week exactly once (checked by config)

"""Alarm definitions: what is watched, against which limit, how urgent. Plain frozen data over tag rows."""

from dataclasses import dataclass
from typing import Literal

Comparison = Literal["above", "below", "equal"]


@dataclass(frozen=True, slots=True)
class AlarmDefinition:
    """One alarm. Its row in the image's alarms section is its place in the tuple of definitions."""

    id: str  # "<site>/M/<device>/<Measure>/<name>", stable for life
    source: str  # configuration id a person looks for: device, gateway, account, "core"
    tag_row: int
    comparison: Comparison
    limit: float
    deadband: float  # "above" clears at limit - deadband and below, "below" at limit + deadband and above
    on_delay_s: float  # plant seconds the condition must last
    off_delay_s: float
    priority: int  # 1 critical .. 4 low
    unit: str
    text_zh: str
    text_en: str

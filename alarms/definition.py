"""Alarm definitions: what is watched, against which limit, how urgent. Plain frozen data over tag rows."""

from dataclasses import dataclass
from typing import Final, Literal

Comparison = Literal["above", "below", "equal"]


NAME: Final = "{name}"


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
    wording_zh: str  # with NAME where the name of the thing stands: one text for all things that a rule watches alike
    wording_en: str
    name_zh: str = ""
    name_en: str = ""

    @property
    def text_zh(self) -> str:
        return self.wording_zh.replace(NAME, self.name_zh)

    @property
    def text_en(self) -> str:
        return self.wording_en.replace(NAME, self.name_en)

"""Reading back: what the field shows after a command, and what that makes of the command.

Rule: a pure function over samples. Only a good reading taken after the command proves that something moved, and only a
good and fresh one proves that nothing did; everything else is "unknown", never assumed.
"""

from dataclasses import dataclass
from typing import Final, Literal

from scada.command import State
from scada.position import OPEN, TARGETS
from scada.quality import is_good

NO_CURRENT_A: Final = 0.5  # "falls to nearly nothing": above the noise of a CT input, below any load worth charging

Finding = Literal["reached", "elsewhere", "flowing", "unknown"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value with its quality and plant time."""

    value: float
    quality: int
    source_time_ns: int

    def proves(self, after_ns: int) -> bool:
        """Tell whether it is good and later than an instant of plant time."""
        return is_good(self.quality) and self.source_time_ns > after_ns


def find(target: int, after_ns: int, fresh_ns: int, position: Sample, current: Sample | None) -> Finding:
    """Say what the readings prove about a command to `target`.

    after_ns  plant time of the command; older readings prove nothing
    fresh_ns  plant time from which a reading counts as fresh; a negative finding needs a fresh one
    current   amperes, None when the device measures none; asked after a trip only
    """
    if not position.proves(after_ns) or position.value not in TARGETS:
        return "unknown"
    if position.value != target:
        return "elsewhere" if position.source_time_ns >= fresh_ns else "unknown"
    if target == OPEN and current is not None:
        if not current.proves(after_ns):
            return "unknown"
        if current.value > NO_CURRENT_A:
            return "flowing" if current.source_time_ns >= fresh_ns else "unknown"
    return "reached"


# (state, time is up, finding) -> next state and why; a combination that is not named changes nothing.
JUDGEMENTS: Final[dict[tuple[State, bool, Finding], tuple[State, str]]] = {
    ("accepted", False, "reached"): ("verified", "the position was read back"),
    ("accepted", True, "reached"): ("verified", "the position was read back"),
    ("accepted", True, "elsewhere"): ("failed", "accepted, but it did not move in time"),
    ("accepted", True, "flowing"): ("failed", "the position says open, but current flows"),
    ("accepted", True, "unknown"): ("undetermined", "accepted, but the position cannot be read"),
    ("undetermined", False, "reached"): ("verified", "the position was read back"),
    ("undetermined", True, "reached"): ("verified", "the position was read back"),
    ("undetermined", True, "elsewhere"): ("failed", "read back later: it did not move"),
    ("undetermined", True, "flowing"): ("failed", "read back later: the position says open, but current flows"),
}

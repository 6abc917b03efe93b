"""The mechanism of one simulated breaker or valve: it takes its time, and it can fail.

Rule: pure state. Real (monotonic) time comes in: a demonstration at high speed has mechanisms no faster than life.
"""

from typing import Final, Literal

from drivers.field.shapes import mix
from scada.position import CLOSED, INTERMEDIATE, OPEN

Weld = Literal["", "open", "closed"]

TRAVEL_MS_MIN: Final = 300  # small breakers with a motor drive need 0.3 to 1 s
TRAVEL_MS_SPAN: Final = 700
VALVE_MS_MIN: Final = 5000  # valves of water, gas and heat meters turn for 5 to 30 s
VALVE_MS_SPAN: Final = 5000
NS_PER_MS: Final = 1_000_000


class Mechanism:
    """Position as the auxiliary contacts show it, and contact: whether current can really flow."""

    __slots__ = ("_due_mono_ns", "_target", "contact", "position", "stuck_closed", "stuck_open", "travel_ns", "weld")

    def __init__(self, seed: int, closed: bool = True, valve: bool = False) -> None:
        self.position = CLOSED if closed else OPEN
        self.contact = closed
        least, span = (VALVE_MS_MIN, VALVE_MS_SPAN) if valve else (TRAVEL_MS_MIN, TRAVEL_MS_SPAN)
        self.travel_ns = (least + mix(seed, 7) % span) * NS_PER_MS
        self.stuck_closed = False  # fault: a trip is accepted and nothing moves
        self.stuck_open = False  # fault: a close is accepted and nothing moves
        self.weld: Weld = ""  # fault: the contact stays closed; the word is what the position shows after a trip
        self._target = self.position
        self._due_mono_ns = 0

    @property
    def moving(self) -> bool:
        return self.position == INTERMEDIATE

    @property
    def target(self) -> int:
        """Where it stands, or where it will stand when it arrives: OPEN or CLOSED."""
        return self._target if self.moving else self.position

    def command(self, target: int, mono_ns: int) -> None:
        """Start to move to OPEN or CLOSED; a command to where it already stands, or a jammed one, moves nothing."""
        if (self.stuck_closed and target == OPEN) or (self.stuck_open and target == CLOSED):
            return
        if target == self.target:
            return
        self._target = target
        self._due_mono_ns = mono_ns + self.travel_ns
        self.position = INTERMEDIATE

    def advance(self, mono_ns: int) -> None:
        """Arrive when the time of travel is over; until then current flows, or not, as before."""
        if self.moving and mono_ns >= self._due_mono_ns:
            self._arrive()

    def set(self, closed: bool) -> None:
        """Put it where it shall stand at once (restored from disk, or moved by hand at the panel)."""
        self._target = CLOSED if closed else OPEN
        self._arrive()

    def clear_faults(self) -> None:
        """Repair it: contact and position agree again, in favour of the shown position."""
        self.stuck_closed = self.stuck_open = False
        self.weld = ""
        if not self.moving:
            self.contact = self.position == CLOSED

    def _arrive(self) -> None:
        if self.weld and self.contact and self._target == OPEN:
            self.position = OPEN if self.weld == "open" else CLOSED
            return
        self.position = self._target
        self.contact = self._target == CLOSED

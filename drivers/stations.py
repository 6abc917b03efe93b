"""What a poller knows of each device on its line: how it answers, what it is asked next, and whether it is left out.

Rule: state and the plainest arithmetic; the poller places the blame, `drivers.aside` decides about devices left out.
"""

from dataclasses import dataclass
from typing import Final

from drivers.agenda import Agenda
from drivers.readings import DeviceReadings

MISSES_LOST: Final = 3  # missed polls until a device, or a gateway, counts as lost (usual practice)


@dataclass(slots=True)
class Station:
    """The communication state of one device."""

    readings: DeviceReadings
    number: int  # its place in the gateway's communication tags
    agenda: Agenda
    wire_ns: tuple[int, ...] = ()  # by block: how long question and answer are on the wire; (): not known
    turn: tuple[int, ...] = ()  # blocks to ask in this cycle
    took_ns: int = 0  # what the answers of this turn cost beyond their time on the wire
    delay_ns: int = 0  # the longest of them
    slow: bool = False  # left out of the cycle, because it holds the others up
    probation: bool = False  # left out until a whole turn aside was good, and its failures in the cycle are paid for
    misses: int = 0  # consecutive; 0 = polled in the cycle, else probed
    missed_ns: int = 0  # monotonic time of the first of them
    due_ns: int = 0  # when a device that is left out is asked next
    busy: int = 0  # "busy" answers in this cycle
    lost: bool = False  # reported as lost
    with_gateway: bool = False  # its misses are the gateway's
    refused: frozenset[int] = frozenset()  # blocks that it answers with an exception

    @property
    def id(self) -> str:
        return self.readings.device.id

    @property
    def aside(self) -> bool:
        """Tell whether it is left out of the cycle."""
        return self.slow or self.probation or self.misses > 0

    def answered(self, step: int, elapsed_ns: int) -> None:
        """Add up how long it thought about the questions of its turn."""
        wire_ns = self.wire_ns[self.turn[step]] if self.wire_ns else 0
        delay_ns = max(0, elapsed_ns - wire_ns)
        self.took_ns = delay_ns + (self.took_ns if step else 0)
        self.delay_ns = max(delay_ns, self.delay_ns if step else 0)

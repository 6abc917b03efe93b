"""The quick read-back of a switch after a command, outside the poll cycle, so that the truth shows within a second.

Rule: it only stages what it reads; whether a command is verified is judged by the command's life cycle.
"""

from typing import Any, Final

from drivers.lines import Line
from drivers.outcome import Outcome, Reply
from drivers.readings import DeviceReadings
from scada.clock import NS_PER_S, Clock

WATCH_PERIOD_S: Final = 0.2  # five looks a second prove a switch-off well within 2 s


class PositionWatch:
    """Read the position (and current) of one device every WATCH_PERIOD_S until it shows the target or time is up."""

    def __init__(
        self, reactor: Any, clock: Clock, line: Line, readings: DeviceReadings, target: int, verify_s: float
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._line = line
        self._readings = readings
        self._target = target
        self._until_ns = clock.mono_ns() + int(verify_s * NS_PER_S)
        self._reached = False
        self._stopped = False
        self._timer: Any = None

    def look(self) -> None:
        """Read the blocks of the switch once, before everything that waits on the line."""
        self._timer = None
        self._ask(0)

    def stop(self) -> None:
        """End the watch; a reply under way is still staged."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _ask(self, step: int) -> None:
        request = self._readings.requests[self._readings.switch_blocks[step]]
        self._line.ask(request, lambda outcome, _: self._answered(step, outcome), urgent=True)

    def _answered(self, step: int, outcome: Outcome) -> None:
        """Go on with the next block or the next look. After silence the normal poll and its back-off take over."""
        if not isinstance(outcome, Reply):
            return
        block = self._readings.switch_blocks[step]
        position = self._readings.accept_now(block, outcome.payload, self._clock.utc_ns())
        self._reached |= position == self._target
        if self._stopped:
            return
        if step + 1 < len(self._readings.switch_blocks):
            self._ask(step + 1)
        elif not self._reached and self._clock.mono_ns() < self._until_ns:
            self._timer = self._reactor.callLater(WATCH_PERIOD_S, self.look)

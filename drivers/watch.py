"""The quick read-back of a switch after a command, outside the poll cycle, so that the truth shows within a second.

On a slow line it leaves most of the time to the others; a look that fails is repeated a few times, because a meter may
be deaf for a moment while its mechanism moves.
Rule: it only stages what it reads; whether a command is verified is judged by the command's life cycle.
"""

from typing import Any, Final

from drivers.lines import Line
from drivers.outcome import Outcome, Reply
from drivers.readings import DeviceReadings
from scada.clock import NS_PER_S, Clock

WATCH_PERIOD_S: Final = 0.2  # five looks a second prove a switch-off well within 2 s
PAUSE_TIMES: Final = 3  # a pause so many times as long as the look before it: a quarter of a slow line at most
FAILED_PAUSE_S: Final = 1.0  # after a look that failed
FAILURES_MAX: Final = 3  # in a row; then the normal poll and its back-off take over


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
        self._failures = 0
        self._spent_ns = 0  # on this look
        self._stopped = False
        self._timer: Any = None

    def look(self) -> None:
        """Read the blocks of the switch once, before everything that waits on the line."""
        self._timer = None
        self._spent_ns = 0
        self._ask(0)

    def stop(self) -> None:
        """End the watch; a reply under way is still staged."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _ask(self, step: int) -> None:
        block = self._readings.switch_blocks[step]
        request = self._readings.requests[block]
        self._line.ask(request, lambda outcome, ns: self._answered(step, block, outcome, ns), urgent=True)

    def _answered(self, step: int, block: int, outcome: Outcome, elapsed_ns: int) -> None:
        """Go on with the next block or the next look."""
        self._spent_ns += elapsed_ns
        if not isinstance(outcome, Reply):
            self._failures += 1
            if self._failures < FAILURES_MAX:
                self._look_again(FAILED_PAUSE_S)
            return
        self._failures = 0
        position = self._readings.accept_now(block, outcome.payload, self._clock.utc_ns())
        self._reached |= position == self._target
        if self._stopped:
            return
        if step + 1 < len(self._readings.switch_blocks):
            self._ask(step + 1)
        elif not self._reached:
            self._look_again(WATCH_PERIOD_S)

    def _look_again(self, pause_s: float) -> None:
        if not self._stopped and self._clock.mono_ns() < self._until_ns:
            pause_s = max(pause_s, PAUSE_TIMES * self._spent_ns / NS_PER_S)
            self._timer = self._reactor.callLater(pause_s, self.look)

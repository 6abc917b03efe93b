"""Devices that are asked aside from the cycle, because they fail or dawdle: seldom enough that the others lose nothing.

Where a gateway takes a second connection they are asked over that. On a line that all share, everything they cost
beyond what a good device costs is paid from a credit that grows by less than a twentieth of the time: a device that is
dead, that answers every second time, or that thinks for a second each time, delays no other by more than 5 % against a
line that never had it.
Rule: this file decides when such a device is asked; what its answer means the poller decides.
"""

from collections.abc import Callable, Sequence
from typing import Final

from loguru import logger

from drivers.device import Gateway
from drivers.engine_cycle import Then
from drivers.linemaking import Lines
from drivers.lines import Line, State
from drivers.outcome import Outcome, Silence
from drivers.stations import MISSES_LOST, Station
from scada.clock import NS_PER_S, Clock

SHARE: Final = 0.05  # of the time of a line that failing and slow devices may take
BUS_SHARE: Final = 0.044  # the same where they take it from all others; what a good one costs makes it 5 %
FREE_LOOKS: Final = 2  # time-outs that need not be paid in advance: three of them in a row are a loss, seen at once
LOST_AFTER_S: Final = 30.0  # a device that was missed and could not be asked since is lost without another look
SLOW_TIMES: Final = 4.0  # an answer that takes so many times as long as its neighbours' usual one is slow ...
SLOW_LEAST_S: Final = 0.25  # ... and so long at least
RETURN_MOST_NS: Final = 60 * NS_PER_S  # so long devices that failed together wait for each other at most
UNBOUNDED_NS: Final = 2**62
IDLE_S: Final = 1.0  # a slow device none of whose blocks is due is looked at again then
# Silences that a probe blames on the device: on a line of its own (False) a lost connection may be one too many.
FAULTS_OF: Final = {False: ("timeout",), True: ("timeout", "lost")}

Take = Callable[[Station, int, Outcome, int], Then]


class Share:
    """A credit of time that grows by a share of what passes, up to a limit. Pure: time comes in."""

    def __init__(self, limit_ns: int, most_ns: int = UNBOUNDED_NS, share: float = SHARE) -> None:
        """most_ns: how long anybody waits beyond the limit for what several have spent together."""
        self._ahead_ns = int(limit_ns / share)
        self._share = share
        self._most_ns = most_ns
        self._paid_ns = 0  # when everything spent so far is paid for

    def spend(self, cost_ns: int, now_ns: int) -> None:
        """Take time from the line; it is paid for later."""
        price_ns = int(cost_ns / self._share)
        latest_ns = now_ns + self._ahead_ns + max(self._most_ns, price_ns)
        self._paid_ns = min(max(self._paid_ns, now_ns) + price_ns, latest_ns)

    def allows(self, now_ns: int) -> bool:
        """Tell whether more may be spent."""
        return self._paid_ns - now_ns <= self._ahead_ns

    def forgive(self) -> None:
        """Count everything as paid."""
        self._paid_ns = 0


class Aside:
    """Asks the devices of one gateway that are left out of its cycle, one at a time."""

    def __init__(self, clock: Clock, gateway: Gateway, lines: Lines, stations: Sequence[Station], take: Take) -> None:
        """take: stages an outcome and places the blame; it says whether the next block of the device may follow."""
        self._clock = clock
        self._gateway = gateway
        self._lines = lines
        self._stations = stations
        self._take = take
        self._asked: Station | None = None  # whose turn it is
        self._main_only = lines.shared  # or the gateway refuses a second connection
        self._fence_ns = int(lines.main.fence_s * NS_PER_S)
        missed_ns = int(gateway.timeout_s * NS_PER_S) + self._fence_ns
        bus = Share(FREE_LOOKS * missed_ns, share=BUS_SHARE)
        self.share = bus if lines.shared else Share(0, RETURN_MOST_NS)
        self._returns = Share(
            FREE_LOOKS * missed_ns
        )  # for what fails in the cycle of a line with a probe line beside it
        self._overtime_ns = 0  # of fences that are paid

    def look(self) -> None:
        """Ask one device that is left out, if one is due and its share of time allows it."""
        if self._asked is not None or self._lines.main.state is not State.UP:
            return
        now = self._clock.mono_ns()
        self._pay_overtime(now)
        due = [station for station in self._stations if station.aside and station.due_ns <= now]
        if not all(station.aside for station in self._stations):  # the share protects the living
            due = [station for station in due if self._may_be_asked(station, now)]
        if not due:
            return
        station = min(due, key=lambda station: station.due_ns)
        station.turn = self._turn_of(station, now)
        if not station.turn:
            station.due_ns = now + int(IDLE_S * NS_PER_S)
            return
        self._asked = station
        station.probation |= station.misses > 0 and not self._main_only
        line = self._lines.main if self._main_only else self._lines.probe
        line.open()
        self._ask(station, line, 0)

    def _may_be_asked(self, station: Station, now_ns: int) -> bool:
        """Tell whether the share of time allows it; over a line of its own the first looks cost nobody."""
        if self._lines.shared:
            return self.share.allows(now_ns)
        if self._main_only:
            return self.share.allows(now_ns) and self._returns.allows(now_ns)
        return station.probation or 0 < station.misses < MISSES_LOST or self.share.allows(now_ns)

    def _turn_of(self, station: Station, now_ns: int) -> tuple[int, ...]:
        """Return what a device is asked: over a line of its own everything, before it may return to the cycle."""
        if not station.misses:
            return station.agenda.due(now_ns)
        first = station.readings.asked[0]
        rest = () if self._main_only else station.agenda.due(now_ns)
        return (first, *(block for block in rest if block != first))

    def _ask(self, station: Station, line: Line, step: int) -> None:
        def done(outcome: Outcome, elapsed_ns: int) -> None:
            self._answered(station, line, step, outcome, elapsed_ns)

        block = station.turn[step]
        station.agenda.asked(block, self._clock.mono_ns())
        line.ask(station.readings.requests[block], done)

    def _answered(self, station: Station, line: Line, step: int, outcome: Outcome, elapsed_ns: int) -> None:
        """Go on with the next block of a slow device, or end its turn."""
        main = self._lines.main
        if main.state is State.CLOSED:
            self._asked = None
            return
        if isinstance(outcome, Silence) and outcome.reason not in FAULTS_OF[line is main]:
            self._end()
            self._main_only = main.state is State.UP  # no second connection to be had: not the device's fault
            return
        missed = station.misses > 0
        then = self._take(station, station.turn[step], outcome, elapsed_ns)
        if not station.misses:
            station.answered(step, elapsed_ns)
            if then is Then.ON and step + 1 < len(station.turn):
                self._ask(station, line, step + 1)
                return
        self._end()
        if missed and not station.misses and self._lines.shared:
            self.share.spend(elapsed_ns, self._clock.mono_ns())  # the line made sure that it is no old answer
        station.probation = self._is_unpaid(station)
        self._settle(station, elapsed_ns)

    def _is_unpaid(self, station: Station) -> bool:
        """Tell whether a device that answers aside has to wait until what it cost the others in the cycle is paid."""
        alone = self._lines.shared or self._main_only
        return not alone and not station.misses and not self._returns.allows(self._clock.mono_ns())

    def _end(self) -> None:
        self._asked = None
        if not self._lines.shared:
            self._lines.probe.close()

    def _settle(self, station: Station, elapsed_ns: int) -> None:
        """Pay for a turn, and see who may be asked next."""
        now = self._clock.mono_ns()
        if station.misses:
            if not self._lines.shared:
                self.share.spend(elapsed_ns + self._fence_ns, now)
            return
        if station.slow:
            self.judge(station, crowded=True)
            return
        if station.probation:
            station.due_ns = now + int(self._gateway.period_s * NS_PER_S)
            self.look()
            return
        if not self._lines.shared:
            self.share.forgive()
        for other in self._stations:  # what came back with it (a repaired line) need not wait
            if other.misses:
                other.due_ns = min(other.due_ns, now)
        self.look()

    def missed(self, station: Station, elapsed_ns: int, fenced: bool) -> None:
        """Pay for a poll that gave nothing, where it took the time of others."""
        now = self._clock.mono_ns()
        if self._lines.shared:
            self.share.spend(elapsed_ns + (self._fence_ns if fenced else 0), now)
        elif station is not self._asked or self._main_only:
            self._returns.spend(elapsed_ns, now)

    def forgive(self) -> None:
        """Take what failed in the cycle as paid: it was the gateway."""
        self._returns.forgive()

    def _pay_overtime(self, now_ns: int) -> None:
        """Pay for what fences took beyond the silence that `missed` paid for."""
        before, self._overtime_ns = self._overtime_ns, self._lines.main.figures.overtime_ns
        if self._overtime_ns != before:
            self.share.spend(self._overtime_ns - before, now_ns)

    def judge(self, station: Station, crowded: bool) -> None:
        """Leave a device out that thinks for much longer than its neighbours, or take it back.

        crowded: the line has no time to spare. While it has, a slow device holds nobody up.
        """
        usual_ns = self._usual_ns(station)
        slow = station.delay_ns > max(SLOW_LEAST_S * NS_PER_S, SLOW_TIMES * usual_ns)
        now = self._clock.mono_ns()
        if slow and (crowded or station.slow):
            self.share.spend(max(0, station.took_ns - usual_ns * len(station.turn)), now)
            station.due_ns = now
            if not station.slow:
                station.slow = True
                told = "device {} on gateway {}: slow, {:.2f} s an answer; it is asked seldom"
                logger.warning(told, station.id, self._gateway.id, station.delay_ns / NS_PER_S)
        elif station.slow and not slow:
            station.slow = False
            logger.info("device {} on gateway {}: as fast as the others again", station.id, self._gateway.id)

    def _usual_ns(self, station: Station) -> int:
        """Return how long the others think, the median; for a device without company its own time."""
        others = sorted(s.delay_ns for s in self._stations if s is not station and not s.aside)
        return others[len(others) // 2] if others else station.delay_ns

"""The poller of one gateway: which device is asked when, and what its silence means.

Devices that answer are polled in cycles over the main line. A device that does not is taken out of the cycle and probed
aside, seldom (`drivers.aside`), so that a time-out and the fence that follows it cost the others nothing.
Rule: this file decides about cycles and blame; what a reply or a failure does to the stage is `readings`' business.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from loguru import logger
from twisted.internet.defer import Deferred, DeferredList

from drivers.agenda import Agenda
from drivers.aside import LOST_AFTER_S, SLOW_LEAST_S, Aside
from drivers.bulk import BulkDecoder
from drivers.communication import CommunicationTags
from drivers.device import Device, Gateway
from drivers.engine_cycle import Numbers, Then
from drivers.health import Note
from drivers.holes import REFUSED_CODE
from drivers.linemaking import Site, make_lines
from drivers.lines import RECONNECT_MAX_S, Line, State
from drivers.outcome import ExceptionReply, Outcome, Reply, Silence, Violation
from drivers.readings import DeviceReadings
from drivers.stations import MISSES_LOST, Station
from drivers.watch import PositionWatch
from scada.clock import NS_PER_S
from scada.quality import UNCERTAIN_LAST_USABLE, UNCERTAIN_NO_COMMUNICATION
from scada.stage import Stage

if TYPE_CHECKING:
    from drivers.engine import Engine
    from drivers.engine_polls import EnginePolls
    from drivers.engine_seat import Seat

NS_PER_MS: Final = 1_000_000
LATE_MAX_NS: Final = 100_000_000  # a cycle that begins later than this was held up, and is not made up for
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0  # a repaired meter is seen within a minute
JITTER: Final = 0.2
START_SPREAD_S: Final = 1.0  # gateways that come back together (power return) are asked spread over this time
BUSY_RETRIES: Final = 2  # repetitions inside one cycle after "busy" or "acknowledge"
SILENT_AFTER: Final = 3  # consecutive time-outs of different devices with no reply between: it is the gateway


class GatewayPoller:
    """Poll the devices behind one gateway for as long as it runs."""

    def __init__(
        self,
        site: Site,
        gateway: Gateway,
        devices: Sequence[Device],
        stage: Stage,
        bulk: BulkDecoder,
        engine: "Engine | None" = None,
        note: Note = lambda number, outcome, elapsed_ns: None,
        doubt: Callable[[str], None] = lambda device_id: None,
    ) -> None:
        """note: counts every poll that the engine does not count itself, by the device's place in `devices`.

        doubt: hears of every device that was away, or whose line was connected anew, before it is asked again.
        """
        self._note, self._doubt = note, doubt
        self._reactor = site.reactor
        self._clock = site.clock
        self._gateway = gateway
        self._stage = stage
        self._bulk = bulk
        self._rng = site.rng
        self._stations = {d.id: self._station(i, d) for i, d in enumerate(devices)}
        lines = make_lines(site, gateway, devices, self._on_up, self._on_down, engine)
        self.line, self.probe_line = lines.main, lines.probe
        self._one_line = lines.shared
        self._in_flight = 1 if lines.shared else gateway.in_flight
        self._silent_after = max(SILENT_AFTER, len(devices)) if lines.shared else SILENT_AFTER
        self._queue: deque[tuple[Station, int]] = deque()
        self._active = 0
        self._cycle_from_ns = 0
        self._cycle_due_ns = 0
        self._late_ns = 0
        self._timers = site.reactor if engine is None else engine.pulse
        self._cycle_timer: Any = None
        self._silences = 0  # consecutive time-outs on the main line
        self._failed_attempts = 0  # consecutive; of connecting, or of a gateway that takes connections and says nothing
        self._skipped = True  # the last cycle found no connection
        self._online = False
        self._watches: dict[str, PositionWatch] = {}
        self._tags = CommunicationTags(gateway, devices)
        self._numbered = tuple(self._stations.values())
        self._crowded = False  # the last cycle took longer than its period
        self._aside = Aside(site.clock, gateway, lines, self._numbered, self._take_aside)
        self._timed = tuple(station for station in self._numbered if station.agenda.timed)
        self._polls = None
        if engine is not None and lines.seat_of is not None:
            assert lines.seat_of.seat is not None
            self._polls = self._engine_polls(engine, lines.seat_of.seat)

    def _station(self, number: int, device: Device) -> Station:
        readings = DeviceReadings(device, self._bulk, self._gateway.transport == "modbus-tcp")
        agenda = Agenda(readings.polls, self._rng, self._clock.mono_ns())
        return Station(readings, number, agenda, tuple(map(self._wire_ns, readings.requests)))

    def _wire_ns(self, question: Any) -> int:
        """Return how long a question and its right answer are on the serial line; Modbus TCP tells nothing about it."""
        if self._gateway.transport == "modbus-tcp":
            return 0
        return int((len(question.wire) + question.reply_bytes) * self._gateway.line.char_s * NS_PER_S)

    def _engine_polls(self, engine: "Engine", seat: "Seat") -> "EnginePolls":
        from drivers.engine_polls import EnginePolls

        readings = [station.readings for station in self._numbered]
        scans = [station.agenda.scan for station in self._numbered]
        polls = EnginePolls(engine, seat, readings, scans, self._tags, self._judge, self._heard, self._end_cycle)
        polls.tell(True)  # until the gateway has answered once
        return polls

    # -- life

    def start(self) -> None:
        """Connect and begin; gateways start spread over a moment, so that they do not all ask at once."""
        self.line.open()
        self._cycle_timer = self._timers.callLater(self._start_delay_s(), self._begin_cycle)

    def _start_delay_s(self) -> float:
        return self._rng.uniform(0, min(self._gateway.period_s, START_SPREAD_S))

    def stop(self) -> "Deferred[Any]":
        """End everything; the Deferred fires when both lines hold no socket."""
        if self._cycle_timer is not None and self._cycle_timer.active():
            self._cycle_timer.cancel()
        self._cycle_timer = None
        for watch in self._watches.values():
            watch.stop()
        self._queue.clear()
        return DeferredList([line.close() for line in {self.line, self.probe_line}])

    def identify(self, device_id: str) -> None:
        """Have the identity register of a device read with the next cycle, if it was not read just now."""
        self._stations[device_id].agenda.identify(self._clock.mono_ns())

    def identified(self, device_id: str) -> None:
        """Note that a device told its number: it is not one that stays silent to that question."""
        self._stations[device_id].agenda.identified()

    def read_clock(self, device_id: str) -> None:
        """Have the clock of a device read with the next cycle."""
        station = self._stations[device_id]
        if station.readings.clock_block is not None:
            station.agenda.soon(station.readings.clock_block, self._clock.mono_ns())

    @property
    def lines(self) -> tuple[Line, ...]:
        """Return the lines that are counted: one, or the main and the probe line."""
        return (self.line,) if self._one_line else (self.line, self.probe_line)

    def command(self, request: Any, done: Callable[[Outcome], None]) -> None:
        """Send a write before everything that waits; `done` is called once with its outcome."""
        self.line.ask(request, lambda outcome, _: done(outcome), urgent=True)

    def withdraw(self, request: Any) -> None:
        """Never send a command that still waits: nobody wants it any more."""
        self.line.withdraw(request)

    def watch(self, device_id: str, target: int, verify_s: float) -> None:
        """Read the switch of a device back quickly until it shows `target` (Dbpos) or `verify_s` have passed."""
        if device_id in self._watches:
            self._watches[device_id].stop()
        readings = self._stations[device_id].readings
        watch = PositionWatch(self._reactor, self._clock, self.line, readings, target, verify_s)
        self._watches[device_id] = watch
        watch.look()

    # -- the cycle

    def _begin_cycle(self) -> None:
        self._cycle_timer = None
        self._cycle_from_ns = self._clock.mono_ns()
        late_ns = self._cycle_from_ns - self._cycle_due_ns
        self._late_ns = late_ns if 0 < late_ns < LATE_MAX_NS else 0  # the next one makes up for it, so that none drifts
        self._skipped = self.line.state is not State.UP
        if self._polls is not None and not self._skipped:
            self._aside.look()
            for station in self._numbered:
                station.busy = 0
            left_out = tuple(station.number for station in self._numbered if station.aside)
            self._polls.begin(left_out, self._timed_blocks(self._cycle_from_ns))
            return
        if not self._skipped:
            for station in self._stations.values():
                station.busy = 0
                if station.aside:
                    self._lose_in_time(station)
                    continue
                station.turn = station.agenda.due(self._cycle_from_ns)
                if station.turn:
                    self._queue.append((station, 0))
        self._aside.look()
        self._fill()

    def _timed_blocks(self, now_ns: int) -> tuple[tuple[int, int, bool], ...]:
        """Return (device number, block, before the others) of what is due beside the blocks of every cycle."""
        found = []
        for station in self._timed:
            if not station.aside:
                for block in station.agenda.timed_due(now_ns):
                    station.agenda.asked(block, now_ns)
                    found.append((station.number, block, station.agenda.goes_first(block)))
        return tuple(found)

    def _fill(self) -> None:
        """Keep as many devices in work as the gateway takes transactions; end the cycle when none is left."""
        while self._queue and self._active < self._in_flight:
            self._active += 1
            self._ask(*self._queue.popleft())
        if not self._active and self._cycle_from_ns:
            self._end_cycle()

    def _end_cycle(self) -> None:
        spent_ns = self._clock.mono_ns() - self._cycle_from_ns
        self._cycle_from_ns = 0
        self._crowded = spent_ns > self._gateway.period_s * NS_PER_S
        if self._crowded and self._polls is not None:
            self._find_slow(self._polls.response_ns())
        self._tags.cycle_ms(spent_ns / NS_PER_MS)
        self._tags.timeouts(self.line.figures.timeouts + self.probe_line.figures.timeouts)
        self._tags.stage(self._stage, self._clock.utc_ns())
        if self.line.state is not State.CLOSED:
            pause_s = max(0.0, self._gateway.period_s - (spent_ns + self._late_ns) / NS_PER_S)
            self._cycle_due_ns = self._clock.mono_ns() + int(pause_s * NS_PER_S)
            self._cycle_timer = self._timers.callLater(pause_s, self._begin_cycle)

    def _ask(self, station: Station, step: int) -> None:
        """Ask for the block at place `step` of the device's turn."""

        def done(outcome: Outcome, elapsed_ns: int) -> None:
            self._answered(station, step, outcome, elapsed_ns)

        station.agenda.asked(station.turn[step], self._clock.mono_ns())
        self.line.ask(station.readings.requests[station.turn[step]], done)

    def _answered(self, station: Station, step: int, outcome: Outcome, elapsed_ns: int) -> None:
        """Take the outcome of one block in the cycle: go on with the next block, or with the next device."""
        then = self._take(station, station.turn[step], outcome, elapsed_ns)
        if not isinstance(outcome, Silence):
            station.answered(step, elapsed_ns)
        if then is Then.ON and step + 1 < len(station.turn):
            self._ask(station, step + 1)
            return
        if then is Then.AGAIN:
            self._queue.append((station, step))
        elif not station.misses:
            self._aside.judge(station, self._crowded)
        self._active -= 1
        if isinstance(outcome, Silence) and outcome.reason in ("not connected", "closed"):
            self._queue.clear()  # the others would fail in the same way
        self._fill()

    def _find_slow(self, response_ns: Numbers) -> None:
        """Leave devices out that made the engine's cycle longer than its period. response_ns (n_devices,)"""
        asked = [station for station in self._numbered if not station.aside]  # the others may be in a turn of their own
        for station in asked:
            station.delay_ns = station.took_ns = int(response_ns[station.number])
            station.turn = (0,)
        for station in asked:
            if station.delay_ns > SLOW_LEAST_S * NS_PER_S:
                self._aside.judge(station, crowded=True)

    # -- judging

    def _judge(self, number: int, block: int, outcome: Outcome, elapsed_ns: int) -> Then:
        """Take an outcome that the engine left to us; the payload of a Reply is in the store already."""
        if isinstance(outcome, Reply):
            self._note(number, outcome, elapsed_ns)
            self._heard(number, block, elapsed_ns)
            return Then.ON
        return self._take(self._numbered[number], block, outcome, elapsed_ns)

    def _heard(self, number: int, block: int, elapsed_ns: int) -> None:
        """Take note of a good reply whose payload is in the store."""
        self._reachable(self._numbered[number], elapsed_ns)
        self._note_refusal(self._numbered[number], block, "")

    def _take(self, station: Station, block: int, outcome: Outcome, elapsed_ns: int) -> Then:
        """Stage an outcome and place the blame; say what may follow in this cycle."""
        self._note(station.number, outcome, elapsed_ns)
        if isinstance(outcome, Reply):
            station.readings.accept(block, outcome.payload, self._clock.utc_ns())
            self._reachable(station, elapsed_ns)
            self._note_refusal(station, block, "")
            return Then.ON
        if isinstance(outcome, ExceptionReply):
            return self._take_exception(station, block, outcome, elapsed_ns)
        if isinstance(outcome, Violation):
            self._miss(station, f"wrong reply: {outcome.wrong}", elapsed_ns, fenced=True)
        elif outcome.reason == "timeout":
            self._silences = 1 if self._polls is not None and self._polls.any_good() else self._silences + 1
            self._miss(station, "no answer in time", elapsed_ns, fenced=True)
            if self._silences >= self._silent_after:
                self._silent()
        elif outcome.reason == "lost":
            self._miss(station, "the connection ended whenever it was asked", elapsed_ns, fenced=True)
        else:
            station.agenda.unanswered(block, self._clock.mono_ns())
        return Then.STOP  # without a connection it is nobody's miss: the line reports it when the gateway stays away

    def _take_aside(self, station: Station, block: int, outcome: Outcome, elapsed_ns: int) -> Then:
        """Take an outcome of a device that was asked aside: its silence says nothing about the gateway."""
        if not isinstance(outcome, Silence):
            return self._take(station, block, outcome, elapsed_ns)
        self._note(station.number, outcome, elapsed_ns)
        self._miss(station, "no answer in time", elapsed_ns, fenced=True)
        return Then.STOP

    def _take_exception(self, station: Station, block: int, reply: ExceptionReply, elapsed_ns: int) -> Then:
        code, meaning = reply.code, reply.meaning
        self._silences = 0
        if meaning.answer == "unreachable":
            self._miss(station, f"exception {code:02X}, {meaning.name}", elapsed_ns)
            return Then.STOP
        self._reachable(station, elapsed_ns)
        self._tags.error(station.number)
        if meaning.answer in ("busy", "pending"):
            station.busy += 1
            if station.busy <= BUSY_RETRIES:
                return Then.AGAIN  # behind the others: it gets time
            station.readings.reject(block, UNCERTAIN_LAST_USABLE)
            station.agenda.unanswered(block, self._clock.mono_ns())
            return Then.ON
        if code == REFUSED_CODE and self._split(station, block):
            return Then.ON
        station.readings.reject(block, meaning.quality)
        self._note_refusal(station, block, f"exception {code:02X}, {meaning.name}")
        return Then.ON

    def _split(self, station: Station, block: int) -> bool:
        """Ask for the parts of a refused block from the next cycle on; tell whether it has any, or they are asked."""
        readings = station.readings
        parts = readings.split(block)
        if not parts:
            return block not in readings.asked
        station.wire_ns += tuple(self._wire_ns(readings.requests[part]) for part in parts)
        station.agenda.split(block, parts, self._clock.mono_ns())
        if self._polls is not None:
            self._polls.split(station.number, block, station.agenda.scan)
        told = (
            "device {} on gateway {}: {} has holes and is refused; it is read in {} parts (merge_gap = 0 in {} does so)"
        )
        device = readings.device
        logger.warning(told, device.id, device.gateway, readings.name(block), len(parts), device.profile.id)
        return True

    def _note_refusal(self, station: Station, block: int, reason: str) -> None:
        """Log when a block begins or ends to be refused."""
        if bool(reason) == (block in station.refused):
            return
        station.refused = station.refused ^ {block}
        if self._polls is not None:
            self._polls.tell_of(station.number, block, bool(reason))
        what = f"is refused: {reason}" if reason else "is answered again"
        name = station.readings.name(block)
        logger.warning("device {} on gateway {}: {} {}", station.id, self._gateway.id, name, what)

    def _reachable(self, station: Station, elapsed_ns: int) -> None:
        self._silences = 0
        self._tags.answer(station.number, elapsed_ns / NS_PER_MS)
        if not self._online:
            self._gateway_recovered()
        if station.lost:
            station.lost = False
            logger.info("device {} on gateway {}: recovered", station.id, self._gateway.id)
        if station.misses:
            station.agenda.again(self._clock.mono_ns())
        station.misses = 0
        station.with_gateway = False

    def _miss(self, station: Station, reason: str, cost_ns: int, fenced: bool = False) -> None:
        """Count a missed poll of one device, lower its qualities by stage, and set when it is probed next.

        cost_ns: what it cost the line; fenced: and the fence that follows it.
        """
        station.misses += 1
        self._aside.missed(station, cost_ns, fenced)
        self._tags.error(station.number)
        longest_s = BACKOFF_MAX_S if self._online else RECONNECT_MAX_S
        backoff_s = min(BACKOFF_FIRST_S * 2 ** min(station.misses - 1, 10), longest_s)
        spread = self._rng.uniform(1 - JITTER, 1 + JITTER)
        station.due_ns = self._clock.mono_ns() + int(backoff_s * spread * NS_PER_S)
        self._doubt(station.id)
        if station.misses == 1:
            station.missed_ns = self._clock.mono_ns()
            station.readings.lose(UNCERTAIN_LAST_USABLE)
        elif station.misses == MISSES_LOST:
            self._lose(station, reason)

    def _lose(self, station: Station, reason: str) -> None:
        self._lower(station)
        station.lost = True
        logger.warning("device {} on gateway {}: lost, {}", station.id, self._gateway.id, reason)

    def _lose_in_time(self, station: Station) -> None:
        """Take a device as lost for which there was no time to look again."""
        missed_ns = self._clock.mono_ns() - station.missed_ns
        if 0 < station.misses < MISSES_LOST and missed_ns > LOST_AFTER_S * NS_PER_S:
            station.misses = MISSES_LOST
            self._lose(station, f"no answer for {LOST_AFTER_S:g} s")

    def _lower(self, station: Station) -> None:
        station.readings.lose(UNCERTAIN_NO_COMMUNICATION)  # the stage turns it bad when it stays
        self._tags.offline(station.number)

    # -- the gateway as a whole

    def _on_up(self) -> None:
        """Begin to ask soon, instead of a whole period later, when the last cycle found no connection."""
        now_ns = self._clock.mono_ns()
        for station in self._timed:
            self._doubt(station.id)
            station.agenda.identify(now_ns)
        if self._skipped and self._cycle_timer is not None:
            self._skipped = False
            self._cycle_timer.reset(self._start_delay_s())

    def _on_down(self, reason: str) -> None:
        """Count an attempt to connect that failed."""
        self._gateway_failed(reason, self._failed_attempts + 1)

    def _silent(self) -> None:
        """Take a gateway that accepts connections and answers for nobody as lost; its devices are probed."""
        self._silences = 0
        now = self._clock.mono_ns()
        for station in self._stations.values():
            if station.misses < MISSES_LOST:
                station.with_gateway = True
                station.misses = MISSES_LOST
                station.due_ns = now + int(self._rng.uniform(0.5, 1.5) * NS_PER_S)
        self._gateway_failed("it accepts the connection and answers nothing", MISSES_LOST)

    def _gateway_failed(self, reason: str, attempts: int) -> None:
        """Lower all tags of all devices in one pass, at the first failure and when it counts as lost."""
        before, self._failed_attempts = self._failed_attempts, attempts
        if before == 0:
            self._online = False
            if self._polls is not None:
                self._polls.tell(True)
            self._tags.gateway_online(False)
            logger.warning("gateway {}: lost, {}", self._gateway.id, reason)
            for station in self._stations.values():
                self._doubt(station.id)
                if station.misses < MISSES_LOST:
                    station.readings.lose(UNCERTAIN_LAST_USABLE)
        if before < MISSES_LOST <= attempts:
            for station in self._stations.values():
                self._lower(station)
            self._tags.stage(self._stage, self._clock.utc_ns())

    def _gateway_recovered(self) -> None:
        was_lost, self._failed_attempts = self._failed_attempts > 0, 0
        self._online = True
        if self._polls is not None:
            self._polls.tell(False)
        self._tags.gateway_online(True)
        self._aside.forgive()
        logger.info("gateway {}: answers", self._gateway.id)
        for station in self._stations.values():
            if was_lost:
                station.agenda.again(self._clock.mono_ns())  # what is read once an hour was lowered with the rest
            if station.with_gateway:
                station.with_gateway = False
                station.misses = 0

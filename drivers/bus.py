"""The field as the core sees it: all gateways with their devices, and the one way to move a switch.

Rule: `actuate` never repeats a command and never reports more than the device said: accepted, refused, or unknown.
"""

import asyncio
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from loguru import logger

from drivers.budget import LineBudget, budget_of, period_of
from drivers.bulk import BulkDecoder
from drivers.device import Device, Gateway
from drivers.dial_in import dial_in_ports
from drivers.dialects import Question, dialect_of
from drivers.frame_log import Entry, FrameLog
from drivers.health import FieldHealth, Note, Watched
from drivers.identity import IdentityWatch
from drivers.linemaking import Site
from drivers.outcome import ExceptionReply, Outcome, Reply, Silence
from drivers.poller import GatewayPoller
from drivers.replies import ReplyStore
from scada.clock import Clock
from scada.errors import FieldError, NoAnswer
from scada.stage import Stage

if TYPE_CHECKING:
    from drivers.engine import Engine

# Exceptions to a write that leave open whether the device executed it: a slave that did not answer its gateway (0A of
# older serial servers, 0B), and "acknowledge", which promises an execution that takes long.
UNDETERMINED_ANSWERS: Final = frozenset({"unreachable", "pending"})


class FieldBus:
    """All field communication of a site."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        gateways: Sequence[Gateway],
        devices: Sequence[Device],
        stage: Stage,
        rng: random.Random | None = None,
        run: Path = Path(),
        zone: str = "UTC",
    ) -> None:
        """rng: the source of jitter; seeded, it makes a run repeatable. KeyError for a device on an unknown gateway.

        run: the folder in which relative paths of serial ports stand. zone: IANA name of the time that meters show.
        """
        self._clock = clock
        rng = rng or random.Random()
        behind: dict[str, list[Device]] = {gateway.id: [] for gateway in gateways}
        for device in devices:
            behind[device.gateway].append(device)
        self._devices = {device.id: device for device in devices}
        self._framed = {gateway.id: gateway.transport == "modbus-tcp" for gateway in gateways}
        self.newest = stage.newest
        store = ReplyStore(devices)
        bulk = BulkDecoder(store, stage, ZoneInfo(zone), {g.id: period_of(g, behind[g.id]) for g in gateways})
        self.engine = engine_for(reactor, clock, gateways, store)
        engines = {"modbus-tcp": self.engine}
        site = Site(reactor, clock, rng, run, dial_in_ports(reactor))
        self.identity = IdentityWatch(
            clock,
            devices,
            stage,
            lambda d: self.pollers[d.gateway].identify(d.id),
            lambda d: self.pollers[d.gateway].identified(d.id),
        )
        stage.sources.append(self.identity.look)
        self.health = FieldHealth(clock, gateways, devices, store)
        self.pollers: dict[str, GatewayPoller] = {}
        for g in gateways:
            heard = (self._note_of(behind[g.id]), self.identity.doubt)
            self.pollers[g.id] = GatewayPoller(site, g, behind[g.id], stage, bulk, engines.get(g.transport), *heard)
        budgets = {g.id: budget_of(g, behind[g.id]) for g in gateways}
        self.health.watch([Watched(g, self.pollers[g.id].lines) for g in gateways], self.engine)
        stage.sources.append(lambda utc_ns: self.health.look(stage, utc_ns))
        tell_budgets(gateways, budgets)

    def _note_of(self, devices: Sequence[Device]) -> Note:
        numbers = self.health.numbers(devices)
        return lambda number, outcome, elapsed_ns: self.health.note(numbers[number], outcome, elapsed_ns)

    def start(self) -> None:
        """Begin to connect and to poll; values appear in the stage."""
        for poller in self.pollers.values():
            poller.start()

    async def stop(self) -> None:
        """End all polling; returns when no socket is left. Commands under way end as `NoAnswer` or `FieldError`."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(poller.stop().asFuture(loop) for poller in self.pollers.values()))

    async def actuate(self, device_id: str, target: int) -> None:
        """Command the switch of a device to OPEN or CLOSED; returns when the device accepted it (echo checked).

        Then its position is read back quickly, outside the poll cycle. Raises FieldError when the device refused or
        nothing was sent, NoAnswer when it may have been sent and the answer is missing or wrong.
        """
        device = self._devices.get(device_id)
        switch = device.profile.switch if device is not None else None
        if device is None or switch is None:
            raise FieldError(f"device {device_id}: there is no switch to command")
        dialect = dialect_of(device.profile.protocol, self._framed[device.gateway])
        try:
            request = dialect.switch(device, switch, target, self._clock.utc_ns())
        except ValueError as impossible:  # this model, or its medium, has no such command
            raise FieldError(f"device {device_id}: {impossible}") from impossible
        poller = self.pollers[device.gateway]
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        poller.command(request, lambda outcome: None if answer.done() else answer.set_result(outcome))
        try:
            outcome = await answer
        except asyncio.CancelledError:
            poller.withdraw(request)  # its time is over: what still waits is not sent any more
            raise
        error = _judge_command(device_id, outcome)
        if error is None or isinstance(error, NoAnswer):
            poller.watch(device_id, target, switch.verify_s)  # the truth is wanted in both cases
        if error is not None:
            raise error

    async def ask(self, gateway: str, question: Question) -> tuple[Outcome, list[Entry]]:
        """Ask one question of a person before everything that waits; return its outcome and its frames.

        KeyError for an unknown gateway. A line that is down fails at once, with no frames.
        """
        poller = self.pollers[gateway]
        entries: list[Entry] = []
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        poller.line.log.capture(question, entries.append)
        try:
            poller.command(question, lambda outcome: None if answer.done() else answer.set_result(outcome))
            return await answer, entries
        except asyncio.CancelledError:
            poller.withdraw(question)
            raise
        finally:
            poller.line.log.release(question, self._clock.mono_ns())

    def state_of(self, gateway: str) -> str:
        """Return where the line of a gateway is in its life, in one word."""
        return str(self.pollers[gateway].line.state.value)

    def log_of(self, gateway: str) -> FrameLog:
        """Return the frame log of a gateway, which all its connections share."""
        return self.pollers[gateway].line.log


def engine_for(reactor: Any, clock: Clock, gateways: Sequence[Gateway], store: ReplyStore) -> "Engine | None":
    """Return the engine of the Modbus TCP lines; None where it cannot run, and the lines do its work poll by poll."""
    import numba

    framed = [gateway.id for gateway in gateways if gateway.transport == "modbus-tcp"]
    if sys.platform != "linux" or numba.config.DISABLE_JIT:
        logger.warning("Modbus TCP is polled without the compiled engine: it needs Linux and a compiler")
        return None
    from drivers.engine import Engine

    return Engine(reactor, clock, store, len(framed))


def tell_budgets(gateways: Sequence[Gateway], budgets: Mapping[str, LineBudget]) -> None:
    """Log the shortest period of every serial line, as a warning where the wished one cannot be kept."""
    for gateway in gateways:
        budget = budgets[gateway.id]
        if gateway.transport != "modbus-tcp" and budget.questions:
            text = "gateway {}: {} questions a cycle, shortest period {:.2f} s, wished {:.2f} s"
            level = "INFO" if budget.kept else "WARNING"
            logger.log(level, text, gateway.id, budget.questions, budget.shortest_s, budget.wished_s)


def _judge_command(device_id: str, outcome: Outcome) -> FieldError | None:
    """Return the error that a command's outcome means, None when the device accepted it."""
    if isinstance(outcome, Reply):
        return None
    if isinstance(outcome, ExceptionReply):
        meaning = outcome.meaning
        text = f"device {device_id}: exception {outcome.code:02X}, {meaning.name}"
        return NoAnswer(text) if meaning.answer in UNDETERMINED_ANSWERS else FieldError(f"{text}: refused")
    if isinstance(outcome, Silence):
        text = f"device {device_id}: {outcome.reason}"
        return NoAnswer(text) if outcome.sent else FieldError(f"{text}: the command was not sent")
    return NoAnswer(f"device {device_id}: wrong reply, {outcome.wrong}")

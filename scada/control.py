"""Switching: the desk that takes a breaker's command from selection to read-back.

Rule: "sent" is never "done". A command is verified by the position that the field reports afterwards, or it is failed,
or it is undetermined until the field can be read again; no command is ever repeated by itself, none waits over a
restart, and the journal knows of it before the field does.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from loguru import logger

from scada import interlocks
from scada.clock import NS_PER_S, Clock
from scada.command import ACTIVE, MOVING, OPEN_STATES, STATES, TRANSITIONS, Actor, Command, State
from scada.discrepancy import NOT_COMMANDED, DiscrepancyWatch
from scada.errors import FieldError, NoAnswer, Refused
from scada.image import Columns
from scada.interlocks import Condition, Situation
from scada.journal import JournalStopped
from scada.ports import JournalPort
from scada.position import BAD_STATE, CLOSED, OPEN, POSITIONS, TARGETS
from scada.quality import GOOD, is_good
from scada.readback import JUDGEMENTS, Sample, find
from scada.roles import require
from scada.scan import Instant

__all__ = ["CLOSED", "OPEN", "STATES", "TRANSITIONS", "Breaker", "Command", "Condition", "ControlDesk"]

STREAM: Final = "command"  # of the journal
SELECT_S: Final = 30.0  # sboTimeout of IEC 61850-7-2; half a minute is the usual default
ANSWER_S: Final = 5.0  # usual practice: the device answers a command within 5 s or it is not waited for
FRESH_S: Final = 5.0  # two scans of a slow bus and a second for its queue; older positions are no ground for switching
TAKEN: Final = frozenset({"accepted", "undetermined"})  # states after which the device may have taken a command
FINISHED_KEPT: Final = 1000  # finished commands that can still be asked for; the rest is in the journal

NO_TAGS: Final[frozenset[str]] = frozenset()

Actuate = Callable[[str, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker or valve that can be switched remotely."""

    id: str  # device id
    name_zh: str
    name_en: str
    kind: Literal["breaker", "valve"]
    medium: str  # electricity, water, gas, steam, heat, cooling
    position_row: int  # image row of Position (Dbpos)
    current_row: int  # image row of the current that must fall after a trip, -1 when there is none
    online_row: int  # image row of Online
    command_row: int  # image row of CommandState, an index into STATES
    discrepancy_row: int  # image row of Discrepancy
    verify_s: float  # real seconds the mechanism may take
    protected: bool  # a protected supply is not switched off remotely
    remote_close: bool  # False: closed on the spot only (gas, always)
    fresh_s: float = 0.0  # real seconds for which its position counts as fresh, where its line needs more than others


class ControlDesk:
    """All commands of a site. One thread, one event loop; `step` is the scan's phase "act"."""

    def __init__(
        self,
        breakers: Sequence[Breaker],
        work: Columns,
        clock: Clock,
        journal: JournalPort,
        actuate: Actuate,
        *,
        fresh_s: float = FRESH_S,
        tags_of: Callable[[str], frozenset[str]] = lambda _: NO_TAGS,
        feeder_dead: Callable[[str], bool] = lambda _: False,
        newest: Callable[[int], tuple[float, int, int]] | None = None,
    ) -> None:
        """actuate: returns when the device accepted; FieldError when it refused, NoAnswer when nobody knows.

        fresh_s      real seconds for which a position counts as fresh
        tags_of      breaker id -> lock-out tags and protection trips in force (kinds of scada.interlocks)
        feeder_dead  breaker id -> the network says that its feeder is not live
        newest       image row -> (value, quality, source time) as last read, ahead of the scan's columns; for read-back
        """
        self._breakers = {breaker.id: breaker for breaker in breakers}
        self._place = {breaker.id: place for place, breaker in enumerate(breakers)}
        self._work = work
        self._clock = clock
        self._journal = journal
        self._actuate = actuate
        self._fresh_s = fresh_s
        self._tags_of = tags_of
        self._feeder_dead = feeder_dead
        self._newest = newest
        self._journal_stands = False  # a journal that refuses is told once, not at every look
        self._commands: dict[str, Command] = {}
        self._active: dict[str, str] = {}  # breaker -> command that holds it
        self._doubtful: dict[str, str] = {}  # breaker -> undetermined command
        self._finished: deque[str] = deque()
        self._settled: dict[str, int] = {}  # breaker -> target of the last verified command
        self._watch = DiscrepancyWatch(
            [breaker.position_row for breaker in breakers],
            [breaker.current_row for breaker in breakers],
            [breaker.discrepancy_row for breaker in breakers],
            [breaker.verify_s for breaker in breakers],
        )
        self._unshown: dict[str, State] = dict.fromkeys(self._breakers, "idle")  # breaker -> state for its tag
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._faults: list[BaseException] = []  # programmer's errors of tasks; the next step raises them

    # ---- what other rooms ask

    def interlocks(self, breaker: str, target: int) -> list[Condition]:
        """Return every condition for moving a breaker to OPEN or CLOSED. Refused when there is no such breaker."""
        return self._conditions(self._breaker(breaker), target)

    def select(self, breaker: str, target: int, user: str, role: str, station: str) -> Command:
        """Select a breaker for an operator: it is his for SELECT_S. Refused with the first condition that fails."""
        require(role, "breaker.switch")
        conditions = self._demand(breaker, target)
        command = self._new(breaker, target, Actor(user, role, station), "")
        self._take([command], conditions)
        return command

    def operate(self, command_id: str, reason: str, user: str, role: str, station: str) -> Command:
        """Confirm a selection: check everything again, write the journal, send.

        Refused: command.unknown, command.state, command.owner, command.expired, or an interlock, in which case the
        selection stands until its time is over.
        """
        require(role, "breaker.switch")
        command = self._owned(command_id, user, station)
        if self._clock.mono_ns() >= command.deadline_mono_ns:
            raise Refused("command.expired", f"the selection was not operated within {SELECT_S:.0f} s")
        conditions = self._demand(command.breaker, command.target, command)
        sent = self._sent(command, reason)
        self._take([sent], conditions)
        self._send(sent)
        return sent

    def cancel(self, command_id: str, user: str, station: str) -> Command:
        """Give a selection back. Refused: command.unknown, command.state, command.owner."""
        command = self._owned(command_id, user, station)
        cancelled = command.advance("cancelled", *self._now(), "given back by its owner")
        self._take([cancelled])
        return cancelled

    def automatic(self, breaker: str, target: int, origin: str, reason: str) -> str:
        """Select and operate at once for a rule of the core, e.g. origin "credit"; return the command's id.

        Refused with the first condition that fails; rules are held to more conditions than people.
        """
        conditions = self._demand(breaker, target, automatic=True)
        selected = self._new(breaker, target, Actor(origin, "system", "core", origin), reason)
        sent = self._sent(selected, reason)
        self._take([selected, sent], conditions)
        self._send(sent)
        return sent.id

    def state(self, command_id: str) -> Command:
        """Return a command as it stands. Refused: command.unknown, also when it finished long ago."""
        command = self._commands.get(command_id)
        if command is None:
            raise Refused("command.unknown", f"no command {command_id!r} is known here any more")
        return command

    # ---- the scan and the life of the core

    def restore(self, commands: Sequence[Command], commanded: Mapping[str, int], settled: Mapping[str, int]) -> None:
        """Take over what the journal knows after a restart.

        commands   commands that were open: selections lapse, what was sent becomes undetermined and is read back
        commanded  breaker -> target of the last command that was not refused; settled: of the last that was verified

        Scans do not wait for SQL: what this core has done meanwhile is in the journal too, and stays as it is.
        """
        ours = {breaker for breaker, place in self._place.items() if self._watch.commanded[place] != NOT_COMMANDED}
        left = [item for item in commands if item.id not in self._commands and item.breaker not in ours]
        closed = [self._after_restart(command) for command in left]
        self._journal_write([after for after, before in zip(closed, left, strict=True) if after.state != before.state])
        earlier = self._breakers.keys() - ours
        self._settled.update({breaker: target for breaker, target in settled.items() if breaker in earlier})
        for breaker in earlier & commanded.keys():
            self._watch.commanded[self._place[breaker]] = commanded[breaker]
        for command in closed:
            if command.breaker in self._breakers:
                self._keep(command)

    def step(self, instant: Instant) -> None:
        """Phase "act": let selections lapse, give up on answers, read back, and bring the tags up to date."""
        if self._faults:
            raise self._faults[0]
        changed = [after for before in self._open() if (after := self._judge(before, instant)) is not None]
        for command in changed:
            if command.state == "undetermined" and command.id in self._tasks:
                self._tasks[command.id].cancel()  # never to be sent later than we waited for it
        self._noted(changed)  # what the journal does not take has not happened, and is judged again at the next scan
        self._show(instant)

    def look(self) -> None:
        """Judge what was accepted by the newest readings, between two scans: a proof counts when it comes."""
        instant = Instant(0, *self._now())
        accepted = [command for command in self._open() if command.state == "accepted"]
        self._noted([after for before in accepted if (after := self._judge(before, instant)) is not None])

    async def close(self) -> None:
        """Stop waiting for answers. What was sent stays open in the journal; the next start reads it back."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- one command

    def _new(self, breaker: str, target: int, actor: Actor, reason: str) -> Command:
        utc_ns, mono_ns = self._now()
        command = Command(str(uuid.uuid4()), breaker, target, actor, reason)
        return command.advance("selected", utc_ns, mono_ns, deadline_mono_ns=mono_ns + int(SELECT_S * NS_PER_S))

    def _sent(self, command: Command, reason: str) -> Command:
        utc_ns, mono_ns = self._now()
        deadline = mono_ns + int(ANSWER_S * NS_PER_S)
        return command.advance(
            "sent", utc_ns, mono_ns, reason=reason, deadline_mono_ns=deadline, proof_after_utc_ns=utc_ns
        )

    def _doubt(self, command: Command, detail: str, utc_ns: int, mono_ns: int) -> Command:
        deadline = mono_ns + self._verify_ns(command)  # the mechanism may still be moving
        return command.advance("undetermined", utc_ns, mono_ns, detail, deadline_mono_ns=deadline)

    def _after_restart(self, command: Command) -> Command:
        """Return what a command that was open when the core ended is now."""
        utc_ns, mono_ns = self._now()
        if command.state == "selected":
            return command.advance("expired", utc_ns, mono_ns, "the core was restarted")
        if command.state == "undetermined":
            return command
        return self._doubt(command, "the core was restarted after it was sent", utc_ns, mono_ns)

    def _judge(self, command: Command, instant: Instant) -> Command | None:
        """Return the command one state further, or None when it stays as it is."""
        now = (instant.utc_ns, instant.mono_ns)
        late = instant.mono_ns >= command.deadline_mono_ns
        if command.state == "selected":
            return command.advance("expired", *now, f"not operated within {SELECT_S:.0f} s") if late else None
        if command.state == "sent":
            return self._doubt(command, f"no answer within {ANSWER_S:.0f} s", *now) if late else None
        judgement = JUDGEMENTS.get((command.state, late, self._find(command, instant.utc_ns)))
        return command.advance(judgement[0], *now, judgement[1]) if judgement else None

    def _find(self, command: Command, utc_ns: int) -> Any:
        breaker = self._breakers[command.breaker]
        read = (lambda row: Sample(*self._newest(row))) if self._newest else self._sample
        current = read(breaker.current_row) if breaker.current_row >= 0 else None
        fresh_from = utc_ns - self._fresh_ns()
        return find(command.target, command.proof_after_utc_ns, fresh_from, read(breaker.position_row), current)

    def _send(self, command: Command) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(command), name=f"command {command.id}")
        self._tasks[command.id] = task
        task.add_done_callback(lambda done: self._carried(command.id, done))

    async def _carry(self, command: Command) -> None:
        """Hand one command to the field and note what it answered."""
        try:
            await self._actuate(command.breaker, command.target)
        except NoAnswer as error:
            utc_ns, mono_ns = self._now()
            after = self._doubt(command, str(error) or "no answer", utc_ns, mono_ns)
        except FieldError as error:
            after = command.advance("failed", *self._now(), str(error) or "refused by the device")
        else:
            utc_ns, mono_ns = self._now()
            deadline = mono_ns + self._verify_ns(command)
            after = command.advance("accepted", utc_ns, mono_ns, deadline_mono_ns=deadline, proof_after_utc_ns=utc_ns)
        if self._commands[command.id].state == "sent":  # step has not given up on it meanwhile
            self._noted([after])  # when it cannot be noted it stays "sent", times out and is read back

    def _noted(self, commands: Sequence[Command]) -> bool:
        """Journal and remember what the field or the time did to commands; tell whether the journal took it."""
        try:
            self._take(commands)
        except Refused as error:
            for command in commands if not self._journal_stands else ():
                logger.error("command on {} is {}, but {}", command.breaker, command.state, error.detail)
            self._journal_stands = True
            return False
        self._journal_stands = self._journal_stands and not commands
        return True

    def _carried(self, command_id: str, task: asyncio.Task[None]) -> None:
        del self._tasks[command_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._faults.append(error)

    # ---- tables

    def _take(self, commands: Sequence[Command], conditions: Sequence[Condition] = ()) -> None:
        """Journal the new states, on the disk before anything else happens, and remember them."""
        self._journal_write(commands, conditions)
        for command in commands:
            self._keep(command)

    def _journal_write(self, commands: Sequence[Command], conditions: Sequence[Condition] = ()) -> None:
        if not commands:
            return
        judged = [asdict(condition) for condition in conditions]
        try:
            self._journal.write_many(STREAM, [command.record(judged) for command in commands])
        except JournalStopped as error:
            raise Refused("command.journal", f"the journal cannot be written: {error}") from error

    def _keep(self, command: Command) -> None:
        """Put a command in its tables by its state."""
        breaker = command.breaker
        self._commands[command.id] = command
        self._unshown[breaker] = command.state
        for table, belongs in (
            (self._active, command.state in ACTIVE),
            (self._doubtful, command.state == "undetermined"),
        ):
            if belongs:
                table[breaker] = command.id
            elif table.get(breaker) == command.id:
                del table[breaker]
        place = self._place[breaker]
        self._watch.moving[place] = command.state in MOVING
        if command.state == "sent":
            self._watch.commanded[place] = command.target
            self._finish(self._doubtful.pop(breaker, None))  # whatever it did, this one is read back now
        if command.state == "verified":
            self._settled[breaker] = command.target
        if command.state == "failed" and not TAKEN & command.times_utc_ns.keys():  # refused: nothing was commanded
            self._watch.commanded[place] = self._settled.get(breaker, NOT_COMMANDED)
        if command.state not in OPEN_STATES:
            self._finish(command.id)
            logger.info("{} to {}: {} {}", breaker, POSITIONS[command.target], command.state, command.detail)

    def _finish(self, command_id: str | None) -> None:
        if command_id is not None:
            self._finished.append(command_id)
        while len(self._finished) > FINISHED_KEPT:
            self._commands.pop(self._finished.popleft(), None)

    def _open(self) -> list[Command]:
        return [self._commands[key] for key in (*self._active.values(), *self._doubtful.values())]

    def _show(self, instant: Instant) -> None:
        """Write CommandState and Discrepancy of every breaker that changed."""
        tags = self._work.tags
        for breaker, state in self._unshown.items():
            row = self._breakers[breaker].command_row
            tags.value[row] = STATES.index(state)
            tags.quality[row] = GOOD
            tags.source_time[row] = instant.utc_ns
            tags.changed_scan[row] = instant.scan
        self._unshown.clear()
        self._watch.step(tags, instant)

    # ---- questions to the image

    def _conditions(
        self, breaker: Breaker, target: int, own: Command | None = None, automatic: bool = False
    ) -> list[Condition]:
        if target not in TARGETS:
            raise Refused("command.target", f"a breaker is moved to open or closed, not to {target}")
        place = self._place[breaker.id]
        position, online = self._sample(breaker.position_row), self._sample(breaker.online_row)
        utc_ns, mono_ns = self._now()
        is_open = position.value == OPEN
        return interlocks.evaluate(
            Situation(
                target=target,
                position=int(position.value) if position.value in range(len(POSITIONS)) else BAD_STATE,
                position_good=is_good(position.quality),
                age_s=(utc_ns - position.source_time_ns) / NS_PER_S / self._clock.speed,
                fresh_s=max(self._fresh_s, breaker.fresh_s),
                online=is_good(online.quality) and online.value != 0,
                busy=self._busy(breaker.id, own, mono_ns),
                medium=breaker.medium,
                remote_close=breaker.remote_close,
                protected=breaker.protected,
                automatic=automatic,
                current_flows=bool(self._watch.flows_while_open(self._work.tags)[place]),
                opened_by_itself=is_open and self._settled.get(breaker.id) == CLOSED,
                tags=self._tags_of(breaker.id),
                feeder_dead=self._feeder_dead(breaker.id),
            )
        )

    def _demand(
        self, breaker: str, target: int, own: Command | None = None, automatic: bool = False
    ) -> list[Condition]:
        """Return the conditions when all that block hold. Raises Refused with the first that does not."""
        conditions = self._conditions(self._breaker(breaker), target, own, automatic)
        for condition in conditions:
            if condition.blocks and not condition.ok:
                raise Refused(condition.code, f"does not hold: {condition.detail}")
        return conditions

    def _busy(self, breaker: str, own: Command | None, mono_ns: int) -> str:
        """Say what another command does with a breaker, "" when none does.

        An undetermined command blocks while its mechanism may still move; after that the position decides.
        """
        active = self._commands.get(self._active.get(breaker, ""))
        if active is not None and (own is None or active.id != own.id):
            return f"{active.state} by {active.actor.user}"
        doubtful = self._commands.get(self._doubtful.get(breaker, ""))
        if doubtful is not None and mono_ns < doubtful.deadline_mono_ns:
            return f"undetermined command of {doubtful.actor.user}"
        return ""

    def _breaker(self, breaker: str) -> Breaker:
        if breaker not in self._breakers:
            raise Refused("breaker.unknown", f"no breaker {breaker!r}")
        return self._breakers[breaker]

    def _owned(self, command_id: str, user: str, station: str) -> Command:
        """Return a selection that this user made at this station. Refused otherwise."""
        command = self.state(command_id)
        if command.state != "selected":
            raise Refused("command.state", f"the command is {command.state}, not selected")
        if (command.actor.user, command.actor.station) != (user, station):
            raise Refused("command.owner", f"selected by {command.actor.user} at {command.actor.station}")
        return command

    def _sample(self, row: int) -> Sample:
        tags = self._work.tags
        return Sample(float(tags.value[row]), int(tags.quality[row]), int(tags.source_time[row]))

    def _verify_ns(self, command: Command) -> int:
        breaker = self._breakers.get(command.breaker)
        return int(breaker.verify_s * NS_PER_S) if breaker else 0

    def _fresh_ns(self) -> int:
        return int(self._fresh_s * NS_PER_S) * self._clock.speed

    def _now(self) -> tuple[int, int]:
        return self._clock.utc_ns(), self._clock.mono_ns()

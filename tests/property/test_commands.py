"""Random walks over the desk: whatever people, field and time do, a command tells the truth and is sent once."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from scada.clock import NS_PER_S
from scada.command import ACTIVE, STATES, TRANSITIONS
from scada.control import Breaker, ControlDesk
from scada.errors import FieldError, NoAnswer, Refused
from scada.image import Columns, Layout
from scada.position import CLOSED, OPEN, POSITIONS
from scada.quality import BAD_NO_COMMUNICATION, GOOD
from scada.scan import Instant

LAYOUT = Layout({"tags": 5, "points": 0, "accounts": 0, "alarms": 0}, bytes(32))
BREAKER = Breaker("b", "一", "One", "breaker", "electricity", 0, 1, 2, 3, 4, 3.0, False, True)
USERS = ("li", "wang")
WALKS, STEPS = 40, 120
# How often each deed is done; people mostly go on with what they began.
DEEDS: dict[tuple[Any, ...], int] = {
    ("select", "li", OPEN): 5,
    ("select", "li", CLOSED): 5,
    ("select", "wang", OPEN): 1,
    ("operate", "li"): 12,
    ("operate", "wang"): 1,
    ("cancel", "li"): 1,
    ("cancel", "wang"): 1,
    ("accept",): 8,
    ("refuse",): 1,
    ("lose",): 2,
    ("move", OPEN): 4,  # what the breaker really does
    ("move", CLOSED): 4,
    ("silence", True): 2,
    ("silence", False): 4,
    ("wait", 2): 3,
    ("wait", 6): 3,
    ("wait", 31): 1,
}


class World:
    """A breaker with a true position, a line that can be silent, one desk and its journal."""

    def __init__(self) -> None:
        self.ns = 1_000 * NS_PER_S
        clock: Any = SimpleNamespace(speed=1, utc_ns=lambda: self.ns, mono_ns=lambda: self.ns)
        self.work = Columns.private(LAYOUT)
        self.records: list[Mapping[str, Any]] = []
        self.sent = 0
        self.answers: list[asyncio.Future[None]] = []
        self.position, self.silent, self.moved_ns = CLOSED, False, 0
        self.desk = ControlDesk([BREAKER], self.work, clock, self, self.actuate)
        self.command = ""

    def write(self, stream: str, record: Mapping[str, Any]) -> str:
        raise AssertionError

    def write_many(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
        self.records += records
        for record in records:
            if record["state"] == "verified":  # proven by the truth: the last reading that got through
                assert self.work.tags.value[0] == POSITIONS.index(record["target"])
                assert self.work.tags.quality[0] == GOOD

    async def actuate(self, breaker: str, target: int) -> None:
        self.sent += 1
        self.answers.append(asyncio.get_running_loop().create_future())
        await self.answers[-1]

    async def do(self, deed: str, *details: Any) -> None:
        user = details[0] if details and details[0] in USERS else "li"
        try:
            if deed == "select":
                self.command = self.desk.select("b", details[1], user, "operator", "desk").id
            elif deed == "operate":
                self.desk.operate(self.command, "why", user, "operator", "desk")
            elif deed == "cancel":
                self.desk.cancel(self.command, user, "desk")
        except Refused:
            return
        if deed in ("accept", "refuse", "lose") and self.answers and not self.answers[-1].done():
            if deed == "accept":
                self.answers[-1].set_result(None)
            else:
                self.answers[-1].set_exception(FieldError("no") if deed == "refuse" else NoAnswer("lost"))
        elif deed == "move":
            self.position = details[0]
        elif deed == "silence":
            self.silent = details[0]

    async def second(self) -> None:
        await _settle()
        self.ns += NS_PER_S
        tags = self.work.tags
        if self.silent:
            tags.quality[:3] = BAD_NO_COMMUNICATION
        else:
            tags.value[:3] = (self.position, 0.0 if self.position == OPEN else 9.0, 1)
            tags.quality[:3] = GOOD
            tags.source_time[:3] = self.ns - NS_PER_S // 10
        self.desk.step(Instant(self.ns // NS_PER_S, self.ns, self.ns))


async def _settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def walk(seed: int) -> set[str]:
    """Walk at random; return the states that were seen."""
    world = World()
    await world.second()
    for deed in random.Random(seed).choices(list(DEEDS), weights=list(DEEDS.values()), k=STEPS):
        await world.do(*deed)
        for _ in range(deed[1] if deed[0] == "wait" else 1):
            await world.second()
    await world.desk.close()
    _check_journal(world)
    return {record["state"] for record in world.records}


def _check_journal(world: World) -> None:
    lives: dict[str, list[str]] = {}
    holder = ""
    for record in world.records:
        states = lives.setdefault(record["command"], ["idle"])
        assert record["state"] in TRANSITIONS[states[-1]]  # type: ignore[index]
        states.append(record["state"])
        if record["state"] in ACTIVE:
            assert holder in ("", record["command"])  # one command holds the breaker at a time
            holder = record["command"]
        elif holder == record["command"]:
            holder = ""
    assert world.sent == sum("sent" in states for states in lives.values())
    shown = STATES[int(world.work.tags.value[3])]
    assert shown == (world.records[-1]["state"] if world.records else "idle")


def test_walks() -> None:
    seen: set[str] = set()
    for seed in range(WALKS):
        try:
            seen |= asyncio.run(walk(seed))
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
    assert seen == set(STATES) - {"idle"}  # the walks go everywhere

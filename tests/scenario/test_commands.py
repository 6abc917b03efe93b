"""Commands over time, one row per scan: what happens, what the field shows, what the command and the tags then say."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from scada.clock import NS_PER_S
from scada.command import STATES, Command
from scada.control import Breaker, ControlDesk
from scada.errors import FieldError, NoAnswer, Refused
from scada.image import Columns, Layout
from scada.position import CLOSED, INTERMEDIATE, OPEN, POSITIONS
from scada.quality import BAD_NO_COMMUNICATION, GOOD
from scada.scan import Instant

START_S = 1_800_000_000
POSITION, CURRENT, ONLINE, COMMAND, DISCREPANCY = range(5)
LAYOUT = Layout({"tags": 5, "points": 0, "accounts": 0, "alarms": 0}, bytes(32))
BREAKER = Breaker(
    "b1", "一号", "One", "breaker", "electricity", POSITION, CURRENT, ONLINE, COMMAND, DISCREPANCY, 4.0, False, True
)
ANSWERS: Mapping[str, FieldError | None] = {
    "accept": None,
    "refuse": FieldError("illegal data value"),
    "lose": NoAnswer("no answer within 1 s"),
}


class Times:
    """A clock that stands still until it is moved."""

    speed = 1

    def __init__(self) -> None:
        self.now_ns = START_S * NS_PER_S

    def utc_ns(self) -> int:
        return self.now_ns

    def mono_ns(self) -> int:
        return self.now_ns - START_S * NS_PER_S + NS_PER_S


class Papers:
    """A journal that keeps what it was given."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []

    def write(self, stream: str, record: Mapping[str, Any]) -> str:
        self.write_many(stream, [record])
        return ""

    def write_many(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
        assert stream == "command"
        self.records += records

    def states(self) -> list[str]:
        return [record["state"] for record in self.records]


class Plant:
    """A desk with one breaker, a field that answers when the table says so, and scans on request."""

    def __init__(self, papers: Papers | None = None) -> None:
        self.work = Columns.private(LAYOUT)
        self.clock = Times()
        self.papers = papers or Papers()
        self.sent: list[tuple[str, int]] = []
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.desk = ControlDesk([BREAKER], self.work, self.clock, self.papers, self.actuate)
        self.command = ""

    async def actuate(self, breaker: str, target: int) -> None:
        assert "sent" in self.papers.states()  # the journal knows before the field
        self.sent.append((breaker, target))
        await self.answer

    def read(self, second: float, position: int | None, current_a: float | None) -> None:
        """Publish one reading, taken a tenth of a second before; None is a failed read."""
        taken_ns = int((START_S + second - 0.1) * NS_PER_S)
        tags = self.work.tags
        for row, value in ((POSITION, position), (CURRENT, current_a)):
            if value is None:
                tags.quality[row] = BAD_NO_COMMUNICATION
            else:
                tags.value[row], tags.quality[row], tags.source_time[row] = value, GOOD, taken_ns
        tags.value[ONLINE], tags.quality[ONLINE] = position is not None, GOOD

    async def do(self, deed: str) -> None:
        if deed in ("trip", "close"):
            self.command = self.desk.select("b1", OPEN if deed == "trip" else CLOSED, "li", "operator", "desk-1").id
        elif deed == "operate":
            self.desk.operate(self.command, "maintenance", "li", "operator", "desk-1")
        elif deed == "cancel":
            self.desk.cancel(self.command, "li", "desk-1")
        elif deed:
            error = ANSWERS[deed]
            if error is None:
                self.answer.set_result(None)
            else:
                self.answer.set_exception(error)
            await settle()
            self.answer = asyncio.get_running_loop().create_future()
        await settle()

    async def scan(self, second: float, deed: str, position: int | None, current_a: float | None) -> tuple[str, int]:
        """Do something half a second before a scan, then scan; return (CommandState, Discrepancy) as the tags say."""
        self.clock.now_ns = int((START_S + second - 0.5) * NS_PER_S)
        await self.do(deed)
        self.clock.now_ns = int((START_S + second) * NS_PER_S)
        self.read(second, position, current_a)
        self.desk.step(Instant(int(second), self.clock.utc_ns(), self.clock.mono_ns()))
        await settle()
        assert self.work.tags.quality[COMMAND] == GOOD
        return STATES[int(self.work.tags.value[COMMAND])], int(self.work.tags.value[DISCREPANCY])


async def settle() -> None:
    """Let tasks that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


# Position as read, and the current with it
C, O, M, X = (CLOSED, 9.0), (OPEN, 0.0), (INTERMEDIATE, 9.0), (None, None)  # noqa: E741 - columns of a table
WELDED, UNSURE = (OPEN, 9.0), (OPEN, None)

# second, deed before the scan, reading | command state, discrepancy
STORIES: dict[str, list[tuple[float, str, tuple[int | None, float | None], str, int]]] = {
    "a trip, verified by position and current": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", C, "sent", 0),
        (4, "accept", C, "accepted", 0),
        (5, "", M, "accepted", 0),
        (6, "", WELDED, "accepted", 0),  # the contact says open, the current has still to fall
        (7, "", O, "verified", 0),
        (20, "", O, "verified", 0),
    ],
    "accepted, but it does not move": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", C, "sent", 0),
        (4, "accept", C, "accepted", 0),
        (7, "", C, "accepted", 0),
        (8, "", C, "failed", 1),  # four seconds after it was accepted it is not where it was told to be
        (30, "", C, "failed", 1),
        (31, "", O, "failed", 0),  # somebody opened it by hand
    ],
    "a welded contact": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", C, "sent", 0),
        (4, "accept", WELDED, "accepted", 0),
        (7, "", WELDED, "accepted", 0),
        (8, "", WELDED, "failed", 1),
        (30, "", WELDED, "failed", 1),
    ],
    "refused by the device": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", C, "sent", 0),
        (4, "refuse", C, "failed", 0),
        (30, "", C, "failed", 0),  # told at once, and nothing is expected to move
    ],
    "an answer lost, and it had moved": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", C, "sent", 0),
        (4, "lose", X, "undetermined", 0),
        (60, "", X, "undetermined", 0),
        (600, "", X, "undetermined", 0),
        (601, "", O, "verified", 0),
    ],
    "an answer lost, and it had not moved": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", C, "sent", 0),
        (4, "lose", X, "undetermined", 0),
        (5, "", C, "undetermined", 0),  # it may still be moving
        (6, "", X, "undetermined", 0),
        (600, "", C, "failed", 1),  # different since second 5
        (605, "", C, "failed", 1),
    ],
    "no answer at all": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", X, "sent", 0),
        (7, "", X, "sent", 0),
        (8, "", X, "undetermined", 0),
        (9, "", C, "undetermined", 0),
        (13, "", C, "failed", 1),
    ],
    "accepted, then the device is gone": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", C, "sent", 0),
        (4, "accept", X, "accepted", 0),
        (7, "", X, "accepted", 0),
        (8, "", X, "undetermined", 0),
        (3600, "", O, "verified", 0),  # the meter is back after an hour
    ],
    "open, but nobody can say whether current flows": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "operate", C, "sent", 0),
        (4, "accept", UNSURE, "accepted", 0),
        (8, "", UNSURE, "undetermined", 0),
        (9, "", O, "verified", 0),
    ],
    "a selection that lapses": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (31, "", C, "selected", 0),
        (32, "", C, "expired", 0),
        (33, "trip", C, "selected", 0),
    ],
    "a selection given back": [
        (1, "", C, "idle", 0),
        (2, "trip", C, "selected", 0),
        (3, "cancel", C, "cancelled", 0),
        (4, "trip", C, "selected", 0),
    ],
    "closed, needs no current": [
        (1, "", O, "idle", 0),
        (2, "close", O, "selected", 0),
        (3, "operate", O, "sent", 0),
        (4, "accept", (CLOSED, None), "verified", 0),
        (5, "", C, "verified", 0),
        (6, "", O, "verified", 0),  # it opens by itself
        (9, "", X, "verified", 0),
        (10, "", O, "verified", 1),
        (11, "", X, "verified", 1),  # a bad reading clears nothing
        (12, "", C, "verified", 0),
    ],
    "current through an open breaker that was never commanded": [
        (1, "", WELDED, "idle", 0),
        (4, "", WELDED, "idle", 0),
        (5, "", WELDED, "idle", 1),
        (6, "", O, "idle", 0),
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_story(story: str) -> None:
    async def tell() -> None:
        plant = Plant()
        for second, deed, (position, current_a), state, discrepancy in STORIES[story]:
            assert await plant.scan(second, deed, position, current_a) == (state, discrepancy), f"second {second}"
        sent = [record for record in plant.papers.records if record["state"] == "sent"]
        assert len(plant.sent) == len(sent) <= 1  # nothing is ever repeated
        times = [record["plant_time_ns"] for record in plant.papers.records]
        assert times == sorted(times)
        await plant.desk.close()

    asyncio.run(tell())


def test_an_old_reading_proves_nothing() -> None:
    """The image still says open from before; it was read before the command was accepted."""

    async def tell() -> None:
        plant = Plant()
        await plant.scan(1, "", *C)
        await plant.scan(2, "trip", *C)
        await plant.scan(3, "operate", *C)
        await plant.do("accept")
        plant.work.tags.value[POSITION] = OPEN
        plant.work.tags.value[CURRENT] = 0
        plant.clock.now_ns += NS_PER_S
        plant.desk.step(Instant(4, plant.clock.utc_ns(), plant.clock.mono_ns()))
        assert plant.desk.state(plant.command).state == "accepted"
        await plant.desk.close()

    asyncio.run(tell())


# The states a command had reached when the core ended -> what the next core journals of it, and where it ends
RESTARTS = [
    (["trip"], ["expired"], "expired"),
    (["trip", "operate"], ["undetermined", "verified"], "verified"),
    (["trip", "operate", "accept"], ["undetermined", "verified"], "verified"),
    (["trip", "operate", "lose"], ["verified"], "verified"),
    (["trip", "operate", "refuse"], [], None),
]


@pytest.mark.parametrize(("deeds", "records", "end"), RESTARTS)
def test_restart(deeds: list[str], records: list[str], end: str | None) -> None:
    """Nothing is queued or repeated over a restart; what was sent is undetermined until it is read back."""

    async def tell() -> None:
        before = Plant()
        await before.scan(1, "", *C)
        for second, deed in enumerate(deeds, 2):
            await before.scan(second, deed, *C)
        command = before.desk.state(before.command)
        await before.desk.close()

        after = Plant()
        after.clock.now_ns = before.clock.now_ns + 5 * NS_PER_S
        still_open: list[Command] = [] if end is None else [command]
        after.desk.restore(still_open, {"b1": OPEN} if len(deeds) > 1 else {}, {})
        await after.scan(12, "", *X)
        await after.scan(13, "", *O)
        await after.scan(60, "", *O)
        assert after.papers.states() == records
        assert after.sent == []
        if end is not None:
            assert after.desk.state(command.id).state == end
        after_all = after.desk.interlocks("b1", CLOSED)
        assert [condition.code for condition in after_all if not condition.ok] == []
        await after.desk.close()

    asyncio.run(tell())


def test_what_opened_by_itself_is_not_closed_by_a_rule() -> None:
    async def tell() -> None:
        plant = Plant()
        await plant.scan(1, "", *O)
        await plant.scan(2, "close", *O)
        await plant.scan(3, "operate", *O)
        assert (await plant.scan(4, "accept", *C))[0] == "verified"
        await plant.scan(5, "", *O)
        with pytest.raises(Refused) as refused:
            plant.desk.automatic("b1", CLOSED, "credit", "balance is back")
        assert refused.value.code == "interlock.opened-by-itself"
        assert plant.desk.select("b1", CLOSED, "li", "operator", "desk-1").state == "selected"  # a person may
        await plant.desk.close()

    asyncio.run(tell())


def test_a_rule_selects_and_operates_at_once() -> None:
    async def tell() -> None:
        plant = Plant()
        await plant.scan(1, "", *C)
        command = plant.desk.automatic("b1", OPEN, "credit", "balance used up")
        await settle()
        assert plant.sent == [("b1", OPEN)]
        assert plant.papers.states() == ["selected", "sent"]
        assert {record["origin"] for record in plant.papers.records} == {"credit"}
        assert plant.papers.records[-1]["target"] == POSITIONS[OPEN]
        await plant.scan(2, "accept", *O)
        assert plant.desk.state(command).state == "verified"

    asyncio.run(tell())

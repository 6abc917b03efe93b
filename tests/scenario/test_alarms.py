"""Alarms over time on the real journal and a real PostgreSQL: one row per scan, inputs left, states right."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from alarms import store
from alarms.definition import AlarmDefinition
from alarms.engine import AlarmEngine
from alarms.lifecycle import STATES
from scada.clock import NS_PER_S
from scada.database import Database
from scada.image import Columns, Layout
from scada.journal import Journal
from scada.quality import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_NO_COMMUNICATION
from scada.scan import Instant

START_S = 1_800_000_000
LAYOUT = Layout({"tags": 3, "points": 0, "accounts": 0, "alarms": 3}, bytes(32))
OVERLOAD = AlarmDefinition(
    "park/M/e1/Current/overload", "e1", 0, "above", 100.0, 5.0, 3.0, 2.0, 2, "A", "一号表过流", "E1 overload"
)
LOST = replace(OVERLOAD, id="park/M/e1/Online/lost", tag_row=1, comparison="equal", limit=0.0, deadband=0.0, priority=1)
LOW = replace(
    OVERLOAD, id="park/T/t1/Balance/low", tag_row=2, comparison="below", limit=50.0, deadband=5.0, on_delay_s=0.0
)
DEFINITIONS = (OVERLOAD, LOST, LOW)
SHORT = {"normal": "-", "unacknowledged": "U", "acknowledged": "A", "returned": "R"}
GONE, STALE = "gone", "stale"  # instead of a current: no communication, and a value that has grown old

# second, deed before the scan, current, online, balance | overload, lost, low
STORY: list[tuple[int, str, float | str, int, float, str]] = [
    (0, "", 80, 1, 60, "- - -"),
    (1, "", 105, 1, 60, "- - -"),  # the on-delay of three seconds runs
    (3, "", 105, 1, 60, "- - -"),
    (4, "", 105, 1, 49, "U - U"),
    (5, "ack overload", 105, 1, 49, "A - U"),
    (6, "restart", 105, 1, 49, "A - U"),
    (7, "", STALE, 1, 54, "A - U"),  # 54 is inside the deadband
    (8, "", GONE, 0, 55, "A - U"),
    (10, "", GONE, 0, 55, "A - R"),
    (11, "", GONE, 0, 55, "A U R"),  # lost for three seconds; the overload is not cleared by silence
    (12, "restart", GONE, 0, 55, "A U R"),
    (60, "ack low", GONE, 0, 55, "A U -"),
    (61, "", 90, 1, 55, "A U -"),
    (63, "", 90, 1, 55, "- R -"),  # off-delay of two seconds for both
    (64, "ack lost", 90, 1, 55, "- - -"),
    (65, "restart", 90, 1, 55, "- - -"),
]
JOURNAL = [
    "4 overload raised 105.0", "4 low raised 49.0", "5 overload acknowledged 105.0 li", "10 low cleared 55.0",
    "11 lost raised 0.0", "60 low acknowledged 49.0 li", "63 overload cleared 90.0", "63 lost cleared 1.0",
    "64 lost acknowledged 0.0 li",
]  # fmt: skip


class Core:
    """As much of a core as alarms need: engine, journal, data base; it can be started anew."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self._folder = folder
        self._database = Database(dsn, "history")
        self._journal: Journal | None = None

    async def start(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = Journal(self._folder)
        self.work = Columns.private(LAYOUT)
        self.engine = AlarmEngine(DEFINITIONS, self._journal)
        await self.drain()
        async with self._database.transaction() as cursor:
            self.engine.restore(await store.load(cursor))

    async def drain(self) -> None:
        assert self._journal is not None
        await self._journal.drain(self._database, {"alarm": store.sink})

    async def do(self, second: int, deed: str) -> None:
        if deed == "restart":
            await self.start()
        elif deed:
            (definition,) = (item for item in DEFINITIONS if item.id.endswith(deed.removeprefix("ack ")))
            self.engine.acknowledge(definition.id, "li", "desk-1", "", (START_S + second) * NS_PER_S)

    def scan(self, second: int, current: float | str, online: int, balance: float) -> str:
        tags = self.work.tags
        tags.quality[:] = GOOD
        if isinstance(current, str):
            tags.quality[0] = {GONE: BAD_NO_COMMUNICATION, STALE: UNCERTAIN_NO_COMMUNICATION}[current]
            current = 0.0
        tags.value[:] = (current, online, balance)
        self.engine.evaluate(Instant(second + 1, (START_S + second) * NS_PER_S, second), self.work)
        return " ".join(SHORT[STATES[state]] for state in self.work.alarms.state)

    async def lines(self) -> list[str]:
        await self.drain()
        async with self._database.transaction() as cursor:
            lines = await store.recent(cursor)
        return [
            f"{line.plant_time_ns // NS_PER_S - START_S} {line.alarm.rpartition('/')[2]} {line.event}"
            f" {line.value} {line.user}".strip()
            for line in reversed(lines)
        ]

    async def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        await self._database.close()


@pytest.mark.parametrize("drained", ["each scan", "at the restarts only"])
def test_a_story(tmp_path: Path, postgres_dsn: str, drained: str) -> None:
    async def tell() -> None:
        core = Core(tmp_path, postgres_dsn)
        await core.start()
        try:
            for second, deed, current, online, balance, expected in STORY:
                await core.do(second, deed)
                assert core.scan(second, current, online, balance) == expected, f"second {second}"
                if drained == "each scan":
                    await core.drain()
            assert await core.lines() == JOURNAL
        finally:
            await core.close()

    asyncio.run(tell())

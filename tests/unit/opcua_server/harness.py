"""A real OPC UA room on loopback, over an image that the test writes, with a stand-in for the plant."""

import asyncio
import contextlib
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from asyncua import Client

from opcua_server.room import run_opcua
from scada.clock import SystemClock
from scada.image import SECTIONS, Columns, ImageWriter, Layout
from scada.paths import DataDirectory
from scada.position import POSITIONS
from scada.quality import GOOD
from scada.room import Room
from scada.tags import Tag, TagTable

HEARTBEAT_S = 0.2
NO_DATABASE = "host=/nonexistent dbname=wattkeeper connect_timeout=1"
SOURCE_NS = 1_700_000_000_123_456_000
METER = ("Areas", "a", "e-a101")
TENANT = ("Tenants", "t-001")
POINT = ("Areas", "a", "p-001")
TAGS = (
    Tag("park/M/e-a101/ActivePowerTotal", "ActivePowerTotal", METER, "kW", "double", "有功功率", "Active power"),
    Tag("park/M/e-a101/PowerFactorTotal", "PowerFactorTotal", METER, "", "double", "功率因数", "Power factor"),
    Tag("park/M/e-a101/Position", "Position", METER, "", "enum", "开关位置", "Position", states=POSITIONS),
    Tag("park/M/e-a101/Online", "Online", METER, "", "boolean", "在线", "Online"),
    Tag("park/T/t-001/Balance", "Balance", TENANT, "", "double", "余额", "Balance", currency="CNY"),
    Tag("park/T/t-001/BalanceMinor", "BalanceMinor", TENANT, "", "int64", "余额(分)", "Balance in fen"),
    Tag("park/P/p-001/Price", "Price", POINT, "CNY/kWh", "double", "电价", "Price", currency="CNY"),
)
POWER, FACTOR, POSITION, ONLINE, BALANCE, MINOR, PRICE = range(len(TAGS))


def make_plant(tags: tuple[Tag, ...] = TAGS, anonymous: bool = True, layout_hash: bytes = b"h" * 32) -> Any:
    """Return what the room uses of config.plant.Plant."""
    counts = dict.fromkeys(SECTIONS, 0) | {"tags": len(tags)}
    return SimpleNamespace(
        tags=TagTable(tags),
        layout=Layout(counts, layout_hash),
        site=SimpleNamespace(id="park", name_zh="示范园区", name_en="Demo park", currency="CNY", currency_exponent=2),
        names={"a": SimpleNamespace(zh="A 楼", en="Building A")},
        opcua=SimpleNamespace(anonymous=anonymous),
        scan_period_s=1.0,
    )


class Core:
    """Writes the image as the core does, with a heartbeat until `gone`."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.work = Columns.private(layout)
        self._writer = ImageWriter(path, layout)
        self._scan = 0
        self._beat = asyncio.create_task(self._live())

    def put(self, row: int, value: float, quality: int = GOOD, source_ns: int = SOURCE_NS) -> None:
        tags = self.work.tags
        tags.value[row], tags.quality[row], tags.source_time[row] = value, quality, source_ns

    async def _live(self) -> None:
        while True:
            self._scan += 1
            self._writer.publish(self.work, self._scan, time.time_ns(), time.monotonic_ns())
            await asyncio.sleep(HEARTBEAT_S)

    async def gone(self, clean: bool = False) -> None:
        """Stop the heartbeat; `clean` as at an orderly end, else as after SIGKILL."""
        self._beat.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._beat
        if clean:
            self._writer.close()
        else:
            self._writer._lock.close()


@dataclass
class Site:
    """One room that is being served."""

    url: str
    data: DataDirectory
    core: Core
    plant: Any
    room: Room
    task: "asyncio.Task[None]"

    def client(self, timeout: float = 10) -> Client:
        return Client(self.url, timeout=timeout)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def answering(port: int, task: "asyncio.Task[None]") -> None:
    while True:
        if task.done():
            task.result()
            raise AssertionError("the room ended before it served")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return


async def until(condition: Callable[[], Any], limit_s: float = 10.0) -> float:
    """Wait until a condition holds; return the seconds it took. AssertionError when it never does."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit_s, "it never happened"
        await asyncio.sleep(0.01)
    return time.monotonic() - start


@contextlib.asynccontextmanager
async def serve(folder: Path, pki: Path, plant: Any, database_url: str = NO_DATABASE) -> AsyncIterator[Site]:
    """Run the room; afterwards it must have ended by itself, leaving no task."""
    before = asyncio.all_tasks()
    data = DataDirectory(folder)
    shutil.copytree(pki, data.pki, dirs_exist_ok=True)
    core = Core(data.image, plant.layout)
    port = free_port()
    room = Room("opcua", None, data, SystemClock(), database_url)
    task = asyncio.create_task(run_opcua(room, plant, port))
    try:
        await asyncio.wait_for(answering(port, task), 30)
        yield (site := Site(f"opc.tcp://127.0.0.1:{port}/wattkeeper", data, core, plant, room, task))
        core = site.core  # a test may have started another one
    finally:
        room.stop.set()
        await asyncio.wait_for(task, 10)
        await core.gone()
    await asyncio.sleep(0.1)  # tasks that were cancelled at the end come to theirs
    assert asyncio.all_tasks() <= before, asyncio.all_tasks() - before

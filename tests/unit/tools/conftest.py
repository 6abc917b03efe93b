"""A small simulated field on real sockets and pseudo-terminals, in a thread, and the command line that asks it."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from config.field_ports import profiles
from drivers.device import Device, Gateway, LineFormat
from drivers.field.model import Field, SimMeter
from drivers.field.site import SimLine, line_of
from drivers.field.station import Station
from drivers.profile import Profile
from tests.plant.park import free_ports

ROOT = Path(__file__).resolve().parents[3]
STEP_S = 0.05
START_NS = 1_764_000_000_000_000_000
TCP, FRAMED, SERIAL, WATER = "transparent", "framed", "serial", "water"
DLT645, SECOND, OLD, VALVE = "112233445566", "000000000007", "000000000097", "00000012345678"


@pytest.fixture(scope="session")
def known() -> Mapping[str, Profile]:
    """The profiles that come with Wattkeeper."""
    return profiles(ROOT / "config" / "demo")


class Bench:
    """A workbench with lines and meters, served by a thread of its own."""

    def __init__(self, gateways: list[Gateway], devices: list[Device], run: Path) -> None:
        self.gateways = {gateway.id: gateway for gateway in gateways}
        self.run = run
        meters = [SimMeter(device, 1000.0, shape="flat", seed=3, initial_counts=1_234_567) for device in devices]
        self.field = Field(meters, ZoneInfo("Asia/Shanghai"))
        self.field.step(START_NS, 0)
        self.field.latch()
        stations = [Station(self.field, state) for state in self.field.states.values()]
        self.stations = {station.state.meter.device.id: station for station in stations}
        self.lines: list[SimLine] = [line_of(gateway, stations, False, run) for gateway in gateways]
        self._loop = asyncio.new_event_loop()
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Bench":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        self._loop.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        for line in self.lines:
            await line.start()
        self._ready.set()
        mono_ns = 0
        while not self._end.is_set():
            mono_ns += int(STEP_S * 1e9)
            self.field.step(START_NS, mono_ns)
            self.field.latch()
            try:
                await asyncio.wait_for(self._end.wait(), STEP_S)
            except TimeoutError:
                continue
        for line in self.lines:
            await line.stop()

    def place(self, name: str) -> str:
        """Return a line in the words of --line."""
        gateway = self.gateways[name]
        if gateway.transport == "serial":
            return f"serial:{self.run / gateway.path}"
        return f"{gateway.transport}:{gateway.host}:{gateway.port}"


@pytest.fixture
def bench(known: Mapping[str, Profile], tmp_path: Path) -> Iterator[Bench]:
    """Every protocol behind a transparent gateway, on a pseudo-terminal, or in Modbus TCP frames."""
    tcp, framed, water = free_ports(3)
    gateways = [
        Gateway(TCP, "127.0.0.1", tcp, transport="tcp", line=LineFormat(9600, "E")),
        Gateway(WATER, "127.0.0.1", water, transport="tcp", line=LineFormat(9600, "E")),
        Gateway(FRAMED, "127.0.0.1", framed),
        Gateway(SERIAL, "", 0, transport="serial", path="bus", line=LineFormat(9600, "N")),
    ]
    devices = [
        Device("meter", TCP, 0, known["dlt645-2007-1p"], 1, 1, {}, address=DLT645),
        Device("water", WATER, 0, known["cjt188-cold-water"], 1, 1, {}, address=VALVE),
        Device("tcp-3", FRAMED, 3, known["acrel-adl3000"], 1, 1, {}),
        Device("tcp-5", FRAMED, 5, known["wattkeeper-demo-1p"], 1, 1, {}),
        Device("rtu-4", SERIAL, 4, known["hiking-dds238-2"], 1, 1, {}),
    ]
    with Bench(gateways, devices, tmp_path) as made:
        yield made


Tool = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run a command line of run.py in this process; return its exit code and what it said."""
    import run

    def ask(*words: str) -> tuple[int, str, str]:
        code = run.main([*words[:2], "--lang", "en", *words[2:], "--data", str(tmp_path / "data")])
        said = capsys.readouterr()
        return code, said.out, said.err

    return ask

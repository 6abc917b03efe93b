"""A small simulated park for these tests: its own profiles, a clock that the test moves, real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from drivers.device import Device, Gateway
from drivers.field.model import SimMeter
from drivers.field.room import RegisterFile, SimulatedPark
from drivers.profile import Billing, Profile, Register, Switch
from scada.position import CLOSED, INTERMEDIATE, OPEN

HOUR_NS = 3_600_000_000_000
SECOND_NS = 1_000_000_000
WEDNESDAY_NOON_NS = 1_763_524_800 * SECOND_NS  # 2025-11-19 12:00 in Shanghai


def register(measure: str, function: int, address: int, kind: Any, scale: str, unit: str, **more: Any) -> Register:
    return Register(measure, function, address, kind, Fraction(scale), unit, measure, measure, **more)


SINGLE = Profile(
    "single", "test", "single", "electricity",
    (
        register("ActiveEnergyImportTotal", 3, 0, "u32", "1/100", "kWh", order="CDAB"),
        register("VoltageL1", 3, 11, "u16", "1/10", "V"),
        register("CurrentL1", 3, 12, "u16", "1/100", "A"),
        register("ActivePowerTotal", 3, 13, "s16", "1/1000", "kW"),
        register("PowerFactorTotal", 3, 16, "s16", "1/1000", ""),
        register("Frequency", 3, 17, "u16", "1/100", "Hz"),
        register("Position", 1, 1, "bit", "1", ""),
    ),
    Billing("ActiveEnergyImportTotal", 10, 100_000_000),
    Switch("Position", ((0, OPEN), (1, CLOSED)), 5, 1, 0x0000, 0xFF00, "CurrentL1"),
    merge_gap=2,
)  # fmt: skip
THREE = Profile(
    "three", "test", "three", "electricity",
    (
        register("ActiveEnergyImportTotal", 4, 0x48, "u64", "1/100", "kWh", ratio="ctpt"),
        register("VoltageL1", 4, 0, "f32", "1", "V"),
        register("VoltageL2", 4, 2, "f32", "1", "V"),
        register("VoltageL3", 4, 4, "f32", "1", "V"),
        register("CurrentL1", 4, 6, "f32", "1", "A", ratio="ct"),
        register("CurrentL2", 4, 8, "f32", "1", "A", ratio="ct"),
        register("CurrentL3", 4, 10, "f32", "1", "A", ratio="ct"),
        register("ActivePowerTotal", 4, 12, "s32", "1/10000", "kW", ratio="ctpt"),
        register("Position", 4, 20, "u16", "1", ""),
        register("TripCount", 4, 21, "u16", "1", ""),
    ),
    Billing("ActiveEnergyImportTotal", 10, 1000),
    Switch("Position", ((1, OPEN), (2, CLOSED), (0, INTERMEDIATE)), 6, 0x50, 0x5555, 0xAAAA, "CurrentL1"),
    max_registers=80,
)  # fmt: skip
WATER = Profile(
    "water", "test", "water", "water",
    (
        register("WaterVolume", 3, 0, "u32", "1/1000", "m3", order="BADC"),
        register("WaterFlow", 3, 2, "u32", "1/1000", "m3/h", order="DCBA"),
    ),
    Billing("WaterVolume", 1, 1_000_000_000), None,
)  # fmt: skip


def meter(name: str, profile: Profile, unit: int, gateway: str = "g1", ct: int = 1, **more: Any) -> SimMeter:
    return SimMeter(Device(name, gateway, unit, profile, ct, 1, {}), seed=unit, **more)


def small_park() -> tuple[SimMeter, ...]:
    """A feeder with two meters below, one meter beside it, and a water meter on a second gateway."""
    return (
        meter("feeder", THREE, 1, ct=100),
        meter("shop", SINGLE, 2, parent="feeder", nominal=4000.0, shape="flat", initial_counts=1234),
        meter("hall", THREE, 3, ct=40, parent="feeder", nominal=60_000.0, shape="workshop"),
        meter("lamp", SINGLE, 4, nominal=500.0, shape="flat"),
        meter("water", WATER, 1, gateway="g2", nominal=2.5, shape="flat", initial_counts=77),
    )


@dataclass
class SteppedClock:
    """Plant and real time that only the test moves."""

    utc: int = WEDNESDAY_NOON_NS
    mono: int = 1_000 * SECOND_NS
    speed: int = 1

    def utc_ns(self) -> int:
        return self.utc

    def mono_ns(self) -> int:
        return self.mono

    def forward(self, seconds: float) -> None:
        self.utc += int(seconds * SECOND_NS)
        self.mono += int(seconds * SECOND_NS)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


class ParkDriver:
    """A served park with its clock; `step` moves both and shows the registers."""

    def __init__(
        self, folder: Path, meters: tuple[SimMeter, ...], unknown_silent: bool = False, later_s: float = 0.0
    ) -> None:
        self.clock = SteppedClock()
        self.clock.forward(later_s)
        first, second, self.control_port = free_ports(3)
        self.gateways = (Gateway("g1", "127.0.0.1", first), Gateway("g2", "127.0.0.1", second))
        self.park = SimulatedPark(
            self.clock, RegisterFile(folder / "field.json"), self.gateways, meters, self.control_port, "Asia/Shanghai",
            unknown_silent, folder,
        )  # fmt: skip
        self.step()

    def step(self, seconds: float = 0.0) -> None:
        self.clock.forward(seconds)
        self.park.step()
        self.park.save()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        for gateway in self.park.gateways.values():
            await gateway.start()
        await self.park.control.start()
        try:
            yield
        finally:
            await self.park.control.stop()
            for gateway in self.park.gateways.values():
                await gateway.stop()

    @asynccontextmanager
    async def client(self, gateway: int = 0, timeout: float = 2.0) -> AsyncIterator[AsyncModbusTcpClient]:
        port = self.gateways[gateway].port
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=timeout, retries=0, reconnect_delay=0)
        assert await client.connect()
        try:
            yield client
        finally:
            client.close()

    async def order(self, name: str, target: str = "", value: str = "") -> dict[str, Any]:
        """Give an order over the real control port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.control_port)
        writer.write(json.dumps({"order": name, "target": target, "value": value}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return answer

    async def ordered(self, name: str, target: str = "", value: str = "") -> dict[str, Any]:
        answer = await self.order(name, target, value)
        assert answer["ok"], answer
        return answer


@pytest.fixture
def make_park(tmp_path: Path) -> Callable[..., ParkDriver]:
    return lambda **more: ParkDriver(tmp_path, small_park(), **more)


async def _checked(work: Coroutine[Any, Any, None]) -> None:
    await work
    await asyncio.sleep(0.02)  # what was closed may finish
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"


@pytest.fixture
def run_checked() -> Callable[[Awaitable[None]], None]:
    """Run a coroutine on a fresh loop; a task it leaves behind fails the test."""
    return lambda work: asyncio.run(_checked(work))


@pytest.fixture
def small_meters() -> tuple[SimMeter, ...]:
    return small_park()


@pytest.fixture
def profiles() -> dict[str, Profile]:
    return {profile.id: profile for profile in (SINGLE, THREE, WATER)}

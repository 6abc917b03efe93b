"""The room "field": a simulated park that speaks what its meters speak, and keeps its registers over a restart.

Rule: a register is on disk before any client can read it, so that even a killed field comes back with every register
at least where it was last seen.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from loguru import logger

from drivers.device import Gateway
from drivers.field.control import ControlPort
from drivers.field.faults import FaultDesk
from drivers.field.model import Field, SimMeter
from drivers.field.site import line_of
from drivers.field.station import Station
from scada.clock import Clock
from scada.errors import WattkeeperError
from scada.room import Room

STEP_S: Final = 0.1  # mechanisms need 0.3 to 1 s: ten steps a second show them moving
STEPS_PER_SAVE: Final = 5  # registers advance twice a second, faster than any poll
FORMAT: Final = 1


class RegisterFile:
    """Counters and switch positions on disk, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Any]:
        """Return what was saved, {} before the first save; WattkeeperError when the file cannot be understood."""
        if not self._path.exists():
            return {}
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise WattkeeperError(f"{self._path} has format {content['format']}, this version knows {FORMAT}")
            devices: dict[str, Any] = content["devices"]
        except (ValueError, KeyError, TypeError) as error:
            raise WattkeeperError(
                f"{self._path} is damaged ({error}); remove it to begin with the initial registers"
            ) from error
        return devices

    def save(self, devices: dict[str, Any]) -> None:
        """Replace the file; not flushed to the platter, which a killed process does not need."""
        scratch = self._path.with_suffix(".new")
        scratch.write_text(json.dumps({"format": FORMAT, "devices": devices}), encoding="utf-8")
        scratch.replace(self._path)


class SimulatedPark:
    """Model, stations, gateways and control port of one simulated park."""

    def __init__(
        self,
        clock: Clock,
        registers: RegisterFile,
        gateways: Sequence[Gateway],
        meters: Sequence[SimMeter],
        control_port: int,
        timezone: str,
        unknown_silent: bool,
        run: Path,
    ) -> None:
        self._clock = clock
        self._registers = registers
        self._save_failed = ""
        self.field = Field(meters, ZoneInfo(timezone))
        self.field.restore(registers.load())
        self.stations = {device: Station(self.field, state) for device, state in self.field.states.items()}
        self.gateways = {
            gateway.id: line_of(gateway, self.stations.values(), unknown_silent, run) for gateway in gateways
        }
        self.desk = FaultDesk(self.field, self.gateways, self.stations)
        self.control = ControlPort(self.desk, control_port)

    def step(self) -> None:
        self.field.step(self._clock.utc_ns(), self._clock.mono_ns())

    def save(self) -> None:
        """Put counters and positions on disk, then let the registers show them.

        On a full disk the registers stand still: the meter goes on counting and shows it when it can remember it.
        """
        try:
            self._registers.save(self.field.snapshot())
        except OSError as error:
            if not self._save_failed:
                logger.error("registers stand still, they cannot be saved: {}", error)
            self._save_failed = str(error)
            return
        if self._save_failed:
            logger.info("registers are saved again")
            self._save_failed = ""
        self.field.latch()

    async def live(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; WattkeeperError when a port is not free."""
        self.step()
        self.save()
        async with AsyncExitStack() as started:
            for gateway in self.gateways.values():
                await gateway.start()
                started.push_async_callback(gateway.stop)
            started.callback(self.desk.close)
            await self.control.start()
            started.push_async_callback(self.control.stop)
            logger.info("{} meters behind {} gateways", len(self.stations), len(self.gateways))
            await self._run(stop)
        self.step()
        self.save()

    async def _run(self, stop: asyncio.Event) -> None:
        steps = 0
        while not stop.is_set():
            steps += 1
            self.step()
            if steps % STEPS_PER_SAVE == 0:
                self.save()
            try:
                await asyncio.wait_for(stop.wait(), STEP_S)
            except TimeoutError:
                continue


async def run_field(
    room: Room,
    gateways: Sequence[Gateway],
    meters: Sequence[SimMeter],
    control_port: int,
    timezone: str = "Asia/Shanghai",
    unknown_silent: bool = False,
) -> None:
    """Live until the room shall end.

    timezone        of the site: loads follow its day
    unknown_silent  a gateway says nothing for a unit id it does not know, instead of exception 0B
    """
    registers = RegisterFile(room.data.run / "field.json")
    park = SimulatedPark(room.clock, registers, gateways, meters, control_port, timezone, unknown_silent, room.data.run)
    await park.live(room.stop)

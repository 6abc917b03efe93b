"""The simulated field with a clock that stands, so that a value read twice is the same: what it shows is the truth."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from drivers.device import Device, Gateway, LineFormat
from drivers.field.model import SimMeter
from drivers.field.room import RegisterFile, SimulatedPark
from drivers.field.sources import source_of
from tests.unit.drivers_field.conftest import SINGLE, THREE, SteppedClock, free_ports
from tests.unit.drivers_field.speaking import DLT_1997, DLT_2007, raw_meter

RTU_LINE = LineFormat(19_200, "E")  # what libmodbus and mbpoll take when nothing is said
DLT_LINE = LineFormat(9_600, "E")
FLAT_ADDRESS, OLD_ADDRESS = "202626110016", "000000019970"


def meters() -> tuple[SimMeter, ...]:
    hall = Device("hall", "net", 3, THREE, 1, 1, {})
    shop = Device("shop", "net", 7, SINGLE, 1, 1, {})
    return (
        SimMeter(hall, 60_000.0, "", "flat", 1, initial_counts=123),  # rolls over at 1000
        SimMeter(shop, 4_000.0, "", "flat", 2, initial_counts=98_765_432),
        raw_meter("motor", SINGLE, "", "port", unit=5, initial_counts=7_654_321, seed=3, nominal=4_000.0),
        raw_meter("flat", DLT_2007, FLAT_ADDRESS, "line", initial_counts=12_345_678, seed=4, nominal=3_000.0),
        raw_meter("old", DLT_1997, OLD_ADDRESS, "line", initial_counts=87_654_321, seed=5, nominal=3_000.0),
        raw_meter("flat-port", DLT_2007, FLAT_ADDRESS, "flat-port", initial_counts=4_711, seed=6, nominal=3_000.0),
    )


class StandingField:
    """A Modbus TCP gateway, a Modbus RTU port, and DL/T 645 behind a transparent gateway and on a port."""

    def __init__(self, folder: Path) -> None:
        self.net_port, self.line_port, control = free_ports(3)
        self.rtu_path, self.dlt_path = str(folder / "rtu.tty"), str(folder / "dlt.tty")
        gateways = (
            Gateway("net", "127.0.0.1", self.net_port),
            Gateway("port", "", 0, transport="serial", path="rtu.tty", line=RTU_LINE),
            Gateway("line", "127.0.0.1", self.line_port, transport="tcp", line=DLT_LINE),
            Gateway("flat-port", "", 0, transport="serial", path="dlt.tty", line=DLT_LINE),
        )
        registers = RegisterFile(folder / "field.json")
        self.park = SimulatedPark(
            SteppedClock(), registers, gateways, meters(), control, "Asia/Shanghai", False, folder
        )
        self.go_on(0.0)

    def go_on(self, seconds: float) -> None:
        """Let time pass in the field: mechanisms move, meters count."""
        clock = self.park._clock
        assert isinstance(clock, SteppedClock)
        clock.forward(seconds)
        self.park.step()
        self.park.save()

    def raw(self, device: str, measure: str) -> float:
        """Return what a register of a device holds now, in counts (a float register: in its unit)."""
        state = self.park.field.states[device]
        (register,) = (r for r in state.meter.device.profile.registers if r.measure == measure)
        return float(source_of(state, register)())

    async def order(self, name: str, target: str = "", value: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = await self.park.desk.order(name, target, value)
        return answer

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        try:
            for gateway in self.park.gateways.values():
                await gateway.start()
            yield
        finally:
            for gateway in self.park.gateways.values():
                await gateway.stop()
            self.park.desk.close()


Story = Callable[[StandingField], Coroutine[Any, Any, None]]


def on_standing_field(story: Story) -> Callable[[Path, Callable[[Coroutine[Any, Any, None]], None]], None]:
    """Make a test of a coroutine: it runs on a fresh loop while the field is served."""

    def test(tmp_path: Path, run_to_end: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        async def work() -> None:
            field = StandingField(tmp_path)
            async with field.served():
                await story(field)

        run_to_end(work())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test

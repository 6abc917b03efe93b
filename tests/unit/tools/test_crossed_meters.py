"""Orders of the simulated field against meters on a line: crossed and copied ones are not charged."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers import agenda, identity
from drivers.bus import FieldBus
from drivers.device import Device, Gateway, LineFormat
from drivers.field.faults import FaultDesk
from drivers.identity import DOUBLE, NONE, WRONG
from drivers.profile import Profile
from scada.clock import SystemClock
from scada.image import Columns, Layout
from scada.quality import GOOD
from scada.stage import Stage
from tests.plant.park import free_ports

from .conftest import Bench

ROWS = 32  # of each device


# Profile and line: DL/T 645 behind a transparent gateway, Modbus TCP, Modbus RTU on a port, a number of 32 bits
LINES = {
    "dlt645-2007-1p": Gateway("bus", "127.0.0.1", 0, transport="tcp", line=LineFormat(9600, "E"), period_s=0.1),
    "wattkeeper-demo-3p-rtu": Gateway(
        "bus", "", 0, transport="serial", path="bus", line=LineFormat(9600, "N"), period_s=0.1
    ),
    "abb-b23": Gateway("bus", "127.0.0.1", 0, period_s=0.1),
}


@pytest.fixture(params=LINES)
def line(known: Mapping[str, Profile], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Two meters on one line."""
    profile, gateway = known[request.param], LINES[request.param]
    if gateway.transport != "serial":
        gateway = replace(gateway, port=free_ports(1)[0])
    modbus = profile.protocol == "modbus"
    devices = [
        Device(
            f"m{n}", "bus", n + 1 if modbus else 0, profile, 1, 1,
            {r.measure: ROWS * n + i for i, r in enumerate(profile.registers)},
            point=n, identity_row=ROWS * n + ROWS - 1, address="" if modbus else f"11223344556{n}",
            serial=f"2026100{n}",
        )
        for n in range(2)
    ]  # fmt: skip
    with Bench([gateway], devices, tmp_path) as made:
        yield made


@pytest.mark.parametrize(("order", "first", "second"), [("swap", WRONG, WRONG), ("same-serial", WRONG, DOUBLE)])
def test_both_meters_stop_and_both_go_on(
    reactor_loop: Any, line: Bench, monkeypatch: pytest.MonkeyPatch, order: str, first: int, second: int
) -> None:
    monkeypatch.setattr(agenda, "IDENTIFY_S", 0.0)
    monkeypatch.setattr(identity, "RECHECK_S", 0.1)

    async def story() -> None:
        clock = SystemClock()
        layout = Layout({"tags": 2 * ROWS, "points": 2, "accounts": 0, "alarms": 0}, bytes(32))
        stage, work = Stage(layout, np.ones(2 * ROWS, dtype=np.bool_), 1.0, 1), Columns.private(layout)
        devices = [replace(station.state.meter.device) for station in line.stations.values()]
        bus = FieldBus(
            reactor_loop.reactor,
            clock,
            list(line.gateways.values()),
            devices,
            stage,
            zone="Asia/Shanghai",
            run=line.run,
        )
        desk = FaultDesk(line.field, {sim.gateway.id: sim for sim in line.lines}, line.stations)

        async def until(condition: Callable[[], bool], what: str) -> None:
            for _ in range(2500):
                stage.publish(work, 1, clock.utc_ns())
                if condition():
                    return
                await asyncio.sleep(0.01)
            raise AssertionError(f"never came true: {what}")

        def charged() -> list[bool]:
            return [int(quality) == GOOD for quality in work.points.quality]

        def faults() -> list[int]:
            return [int(work.tags.value[device.identity_row]) for device in devices]

        bus.start()
        try:
            await until(lambda: charged() == [True, True], "both are charged")
            await desk.order(order, "m0", "m1")
            bus.identity.doubt("m0")  # as after their line was off for the work on it
            bus.identity.doubt("m1")
            await until(lambda: faults() == [first, second] and charged() == [False, False], "both stop")
            await desk.order("clear", "m0")
            await desk.order("clear", "m1")
            await until(lambda: faults() == [NONE, NONE] and charged() == [True, True], "both go on")
        finally:
            await bus.stop()

    reactor_loop.run(story())

"""Questions through the core on lines of one transaction at a time: DL/T 645 behind a gateway, RTU on a port."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drivers.bus import FieldBus
from drivers.device import Device
from drivers.field_operations import operations
from drivers.profile import Profile
from scada.clock import SystemClock
from scada.image import Layout
from scada.operations import OperationDesk, Who
from scada.stage import Stage
from tests.unit.tools.conftest import DLT645, SERIAL, TCP, Bench

ENGINEER = Who("li", "engineer", "desk")


class Core:
    """A bus that polls two lines of the workbench, and its operations."""

    def __init__(self, reactor: Any, bench: Bench, devices: list[Device]) -> None:
        tags = sum(len(device.rows) for device in devices)
        layout = Layout({"tags": tags, "points": 0, "accounts": 0, "alarms": 0}, bytes(32))
        clock = SystemClock()
        stage = Stage(layout, np.ones(tags, dtype=np.bool_), 1.0, 1)
        gateways = [bench.gateways[TCP], replace(bench.gateways[SERIAL], path=str(bench.run / "bus"))]
        self.bus = FieldBus(reactor, clock, gateways, devices, stage)
        self.desk = OperationDesk(operations(self.bus, gateways, devices, clock, bench.run))

    async def __call__(self, name: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self.desk.perform(f"field.{name}", json.dumps(arguments), ENGINEER))
        return answer

    async def connected(self, **arguments: Any) -> dict[str, Any]:
        """Ask as soon as the line is up."""
        for _ in range(1000):
            said = await self("ask", **arguments)
            if said["outcome"].get("reason") != "not connected":
                return said
            await asyncio.sleep(0.02)
        raise AssertionError("the line never came up")


def devices_of(known: Mapping[str, Profile]) -> list[Device]:
    found, row = [], 0
    for name, line, unit, profile, address in (
        ("meter", TCP, 0, known["dlt645-2007-1p"], DLT645),
        ("rtu-4", SERIAL, 4, known["hiking-dds238-2"], ""),
    ):
        rows = {register.measure: row + i for i, register in enumerate(profile.registers)}
        row += len(rows)
        found.append(Device(name, line, unit, profile, 1, 1, rows, address=address))
    return found


@pytest.mark.timeout(60)
def test_bare_lines_are_asked_and_logged_while_they_are_polled(
    reactor_loop: Any, bench: Bench, known: Mapping[str, Profile]
) -> None:
    async def story() -> None:
        core = Core(reactor_loop.reactor, bench, devices_of(known))
        core.bus.start()
        try:
            await core("frames", device="meter", follow=True)
            said = await core.connected(kind="read", device="meter", address=0x00010000, count=4)
            assert said["outcome"] == {"kind": "reply", "payload": "67452301"}
            (entry,) = said["entries"]
            assert entry["sent"].startswith("fefefefe68665544332211681104")
            assert "68665544332211689108" in entry["received"]
            logged = (await core("frames", device="meter"))["entries"]
            assert entry["number"] in {one["number"] for one in logged}
            station = {"protocol": "dlt645-2007", "address": "AAAAAAAAAAAA"}
            said = await core("ask", kind="address", line=TCP, station=station)
            assert said["outcome"]["payload"] == "665544332211"

            said = await core.connected(kind="read", device="rtu-4", function=3, address=0x0C, count=1)
            assert said["outcome"]["kind"] == "reply"
            assert {line["where"].split(":")[0] for line in (await core("lines"))["lines"]} == {"tcp", "serial"}
        finally:
            await core.bus.stop()

    reactor_loop.run(story())

"""The room: it lives until it is told to stop, and what it counted outlives it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from drivers.device import Gateway
from drivers.field.model import SimMeter
from drivers.field.room import RegisterFile, run_field
from scada.clock import SystemClock
from scada.errors import WattkeeperError
from scada.paths import DataDirectory
from scada.room import Room


def test_registers_and_positions_survive_a_restart_and_the_pause_is_not_added(
    make_park: Callable[..., Any],
) -> None:
    first = make_park()
    first.park.field.states["hall"].mechanism.set(False)
    first.step(5000.0)
    counted = {name: state.counted for name, state in first.park.field.states.items()}

    second = make_park(later_s=30 * 86_400.0)  # the same folder, a month later
    assert {name: state.counted for name, state in second.park.field.states.items()} == counted
    assert {name: state.shown for name, state in second.park.field.states.items()} == counted
    assert second.park.field.states["hall"].mechanism.contact is False
    assert second.park.field.states["hall"].rate_milli == 0
    second.step(60.0)
    assert second.park.field.states["shop"].counted > counted["shop"]


def test_no_register_is_shown_before_it_is_on_disk(make_park: Callable[..., Any], tmp_path: Path) -> None:
    park = make_park()
    for _ in range(20):
        park.clock.forward(60.0)
        park.park.step()
        saved = json.loads((tmp_path / "field.json").read_text(encoding="utf-8"))["devices"]
        assert {name: entry["counted"] for name, entry in saved.items()} == {
            name: state.shown for name, state in park.park.field.states.items()
        }
        park.park.save()


def test_on_a_full_disk_the_registers_stand_still_and_then_catch_up(
    make_park: Callable[..., Any], tmp_path: Path
) -> None:
    park = make_park()
    shop = park.park.field.states["shop"]
    shown = shop.shown
    (tmp_path / "field.new").mkdir()  # nothing can be written there
    park.step(3600.0)
    park.step(3600.0)
    assert shop.shown == shown < shop.counted
    (tmp_path / "field.new").rmdir()
    park.step()
    assert shop.shown == shop.counted


@pytest.mark.parametrize(
    ("content", "said"), [("", "damaged"), ("{}", "damaged"), ('{"format": 9, "devices": {}}', "format 9")]
)
def test_a_damaged_file_is_not_silently_forgotten(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "field.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WattkeeperError, match=said):
        RegisterFile(path).load()


async def register(port: int) -> int:
    """Read the shop's billing register as soon as the room listens."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, reconnect_delay=0)
    for _ in range(250):
        if await client.connect():
            break
        await asyncio.sleep(0.02)
    low, high = (await client.read_holding_registers(0, count=2, device_id=2)).registers
    client.close()
    return int(high << 16 | low)


def test_the_room_ends_although_clients_stay_connected(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(park.park.live(stop))
        for _ in range(250):
            if all(gateway.listening for gateway in park.park.gateways.values()):
                break
            await asyncio.sleep(0.02)
        assert (await park.ordered("list"))["ok"]
        clients = [
            await asyncio.open_connection("127.0.0.1", port) for port in (park.control_port, park.gateways[0].port)
        ]
        await asyncio.sleep(0.05)  # they are greeted
        stop.set()
        await asyncio.wait_for(task, 5.0)
        for reader, writer in clients:
            assert await asyncio.wait_for(reader.read(), 5.0) == b""
            writer.close()
            await writer.wait_closed()

    run_checked(work())


def test_the_room_runs_stops_and_goes_on(
    tmp_path: Path, small_meters: tuple[SimMeter, ...], make_park: Callable[..., Any], run_checked: Any
) -> None:
    ports = make_park()  # only for its free ports; its file lies elsewhere
    gateways: tuple[Gateway, ...] = ports.gateways
    data = DataDirectory(tmp_path / "data")

    async def once() -> int:
        room = Room("field", None, data, SystemClock(), "", asyncio.Event())
        task = asyncio.create_task(run_field(room, gateways, small_meters, ports.control_port))
        counts = await register(gateways[0].port)
        room.stop.set()
        await task
        return counts

    async def work() -> None:
        assert await once() == 1234
        saved = json.loads((data.run / "field.json").read_text(encoding="utf-8"))
        saved["devices"]["shop"]["counted"] *= 2
        (data.run / "field.json").write_text(json.dumps(saved), encoding="utf-8")
        assert await once() == 2468

    run_checked(work())

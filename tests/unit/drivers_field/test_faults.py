"""Every order of the catalogue, given over the real control port and seen through a real Modbus client."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from pymodbus.exceptions import ModbusIOException

from drivers.field.catalogue import BY_NAME, ORDERS

SHOP, HALL = 2, 3


async def shop_register(client: Any) -> int:
    low, high = (await client.read_holding_registers(0, count=2, device_id=SHOP)).registers
    return int(high << 16 | low)


async def shop_position(client: Any) -> bool:
    return bool((await client.read_coils(1, count=1, device_id=SHOP)).bits[0])


async def shop_watts(client: Any) -> int:
    return int((await client.read_holding_registers(13, count=1, device_id=SHOP)).registers[0])


def served(test: Callable[[Any, Any], Any]) -> Callable[..., None]:
    """Give a test a served park and a client of its first gateway."""

    def run(make_park: Callable[..., Any], run_checked: Any) -> None:
        park = make_park()

        async def work() -> None:
            async with park.served(), park.client(timeout=0.3) as client:
                await test(park, client)

        run_checked(work())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def test_the_table_and_the_desk_name_the_same_orders(make_park: Callable[..., Any]) -> None:
    assert make_park().park.desk.names == set(BY_NAME)
    assert len(BY_NAME) == len(ORDERS)


@served
async def test_gateway_kill_and_restore(park: Any, client: Any) -> None:
    await park.ordered("gateway-kill", "g1")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", park.gateways[0].port)
    with pytest.raises((ModbusIOException, OSError)):
        await asyncio.wait_for(shop_register_of_closed(client), 2.0)
    async with park.client(1) as other:  # the other gateway goes on
        assert not (await other.read_holding_registers(0, count=2, device_id=1)).isError()
    await park.ordered("gateway-restore", "g1")
    async with park.client() as again:
        assert await shop_register(again) == 1234


async def shop_register_of_closed(client: Any) -> int:
    if not client.connected:
        raise ConnectionResetError("the connection was closed, as it should be")
    return await shop_register(client)


@served
async def test_gateway_hang_accepts_and_is_silent(park: Any, client: Any) -> None:
    await park.ordered("gateway-hang", "g1")
    async with park.client(timeout=0.2) as other:
        with pytest.raises(ModbusIOException):
            await shop_register(other)
    await park.ordered("gateway-restore", "g1")
    assert await shop_register(client) == 1234


@served
async def test_a_silent_meter_is_alone_in_its_silence(park: Any, client: Any) -> None:
    await park.ordered("meter-silent", "shop")
    with pytest.raises(ModbusIOException):
        await shop_register(client)
    assert not (await client.read_holding_registers(11, count=1, device_id=4)).isError()
    await park.ordered("meter-restore", "shop")
    assert await shop_register(client) == 1234


@served
async def test_freeze_stands_still_and_catches_up(park: Any, client: Any) -> None:
    await park.ordered("freeze", "shop")
    frozen = (await client.read_holding_registers(11, count=7, device_id=SHOP)).registers
    park.step(3600.0)
    assert await shop_register(client) == 1234
    assert (await client.read_holding_registers(11, count=7, device_id=SHOP)).registers == frozen
    await park.ordered("unfreeze", "shop")
    assert await shop_register(client) > 1234 + 300


@served
async def test_rollover(park: Any, client: Any) -> None:
    await park.ordered("rollover", "shop", "3")
    park.step()
    assert await shop_register(client) == 99_999_997
    park.step(360.0)
    assert 30 < await shop_register(client) < 50  # 0.4 kWh: 40 counts, three of them before the rollover


@served
async def test_set_register(park: Any, client: Any) -> None:
    await park.ordered("set-register", "shop", "50000000")
    park.step()
    assert await shop_register(client) == 50_000_000


@served
async def test_failed_trip(park: Any, client: Any) -> None:
    await park.ordered("fail-trip", "shop")
    assert not (await client.write_coil(1, False, device_id=SHOP)).isError()  # accepted, and nothing moves
    park.step(2.0)
    assert await shop_position(client)
    assert await shop_watts(client) > 1000


@served
async def test_failed_close(park: Any, client: Any) -> None:
    await client.write_coil(1, False, device_id=SHOP)
    park.step(2.0)
    await park.ordered("fail-close", "shop")
    await client.write_coil(1, True, device_id=SHOP)
    park.step(2.0)
    assert not await shop_position(client)


@pytest.mark.parametrize(("value", "closed"), [("", False), ("open", False), ("closed", True)])
def test_weld(make_park: Callable[..., Any], run_checked: Any, value: str, closed: bool) -> None:
    @served
    async def run(park: Any, client: Any) -> None:
        await park.ordered("weld", "shop", value)
        await client.write_coil(1, False, device_id=SHOP)
        park.step(2.0)
        assert await shop_position(client) is closed
        assert await shop_watts(client) > 1000

    run(make_park, run_checked)


@served
async def test_slow_delays_a_device_or_a_gateway(park: Any, client: Any) -> None:
    loop = asyncio.get_running_loop()
    for target in ("shop", "g1"):
        await park.ordered("slow", target, "80")
        began = loop.time()
        await shop_register(client)
        assert loop.time() - began >= 0.079
        await park.ordered("slow", target, "0")


@served
async def test_load_and_bypass(park: Any, client: Any) -> None:
    normal = await shop_watts(client)
    await park.ordered("load", "shop", "2.5")
    park.step()
    assert await shop_watts(client) == pytest.approx(2.5 * normal, abs=3)
    await park.ordered("bypass", "shop", "100")
    park.step()
    assert await shop_watts(client) == 0


@served
async def test_refused_and_mute_commands(park: Any, client: Any) -> None:
    await park.ordered("refuse-command", "shop")
    assert (await client.write_coil(1, False, device_id=SHOP)).exception_code == 4
    await park.ordered("clear", "shop")
    await park.ordered("mute-command", "shop")
    with pytest.raises(ModbusIOException):
        await client.write_coil(1, False, device_id=SHOP)
    park.step(2.0)
    assert not await shop_position(client)  # it was done all the same


@served
async def test_local_trip_and_close(park: Any, client: Any) -> None:
    await park.ordered("local-trip", "feeder")
    park.step(2.0)
    assert (await client.read_holding_registers(11, count=1, device_id=SHOP)).registers == [0]  # dark
    await park.ordered("local-close", "feeder")
    park.step(2.0)
    assert await shop_watts(client) > 1000


@served
async def test_supply_off_and_on(park: Any, client: Any) -> None:
    await park.ordered("supply-off", "electricity")
    park.step()
    assert await shop_watts(client) == 0
    await park.ordered("supply-on", "electricity")
    park.step()
    assert await shop_watts(client) > 1000


@served
async def test_list_and_show_and_clear(park: Any, client: Any) -> None:
    for order, target, value in [
        ("gateway-kill", "g2", ""), ("gateway-hang", "g1", ""), ("slow", "g1", "9"), ("meter-silent", "hall", ""),
        ("freeze", "shop", ""), ("load", "shop", "2"), ("bypass", "shop", "12.5"), ("weld", "shop", "closed"),
        ("fail-trip", "hall", ""), ("fail-close", "hall", ""), ("refuse-command", "hall", ""),
        ("mute-command", "hall", ""), ("slow", "hall", "7"), ("supply-off", "water", ""),
    ]:  # fmt: skip
        await park.ordered(order, target, value)
    listed = await park.ordered("list")
    assert listed["gateways"] == {"g1": ["hangs", "slow 9 ms"], "g2": ["killed"]}
    assert listed["devices"]["shop"] == ["frozen", "load x2", "bypass 12.5 %", "weld (shows closed)"]
    assert listed["devices"]["hall"] == [
        "silent", "refuse-command", "mute-command", "slow 7 ms", "fail-trip", "fail-close",
    ]  # fmt: skip
    assert listed["supply"] == {"electricity": True, "water": False}
    shown = await park.ordered("show", "shop")
    assert (shown["counts"], shown["position"], shown["contact"], shown["live"]) == (1234, "closed", True, True)
    await park.ordered("clear")
    listed = await park.ordered("list")
    assert not any([*listed["gateways"].values(), *listed["devices"].values()])
    assert all(listed["supply"].values())
    assert await shop_register(client) == 1234


@pytest.mark.parametrize(
    ("order", "target", "value", "allowed"),
    [
        ("explode", "", "", "gateway-kill"),
        ("gateway-kill", "shop", "", "g1, g2"),
        ("freeze", "", "", "feeder, shop, hall, lamp, water"),
        ("fail-trip", "water", "", "feeder, shop, hall, lamp"),
        ("set-register", "shop", "", "needs a value: counts"),
        ("set-register", "shop", "100000000", "0 to 99999999"),
        ("rollover", "shop", "0", "1 to 99999999"),
        ("slow", "shop", "soon", "0 to 60000"),
        ("load", "shop", "-1", "0 to 10"),
        ("load", "shop", "nan", "0 to 10"),
        ("weld", "shop", "half", "open, closed"),
        ("freeze", "shop", "yes", "takes no value"),
        ("list", "shop", "", "takes no target"),
        ("supply-off", "beer", "", "electricity, water"),
    ],
)
def test_a_wrong_order_says_what_is_allowed(
    make_park: Callable[..., Any], run_checked: Any, order: str, target: str, value: str, allowed: str
) -> None:
    @served
    async def run(park: Any, _client: Any) -> None:
        answer = await park.order(order, target, value)
        assert answer["ok"] is False
        assert allowed in answer["error"]
        listed = await park.ordered("list")
        assert not any([*listed["gateways"].values(), *listed["devices"].values()])

    run(make_park, run_checked)


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b'{"target": "g1"}\n', b'{"order": "list", "speed": 1}\n'])
def test_a_line_that_is_no_request_is_answered_and_the_connection_lives(
    make_park: Callable[..., Any], run_checked: Any, line: bytes
) -> None:
    @served
    async def run(park: Any, _client: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", park.control_port)
        writer.write(line + b'{"order": "list"}\n')
        assert json.loads(await reader.readline())["ok"] is False
        assert json.loads(await reader.readline())["ok"] is True
        writer.close()
        await writer.wait_closed()

    run(make_park, run_checked)


@served
async def test_an_endless_line_is_cut_off(park: Any, _client: Any) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", park.control_port)
    writer.write(b"x" * 20_000)
    with pytest.raises(ConnectionError):
        while True:  # until the field has closed the connection
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)
    writer.close()

"""The simulated field over real sockets: registers, switches, refusals, and several requests in flight."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from scada.errors import WattkeeperError


def test_single_phase_meter_reads_as_its_profile_says(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served(), park.client() as client:
            words = (await client.read_holding_registers(0, count=2, device_id=2)).registers
            assert words == [1234, 0]  # CDAB: low word first
            park.step(3600.0)
            low, high = (await client.read_holding_registers(0, count=2, device_id=2)).registers
            assert 1234 + 320 < (high << 16 | low) < 1234 + 480  # 4 kW for an hour, 0.01 kWh each
            volts, amperes, watts = (await client.read_holding_registers(11, count=3, device_id=2)).registers
            factor, hertz = (await client.read_holding_registers(16, count=2, device_id=2)).registers
            assert 2100 < volts < 2350
            assert 4980 < hertz < 5020
            assert volts / 10 * amperes / 100 * factor / 1000 == pytest.approx(watts, rel=0.01)

    run_checked(work())


def test_three_phase_meter_reads_floats_and_secondary_values(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served(), park.client() as client:
            words = (await client.read_input_registers(0, count=14, device_id=3)).registers
            values = struct.unpack(">6fi", struct.pack(">14H", *words))
            assert all(200.0 < volts < 235.0 for volts in values[:3])
            kilowatts = values[6] / 10_000 * 40  # secondary side, times CT
            assert 40.0 < kilowatts < 66.0
            assert all(amperes * 40 == pytest.approx(kilowatts / 3 / 0.22 / 0.94, rel=0.2) for amperes in values[3:6])
            assert (await client.read_input_registers(21, count=1, device_id=3)).registers == [0]  # not modelled

    run_checked(work())


def test_water_meter_counts_litres_in_its_own_byte_orders(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served(), park.client(1) as client:
            assert (await client.read_holding_registers(0, count=2, device_id=1)).registers == [0, 77 << 8]  # BADC
            flow = (await client.read_holding_registers(2, count=2, device_id=1)).registers
            litres_per_hour = int.from_bytes(struct.pack(">2H", *flow), "little")  # DCBA
            assert litres_per_hour == park.park.field.states["water"].rate_milli // 1000
            assert 2000 < litres_per_hour < 3000

    run_checked(work())


def test_a_trip_by_coil_is_echoed_moves_and_stops_the_current(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served(), park.client() as client:
            assert (await client.read_coils(1, count=1, device_id=2)).bits[0] is True
            echo = await client.write_coil(1, False, device_id=2)
            assert not echo.isError()
            assert echo.bits[0] is False
            assert (await client.read_coils(1, count=1, device_id=2)).bits[0] is True  # it takes its time
            park.step(2.0)
            assert (await client.read_coils(1, count=1, device_id=2)).bits[0] is False
            assert (await client.read_holding_registers(12, count=2, device_id=2)).registers == [0, 0]
            assert (await client.read_holding_registers(11, count=1, device_id=2)).registers[0] > 2000
            await client.write_coil(1, True, device_id=2)
            park.step(2.0)
            assert (await client.read_holding_registers(12, count=1, device_id=2)).registers[0] > 500

    run_checked(work())


def test_a_trip_by_register_shows_the_way_between(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served(), park.client() as client:
            echo = await client.write_register(0x50, 0x5555, device_id=3)
            assert echo.registers == [0x5555]
            positions = [(await client.read_input_registers(20, count=1, device_id=3)).registers[0]]
            park.step(2.0)
            positions.append((await client.read_input_registers(20, count=1, device_id=3)).registers[0])
            assert positions == [0, 1]

    run_checked(work())


REFUSED = [  # what is asked of unit 2 (single phase, coil switch), and the exception it gets
    (lambda c: c.read_holding_registers(100, count=1, device_id=2), 2),
    (lambda c: c.read_holding_registers(0, count=12, device_id=2), 2),  # the hole 2..10 is wider than merge_gap
    (lambda c: c.read_input_registers(0, count=1, device_id=2), 2),  # the other address space
    (lambda c: c.read_input_registers(0, count=81, device_id=3), 3),  # longer than the model accepts
    (lambda c: c.write_register(0, 0, device_id=2), 1),  # a switch that is commanded by coil
    (lambda c: c.write_coil(2, True, device_id=2), 2),
    (lambda c: c.write_register(0x50, 0x1234, device_id=3), 3),  # neither open nor close
    (lambda c: c.write_register(0, 0, device_id=3), 2),  # writing zero to a counter erases real meters
    (lambda c: c.write_registers(0x50, [0x5555], device_id=3), 1),
    (lambda c: c.read_holding_registers(0, count=1, device_id=99), 11),
    (lambda c: c.read_exception_status(device_id=2), 1),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_a_device_does_not_offer_is_refused(make_park: Callable[..., Any], run_checked: Any, number: int) -> None:
    park, (ask, code) = make_park(), REFUSED[number]

    async def work() -> None:
        async with park.served(), park.client() as client:
            answer = await ask(client)
            assert answer.isError()
            assert answer.exception_code == code

    run_checked(work())


def test_a_hole_that_the_profile_allows_reads_as_zero(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served(), park.client() as client:
            words = (await client.read_holding_registers(11, count=7, device_id=2)).registers
            assert words[3:5] == [0, 0]
            assert all(words[:3])
            assert all(words[5:])

    run_checked(work())


def test_an_unknown_unit_may_be_met_with_silence(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park(unknown_silent=True)

    async def work() -> None:
        async with park.served(), park.client(timeout=0.2) as client:
            with pytest.raises(ModbusIOException):
                await client.read_holding_registers(0, count=1, device_id=99)

    run_checked(work())


def request(transaction: int, unit: int, function: int, address: int, count: int) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, unit, function, address, count)


async def replies(reader: asyncio.StreamReader, count: int) -> list[tuple[int, int, int]]:
    """Return (transaction, unit, function) of the next replies."""
    seen = []
    for _ in range(count):
        transaction, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
        assert protocol == 0
        seen.append((transaction, unit, (await reader.readexactly(length - 1))[0]))
    return seen


def test_several_requests_in_flight_are_answered_in_order(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served():
            reader, writer = await asyncio.open_connection("127.0.0.1", park.gateways[0].port)
            sent = b"".join(request(100 + i, 1 + i % 4, 3, 11, 1) for i in range(12))
            writer.write(sent[:77])  # cut inside a frame
            first = await replies(reader, 6)
            writer.write(sent[77:])
            got = first + await replies(reader, 6)
            assert [transaction for transaction, _, _ in got] == list(range(100, 112))
            assert [unit for _, unit, _ in got] == [1 + i % 4 for i in range(12)]
            writer.close()
            await writer.wait_closed()

    run_checked(work())


def test_more_than_the_queue_holds_is_busy(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served():
            await park.ordered("slow", "g1", "50")
            reader, writer = await asyncio.open_connection("127.0.0.1", park.gateways[0].port)
            writer.write(b"".join(request(i, 2, 3, 11, 1) for i in range(40)))
            busy = await replies(reader, 6)
            assert {function for _, _, function in busy} == {0x83}
            assert all(transaction >= 32 for transaction, _, _ in busy)
            writer.close()
            await writer.wait_closed()

    run_checked(work())


def test_a_frame_that_cannot_be_decoded_is_refused_and_the_next_is_answered(
    make_park: Callable[..., Any], run_checked: Any
) -> None:
    park = make_park()

    async def work() -> None:
        async with park.served():
            reader, writer = await asyncio.open_connection("127.0.0.1", park.gateways[0].port)
            unknown = struct.pack(">HHHBBHH", 1, 0, 6, 2, 0x55, 0, 0)
            writer.write(unknown + request(2, 2, 3, 11, 0) + request(3, 2, 3, 11, 1))
            assert sorted(await replies(reader, 3)) == [(1, 2, 0xD5), (2, 2, 0x83), (3, 2, 3)]
            writer.close()
            await writer.wait_closed()

    run_checked(work())


def test_a_taken_port_is_named(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def work() -> None:
        other = await asyncio.start_server(lambda r, w: None, "127.0.0.1", park.gateways[0].port)
        with pytest.raises(WattkeeperError, match=f"g1 cannot listen on 127.0.0.1:{park.gateways[0].port}"):
            await park.park.live(asyncio.Event())
        other.close()
        await other.wait_closed()
        taken = await asyncio.start_server(lambda r, w: None, "127.0.0.1", park.control_port)
        with pytest.raises(WattkeeperError, match=f"control port 127.0.0.1:{park.control_port}"):
            await park.park.live(asyncio.Event())
        assert not any(gateway.listening for gateway in park.park.gateways.values())
        taken.close()
        await taken.wait_closed()

    run_checked(work())


def test_two_clients_do_not_mix(make_park: Callable[..., Any], run_checked: Any) -> None:
    park = make_park()

    async def poll(client: AsyncModbusTcpClient, unit: int) -> set[int]:
        return {(await client.read_holding_registers(11, count=1, device_id=unit)).registers[0] for _ in range(50)}

    async def work() -> None:
        async with park.served(), park.client() as one, park.client() as two:
            shop, lamp = await asyncio.gather(poll(one, 2), poll(two, 4))
            assert len(shop) == len(lamp) == 1
            assert shop != lamp

    run_checked(work())

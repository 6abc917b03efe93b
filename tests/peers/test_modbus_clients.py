"""Modbus clients by other people, libmodbus and pyModbusTCP, read and switch simulated meters."""

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyModbusTCP.client import ModbusClient
from pyModbusTCP.constants import EXP_DATA_ADDRESS

from tests.peers.libmodbus import ILLEGAL_ADDRESS, Client, PeerError, rtu_client, tcp_client
from tests.peers.standing_field import StandingField, on_standing_field

PHASES = ("VoltageL1", "VoltageL2", "VoltageL3", "CurrentL1", "CurrentL2", "CurrentL3")
BREAKER = 0x0050  # of the three-phase meter: a register
OPEN_WORD, CLOSED_WORD = 0x5555, 0xAAAA


def single_phase(field: StandingField, device: str) -> list[int]:
    """Return the holding registers 0 to 17 as the profile lays them out; what it does not use shows 0."""
    words = [0] * 18
    count = int(field.raw(device, "ActiveEnergyImportTotal"))
    words[0:2] = count & 0xFFFF, count >> 16  # CDAB
    for at, name in ((11, "VoltageL1"), (12, "CurrentL1"), (13, "ActivePowerTotal"), (16, "PowerFactorTotal")):
        words[at] = int(field.raw(device, name)) & 0xFFFF
    words[17] = int(field.raw(device, "Frequency"))
    return words


def three_phase(field: StandingField) -> bytes:
    """Return the input registers 0 to 13."""
    floats = struct.pack(">6f", *(field.raw("hall", name) for name in PHASES))
    return floats + struct.pack(">i", int(field.raw("hall", "ActivePowerTotal")))


def octets(words: list[int]) -> bytes:
    return struct.pack(f">{len(words)}H", *words)


def reads_and_is_refused(client: Client, right: list[int]) -> None:
    assert client.registers(0, 2) == right[:2]
    assert client.registers(11, 3) == right[11:14]
    assert client.registers(16, 2) == right[16:]
    assert client.coils(1, 1) == [1]
    with pytest.raises(PeerError, match=ILLEGAL_ADDRESS):
        client.registers(500, 1)


@on_standing_field
async def test_libmodbus_reads_over_tcp(field: StandingField) -> None:
    def work() -> None:
        with tcp_client(field.net_port) as client:
            reads_and_is_refused(client.ask(7), single_phase(field, "shop"))
            assert octets(client.ask(3).input_registers(0, 14)) == three_phase(field)
            assert client.input_registers(0x48, 4) == [0, 0, 0, 123]

    await asyncio.to_thread(work)


@on_standing_field
async def test_libmodbus_reads_on_a_port(field: StandingField) -> None:
    def work() -> None:
        with rtu_client(field.rtu_path, 19_200, "E") as client:
            reads_and_is_refused(client.ask(5), single_phase(field, "motor"))

    await asyncio.to_thread(work)


@on_standing_field
async def test_libmodbus_moves_breakers_by_coil_and_by_register(field: StandingField) -> None:
    def command(closed: bool) -> None:
        with tcp_client(field.net_port) as client, rtu_client(field.rtu_path, 19_200, "E") as master:
            client.ask(7).write_coil(1, closed)
            client.ask(3).write_register(BREAKER, CLOSED_WORD if closed else OPEN_WORD)
            master.ask(5).write_coil(1, closed)

    for closed, shown in ((False, "open"), (True, "closed")):
        await asyncio.to_thread(command, closed)
        field.go_on(2.0)
        for device in ("shop", "hall", "motor"):
            assert (await field.order("show", device))["position"] == shown, device


@contextmanager
def pymodbustcp(field: StandingField, unit: int) -> Iterator[ModbusClient]:
    client = ModbusClient("127.0.0.1", field.net_port, unit, timeout=3.0)
    try:
        yield client
    finally:
        client.close()


@on_standing_field
async def test_pymodbustcp_reads(field: StandingField) -> None:
    def work() -> None:
        right = single_phase(field, "shop")
        with pymodbustcp(field, 7) as client:
            assert client.read_holding_registers(0, 2) == right[:2]
            assert client.read_holding_registers(11, 3) == right[11:14]
            assert client.read_coils(1) == [True]
            assert client.read_holding_registers(500, 1) is None
            assert client.last_except == EXP_DATA_ADDRESS
            named = client.read_device_identification()
            assert named is not None
            assert (named.vendor_name, named.product_code) == (b"test", b"single")
        with pymodbustcp(field, 3) as client:
            words = client.read_input_registers(0, 14)
            assert words is not None
            assert octets(words) == three_phase(field)

    await asyncio.to_thread(work)


@on_standing_field
async def test_pymodbustcp_moves_breakers(field: StandingField) -> None:
    def command() -> None:
        with pymodbustcp(field, 7) as client:
            assert client.write_single_coil(1, False)
        with pymodbustcp(field, 3) as client:
            assert client.write_single_register(BREAKER, OPEN_WORD)

    await asyncio.to_thread(command)
    field.go_on(2.0)
    for device in ("shop", "hall"):
        assert (await field.order("show", device))["position"] == "open", device

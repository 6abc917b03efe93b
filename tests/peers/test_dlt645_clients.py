"""The public `dlt645` package as a master: it reads simulated meters through a transparent gateway and on a port.

Where it departs from DL/T 645-2007, so that these tests go round it:
* `set_address` takes the digits in the order of the wire, A0 first; the standard writes addresses with A5 first.
* A power factor is limited to 0.999 and carries the unit kW; the standard's format X.XXX holds 1.000 and has no unit.
* It knows no blocks (FF) of the instantaneous values and no 0400010C, date and time together.
* Its serial client sets the port up again for every wait; a pseudo-terminal, which has no parity, then refuses 8E1.
* A meter's error word is logged and comes back as no value, as silence does.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from dlt645.service.clientsvc.client_service import MeterClientService

from tests.peers.standing_field import FLAT_ADDRESS, OLD_ADDRESS, StandingField, on_standing_field

TIMEOUT_S: Final = 3.0
ENERGY, VOLTAGE, CURRENT, POWER, METER_NUMBER = 0x00010000, 0x02010100, 0x02020100, 0x02030000, 0x04000402


def wire_order(address: str) -> str:
    return bytes.fromhex(address)[::-1].hex()


@contextmanager
def speaking_to(client: MeterClientService, address: str) -> Iterator[MeterClientService]:
    with client:
        assert client.set_address(wire_order(address))
        yield client


def through_the_gateway(field: StandingField) -> MeterClientService:
    return MeterClientService.new_tcp_client("127.0.0.1", field.line_port, TIMEOUT_S)


def on_the_port(field: StandingField) -> MeterClientService:
    return MeterClientService.new_rtu_client(field.dlt_path, 9600, 8, 1, "N", TIMEOUT_S)


def reads(client: MeterClientService, field: StandingField, device: str) -> None:
    def counts(item: Any, per_unit: int) -> int:
        return round(item.value * per_unit)

    assert counts(client.read_00(ENERGY), 100) == field.raw(device, "ActiveEnergyImportTotal")
    assert counts(client.read_02(VOLTAGE), 10) == field.raw(device, "VoltageL1")
    assert counts(client.read_02(CURRENT), 1000) == field.raw(device, "CurrentL1")
    assert counts(client.read_02(POWER), 10_000) == field.raw(device, "ActivePowerTotal")
    assert client.read_04(METER_NUMBER).value == FLAT_ADDRESS


@on_standing_field
async def test_it_reads_a_meter_through_a_gateway(field: StandingField) -> None:
    def work() -> None:
        with speaking_to(through_the_gateway(field), FLAT_ADDRESS) as client:
            reads(client, field, "flat")

    await asyncio.to_thread(work)


@on_standing_field
async def test_it_reads_a_meter_on_a_port_and_asks_who_it_is(field: StandingField) -> None:
    def work() -> None:
        with speaking_to(on_the_port(field), "000000000000") as client:
            assert client.read_address().value == wire_order(FLAT_ADDRESS)  # alone on the line, it answers to AA
            reads(client, field, "flat-port")  # and the client has taken its address over

    await asyncio.to_thread(work)


@on_standing_field
async def test_it_sees_power_that_flows_backwards(field: StandingField) -> None:
    """The top bit of the highest byte is the sign (table A.3 of the standard), for both."""
    state = field.park.field.states["flat"]
    state.rate_milli = -abs(state.rate_milli)
    shown = field.raw("flat", "ActivePowerTotal")
    assert shown < 0

    def work() -> None:
        with speaking_to(through_the_gateway(field), FLAT_ADDRESS) as client:
            assert round(client.read_02(POWER).value * 10_000) == shown

    await asyncio.to_thread(work)


@on_standing_field
async def test_it_writes_a_parameter_with_the_password_and_not_without(field: StandingField) -> None:
    """Its password is the four bytes PA P0 P1 P2 of the standard as eight digits in wire order."""
    number, written = 0x04000103, "30"  # demand period, min

    def work() -> None:
        with speaking_to(through_the_gateway(field), FLAT_ADDRESS) as client:
            before = client.read_04(number).value
            assert client.write_04(number, written, "02000000") is None  # refused: logged, and no value
            assert client.read_04(number).value == before != written
            client.write_04(number, written, "02563412")
            assert client.read_04(number).value == written

    await asyncio.to_thread(work)


@on_standing_field
async def test_a_meter_of_1997_does_not_answer_a_master_of_2007(field: StandingField) -> None:
    """Control 11 does not exist in DL/T 645-1997: its meter says nothing, and the meter beside it is read."""

    def work() -> None:
        client = MeterClientService.new_tcp_client("127.0.0.1", field.line_port, 0.5)
        with speaking_to(client, OLD_ADDRESS):
            assert client.read_00(ENERGY) is None
            assert client.set_address(wire_order(FLAT_ADDRESS))
            assert client.read_00(ENERGY) is not None

    await asyncio.to_thread(work)

"""A simulated CJ/T 188 meter against frames of the standard."""

import dataclasses

import pytest

from drivers.field.cjt188_slave import Cjt188Slave
from drivers.field.frames import MeterParts, split
from scada.position import CLOSED, OPEN
from tests.unit.drivers_field.speaking import CJT_WATER, go_on, octets, raw_station

A = "78 56 34 12 00 00 00"  # 00000012345678 on the wire


def slave(**more: object) -> Cjt188Slave:
    return Cjt188Slave(raw_station(CJT_WATER, "00000012345678", **more))


def test_current_data_byte_for_byte() -> None:
    meter = slave(initial_counts=12_345)
    reply = meter.answer(octets(f"68 10 {A} 01 03 1F 90 00 3F 16"))
    data = "1F 90 00 45 23 01 00 2C 00 00 00 00 00 00 00 12 19 11 25 20 00 00"  # 123.45 m3 at 2025-11-19 12:00:00
    assert reply == MeterParts("cjt188", octets(A), 0x81, octets(data), 0x10).join()
    assert len(reply) == 13 + 0x16


def test_valve_byte_for_byte_and_its_way() -> None:
    meter = slave(nominal=2.0)
    assert meter.answer(octets(f"68 10 {A} 04 04 17 A0 01 99 E5 16")) == octets(f"68 10 {A} 84 05 17 A0 01 00 00 CD 16")
    go_on(meter.station, 2.0)
    assert status(meter) == 0  # a valve turns for seconds, and shows where it came from
    go_on(meter.station, 10.0)
    assert meter.station.state.mechanism.position == OPEN
    assert status(meter) == 1
    assert meter.station.state.rate_milli == 0
    assert meter.answer(octets(f"68 10 {A} 04 04 17 A0 01 55 A1 16")) == octets(f"68 10 {A} 84 05 17 A0 01 01 00 CE 16")
    go_on(meter.station, 12.0)
    assert meter.station.state.mechanism.position == CLOSED


def status(meter: Cjt188Slave) -> int:
    reply = meter.answer(MeterParts("cjt188", meter.address, 0x01, octets("1F9000"), 0x10).join())
    parts = split("cjt188", reply)
    return parts.data[-2]


@pytest.mark.parametrize(
    ("request_text", "reply"),
    [
        ("68 AA AA AA AA AA AA AA AA 03 03 81 0A 00 49 16", f"68 10 {A} 83 03 81 0A 00"),  # who is there
        (f"68 10 {A} 01 03 90 1F 00 3F 16", None),  # the other byte order
        (f"68 10 {A} 01 03 1F D1 00 80 16", None),  # an identifier it does not have
        (f"68 10 {A} 09 03 06 81 01 41 16", f"68 10 {A} C9 03 01 00 00"),  # key version: refused with its status
        (f"68 10 {A} 04 04 17 A0 01 42 8E 16", f"68 10 {A} C4 03 01 00 00"),  # neither open nor shut
    ],
)
def test_what_else_it_is_asked(request_text: str, reply: str | None) -> None:
    meter = slave()
    frame = octets(request_text)
    assert meter.hears(frame)
    answered = meter.answer(frame)
    expected = None if reply is None else octets(reply) + bytes([sum(octets(reply)) & 0xFF, 0x16])
    assert answered == expected


def test_it_hears_its_type_and_address_only() -> None:
    meter = slave()
    assert meter.hears(octets("68 AA AA AA AA AA AA AA AA 01 03 1F 90 00 00 16"))
    assert not meter.hears(octets(f"68 30 {A} 01 03 1F 90 00 00 16"))
    assert not meter.hears(octets("68 10 79 56 34 12 00 00 00 01 03 1F 90 00 00 16"))


def test_another_meter_in_its_place_answers_with_its_own_address() -> None:
    meter = slave(initial_counts=5)
    meter.station = raw_station(CJT_WATER, "00000012345679", initial_counts=7)
    reply = meter.answer(octets(f"68 10 {A} 01 03 1F 90 00 3F 16"))
    assert reply is not None
    assert reply[2:9] == octets("79 56 34 12 00 00 00")
    assert reply[14:18] == octets("07 00 00 00")


def test_without_a_valve_a_command_is_refused() -> None:
    profile = dataclasses.replace(CJT_WATER, switch=None)
    meter = Cjt188Slave(raw_station(profile, "00000012345678"))
    reply = meter.answer(octets(f"68 10 {A} 04 04 17 A0 01 99 E5 16"))
    assert reply is not None
    assert reply[9] == 0xC4


def test_a_broken_sensor_is_all_ff() -> None:
    meter = slave(initial_counts=5)
    meter.station.pattern = "nan"
    reply = meter.answer(octets(f"68 10 {A} 01 03 1F 90 00 3F 16"))
    assert reply is not None
    assert reply[14:19] == octets("FF FF FF FF 2C")

"""A simulated DL/T 645 meter against frames of the standard and of real meters."""

import pytest

from drivers.field.dlt645_slave import Dlt645Slave, press_button
from drivers.field.frames import MeterParts, split
from scada.position import CLOSED, OPEN
from tests.unit.drivers_field.speaking import DLT_1997, DLT_2007, go_on, octets, raw_station

A = "66 55 44 33 22 11"  # 112233445566 on the wire
EXPIRY_2030 = "33 33 45 34 34 63"  # 2030-01-01 12:00:00


def slave(**more: object) -> Dlt645Slave:
    return Dlt645Slave(raw_station(DLT_2007, "112233445566", **more))


def asked(meter: Dlt645Slave, control: int, data: bytes, address: bytes | None = None) -> MeterParts:
    frame = MeterParts("dlt645", address or meter.address, control, data).join()
    assert meter.hears(frame)
    reply = meter.answer(frame)
    assert reply is not None
    parts = split("dlt645", reply)
    assert isinstance(parts, MeterParts)
    return parts


def read(meter: Dlt645Slave, di: int) -> bytes:
    parts = asked(meter, 0x11, di.to_bytes(4, "little"))
    assert parts.control == 0x91, parts
    assert parts.data[:4] == di.to_bytes(4, "little")
    return parts.data[4:]


def test_energy_is_answered_byte_for_byte() -> None:
    meter = slave(initial_counts=12_345_678)
    reply = meter.answer(octets(f"68 {A} 68 11 04 33 33 34 33 17 16"))
    assert reply == octets(f"68 {A} 68 91 08 33 33 34 33 AB 89 67 45 7B 16")  # 123456.78 kWh


def test_an_unknown_identifier_is_refused_byte_for_byte() -> None:
    frame = MeterParts("dlt645", slave().address, 0x11, octets("78 56 34 12")).join()
    assert slave().answer(frame) == octets(f"68 {A} 68 D1 01 35 3C 16")


def test_the_status_word_shows_relay_order_and_protection() -> None:
    meter = slave()
    assert meter.answer(octets(f"68 {A} 68 11 04 36 38 33 37 22 16")) == octets(
        f"68 {A} 68 91 06 36 38 33 37 33 33 0A 16"
    )
    assert meter.answer(octets(f"68 {A} 68 1C 10 35 89 67 45 33 33 33 33 4D 33 {EXPIRY_2030} 8D 16")) == octets(
        f"68 {A} 68 9C 00 D1 16"
    )
    assert read(meter, 0x04000503) == b"\x40\x00"  # ordered, and not there yet
    go_on(meter.station, 2.0)
    assert meter.answer(octets(f"68 {A} 68 11 04 36 38 33 37 22 16")) == octets(
        f"68 {A} 68 91 06 36 38 33 37 83 33 5A 16"
    )


def control(meter: Dlt645Slave, n1: int, password: str = "563412", level: int = 2, expiry: str = "000000010130") -> int:
    data = bytes([level]) + octets(password) + bytes(4) + bytes([n1, 0]) + octets(expiry)
    parts = asked(meter, 0x1C, data)
    return 0 if parts.control == 0x9C else parts.data[0]


def test_a_close_permit_waits_for_the_button() -> None:
    meter = slave(closed=False, nominal=500.0)
    assert control(meter, 0x1B) == 0
    go_on(meter.station, 5.0)
    assert meter.station.state.mechanism.position == OPEN
    assert press_button(meter.station)
    go_on(meter.station, 2.0)
    assert meter.station.state.mechanism.position == CLOSED
    assert not press_button(meter.station)


def test_direct_close_moves_at_once() -> None:
    meter = slave(closed=False)
    assert control(meter, 0x1C) == 0
    go_on(meter.station, 2.0)
    assert meter.station.state.mechanism.position == CLOSED


def test_protected_supply_accepts_a_trip_and_stays() -> None:
    meter = slave()
    assert control(meter, 0x3A) == 0
    assert read(meter, 0x04000503) == b"\x00\x10"
    assert control(meter, 0x1A) == 0
    go_on(meter.station, 2.0)
    assert read(meter, 0x04000503) == b"\x40\x10"
    assert control(meter, 0x3B) == 0
    assert control(meter, 0x2A) == 0
    assert read(meter, 0x04000503) == b"\xc0\x00"
    assert control(meter, 0x2B) == 0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"password": "000000"}, 0x04),
        ({"level": 4}, 0x04),
        ({"expiry": "000012191125"}, 0x04),  # 2025-11-19 12:00:00 and no second later, but the clock stands there
        ({"expiry": "595911191125"}, 0x04),
        ({"expiry": "AA0000010130"}, 0x04),
    ],
)
def test_wrong_passwords_and_late_commands_move_nothing(changes: dict[str, str], error: int) -> None:
    meter = slave()
    go_on(meter.station, 1.0)
    assert control(meter, 0x1A, **changes) == error  # type: ignore[arg-type]
    go_on(meter.station, 2.0)
    assert meter.station.state.mechanism.position == CLOSED


def test_the_expiry_is_judged_by_the_meters_own_clock() -> None:
    meter = slave()
    assert control(meter, 0x2A, expiry="001012191125") == 0  # valid for ten minutes
    meter.station.clock_offset_s = 3600.0
    assert control(meter, 0x2A, expiry="001012191125") == 0x04


def test_an_unknown_class_of_control_is_refused() -> None:
    assert control(slave(), 0x4D) == 0x01


def test_a_wildcard_is_never_switched() -> None:
    meter = slave()
    parts = asked(meter, 0x1C, b"\x02\x56\x34\x12" + bytes(4) + b"\x1a\x00" + octets("000000010130"), b"\xaa" * 6)
    assert parts.control == 0xDC


def test_addresses() -> None:
    meter = slave()
    discover = octets("68 AA AA AA AA AA AA 68 13 00 DF 16")
    assert meter.answer(discover) == MeterParts("dlt645", meter.address, 0x93, meter.address).join()
    assert meter.hears(octets("68 66 55 AA AA AA AA 68 11 04 33 33 34 33 15 16"))  # abbreviated
    assert not meter.hears(octets("68 67 55 AA AA AA AA 68 11 04 33 33 34 33 16 16"))
    assert read(meter, 0x04000401) == read(meter, 0x04000402) == meter.address


def test_blocks_and_phases_that_do_not_exist() -> None:
    meter = slave(initial_counts=1000, nominal=2000.0)
    assert read(meter, 0x0001FF00) == octets("00100000 00100000 00000000 00000000 00000000")
    volts = read(meter, 0x0201FF00)
    assert volts[:2] == read(meter, 0x02010100)
    assert volts[2:] == b"\xff" * 4
    assert len(read(meter, 0x0202FF00)) == 9
    assert len(read(meter, 0x0203FF00)) == 12
    assert len(read(meter, 0x040005FF)) == 14
    assert read(meter, 0x02800002) in (octets("0050"), octets("9949"), octets("0150"), octets("9849"), octets("0250"))


def test_primary_values_leave_the_meter_as_secondary() -> None:
    meter = slave(nominal=40_000.0, ct=40)
    watts = meter.station.state.rate_milli // 1000
    shown = read(meter, 0x02030000)[::-1].hex()
    assert abs(int(shown) * 40 // 10 - watts) <= 4


def test_follow_up_frames_bring_the_rest() -> None:
    meter = slave(initial_counts=77)
    whole = read(meter, 0x0001FF00)
    meter.station.panel.part_bytes = 8
    di, data, sequence = octets("00FF0100"), b"", 0
    parts = asked(meter, 0x11, di)
    while True:
        body = parts.data[4:] if sequence == 0 else parts.data[4:-1]
        assert sequence == 0 or parts.data[-1] == sequence
        data += body
        if not parts.control & 0x20:
            break
        sequence += 1
        parts = asked(meter, 0x12, di + bytes([sequence]))
        assert parts.control & 0x1F == 0x12
    assert data == whole
    assert sequence == 2
    assert asked(meter, 0x12, di + b"\x09").control == 0xD2


def test_writing_needs_the_password_and_keeps_what_was_written() -> None:
    meter = slave()
    frame = octets(f"68 {A} 68 14 10 34 43 33 37 35 89 67 45 33 33 33 33 33 83 33 33 8C 16")
    assert meter.answer(frame) == octets(f"68 {A} 68 94 00 C9 16")
    assert read(meter, 0x04001001) == octets("00500000")
    wrong = octets("01100004 02 000000 00000000 00990000")
    assert asked(meter, 0x14, wrong).data == b"\x04"
    assert asked(meter, 0x14, octets("00000100 02 563412 00000000 00000000")).data == b"\x02"  # no counter is written
    assert read(meter, 0x04001001) == octets("00500000")


def test_the_clock_can_be_written_and_read() -> None:
    meter = slave()
    assert read(meter, 0x0400010C) == octets("00 00 12 03 19 11 25")
    head = "563412 00000000"
    assert asked(meter, 0x14, octets(f"02010004 02 {head} 30 20 10")).control == 0x94
    assert asked(meter, 0x14, octets(f"01010004 02 {head} 03 15 07 26")).control == 0x94
    assert read(meter, 0x04000102) == octets("30 20 10")
    assert read(meter, 0x04000101) == octets("03 15 07 26")
    assert asked(meter, 0x14, octets(f"01010004 02 {head} 03 45 17 26")).control == 0xD4


def broadcast(meter: Dlt645Slave, time: str) -> float:
    frame = MeterParts("dlt645", b"\x99" * 6, 0x08, octets(time)).join()
    assert meter.hears(frame)
    assert meter.answer(frame) is None
    return meter.station.clock_offset_s


def test_a_broadcast_time_is_taken_once_a_day_and_only_when_near() -> None:
    meter = slave()
    assert broadcast(meter, "01 05 12 19 11 25") == 0.0  # five minutes and a second ahead
    assert broadcast(meter, "00 04 12 19 11 25") == 240.0
    assert broadcast(meter, "00 03 12 19 11 25") == 240.0  # the second of the day
    go_on(meter.station, 86_400.0)
    assert broadcast(meter, "00 03 12 20 11 25") == 180.0


def test_a_freeze_keeps_the_energies() -> None:
    meter = slave(initial_counts=500, nominal=3000.0)
    assert asked(meter, 0x11, octets("01FF0105")).control == 0xD1  # nothing kept yet
    assert meter.answer(octets("68 99 99 99 99 99 99 68 16 04 CC CC CC CC B0 16")) is None
    go_on(meter.station, 3600.0)
    kept = read(meter, 0x0501FF01)
    assert kept[:5] == octets("00 12 19 11 25")
    assert kept[5:9] == octets("00 05 00 00")
    assert read(meter, 0x00010000) > kept[5:9]
    assert asked(meter, 0x16, octets("00 00 01 99")).control == 0x96


def test_errors_for_what_it_does_not_do() -> None:
    meter = slave()
    assert asked(meter, 0x1A, b"").data == b"\x01"
    assert asked(meter, 0x17, b"\x08").data == b"\x08"
    assert asked(meter, 0x11, b"\x00").data == b"\x01"


def test_a_refusing_and_a_mute_meter() -> None:
    meter = slave()
    meter.station.refuses = True
    assert control(meter, 0x1A) == 0x01
    meter.station.refuses, meter.station.mute = False, True
    data = b"\x02\x56\x34\x12" + bytes(4) + b"\x1a\x00" + octets("000000010130")
    assert meter.answer(MeterParts("dlt645", meter.address, 0x1C, data).join()) is None
    go_on(meter.station, 2.0)
    assert meter.station.state.mechanism.position == OPEN
    assert read(meter, 0x02010100)  # reading is no command


def test_follow_up_frames_of_1997_carry_no_number() -> None:
    meter = Dlt645Slave(raw_station(DLT_1997, "801300130754", initial_counts=77))
    di = octets("1F90")
    whole = asked(meter, 0x01, di).data
    meter.station.panel.part_bytes = 8
    parts = [asked(meter, 0x01, di)]
    while parts[-1].control & 0x20:
        parts.append(asked(meter, 0x02, di))
    assert [part.control for part in parts] == [0xA1, 0xA2, 0x82]
    assert di + b"".join(part.data[2:] for part in parts) == whole
    assert asked(meter, 0x02, di).control == 0xC2  # nothing is left


def test_follow_up_questions_of_1997_that_do_not_fit() -> None:
    meter = Dlt645Slave(raw_station(DLT_1997, "801300130754"))
    meter.station.panel.part_bytes = 8
    asked(meter, 0x01, octets("1F90"))
    assert asked(meter, 0x02, octets("1F90 01")).data == b"\x01"  # a number, as in 2007
    assert asked(meter, 0x02, octets("1FB6")).data == b"\x02"  # of another identifier
    assert asked(meter, 0x02, octets("1F90")).control == 0xA2


def test_the_meter_of_1997() -> None:
    meter = Dlt645Slave(raw_station(DLT_1997, "801300130754", initial_counts=1))
    assert meter.answer(octets("68 54 07 13 00 13 80 68 01 02 43 C3 DA 16")) == octets(
        "68 54 07 13 00 13 80 68 81 06 43 C3 34 33 33 33 2B 16"
    )
    parts = asked(meter, 0x01, octets("1F90"))
    assert parts.data == octets("1F90 01000000 01000000 00000000 00000000 00000000")
    assert asked(meter, 0x01, octets("0000")).control == 0xC1
    assert len(asked(meter, 0x01, octets("1FB6")).data) == 8
    assert asked(meter, 0x01, octets("11C0")).data == octets("11C0 00 00 12")
    assert asked(meter, 0x1C, bytes(16)).data == b"\x01"
    assert asked(meter, 0x04, octets("17C1 02563412 0002")).control == 0x84
    assert asked(meter, 0x04, octets("17C1 02000000 0002")).control == 0xC4

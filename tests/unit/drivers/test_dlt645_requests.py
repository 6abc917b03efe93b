"""DL/T 645 requests: what may be asked of whom, the dialect rows, and secrets that stay secret."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drivers import dlt645, dlt645_1997
from drivers.device import Device, Secret
from drivers.dialects import dialect_of
from drivers.dlt645_frame import address_bytes, open_frame
from drivers.pollplan import Block
from drivers.profile import Profile, Switch
from scada.position import CLOSED, INTERMEDIATE, OPEN

ADDRESS = "112233445566"
BROADCAST = "999999999999"
WILDCARDS = (BROADCAST, "AAAAAAAAAAAA", "AAAAAAAA5566")
SECRET = Secret("123456", "00000000")
NOON_2030_NS = 1893470400 * 10**9  # 2030-01-01 12:00 in China
NOON = bytes.fromhex("000012010130")

COMMANDS: dict[str, Callable[[str], Any]] = {
    "write": lambda address: dlt645.write(address, 0x0400_1001, bytes(4), SECRET),
    "control": lambda address: dlt645.control(address, dlt645.TRIP, SECRET, NOON),
    "clear demand": lambda address: dlt645.clear_demand(address, SECRET),
    "clear meter": lambda address: dlt645.clear_meter(address, SECRET),
    "clear events": lambda address: dlt645.clear_events(address, SECRET),
    "change baud": lambda address: dlt645.change_baud(address, 0x08),
    "change password": lambda address: dlt645.change_password(address, 0x0400_0C01, SECRET, Secret("654321")),
    "write of 1997": lambda address: dlt645_1997.write(address, 0xC032, bytes(6), "00123456"),
    "clear demand of 1997": dlt645_1997.clear_demand,
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("address", WILDCARDS)
def test_a_command_goes_to_one_meter_only(name: str, address: str) -> None:
    assert COMMANDS[name](ADDRESS).writes
    with pytest.raises(ValueError, match="the full address of one meter"):
        COMMANDS[name](address)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_request_shows_its_password(name: str) -> None:
    request = COMMANDS[name](ADDRESS)
    shown = repr(request)
    assert "123456" not in shown
    assert repr(request.wire) not in shown
    assert repr(bytes.fromhex("563412")) not in shown


@pytest.mark.parametrize("name", ["clear meter", "clear events", "change baud", "change password"])
def test_the_product_refuses_what_destroys_or_hides_a_meter(name: str) -> None:
    with pytest.raises(ValueError, match="never sent"):
        dlt645.for_product(COMMANDS[name](ADDRESS))


@pytest.mark.parametrize("name", ["write", "control", "clear demand"])
def test_the_product_may_send_the_rest(name: str) -> None:
    request = COMMANDS[name](ADDRESS)
    assert dlt645.for_product(request) is request


@pytest.mark.parametrize("password", ["", "12345", "1234567", "12345a", "１２３４５６", "-12345"])
def test_a_password_has_six_digits_and_is_not_shown_when_it_has_not(password: str) -> None:
    with pytest.raises(ValueError, match="six digits") as caught:
        dlt645.control(ADDRESS, dlt645.TRIP, Secret(password), NOON)
    assert password == "" or password not in str(caught.value)


@pytest.mark.parametrize("operator", ["", "0000000", "0000000g"])
def test_an_operator_has_eight_digits(operator: str) -> None:
    with pytest.raises(ValueError, match="eight digits"):
        dlt645.control(ADDRESS, dlt645.TRIP, Secret("000000", operator), NOON)


@pytest.mark.parametrize("text", ["1", "12345", "112233445566", "AAAAAAAAAAAA", "aaaaaaaa5566"])
def test_addresses_in_words_and_bytes(text: str) -> None:
    expected = text.upper().rjust(12, "0")
    assert address_bytes(text)[::-1].hex().upper() == expected


@pytest.mark.parametrize(
    "text", ["", "1122334455667", "11223344556x", "AAAAAAAAAAA1", "1122AAAAAAAA", "AA5566", "٣", " 1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="no meter address"):
        address_bytes(text)


@pytest.mark.parametrize(
    ("month_day", "hour_minute", "data"),
    [
        ("9999", "9999", "99999999"),
        ("9999", "9915", "15999999"),
        ("9999", "0030", "30009999"),
        ("9928", "2359", "59232899"),
    ],
    ids=["at once", "hourly", "daily", "monthly"],
)  # fmt: skip
def test_freezes(month_day: str, hour_minute: str, data: str) -> None:
    request = dlt645.freeze(ADDRESS, month_day, hour_minute)
    assert open_frame(request.wire[4:]).data.hex() == data
    assert not request.broadcast
    assert dlt645.freeze(BROADCAST, month_day, hour_minute).broadcast


@pytest.mark.parametrize(
    "freeze", ["0101 0000", "9929 0000", "9900 0000", "9901 9900", "9999 2400", "9999 9960", "99 99"]
)
def test_what_is_no_freeze(freeze: str) -> None:
    with pytest.raises(ValueError, match="no freeze time"):
        dlt645.freeze(ADDRESS, *freeze.split())


@pytest.mark.parametrize("n1", [0x00, 0x1D, 0x1E, 0x4D, 0xFF])
def test_control_knows_its_classes_only(n1: int) -> None:
    with pytest.raises(ValueError, match="control 1C knows"):
        dlt645.control(ADDRESS, n1, SECRET, NOON)


@pytest.mark.parametrize("expiry", [b"", bytes(5), bytes(7), b"\x00\x00\x1a\x01\x01\x30"])
def test_an_expiry_is_a_time(expiry: bytes) -> None:
    with pytest.raises(ValueError, match="no expiry"):
        dlt645.control(ADDRESS, dlt645.TRIP, SECRET, expiry)


@pytest.mark.parametrize("value", [b"", bytes(39)])
def test_a_write_is_as_long_as_the_standard_allows(value: bytes) -> None:
    assert dlt645.write(ADDRESS, 0x0400_1001, bytes(38), SECRET).writes
    with pytest.raises(ValueError, match="1 to 38 are possible"):
        dlt645.write(ADDRESS, 0x0400_1001, value, SECRET)


def test_nobody_is_asked_by_broadcast() -> None:
    for module in (dlt645, dlt645_1997):
        with pytest.raises(ValueError, match="nobody answers"):
            module.read(BROADCAST, 0x9010)
    with pytest.raises(ValueError, match="no data identifier"):
        dlt645_1997.read(ADDRESS, 0x0001_0000)


def test_the_clock_of_a_meter() -> None:
    assert dlt645.clock_bytes(NOON_2030_NS) == NOON
    assert dlt645.clock_bytes(NOON_2030_NS, meter_offset_s=0).hex() == "000004010130"
    assert dlt645.clock_bytes(NOON_2030_NS + 999_999_999) == NOON, "never ahead of time"


def device(protocol: Any, switch: Switch | None = None) -> Device:
    profile = Profile("m", "", "", "electricity", (), None, switch, protocol=protocol, wake_bytes=2)
    return Device("K1", "G1", 0, profile, 1, 1, {}, address=ADDRESS, secret=replace(SECRET, level=0x04))


SWITCH = Switch("Position", ((0, CLOSED), (1, OPEN)), 0, 0, 0x1A, 0x1B, n2=1, expiry_s=300)


def test_the_dialect_of_2007_reads_and_switches() -> None:
    meter, dialect = device("dlt645-2007", SWITCH), dialect_of("dlt645-2007", framed=False)
    assert dialect.read(meter, Block(0, 0x0001_FF00, 20, ())) == dlt645.read(ADDRESS, 0x0001_FF00, 20, 2)
    for target, n1 in ((OPEN, 0x1A), (CLOSED, 0x1B)):
        expected = dlt645.control(
            ADDRESS, n1, SECRET, dlt645.clock_bytes(NOON_2030_NS + 300 * 10**9), level=4, n2=1, wake_bytes=2
        )
        assert dialect.switch(meter, SWITCH, target, NOON_2030_NS) == expected
    with pytest.raises(ValueError, match="cannot be commanded"):
        dialect.switch(meter, SWITCH, INTERMEDIATE, NOON_2030_NS)
    with pytest.raises(ValueError, match="full address of one meter"):
        dialect.switch(replace(meter, address="AAAAAAAAAAAA"), SWITCH, OPEN, NOON_2030_NS)


def test_the_dialect_of_1997_reads_and_does_not_switch() -> None:
    meter, dialect = device("dlt645-1997", SWITCH), dialect_of("dlt645-1997", framed=False)
    assert dialect.read(meter, Block(0, 0x901F, 20, ())) == dlt645_1997.read(ADDRESS, 0x901F, 20, 2)
    with pytest.raises(ValueError, match="K1: DL/T 645-1997 has no command for a relay"):
        dialect.switch(meter, SWITCH, OPEN, NOON_2030_NS)


def test_auto_detection_tries_the_factory_settings_first() -> None:
    assert [(step.edition, step.baud) for step in dlt645_1997.TRIES[:2]] == [
        ("dlt645-2007", 2400), ("dlt645-1997", 1200),
    ]  # fmt: skip
    assert {step.baud for step in dlt645_1997.TRIES} == {1200, 2400, 4800, 9600}
    assert len(set(dlt645_1997.TRIES)) == len(dlt645_1997.TRIES)
    for step in dlt645_1997.TRIES:
        assert not dlt645_1997.question_of(step, ADDRESS).writes

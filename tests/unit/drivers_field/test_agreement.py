"""What the simulated field says on raw lines is what the drivers' own protocols take, for every shipped profile.

The field builds its frames apart from the drivers: a mistake of one of them shows here.
"""

import struct
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import config
from config import assembly, loader
from drivers.device import Device, Secret
from drivers.dialects import dialect_of
from drivers.field.frames import Ear, Family
from drivers.field.hostile import EXCEPTION, Lie, classes_for
from drivers.field.model import Field, SimMeter
from drivers.field.site import SLAVES
from drivers.field.station import FOREVER, Station
from drivers.field.wire import Slave
from drivers.outcome import Continue, ExceptionReply, Exchange, Reply, Violation
from drivers.pollplan import Block, plan_blocks
from drivers.profile import Profile, Register
from scada.position import CLOSED, OPEN
from tests.unit.drivers_field.speaking import NOON_NS, go_on

SHIPPED = assembly.profiles(loader.read_sources(Path(config.__file__).parent / "demo"))
RAW = {name: profile for name, profile in SHIPPED.items() if profile.protocol != "modbus"}
INITIAL = 123_456
ADDRESSES = {"modbus": "", "cjt188": "00001234567890"}
FAMILIES: dict[str, Family] = {"modbus": "rtu", "cjt188": "cjt188", "dlt645-2007": "dlt645", "dlt645-1997": "dlt645"}


def pair(profile: Profile, **more: Any) -> tuple[Device, Slave]:
    """Return a device as the core knows it and the slave that answers for it."""
    address = ADDRESSES.get(profile.protocol, "202626110016")
    device = Device("m", "g", 5, profile, 1, 1, {}, address=address, serial=address, secret=Secret("123456"))
    meter = SimMeter(device, 2_000.0 if profile.medium == "electricity" else 4.0, "", "flat", 9, **more)
    field = Field([meter], ZoneInfo("Asia/Shanghai"))
    field.step(NOON_NS, 0)
    return device, SLAVES[profile.protocol](Station(field, field.states["m"]))


def answered(slave: Slave, question: Exchange) -> bytes:
    """Carry a question to the slave and return all that comes back."""
    (frame,) = Ear(FAMILIES[slave.station.profile.protocol]).feed(question.wire, 1.0)
    assert slave.hears(frame)
    reply = slave.answer(frame)
    if reply is None:
        return b""
    return b"".join(burst.data for burst in slave.mouth.speak(slave.station.lie, slave.family, frame, reply))


def judged(slave: Slave, question: Exchange) -> Any:
    """Return what the driver makes of it; None when nothing of it was an answer."""
    scanner = question.scanner()
    for item in scanner.feed(answered(slave, question)):
        if isinstance(item, Violation):
            return item
        outcome = question.judge(item)
        if isinstance(outcome, Continue):
            return judged(slave, outcome.exchange)
        if outcome is not None:
            return outcome
    return None


def read(device: Device, slave: Slave, block: Block) -> Any:
    return judged(slave, dialect_of(device.profile.protocol, False).read(device, block))


def shown(payload: bytes, register: Register) -> int:
    """Decode the slow way."""
    data = payload[register.at : register.at + register.bytes]
    if register.type in ("bcd", "sbcd"):
        sign = -1 if register.type == "sbcd" and data[-1] & 0x80 else 1
        digits = bytes([*data[:-1], data[-1] & (0x7F if register.type == "sbcd" else 0xFF)])[::-1].hex()
        return sign * int(digits)
    return struct.unpack("<H", data)[0] & (register.mask or 0xFFFF)


@pytest.mark.parametrize("profile", RAW.values(), ids=RAW)
def test_every_block_is_a_right_reply_of_the_right_length(profile: Profile) -> None:
    device, slave = pair(profile, initial_counts=INITIAL)
    for block in plan_blocks(profile):
        outcome = read(device, slave, block)
        assert isinstance(outcome, Reply), (hex(block.address), outcome)
        assert len(outcome.payload) == block.payload_bytes
        for register in (profile.registers[i] for i in block.registers):
            if profile.billing is not None and register.measure == profile.billing.measure:
                assert shown(outcome.payload, register) == INITIAL
            if register.measure == profile.identity:
                assert shown(outcome.payload, register) == int(device.serial)
            if profile.switch is not None and register.measure == profile.switch.position:
                assert shown(outcome.payload, register) == 0  # closed
            if register.type == "clock":
                data = outcome.payload[register.at : register.at + register.bytes]
                seen = dict(zip(register.layout, data.hex(" ").split(), strict=True))
                assert [seen[letter] for letter in "smhDMY"] == ["00", "00", "12", "19", "11", "25"]


@pytest.mark.parametrize("name", [n for n, p in SHIPPED.items() if p.protocol == "modbus"])
def test_every_block_on_a_serial_modbus_line(name: str) -> None:
    device, slave = pair(SHIPPED[name], initial_counts=INITIAL)
    for block in plan_blocks(SHIPPED[name]):
        outcome = read(device, slave, block)
        assert isinstance(outcome, Reply), outcome
        assert len(outcome.payload) == block.payload_bytes


@pytest.mark.parametrize("name", [n for n, p in SHIPPED.items() if p.switch is not None])
def test_every_switch_is_thrown(name: str) -> None:
    device, slave = pair(SHIPPED[name])
    switch, mechanism = device.profile.switch, slave.station.state.mechanism
    assert switch is not None
    assert mechanism is not None
    question = dialect_of(device.profile.protocol, False).switch(device, switch, OPEN, NOON_NS)
    assert isinstance(judged(slave, question), Reply)
    go_on(slave.station, 15.0)
    assert mechanism.position == OPEN


SPEAKERS = {"rtu": "wattkeeper-demo-1p", "dlt645-2007": "dlt645-2007-1p", "cjt188": "cjt188-cold-water"}
# Classes whose reply may be taken all the same: the truth is in it, or the bulk decoder tells that it is no number.
TRUTH_WITHIN = {"duplicate", "garbage", "echo", "wake-flood", "drip", "split", "pause"}
JUDGED_LATER = {"bad-digits", "absent", "unknown-unit"}
# What no reader of these protocols can know: they carry no transaction number.
UNKNOWABLE = {"repeat-old", "late"}
# What published meters do, and a driver may tolerate
TOLERATED = {"wrong-counter"}


@pytest.mark.parametrize(
    ("speaker", "name"),
    [(s, c) for s, f in (("rtu", "rtu"), ("dlt645-2007", "dlt645"), ("cjt188", "cjt188")) for c in classes_for(f)],
)
def test_no_hostile_reply_is_taken_for_another_truth(speaker: str, name: str) -> None:
    device, slave = pair(SHIPPED[SPEAKERS[speaker]], initial_counts=INITIAL)
    block = plan_blocks(device.profile)[0]
    truth = read(device, slave, block)
    assert isinstance(truth, Reply)
    slave.station.lie = Lie(name, FOREVER)
    outcome = read(device, slave, block)
    if isinstance(outcome, Reply) and name not in JUDGED_LATER:
        assert outcome == truth
        assert name in TRUTH_WITHIN | UNKNOWABLE | TOLERATED
    slave.station.lie = None
    slave.mouth.held = b""
    assert read(device, slave, block) == truth  # nothing sticks


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_exceptions_of_choice(speaker: str) -> None:
    device, slave = pair(SHIPPED[SPEAKERS[speaker]])
    for code in (1, 2, 4, 6, 11):
        slave.station.lie = Lie(f"{EXCEPTION}{code}", 1)
        outcome = read(device, slave, plan_blocks(device.profile)[0])
        assert isinstance(outcome, ExceptionReply)
        assert outcome.code & 0xFF == code
    assert isinstance(read(device, slave, plan_blocks(device.profile)[0]), Reply)


def test_follow_up_frames_are_put_together_by_the_driver() -> None:
    device, slave = pair(SHIPPED["dlt645-2007-1p"], initial_counts=INITIAL)
    block = next(b for b in plan_blocks(device.profile) if b.address == 0x0001FF00)
    whole = read(device, slave, block)
    for size in (1, 3, 8, 19):
        slave.station.panel.part_bytes = size
        assert read(device, slave, block) == whole


def test_follow_up_frames_of_1997_are_put_together_by_the_driver() -> None:
    device, slave = pair(SHIPPED["dlt645-1997"], initial_counts=INITIAL)
    block = Block(0, 0x901F, 20, ())
    whole = read(device, slave, block)
    assert isinstance(whole, Reply)
    for size in (1, 3, 8, 19):
        slave.station.panel.part_bytes = size
        assert read(device, slave, block) == whole
        first = dialect_of("dlt645-1997", False).read(device, block)
        answered(slave, first)  # a part that gets lost: the block is asked for from its beginning, and nothing is torn
        assert read(device, slave, block) == whole


@pytest.mark.parametrize("name", ["dlt645-1997", "dlt645-2007-3p"])
def test_the_rates_of_a_meter_add_up_to_its_total(name: str) -> None:
    minutes = tuple(tuple(minute // 360 for minute in range(1440)) for _ in range(7))  # six hours each
    device, slave = pair(SHIPPED[name], initial_counts=INITIAL, rate_minutes=minutes)
    for _ in range(24):
        go_on(slave.station, 3600.0)
    registers = {register.measure: register for register in device.profile.registers}
    counts = {}
    for block in plan_blocks(device.profile):
        outcome = read(device, slave, block)
        counts |= {
            register.measure: shown(outcome.payload, register)
            for register in (device.profile.registers[i] for i in block.registers)
            if register.measure.startswith("ActiveEnergyImport")
        }
    rates = [counts[f"ActiveEnergyImport{rate}"] for rate in ("Sharp", "Peak", "Flat", "Valley")]
    assert all(rate > 0 for rate in rates)
    assert 0 <= counts["ActiveEnergyImportTotal"] - sum(rates) <= len(rates)  # each is cut off by itself
    whole = read(device, slave, Block(0, 0x901F if name == "dlt645-1997" else 0x0001_FF00, 20, ()))
    parts = [replace(registers["ActiveEnergyImportTotal"], at=4 * n) for n in range(5)]
    assert [shown(whole.payload, part) for part in parts] == [counts["ActiveEnergyImportTotal"], *rates]


def test_the_clock_of_1997_is_read_in_two_parts() -> None:
    device, slave = pair(SHIPPED["dlt645-1997"])
    block = next(b for b in plan_blocks(device.profile) if b.address == 0xC011)
    slave.station.clock_offset_s = 86_400.0 * 3 + 61
    outcome = read(device, slave, block)
    assert outcome == Reply(bytes.fromhex("010112 06 221125"))  # Saturday 2025-11-22 12:01:01


def test_a_closed_switch_opens_the_valve_again() -> None:
    device, slave = pair(SHIPPED["cjt188-cold-water"], closed=False)
    switch, times = device.profile.switch, count(NOON_NS)
    assert switch is not None
    question = dialect_of("cjt188", False).switch(device, switch, CLOSED, next(times))
    assert isinstance(judged(slave, question), Reply)
    go_on(slave.station, 15.0)
    assert slave.station.state.mechanism is not None
    assert slave.station.state.mechanism.position == CLOSED

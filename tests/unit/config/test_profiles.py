"""The shipped meter profiles as data: legal maps, and addresses compared with the published tables."""

from fractions import Fraction
from pathlib import Path

import pytest

from config import assembly
from config.loader import read_sources
from config.profile_checks import PROFILE_CHECKS
from drivers.pollplan import plan_blocks
from drivers.profile import NEVER, WORDS, Profile, Register
from drivers.write_guard import WriteRefusedError, guarded_write
from scada.position import BAD_STATE, CLOSED, INTERMEDIATE, OPEN


@pytest.fixture(scope="module")
def profiles(demo_folder: Path) -> dict[str, Profile]:
    return assembly.profiles(read_sources(demo_folder))


def register(profile: Profile, measure: str) -> Register:
    return next(found for found in profile.registers if found.measure == measure)


def test_every_shipped_profile_is_sound(demo_folder: Path) -> None:
    sources = read_sources(demo_folder)
    assert sources.faults == []
    assert [fault for check in PROFILE_CHECKS for fault in check(sources)] == []


def test_every_medium_has_a_profile_that_can_be_charged(profiles: dict[str, Profile]) -> None:
    charged = {profile.medium for profile in profiles.values() if profile.billing}
    assert charged == {"electricity", "water", "gas", "steam", "heat", "cooling"}


def test_no_profile_claims_to_be_proven(profiles: dict[str, Profile]) -> None:
    assert not any(profile.verified for profile in profiles.values())


# Addresses on the wire as the makers' tables print them
PUBLISHED = [
    ("acrel-adl3000", "ActiveEnergyImportTotal", 3, 0x000A, "u32", "0.01", "ctpt"),
    ("acrel-adl3000", "VoltageL1", 3, 0x0061, "u16", "0.1", "pt"),
    ("acrel-adl3000", "CurrentL3", 3, 0x0066, "u16", "0.01", "ct"),
    ("acrel-adl3000", "ActivePowerTotal", 3, 0x006A, "s16", "0.001", "ctpt"),
    ("acrel-adl3000", "PowerFactorTotal", 3, 0x0076, "s16", "0.001", ""),
    ("acrel-adl3000", "Frequency", 3, 0x0077, "u16", "0.01", ""),
    ("abb-b23", "ActiveEnergyImportTotal", 3, 0x5000, "u64", "0.01", ""),
    ("abb-b23", "VoltageL2", 3, 0x5B02, "u32", "0.1", ""),
    ("abb-b23", "CurrentL1", 3, 0x5B0C, "u32", "0.01", ""),
    ("abb-b23", "ActivePowerTotal", 3, 0x5B14, "s32", "0.00001", ""),
    ("abb-b23", "Frequency", 3, 0x5B2C, "u16", "0.01", ""),
    ("hiking-dds238-2", "ActiveEnergyImportTotal", 3, 0x000A, "u32", "0.01", ""),
    ("hiking-dds238-2", "ActivePowerTotal", 3, 0x000E, "s16", "0.001", ""),
    ("eastron-sdm630", "ActivePowerTotal", 4, 0x0034, "f32", "0.001", ""),
    ("eastron-sdm630", "ActiveEnergyImportTotal", 4, 0x0048, "f32", "1", ""),
    ("eastron-sdm120", "ActivePowerTotal", 4, 0x000C, "f32", "0.001", ""),
    ("eastron-sdm120", "PowerFactorTotal", 4, 0x001E, "f32", "1", ""),
    ("acrel-dtsd1352", "ActiveEnergyImportValley", 3, 0x0012, "u32", "0.01", "ctpt"),
    ("acrel-adl400", "ActiveEnergyImportSharp", 3, 0x000C, "u32", "0.01", "ctpt"),
    ("acrel-adl400", "CtRatio", 3, 0x014B, "u16", "1", ""),
    ("acrel-ddsy1352", "ActiveEnergyImportTotal", 3, 0x0000, "u32", "0.01", ""),
    ("acrel-ddsy1352", "ActivePowerTotal", 3, 0x000D, "s16", "0.001", ""),
    ("acrel-adw300", "ActivePowerTotal", 3, 36, "s32", "0.001", ""),
    ("acrel-adw300", "ActiveEnergyImportTotal", 3, 62, "s32", "0.01", ""),
    ("abb-b24", "ActivePowerL3", 3, 0x5B1A, "s32", "0.00001", ""),
    ("schneider-iem3155", "ActiveEnergyImportTotal", 3, 0x0C83, "s64", "0.001", ""),
    ("schneider-iem3155", "ActivePowerTotal", 3, 0x0BF3, "f32", "1", ""),
    ("schneider-iem3155", "VoltageL3", 3, 0x0BD7, "f32", "1", ""),
    ("schneider-pm5300", "ActiveEnergyImportTotal", 3, 3203, "s64", "0.001", ""),
    ("chint-dtsu666", "ActiveEnergyImportTotal", 3, 0x101E, "f32", "1", "ctpt"),
    ("chint-dtsu666", "ActivePowerTotal", 3, 0x2012, "f32", "0.0001", "ctpt"),
    ("lx47le-125", "Position", 4, 0, "u16", "1", ""),
    ("lx47le-125", "Frequency", 4, 4, "u16", "0.1", ""),
    ("lx47le-125", "TripCause", 4, 23, "u16", "1", ""),
    ("eastron-sdm120", "MeterNumber", 3, 0xFC00, "u32", "1", ""),
    ("eastron-sdm630", "MeterNumber", 3, 0xFC00, "u32", "1", ""),
    ("abb-b23", "MeterNumber", 3, 0x8900, "u32", "1", ""),
    ("abb-b24", "MeterNumber", 3, 0x8900, "u32", "1", ""),
    ("schneider-iem3155", "MeterNumber", 3, 130 - 1, "u32", "1", ""),
    ("schneider-pm5300", "MeterNumber", 3, 130 - 1, "u32", "1", ""),
    ("schneider-iem3155", "ActiveEnergyImportT1", 3, 45120 - 1, "f32", "0.001", ""),
    ("schneider-iem3155", "ActiveEnergyImportT4", 3, 45126 - 1, "f32", "0.001", ""),
    ("schneider-iem3155", "ClockDeviation", 3, 1845 - 1, "clock", "1", ""),
    ("schneider-pm5300", "ClockDeviation", 3, 1845 - 1, "clock", "1", ""),
    ("acrel-adl3000", "ClockDeviation", 3, 0x003C, "clock", "1", ""),
    ("acrel-adl400", "ClockDeviation", 3, 0x003C, "clock", "1", ""),
    ("acrel-dtsd1352", "ClockDeviation", 3, 0x003C, "clock", "1", ""),
    ("lx47le-125", "CurrentL1", 4, 9, "u16", "0.01", ""),
]


@pytest.mark.parametrize(("profile", "measure", "function", "address", "kind", "scale", "ratio"), PUBLISHED)
def test_published_registers(
    profiles: dict[str, Profile],
    profile: str,
    measure: str,
    function: int,
    address: int,
    kind: str,
    scale: str,
    ratio: str,
) -> None:
    found = register(profiles[profile], measure)
    assert (found.function, found.address, found.type, found.ratio) == (function, address, kind, ratio)
    assert found.scale == Fraction(scale)


def test_not_available_is_all_ones(profiles: dict[str, Profile]) -> None:
    assert register(profiles["abb-b23"], "ActiveEnergyImportTotal").absent == 2**64 - 1


def test_the_published_breaker_command(profiles: dict[str, Profile]) -> None:
    switch = profiles["lx47le-125"].switch
    assert switch is not None
    assert (switch.function, switch.address, switch.close_value, switch.open_value) == (6, 13, 0xFF00, 0x0000)
    states = dict(switch.states)
    mask = register(profiles["lx47le-125"], "Position").mask
    assert [states[raw & mask] for raw in (0x00F0, 0x0F0F, 0x010F, 0x01F0)] == [CLOSED, OPEN, OPEN, CLOSED]
    assert states.get(0x1234 & mask, BAD_STATE) == BAD_STATE


def test_a_double_point_has_all_four_states(profiles: dict[str, Profile]) -> None:
    switch = profiles["wattkeeper-demo-feeder"].switch
    assert switch is not None
    assert dict(switch.states) == {0: INTERMEDIATE, 1: OPEN, 2: CLOSED}  # 3 is faulty: not named


def test_a_charged_register_is_read_in_one_piece(profiles: dict[str, Profile]) -> None:
    for profile in profiles.values():
        if profile.billing:
            assert WORDS[register(profile, profile.billing.measure).type] <= profile.max_registers


def packed(profile: Profile, measure: str, data: bytes) -> Fraction:
    """Return a packed value of a payload, straight from where the profile says that it stands."""
    found = register(profile, measure)
    digits = data[found.at : found.at + found.size][::-1].hex()
    return int(digits) * found.scale


# Data of published replies behind identifier and serial byte, and what their meters showed
HEAT_LAST = "1174020005 8827440505 0000000017 0000000035 085671002C 792600 642600 664707 11521703092520 0005"
HEAT_FIRST = "0802000000 0802000000 1700000000 3500000000 2C34100000 352500 662500 000000 53001210071520 0000"
WATER = "007766552C 007766552C 31012211051520 2184"
LAYOUTS = [
    ("cjt188-heat", HEAT_LAST, "HeatEnergySettled", "274.11", 0x05),
    ("cjt188-heat", HEAT_LAST, "HeatEnergy", "54427.88", 0x05),
    ("cjt188-heat", HEAT_LAST, "ThermalPower", "0", 0x17),
    ("cjt188-heat", HEAT_LAST, "WaterFlow", "0", 0x35),
    ("cjt188-heat", HEAT_LAST, "WaterVolume", "7156.08", 0x2C),
    ("cjt188-heat", HEAT_LAST, "SupplyTemperature", "26.79", None),
    ("cjt188-heat", HEAT_LAST, "ReturnTemperature", "26.64", None),
    ("cjt188-heat", HEAT_LAST, "WorkHours", "74766", None),
    ("cjt188-heat-unit-first", HEAT_FIRST, "HeatEnergy", "0.02", 0x08),
    ("cjt188-heat-unit-first", HEAT_FIRST, "WaterVolume", "10.34", 0x2C),
    ("cjt188-heat-unit-first", HEAT_FIRST, "SupplyTemperature", "25.35", None),
    ("cjt188-heat-unit-first", HEAT_FIRST, "ReturnTemperature", "25.66", None),
    ("cjt188-cold-water", WATER, "WaterVolume", "556677.00", 0x2C),
    ("cjt188-cold-water", WATER, "WaterVolumeSettled", "556677.00", 0x2C),
    ("dlt645-2007-3p", "00001000 00000100 00000300 00000400 00000200", "ActiveEnergyImportTotal", "1000", None),
    ("dlt645-2007-3p", "00001000 00000100 00000300 00000400 00000200", "ActiveEnergyImportPeak", "300", None),
    ("dlt645-2007-3p", "00001000 00000100 00000300 00000400 00000200", "ActiveEnergyImportValley", "200", None),
    ("dlt645-2007-3p", "0122 1022 FFFF", "VoltageL2", "221.0", None),
    ("dlt645-2007-1p", "452301", "CurrentL1", "12.345", None),
    ("dlt645-2007-1p", "8509", "PowerFactorTotal", "0.985", None),
    ("dlt645-2007-1p", "0350", "Frequency", "50.03", None),
    ("dlt645-2007-1p", "080202412200", "MeterNumber", "2241020208", None),
    ("dlt645-1997", "01000000", "ActiveEnergyImportTotal", "0.01", None),
    ("dlt645-1997", "0001", "VoltageL1", "100", None),
]


@pytest.mark.parametrize(("profile", "data", "measure", "shown", "unit_code"), LAYOUTS)
def test_published_replies_stand_where_the_profile_says(
    profiles: dict[str, Profile], profile: str, data: str, measure: str, shown: str, unit_code: int | None
) -> None:
    payload = bytes.fromhex(data)
    assert packed(profiles[profile], measure, payload) == Fraction(shown)
    unit_at = register(profiles[profile], measure).unit_at
    assert (payload[unit_at] if unit_at >= 0 else None) == unit_code


CLOCKS = [
    ("cjt188-heat", HEAT_LAST, {"Y": 25, "M": 9, "D": 3, "h": 17, "m": 52, "s": 11}),
    ("cjt188-heat-unit-first", HEAT_FIRST, {"Y": 15, "M": 7, "D": 10, "h": 12, "m": 0, "s": 53}),
    ("cjt188-cold-water", WATER, {"Y": 15, "M": 5, "D": 11, "h": 22, "m": 1, "s": 31}),
]


@pytest.mark.parametrize(("profile", "data", "date"), CLOCKS)
def test_published_clocks(profiles: dict[str, Profile], profile: str, data: str, date: dict[str, int]) -> None:
    clock = register(profiles[profile], profiles[profile].clock)
    octets = bytes.fromhex(data)[clock.at : clock.at + clock.size]
    found = {letter: int(f"{octet:02x}") for letter, octet in zip(clock.layout, octets, strict=True)}
    assert found == date | {"C": 20}


def test_the_layouts_fill_their_replies(profiles: dict[str, Profile]) -> None:
    """L of a reply is 3 more: identifier and serial byte."""
    lengths = {name: plan_blocks(profiles[name])[0].payload_bytes for name in profiles if name.startswith("cjt188")}
    water, heat = {0x16 - 3}, {0x2E - 3}
    assert {lengths[name] for name in ("cjt188-cold-water", "cjt188-hot-water", "cjt188-gas")} == water
    assert {
        lengths[name] for name in ("cjt188-heat", "cjt188-heat-gj", "cjt188-cooling", "cjt188-heat-unit-first")
    } == heat
    assert lengths["cjt188-heat-43"] == 43 - 3


@pytest.mark.parametrize(("word", "position"), [(0x0000, CLOSED), (0x0050, OPEN), (0x1000, CLOSED)])
def test_status_word_3_of_published_frames(profiles: dict[str, Profile], word: int, position: int) -> None:
    profile = profiles["dlt645-2007-3p"]
    found = register(profile, "Position")
    assert profile.switch is not None
    assert dict(profile.switch.states)[(word & found.mask) >> 4] == position
    assert (profile.switch.open_value, profile.switch.close_value) == (0x1A, 0x1C)


def test_a_valve_is_commanded_as_its_medium_allows(profiles: dict[str, Profile]) -> None:
    water, gas = profiles["cjt188-cold-water"].switch, profiles["cjt188-gas"].switch
    assert water is not None and gas is not None
    assert (water.open_value, water.close_value) == (0x99, 0x55)
    assert (gas.open_value, gas.close_value) == (0x99, NEVER)
    assert dict(water.states) == {0: CLOSED, 1: OPEN}  # 3 is abnormal: not named


def test_no_counter_can_be_written(profiles: dict[str, Profile]) -> None:
    hiking = profiles["hiking-dds238-2"]
    for address in (0x0008, 0x000A, 0x000B):
        with pytest.raises(WriteRefusedError):
            guarded_write(hiking, 1, 16, address, (0,))
    with pytest.raises(WriteRefusedError):
        guarded_write(hiking, 1, 16, 0x0000, (0, 0))  # the total that no register of the profile reads

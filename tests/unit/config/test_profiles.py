"""The shipped meter profiles as data: legal maps, and addresses compared with the published tables."""

from fractions import Fraction
from pathlib import Path

import pytest

from config import assembly
from config.loader import read_sources
from config.profile_checks import PROFILE_CHECKS
from drivers.profile import WORDS, Profile, Register
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
    ("lx47le-125", "Position", 4, 0, "u16", "1", ""),
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
    assert (states[0x00F0], states[0x0F0F], states[0x010F]) == (CLOSED, OPEN, OPEN)
    assert states.get(0x1234, BAD_STATE) == BAD_STATE


def test_a_double_point_has_all_four_states(profiles: dict[str, Profile]) -> None:
    switch = profiles["wattkeeper-demo-feeder"].switch
    assert switch is not None
    assert dict(switch.states) == {0: INTERMEDIATE, 1: OPEN, 2: CLOSED}  # 3 is faulty: not named


def test_a_charged_register_is_read_in_one_piece(profiles: dict[str, Profile]) -> None:
    for profile in profiles.values():
        if profile.billing:
            assert WORDS[register(profile, profile.billing.measure).type] <= profile.max_registers

"""Every shipped profile as data: no bit means two things, every quantity stands once, nothing that is due is missing.

Rule: these tests share no code with the checks of `config`: what one of them overlooks the other finds.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import config
from config import assembly
from config.loader import read_sources
from config.profile_checks import PROFILE_CHECKS
from config.protocol_checks import PROTOCOL_CHECKS
from drivers.field.quantities import UNITS
from drivers.pollplan import plan_blocks
from drivers.profile import NEVER, Profile, Register

DEMO = Path(config.__file__).parent / "demo"
SHIPPED = assembly.profiles(read_sources(DEMO))
WORD_BYTES = 2
# Plausible whatever is connected: voltages, frequencies, power factors. Currents and powers depend on the site.
BOUNDED = {"voltage": "V", "frequency": "Hz", "ratio": ""}
UNBOUNDED = {"CtRatio", "TripCause", "MeterNumber", "Position", "LockCode", "WorkHours", "BatteryLow"}
# What the models of the brief must bring, beside the register that is charged
ENERGY_3P = {"VoltageL1", "VoltageL2", "VoltageL3", "CurrentL1", "CurrentL2", "CurrentL3", "ActivePowerTotal"}
ENERGY_1P = {"VoltageL1", "CurrentL1", "ActivePowerTotal"}
FOUR_RATES = {f"ActiveEnergyImport{rate}" for rate in ("Sharp", "Peak", "Flat", "Valley")}
NUMBER, CLOCK = {"MeterNumber"}, {"ClockDeviation"}
WANTED = {
    "acrel-adl3000": ENERGY_3P | FOUR_RATES | CLOCK,
    "acrel-adl400": ENERGY_3P | FOUR_RATES | CLOCK,
    "acrel-dtsd1352": ENERGY_3P | FOUR_RATES | CLOCK,
    "acrel-ddsy1352": ENERGY_1P | FOUR_RATES,
    "acrel-adw300": ENERGY_3P,
    "eastron-sdm630": ENERGY_3P | NUMBER,
    "eastron-sdm120": ENERGY_1P | NUMBER,
    "abb-b23": ENERGY_3P | NUMBER,
    "abb-b24": ENERGY_3P | NUMBER,
    "schneider-iem3155": ENERGY_3P | NUMBER | CLOCK | {f"ActiveEnergyImportT{rate}" for rate in range(1, 5)},
    "schneider-pm5300": ENERGY_3P | NUMBER | CLOCK,
    "chint-dtsu666": ENERGY_3P,
    "hiking-dds238-2": ENERGY_1P,
    "lx47le-125": ENERGY_1P | {"Position", "LockCode", "LeakageCurrent", "TripCause"},
    "dlt645-2007-1p": ENERGY_1P | FOUR_RATES | NUMBER | CLOCK | {"Position"},
    "dlt645-2007-3p": ENERGY_3P | FOUR_RATES | NUMBER | CLOCK | {"Position"},
    "dlt645-1997": ENERGY_3P | FOUR_RATES | NUMBER | CLOCK,
    "cjt188-cold-water": {"WaterVolume", "Position", "BatteryLow"} | CLOCK,
    "cjt188-hot-water": {"WaterVolume", "Position", "BatteryLow"} | CLOCK,
    "cjt188-gas": {"GasVolume", "Position", "BatteryLow"} | CLOCK,
    "cjt188-heat": {"HeatEnergy", "WaterVolume", "SupplyTemperature", "ReturnTemperature"} | CLOCK,
}
NOT_CHARGED = {"lx47le-125", "wattkeeper-demo-feeder"}  # a breaker and a feeder: they measure, they count for nobody

each = pytest.mark.parametrize("profile", SHIPPED.values(), ids=SHIPPED)


def bits_of(profile: Profile, register: Register) -> Iterator[tuple[int, int, int]]:
    """Yield (function or 0, address or identifier, bit from the start of the space) for each bit a register covers."""
    if register.type == "bit":
        yield register.function, 0, register.address
        return
    modbus = profile.protocol == "modbus"
    start = register.address * WORD_BYTES if modbus else register.at
    space = (register.function, 0) if modbus else (0, register.di)
    octets = range(start, start + register.bytes)
    if register.mask and register.order == "BADC":  # status words come low byte first
        octets = octets[::-1]
    for place, octet in enumerate(octets):
        below = 8 * (register.bytes - 1 - place)
        for bit in range(8):
            if not register.mask or register.mask >> below + bit & 1:
                yield *space, 8 * octet + bit


def doubled(profile: Profile) -> set[str]:
    """Return what stands twice: bits, names, and quantities by what they are called."""
    found: set[str] = set()
    seen = Counter(bit for register in profile.registers for bit in bits_of(profile, register))
    found |= {f"bit {bit}" for bit, times in seen.items() if times > 1}
    units = Counter((r.di, r.unit_at) for r in profile.registers if r.unit_at >= 0)
    for (di, at), times in units.items():
        if times > 1 or any((0, di, 8 * at + bit) in seen for bit in range(8)):
            found.add(f"unit byte {di:04X}.{at}")
    for names in zip(*((r.measure, r.description_zh, r.description_en) for r in profile.registers), strict=True):
        found |= {name for name, times in Counter(names).items() if times > 1}
    return found


@each
def test_no_bit_means_two_things_and_every_quantity_stands_once(profile: Profile) -> None:
    assert doubled(profile) == set()


@pytest.mark.parametrize(
    ("name", "measure", "change", "wrong"),
    [
        ("acrel-adl3000", "CurrentL1", {"address": 0x0063}, "bit (3, 0, "),
        ("acrel-adl3000", "ClockDeviation", {"address": 0x0027}, "bit (3, 0, "),
        ("abb-b23", "MeterNumber", {"address": 0x5B15}, "bit (3, 0, "),
        ("lx47le-125", "LockCode", {"mask": 0xFF80}, "bit (4, 0, "),
        ("dlt645-2007-3p", "PreTripAlarm", {"mask": 0x0040}, f"bit (0, {0x04000503}, "),
        ("cjt188-heat", "HeatEnergy", {"at": 3}, f"bit (0, {0x901F}, "),
        ("cjt188-heat", "HeatEnergy", {"unit_at": 4}, "unit byte 901F.4"),
        ("abb-b23", "VoltageL2", {"measure": "VoltageL1"}, "VoltageL1"),
        ("abb-b23", "VoltageL2", {"description_en": "Voltage L1"}, "Voltage L1"),
        ("abb-b23", "VoltageL2", {"description_zh": "A相电压"}, "A相电压"),
    ],
)
def test_what_stands_twice_is_seen(name: str, measure: str, change: dict[str, object], wrong: str) -> None:
    profile = SHIPPED[name]
    changed = tuple(replace(r, **change) if r.measure == measure else r for r in profile.registers)  # type: ignore[arg-type]
    assert any(found.startswith(wrong) for found in doubled(replace(profile, registers=changed)))


def test_the_checks_of_the_configuration_agree() -> None:
    sources = read_sources(DEMO)
    assert sources.faults == []
    assert [fault for check in PROFILE_CHECKS + PROTOCOL_CHECKS for fault in check(sources)] == []


def test_a_name_means_the_same_in_every_profile() -> None:
    dimensions: dict[str, set[str]] = {}
    for profile in SHIPPED.values():
        for register in profile.registers:
            dimensions.setdefault(register.measure, set()).add(
                UNITS[register.unit][0] if register.unit in UNITS else register.unit
            )
    assert {measure: found for measure, found in dimensions.items() if len(found) > 1} == {}


@each
def test_what_depends_on_nothing_but_the_grid_has_limits(profile: Profile) -> None:
    for register in profile.registers:
        if register.measure in UNBOUNDED or register.mask or register.unit not in BOUNDED.values():
            continue
        assert register.low is not None and register.high is not None, register.measure
        assert register.low < register.high


@each
def test_what_is_charged_is_read_in_every_cycle_with_its_rates(profile: Profile) -> None:
    assert (profile.billing is None) == (profile.id in NOT_CHARGED)
    if profile.billing is None:
        return
    (block,) = [b for b in plan_blocks(profile) if _has(profile, b.registers, profile.billing.measure)]
    assert block.poll == "scan"
    for rate in filter(None, profile.billing.rates):
        assert _has(profile, block.registers, rate), f"{rate} is of another instant than the total"


@each
def test_a_switch_is_verified_by_what_is_read_in_every_cycle(profile: Profile) -> None:
    switch = profile.switch
    if switch is None:
        return
    polls = {register.measure: register.poll for register in profile.registers}
    assert polls[switch.position] == "scan"
    assert switch.verify_s > 0 and len({raw for raw, _ in switch.states}) == len(switch.states) >= 2
    assert switch.open_value != switch.close_value
    assert (switch.close_value == NEVER) == (profile.medium == "gas")
    assert polls[switch.current] == "scan" if profile.medium == "electricity" else not switch.current


@each
def test_who_it_is_and_what_its_clock_shows(profile: Profile) -> None:
    registers = {register.measure: register for register in profile.registers}
    if profile.identity:
        assert registers[profile.identity].poll == "connect"
    clocks = {register.measure for register in profile.registers if register.type == "clock"}
    assert clocks == ({profile.clock} if profile.clock else set())
    assert not profile.clock or registers[profile.clock].unit == "s"


@pytest.mark.parametrize("name", WANTED)
def test_the_models_of_the_brief_bring_what_they_have(name: str) -> None:
    profile = SHIPPED[name]
    assert WANTED[name] <= {register.measure for register in profile.registers}
    assert bool(profile.identity) == ("MeterNumber" in WANTED[name])
    assert bool(profile.clock) == ("ClockDeviation" in WANTED[name])
    assert not profile.verified


def _has(profile: Profile, indices: tuple[int, ...], measure: str) -> bool:
    return any(profile.registers[index].measure == measure for index in indices)

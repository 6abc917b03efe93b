"""Every profile the repository ships can be simulated, and the drivers' own decoder reads back what the field shows."""

import struct
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import config
from config import assembly, loader
from drivers.decode import Decoder
from drivers.device import Device
from drivers.field.modbus_slave import ModbusSlave
from drivers.field.model import Field, SimMeter
from drivers.field.quantities import COUNTERS, quantity_of
from drivers.field.registers import ratio_of
from drivers.field.station import Station
from drivers.field.views import analog_base, counter_base
from drivers.pollplan import plan_blocks
from drivers.profile import Profile, Register
from scada.position import CLOSED

NOON_NS = 1_763_524_800_000_000_000
INITIAL = 123_456
# Settings, what flows the other way, and reactive energy, which begins at zero with the simulation
NOT_MODELLED = {
    "LeakageCurrent",
    "ReactiveEnergyTotal",
    "ActiveEnergyExportTotal",
    "CtRatio",
    "LockCode",
    "TripCause",
} | {f"ActiveEnergyImportT{rate}" for rate in range(1, 5)}
NUMBER = 26_110_016
MODELS = assembly.profiles(loader.read_sources(Path(config.__file__).parent / "demo"))
SHIPPED = {name: found for name, found in MODELS.items() if found.protocol == "modbus"}  # the rest: test_agreement
FLOAT_RELATIVE = 1e-6  # binary32 carries 24 bits


def payload(station: Station, function: int, address: int, count: int) -> bytes:
    words = ModbusSlave(station).read(function, address, count)
    if function in (3, 4):
        return struct.pack(f">{count}H", *words)
    bits = sum(bit << at for at, bit in enumerate(words))
    return bits.to_bytes((count + 7) // 8, "little")


def expected(station: Station, register: Register) -> float:
    """What the model holds, in engineering units, without any encoding."""
    billing = station.profile.billing
    if billing is not None and register.measure in billing.rates:
        return 0.0 if billing.rates.index(register.measure) else expected(station, station.profile.registers[0])
    quantity = quantity_of(register)
    if quantity.dimension == "none":
        return 0.0
    if quantity.dimension in COUNTERS:
        return float(counter_base(station.state, quantity) / quantity.base_per_unit)
    return analog_base(station.state, quantity) / float(quantity.base_per_unit)


@pytest.mark.parametrize("profile", SHIPPED.values(), ids=SHIPPED)
@pytest.mark.parametrize("ct", [1, 40])
def test_what_the_field_shows_is_what_the_driver_decodes(profile: Profile, ct: int) -> None:
    device = Device("m", "g", 1, profile, ct, 1, {}, serial=f"SN {NUMBER}")
    on_transformers = any(register.ratio for register in profile.registers)
    nominal = 6_000.0 * (ct if on_transformers else 1) if profile.medium == "electricity" else 4.0
    field = Field([SimMeter(device, nominal, shape="flat", seed=9, initial_counts=INITIAL)], ZoneInfo("Asia/Shanghai"))
    field.step(NOON_NS, 0)
    station = Station(field, field.states["m"])
    blocks = plan_blocks(profile)
    decoder = Decoder(profile, ct, 1, blocks)
    seen = set()
    for number, block in enumerate(blocks):
        said = payload(station, block.function, block.address, block.count)
        decoded = decoder.decode(number, said, NOON_NS - 1_500_000_000, 8 * 3600)
        assert decoded.good
        assert decoded.billing_raw in (None, INITIAL)
        assert decoded.position in (None, CLOSED)
        for index, value in zip(block.registers, decoded.values, strict=True):
            register = profile.registers[index]
            seen.add(register.measure)
            if register.type == "clock":
                assert value == 1.5
            elif register.measure == profile.identity:
                assert value == NUMBER
            elif profile.switch is None or register.measure != profile.switch.position:
                count = float(register.scale * ratio_of(device, register.ratio))
                assert value == pytest.approx(expected(station, register), abs=count, rel=FLOAT_RELATIVE)
                unused = profile.billing is None or register.measure in (*profile.billing.rates[1:], *NOT_MODELLED)
                assert value != 0 or unused
    assert seen == {register.measure for register in profile.registers}


@pytest.mark.parametrize(("serial", "shown"), [("4294967295", 4_294_967_295), ("20262611271", 262_611_271)])
def test_a_number_that_a_register_cannot_hold_shows_its_end(serial: str, shown: int) -> None:
    profile = SHIPPED["abb-b23"]
    device = Device("m", "g", 1, profile, 1, 1, {}, serial=serial)
    field = Field([SimMeter(device)], ZoneInfo("Asia/Shanghai"))
    field.step(NOON_NS, 0)
    number = next(r for r in profile.registers if r.measure == profile.identity)
    said = payload(Station(field, field.states["m"]), 3, number.address, 2)
    assert int.from_bytes(said, "big") == shown


def test_profiles_were_found() -> None:
    assert {"wattkeeper-demo-1p", "wattkeeper-demo-3p", "wattkeeper-demo-water"} <= set(SHIPPED)

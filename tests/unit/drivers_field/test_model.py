"""The park as a model: exact registers, breakers that carry what is below, and the same numbers for the same seed."""

from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from drivers.device import Device
from drivers.field.modbus_slave import ModbusSlave
from drivers.field.model import PER_BASE_UNIT, Field, SimMeter
from drivers.field.quantities import quantity_of
from drivers.field.shapes import OCTAVES, SHAPES, Noise, levels
from drivers.field.station import Station
from drivers.field.views import analog_base, counter_base
from drivers.profile import Billing, Profile, Register
from scada.position import CLOSED, INTERMEDIATE, OPEN

ZONE = ZoneInfo("Asia/Shanghai")
SECOND_NS = 1_000_000_000
NOON_NS = 1_763_524_800 * SECOND_NS  # 2025-11-19 12:00 in Shanghai, a Wednesday
MONO_NS = 5 * SECOND_NS


METER_WITH_RATES = Profile(
    "rates", "Maker", "Model", "electricity",
    tuple(
        Register(f"Energy{name}", 3, 2 * at, "u32", Fraction(1, 100), "kWh", "电能", "Energy")
        for at, name in enumerate(("", "Sharp", "Peak", "Flat", "Valley", "DeepValley"))
    ),
    Billing("Energy", 10, 10**8, ("EnergySharp", "EnergyPeak", "EnergyFlat", "EnergyValley", "EnergyDeepValley")),
    None,
)  # fmt: skip


@pytest.fixture
def field(small_meters: tuple[SimMeter, ...]) -> Field:
    field = Field(small_meters, ZONE)
    field.step(NOON_NS, MONO_NS)
    return field


def settle(field: Field, utc_ns: int = NOON_NS) -> None:
    field.step(utc_ns, field.mono_ns + 2 * SECOND_NS)  # every mechanism has arrived


def counts(field: Field, device: str) -> int:
    """The billing register since ever, in counts of 0.01 kWh (times CT) or litres."""
    state = field.states[device]
    station = Station(field, state)
    register = next(r for r in station.profile.registers if r.measure == station.profile.billing.measure)
    quantity = quantity_of(register)
    ratio = state.meter.device.ct if register.ratio else 1
    return int(counter_base(state, quantity) // (quantity.base_per_unit * register.scale * ratio))


@pytest.mark.parametrize("stride_s", [0.1, 1.0, 37.0, 600.0])
@pytest.mark.parametrize("device", ["shop", "hall", "feeder", "water"])
def test_the_register_is_the_exact_integral_of_the_power_shown(field: Field, device: str, stride_s: float) -> None:
    state = field.states[device]
    began, integral, now = state.counted, 0, NOON_NS
    for _ in range(200):
        rate, elapsed_ns = state.rate_milli, int(stride_s * SECOND_NS) + 7  # no round numbers: nothing may be cut off
        now += elapsed_ns
        field.step(now, field.mono_ns)
        integral += rate * elapsed_ns
    assert state.counted - began == integral > 0


def test_one_hour_at_one_kilowatt_is_one_kilowatt_hour(profiles: dict[str, Profile]) -> None:
    field = Field([SimMeter(Device("m", "g", 1, profiles["single"], 1, 1, {}), nominal=1000.0, shape="flat")], ZONE)
    state = field.states["m"]
    field.step(NOON_NS, 0)
    state.rate_milli = 1_000_000  # whatever the noise says: exactly 1 kW until the next step
    field.step(NOON_NS + 3600 * SECOND_NS, 0)
    assert Fraction(state.counted, PER_BASE_UNIT) == 1000


def test_initial_register_is_shown_at_once(field: Field) -> None:
    assert counts(field, "shop") == 1234
    assert counts(field, "water") == 77


def test_a_registers_shows_only_what_was_latched(field: Field) -> None:
    field.step(NOON_NS + 7200 * SECOND_NS, MONO_NS)
    assert counts(field, "shop") == 1234
    field.latch()
    assert counts(field, "shop") > 1234 + 500


def test_time_that_stands_or_goes_back_counts_nothing(field: Field) -> None:
    before = field.states["shop"].counted
    field.step(NOON_NS, MONO_NS)
    field.step(NOON_NS - 3600 * SECOND_NS, MONO_NS)
    assert field.states["shop"].counted == before


def test_a_feeder_measures_what_is_below_and_a_little_loss(field: Field) -> None:
    below = field.states["shop"].rate_milli + field.states["hall"].rate_milli
    assert below < field.states["feeder"].rate_milli < below * 1.01


def test_a_trip_stops_current_and_energy_after_the_mechanism_has_moved(field: Field) -> None:
    state = field.states["hall"]
    mechanism = state.mechanism
    current = quantity_of(next(r for r in state.meter.device.profile.registers if r.measure == "CurrentL1"))
    assert analog_base(state, current) > 10
    mechanism.command(OPEN, field.mono_ns)
    field.step(NOON_NS, field.mono_ns + mechanism.travel_ns - 1)
    assert mechanism.position == INTERMEDIATE
    assert state.rate_milli > 0
    field.step(NOON_NS, field.mono_ns + 1)
    assert (mechanism.position, state.rate_milli, analog_base(state, current)) == (OPEN, 0, 0.0)
    counted = state.counted
    field.step(NOON_NS + 3600 * SECOND_NS, field.mono_ns)
    assert state.counted == counted


def test_the_mechanism_takes_0_3_to_1_s(field: Field) -> None:
    travels = [state.mechanism.travel_ns for state in field.states.values() if state.mechanism]
    assert all(300_000_000 <= travel <= 1_000_000_000 for travel in travels)


def test_an_open_upstream_breaker_darkens_what_is_below_and_nothing_else(field: Field) -> None:
    field.states["feeder"].mechanism.command(OPEN, field.mono_ns)
    settle(field)
    volts = {
        name: analog_base(state, quantity_of(next(r for r in state.meter.device.profile.registers if r.unit == "V")))
        for name, state in field.states.items()
        if state.meter.medium == "electricity"
    }
    assert volts["shop"] == volts["hall"] == 0.0
    assert volts["feeder"] > 200  # its own upstream side is live
    assert volts["lamp"] > 200
    rates = {name: state.rate_milli > 0 for name, state in field.states.items()}
    assert rates == {"feeder": False, "shop": False, "hall": False, "lamp": True, "water": True}


def test_a_dead_source_darkens_its_medium_only(field: Field) -> None:
    field.supply["electricity"] = False
    settle(field)
    assert [name for name, state in field.states.items() if state.rate_milli] == ["water"]


def test_failed_trip_does_not_move(field: Field) -> None:
    mechanism = field.states["shop"].mechanism
    mechanism.stuck_closed = True
    mechanism.command(OPEN, field.mono_ns)
    settle(field)
    assert (mechanism.position, field.states["shop"].rate_milli > 0) == (CLOSED, True)


@pytest.mark.parametrize(("shows", "position"), [("open", OPEN), ("closed", CLOSED)])
def test_welded_contact_carries_current_whatever_it_shows(field: Field, shows: str, position: int) -> None:
    mechanism = field.states["shop"].mechanism
    mechanism.weld = shows
    mechanism.command(OPEN, field.mono_ns)
    settle(field)
    assert (mechanism.position, field.states["shop"].rate_milli > 0) == (position, True)
    mechanism.clear_faults()
    settle(field)
    assert (field.states["shop"].rate_milli > 0) == (position == CLOSED)


def test_bypass_hides_part_of_the_load_from_the_meter_but_not_from_the_feeder(field: Field) -> None:
    shop, feeder = field.states["shop"], field.states["feeder"]
    honest, upstream = shop.rate_milli, feeder.rate_milli
    shop.bypass_permille = 600
    settle(field)
    assert shop.rate_milli == honest * 400 // 1000
    assert feeder.rate_milli == upstream


def test_phase_currents_follow_the_shares_and_the_ratio(field: Field) -> None:
    state = field.states["hall"]
    watts = [
        analog_base(state, quantity_of(r)) * analog_base(state, quantity_of(v)) * state.power_factor_permille / 1000
        for r, v in zip(
            [r for r in state.meter.device.profile.registers if r.unit == "A"],
            [r for r in state.meter.device.profile.registers if r.unit == "V"],
            strict=True,
        )
    ]
    assert sum(watts) == pytest.approx(state.rate_milli / 1000)
    assert len(set(watts)) == 3


def test_voltage_drops_a_little_under_load(field: Field) -> None:
    state = field.states["shop"]
    volts = quantity_of(next(r for r in state.meter.device.profile.registers if r.unit == "V"))
    loaded = analog_base(state, volts)
    state.load_permille = 0
    settle(field)
    assert 0.01 < 1 - loaded / analog_base(state, volts) < 0.03


def test_noise_is_smooth_and_bounded() -> None:
    period_ns, bound = OCTAVES[-1][0], sum(amplitude for _, amplitude in OCTAVES)
    for seed in range(20):
        noise, at = Noise(seed), NOON_NS // period_ns * period_ns
        values = [noise.at(at + tick * period_ns // 100) for tick in range(300)]
        steps = [abs(b - a) for a, b in pairwise(values)]
        assert max(map(abs, values)) <= bound
        assert max(steps) < 0.003
        assert steps[100] < 0.0001  # flat where two cells meet; the slow octave moves at most 0.000075 a tick


def test_the_same_seed_gives_the_same_park_and_another_seed_another(small_meters: tuple[SimMeter, ...]) -> None:
    def history(meters: tuple[SimMeter, ...]) -> list[int]:
        field = Field(meters, ZONE)
        for minute in range(120):
            field.step(NOON_NS + minute * 60 * SECOND_NS, 0)
        return [state.counted for state in field.states.values()]

    assert history(small_meters) == history(small_meters)
    other = tuple(SimMeter(m.device, m.nominal, m.parent, m.shape, m.seed + 1) for m in small_meters)
    assert history(other) != history(small_meters)


def test_shapes_follow_the_sites_day() -> None:
    night = levels(NOON_NS - 9 * 3600 * SECOND_NS, ZONE)
    day = levels(NOON_NS + 3 * 3600 * SECOND_NS, ZONE)
    sunday = levels(NOON_NS + (4 * 24 + 3) * 3600 * SECOND_NS, ZONE)
    assert day["office"] > 0.9 > 0.2 > night["office"]
    assert sunday["office"] < 0.3
    assert night["night"] == 1.0 > 0.1 > day["night"]
    assert set(day) == set(SHAPES)


def test_shapes_have_no_step(  # a jump at the full hour would look like a fault
) -> None:
    for minute in range(7 * 24 * 60):
        before = levels(NOON_NS + minute * 60 * SECOND_NS, ZONE)
        after = levels(NOON_NS + (minute + 1) * 60 * SECOND_NS, ZONE)
        assert all(abs(after[shape] - before[shape]) < 0.02 for shape in SHAPES)


def test_snapshot_and_restore(field: Field, small_meters: tuple[SimMeter, ...]) -> None:
    field.states["shop"].mechanism.command(OPEN, field.mono_ns)
    settle(field, NOON_NS + 3600 * SECOND_NS)
    again = Field(small_meters, ZONE)
    again.restore(field.snapshot())
    assert again.states["shop"].shown == field.states["shop"].counted
    again.step(NOON_NS + 48 * 3600 * SECOND_NS, 0)  # the pause is not added
    assert {name: state.counted for name, state in again.states.items()} == {
        name: state.counted for name, state in field.states.items()
    }
    assert again.states["shop"].mechanism.position == OPEN
    assert again.states["hall"].mechanism.position == CLOSED


@pytest.mark.parametrize(
    ("parents", "said"), [({"a": "x"}, "parent x is not"), ({"a": "b", "b": "a"}, "form a circle")]
)
def test_wrong_parents_are_named(profiles: dict[str, Profile], parents: dict[str, str], said: str) -> None:
    make: Callable[[str], SimMeter] = lambda name: SimMeter(  # noqa: E731
        Device(name, "g", 1, profiles["single"], 1, 1, {}), parent=parents.get(name, "")
    )
    with pytest.raises(ValueError, match=said):
        Field([make("a"), make("b")], ZONE)


def test_rate_registers_follow_the_meters_own_table() -> None:
    """Six minutes over 08:00 in one step: two of them before the border, four behind it, and nothing lost."""
    minutes = tuple(tuple(3 if minute < 480 else 1 for minute in range(1440)) for _ in range(7))
    device = Device("m", "g", 1, METER_WITH_RATES, 1, 1, {})
    field = Field([SimMeter(device, 6000.0, shape="flat", rate_minutes=minutes)], ZONE)
    state = field.states["m"]
    before_ns = int(datetime(2026, 3, 2, 7, 58, tzinfo=ZONE).timestamp()) * 1_000_000_000
    field.step(before_ns, 0)
    rate_milli = state.rate_milli
    field.step(before_ns + 360 * 1_000_000_000, 0)
    parts = [0, rate_milli * 240 * 1_000_000_000, 0, rate_milli * 120 * 1_000_000_000, 0]
    assert state.counted_rates == parts
    assert state.counted == sum(parts)
    field.latch()
    again = Field([SimMeter(device, 6000.0, shape="flat", rate_minutes=minutes)], ZONE)
    again.restore(field.snapshot())
    assert again.states["m"].shown_rates == tuple(parts)
    words = ModbusSlave(Station(field, state)).read(3, 0, 12)
    total, *rates = (words[at] << 16 | words[at + 1] for at in range(0, 12, 2))
    assert rates == [part // (10 * PER_BASE_UNIT) for part in parts]
    assert 0 <= total - sum(rates) <= 1

"""Where the raw value of a register of a simulated meter comes from: one function per register, chosen once.

Rule: a source returns what the meter holds, in counts and before any encoding: int, or float for a float register. The
inverse of the driver's decoder; whole counters stay whole.
"""

from collections.abc import Callable
from typing import Final

from drivers.device import Device
from drivers.field.model import PER_BASE_UNIT, MeterState
from drivers.field.quantities import COUNTERS, counted_unit, quantity_of
from drivers.field.registers import ratio_of, rounded, units_per_count
from drivers.field.views import analog_base, counter_base
from drivers.profile import Billing, Register, Switch
from scada.position import CLOSED, INTERMEDIATE, OPEN

Source = Callable[[], int | float]
IMPORTED: Final = "ActiveEnergyImport"  # of measures of every profile, with the name of the rate behind it
RATE_NAMES: Final = ("Sharp", "Peak", "Flat", "Valley", "DeepValley")


def source_of(state: MeterState, register: Register) -> Source:
    """Return what computes the raw value of one register; the choice is made once, not at every read."""
    profile = state.meter.device.profile
    if profile.switch is not None and register.measure == profile.switch.position:
        return _position(state, profile.switch)
    rate = rate_of(register.measure, profile.billing)
    if rate >= 0:
        return rate_source(state, register, rate)
    quantity = quantity_of(register)
    if quantity.dimension in COUNTERS:
        return _counter(state, register)
    if quantity.dimension == "none" or register.mask:
        return lambda: 0
    factor = float(quantity.base_per_unit) * float(units_per_count(register, _ratio(state, register)))
    if register.type == "f32":
        return lambda: analog_base(state, quantity) / factor
    return lambda: rounded(register, analog_base(state, quantity) / factor)


def rate_of(measure: str, billing: Billing | None) -> int:
    """Return which rate a register counts, from 0; -1 for a total, and for what is no energy that flows in.

    Rates that are for people alone are not named under [billing]: their names tell.
    """
    if billing is not None and measure in billing.rates:
        return billing.rates.index(measure)
    name = measure.removeprefix(IMPORTED)
    return RATE_NAMES.index(name) if name != measure and name in RATE_NAMES else -1


def rate_source(state: MeterState, register: Register, rate: int) -> Source:
    """One rate register: like the billing register, of what was used while the meter's own table said this rate."""
    device = state.meter.device
    base = counted_unit(device.profile)[1]
    per_count = base * units_per_count(register, _ratio(state, register)) * PER_BASE_UNIT
    modulus = device.profile.billing.modulus_counts if device.profile.billing is not None else 0

    def counts() -> int:
        whole = int(state.shown_rates[rate] // per_count)
        return whole % modulus if modulus else whole

    return counts


def modulus_of(device: Device, register: Register) -> int:
    """Return at how many counts a register rolls over; 0 where only its width ends it."""
    billing = device.profile.billing
    return billing.modulus_counts if billing is not None and billing.measure == register.measure else 0


def _counter(state: MeterState, register: Register) -> Source:
    """Whole counts, cut off as a counter does; the billing register rolls over at the profile's modulus."""
    quantity = quantity_of(register)
    per_count = quantity.base_per_unit * units_per_count(register, _ratio(state, register))
    modulus = modulus_of(state.meter.device, register)

    def counts() -> int:
        whole = int(counter_base(state, quantity) // per_count)
        return whole % modulus if modulus else whole

    def fraction() -> float:
        return float(counter_base(state, quantity) / per_count)

    return fraction if register.type == "f32" else counts


def _position(state: MeterState, switch: Switch) -> Source:
    """The first raw value of each position. A device that cannot show "intermediate" shows where it came from."""
    raws: dict[int, int] = {}
    for raw, position in switch.states:
        raws.setdefault(position, raw)

    def raw_position() -> int:
        mechanism = state.mechanism
        position = INTERMEDIATE if mechanism is None else mechanism.position
        if position not in raws and mechanism is not None:
            position = OPEN if mechanism.target == CLOSED else CLOSED
        return raws.get(position, 0)

    return raw_position


def _ratio(state: MeterState, register: Register) -> int:
    return ratio_of(state.meter.device, register.ratio)

"""What the sensors of a simulated meter show: every quantity of a MeterState in base units.

Rule: reads a state, changes nothing. Counters come as integers, everything else as a float.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Final

from drivers.field.model import PER_BASE_UNIT, PERMILLE, MeterState
from drivers.field.quantities import MEDIA, RATES, Dimension, Quantity, equivalent

PHASE_V: Final = 220.0  # low voltage, phase to neutral (GB/T 156)
SECONDARY_V: Final = 100.0  # voltage transformers: 100 V between lines at rated voltage
SQRT3: Final = 3.0**0.5
DROP: Final = 0.02  # voltage lost on the way at nominal load
RISE: Final = 0.015  # how much above nominal the transformer's tap is set
SOURCE_SWING: Final = 0.05  # share of the noise that the mains voltage follows
FREQUENCY_HZ: Final = 50.0


def counter_base(state: MeterState, quantity: Quantity) -> Fraction:
    """Return the exact reading of a counter in base units of its dimension, since ever."""
    if quantity.dimension == "reactive_energy":
        reading = Fraction(state.shown_var, PER_BASE_UNIT)
    else:
        reading = Fraction(state.shown, PER_BASE_UNIT) * equivalent(state.meter.medium, quantity.dimension, state.main)
    return reading * _share(state, quantity.phase) / PERMILLE


def analog_base(state: MeterState, quantity: Quantity) -> float:
    """Return a momentary value in base units of its dimension; 0 for what is not modelled."""
    view = _VIEWS.get(quantity.dimension)
    return view(state, quantity) if view is not None else 0.0


def _share(state: MeterState, phase: int) -> int:
    return PERMILLE if phase == 0 else state.shares_permille[phase - 1]


def _rate(state: MeterState, quantity: Quantity) -> float:
    factor = equivalent(state.meter.medium, RATES[quantity.dimension], state.main)
    return state.rate_milli / 1000.0 * float(factor) * _share(state, quantity.phase) / PERMILLE


def _reactive(state: MeterState, quantity: Quantity) -> float:
    return state.var_milli / 1000.0 * _share(state, quantity.phase) / PERMILLE


def _apparent(state: MeterState, quantity: Quantity) -> float:
    watts = state.rate_milli / 1000.0 * _share(state, quantity.phase) / PERMILLE
    return watts * PERMILLE / state.power_factor_permille


def _voltage(state: MeterState, quantity: Quantity) -> float:
    """Primary voltage; 0 when upstream is dead or the phase is not connected."""
    if not state.live or _share(state, quantity.phase) == 0:
        return 0.0
    pt = state.meter.device.pt
    nominal = PHASE_V if pt == 1 else SECONDARY_V / SQRT3 * pt
    loading = state.drawn_milli / state.nominal_milli if state.nominal_milli else 0.0
    phase = nominal * (1.0 + RISE + SOURCE_SWING * state.wander) * (1.0 - DROP * loading)
    return phase * SQRT3 if quantity.line else phase


def _current(state: MeterState, quantity: Quantity) -> float:
    """Primary current of a phase; without a phase, the mean of the connected ones."""
    volts = _voltage(state, Quantity("voltage", Fraction(1), quantity.phase))
    if volts == 0.0:
        return 0.0
    amperes = _apparent(state, quantity) / volts
    return amperes / state.meter.phase_count if quantity.phase == 0 else amperes


def _power_factor(state: MeterState, quantity: Quantity) -> float:
    if not state.live:
        return 0.0
    return state.power_factor_permille / PERMILLE if state.rate_milli else 1.0


def _frequency(state: MeterState, quantity: Quantity) -> float:
    return FREQUENCY_HZ + 0.2 * state.wander if state.live else 0.0


def _temperature(state: MeterState, quantity: Quantity) -> float:
    facts = MEDIA[state.meter.medium]
    supply, back = facts.supply_c + 5.0 * state.wander, facts.return_c + 3.0 * state.wander
    return {"supply": supply, "return": back, "difference": abs(supply - back)}[quantity.place]


def _pressure(state: MeterState, quantity: Quantity) -> float:
    return MEDIA[state.meter.medium].pressure_pa * (1.0 + 0.2 * state.wander) if state.live else 0.0


_VIEWS: Final[dict[Dimension, Callable[[MeterState, Quantity], float]]] = {
    "power": _rate,
    "flow": _rate,
    "mass_flow": _rate,
    "voltage": _voltage,
    "current": _current,
    "reactive": _reactive,
    "apparent": _apparent,
    "frequency": _frequency,
    "temperature": _temperature,
    "pressure": _pressure,
    "ratio": _power_factor,
}

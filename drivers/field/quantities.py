"""What a register of a simulated meter shows, told by its unit and its name.

Every unit belongs to a dimension with one base unit; a meter keeps one exact counter in the base unit of its own
dimension (Wh, L or kg) and every other quantity follows from it by the table of its medium.
Rule: tables and conversions only; the state they describe lives in `drivers.field.model`.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from drivers.profile import Profile, Register

Dimension = Literal[
    "energy", "volume", "mass", "power", "flow", "mass_flow", "voltage", "current", "reactive", "apparent",
    "reactive_energy", "frequency", "temperature", "pressure", "ratio", "none",
]  # fmt: skip

_WH_PER_MJ: Final = Fraction(1_000_000, 3600)

# symbol -> (dimension, base units per unit). Base units: Wh, L, kg, W, L/h, kg/h, V, A, var, VA, varh, Hz, °C, Pa, 1
UNITS: Final[dict[str, tuple[Dimension, Fraction]]] = {
    "Wh": ("energy", Fraction(1)), "kWh": ("energy", Fraction(1000)), "MWh": ("energy", Fraction(1_000_000)),
    "MJ": ("energy", _WH_PER_MJ), "GJ": ("energy", 1000 * _WH_PER_MJ),
    "L": ("volume", Fraction(1)), "m3": ("volume", Fraction(1000)),
    "kg": ("mass", Fraction(1)), "t": ("mass", Fraction(1000)),
    "W": ("power", Fraction(1)), "kW": ("power", Fraction(1000)), "MW": ("power", Fraction(1_000_000)),
    "L/h": ("flow", Fraction(1)), "m3/h": ("flow", Fraction(1000)),
    "kg/h": ("mass_flow", Fraction(1)), "t/h": ("mass_flow", Fraction(1000)),
    "V": ("voltage", Fraction(1)), "kV": ("voltage", Fraction(1000)),
    "A": ("current", Fraction(1)), "mA": ("current", Fraction(1, 1000)),
    "var": ("reactive", Fraction(1)), "kvar": ("reactive", Fraction(1000)),
    "VA": ("apparent", Fraction(1)), "kVA": ("apparent", Fraction(1000)),
    "varh": ("reactive_energy", Fraction(1)), "kvarh": ("reactive_energy", Fraction(1000)),
    "Hz": ("frequency", Fraction(1)), "°C": ("temperature", Fraction(1)),
    "kPa": ("pressure", Fraction(1000)), "MPa": ("pressure", Fraction(1_000_000)),
    "bar": ("pressure", Fraction(100_000)),
    "": ("ratio", Fraction(1)),
}  # fmt: skip

COUNTERS: Final[tuple[Dimension, ...]] = ("energy", "volume", "mass", "reactive_energy")
RATES: Final[dict[Dimension, Dimension]] = {"power": "energy", "flow": "volume", "mass_flow": "mass"}


@dataclass(frozen=True, slots=True)
class MediumFacts:
    """How one medium behaves: amounts that are equal to each other, and what its sensors show around."""

    main: Dimension  # what is counted when the profile bills nothing
    equal: dict[Dimension, Fraction]  # amounts of each counted dimension that flow together
    supply_c: float = 0.0  # temperatures at the supply and the return
    return_c: float = 0.0
    pressure_pa: float = 0.0


# Heat: 60/40 °C, cooling: 7/12 °C, water carries 1.163 Wh per litre and kelvin. Gas: 10 kWh/m3 (natural gas, superior).
# Steam at 0.8 MPa: 2.77 GJ/t (IAPWS-IF97, saturated), which is 769 Wh/kg.
MEDIA: Final[dict[str, MediumFacts]] = {
    "electricity": MediumFacts("energy", {"energy": Fraction(1)}),
    "water": MediumFacts("volume", {"volume": Fraction(1)}, 16.0, 16.0, 350_000.0),
    "gas": MediumFacts("volume", {"volume": Fraction(1), "energy": Fraction(10)}, 18.0, 18.0, 3_000.0),
    "steam": MediumFacts("mass", {"mass": Fraction(1), "energy": Fraction(769)}, 174.0, 90.0, 800_000.0),
    "heat": MediumFacts("energy", {"energy": Fraction(23260, 1000), "volume": Fraction(1)}, 60.0, 40.0, 600_000.0),
    "cooling": MediumFacts("energy", {"energy": Fraction(5815, 1000), "volume": Fraction(1)}, 7.0, 12.0, 500_000.0),
}

_PHASE: Final = re.compile(r"L([123])(?:L[123])?(?=[A-Z]|$)")
_LINE: Final = re.compile(r"L[123]L[123]")
# Names that the unit alone would misread: reverse flow, single rates, maxima and settings are not modelled
_NOT_MODELLED: Final = re.compile(
    r"Export|Reverse|Demand|T[1-9]$|TOU|Remaining|Limit|Neutral|CurrentN$|Leakage|Residual"
)
_TEMPERATURES: Final = (("Supply", "supply"), ("Return", "return"), ("Difference", "difference"))


@dataclass(frozen=True, slots=True)
class Quantity:
    """One register, understood: what to show and in which direction of the table to look."""

    dimension: Dimension  # "none": shows 0
    base_per_unit: Fraction
    phase: int  # 0 the total, 1..3 one phase
    line: bool = False  # line-to-line voltage
    place: str = ""  # temperatures: "supply", "return", "difference"


def quantity_of(register: Register) -> Quantity:
    """Tell what a register shows. Anything that is not modelled shows 0 ("none")."""
    dimension, factor = UNITS.get(register.unit, ("none", Fraction(1)))
    if _NOT_MODELLED.search(register.measure) or (dimension == "ratio" and "PowerFactor" not in register.measure):
        dimension = "none"
    found = _PHASE.search(register.measure)
    place = next((place for word, place in _TEMPERATURES if word in register.measure), "supply")
    return Quantity(
        dimension,
        factor,
        phase=int(found.group(1)) if found else 0,
        line=bool(_LINE.search(register.measure)),
        place=place if dimension == "temperature" else "",
    )


def counted_unit(profile: Profile) -> tuple[Dimension, Fraction]:
    """Return what the meter counts and the base units of one unit of it: its billing register's, else the medium's."""
    if profile.billing is None:
        return MEDIA[profile.medium].main, Fraction(1000)
    return UNITS[next(r.unit for r in profile.registers if r.measure == profile.billing.measure)]


def equivalent(medium: str, dimension: Dimension, main: Dimension) -> Fraction:
    """Return how much of `dimension` flows with one base unit of `main`; 0 when the medium does not carry it."""
    equal = MEDIA[medium].equal
    if dimension == main:
        return Fraction(1)
    return equal.get(dimension, Fraction(0)) / equal[main]

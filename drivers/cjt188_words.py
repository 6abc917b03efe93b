"""The words of CJ/T 188: unit codes, meter types, data identifiers, status bits and reply layouts, as tables.

Rule: data and look-ups only; `drivers.cjt188` makes and judges frames, the bulk decoder and profiles read the tables.
Source: CJ/T 188-2004 with the additions of the 2018 edition; [V] seen in public material, [K] to be proven on a device.
"""

from fractions import Fraction
from typing import Final

_JOULE_WH: Final = Fraction(1, 3600)

# Unit byte -> (base unit, base units per counted unit). An engineering value is its BCD digits times the decimals of
# its field (two for volumes and energies, see LAYOUTS) times this factor. [V] A code that is not here is refused:
# guessing a power of ten would bill ten times too much.
UNIT_CODES: Final[dict[int, tuple[str, Fraction]]] = {
    0x01: ("Wh", _JOULE_WH),  # J
    0x02: ("Wh", Fraction(1)),
    0x05: ("Wh", Fraction(10**3)),  # kWh
    0x06: ("Wh", Fraction(10**4)),
    0x07: ("Wh", Fraction(10**5)),
    0x08: ("Wh", Fraction(10**6)),  # MWh
    0x09: ("Wh", Fraction(10**7)),
    0x0A: ("Wh", Fraction(10**8)),
    0x0B: ("Wh", 10**3 * _JOULE_WH),  # kJ
    0x0E: ("Wh", 10**6 * _JOULE_WH),  # MJ
    0x11: ("Wh", 10**9 * _JOULE_WH),  # GJ
    0x12: ("Wh", 10**10 * _JOULE_WH),
    0x13: ("Wh", 10**11 * _JOULE_WH),
    0x14: ("W", Fraction(1)),
    0x17: ("W", Fraction(10**3)),  # kW
    0x1A: ("W", Fraction(10**6)),  # MW
    0x29: ("L", Fraction(1)),
    0x2C: ("L", Fraction(10**3)),  # m3
    0x2D: ("L", Fraction(10**4)),
    0x2E: ("L", Fraction(10**5)),
    0x32: ("L/h", Fraction(1)),
    0x35: ("L/h", Fraction(10**3)),  # m3/h
    0x40: ("W", _JOULE_WH),  # J/h
    0x43: ("W", 10**3 * _JOULE_WH),  # kJ/h
    0x46: ("W", 10**6 * _JOULE_WH),  # MJ/h
    0x49: ("W", 10**9 * _JOULE_WH),  # GJ/h
}
# Unit of a register in a profile -> (base unit, base units in one of it)
UNITS: Final[dict[str, tuple[str, Fraction]]] = {
    "Wh": ("Wh", Fraction(1)),
    "kWh": ("Wh", Fraction(10**3)),
    "MWh": ("Wh", Fraction(10**6)),
    "MJ": ("Wh", 10**6 * _JOULE_WH),
    "GJ": ("Wh", 10**9 * _JOULE_WH),
    "W": ("W", Fraction(1)),
    "kW": ("W", Fraction(10**3)),
    "MW": ("W", Fraction(10**6)),
    "L": ("L", Fraction(1)),
    "m3": ("L", Fraction(10**3)),
    "L/h": ("L/h", Fraction(1)),
    "m3/h": ("L/h", Fraction(10**3)),
}


def unit_factor(code: int, unit: str) -> Fraction | None:
    """Return how many of `unit` one counted unit of a unit byte is, exactly.

    None when the code is unknown or counts another quantity (litres where the register wants kWh): the value is bad.
    KeyError for a unit that no CJ/T 188 register can have; the profile is wrong.
    """
    base, size = UNITS[unit]
    counted = UNIT_CODES.get(code)
    if counted is None or counted[0] != base:
        return None
    return counted[1] / size

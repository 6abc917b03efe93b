"""The tables of CJ/T 188: exact, without gaps in what they promise, and refusing what they do not know."""

from fractions import Fraction

import pytest

from drivers.cjt188_words import UNIT_CODES, UNITS, unit_factor


@pytest.mark.parametrize(
    ("code", "unit", "factor"),
    [
        (0x2C, "m3", Fraction(1)),
        (0x29, "m3", Fraction(1, 1000)),
        (0x2E, "L", Fraction(100_000)),
        (0x05, "kWh", Fraction(1)),
        (0x08, "kWh", Fraction(1000)),
        (0x11, "kWh", Fraction(2_500, 9)),
        (0x11, "GJ", Fraction(1)),
        (0x13, "GJ", Fraction(100)),
        (0x0E, "GJ", Fraction(1, 1000)),
        (0x01, "Wh", Fraction(1, 3600)),
        (0x17, "kW", Fraction(1)),
        (0x49, "kW", Fraction(2_500, 9)),
        (0x35, "m3/h", Fraction(1)),
        (0x32, "m3/h", Fraction(1, 1000)),
    ],
)
def test_a_unit_byte_scales_exactly(code: int, unit: str, factor: Fraction) -> None:
    assert unit_factor(code, unit) == factor


def test_an_unknown_code_and_another_quantity_have_no_factor() -> None:
    assert all(unit_factor(code, "m3") is None for code in set(range(256)) - set(UNIT_CODES))
    assert unit_factor(0x29, "kWh") is None
    assert unit_factor(0x17, "kWh") is None
    with pytest.raises(KeyError):
        unit_factor(0x2C, "kvar")


def test_tens_and_hundreds_follow_their_unit() -> None:
    for one in (0x05, 0x08, 0x11, 0x2C):
        base, size = UNIT_CODES[one]
        assert UNIT_CODES[one + 1] == (base, 10 * size)
        assert UNIT_CODES[one + 2] == (base, 100 * size)


def test_every_base_unit_can_be_asked_for() -> None:
    assert {base for base, _ in UNIT_CODES.values()} == {base for base, _ in UNITS.values()}

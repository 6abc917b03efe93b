"""Encoding into registers is the exact inverse of decoding, for every type and order."""

import struct
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.device import Device
from drivers.field.registers import RANGES, encode_counts, encode_value, ratio_of
from drivers.profile import WORDS, Profile, Register

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
FORMATS = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f"}


def make(kind: Any, order: Any = "ABCD", scale: Fraction = Fraction(1)) -> Register:
    return Register("Value", 3, 0, kind, scale, "", "值", "value", order)


def decoded(register: Register, words: tuple[int, ...]) -> float | int:
    """Read words back the slow way: put the bytes in their place one by one, then unpack."""
    data = b"".join(word.to_bytes(2, "big") for word in words)
    if register.order in ("BADC", "DCBA"):
        data = b"".join(data[i + 1 : i + 2] + data[i : i + 1] for i in range(0, len(data), 2))
    if register.order in ("CDAB", "DCBA"):
        data = b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))
    number: float | int = struct.unpack(">" + FORMATS[register.type], data)[0]
    return number


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "f32"])
@given(data=st.data())
def test_every_integer_comes_back(kind: str, order: str, data: st.DataObject) -> None:
    register = make(kind, order)
    counts = data.draw(st.integers(*RANGES[kind]))
    words = encode_counts(register, counts)
    assert len(words) == WORDS[kind]
    assert decoded(register, words) == counts


@pytest.mark.parametrize("order", ORDERS)
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_float_comes_back(order: str, value: float) -> None:
    register = make("f32", order)
    assert decoded(register, encode_value(register, value, 1.0)) == value


@pytest.mark.parametrize(
    ("order", "words"),
    [("ABCD", (0x0012, 0xD687)), ("CDAB", (0xD687, 0x0012)), ("BADC", (0x1200, 0x87D6)), ("DCBA", (0x87D6, 0x1200))],
)
def test_the_published_vector(order: str, words: tuple[int, int]) -> None:
    # 00 12 D6 87 is 1234567 as ABCD, CDAB arrives as D6 87 00 12
    assert encode_counts(make("u32", order), 1234567) == words


def test_float_vector() -> None:
    # 12345.67 as float32 is 46 40 E6 AE
    assert encode_value(make("f32"), 12345.67, 1.0) == (0x4640, 0xE6AE)


def test_a_counter_loses_its_high_bits_but_an_analog_value_is_held_at_the_end() -> None:
    assert encode_counts(make("u16"), 65_537) == (1,)
    assert encode_value(make("u16"), 70_000.0, 1.0) == (65_535,)
    assert encode_value(make("s16"), -40_000.0, 1.0) == (0x8000,)
    assert encode_value(make("u16"), -1.0, 1.0) == (0,)


def test_scale_and_rounding() -> None:
    assert encode_value(make("u16"), 230.26, 0.1) == (2303,)
    assert encode_value(make("s16"), -2.5, 0.01) == ((1 << 16) - 250,)


def test_bit() -> None:
    assert encode_counts(make("bit"), 1) == (1,)
    assert encode_counts(make("bit"), 2) == (0,)


def test_ratios() -> None:
    profile = Profile("p", "m", "m", "electricity", (), None, None)
    device = Device("d", "g", 1, profile, 40, 100, {})
    assert [ratio_of(device, ratio) for ratio in ("", "ct", "pt", "ctpt")] == [1, 40, 100, 4000]

"""Decoding: every type in every order against plain integer arithmetic, and what is no measurement."""

import math
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from harness import profile, register
from hypothesis import given
from hypothesis import strategies as st

from drivers.decode import Decoded, Decoder
from drivers.pollplan import plan_blocks
from drivers.profile import WORDS, Billing, Switch
from scada.position import BAD_STATE, CLOSED, OPEN
from scada.quality import BAD_SENSOR_FAILURE, GOOD, UNCERTAIN_UNITS_EXCEEDED

PACK = {"u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "u64": ">Q", "s64": ">q", "f32": ">f"}


def one(
    payload: bytes, type_: Any, *, ct: int = 1, pt: int = 1, billing: Billing | None = None, **more: Any
) -> Decoded:
    model = profile(register("R", 0, type_, **more), billing=billing)
    return Decoder(model, ct, pt, plan_blocks(model)).decode(0, payload)


def ordered(plain: bytes, order: str) -> bytes:
    """Return big-endian bytes in the order of a meter, by the letters of its name."""
    words = [plain[i : i + 2] for i in range(0, len(plain), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    return b"".join(word[::-1] if order in ("BADC", "DCBA") else word for word in words)


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
@pytest.mark.parametrize("type_", ["u16", "s16", "u32", "s32", "u64", "s64"])
@given(data=st.data())
def test_integers_in_every_order(type_: str, order: str, data: st.DataObject) -> None:
    bits = 16 * WORDS[type_]  # type: ignore[index]
    low = -(1 << bits - 1) if type_[0] == "s" else 0
    number = data.draw(st.integers(low, low + (1 << bits) - 1))
    decoded = one(ordered(struct.pack(PACK[type_], number), order), type_, order=order)
    assert decoded.values[0] == float(number)
    assert decoded.good


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
@given(number=st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_floats_in_every_order(order: str, number: float) -> None:
    decoded = one(ordered(struct.pack(">f", number), order), "f32", order=order)
    assert decoded.values[0] == number
    assert decoded.good


def test_the_word_swap_of_the_acrel_vector() -> None:
    assert one(bytes.fromhex("0012D687"), "u32").values[0] == 1234567
    assert one(bytes.fromhex("0012D687"), "u32", order="CDAB").values[0] == 0xD6870012


@pytest.mark.parametrize(
    "pattern",
    ["7FC00000", "FFC00000", "7F800001", "7F800000", "FF800000", "00000001", "807FFFFF"],
    ids=["NaN", "negative NaN", "signalling NaN", "infinity", "-infinity", "subnormal", "-subnormal"],
)
def test_what_is_no_number_is_bad(pattern: str) -> None:
    decoded = one(bytes.fromhex(pattern), "f32")
    assert list(decoded.quality) == [BAD_SENSOR_FAILURE]
    assert not decoded.good
    assert math.isfinite(decoded.values[0])


@pytest.mark.parametrize("pattern", ["00000000", "80000000", "00800000"], ids=["0", "-0", "smallest normal"])
def test_zero_and_the_smallest_normal_are_numbers(pattern: str) -> None:
    assert one(bytes.fromhex(pattern), "f32").good


@pytest.mark.parametrize(
    ("type_", "pattern"),
    [("u16", "FFFF"), ("s16", "7FFF"), ("s32", "7FFFFFFF"), ("u64", "FF" * 8), ("f32", "7FC00000")],
)
def test_an_absent_value_is_bad(type_: str, pattern: str) -> None:
    absent = int(pattern, 16)
    assert list(one(bytes.fromhex(pattern), type_, absent=absent).quality) == [BAD_SENSOR_FAILURE]
    if type_ != "f32":
        other = (absent - 1).to_bytes(len(pattern) // 2, "big")
        assert list(one(other, type_, absent=absent).quality) == [GOOD]


@pytest.mark.parametrize(
    ("raw", "quality"), [(99, UNCERTAIN_UNITS_EXCEEDED), (100, GOOD), (2400, GOOD), (2401, UNCERTAIN_UNITS_EXCEEDED)]
)
def test_plausibility(raw: int, quality: int) -> None:
    decoded = one(struct.pack(">H", raw), "u16", scale=Fraction(1, 10), low=10.0, high=240.0)
    assert list(decoded.quality) == [quality]
    assert decoded.values[0] == raw / 10


@pytest.mark.parametrize(("ratio", "factor"), [("", 1), ("ct", 40), ("pt", 100), ("ctpt", 4000)])
def test_transformer_ratios(ratio: Any, factor: int) -> None:
    assert one(b"\0\x07", "u16", ct=40, pt=100, ratio=ratio).values[0] == 7 * factor


def test_a_scale_rounds_once() -> None:
    for raw in range(0, 65536, 97):
        assert one(struct.pack(">H", raw), "u16", scale=Fraction(1, 10)).values[0] == raw / 10


@given(st.integers(0, 2**63 - 1))
def test_a_billing_register_is_exact_beyond_floats(counts: int) -> None:
    decoded = one(struct.pack(">Q", counts), "u64", billing=Billing("R", 1, 2**63))
    assert decoded.billing_raw == counts
    assert decoded.billing_quality == GOOD


@pytest.mark.parametrize(
    ("type_", "payload", "raw"),
    [("u32", "05F5E100", 10**8), ("u32", "FFFFFFFF", 2**32 - 1), ("s32", "FFFFFFFF", -1), ("u64", "FF" * 8, 2**64 - 1)],
    ids=["one past the last", "all ones", "negative", "beyond the image"],
)
def test_counts_that_the_register_cannot_hold_are_doubtful(type_: str, payload: str, raw: int) -> None:
    decoded = one(bytes.fromhex(payload), type_, billing=Billing("R", 10, 10**8))
    assert decoded.billing_raw == raw
    assert decoded.billing_quality == UNCERTAIN_UNITS_EXCEEDED


@pytest.mark.parametrize(
    ("number", "counts"),
    [(0.0, 0), (0.01, 1), (1234.56, 123456), (0.014, 1), (0.016, 2), (131071.99, 13107199), (999999.9, 99999988)],
)
def test_a_charged_float_becomes_whole_counts_of_its_resolution(number: float, counts: int) -> None:
    """A single shows 0.01 up to 131,072; beyond, its steps are whole counts too, but more than one of them."""
    decoded = one(struct.pack(">f", number), "f32", billing=Billing("R", 10, 10**8))
    assert (decoded.billing_raw, decoded.billing_quality) == (counts, GOOD)


@given(st.floats(0, 1.3e5, width=32, allow_subnormal=False), st.sampled_from([(10, 100), (1, 1000), (1000, 1)]))
def test_the_count_of_a_float_is_the_nearest_there_is(number: float, resolution: tuple[int, int]) -> None:
    milli_per_count, per_unit = resolution
    decoded = one(struct.pack(">f", number), "f32", billing=Billing("R", milli_per_count, 10**9))
    assert decoded.billing_raw == round(Fraction(number) * per_unit)


@pytest.mark.parametrize("number", [-1.0, 1e6, 3e38, -3e38], ids=["negative", "rolled over", "huge", "huge negative"])
def test_a_float_that_the_register_cannot_hold_is_doubtful(number: float) -> None:
    decoded = one(struct.pack(">f", number), "f32", billing=Billing("R", 10, 10**8))
    assert decoded.billing_quality == UNCERTAIN_UNITS_EXCEEDED


def test_a_float_that_cannot_be_counted_exactly_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be counted exactly"):
        one(bytes(4), "f32", scale=Fraction(1, 10**9 + 7), billing=Billing("R", 10, 10**8))


def test_a_bit_cannot_be_charged() -> None:
    with pytest.raises(ValueError, match="cannot be charged"):
        one(bytes(2), "bit", billing=Billing("R", 10, 10**8))


@pytest.mark.parametrize(("raw", "position"), [(0xF0, CLOSED), (0x0F, OPEN), (0x10F, BAD_STATE), (0, BAD_STATE)])
def test_positions(raw: int, position: int) -> None:
    switch = Switch("R", ((0x0F, OPEN), (0xF0, CLOSED)), 6, 13, 0, 0xFF00)
    model = profile(register("R", 0, function=4), switch=switch)
    decoded = Decoder(model, 1, 1, plan_blocks(model)).decode(0, struct.pack(">H", raw))
    assert decoded.position == position
    assert decoded.values[0] == position


def test_coils_and_bits_of_registers() -> None:
    coils = profile(*(register(f"C{i}", 3 + i, "bit", 1) for i in range(11)))
    bits = Decoder(coils, 1, 1, plan_blocks(coils)).decode(0, b"\x05\x06").values
    assert list(bits) == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]
    assert one(b"\0\x03", "bit").values[0] == 1
    assert one(b"\0\x02", "bit").values[0] == 0


def test_a_mixed_block_decodes_each_register_by_its_own_rule() -> None:
    model = profile(
        register("E", 0, "u32", scale=Fraction(1, 100), ratio="ctpt"),
        register("P", 2, "s16", scale=Fraction(1, 1000)),
        register("F", 4, "f32", order="CDAB"),
        register("N", 6, "f32"),
        register("A", 8, absent=0xFFFF),
        billing=Billing("E", 10, 10**8),
        merge_gap=2,
    )
    payload = struct.pack(">IhH", 1234567, -250, 0xDEAD)
    payload += ordered(struct.pack(">f", 49.5), "CDAB") + bytes.fromhex("7FC00000FFFF")
    (block,) = plan_blocks(model)
    decoded = Decoder(model, 20, 1, [block]).decode(0, payload)
    assert list(decoded.values[:3]) == [246913.4, -0.25, 49.5]
    assert list(decoded.quality) == [GOOD, GOOD, GOOD, BAD_SENSOR_FAILURE, BAD_SENSOR_FAILURE]
    assert decoded.billing_raw == 1234567
    assert decoded.values.dtype == np.float64
    assert decoded.quality.dtype == np.uint32

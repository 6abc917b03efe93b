"""The ends of the int64 scale: terms beyond are refused; at the limits the kernel agrees with plain integers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_core import fences, rate_registers
from billing_core.bounds import PRICE_MICRO_MAX, RATE_MAX, SECONDS_MAX, TOTAL_MAX, check_bounds
from billing_core.columns import HELD, S_BILLED_MILLI, S_HELD
from billing_core.compiled import compiled
from billing_core.desk import INT
from billing_core.engine import BillingEngine
from billing_core.plan import Slot
from scada.errors import ConfigurationError
from tests.plans import part, plan
from tests.unit.billing_core.park import ACCOUNTS, POINTS, TARIFFS, Park

HALVES = (Slot(0, 480, 3), Slot(480, 1440, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"milli_per_count": 0},
        {"modulus_counts": 0},
        {"modulus_counts": 2**63},
        {"modulus_counts": 2**40, "milli_per_count": 2**22},
        {"max_milli_per_s": 0},
        {"max_milli_per_s": RATE_MAX + 1},
    ],
)
def test_terms_beyond_the_scale_are_refused(change: dict[str, int]) -> None:
    points = (replace(POINTS[0], **change), replace(POINTS[1], **change))
    faults = check_bounds(points, TARIFFS)
    assert {fault.place.split(".")[0] for fault in faults} == {"p1", "p2"}  # all of them, not the first
    with pytest.raises(ConfigurationError):
        BillingEngine(points, ACCOUNTS, TARIFFS)


@pytest.mark.parametrize("price", [-2, PRICE_MICRO_MAX + 1])
def test_prices_beyond_the_scale_are_refused(price: int) -> None:
    assert check_bounds(POINTS, (plan("tou", {1: price, 3: 1}, HALVES), TARIFFS[1]))


def test_parts_that_add_up_to_a_price_beyond_the_scale_are_refused() -> None:
    half = part({2: PRICE_MICRO_MAX // 2 + 1})
    only = replace(TARIFFS[1].versions[0], parts=(half, half))
    assert check_bounds(POINTS, (TARIFFS[0], replace(TARIFFS[1], versions=(only,))))


@given(st.integers(0, TOTAL_MAX), st.integers(1, SECONDS_MAX), st.data())
def test_a_split_never_overflows(quantity: int, total_s: int, data: st.DataObject) -> None:
    elapsed_s = data.draw(st.integers(0, total_s))
    compiled = _split(np.int64(quantity), np.int64(elapsed_s), np.int64(total_s))
    assert compiled == quantity * elapsed_s // total_s


@compiled((INT, INT, INT))
def _split(quantity: int, elapsed_s: int, total_s: int) -> int:
    return rate_registers.split(quantity, elapsed_s, total_s)


def test_at_the_limit_the_dearest_reading_is_exact_and_one_more_count_is_held() -> None:
    dear = (plan("tou", {1: PRICE_MICRO_MAX, 3: PRICE_MICRO_MAX}, HALVES), plan("water", {2: PRICE_MICRO_MAX}))
    fast = tuple(replace(point, max_milli_per_s=RATE_MAX, milli_per_count=1) for point in POINTS)
    park = Park.new()
    park.engine = BillingEngine(fast, ACCOUNTS, dear)
    most = 2**60 // PRICE_MICRO_MAX
    park.step()
    park.step(most, most + 1, 0)
    assert park.work.points.charged_nano.tolist() == [most * PRICE_MICRO_MAX, 0, 0]
    assert [HELD[reason] for reason in park.work.points.held] == ["none", "jump", "none"]
    assert park.work.accounts.balance_nano.tolist() == [-most * PRICE_MICRO_MAX, 0]


def test_totals_that_would_leave_the_scale_are_held() -> None:
    park = Park.new()
    park.step()
    assert park.engine._desk is not None
    park.engine._state[0, S_BILLED_MILLI] = TOTAL_MAX - 10
    fences.raise_all(park.engine._desk)
    park.step(1, 1, 1)
    assert park.work.points.billed_milli[0] == TOTAL_MAX
    park.step(1, 1, 1)
    assert HELD[park.engine._state[0, S_HELD]] == "limit"
    assert park.engine._state[0, S_BILLED_MILLI] == TOTAL_MAX

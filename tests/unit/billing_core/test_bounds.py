"""The ends of the int64 scale: terms beyond are refused; at the limits the kernel agrees with plain integers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_core import fences, rate_registers, reference
from billing_core.bounds import PRICE_MICRO_MAX, RATE_MAX, SECONDS_MAX, TOTAL_MAX, UPLIFT_NANO_MAX, check_bounds
from billing_core.columns import HELD, KIND_METERED, S_BILLED_MILLI, S_HELD, T_READING_MAX_MILLI
from billing_core.desk import INT
from billing_core.engine import BillingEngine
from billing_core.plan import NO_OPTIONS, Slot, TierOptions, Tiers
from billing_core.points import AccountSpec, PointSpec
from billing_core.schedule import unroll
from scada.compiled import compiled
from scada.errors import ConfigurationError
from scada.image import Columns, Layout
from scada.scan import Instant
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


VOLUME = Tiers("volume", "month", (1_000, UPLIFT_NANO_MAX // 10**6))
ONE = PointSpec("p", "m", 0, 0, "electricity", "kWh", 1, TOTAL_MAX, RATE_MAX)
PAYER = AccountSpec("t", "", "", "CNY", 0, 0, 0, 0, 0, False, ())
IMAGE = Layout({"tags": 0, "points": 1, "accounts": 1, "alarms": 0}, b"\0" * 32)


def test_a_volume_plan_whose_uplift_could_leave_the_scale_is_refused() -> None:
    assert not check_bounds([ONE], [plan("v", {2: 10**6}, tiers=VOLUME)])
    assert check_bounds([ONE], [plan("v", {2: 10**6 + 1}, tiers=VOLUME)])
    wider = replace(VOLUME, household_from=5, household_add_milli=1)
    large = replace(ONE, options=TierOptions(household=5))
    assert check_bounds([large], [plan("v", {2: 10**6}, tiers=wider)])


LARGE = st.integers(0, 60).flatmap(lambda bits: st.integers(0, 2**bits))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, PRICE_MICRO_MAX), min_size=3, max_size=3),
    st.lists(st.integers(1, 2**57), min_size=2, max_size=2, unique=True).map(sorted),
    st.sampled_from(["graduated", "volume"]),
    LARGE.map(lambda value: max(1, value)),
    st.lists(st.tuples(st.integers(1, 2**31), LARGE), min_size=1, max_size=6),
)
def test_at_any_scale_the_kernel_agrees_with_plain_integers_or_holds(
    prices: list[int], bounds: list[int], mode: str, per_count: int, steps: list[tuple[int, int]]
) -> None:
    """Terms, prices and readings up to the limits: no sum wraps, and what would pass a limit is held."""
    tiers = Tiers(mode, "year", tuple(bounds))  # type: ignore[arg-type]
    tariff = plan("t", {2: tuple(prices)}, tiers=tiers)
    modulus = TOTAL_MAX // per_count
    point = replace(ONE, milli_per_count=per_count, modulus_counts=modulus)
    if check_bounds([point], [tariff]):
        return
    engine, work = BillingEngine([point], [PAYER], [tariff]), Columns.private(IMAGE)
    model = reference.Point(per_count, modulus, RATE_MAX, int(engine._supplies.table[0, T_READING_MAX_MILLI]))
    at_s, raw = 1_767_225_600, 0
    book = reference.book_of(unroll(tariff, NO_OPTIONS, at_s - 86_400, at_s + 20_000_000))
    for scan, (gap_s, counts) in enumerate([(0, 0), *steps]):
        at_s, raw = at_s + gap_s % 3_000_000, (raw + counts) % modulus
        work.points.raw[0], work.points.quality[0], work.points.source_time[0] = raw, 0, at_s * 10**9
        engine.bill(Instant(scan + 1, at_s * 10**9, 0), work)
        reference.bill(model, reference.Reading(raw, at_s), book)
        if HELD[work.points.held[0]] == "limit":
            charged = sum(part.nano for part in model.parts)
            billed = sum(part.milli for part in model.parts if part.kind == KIND_METERED)
            assert max(abs(charged), billed) > TOTAL_MAX
            return
        assert work.points.charged_nano[0] == sum(part.nano for part in model.parts)
        assert work.accounts.balance_nano[0] == -work.points.charged_nano[0]
        assert work.points.held[0] == model.held

"""What a component costs: every worked example and vector of the rules, in exact integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_core import amounts, demand, power_factor, sharing
from billing_core.assessment import due_nano

YUAN = 1_000_000_000
FEN = YUAN // 100


def test_rounding_is_half_up_and_symmetric() -> None:
    given = [14, 15, 16, -14, -15, -16, 0, 25]
    assert [amounts.round_half_up(value, 10) for value in given] == [1, 2, 2, -1, -2, -2, 0, 3]


def test_a_thousand_small_charges_round_once() -> None:
    """1000 x 0.01 kWh at 0.6837 is 6.837: posting by the remainder gives 6.84, rounding each would give 10.00."""
    accumulated = posted = 0
    for _ in range(1000):
        accumulated += 10 * 683_700
        posted += amounts.posting(accumulated, posted, FEN)
    assert (accumulated, posted) == (6_837_000_000, 684)


@pytest.mark.parametrize(("ppm", "net", "tax"), [(130_000, 88_496, 11_504), (90_000, 91_743, 8_257)])
def test_tax_inside(ppm: int, net: int, tax: int) -> None:
    assert amounts.tax_inside(100_000, ppm) == (net, tax)


def test_tax_on_top() -> None:
    assert amounts.tax_on_top(100_000, 130_000) == (100_000, 13_000)
    assert amounts.tax_inside(113_000, 130_000) == (100_000, 13_000)


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**6))
def test_net_and_tax_are_the_gross(gross: int, ppm: int) -> None:
    split = amounts.tax_inside(gross, ppm)
    assert split.net + split.tax == gross
    assert split.tax * gross >= 0


def test_a_fee_that_changes_on_the_eleventh_day() -> None:
    """300 -> 330 from day 11 of 30: 100 + 220."""
    inputs = {"segments": [[300 * YUAN, 10], [330 * YUAN, 20]], "days_of_month": 30}
    assert due_nano("fixed-month", inputs) == 320 * YUAN


@pytest.mark.parametrize(
    ("days", "of_month", "yuan"), [(12, 30, 3840), (12, 31, 3840), (30, 30, 9600), (31, 31, 9600), (28, 28, 9600)]
)
def test_capacity_by_days(days: int, of_month: int, yuan: int) -> None:
    """400 kVA x 24, 12 days: 3840; a whole month costs its fee, however long it is."""
    fee = demand.capacity_month_nano(24 * YUAN, 400_000)
    inputs = {"segments": [[fee, days]], "days_of_month": of_month, "thirty": True}
    assert due_nano("capacity", inputs) == yuan * YUAN


@given(st.lists(st.integers(0, 10**15), min_size=28, max_size=31), st.booleans(), st.integers(0, 3))
def test_daily_postings_add_up_to_the_month(fees: list[int], thirty: bool, run: int) -> None:
    """Posted day by day as due - posted, nothing is lost and no day gives back while the fee stands."""
    fees = [fees[0]] * len(fees) if run else sorted(fees)
    posted = 0
    for day in range(1, len(fees) + 1):
        segments = [[fee, 1] for fee in fees[:day]]
        inputs = {"segments": segments, "days_of_month": len(fees), "thirty": thirty, "posted_nano": posted}
        step = due_nano("capacity", inputs)
        assert step >= 0 or not run
        posted += step
    assert posted == sum(fees) // len(fees)


def test_a_standing_charge_rests_while_the_supply_is_stopped() -> None:
    inputs = {"amount_nano": 2 * YUAN, "stopped": True, "while_stopped": False}
    assert due_nano("fixed-day", inputs) == 0
    assert due_nano("fixed-day", inputs | {"while_stopped": True}) == 2 * YUAN
    assert due_nano("fixed-day", inputs | {"stopped": False}) == 2 * YUAN


DEMAND = {
    "price_nano_per_kw": 40 * YUAN, "mode": "contract", "over": "contract-plus-double", "watt": 1_100_000,
    "contract_w": 1_000_000, "capacity_va": 0, "milli": 0, "load_hours_kwh_per_kva": 0, "load_hours_percent": 100,
    "days": 30, "days_of_month": 30,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "yuan"),
    [
        ({}, 44_000),  # (a) 1000 + 2 x 50
        ({"over": "actual-plus-excess"}, 46_000),  # (b) 1100 + 50
        ({"watt": 1_050_000}, 40_000),  # exactly 105 %: the contract
        ({"watt": 1_050_001}, "40000.08"),
        ({"watt": 1}, 40_000),
        ({"mode": "actual"}, 44_000),
        ({"posted_nano": 44_000 * YUAN, "watt": 900_000}, -4_000),
        ({"days": 15}, 22_000),
    ],
)
def test_demand_of_a_month(changes: dict[str, object], yuan: int | str) -> None:
    exact = int(float(yuan) * 100) * FEN if isinstance(yuan, str) else yuan * YUAN
    assert due_nano("demand", DEMAND | changes) == exact


@pytest.mark.parametrize(("kwh", "percent"), [(170_000, 90), (163_000, 100), (163_800, 90), (163_799, 100)])
def test_load_hours(kwh: int, percent: int) -> None:
    """630 kVA: 269.8 kWh per kVA reach 260 and pay 90 %, 258.7 do not."""
    rule = {"mode": "actual", "capacity_va": 630_000, "load_hours_kwh_per_kva": 260, "load_hours_percent": 90}
    inputs = DEMAND | rule | {"milli": kwh * 1000}
    assert due_nano("demand", inputs) == 44_000 * YUAN * percent // 100


def test_a_live_demand_posts_its_increase() -> None:
    posted = [due_nano("demand-reserve", {"price_nano_per_kw": 40 * YUAN, "watt": 10_000})]
    inputs = {"price_nano_per_kw": 40 * YUAN, "watt": 12_500, "posted_nano": posted[0]}
    assert [*posted, due_nano("demand-reserve", inputs)] == [400 * YUAN, 100 * YUAN]


@pytest.mark.parametrize(
    ("active", "reactive", "factor"),
    [(100_000, 75_000, 80), (100_000, 48_432, 90), (60_000, 31_225, 89), (100_000, 120_000, 64), (1, 0, 100),
     (0, 5, None), (0, 0, None), (1, 10**9, 0)],
)  # fmt: skip
def test_power_factor_in_hundredths(active: int, reactive: int, factor: int | None) -> None:
    assert power_factor.hundredths(active, reactive) == factor


@given(st.integers(1, 10**15), st.integers(0, 10**15))
def test_power_factor_is_rounded_half_up(active: int, reactive: int) -> None:
    """h is right when h - 1/2 <= 100 pf < h + 1/2, squared to stay with integers."""
    factor = power_factor.hundredths(active, reactive)
    assert factor is not None
    square = active**2 + reactive**2
    assert max(0, 2 * factor - 1) ** 2 * square <= (200 * active) ** 2 < (2 * factor + 1) ** 2 * square


@pytest.mark.parametrize(
    ("standard", "factor", "ppm"),
    [
        (90, 80, 50_000), (85, 80, 25_000), (90, 90, 0), (90, 89, 5_000), (90, 64, 170_000), (90, 60, 250_000),
        (90, 50, 450_000), (90, 70, 100_000), (90, 65, 150_000), (90, 95, -7_500), (90, 100, -7_500), (90, 91, -1_500),
        (85, 90, -5_000), (85, 91, -6_500), (85, 94, -11_000), (85, 100, -11_000), (85, 65, 100_000), (85, 60, 150_000),
        (85, 59, 170_000), (80, 90, -10_000), (80, 91, -11_500), (80, 92, -13_000), (80, 60, 100_000),
        (80, 55, 150_000),
        (80, 54, 170_000), (80, 80, 0), (80, 79, 5_000),
    ],
)  # fmt: skip
def test_steps_of_the_standards(standard: int, factor: int, ppm: int) -> None:
    assert power_factor.step_ppm(power_factor.standard_steps(standard), factor) == ppm


@pytest.mark.parametrize("standard", [90, 85, 80])
def test_a_table_has_every_hundredth_and_rises_as_the_factor_falls(standard: int) -> None:
    steps = power_factor.standard_steps(standard)
    assert [at for at, _ in steps] == list(range(101))
    assert [ppm for _, ppm in steps] == sorted((ppm for _, ppm in steps), reverse=True)


@pytest.mark.parametrize(
    ("active", "reactive", "yuan"), [(70_000, 71_414, 26_400), (95_000, 31_225, -1_980), (0, 9, 0)]
)
def test_the_published_example(active: int, reactive: int, yuan: int) -> None:
    """Basic fee 184 000, energy fee 80 000: power factor 0.70 costs 26 400, 0.95 gives 1 980 back."""
    steps = [list(step) for step in power_factor.standard_steps(90)]
    inputs = {"active_milli": active, "reactive_milli": reactive, "base_nano": 264_000 * YUAN, "steps": steps}
    assert due_nano("power-factor", inputs) == yuan * YUAN


@pytest.mark.parametrize(("usage", "days", "due"), [(12, 30, 18), (30, 30, 0), (45, 30, 0), (0, 15, 15)])
def test_minimum(usage: int, days: int, due: int) -> None:
    inputs = {"amount_nano": 30 * YUAN, "usage_nano": usage * YUAN, "days": days, "days_of_month": 30}
    assert due_nano("minimum", inputs) == due * YUAN


def test_the_first_units_of_a_month_are_free() -> None:
    """100 kWh free: 60 at 1.2 and the first 40 of 80 at 0.3 come back."""
    inputs = {"free_milli": 100_000, "units": [[60_000, 1_200_000], [80_000, 300_000]]}
    assert due_nano("base-quantity", inputs) == -(72 + 12) * YUAN
    assert due_nano("base-quantity", {"free_milli": 100_000, "units": [[1, 500_000]]}) == -500_000


def test_cents_of_equal_shares_go_to_the_lowest_id() -> None:
    assert sharing.allocate(10_000, {"b": 1, "c": 1, "a": 1}) == {"a": 3_334, "b": 3_333, "c": 3_333}


def test_cents_go_to_the_largest_remainder() -> None:
    assert sharing.allocate(100, {"a": 1, "b": 2, "c": 4}) == {"a": 14, "b": 29, "c": 57}


@given(st.integers(0, 10**9), st.dictionaries(st.text(max_size=3), st.integers(0, 10**9), min_size=1, max_size=9))
def test_shares_add_up_and_differ_from_the_exact_by_less_than_a_coin(total: int, weights: dict[str, int]) -> None:
    weights |= {"one": 1}
    shares = sharing.allocate(total, weights)
    whole = sum(weights.values())
    assert sum(shares.values()) == total
    assert all(abs(minor * whole - total * weights[name]) < whole for name, minor in shares.items())


@pytest.mark.parametrize(
    ("main", "subs", "expected"),
    [
        (1000, (400, 550), (50, 50, ())),
        (1000, (400, 700), (-100, 0, ("negative",))),
        (1000, (400, 500), (100, 70, ("above-cap",))),
        (0, (), (0, 0, ())),
    ],
)
def test_loss(main: int, subs: tuple[int, ...], expected: tuple[object, ...]) -> None:
    found = sharing.loss(main, subs, cap_percent=7)
    assert (found.lost_milli, found.shared_milli, found.notes) == expected

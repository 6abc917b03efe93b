"""The replay's own arithmetic: vectors of tiers, every field of a row falsified, slow and compiled hold each other."""

import numpy as np
import pytest

from billing_core import replay_block as block
from billing_core.columns import KIND_UPLIFT
from billing_core.plan import Plan, Slot, Tiers
from billing_core.replay import Charge, Position, Prices, Unpriced, price
from billing_core.replay_point import PointReplay, intervals
from tests.plans import plan
from tests.unit.billing_core import replay_cases as cases
from tests.unit.billing_core.replay_cases import BEGIN_S, DAY, HASH, OPTIONS, TOU_TIERED

POINTS, READINGS = 4, 400
ANNUAL = Tiers("graduated", "year", (2_160_000, 4_200_000))
CITY = plan("city", {2: (528_300, 578_300, 828_300)}, tiers=ANNUAL)
BLOCKS = plan("blocks", {2: (1_000_000, 1_500_000, 2_000_000)}, tiers=Tiers("graduated", "month", (100_000, 300_000)))
SLABS = plan("slabs", {2: (1_000_000, 1_500_000, 2_000_000)}, tiers=Tiers("volume", "month", (100_000, 300_000)))
MIXED = plan("mixed", TOU_TIERED, DAY, tiers=Tiers("graduated", "month", (80_000, 120_000)))
FLAT = plan("flat", {2: 683_700})


def cost(tariff: Plan, before_milli: int, after_milli: int) -> int:
    """Return the nano of going from one tier position to another within an hour."""
    prices = Prices({HASH: tariff})
    position = Position()
    position.enter(prices.entries(HASH, OPTIONS, BEGIN_S, BEGIN_S + 1)[0].period)
    position.milli = before_milli
    entries = prices.entries(HASH, OPTIONS, BEGIN_S, BEGIN_S + 3600)
    lines = price(BEGIN_S, BEGIN_S + 3600, after_milli - before_milli, entries, position)
    assert position.milli == after_milli
    return sum(line.nano for line in lines)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (2100, 2200, 54_830_000_000),
        (0, 2160, 1_141_128_000_000),
        (2160, 2161, 578_300_000),
        (4150, 4300, 111_745_000_000),
        (2000, 4500, 1_512_750_000_000),
    ],
)
def test_annual_tiers(before: int, after: int, expected: int) -> None:
    """Vector D.3, annual electricity tiers."""
    assert cost(CITY, before * 1000, after * 1000) == expected


def test_graduated_and_volume_tiers() -> None:
    """Vectors D.3: 350 units are 500.00 graduated and 700.00 by slab; the step 300 -> 301 posts 152 by slab."""
    assert cost(BLOCKS, 0, 350_000) == 500_000_000_000
    assert cost(SLABS, 0, 350_000) == 700_000_000_000
    assert cost(SLABS, 300_000, 301_000) == 152_000_000_000


def test_an_interval_is_split_by_whole_seconds() -> None:
    """Vector D.1-9: 07:58 to 08:03, 1.00 kWh, border 08:00: 0.40 + 0.60."""
    tou = plan("tou", {1: 1_200_000, 3: 300_000}, (Slot(0, 480, 3), Slot(480, 1440, 1)))
    prices = Prices({HASH: tou})
    at_s = BEGIN_S + (7 * 60 + 58) * 60
    lines = price(at_s, at_s + 300, 1000, prices.entries(HASH, OPTIONS, at_s, at_s + 300), Position())
    assert [(line.rate, line.milli, line.nano, line.method) for line in lines] == [
        (3, 400, 120_000_000, 1),
        (1, 600, 720_000_000, 1),
    ]


def test_a_minute_without_price_is_never_free() -> None:
    gap = plan("gap", {3: 300_000}, (Slot(0, 480, 3), Slot(481, 1440, 3)))
    prices = Prices({HASH: gap})
    at_s = BEGIN_S + 8 * 3600 - 60
    with pytest.raises(Unpriced):
        price(at_s, at_s + 180, 1000, prices.entries(HASH, OPTIONS, at_s, at_s + 180), Position())


# --- comparing


def differing(tariff: Plan, rows: list[Charge]) -> list[tuple[Charge, str]]:
    """Return what the slow replay finds."""
    prices, terms = Prices({HASH: tariff}), cases.supplies(POINTS)
    stored = {(row.seq, row.line): row for row in rows}
    points = {
        number: PointReplay(supply.point, prices, lambda seq, line: stored.get((seq, line)))
        for number, supply in terms.items()
    }
    found = []
    for group in intervals(rows):
        for compared in points[group[0].terms].compare(terms[group[0].terms], group):
            if compared.text:
                found.append((compared.near, compared.text))
    return found


def first_differing(tariff: Plan, rows: list[Charge]) -> int:
    """Return the first row that the compiled replay does not agree on."""
    found = cases.schedules(tariff, rows)
    points = block.fresh_points(POINTS)
    row, _ = block.check(
        cases.table(rows), 0, cases.means(POINTS), points, found.entries, found.first, found.prices, found.bounds,
        found.volume,
    )  # fmt: skip
    return int(row)


@pytest.mark.parametrize("tariff", [CITY, BLOCKS, MIXED, FLAT], ids=lambda tariff: tariff.id)
@pytest.mark.parametrize("seed", range(5))
def test_slow_and_compiled_agree_on_random_histories(tariff: Plan, seed: int) -> None:
    rows = cases.charges(tariff, cases.readings(POINTS, READINGS, seed))
    assert differing(tariff, rows) == []
    assert first_differing(tariff, rows) == len(rows)
    assert len({row.tier for row in rows}) == tariff.versions[0].tier_count or tariff is CITY


def test_the_compiled_replay_adds_up() -> None:
    rows = cases.charges(MIXED, cases.readings(POINTS, READINGS, 9))
    found = cases.schedules(MIXED, rows)
    points = block.fresh_points(POINTS)
    block.check(
        cases.table(rows), 0, cases.means(POINTS), points, found.entries, found.first, found.prices, found.bounds,
        found.volume,
    )  # fmt: skip
    for number in range(POINTS):
        own = [row for row in rows if row.terms == number + 1]
        assert points[number, block.P_NANO] == sum(row.nano for row in own)
        assert points[number, block.P_MILLI] == sum(row.milli for row in own)


FALSIFIED = [field for field in Charge._fields[3:17] if field not in ("kind", "method")]


@pytest.mark.parametrize("field", FALSIFIED)
@pytest.mark.parametrize("seed", range(3))
def test_a_falsified_field_is_found_at_its_row(field: str, seed: int) -> None:
    rows = cases.charges(MIXED, cases.readings(POINTS, READINGS, seed))
    rng = np.random.default_rng(seed)
    victim = int(rng.integers(len(rows) // 4, len(rows) // 2))
    old = rows[victim]
    rows[victim] = old._replace(**{field: getattr(old, field) + 1})
    found = differing(MIXED, rows)
    assert found, field
    assert found[0][0].name in {row.name for row in _same_interval(rows, old)} or field == "terms"
    compiled = first_differing(MIXED, rows)
    assert rows[compiled].seq == old.seq
    assert rows[compiled].terms == old.terms


def _same_interval(rows: list[Charge], old: Charge) -> list[Charge]:
    return [row for row in rows if row.seq == old.seq and row.terms == old.terms]


def test_a_dropped_row_is_found_and_the_rest_is_judged_by_itself() -> None:
    rows = cases.charges(MIXED, cases.readings(POINTS, READINGS, 1))
    whole = [k for k in range(100, 200) if len(_same_interval(rows, rows[k])) == 1]
    dropped = rows.pop(whole[0])
    found = differing(MIXED, rows)
    assert len(found) == 1, found
    assert found[0][0].terms == dropped.terms
    assert f"the charge before ended at {dropped.raw_from}" in found[0][1]


def test_a_row_dropped_within_an_interval_is_named_as_lacking() -> None:
    rows = cases.charges(MIXED, cases.readings(POINTS, READINGS, 1))
    split = [k for k in range(100, 200) if len(_same_interval(rows, rows[k])) > 2]
    last = rows.index(_same_interval(rows, rows[split[0]])[-1])
    dropped = rows.pop(last)
    near, text = differing(MIXED, rows)[0]
    assert near == rows[last - 1]
    assert "the books lack a charge" in text
    assert f"nano={dropped.nano}" in text
    assert first_differing(MIXED, rows) < len(rows)


def test_volume_tiers_are_left_to_the_slow_replay() -> None:
    rows = cases.charges(SLABS, cases.readings(POINTS, READINGS, 3))
    assert any(row.kind == KIND_UPLIFT for row in rows)
    assert differing(SLABS, rows) == []
    assert first_differing(SLABS, rows) == 0

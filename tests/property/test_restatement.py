"""Late and corrected readings: what stands afterwards is what would have been charged had they come in time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_core import reference
from billing_core.columns import KIND_METERED, KIND_RECHARGE, KIND_UPLIFT
from billing_core.reference import Part, Reading
from billing_core.restatement import Charge, Facts, Given, Restatement, Row, amounts, restate
from scada.errors import Refused
from tests.property.billing_histories import BEGIN_S, BOOKS, MODULUS

PER_COUNT = 10  # 1.00 kWh is 100 counts
TIERED = 600  # crosses the bounds of every plan in a few thousand counts
TIMES = st.lists(st.integers(60, 400_000), min_size=3, max_size=9)
MOVES = st.lists(st.one_of(st.just(0), st.integers(0, 400), st.integers(0, 1_000)), min_size=9, max_size=9)
WHICH = st.sampled_from([1, 3, 4, 5])  # time of use, graduated, volume, a year's tiers


def facts_of(which: int, per_count: int = PER_COUNT) -> dict[int, Facts]:
    return {7: Facts("t1", "electricity", per_count, MODULUS, 10**9, BOOKS[which])}


def charged(readings: list[Reading], which: int, per_count: int = PER_COUNT) -> list[Charge]:
    """Return what the reference charges for a row of readings."""
    point = reference.Point(per_count, MODULUS, 10**12, 10**15)
    for reading in readings:
        reference.bill(point, reading, BOOKS[which])
        assert point.held == 0
    return [Charge(5, line, row_of(part)) for line, part in enumerate(point.parts)]


def row_of(part: Part) -> Row:
    return Row(
        7, part.first.raw, part.first.at_s, part.last.raw, part.last.at_s, part.from_s, part.to_s, part.rate, part.tier,
        part.position_milli, part.price_micro, part.milli, part.nano, part.kind, part.method,
    )  # fmt: skip


def standing(charges: list[Charge], found: Restatement) -> list[Row]:
    """Return what stands after a restatement, in the order of time; how a row came about is left out."""
    back = {(charge.seq, charge.line) for charge in found.reversed}
    rows = [charge.row for charge in charges if (charge.seq, charge.line) not in back] + list(found.rows)
    return sorted(map(said, rows), key=lambda row: (row.from_s, row.segment_from_s, row.position_milli, -row.kind))


def said(row: Row) -> Row:
    return row._replace(kind=KIND_UPLIFT if row.kind == KIND_UPLIFT else KIND_METERED, method=0)


def history(gaps: list[int], moves: list[int]) -> list[Reading]:
    readings, at_s, raw = [Reading(MODULUS - 500, BEGIN_S)], BEGIN_S, MODULUS - 500
    for gap, move in zip(gaps, moves, strict=False):
        at_s, raw = at_s + gap, (raw + move) % MODULUS
        readings.append(Reading(raw, at_s))
    return readings


@settings(max_examples=150, deadline=None)
@given(TIMES, MOVES, WHICH, st.data())
def test_late_readings_lead_to_what_they_would_have_cost(
    gaps: list[int], moves: list[int], which: int, data: st.DataObject
) -> None:
    readings = history(gaps, moves)
    late = data.draw(st.sets(st.integers(1, len(readings) - 2), min_size=1))
    known = [reading for at, reading in enumerate(readings) if at not in late]
    if (known[-1].raw - known[0].raw) % MODULUS == 0:
        return  # nothing was charged
    charges, wanted = charged(known, which, TIERED), [said(charge.row) for charge in charged(readings, which, TIERED)]
    try:
        found = restate(charges, [Given(readings[at].at_s, readings[at].raw) for at in late], facts_of(which, TIERED))
    except Refused as refused:
        if refused.code == "late.before":  # the register stood still until the first charge
            return
        assert refused.code in ("late.nothing", "late.after"), refused
        if refused.code == "late.nothing":
            assert sorted(said(charge.row) for charge in charges) == sorted(wanted)
        return
    assert sorted(standing(charges, found)) == sorted(wanted)
    assert found.milli == 0
    before, after = sum(charge.row.nano for charge in charges), sum(row.nano for row in wanted)
    assert found.nano == after - before
    assert amounts(found, facts_of(which, TIERED)) == (
        {("t1", "electricity"): after - before} if after != before else {}
    )


@settings(max_examples=150, deadline=None)
@given(TIMES, MOVES, WHICH, st.data())
def test_a_corrected_reading_leads_to_what_the_right_one_would_have_cost(
    gaps: list[int], moves: list[int], which: int, data: st.DataObject
) -> None:
    readings = history(gaps, [move + 2 for move in moves])
    at = data.draw(st.integers(1, len(readings) - 2))
    before, after = readings[at - 1], readings[at + 1]
    room = (after.raw - before.raw) % MODULUS
    shift = data.draw(st.integers(1, room - 1))
    wrong = [*readings]
    wrong[at] = Reading((before.raw + shift) % MODULUS, readings[at].at_s)
    charges = charged(wrong, which, TIERED)
    wanted = sorted(said(charge.row) for charge in charged(readings, which, TIERED))
    try:
        found = restate(charges, [Given(readings[at].at_s, readings[at].raw)], facts_of(which, TIERED))
    except Refused as refused:
        assert refused.code == "late.nothing"
        assert sorted(said(charge.row) for charge in charges) == wanted
        return
    assert sorted(standing(charges, found)) == wanted


@pytest.mark.parametrize(
    ("at_s", "raw", "code"),
    [
        (BEGIN_S - 1, 100, "late.before"),
        (BEGIN_S + 7_200, 300, "late.after"),
        (BEGIN_S + 1_800, 99, "late.between"),
        (BEGIN_S + 1_800, 301, "late.between"),
        (BEGIN_S + 1_800, MODULUS, "late.range"),
        (BEGIN_S + 1_800, -1, "late.range"),
    ],
)
def test_what_cannot_be(at_s: int, raw: int, code: str) -> None:
    charges = charged([Reading(100, BEGIN_S), Reading(200, BEGIN_S + 3_600), Reading(300, BEGIN_S + 7_200)], 1)
    with pytest.raises(Refused) as refused:
        restate(charges, [Given(at_s, raw)], facts_of(1))
    assert refused.value.code == code


def test_two_readings_of_one_second_are_refused() -> None:
    charges = charged([Reading(100, BEGIN_S), Reading(200, BEGIN_S + 3_600)], 1)
    with pytest.raises(Refused, match=r"late.order"):
        restate(charges, [Given(BEGIN_S + 60, 120), Given(BEGIN_S + 60, 121)], facts_of(1))


def test_only_what_differs_is_taken_back() -> None:
    """Three hours of one price: a reading inside the second leaves the first and the third as they are."""
    readings = [Reading(100 + 50 * hour, BEGIN_S + 3_600 * hour) for hour in range(4)]
    charges = charged(readings, 5)
    found = restate(charges, [Given(BEGIN_S + 5_400, 170)], facts_of(5))
    assert [(charge.row.raw_from, charge.row.raw_to) for charge in found.reversed] == [(150, 200)]
    assert [(row.raw_from, row.raw_to, row.kind) for row in found.rows] == [
        (150, 170, KIND_RECHARGE),
        (170, 200, KIND_RECHARGE),
    ]
    assert found.nano == 0


def test_an_estimate_of_the_rate_periods_is_replaced_by_the_truth() -> None:
    """A gap from 07:58 to 08:03 with 1.00 kWh is 0.40 and 0.60 by time; a late reading says 0.70 and 0.30."""
    border_s = next(entry[0] for entry in BOOKS[1].entries if entry[0] > BEGIN_S and entry[1] == 1)
    first, last = Reading(100, border_s - 120), Reading(200, border_s + 180)
    charges = charged([first, last], 1)
    assert [(charge.row.milli, charge.row.method) for charge in charges] == [(400, 1), (600, 1)]
    found = restate(charges, [Given(border_s, 170)], facts_of(1))
    assert [(row.milli, row.method) for row in found.rows] == [(700, 3), (300, 3)]
    assert found.nano == 300 * (found.rows[0].price_micro - found.rows[1].price_micro)

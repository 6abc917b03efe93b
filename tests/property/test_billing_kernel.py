"""The kernel against its slow twin on random histories, and what must hold for any history at all."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_core import reference
from billing_core.columns import (
    KIND_METERED,
    KIND_UPLIFT,
    METHOD_REGISTERS,
    R_FROM_S,
    R_KIND,
    R_METHOD,
    R_MILLI,
    R_NANO,
    R_POINT,
    R_POSITION_MILLI,
    R_PRICE_MICRO,
    R_RATE,
    R_RAW_FROM,
    R_RAW_TO,
    R_SEGMENT_FROM_S,
    R_SEGMENT_TO_S,
    R_TERMS,
    R_TIER,
    R_TO_S,
    RATES_MOST,
    S_CHARGED_NANO,
    S_HELD,
    S_LAST_RAW,
    S_LAST_S,
    S_PERIOD,
    S_POSITION_MILLI,
)
from tests.property.billing_histories import (
    ACCOUNTS,
    BEGIN_S,
    BOOKS,
    HISTORIES,
    MODULUS,
    POINTS,
    Books,
    EveryRegister,
    Field,
    Step,
    engine_of,
    twins,
)

Row = list[int]


def check_interval(rows: list[Row], said: Row) -> None:
    """Compute the rows of one interval again from its readings, its position and the plan alone.

    said: rate registers before and after, [] for none
    """
    first, point = rows[0], POINTS[rows[0][R_POINT]]
    assert bool(said) == any(row[R_METHOD] == METHOD_REGISTERS for row in rows)
    before, after = (
        {rate: raw for rate, raw in enumerate(raws) if raw >= 0} for raws in (said[:RATES_MOST], said[RATES_MOST:])
    )
    book = BOOKS[point.tariff]
    entry = book.entries[reference.entry_at(book, first[R_SEGMENT_FROM_S])]
    model = reference.Point(point.milli_per_count, MODULUS, 0, 0)
    model.last = reference.Reading(first[R_RAW_FROM], first[R_FROM_S], before)
    model.position = reference.Position(first[R_POSITION_MILLI], entry[4])
    last = reference.Reading(first[R_RAW_TO], first[R_TO_S], after)
    parts, _ = reference.price(model, last, (last.raw - model.last.raw) % MODULUS, book)
    found = [
        (p.from_s, p.to_s, p.rate, p.tier, p.position_milli, p.price_micro, p.milli, p.nano, p.kind, p.method)
        for p in parts
    ]
    assert found == [
        tuple(
            row[c]
            for c in (
                R_SEGMENT_FROM_S, R_SEGMENT_TO_S, R_RATE, R_TIER, R_POSITION_MILLI, R_PRICE_MICRO, R_MILLI, R_NANO,
                R_KIND, R_METHOD,
            )
        )
        for row in rows
    ]  # fmt: skip


def intervals_of(books: Books) -> dict[int, list[list[Row]]]:
    """Return point -> intervals -> rows."""
    found: dict[int, list[list[Row]]] = defaultdict(list)
    for row in books.rows:
        chain = found[row[R_POINT]]
        if chain and chain[-1][0][R_RAW_FROM : R_TO_S + 1] == row[R_RAW_FROM : R_TO_S + 1]:
            chain[-1].append(row)
        else:
            chain.append([row])
    return found


def check_books(books: Books) -> None:
    """Every charge can be computed again; charges of a point join; wallets hold what was charged."""
    spent = [0] * len(ACCOUNTS)
    for row in books.rows:
        assert row[R_TERMS] == row[R_POINT]
        spent[POINTS[row[R_POINT]].account] += row[R_NANO]
    assert (-books.balance).tolist() == spent
    evidence = dict(books.evidence)
    for chain in intervals_of(books).values():
        for rows in chain:
            first = rows[0]
            key = first[R_POINT], first[R_FROM_S], first[R_TO_S]
            check_interval(rows, evidence.pop(key, []))
        for (before, *_), (after, *_) in pairwise(chain):
            assert before[R_RAW_TO] == after[R_RAW_FROM]
            assert before[R_TO_S] <= after[R_FROM_S]
    assert evidence == {}


def summed(parts: list[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """Return quantity by (rate, tier, price, kind, method), uplifts by their money."""
    found: dict[tuple[int, ...], int] = defaultdict(int)
    for milli, *key in parts:
        found[tuple(key)] += milli
    return {key: milli for key, milli in found.items() if milli}


def check_twins(field: Field) -> None:
    state, work = field.engine._state, field.work.points
    for row, model in enumerate(field.models):
        assert state[row, S_HELD] == model.held
        assert field.books.state[row, S_CHARGED_NANO] == sum(part.nano for part in model.parts)
        assert work.charged_nano[row] == sum(part.nano for part in model.parts)
        assert work.billed_milli[row] == sum(part.milli for part in model.parts if part.kind == KIND_METERED)
        if model.last is not None:
            assert (state[row, S_LAST_RAW], state[row, S_LAST_S]) == (model.last.raw, model.last.at_s)
            assert (state[row, S_POSITION_MILLI], state[row, S_PERIOD]) == model.position
        assert summed([(p.milli, p.rate, p.tier, p.price_micro, p.kind, p.method) for p in model.parts]) == summed(
            [
                (c[R_MILLI], c[R_RATE], c[R_TIER], c[R_PRICE_MICRO], c[R_KIND], c[R_METHOD])
                for c in field.books.rows
                if c[R_POINT] == row
            ]
        )


@settings(max_examples=150, deadline=None)
@given(HISTORIES)
def test_kernel_equals_reference(history: list[Step]) -> None:
    field = Field()
    field.play(history)
    field.books.settle(field.engine)
    check_twins(field)
    check_books(field.books)


@settings(max_examples=60, deadline=None)
@given(HISTORIES, HISTORIES)
def test_a_restart_at_any_point_charges_every_count_once(before: list[Step], after: list[Step]) -> None:
    field = Field()
    field.play(before)
    field.engine = engine_of()  # killed: what was not committed is gone
    field.engine.restore(field.books.restored())
    field.engine._rate_check = EveryRegister()
    field.play(after)
    field.books.settle(field.engine)
    check_books(field.books)
    for row, chain in intervals_of(field.books).items():
        counts = sum((rows[0][R_RAW_TO] - rows[0][R_RAW_FROM]) % MODULUS for rows in chain)
        assert field.work.points.billed_milli[row] == counts * POINTS[row].milli_per_count


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 60)), min_size=2, max_size=30), st.data())
def test_fewer_readings_bill_the_same_quantity(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    """Readings that never came change how a crossing is split, never how much is charged; flat tariffs not at all."""
    kept = [data.draw(st.booleans()) for _ in steps[1:-1]]
    totals = []
    for chosen in ([True] * len(steps), [True, *kept, True]):
        models = twins()
        raw, at_s = 0, BEGIN_S
        for (gap_s, counts), is_read in zip(steps, chosen, strict=True):
            raw, at_s = raw + counts, at_s + gap_s
            for model, point in zip(models, POINTS, strict=True):
                if is_read and point.milli_per_count <= 10 and point.tariff != 2:  # no jumps, no holes
                    reference.bill(model, reference.Reading(raw, at_s), BOOKS[point.tariff])
        quantities = [sum(part.milli for part in model.parts if part.kind != KIND_UPLIFT) for model in models]
        totals.append((quantities, sum(part.nano for part in models[0].parts)))
    assert totals[0] == totals[1]


def test_the_histories_reach_every_kind_of_charge() -> None:
    """A differential test proves nothing about what its histories never reach."""
    field = Field()
    still = tuple((0, 0, 0) for _ in POINTS)
    moves = tuple((2_000, 0, 0) for _ in POINTS)
    play = [Step(1, still, (0, 0, 0, 8, 0), False, False, False)]
    play += [Step(30_000, moves, (0, 5, 0, 3, 0), True, True, False) for _ in range(60)]
    field.play(play)
    field.books.settle(field.engine)
    check_twins(field)
    rows = np.array(field.books.rows)
    assert set(rows[:, R_KIND]) == {0, 1}
    assert set(rows[:, R_METHOD]) == {0, 1, 2}
    assert set(rows[:, R_TIER]) == {0, 1, 2, 3}

"""Many steps over random plans: the engine against its slow twin, with gaps, rollovers, swaps, tenancies and top-ups.

WATTKEEPER_STEPS asks for more readings than the 12,000 of an ordinary run; WATTKEEPER_SEED repeats one.
"""

import os
import random
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest

from billing_core import reference
from billing_core.columns import (
    HELD_JUMP,
    KIND_ESTIMATE,
    KIND_METERED,
    R_KIND,
    R_MILLI,
    R_NANO,
    R_POINT,
    T_READING_MAX_MILLI,
)
from billing_core.engine import BillingEngine
from billing_core.plan import FOREVER_S, NO_OPTIONS, Plan, Slot, Tiers, Version
from billing_core.points import AccountSpec, PointSpec
from billing_core.schedule import unroll
from billing_core.state import Act, Target
from scada.errors import Refused
from scada.image import Columns, Layout
from scada.quality import BAD_TIMEOUT, GOOD
from scada.scan import Instant
from tests.plans import plan, version

STEPS: Final = int(os.environ.get("WATTKEEPER_STEPS", "12000"))
SEED: Final = int(os.environ.get("WATTKEEPER_SEED", str(random.SystemRandom().randrange(2**32))))
POINTS: Final = 24
SCANS: Final = 50
DAY_S: Final = 86_400
ZONES: Final = ("Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Europe/Berlin")


def random_plan(draw: random.Random, name: str, begin_s: int) -> Plan:
    """Return a plan of up to five rates, any minute as border, up to four tiers, and one or two versions."""
    versions = []
    border_s = begin_s + draw.randrange(40 * DAY_S) if draw.random() < 0.5 else FOREVER_S
    for from_s, to_s in ((0, border_s), (border_s, FOREVER_S)):
        if from_s < to_s:
            versions.append(random_version(draw, from_s, to_s))
    only = plan(name, {2: 1}, timezone=draw.choice(ZONES))
    return Plan(name, "", "", only.medium, only.unit, "CNY", only.timezone, tuple(versions))


def random_version(draw: random.Random, from_s: int, to_s: int) -> Version:
    borders = sorted({0, *(draw.randrange(1, 1440) for _ in range(draw.randrange(6)))})
    rates = [draw.randrange(5) for _ in borders]
    slots = tuple(Slot(begin, end, rate) for begin, end, rate in zip(borders, [*borders[1:], 1440], rates, strict=True))
    count = draw.randrange(1, 5)
    tiers = None
    if count > 1:
        bounds = sorted(draw.randrange(1, 200_000) for _ in range(count - 1))
        mode = draw.choice(("graduated", "volume"))
        tiers = Tiers(mode, draw.choice(("month", "year")), tuple(bounds), settlement_day=draw.randrange(1, 29))  # type: ignore[arg-type]
    prices = {rate: tuple(draw.randrange(3_000_000) for _ in range(count)) for rate in set(rates)}
    table = version({2: 1}).tables[0]
    return version(prices, (type(table)((), frozenset(), slots),), from_s=from_s, to_s=to_s, tiers=tiers)


@dataclass
class Twin:
    """A point of the engine and its model."""

    model: reference.Point
    book: reference.Book
    raw: int


class Bulk:
    """One random site."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.now_s = 1_770_000_000 + draw.randrange(400 * DAY_S)
        self.plans = tuple(random_plan(draw, f"plan{number}", self.now_s) for number in range(6))
        self.points = tuple(
            PointSpec(f"p{row}", f"m{row}", row % 3, draw.randrange(6), "electricity", "kWh",
                      draw.choice((1, 7, 10, 400)), draw.choice((10_000, 1_000_000, 2**32)), draw.choice((300, 30_000)))
            for row in range(POINTS)
        )  # fmt: skip
        accounts = [AccountSpec(f"t{row}", "", "", "CNY", 0, 0, 0, 0, 0, False, ()) for row in range(3)]
        self.engine = BillingEngine(self.points, accounts, self.plans)
        self.work = Columns.private(Layout({"tags": 0, "points": POINTS, "accounts": 3, "alarms": 0}, b"\0" * 32))
        books = [
            reference.book_of(unroll(tariff, NO_OPTIONS, self.now_s - 40 * DAY_S, self.now_s + 150 * DAY_S))
            for tariff in self.plans
        ]
        most = self.engine._supplies.table[:, T_READING_MAX_MILLI].tolist()
        self.twins = [
            Twin(
                reference.Point(point.milli_per_count, point.modulus_counts, point.max_milli_per_s, most[row]),
                books[point.tariff],
                draw.randrange(point.modulus_counts),
            )
            for row, point in enumerate(self.points)
        ]
        self.rows: list[list[int]] = []
        self.paid = np.zeros(3, dtype=np.int64)
        self.estimated = [0] * POINTS

    def scan(self, number: int) -> None:
        draw, points = self.draw, self.work.points
        gap_s = draw.choice((1, 1, draw.randrange(1, 900), draw.randrange(1, 2 * DAY_S)))
        self.now_s += gap_s
        for row, twin in enumerate(self.twins):
            model, quality = twin.model, GOOD if draw.random() < 0.9 else BAD_TIMEOUT
            carried = model.max_milli_per_s * gap_s // model.milli_per_count
            step = draw.choice((0, 0, 1, draw.randrange(1 + carried), draw.randrange(model.modulus)))
            wild = draw.random() < 0.002
            reading = twin.raw = (
                twin.raw + (step if wild else min(step, carried, model.modulus // 20))
            ) % model.modulus
            points.raw[row], points.quality[row] = reading, quality
            points.source_time[row] = self.now_s * 10**9
            if quality == GOOD:
                reference.bill(model, reference.Reading(reading, self.now_s), twin.book)
        self.engine.bill(Instant(number, self.now_s * 10**9, 0), self.work)

    def act(self) -> None:
        """Do what people do between two scans."""
        draw, kind = self.draw, self.draw.random()
        if kind < 0.3:
            account, nano = draw.randrange(3), draw.randrange(10**12)
            self.engine.credit(account, nano)
            self.paid[account] += nano
        elif kind < 0.6:
            self.cut()
            self._swap(draw.randrange(POINTS))
            self.cut()
            for row in draw.sample(range(POINTS), 5):
                self._decide(row)
                self.cut()
        elif kind < 0.9:
            self.cut()

    def _swap(self, row: int) -> None:
        """Replace a meter: bill up to its final register, an estimate, then the new register."""
        twin, draw = self.twins[row], self.draw
        model = twin.model
        if model.last is None:
            return
        first, gap = draw.randrange(model.modulus), draw.choice((0, draw.randrange(5_000)))
        final = None if draw.random() < 0.3 else (model.last.raw + draw.randrange(5)) % model.modulus
        at_s = max(
            self.now_s, model.last.at_s + (final not in (None, model.last.raw) and self.now_s == model.last.at_s)
        )
        target = Target(row, meter=f"n{draw.random()}", final_raw=final, first_raw=first, gap_milli=gap)
        try:
            change = self.engine.retarget([target], Act("k", "li", "desk", "swap"))
        except Refused as refused:
            assert refused.code in ("meter.final-implausible", "billing.no_price"), refused
            return
        if final is not None and final != model.last.raw:
            assert reference.follows(model, model.last, model.moved_s, reference.Reading(final, at_s)) == 0
            assert reference.accept(model, reference.Reading(final, at_s), twin.book) == 0
        model.position = reference.standing(model.position, self.now_s, twin.book) if gap else model.position
        if gap:
            entry = twin.book.entries[reference.entry_at(twin.book, self.now_s)]
            costs = sum(p * m for _, _, p, m, _ in reference.slices(model.position.milli, gap, entry, twin.book))
            model.position = reference.Position(model.position.milli + gap, model.position.period)
            assert change.document["points"][0]["gap_nano"] == costs
            self.estimated[row] += costs
        at_s = max(self.now_s, at_s if final is not None else model.last.at_s)
        model.last, model.moved_s, model.held = reference.Reading(first, at_s), at_s, 0
        model.position = reference.standing(model.position, at_s, twin.book)
        twin.raw = first

    def _decide(self, row: int) -> None:
        """Release or reject a register that is in doubt."""
        twin, act = self.twins[row], Act("k", "li", "desk", "seen on site")
        model = twin.model
        if model.held not in reference.DOUBTS:
            return
        assert model.last is not None
        assert model.doubtful is not None
        if model.held == HELD_JUMP and self.draw.random() < 0.5:
            try:
                self.engine.release(row, act)
            except Refused as refused:
                assert refused.code in ("billing.no_price", "hold.too-much", "hold.reverse"), refused
                return
            assert reference.accept(model, model.doubtful, twin.book) == 0
        else:
            self.engine.reject(row, act)
            model.last, model.moved_s = model.doubtful, model.doubtful.at_s
            model.position = reference.standing(model.position, model.last.at_s, twin.book)
        model.held = 0

    def cut(self) -> None:
        if (checkpoint := self.engine.cut()) is not None:
            self.engine.applied(checkpoint)
            self.rows += checkpoint.rows.tolist()

    def check(self) -> None:
        self.cut()
        charged = [0] * POINTS
        metered = [0] * POINTS
        for row in self.rows:
            charged[row[R_POINT]] += row[R_NANO]
            metered[row[R_POINT]] += row[R_MILLI] if row[R_KIND] in (KIND_METERED, KIND_ESTIMATE) else 0
        for row, twin in enumerate(self.twins):
            expected = sum(part.nano for part in twin.model.parts) + self.estimated[row]
            assert (row, charged[row]) == (row, expected)
            assert (row, int(self.work.points.charged_nano[row])) == (row, expected)
            assert (row, int(self.work.points.billed_milli[row])) == (row, metered[row])
            assert (row, int(self.work.points.held[row])) == (row, twin.model.held)
        spent = [sum(charged[row] for row in range(POINTS) if row % 3 == account) for account in range(3)]
        assert self.work.accounts.balance_nano.tolist() == (self.paid - spent).tolist()


@pytest.mark.timeout(max(60, STEPS // 2_000))
def test_the_engine_equals_its_twin_over_random_sites() -> None:
    for site in range(max(1, STEPS // (POINTS * SCANS))):
        bulk = Bulk(random.Random(SEED + site))
        try:
            for number in range(1, SCANS + 1):
                bulk.scan(number)
                bulk.act()
            bulk.check()
        except AssertionError as difference:
            raise AssertionError(f"WATTKEEPER_SEED={SEED + site}: {difference}") from difference

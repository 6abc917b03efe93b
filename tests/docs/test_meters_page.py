"""Every figure of docs/billing-meters.md, computed again."""

from decimal import Decimal

import numpy as np

from billing_core import reference
from billing_core.meter_rules import counts_of, ratio_of
from billing_core.plan import NO_OPTIONS, Slot
from billing_core.points import PointSpec, VirtualPart
from billing_core.rate_check import USED, RateCheck
from billing_core.restatement import Charge, Facts, Given, Row, restate
from billing_core.schedule import unroll
from billing_core.virtual import MODULUS, PPM, VirtualMeters
from billing_core.zones import DAY_S
from scada.image import NO_RATE, RATE_COLUMNS, Columns, Layout
from tests.docs.pages import table
from tests.plans import plan

PAGE = "billing-meters.md"
REGISTER_MILLI, RANGE = 10, 100_000_000
EIGHT_S = 1_793_059_200  # 2026-10-27 08:00 in Shanghai
PLAN = plan("tou", {1: 1_200_000, 3: 300_001}, (Slot(0, 480, 3), Slot(480, 1440, 1)))
BOOK = reference.book_of(unroll(PLAN, NO_OPTIONS, EIGHT_S - DAY_S, EIGHT_S + DAY_S))


def milli(text: str) -> int:
    return int(Decimal(text) * 1000)


def used(registers: str, ratio: str) -> int:
    """Return what a step from one register to another is, thousandths."""
    first, last = (counts_of(text, REGISTER_MILLI, RANGE) for text in registers.split(" to "))
    return (last - first) % RANGE * REGISTER_MILLI * ratio_of(ratio)


def test_rollover_and_swap() -> None:
    rows = {name: (registers, ratio, kwh) for name, registers, ratio, kwh in table(PAGE, "case")}
    for name in ("rollover", "old meter", "new meter"):
        registers, ratio, kwh = rows[name]
        assert used(registers, ratio) == milli(kwh), name
    assert milli(rows["old meter"][2]) + milli(rows["new meter"][2]) == milli(rows["swap"][2]) == 2_270_700


def test_the_sum_check() -> None:
    week = (tuple((slot.start_minute, slot.end_minute, slot.rate) for slot in PLAN.versions[0].tables[0].slots),) * 7
    point = PointSpec(
        "p", "m", 0, 0, "electricity", "kWh", 10, RANGE, 1000,
        rate_registers=True, rate_week=week, rates_used=(True, True, True, True, False),
    )  # fmt: skip
    check = RateCheck()
    check.renew([point], [PLAN])
    for total, together, believed in table(PAGE, "total counts"):
        points = Columns.private(Layout({"tags": 0, "points": 1, "accounts": 0, "alarms": 0}, bytes(32))).points
        points.quality[:], points.raw[:] = 0, int(total)
        quarter = int(together) // 4
        for name, value in zip(RATE_COLUMNS, (quarter, quarter, quarter, quarter, NO_RATE), strict=True):
            getattr(points, name)[:] = value
        check.mark(points)
        assert (int(points.rate_check[0]) == USED) == (believed == "yes")


def test_a_late_reading() -> None:
    point = reference.Point(10, RANGE, 10**9, 10**15)
    for reading in (reference.Reading(100, EIGHT_S - 120), reference.Reading(200, EIGHT_S + 180)):
        reference.bill(point, reading, BOOK)
    by_time = [
        Row(
            1, part.first.raw, part.first.at_s, part.last.raw, part.last.at_s, part.from_s, part.to_s, part.rate,
            part.tier, part.position_milli, part.price_micro, part.milli, part.nano, part.kind, part.method,
        )
        for part in point.parts
    ]  # fmt: skip
    charges = [Charge(1, line, row) for line, row in enumerate(by_time)]
    facts = {1: Facts("t", "electricity", 10, RANGE, 10**9, BOOK)}
    found = restate(charges, [Given(EIGHT_S, 170)], facts)
    for (_, before, after, cost), rows in zip(table(PAGE, "interval"), (by_time, found.rows), strict=True):
        assert [row.milli for row in rows] == [milli(before), milli(after)]
        assert sum(row.nano for row in rows) == int(Decimal(cost) * 10**9)


def test_virtual_meters() -> None:
    ppm = {"sum": (PPM, PPM, PPM), "difference": (PPM, -PPM, -PPM), "share 0.6": (600_000, 0, 0)}
    real = [PointSpec(f"p{n}", f"m{n}", 0, 0, "electricity", "kWh", 10, RANGE, 100) for n in range(3)]
    for name, inputs, shown in table(PAGE, "formula"):
        parts = tuple(VirtualPart(row, share) for row, share in enumerate(ppm[name]))
        virtual = PointSpec("v", "v", 0, 0, "electricity", "kWh", 1, MODULUS, 300, virtual=parts)
        billed = [milli(text) for text in inputs.split(", ")]
        billed += [0] * (4 - len(billed))
        assert VirtualMeters([*real, virtual]).quantities(np.array(billed, dtype=np.int64)).tolist() == [milli(shown)]

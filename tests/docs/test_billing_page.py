"""Every figure of docs/billing.md, computed again by the engine."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from billing_core.columns import HELD, KIND_METERED, KIND_UPLIFT, R_KIND, R_MILLI, R_PRICE_MICRO
from billing_core.engine import BillingEngine
from billing_core.plan import RATES, Plan, Slot, Tiers
from billing_core.points import AccountSpec, PointSpec
from billing_core.state import Act, Target
from scada.image import Columns, Layout
from scada.quality import GOOD
from scada.scan import Instant
from tests.docs.pages import table
from tests.plans import plan

PAGE = "billing.md"
ZONE = ZoneInfo("Asia/Shanghai")
MODULUS = 100_000_000  # 1,000,000.00 kWh
MEGAWATTS = 2**30
ACCOUNT = AccountSpec("t", "", "", "CNY", 0, 0, 0, 0, 0, False, ())
LAYOUT = Layout({"tags": 0, "points": 1, "accounts": 1, "alarms": 0}, b"\0" * 32)


def second(text: str) -> int:
    return int(datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=ZONE).timestamp())


def readings(cell: str) -> list[tuple[int, int]]:
    """Return (second, register in hundredths) of "month-day hour:minute kWh; ..."."""
    found = []
    for reading in cell.split(";"):
        when, _, register = reading.strip().rpartition(" ")
        found.append((second(when), int(Decimal(register) * 100)))
    return found


def minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def micro(text: str) -> int:
    return int(Decimal(text) * 10**6)


def plan_of(name: str, prices: str, slots: str, tiers: str) -> Plan:
    by_rate = {}
    for rate, *micros in (part.split() for part in prices.split(";")):
        by_rate[RATES.index(rate)] = tuple(micro(price) for price in micros)
    begins = [(minute(at), RATES.index(rate)) for at, rate in (part.split() for part in slots.split(";"))]
    ends = [*(at for at, _ in begins[1:]), 1440]
    rows = [Slot(at, end, rate) for (at, rate), end in zip(begins, ends, strict=True)]
    if tiers == "–":
        return plan(name, by_rate, rows)
    mode, period, *bounds = tiers.split()
    limits = tuple(int(bound) * 1000 for bound in bounds)
    return plan(name, by_rate, rows, tiers=Tiers(mode, period, limits))  # type: ignore[arg-type]


PLANS = {row[0]: plan_of(*row) for row in table(PAGE, "plan")}


class Meter:
    def __init__(self, tariff: Plan, ratio: int = 1, milli_per_s: int = MEGAWATTS) -> None:
        point = PointSpec("p", "m", 0, 0, "electricity", "kWh", 10 * ratio, MODULUS, milli_per_s)
        self.engine = BillingEngine([point], [ACCOUNT], [tariff])
        self.work = Columns.private(LAYOUT)
        self.scans = 0

    def read(self, at_s: int, raw: int) -> None:
        self.scans += 1
        points = self.work.points
        points.raw[0], points.quality[0], points.source_time[0] = raw, GOOD, at_s * 10**9
        self.engine.bill(Instant(self.scans, at_s * 10**9, 0), self.work)

    def rows(self) -> list[list[int]]:
        checkpoint = self.engine.cut()
        assert checkpoint is not None
        self.engine.applied(checkpoint)
        return checkpoint.rows.tolist()


@pytest.mark.parametrize(("judged", "cell", "billed", "hold"), table(PAGE, "judged"))
def test_what_a_reading_means(judged: str, cell: str, billed: str, hold: str) -> None:
    meter = Meter(PLANS["flat"], milli_per_s=30)
    for at_s, raw in readings(cell):
        meter.read(at_s, raw)
    assert meter.work.points.billed_milli[0] == Decimal(billed) * 1000
    assert HELD[meter.work.points.held[0]] == hold


@pytest.mark.parametrize(("priced", "name", "ratio", "cell", "charges", "money"), table(PAGE, "priced"))
def test_what_it_costs(priced: str, name: str, ratio: str, cell: str, charges: str, money: str) -> None:
    meter = Meter(PLANS[name], int(ratio))
    for at_s, raw in readings(cell):
        meter.read(at_s, raw)
    assert meter.work.points.charged_nano[0] == Decimal(money) * 10**9
    assert joined([(row[R_KIND], row[R_MILLI], row[R_PRICE_MICRO]) for row in meter.rows()]) == expected(charges)


def expected(charges: str) -> list[tuple[int, int, int]]:
    found = []
    for charge in charges.split(";"):
        quantity, price = charge.replace("uplift", "").split("x")
        kind = KIND_UPLIFT if "uplift" in charge else KIND_METERED
        found.append((kind, int(Decimal(quantity.strip()) * 1000), micro(price.strip())))
    return found


def joined(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return rows in which neighbours of one kind and price are one."""
    found: list[tuple[int, int, int]] = []
    for kind, milli, price in rows:
        if found and (found[-1][0], found[-1][2]) == (kind, price):
            milli += found.pop()[1]
        found.append((kind, milli, price))
    return found


@pytest.mark.parametrize(
    ("swap", "old", "last", "final", "new", "first", "now", "charges"),
    table(PAGE, "swap"),
)
def test_a_swap(swap: str, old: str, last: str, final: str, new: str, first: str, now: str, charges: str) -> None:
    registers = {name: int(Decimal(value) * 100) for name, value in zip("lfns", (last, final, first, now), strict=True)}
    meter = Meter(PLANS["flat"], int(old))
    meter.read(second("10-26 07:00"), registers["l"])
    meter.rows()
    target = Target(0, meter="new", milli_per_count=int(new) * 10, final_raw=registers["f"], first_raw=registers["n"])
    meter.engine.retarget([target], Act("key", "li", "desk", "worn out"))
    charged = meter.rows()
    meter.read(second("10-26 08:00"), registers["s"])
    milli = [row[R_MILLI] for row in charged + meter.rows()]
    assert milli == [int(Decimal(part.strip()) * 1000) for part in charges.split(";")]

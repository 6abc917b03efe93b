"""Billing in rows, one per scan: seconds later, register, quality; then milli charged in all, nano charged, hold."""

import pytest
from loguru import logger

from billing_core.columns import HELD, R_MILLI, R_PRICE_MICRO
from billing_core.engine import BillingEngine
from billing_core.plan import Plan, Slot
from billing_core.points import AccountSpec, PointSpec
from scada.image import Columns, Layout
from scada.quality import BAD_TIMEOUT, GOOD, UNCERTAIN_LAST_USABLE
from scada.scan import Instant
from tests.plans import plan

AT_0740_S = 1_792_971_600  # Monday 2026-10-26 07:40 in Shanghai
VALLEY, PEAK = 300_000, 1_200_000
TARIFF = plan("tou", {1: PEAK, 3: VALLEY}, (Slot(0, 480, 3), Slot(480, 1320, 1), Slot(1320, 1440, 3)))
PRICELESS = plan("gap", {3: VALLEY}, (Slot(0, 480, 3), Slot(481, 1440, 3)))
MODULUS = 100_000_000  # 999999.99 kWh
FAST = 30_000  # milli per second: 108 MW, so that only the wildest step is a jump
ACCOUNT = AccountSpec("t", "", "", "CNY", 0, 0, 0, 0, 0, False, ())
LAYOUT = Layout({"tags": 0, "points": 1, "accounts": 1, "alarms": 0}, b"\0" * 32)

Row = tuple[int, int, int, int, int, str]  # after_s, register, quality, milli, nano, held


class Bench:
    def __init__(
        self,
        tariff: Plan = TARIFF,
        per_count: int = 10,
        rate: int = FAST,
        modulus: int = MODULUS,
        room: int | None = None,
    ) -> None:
        point = PointSpec("p", "m", 0, 0, "electricity", "kWh", per_count, modulus, rate)
        self.engine = BillingEngine([point], [ACCOUNT], [tariff], room=room)
        self.work = Columns.private(LAYOUT)
        self.at_s = AT_0740_S
        self.scans = 0

    def scan(self, after_s: int, register: int, quality: int = GOOD) -> tuple[int, int, str]:
        self.at_s += after_s
        self.scans += 1
        points = self.work.points
        points.raw[0], points.quality[0], points.source_time[0] = register, quality, self.at_s * 10**9
        self.engine.bill(Instant(self.scans, self.at_s * 10**9, 0), self.work)
        return int(points.billed_milli[0]), int(points.charged_nano[0]), HELD[points.held[0]]

    def play(self, rows: list[Row]) -> None:
        for number, (after_s, register, quality, *expected) in enumerate(rows):
            assert (number, *self.scan(after_s, register, quality)) == (number, *expected)
        assert self.work.accounts.balance_nano[0] == -self.work.points.charged_nano[0]

    def charges(self) -> list[tuple[int, int]]:
        """Return (milli, price) of every charge since the last cut."""
        checkpoint = self.engine.cut()
        return [] if checkpoint is None else [(r[R_MILLI], r[R_PRICE_MICRO]) for r in checkpoint.rows.tolist()]


def test_a_rate_change_inside_an_interval_is_split_by_time() -> None:
    """Vector D.1-9: 07:58 to 08:03, 1.00 kWh, border 08:00: 0.40 + 0.60."""
    bench = Bench()
    bench.play(
        [
            (1080, 1000, GOOD, 0, 0, "none"),  # 07:58:00, first reading: no back-charge
            (300, 1100, GOOD, 1000, 400 * VALLEY + 600 * PEAK, "none"),
        ]
    )
    assert bench.charges() == [(400, VALLEY), (600, PEAK)]


def test_a_thousand_small_scans_lose_nothing() -> None:
    """Vector D.1-2: 1000 scans of 0.01 kWh at 0.6837 are 6.837000, not 10.00."""
    flat = plan("f", {2: 683_700})
    bench = Bench(flat)
    for scan in range(1001):
        bench.scan(1, scan)
    assert bench.work.points.charged_nano[0] == 6_837_000_000
    assert bench.charges() == [(10_000, 683_700)]


def test_bad_and_uncertain_readings_are_not_billed_and_nothing_is_lost() -> None:
    Bench().play(
        [
            (1, 50, GOOD, 0, 0, "none"),
            (1, 51, UNCERTAIN_LAST_USABLE, 0, 0, "none"),
            (1, 99, BAD_TIMEOUT, 0, 0, "none"),
            (1, 54, GOOD, 40, 40 * VALLEY, "none"),
            (0, 60, GOOD, 40, 40 * VALLEY, "none"),  # the same second: next scan
            (1, 60, GOOD, 100, 100 * VALLEY, "none"),
        ]
    )


def test_rollover() -> None:
    """Vector D.1-5: 999999.50 to 000003.25 with CT 40 is 150.00 kWh."""
    bench = Bench(per_count=400)
    bench.play(
        [
            (1, 99_999_950, GOOD, 0, 0, "none"),
            (60, 325, GOOD, 150_000, 150_000 * VALLEY, "none"),
            (1, 326, GOOD, 150_400, 150_400 * VALLEY, "none"),
        ]
    )


@pytest.mark.parametrize("modulus", [2**16, 2**32, 10**6, 10**9])
def test_every_counter_width_rolls_over_exactly(modulus: int) -> None:
    Bench(per_count=1, modulus=modulus).play(
        [(1, modulus - 1, GOOD, 0, 0, "none"), (1, 1, GOOD, 2, 2 * VALLEY, "none"), (1, 1, GOOD, 2, 2 * VALLEY, "none")]
    )


def test_a_reset_is_held_and_stays_held() -> None:
    """Vector D.1-5: 1234.00 to 12.00 is not a rollover."""
    bench = Bench(rate=30)
    bench.play(
        [
            (1, 123_400, GOOD, 0, 0, "none"),
            (1, 1_200, GOOD, 0, 0, "reverse"),
            (3600, 1_201, GOOD, 0, 0, "reverse"),
            (100 * 86_400, 123_500, GOOD, 0, 0, "reverse"),  # caught up by counting: still a reset
        ]
    )


def test_a_glitch_ends_by_itself() -> None:
    Bench(rate=30).play(
        [
            (1, 5_000_000, GOOD, 0, 0, "none"),
            (1, 5_000_001, GOOD, 10, 10 * VALLEY, "none"),
            (1, 9_000_000, GOOD, 10, 10 * VALLEY, "jump"),
            (1, 5_000_002, GOOD, 20, 20 * VALLEY, "none"),
            (1, 1, GOOD, 20, 20 * VALLEY, "reverse"),
            (1, 5_000_003, GOOD, 30, 30 * VALLEY, "none"),
        ]
    )


def test_a_jump_is_not_made_good_by_time_but_a_gap_is_no_jump() -> None:
    bench = Bench(rate=30)
    bench.play(
        [
            (1, 0, GOOD, 0, 0, "none"),
            (1, 10_000, GOOD, 0, 0, "jump"),
            (1, 10_001, GOOD, 0, 0, "jump"),
            (8 * 3600, 10_002, GOOD, 0, 0, "jump"),
        ]
    )
    gap = Bench(rate=30)
    gap.play([(1, 0, GOOD, 0, 0, "none")])
    assert gap.scan(8 * 3600, 10_000)[2] == "none"  # 100 kWh in eight hours is plausible


def test_a_slow_register_may_bring_a_quarter_of_an_hour_at_once() -> None:
    bench = Bench(rate=30, per_count=1)
    bench.scan(1, 0)
    for _ in range(899):
        bench.scan(1, 0)
    assert bench.scan(1, 27_000)[2] == "none"
    assert bench.scan(1, 54_000)[2] == "jump"


def test_minutes_without_price_are_held_never_free() -> None:
    Bench(PRICELESS).play(
        [
            (1170, 10, GOOD, 0, 0, "none"),  # 07:59:30
            (29, 11, GOOD, 10, 10 * VALLEY, "none"),
            (10, 12, GOOD, 10, 10 * VALLEY, "no_price"),
            (100, 13, GOOD, 10, 10 * VALLEY, "no_price"),  # priced again, but the interval holds the hole
        ]
    )


def test_a_gap_over_days_is_split_at_every_border() -> None:
    bench = Bench(rate=FAST)
    bench.scan(0, 0)
    bench.scan(2 * 86_400, 172_800)  # ten milli a second
    assert bench.charges() == [
        (10 * 1200, VALLEY), (10 * 50_400, PEAK), (10 * 36_000, VALLEY), (10 * 50_400, PEAK), (10 * 34_800, VALLEY)
    ]  # fmt: skip


def test_a_reading_from_the_future_is_not_billed() -> None:
    bench = Bench()
    bench.scan(1, 0)
    points = bench.work.points
    points.raw[0], points.source_time[0] = 5, (bench.at_s + 10) * 10**9
    bench.engine.bill(Instant(9, bench.at_s * 10**9, 0), bench.work)
    assert points.billed_milli[0] == 0
    assert bench.scan(11, 5)[0] == 50


def test_the_price_in_force_is_shown_even_when_no_reading_comes() -> None:
    bench = Bench()
    bench.scan(1, 0)
    assert bench.work.points.price_micro[0] == VALLEY
    bench.scan(1200, 0, BAD_TIMEOUT)
    assert (bench.work.points.price_micro[0], bench.work.points.rate[0]) == (PEAK, 1)


def test_a_calendar_that_is_renewed_makes_no_border() -> None:
    flat = plan("f", {2: 5})
    bench = Bench(flat)
    for day in range(100):
        bench.scan(86_400, day * 10)
    assert bench.charges() == [(99 * 100, 5)]


def test_without_a_data_base_memory_stays_bounded_and_the_register_waits() -> None:
    bench = Bench(room=9)
    for hour in range(60):
        bench.scan(3600, hour * 10)
    assert bench.engine.waiting.points == 1
    assert bench.engine.waiting.rows <= 9
    while (checkpoint := bench.engine.cut()) is not None:
        bench.engine.applied(checkpoint)
        bench.scan(1, 590)
    assert bench.work.points.billed_milli[0] == 5_900


def test_a_clock_that_ran_ahead_is_told_once_and_nothing_is_lost() -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="ERROR")
    bench = Bench()
    bench.scan(0, 1000)
    bench.scan(86_400, 1001)  # the clock jumps a day ahead ...
    for register in (1002, 1003, 1004):
        assert bench.scan(-86_400 if register == 1002 else 1, register)[0] == 10  # ... and back
    assert bench.scan(86_400, 1005)[0] == 50
    logger.remove(sink)
    assert len(said) == 1
    assert "86400 s behind" in said[0]

"""Computed tags: units of people, quality before the books are open, energised nodes, the figures of the scan."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from scada import quality
from scada.derived import SYSTEM_MEASURES, DerivedRows, DerivedTags, Health, write
from scada.image import Columns, Layout
from scada.position import CLOSED, OPEN
from scada.scan import Instant, ScanFigures
from scada.topology import DEAD, LIVE, UNDETERMINED, Edge, Network, Node

SYSTEM = len(SYSTEM_MEASURES)
LAYOUT = Layout({"tags": SYSTEM + 13, "points": 1, "accounts": 1, "alarms": 0}, bytes(32))
ROWS = DerivedRows(np.arange(SYSTEM), *(np.array([SYSTEM + at]) for at in range(9)), minor_nano=10_000_000)
POSITION, SOURCE_ROW, BUS_ROW = SYSTEM + 9, SYSTEM + 10, SYSTEM + 11
NETWORK = Network(
    "s", "站", "Station",
    (Node("source", "source", "源", "Source", 400), Node("bus", "busbar", "母线", "Bus", 400)),
    (Edge("q", "breaker", "source", "bus", "开关", "Breaker", "q1"),),
)  # fmt: skip
AT = Instant(7, 1_000, 2_000)
HEALTH = Health(0.5, True, 3, 0, 0, 0)


def make() -> tuple[Columns, DerivedTags]:
    work = Columns.private(LAYOUT)
    nodes = {"source": SOURCE_ROW, "bus": BUS_ROW}
    return work, DerivedTags(work, ROWS, [NETWORK], {"q": POSITION}, nodes)


def test_money_is_shown_in_units_of_people_and_in_whole_fen() -> None:
    work, derived = make()
    work.accounts.balance_nano[0] = -12_345_678_901
    work.points.billed_milli[0] = 1_234
    work.points.charged_nano[0] = 5_000_000_000
    work.points.price_micro[0] = 683_700
    derived.money(AT, books_open=True)
    values = work.tags.value[[int(rows[0]) for rows in (ROWS.balance, ROWS.balance_minor, ROWS.billed, ROWS.price)]]
    assert values.tolist() == [-12.345678901, -1235.0, 1.234, 0.6837]
    assert work.tags.value[ROWS.charged[0]] == 5.0
    assert work.tags.quality[ROWS.balance[0]] == quality.GOOD


def test_before_the_books_are_open_no_balance_is_good() -> None:
    work, derived = make()
    derived.money(AT, books_open=False)
    assert work.tags.quality[ROWS.balance[0]] == quality.BAD_WAITING_FOR_INITIAL_DATA


def test_a_forecast_that_is_not_known_is_uncertain_and_minus_one() -> None:
    work, _ = make()
    days, empty = np.array([0, 1, 2]), np.array([3, 4, 5])
    rows = replace(ROWS, days_left=days, empty_s=empty)
    derived = DerivedTags(work, rows, [], {}, {})
    outlook = SimpleNamespace(
        known=np.array([True, True, False, True]),  # the last row is spare and has no tag
        days_left=np.array([2.5, np.inf, np.nan, 7.0]),
        empty_s=np.array([1_800_000_000, -1, -2, 5]),
    )
    derived.forecast(AT, outlook)
    assert work.tags.value[days].tolist() == [2.5, 9999.0, -1.0]
    assert work.tags.value[empty].tolist() == [1_800_000_000.0, 0.0, -1.0]
    good, unsure = quality.GOOD, quality.UNCERTAIN_SUBNORMAL
    assert work.tags.quality[[*days, *empty]].tolist() == [good, good, unsure] * 2


def test_nodes_are_energised_from_good_positions_only() -> None:
    for position, status, expected in (
        (CLOSED, quality.GOOD, LIVE),
        (OPEN, quality.GOOD, DEAD),
        (CLOSED, quality.BAD_NO_COMMUNICATION, UNDETERMINED),
        (CLOSED, quality.UNCERTAIN_LAST_USABLE, UNDETERMINED),
    ):
        work, derived = make()
        work.tags.value[POSITION] = position
        work.tags.quality[POSITION] = status
        derived.network(AT)
        assert work.tags.value[BUS_ROW] == expected
        assert work.tags.value[SOURCE_ROW] == LIVE
        sure = work.tags.quality[BUS_ROW] == quality.GOOD
        assert sure == (expected != UNDETERMINED)


def test_an_overrun_is_shown_for_a_minute() -> None:
    work, derived = make()
    active = SYSTEM_MEASURES.index("OverrunActive")
    figures = ScanFigures(overruns=2)
    derived.system(Instant(1, 0, 1_000_000_000), figures, HEALTH)
    assert work.tags.value[active] == 1
    assert work.tags.value[SYSTEM_MEASURES.index("Overruns")] == 2
    derived.system(Instant(2, 0, 60_000_000_000), figures, HEALTH)
    assert work.tags.value[active] == 1
    derived.system(Instant(3, 0, 62_000_000_000), figures, HEALTH)
    assert work.tags.value[active] == 0


def test_only_what_differs_counts_as_changed() -> None:
    work, _ = make()
    rows = np.array([0, 1])
    write(work.tags, rows, [1.0, 2.0], quality.GOOD, Instant(1, 10, 0))
    write(work.tags, rows, [1.0, 3.0], quality.GOOD, Instant(2, 20, 0))
    assert work.tags.changed_scan[rows].tolist() == [1, 2]
    assert work.tags.source_time[rows].tolist() == [20, 20]

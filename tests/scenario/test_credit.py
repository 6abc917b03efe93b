"""Credit control, one row per scan: time, balances, data, positions; then the states and wishes that must come."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from scada.position import CLOSED, OPEN
from scada.quality import BAD_NO_COMMUNICATION, GOOD
from scada.scan import Instant
from tests.scenario.credit_bench import MINUTE, NOON_S, SETTINGS, YUAN, Bench, account, breaker


def test_the_life_of_a_purse() -> None:
    rows: list[tuple[int, int, str, list[tuple[str, int]]]] = [
        # seconds later, balance in yuan, state, wishes
        (1, 100, "normal", []),
        (1, 49, "remind1", []),
        (1, 52, "remind1", []),  # hysteresis: armed again above 55
        (1, 56, "normal", []),
        (1, 19, "remind2", []),
        (1, 21, "remind2", []),
        (1, 23, "remind1", []),
        (1, 0, "overdrawn", []),
        (1, -4, "overdrawn", []),
        (1, -10, "pending_stop", []),
        (59, -11, "pending_stop", []),  # grace
        (1, -11, "pending_stop", [("b0", OPEN)]),
        (1, -11, "stopped", []),
        (1, -2, "stopped", []),  # too little to reconnect
        (1, 4, "stopped", []),
        (1, 5, "reconnect_permitted", [("b0", CLOSED)]),
        (1, 5, "remind2", []),
        (1, 5, "remind2", []),
    ]
    bench = Bench()
    for number, (after_s, yuan, state, wishes) in enumerate(rows):
        bench.pay(0, yuan)
        found = bench.scan(after_s)
        assert (number, bench.state(), [(wish.breaker, wish.target) for wish in found]) == (number, state, wishes)
    kept = [(record.breaker, record.stopped, record.reason) for record in bench.control.records()]
    assert kept == [("b0", True, "credit.exhausted"), ("b0", False, "credit.topped-up")]
    bench.control.recorded(2)
    assert bench.control.records() == ()


def test_a_top_up_that_races_the_trip_keeps_the_supply() -> None:
    bench = Bench()
    bench.pay(0, -20)
    bench.scan()
    bench.pay(0, 30)
    assert bench.scan(5 * MINUTE) == []
    assert bench.state() == "remind1"


def test_a_trip_under_way_when_money_comes_is_undone() -> None:
    bench = Bench()
    bench.pay(0, -20)
    bench.scan()
    assert len(bench.scan(MINUTE, follow=False)) == 1
    bench.pay(0, 30)
    assert bench.scan() == []  # still closed: the trip may be on its way
    bench.work.tags.value[0] = OPEN
    assert [wish.target for wish in bench.scan(3)] == [CLOSED]


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({"quality": BAD_NO_COMMUNICATION}, "frozen", "credit.data-bad"),
        ({"held": 2}, "frozen", "credit.data-bad"),
        ({"position": 0}, "pending_stop", "credit.position"),
        ({"load": 101.0}, "pending_stop", "credit.load"),
        ({"settings": {"automatic": False}}, "pending_stop", "credit.manual"),
        ({"friendly": (690, 780)}, "pending_stop", "credit.friendly-hours"),
        ({"friendly": (1320, 1080)}, "pending_stop", "credit.friendly-hours"),  # crosses midnight
        ({"account": {"protected": True}}, "protected", "credit.protected"),
        ({"breaker": {"protected": True}}, "protected", "credit.protected"),
        ({}, "pending_stop", "credit.grace"),
    ],
)
def test_every_guard_refuses_with_its_reason(change: dict[str, Any], state: str, reason: str) -> None:
    settings = SimpleNamespace(**{**vars(SETTINGS), **change.get("settings", {})})
    if "friendly" in change:
        start, end = change["friendly"]
        settings.friendly = (SimpleNamespace(days=frozenset(range(7)), start_minute=start, end_minute=end),)
    bench = Bench(settings, load=change.get("load", 0.0))
    bench = Bench(
        settings,
        [account(0, **change.get("account", {})), *bench.accounts[1:]],
        [breaker(0, **change.get("breaker", {})), *bench.breakers[1:]],
        change.get("load", 0.0),
    )
    bench.work.points.quality[0] = change.get("quality", GOOD)
    bench.work.points.held[0] = change.get("held", 0)
    bench.work.tags.value[0] = change.get("position", CLOSED)
    bench.pay(0, -20)
    bench.scan()
    assert bench.scan(10 if reason == "credit.grace" else 2 * MINUTE) == []
    assert (bench.state(), bench.control.refusal("t0")) == (state, reason)


def test_the_live_balance_alone_stops_nobody() -> None:
    bench = Bench()
    bench.work.accounts.balance_nano[0] = -100 * YUAN
    bench.scan()
    assert bench.scan(10 * MINUTE) == []
    assert bench.state() == "normal"


def test_friendly_hours_end_and_the_stop_comes() -> None:
    settings = SimpleNamespace(**vars(SETTINGS))
    settings.friendly = (SimpleNamespace(days=frozenset({0}), start_minute=0, end_minute=780),)  # Monday until 13:00
    bench = Bench(settings)
    bench.pay(0, -20)
    bench.scan()
    assert bench.scan(59 * MINUTE) == []
    assert len(bench.scan(MINUTE)) == 1


def test_a_fault_that_empties_many_purses_at_once_switches_nobody() -> None:
    bench = Bench()
    for row in range(4):  # more than 5 % of 60
        bench.pay(row, -20)
    bench.scan()
    assert bench.scan(2 * MINUTE) == []
    assert (bench.control.held, bench.control.held_count) == (True, 4)
    assert bench.control.refusal("t3") == "credit.mass-guard"
    assert bench.scan(60 * MINUTE) == []  # time alone releases nothing
    bench.control.release("ann")
    assert len(bench.scan()) == 2  # at the allowed rate
    assert bench.scan() == []
    assert bench.control.refusal("t3") == "credit.rate"
    assert len(bench.scan(10 * MINUTE)) == 2


def test_the_hold_ends_when_the_fault_was_put_right() -> None:
    bench = Bench()
    bench.work.accounts.committed_nano[:5] = -20 * YUAN
    bench.scan()
    assert bench.control.held
    bench.work.accounts.committed_nano[:5] = 100 * YUAN
    bench.scan()
    assert not bench.control.held


def test_a_breaker_that_does_not_follow_is_asked_again_after_1_5_and_15_minutes() -> None:
    bench = Bench()
    bench.pay(0, -20)
    bench.scan()
    asked = [second for second in range(1, 60 * MINUTE) if bench.scan(follow=False)]
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert gaps == [60, 300, 900, 900, 900]


def test_a_refused_wish_waits_and_its_reason_is_kept() -> None:
    bench = Bench()
    bench.pay(0, -20)
    bench.scan()
    instant = Instant(99, (bench.at_s + 100) * 10**9, (bench.mono_s + 100) * 10**9)
    (wish,) = bench.control.decide(instant, bench.work)
    bench.control.refused(wish, "interlock.tagged", instant)
    assert bench.control.refusal("t0") == "interlock.tagged"
    bench.at_s += 100
    bench.mono_s += 100
    assert bench.scan(59) == []
    assert bench.scan(1) == [wish]
    assert len(bench.control.records()) == 1


def test_only_what_credit_switched_off_is_switched_on_and_one_after_the_other() -> None:
    bench = Bench()
    bench.work.tags.value[:3] = OPEN
    bench.control.restore([("t0", "b0", NOON_S), ("t1", "b1", NOON_S)], NOON_S)
    found = [wish.breaker for _ in range(6) for wish in bench.scan()]
    assert found == ["b0", "b1"]
    assert bench.work.tags.value[2] == OPEN


def test_gas_is_never_opened_remotely() -> None:
    bench = Bench()
    bench = Bench(breakers=[breaker(0, remote_close=False), *bench.breakers[1:]])
    bench.work.tags.value[0] = OPEN
    bench.control.restore([("t0", "b0", NOON_S)], NOON_S)
    assert bench.scan() == []
    assert (bench.state(), bench.control.refusal("t0")) == ("reconnect_permitted", "credit.by-hand")


def test_stopped_tenants_after_a_restart_are_no_mass_trip() -> None:
    bench = Bench()
    bench.work.tags.value[:10] = OPEN
    bench.work.accounts.committed_nano[:10] = -20 * YUAN
    bench.control.restore([(f"t{row}", f"b{row}", NOON_S) for row in range(10)], NOON_S)
    bench.scan()
    assert not bench.control.held
    assert bench.state() == "stopped"


def test_stopped_tenants_whose_positions_come_late_after_a_restart_are_no_mass_trip() -> None:
    bench = Bench()
    bench.work.tags.value[:10] = OPEN
    bench.work.accounts.committed_nano[:10] = -20 * YUAN
    bench.work.tags.quality[:10] = BAD_NO_COMMUNICATION
    bench.control.restore([(f"t{row}", f"b{row}", NOON_S) for row in range(10)], NOON_S)
    bench.scan()
    assert (bench.control.held, bench.state()) == (False, "frozen")
    bench.work.tags.quality[:10] = GOOD
    bench.scan()
    assert (bench.control.held, bench.state()) == (False, "stopped")


def test_the_mass_guard_holds_again_after_a_restart() -> None:
    bench = Bench()
    bench.work.accounts.committed_nano[:5] = -20 * YUAN
    bench.work.points.quality[:5] = BAD_NO_COMMUNICATION  # the meters answer one after the other
    for row in range(5):
        bench.work.points.quality[row] = GOOD
        assert bench.scan(5) == []
    assert bench.control.held
    assert bench.scan(MINUTE) == []


def test_a_restart_does_not_begin_a_new_interval_of_switch_offs() -> None:
    bench = Bench()
    bench.work.tags.value[:2] = OPEN
    bench.work.accounts.committed_nano[:3] = -20 * YUAN
    bench.control.restore([("t0", "b0", NOON_S - 10), ("t1", "b1", NOON_S - 5)], NOON_S)
    bench.scan()
    assert bench.scan(MINUTE) == []
    assert bench.control.refusal("t2") == "credit.rate"
    assert [wish.breaker for wish in bench.scan(10 * MINUTE)] == ["b2"]


def test_a_stop_of_a_tenant_who_has_gone_ends_and_the_next_tenant_has_his_own() -> None:
    bench = Bench()
    bench.work.tags.value[0] = OPEN
    bench.control.restore([("gone", "b0", NOON_S - 3600), ("t1", "b0", NOON_S - 3600)], NOON_S)
    assert [(each.breaker, each.stopped) for each in bench.control.records()] == [("b0", False), ("b0", False)]
    bench.control.recorded(2)
    assert bench.scan() == []  # not ours to close
    bench.work.tags.value[0] = CLOSED  # a person did
    bench.pay(0, -20)
    bench.scan()
    assert [wish.target for wish in bench.scan(MINUTE)] == [OPEN]
    assert [(each.account, each.stopped) for each in bench.control.records()] == [("t0", True)]
    bench.pay(0, 100)
    bench.scan(MINUTE)
    assert bench.work.tags.value[0] == CLOSED


def test_an_account_opened_while_running_is_watched_at_once() -> None:
    bench = Bench()
    bench.control.leave("t9", NOON_S)
    bench.control.adopt(account(9, id="new", breakers=("b9",)), 9, [9], NOON_S)
    bench.pay(9, -20)
    bench.scan()
    bench.work.points.quality[9] = BAD_NO_COMMUNICATION  # its point counts, nobody else's
    assert bench.scan(2 * MINUTE) == []
    assert bench.control.refusal("new") == "credit.data-bad"
    bench.work.points.quality[9] = GOOD
    (wish,) = bench.scan()
    assert (wish.account, wish.breaker) == ("new", "b9")


def test_a_stop_ends_in_the_books_when_the_room_goes_to_another_tenant() -> None:
    bench = Bench()
    bench.pay(0, -20)
    bench.scan()
    assert len(bench.scan(MINUTE)) == 1
    bench.control.adopt(account(0, breakers=()), 0, [], bench.at_s)
    bench.control.adopt(account(1, breakers=("b0", "b1")), 1, [0, 1], bench.at_s)
    kept = [(record.account, record.stopped, record.reason) for record in bench.control.records()]
    assert kept == [("t0", True, "credit.exhausted"), ("t0", False, "credit.reassigned")]
    assert bench.scan() == []  # what the former tenant left open is not closed by itself
    assert (bench.state(0), bench.state(1)) == ("protected", "normal")


def test_new_limits_of_an_account_count_at_once_and_the_clock_of_its_stop_goes_on() -> None:
    bench = Bench()
    bench.pay(0, -20)
    bench.scan()
    bench.control.adopt(account(0, alarm1_nano=500 * YUAN), 0, [0], bench.at_s)
    assert len(bench.scan(MINUTE)) == 1

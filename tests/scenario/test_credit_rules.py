"""How a stop comes about, and everything that keeps it away: notices, friendly days, people, guards, restarts."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from billing_core.columns import R_NANO, R_POINT, R_SEGMENT_FROM_S, R_SEGMENT_TO_S, ROW_WIDTH
from billing_core.credit import Wish
from billing_core.credit_holds import ALL, DISPUTE, MASS_HOLD, PAUSE, PERMIT, PROTECT, RELEASE
from billing_core.credit_levels import DECISIONS, NOTICES, STATES, Standing, next_state
from billing_core.credit_rules import Remembered
from billing_core.state import Checkpoint
from scada.position import CLOSED, OPEN
from scada.quality import BAD_NO_COMMUNICATION, GOOD
from tests.docs.pages import table
from tests.scenario.credit_bench import (
    DAY,
    HOUR,
    MINUTE,
    NOON_S,
    SHANGHAI,
    TENANTS,
    YUAN,
    Bench,
    account,
    hours,
    settings,
)

FRIENDLY = (hours(set(range(7)), 900, 540), hours({4}, 720, 1440), hours({5, 6}, 0, 1440))  # as configured by default
REAL = {"grace_s": 600.0, "notice_lead_s": 3.0 * DAY, "again_lead_s": 3600.0, "friendly": FRIENDLY}


def local_s(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp())


# ---- the tables, cell by cell

BALANCE = {"normal": 1000, "remind1": 40, "remind2": 15, "overdrawn": -5, "reconnect_permitted": 30}
CUT = ("stopped", "reconnect_permitted")


def enter(bench: Bench, state: str) -> None:
    """Bring the first tenant into a state within one scan."""
    bench.pay(0, BALANCE.get(state, -20))
    bench.work.points.quality[0] = BAD_NO_COMMUNICATION if state == "frozen" else GOOD
    protected = bench.control.holds.own(PROTECT, "t0") is not None
    if (state == "protected") != protected:
        bench.event(PROTECT if state == "protected" else "unprotect")
    if state in CUT:
        bench.control.sent(Wish("b0", OPEN, "t0", "credit.exhausted"), "c", bench.instant())
    bench.work.tags.value[0] = OPEN if state in CUT else CLOSED
    bench.scan(61)
    assert bench.state() == state


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_every_cell_of_the_pages_table_of_notices(before: str, after: str) -> None:
    rows = {row[0]: row[1:] for row in table("billing-credit.md", "from")}
    wanted = rows[before][STATES.index(after)]
    assert (NOTICES[STATES.index(before), STATES.index(after)] or "–") == wanted
    bench = Bench(settings(automatic=False, reconnect=False))
    if before != "normal":
        enter(bench, before)
    told = len(bench.told)
    enter(bench, after)
    assert [kind for _, kind in bench.told[told:]] == ([] if wanted == "–" else [wanted])


def test_the_page_numbers_the_states_as_the_image_does() -> None:
    rows = table("billing-credit.md", "state")
    assert [(row[0], int(row[1])) for row in rows] == list(zip(STATES, range(len(STATES)), strict=True))


def test_every_standing_has_one_decision_and_no_decision_is_idle() -> None:
    used = set()
    for number in range(2**5):
        exhausted, cut, returns, protected, fit = facts = [bool(number >> bit & 1) for bit in range(5)]
        fitting = [
            row for row, (pattern, _) in enumerate(DECISIONS)
            if all(wanted in (None, fact) for wanted, fact in zip(pattern, facts, strict=True))
        ]  # fmt: skip
        assert len(fitting) == 1, facts
        used.add(fitting[0])
        found = STATES[next_state(Standing(2, exhausted, cut, returns, protected, fit))]
        slow = (
            ("reconnect_permitted" if returns else "stopped") if cut
            else "remind2" if not exhausted
            else "protected" if protected
            else "pending_stop" if fit
            else "frozen"
        )  # fmt: skip
        assert found == slow
    assert used == set(range(len(DECISIONS)))


# ---- reminders


def test_reminders_come_once_and_daily_and_are_armed_again_by_a_tenth() -> None:
    rows = [
        # seconds later, balance, what is told
        (1, 60, []),
        (1, 49, ["remind1"]),
        (HOUR, 48, []),
        (HOUR, 52, []),  # not armed again yet
        (HOUR, 49, []),
        (DAY, 48, ["remind1"]),  # it lasts
        (1, 56, []),
        (1, 49, ["remind1"]),  # armed again, and crossed
        (1, 19, ["remind2"]),
        (1, 51, []),  # upwards nothing is told
        (1, 19, ["remind2"]),
        (1, -1, ["overdrawn"]),
        (1, 1000, []),
    ]
    bench = Bench()
    for number, (after_s, yuan, told) in enumerate(rows):
        bench.pay(0, yuan)
        before = len(bench.told)
        bench.scan(after_s)
        assert (number, [kind for _, kind in bench.told[before:]]) == (number, told)


@pytest.mark.parametrize(("yuan", "state"), [(71, "normal"), (69, "remind1"), (31, "remind1"), (29, "remind2")])
def test_reminders_by_days_of_usual_cost(yuan: int, state: str) -> None:
    bench = Bench()
    bench.costs(0, [10, 10, 10, 200, 10, 10, 10])  # one odd day changes nothing
    bench.pay(0, yuan)
    bench.scan()
    assert bench.state() == state


def test_a_class_has_rules_of_its_own() -> None:
    own = settings(remind1_days=30, notice_lead_s=7.0 * DAY)
    bench = Bench(settings(classes={"resident": own}), [account(0, account_class="resident"), account(1)])
    bench.costs(0, [10] * 7)
    bench.pay(0, 290)
    bench.pay(1, 290)
    bench.scan()
    assert (bench.state(0), bench.state(1)) == ("remind1", "normal")
    bench.pay(0, -20)
    bench.scan()
    assert bench.scan(6 * DAY) == []
    assert bench.control.refusal("t0") == "credit.notice"
    assert len(bench.scan(DAY)) == 1


def test_nobody_is_told_about_vacant_rooms() -> None:
    bench = Bench(settings(house="t0"))
    bench.pay(0, -20)
    bench.pay(1, 15)
    bench.scan()
    assert bench.told == [("t1", "remind2")]


# ---- a stop


def test_the_stop_of_the_page_with_its_clocks() -> None:
    bench = Bench(settings(**REAL), at_s=local_s("2026-10-26 11:59:59"))
    for time, balance, told in table("billing-credit.md", "local time"):
        due_s = local_s(time)
        while bench.at_s < due_s - MINUTE:  # nothing but what the page says happens in between
            wished = bench.scan(min(MINUTE, due_s - MINUTE - bench.at_s) or 1)
            assert wished == [], datetime.fromtimestamp(bench.at_s, SHANGHAI)
        before = len(bench.told)
        bench.work.accounts.committed_nano[0] = int(float(balance) * YUAN)
        wished = bench.scan(due_s - bench.at_s)
        for _ in range(3):
            wished += bench.scan()
        kinds = [kind for _, kind in bench.told[before:]]
        for kind in ("final", "again", "stopped", "restored"):
            assert (kind in kinds) == (kind in told), (time, kinds)
        targets = [OPEN] * ("switched off" in told) + [CLOSED] * ("switched on" in told)
        assert [wish.target for wish in wished] == targets


def test_a_final_notice_that_is_not_delivered_stops_nobody() -> None:
    bench = Bench(settings(notice_lead_s=600.0))
    bench.pay(0, -20)
    for _ in range(10):
        assert bench.scan(HOUR, deliver=False) == []
    assert bench.control.refusal("t0") == "credit.notice"
    bench.scan()  # the data base is back
    assert bench.scan(599) == []
    assert len(bench.scan(1)) == 1


def test_a_notice_that_is_delivered_after_the_money_came_begins_no_clock() -> None:
    bench = Bench(settings(notice_lead_s=600.0))
    bench.pay(0, -20)
    bench.scan(deliver=False)
    bench.pay(0, 1000)
    bench.scan()  # the old notice is delivered now
    bench.pay(0, -20)
    bench.scan(10)
    assert bench.scan(599) == []
    assert bench.kinds().count("final") == 2
    assert len(bench.scan(1)) == 1


def test_the_last_word_is_given_again_when_the_stop_waited_for_days() -> None:
    bench = Bench(settings(again_lead_s=3600.0, notice_repeat_s=0.0))
    bench.pay(0, -20)
    bench.scan()
    bench.scan(MINUTE)
    assert bench.kinds() == ["final", "again"]
    bench.load = 101.0  # the load guard holds for two days
    assert bench.scan(3600) == []
    assert bench.control.refusal("t0") == "credit.load"
    assert bench.scan(2 * DAY) == []
    assert (bench.control.refusal("t0"), bench.kinds()[-2:]) == ("credit.notice-again", ["again", "again"])
    bench.load = 0.0
    assert len(bench.scan(3600)) == 1


@pytest.mark.parametrize(
    ("due", "stopped"),
    [
        ("2026-10-26 10:00", "2026-10-26 10:01"),  # a Monday
        ("2026-10-26 15:00", "2026-10-27 09:00"),
        ("2026-10-30 11:58", "2026-10-30 11:59"),
        ("2026-10-30 12:00", "2026-11-02 09:00"),  # Friday noon to Monday morning
        ("2026-12-30 16:00", "2027-01-04 09:00"),  # the day before a holiday, the holiday, a weekend
    ],
)
def test_friendly_hours_weekends_and_holidays(due: str, stopped: str) -> None:
    new_year = datetime(2027, 1, 1).toordinal()
    bench = Bench(settings(friendly=FRIENDLY, closed_days=frozenset({new_year - 1, new_year})), at_s=local_s(due) - 1)
    bench.pay(0, -20)
    bench.scan()
    while not bench.scan(MINUTE):
        assert bench.at_s <= local_s(stopped), bench.control.refusal("t0")
    assert bench.at_s == local_s(stopped)


# ---- people


@pytest.mark.parametrize(
    ("verb", "who", "reason", "told"),
    [
        (PROTECT, "t0", "credit.protected", ["debt"]),
        (PROTECT, ALL, "credit.protected", ["debt"]),
        (PAUSE, "t0", "credit.paused", []),
        (PAUSE, ALL, "credit.paused", []),
        (DISPUTE, "t0", "credit.disputed", ["final"]),
    ],
)
def test_a_hold_keeps_the_supply_until_its_time_or_its_end(verb: str, who: str, reason: str, told: list[str]) -> None:
    for ended_by in ("time", "person"):
        bench = Bench()
        bench.event(verb, who, NOON_S + HOUR if ended_by == "time" else 0)
        bench.pay(0, -20)
        bench.scan()
        assert bench.scan(30 * MINUTE) == []
        assert (bench.control.refusal("t0"), bench.kinds()) == (reason, told)
        if ended_by == "person":
            bench.event({PROTECT: "unprotect", PAUSE: "resume", DISPUTE: "settle"}[verb], who)
        wished = bench.scan(30 * MINUTE)
        wished += bench.scan(MINUTE + 1)  # grace begins when the protection ends
        assert [wish.breaker for wish in wished] == ["b0"]
        assert "final" in bench.kinds()


def test_the_end_of_a_protection_begins_the_clock_anew() -> None:
    bench = Bench(settings(notice_lead_s=3.0 * DAY))
    bench.pay(0, -20)
    bench.scan()
    bench.scan(2 * DAY)
    bench.event(PROTECT, "t0", bench.at_s + 2 * DAY)
    bench.scan()
    assert bench.scan(2 * DAY - 1) == []
    assert bench.scan(3 * DAY - 10) == []
    assert bench.kinds().count("final") >= 2
    assert len(bench.scan(10)) == 1


def test_charges_go_to_whoever_pays_for_the_point() -> None:
    bench = Bench()
    bench.scan()
    rows = np.zeros((2, ROW_WIDTH), dtype=np.int64)
    rows[:, R_SEGMENT_FROM_S], rows[:, R_SEGMENT_TO_S], rows[:, R_NANO] = NOON_S - 10, NOON_S, (3, 4)
    rows[:, R_POINT] = 0, 1
    checkpoint = Checkpoint(1, NOON_S, rows, rows[:0, 0], rows[:0], rows[0])
    bench.control.adopt(account(1, breakers=("b1",)), 1, [0, 1], bench.at_s)
    bench.control.adopt(account(0, breakers=("b0",)), 0, [], bench.at_s)
    bench.control.charged(checkpoint)
    assert bench.control.forecaster.costs.nano.sum(axis=1)[:2].tolist() == [0, 7]


def test_protection_brings_the_supply_back_and_only_credits_own() -> None:
    bench = Bench()
    bench.work.tags.value[1] = OPEN  # somebody else opened it
    bench.pay(0, -20)
    bench.pay(1, -20)
    bench.scan()
    bench.scan(MINUTE)
    bench.scan()
    assert bench.state(0) == "stopped"
    bench.event(PROTECT, ALL, NOON_S + DAY)
    wished = bench.scan()
    assert [(wish.breaker, wish.target, wish.reason) for wish in wished] == [
        ("b0", CLOSED, "credit.restored-protected")
    ]
    bench.scan()
    assert (bench.state(0), bench.control.stops_held) == ("protected", 3)
    assert bench.scan(10 * MINUTE) == []


def test_without_automatic_reconnection_a_person_closes() -> None:
    bench = Bench(settings(reconnect=False))
    bench.pay(0, -20)
    bench.scan()
    bench.scan(MINUTE)
    bench.pay(0, 30)
    assert bench.scan(HOUR) == []
    assert (bench.state(), bench.control.refusal("t0")) == ("reconnect_permitted", "credit.manual")
    bench.event(PERMIT)
    assert [wish.target for wish in bench.scan()] == [CLOSED]
    bench.scan()
    assert (bench.state(), bench.kinds()[-2:]) == ("remind1", ["permitted", "restored"])


# ---- guards


def test_a_clock_that_jumps_suspends_stops_until_it_is_steady() -> None:
    bench = Bench(settings(notice_lead_s=3.0 * DAY))
    bench.pay(0, -20)
    bench.scan()
    assert bench.scan(jump_s=4 * DAY) == []  # the lead time seems to be over
    assert (bench.control.refusal("t0"), bench.control.stops_held) == ("credit.clock", 2)
    assert bench.scan(3599) == []
    assert bench.scan(1, jump_s=-4 * DAY) == []  # set right: that is a jump as well
    assert bench.scan(3599) == []
    assert bench.control.refusal("t0") == "credit.clock"
    assert bench.scan(1) == []
    assert (bench.control.refusal("t0"), bench.control.stops_held) == ("credit.notice", 0)


def test_a_person_releases_the_clock() -> None:
    bench = Bench()
    bench.pay(0, -20)
    bench.scan()
    assert bench.scan(1, jump_s=301) == []
    bench.event(RELEASE, ALL)
    assert len(bench.scan()) == 1


@pytest.mark.parametrize(("jumps", "suspended"), [([300], False), ([301], True), ([100] * 3, False), ([101] * 3, True)])
def test_small_steps_of_the_clock_add_up_within_an_hour(jumps: list[int], suspended: bool) -> None:
    bench = Bench()
    bench.scan()
    for jump_s in jumps:
        bench.scan(10, jump_s=jump_s)
    assert (bench.control.stops_held == 2) == suspended


def test_a_slow_clock_is_no_jump() -> None:
    bench = Bench()
    for _ in range(100):
        bench.scan(HOUR, jump_s=10)
    assert bench.control.stops_held == 0


def test_the_mass_guard_counts_a_whole_interval_and_darkens_no_more_than_it_says() -> None:
    """A price a hundred times too high: tenant after tenant runs out, one every twenty minutes."""
    bench = Bench(settings(hold_interval_s=float(DAY), stops_max=20))
    dark = 0
    for row in range(20):
        bench.pay(row, -20)
        dark += len(bench.scan(10 * MINUTE)) + len(bench.scan(10 * MINUTE))
    most = int(0.05 * TENANTS)
    assert (bench.control.held, dark) == (True, most)


def test_one_who_falls_due_again_and_again_is_no_crowd() -> None:
    bench = Bench(settings(hold_interval_s=float(DAY)))
    for _ in range(10):
        for yuan in (-20, 100):
            bench.pay(0, yuan)
            bench.scan()
    assert not bench.control.held


# ---- a new core


def restart(bench: Bench, **more: Any) -> None:
    """Begin again with what was kept."""
    kept = bench.control.changed()
    bench.kept = {**getattr(bench, "kept", {}), **{stand.account: stand for stand in kept}}
    bench.log = [*getattr(bench, "log", []), *bench.control.events(), *more.get("events", ())]
    told = dict.fromkeys(bench.told, bench.at_s)
    stops = [(f"t{row}", f"b{row}", NOON_S) for row in more.get("stopped", ())]
    bench.control = bench.new_control()
    bench.control.restore(stops, bench.at_s, Remembered(tuple(bench.kept.values()), tuple(bench.log), told))
    bench.work.accounts.credit_state[:] = 0


def test_a_restart_repeats_no_notice_and_begins_no_clock_anew() -> None:
    bench = Bench(settings(notice_lead_s=600.0))
    bench.pay(0, -20)
    bench.pay(1, 40)
    bench.scan()
    bench.scan(300)
    restart(bench)
    assert bench.scan(298) == []
    assert (bench.kinds(0), bench.kinds(1), bench.state(1)) == (["final"], ["remind1"], "remind1")
    bench.pay(1, 52)
    bench.scan()
    assert bench.state(1) == "remind1"  # hysteresis outlives it
    assert len(bench.scan(5)) == 1


def test_holds_of_people_outlive_a_restart() -> None:
    bench = Bench()
    event = bench.event(PROTECT, "t0", NOON_S + DAY)
    bench.pay(0, -20)
    bench.scan()
    restart(bench, events=[event])
    assert bench.scan(HOUR) == []
    assert bench.state() == "protected"


def test_the_hold_of_the_mass_guard_and_its_release_outlive_a_restart() -> None:
    bench = Bench(settings(stops_max=1))
    for row in range(4):
        bench.pay(row, -20)
    bench.scan()
    assert [event.verb for event in bench.control.events()] == [MASS_HOLD]
    bench.scan(DAY)
    restart(bench)
    assert bench.scan() == []
    assert bench.control.held
    bench.control.release("ann at desk")
    assert len(bench.scan()) == 1
    restart(bench, stopped=[0])
    bench.scan(10 * MINUTE)
    assert not bench.control.held  # what a person released is not held again

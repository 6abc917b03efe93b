"""Every row of the interlock table: when it holds, when it does not, and for which direction."""

from dataclasses import replace

import pytest

from scada.interlocks import INTERLOCKS, Condition, Situation, evaluate
from scada.position import BAD_STATE, CLOSED, INTERMEDIATE, OPEN

TRIP = Situation(target=OPEN, position=CLOSED, position_good=True, age_s=1.0, fresh_s=5.0, online=True)
CLOSE = replace(TRIP, target=CLOSED, position=OPEN)


def failing(situation: Situation) -> list[str]:
    return [condition.code for condition in evaluate(situation) if not condition.ok]


@pytest.mark.parametrize("situation", [TRIP, CLOSE])
def test_everything_holds_in_an_ordinary_situation(situation: Situation) -> None:
    assert failing(situation) == []


# what is different | failing when tripping | failing when closing
CASES = [
    ({"online": False}, ["offline"], ["offline"]),
    ({"position_good": False}, ["quality"], ["quality"]),
    ({"age_s": 5.1}, ["stale"], ["stale"]),
    ({"age_s": 5.0}, [], []),
    ({"position": INTERMEDIATE}, ["position"], ["position"]),
    ({"position": BAD_STATE}, ["position"], ["position"]),
    ({"position": OPEN}, ["already"], []),
    ({"position": CLOSED}, [], ["already"]),
    ({"busy": "sent by li"}, ["busy"], ["busy"]),
    ({"protected": True}, ["protected"], []),
    ({"medium": "gas"}, [], ["gas"]),
    ({"remote_close": False}, [], ["local-close"]),
    ({"tags": frozenset({"do-not-operate"})}, [], ["tag"]),
    ({"tags": frozenset({"hold"})}, ["tag"], ["tag"]),
    ({"tags": frozenset({"protection-trip"})}, [], ["tag"]),
    ({"tags": frozenset({"caution"})}, [], []),
    ({"current_flows": True}, [], ["discrepancy"]),
    ({"opened_by_itself": True}, [], []),
    ({"opened_by_itself": True, "automatic": True}, [], ["opened-by-itself"]),
    ({"feeder_dead": True}, [], ["feeder-dead"]),
]


@pytest.mark.parametrize(("different", "trip", "close"), CASES)
def test_one_condition(different: dict[str, object], trip: list[str], close: list[str]) -> None:
    assert failing(replace(TRIP, **different)) == [f"interlock.{code}" for code in trip]  # type: ignore[arg-type]
    assert failing(replace(CLOSE, **different)) == [f"interlock.{code}" for code in close]  # type: ignore[arg-type]


def test_every_code_is_tested() -> None:
    tested = {f"interlock.{code}" for _, trip, close in CASES for code in (*trip, *close)}
    assert tested == {lock.code for lock in INTERLOCKS}


def test_a_code_stands_once_for_each_direction() -> None:
    rows = [(lock.code, target) for lock in INTERLOCKS for target in lock.targets]
    assert len(rows) == len(set(rows))


def test_a_dead_feeder_only_warns() -> None:
    (warning,) = (condition for condition in evaluate(replace(CLOSE, feeder_dead=True)) if not condition.ok)
    assert warning == Condition("interlock.feeder-dead", False, "The feeder is live", blocks=False)


def test_reasons_name_the_facts() -> None:
    details = {condition.code: condition.detail for condition in evaluate(replace(TRIP, age_s=7.25, busy="sent by li"))}
    assert details["interlock.stale"] == "The position is fresh (read 7.2 s ago, at most 5.0 s)"
    assert details["interlock.busy"] == "No other command is under way here (sent by li)"

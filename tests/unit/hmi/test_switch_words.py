"""A valve is opened and shut, a breaker tripped and closed: each in its own words, wherever a page speaks of it."""

import re

import pytest

from hmi.i18n import read_languages
from hmi.switch_words import SWITCH_WORDS, UNSAID
from hmi.words import fact, of_tag, refusal, switch_word
from scada.interlocks import INTERLOCKS, Situation, evaluate
from scada.position import CLOSED, OPEN, POSITIONS

# Words of a circuit, which nobody says of a pipe; in English "open" and "closed" stand alone for a breaker only.
OF_A_BREAKER = re.compile(
    r"断路器|分闸|合闸|送电|停电|馈线|电流|为分|[Bb]reaker|[Cc]losed|[Ff]eeder|[Cc]urrent|[Ss]witch o"
)
OF_A_VALVE = re.compile(r"阀|[Vv]alve")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_word_of_a_breaker_stands_in_the_table_of_valves(language: str) -> None:
    texts = read_languages()[language]
    said = {texts(text) for group in SWITCH_WORDS["valve"].values() for text in group.values()}
    assert not [text for text in said if OF_A_BREAKER.search(text)]
    said = {texts(text) for group in SWITCH_WORDS["breaker"].values() for text in group.values()}
    assert not [text for text in said if OF_A_VALVE.search(text)]


@pytest.mark.parametrize("kind", SWITCH_WORDS)
def test_both_kinds_have_a_word_for_every_code(kind) -> None:
    table, other = SWITCH_WORDS[kind], SWITCH_WORDS["breaker"]
    assert table["position"].keys() == set(POSITIONS)
    assert table["condition"].keys() == {lock.code for lock in INTERLOCKS}
    assert table["refused"].keys() == other["refused"].keys()
    assert table["panel"].keys() >= other["panel"].keys()


def test_an_open_valve_is_a_closed_circuit() -> None:
    zh, en = (read_languages()[language] for language in ("zh", "en"))
    assert of_tag("Position", POSITIONS, "valve", zh)[OPEN : CLOSED + 1] == ["已关", "已开"]
    assert of_tag("Position", POSITIONS, "valve", en)[OPEN : CLOSED + 1] == ["Valve shut", "Valve open"]
    assert of_tag("Position", POSITIONS, "breaker", zh)[OPEN : CLOSED + 1] == ["分", "合"]
    assert switch_word("valve", "panel", "open.do", zh) == "关阀"
    assert switch_word("valve", "panel", "closed.do", zh) == "开阀"


def test_a_refusal_takes_the_words_of_its_switch() -> None:
    zh, en = (read_languages()[language] for language in ("zh", "en"))
    assert refusal("interlock.position", "", zh, "valve") == "条件不满足:阀门为开或关"
    assert refusal("interlock.position", "", zh, "breaker") == "条件不满足:位置为分或合"
    assert refusal("command.position", "", en, "valve") == "A valve is opened or shut only."
    assert refusal("command.expired", "", zh, "valve") == "选择已超时。"  # what concerns no kind of switch


def test_the_fact_of_a_condition_is_worded_too() -> None:
    zh, en = (read_languages()[language] for language in ("zh", "en"))
    situation = Situation(OPEN, OPEN, True, 7.0, 5.0, True)
    details = {condition.code: condition.detail for condition in evaluate(situation)}
    position, stale = details["interlock.position"], details["interlock.stale"]
    assert fact("interlock.position", position, "valve", zh) == "已关"
    assert fact("interlock.position", position, "breaker", en) == "Open"
    assert fact("interlock.stale", stale, "valve", en) == "read 7.0 s ago, at most 5.0 s"
    assert fact("interlock.stale", stale, "valve", zh) == ""  # English
    assert fact("interlock.offline", details["interlock.offline"], "valve", en) == ""


def test_what_is_not_said_is_among_what_can_be_asked() -> None:
    assert UNSAID.keys() == SWITCH_WORDS.keys()
    assert all(codes <= {lock.code for lock in INTERLOCKS} for codes in UNSAID.values())

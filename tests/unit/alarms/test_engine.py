"""The engine: transitions, the journal's records, acknowledgement, what the image shows, and a restart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alarms import engine
from alarms.definition import AlarmDefinition
from alarms.engine import COMMENT_CHARS_MAX, AlarmEngine
from alarms.lifecycle import STATES, LiveAlarm
from scada.clock import NS_PER_S
from scada.errors import Refused
from scada.image import Columns, Layout
from scada.journal import JournalStopped
from scada.quality import GOOD
from scada.scan import Instant

LIMIT = AlarmDefinition(
    "park/M/e1/Current/high", "e1", 1, "above", 100.0, 5.0, 0.0, 0.0, 2, "A", "一号表过流", "E1 overcurrent"
)
OFFLINE = replace(LIMIT, id="park/M/e1/Online/lost", tag_row=0, comparison="equal", limit=0.0, deadband=0.0, priority=1)
DEFINITIONS = (LIMIT, OFFLINE)
LAYOUT = Layout({"tags": 2, "points": 0, "accounts": 0, "alarms": 2}, bytes(32))


class Rig:
    """An engine over two tags, Online and Current, with a journal in memory."""

    def __init__(self, restored: Sequence[LiveAlarm] = ()) -> None:
        self.calls: list[list[Mapping[str, Any]]] = []
        self.journal_error: JournalStopped | None = None
        self.work = Columns.private(LAYOUT)
        self.engine = AlarmEngine(DEFINITIONS, self)
        self.engine.restore(restored)
        self.number = 0

    def write(self, stream: str, record: Mapping[str, Any]) -> str:
        raise AssertionError("one call of write_many a scan")

    def write_many(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
        assert stream == "alarm"
        if self.journal_error:
            raise self.journal_error
        self.calls.append(list(records))

    def scan(self, online: float, current_a: float) -> tuple[str, ...]:
        self.number += 1
        self.work.tags.value[:] = (online, current_a)
        self.work.tags.quality[:] = GOOD
        self.engine.evaluate(Instant(self.number, self.number * NS_PER_S, self.number * NS_PER_S), self.work)
        return tuple(STATES[state] for state in self.work.alarms.state)

    def acknowledge(self, alarm: str, comment: str = "") -> None:
        self.engine.acknowledge(alarm, "li", "desk-1", comment, self.number * NS_PER_S + 1)


def test_a_transition_is_one_record_and_one_change_of_the_image() -> None:
    rig = Rig()
    assert rig.scan(1, 50) == ("normal", "normal")
    assert rig.scan(1, 101) == ("unacknowledged", "normal")
    assert rig.scan(1, 102) == ("unacknowledged", "normal")
    assert rig.calls == [
        [
            {
                "alarm": LIMIT.id,
                "source": "e1",
                "priority": 2,
                "event": "raised",
                "state_from": "normal",
                "state_to": "unacknowledged",
                "value": 101.0,
                "raised_value": 101.0,
                "limit": 100.0,
                "unit": "A",
                "quality": GOOD,
                "plant_time_ns": 2 * NS_PER_S,
                "user": "",
                "station": "",
                "comment": "",
                "text_zh": "一号表过流",
                "text_en": "E1 overcurrent",
            }
        ]
    ]
    alarms = rig.work.alarms
    assert (alarms.value[0], alarms.since[0], alarms.changed_scan[0]) == (101.0, 2 * NS_PER_S, 2)
    assert alarms.priority.tolist() == [2, 1]
    assert alarms.changed_scan[1] == 1  # shown once, at the first scan


def test_several_transitions_are_one_call_of_the_journal() -> None:
    rig = Rig()
    rig.scan(0, 101)
    assert [[record["alarm"] for record in call] for call in rig.calls] == [[LIMIT.id, OFFLINE.id]]


def test_a_whole_life() -> None:
    rig = Rig()
    assert rig.scan(1, 101)[0] == "unacknowledged"
    assert rig.scan(1, 50)[0] == "returned"
    assert rig.scan(1, 105)[0] == "unacknowledged"
    rig.acknowledge(LIMIT.id, "看见了")
    assert rig.scan(1, 105)[0] == "acknowledged"
    assert rig.scan(1, 50)[0] == "normal"
    records = [record for call in rig.calls for record in call]
    assert [record["event"] for record in records] == ["raised", "cleared", "raised", "acknowledged", "cleared"]
    assert [record["value"] for record in records] == [101, 50, 105, 105, 50]
    assert [record["raised_value"] for record in records] == [101, 101, 105, 105, 105]
    acknowledged = records[3]
    assert (acknowledged["user"], acknowledged["station"], acknowledged["comment"]) == ("li", "desk-1", "看见了")
    assert rig.work.alarms.value[0] == 105  # of the raising, not of the clearing


def test_acknowledging_what_is_over_ends_it() -> None:
    rig = Rig()
    rig.scan(1, 101)
    rig.scan(1, 50)
    rig.acknowledge(LIMIT.id)
    assert rig.scan(1, 50)[0] == "normal"


def test_refusals() -> None:
    rig = Rig()
    rig.scan(1, 101)
    rig.acknowledge(LIMIT.id)
    for alarm, comment, code in (
        ("nowhere", "", "alarm.unknown"),
        (OFFLINE.id, "", "alarm.not-active"),
        (LIMIT.id, "", "alarm.already-acknowledged"),
        (LIMIT.id, "x" * (COMMENT_CHARS_MAX + 1), "alarm.comment-long"),
    ):
        before = len(rig.calls)
        with pytest.raises(Refused) as refused:
            rig.acknowledge(alarm, comment)
        assert refused.value.code == code
        assert len(rig.calls) == before


def test_an_alarm_is_shown_while_the_journal_stands_still_and_noted_afterwards() -> None:
    rig = Rig()
    rig.journal_error = JournalStopped("No space left on device")
    assert rig.scan(1, 101)[0] == "unacknowledged"
    with pytest.raises(Refused) as refused:
        rig.acknowledge(LIMIT.id)
    assert refused.value.code == "alarm.journal"
    assert rig.scan(1, 50)[0] == "returned"
    rig.journal_error = None
    assert rig.scan(0, 50) == ("returned", "unacknowledged")
    assert [record["event"] for record in rig.calls[0]] == ["raised", "cleared", "raised"]
    rig.scan(0, 50)
    assert len(rig.calls) == 1


def test_an_acknowledgement_follows_the_records_that_waited() -> None:
    rig = Rig()
    rig.journal_error = JournalStopped("No space left on device")
    rig.scan(1, 101)
    rig.journal_error = None
    rig.acknowledge(LIMIT.id)
    assert rig.scan(1, 101)[0] == "acknowledged"
    assert [record["event"] for call in rig.calls for record in call] == ["raised", "acknowledged"]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WAITING_MAX", 3)
    rig = Rig()
    rig.journal_error = JournalStopped("No space left on device")
    for current_a in (101, 50, 101, 50, 101):
        rig.scan(1, current_a)
    rig.journal_error = None
    rig.scan(1, 101)
    assert [record["plant_time_ns"] // NS_PER_S for record in rig.calls[0]] == [3, 4, 5]


def test_a_journal_that_stands_still_is_tried_with_a_few_records_however_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each try encodes what it is given, in the scan: a hundred thousand records would take a second of every scan."""
    monkeypatch.setattr(engine, "TRY_RECORDS", 2)
    rig = Rig()
    rig.journal_error = JournalStopped("No space left on device")
    tried: list[int] = []

    class Counting:
        def write_many(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
            tried.append(len(records))
            rig.write_many(stream, records)

    rig.engine._journal = Counting()  # type: ignore[assignment]
    for current_a in (101, 50, 101, 50, 101):
        rig.scan(1, current_a)
    with pytest.raises(Refused):
        rig.acknowledge(LIMIT.id)
    assert max(tried) == 2
    rig.journal_error = None
    rig.scan(1, 101)
    assert [len(call) for call in rig.calls] == [2, 3]


def test_states_restored_after_the_first_scan_are_shown() -> None:
    rig = Rig()
    assert rig.scan(online=1, current_a=90.0) == ("normal", "normal")  # the books open later than the scan begins
    rig.engine.restore([LiveAlarm(LIMIT.id, "acknowledged", 5 * NS_PER_S, 120.0, 0)])
    assert rig.scan(online=1, current_a=120.0) == ("acknowledged", "normal")
    assert rig.calls == []
    assert (rig.work.alarms.value[0], rig.work.alarms.since[0]) == (120.0, 5 * NS_PER_S)


def test_states_survive_a_restart_and_raise_nothing_twice() -> None:
    live = [
        LiveAlarm(LIMIT.id, "acknowledged", 7, 120.0, GOOD),
        LiveAlarm(OFFLINE.id, "returned", 8, 0.0, GOOD),
        LiveAlarm("park/M/gone/Current/high", "unacknowledged", 9, 1.0, GOOD),
    ]
    rig = Rig(live)
    assert rig.engine.restore([live[2]]) == ["park/M/gone/Current/high"]
    assert rig.scan(1, 110) == ("acknowledged", "returned")
    assert rig.work.alarms.since.tolist() == [7, 8]
    assert rig.work.alarms.value.tolist() == [120.0, 0.0]
    assert rig.calls == []
    assert rig.scan(1, 50) == ("normal", "returned")
    assert [record["event"] for record in rig.calls[0]] == ["cleared"]


def test_a_flood_is_one_call_and_loses_none() -> None:
    count = 10_000
    definitions = [replace(LIMIT, id=f"a{row}", tag_row=row) for row in range(count)]
    records: list[Mapping[str, Any]] = []

    class Papers:
        def write(self, stream: str, record: Mapping[str, Any]) -> str:
            raise AssertionError

        def write_many(self, stream: str, some: Sequence[Mapping[str, Any]]) -> None:
            assert not records
            records.extend(some)

    work = Columns.private(Layout({"tags": count, "points": 0, "accounts": 0, "alarms": count}, bytes(32)))
    work.tags.value[:] = 101
    work.tags.quality[:] = GOOD
    AlarmEngine(definitions, Papers()).evaluate(Instant(1, NS_PER_S, NS_PER_S), work)
    assert {record["alarm"] for record in records} == {definition.id for definition in definitions}
    assert np.all(work.alarms.state == STATES.index("unacknowledged"))

"""The alarms' tables on a real PostgreSQL: in twice is in once, live states follow, the journal cannot be changed."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import psycopg
import pytest

from alarms import store
from alarms.lifecycle import LiveAlarm
from alarms.store import Cursor
from tests.transactions import in_transaction


def record(alarm: str, event: str, before: str, after: str, time_ns: int, **changes: Any) -> dict[str, Any]:
    base = {
        "id": str(uuid.uuid4()),
        "alarm": alarm,
        "source": "e1",
        "priority": 2,
        "event": event,
        "state_from": before,
        "state_to": after,
        "value": 95.5,
        "raised_value": 101.5,
        "limit": 100.0,
        "unit": "A",
        "quality": 0x8031_0000,
        "plant_time_ns": time_ns,
        "user": "",
        "station": "",
        "comment": "",
        "text_zh": "一号表过流",
        "text_en": "E1 overcurrent",
    }
    return base | changes


RAISED = record("a", "raised", "normal", "unacknowledged", 1_800_000_000_123_456_789)
SEEN = record(
    "a", "acknowledged", "unacknowledged", "acknowledged", 1_800_000_001_000_000_000, user="li", comment="知道了"
)
OTHER = record("b", "raised", "normal", "unacknowledged", 1_800_000_001_000_000_000, source="e2", priority=4)
CLEARED = record("a", "cleared", "acknowledged", "normal", 1_800_000_002_000_000_000)


def on_database(dsn: str, work: Callable[[Cursor], Awaitable[Any]]) -> Any:
    return in_transaction(dsn, "history", work)


def take(dsn: str, *records: Mapping[str, Any]) -> None:
    on_database(dsn, lambda cursor: store.sink(cursor, records))


def live(dsn: str) -> dict[str, LiveAlarm]:
    return {row.alarm: row for row in on_database(dsn, store.load)}


def recent(dsn: str, **filters: Any) -> list[str]:
    lines = on_database(dsn, lambda cursor: store.recent(cursor, **filters))
    return [f"{line.alarm} {line.event}" for line in lines]


def test_records_become_lines_with_every_field(postgres_dsn: str) -> None:
    take(postgres_dsn, RAISED, SEEN)
    seen, raised = on_database(postgres_dsn, store.recent)
    for line, source in ((raised, RAISED), (seen, SEEN)):
        assert {key: getattr(line, key) for key in source} == source | {"id": uuid.UUID(source["id"])}


def test_a_repeated_batch_changes_nothing(postgres_dsn: str) -> None:
    take(postgres_dsn, RAISED, SEEN)
    before = live(postgres_dsn)
    take(postgres_dsn, RAISED, SEEN)
    take(postgres_dsn, RAISED)
    assert recent(postgres_dsn) == ["a acknowledged", "a raised"]
    assert live(postgres_dsn) == before


def test_live_states_are_those_of_the_last_records(postgres_dsn: str) -> None:
    take(postgres_dsn, RAISED, OTHER, SEEN)
    assert live(postgres_dsn) == {
        "a": LiveAlarm("a", "acknowledged", SEEN["plant_time_ns"], 101.5, 0x8031_0000),
        "b": LiveAlarm("b", "unacknowledged", OTHER["plant_time_ns"], 101.5, 0x8031_0000),
    }
    take(postgres_dsn, CLEARED)
    assert set(live(postgres_dsn)) == {"b"}


def test_the_order_of_the_journal_counts_not_the_clock(postgres_dsn: str) -> None:
    """Plant time stepped back between the two."""
    take(postgres_dsn, RAISED)
    take(postgres_dsn, record("a", "cleared", "unacknowledged", "returned", RAISED["plant_time_ns"] - 10**9))
    assert live(postgres_dsn)["a"].state == "returned"


def test_lists_are_filtered_and_paged(postgres_dsn: str) -> None:
    take(postgres_dsn, RAISED, SEEN, OTHER, CLEARED)
    assert recent(postgres_dsn) == ["a cleared", "b raised", "a acknowledged", "a raised"]
    assert recent(postgres_dsn, source="e2") == ["b raised"]
    assert recent(postgres_dsn, priority_max=2) == ["a cleared", "a acknowledged", "a raised"]
    assert recent(postgres_dsn, from_ns=SEEN["plant_time_ns"], to_ns=CLEARED["plant_time_ns"]) == [
        "b raised",
        "a acknowledged",
    ]
    first = on_database(postgres_dsn, lambda cursor: store.recent(cursor, lines=3))
    assert recent(postgres_dsn, before=first[-1].sequence) == ["a raised"]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE alarm_journal SET comment = ''", "DELETE FROM alarm_journal", "TRUNCATE alarm_journal"],
)
def test_the_journal_only_grows(postgres_dsn: str, statement: str) -> None:
    take(postgres_dsn, RAISED)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        on_database(postgres_dsn, lambda cursor: cursor.execute(statement.encode()))
    assert recent(postgres_dsn) == ["a raised"]


def test_a_flood_of_ten_thousand(postgres_dsn: str) -> None:
    flood = [
        record(f"a{row}", "raised", "normal", "unacknowledged", 1_800_000_000_000_000_000) for row in range(10_000)
    ]
    take(postgres_dsn, *flood)
    assert len(live(postgres_dsn)) == 10_000

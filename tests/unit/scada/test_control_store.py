"""The command journal on a real PostgreSQL: what a desk wrote comes back as what a new desk takes over."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from scada import control_store
from scada.command import Actor, Command, State
from scada.control_store import Cursor, KnownCommands
from scada.position import CLOSED, OPEN
from tests.transactions import in_transaction

SECOND = 1_000_000_000
ACTOR = Actor("li", "operator", "desk-1")


class Life:
    """One command that advances a second at a time and keeps its records."""

    clock_ns = 1_800_000_000 * SECOND

    def __init__(self, breaker: str, target: int) -> None:
        self.command = Command(str(uuid.uuid4()), breaker, target, ACTOR, "maintenance")

    def to(self, *states: State) -> list[dict[str, Any]]:
        records = []
        for state in states:
            Life.clock_ns += SECOND
            self.command = self.command.advance(state, Life.clock_ns, Life.clock_ns, f"because {state}")
            conditions = [{"code": "interlock.stale", "ok": True, "detail": "fresh", "blocks": True}]
            records.append(self.command.record(conditions) | {"id": str(uuid.uuid4())})
        return records


def on_database(dsn: str, work: Callable[[Cursor], Awaitable[Any]]) -> Any:
    return in_transaction(dsn, "history", work)


def take(dsn: str, records: list[dict[str, Any]]) -> None:
    on_database(dsn, lambda cursor: control_store.sink(cursor, records))


def load(dsn: str) -> KnownCommands:
    known = on_database(dsn, control_store.load)
    assert isinstance(known, KnownCommands)
    return known


# states of one command -> the state it is taken over in, or None when it had ended
OPEN_OR_NOT: list[tuple[tuple[State, ...], State | None]] = [
    (("selected",), "selected"),
    (("selected", "sent"), "sent"),
    (("selected", "sent", "accepted"), "accepted"),
    (("selected", "sent", "undetermined"), "undetermined"),
    (("selected", "sent", "accepted", "verified"), None),
    (("selected", "sent", "failed"), None),
    (("selected", "cancelled"), None),
    (("selected", "expired"), None),
]


@pytest.mark.parametrize(("states", "expected"), OPEN_OR_NOT)
def test_open_commands(postgres_dsn: str, states: tuple[State, ...], expected: State | None) -> None:
    life = Life("b1", OPEN)
    take(postgres_dsn, life.to(*states))
    found = load(postgres_dsn).open
    assert [(command.id, command.state) for command in found] == ([(life.command.id, expected)] if expected else [])
    if expected:
        (command,) = found
        assert (command.actor, command.target, command.reason) == (ACTOR, OPEN, "maintenance")
        assert command.proof_after_utc_ns == life.command.times_utc_ns[expected]
        assert command.since_mono_ns == command.started_mono_ns == 0


def test_a_later_command_ends_the_wait_for_an_undetermined_one(postgres_dsn: str) -> None:
    doubtful, other, later = Life("b1", OPEN), Life("b2", OPEN), Life("b1", CLOSED)
    take(postgres_dsn, doubtful.to("selected", "sent", "undetermined"))
    take(postgres_dsn, other.to("selected", "sent"))
    take(postgres_dsn, later.to("selected"))
    assert len(load(postgres_dsn).open) == 3
    take(postgres_dsn, later.to("sent", "accepted", "verified"))
    assert [command.breaker for command in load(postgres_dsn).open] == ["b2"]


def test_last_targets(postgres_dsn: str) -> None:
    take(postgres_dsn, Life("b1", OPEN).to("selected", "sent", "accepted", "verified"))
    take(postgres_dsn, Life("b1", CLOSED).to("selected", "sent", "failed"))
    take(postgres_dsn, Life("b2", CLOSED).to("selected", "cancelled"))
    known = load(postgres_dsn)
    assert known.commanded == {"b1": OPEN}  # the device refused to close, so nothing else is expected of it
    take(postgres_dsn, Life("b1", CLOSED).to("selected", "sent", "accepted", "failed"))
    assert load(postgres_dsn).commanded == {"b1": CLOSED}  # it said yes and did not move
    assert known.settled == {"b1": OPEN}


def test_in_twice_is_in_once_and_lists_are_filtered(postgres_dsn: str) -> None:
    one, two = Life("b1", OPEN), Life("b2", OPEN)
    records = one.to("selected", "sent") + two.to("selected")
    take(postgres_dsn, records)
    take(postgres_dsn, records)

    def states(**filters: Any) -> list[str]:
        lines = on_database(postgres_dsn, lambda cursor: control_store.recent(cursor, **filters))
        return [f"{line.breaker} {line.state}" for line in lines]

    assert states() == ["b2 selected", "b1 sent", "b1 selected"]
    assert states(breaker="b1") == ["b1 sent", "b1 selected"]
    assert states(command=two.command.id) == ["b2 selected"]
    assert states(lines=1) == ["b2 selected"]
    assert states(from_ns=records[1]["plant_time_ns"], to_ns=records[2]["plant_time_ns"]) == ["b1 sent"]
    (line,) = on_database(postgres_dsn, lambda cursor: control_store.recent(cursor, command=two.command.id))
    assert {key: getattr(line, key) for key in records[2] if key != "id"} == {
        key: value for key, value in records[2].items() if key != "id"
    }


@pytest.mark.parametrize(
    "statement",
    ["UPDATE command_journal SET reason = ''", "DELETE FROM command_journal", "TRUNCATE command_journal"],
)
def test_the_journal_only_grows(postgres_dsn: str, statement: str) -> None:
    take(postgres_dsn, Life("b1", OPEN).to("selected"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        on_database(postgres_dsn, lambda cursor: cursor.execute(statement.encode()))

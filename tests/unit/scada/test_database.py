"""Connections by role: settings in force, losses that become DatabaseAway, and the schema from nothing."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import uvloop

from scada import database, embedded_postgres
from scada.database import ROLES, Database, Role
from scada.errors import DatabaseAway, DatabaseBusy, WattkeeperError


async def show(connection: Database, name: str) -> Any:
    async with connection.transaction() as cursor:
        await cursor.execute("SELECT current_setting(%s)", [name])
        row = await cursor.fetchone()
    assert row is not None
    return row[0]


# What a role's connection must have in force, asked of the server itself.
DURABILITY = [
    ("ledger", "fsync", "on"),
    ("ledger", "full_page_writes", "on"),
    ("ledger", "synchronous_commit", "on"),
    ("ledger", "data_checksums", "on"),
    ("ledger", "data_sync_retry", "off"),
    ("ledger", "checkpoint_timeout", "5min"),
    ("ledger", "listen_addresses", ""),
    ("ledger", "unix_socket_permissions", "0700"),
    ("ledger", "default_transaction_read_only", "off"),
    ("ledger", "statement_timeout", "10s"),
    ("ledger", "lock_timeout", "3s"),
    ("ledger", "idle_in_transaction_session_timeout", "10s"),
    ("ledger", "search_path", "wattkeeper, public"),
    ("ledger", "TimeZone", "UTC"),
    ("history", "synchronous_commit", "off"),
    ("history", "application_name", "wattkeeper history"),
    ("read", "default_transaction_read_only", "on"),
]


@pytest.fixture(scope="module")
def durable_dsn(make_postgres_server: Callable[[], Any]) -> str:
    """A server as a park has it: the session's own does not wait for the disk."""
    dsn: str = make_postgres_server().make("park")
    database.migrate(dsn)
    return dsn


@pytest.mark.parametrize(("role", "name", "expected"), DURABILITY)
def test_settings_are_in_force(durable_dsn: str, role: database.RoleName, name: str, expected: str) -> None:
    async def ask() -> Any:
        connection = Database(durable_dsn, role)
        try:
            return await show(connection, name)
        finally:
            await connection.close()

    assert uvloop.run(ask()) == expected


def test_transaction_commits_and_rolls_back(postgres_dsn: str) -> None:
    async def run() -> list[tuple[Any, ...]]:
        connection = Database(postgres_dsn, "ledger")
        assert not connection.connected
        async with connection.transaction() as cursor:
            await cursor.execute("INSERT INTO meta (key, value) VALUES ('kept', '1')")
        assert connection.connected
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction() as cursor:
                await cursor.execute("INSERT INTO meta (key, value) VALUES ('dropped', '1')")
                raise ZeroDivisionError
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with connection.transaction() as cursor:
                await cursor.execute("INSERT INTO meta (key, value) VALUES ('kept', '2')")
        async with connection.transaction() as cursor:
            await cursor.execute("SELECT key, value FROM meta")
            rows = await cursor.fetchall()
        await connection.close()
        return rows

    assert uvloop.run(run()) == [("kept", "1")]


def test_read_role_cannot_write(postgres_dsn: str) -> None:
    async def run() -> None:
        connection = Database(postgres_dsn, "read")
        try:
            async with connection.transaction() as cursor:
                await cursor.execute("INSERT INTO meta (key, value) VALUES ('x', '1')")
        finally:
            await connection.close()

    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        uvloop.run(run())


def test_a_server_that_became_a_standby_is_away_and_connected_anew(postgres_dsn: str) -> None:
    async def run() -> tuple[Any, Any]:
        connection = Database(postgres_dsn, "ledger")
        before = await backend(connection)
        with pytest.raises(DatabaseAway, match="read-only"):
            async with connection.transaction() as cursor:
                await cursor.execute("SET TRANSACTION READ ONLY")  # the same error as a standby gives
                await cursor.execute("INSERT INTO meta (key, value) VALUES ('x', '1')")
        assert not connection.connected
        after = await backend(connection)
        await connection.close()
        return before, after

    before, after = uvloop.run(run())
    assert before != after


def test_readers_work_at_the_same_time_and_no_more_than_allowed(postgres_dsn: str) -> None:
    async def run() -> tuple[int, int]:
        connection = Database(postgres_dsn, "read")
        inside = most = 0

        async def read() -> None:
            nonlocal inside, most
            async with connection.transaction() as cursor:
                inside += 1
                most = max(most, inside)
                await cursor.execute("SELECT pg_sleep(0.02)")
                inside -= 1

        await asyncio.gather(*(read() for _ in range(12)))
        async with connection.transaction() as cursor:
            await cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wattkeeper read'")
            row = await cursor.fetchone()
        await connection.close()
        assert row is not None
        return most, row[0]

    assert uvloop.run(run()) == (ROLES["read"].connections, ROLES["read"].connections)


def test_a_lock_held_by_somebody_else_is_busy_and_the_connection_stays(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROLES, "ledger", Role(1, "on", 10_000, 50, 10_000, 15.0, False))  # type: ignore[arg-type]

    async def run() -> None:
        holder, other = Database(postgres_dsn, "history"), Database(postgres_dsn, "ledger")
        pid = await show(other, "application_name") and await backend(other)
        async with holder.transaction() as cursor:
            await cursor.execute("RESET ROLE; LOCK TABLE meta")
            with pytest.raises(DatabaseBusy):
                async with other.transaction() as waiting:
                    await waiting.execute("SELECT * FROM meta")
        assert await backend(other) == pid
        assert other.connected
        await holder.close()
        await other.close()

    uvloop.run(run())


async def backend(connection: Database) -> int:
    async with connection.transaction() as cursor:
        await cursor.execute("SELECT pg_backend_pid()")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def test_a_session_ended_by_the_server_is_replaced_without_an_error(postgres_dsn: str) -> None:
    async def run() -> tuple[int, int]:
        victim, killer = Database(postgres_dsn, "ledger"), Database(postgres_dsn, "history")
        before = await backend(victim)
        async with killer.transaction() as cursor:
            await cursor.execute("RESET ROLE")
            await cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [before])
        after = await backend(victim)
        await victim.close()
        await killer.close()
        return before, after

    before, after = uvloop.run(run())
    assert before != after


def test_server_killed_in_a_transaction_and_started_again(make_postgres_server: Callable[[], Any]) -> None:
    server = make_postgres_server()
    dsn = server.make("killed")
    database.migrate(dsn)

    async def run() -> list[Any]:
        connection = Database(dsn, "ledger")
        async with connection.transaction() as cursor:
            await cursor.execute("INSERT INTO meta (key, value) VALUES ('acknowledged', '1')")
        with pytest.raises(DatabaseAway):
            async with connection.transaction() as cursor:
                await cursor.execute("INSERT INTO meta (key, value) VALUES ('in doubt', '1')")
                server.stop(signal.SIGKILL)
                await cursor.execute("SELECT pg_sleep(10)")
        assert not connection.connected
        with pytest.raises(DatabaseAway):
            async with connection.transaction():
                pass
        server.start()  # by this thread: the server ends with the thread that started it
        async with connection.transaction() as cursor:
            await cursor.execute("SELECT key FROM meta")
            rows = await cursor.fetchall()
        assert connection.connected
        await connection.close()
        return [key for (key,) in rows]

    assert uvloop.run(run()) == ["acknowledged"]
    server.stop()


def test_a_server_that_hangs_is_away_after_the_roles_own_limit(
    make_postgres_server: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROLES, "ledger", Role(1, "on", 10_000, 3_000, 10_000, 0.3, False))  # type: ignore[arg-type]
    server = make_postgres_server()
    dsn = server.dsn("postgres")

    async def run() -> None:
        connection = Database(dsn, "ledger")
        await backend(connection)
        stopped = embedded_postgres.servers_on(server.folder)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(DatabaseAway):
                await backend(connection)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        await backend(connection)
        await connection.close()

    uvloop.run(run())
    server.stop()


def test_nobody_there_is_away(tmp_path: Any) -> None:
    dsn = embedded_postgres.dsn(tmp_path)

    async def run() -> None:
        connection = Database(dsn, "ledger")
        try:
            async with connection.transaction():
                pass
        finally:
            await connection.close()

    with pytest.raises(DatabaseAway):
        uvloop.run(run())
    with pytest.raises(DatabaseAway):
        database.schema_version(dsn)
    with pytest.raises(DatabaseAway):
        database.migrate(dsn)


def test_schema_from_nothing(empty_postgres_dsn: str) -> None:
    assert database.schema_version(empty_postgres_dsn) is None
    with pytest.raises(WattkeeperError, match="revision None"):
        database.require_current_schema(empty_postgres_dsn)
    database.migrate(empty_postgres_dsn)
    database.require_current_schema(empty_postgres_dsn)
    database.migrate(empty_postgres_dsn)  # again: nothing to do
    with psycopg.connect(empty_postgres_dsn) as connection:
        places = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version'").fetchall()
    assert places == [("wattkeeper",)]


def test_two_processes_may_migrate_at_a_time(empty_postgres_dsn: str) -> None:
    code = "import sys; from scada.database import migrate; migrate(sys.argv[1])"
    both = [subprocess.Popen([sys.executable, "-c", code, empty_postgres_dsn]) for _ in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    database.require_current_schema(empty_postgres_dsn)

"""Sessions on a real PostgreSQL: new token on login, time-outs, end from elsewhere, roles, data base away."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from hmi import users
from hmi.sessions import Sessions, allow, hashed
from scada.database import Database
from scada.errors import DatabaseAway, Refused

S = 1_000_000_000
Scene = Callable[[Sessions, "People", Database], Awaitable[None]]


class People:
    """The clock of people, moved by the test."""

    speed = 1

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * S

    def utc_ns(self) -> int:
        return self.now_ns

    def mono_ns(self) -> int:
        return self.now_ns


def play(dsn: str, scene: Scene) -> None:
    async def run() -> None:
        database, clock = Database(dsn, "users"), People()
        try:
            async with database.transaction() as cursor:
                await users.add(cursor, "wang", "hash", "operator")
                await cursor.execute("UPDATE app_user SET must_change = false")
            await scene(Sessions(database, clock, idle_s=600, absolute_s=3600), clock, database)
        finally:
            await database.close()

    asyncio.run(run())


def test_each_login_gets_a_new_token_that_is_stored_hashed(postgres_dsn: str) -> None:
    async def scene(sessions: Sessions, clock: People, database: Database) -> None:
        first, _ = await sessions.open("wang", "10.0.0.1")
        second, session = await sessions.open("wang", "10.0.0.1")
        assert first != second
        assert len(first) >= 43  # 256 bits in base64
        assert session.role == "operator"
        async with database.transaction() as cursor:
            await cursor.execute("SELECT token_hash FROM app_session")
            stored = {bytes(row[0]) for row in await cursor.fetchall()}
        assert stored == {hashed(first), hashed(second)}
        assert first.encode() not in stored

    play(postgres_dsn, scene)


def test_a_token_the_browser_invented_opens_nothing(postgres_dsn: str) -> None:
    async def scene(sessions: Sessions, clock: People, database: Database) -> None:
        for token in (None, "", "invented", "A" * 43):
            assert sessions.by_token(token) is None

    play(postgres_dsn, scene)


def test_idle_and_absolute_time_outs(postgres_dsn: str) -> None:
    async def scene(sessions: Sessions, clock: People, database: Database) -> None:
        token, session = await sessions.open("wang", "a")
        clock.now_ns += 599 * S
        assert sessions.by_token(token) is not None
        clock.now_ns += 599 * S
        assert sessions.alive(session.token_hash) is not None  # looking does not count as use
        clock.now_ns += 1 * S
        assert sessions.by_token(token) is None
        token, _ = await sessions.open("wang", "a")
        for _ in range(6):
            clock.now_ns += 599 * S
            assert sessions.by_token(token) is not None
        clock.now_ns += 6 * S
        assert sessions.by_token(token) is None  # an hour after the login, whatever happened
        await sessions.renew()
        async with database.transaction() as cursor:
            await cursor.execute("SELECT count(*) FROM app_session")
            assert await cursor.fetchone() == (0,)

    play(postgres_dsn, scene)


def test_logout_and_disabling_end_a_session_on_the_server(postgres_dsn: str) -> None:
    async def scene(sessions: Sessions, clock: People, database: Database) -> None:
        token, session = await sessions.open("wang", "a")
        await sessions.close(session.token_hash)
        assert sessions.by_token(token) is None
        token, _ = await sessions.open("wang", "a")
        async with database.transaction() as cursor:  # as `run.py user disable` does in another process
            assert await users.set_disabled(cursor, "wang", True)
        await sessions.renew()
        assert sessions.by_token(token) is None

    play(postgres_dsn, scene)


def test_sessions_survive_a_restart_of_the_room_and_an_absence_of_the_data_base(postgres_dsn: str) -> None:
    async def scene(sessions: Sessions, clock: People, database: Database) -> None:
        token, _ = await sessions.open("wang", "a")
        again = Sessions(database, clock, idle_s=600, absolute_s=3600)
        assert again.by_token(token) is None
        await again.renew()
        assert again.by_token(token) is not None
        await database.close()
        with pytest.raises(DatabaseAway):
            await again.renew()
        assert again.by_token(token) is not None

    play(postgres_dsn, scene)


def test_roles_are_read_again(postgres_dsn: str) -> None:
    async def scene(sessions: Sessions, clock: People, database: Database) -> None:
        token, _ = await sessions.open("wang", "a")
        assert allow(sessions.by_token(token), "breaker.switch").login == "wang"
        with pytest.raises(Refused) as refused:
            allow(sessions.by_token(token), "account.topup")
        assert refused.value.code == "role"
        async with database.transaction() as cursor:
            await cursor.execute("UPDATE app_user SET role = 'viewer'")
        await sessions.renew()
        with pytest.raises(Refused):
            allow(sessions.by_token(token), "breaker.switch")

    play(postgres_dsn, scene)


def test_a_one_time_password_opens_nothing_but_its_replacement(postgres_dsn: str) -> None:
    async def scene(sessions: Sessions, clock: People, database: Database) -> None:
        async with database.transaction() as cursor:
            await users.set_password(cursor, "wang", "other", must_change=True)
        token, _ = await sessions.open("wang", "a")
        with pytest.raises(Refused) as refused:
            allow(sessions.by_token(token), "view")
        assert refused.value.code == "session"

    play(postgres_dsn, scene)


def test_the_tables_refuse_what_the_program_must_not_write(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, options="-c search_path=wattkeeper") as connection:
        for login, role in (("Wang", "viewer"), ("w", "system"), ("", "viewer"), ("x" * 33, "viewer")):
            with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
                connection.execute(
                    "INSERT INTO app_user (login, password_hash, role) VALUES (%s, 'h', %s)", (login, role)
                )

"""The second person at the command line: password, one-time password, disabled users."""

import asyncio

import pytest

from hmi import users
from hmi.passwords import PasswordHashes
from hmi.proof import prove
from scada.database import Database
from scada.errors import Refused


def test_a_person_proves_themself_by_their_own_password(postgres_dsn: str) -> None:
    async def enter() -> None:
        database = Database(postgres_dsn, "users")
        hashes = PasswordHashes()
        stored = hashes.hash_blocking("correct horse")
        async with database.transaction() as cursor:
            for login in ("bob", "new", "gone"):
                assert await users.add(cursor, login, stored, "finance")
            for login in ("bob", "gone"):
                await users.set_password(cursor, login, stored, must_change=False)
            await users.set_disabled(cursor, "gone", True)
        hashes.close()
        await database.close()

    asyncio.run(enter())
    assert prove(postgres_dsn, "bob", "correct horse") == "finance"
    for login, password, code in (
        ("bob", "wrong horse", "login.wrong"),
        ("nobody", "correct horse", "login.wrong"),
        ("gone", "correct horse", "login.wrong"),
        ("new", "correct horse", "login.one-time"),
    ):
        with pytest.raises(Refused) as refused:
            prove(postgres_dsn, login, password)
        assert refused.value.code == code

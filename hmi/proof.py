"""A person proves themself by password away from a browser: the second person of an approval at the command line.

Rule: the same table of people and the same hashes as the login page; a one-time password proves nobody.
"""

import asyncio

from hmi import users
from hmi.passwords import PasswordHashes
from scada.database import Database
from scada.errors import Refused


def prove(dsn: str, login: str, password: str) -> str:
    """Return the role of a person whose password this is; blocking. Refused "login.wrong", "login.one-time"."""
    return asyncio.run(_prove(dsn, login, password))


async def _prove(dsn: str, login: str, password: str) -> str:
    database = Database(dsn, "read")
    hashes = PasswordHashes()
    try:
        async with database.transaction() as cursor:
            user = await users.find(cursor, login)
        known = user is not None and not user.disabled
        fits = await hashes.verify(user.password_hash if user is not None and known else None, password)
    finally:
        hashes.close()
        await database.close()
    if user is None or not fits:
        raise Refused("login.wrong", f"user name or password of {login!r} is wrong, or the user is disabled")
    if user.must_change:
        raise Refused("login.one-time", f"{login!r} still has a one-time password; log in once and choose one")
    return user.role

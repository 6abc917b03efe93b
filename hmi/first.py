"""The first start: an administrator with a random one-time password, printed where the person who started it looks.

Rule: no password is shipped, none is logged; the banner goes to standard output only and once.
"""

import asyncio
from typing import Final

from loguru import logger

from hmi import passwords, users
from hmi.passwords import PasswordHashes
from scada.database import Database
from scada.errors import DatabaseAway

RETRY_S: Final = 1.0
BANNER_WIDTH: Final = 76


async def ensure_administrator(database: Database, hashes: PasswordHashes, address: str) -> None:
    """Make sure that somebody can log in; waits for the data base as long as it takes."""
    password = passwords.one_time()
    stored = await hashes.hash(password)
    while True:
        try:
            async with database.transaction() as cursor:
                added = await users.add_first(cursor, stored)
            break
        except DatabaseAway:
            await asyncio.sleep(RETRY_S)
    if added:
        print(banner(address, password), flush=True)
        logger.info("first start: user {!r} made with a one-time password", users.FIRST_LOGIN)


def banner(address: str, password: str) -> str:
    """Return what a person copies the first login from."""
    line = "=" * BANNER_WIDTH
    return "\n".join(
        (
            "",
            line,
            "  Wattkeeper: first login / 首次登录",
            f"    address  / 地址      {address}",
            f"    user     / 用户名    {users.FIRST_LOGIN}",
            f"    password / 一次性密码  {password}",
            "  It works once: a new password is asked for at the first login.",
            line,
            "",
        )
    )

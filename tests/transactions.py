"""One transaction on a data base of a test, asked for by a test that has no loop of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from scada.database import Database, RoleName


def in_transaction(dsn: str, role: RoleName, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Connect as `role` ("read", "history", ...), run `work(cursor)` in one transaction, and return its answer."""

    async def run() -> Any:
        database = Database(dsn, role)
        try:
            async with database.transaction() as cursor:
                return await work(cursor)
        finally:
            await database.close()

    return asyncio.run(run())

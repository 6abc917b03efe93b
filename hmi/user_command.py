"""List, add, reset and disable people from the command line.

Rule: a password is made here and printed once; none is ever given as an argument, where others could read it.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from hmi import passwords, users
from hmi.passwords import PasswordHashes
from scada.database import Database, require_current_schema
from scada.errors import DatabaseAway


def run(action: str, arguments: argparse.Namespace, dsn: str) -> int:
    """Carry out one action; return the exit code. Raises WattkeeperError when the schema is not this program's."""
    try:
        require_current_schema(dsn)
        return asyncio.run(_run(action, arguments, dsn))
    except DatabaseAway as error:
        print(f"the data base cannot be reached: {error}", file=sys.stderr)
        return 1


async def _run(action: str, arguments: argparse.Namespace, dsn: str) -> int:
    database = Database(dsn, "users")
    try:
        async with database.transaction() as cursor:
            return await _ACTIONS[action](cursor, arguments)
    finally:
        await database.close()


async def _list(cursor: Any, _: argparse.Namespace) -> int:
    for user in await users.everybody(cursor):
        state = "disabled" if user.disabled else "one-time password" if user.must_change else "enabled"
        print(f"{user.login:<32}  {user.role:<10}  {state}")
    return 0


async def _add(cursor: Any, arguments: argparse.Namespace) -> int:
    password = passwords.one_time()
    if not await users.add(cursor, arguments.login, PasswordHashes().hash_blocking(password), arguments.role):
        return _refuse(f"user {arguments.login!r} exists already")
    print(f"user {arguments.login} ({arguments.role}), one-time password: {password}")
    return 0


async def _reset(cursor: Any, arguments: argparse.Namespace) -> int:
    password = passwords.one_time()
    stored = PasswordHashes().hash_blocking(password)
    if not await users.set_password(cursor, arguments.login, stored, must_change=True):
        return _refuse(f"there is no user {arguments.login!r}")
    print(f"user {arguments.login}, one-time password: {password}")
    return 0


async def _disable(cursor: Any, arguments: argparse.Namespace) -> int:
    disabled = arguments.action == "disable"
    if not await users.set_disabled(cursor, arguments.login, disabled):
        return _refuse(f"there is no user {arguments.login!r}")
    print(f"user {arguments.login} is {arguments.action}d")
    return 0


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


_ACTIONS: dict[str, Callable[[Any, argparse.Namespace], Awaitable[int]]] = {
    "list": _list,
    "add": _add,
    "reset": _reset,
    "disable": _disable,
    "enable": _disable,
}

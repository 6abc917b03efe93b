"""The `user` command: list, add, reset and disable people without the HMI's own page.

Rule: a password is made here and printed once; none is ever given as an argument, where others could read it.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from hmi import passwords, users
from hmi.passwords import PasswordHashes
from scada.database import Database
from scada.errors import DatabaseAway

ResolveDsn = Callable[[argparse.Namespace], str]


def add_commands(subparsers: Any, resolve_dsn: ResolveDsn) -> None:
    """Add `user` to the command line. resolve_dsn: parsed arguments -> connection string of the data base."""
    parser = subparsers.add_parser("user", help="who may use the HMI: list, add, reset, disable, enable")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every user with role and state")
    add = actions.add_parser("add", help="add a user and print a one-time password")
    add.add_argument("login", type=_login)
    add.add_argument("--role", choices=users.ROLES, default="viewer")
    for name, text in (
        ("reset", "give a user a new one-time password and end their sessions"),
        ("disable", "refuse a user's login and end their sessions"),
        ("enable", "let a disabled user log in again"),
    ):
        actions.add_parser(name, help=text).add_argument("login", type=_login)
    parser.set_defaults(run=lambda arguments: asyncio.run(_run(arguments, resolve_dsn(arguments))))


def _login(text: str) -> str:
    if not users.LOGIN_FORM.fullmatch(text):
        raise argparse.ArgumentTypeError("lower-case letters, digits, '.', '-' and '_', 32 at most")
    return text


async def _run(arguments: argparse.Namespace, dsn: str) -> int:
    database = Database(dsn, "ledger")
    try:
        async with database.transaction() as cursor:
            return await _ACTIONS[arguments.action](cursor, arguments)
    except DatabaseAway as error:
        print(f"the data base cannot be reached: {error}", file=sys.stderr)
        return 1
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

"""The `user` command on the command line, for whom the HMI's own page is out of reach.

Rule: light to import, as every start of a room builds the whole command line; the work is in `hmi.user_command`.
"""

import argparse
from collections.abc import Callable
from typing import Any

from hmi.users import LOGIN_FORM, ROLES

ResolveDsn = Callable[[argparse.Namespace], str]


def add_commands(subparsers: Any, resolve_dsn: ResolveDsn) -> None:
    """Add `user` to the command line. resolve_dsn: parsed arguments -> connection string of the data base."""
    parser = subparsers.add_parser("user", help="who may use the HMI: list, add, reset, disable, enable")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every user with role and state")
    add = actions.add_parser("add", help="add a user and print a one-time password")
    add.add_argument("login", type=_login)
    add.add_argument("--role", choices=ROLES, default="viewer")
    for name, text in (
        ("reset", "give a user a new one-time password and end their sessions"),
        ("disable", "refuse a user's login and end their sessions"),
        ("enable", "let a disabled user log in again"),
    ):
        actions.add_parser(name, help=text).add_argument("login", type=_login)
    parser.set_defaults(run=lambda arguments: _run(arguments, resolve_dsn(arguments)))


def _login(text: str) -> str:
    if not LOGIN_FORM.fullmatch(text):
        raise argparse.ArgumentTypeError("lower-case letters, digits, '.', '-' and '_', 32 at most")
    return text


def _run(arguments: argparse.Namespace, dsn: str) -> int:
    from hmi.user_command import run

    return run(arguments.action, arguments, dsn)


def prover(resolve_dsn: ResolveDsn) -> Callable[[argparse.Namespace, str, str], str]:
    """Return what tells the role of a person by login and password; Refused when they prove nothing."""

    def prove(arguments: argparse.Namespace, login: str, password: str) -> str:
        from hmi.proof import prove

        return prove(resolve_dsn(arguments), login, password)

    return prove

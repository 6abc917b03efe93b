"""`run.py credit ...`: how accounts stand, holds of one and of all, notices, from the command line.

Rule: what changes anything goes through the running core; what was kept is read from the data base.
"""

import argparse
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, LiteralString
from zoneinfo import ZoneInfo

import psycopg

from billing_core import people
from scada.console import perform
from scada.database import SCHEMA
from scada.errors import DatabaseAway

OF_ONE: Final = {  # verb -> (help, needs an end)
    "protect": ("never switch this account off (保电), until a time; supply returns when it was off", True),
    "unprotect": ("end the protection of this account and judge its balance again", False),
    "pause": ("neither notices nor switch-offs for this account (暂停), until a time", True),
    "resume": ("end the pause of this account", False),
    "dispute": ("the bill is disputed: no switch-off until it is settled", False),
    "settle": ("the dispute is settled", False),
    "reconnect": ("close what may return, where the configuration waits for a person", False),
}
OF_ALL: Final = {
    "protect-all": ("protect every account of the site (全局保电), until a time", True),
    "unprotect-all": ("end the protection of every account", False),
    "pause-all": ("pause credit control of the whole site, until a time", True),
    "resume-all": ("end the pause of the whole site", False),
    "release": ("let the switch-offs go on that the mass-trip guard or a clock jump holds", False),
}
NOTICES: Final[LiteralString] = """
    SELECT account, kind, to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), channel,
           coalesce(to_char(delivered AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), ''), result, text_zh, text_en
    FROM notice WHERE %(account)s IN ('', account) ORDER BY id DESC LIMIT %(last)s
"""
NOTICE_COLUMNS: Final = ("account", "kind", "created", "channel", "delivered", "result", "text_zh", "text_en")
EVENTS: Final[LiteralString] = """
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), verb, account,
           coalesce(to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), ''), owner, reason, who, station
    FROM credit_event WHERE %(account)s IN ('', account) ORDER BY id DESC LIMIT %(last)s
"""
STOPS: Final[LiteralString] = """
    SELECT account, breaker, to_char(stopped_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), balance_nano::text,
           reason, coalesce(to_char(reconnected_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), ''), notices
    FROM credit_stop_proof WHERE %(account)s IN ('', account) ORDER BY id DESC LIMIT %(last)s
"""
STOP_COLUMNS: Final = ("account", "breaker", "stopped", "balance_nano", "reason", "reconnected", "notices")
EVENT_COLUMNS: Final = ("at", "verb", "account", "until", "owner", "reason", "who", "station")
TIMES: Final = ("created", "delivered", "stopped", "reconnected", "at", "until")
STATUS_COLUMNS: Final = ("account", "state", "balance", "days_left", "empty", "refusal", "holds")


def add_commands(
    commands: Any,
    core_socket: Callable[[argparse.Namespace], Path],
    database_url: Callable[[argparse.Namespace], str],
) -> None:
    """Add `credit`. core_socket, database_url: parsed arguments -> socket of the core, connection string."""
    top = commands.add_parser("credit", help="credit control: states, notices, protection, pause, dispute")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    status = _verb(verbs, "status", "how accounts stand, and what holds switch-offs", "?")
    status.set_defaults(run=lambda args: _status(core_socket(args), args))
    add_account_verbs(verbs, core_socket)
    for name, (text, ends) in OF_ALL.items():
        _writing(_verb(verbs, name, text, ""), name, ends, core_socket)
    for name, text, query, columns in (
        ("notices", "the newest notices, with channel, time and result", NOTICES, NOTICE_COLUMNS),
        ("events", "the newest decisions about credit control", EVENTS, EVENT_COLUMNS),
        ("stops", "the newest switch-offs, each with the notices that went before it", STOPS, STOP_COLUMNS),
    ):
        listing = _verb(verbs, name, text, "?")
        listing.add_argument("--last", type=int, default=50, metavar="N", help="so many (50)")
        listing.set_defaults(
            run=lambda args, query=query, columns=columns: _listed(database_url(args), query, columns, args)
        )


def add_account_verbs(verbs: Any, core_socket: Callable[[argparse.Namespace], Path]) -> None:
    """Add what can be decided about one account; `account` has these verbs as well as `credit`."""
    for name, (text, ends) in OF_ONE.items():
        _writing(_verb(verbs, name, text, None), name, ends, core_socket)


def _verb(verbs: Any, name: str, text: str, account: str | None) -> argparse.ArgumentParser:
    """Add one verb. account: "" takes none, "?" an optional one, None one."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    if account != "":
        parser.add_argument("account", metavar="ACCOUNT", nargs=account, default="")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    return parser


def _writing(
    parser: argparse.ArgumentParser, verb: str, ends: bool, core_socket: Callable[[argparse.Namespace], Path]
) -> None:
    parser.add_argument("--reason", required=True, help="why; kept with the decision")
    parser.add_argument("--key", default="", help="the same key never decides twice (default: a new one, printed)")
    parser.add_argument("--user", default="", help="who decides (default: console and login name)")
    if ends:
        parser.add_argument("--owner", default="", help="who answers for it (default: the user)")
        end = parser.add_mutually_exclusive_group(required=True)
        end.add_argument("--until", default="", metavar="TIME", help="local time of the site: '2026-12-31 18:00'")
        end.add_argument("--hours", type=int, default=0, metavar="N", help="so many hours from now")
    parser.set_defaults(run=lambda args: _decide(core_socket(args), verb, args))


def _decide(core_socket: Path, verb: str, args: argparse.Namespace) -> int:
    names = ("account", "reason", "owner", "until", "hours")
    arguments = {name: value for name in names if (value := getattr(args, name, None))}
    arguments["key"] = args.key or str(uuid.uuid4())
    answer = perform(core_socket, f"credit.{verb}", arguments, args.user)
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        again = " (was decided before)" if answer["repeated"] else ""
        print(f"{verb} {answer['account'] or 'all'}: done{again}, key {answer['key']}")
    return 0


def _status(core_socket: Path, args: argparse.Namespace) -> int:
    answer = _whole_status(core_socket, args.account or "")
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
        return 0
    print(
        f"switch-offs held: {answer['stops_held']}; waiting for the mass-trip guard: {answer['mass_guard']['tenants']}"
    )
    for hold in answer["holds"]:
        print(f"everybody: {hold['kind']} until {hold['until']} ({hold['owner']}: {hold['reason']})")
    rows = []
    for account in answer["accounts"]:
        days = account["days_left"]
        holds = " ".join(hold["kind"] for hold in account["holds"])
        rows.append({**account, "days_left": "" if days is None else f"{days:.1f}", "holds": holds})
    _table(STATUS_COLUMNS, ([str(row[column]) for column in STATUS_COLUMNS] for row in rows))
    return 0


def _whole_status(core_socket: Path, account: str) -> dict[str, Any]:
    """Ask page after page: one answer of the link holds 64 kB."""
    answer = perform(core_socket, "credit.status", {"account": account})
    page = answer
    while page["next_row"] >= 0:
        page = perform(core_socket, "credit.status", {"account": account, "from_row": page["next_row"]})
        answer["accounts"] += page["accounts"]
    del answer["next_row"]
    return answer


def _listed(dsn: str, query: LiteralString, columns: Sequence[str], args: argparse.Namespace) -> int:
    rows = _read(dsn, query, {"account": args.account or "", "last": args.last})
    if args.json:
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False))
    else:
        zone = people.site_zone(dsn)
        cells = ([_for_people(name, cell, zone) for name, cell in zip(columns, row, strict=True)] for row in rows)
        _table(columns, cells)
    return 0


def _read(dsn: str, query: LiteralString, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of one query. Raises DatabaseAway when the data base cannot be reached."""
    try:
        with psycopg.connect(dsn) as connection:
            connection.read_only = True
            connection.execute("SELECT set_config('search_path', %s, true)", [f"{SCHEMA}, public"])
            return connection.execute(query, given).fetchall()
    except psycopg.OperationalError as error:
        raise DatabaseAway(str(error).strip()) from error


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    heading = [name.removesuffix("_nano") for name in columns]
    print("\n".join(people.table(heading, rows, ("balance", "days_left"))))


def _for_people(column: str, value: Any, zone: ZoneInfo) -> str:
    if column in TIMES:
        return people.local_text(value, zone)
    if column == "balance_nano":
        return people.money(int(value))
    if column == "notices":  # of a stop: what was told before, and when
        return ", ".join(f"{notice['kind']} {people.local_text(notice['created'], zone)}" for notice in value or ())
    return str(value)

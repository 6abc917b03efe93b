"""`run.py account ...`: money of an account from the command line.

Writing commands ask the running core (`scada.console.perform`); reading ones read the books on a connection of their
own. `--json` prints one JSON document. Exit code 0: done; 1: refused, or waiting for a second person.
"""

import argparse
import json
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing_core import credit_commands, people
from billing_core.account_rules import shown
from billing_core.ledger import CHANNELS, NANO_PER_UNIT
from scada.errors import Refused
from scada.paths import DataDirectory

Verifier = Callable[[argparse.Namespace, str, str], str]  # (arguments, login, password) -> role; Refused
DatabaseUrl = Callable[[argparse.Namespace], str]


@dataclass(frozen=True, slots=True)
class Ports:
    """What run.py hands in."""

    database_url: DatabaseUrl
    verify: Verifier


class Amount(int):
    """Nano of the currency, from decimal text."""


def amount(text: str) -> int:
    """Return nano of an amount in major units, exactly; ArgumentTypeError says what is wrong."""
    try:
        nano = Decimal(text) * NANO_PER_UNIT
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount; write it like 12.50") from None
    if not nano.is_finite() or nano % 1 or abs(nano) >= 10**18:
        raise argparse.ArgumentTypeError(f"{text!r}: at most 9 decimals, below 1,000,000,000")
    return int(nano)


# command -> (operation, help, options). Options: see _OPTIONS.
VERBS: Final[Mapping[str, tuple[str, str, Sequence[str]]]] = {
    "refund": ("account.refund", "退费: pay money of the wallet back", ("account", "amount", "channel", "reason")),
    "correct": ("account.correct", "补正: credit or debit the wallet", ("account", "amount", "against", "reason")),
    "debt": ("account.debt", "欠费: enter a debt that top-ups recover", ("account", "amount", "against", "reason")),
    "instalment": ("account.instalment", "pay a part of the debt from the wallet", ("account", "amount")),
    "emergency": ("account.emergency", "应急额度: lend once until it is paid back", ("account", "amount")),
    "property-fee": ("account.property-fee", "物业费: claim a property fee", ("account", "amount", "reason")),
    "property-pay": ("account.property-payment", "物业费: take money for it", ("account", "amount", "channel")),
}
AGAINST: Final = "other side: revenue:<medium>, writeoff, rounding; of a debt also wallet, opening"


def add_commands(commands: Any, ports: Ports) -> None:
    """Add `account` with its verbs."""
    text = "money of an account: top up, reverse, refund, correct, debts, credit, subsidies, property fees, approvals"
    top = commands.add_parser("account", help=text, description=text)
    top.set_defaults(site_zone=lambda args: people.site_zone(ports.database_url(args)))
    verbs = top.add_subparsers(metavar="VERB", required=True)
    credit_commands.add_account_verbs(verbs, lambda args: DataDirectory(args.data).core_socket)
    _add_top_up(verbs)
    for name, (operation, help_text, options) in VERBS.items():
        parser = verbs.add_parser(name, help=help_text, description=help_text)
        _options(parser, options)
        parser.set_defaults(run=lambda args, operation=operation, options=options: _money(args, operation, options))
    _add_others(verbs)
    _add_decisions(verbs, ports)
    _add_reading(verbs, ports)


def common(parser: argparse.ArgumentParser, writes: bool = True) -> None:
    """Add what every command takes."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    if writes:
        parser.add_argument("--key", default="", help="repeat with the same key: done once (default: a fresh one)")
        parser.add_argument("--user", default="", help="who does it (default: console:<login of this machine>)")


def _options(parser: argparse.ArgumentParser, options: Sequence[str]) -> None:
    parser.add_argument("account", help="id of the account")
    if "amount" in options:
        parser.add_argument("amount", type=amount, help="amount in major units, such as 12.50")
    if "channel" in options:
        parser.add_argument("--channel", choices=CHANNELS, default="cash", help="how the money moves (cash)")
    if "against" in options:
        parser.add_argument("--against", required=True, help=AGAINST)
    if "reason" in options:
        parser.add_argument("--reason", required=True, help="why; it goes into the books")
    common(parser)


def _add_top_up(verbs: Any) -> None:
    parser = verbs.add_parser("topup", help="充值: take money in", description="充值: take money in; prints the split")
    _options(parser, ("account", "amount", "channel"))
    parser.set_defaults(run=_top_up)


def _add_others(verbs: Any) -> None:
    text = "冲正: reverse a whole top-up, once"
    parser = verbs.add_parser("reverse", help=text, description=text)
    parser.add_argument("receipt", help="number of the receipt, R...")
    parser.add_argument("--reason", required=True, help="why; it goes into the books")
    common(parser)
    parser.set_defaults(run=_reverse)
    text = "补助: grant a subsidy that is used before own money and whose rest goes back"
    parser = verbs.add_parser("subsidy", help=text, description=text)
    _options(parser, ("account", "amount", "reason"))
    parser.add_argument("--until", required=True, type=utc_second, help="end of the term: 2027-01-31T00:00+08:00")
    parser.set_defaults(run=_subsidy)
    text = "take back what subsidies left whose term has ended"
    parser = verbs.add_parser("expire", help=text, description=text)
    common(parser)
    parser.set_defaults(run=lambda args: asked(args, "account.expire", {}))
    text = "set the share of top-ups that goes to the debt"
    parser = verbs.add_parser("recover", help=text, description=text)
    _options(parser, ("reason",))
    parser.add_argument("--percent", type=int, required=True, help="0 to 100")
    parser.set_defaults(run=_recover)


def _add_decisions(verbs: Any, ports: Ports) -> None:
    for name, text in (("approve", "agree to a request of somebody else"), ("reject", "turn a request down")):
        parser = verbs.add_parser(name, help=text, description=text + "; the password is asked for, or read from stdin")
        parser.add_argument("key", help="key of the request, see `account approvals`")
        parser.add_argument("--as", dest="login", required=True, help="login of the second person")
        parser.add_argument("--reason", default="", help="why")
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.set_defaults(run=lambda args, name=name: _decide(args, f"account.{name}", ports.verify))


def _add_reading(verbs: Any, ports: Ports) -> None:
    text = "show an account: balances, debts, subsidies, last receipts"
    parser = verbs.add_parser("show", help=text, description=text)
    parser.add_argument("account", help="id of the account")
    common(parser, writes=False)
    parser.set_defaults(run=lambda args: _show(args, ports.database_url(args)))
    text = "list requests that wait for a second person"
    parser = verbs.add_parser("approvals", help=text, description=text)
    common(parser, writes=False)
    parser.set_defaults(run=lambda args: _approvals(args, ports.database_url(args)))
    from billing_core import reconciliation_commands

    reconciliation_commands.add_reconcile(verbs, ports)


def utc_second(text: str) -> int:
    """Return the UTC second of an ISO time with its offset; ArgumentTypeError says what is wrong."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write it like 2027-01-31T00:00+08:00") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} says no offset from UTC; write it like 2027-01-31T00:00+08:00")
    return int(moment.timestamp())


# ---- writing


def asked(
    args: argparse.Namespace, operation: str, arguments: Mapping[str, Any], user: str = "", role: str = "admin"
) -> int:
    """Ask the core, print its answer."""
    from scada.console import perform

    socket = DataDirectory(args.data).core_socket
    answer = perform(socket, operation, arguments, user or getattr(args, "user", ""), role)
    return printed(args, answer)


def key_of(args: argparse.Namespace) -> str:
    return args.key or str(uuid.uuid4())


def _money(args: argparse.Namespace, operation: str, options: Sequence[str]) -> int:
    given = {"account": args.account, "amount_nano": args.amount, "key": key_of(args)}
    given |= {name: getattr(args, name) for name in ("channel", "against", "reason") if name in options}
    return asked(args, operation, given)


def _top_up(args: argparse.Namespace) -> int:
    coin_nano = NANO_PER_UNIT // 100
    if args.amount % coin_nano:
        raise Refused("topup.amount-coins", f"{shown(args.amount)} is not a whole number of coins")
    given = {"account": args.account, "amount_minor": args.amount // coin_nano, "channel": args.channel}
    return asked(args, "account.topup", given | {"key": key_of(args)})


def _reverse(args: argparse.Namespace) -> int:
    return asked(args, "account.reverse", {"receipt": args.receipt, "reason": args.reason, "key": key_of(args)})


def _subsidy(args: argparse.Namespace) -> int:
    given = {"account": args.account, "amount_nano": args.amount, "until_s": args.until, "reason": args.reason}
    return asked(args, "account.subsidy", given | {"key": key_of(args)})


def _recover(args: argparse.Namespace) -> int:
    given = {"account": args.account, "percent": args.percent, "reason": args.reason, "key": key_of(args)}
    return asked(args, "account.recover", given)


def _decide(args: argparse.Namespace, operation: str, verify: Verifier) -> int:
    """Let the second person prove themself, then ask in their name."""
    import getpass

    interactive = sys.stdin.isatty()
    password = getpass.getpass(f"password of {args.login}: ") if interactive else sys.stdin.readline().rstrip("\n")
    role = verify(args, args.login, password)
    return asked(args, operation, {"key": args.key, "reason": args.reason}, args.login, role)


def printed(args: argparse.Namespace, answer: Mapping[str, Any]) -> int:
    """Print an answer of the core; 1 when it waits for a second person."""
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        zone = args.site_zone(args) if people.has_times(answer) else ZoneInfo("UTC")
        print("\n".join(people.told(answer, zone)))
    return 1 if "pending" in answer else 0


# ---- reading


def _show(args: argparse.Namespace, dsn: str) -> int:
    from billing_core.account_reading import account_facts

    facts = account_facts(dsn, args.account)
    if not args.json:  # people read what is owed, not the sign of a ledger account
        facts = {"property_owed_nano" if name == "property_nano" else name: value for name, value in facts.items()}
        facts["property_owed_nano"] *= -1
    return printed(args, facts)


def _approvals(args: argparse.Namespace, dsn: str) -> int:
    from billing_core.account_reading import pending

    rows = pending(dsn)
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
    elif rows:
        print(
            "\n".join(
                people.table(("key", "what", "for", "amount", "asked by", "why"), map(_request, rows), ("amount",))
            )
        )
    else:
        print("nothing waits for a second person")
    return 0


def _request(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a request that waits: whom it concerns, an account or a receipt, and how much it moves."""
    given = row["arguments"]
    nano = given.get("amount_nano")
    money = people.exact(nano, 9, 2) if isinstance(nano, int) else ""
    concerned = str(given.get("account") or given.get("receipt", ""))
    return row["key"], row["operation"], concerned, money, row["requested_by"], row["why"]


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8 or GB 18030, which Excel writes on a Chinese Windows. Refused "file.*"."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Refused("file.read", f"{path} cannot be read: {error.strerror}") from error
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Refused("file.encoding", f"{path} is neither UTF-8 nor GB 18030")

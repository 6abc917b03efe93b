"""`run.py settle ...` and `run.py statement ...`: months, shares, the resale report, frozen statements.

Rule: what computes or changes anything goes through the running core; frozen statements are read from the books.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg

from billing_core import people, statement
from scada.console import perform
from scada.database import SCHEMA
from scada.errors import DatabaseAway, Refused

LINE: Final = ("point", "kind", "what", "rate", "quantity", "price", "amount")
LIST: Final[LiteralString] = """
    SELECT s.account, s.label, s.seq, s.opening_nano, s.closing_nano FROM statement s
    WHERE s.label = %(month)s OR starts_with(s.label, %(month)s || '/') ORDER BY s.account, s.time_to
"""
ONE: Final[LiteralString] = """
    SELECT d.body FROM statement s JOIN document d USING (seq)
    WHERE s.account = %(account)s AND (s.label = %(month)s OR starts_with(s.label, %(month)s || '/')) ORDER BY s.time_to
"""
Socket = Callable[[argparse.Namespace], Path]
DatabaseUrl = Callable[[argparse.Namespace], str]


def add_commands(commands: Any, core_socket: Socket, database_url: DatabaseUrl) -> None:
    """Add `settle` and `statement`. core_socket, database_url: parsed arguments -> socket, connection string."""
    text = "month end: preview and freeze accounts, share common costs, compare resale prices"
    verbs = commands.add_parser("settle", help=text, description=text).add_subparsers(metavar="VERB", required=True)
    for name, help_text, run in (
        ("preview", "what settling a month would freeze now, line by line", _preview),
        ("run", "freeze a month of one account or of all; a frozen one stays as it is", _run),
        ("shares", "公摊: compute the drafts of shared costs of a month and show them", _shares),
        ("confirm", "公摊: post the draft of a group", _confirm),
        ("resale", "转供电: effective price per unit of every account against the purchase price", _resale),
    ):
        verb = verbs.add_parser(name, help=help_text, description=help_text)
        if name == "confirm":
            verb.add_argument("group", help="id of the share group")
        verb.add_argument("--month", required=True, help="settlement month, such as 2026-11")
        if name in ("preview", "run"):
            verb.add_argument("--account", default="", help="one account (default: every one that ever moved)")
        if name == "resale":
            verb.add_argument("--medium", default="electricity", help="medium (electricity)")
        _common(verb)
        verb.set_defaults(run=lambda args, run=run: run(args, _asker(args, core_socket)))
    text = "frozen statements of accounts"
    verbs = commands.add_parser("statement", help=text, description=text).add_subparsers(metavar="VERB", required=True)
    for name, help_text in (
        ("list", "the statements of a month"),
        ("show", "one statement, as people read it"),
        ("export", "one statement as CSV (default) or JSON"),
    ):
        verb = verbs.add_parser(name, help=help_text, description=help_text)
        if name != "list":
            verb.add_argument("account", help="id of the account")
        if name == "export":
            verb.add_argument("--csv", action="store_true", help="CSV with a header line (default)")
        verb.add_argument("--month", required=True, help="settlement month, such as 2026-11")
        _common(verb)
        verb.set_defaults(run=lambda args, name=name: _statement(args, name, database_url(args)))


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--user", default="", help="who does it (default: console:<login of this machine>)")


Ask = Callable[[str, Mapping[str, Any]], dict[str, Any]]


def _asker(args: argparse.Namespace, core_socket: Socket) -> Ask:
    return lambda name, words: perform(core_socket(args), f"settle.{name}", words, args.user)


# ---- settle


def _accounts(args: argparse.Namespace, ask: Ask) -> list[str]:
    return [args.account] if args.account else list(ask("accounts", {"month": args.month})["accounts"])


def _preview(args: argparse.Namespace, ask: Ask) -> int:
    found = [ask("preview", {"account": name, "month": args.month}) for name in _accounts(args, ask)]
    if args.json:
        return _printed(found)
    for document in found:
        _heading(document)
        lines = [_line(line, document) for line in document["lines"]]
        print("\n".join(f"  {line}" for line in people.table(LINE, lines, LINE[-3:])))
        if document["line_count"] > len(document["lines"]):
            print(f"  ... {document['line_count']} lines in all")
    return 0


def _run(args: argparse.Namespace, ask: Ask) -> int:
    """Settle one account after the other; what is refused is told, and the others go on."""
    found, refusals = [], []
    for name in _accounts(args, ask):
        try:
            found.append(ask("run", {"account": name, "month": args.month}))
        except Refused as refused:
            refusals.append({"account": name, "refused": str(refused)})
    if args.json:
        _printed({"settled": found, "refused": refusals})
    else:
        for document in found:
            _heading(document)
        for why in dict.fromkeys(refusal["refused"] for refusal in refusals):  # most refusals concern everybody
            names = [refusal["account"] for refusal in refusals if refusal["refused"] == why]
            print(f"not settled: {why}\n  {', '.join(names)}")
        print(f"{len(found)} accounts settled, {len(refusals)} refused")
    return 1 if refusals else 0


def _shares(args: argparse.Namespace, ask: Ask) -> int:
    bills = ask("shares", {"month": args.month})["bills"]
    if args.json:
        return _printed(bills)
    for bill in bills:
        _bill(bill)
    return 0


def _confirm(args: argparse.Namespace, ask: Ask) -> int:
    bill = ask("confirm", {"group": args.group, "month": args.month})
    if args.json:
        return _printed(bill)
    _bill(bill)
    return 0


def _resale(args: argparse.Namespace, ask: Ask) -> int:
    """Print the report; exit code 1 when an account pays more than allowed."""
    report = ask("resale", {"month": args.month, "medium": args.medium})
    if args.json:
        _printed(report)
    else:
        limit, rows = people.exact(report["purchase_micro"], 6, 2), []
        print(f"{report['month']} {report['medium']}: bought at {limit}, cap {report['cap_percent']} %")
        for item in report["prices"]:
            mark = "ABOVE" if item["above"] else ""
            price = people.exact(item["price_micro"], 6, 2) if item["milli"] > 0 else "no usage"
            rows.append((item["account"], people.exact(item["milli"], 3), price, mark))
        print("\n".join(people.table(("account", "used", "per unit", ""), rows, ("used", "per unit"))))
        print(f"{report['above']} of {report['accounts']} accounts above {limit} + {report['cap_percent']} %")
    return 1 if report["above"] else 0


def _bill(bill: Mapping[str, Any]) -> None:
    print(
        f"{bill['group']} {bill['month']} [{bill['state']}] {bill['name_zh']} / {bill['name_en']}: "
        f"{_minor(bill['total_minor'], bill)} by {bill['by']}, to {bill['payer']}"
    )
    for share in bill["shares"]:
        print(f"  {_minor(share['minor'], bill):>14}  {share['account']} ({share['point']})")
    if bill["compliance"]:
        print("  " + " / ".join(statement.COMPLIANCE[bill["compliance"]]))
    for note in bill["notes"]:
        print(f"  note: {statement.note_words(note)}")


def _heading(document: Mapping[str, Any]) -> None:
    print(
        f"{document['account']} {document['label']} {document['name_zh']} / {document['name_en']}: opening "
        f"{_nano(document['opening_nano'])}, paid in {_nano(document['movements_nano'])}, charged "
        f"{_minor(document['charged_minor'], document)}, closing {_nano(document['closing_nano'])}"
    )
    for note in document["notes"]:
        print(f"  note: {statement.note_words(note)}")


def _line(line: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one line, below LINE."""
    names, amount = f"{line['name_zh']} {line['name_en']}", _minor(line["minor"], document)
    if line["kind"] != "energy":
        return line["point"], line["kind"], names, "", "", "", amount
    rate, price = " ".join(statement.RATE_NAMES[line["rate"]]), people.exact(line["price_micro"], 6, 2)
    return line["point"], line["kind"], names, rate, f"{people.exact(line['milli'], 3)} {line['unit']}", price, amount


def _printed(found: Any) -> int:
    print(json.dumps(found, ensure_ascii=False))
    return 0


def _nano(nano: int) -> str:
    """Return money to its last digit, with two decimals at least."""
    return people.exact(nano, 9, 2)


def _minor(minor: int, document: Mapping[str, Any]) -> str:
    return _nano(minor * int(document["minor_nano"]))


# ---- statements


def _statement(args: argparse.Namespace, verb: str, dsn: str) -> int:
    rows = _read(dsn, LIST if verb == "list" else ONE, {"month": args.month, "account": getattr(args, "account", "")})
    if verb == "list":
        names = ("account", "label", "seq", "opening_nano", "closing_nano")
        found = [dict(zip(names, row, strict=True)) for row in rows]
        if args.json:
            return _printed(found)
        heading = ("account", "month", "opening", "closing")
        balances = ("opening_nano", "closing_nano")
        cells = [(item["account"], item["label"], *(_nano(item[name]) for name in balances)) for item in found]
        print("\n".join(people.table(heading, cells, heading[2:])) if cells else f"no statement of {args.month} yet")
        return 0
    if not rows:
        print(f"{args.account} has no statement of {args.month}; settle it first, or see `settle preview`")
        return 1
    documents = [row[0] for row in rows]
    if args.json:
        return _printed(documents)
    for document in documents:
        print(statement.as_text(document) if verb == "show" else statement.as_csv(document), end="")
        print(end="\n" if verb == "show" else "")
    return 0


def _read(dsn: str, query: LiteralString, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    try:
        with psycopg.connect(dsn) as connection:
            connection.read_only = True
            connection.execute("SELECT set_config('search_path', %s, true)", [f"{SCHEMA}, public"])
            return connection.execute(query, given).fetchall()
    except psycopg.OperationalError as away:
        raise DatabaseAway(str(away).strip()) from away

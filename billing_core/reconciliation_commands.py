"""`run.py account reconcile`: a statement file of a bank or gateway against the books. 对账

Exit code 0: everything matches; 1: something differs. The books change only with --post-missing, order by order, each
once (the key of a top-up is its order number), with a reason.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from billing_core import people, reconciliation
from billing_core.account_rules import shown
from billing_core.ledger import CHANNELS, NANO_PER_UNIT
from billing_core.reconciliation import MATCHED, MISSING_IN_BOOKS, WORDS, Booking, Finding
from scada.errors import Refused

if TYPE_CHECKING:
    from billing_core.account_commands import Ports


def add_reconcile(verbs: Any, ports: "Ports") -> None:
    """Add `account reconcile`."""
    from billing_core import account_commands

    text = "对账: compare a statement file (CSV) with the payments of a channel"
    parser = verbs.add_parser("reconcile", help=text, description=text)
    parser.add_argument("file", type=Path, help="CSV in UTF-8 or GB 18030, with a heading")
    parser.add_argument("--channel", choices=CHANNELS, required=True, help="whose statement it is")
    parser.add_argument("--from", dest="from_s", type=account_commands.utc_second, required=True, help="first moment")
    parser.add_argument("--to", dest="to_s", type=account_commands.utc_second, required=True, help="end, exclusive")
    for name in ("order", "amount", "account"):
        parser.add_argument(f"--{name}", default="", help=f"heading of the {name} column, where it is not a usual one")
    parser.add_argument("--post-missing", action="store_true", help="post what the books miss, by its order number")
    parser.add_argument("--reason", default="", help="why; needed to post")
    account_commands.common(parser, writes=False)
    parser.add_argument("--user", default="", help="who does it")
    parser.set_defaults(run=lambda args: _reconcile(args, ports.database_url(args)))


def booking(row: dict[str, Any]) -> Booking:
    """Return a posting as reconciliation sees it: the key of a top-up carries its order number."""
    order = str(row["key"]).removeprefix("topup:")
    return Booking(int(row["seq"]), order, int(row["nano"]), str(row["account"] or ""), int(row["at_s"]))


def _reconcile(args: argparse.Namespace, dsn: str) -> int:
    from billing_core.account_commands import read_text
    from billing_core.account_reading import postings

    columns = {"order": args.order, "amount": args.amount, "account": args.account}
    lines = reconciliation.read_lines(read_text(args.file), columns)
    rows = postings(dsn, args.channel, args.from_s, args.to_s)
    findings = reconciliation.reconcile(lines, [booking(row) for row in rows])
    posted = _post_missing(args, findings) if args.post_missing else []
    if args.json:
        sums = reconciliation.totals(findings)
        document = {"findings": [asdict(f) for f in findings], "totals": sums, "posted": posted}
        print(json.dumps(document, ensure_ascii=False))
    else:
        _print(findings, posted)
    settled = {entry["order"] for entry in posted if "number" in entry}
    return 0 if all(f.kind == MATCHED or f.order in settled for f in findings) else 1


def _post_missing(args: argparse.Namespace, findings: list[Finding]) -> list[dict[str, Any]]:
    """Post what is missing; what cannot be posted is told with its reason, and the rest goes on."""
    from scada.console import perform
    from scada.paths import DataDirectory

    if not args.reason:
        raise Refused("account.reason", "say why with --reason; it goes into the books")
    socket, done = DataDirectory(args.data).core_socket, []
    for finding in findings:
        if finding.kind != MISSING_IN_BOOKS:
            continue
        why = reconciliation.postable(finding)
        nano, coin_nano = finding.file_nano or 0, NANO_PER_UNIT // 100
        if why:
            done.append({"order": finding.order, "refused": why})
            continue
        given = {"account": finding.account, "amount_minor": nano // coin_nano, "channel": args.channel}
        given |= {"key": finding.order, "reason": args.reason}
        try:
            answer = perform(socket, "account.topup", given, args.user)
            done.append({"order": finding.order, "number": answer["number"], "repeated": answer["repeated"]})
        except Refused as refused:
            done.append({"order": finding.order, "refused": str(refused)})
    return done


def _print(findings: list[Finding], posted: list[dict[str, Any]]) -> None:
    rows = []
    for finding in findings:
        amounts = [shown(nano) if nano is not None else "-" for nano in (finding.file_nano, finding.books_nano)]
        rows.append((*reversed(WORDS[finding.kind]), finding.order, *amounts, finding.account))
    heading = ("finding", "结果", "order", "in the file", "in the books", "account")
    print("\n".join(people.table(heading, rows, ("in the file", "in the books"))))
    for entry in posted:
        print(f"posted {entry['order']}: {entry.get('number') or entry['refused']}")
    for kind, sums in reconciliation.totals(findings).items():
        file, books = shown(sums["file_nano"]), shown(sums["books_nano"])
        print(f"{WORDS[kind][1]:<17} {sums['count']:>6}  file {file}  books {books}")

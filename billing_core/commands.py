"""What the billing core brings to the command line: `run.py audit`, `run.py ledger`, `run.py meter`."""

import argparse
import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from billing_core import meter_commands

SHOWN_MOST: Final = 1000  # lines of differences; the count is always complete


def add_commands(commands: Any, database_url: Callable[[argparse.Namespace], str]) -> Any:
    """Add the commands of this package; return the verbs of `meter`, which other packages add to.

    database_url: parsed arguments -> connection string of the books.
    """
    verbs = meter_commands.add_commands(commands, database_url)
    text = (
        "verify the books: transfers sum to zero, hash chain unbroken and as it was anchored in the data directory, "
        "balances equal the fold of entries, every charge computed again from its stored readings; exit 1 when "
        "anything differs"
    )
    audit = commands.add_parser("audit", help="verify the books", description=text)
    audit.add_argument("--json", action="store_true", help="print one JSON document")
    audit.set_defaults(run=lambda args: run_audit(database_url(args), anchor_folder(args), args.json))
    books = commands.add_parser("ledger", help="look after the books").add_subparsers(metavar="VERB", required=True)
    text = (
        "accept the books as they are although the anchor in the data directory knows later or other transfers, as "
        "after bringing back an older copy; the reason enters the chain at the next start of the core"
    )
    again = books.add_parser("reanchor", help="accept books that are older than their anchor", description=text)
    again.add_argument("--reason", required=True, help="why these books are the right ones")
    again.add_argument("--user", default="", help="who says so (default: console:<user of this machine>)")
    again.set_defaults(run=lambda args: run_reanchor(database_url(args), anchor_folder(args), args.reason, args.user))
    return verbs


def anchor_folder(args: argparse.Namespace) -> Path:
    from scada.paths import DataDirectory

    return DataDirectory(args.data).anchor


def run_audit(dsn: str, folder: Path | None = None, as_json: bool = False) -> int:
    """Audit the books behind a connection string; print every difference and the count. Return 1 when any differs.

    folder: of the anchor; None: without one. Raises WattkeeperError when there are no books of this program's schema.
    """
    from billing_core import anchor
    from billing_core.audit import audit
    from billing_core.reader import open_books
    from scada.database import require_current_schema

    require_current_schema(dsn)
    # Heads first: books that are written meanwhile only grow.
    marks = anchor.in_force(anchor.Anchor(folder).marks()) if folder is not None else []
    with open_books(dsn) as books:
        accounts, entries = books.counts()
        differences, first = 0, list[str]()
        for difference in audit(books, {mark.seq: mark.hash for mark in marks}):
            differences += 1
            if differences <= SHOWN_MOST:
                first.append(str(difference))
                if not as_json:
                    print(difference)
    if as_json:
        figures = {"accounts": accounts, "entries": entries, "anchored_heads": len(marks), "differences": differences}
        print(json.dumps({**figures, "first": first}, ensure_ascii=False))
        return 1 if differences else 0
    print(f"audit: {len(marks)} anchored heads compared" if marks else "audit: no anchored head to compare with")
    print(f"audit: {accounts} accounts, {entries} entries, {differences} differences", flush=True)
    return 1 if differences else 0


def run_reanchor(dsn: str, folder: Path, reason: str, user: str) -> int:
    """Accept the books as they are; say what was done. Return 1 when there was nothing to accept."""
    from billing_core.anchoring import begin_anew
    from scada.database import require_current_schema

    require_current_schema(dsn)
    mark = begin_anew(dsn, folder, reason, user or f"console:{getpass.getuser()}")
    if mark is None:
        print("ledger: the books hold what was anchored; nothing to do", flush=True)
        return 1
    print(f"ledger: anchored anew at transfer {mark.seq}, because: {mark.reason}", flush=True)
    return 0

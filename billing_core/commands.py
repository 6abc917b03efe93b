"""What the billing core brings to the command line: `run.py audit`, `run.py meter`."""

import argparse
from collections.abc import Callable
from typing import Any, Final

from billing_core import meter_commands

SHOWN_MOST: Final = 1000  # lines of differences; the count is always complete


def add_commands(commands: Any, database_url: Callable[[argparse.Namespace], str]) -> None:
    """Add the commands of this package. database_url: parsed arguments -> connection string of the books."""
    meter_commands.add_commands(commands)
    text = (
        "verify the books: transfers sum to zero, hash chain unbroken, balances equal the fold of entries, every "
        "charge computed again from its stored readings; exit 1 when anything differs"
    )
    audit = commands.add_parser("audit", help="verify the books", description=text)
    audit.set_defaults(run=lambda args: run_audit(database_url(args)))


def run_audit(dsn: str) -> int:
    """Audit the books behind a connection string; print every difference and the count. Return 1 when any differs.

    Raises WattkeeperError when there are no books of this program's schema.
    """
    from billing_core.audit import audit
    from billing_core.reader import open_books
    from scada.database import require_current_schema

    require_current_schema(dsn)
    with open_books(dsn) as books:
        accounts, entries = books.counts()
        differences = 0
        for difference in audit(books):
            differences += 1
            if differences <= SHOWN_MOST:
                print(difference)
    print(f"audit: {accounts} accounts, {entries} entries, {differences} differences", flush=True)
    return 1 if differences else 0

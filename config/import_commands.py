"""The command `import FILE`: meters, supply points and tenants from a spreadsheet, shown and written when told."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from config.import_merge import Change, Merged
from config.import_sheets import Workbook, read_file
from config.importing import Prepared, finish, prepare, write

EXIT_FAULTY: Final = 2
SHOWN_MAX: Final = 50  # changes of a kind that are listed; the rest is counted, but for --all
FAULTS_MAX: Final = 1000  # a file of another plant would otherwise scroll for minutes


def add_commands(subparsers: Any) -> None:
    """Add `import` to the command line."""
    parser = subparsers.add_parser(
        "import",
        help="take meters, supply points and tenants from a CSV or XLSX file",
        description="Take meters, supply points and tenants from a CSV or XLSX file with Chinese or English headings"
        " into the configuration folder. Shows the difference and writes it only with --write, after the whole"
        " configuration passed its checks. Exit 0, or 2 with every fault by row and column; then nothing is written.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help=".xlsx or .csv; with --template, the sheet to make")
    parser.add_argument("--write", action="store_true", help="write what is shown; the old files stay as *.bak")
    parser.add_argument("--remove", action="store_true", help="rows that the file does not name go")
    parser.add_argument("--all", action="store_true", help=f"list every change, not only {SHOWN_MAX} of a kind")
    parser.add_argument("--template", action="store_true", help="make an empty sheet for this configuration as FILE")
    parser.set_defaults(run=run_import)


def run_import(args: argparse.Namespace) -> int:
    """Show what an import changes, and write it when told; return the exit code."""
    if args.template:
        from config.import_template import make_template

        make_template(args.config, args.file)
        print(f"{args.file}: empty sheets for {args.config}; fill them in and run: import {args.file}")
        return 0
    if names := finish(args.config):
        print(f"an import that was ended half-way is complete now: {', '.join(names)}")
    book = read_file(args.file, _progress)
    found = prepare(args.config, book, args.remove)
    if found.faults:
        return _refused(args.file, found)
    for line in shown(found, book, None if args.all else SHOWN_MAX):
        print(line)
    if not found.differs:
        print("nothing differs")
    elif not args.write:
        print("nothing was written; the whole configuration is sound with it: repeat with --write")
    else:
        for copy in write(found):
            print(f"the old file is {copy}")
        print(f"written to {args.config}; it takes effect at the next start")
    return 0


def _refused(file: Path, found: Prepared) -> int:
    for fault in found.faults[:FAULTS_MAX]:
        print(fault)
    more = len(found.faults) - FAULTS_MAX
    if more > 0:
        print(f"... and {more} faults more")
    print(f"{file}: {len(found.faults)} faults; nothing was written", file=sys.stderr)
    return EXIT_FAULTY


def shown(found: Prepared, book: Workbook, most: int | None) -> Iterator[str]:
    """Yield the difference, file by file. most: changes of a kind that are listed; None: all."""
    for name in book.ignored:
        yield f"{name}: no rows that are known, passed over"
    for name, merged in found.files.items():
        yield f"{name}: {_counts(merged)}"
        for sign, changes in (("+", merged.added), ("~", merged.changed), ("-", merged.removed)):
            for change in changes[:most]:
                yield from _told(sign, change)
            if most is not None and len(changes) > most:
                yield f"  {sign} ... and {len(changes) - most} more, listed with --all"


def _counts(merged: Merged) -> str:
    stays = f", {merged.left} not in the file stay" if merged.left else ""
    sums = f"{len(merged.added)} added, {len(merged.changed)} changed, {len(merged.removed)} removed"
    return f"{sums}, {merged.same} as they are{stays}"


def _told(sign: str, change: Change) -> Iterator[str]:
    if sign == "+":
        yield f"  + {change.id}: " + ", ".join(f"{column} {new}" for column, _, new in change.fields)
    else:
        yield f"  {sign} {change.id}"
        for column, old, new in change.fields:
            yield f"      {column}: {old or '(empty)'} -> {new or '(empty)'}"


def _progress(rows: Iterable[Any], name: str) -> Iterable[Any]:
    """Show on a terminal how far a large file is read."""
    if not sys.stderr.isatty():
        return rows
    from tqdm import tqdm

    return tqdm(rows, desc=name, unit=" rows", delay=1.0, leave=False)

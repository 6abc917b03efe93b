"""`run.py meter ...`: held registers, swaps, ratios and late readings from the command line.

Every verb asks the running core (`scada.console.perform`). Registers are written as the meter shows them, quantities in
units of the tariff, times with their offset from UTC. `--json` prints one JSON document. Exit code 0: done; 1: refused.
"""

import argparse
import csv
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from billing_core import people
from scada.errors import Refused

HEADING: Final = ("time", "register")  # of a file of late readings


def add_commands(commands: Any, database_url: Callable[[argparse.Namespace], str]) -> Any:
    """Add `meter` with its verbs; return them, for the verbs of other packages.

    database_url: of the books, which know the time zone of the site.
    """
    text = "meters: read, watch, identify, switch, frames; held registers, release, reject, swap, ratio, late readings"
    top = commands.add_parser("meter", help=text, description=text)
    top.set_defaults(site_zone=lambda args: people.site_zone(database_url(args)))
    verbs = top.add_subparsers(metavar="VERB", required=True)
    held = _verb(verbs, "held", "list supply points whose charge waits, why, and how much money waits", _held, False)
    held.set_defaults(run=_held)
    release = _verb(verbs, "release", "believe the doubtful register and bill up to it", _release)
    release.add_argument("--rollover", action="store_true", help="the register went back as it passed its end")
    _verb(verbs, "reject", "bill on from the doubtful register; what lies before it is not charged", _reject)
    swap = _verb(verbs, "swap", "换表: bill the old meter to its end and go on with the new one", _swap)
    swap.add_argument("--old-final", required=True, help="last register of the old meter, as it shows it: 12400.00")
    swap.add_argument("--new-first", required=True, help="first register of the new meter, as it shows it: 0.35")
    swap.add_argument("--new-meter", default="", help="device that supply_points.csv names (default: the same address)")
    swap.add_argument("--ratio", default="", help="CT or CT/PT of the new meter (default: the configured one)")
    swap.add_argument("--gap-estimate", default="0", help="used between the two registers, in units; marked estimated")
    swap.add_argument("--at", default="", help="when it was swapped: 2026-11-01T08:03:00+08:00 (default: now)")
    swap.add_argument("--serial", default="", help="number on the new meter's nameplate")
    swap.add_argument("--preview", action="store_true", help="show what would be billed, change nothing")
    ratio = _verb(verbs, "ratio", "bill on by another ratio of the transformers", _ratio)
    ratio.add_argument("--ct", type=int, required=True, help="current transformer ratio from now on")
    ratio.add_argument("--pt", type=int, default=1, help="voltage transformer ratio from now on (1)")
    ratio.add_argument("--register", default="", help="register read at the change (default: the last billed one)")
    late = _verb(verbs, "late", "restate the past by readings that came late or correct others", _late)
    late.add_argument("file", nargs="?", type=Path, help=f"CSV with the columns {','.join(HEADING)}")
    late.add_argument("--at", default="", help="time of one reading: 2026-11-01T08:03:00+08:00")
    late.add_argument("--register", default="", help="register at that time, as the meter shows it")
    late.add_argument("--preview", action="store_true", help="show what would be posted, change nothing")
    return verbs


def _verb(verbs: Any, name: str, text: str, run: Any, writes: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    if writes:
        parser.add_argument("point", help="id of the supply point")
        parser.add_argument("--reason", required=True, help="why; it goes into the books")
        parser.add_argument("--key", default="", help="repeat with the same key: done once (default: a fresh one)")
        parser.add_argument("--user", default="", help="who does it (default: console:<login of this machine>)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)
    return parser


def _asked(args: argparse.Namespace, verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
    from scada.console import perform
    from scada.paths import DataDirectory

    return perform(DataDirectory(args.data).core_socket, f"meter.{verb}", given, getattr(args, "user", ""))


def _do(args: argparse.Namespace, verb: str, more: Mapping[str, Any]) -> int:
    """Ask for a change and print what was done, with the key under which it can be repeated."""
    key = args.key or str(uuid.uuid4())
    answer = _asked(args, verb, {"point": args.point, "reason": args.reason, "key": key, **more}) | {"key": key}
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print("\n".join(people.told(answer, args.site_zone(args))))
    return 0


def _release(args: argparse.Namespace) -> int:
    return _do(args, "release", {"rollover": args.rollover})


def _reject(args: argparse.Namespace) -> int:
    return _do(args, "reject", {})


def _swap(args: argparse.Namespace) -> int:
    given = {
        name: getattr(args, name) for name in ("old_final", "new_first", "new_meter", "ratio", "serial", "preview")
    }
    given["at_s"] = second_of(args.at) if args.at else 0
    return _do(args, "swap", given | {"gap": args.gap_estimate})


def _ratio(args: argparse.Namespace) -> int:
    return _do(args, "ratio", {"ratio": f"{args.ct}/{args.pt}", "register": args.register})


def _late(args: argparse.Namespace) -> int:
    if (args.file is None) == (not args.at):
        raise Refused("late.what", "give either a file, or --at and --register")
    readings = read_file(args.file) if args.file is not None else [(second_of(args.at), args.register)]
    return _do(args, "late", {"readings": readings, "preview": args.preview})


def read_file(path: Path) -> list[tuple[int, str]]:
    """Return (UTC second, register) of a CSV of readings. Refused "late.file" names the line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != HEADING:
                raise Refused("late.file", f"{path}: its first line must be {','.join(HEADING)}")
            return [(second_of(row["time"], f"{path}, line {reader.line_num}: "), row["register"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refused("late.file", f"{path} cannot be read: {error}") from error


def second_of(text: str, place: str = "") -> int:
    """Return the UTC second of an ISO time with its offset. Refused "late.time"."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise Refused("late.time", f"{place}{text!r} is no time; write it like 2026-11-01T08:03:00+08:00") from None
    if moment.tzinfo is None:
        raise Refused("late.time", f"{place}{text!r} says no offset from UTC; write it like 2026-11-01T08:03:00+08:00")
    return int(moment.timestamp())


def _held(args: argparse.Namespace) -> int:
    answer = _asked(args, "held", {})
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
        return 0
    zone = args.site_zone(args)
    for held in answer["held"]:
        print(f"{held['point']} ({held['meter']}, {held['account']}): {held['why_zh']} / {held['why_en']}")
        print(f"  last billed {held['last_register']} at {people.local_time(held['last_s'], zone)}")
        print(f"  doubtful    {held['doubtful_register']} since {people.local_time(held['since_s'], zone)}")
        if held["stake_milli"] is not None:
            amount = people.exact(held["stake_nano"], 9, 2)
            print(f"  at stake    {people.exact(held['stake_milli'], 3)} {held['unit']}, {amount}")
        print(f"  do          {held['do']}")
    print(f"{len(answer['held'])} supply points are held")
    return 0

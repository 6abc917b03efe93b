"""The commands of meter profiles: `profile list|show|test`. They read files and need no running core."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from config import profile_reports
from config.checks import duplicate_profiles
from config.loader import Sources, listed, nearest, profile_folder, read_profile
from config.meter_checks import profile_rates
from config.profile_checks import PROFILE_CHECKS
from config.profiling import profile_of
from config.protocol_checks import PROTOCOL_CHECKS
from scada.errors import Fault, WattkeeperError

EXIT_FAULTY: Final = 2
CHECKS: Final = (*PROFILE_CHECKS, *PROTOCOL_CHECKS, profile_rates, duplicate_profiles)


def add_commands(subparsers: Any) -> None:
    """Add `profile` to the command line."""
    text = "meter profiles: list, show, test them"
    verbs: Any = subparsers.add_parser("profile", help=text, description=text).add_subparsers(
        title="verbs", metavar="VERB", required=True
    )
    for name, run, needs_one, told in (
        ("list", run_list, False, "list the meter profiles of a configuration folder"),
        ("show", run_show, True, "show one profile: registers, charging, switching, cost of reading"),
        (
            "test",
            run_test,
            False,
            "test one profile or all, and say what reading costs; exit 2 on a fault",
        ),
    ):
        verb = verbs.add_parser(name, help=told, description=told)
        verb.set_defaults(run=run)
        if name == "list":
            verb.add_argument("--markdown", action="store_true", help="as a table for a page")
        else:
            count = None if needs_one else "?"
            verb.add_argument("profile", metavar="FILE|ID", nargs=count, help="a TOML file, or the id of a profile")


def run_list(args: argparse.Namespace) -> int:
    """Print every profile in a line, or as the table of docs/profiles.md."""
    sources = read(profile_paths(args.config))
    if args.markdown:
        print("\n".join(profile_reports.markdown(sources.by_id("profile").values())))
        return _told(sources.faults)
    for table in sources.by_id("profile").values():
        print(profile_reports.summary(table))
    return _told(sources.faults)


def run_show(args: argparse.Namespace) -> int:
    """Print one profile."""
    sources = read([one_path(args.config, args.profile)])
    if faults := faults_of(sources):
        return _told(faults)
    for table in sources.by_id("profile").values():
        print("\n".join(profile_reports.shown(table)))
    return 0


def run_test(args: argparse.Namespace) -> int:
    """Test one profile, or all; print every fault, and what the sound ones cost to read."""
    paths = [one_path(args.config, args.profile)] if args.profile else profile_paths(args.config)
    sources = read(paths)
    faults = faults_of(sources)
    faulty = {fault.file for fault in faults}
    for placed in sources.many("profile"):
        if placed.file not in faulty:
            print(profile_reports.summary(placed.item))
            print("\n".join(profile_reports.plan(profile_of(placed.item))))
    code = _told(faults)
    print(f"{len(paths)} profiles, {len(faulty)} of them faulty, {len(faults)} faults")
    return code


def profile_paths(folder: Path) -> list[Path]:
    """Return the files of all profiles of a configuration folder."""
    return sorted(profile_folder(folder).glob("*.toml"))


def one_path(folder: Path, name: str) -> Path:
    """Return the file of a profile, named by path or by id. WattkeeperError when there is none."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise WattkeeperError(f"there is no file {path}")
        return path
    known = {path.stem: path for path in profile_paths(folder)}
    if name not in known:
        raise WattkeeperError(f"unknown profile '{name}'{nearest(name, known)}; known: {listed(known)}")
    return known[name]


def read(paths: Sequence[Path]) -> Sources:
    """Read profiles alone, without the plant they serve."""
    sources = Sources(Path())
    for path in paths:
        read_profile(path, path.name, sources)
    return sources


def faults_of(sources: Sources) -> list[Fault]:
    """Return everything that is wrong with profiles by themselves."""
    return sources.faults + [fault for check in CHECKS for fault in check(sources)]


def _told(faults: Sequence[Fault]) -> int:
    for fault in faults:
        print(fault, file=sys.stderr)
    return EXIT_FAULTY if faults else 0

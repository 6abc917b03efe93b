"""The commands of tariffs: `tariff check|list|show|publish|assign`.

`check`, and `list` and `show` without `--live`, read a configuration folder; the others ask the running core.
"""

import argparse
import json
import shutil
import sys
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from billing_core.plan import Plan
from billing_core.plan_body import pack, plan_body, plan_hash, plan_of, unpack
from config import planning, tariff_reports
from config.checks import check_all
from config.loader import Sources, read_sources
from scada.console import perform
from scada.errors import ConfigurationError, WattkeeperError
from scada.paths import DataDirectory

EXIT_FAULTY: Final = 2
TARIFFS: Final = "tariffs.toml"


def add_commands(subparsers: Any) -> Any:
    """Add `tariff` to the command line; return its verbs, to which others add theirs."""
    text = "tariffs: check a folder, list and show plans, publish them, assign one to a supply point"
    verbs: Any = subparsers.add_parser("tariff", help=text, description=text).add_subparsers(
        title="verbs", metavar="VERB", required=True
    )
    check = _verb(verbs, "check", run_check, "check the tariffs of a folder, and say what to know of them")
    check.add_argument(
        "folder", metavar="FOLDER", type=Path, nargs="?", help="configuration folder (default: --config)"
    )
    listed = _verb(verbs, "list", run_list, "list the plans of a configuration folder, or of the running core")
    _live(listed)
    show = _verb(verbs, "show", run_show, "show a plan: its versions, prices by rate period and tier, and components")
    show.add_argument("plan", metavar="PLAN", help="id of a plan")
    show.add_argument("--at", metavar="TIME", default="", help="only what holds at a local date or date and time")
    _live(show)
    publish = _verb(verbs, "publish", run_publish, "put the plans of a folder in force in the running core")
    publish.add_argument("plan", metavar="PLAN", nargs="*", help="only these plans (default: all that differ)")
    _writing(publish)
    assign = _verb(verbs, "assign", run_assign, "bill a supply point by another plan from now on")
    assign.add_argument("point", metavar="POINT", help="id of a supply point")
    assign.add_argument("plan", metavar="PLAN", help="id of a plan that is in force")
    assign.add_argument("--household", type=int, help="persons of the household")
    assign.add_argument("--opened", metavar="DATE", default="", help="opening, local date: anniversary and first year")
    _writing(assign)
    return verbs


def run_check(args: argparse.Namespace) -> int:
    """Print every fault and every note; 0 when there is no fault, else 2."""
    folder = args.folder or args.config
    try:
        sources, plans = load_plans(folder)
    except ConfigurationError as error:
        if args.json:
            _print_json({"folder": str(folder), "faults": [str(fault) for fault in error.faults], "plans": []})
        else:
            print("\n".join(map(str, error.faults)))
            print(f"{folder}: {len(error.faults)} faults", file=sys.stderr)
        return EXIT_FAULTY
    notes = list(tariff_reports.notes(sources))
    if args.json:
        found = [{"id": plan.id, "hash": plan_hash(plan).hex(), "versions": len(plan.versions)} for plan in plans]
        _print_json({"folder": str(folder), "faults": [], "notes": notes, "plans": found})
    else:
        for note in notes:
            print(f"{note['tariff']}: {note['zh']} / {note['en']}")
        print(f"{folder}: {len(plans)} tariffs, {sum(len(plan.versions) for plan in plans)} versions, no fault")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Print the plans, one to a line."""
    if args.live:
        rows = _ask(args, "tariff.list", {})["plans"]
    else:
        rows = [tariff_reports.summary(plan) for plan in load_plans(args.config)[1]]
    if args.json:
        _print_json({"plans": rows})
    else:
        for row in rows:
            names = f"{row['name_zh']} / {row['name_en']}"
            print(f"{row['id']:<24} {row['medium']:<12} {row['unit']:<5} {row['hash'][:12]}  {names}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print one plan."""
    plan = _plan(args)
    at_s = planning.moment_s(_moment(args.at), plan.timezone) if args.at else None
    if args.json:
        versions = plan.versions if at_s is None else tuple(filter(None, [plan.version_at(at_s)]))
        body = plan_body(plan)
        chosen = [found for found, version in zip(body["versions"], plan.versions, strict=True) if version in versions]
        _print_json({"hash": plan_hash(plan).hex(), **body, "versions": chosen})
    else:
        print("\n".join(tariff_reports.shown(plan, at_s)))
    return 0


def run_publish(args: argparse.Namespace) -> int:
    """Send every plan that differs from the one in force, one by one; what lies in the past may not differ."""
    _, plans = load_plans(args.config)
    if unknown := sorted(set(args.plan) - {plan.id for plan in plans}):
        raise WattkeeperError(f"{args.config}: no tariff {', '.join(unknown)}; known: {', '.join(p.id for p in plans)}")
    live = {row["id"]: row["hash"] for row in _ask(args, "tariff.list", {})["plans"]}
    key = args.key or uuid.uuid4().hex
    answers = []
    for plan in plans:
        if (not args.plan or plan.id in args.plan) and live.get(plan.id) != plan_hash(plan).hex():
            asked = {"packed": pack(plan_body(plan)), "reason": args.reason, "key": f"{key}:{plan.id}"}
            answers.append(_ask(args, "tariff.publish", asked))
            if not args.json:
                print(f"{plan.id}: published, {len(answers[-1].get('points', ()))} supply points")
    if args.json:
        _print_json({"key": key, "published": answers})
    else:
        print(f"{len(answers)} of {len(plans)} tariffs published, key {key}")
    return 0


def run_assign(args: argparse.Namespace) -> int:
    """Bill a supply point by another plan."""
    key = args.key or uuid.uuid4().hex
    asked: dict[str, Any] = {"point": args.point, "plan": args.plan, "reason": args.reason, "key": key}
    if args.household is not None:
        asked["household"] = args.household
    if args.opened:
        timezone = read_sources(args.config).one("site").timezone
        asked["opened_s"] = planning.moment_s(_moment(args.opened), timezone)
    answer = _ask(args, "tariff.assign", asked)
    if args.json:
        _print_json({"key": key, **answer})
    else:
        print(f"{answer['point']}: billed by {answer['plan']} from now on, key {key}")
    return 0


def load_plans(folder: Path) -> tuple[Sources, tuple[Plan, ...]]:
    """Return what was read from a folder and its plans. Raises ConfigurationError with every fault of the folder."""
    sources = read_sources(folder)
    if faults := sources.faults + list(check_all(sources)):
        raise ConfigurationError(faults)
    return sources, planning.plans(sources)


def plans_of_file(args: argparse.Namespace, file: Path) -> tuple[Plan, ...]:
    """Return the plans of a file like tariffs.toml, read as if it were the one of --config.

    Raises ConfigurationError with the faults of that file; that the rest of the folder names other tariffs is none.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "config"
        shutil.copytree(args.config, folder)
        try:
            shutil.copyfile(file, folder / TARIFFS)
        except OSError as error:
            raise WattkeeperError(f"{file}: {error.strerror}") from error
        sources = read_sources(folder)
        faults = [fault for fault in sources.faults + list(check_all(sources)) if fault.file == TARIFFS]
        if faults:
            raise ConfigurationError([replace(fault, file=str(file)) for fault in faults])
        return planning.plans(sources)


def _plan(args: argparse.Namespace) -> Plan:
    if args.live:
        return plan_of(unpack(_ask(args, "tariff.show", {"plan": args.plan})["packed"]))
    plans = load_plans(args.config)[1]
    found = next((plan for plan in plans if plan.id == args.plan), None)
    if found is None:
        raise WattkeeperError(f"{args.config}: no tariff {args.plan}; known: {', '.join(plan.id for plan in plans)}")
    return found


def _moment(text: str) -> str:
    """Return a local date, or date and time, as planning.moment_s wants it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise WattkeeperError(f"{text!r} is no time; write 2026-12-01 or '2026-12-01 08:00'") from error
    return found.strftime("%Y-%m-%d %H:%M")


def _ask(args: argparse.Namespace, operation: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    return perform(DataDirectory(args.data).core_socket, operation, asked, getattr(args, "user", ""))


def _print_json(document: Mapping[str, Any]) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of words")
    parser.set_defaults(run=run)
    return parser


def _live(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--live", action="store_true", help="of the running core instead of the configuration folder")


def _writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", required=True, help="why; it goes into the books")
    parser.add_argument("--key", default="", help="idempotency key: the same when repeated (default: a fresh one)")
    parser.add_argument("--user", default="", help="who asks (default: console:<login>)")

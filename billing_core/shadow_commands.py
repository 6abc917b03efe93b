"""`run.py tariff shadow`: a past period under another plan, for every tenant of a plan.

Rule: reads only. `shadow.py` computes; here it is asked for and printed.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from billing_core.plan import Plan
from billing_core.replay_commands import add_period, instant
from scada.errors import WattkeeperError

Url = Callable[[argparse.Namespace], str]
ReadPlans = Callable[[argparse.Namespace, Path], Sequence[Plan]]
HUNDRED: Final = 100


def add_shadow(subparsers: Any, database_url: Url, read_plans: ReadPlans) -> None:
    """Add `shadow` to the commands of `run.py tariff`.

    database_url   parsed arguments -> connection string of the books
    read_plans     parsed arguments, a file like tariffs.toml -> its plans; ConfigurationError lists what is wrong
    """
    text = "price a past period under another plan for every tenant of a plan, and list who pays what more"
    shadow = subparsers.add_parser("shadow", help="what would another plan have cost?", description=text)
    shadow.add_argument("plan", metavar="PLAN", help="the plan whose tenants are looked at")
    other = shadow.add_mutually_exclusive_group(required=True)
    other.add_argument("--file", type=Path, metavar="TOML", help="a file like tariffs.toml with the new plan")
    other.add_argument("--plan", dest="other", metavar="PLAN", help="another plan of the books")
    add_period(shadow, required=True)
    shadow.add_argument("--above", type=int, default=10, metavar="PERCENT", help="count tenants above it (default: 10)")
    shadow.add_argument("--top", type=int, default=20, metavar="N", help="tenants shown at each end (default: 20)")
    shadow.add_argument("--csv", type=Path, metavar="FILE", help="write one line for each tenant")
    shadow.add_argument("--json", action="store_true", help="one JSON document")
    shadow.set_defaults(run=lambda args: run_shadow(args, database_url(args), read_plans))


def run_shadow(args: argparse.Namespace, dsn: str, read_plans: ReadPlans) -> int:
    """Price a past period again and print who pays what more. Raises WattkeeperError."""
    from billing_core.replay import Unpriced
    from billing_core.replay_reader import open_replay
    from billing_core.shadow import as_csv, as_json, counting_from, shadow
    from scada.database import require_current_schema

    require_current_schema(dsn)
    with open_replay(dsn) as books:
        hashes = books.plan_hashes(args.plan)
        if not hashes:
            raise WattkeeperError(f"nothing was ever charged by a plan {args.plan!r}")
        plans = books.plans()
        old = plans[hashes[0]]
        new = _new_plan(args, plans, read_plans)
        if (new.medium, new.unit, new.currency) != (old.medium, old.unit, old.currency):
            raise WattkeeperError(f"plan {new.id} prices {new.medium} by {new.unit}, not {old.medium} by {old.unit}")
        from_s, to_s = instant(args.from_, old.timezone, 0), instant(args.to_, old.timezone, 0)
        if from_s >= to_s:
            raise WattkeeperError("--from must lie before --to")
        options = {supply.options for supply in books.supplies().values() if supply.plan_hash in hashes}
        since_s = min((counting_from(new, option, from_s) for option in options), default=from_s)
        try:
            outcome = shadow(new, books.pieces(hashes, since_s, to_s), from_s, to_s, args.above)
        except Unpriced as unpriced:
            raise WattkeeperError(f"plan {new.id}: {unpriced}") from unpriced
    if args.csv:
        args.csv.write_text(as_csv(outcome), encoding="utf-8-sig")
    if args.json:
        print(json.dumps(as_json(outcome), ensure_ascii=False))
    else:
        _print(as_json(outcome), args)
    return 0


def _new_plan(args: argparse.Namespace, plans: Mapping[bytes, Plan], read_plans: ReadPlans) -> Plan:
    """Return the plan to compare with: from a file, or the body of the books that reaches furthest."""
    if args.file:
        found = {plan.id: plan for plan in read_plans(args, args.file)}
        if args.plan in found:
            return found[args.plan]
        if len(found) == 1:
            return next(iter(found.values()))
        raise WattkeeperError(f"{args.file} holds {', '.join(sorted(found))}; none is called {args.plan!r}")
    bodies = [plan for plan in plans.values() if plan.id == args.other]
    if not bodies:
        raise WattkeeperError(f"the books hold no plan {args.other!r}; give it with --file")
    return max(bodies, key=lambda plan: (len(plan.versions), plan.versions[-1].from_s))


def _print(outcome: Mapping[str, Any], args: argparse.Namespace) -> None:
    total, tenants = outcome["total"], outcome["tenants"]
    unit, currency = outcome["unit"], outcome["currency"]
    print(f"{args.plan} -> {outcome['plan']}: {len(tenants)} tenants, {total['quantity']} {unit}")
    print(f"{'account':<24} {unit:>16} {'old ' + currency:>20} {'new ' + currency:>20} {'more':>20} {'%':>9}")
    shown = tenants if len(tenants) <= 2 * args.top else [*tenants[: args.top], *tenants[-args.top :]]
    for line in [*shown, {**total, "account": "total"}]:
        print(
            f"{line['account']:<24} {line['quantity']:>16} {line['old']:>20} {line['new']:>20} {line['more']:>20} "
            f"{line['more_percent']:>9}"
        )
    if len(shown) < len(tenants):
        print(f"{len(tenants) - len(shown)} tenants between them are not shown; --csv has all")
    share = HUNDRED * outcome["tenants_above"] // max(1, len(tenants))
    print(f"{outcome['tenants_above']} tenants ({share} %) pay more than {outcome['above_percent']} % more")

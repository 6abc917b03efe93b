"""`run.py replay`: recompute what the books say, explain one charge.

Rule: reads only. What is computed is in the other files of the replay; here it is asked for, printed and turned into an
exit code: 0 when nothing differs, 1 when anything does.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import chain
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing_core import explain
from billing_core.ledger import wallet
from scada.errors import WattkeeperError

SHOWN_MOST: Final = 1000  # lines of differences; the count is always complete
Url = Callable[[argparse.Namespace], str]
RegisterTags = Callable[[argparse.Namespace], Mapping[str, str]]


def add_commands(commands: Any, database_url: Url, register_tags: RegisterTags) -> None:
    """Add `replay`.

    database_url    parsed arguments -> connection string of the books
    register_tags   parsed arguments -> meter -> id of the tag that holds its billing register
    """
    text = (
        "compute every charge again from its register readings, the stored plans, terms and transfers, with an own "
        "tier position from zero, and compare it with the books; exit 1 when anything differs"
    )
    replay = commands.add_parser("replay", help="compute bills again from raw readings", description=text)
    what = replay.add_mutually_exclusive_group()
    what.add_argument("--account", metavar="ID", help="one tenant, every line with its derivation")
    what.add_argument("--all", action="store_true", help="everybody, in bounded memory; prints a summary")
    add_period(replay)
    replay.add_argument("--lang", choices=explain.LANGUAGES, default="zh", help="language of derivations (default: zh)")
    replay.add_argument("--brief", action="store_true", help="one line for each charge instead of its derivation")
    text = "also hold each reading against the register that the historian recorded"
    replay.add_argument("--registers", action="store_true", help=text)
    replay.add_argument("--json", action="store_true", help="one JSON document")
    replay.set_defaults(run=lambda args: run_replay(args, database_url(args), register_tags))
    actions = replay.add_subparsers(metavar="ACTION")
    one = actions.add_parser("explain", help="explain one charge", description="show how one charge came about")
    one.add_argument("charge", metavar="TRANSFER:LINE", help="number of a charge, as replay and statements print it")
    one.add_argument("--lang", choices=explain.LANGUAGES, default="zh")
    one.add_argument("--json", action="store_true", help="one JSON document")
    one.set_defaults(run=lambda args: run_explain(args, database_url(args)))


def add_period(parser: Any, *, required: bool = False) -> None:
    """Add --from and --to: local dates or times of the site, or UTC seconds."""
    for name, text in (("--from", "begin"), ("--to", "end, not included")):
        parser.add_argument(
            name, dest=f"{name[2:]}_", metavar="TIME", required=required,
            help=f"{text}: 2026-11-01, 2026-11-01T08:00, with an offset, or UTC seconds",
        )  # fmt: skip


def instant(text: str | None, timezone: str, otherwise_s: int) -> int:
    """Return the UTC second a person means. WattkeeperError says what is wrong."""
    if text is None:
        return otherwise_s
    if text.isdecimal():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise WattkeeperError(f"{text!r} is no time; write 2026-11-01, 2026-11-01T08:00 or UTC seconds") from error
    local = found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(timezone))
    return int(local.timestamp())


# --- replay


def run_replay(args: argparse.Namespace, dsn: str, register_tags: RegisterTags) -> int:
    """Replay one account or all; return 1 when anything differs. Raises WattkeeperError."""
    from billing_core.replay_reader import open_replay
    from scada.database import require_current_schema

    if not args.account and not args.all:
        raise WattkeeperError("name what to replay: --account ID, --all, or explain TRANSFER:LINE")
    require_current_schema(dsn)
    with open_replay(dsn) as books:
        curves = books.curves(register_tags(args) if args.registers else {})
        return _replay_all(args, books, curves) if args.all else _replay_account(args, books, curves)


def _replay_all(args: argparse.Namespace, books: Any, curves: Any) -> int:
    from billing_core.replay_all import Summary, replay_all

    summary = Summary()
    found: list[str] = []
    count = 0
    for fault in chain(replay_all(books, summary), curves.off(books.supplies())):
        count += 1
        if count <= SHOWN_MOST:
            found.append(str(fault))
            if not args.json:
                print(fault, flush=True)
    if args.json:
        figures = {"charges": summary.charges, "points": summary.points, "accounts": summary.accounts}
        figures |= {"settlements": summary.settled, "readings_compared": curves.compared}
        print(json.dumps({**figures, "differences": count, "first": found}, ensure_ascii=False))
    else:
        if curves.compared:
            print(f"{curves.compared} readings held against recorded registers")
        print(
            f"replay: {summary.charges} charges of {summary.points} supply points, {summary.settled} settlements, "
            f"{summary.accounts} ledger accounts, {count} differences"
        )
    return 1 if count else 0


def _replay_account(args: argparse.Namespace, books: Any, curves: Any) -> int:
    from billing_core.replay_account import Tally, replay_account

    if not books.ledger_accounts(args.account):
        raise WattkeeperError(f"the books know no account {args.account!r}; run.py tenant list names them")
    plans = books.plans()
    timezone = next(iter(plans.values())).timezone if plans else "UTC"
    from_s, to_s = instant(args.from_, timezone, 0), instant(args.to_, timezone, 2**62)
    printer = _Printer(args, plans, timezone)
    tally = Tally()
    for step in replay_account(books, args.account, tally):
        if step.text or from_s <= step.at_s < to_s:
            printer.step(step)
    for off in curves.off(books.supplies(), wallet(args.account)):
        tally.differences += 1
        printer.difference(str(off))
    printer.end(args.account, tally, curves.compared)
    return 1 if tally.differences else 0


class _Printer:
    """Prints steps for people as they come, or keeps them for one JSON document."""

    def __init__(self, args: argparse.Namespace, plans: Mapping[bytes, Any], timezone: str) -> None:
        self._args = args
        self._plans = plans
        self._timezone = timezone
        self._records: list[dict[str, Any]] = []
        self._first = ""

    def step(self, step: Any) -> None:
        if step.moved is not None:
            self._moved(step)
        elif step.compared is not None:
            self._charge(step)
        if step.text:
            near = step.compared.near.name if step.compared is not None else f"transfer {step.seq}"
            self.difference(f"{near}: {step.text}" if step.compared is not None else step.text)

    def difference(self, text: str) -> None:
        self._first = self._first or text
        if self._args.json:
            self._records.append({"difference": text})
        else:
            print(f"!!! {text}", flush=True)

    def end(self, account: str, tally: Any, compared: int) -> None:
        balances = {name: explain.nano(nano) for name, nano in sorted(tally.balances.items())}
        if self._args.json:
            document = {
                "account": account, "charges": tally.charges, "charged": explain.nano(tally.charged_nano),
                "transfers": tally.transfers, "balances": balances, "differences": tally.differences,
                "readings_compared": compared, "first_difference": self._first, "lines": self._records,
            }  # fmt: skip
            print(json.dumps(document, ensure_ascii=False))
            return
        for name, nano in balances.items():
            print(f"{name} {nano}")
        if compared:
            print(f"{compared} readings held against recorded registers")
        print(
            f"replay of {account}: {tally.charges} charges ({explain.nano(tally.charged_nano)}), {tally.transfers} "
            f"transfers, {tally.differences} differences",
            flush=True,
        )

    def _charge(self, step: Any) -> None:
        found = derivation(step.compared, step.supply, self._plans)
        if self._args.json:
            self._records.append({"charge": found.as_json()})
        elif self._args.brief:
            facts = found.facts
            when = explain.local_time(facts.segment_to_s, self._timezone)
            quantity = f"{explain.milli(facts.milli)} {found.unit}"
            print(f"{when}  {facts.charge}  {facts.point}  {quantity}  {explain.nano(facts.nano)}")
        else:
            print("\n".join(explain.words(found, self._args.lang)))

    def _moved(self, step: Any) -> None:
        moved = step.moved
        if self._args.json:
            record = {"seq": moved.seq, "kind": moved.kind, "at_s": moved.at_s, "account": moved.account}
            money = {"nano": moved.nano, "balance_nano": step.balance_nano}
            self._records.append({"transfer": {**record, **money, "who": moved.who, "memo": moved.memo}})
            return
        # Opening balances are posted before the first scan, at no time of the plant.
        when = explain.local_time(moved.at_s, self._timezone) if moved.at_s > 0 else "at the first start".ljust(24)
        print(
            f"{when}  transfer {moved.seq}  {kind_word(moved.kind, self._args.lang)}  {moved.account} "
            f"{explain.nano(moved.nano)} -> {explain.nano(step.balance_nano)}  {moved.who}  {moved.memo}".rstrip()
        )


def kind_word(kind: str, language: str) -> str:
    """Return what people call a kind of transfer."""
    from billing_core.chart import TRANSFERS

    return TRANSFERS.get(kind, (kind, kind))[explain.LANGUAGES.index(language)]


def derivation(compared: Any, supply: Any, plans: Mapping[bytes, Any]) -> explain.Derivation:
    """Return the derivation of a charge as the replay computed it, beside the readings of its row."""
    row, line = compared.near, compared.line or compared.row
    facts = explain.Facts(
        charge=row.name, point=supply.point, meter=supply.meter, account=supply.account.partition(":")[2],
        raw_from=row.raw_from, from_s=row.from_s, raw_to=row.raw_to, to_s=row.to_s,
        segment_from_s=line.segment_from_s, segment_to_s=line.segment_to_s, rate=line.rate, tier=line.tier,
        position_milli=line.position_milli, price_micro=line.price_micro, milli=line.milli, nano=line.nano,
        kind=line.kind, method=line.method,
        reverses=f"{row.reverses_seq}:{row.reverses_line}" if row.reverses_seq else "",
        milli_per_count=supply.milli_per_count, modulus_counts=supply.modulus_counts, plan_hash=supply.plan_hash.hex(),
    )  # fmt: skip
    return explain.derive(facts, plans[supply.plan_hash])


def run_explain(args: argparse.Namespace, dsn: str) -> int:
    """Explain one charge; the life of its supply point up to it is computed again. Return 1 when it differs."""
    from billing_core.replay import Prices
    from billing_core.replay_account import Replays
    from billing_core.replay_reader import open_replay
    from scada.database import require_current_schema

    seq, _, line = args.charge.partition(":")
    if not (seq.isdecimal() and line.isdecimal()):
        raise WattkeeperError(f"{args.charge!r} is no charge; write TRANSFER:LINE, for example 12:3")
    require_current_schema(dsn)
    with open_replay(dsn) as books:
        row = books.charge(int(seq), int(line))
        if row is None:
            raise WattkeeperError(f"the books hold no charge {args.charge}")
        supplies, plans = books.supplies(), books.plans()
        point = supplies[row.terms].point
        replays = Replays(supplies, Prices(plans), books.charge, books.bridges(), books.evidence())
        terms = [number for number, supply in supplies.items() if supply.point == point]
        for compared, supply in replays.all(books.charges_of(terms, upto=row.seq)):
            if compared.row == row:
                found = derivation(compared, supply, plans)
                if args.json:
                    print(json.dumps({**found.as_json(), "difference": compared.text}, ensure_ascii=False))
                else:
                    print("\n".join(explain.words(found, args.lang)))
                    if compared.text:
                        print(f"!!! {compared.text}")
                return 1 if compared.text else 0
    raise WattkeeperError(f"charge {args.charge} is not among the charges of its supply point {point}")

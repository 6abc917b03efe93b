"""`run.py tenant ...`: presets, opening, moving out, transfer of ownership, and who pays for what.

    run.py tenant preset shop.toml
    run.py tenant open shop-101
    run.py tenant preview shop-101
    run.py tenant move-out shop-101 --token 1a2b... --reason "lease ended"

A preset is a TOML file of the fields of `tenancy_desk.TenantWish`, amounts in major units. Exit code as in
`account_commands`.
"""

import argparse
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from billing_core import people
from billing_core.account_commands import Ports, amount, asked, common, key_of, printed, read_text
from billing_core.account_rules import shown
from billing_core.ledger import CHANNELS, NANO_PER_UNIT
from scada.errors import Refused

Rooms = Callable[[argparse.Namespace, str], list[str]]  # (arguments, room) -> ids of its supply points; Refused
MONEY: Final = ("alarm1", "alarm2", "overdraft", "reconnect")
COIN_NANO: Final = NANO_PER_UNIT // 100


def add_commands(commands: Any, ports: Ports, rooms: Rooms) -> None:
    """Add `tenant` with its verbs. rooms: finds the supply points of a room."""
    text = "lives of tenants: preset, open (开户), move-out (退租结算), hand-over (过户), list"
    top = commands.add_parser("tenant", help=text, description=text)
    top.set_defaults(site_zone=lambda args: people.site_zone(ports.database_url(args)))
    verbs = top.add_subparsers(metavar="VERB", required=True)
    _add_opening(verbs, rooms)
    _add_leaving(verbs, rooms)
    text = "list every account with its balance"
    parser = verbs.add_parser("list", help=text, description=text)
    common(parser, writes=False)
    parser.set_defaults(run=lambda args: _list(args, ports.database_url(args)))


def _add_opening(verbs: Any, rooms: Rooms) -> None:
    text = "store what is to be opened later"
    parser = verbs.add_parser("preset", help=text, description=text)
    parser.add_argument("file", nargs="?", type=Path, help="TOML file of a tenant; or the options below")
    _tenant_options(parser)
    common(parser)
    parser.set_defaults(run=lambda args: _preset(args, rooms))
    text = "开户: open a tenant from a preset, or as the options say"
    parser = verbs.add_parser("open", help=text, description=text)
    parser.add_argument("preset", nargs="?", default="", help="id of a stored preset")
    _tenant_options(parser)
    parser.add_argument("--accept-stale", action="store_true", help="even when a register was not read lately")
    common(parser)
    parser.set_defaults(run=lambda args: _open(args, rooms))


def _tenant_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", default="", help="id of the tenant and of its account")
    parser.add_argument("--name-zh", default="", help="Chinese name")
    parser.add_argument("--name-en", default="", help="English name (default: the Chinese one)")
    parser.add_argument("--contact", default="", help="telephone or address")
    parser.add_argument("--household", type=int, default=0, help="persons, for tiers of households")
    parser.add_argument("--room", action="append", default=[], help="room, as building/room or room; again for more")
    parser.add_argument("--points", nargs="+", default=[], help="supply points, beside or instead of rooms")
    parser.add_argument("--class", dest="account_class", default="standard", help="class of the account (standard)")
    for name in MONEY:
        parser.add_argument(f"--{name}", type=amount, default=0, help="amount in major units (0)")
    parser.add_argument("--opening", type=amount, default=0, help="money paid in at once (0)")
    parser.add_argument("--channel", choices=CHANNELS, default="cash", help="how it is paid in (cash)")
    parser.add_argument("--protected", action="store_true", help="保电: never switched off by credit")
    parser.add_argument("--plan", default="", help="tariff of all its points (default: as the room has it)")
    parser.add_argument("--reset-tiers", action="store_true", help="begin the tiers anew (default: the room's go on)")


def _add_leaving(verbs: Any, rooms: Rooms) -> None:
    text = "show every line of closing an account, and the token that stands for it"
    parser = verbs.add_parser("preview", help=text, description=text)
    parser.add_argument("account", help="id of the account")
    common(parser)
    parser.set_defaults(run=_preview)
    text = "退租结算: close an account as it was previewed"
    parser = verbs.add_parser("move-out", help=text, description=text)
    _leaving_options(parser)
    parser.set_defaults(run=lambda args: asked(args, "tenant.move-out", _leaving(args)))
    text = "过户: close an account and open its successor in one cut, the supply stays on"
    parser = verbs.add_parser("hand-over", help=text, description=text)
    _leaving_options(parser)
    parser.add_argument("--to", type=Path, required=True, help="TOML file of the new tenant")
    parser.add_argument("--carry", action="store_true", help="hand the balance over instead of paying it out")
    parser.set_defaults(run=lambda args: _hand_over(args, rooms))


def _leaving_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("account", help="id of the account")
    parser.add_argument("--token", required=True, help="of the preview that is to be carried out")
    parser.add_argument("--reason", required=True, help="why; it goes into the books")
    parser.add_argument("--channel", choices=CHANNELS, default="cash", help="how the refund is paid (cash)")
    parser.add_argument("--unpaid", choices=("refuse", "pay", "writeoff"), default="refuse", help="when money is owed")
    parser.add_argument("--within", type=amount, default=0, help="what is paid may differ so much from the preview (0)")
    parser.add_argument("--accept-stale", action="store_true", help="even when a register was not read lately")
    common(parser)


# ---- from files and options to what the core takes


def tenant_of(table: Mapping[str, Any], rooms: Callable[[str], Iterable[str]]) -> dict[str, Any]:
    """Return the arguments of a tenant from a table as a preset has it: amounts in major units, rooms by name."""
    accounts = []
    for account in table.get("account", []):
        entry = {name: value for name, value in account.items() if name not in (*MONEY, "opening", "room", "class")}
        entry["points"] = [*account.get("points", []), *(p for room in _list_of(account, "room") for p in rooms(room))]
        entry |= {f"{name}_nano": _nano(account[name], name) for name in MONEY if name in account}
        if "class" in account:
            entry["account_class"] = account["class"]
        if "opening" in account:
            entry["opening_minor"] = _coins(_nano(account["opening"], "opening"))
        accounts.append(entry)
    return {**{name: value for name, value in table.items() if name != "account"}, "accounts": accounts}


def read_tenant(path: Path, rooms: Callable[[str], Iterable[str]]) -> dict[str, Any]:
    """Return the arguments of a tenant from a TOML file. Refused "preset.file", "file.*" say what is wrong."""
    try:
        table = tomllib.loads(read_text(path), parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise Refused("preset.file", f"{path}: {error}") from error
    return tenant_of(table, rooms)


def _of_options(args: argparse.Namespace, rooms: Callable[[str], Iterable[str]]) -> dict[str, Any]:
    if not args.id or not (args.room or args.points):
        raise Refused("tenant.open", "name a preset, or give --id and --room or --points")
    account = {"id": args.id, "points": [*args.points, *(point for room in args.room for point in rooms(room))]}
    account |= {f"{name}_nano": getattr(args, name) for name in MONEY}
    account |= {"account_class": args.account_class, "protected": args.protected, "channel": args.channel}
    account["opening_minor"] = _coins(args.opening)
    names = {"name_zh": args.name_zh or args.name_en or args.id, "name_en": args.name_en or args.name_zh or args.id}
    more = {name: getattr(args, name) for name in ("contact", "household", "reset_tiers", "plan")}
    return {"id": args.id, **names, **more, "accounts": [account]}


def _list_of(table: Mapping[str, Any], name: str) -> list[str]:
    value = table.get(name, [])
    return [value] if isinstance(value, str) else list(value)


def _nano(value: Any, name: str) -> int:
    try:
        return amount(str(value))
    except argparse.ArgumentTypeError as error:
        raise Refused("preset.amount", f"{name}: {error}") from error


def _coins(nano: int) -> int:
    if nano % COIN_NANO:
        raise Refused("topup.amount-coins", f"{shown(nano)} is not a whole number of coins")
    return nano // COIN_NANO


# ---- the verbs


def _preset(args: argparse.Namespace, rooms: Rooms) -> int:
    tenant = _given(args, rooms)
    return asked(args, "tenant.preset", {"id": tenant["id"], "tenant": tenant})


def _given(args: argparse.Namespace, rooms: Rooms) -> dict[str, Any]:
    def find(room: str) -> list[str]:
        return rooms(args, room)

    return read_tenant(args.file, find) if getattr(args, "file", None) else _of_options(args, find)


def _open(args: argparse.Namespace, rooms: Rooms) -> int:
    given: dict[str, Any] = {"key": key_of(args), "accept_stale": args.accept_stale}
    given |= {"preset": args.preset} if args.preset else {"tenant": _given(args, rooms)}
    return asked(args, "tenant.open", given)


def _leaving(args: argparse.Namespace) -> dict[str, Any]:
    names = ("account", "token", "reason", "channel", "unpaid", "accept_stale")
    return {name: getattr(args, name) for name in names} | {"within_nano": args.within, "key": key_of(args)}


def _hand_over(args: argparse.Namespace, rooms: Rooms) -> int:
    successor = read_tenant(args.to, lambda room: rooms(args, room))
    return asked(args, "tenant.hand-over", _leaving(args) | {"successor": successor, "carry": args.carry})


def _preview(args: argparse.Namespace) -> int:
    from scada.console import perform
    from scada.paths import DataDirectory

    found = perform(DataDirectory(args.data).core_socket, "tenant.preview", {"account": args.account}, args.user)
    if args.json:
        return printed(args, found)
    registers = [[str(register[name]) for name in ("point", "meter", "raw", "held")] for register in found["registers"]]
    print("\n".join(people.table(("point", "meter", "counts", "held"), registers, ("counts",))))
    lines = [(line["zh"], line["en"], people.exact(line["nano"], 9, 2)) for line in found["lines"]]
    print("\n".join(people.table(("项目", "line", "amount"), lines, ("amount",))))
    print(f"token {found['token']}")
    return 0


def _list(args: argparse.Namespace, dsn: str) -> int:
    from billing_core.account_reading import accounts

    rows = accounts(dsn)
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    cells = [
        (row["account"], row["state"], people.money(row["balance_nano"]), row["name_zh"], row["name_en"])
        for row in rows
    ]
    print("\n".join(people.table(("account", "state", "balance", "名称", "name"), cells, ("balance",))))
    return 0

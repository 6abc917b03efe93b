"""Command line of the drivers: `inject` gives the simulated field an order.

Rule: no reactor, no configuration; the running field knows its own devices and refuses what it does not know.
"""

import argparse
import json
import sys
from typing import Any, Final

from drivers.field.call import call
from drivers.field.catalogue import CONTROL_PORT, ORDERS, Order
from scada.errors import WattkeeperError

EXIT_REFUSED: Final = 1
PORT_MAX: Final = 65535


def add_commands(subparsers: Any) -> None:
    """Add `inject` to the subparsers of run.py."""
    parser = subparsers.add_parser(
        "inject",
        help="give the simulated field a fault, or end one",
        description="Give the simulated field of a running demonstration an order over its control port.",
        epilog="orders:\n" + "\n".join(_describe(order) for order in ORDERS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "order", metavar="FAULT", choices=[order.name for order in ORDERS], help="one of the list below"
    )
    parser.add_argument("target", metavar="TARGET", nargs="?", default="", help="gateway, device or medium id")
    parser.add_argument("value", metavar="VALUE", nargs="*", help="what the order takes, if anything")
    parser.add_argument(
        "--control-port",
        type=_port,
        default=CONTROL_PORT,
        metavar="N",
        help=f"of the field room (default {CONTROL_PORT})",
    )
    parser.set_defaults(run=inject)


def inject(args: argparse.Namespace) -> int:
    """Send the order and print the answer; return 0, or 1 when it was refused or no field listens."""
    try:
        answer = call(args.control_port, args.order, args.target, " ".join(args.value))
    except WattkeeperError as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    if not answer.pop("ok"):
        print(answer["error"], file=sys.stderr)
        return EXIT_REFUSED
    if args.order == "list":  # a park has a thousand meters, and few are at fault
        answer = {kind: {name: faults for name, faults in each.items() if faults} for kind, each in answer.items()}
    print(json.dumps(answer, ensure_ascii=False, indent=2) if answer else "done")
    return 0


def _describe(order: Order) -> str:
    words = [order.name]
    if order.target != "none":
        words.append({"optional": "[TARGET]", "any": "GATEWAY|DEVICE"}.get(order.target, order.target.upper()))
    if order.value:
        optional = order.value.endswith("?")
        words.append(f"[{order.value[:-1].upper()}]" if optional else order.value.upper())
    return f"  {' '.join(words):<32} {order.help}"


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not a port; allowed: 1 to {PORT_MAX}")
    return number

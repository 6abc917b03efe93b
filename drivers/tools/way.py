"""Which way a command goes to the field: through the core, or on a line of its own; and what it warns of before.

Rule: one owner per line. A serial port that a core holds is never opened; a second client on a gateway is warned of.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from drivers.device import Gateway
from drivers.tools.session import OwnLine, Session, ThroughCore
from drivers.tools.target import Target
from drivers.tools.words import Words
from scada import console
from scada.errors import Refused, WattkeeperError

OF_THE_LINE: Final = ("baud", "format", "timeout")


def session_for(
    args: argparse.Namespace, target: Target, core_socket: Path, words: Words, force: bool = False
) -> Session:
    """Return the way to a target. Refused "target.owned" for a line of the core, "target.via" without a core.

    force: a switch is to be moved past the control desk.
    """
    framed = target.gateway.transport == "modbus-tcp"
    alive = console.answers(core_socket)
    if target.via and not alive:
        raise Refused("target.via", words("no core", socket=core_socket))
    if target.via or (target.configured and alive):
        of_the_core(args)
        return ThroughCore(core_socket, target.gateway.id, framed, target.configured, force)
    if alive:
        keep_off(target.gateway, lines_of(core_socket), words, force)
    patience_s = args.timeout or target.gateway.timeout_s
    return OwnLine(replace(target.gateway, timeout_s=patience_s))


def of_the_core(args: argparse.Namespace) -> None:
    """Refused "target.options" for a wish that the line of a core does not heed."""
    idle = [f"--{option}" for option in OF_THE_LINE if getattr(args, option)]
    if idle:
        told = "the core asks with what plant.toml says of its gateway"
        raise Refused("target.options", f"{told}: leave out {', '.join(idle)}")


def lines_of(core_socket: Path) -> Sequence[Mapping[str, Any]]:
    """Return the lines of the running core."""
    found: Sequence[Mapping[str, Any]] = console.perform(core_socket, "field.lines", {})["lines"]
    return found


def keep_off(gateway: Gateway, lines: Sequence[Mapping[str, Any]], words: Words, switches: bool = False) -> None:
    """Refuse a serial port that the core holds, warn of a gateway that it uses, and switch nothing there past it."""
    for line in lines:
        if gateway.transport == "serial" and line["transport"] == "serial" and _same(gateway.path, line["path"]):
            raise Refused("target.owned", f"the running core owns {gateway.path}; ask through it: --via {line['line']}")
        if line["transport"] != "serial" and (gateway.host, gateway.port) == (line["host"], line["port"]):
            if switches:  # the core knows which of its stations is configured, and its desk which may be moved
                raise Refused("target.owned", f"the running core uses this gateway; switch with --via {line['line']}")
            print(words("warn tcp", line=line["line"]), file=sys.stderr)


def _same(one: str, other: str) -> bool:
    """Tell whether two paths name one port; /dev/serial/by-id holds links."""
    try:
        return Path(one).resolve() == Path(other).resolve()
    except OSError:
        return one == other


def core_needed(core_socket: Path, words: Words) -> None:
    """WattkeeperError when no core runs."""
    if not console.answers(core_socket):
        raise WattkeeperError(words("no core", socket=core_socket))

"""Which way a command goes to the field: through the core, or on a line of its own; and what it warns of before.

Rule: one owner per line. A serial port that a core holds is never opened; a second client on a gateway is warned of.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers.device import Gateway
from drivers.tools.session import OwnLine, Session, ThroughCore
from drivers.tools.target import Target
from drivers.tools.words import Words
from scada import console
from scada.errors import Refused, WattkeeperError


def session_for(target: Target, core_socket: Path, words: Words, force: bool = False) -> Session:
    """Return the way to a target. Refused "target.owned" for a serial port of the core, "target.via" without a core."""
    framed = target.gateway.transport == "modbus-tcp"
    alive = console.answers(core_socket)
    if target.configured:
        return ThroughCore(core_socket, target.gateway.id, framed, True) if alive else OwnLine(target.gateway)
    if target.via:
        if not alive:
            raise Refused("target.via", words("no core", socket=core_socket))
        return ThroughCore(core_socket, target.via, framed, False, force)
    if alive:
        keep_off(target.gateway, lines_of(core_socket), words)
    return OwnLine(target.gateway)


def lines_of(core_socket: Path) -> Sequence[Mapping[str, Any]]:
    """Return the lines of the running core."""
    found: Sequence[Mapping[str, Any]] = console.perform(core_socket, "field.lines", {})["lines"]
    return found


def keep_off(gateway: Gateway, lines: Sequence[Mapping[str, Any]], words: Words) -> None:
    """Refuse a serial port that the core holds, warn of a gateway that it uses."""
    for line in lines:
        if gateway.transport == "serial" and line["transport"] == "serial" and _same(gateway.path, line["path"]):
            raise Refused("target.owned", f"the running core owns {gateway.path}; ask through it: --via {line['line']}")
        if line["transport"] != "serial" and (gateway.host, gateway.port) == (line["host"], line["port"]):
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

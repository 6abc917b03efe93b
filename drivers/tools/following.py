"""`meter frames`: what went over a line, out of the core's frame log, once or as it happens, and into a file.

Rule: the log is the core's, bounded there; secrets were masked before they were kept.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from drivers.asking import entry_from_json
from drivers.frame_log import Entry
from drivers.profile import Protocol
from drivers.tools import show
from drivers.tools.spoken import Ports, Site
from drivers.tools.way import core_needed
from drivers.tools.words import Words
from scada import console
from scada.errors import WattkeeperError

LOOK_S: Final = 0.3


def frames(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    """Print what is kept, then, with --follow, everything that comes until Ctrl-C."""
    core_socket = ports.core_socket(args)
    core_needed(core_socket, words)
    site = ports.site(args)
    name = args.words[0]
    whom = {"line": name} if name in {gateway.id for gateway in site.gateways} else {"device": name}
    count = 0
    with ExitStack() as stack:
        file = stack.enter_context(_appended(args.save)) if args.save else None
        try:
            count = _tell(args, core_socket, whom, site, words, file)
        except KeyboardInterrupt:
            print(file=sys.stderr)
    if args.save:
        print(words("saved", path=args.save, count=count), file=sys.stderr)
    return 0


def _appended(path: Path) -> IO[str]:
    """Open a file to append to. WattkeeperError when it cannot be."""
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise WattkeeperError(f"{path}: {error.strerror}") from error


def _tell(
    args: argparse.Namespace, core_socket: Path, whom: Mapping[str, str], site: Site, words: Words, file: IO[str] | None
) -> int:
    after, count, first = 0, 0, True
    while True:
        answer = console.perform(core_socket, "field.frames", {**whom, "after": after, "follow": args.follow})
        entries = [entry_from_json(entry) for entry in answer["entries"]]
        shown = entries[max(len(entries) - args.last, 0) :] if first else entries
        if first and not shown and not args.follow:
            print(words("frames none"), file=sys.stderr)
        for entry in shown:
            protocol = answer["protocol"] or protocol_of(entry, answer["framed"], site, answer["line"])
            _print(args, entry, protocol, answer["framed"], words, file)
        count += len(shown)
        after, first = answer["last"], False
        if not args.follow:
            return count
        time.sleep(LOOK_S)


def _print(
    args: argparse.Namespace, entry: Entry, protocol: Protocol, framed: bool, words: Words, file: IO[str] | None
) -> None:
    said: dict[str, Any] = {"number": entry.number, **show.entry_json(entry, protocol, framed)}
    line = json.dumps(said, ensure_ascii=False)
    if file is not None:
        print(line, file=file, flush=True)
    if args.json:
        print(line, flush=True)
        return
    when = datetime.fromtimestamp(entry.utc_ns / 1e9, UTC).astimezone()
    print(f"#{entry.number}  {when:%Y-%m-%d %H:%M:%S.%f}"[:-3])
    print("\n".join(show.entry_lines(entry, protocol, framed, words)), flush=True)


def protocol_of(entry: Entry, framed: bool, site: Site, line: str) -> Protocol:
    """Return what a frame of a whole line speaks: the protocol of its devices, told apart by the shape of the frame."""
    spoken: Sequence[Protocol] = [device.profile.protocol for device in site.devices if device.gateway == line]
    if framed or not spoken:
        return "modbus"
    start = entry.sent.lstrip(b"\xfe")
    if start[:1] == b"\x68" and len(start) > 7:
        shape: Sequence[Protocol] = ("dlt645-2007", "dlt645-1997") if start[7] == 0x68 else ("cjt188",)
        return next((protocol for protocol in shape if protocol in spoken), spoken[0])
    return "modbus" if "modbus" in spoken else spoken[0]

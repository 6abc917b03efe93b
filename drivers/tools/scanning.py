"""`bus scan`: every station of a line, by protocol and baud rate, with progress and an estimate.

Rule: reads only, one question after the other; Ctrl-C ends it and keeps what was found.
"""

import argparse
import csv
import io
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from drivers.adhoc import where
from drivers.device import Gateway, LineFormat
from drivers.profile import Profile
from drivers.tools import show
from drivers.tools.identify import device_of, models
from drivers.tools.probing import BARE, Found, Probe, forms, probes, put
from drivers.tools.session import OwnLine, Session, ThroughCore
from drivers.tools.spoken import BAUDS, LINE_HELP, PROTOCOLS, Ports
from drivers.tools.target import format_of, place_of, via_line
from drivers.tools.way import core_needed, keep_off, lines_of, of_the_core
from drivers.tools.words import Words
from scada import console
from scada.errors import Refused, WattkeeperError

UNIT_MAX: Final = 247
MODBUS_S: Final = 0.3  # a station on a bus answers within 100 ms; ten minutes for nothing is too long
EXIT_NONE: Final = 1
FITS: Final = 0.8  # share of a profile's registers that read well; zeros count half
# meters.csv columns that a scan can fill; the others are for the engineer
COLUMNS: Final = ("id", "name_zh", "name_en", "profile", "gateway", "unit", "address", "serial")


def scan(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    """Scan a line; return 1 when nobody was found."""
    gateway = line_to_scan(args, ports)
    steps = list(plan(args, gateway))
    core_socket = ports.core_socket(args)
    if args.csv:
        _is_new(args.csv)
    if args.via:
        of_the_core(args)
        core_needed(core_socket, words)
    elif console.answers(core_socket):
        keep_off(gateway, lines_of(core_socket), words)
    longest = _duration(sum(_patience_s(args, gateway, step) for step in steps))
    print(words("scan head", where=args.line or where(gateway), steps=len(steps), longest=longest), file=sys.stderr)
    found: dict[Any, Found] = {}
    broken = False
    try:
        _run(args, steps, found, lambda line: _session(args, line, core_socket))
        if args.models:
            _compare(args, found, gateway, ports.profiles(args), lambda line: _session(args, line, core_socket))
    except KeyboardInterrupt:
        print("\n" + words("scan stopped"), file=sys.stderr)
    except WattkeeperError as failure:
        if not found:
            raise
        broken = True
        print(words("scan broken", failure=failure), file=sys.stderr)
    stations = [one for one in found.values() if not one.crowd]
    _print(args, list(found.values()), stations, words)
    if args.csv:
        _write(args.csv, rows(stations, args.gateway or args.via))
    return 0 if stations and not broken else EXIT_NONE


def _is_new(path: Path) -> None:
    """Refused "scan.csv" for a file that is there, which may hold an hour of somebody's work, or cannot be made."""
    if path.exists():
        raise Refused("scan.csv", f"{path} is there already; name another file")
    if not os.access(path.parent, os.W_OK):
        raise Refused("scan.csv", f"{path} cannot be written: no such folder, or no right to write there")


def _write(path: Path, text: str) -> None:
    """Write rows with the mark without which a spreadsheet on Windows takes Chinese for something else."""
    try:
        path.write_text(text, encoding="utf-8-sig")
    except OSError as error:
        raise WattkeeperError(f"{path}: {error.strerror}") from error


def _session(args: argparse.Namespace, line: Gateway, core_socket: Path) -> Session:
    if args.via:
        return ThroughCore(core_socket, args.via, line.transport == "modbus-tcp", False)
    return OwnLine(line)


def line_to_scan(args: argparse.Namespace, ports: Ports) -> Gateway:
    """Return the line of --line or --via. Refused "target.line" unless it is exactly one of them."""
    if bool(args.line) == bool(args.via):
        raise Refused("target.line", f"name one line: --line {LINE_HELP}, or --via GATEWAY of the running core")
    if args.via:
        return via_line(args, ports)
    transport, host, port, path = place_of(args.line)
    return Gateway("ad-hoc", host, port, transport=transport, path=path)


def plan(args: argparse.Namespace, gateway: Gateway) -> Iterator[Probe]:
    """Yield every question of a scan, format by format. Refused "target.*" and "scan.*" for impossible wishes."""
    transport = gateway.transport
    usual = ("modbus-tcp",) if transport == "modbus-tcp" else BARE
    bauds = numbers(args.baud, BAUDS) if args.baud else ()
    units = ranges(args.units)
    addresses = [word for word in re.split(r"[,\s]+", args.addresses) if word and set(word.upper()) != {"A"}]
    for spoken in args.protocol or usual:
        if (transport == "modbus-tcp") != (spoken == "modbus-tcp"):
            raise Refused("target.protocol", f"{spoken} is not spoken on a {transport} line")
        for line in [gateway] if args.via else forms(gateway, spoken, bauds, args.format):
            yield from probes(spoken, line, units, _of_length(addresses, spoken), args.wake)


def _of_length(addresses: Sequence[str], spoken: str) -> list[str]:
    """Return the addresses that a protocol can have: up to 12 digits for DL/T 645, up to 14 for CJ/T 188."""
    return [address for address in addresses if len(address) <= (14 if spoken == "cjt188" else 12)]


def ranges(text: str) -> list[int]:
    """Return the stations of a list like 1-32,40. Refused "scan.units"."""
    found: list[int] = []
    for part in text.split(","):
        span = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        low, high = (int(span[1]), int(span[2] or span[1])) if span else (0, 0)
        if not 1 <= low <= high <= UNIT_MAX:
            raise Refused("scan.units", f"{part!r} is no range of stations; write 1-247 or 1-32,40")
        found += range(low, high + 1)
    return sorted(set(found))


def numbers(text: str, allowed: Sequence[int]) -> list[int]:
    """Return the numbers of a list. Refused "scan.baud" for one that is not allowed."""
    found = []
    for part in text.split(","):
        if not part.strip().isdecimal() or int(part) not in allowed:
            raise Refused("scan.baud", f"{part.strip()!r} is no baud rate; one of {', '.join(map(str, allowed))}")
        found.append(int(part))
    return found


def _patience_s(args: argparse.Namespace, gateway: Gateway, probe: Probe) -> float:
    if args.via:  # the core asks with its own
        return gateway.timeout_s
    usual = MODBUS_S if PROTOCOLS[probe.spoken][0] == "modbus" else PROTOCOLS[probe.spoken][2]
    return float(args.timeout or usual)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _run(
    args: argparse.Namespace, steps: Sequence[Probe], found: dict[Any, Found], open_line: Callable[[Gateway], Session]
) -> None:
    """Ask every question; what answers is put into `found` at once, so that an end in between loses nothing."""
    from tqdm import tqdm

    bar = tqdm(total=len(steps), unit="step", file=sys.stderr, disable=None if not args.json else True, leave=False)
    with bar:
        for line, group in itertools.groupby(steps, lambda step: step.gateway):
            session = open_line(line)
            try:
                for step in group:
                    bar.set_description(f"{step.spoken} {step.form}".strip())
                    one, _ = put(session, step, _patience_s(args, step.gateway, step))
                    if one is not None:
                        keep(found, one)
                    bar.update()
            finally:
                session.close()


def _compare(
    args: argparse.Namespace, found: dict[Any, Found], gateway: Gateway, profiles: Mapping[str, Profile],
    open_line: Callable[[Gateway], Session],
) -> None:  # fmt: skip
    """Read every station as each profile of its protocol would, and note the one that fits."""
    for key, one in list(found.items()):
        if one.crowd:
            continue
        line = gateway
        if one.form:
            baud, form = one.form.split()
            line = replace(gateway, line=format_of(form, LineFormat(int(baud))))
        session = open_line(line)
        try:
            likely = models(session, device_of(one, args.wake), one, profiles, quiet=args.json)
        finally:
            session.close()
        if likely and likely[0][1] >= FITS:
            found[key] = replace(one, profile=likely[0][0])


def keep(found: dict[Any, Found], one: Found) -> None:
    """Note a station once, with the other protocols it answers; by one in which it does not refuse, if there is one."""
    known = found.setdefault(one.key, one)
    if known.refused and not one.refused:
        found[one.key] = one
    elif known.spoken != one.spoken and not one.crowd and not one.refused:
        found[one.key] = replace(known, remark=f"{known.remark} + {one.spoken}".strip())


def _print(args: argparse.Namespace, found: Sequence[Found], stations: Sequence[Found], words: Words) -> None:
    if args.json:
        said = [
            {
                "protocol": one.spoken, "form": one.form, "unit": one.unit, "address": one.address,
                "meter_type": one.meter_type, "di_low_first": one.di_low_first, "elapsed_ms": one.elapsed_ms,
                "remark": one.remark, "crowd": one.crowd, "profile": one.profile,
            }
            for one in found
        ]  # fmt: skip
        print(
            json.dumps(
                {"line": args.line or args.via, "found": said, "csv": rows(stations, args.gateway or args.via)},
                ensure_ascii=False,
            )
        )
        return
    head = [words("protocol"), words("line"), words("station"), words("ms"), words("remark")]
    lines = [[one.spoken, one.form, station_text(one), f"{one.elapsed_ms:.0f}", remark_text(one)] for one in stations]
    if stations:
        print("\n".join(show.table([head, *lines], right=(3,))))
    for one in found:
        if one.crowd:
            print(words("scan noise", form=f"{one.spoken} {one.form}"), file=sys.stderr)
    print(words("scan found", count=len(stations)))
    if stations:
        print(f"{words('csv')}\n{rows(stations, args.gateway or args.via)}", end="")


def station_text(found: Found) -> str:
    """Return unit or address as printed."""
    return found.address or str(found.unit)


def remark_text(found: Found) -> str:
    """Return what is worth knowing about an answer."""
    parts = [found.profile, found.remark]
    if found.meter_type:
        parts.append(f"T={found.meter_type:02X}")
        parts.append("DI 1F 90" if found.di_low_first else "DI 90 1F")
    return " ".join(part for part in parts if part)


def rows(stations: Sequence[Found], gateway: str) -> str:
    """Return rows of meters.csv for what was found: the profile where one fits, the rest is for the engineer."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, one in enumerate(stations, start=1):
        name = f"m-{one.address.lstrip('0') or one.unit}".lower() if one.address else f"m-{gateway or 'x'}-{one.unit}"
        unit = one.unit or ""
        writer.writerow(
            [name, f"新表{number}", f"New meter {number}", one.profile, gateway, unit, one.address, one.address]
        )
    return text.getvalue()

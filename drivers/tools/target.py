"""Whom a command line means: a configured meter by its id, or any station on any line, described by options.

Rule: words in, a device on a gateway out; every refusal says which word was wrong and what would be right.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast, get_args

from drivers import cjt188, dlt645_frame
from drivers.device import Device, Gateway, LineFormat, Parity, Secret, Transport
from drivers.profile import WORDS, DataItem, Profile, Protocol, Register, RegisterType, WordOrder
from drivers.tools.spoken import LINE_HELP, PROTOCOLS, Ports, Site, Spoken
from scada.errors import Refused

USUAL_DI: Final[Mapping[Protocol, int]] = {"dlt645-2007": 0x0001_0000, "dlt645-1997": 0x9010, "cjt188": 0x901F}
ANY_LENGTH: Final = -1  # as many data as come, in DL/T 645 and CJ/T 188
# Options that say of a station what a configuration says of its meters, with what they are when nobody gives them
FROM_CONFIGURATION: Final[tuple[tuple[str, Any], ...]] = (
    ("protocol", None), ("address", ""), ("unit", 1), ("profile", ""), ("baud", None), ("format", ""), ("type", 0x10),
    ("di_low_first", False), ("wake", 4), ("ct", 1), ("pt", 1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One device on its line."""

    device: Device
    gateway: Gateway
    configured: bool
    zh: str
    en: str
    via: str = ""  # ad hoc, through this line of the core
    protected: bool = False  # its supply is never switched off from afar

    @property
    def spoken(self) -> str:
        """Return the word of --protocol."""
        protocol = self.device.profile.protocol
        if protocol != "modbus":
            return protocol
        return "modbus-tcp" if self.gateway.transport == "modbus-tcp" else "modbus-rtu"


def target_of(args: argparse.Namespace, ports: Ports) -> tuple[Target, list[str]]:
    """Return whom the words mean, and the words that are left: names of registers. Refused "target.*"."""
    words = list(args.words)
    if args.line or args.via:
        return adhoc_target(args, ports), words
    if not words:
        raise Refused("target.missing", f"name a configured meter, or describe one: --line {LINE_HELP}")
    target = configured_target(args, words[0], ports.site(args))
    device = replace(target.device, profile=as_asked(target.device.profile, args))
    return replace(target, device=device), words[1:]


def as_asked(profile: Profile, args: argparse.Namespace) -> Profile:
    """Return a profile that reads what --register or --di name instead of its own, and is else the same."""
    if not args.register and not args.di:
        return profile
    bare = bare_profile(profile.protocol, args)
    return replace(
        profile, registers=bare.registers, data=bare.data, billing=None, identity="", clock="",
        max_registers=bare.max_registers, merge_gap=bare.merge_gap,
    )  # fmt: skip


def configured_target(args: argparse.Namespace, name: str, site: Site) -> Target:
    """Return a meter of the configuration. Refused "target.unknown" names the nearest ones, "target.options" the rest.

    What its configuration says holds; an option that says something else would be ignored.
    """
    idle = [f"--{option.replace('_', '-')}" for option, usual in FROM_CONFIGURATION if getattr(args, option) != usual]
    if idle:
        raise Refused("target.options", f"{name} is configured: leave out {', '.join(idle)}, or describe it by --line")
    device = next((device for device in site.devices if device.id == name), None)
    if device is None:
        import difflib

        near = difflib.get_close_matches(name, [device.id for device in site.devices], n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "meters.csv names the meters there are"
        raise Refused("target.unknown", f"there is no meter {name!r}; {hint}")
    gateway = next(gateway for gateway in site.gateways if gateway.id == device.gateway)
    names = site.names.get(device.id, (device.id, device.id))
    return Target(device, gateway, True, *names, protected=device.id in site.protected)


def adhoc_target(args: argparse.Namespace, ports: Ports) -> Target:
    """Return the station that the options describe."""
    profile = _profile(args, ports)
    through = via_line(args, ports) if args.via else None
    framed = (through.transport if through else place_of(args.line)[0]) == "modbus-tcp"
    spoken = _spoken(args, profile, framed)
    gateway = through or line_of(args, spoken)
    _match(spoken, gateway)
    protocol = PROTOCOLS[spoken][0]
    if profile is None:
        profile = bare_profile(protocol, args)
    elif profile.protocol != protocol:
        raise Refused("target.profile", f"profile {profile.id} speaks {profile.protocol}, not {spoken}")
    else:
        profile = as_asked(profile, args)
    unit, address = _station(protocol, args)
    label = address or f"unit {unit}"
    device = Device(label, gateway.id, unit, profile, args.ct, args.pt, {}, address=address)
    return Target(device, gateway, False, label, label, args.via or "")


def _profile(args: argparse.Namespace, ports: Ports) -> Profile | None:
    if not args.profile:
        return None
    known = ports.profiles(args)
    if args.profile not in known:
        raise Refused("target.profile", f"there is no profile {args.profile!r}; known: {', '.join(sorted(known))}")
    return known[args.profile]


def _spoken(args: argparse.Namespace, profile: Profile | None, framed: bool) -> Spoken:
    if args.protocol:
        return str(args.protocol)
    if profile is not None and profile.protocol != "modbus":
        return profile.protocol
    if framed or profile is not None:
        return "modbus-tcp" if framed else "modbus-rtu"
    raise Refused("target.protocol", f"say --protocol, one of {', '.join(PROTOCOLS)}")


def _match(spoken: Spoken, gateway: Gateway) -> None:
    framed = gateway.transport == "modbus-tcp"
    if framed != (spoken == "modbus-tcp"):
        wanted = "modbus-tcp:HOST:PORT" if spoken == "modbus-tcp" else "tcp:HOST:PORT or serial:PATH"
        raise Refused("target.protocol", f"{spoken} is not spoken on a {gateway.transport} line; it wants {wanted}")


def _station(protocol: Protocol, args: argparse.Namespace) -> tuple[int, str]:
    """Return unit and address. Refused "target.address" when they are not what the protocol has."""
    if protocol == "modbus":
        if args.address:
            raise Refused("target.address", "Modbus stations have a --unit, 1 to 247, and no --address")
        return args.unit, ""
    if not args.address:
        wild = "AAAAAAAAAAAA" if protocol.startswith("dlt") else "AAAAAAAAAAAAAA"
        raise Refused("target.address", f"say --address; {wild} asks whoever is alone on the line")
    try:
        if protocol == "cjt188":
            cjt188.address_bytes(args.address)
        else:
            dlt645_frame.address_bytes(args.address)
    except ValueError as error:
        raise Refused("target.address", str(error)) from error
    return 0, str(args.address).upper()


def line_of(args: argparse.Namespace, spoken: Spoken) -> Gateway:
    """Return the line that --line, --baud, --format and --timeout describe. Refused "target.line"."""
    _, usual, patience_s = PROTOCOLS[spoken]
    transport, host, port, path = place_of(args.line)
    form = format_of(args.format, usual) if args.format else usual
    if args.baud:
        form = replace(form, baud=args.baud)
    return Gateway(
        "ad-hoc", host, port, timeout_s=args.timeout or patience_s, transport=transport, line=form, path=path
    )


def place_of(text: str) -> tuple[Transport, str, int, str]:
    """Return transport, host, port and path of a --line."""
    transport, _, rest = text.partition(":")
    if transport == "serial" and rest:
        return "serial", "", 0, rest
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:]+)\]|([^:\s]+)):(\d{1,5})", rest)
    if transport not in ("modbus-tcp", "tcp") or not found or not 1 <= int(found[3]) <= 65535:
        raise Refused("target.line", f"{text!r} is no line; write {LINE_HELP}")
    return cast(Transport, transport), found[1] or found[2], int(found[3]), ""


def format_of(text: str, usual: LineFormat) -> LineFormat:
    """Return a line format written like 8E1. Refused "target.format"."""
    found = re.fullmatch(r"8([NEO])([12])", text.upper())
    if not found:
        raise Refused("target.format", f"{text!r} is no format; write 8E1, 8N1, 8N2, 8O1: data bits, parity, stop bits")
    return replace(usual, parity=cast(Parity, found[1]), stop_bits=int(found[2]))


def via_line(args: argparse.Namespace, ports: Ports) -> Gateway:
    """Return a configured line that the running core is to ask. Refused "target.via"."""
    gateways = {gateway.id: gateway for gateway in ports.site(args).gateways}
    if args.via not in gateways:
        raise Refused("target.via", f"there is no gateway {args.via!r}; known: {', '.join(sorted(gateways)[:20])}")
    return gateways[args.via]


# --- what is read without a profile -----------------------------------------------------------------------------------


def bare_profile(protocol: Protocol, args: argparse.Namespace) -> Profile:
    """Return a profile of what --register or --di names, or of what every meter of the protocol has."""
    if protocol == "modbus":
        if args.di:
            raise Refused("target.di", "Modbus has no data identifiers; say --register FUNCTION:ADDRESS:COUNT[:TYPE]")
        registers = tuple(register_of(text) for text in args.register or ())
        return Profile("ad-hoc", "", "", "", registers, None, None)
    if args.register:
        raise Refused("target.register", "this protocol has no registers; say --di, for example --di 00010000")
    items = [di_of(text, protocol) for text in args.di] if args.di else [USUAL_DI[protocol]]
    return Profile(
        "ad-hoc", "", "", "", tuple(_registers_of(protocol, di) for di in items), None, None, protocol=protocol,
        data=tuple(DataItem(di, ANY_LENGTH) for di in items), any_type=True,
        meter_type=args.type, di_low_first=args.di_low_first, wake_bytes=args.wake,
    )  # fmt: skip


def _registers_of(protocol: Protocol, di: int) -> Register:
    digits = 8 if protocol == "dlt645-2007" else 4
    name = f"Di{di:0{digits}X}"
    return Register(name, 0, 0, "bcd", Fraction(1), "", f"标识 {di:0{digits}X}", f"identifier {di:0{digits}X}", di=di)


def di_of(text: str, protocol: Protocol) -> int:
    """Return a data identifier written in hexadecimal. Refused "target.di"."""
    digits = 8 if protocol == "dlt645-2007" else 4
    if not re.fullmatch(rf"[0-9A-Fa-f]{{{digits}}}", text):
        raise Refused("target.di", f"{text!r} is no identifier of {protocol}: {digits} hexadecimal digits, as printed")
    return int(text, 16)


def register_of(text: str) -> Register:
    """Return FUNCTION:ADDRESS:COUNT[:TYPE[:SCALE[:ORDER]]]. Refused "target.register"."""
    parts = text.split(":")
    try:
        function, address, count = (int(part, 0) for part in parts[:3])
        kind, scale, order = (*parts[3:], "", "", "")[:3]
        register = _register(function, address, count, kind or _widest(function, count), scale or "1", order or "ABCD")
    except (ValueError, ZeroDivisionError) as error:
        raise Refused(
            "target.register",
            f"{text!r} ({error}); write FUNCTION:ADDRESS:COUNT[:TYPE[:SCALE[:ORDER]]], as 3:0x000A:2:u32:0.01; types "
            f"{', '.join(t for t in get_args(RegisterType) if WORDS[t])}; orders {', '.join(get_args(WordOrder))}",
        ) from None
    return register


def _widest(function: int, count: int) -> str:
    """Return the plain type that a count of registers is shown as when none is named."""
    return "bit" if function in (1, 2) else {1: "u16", 2: "u32", 4: "u64"}.get(count, "raw")


def _register(function: int, address: int, count: int, kind: str, scale: str, order: str) -> Register:
    if function not in (1, 2, 3, 4) or not 0 <= address <= 0xFFFF or not 1 <= count <= 125:
        raise ValueError("function 1 to 4, address 0 to 0xFFFF, count 1 to 125")
    if order not in get_args(WordOrder):
        raise ValueError(f"order {order!r}")
    name = f"R{function}_{address:04X}"
    size = 0
    if kind == "raw":
        kind, size = "bcd", 2 * count
    elif not WORDS.get(kind):  # type: ignore[call-overload]
        raise ValueError(f"type {kind!r}")
    elif WORDS[kind] != count:  # type: ignore[index]
        raise ValueError(f"{kind} covers {WORDS[kind]} registers, not {count}")  # type: ignore[index]
    named = (f"功能{function} 地址 0x{address:04X}", f"function {function} address 0x{address:04X}")
    return Register(
        name, function, address, cast(RegisterType, kind), Fraction(scale), "", *named,
        order=cast(WordOrder, order), size=size,
    )  # fmt: skip


def _to_ask(args: argparse.Namespace, usual: Secret) -> bool:
    """Tell whether a person sits there who can type the password of a meter that no configuration knows."""
    return usual == Secret() and not args.yes and args.protocol == "dlt645-2007" and sys.stdin.isatty()


def _word_in(file: Path) -> str:
    """Return the one word of a file. Refused "target.password", which shows nothing of it, when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Refused("target.password", f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise Refused("target.password", f"{file} is no text") from None


def _typed(ask: Callable[[], str]) -> str:
    try:
        return ask().strip()
    except EOFError:
        raise Refused("target.password", "nobody typed a password; --password-file names a file with it") from None


def secret_of(args: argparse.Namespace, ask: Callable[[], str], usual: Secret) -> Secret:
    """Return what the meter wants to hear: of --password-file, typed in, or the configured one."""
    given: Any = args.password_file
    if given is None and not (args.ask_password or _to_ask(args, usual)):
        return usual
    text = _word_in(given) if given is not None else _typed(ask)
    if not text and given is None:
        return usual
    if not re.fullmatch(r"\d{6}", text, re.ASCII):
        raise Refused("target.password", "the password of a meter has six digits")
    return replace(usual, password=text)

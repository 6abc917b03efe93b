"""`meter identify`: which protocol a station speaks, its number, and the profiles that fit what it answers.

Rule: reads only. A number that differs from the configured one is told loudly: its charges would go to somebody else.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, TextIO

from drivers.adhoc import where
from drivers.asking import Ask, StationSpec
from drivers.device import Device, Gateway
from drivers.frame_log import Entry
from drivers.identity import may_end, same_number
from drivers.modbus_identity import OBJECT_NAMES, objects, objects_bytes
from drivers.outcome import Reply
from drivers.pollplan import plan_blocks
from drivers.profile import Profile
from drivers.tools import show
from drivers.tools.probing import ANY_CJT188, ANY_DLT645, BARE, Found, Probe, address_in, forms, put
from drivers.tools.reading import values
from drivers.tools.session import OwnLine, Session
from drivers.tools.spoken import PROTOCOLS, Ports
from drivers.tools.target import Target, configured_target, place_of, via_line
from drivers.tools.way import keep_off, lines_of, session_for
from drivers.tools.words import Words
from scada import console
from scada.errors import Refused
from scada.quality import GOOD

NUMBER_DI: Final = {"dlt645-2007": 0x0400_0402, "dlt645-1997": 0xC032}
BLOCKS_TRIED: Final = 4  # of a profile: enough to tell it from others, quick enough at 2400 baud
MODELS_SHOWN: Final = 5
ZERO_COUNTS: Final = 0.5  # a register that reads 0 may be right, or be nothing at all


@dataclass(slots=True)
class Identity:
    """What was found out about one station."""

    found: Found
    serial: str = ""
    names: dict[str, str] = field(default_factory=dict)  # what the device says about itself
    models: list[tuple[str, float]] = field(default_factory=list)  # profile, share of its registers that are plausible
    entries: list[Entry] = field(default_factory=list)


def identify(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    """Say who is there; return 1 when nobody answers, or when a number is not the configured one."""
    if not args.words and not args.line and not args.via:
        raise Refused("target.missing", "name a configured meter, or a line to look on: --line, --via")
    if len(args.words) > 1 or (args.words and (args.line or args.via)):
        raise Refused("target.names", f"identify wants one meter, or one line: {' '.join(args.words)}")
    if args.words:
        return _configured(args, ports, words)
    tried: list[str] = []
    refused: tuple[Found, list[Entry], Session] | None = None  # it answers; perhaps it speaks another edition better
    for probe, session in _tries(args, ports, words):
        form = f"{probe.spoken} {probe.form}".strip()
        tried.append(form)
        if not args.json:
            print(words("tries", protocol=probe.spoken, form=probe.form), file=sys.stderr)
        found, entries = put(session, probe, args.timeout or 0.0)
        if found is None or found.crowd:
            if found is not None and not args.json:
                print(words("crowd"), file=sys.stderr)
        elif found.refused:
            refused = refused or (found, entries, session)
        else:
            return _told(args, ports, words, found, entries, session)
    if refused:
        return _told(args, ports, words, *refused)
    print(words("nobody", tried=", ".join(dict.fromkeys(tried))), file=sys.stderr)
    return 1


def _told(
    args: argparse.Namespace, ports: Ports, words: Words, found: Found, entries: list[Entry], session: Session
) -> int:
    """Say who a station is that answered."""
    identity = Identity(found, entries=entries)
    device = device_of(found, args.wake)
    try:
        _name(session, device, identity)
        identity.models = models(session, device, found, ports.profiles(args), quiet=args.json)
    finally:
        session.close()
    _print(args, identity, session, words)
    return 0


def _tries(args: argparse.Namespace, ports: Ports, words: Words) -> Iterator[tuple[Probe, Session]]:
    """Yield the questions of the detection, each with the way it goes. Every line is closed behind its questions."""
    gateway = via_line(args, ports) if args.via else _place(args)
    framed = gateway.transport == "modbus-tcp"
    core_socket = ports.core_socket(args)
    if not args.via and console.answers(core_socket):
        keep_off(gateway, lines_of(core_socket), words)
    for spoken in (args.protocol,) if args.protocol else ("modbus-tcp",) if framed else BARE:
        bauds = (args.baud,) if args.baud else ()
        lines = (
            [gateway]
            if args.via
            else list(forms(replace(gateway, timeout_s=PROTOCOLS[spoken][2]), spoken, bauds, args.format))
        )
        for line in lines:
            session: Session = session_for(args, _target(line, args), core_socket, words) if args.via else OwnLine(line)
            try:
                for device, ask in _questions(spoken, args):
                    yield Probe(spoken, line, device, ask), session
            finally:
                session.close()


def _place(args: argparse.Namespace) -> Gateway:
    transport, host, port, path = place_of(args.line)
    return Gateway("ad-hoc", host, port, transport=transport, path=path, timeout_s=args.timeout or 1.0)


def _target(gateway: Gateway, args: argparse.Namespace) -> Target:
    return Target(StationSpec("modbus").device(), gateway, False, "", "", args.via)


def _questions(spoken: str, args: argparse.Namespace) -> Iterator[tuple[Device, Ask]]:
    protocol = PROTOCOLS[spoken][0]
    spec = StationSpec(protocol, args.unit, args.address, args.wake)
    if protocol == "modbus":
        yield spec.device(), Ask("name")
        yield spec.device(), Ask("read", 3, 0, 1)
        yield spec.device(), Ask("read", 4, 0, 1)
    elif protocol == "cjt188":
        for low_first in (False, True):
            address = args.address or ANY_CJT188
            yield replace(spec, address=address, meter_type=0xAA, di_low_first=low_first).device(), Ask("address")
    else:
        if protocol == "dlt645-2007" and not args.address:
            yield replace(spec, address=ANY_DLT645).device(), Ask("address")
        di = 0x0001_0000 if protocol == "dlt645-2007" else 0x9010
        yield replace(spec, address=args.address or ANY_DLT645).device(), Ask("read", 0, di, -1)


def device_of(found: Found, wake: int) -> Device:
    """Return the station that was found as a device; wake: FE bytes before a request."""
    protocol = PROTOCOLS[found.spoken][0]
    return StationSpec(protocol, found.unit, found.address, wake, found.di_low_first, found.meter_type or 0x10).device()


def _name(session: Session, device: Device, identity: Identity) -> None:
    """Ask for the number on the nameplate, or for what a Modbus device says about itself."""
    protocol = device.profile.protocol
    if protocol == "modbus":
        outcome, entries = session.ask(device, Ask("name"))
        identity.entries += entries
        if isinstance(outcome, Reply):
            data = objects_bytes(outcome.payload) if session.framed else outcome.payload
            identity.names = {
                OBJECT_NAMES[n][1]: text.decode("ascii", "replace")
                for n, text in objects(data).items()
                if n in OBJECT_NAMES
            }
        return
    di = NUMBER_DI.get(protocol)
    if di is None:
        return
    outcome, entries = session.ask(device, Ask("read", 0, di, -1))
    identity.entries += entries
    if isinstance(outcome, Reply):
        identity.serial = outcome.payload[::-1].hex()


def models(
    session: Session, device: Device, found: Found, profiles: Mapping[str, Profile], quiet: bool
) -> list[tuple[str, float]]:
    """Read what each profile of the protocol would read; return the best ones with the share that is plausible."""
    from tqdm import tqdm

    protocol = device.profile.protocol
    possible = [one for one in profiles.values() if one.protocol == protocol and not _other_type(one, found)]
    scores: list[tuple[str, float]] = []
    bar = tqdm(possible, unit="profile", desc=found.address or str(found.unit), file=sys.stderr, leave=False,
               disable=True if quiet else None)  # fmt: skip
    for profile in bar:
        likely = replace(device, profile=replace(profile, wake_bytes=device.profile.wake_bytes, any_type=True))
        score = _score(session, likely)
        if score > 0:
            scores.append((profile.id, score))
    scores.sort(key=lambda pair: (-pair[1], pair[0]))
    return scores[:MODELS_SHOWN]


def _other_type(profile: Profile, found: Found) -> bool:
    """Tell whether a CJ/T 188 profile is for another kind of meter: water, heat, gas."""
    return found.spoken == "cjt188" and profile.meter_type >> 4 != found.meter_type >> 4


def _score(session: Session, device: Device) -> float:
    """Return the share of a profile's first registers that read well; 0 when it does not answer as the profile says."""
    good, total = 0.0, 0
    for block in plan_blocks(device.profile)[:BLOCKS_TRIED]:
        total += len(block.registers)
        outcome, _ = session.ask(device, Ask("read", block.function, block.address, block.count))
        if isinstance(outcome, Reply):
            found = values(device, block, outcome.payload)
            good += sum((value.quality == GOOD) * (1.0 if value.number else ZERO_COUNTS) for value in found)
    return good / total if total else 0.0


def _configured(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    """Compare what a configured meter says with what the configuration says about it."""
    target = configured_target(args, args.words[0], ports.site(args))
    session = session_for(args, target, ports.core_socket(args), words)
    device = target.device
    try:
        found = Found(target.spoken, "", device.unit, device.address)
        identity = Identity(found)
        answered = _read_back(session, device, identity)
        _name(session, device, identity)
    finally:
        session.close()
    if not answered:
        print(words("nobody", tried=f"{target.spoken} {where(target.gateway)}"), file=sys.stderr)
        return 1
    _print(args, identity, session, words)
    return _compare(device, identity, words, sys.stderr if args.json else sys.stdout)


def _read_back(session: Session, device: Device, identity: Identity) -> bool:
    """Read the first block of the profile; tell whether the station answers, and note the address in its frame."""
    block = plan_blocks(device.profile)[0]
    outcome, entries = session.ask(device, Ask("read", block.function, block.address, block.count))
    identity.entries += entries
    measure = device.profile.identity
    if device.profile.protocol.startswith("dlt645") and entries:
        identity.found = replace(identity.found, address=address_in(entries[-1].received) or identity.found.address)
    for block in plan_blocks(device.profile):
        if measure and any(device.profile.registers[index].measure == measure for index in block.registers):
            said, entries = session.ask(device, Ask("read", block.function, block.address, block.count))
            identity.entries += entries
            if isinstance(said, Reply):
                number = next(v for v in values(device, block, said.payload) if v.measure == measure)
                identity.serial = number.text
    return isinstance(outcome, Reply)


def _compare(device: Device, identity: Identity, words: Words, out: TextIO) -> int:
    """Print whether the numbers are the configured ones; return 1 when one is not."""
    wrong = 0
    if not identity.serial and not identity.found.address:
        print(words("nameplate", serial=device.serial), file=out)
    told = (words("serial is", serial=identity.serial), words("address is", address=identity.found.address))
    pairs = ((identity.serial, device.serial), (identity.found.address, device.address))
    for name, (said, configured) in zip(told, pairs, strict=True):
        if not said or not configured:
            continue
        same = same_number(said, configured, bool(device.profile.identity) and may_end(device))
        wrong += not same
        text = words("as configured") if same else words("differs", configured=configured)
        print(f"{name}: {text}", file=out if same else sys.stderr)
    return 1 if wrong else 0


def _print(args: argparse.Namespace, identity: Identity, session: Session, words: Words) -> None:
    found, protocol = identity.found, PROTOCOLS[identity.found.spoken][0]
    frames = args.frames if args.frames is not None else not args.words
    if args.json:
        said: dict[str, Any] = {**asdict(found), "serial": identity.serial, "names": identity.names}
        said["models"] = [{"profile": name, "score": round(score, 2)} for name, score in identity.models]
        said["frames"] = [show.entry_json(e, protocol, session.framed) for e in identity.entries] if frames else []
        print(json.dumps(said, ensure_ascii=False))
        return
    if frames:
        for entry in identity.entries:
            print("\n".join(show.entry_lines(entry, protocol, session.framed, words)))
    print(words("speaks", protocol=found.spoken, form=found.form or session.told(words)))
    print("\n".join(_facts(identity, words)))


def _facts(identity: Identity, words: Words) -> Sequence[str]:
    found = identity.found
    facts = [words("address is", address=found.address)] if found.address else [f"{words('station')} {found.unit}"]
    if identity.serial:
        facts.append(words("serial is", serial=identity.serial))
    if identity.names:
        facts.append(words("maker says", said=", ".join(f"{k} {v}" for k, v in identity.names.items())))
    if identity.models:
        facts.append(words("models"))
        facts += [f"  {score:4.0%}  {name}" for name, score in identity.models]
    return facts

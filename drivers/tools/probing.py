"""Questions that find out who is on a line: by protocol, baud rate, station or wildcard, and what an answer proves.

Rule: reads only. A wildcard is sent where at most one meter answers whole; several at once are told as a crowd.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from drivers import cjt188, dlt645_frame
from drivers.adhoc import where
from drivers.asking import Ask, StationSpec
from drivers.device import Device, Gateway, LineFormat
from drivers.frame_log import Entry
from drivers.outcome import ExceptionReply, Outcome, Reply, Violation
from drivers.tools.session import Session
from drivers.tools.spoken import PROTOCOLS, Spoken
from drivers.tools.target import format_of

ANY_DLT645: Final = "A" * 12
ANY_CJT188: Final = "A" * 14
ANY_TYPE: Final = 0xAA
CROWD: Final = "crowd"  # what dlt645_frame calls several answers at once
GATEWAY_EXCEPTIONS: Final = frozenset({0x0A, 0x0B})  # the gateway speaks, and says that nobody does
# Baud rates that are tried on a serial line, the likeliest first.
USUAL_BAUDS: Final[dict[Spoken, tuple[int, ...]]] = {
    "dlt645-2007": (2400, 9600, 1200, 4800),
    "dlt645-1997": (1200, 2400, 9600, 4800),
    "cjt188": (2400, 9600, 1200, 4800),
    "modbus-rtu": (9600, 4800, 19200, 2400),
    "modbus-tcp": (9600,),
}
BARE: Final = ("dlt645-2007", "dlt645-1997", "cjt188", "modbus-rtu")  # in the order of detection


@dataclass(frozen=True, slots=True)
class Probe:
    """One question on a line of one format."""

    spoken: Spoken
    gateway: Gateway
    device: Device
    ask: Ask

    @property
    def form(self) -> str:
        """Return the line format, "" where the other side of a gateway has it and we do not know it."""
        line = self.gateway.line
        return f"{line.baud} 8{line.parity}{line.stop_bits}" if self.gateway.transport == "serial" else ""


@dataclass(frozen=True, slots=True)
class Found:
    """A station that answered, or the trace of several that answered together."""

    spoken: Spoken
    form: str
    unit: int = 0
    address: str = ""
    meter_type: int = 0
    di_low_first: bool = False
    elapsed_ms: float = 0.0
    remark: str = ""
    crowd: bool = False
    profile: str = ""  # the model that fits, when it was looked for
    refused: bool = False  # it answers, and does not know the question: perhaps it speaks the other edition

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Return what makes it one station: many meters answer both editions of DL/T 645."""
        return self.spoken.partition("-")[0], self.form, self.unit, self.address


def forms(gateway: Gateway, spoken: Spoken, bauds: Sequence[int], form: str) -> Iterator[Gateway]:
    """Yield the line in every format to be tried; only on a serial port can we choose one."""
    usual = PROTOCOLS[spoken][1]
    line: LineFormat = format_of(form, usual) if form else usual
    if gateway.transport != "serial":
        yield replace(gateway, line=line)
        return
    for baud in bauds or USUAL_BAUDS[spoken]:
        yield replace(gateway, line=replace(line, baud=baud))


def probes(
    spoken: Spoken, gateway: Gateway, units: Sequence[int], addresses: Sequence[str], wake: int
) -> Iterator[Probe]:
    """Yield the questions of one protocol on a line of one format."""
    protocol = PROTOCOLS[spoken][0]
    spec = StationSpec(protocol, wake_bytes=wake, any_type=True)
    if protocol == "modbus":
        for unit in units:
            yield Probe(spoken, gateway, replace(spec, unit=unit).device(), Ask("read", 3, 0, 1))
        return
    if protocol == "cjt188":
        yield from _cjt188(spoken, gateway, spec, addresses)
        return
    di = 0x0001_0000 if protocol == "dlt645-2007" else 0x9010
    if protocol == "dlt645-2007" and not addresses:
        yield Probe(spoken, gateway, replace(spec, address=ANY_DLT645).device(), Ask("address"))
    for address in addresses or (ANY_DLT645,):
        yield Probe(spoken, gateway, replace(spec, address=address).device(), Ask("read", 0, di, -1))


def _cjt188(spoken: Spoken, gateway: Gateway, spec: StationSpec, addresses: Sequence[str]) -> Iterator[Probe]:
    """Ask for the address, in both orders of the identifier: meters answer one of them only."""
    for address in addresses or (ANY_CJT188,):
        for low_first in (False, True):
            device = replace(spec, address=address, meter_type=ANY_TYPE, di_low_first=low_first).device()
            yield Probe(spoken, gateway, device, Ask("address"))


def put(session: Session, probe: Probe, timeout_s: float) -> tuple[Found | None, list[Entry]]:
    """Ask one question; return what it found, and what went over the line."""
    outcome, entries = session.ask(probe.device, probe.ask, timeout_s)
    elapsed_ms = entries[-1].elapsed_ns / 1e6 if entries else 0.0
    found = _found(probe, outcome, entries[-1].received if entries else b"")
    return (replace(found, elapsed_ms=round(elapsed_ms, 1)) if found else None), entries


def _found(probe: Probe, outcome: Outcome, received: bytes) -> Found | None:
    bare = Found(probe.spoken, probe.form)
    if isinstance(outcome, Violation):
        return replace(bare, crowd=True, remark=outcome.wrong) if received else None
    if not isinstance(outcome, Reply | ExceptionReply):
        return None
    if PROTOCOLS[probe.spoken][0] == "modbus":
        refused = isinstance(outcome, ExceptionReply)
        if isinstance(outcome, ExceptionReply) and outcome.code in GATEWAY_EXCEPTIONS:
            return None
        remark = f"exception {outcome.code:02X}" if isinstance(outcome, ExceptionReply) and refused else ""
        return replace(bare, unit=probe.device.unit, remark=remark)
    if probe.spoken == "cjt188":
        return _cjt188_found(bare, probe, received)
    address = address_in(received)
    return replace(bare, address=address, refused=isinstance(outcome, ExceptionReply)) if address else None


def _cjt188_found(bare: Found, probe: Probe, received: bytes) -> Found | None:
    for frame in cjt188.FrameScanner().feed(received):
        if isinstance(frame, bytes) and frame[cjt188.CONTROL_AT] & cjt188.FROM_METER:
            address = cjt188.address_text(frame[cjt188.ADDRESS_AT : cjt188.CONTROL_AT])
            low_first = probe.device.profile.di_low_first
            return replace(bare, address=address, meter_type=frame[1], di_low_first=low_first)
    return None


def address_in(received: bytes) -> str:
    """Return the address of the meter whose frame is in what came, "" when there is none."""
    for frame in dlt645_frame.FrameScanner().feed(received):
        if isinstance(frame, bytes) and frame[8] & dlt645_frame.FROM_METER:
            return dlt645_frame.address_text(frame[1:7])
    return ""


def form_text(gateway: Gateway) -> str:
    """Return a line in words, for people."""
    return where(gateway)

"""Which line stands behind a gateway: one table by transport.

Rule: nobody else knows that there is more than one kind; the poller gets two lines that may be the same.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drivers.device import Device, Gateway, LineFormat, Transport
from drivers.dial_in import DialInLink, DialInPort
from drivers.frame_log import FrameLog
from drivers.halfduplex import BusLine
from drivers.lines import Line
from drivers.modbus_tcp import Line as ModbusTcpLine
from drivers.profile import Protocol
from drivers.serial_port import SerialLink
from drivers.transports import Link, TcpLink
from scada.clock import Clock

if TYPE_CHECKING:
    from drivers.engine import Engine

OnUp = Callable[[], None]
OnDown = Callable[[str], None]

RTU_SILENCE_CHARS: Final = 3.5  # MODBUS over Serial Line V1.02 2.5.1.1
RTU_SILENCE_FAST_S: Final = 0.00175  # the same, above 19200 baud
RTU_FAST_BAUD: Final = 19200
METER_GAP_S: Final = 0.03  # DL/T 645 and CJ/T 188 meters take the next frame after 20 to 30 ms


@dataclass(frozen=True, slots=True)
class Site:
    """What all lines of a site share."""

    reactor: Any
    clock: Clock
    rng: random.Random
    run: Path  # folder in which relative paths of serial ports stand
    dial_in_port: Callable[[str, int], DialInPort]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of one gateway. `probe` is `main` where there can be only one."""

    main: Line
    probe: Line
    seat_of: ModbusTcpLine | None = None  # the line whose cycles the engine carries out

    @property
    def shared(self) -> bool:
        """Tell whether failing devices are probed on the line of all others."""
        return self.probe is self.main


def make_lines(
    site: Site, gateway: Gateway, devices: Sequence[Device], on_up: OnUp, on_down: OnDown, engine: "Engine | None"
) -> Lines:
    """Make the lines of a gateway, closed. Both write into one frame log."""
    if gateway.transport == "modbus-tcp":
        make = (site.reactor, site.clock, gateway.host, gateway.port)
        main = ModbusTcpLine(*make, gateway.in_flight, gateway.timeout_s, site.rng, on_up, on_down, engine)
        probe = ModbusTcpLine(*make, 1, gateway.timeout_s, site.rng)
        main.log = probe.log = FrameLog(log_frames=gateway.log_frames)
        return Lines(main, probe, main if engine is not None else None)
    link = LINKS[gateway.transport](site, gateway)
    gap_s = gateway.line.gap_s or max((gap_of(d.profile.protocol, gateway.line) for d in devices), default=METER_GAP_S)
    bus = BusLine(
        site.reactor, site.clock, link, gateway.line, gateway.timeout_s, gap_s, gateway.late, on_up, on_down
    )  # fmt: skip
    bus.log = FrameLog(log_frames=gateway.log_frames)
    return Lines(bus, bus)


def gap_of(protocol: Protocol, form: LineFormat) -> float:
    """Return the silence a protocol wants between two transactions, s."""
    if protocol != "modbus":
        return METER_GAP_S
    return RTU_SILENCE_FAST_S if form.baud > RTU_FAST_BAUD else RTU_SILENCE_CHARS * form.char_s


def _tcp(site: Site, gateway: Gateway) -> Link:
    return TcpLink(site.reactor, gateway.host, gateway.port, site.rng)


def _serial(site: Site, gateway: Gateway) -> Link:
    return SerialLink(site.reactor, site.run / gateway.path, gateway.line, site.rng)


def _dial_in(site: Site, gateway: Gateway) -> Link:
    port = site.dial_in_port(gateway.host, gateway.port)
    heartbeat = (gateway.heartbeat, gateway.heartbeat_s)
    return DialInLink(site.reactor, port, gateway.id, gateway.registration, *heartbeat)


LINKS: Final[Mapping[Transport, Callable[[Site, Gateway], Link]]] = {
    "tcp": _tcp,
    "serial": _serial,
    "dial-in": _dial_in,
}

"""What the command line may name: protocols with their usual lines, and what run.py hands to the tools.

Rule: light to import, because the whole command line of run.py is made of it.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.device import Device, Gateway, LineFormat
from drivers.profile import Profile, Protocol

Spoken = str  # a word of --protocol
# Word of --protocol -> protocol, usual line format, seconds until a device has answered.
# 2400 and 1200 8E1: DL/T 645-2007 and 1997, factory setting; CJ/T 188 section 5; Modbus over serial line: 8E1 by the
# standard, 8N1 on nearly every device.
PROTOCOLS: Final[Mapping[Spoken, tuple[Protocol, LineFormat, float]]] = {
    "dlt645-2007": ("dlt645-2007", LineFormat(2400, "E"), 1.0),
    "dlt645-1997": ("dlt645-1997", LineFormat(1200, "E"), 1.0),
    "cjt188": ("cjt188", LineFormat(2400, "E"), 2.0),
    "modbus-rtu": ("modbus", LineFormat(9600, "N"), 1.0),
    "modbus-tcp": ("modbus", LineFormat(), 1.0),
}
BAUDS: Final = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
LINE_HELP: Final = "modbus-tcp:HOST:PORT, tcp:HOST:PORT (transparent gateway) or serial:PATH"


@dataclass(frozen=True, slots=True)
class Site:
    """What a configuration says about the field."""

    gateways: Sequence[Gateway]
    devices: Sequence[Device]
    names: Mapping[str, tuple[str, str]]  # device id -> (Chinese, English)
    protected: frozenset[str] = frozenset()  # ids of the devices that are never switched off from afar


@dataclass(frozen=True, slots=True)
class Ports:
    """What run.py hands to the tools: configuration is read only when a command needs it."""

    site: Callable[[argparse.Namespace], Site]
    profiles: Callable[[argparse.Namespace], Mapping[str, Profile]]
    core_socket: Callable[[argparse.Namespace], Path]

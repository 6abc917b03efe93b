"""Devices and gateways of a site, as the drivers need them: addresses on the bus and rows in the image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from drivers.profile import Profile

NO_ROW: Final = -1

# modbus-tcp: frames with transaction ids. The others carry bare serial frames: tcp to a transparent gateway, serial on
# a port of this machine, dial-in from a DTU that connects to us and says who it is.
Transport = Literal["modbus-tcp", "tcp", "serial", "dial-in"]
Parity = Literal["N", "E", "O"]
# What a line does after a time-out, so that the late answer is not taken for the next one: it waits until nothing more
# comes, or makes a new connection, which is quicker where the gateway forgets what was meant for the old one.
LateReplies = Literal["wait", "reconnect"]
HEARTBEAT_S: Final = 180.0  # DTUs are delivered with heartbeats of 30 or 60 s; three may be lost


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How bytes go over a serial line; behind a gateway this is what the gateway is set to, for the time budget."""

    baud: int = 9600
    parity: Parity = "N"
    stop_bits: int = 1
    gap_s: float = 0.0  # silence kept between two transactions; 0: what the protocol asks for

    @property
    def char_s(self) -> float:
        """Seconds one character of 8 data bits takes."""
        return (9 + (self.parity != "N") + self.stop_bits) / self.baud


@dataclass(frozen=True, slots=True)
class Gateway:
    """One line with meters: a Modbus TCP end point, a transparent gateway, a serial port, or a DTU that dials in."""

    id: str
    host: str  # dial-in: the address to listen on
    port: int
    in_flight: int = 1  # transactions the gateway accepts at once
    timeout_s: float = 1.0
    period_s: float = 1.0  # wished poll period of its devices
    online_row: int = NO_ROW  # image rows of its communication tags
    timeouts_row: int = NO_ROW
    cycle_ms_row: int = NO_ROW
    transport: Transport = "modbus-tcp"
    line: LineFormat = LineFormat()
    path: str = ""  # of the serial port
    registration: bytes = b""  # dial-in: the packet that names the DTU
    heartbeat: bytes = b""  # dial-in: what the DTU sends when nothing happens; b"": nothing is expected
    heartbeat_s: float = HEARTBEAT_S  # dial-in: silence after which the connection is given up
    late: LateReplies = "wait"
    log_frames: bool = False  # good frames are kept too, although nobody follows
    rows: Mapping[str, int] = field(default_factory=dict)  # measure -> image row of its counters


@dataclass(frozen=True, slots=True)
class Secret:
    """What a meter wants to hear before it switches (DL/T 645). Never logged."""

    password: str = field(default="000000", repr=False)  # six digits
    operator: str = field(default="00000000", repr=False)  # eight digits
    level: int = 0x02  # PA, access level; the profile's where nothing else was said


@dataclass(frozen=True, slots=True)
class Device:
    """One meter or breaker on a gateway."""

    id: str
    gateway: str
    unit: int  # Modbus unit id; 0 for other protocols
    profile: Profile
    ct: int  # current transformer ratio (primary/secondary), 1 for direct meters
    pt: int
    rows: dict[str, int]  # measure -> image row, for every register of the profile
    point: int = NO_ROW  # row in the points section when its billing register is charged
    online_row: int = NO_ROW
    errors_row: int = NO_ROW
    response_ms_row: int = NO_ROW
    position_row: int = NO_ROW  # tag "Position" (Dbpos) when the profile has a switch
    address: str = ""  # DL/T 645: 12 digits; CJ/T 188: 14 digits, the last four (first on paper) the maker's code
    serial: str = ""  # number on the nameplate
    secret: Secret = Secret()
    identity_row: int = NO_ROW  # tag "IdentityFault" when the profile has an identity register
    counters_row: int = NO_ROW  # first row of its counters, which stand together as health.DEVICE_COUNTERS

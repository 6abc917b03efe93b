"""Devices and gateways of a site, as the drivers need them: addresses on the bus and rows in the image."""

from dataclasses import dataclass
from typing import Final

from drivers.profile import Profile

NO_ROW: Final = -1


@dataclass(frozen=True, slots=True)
class Gateway:
    """One Modbus TCP end point and the line behind it."""

    id: str
    host: str
    port: int
    in_flight: int = 1  # transactions the gateway accepts at once
    timeout_s: float = 1.0
    period_s: float = 1.0  # wished poll period of its devices
    online_row: int = NO_ROW  # image rows of its communication tags
    timeouts_row: int = NO_ROW
    cycle_ms_row: int = NO_ROW


@dataclass(frozen=True, slots=True)
class Device:
    """One meter or breaker on a gateway."""

    id: str
    gateway: str
    unit: int  # Modbus unit id
    profile: Profile
    ct: int  # current transformer ratio (primary/secondary), 1 for direct meters
    pt: int
    rows: dict[str, int]  # measure -> image row, for every register of the profile
    point: int = NO_ROW  # row in the points section when its billing register is charged
    online_row: int = NO_ROW
    errors_row: int = NO_ROW
    response_ms_row: int = NO_ROW
    position_row: int = NO_ROW  # tag "Position" (Dbpos) when the profile has a switch

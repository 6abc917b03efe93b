"""Switching: the life cycle of a command, from selection to read-back.

Rule: "sent" is never "done". A command is verified by the position that the field reports afterwards, or it is failed,
or it is undetermined until the field can be read again; no command is ever repeated by itself.
"""

from dataclasses import dataclass
from typing import Final, Literal

STATES: Final = (
    "idle",  # no command
    "selected",  # somebody owns the breaker for a short while
    "sent",  # confirmed, in the journal, on its way
    "accepted",  # the device said yes; nothing has been seen to move yet
    "verified",  # the position, read back later, is the wished one
    "failed",  # refused by the device, or it did not move in time
    "undetermined",  # sent, and nobody knows: waits for communication
    "cancelled",  # given back by its owner
    "expired",  # selected and not operated in time
)


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker or valve that can be switched remotely."""

    id: str  # device id
    name_zh: str
    name_en: str
    kind: Literal["breaker", "valve"]
    medium: str  # electricity, water, gas, steam, heat, cooling
    position_row: int  # image row of Position (Dbpos)
    current_row: int  # image row of the current that must fall after a trip, -1 when there is none
    online_row: int  # image row of Online
    command_row: int  # image row of CommandState, an index into STATES
    discrepancy_row: int  # image row of Discrepancy
    verify_s: float  # real seconds the mechanism may take
    protected: bool  # a protected supply is not switched off remotely
    remote_close: bool  # False: closed on the spot only (gas, always)

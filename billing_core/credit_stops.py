"""Which supplies credit has switched off, as books and command journal tell it together after a restart.

Rule: pure. The journal knows of a trip before the frame is sent, the books learn of it a checkpoint later; but only the
books know when a supply that somebody closed on the spot was no longer credit's, for that leaves no command.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from scada.clock import NS_PER_S
from scada.control_store import LastSent
from scada.position import OPEN

ORIGIN: Final = "credit"  # of the commands that credit control asks for

Stop = tuple[str, str, int]  # account, breaker, since plant second


def known_stops(
    booked: Iterable[Stop], ended: Mapping[str, int], sent: Mapping[str, LastSent], account_of: Mapping[str, str]
) -> list[Stop]:
    """Return the stops that are in force.

    booked  stops that the books call open      ended  breaker -> plant second in which its last stop ended
    sent    breaker -> last command             account_of  breaker -> account whose supply it carries
    """
    stops = {breaker: (account, breaker, since_s) for account, breaker, since_s in booked}
    for breaker, command in sent.items():
        at_s = command.plant_time_ns // NS_PER_S
        is_ours = command.origin == ORIGIN and command.target == OPEN and at_s > ended.get(breaker, -1)
        if is_ours and breaker in account_of:
            stops.setdefault(breaker, (account_of[breaker], breaker, at_s))
    return list(stops.values())

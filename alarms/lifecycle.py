"""The life cycle of one alarm after ISA-18.2 / IEC 62682, as a table.

Rule: data only. When the condition holds is decided in evaluate; who may acknowledge, at the link.
Source: states A to D of the standard. Latched states (E, F) are further rows of this table; shelved, suppressed and out
of service are not states but flags above it, under which the machine goes on.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

State = Literal["normal", "unacknowledged", "acknowledged", "returned"]
Event = Literal["raise", "clear", "acknowledge"]
Entry = Literal["raised", "cleared", "acknowledged"]  # what the journal says of a transition

# The image holds the place in this tuple; new states go to its end.
STATES: Final[tuple[State, ...]] = (
    "normal",  # A: condition off, nothing to acknowledge
    "unacknowledged",  # B: condition on, nobody has seen it
    "acknowledged",  # C: condition on, seen
    "returned",  # D: condition off again, nobody has seen that it was on
)
EVENTS: Final[tuple[Event, ...]] = ("raise", "clear", "acknowledge")

CONDITION_ON: Final[frozenset[State]] = frozenset({"unacknowledged", "acknowledged"})


@dataclass(frozen=True, slots=True)
class LiveAlarm:
    """The state of one alarm as it survives a restart."""

    alarm: str
    state: str
    since_utc_ns: int  # plant time of the last transition
    value: float  # value that raised it
    quality: int  # at the last transition


class Step(NamedTuple):
    """One cell of the table."""

    state: State  # the state it leads to
    entry: Entry | None  # journal entry, None when nothing happens
    refusal: str = ""  # code of Refused when an operator asked for what the cell does not grant


def _same(state: State) -> Step:
    return Step(state, None)


TRANSITIONS: Final[dict[tuple[State, Event], Step]] = {
    ("normal", "raise"): Step("unacknowledged", "raised"),
    ("normal", "clear"): _same("normal"),
    ("normal", "acknowledge"): Step("normal", None, "alarm.not-active"),
    ("unacknowledged", "raise"): _same("unacknowledged"),
    ("unacknowledged", "clear"): Step("returned", "cleared"),
    ("unacknowledged", "acknowledge"): Step("acknowledged", "acknowledged"),
    ("acknowledged", "raise"): _same("acknowledged"),
    ("acknowledged", "clear"): Step("normal", "cleared"),
    ("acknowledged", "acknowledge"): Step("acknowledged", None, "alarm.already-acknowledged"),
    ("returned", "raise"): Step("unacknowledged", "raised"),
    ("returned", "clear"): _same("returned"),
    ("returned", "acknowledge"): Step("normal", "acknowledged"),
}

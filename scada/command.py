"""One switching command: its states, which state may follow which, and what is remembered of it.

Rule: plain data and tables. Who may command, and when a state is reached, control, interlocks and readback decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from scada.position import POSITIONS

State = Literal[
    "idle", "selected", "sent", "accepted", "verified", "failed", "undetermined", "cancelled", "expired"
]  # fmt: skip

STATES: Final[tuple[State, ...]] = (
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

# After the practice of select-before-operate with enhanced security (IEC 61850-7-2, ctlModel 4).
TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    "idle": frozenset({"selected"}),
    "selected": frozenset({"sent", "cancelled", "expired"}),
    "sent": frozenset({"accepted", "failed", "undetermined"}),
    "accepted": frozenset({"verified", "failed", "undetermined"}),
    "undetermined": frozenset({"verified", "failed"}),
    "verified": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "expired": frozenset(),
}

ACTIVE: Final[frozenset[State]] = frozenset({"selected", "sent", "accepted"})  # holds its breaker
MOVING: Final[frozenset[State]] = frozenset({"sent", "accepted", "undetermined"})  # the mechanism may be on its way
OPEN_STATES: Final[frozenset[State]] = ACTIVE | MOVING  # something is still to be found out

Origin = str  # "operator", "credit", ...: who decided, in one word


@dataclass(frozen=True, slots=True)
class Actor:
    """Who commands, and from where."""

    user: str
    role: str
    station: str
    origin: Origin = "operator"


@dataclass(frozen=True, slots=True)
class Command:
    """One command, under way or finished, as it stands; `advance` gives the next one."""

    id: str  # uuid
    breaker: str
    target: int  # OPEN or CLOSED
    actor: Actor
    reason: str = ""
    state: State = "idle"
    detail: str = ""  # why it is in this state, one English sentence
    since_mono_ns: int = 0  # when it entered its state
    started_mono_ns: int = 0  # when it was selected, or taken over after a restart
    deadline_mono_ns: int = 0  # end of the time the present state may take
    proof_after_utc_ns: int = 0  # plant time of sending or acceptance; only later readings prove anything
    times_utc_ns: Mapping[State, int] = field(default_factory=dict)  # plant time each state was entered

    def advance(self, state: State, utc_ns: int, mono_ns: int, detail: str = "", **changes: Any) -> "Command":
        """Return the command in another state. ValueError when the table does not allow it: a programmer's error."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"command {self.id}: {self.state} -> {state} is not a transition")
        return replace(
            self,
            state=state,
            detail=detail,
            since_mono_ns=mono_ns,
            started_mono_ns=self.started_mono_ns or mono_ns,
            times_utc_ns={**self.times_utc_ns, state: utc_ns},
            **changes,
        )

    def record(self, conditions: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Return the journal record of the state it is in; `conditions` are the interlocks as they were judged."""
        return {
            "command": self.id,
            "breaker": self.breaker,
            "target": POSITIONS[self.target],
            "state": self.state,
            "origin": self.actor.origin,
            "user": self.actor.user,
            "role": self.actor.role,
            "station": self.actor.station,
            "reason": self.reason,
            "detail": self.detail,
            "plant_time_ns": self.times_utc_ns[self.state],
            "elapsed_ns": self.since_mono_ns - self.started_mono_ns,
            "conditions": list(conditions),
        }

"""Interlocks: the named conditions that must hold before a supply is switched, each with a reason a person can read.

Rule: a table of predicates over one frozen situation. Nothing here reads a tag, and nothing here acts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scada.position import CLOSED, OPEN, POSITIONS, TARGETS

BOTH: Final = frozenset(TARGETS)
TRIP: Final = frozenset({OPEN})
CLOSE: Final = frozenset({CLOSED})

BLOCKS_CLOSE: Final = frozenset({"do-not-operate", "hold", "grounded", "protection-trip"})  # tags that forbid closing
BLOCKS_TRIP: Final = frozenset({"hold"})


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the interlocks of one breaker look at, at one instant."""

    target: int  # OPEN or CLOSED
    position: int  # Dbpos as read last
    position_good: bool
    age_s: float  # real seconds since the position was read
    fresh_s: float  # oldest age that counts as fresh
    online: bool  # the device answers
    busy: str = ""  # what another command is doing here, "" when none is
    medium: str = "electricity"
    remote_close: bool = True
    protected: bool = False
    automatic: bool = False  # asked by a rule, not by a person
    current_flows: bool = False  # current although the position says open: welded contact or bypass
    opened_by_itself: bool = (
        False  # open although the last verified command closed it: protection, or a hand on the spot
    )
    tags: frozenset[str] = frozenset()  # kinds of lock-out tags and protection trips in force
    feeder_dead: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One evaluated interlock."""

    code: str
    ok: bool
    detail: str
    blocks: bool = True  # False: a warning to show, not a reason to refuse


@dataclass(frozen=True, slots=True)
class Interlock:
    """One row of the table."""

    code: str
    targets: frozenset[int]
    holds: Callable[[Situation], bool]
    detail: str  # what must hold, one English sentence
    blocks: bool = True


# Source: IEC 61850-7-2 AddCause and the usual rules of select-before-operate; the order is that of the faceplate.
INTERLOCKS: Final[tuple[Interlock, ...]] = (
    Interlock("interlock.offline", BOTH, lambda s: s.online, "The device answers"),
    Interlock("interlock.quality", BOTH, lambda s: s.position_good, "The position is read with good quality"),
    Interlock("interlock.stale", BOTH, lambda s: s.age_s <= s.fresh_s, "The position is fresh"),
    Interlock("interlock.position", BOTH, lambda s: s.position in TARGETS, "The position is open or closed"),
    Interlock("interlock.already", BOTH, lambda s: s.position != s.target, "It is not already in this position"),
    Interlock("interlock.busy", BOTH, lambda s: not s.busy, "No other command is under way here"),
    Interlock("interlock.protected", TRIP, lambda s: not s.protected, "The supply is not protected"),
    Interlock(
        "interlock.gas",
        CLOSE,  # closing the circuit: for a valve, letting gas flow
        lambda s: s.medium != "gas",
        "Gas is let flow on the spot only",
    ),
    Interlock("interlock.local-close", CLOSE, lambda s: s.remote_close, "It may be closed remotely"),
    Interlock(
        "interlock.tag", CLOSE, lambda s: not s.tags & BLOCKS_CLOSE, "No lock-out tag or protection trip forbids it"
    ),
    Interlock("interlock.tag", TRIP, lambda s: not s.tags & BLOCKS_TRIP, "No lock-out tag forbids it"),
    Interlock("interlock.discrepancy", CLOSE, lambda s: not s.current_flows, "No current flows while it is open"),
    Interlock(
        "interlock.opened-by-itself",
        CLOSE,
        lambda s: not (s.automatic and s.opened_by_itself),
        "It was opened by a command; what opened by itself is closed by a person",
    ),
    Interlock("interlock.feeder-dead", CLOSE, lambda s: not s.feeder_dead, "The feeder is live", blocks=False),
)


def evaluate(situation: Situation) -> list[Condition]:
    """Return every condition that applies to the situation's target, in the order of the table."""
    return [
        Condition(lock.code, lock.holds(situation), _explain(lock, situation), lock.blocks)
        for lock in INTERLOCKS
        if situation.target in lock.targets
    ]


def _explain(lock: Interlock, situation: Situation) -> str:
    """Return the sentence of a condition, with the number or word that decided it where there is one."""
    facts: dict[str, str] = {
        "interlock.stale": f" (read {situation.age_s:.1f} s ago, at most {situation.fresh_s:.1f} s)",
        "interlock.position": f" ({POSITIONS[situation.position]})",
        "interlock.busy": f" ({situation.busy})" if situation.busy else "",
        "interlock.tag": f" ({', '.join(sorted(situation.tags))})" if situation.tags else "",
    }
    return lock.detail + facts.get(lock.code, "")

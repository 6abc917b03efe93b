"""What people decided about credit control: protection 保电, pause 暂停 and dispute, of one account or of all.

Rule: pure. Holds are the fold of events that are kept in the data base and never changed; a hold ends by an event or by
its own time. An event about account "" is about every account.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

ALL: Final = ""
PROTECT: Final = "protect"  # 保电: supply is never switched off, and returns when it was; debt grows, notices go on
PAUSE: Final = "pause"  # 暂停: neither notices nor switch-offs, e.g. while a meter is repaired; supply may return
DISPUTE: Final = "dispute"  # the bill is disputed: no switch-off, notices go on
HOLDS: Final = (PROTECT, PAUSE, DISPUTE)
ENDS: Final = {"unprotect": PROTECT, "resume": PAUSE, "settle": DISPUTE}  # event -> the hold it ends
MASS_HOLD: Final = "mass-hold"  # the mass-trip guard holds ...
RELEASE: Final = "release"  # ... until a person releases it, or nobody is due any more
PERMIT: Final = "permit"  # a person's button: what may return is closed
VERBS: Final = (*HOLDS, *ENDS, MASS_HOLD, RELEASE, PERMIT)


@dataclass(frozen=True, slots=True)
class CreditEvent:
    """One decision, as it is kept."""

    key: str  # idempotency key
    verb: str  # of VERBS
    account: str  # ALL: every account
    at_s: int
    until_s: int  # end of the hold; 0: until it is ended
    owner: str  # who answers for the hold
    reason: str
    who: str
    station: str


class Holds:
    """The holds in force."""

    def __init__(self, events: Iterable[CreditEvent] = ()) -> None:
        self._holds: dict[tuple[str, str], CreditEvent] = {}
        for event in events:
            self.apply(event)

    def apply(self, event: CreditEvent) -> None:
        """Take an event into account; a second hold of a kind replaces the first."""
        if event.verb in HOLDS:
            self._holds[event.verb, event.account] = event
        elif event.verb in ENDS:
            self._holds.pop((ENDS[event.verb], event.account), None)

    def expire(self, now_s: int) -> list[CreditEvent]:
        """Drop and return the holds whose time is over."""
        over = [event for event in self._holds.values() if event.until_s and event.until_s <= now_s]
        for event in over:
            del self._holds[event.verb, event.account]
        return over

    def find(self, kind: str, account: str) -> CreditEvent | None:
        """Return the hold of a kind that covers an account: its own, or everybody's."""
        return self._holds.get((kind, account)) or self._holds.get((kind, ALL))

    def own(self, kind: str, account: str) -> CreditEvent | None:
        """Return the hold of a kind that was made for exactly this account (or ALL)."""
        return self._holds.get((kind, account))

    def __iter__(self) -> Iterator[CreditEvent]:
        return iter(tuple(self._holds.values()))

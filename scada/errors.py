"""The error tree of the project, drawn in one place.

    WattkeeperError
    ├── ConfigurationError   refuse to start; carries *all* faults found, not the first
    ├── FieldError           a device or peer misbehaves: quality and back-off for that device alone
    │   └── NoAnswer         a command went out and no answer came: nobody knows whether it was carried out
    ├── Refused              a request that is understood and not granted; carries a code for translation
    └── DatabaseAway         the data base cannot be reached now; the caller keeps its work and tries again
        └── DatabaseBusy     it is there and gave up this transaction (lock, deadlock, time limit); the same holds

Everything else is a programmer's error and stops the room.
"""

from dataclasses import dataclass


class WattkeeperError(Exception):
    """Root of every error the project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a configuration: where it is, what is wrong, what would be allowed."""

    file: str
    place: str  # dotted key, or "line 12, column 'gateway'" in a CSV
    wrong: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.wrong}; allowed: {self.allowed}"


class ConfigurationError(WattkeeperError):
    """A configuration that must not be started; `faults` lists every fault."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class FieldError(WattkeeperError):
    """A device, gateway or bus did not answer as its protocol says."""


class NoAnswer(FieldError):
    """A command was sent and its answer never came; it may have been carried out. Never repeat it unseen."""


class Refused(WattkeeperError):
    """A request that was understood and is not granted.

    code     stable word such as "interlock.stale"; the HMI translates it
    detail   English sentence for logs and for clients without a catalogue
    """

    def __init__(self, code: str, detail: str = "") -> None:
        if not detail:  # the form in which it crosses the link
            code, _, detail = code.partition(": ")
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class DatabaseAway(WattkeeperError):
    """The data base cannot be reached now; nothing was lost and the request may be repeated."""


class DatabaseBusy(DatabaseAway):
    """The data base answered and gave this transaction up: a lock, a deadlock, a time limit. It may be repeated."""

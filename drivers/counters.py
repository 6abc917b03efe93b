"""The names of what is counted about the field, by device and by gateway, and the kinds of bad frames.

Rule: names alone, so that a room that shows them loads no driver.
"""

from collections.abc import Mapping
from typing import Final

# Why a device is not charged although it answers: states of its tag "IdentityFault".
IDENTITY_STATES: Final = ("none", "wrong_number", "number_seen_twice", "number_not_readable")

# The tags of a device, in the order of its rows; a gateway has the same, then its own.
DEVICE_COUNTERS: Final = (
    "Requests", "GoodReplies", "Timeouts", "BadFrames", "Exceptions",
    "ResponseMeanMs", "ResponseP95Ms", "ResponseMaxMs", "LastGood",
)  # fmt: skip
COUNTS: Final = 5  # of them count
REQUESTS, REPLIES, TIMEOUTS, BROKEN, EXCEPTIONS = range(COUNTS)
# Bad frames of a line by kind; every name of a `Wrong` of a protocol stands in one of these, all others are "Other".
KINDS: Final[Mapping[str, frozenset[str]]] = {
    "BadChecksum": frozenset({"checksum", "crc"}),
    "BadAddress": frozenset({"address", "unit", "meter type"}),
    "BadFunction": frozenset({"function", "flags", "exception form", "error form"}),
    "BadLength": frozenset({"length", "byte count", "register count", "padding bits", "end mark", "too many parts"}),
    "BadIdentifier": frozenset({"echo", "sequence number", "transaction", "protocol id", "objects", "follow-up"}),
    "BadOther": frozenset(),
}  # fmt: skip
GATEWAY_COUNTERS: Final = (*DEVICE_COUNTERS, "BusLoad", *KINDS, "LateFrames")


def kind_of(wrong: str) -> str:
    """Return under which of KINDS a bad frame is counted."""
    return next((kind for kind, names in KINDS.items() if wrong in names), "BadOther")

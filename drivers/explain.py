"""A frame explained for people: which bytes stand where, what they are called and what they say.

Each protocol module brings an `explain(frame) -> list[Field]` of its own; the tools print what it returns.
Rule: shapes only. An explanation never raises: bytes that fit nothing are a field that says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HIDDEN: Final = "**"  # stands for a byte that is a secret


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a frame."""

    at: int  # its first byte, counted from the start of what was explained
    size: int  # bytes; 0 for a remark that belongs to no byte of its own
    zh: str  # what it is
    en: str
    value: str = ""  # what it says, in English or without words
    value_zh: str = ""  # the same in Chinese when it differs
    wrong: bool = False  # it is not what it has to be


def shown(frame: bytes, hidden: Sequence[int] = ()) -> str:
    """Return bytes as people write them, "68 01 **"; hidden: places that are not shown."""
    secret = frozenset(hidden)
    return " ".join(HIDDEN if at in secret else f"{byte:02X}" for at, byte in enumerate(frame))

"""Which answers a half-duplex line may still be owed: a late one must not be taken for the answer to a later question.

A device answers in the order in which it is asked, and nothing on the way changes that order. So when it has answered a
question of another *shape* (`Exchange.alike`), whatever it owed has come or never will. After a time-out the line asks
such a question first, a *mark*. A device that has none is asked twice and must answer promptly both times, with silence
behind each answer: what was held back comes at once and falls into the silence, and of a device that is always so late
the second answer comes too late. Then more is owed than before, and its shape is *barred* for some time. An answer in
doubt stays so however long ago it was owed: a gateway may hold one back until the next question goes through.
Rule: bookkeeping alone; bytes and silence are the line's, and time comes in.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, TypeVar

from drivers.outcome import Exchange

DEVICES_MAX: Final = 512  # twice the stations of a line; people may ask others, and the oldest are forgotten
KNOWN_MAX: Final = 4  # questions kept of each device: one of another shape is enough

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Debt:
    """Answers of one shape that may still come."""

    barred: bool
    until_ns: int  # monotonic; it is not waited for any more then, but the doubt stays


class Owed:
    """What the devices of one line have not answered, and what they are known to answer."""

    def __init__(self, late_ns: int) -> None:
        """late_ns: how long an answer is waited for."""
        self._late_ns = late_ns
        self._debts: dict[Hashable, dict[Hashable, _Debt]] = {}  # device -> shape -> what is owed
        self._known: dict[Hashable, dict[Hashable, Exchange]] = {}  # device -> shape -> a read that it has answered

    def _of(self, question: Exchange) -> dict[Hashable, _Debt]:
        """Return what the device that is asked owes, by shape."""
        return self._debts.get(question.alike[0], {})

    def miss(self, question: Exchange, now_ns: int, barred: bool = False) -> tuple[bool, bool]:
        """Note that a question was given up: its answer may come late. Tell whether it is the only one that may come
        now, and the only one that is owed at all.

        barred: it was asked again and again, and no more of its shape may be asked for some time.
        """
        device, shape = question.alike
        debts = self._of(question)
        only, sure = all(debt.until_ns <= now_ns for debt in debts.values()), not debts
        _kept(self._debts, device, {})[shape] = _Debt(barred, now_ns + self._late_ns)
        return only, sure

    def doubts(self, question: Exchange) -> bool:
        """Tell whether an answer to a read may be an old one. A write is proved by what it did, never by its answer."""
        return not question.writes and question.alike[1] in self._of(question)

    def bars(self, question: Exchange, now_ns: int) -> bool:
        """Tell whether a read must not be asked yet."""
        debt = self._of(question).get(question.alike[1])
        barred = debt is not None and debt.barred and debt.until_ns > now_ns
        return barred and not question.writes and self.mark_for(question) is None

    def mark_for(self, question: Exchange) -> Exchange | None:
        """Return the shortest read by whose answer the device shows that it owes nothing; None without a doubt."""
        if not self.doubts(question):
            return None
        device, debts = question.alike[0], self._of(question)
        marks = [mark for shape, mark in self._known.get(device, {}).items() if shape not in debts]
        return min(marks, key=lambda mark: mark.reply_bytes, default=None)

    def settle(self, question: Exchange, certain: bool = False) -> None:
        """Note an answer; certain: it is the answer to this question although its shape was owed."""
        device, shape = question.alike
        if certain or shape not in self._of(question):
            self._debts.pop(device, None)
            known = _kept(self._known, device, {})
            if not question.writes and (shape in known or len(known) < KNOWN_MAX):
                known[shape] = question


def _kept(table: dict[Hashable, T], device: Hashable, empty: T) -> T:
    """Return what a table holds of a device, a new one in the place of the oldest."""
    if device not in table and len(table) >= DEVICES_MAX:
        del table[next(iter(table))]
    return table.setdefault(device, empty)

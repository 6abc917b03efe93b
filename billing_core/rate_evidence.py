"""What rate registers said at both ends of an interval that they split, as audit and replay read it from the books.

A metered interval of method *registers* has its registers in its own transfer. A recharge repeats the interval and goes
back to the same ones. Intervals from before the books kept them are believed as their rows say.
Rule: pure; how registers become quantities is said by the audit's and the replay's own arithmetic.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

Interval = tuple[int, int, int]  # number of the terms, from, to (UTC seconds)


class RateReading(NamedTuple):
    """The rate registers of a meter, sharp first, at both ends of an interval; counts, -1 for one that is not there."""

    seq: int
    terms: int
    from_s: int
    to_s: int
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def interval(self) -> Interval:
        return self.terms, self.from_s, self.to_s


Find = Callable[[int, int, int], RateReading | None]  # Interval -> what the books keep of it


class Missing(Exception):
    """The books should hold the rate registers of an interval, and do not."""


@dataclass(slots=True)
class Evidence:
    """Finds the rate registers of intervals in the order of the chain."""

    find: Find
    believed_upto: int  # last transfer from before the books kept rate registers
    _believed: set[Interval] = field(default_factory=set)  # those intervals, as a recharge may repeat them

    def of(self, seq: int, interval: Interval, metered: bool) -> RateReading | None:
        """Return the rate registers of an interval that a transfer charges; None: its rows are to be believed.

        metered: not charged again. Raises Missing.
        """
        if seq <= self.believed_upto or (not metered and interval in self._believed):
            self._believed.add(interval)
            return None
        found = self.find(*interval)
        if found is None or (metered and found.seq != seq):
            raise Missing("it was split by rate registers, and the books do not hold what they said")
        return found


def believing() -> Evidence:
    """Return the evidence of rows that come without any: every split is believed."""
    return Evidence(lambda *interval: None, 2**62)

"""The demand watch: follows the registers of points with a demand charge and finds the highest window of the month.

Once each slide (a minute of plant time) the registers are sampled; the window of a sample begins at the youngest sample
that is at least a window (15 minutes) older. So the average is over a whole window or slightly more, between two real
readings: it proves a demand, and never guesses one.
Rule: numpy over all watched points at once; plant time and registers are parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

SLOTS: Final = 32  # samples kept: a window of 15, and room for as many that were bad
SECONDS_PER_HOUR: Final = 3600
NONE: Final = -1  # time of a slot without a sample

Column = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Watched:
    """One point of the watch, constant while it runs."""

    row: int  # of the point in the image
    milli_per_count: int
    modulus_counts: int
    max_milli_per_s: int  # faster is no demand but a disturbed register
    window_s: int
    slide_s: int


class Window(NamedTuple):
    """Evidence of a demand: two readings of one register and what lies between them."""

    watched: int  # place in the watch
    raw_from: int
    from_s: int
    raw_to: int
    to_s: int
    watt: int


class DemandWatch:
    """Highest window per watched point since `restart`. Not thread-safe; belongs to the core's loop."""

    def __init__(self, watched: Sequence[Watched]) -> None:
        self.watched = tuple(watched)
        count = len(self.watched)
        self.rows: Column = np.array([w.row for w in watched], dtype=np.int64)
        self._milli_per_count: Column = np.array([w.milli_per_count for w in watched], dtype=np.int64)
        self._modulus: Column = np.array([w.modulus_counts for w in watched], dtype=np.int64)
        self._most: Column = np.array([w.max_milli_per_s for w in watched], dtype=np.int64)
        self._window_s: Column = np.array([w.window_s for w in watched], dtype=np.int64)
        self._slide_s: Column = np.array([w.slide_s for w in watched], dtype=np.int64)
        self._raw = np.zeros((SLOTS, count), dtype=np.int64)
        self._at_s = np.full((SLOTS, count), NONE, dtype=np.int64)
        self._next = np.zeros(count, dtype=np.int64)  # slot that the next sample takes
        self.from_s: Column = np.zeros(count, dtype=np.int64)  # windows begin no earlier: month or tenancy
        self.highest_w: Column = np.zeros(count, dtype=np.int64)
        self._fresh: dict[int, Window] = {}

    def restart(self, watched: int, from_s: int, highest_w: int = 0) -> None:
        """Begin a month or tenancy: windows that begin earlier no longer count."""
        self.from_s[watched] = from_s
        self.highest_w[watched] = highest_w
        self._fresh.pop(watched, None)

    def forget(self, watched: int) -> None:
        """Drop the samples of a point whose register is another one now."""
        self._at_s[:, watched] = NONE

    def inherit(self, old: "DemandWatch", places: Sequence[int | None]) -> None:
        """Take over samples and maxima of the same registers; places: of each watched point in the old watch."""
        for new, place in enumerate(places):
            if place is not None:
                self._raw[:, new] = old._raw[:, place]
                self._at_s[:, new] = old._at_s[:, place]
                self._next[new] = old._next[place]
                self.from_s[new] = old.from_s[place]
                self.highest_w[new] = old.highest_w[place]

    def observe(self, raw: Column, at_s: Column, good: npt.NDArray[np.bool_]) -> None:
        """Take a sample of every point whose slide has passed; each argument has one element per watched point.

        at_s: when the register was read, whole seconds; good: readings that are billed, and are not held
        """
        every = np.arange(len(self.watched))
        newest_s = self._at_s[(self._next - 1) % SLOTS, every]
        backwards = good & (at_s < newest_s)
        self._at_s[:, backwards] = NONE
        due = np.flatnonzero(
            good & ((newest_s == NONE) | backwards | (at_s // self._slide_s > newest_s // self._slide_s))
        )
        if len(due) == 0:
            return
        slots = self._next[due]
        self._raw[slots, due] = raw[due]
        self._at_s[slots, due] = at_s[due]
        self._next[due] = (slots + 1) % SLOTS
        self._weigh(due, raw[due], at_s[due])

    def take(self) -> list[Window]:
        """Return the highest window of each point that has a new one, and forget that it is new."""
        fresh, self._fresh = list(self._fresh.values()), {}
        return fresh

    def _weigh(self, due: Any, raw: Column, at_s: Column) -> None:
        starts = self._at_s[:, due]
        usable = (starts != NONE) & (starts <= at_s - self._window_s[due]) & (starts >= self.from_s[due])
        youngest = np.where(usable, starts, NONE).argmax(axis=0)
        columns = np.arange(len(due))
        found = usable[youngest, columns]
        from_s, raw_from = starts[youngest, columns], self._raw[youngest, due]
        counts = raw - raw_from
        counts = np.where(counts < 0, counts + self._modulus[due], counts)
        elapsed_s = np.where(found, at_s - from_s, 1)
        milli = counts * self._milli_per_count[due]
        possible = found & (
            milli <= self._most[due] * elapsed_s + self._milli_per_count[due]
        )  # one count of resolution
        watt = np.where(possible, milli, 0) * SECONDS_PER_HOUR // elapsed_s
        for k in np.flatnonzero(possible & (watt > self.highest_w[due])).tolist():
            place = int(due[k])
            self.highest_w[place] = watt[k]
            self._fresh[place] = Window(
                place, int(raw_from[k]), int(from_s[k]), int(raw[k]), int(at_s[k]), int(watt[k])
            )

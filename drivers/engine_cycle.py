"""What the poller, the engine and a line say to each other: a cycle, what came of it, and what is to follow.

Rule: shapes only.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from drivers.flight import Pending
from drivers.frame_log import FrameLog
from drivers.outcome import Outcome, Violation

Numbers = npt.NDArray[np.int64]


class Then(Enum):
    """What shall follow an outcome that was not plainly good."""

    ON = "the next block of the device"
    AGAIN = "the same block, behind the others"
    STOP = "nothing more of the device in this cycle"


class CycleClient(Protocol):
    """Who gives a line its cycles and hears of them: the poller."""

    def good(self, slot: int, elapsed_ns: int) -> None:
        """Hear of a right answer, because `tell` asked for it; the payload is in the reply store."""
        ...

    def answered(self, slot: int, outcome: Outcome, elapsed_ns: int) -> Then:
        """Judge an outcome that the engine did not take itself; the payload of a Reply is in the reply store."""
        ...

    def ended(self) -> None:
        """Hear that every chain has been asked and nothing of it is in flight."""
        ...


class LineEnd(Protocol):
    """What the engine needs of a line."""

    log: FrameLog

    def judge(self, frame: bytes, pending: Pending | None) -> None: ...

    def late(self, pending: Pending) -> None: ...

    def lost(self, pending: Pending) -> None: ...

    def broken(self, violation: Violation, received: bytes) -> None: ...

    def gone(self) -> None: ...

    def fence(self) -> None: ...

    def pump(self) -> None: ...


class Cycle:
    """A list of chains, ready to be handed to a seat any number of times. A chain is the slots of one device."""

    def __init__(self, chains: Sequence[Sequence[int]]) -> None:
        """ValueError for an empty chain."""
        if not all(chains):
            raise ValueError("a chain without a poll")
        self.slots: Numbers = np.array([slot for chain in chains for slot in chain], dtype=np.int64)
        lengths = np.array([len(chain) for chain in chains], dtype=np.int64)
        ends = np.cumsum(lengths)
        last = np.zeros(len(self.slots), dtype=np.int64)
        last[ends - 1] = 1
        self.items: Numbers = self.slots << 1 | last
        self.starts: Numbers = ends - lengths

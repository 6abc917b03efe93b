"""When each block of a device is due: those of class "scan" in every cycle, the others at their own pace.

Rule: pure; time comes in. Blocks of long periods are spread, so that a site never asks all hourly questions at once.
"""

import random
from collections.abc import Sequence
from typing import Final

from drivers.profile import POLL_S, PollClass
from scada.clock import NS_PER_S

SPREAD_S: Final = 5.0  # the first look at a slow value comes soon, but not all of them in one cycle
AGAIN_S: Final = 10.0  # after a device came back
JITTER: Final = 0.1


class Agenda:
    """The blocks of one device. Block number i has class `polls[i]`."""

    def __init__(self, polls: Sequence[PollClass], rng: random.Random, now_ns: int) -> None:
        self.scan = tuple(i for i, poll in enumerate(polls) if POLL_S[poll] == 0.0)
        self._period_ns = {i: int(POLL_S[poll] * NS_PER_S) for i, poll in enumerate(polls) if POLL_S[poll]}
        self._rng = rng
        self._due_ns = dict.fromkeys(self._period_ns, now_ns)
        self.again(now_ns, SPREAD_S)

    @property
    def timed(self) -> bool:
        """Tell whether any block has a pace of its own."""
        return bool(self._period_ns)

    def due(self, now_ns: int) -> tuple[int, ...]:
        """Return the blocks to ask in a cycle that begins now."""
        return self.scan + self.timed_due(now_ns)

    def timed_due(self, now_ns: int) -> tuple[int, ...]:
        """Return those of them that have a pace of their own."""
        return tuple(block for block, due_ns in self._due_ns.items() if due_ns <= now_ns)

    def asked(self, block: int, now_ns: int) -> None:
        """Set when a block is due next; one of class "scan" always is."""
        if block in self._period_ns:
            spread = self._rng.uniform(1 - JITTER, 1)
            self._due_ns[block] = now_ns + int(self._period_ns[block] * spread)

    def again(self, now_ns: int, within_s: float = AGAIN_S) -> None:
        """Ask all timed blocks soon: the device is new, or was away."""
        for block in self._due_ns:
            self._due_ns[block] = now_ns + int(self._rng.uniform(0, within_s) * NS_PER_S)

"""When each block of a device is due: those of class "scan" in every cycle, the others at their own pace.

Rule: pure; time comes in. Blocks of long periods are spread, so that a site never asks all hourly questions at once.
"""

import random
from collections.abc import Sequence
from typing import Final

from drivers.profile import POLL_S, PollClass
from scada.clock import NS_PER_S

SPREAD_S: Final = 5.0  # the first look at a slow value comes soon, but not all of them in one cycle
AGAIN_S: Final = 10.0  # after a device came back, or had no time
JITTER: Final = 0.1
IDENTIFY_S: Final = 60.0  # a meter that stays silent to the question for its number is asked no more often


def put_in_place(blocks: tuple[int, ...], block: int, parts: tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers with those of a block's parts where it stood."""
    if block not in blocks:
        return blocks
    at = blocks.index(block)
    return (*blocks[:at], *parts, *blocks[at + 1 :])


class Agenda:
    """The blocks of one device. Block number i has class `polls[i]`."""

    def __init__(self, polls: Sequence[PollClass], rng: random.Random, now_ns: int) -> None:
        self.scan = tuple(i for i, poll in enumerate(polls) if POLL_S[poll] == 0.0)
        self._period_ns = {i: int(POLL_S[poll] * NS_PER_S) for i, poll in enumerate(polls) if POLL_S[poll]}
        self._connect = tuple(i for i, poll in enumerate(polls) if poll == "connect")
        self._asked_ns: dict[int, int] = {}
        self._rng = rng
        self._due_ns = dict.fromkeys(self._period_ns, now_ns)
        self.again(now_ns, SPREAD_S)

    def split(self, block: int, parts: tuple[int, ...], now_ns: int) -> None:
        """Ask for the parts of a block instead of it, and soon."""
        self.scan = put_in_place(self.scan, block, parts)
        self._connect = put_in_place(self._connect, block, parts)
        if block in self._period_ns:
            period_ns = self._period_ns.pop(block)
            self._period_ns |= dict.fromkeys(parts, period_ns)
            del self._due_ns[block]
            self._due_ns |= dict.fromkeys(parts, now_ns)

    @property
    def timed(self) -> bool:
        """Tell whether any block has a pace of its own."""
        return bool(self._period_ns)

    def due(self, now_ns: int) -> tuple[int, ...]:
        """Return the blocks to ask in a cycle that begins now: first who it is, then what it measures."""
        timed = self.timed_due(now_ns)
        first = tuple(block for block in timed if block in self._connect)
        return (*first, *self.scan, *(block for block in timed if block not in self._connect))

    def goes_first(self, block: int) -> bool:
        """Tell whether a block is asked before those of every cycle."""
        return block in self._connect

    def timed_due(self, now_ns: int) -> tuple[int, ...]:
        """Return those of them that have a pace of their own."""
        return tuple(block for block, due_ns in self._due_ns.items() if due_ns <= now_ns)

    def asked(self, block: int, now_ns: int) -> None:
        """Set when a block is due next; one of class "scan" always is."""
        if block in self._period_ns:
            self._asked_ns[block] = now_ns
            spread = self._rng.uniform(1 - JITTER, 1)
            self._due_ns[block] = now_ns + int(self._period_ns[block] * spread)

    def unanswered(self, block: int, now_ns: int) -> None:
        """Ask a block soon again that had no answer through no fault of the device; one of class "scan" always is."""
        if block in self._due_ns:
            self._due_ns[block] = now_ns + int(self._rng.uniform(0, AGAIN_S) * NS_PER_S)

    def again(self, now_ns: int, within_s: float = AGAIN_S) -> None:
        """Ask all timed blocks soon: the device is new, or was away."""
        for block in self._due_ns:
            self._due_ns[block] = now_ns + int(self._rng.uniform(0, within_s) * NS_PER_S)
        self.identify(now_ns)

    def identified(self) -> None:
        """Note that it told who it is: whenever it is to be asked again, it is asked at once."""
        for block in self._connect:
            self._asked_ns.pop(block, None)

    def soon(self, block: int, now_ns: int) -> None:
        """Ask one timed block with the next cycle."""
        if block in self._due_ns:
            self._due_ns[block] = now_ns

    def identify(self, now_ns: int) -> None:
        """Ask at once who it is: the device is new, was away, or its line was connected anew."""
        for block in self._connect:
            asked_ns = self._asked_ns.get(block)
            again_ns = now_ns if asked_ns is None else asked_ns + int(IDENTIFY_S * NS_PER_S)
            self._due_ns[block] = max(now_ns, again_ns)

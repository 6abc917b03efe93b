"""The cycles of one gateway on the engine: between the poller, which knows devices, and a seat, which knows slots.

Rule: a plainly good reply is looked at once a cycle, together with all others; the poller hears of a single one only
when its device, its block or its gateway was in trouble.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from drivers import engine_tables as col
from drivers.communication import CommunicationTags
from drivers.engine import Engine
from drivers.engine_cycle import Cycle, Numbers, Then
from drivers.engine_seat import Seat
from drivers.modbus import Request
from drivers.outcome import Outcome
from drivers.readings import DeviceReadings

NS_PER_MS: Final = 1_000_000

Judge = Callable[[int, int, Outcome, int], Then]  # device number, block, outcome, elapsed ns
Heard = Callable[[int, int, int], None]  # device number, block, elapsed ns


class EnginePolls:
    """What one gateway's devices are asked, and what they answered. Device number i is `readings[i]`."""

    def __init__(
        self,
        engine: Engine,
        seat: Seat,
        readings: Sequence[DeviceReadings],
        scans: Sequence[tuple[int, ...]],
        tags: CommunicationTags,
        judge: Judge,
        heard: Heard,
        on_end: Callable[[], None],
    ) -> None:
        """judge: of what was not plainly good. heard: a good reply that `tell` asked for. on_end: of a cycle.

        scans: the blocks of each device that every cycle asks.
        """
        self._engine = engine
        self._seat = seat
        self._readings = readings
        self._tags = tags
        self._judge = judge
        self._heard = heard
        self._on_end = on_end
        self._slots = [list(device.slots) for device in readings]
        self._places = {slot: (n, b) for n, slots in enumerate(self._slots) for b, slot in enumerate(slots)}
        seat.serve(self, self._requests(self._places), sum(device.spare for device in readings))
        self._numbers: Numbers = np.array([number for number, _ in self._places.values()], dtype=np.int64)
        self._all: Numbers = np.array(list(self._places), dtype=np.int64)
        self._good = engine.tables.polls[:, col.P_GOOD]
        self._last_ns = engine.tables.polls[:, col.P_LAST_NS]
        self._good_before: Numbers = self._good[self._all]
        self._scans = [[slots[block] for block in blocks] for slots, blocks in zip(self._slots, scans, strict=True)]
        self._asked: tuple[tuple[int, ...], tuple[tuple[int, int, bool], ...]] | None = None
        self._cycle = Cycle([])
        self._replies_before = 0

    def _requests(self, places: Mapping[int, tuple[int, int]]) -> dict[int, Request]:
        requests = {slot: self._readings[number].requests[block] for slot, (number, block) in places.items()}
        return {slot: request for slot, request in requests.items() if isinstance(request, Request)}

    def split(self, number: int, block: int, scan: tuple[int, ...]) -> None:
        """Ask a device for the parts of a block from the next cycle on; its `requests` end with them.

        scan: the blocks of the device that every cycle asks.
        """
        slots = self._slots[number]
        added = dict(enumerate(self._readings[number].slots[len(slots) :], len(slots)))
        places = {slot: (number, part) for part, slot in added.items()}
        self._places |= places
        self._seat.also(self._requests(places))
        kept = self._all != slots[block]  # its last response time is nobody's any more
        new: Numbers = np.array(list(places), dtype=np.int64)
        self._all = np.concatenate((self._all[kept], new))
        self._numbers = np.concatenate((self._numbers[kept], np.full_like(new, number)))
        self._good_before = np.concatenate((self._good_before[kept], self._good[new]))
        slots += places
        self._scans[number] = [slots[each] for each in scan]
        self._asked = None

    def begin(self, left_out: tuple[int, ...], also: tuple[tuple[int, int, bool], ...] = ()) -> None:
        """Ask every device but those; `on_end` follows, possibly before this returns.

        also: (device number, block, before the others) of what is due beside the blocks of every cycle.
        """
        if (left_out, also) != self._asked:
            self._asked = left_out, also
            absent = frozenset(left_out)
            chains = {number: slots for number, slots in enumerate(self._scans) if number not in absent}
            for number, block, first in also:
                slot, chain = self._slots[number][block], chains[number]
                chains[number] = [slot, *chain] if first else [*chain, slot]
            self._cycle = Cycle([slots for slots in chains.values() if slots])
        self._seat.begin(self._cycle)

    def tell(self, every: bool) -> None:
        """Let the poller hear of every good reply, or only of those that `tell_of` names."""
        self._seat.tell(every)

    def tell_of(self, number: int, block: int, wanted: bool) -> None:
        """Let the poller hear when a block is answered well."""
        self._seat.tell_of(self._slots[number][block], wanted)

    def any_good(self) -> bool:
        """Tell whether a good reply came since this was last asked."""
        before, self._replies_before = self._replies_before, self._seat.good_replies
        return self._replies_before != before

    def response_ns(self) -> Numbers:
        """Return the longest of the last response times of each device's blocks, (n_devices,)."""
        longest: Numbers = np.zeros(len(self._slots), dtype=np.int64)
        np.maximum.at(longest, self._numbers, self._last_ns[self._all])
        return longest

    # -- what the seat says (engine_cycle.CycleClient)

    def good(self, slot: int, elapsed_ns: int) -> None:
        self._heard(*self._places[slot], elapsed_ns)

    def answered(self, slot: int, outcome: Outcome, elapsed_ns: int) -> Then:
        return self._judge(*self._places[slot], outcome, elapsed_ns)

    def ended(self) -> None:
        good = self._good[self._all]
        answered = good != self._good_before
        self._good_before = good
        self._tags.answers(self._numbers[answered], self._last_ns[self._all[answered]] / NS_PER_MS)
        self._on_end()

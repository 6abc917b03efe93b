"""The newest checked reply of every block of every device, as bytes in one array, until the scan decodes them in bulk.

A slot is one block of one device. Slots of one (profile, block) stand together, so that one compiled decoder takes them
all. A line writes a payload into its slot, notes when it was complete and marks the slot fresh; nothing is decoded and
no object is made until the scan asks. Behind all of them stand the slots of the parts of blocks with holes, numbered on
from the blocks of their profile; hardly any is ever used, and memory that nobody touched is none.
Rule: this file knows places, not meanings; only payloads that passed every check of their protocol may be put here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from drivers.device import Device
from drivers.holes import FullPlan, full_plan
from drivers.pollplan import Block
from drivers.profile import Profile

Bytes = npt.NDArray[np.uint8]
Times = npt.NDArray[np.int64]

STALE_SLOT: Final = 0
FRESH_SLOT: Final = 1


@dataclass(frozen=True, slots=True)
class ReplyTable:
    """All devices' slots of one block of one profile. n devices in the order of `devices`."""

    profile: Profile
    block_number: int
    block: Block
    dormant: bool  # a part, asked only of devices that refuse the block it is of
    devices: tuple[Device, ...]
    first_slot: int
    payload: Bytes  # (n, payload_bytes) view into the arena
    received_ns: Times  # (n,) view: UTC of the complete receipt
    fresh: Bytes  # (n,) view: FRESH_SLOT until the decoder took it


class ReplyStore:
    """The arena of one site. Flat arrays over slots let a compiled line engine write without knowing the tables."""

    def __init__(self, devices: Sequence[Device]) -> None:
        by_profile: dict[str, list[Device]] = {}
        for device in devices:
            by_profile.setdefault(device.profile.id, []).append(device)
        self._plans = {profile: full_plan(members[0].profile) for profile, members in by_profile.items()}
        every = [(p, n, block) for p, plan in self._plans.items() for n, block in enumerate(plan.reads)]
        reads = sorted(every, key=lambda read: self._is_part(read[0], read[1]))
        slots = sum(len(by_profile[profile]) for profile, _, _ in reads)
        self.payload_at = np.zeros(slots, dtype=np.int64)  # where a slot's payload begins in the arena
        self.payload_bytes = np.zeros(slots, dtype=np.int64)
        self.received_ns: Times = np.zeros(slots, dtype=np.int64)
        self.fresh: Bytes = np.zeros(slots, dtype=np.uint8)
        size = sum(len(by_profile[profile]) * block.payload_bytes for profile, _, block in reads)
        self.arena: Bytes = np.zeros(size, dtype=np.uint8)
        self.tables: list[ReplyTable] = []
        self._place = {device.id: (p, i) for p, members in by_profile.items() for i, device in enumerate(members)}
        self._first: dict[tuple[str, int], int] = {}
        slot = at = 0
        for profile, number, block in reads:
            members = by_profile[profile]
            self._add_table(tuple(members), number, block, slot, at)
            slot += len(members)
            at += len(members) * block.payload_bytes

    def _is_part(self, profile_id: str, number: int) -> bool:
        return number >= self._plans[profile_id].planned

    def _add_table(self, devices: tuple[Device, ...], number: int, block: Block, slot: int, at: int) -> None:
        n, size = len(devices), block.payload_bytes
        self.payload_at[slot : slot + n] = at + size * np.arange(n)
        self.payload_bytes[slot : slot + n] = size
        payload = self.arena[at : at + n * size].reshape(n, size)
        received, fresh = self.received_ns[slot : slot + n], self.fresh[slot : slot + n]
        profile = devices[0].profile
        dormant = self._is_part(profile.id, number)
        self.tables.append(ReplyTable(profile, number, block, dormant, devices, slot, payload, received, fresh))
        self._first[profile.id, number] = slot

    def plan_of(self, device: Device) -> FullPlan:
        """Return what a device may be asked."""
        return self._plans[device.profile.id]

    def slot(self, device_id: str, block: int) -> int:
        """Return the slot of a block or part; KeyError for a device or block that does not exist."""
        profile, i = self._place[device_id]
        return self._first[profile, block] + i

    def put(self, slot: int, payload: bytes, utc_ns: int) -> None:
        """Keep a checked payload that was complete at `utc_ns`. ValueError for another length than its block's."""
        at, size = int(self.payload_at[slot]), int(self.payload_bytes[slot])
        if len(payload) != size:
            raise ValueError(f"slot {slot} holds {size} bytes, not {len(payload)}")
        self.arena[at : at + size] = np.frombuffer(payload, dtype=np.uint8)
        self.received_ns[slot] = utc_ns
        self.fresh[slot] = FRESH_SLOT

"""The poll plan: the fewest legal reads that fetch every register of a profile.

Rule: pure; a register is never split over two reads, because a counter that moves between them would be torn. Registers
of different poll classes never share a read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from drivers.modbus import BIT_READS, READ_LIMIT
from drivers.profile import POLL_S, PollClass, Profile, Register

BITS_PER_REGISTER: Final = 16  # a model's limit in registers, applied to a read of coils


@dataclass(frozen=True, slots=True)
class Block:
    """One read: `count` Modbus registers (or coils) from `address`, or the data of one identifier."""

    function: int  # 0 for a data identifier
    address: int  # or the data identifier
    count: int  # registers, coils, or bytes of data
    registers: tuple[int, ...]  # indices into profile.registers, in the order of their places
    poll: PollClass = "scan"

    @property
    def payload_bytes(self) -> int:
        """Bytes of the payload that the right reply carries."""
        if self.function == 0:
            return self.count
        return (self.count + 7) // 8 if self.function in BIT_READS else 2 * self.count


def plan_blocks(profile: Profile) -> tuple[Block, ...]:
    """Return the reads of a profile, by poll class, function and address (or identifier).

    A Modbus block bridges at most `merge_gap` unused registers and is at most `max_registers` long (and never longer
    than the protocol allows). Growing each block from the lowest address as far as it goes gives the fewest blocks,
    since a later start never reaches less far. A data identifier is one read. ValueError when one register alone is
    longer than a block may be.
    """
    found: list[Block] = []
    for poll in POLL_S:
        numbered = [(i, r) for i, r in enumerate(profile.registers) if r.poll == poll]
        if profile.protocol == "modbus":
            for function in sorted({r.function for _, r in numbered}):
                found += _plan(profile, function, [(i, r) for i, r in numbered if r.function == function], poll)
        else:
            found += [_item(profile, di, numbered, poll) for di in sorted({r.di for _, r in numbered})]
    return tuple(found)


def _plan(profile: Profile, function: int, numbered: list[tuple[int, Register]], poll: PollClass) -> Iterator[Block]:
    numbered.sort(key=lambda item: (item[1].address, item[1].words))
    limit = block_limit(profile, function)
    members: list[int] = []
    start = end = 0
    for index, register in numbered:
        reach = register.address + register.words
        if register.words > limit:
            raise ValueError(f"{profile.id}: {register.measure} is longer than the longest block read, {limit}")
        fits = register.address - end <= profile.merge_gap and max(end, reach) - start <= limit
        if members and not fits:
            yield Block(function, start, end - start, tuple(members), poll)
            members = []
        if not members:
            start = end = register.address
        members.append(index)
        end = max(end, reach)
    yield Block(function, start, end - start, tuple(members), poll)


def _item(profile: Profile, di: int, numbered: list[tuple[int, Register]], poll: PollClass) -> Block:
    members = sorted((r.at, i) for i, r in numbered if r.di == di)
    given = {item.di: item.bytes for item in profile.data}
    reached = (max(r.at + r.bytes, r.unit_at + 1) for r in (profile.registers[i] for _, i in members))
    size = given.get(di) or max(reached)
    return Block(0, di, size, tuple(i for _, i in members), poll)


def block_limit(profile: Profile, function: int) -> int:
    """Return the longest read, in registers or coils, that both the protocol and the model accept."""
    per_register = BITS_PER_REGISTER if function in BIT_READS else 1
    return min(READ_LIMIT[function], profile.max_registers * per_register)


def place_of(block: Block, register: Register) -> int:
    """Return where a register of a Modbus block begins, counted in registers (or coils) from the start of the block."""
    return register.address - block.address

"""The poll plan: the fewest legal block reads that fetch every register of a profile.

Rule: pure; a register is never split over two reads, because a counter that moves between them would be torn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from drivers.modbus import BIT_READS, READ_LIMIT
from drivers.profile import Profile, Register

BITS_PER_REGISTER: Final = 16  # a model's limit in registers, applied to a read of coils


@dataclass(frozen=True, slots=True)
class Block:
    """One read request: `count` registers (or coils) from `address`."""

    function: int
    address: int
    count: int
    registers: tuple[int, ...]  # indices into profile.registers, in the order of their addresses


def plan_blocks(profile: Profile) -> tuple[Block, ...]:
    """Return the block reads of a profile, by function and address.

    A block bridges at most `merge_gap` unused registers and is at most `max_registers` long (and never longer than the
    protocol allows). Growing each block from the lowest address as far as it goes gives the fewest blocks, since a
    later start never reaches less far. ValueError when one register alone is longer than a block may be.
    """
    return tuple(
        block for function in sorted({r.function for r in profile.registers}) for block in _plan(profile, function)
    )


def _plan(profile: Profile, function: int) -> Iterator[Block]:
    numbered = [(i, r) for i, r in enumerate(profile.registers) if r.function == function]
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
            yield Block(function, start, end - start, tuple(members))
            members = []
        if not members:
            start = end = register.address
        members.append(index)
        end = max(end, reach)
    yield Block(function, start, end - start, tuple(members))


def block_limit(profile: Profile, function: int) -> int:
    """Return the longest read, in registers or coils, that both the protocol and the model accept."""
    per_register = BITS_PER_REGISTER if function in BIT_READS else 1
    return min(READ_LIMIT[function], profile.max_registers * per_register)


def place_of(block: Block, register: Register) -> int:
    """Return where a register of a block begins, counted in registers (or coils) from the start of the block."""
    return register.address - block.address

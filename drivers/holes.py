"""Split block reads at the holes of a device's map.

Many meters answer a whole block with exception 02 when one register in it is undefined. Splitting the block again and
again finds the undefined register, which then costs only itself. A model whose maps are known to differ gets
`merge_gap = 0` in its profile, and its blocks bridge nothing from the start.
Rule: pure; a register is never cut, and registers that share words stay together.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from drivers.modbus import BIT_READS
from drivers.pollplan import Block
from drivers.profile import Profile, Register


def split(block: Block, profile: Profile) -> tuple[Block, ...]:
    """Return the parts to ask for instead of a block that was refused; (block,) when it cannot be split.

    A block with holes is split at them all, since a hole is the likeliest culprit; one without is halved.
    """
    if block.function == 0:  # the data of an identifier are one thing
        return (block,)
    groups = _groups(block, profile)
    runs = _runs(groups, profile)
    if len(runs) == 1 and len(groups) > 1:
        middle = len(groups) // 2
        runs = [groups[:middle], groups[middle:]]
    if len(runs) == 1:
        return (block,)
    return tuple(_block(block, profile, [index for group in run for index in group]) for run in runs)


def assemble(block: Block, parts: Sequence[Block], payloads: Sequence[bytes]) -> bytes:
    """Return the payload that the whole block would have had, from those of its parts, with zeros in the holes.

    No register of the block lies in a hole, so what decodes the block decodes this. ValueError when a payload is not as
    long as its part, or a part lies outside the block.
    """
    if block.function in BIT_READS:
        return _assemble_bits(block, parts, payloads)
    whole = bytearray(block.payload_bytes)
    for part, payload in zip(parts, payloads, strict=True):
        _check_part(block, part, payload)
        at = 2 * (part.address - block.address)
        whole[at : at + len(payload)] = payload
    return bytes(whole)


def _assemble_bits(block: Block, parts: Sequence[Block], payloads: Sequence[bytes]) -> bytes:
    bits = 0
    for part, payload in zip(parts, payloads, strict=True):
        _check_part(block, part, payload)
        bits |= int.from_bytes(payload, "little") << (part.address - block.address)
    return bits.to_bytes(block.payload_bytes, "little")


def _check_part(block: Block, part: Block, payload: bytes) -> None:
    inside = block.address <= part.address and part.address + part.count <= block.address + block.count
    if not inside or part.function != block.function or len(payload) != part.payload_bytes:
        raise ValueError(f"{len(payload)} bytes of {part.count} places from {part.address} are no part of the block")


def survivors(blocks: Iterable[Block], profile: Profile, refused: Callable[[Block], bool]) -> Iterator[Block]:
    """Yield the blocks that a device answers: each one refused is split until its parts are answered or single.

    refused: asks the device for a block and tells whether it said 02. Costs at most 2 n questions for n registers.
    """
    waiting = list(blocks)[::-1]
    while waiting:
        block = waiting.pop()
        if not refused(block):
            yield block
            continue
        parts = split(block, profile)
        if len(parts) > 1:
            waiting += parts[::-1]


def _groups(block: Block, profile: Profile) -> list[list[int]]:
    """Return the registers of a block in the order of their addresses; those that share words in one group."""
    numbered = sorted(block.registers, key=lambda index: (profile.registers[index].address, index))
    groups: list[list[int]] = []
    end = -1
    for index in numbered:
        register = profile.registers[index]
        if groups and register.address < end:
            groups[-1].append(index)
        else:
            groups.append([index])
        end = max(end, _end(register))
    return groups


def _runs(groups: list[list[int]], profile: Profile) -> list[list[list[int]]]:
    """Return groups that follow each other without a hole, together."""
    runs = [groups[:1]]
    for before, group in pairwise(groups):
        if profile.registers[group[0]].address > max(_end(profile.registers[index]) for index in before):
            runs.append([])
        runs[-1].append(group)
    return runs


def _block(block: Block, profile: Profile, members: list[int]) -> Block:
    registers = [profile.registers[index] for index in members]
    start = min(register.address for register in registers)
    end = max(_end(register) for register in registers)
    return Block(block.function, start, end - start, tuple(members), block.poll)


def _end(register: Register) -> int:
    return register.address + register.words

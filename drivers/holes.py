"""The reads of a profile with their *parts*: what a device is asked instead of a block that bridges what it has not.

A block read bridges unused registers up to the profile's `merge_gap`, which saves questions. Some meters refuse such a
block with exception 02. From then on such a meter is asked for the parts of the block: its runs of used registers, as
`merge_gap = 0` would have planned them. A block without a hole has no parts; when it is refused, it stays refused.
Rule: pure; a register is never cut, and registers that share words stay together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drivers.pollplan import Block, plan_blocks
from drivers.profile import Profile

REFUSED_CODE: Final = 0x02  # Modbus application protocol V1.1b3 section 7: illegal data address


@dataclass(frozen=True, slots=True)
class FullPlan:
    """All reads that a device of a profile may be asked."""

    reads: tuple[Block, ...]  # the blocks of the poll plan, and behind them their parts
    planned: int  # so many of them are the plan
    parts: Mapping[int, range]  # number of a block with holes -> numbers of its parts


def full_plan(profile: Profile) -> FullPlan:
    """Return the poll plan of a profile with the parts of its blocks."""
    blocks = plan_blocks(profile)
    reads, numbers = list(blocks), {}
    for number, block in enumerate(blocks):
        parts = parts_of(block, profile)
        if parts:
            numbers[number] = range(len(reads), len(reads) + len(parts))
            reads += parts
    return FullPlan(tuple(reads), len(blocks), numbers)


def parts_of(block: Block, profile: Profile) -> tuple[Block, ...]:
    """Return the reads that bring what a block brings without its holes; () for a block that has none."""
    if block.function == 0:  # the data of an identifier are one thing
        return ()
    runs: list[list[int]] = []
    end = block.address
    for index in block.registers:
        register = profile.registers[index]
        if not runs or register.address > end:
            runs.append([])
        runs[-1].append(index)
        end = max(end, register.address + register.words)
    return tuple(_read(block, profile, run) for run in runs) if len(runs) > 1 else ()


def _read(block: Block, profile: Profile, members: list[int]) -> Block:
    registers = [profile.registers[index] for index in members]
    start = registers[0].address
    end = max(register.address + register.words for register in registers)
    return Block(block.function, start, end - start, tuple(members), block.poll)

"""The poll plan as a table: registers in, block reads out."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from harness import profile, register

from drivers.modbus import READ_LIMIT
from drivers.pollplan import Block, plan_blocks
from drivers.profile import WORDS

# what, registers as (function, address, type), max_registers, merge_gap, blocks as (function, address, count)
PLANS: list[tuple[str, list[tuple[int, int, Any]], int, int, list[tuple[int, int, int]]]] = [
    ("one register", [(3, 7, "u16")], 125, 0, [(3, 7, 1)]),
    ("neighbours merge", [(3, 0, "u32"), (3, 2, "u16"), (3, 3, "u64")], 125, 0, [(3, 0, 7)]),
    ("order of the profile does not matter", [(3, 2, "u16"), (3, 0, "u32")], 125, 0, [(3, 0, 3)]),
    ("a hole splits", [(3, 0, "u16"), (3, 2, "u16")], 125, 0, [(3, 0, 1), (3, 2, 1)]),
    ("a hole within the gap is bridged", [(3, 0, "u16"), (3, 9, "u16")], 125, 8, [(3, 0, 10)]),
    ("a hole one longer is not", [(3, 0, "u16"), (3, 10, "u16")], 125, 8, [(3, 0, 1), (3, 10, 1)]),
    ("functions never mix", [(3, 0, "u16"), (4, 1, "u16")], 125, 8, [(3, 0, 1), (4, 1, 1)]),
    ("the limit splits before a register", [(3, 0, "u16"), (3, 1, "u32")], 2, 0, [(3, 0, 1), (3, 1, 2)]),
    ("the limit is reached exactly", [(3, 0, "u16"), (3, 1, "u32")], 3, 0, [(3, 0, 3)]),
    ("the protocol's limit holds", [(3, a, "u16") for a in range(126)], 999, 0, [(3, 0, 125), (3, 125, 1)]),
    ("overlapping views of one register", [(3, 0, "u32"), (3, 1, "u16")], 125, 0, [(3, 0, 2)]),
    ("coils count bits", [(1, a, "bit") for a in range(32)], 2, 0, [(1, 0, 32)]),
    ("coils split at the model's limit", [(1, a, "bit") for a in range(33)], 2, 0, [(1, 0, 32), (1, 32, 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("registers", "longest", "gap", "blocks"), [p[1:] for p in PLANS], ids=[p[0] for p in PLANS])
def test_the_plan(
    registers: list[tuple[int, int, Any]], longest: int, gap: int, blocks: list[tuple[int, int, int]]
) -> None:
    model = profile(
        *(register(f"R{i}", address, kind, function) for i, (function, address, kind) in enumerate(registers)),
        max_registers=longest,
        merge_gap=gap,
    )
    assert [(b.function, b.address, b.count) for b in plan_blocks(model)] == blocks


def test_a_register_longer_than_the_longest_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="R0"):
        plan_blocks(profile(register("R0", 0, "u64"), max_registers=3))


def legal(blocks: tuple[Block, ...], model: Any) -> bool:
    """Check every rule of a plan independently of how it was made."""
    seen = sorted(index for block in blocks for index in block.registers)
    if seen != list(range(len(model.registers))):
        return False
    for block in blocks:
        limit = min(READ_LIMIT[block.function], model.max_registers)
        spans = sorted((r.address, r.address + WORDS[r.type]) for r in (model.registers[i] for i in block.registers))
        end = spans[0][0]
        for start, stop in spans:
            if start - end > model.merge_gap:
                return False
            end = max(end, stop)
        if spans[0][0] != block.address or end != block.address + block.count or block.count > limit:
            return False
    return True


def fewest(model: Any) -> int:
    """Return the least number of blocks by trying every partition of the sorted registers into runs."""
    order = sorted(range(len(model.registers)), key=lambda i: model.registers[i].address)
    for cuts in range(len(order)):
        for places in itertools.combinations(range(1, len(order)), cuts):
            runs = [order[a:b] for a, b in itertools.pairwise((0, *places, len(order)))]
            blocks = tuple(_block(model, run) for run in runs)
            if legal(blocks, model):
                return len(blocks)
    raise AssertionError("no legal plan")


def _block(model: Any, run: list[int]) -> Block:
    start = min(model.registers[i].address for i in run)
    stop = max(model.registers[i].address + model.registers[i].words for i in run)
    return Block(3, start, stop - start, tuple(run))


@pytest.mark.parametrize("seed", range(60))
def test_random_plans_are_legal_and_have_the_fewest_blocks(seed: int) -> None:
    import random

    rng = random.Random(seed)
    registers = [
        register(f"R{i}", rng.randrange(24), rng.choice(["u16", "u32", "u64"])) for i in range(rng.randint(1, 8))
    ]
    model = replace(profile(*registers), max_registers=rng.randint(4, 12), merge_gap=rng.randint(0, 4))
    blocks = plan_blocks(model)
    assert legal(blocks, model)
    assert len(blocks) == fewest(model)


def test_a_unit_byte_behind_its_value_belongs_to_the_data() -> None:
    settled = register("Settled", 0, "bcd", 0, di=0xD120, size=4, unit_at=4)
    model = replace(profile(settled), protocol="cjt188")
    assert [block.payload_bytes for block in plan_blocks(model)] == [5]

"""Blocks split at the holes of a map: an undefined register costs only itself."""

import pytest
from harness import profile, register
from hypothesis import given
from hypothesis import strategies as st

from drivers.holes import assemble, split, survivors
from drivers.pollplan import Block, plan_blocks
from drivers.profile import Profile

GAPPED = profile(
    register("A", 0, "u32"), register("B", 2), register("C", 5), register("D", 6), register("E", 9), merge_gap=8
)


def places(blocks: tuple[Block, ...]) -> list[tuple[int, int]]:
    return [(block.address, block.count) for block in blocks]


def test_a_block_with_holes_is_split_at_them() -> None:
    (block,) = plan_blocks(GAPPED)
    assert places(split(block, GAPPED)) == [(0, 3), (5, 2), (9, 1)]


def test_a_block_without_holes_is_halved_and_no_register_is_cut() -> None:
    model = profile(register("A", 0, "u32"), register("B", 2, "u32"), register("C", 4, "u64"))
    (block,) = plan_blocks(model)
    assert places(split(block, model)) == [(0, 2), (2, 6)]


def test_a_single_register_and_registers_that_share_words_are_not_split() -> None:
    one = profile(register("A", 0, "u64"))
    (block,) = plan_blocks(one)
    assert split(block, one) == (block,)
    shared = profile(register("A", 0, "u32"), register("Low", 1), register("Bit", 0, mask=1))
    (block,) = plan_blocks(shared)
    assert split(block, shared) == (block,)


def test_a_data_identifier_is_not_split() -> None:
    block = Block(0, 0x901F, 19, (0, 1))
    assert split(block, GAPPED) == (block,)


def test_no_gap_is_bridged_when_the_profile_says_so() -> None:
    careful = profile(*GAPPED.registers, merge_gap=0)
    (block,) = plan_blocks(GAPPED)
    assert plan_blocks(careful) == split(block, GAPPED)


@given(st.binary(min_size=20, max_size=20))
def test_parts_are_assembled_to_what_the_block_would_have_said(memory: bytes) -> None:
    """The decoder of the block finds every register in the assembled payload; only the holes differ."""
    (block,) = plan_blocks(GAPPED)
    parts = split(block, GAPPED)
    whole = assemble(block, parts, [memory[2 * p.address : 2 * (p.address + p.count)] for p in parts])
    assert len(whole) == block.payload_bytes
    for r in (GAPPED.registers[index] for index in block.registers):
        assert whole[2 * r.address : 2 * (r.address + r.words)] == memory[2 * r.address : 2 * (r.address + r.words)]
    assert whole[6:10] == bytes(4)


@given(st.lists(st.booleans(), min_size=30, max_size=30))
def test_coils_are_assembled_bit_by_bit(coils: list[bool]) -> None:
    places = [0, 1, 2, 9, 17, 18, 29]
    model = profile(*(register(f"C{at}", at, "bit", 1) for at in places), merge_gap=32)
    (block,) = plan_blocks(model)
    parts = split(block, model)
    assert [(part.address, part.count) for part in parts] == [(0, 3), (9, 1), (17, 2), (29, 1)]

    def payload(part: Block) -> bytes:
        bits = sum(coils[part.address + at] << at for at in range(part.count))
        return bits.to_bytes(part.payload_bytes, "little")

    whole = int.from_bytes(assemble(block, parts, [payload(part) for part in parts]), "little")
    assert whole == sum(coils[at] << at for at in places)


def test_what_is_no_part_is_refused() -> None:
    (block,) = plan_blocks(GAPPED)
    for part, payload in ((Block(3, 8, 4, ()), bytes(8)), (Block(4, 0, 2, ()), bytes(4)), (Block(3, 0, 2, ()), b"\0")):
        with pytest.raises(ValueError, match="no part"):
            assemble(block, [part], [payload])


def test_a_poll_class_stays() -> None:
    model = profile(register("A", 0, poll="hour"), register("B", 1, poll="hour"))
    (block,) = plan_blocks(model)
    assert {part.poll for part in split(block, model)} == {"hour"}


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    registers, at = [], 0
    for number in range(draw(st.integers(1, 30))):
        at += draw(st.sampled_from([0, 0, 0, 1, 5]))
        item = register(f"R{number}", at, draw(st.sampled_from(["u16", "u32", "u64"])), draw(st.sampled_from([3, 4])))
        registers.append(item)
        at += item.words
    return profile(*registers, merge_gap=draw(st.integers(0, 8)), max_registers=draw(st.sampled_from([8, 60, 125])))


@given(profiles(), st.data())
def test_every_defined_register_is_read_once_and_no_undefined_one(model: Profile, data: st.DataObject) -> None:
    """A device that refuses each block that touches a register it has not: exactly its own registers are read."""
    count = len(model.registers)
    undefined = data.draw(st.sets(st.integers(0, count - 1), max_size=4))
    defined = [r for i, r in enumerate(model.registers) if i not in undefined]
    known = {(r.function, r.address + word) for r in defined for word in range(r.words)}
    asked = []

    def refused(block: Block) -> bool:
        asked.append(block)
        return not {(block.function, block.address + word) for word in range(block.count)} <= known

    read = [index for block in survivors(plan_blocks(model), model, refused) for index in block.registers]
    assert sorted(read) == sorted(set(range(count)) - undefined)
    assert len(asked) <= 2 * count


def test_a_bad_register_costs_few_questions() -> None:
    model = profile(*(register(f"R{n}", n) for n in range(64)))
    asked = []

    def refused(block: Block) -> bool:
        asked.append(block)
        return block.address <= 37 < block.address + block.count

    assert sum(len(block.registers) for block in survivors(plan_blocks(model), model, refused)) == 63
    assert len(asked) <= 13, "halving 64 registers six times, two questions each"

"""Blocks that are refused for a hole: they are read in their parts, on every kind of line, and nothing else changes."""

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from harness import (
    COMMAND_AT,
    METER,
    OPEN_WORD,
    STATUS_AT,
    VOLTAGE_AT,
    FakeGateway,
    Plant,
    exception,
    profile,
    register,
    seeded,
    until,
)
from hypothesis import given
from hypothesis import strategies as st
from line_asker import FORM
from loguru import logger
from rtu_bus import RtuBus, TcpEnd

from drivers.bus import FieldBus
from drivers.holes import full_plan, parts_of
from drivers.modbus_rtu import with_crc
from drivers.pollplan import Block, plan_blocks
from drivers.profile import PollClass, Profile
from scada.position import CLOSED, OPEN
from scada.quality import BAD_CONFIGURATION_ERROR, GOOD

GAPPED = profile(
    register("A", 0, "u32"), register("B", 2), register("C", 5), register("D", 6), register("E", 9), merge_gap=8
)
VOLTAGE, POSITION, ONLINE, ERRORS = 1, 2, 3, 4
WHOLE = (0, STATUS_AT + 1)  # address and count of the one block that the plan makes of METER
PARTS = [(0, VOLTAGE_AT + 1), (STATUS_AT, 1)]
UNITS = 3


def places(blocks: tuple[Block, ...]) -> list[tuple[int, int]]:
    return [(block.address, block.count) for block in blocks]


# ---- the parts


def test_a_block_with_holes_has_parts_and_one_without_has_none() -> None:
    (block,) = plan_blocks(GAPPED)
    assert places(parts_of(block, GAPPED)) == [(0, 3), (5, 2), (9, 1)]
    assert parts_of(Block(0, 0x901F, 19, (0, 1)), GAPPED) == (), "the data of an identifier are one thing"
    shared = profile(register("A", 0, "u32"), register("Low", 1), register("Bit", 0, mask=1), register("B", 2))
    (block,) = plan_blocks(shared)
    assert parts_of(block, shared) == ()


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    registers, at = [], 0
    for number in range(draw(st.integers(1, 30))):
        at += draw(st.sampled_from([0, 0, 0, 1, 5]))
        type_, poll = draw(st.sampled_from(["u16", "u32", "u64"])), draw(st.sampled_from(["scan", "scan", "hour"]))
        registers.append(register(f"R{number}", at, type_, draw(st.sampled_from([3, 4])), poll=poll))
        at += registers[-1].words
    return profile(*registers, merge_gap=draw(st.integers(0, 8)), max_registers=draw(st.sampled_from([8, 60, 125])))


@given(profiles())
def test_the_parts_read_every_register_of_their_block_once_and_nothing_between(model: Profile) -> None:
    plan = full_plan(model)
    assert plan.reads[: plan.planned] == plan_blocks(model)
    for number, block in enumerate(plan.reads[: plan.planned]):
        parts = [plan.reads[part] for part in plan.parts.get(number, ())]
        used = {model.registers[i].address + word for i in block.registers for word in range(model.registers[i].words)}
        assert bool(parts) == (len(used) < block.count)
        if parts:
            assert [i for part in parts for i in part.registers] == list(block.registers)
            assert [part.address + at for part in parts for at in range(part.count)] == sorted(used)
            assert {(part.function, part.poll) for part in parts} == {(block.function, block.poll)}


# ---- on the lines

Refuses = Callable[[int, int, int], bool]  # unit, address, count


class Meters:
    """Meters on a line of any kind, some of which refuse some reads."""

    def __init__(self, refuses: Refuses) -> None:
        self.gateway = FakeGateway(UNITS, self._react)
        self.refuses = refuses
        self.silent: set[int] = set()
        self.reads: dict[int, list[tuple[int, int]]] = {unit: [] for unit in range(1, UNITS + 1)}

    async def _react(self, gateway: FakeGateway, frame: bytes, writer: Any) -> bytes:
        return self.answer(frame)

    def answer(self, frame: bytes) -> bytes:
        unit, function, address, count = struct.unpack_from(">BBHH", frame, 6)
        if unit in self.silent:
            return b""
        if function != 3:
            return self.gateway.answer(frame)
        self.reads[unit].append((address, count))
        return exception(frame, 2) if self.refuses(unit, address, count) else self.gateway.answer(frame)

    async def serial(self, frame: bytes) -> bytes:
        """Answer a serial frame as the same meter does behind Modbus TCP."""
        reply = self.answer(struct.pack(">HHH", 0, 0, len(frame) - 2) + frame[:-2])
        return with_crc(reply[6:]) if reply else b""


class Setup:
    def __init__(self, meters: Meters, plant: Plant, bus: FieldBus) -> None:
        self.meters, self.plant, self.bus = meters, plant, bus

    async def good(self, *tags: int, number: int = 0) -> None:
        await until(
            lambda: all(self.plant.quality(number, tag) == GOOD for tag in tags), f"{tags} of {number} are good"
        )


WAYS = ("engine", "poll by poll", "rtu over tcp")


@asynccontextmanager
async def running(reactor: Any, way: str, refuses: Refuses, model: Profile) -> AsyncIterator[Setup]:
    meters, plant = Meters(refuses), Plant(UNITS)
    rtu = RtuBus()
    rtu.answer = meters.serial
    end = TcpEnd(rtu)
    await meters.gateway.start()
    await end.start()
    if way == "rtu over tcp":
        gateway = plant.gateway(end.port, transport="tcp", line=FORM)
    else:
        gateway = plant.gateway(meters.gateway.port)
    devices = [replace(device, profile=model) for device in plant.devices]
    bus = FieldBus(reactor, plant.clock, [gateway], devices, plant.stage, seeded())
    bus.start()
    try:
        yield Setup(meters, plant, bus)
    finally:
        await bus.stop()
        await end.stop()
        await meters.gateway.stop()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "poll by poll":
        monkeypatch.setattr("numba.config.DISABLE_JIT", True)
    return str(request.param)


@pytest.fixture
def told() -> Any:
    lines: list[str] = []
    number = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(number)


def model(poll: PollClass = "scan") -> Profile:
    """METER in one block with a hole; poll: the class of all its registers."""
    return replace(METER, merge_gap=32, registers=tuple(replace(each, poll=poll) for each in METER.registers))


def over_a_hole(unit: int, address: int, count: int) -> bool:
    """Meter 1 has nothing between its voltage and its status; the others answer zeros there."""
    return unit == 1 and address <= VOLTAGE_AT < STATUS_AT < address + count


def test_a_refused_block_with_holes_is_read_in_its_parts(reactor_loop: Any, way: str, told: list[str]) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, way, over_a_hole, model()) as at:
            await at.good(0, VOLTAGE, POSITION, ONLINE)
            await until(lambda: len(at.meters.reads[1]) > 20, "several cycles")
            assert at.meters.reads[1][0] == WHOLE
            assert WHOLE not in at.meters.reads[1][1:], "never again"
            assert at.meters.reads[1][1:5] == PARTS * 2, "in every cycle"
            assert set(at.meters.reads[2]) == {WHOLE}, "a meter that answers it is asked as before"
            columns = at.plant.publish()
            assert list(columns.points.raw) == [1001, 1002, 1003]
            assert list(columns.points.quality) == [GOOD] * UNITS
            assert [at.plant.value(0, tag) for tag in (0, VOLTAGE, POSITION)] == [10.01, 230.0, CLOSED]
            assert at.plant.value(0, ERRORS) == 1.0, "the one refusal"
            at.meters.gateway.registers[1][1] = 4711
            await until(lambda: int(at.plant.publish().points.raw[0]) == 4711, "it goes on being read")

    reactor_loop.run(story())
    about = [line for line in told if "m0" in line and "refused" in line]
    assert len(about) == 1
    assert "block 0 (function 3, 21 from 0x0000) has holes and is refused; it is read in 2 parts" in about[0]


def test_a_part_that_is_refused_too_costs_only_itself(reactor_loop: Any, way: str) -> None:
    def refuses(unit: int, address: int, count: int) -> bool:
        return unit == 1 and address <= STATUS_AT < address + count

    async def story() -> None:
        async with running(reactor_loop.reactor, way, refuses, model()) as at:
            await at.good(0, VOLTAGE)
            await until(lambda: at.plant.quality(0, POSITION) == BAD_CONFIGURATION_ERROR, "the refused part is bad")
            await at.good(0, VOLTAGE, ONLINE)
            at.meters.refuses = over_a_hole
            await at.good(POSITION)

    reactor_loop.run(story())


def test_a_block_without_a_hole_that_is_refused_stays_refused(reactor_loop: Any, way: str) -> None:
    def refuses(unit: int, address: int, count: int) -> bool:
        return unit == 1 and address == 0

    async def story() -> None:
        async with running(reactor_loop.reactor, way, refuses, METER) as at:
            await at.good(POSITION, ONLINE)
            await until(lambda: at.plant.quality(0) == BAD_CONFIGURATION_ERROR, "the refused block is bad")
            assert set(at.meters.reads[1]) == set(PARTS)

    reactor_loop.run(story())


def test_what_is_read_once_an_hour_is_read_in_parts_at_once(reactor_loop: Any, way: str) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, way, over_a_hole, model("hour")) as at:
            await at.good(0, VOLTAGE, POSITION)
            assert at.meters.reads[1] == [WHOLE, *PARTS]

    reactor_loop.run(story())


def test_a_device_in_parts_is_lost_and_found_again(reactor_loop: Any, way: str) -> None:
    """What is asked of a device that was missed is a part, too: the whole would be refused and prove nothing."""

    async def story() -> None:
        async with running(reactor_loop.reactor, way, over_a_hole, model()) as at:
            await at.good(0, VOLTAGE, POSITION)
            at.meters.silent = {1}
            await until(lambda: at.plant.value(0, ONLINE) == 0.0, "lost")
            assert at.plant.quality(0, POSITION) != GOOD
            at.meters.silent = set()
            await at.good(0, VOLTAGE, POSITION)
            await until(lambda: at.plant.value(0, ONLINE) == 1.0, "found")
            assert at.meters.reads[1].count(WHOLE) == 1

    reactor_loop.run(story())


def test_a_switch_is_read_back_by_the_part_that_shows_it(reactor_loop: Any, way: str) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, way, over_a_hole, model()) as at:
            await at.good(0, POSITION)
            await at.bus.actuate("m0", OPEN)
            await until(lambda: at.plant.value(0, POSITION) == OPEN, "open")
            assert at.meters.gateway.registers[1][STATUS_AT] == OPEN_WORD
            assert at.meters.gateway.registers[1][COMMAND_AT] == 0
            assert WHOLE not in at.meters.reads[1][1:]

    reactor_loop.run(story())


def test_two_devices_are_split_each_for_itself(reactor_loop: Any, way: str) -> None:
    def refuses(unit: int, address: int, count: int) -> bool:
        return unit != 2 and over_a_hole(1, address, count)

    async def story() -> None:
        async with running(reactor_loop.reactor, way, refuses, model()) as at:
            for number in range(UNITS):
                await at.good(0, VOLTAGE, POSITION, number=number)
            assert [at.meters.reads[unit].count(WHOLE) for unit in (1, 3)] == [1, 1]

    reactor_loop.run(story())

"""The field bus against real gateways on loopback: good ones, dead ones, slow ones and lying ones."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from harness import (
    CLOSED_WORD,
    COMMAND_AT,
    ENERGY_AT,
    STATUS_AT,
    FakeGateway,
    Plant,
    Reaction,
    exception,
    honest,
    open_descriptors,
    seeded,
    until,
)

from drivers.bus import FieldBus
from drivers.profile import NEVER
from scada.errors import FieldError, NoAnswer
from scada.position import CLOSED, OPEN
from scada.quality import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_LAST_USABLE, UNCERTAIN_NO_COMMUNICATION

ONLINE, ERRORS, POSITION = 3, 4, 2
LOST = (UNCERTAIN_NO_COMMUNICATION, BAD_NO_COMMUNICATION)


class Setup:
    """A gateway, the plant behind it and a running bus."""

    def __init__(self, gateway: FakeGateway, plant: Plant, bus: FieldBus) -> None:
        self.gateway, self.plant, self.bus = gateway, plant, bus

    @property
    def poller(self) -> Any:
        return self.bus.pollers["g1"]

    async def good(self, *numbers: int) -> None:
        await until(lambda: all(self.plant.quality(n) == GOOD for n in numbers), f"meters {numbers} are good")

    def asked(self, unit: int) -> int:
        return sum(frame[6] == unit for frame in self.gateway.requests)


@asynccontextmanager
async def running(reactor: Any, units: int, react: Reaction = honest, **settings: Any) -> AsyncIterator[Setup]:
    gateway, plant = FakeGateway(units, react), Plant(units)
    await gateway.start()
    bus = FieldBus(
        reactor, plant.clock, [plant.gateway(gateway.port, **settings)], plant.devices, plant.stage, seeded()
    )
    bus.start()
    try:
        yield Setup(gateway, plant, bus)
    finally:
        await bus.stop()
        await gateway.stop()


def silent_units(*units: int) -> Reaction:
    async def react(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        return b"" if frame[6] in units else gateway.answer(frame)

    return react


def test_values_registers_and_communication_tags_arrive(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 3, in_flight=2) as at:
            await at.good(0, 1, 2)
            columns = at.plant.publish()
            assert [at.plant.value(n, 0) for n in range(3)] == [10.01, 10.02, 10.03]
            assert [at.plant.value(n, 1) for n in range(3)] == [230.0] * 3
            assert list(columns.points.raw) == [1001, 1002, 1003]
            assert list(columns.points.quality) == [GOOD] * 3
            assert abs(at.plant.clock.utc_ns() - int(columns.points.source_time[0])) < 5e9
            assert at.plant.value(0, POSITION) == CLOSED
            await until(lambda: at.plant.value(0, ONLINE) == 1.0, "the meter is online")
            assert at.plant.value(0, ERRORS) == 0.0
            assert at.plant.value(3, 0) == 1.0, "the gateway is online"

    reactor_loop.run(story())


def test_a_dead_meter_is_lost_alone_and_comes_back(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 3) as at:
            await at.good(0, 1, 2)
            held = int(at.plant.publish().points.source_time[1])
            at.gateway.react = silent_units(2)
            await until(lambda: at.plant.quality(1) == UNCERTAIN_LAST_USABLE, "first miss")
            await until(lambda: at.plant.quality(1) in LOST, "third miss")
            columns = at.plant.publish()
            assert int(columns.points.quality[1]) in LOST
            assert columns.points.raw[1] == 1002
            assert columns.points.source_time[1] < held + 2e9, "the old time is kept"
            await until(lambda: at.plant.value(1, ONLINE) == 0.0, "offline")
            assert at.plant.value(1, ERRORS) >= 3
            assert at.plant.quality(0) == at.plant.quality(2) == GOOD
            at.gateway.registers[2][ENERGY_AT + 1] = 5000
            at.gateway.react = honest
            await until(lambda: at.plant.value(1, 0) == 50.0, "back")
            assert at.plant.quality(1) == GOOD

    reactor_loop.run(story())


def test_a_dead_meter_costs_the_main_line_one_fence(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 4, silent_units(3), period_s=0.05) as at:
            await at.good(0, 1, 3)
            await until(lambda: at.plant.value(2, ERRORS) >= 3, "probed several times")
            figures = at.poller.line.figures
            assert (figures.timeouts, figures.fences) == (1, 1)
            assert at.poller.probe_line.figures.timeouts >= 2
            assert at.asked(1) > 5 * at.asked(3)

    reactor_loop.run(story())


def test_a_gateway_with_one_connection_is_probed_over_it(reactor_loop: Any) -> None:
    async def only_one(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        if len(gateway.open) > 1:
            writer.transport.abort()
            return b""
        return b"" if frame[6] == 2 and len(gateway.requests) < 40 else gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 2, only_one) as at:
            await at.good(0)
            await at.good(1)

    reactor_loop.run(story())


def test_a_gateway_whose_newest_connection_ends_the_others_serves_the_good_and_finds_the_lost(
    reactor_loop: Any,
) -> None:
    """Every look at the dead meter ends the main connection; the good one is polled on, the other found again."""
    mute = True

    async def newest_only(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        for other in gateway.open - {writer}:
            other.transport.abort()
        return b"" if frame[6] == 2 and mute else gateway.answer(frame)

    async def story() -> None:
        nonlocal mute
        async with running(reactor_loop.reactor, 2, newest_only, period_s=0.02, timeout_s=0.1) as at:
            await at.good(0)
            before = at.asked(1)
            await until(lambda: at.asked(1) > before + 100, "the good one is polled")
            mute = False
            await at.good(0, 1)

    reactor_loop.run(story())


def test_a_crowded_cycle_leaves_the_turn_of_a_device_that_is_asked_aside_alone(reactor_loop: Any) -> None:
    """A turn cut short ended in an error, and no lost device of the gateway was looked for any more."""

    async def slow(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        await asyncio.sleep(0.02 if frame[6] == 1 else 0.26)
        return gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 2, slow, period_s=0.01, timeout_s=2.0) as at:
            station = at.poller._stations["m1"]
            await until(lambda: station.slow, "the slow one is asked aside")
            asked = at.asked(2)
            await until(lambda: at.asked(2) >= asked + 2, "a whole turn, while the cycles of the other are crowded")
            await at.good(0, 1)

    reactor_loop.run(story())


@pytest.mark.parametrize("code", [0x0A, 0x0B])
def test_a_slave_the_gateway_cannot_reach_is_missed_without_a_fence(reactor_loop: Any, code: int) -> None:
    async def react(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        return exception(frame, code) if frame[6] == 1 else gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 2, react) as at:
            await at.good(1)
            await until(lambda: at.plant.quality(0) == BAD_NO_COMMUNICATION, "never had a value, so it is bad")
            assert at.poller.line.figures.fences == 0
            assert int(at.plant.publish().points.quality[0]) == BAD_NO_COMMUNICATION

    reactor_loop.run(story())


def test_busy_is_asked_again_in_the_same_cycle(reactor_loop: Any) -> None:
    async def react(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        return exception(frame, 6) if len(gateway.requests) % 2 else gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 1, react, period_s=5.0) as at:
            await at.good(0)

    reactor_loop.run(story())


def test_a_block_that_is_refused_does_not_take_the_device_down(reactor_loop: Any) -> None:
    async def react(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        return exception(frame, 2) if frame[9] == STATUS_AT else gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 1, react) as at:
            await at.good(0)
            await until(lambda: at.plant.quality(0, POSITION) >> 30 == 2, "the refused tag is bad")
            await until(lambda: at.plant.value(0, ONLINE) == 1.0, "online")

    reactor_loop.run(story())


def test_a_killed_gateway_takes_all_its_tags_at_once_and_recovers(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 5) as at:
            await at.good(*range(5))
            await at.gateway.stop()
            await until(lambda: at.plant.quality(0) != GOOD, "lost")
            qualities = at.plant.publish().points.quality
            assert len(set(map(int, qualities))) == 1, "all in one pass"
            await until(lambda: at.plant.quality(4) in LOST, "lost for good")
            await until(lambda: at.plant.value(5, 0) == 0.0, "gateway offline")
            assert at.plant.value(4, ONLINE) == 0.0
            await at.gateway.start()
            await at.good(*range(5))
            await until(lambda: at.plant.value(5, 0) == 1.0, "gateway online")

    reactor_loop.run(story())


def test_a_gateway_that_takes_connections_and_says_nothing_is_lost(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 4, silent_units(1, 2, 3, 4)) as at:
            await until(lambda: at.plant.quality(3) == BAD_NO_COMMUNICATION, "all bad")
            at.gateway.react = honest
            await at.good(*range(4))

    reactor_loop.run(story())


def test_a_late_reply_never_becomes_the_next_answer(reactor_loop: Any) -> None:
    """Every third reply comes after the time-out, with a register that must never show."""

    async def late(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        if len(gateway.requests) % 3:
            return gateway.answer(frame)
        answer = gateway.answer(frame)
        poisoned = answer[:9] + b"\x05" * (len(answer) - 9)
        await asyncio.sleep(0.3)
        return poisoned

    async def story() -> None:
        async with running(reactor_loop.reactor, 2, late, timeout_s=0.1, period_s=0.02) as at:
            seen: set[int] = set()
            for _ in range(150):
                seen |= set(map(int, at.plant.publish().points.raw))
                await asyncio.sleep(0.01)
            assert at.poller.line.figures.timeouts + at.poller.probe_line.figures.timeouts >= 2
            assert seen <= {0, 1001, 1002}

    reactor_loop.run(story())


def test_dripped_replies_are_put_together_and_duplicates_ignored(reactor_loop: Any) -> None:
    async def drip(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        for octet in gateway.answer(frame) * 2:
            writer.write(bytes((octet,)))
            await asyncio.sleep(0.001)
        return b""

    async def story() -> None:
        async with running(reactor_loop.reactor, 2, drip, timeout_s=2.0) as at:
            await at.good(0, 1)
            await until(lambda: at.poller.line.figures.unsolicited > 0, "duplicates are seen")
            assert at.poller.line.figures.fences == 0

    reactor_loop.run(story())


def test_a_lying_meter_never_shows_a_value(reactor_loop: Any) -> None:
    lies: tuple[Callable[[bytes], bytes], ...] = (
        lambda reply: reply[:6] + bytes((reply[6] + 1,)) + reply[7:],
        lambda reply: reply[:7] + b"\x04" + reply[8:],
        lambda reply: reply[:8] + b"\x02" + reply[9:],
        lambda reply: reply[:2] + b"\0\7" + reply[4:],
        lambda reply: reply[:4] + bytes((0, len(reply) - 8)) + reply[6:-2],
    )
    told = 0

    async def lie(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        nonlocal told
        if frame[6] != 1:
            return gateway.answer(frame)
        told += 1
        return lies[told % len(lies)](gateway.answer(frame))

    async def story() -> None:
        async with running(reactor_loop.reactor, 2, lie) as at:
            await at.good(1)
            await until(lambda: told >= 4, "several lies")
            columns = at.plant.publish()
            assert columns.points.raw[0] == 0
            assert columns.tags.value[0] == 0.0
            assert int(columns.points.quality[0]) == BAD_NO_COMMUNICATION

    reactor_loop.run(story())


def test_no_descriptor_leaks_over_many_lost_connections(reactor_loop: Any) -> None:
    async def hang_up(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        if len(gateway.requests) % 2 == 0:
            writer.transport.abort()
            return b""
        return gateway.answer(frame)

    async def story() -> None:
        before = open_descriptors()
        async with running(reactor_loop.reactor, 1, hang_up, period_s=0.01) as at:
            await until(lambda: at.gateway.connections > 30, "many connections")
            assert open_descriptors() < before + 12
        await until(lambda: open_descriptors() <= before, "all sockets closed")

    reactor_loop.run(story())


def test_a_port_that_swallows_connections_is_given_up_and_stop_is_quick(reactor_loop: Any) -> None:
    """A listener whose queue is full drops SYNs: the attempt must end, and stopping must not wait for it."""

    async def story() -> None:
        hole = socket.socket()
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        plugs = [socket.socket() for _ in range(4)]
        for plug in plugs:
            plug.setblocking(False)
            plug.connect_ex(hole.getsockname())
        plant = Plant(1)
        bus = FieldBus(
            reactor_loop.reactor,
            plant.clock,
            [plant.gateway(hole.getsockname()[1])],
            plant.devices,
            plant.stage,
            seeded(),
        )
        bus.start()
        await until(lambda: plant.quality(0) == BAD_NO_COMMUNICATION, "the connection is given up")
        await asyncio.wait_for(bus.stop(), 2.0)
        for plug in (hole, *plugs):
            plug.close()

    reactor_loop.run(story())


def test_a_command_is_accepted_executed_and_read_back_between_two_polls(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 2, period_s=30.0) as at:
            await at.good(0, 1)
            await at.bus.actuate("m1", OPEN)
            assert at.gateway.registers[2][COMMAND_AT] == 0
            await until(lambda: at.plant.value(1, POSITION) == OPEN, "read back", 2.0)
            assert at.plant.value(0, POSITION) == CLOSED
            await at.bus.actuate("m1", CLOSED)
            assert at.gateway.registers[2][STATUS_AT] == CLOSED_WORD
            await until(lambda: at.plant.value(1, POSITION) == CLOSED, "read back", 2.0)

    reactor_loop.run(story())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda frame: exception(frame, 4), FieldError),
        (lambda frame: exception(frame, 6), FieldError),
        (lambda frame: exception(frame, 0x0B), NoAnswer),
        (lambda frame: exception(frame, 5), NoAnswer),
        (lambda frame: frame[:-1] + b"\x01", NoAnswer),
        (lambda frame: b"", NoAnswer),
    ],
    ids=["fault", "busy", "target silent", "acknowledge", "other echo", "nothing"],
)
def test_a_command_says_refused_or_undetermined(
    reactor_loop: Any, answer: Callable[[bytes], bytes], error: type[FieldError]
) -> None:
    async def react(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        return answer(frame) if frame[7] == 6 else gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 1, react) as at:
            await at.good(0)
            with pytest.raises(FieldError) as raised:
                await at.bus.actuate("m0", OPEN)
            assert type(raised.value) is error
            assert sum(frame[7] == 6 for frame in at.gateway.requests) == 1, "never repeated"

    reactor_loop.run(story())


def test_a_command_to_a_gateway_that_is_down_is_not_sent(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as at:
            await at.good(0)
            await at.gateway.stop()
            await until(lambda: at.plant.quality(0) != GOOD, "lost")
            with pytest.raises(FieldError) as raised:
                await at.bus.actuate("m0", OPEN)
            assert not isinstance(raised.value, NoAnswer)
            await at.gateway.start()
            await at.good(0)
            assert not any(frame[7] == 6 for frame in at.gateway.requests)

    reactor_loop.run(story())


def test_a_command_that_nobody_waits_for_any_more_is_never_sent(reactor_loop: Any) -> None:
    """It waits in the queue of a gateway that is busy with another one when its time is over."""
    held = asyncio.Event()

    async def react(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        if frame[7] == 6:
            await held.wait()
        return gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 2, react, timeout_s=10.0) as at:
            await at.good(0, 1)
            first = asyncio.create_task(at.bus.actuate("m0", OPEN))
            await until(lambda: any(frame[7] == 6 for frame in at.gateway.requests), "the first is sent")
            second = asyncio.create_task(at.bus.actuate("m1", OPEN))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            held.set()
            await first
            await until(lambda: at.plant.value(0, POSITION) == OPEN, "the first is read back")
            asked = at.asked(2)
            await until(lambda: at.asked(2) > asked + 2, "polling goes on")
            assert [frame[6] for frame in at.gateway.requests if frame[7] == 6] == [1]

    reactor_loop.run(story())


def test_a_meter_at_whose_name_the_gateway_hangs_up_is_lost_alone(reactor_loop: Any) -> None:
    async def react(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        if frame[6] == 2 and hangs_up:
            writer.transport.abort()
            return b""
        return gateway.answer(frame)

    hangs_up = False

    async def story() -> None:
        nonlocal hangs_up
        async with running(reactor_loop.reactor, 3, react) as at:
            await at.good(0, 1, 2)
            hangs_up = True
            await until(lambda: at.plant.value(1, ONLINE) == 0, "lost")
            assert at.plant.quality(1) in LOST
            await at.good(0, 2)
            assert at.plant.value(0, ONLINE) == at.plant.value(2, ONLINE) == 1
            hangs_up = False
            await at.good(1)
            await until(lambda: at.plant.value(1, ONLINE) == 1, "back")

    reactor_loop.run(story())


def test_a_device_without_a_switch_takes_no_command(reactor_loop: Any) -> None:
    async def story() -> None:
        plant = Plant(1)
        plain = replace(plant.devices[0], profile=replace(plant.devices[0].profile, switch=None))
        bus = FieldBus(reactor_loop.reactor, plant.clock, [plant.gateway(1)], [plain], plant.stage, seeded())
        for name in ("m0", "nobody"):
            with pytest.raises(FieldError, match="no switch"):
                await bus.actuate(name, OPEN)

    reactor_loop.run(story())


def test_a_command_that_a_model_does_not_have_is_refused_before_anything_is_sent(reactor_loop: Any) -> None:
    async def story() -> None:
        plant = Plant(1)
        model = plant.devices[0].profile
        assert model.switch is not None
        only_trips = replace(plant.devices[0], profile=replace(model, switch=replace(model.switch, close_value=NEVER)))
        bus = FieldBus(reactor_loop.reactor, plant.clock, [plant.gateway(1)], [only_trips], plant.stage, seeded())
        with pytest.raises(FieldError, match="m0: this model cannot be closed from afar"):
            await bus.actuate("m0", CLOSED)

    reactor_loop.run(story())


def test_without_a_compiler_the_lines_poll_by_themselves(reactor_loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.config.DISABLE_JIT", True)

    async def story() -> None:
        async with running(reactor_loop.reactor, 3, silent_units(2), in_flight=2) as at:
            assert at.bus.engine is None
            await at.good(0, 2)
            await until(lambda: at.plant.value(1, ERRORS) >= 3, "the silent one is missed")
            assert [at.plant.value(n, 0) for n in (0, 2)] == [10.01, 10.03]
            assert (at.plant.quality(0), at.plant.quality(1)) == (GOOD, BAD_NO_COMMUNICATION)
            assert at.poller.line.figures.fences == 1

    reactor_loop.run(story())


def test_with_a_compiler_good_polls_stay_in_the_engine(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 3, in_flight=2) as at:
            await at.good(0, 1, 2)
            await until(lambda: at.poller.line.seat.good_replies > 30, "several cycles")
            assert at.plant.value(1, ONLINE) == 1.0
            assert at.poller.line.figures.fences == 0

    reactor_loop.run(story())


def test_a_slow_meter_behind_a_gateway_is_asked_aside_and_holds_nobody_up(reactor_loop: Any) -> None:
    """One transaction at a time: a meter that thinks for 0.4 s each time would make every cycle that much longer."""
    slow = True

    async def react(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        if frame[6] == 2 and slow:
            await asyncio.sleep(0.4)
        return gateway.answer(frame)

    async def story() -> None:
        nonlocal slow
        async with running(reactor_loop.reactor, 5, react, timeout_s=2.0, period_s=0.1) as at:
            await at.good(0, 1, 2, 3, 4)
            await until(lambda: at.poller._stations["m1"].slow, "it is noticed")
            before = at.asked(1), at.asked(2)
            await until(lambda: at.asked(1) > before[0] + 60, "polling goes on")
            assert at.asked(2) - before[1] <= 6
            assert at.plant.quality(1) == GOOD
            assert at.plant.value(1, ONLINE) == 1
            slow = False
            await until(lambda: not at.poller._stations["m1"].slow, "it is as quick as the others again", 40.0)
            before = at.asked(1), at.asked(2)
            await until(lambda: at.asked(1) > before[0] + 20, "polling goes on")
            assert at.asked(2) - before[1] >= 15

    reactor_loop.run(story())

"""Lines that carry one transaction at a time, on real sockets and pseudo-terminals."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import seeded, until
from line_asker import FORM, Asker, ask_of, payload
from rtu_bus import PtyEnd, RtuBus, TcpEnd, words_of

from drivers import dlt645
from drivers.device import LineFormat
from drivers.lines import State
from drivers.modbus import write_request
from drivers.modbus_rtu import Question
from drivers.outcome import Reply, Silence, Violation
from drivers.serial_port import SerialLink
from drivers.serial_setup import open_port
from drivers.transports import TcpLink


@asynccontextmanager
async def over_tcp(reactor: Any, **more: Any) -> AsyncIterator[tuple[Asker, RtuBus, TcpEnd]]:
    bus = RtuBus()
    end = TcpEnd(bus)
    await end.start()
    asker = Asker(reactor, TcpLink(reactor, "127.0.0.1", end.port, seeded()), **more)
    try:
        await asker.up()
        yield asker, bus, end
    finally:
        await asker.close()
        await end.stop()


def test_one_question_at_a_time_and_commands_first(reactor_loop: Any) -> None:
    async def story() -> None:
        async with over_tcp(reactor_loop.reactor) as (asker, bus, _):

            async def slowly(frame: bytes) -> bytes:
                await asyncio.sleep(0.02)
                return words_of(frame, 100 * frame[0])

            bus.answer = slowly
            reads = [asker.ask(ask_of(unit)) for unit in range(1, 6)]
            await until(lambda: bool(bus.heard), "the first question is on the wire")
            command = asker.ask(Question(write_request(9, 6, 1, (0,))), urgent=True)
            assert await asyncio.gather(*reads) == [payload(100 * unit) for unit in range(1, 6)]
            assert await command == Reply(b"")
            assert [frame[0] for frame in bus.heard] == [1, 9, 2, 3, 4, 5], "the command waited for one answer only"
            assert bus.at_once == []
            assert asker.line.figures.good == 6

    reactor_loop.run(story())


@pytest.mark.parametrize("late", ["wait", "reconnect"])
def test_a_late_answer_is_never_taken_for_the_next_one(reactor_loop: Any, late: Any) -> None:
    """RTU replies of one shape cannot be told apart: only silence, or a new connection, keeps them apart."""

    async def story() -> None:
        async with over_tcp(reactor_loop.reactor, late=late) as (asker, bus, end):
            hold = asyncio.Event()

            async def tardy(frame: bytes) -> bytes:
                if len(bus.heard) == 1:
                    await hold.wait()
                    return words_of(frame, 7)  # the old register value
                return words_of(frame, 1000)

            bus.answer = tardy
            first, second = asker.ask(ask_of(1)), asker.ask(ask_of(1))
            assert await first == Silence("timeout", True)
            hold.set()
            assert await second == payload(1000)
            assert asker.line.figures.timeouts == 1
            assert end.connections == (1 if late == "wait" else 2)

    reactor_loop.run(story())


def test_noise_foreign_frames_and_broken_ones_are_waited_past(reactor_loop: Any) -> None:
    async def story() -> None:
        async with over_tcp(reactor_loop.reactor) as (asker, bus, _):

            async def noisy(frame: bytes) -> bytes:
                right = words_of(frame, 300)
                return b"\x00\xff" + words_of(bytes((8, *frame[1:])), 5) + right[:-1] + b"\x00" + right

            bus.answer = noisy
            assert await asker.ask(ask_of(3)) == payload(300)

            async def broken(frame: bytes) -> bytes:
                right = words_of(frame, 300)
                return right[:-1] + bytes((right[-1] ^ 1,))

            bus.answer = broken
            outcome = await asker.ask(ask_of(3))
            assert isinstance(outcome, Violation | Silence)
            assert not isinstance(outcome, Reply)

    reactor_loop.run(story())


def test_a_dripped_answer_is_put_together(reactor_loop: Any) -> None:
    async def story() -> None:
        async with over_tcp(reactor_loop.reactor) as (asker, bus, _):

            async def drip(frame: bytes) -> bytes:
                whole = words_of(frame, 42)
                for at in range(len(whole) - 1):
                    bus.talk(whole[at : at + 1])
                    await asyncio.sleep(0.02)
                return whole[-1:]

            bus.answer = drip
            assert await asker.ask(ask_of(1)) == payload(42)

    reactor_loop.run(story())


def test_a_read_that_a_lost_connection_interrupts_is_sent_again_and_a_write_never(reactor_loop: Any) -> None:
    async def story() -> None:
        async with over_tcp(reactor_loop.reactor) as (asker, bus, end):
            assert await asker.ask(ask_of(1)) == payload(100), "a connection on which something came"
            bus.heard.clear()

            async def cut(frame: bytes) -> bytes:
                if len(bus.heard) == 1:
                    end.cut()
                    return b""
                return words_of(frame, 50)

            bus.answer = cut
            assert await asker.ask(ask_of(1)) == payload(50)
            bus.heard.clear()
            assert await asker.ask(Question(write_request(1, 6, 1, (5,))), urgent=True) == Silence("lost", True)
            assert len(bus.heard) == 1

    reactor_loop.run(story())


def test_a_broadcast_takes_its_time_and_ends_without_an_answer(reactor_loop: Any) -> None:
    async def story() -> None:
        async with over_tcp(reactor_loop.reactor) as (asker, _, end):
            heard = bytearray()
            end.bus.hear = heard.extend  # type: ignore[method-assign,assignment]
            question = dlt645.broadcast_time(1_800_000_000 * 10**9)
            assert await asker.ask(question) == Reply(b"")
            assert bytes(heard) == question.wire

    reactor_loop.run(story())


def test_a_line_that_is_down_fails_at_once_and_sends_nothing_late(reactor_loop: Any) -> None:
    async def story() -> None:
        async with over_tcp(reactor_loop.reactor) as (asker, bus, end):
            await end.stop()
            await until(lambda: asker.line.state is State.WAITING, "the gateway is gone")
            assert await asker.ask(Question(write_request(1, 6, 1, (5,))), urgent=True) == Silence(
                "not connected", False
            )
            await end.start()
            await asker.up()
            await asyncio.sleep(0.1)
            assert bus.heard == []

    reactor_loop.run(story())


def test_a_serial_port_is_read_lost_and_found_again(reactor_loop: Any, tmp_path: Path) -> None:
    async def story() -> None:
        bus = RtuBus()
        end = PtyEnd(bus)
        port = tmp_path / "port.tty"
        port.symlink_to(end.path)
        asker = Asker(reactor_loop.reactor, SerialLink(reactor_loop.reactor, port, FORM, seeded()))
        await asker.up()
        assert await asker.ask(ask_of(2)) == payload(200)
        end.close()
        await until(lambda: asker.line.state is State.WAITING, "the adapter was pulled out")
        assert any("vanished" in down for down in asker.downs)
        end = PtyEnd(bus)
        port.unlink()
        port.symlink_to(end.path)
        await asker.up()
        assert await asker.ask(ask_of(2)) == payload(200)
        await asker.close()
        end.close()

    reactor_loop.run(story())


def test_a_port_with_parity_is_opened_again_by_the_next_core(reactor_loop: Any) -> None:
    """A killed core leaves the port as it was set; a pseudo-terminal refuses to have its parity set twice."""

    async def story() -> None:
        end = PtyEnd(RtuBus())
        for parity in ("E", "E", "O"):
            os.close(open_port(end.path, LineFormat(19200, parity, 1)))
        end.close()

    reactor_loop.run(story())


def test_a_serial_port_has_one_owner(reactor_loop: Any) -> None:
    async def story() -> None:
        end = PtyEnd(RtuBus())
        owner = Asker(reactor_loop.reactor, SerialLink(reactor_loop.reactor, Path(end.path), FORM, seeded()))
        await owner.up()
        other = Asker(reactor_loop.reactor, SerialLink(reactor_loop.reactor, Path(end.path), FORM, random.Random(1)))
        await until(lambda: bool(other.downs), "the second one is refused")
        assert end.path in other.downs[0]
        assert "another program" in other.downs[0]
        await other.close()
        await owner.close()
        end.close()

    reactor_loop.run(story())

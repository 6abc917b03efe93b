"""Field fault 7: two hundred connections lost and made again on each kind of line leave no descriptor and no timer."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from harness import FakeGateway, Plant, open_descriptors, seeded, until
from line_asker import FORM, Asker, ask_of
from rtu_bus import PtyEnd, RtuBus, TcpEnd
from twisted.internet.testing import MemoryReactorClock

from drivers.bus import FieldBus
from drivers.dial_in import DialInLink, DialInPort
from drivers.lines import State
from drivers.serial_port import SerialLink
from drivers.transports import TcpLink

TIMES = 200


async def without_leak(reactor: Any, story: Callable[[], Awaitable[None]]) -> None:
    """Run a story that opens and closes everything it uses."""
    before, timers = open_descriptors(), len(reactor.getDelayedCalls())
    await story()
    await until(lambda: open_descriptors() <= before, "all descriptors closed")
    await until(lambda: len(reactor.getDelayedCalls()) <= timers, "no timer is left")


@pytest.mark.parametrize("late", ["wait", "reconnect"])
def test_a_transparent_gateway_that_hangs_up(reactor_loop: Any, late: Any) -> None:
    reactor = reactor_loop.reactor

    async def story() -> None:
        bus = RtuBus()
        end = TcpEnd(bus)
        await end.start()
        asker = Asker(reactor, TcpLink(reactor, "127.0.0.1", end.port, seeded()), late=late)
        await asker.up()
        most = open_descriptors() + 10
        for _ in range(TIMES):
            end.bus.talk(b"\0")  # a connection on which something came is made again at once
            connections = end.connections
            await asyncio.sleep(0)
            end.cut()
            await until(lambda n=connections: end.connections > n and asker.line.state is State.UP, "up again")
            assert open_descriptors() <= most
        await asker.close()
        await end.stop()

    reactor_loop.run(without_leak(reactor, story))


def test_dtus_that_dial_again_and_strangers(reactor_loop: Any) -> None:
    reactor = reactor_loop.reactor

    async def story() -> None:
        port = DialInPort(reactor, "127.0.0.1", 0)
        asker = Asker(reactor, DialInLink(reactor, port, "a", b"DTU-A", b"", 60.0))
        number = port._listening.getHost().port
        writers = []
        most = open_descriptors() + 2 * 10
        for turn in range(TIMES):
            _, writer = await asyncio.open_connection("127.0.0.1", number)
            writers.append(writer)
            writer.write(b"DTU-A" if turn % 2 else b"stranger")
            connects = (turn + 1) // 2
            await until(lambda n=connects, t=turn: _served(asker, port, n, t), "taken or refused")
            while len(writers) > 3:
                writers.pop(0).close()
            assert open_descriptors() <= most
        for writer in writers:
            writer.close()
        await asker.close()

    reactor_loop.run(without_leak(reactor, story))


def _served(asker: Asker, port: DialInPort, connects: int, turn: int) -> bool:
    return asker.line.figures.connects >= connects and sum(port.refused.values()) >= turn // 2


@pytest.mark.parametrize("engine", [True, False], ids=["engine", "line"])
def test_a_modbus_tcp_gateway_that_hangs_up(reactor_loop: Any, engine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = reactor_loop.reactor
    if not engine:
        monkeypatch.setattr("drivers.bus.engine_for", lambda *_: None)

    async def hang_up(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        if len(gateway.requests) % 3 == 0:
            writer.transport.abort()
            return b""
        return gateway.answer(frame)

    async def story() -> None:
        gateway, plant = FakeGateway(2, hang_up), Plant(2)
        await gateway.start()
        bus = FieldBus(
            reactor, plant.clock, [plant.gateway(gateway.port, period_s=0.001)], plant.devices, plant.stage, seeded()
        )
        bus.start()
        await until(lambda: gateway.connections > 5, "some connections")
        most = open_descriptors() + 12
        await until(lambda: open_descriptors() > most or gateway.connections > TIMES, "many connections", 60.0)
        assert gateway.connections > TIMES
        await bus.stop()
        await gateway.stop()

    reactor_loop.run(without_leak(reactor, story))


def test_a_serial_adapter_that_comes_and_goes(reactor_loop: Any, tmp_path: Path) -> None:
    """On a clock of the test's own, because a port is opened again after a pause only."""

    async def story() -> None:
        reactor = MemoryReactorClock()
        bus = RtuBus()
        port = tmp_path / "port.tty"
        asker = Asker(reactor, SerialLink(reactor, port, FORM, seeded()))
        before = open_descriptors()
        for _ in range(TIMES):
            end = PtyEnd(bus)
            port.symlink_to(end.path)
            for _ in range(20):
                reactor.advance(1.0)
            assert asker.line.state is State.UP
            asker.line.ask(ask_of(1), lambda outcome, _: None)
            end.close()
            port.unlink()
            (reader,) = reactor.getReaders()
            reader.connectionLost(reader.doRead())
            assert asker.line.state is State.WAITING
            assert open_descriptors() <= before
            assert len(reactor.getDelayedCalls()) <= 2
        await asker.close()
        assert not reactor.getReaders()
        assert not reactor.getDelayedCalls()

    reactor_loop.run(without_leak(reactor_loop.reactor, story))

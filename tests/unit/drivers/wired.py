"""Lines with a connection whose other end the test holds: over a fake reactor alone, or read by the compiled engine.

The engine works on real sockets, so its connection is a real socket pair; time is the fake reactor's in all of them.
"""

import random
import socket
from typing import Any

from harness import profile, register
from twisted.internet.testing import MemoryReactorClock, StringTransport

from drivers.device import Device
from drivers.engine import Engine
from drivers.engine_cycle import Cycle, Then
from drivers.modbus import Request
from drivers.modbus_tcp import Line
from drivers.outcome import ExceptionReply, Outcome, Reply
from drivers.replies import ReplyStore

LINE, ASKED, POLLED = "line", "engine, asked", "engine, polled"


class SteppedClock:
    """The clock of the fake reactor."""

    speed = 1

    def __init__(self, reactor: MemoryReactorClock) -> None:
        self._reactor = reactor

    def utc_ns(self) -> int:
        return int(self._reactor.seconds() * 1e9)

    def mono_ns(self) -> int:
        return int(self._reactor.seconds() * 1e9)


class Wired(StringTransport):  # type: ignore[misc]
    """A transport that knows what a line asks of it."""

    aborted = False

    def writeSomeData(self, data: bytes) -> int:
        self.write(data)
        return len(data)

    def setTcpNoDelay(self, enabled: bool) -> None:
        assert enabled

    def abortConnection(self) -> None:
        self.aborted = True


class Bench:
    """A line over a fake reactor with one connection made; `outcomes` holds what its questions came to."""

    def __init__(self, in_flight: int = 1) -> None:
        self.reactor = MemoryReactorClock()
        self.clock = SteppedClock(self.reactor)
        self.outcomes: list[Outcome] = []
        self.line = Line(self.reactor, self.clock, "h", 502, in_flight, 1.0, random.Random(1), engine=self.engine())
        self.line.open()
        self.connect()

    def engine(self) -> Engine | None:
        return None

    def close(self) -> None:
        self.line.close()

    def connect(self) -> None:
        """Make the connection that the line waits for."""
        self.wire = self.reactor.tcpClients[-1][2].buildProtocol(None)
        self.transport = Wired()
        self.wire.makeConnection(self.transport)

    def sent(self) -> bytes:
        """Return what the line has sent since the last look."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def ask(self, request: Request) -> int:
        """Ask and return the transaction id that went out last."""
        self.line.ask(request, lambda outcome, _: self.outcomes.append(outcome))
        sent = self.sent()
        return sent[0] << 8 | sent[1]

    def play(self, data: bytes, wire: Any = None) -> None:
        """Let bytes come in on the present connection, or on an older one."""
        (wire or self.wire).dataReceived(data)


class SocketTransport(Wired):
    """A transport whose bytes really go through a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)

    def getHandle(self) -> socket.socket:
        return self.near

    def writeSomeData(self, data: bytes) -> int:
        return self.near.send(data)

    def stopReading(self) -> None:
        pass  # nothing but the engine reads here


class NoLoop:
    """The test calls the engine itself."""

    def add_reader(self, fd: int, callback: Any) -> None:
        self.callback = callback

    def remove_reader(self, fd: int) -> None:
        pass


class AskedBench(Bench):
    """The same with the engine reading the connection; questions are the line's own."""

    def __init__(self, in_flight: int = 1) -> None:
        self.transports: list[SocketTransport] = []
        super().__init__(in_flight)

    def engine(self) -> Engine:
        words = [register(f"w{i}", 0x10 + i) for i in range(4)]
        bits = [register(f"b{i}", 0x10 + i, "bit", function=1) for i in range(11)]
        meter = Device("m", "g", 5, profile(*words, *bits), 1, 1, {})
        self.store = ReplyStore([meter])
        self.reading = Engine(self.reactor, self.clock, self.store, 1, NoLoop())
        return self.reading

    def close(self) -> None:
        super().close()
        for transport in self.transports:
            transport.near.close()
            transport.far.close()

    def connect(self) -> None:
        self.wire = self.reactor.tcpClients[-1][2].buildProtocol(None)
        self.transport = SocketTransport()
        self.transports.append(self.transport)
        self.wire.makeConnection(self.transport)

    def sent(self) -> bytes:
        try:
            data: bytes = self.transport.far.recv(65536)
        except BlockingIOError:
            return b""
        return data

    def play(self, data: bytes, wire: Any = None) -> None:
        transport = (wire or self.wire).transport
        try:
            transport.far.sendall(data)
        except BlockingIOError:
            assert transport.aborted, "only a connection that is fenced is not read"
        self.reading.ready()


class PolledBench(AskedBench):
    """The same with reads polled by the engine, as long as no cycle is under way; the rest is asked."""

    def __init__(self, in_flight: int = 1, slots: dict[int, Request] | None = None) -> None:
        self.slots = slots or {}
        self.cycles = 0
        super().__init__(in_flight)
        assert self.line.seat is not None
        self.line.seat.serve(self, self.slots)
        self.line.seat.tell(True)

    def ask(self, request: Request) -> int:
        slot = [slot for slot, known in self.slots.items() if known is request]
        assert self.line.seat is not None
        if not slot or self.line.seat.running:
            return super().ask(request)
        self.line.seat.begin(Cycle([slot]))
        sent = self.sent()
        return sent[0] << 8 | sent[1]

    def payload(self, slot: int) -> bytes:
        at, size = self.store.payload_at[slot], self.store.payload_bytes[slot]
        return self.store.arena[at : at + size].tobytes()

    def good(self, slot: int, elapsed_ns: int) -> None:
        self.outcomes.append(Reply(self.payload(slot)))

    def answered(self, slot: int, outcome: Outcome, elapsed_ns: int) -> Then:
        self.outcomes.append(outcome)
        if isinstance(outcome, Reply):
            assert outcome.payload == self.payload(slot)
        return Then.ON if isinstance(outcome, Reply | ExceptionReply) else Then.STOP

    def ended(self) -> None:
        self.cycles += 1


def make_bench(kind: str, in_flight: int, slots: dict[int, Request]) -> Bench:
    """Make the bench of a kind; slots: the reads that the polled kind polls."""
    if kind == POLLED:
        return PolledBench(in_flight, slots)
    return {LINE: Bench, ASKED: AskedBench}[kind](in_flight)

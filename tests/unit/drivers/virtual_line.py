"""A serial line behind a transparent gateway in virtual time: every bit takes the time that it takes on a real one.

Only the network is invented here, and the clock; line, link and poller are the real ones.
"""

import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from drivers.device import LineFormat
from drivers.modbus_rtu import with_crc
from scada.clock import NS_PER_S

FORM = LineFormat(9600, "E", 1)
QUICK_S = 0.03  # how long a good meter thinks
CUT = b"cut"  # instead of a reply: the gateway ends the connection
EPOCH_NS = 1_760_000_000 * NS_PER_S

# request -> how long it is thought about, the reply, and the pause before each further byte of it
Answer = Callable[[bytes], tuple[float, bytes] | tuple[float, bytes, float]]


def right(request: bytes) -> bytes:
    """Return the right reply to a read of registers, all of them 1."""
    unit, function, _, count = struct.unpack_from(">BBHH", request)
    return with_crc(struct.pack(f">BBB{count}H", unit, function, 2 * count, *([1] * count)))


def good(request: bytes) -> tuple[float, bytes]:
    return QUICK_S, right(request)


class VirtualClock:
    """The clock of the plant, driven by the reactor."""

    speed = 1

    def __init__(self, reactor: Clock) -> None:
        self._reactor = reactor

    def mono_ns(self) -> int:
        return round(self._reactor.seconds() * NS_PER_S)

    def utc_ns(self) -> int:
        return EPOCH_NS + self.mono_ns()


class _Transport:
    """One connection to the gateway."""

    def __init__(self, reactor: "VirtualReactor", wire: Any) -> None:
        self.reactor, self.wire = reactor, wire

    def write(self, data: bytes) -> None:
        self.reactor.hear(self.wire, data)

    def writeSomeData(self, data: bytes) -> int:
        self.reactor.hear(self.wire, data)
        return len(data)

    def recv(self, size: int) -> bytes:
        raise BlockingIOError

    def getHandle(self) -> "_Transport":
        return self

    def setTcpNoDelay(self, on: bool) -> None: ...

    def setTcpKeepAlive(self, on: bool) -> None: ...

    def abortConnection(self) -> None:
        self.reactor.callLater(0, self.wire.connectionLost)


class _Connector:
    """One attempt to connect."""

    def __init__(self, attempt: Any) -> None:
        self._attempt = attempt

    def disconnect(self) -> None:
        if self._attempt.active():
            self._attempt.cancel()


class VirtualReactor(Clock):  # type: ignore[misc]
    """A reactor whose only network is one gateway with a serial line."""

    def __init__(self, answers: dict[int, Answer]) -> None:
        super().__init__()
        self.answers = answers  # by unit
        self.asked: Counter[int] = Counter()  # questions by unit
        self.first_asked_s: dict[int, list[float]] = {}  # when block 0 was asked, by unit

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30.0) -> Any:
        def made() -> None:
            wire = factory.buildProtocol(None)
            wire.transport = _Transport(self, wire)
            wire.connectionMade()

        return _Connector(self.callLater(0, made))

    def hear(self, wire: Any, request: bytes) -> None:
        """Carry a question to its meter and the answer back, at the speed of the line."""
        unit = request[0]
        self.asked[unit] += 1
        if request[2:4] == b"\0\0":
            self.first_asked_s.setdefault(unit, []).append(self.seconds())
        thinks_s, reply, *pauses_s = self.answers[unit](request)
        if reply == CUT:
            self.callLater(thinks_s, wire.connectionLost)
            return
        spent_s = (len(request) + len(reply)) * FORM.char_s + thinks_s
        if pauses_s:
            for at in range(len(reply)):
                self.callLater(spent_s + at * pauses_s[0], wire.dataReceived, reply[at : at + 1])
        elif reply:
            self.callLater(spent_s, wire.dataReceived, reply)

    def run_for(self, seconds: float) -> None:
        """Let so much time pass, from event to event."""
        end = self.seconds() + seconds
        while calls := self.getDelayedCalls():
            due = min(call.getTime() for call in calls)
            if due > end:
                break
            self.advance(max(0.0, due - self.seconds()))
        self.advance(end - self.seconds())


class FramedReactor(VirtualReactor):
    """The same with a gateway that takes Modbus TCP frames, over as many connections as it is given."""

    def hear(self, wire: Any, data: bytes) -> None:
        for at in range(0, len(data), 12):  # every request of these tests is a read
            self._answer(wire, data[at : at + 12])

    def _answer(self, wire: Any, frame: bytes) -> None:
        unit = frame[6]
        self.asked[unit] += 1
        thinks_s, reply, *_ = self.answers[unit](with_crc(frame[6:]))
        if reply:
            body = reply[:-2]
            self.callLater(thinks_s, wire.dataReceived, frame[:4] + struct.pack(">H", len(body)) + body)

"""What carries the bytes of a half-duplex line, and the transparent gateway as the first of them.

A *link* keeps one connection to a line of meters, makes it again when it was lost, and tells its user. The serial port
is in `drivers.serial_port`, the meter or DTU that dials in in `drivers.dial_in`.
Rule: a link knows no protocol and no device; it says nothing about time but how long it waits to connect again.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from twisted.internet import protocol
from twisted.internet.defer import Deferred

from drivers.lines import CONNECT_TIMEOUT_S, JITTER, RECONNECT_FIRST_S, RECONNECT_MAX_S, State

DISCARD_MAX: Final = 64  # reads of 4 kB that one clearing of the input takes; a peer that sends more is babbling
READ_BYTES: Final = 4096


class LinkUser(Protocol):
    """Who is told what happens on a link."""

    def link_up(self) -> None:
        """A connection was made."""
        ...

    def link_down(self, reason: str) -> None:
        """An attempt gave no useful connection (each attempt)."""
        ...

    def link_lost(self) -> None:
        """The connection ended; a new one is being made, or waited for."""
        ...

    def link_data(self, data: bytes) -> None:
        """Bytes came."""
        ...


class Link(Protocol):
    """One way to a line of meters."""

    name: str  # for people
    state: State

    def open(self, user: LinkUser) -> None:
        """Start to connect, and keep connected until `close`."""
        ...

    def close(self) -> "Deferred[None]":
        """End the connection; the Deferred fires when nothing is held any more."""
        ...

    def drop(self) -> None:
        """End this connection and make a new one, because late bytes must find nobody. `link_lost` is not called."""
        ...

    def suspect(self) -> None:
        """Hear that nothing came in answer to several questions: the connection may be dead without knowing."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens without a connection."""
        ...

    def discard_input(self) -> None:
        """Throw away what has come and was not delivered yet."""
        ...


def drain(transport: Any) -> bool:
    """Throw away what the kernel holds of a TCP connection; tell whether there was anything."""
    found = False
    with suppress(OSError):  # nothing more to read, or the end of the connection, which the reactor reports
        for _ in range(DISCARD_MAX):
            if not transport.getHandle().recv(READ_BYTES):
                break
            found = True
    return found


class Retry:
    """When to connect again: at once, or after a delay that doubles, with jitter."""

    def __init__(self, reactor: Any, rng: random.Random, connect: Callable[[], None]) -> None:
        self._reactor = reactor
        self._rng = rng
        self._connect = connect
        self._timer: Any = None
        self.reset()

    def reset(self) -> None:
        """Begin again with the shortest delay: the other side works."""
        self._delay_s = RECONNECT_FIRST_S

    def later(self) -> None:
        """Connect after the delay, and double it."""
        self.cancel()
        self._timer = self._reactor.callLater(self._delay_s * self._rng.uniform(1 - JITTER, 1 + JITTER), self._run)
        self._delay_s = min(2 * self._delay_s, RECONNECT_MAX_S)

    def cancel(self) -> None:
        """Do not connect."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _run(self) -> None:
        self._timer = None
        self._connect()


class _Wire(protocol.Protocol):  # type: ignore[misc]
    """One TCP connection; after `drop` the link no longer knows it."""

    def __init__(self, link: "TcpLink") -> None:
        self._link = link
        self.heard = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self._link.wire_up(self)

    def dataReceived(self, data: bytes) -> None:
        self.heard = True
        self._link.wire_data(self, data)

    def connectionLost(self, reason: Any = None) -> None:
        self._link.wire_lost(self)


class _Attempt(protocol.ClientFactory):  # type: ignore[misc]
    """One attempt to connect."""

    noisy = False

    def __init__(self, link: "TcpLink") -> None:
        self._link = link

    def buildProtocol(self, addr: Any) -> _Wire:
        return _Wire(self._link)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._link.attempt_failed(self, reason.getErrorMessage())


class TcpLink:
    """The connection to a transparent gateway, which passes bytes through to its serial line."""

    def __init__(self, reactor: Any, host: str, port: int, rng: random.Random) -> None:
        self.name = f"{host}:{port}"
        self.state = State.CLOSED
        self._reactor = reactor
        self._host = host
        self._port = port
        self._retry = Retry(reactor, rng, self._connect)
        self._user: LinkUser | None = None
        self._wire: _Wire | None = None
        self._closing: set[_Wire] = set()
        self._attempt: _Attempt | None = None
        self._connector: Any = None
        self._closed: Deferred[None] | None = None

    def open(self, user: LinkUser) -> None:
        """Start to connect, and keep connected until `close`."""
        self._user = user
        if self.state is State.CLOSED:
            self._connect()

    def close(self) -> "Deferred[None]":
        """End the connection; the Deferred fires when no socket is left."""
        self.state = State.CLOSED
        self._retry.cancel()
        self._attempt = None
        if self._connector is not None:
            self._connector.disconnect()
            self._connector = None
        self._abort()
        self._closed = Deferred()
        closed = self._closed
        self._tell_closed()
        return closed

    def drop(self) -> None:
        """Abort the connection and make a new one: at once after one on which something came, else after a delay."""
        heard = self._wire is not None and self._wire.heard
        self._abort()
        if self.state is State.UP:
            self._again(at_once=heard)

    def suspect(self) -> None:
        """Make a new connection: this one may be half open."""
        self.drop()

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens without a connection."""
        if self._wire is not None:
            self._wire.transport.write(data)

    def discard_input(self) -> None:
        """Take what the kernel holds of this connection; the end of the stream is seen again by the reactor."""
        if self._wire is not None:
            drain(self._wire.transport)

    # -- connecting

    def _connect(self) -> None:
        self.state = State.CONNECTING
        self._attempt = _Attempt(self)
        self._connector = self._reactor.connectTCP(self._host, self._port, self._attempt, timeout=CONNECT_TIMEOUT_S)

    def _again(self, at_once: bool) -> None:
        if at_once:
            self._connect()
            return
        self.state = State.WAITING
        self._retry.later()

    def _abort(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._closing.add(wire)
            wire.transport.abortConnection()

    def wire_up(self, wire: _Wire) -> None:
        """Take a new connection into use."""
        if self.state is not State.CONNECTING or self._user is None:
            self._closing.add(wire)
            wire.transport.abortConnection()
            return
        self.state = State.UP
        self._wire = wire
        self._user.link_up()

    def wire_data(self, wire: _Wire, data: bytes) -> None:
        """Pass bytes on; those of a dropped connection have nobody to read them."""
        if wire is self._wire and self._user is not None:
            self._retry.reset()
            self._user.link_data(data)

    def attempt_failed(self, attempt: _Attempt, reason: str) -> None:
        """Wait and try again."""
        if attempt is not self._attempt or self._user is None:
            return
        self._connector = None
        self._again(at_once=False)
        self._user.link_down(reason)

    def wire_lost(self, wire: _Wire) -> None:
        """Handle the end of a connection: ours, or the peer's."""
        self._closing.discard(wire)
        if wire is self._wire and self._user is not None:
            self._wire = None
            self._again(at_once=wire.heard)
            self._user.link_lost()
            if not wire.heard:
                self._user.link_down("the gateway closed the connection before anything came")
        self._tell_closed()

    def _tell_closed(self) -> None:
        if self._closed is not None and self.state is State.CLOSED and not self._closing:
            closed, self._closed = self._closed, None
            closed.callback(None)

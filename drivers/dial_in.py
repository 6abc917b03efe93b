"""Meters and DTUs that dial in: one listening port for many, told apart by the packet each sends first.

Rule: nobody's bytes reach a line before the packet named its sender; a DTU that dials in again replaces its old
connection, because its old one died without telling. Nobody can fill the port: pending connections are few and short.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from loguru import logger
from twisted.internet import protocol
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from drivers.lines import RECONNECT_FIRST_S, RECONNECT_MAX_S, State
from drivers.transports import LinkUser, drain

PENDING_MAX: Final = 64  # connections that have not said yet who they are
REGISTER_S: Final = 30.0  # a DTU says it at once; a slow mobile network gets half a minute
ABSENT_S: Final = 10.0  # a DTU that stays away is reported so often, as a failed attempt to connect
FRAME_START: Final = 0x68  # of DL/T 645 and CJ/T 188; as a letter it is an h
ANYWHERE_BYTES: Final = 6  # a packet so long is in no answer by chance: 2 to the power of -48 at each place
HOLD_S: Final = 0.1  # how long the possible begin of a packet is held back
REFUSALS_LOGGED: Final = (1, 10, 100, 1000, 10_000)  # of one address: a wrong DTU dials every few seconds for ever
ADDRESSES_KEPT: Final = 1000  # of refused callers that are told apart in the log


def _cancel(timer: Any) -> None:
    if timer is not None and timer.active():
        timer.cancel()


class _Caller(protocol.Protocol):  # type: ignore[misc]
    """One connection that came in."""

    def __init__(self, listener: "DialInPort") -> None:
        self._listener = listener
        self.head = b""  # what came before the sender was known
        self.link: DialInLink | None = None
        self.timer: Any = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self._listener.caller_came(self)

    def dataReceived(self, data: bytes) -> None:
        if self.link is not None:
            self.link.caller_data(self, data)
        else:
            self.head += data
            self._listener.recognise(self)

    def connectionLost(self, reason: Any = None) -> None:
        self._listener.caller_gone(self)
        if self.link is not None:
            self.link.caller_lost(self)


class _Factory(protocol.ServerFactory):  # type: ignore[misc]
    noisy = False

    def __init__(self, listener: "DialInPort") -> None:
        self._listener = listener

    def buildProtocol(self, addr: Any) -> _Caller:
        return self._listener.admit()


class DialInPort:
    """One listening port, shared by all lines whose DTUs dial it."""

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self.refused: Counter[str] = Counter()  # by address of the caller
        self._reactor = reactor
        self._host = host
        self._port = port
        self._links: dict[bytes, DialInLink] = {}
        self._pending: dict[_Caller, None] = {}  # in the order in which they came
        self._listening: Any = None
        self._retry: Any = None
        self._delay_s = RECONNECT_FIRST_S

    def join(self, link: "DialInLink") -> None:
        """Wait for the DTU of a link; the first one opens the port."""
        self._links[link.registration] = link
        if self._listening is None and self._retry is None:
            self._listen()

    def leave(self, link: "DialInLink") -> "Deferred[None]":
        """Wait for it no longer; the last one closes the port."""
        self._links.pop(link.registration, None)
        if self._links:
            return succeed(None)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for caller in list(self._pending):
            caller.transport.abortConnection()
        listening, self._listening = self._listening, None
        return maybeDeferred(listening.stopListening) if listening is not None else succeed(None)

    def _listen(self) -> None:
        from twisted.internet.error import CannotListenError

        self._retry = None
        try:
            self._listening = self._reactor.listenTCP(self._port, _Factory(self), interface=self._host)
        except CannotListenError as error:
            reason = f"cannot listen on {self._host}:{self._port} for meters that dial in: {error.socketError}"
            self._retry = self._reactor.callLater(self._delay_s, self._listen)
            self._delay_s = min(2 * self._delay_s, RECONNECT_MAX_S)
            for link in list(self._links.values()):
                link.not_listening(reason)

    # -- callers

    def admit(self) -> _Caller:
        """Return a protocol for a connection. The oldest that has not said who it is goes when there are too many."""
        if len(self._pending) >= PENDING_MAX:
            self._refuse(next(iter(self._pending)), "too many connections without a registration packet")
        return _Caller(self)

    def caller_came(self, caller: _Caller) -> None:
        """Give it time to say who it is."""
        self._pending[caller] = None
        caller.timer = self._reactor.callLater(REGISTER_S, self._refuse, caller, "it sent no registration packet")

    def caller_gone(self, caller: _Caller) -> None:
        """Forget a connection that ended."""
        self._pending.pop(caller, None)
        _cancel(caller.timer)
        caller.timer = None

    def recognise(self, caller: _Caller) -> None:
        """Hand a caller to its line as soon as its first bytes are a registration; refuse it when they are none."""
        for registration, link in self._links.items():
            if caller.head.startswith(registration) and link.may_follow(caller.head[len(registration) :]):
                rest, caller.head = caller.head[len(registration) :], b""
                self.caller_gone(caller)
                caller.link = link
                link.caller_up(caller)
                if rest:
                    link.caller_data(caller, rest)
                return
        if not any(registration.startswith(caller.head) for registration in self._links):
            self._refuse(caller, f"its registration {caller.head[:32].hex(' ')} is not known")

    def _refuse(self, caller: _Caller, why: str) -> None:
        address = caller.transport.getPeer().host
        self.caller_gone(caller)
        if address in self.refused or len(self.refused) < ADDRESSES_KEPT:
            self.refused[address] += 1
            if self.refused[address] in REFUSALS_LOGGED:
                times = self.refused[address]
                logger.warning("port {}: {} is refused ({} times so far): {}", self._port, address, times, why)
        caller.transport.abortConnection()


class DialInLink:
    """The connection of one DTU, whenever it dials in. The face of `drivers.transports.Link`."""

    def __init__(
        self, reactor: Any, port: DialInPort, name: str, registration: bytes, heartbeat: bytes, heartbeat_s: float
    ) -> None:
        self.name = name
        self.state = State.CLOSED
        self.registration = registration
        self._reactor = reactor
        self._port = port
        self._heartbeat = heartbeat
        self._heartbeat_s = heartbeat_s
        self._user: LinkUser | None = None
        self._caller: _Caller | None = None
        self._held = b""  # the first bytes of what may become a heartbeat
        self._answering = False  # something else than heartbeats came since the last question
        self._silence: Any = None
        self._release: Any = None
        self._packets = tuple(packet for packet in (heartbeat, registration) if packet)

    def open(self, user: LinkUser) -> None:
        """Wait for the DTU, and again whenever it went away, until `close`."""
        self._user = user
        if self.state is State.CLOSED:
            self.state = State.WAITING
            self._watch_silence(self._heartbeat_s)  # it dials when it notices that its former connection is dead
            self._port.join(self)

    def close(self) -> "Deferred[None]":
        """Hang up, and wait no longer."""
        self.state = State.CLOSED
        self._stop_watch()
        self._hang_up()
        return self._port.leave(self)

    def drop(self) -> None:
        """Hang up; the DTU dials in again."""
        if self.state is State.UP:
            self.state = State.WAITING
            self._watch_silence()
        self._hang_up()

    def suspect(self) -> None:
        """Hang up a connection on which nothing comes; one that still brings heartbeats stays."""
        if not self._heartbeat and self._user is not None:
            self.drop()
            self._user.link_down("the DTU brought no answer to several questions")

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens while the DTU is away."""
        self._answering = False
        if self._caller is not None:
            self._caller.transport.write(data)

    def discard_input(self) -> None:
        """Throw away what the kernel holds, and the beginning of a heartbeat that never became one."""
        self._held = b""
        if self._caller is not None and drain(self._caller.transport):
            self._watch_silence()

    # -- what the port says

    def not_listening(self, reason: str) -> None:
        """Tell that the port cannot be opened."""
        if self._user is not None:
            self._user.link_down(reason)

    def may_follow(self, rest: bytes) -> bool:
        """Tell whether these bytes may follow our registration: a longer number of the same kind is another DTU's.

        Behind a text comes the end of the line, a heartbeat, the text once more, or a frame; no letter and no digit.
        """
        text = all(0x20 <= octet < 0x7F for octet in self.registration)
        own = any(rest.startswith(packet) or packet.startswith(rest) for packet in self._packets)
        return own or not (text and rest[:1].isalnum() and rest[0] != FRAME_START)

    def caller_up(self, caller: _Caller) -> None:
        """Use the connection of our DTU; an older one is dead."""
        assert self._user is not None
        if self._caller is not None:
            logger.info("line {}: its DTU dialled in again", self.name)
            self._hang_up()
            self.state = State.CONNECTING  # what the user asks on hearing of it waits for the new connection
            self._user.link_lost()
        self._caller = caller
        self.state = State.UP
        self._watch_silence()
        self._user.link_up()

    def caller_data(self, caller: _Caller, data: bytes) -> None:
        """Pass on what is no heartbeat."""
        if caller is not self._caller or self._user is None:
            return
        self._watch_silence()
        _cancel(self._release)
        payload = self._without_heartbeat(self._held + data)
        if payload:
            self._user.link_data(payload)

    def _without_heartbeat(self, data: bytes) -> bytes:
        """Take away heartbeats and repeated registrations that come before the answer to a question.

        Once an answer has begun everything passes, because the same bytes may be a value in it and a network cuts where
        it likes; scanners skip a heartbeat behind it. A long one is no value: it is taken out of an answer, too. What
        may be the first part of a packet waits a moment for the next bytes.
        """
        self._held = b""
        packets = self._packets
        for packet in packets:
            if len(packet) >= ANYWHERE_BYTES:
                data = data.replace(packet, b"")
        if self._answering:
            return data
        while packet := next((packet for packet in packets if data.startswith(packet)), b""):
            data = data[len(packet) :]
        if data and any(packet.startswith(data) for packet in packets):
            self._held, data = data, b""
            self._release = self._reactor.callLater(HOLD_S, self._let_go)
        self._answering = bool(data)
        return data

    def _let_go(self) -> None:
        """Pass on what was held back and became no packet."""
        held, self._held = self._held, b""
        if held and self._user is not None:
            self._answering = True
            self._user.link_data(held)

    def caller_lost(self, caller: _Caller) -> None:
        """Wait for the DTU to dial in again."""
        if caller is not self._caller or self._user is None:
            return
        self._caller = None
        self.state = State.WAITING
        self._watch_silence()
        self._user.link_lost()

    # -- silence

    def _watch_silence(self, grace_s: float = 0.0) -> None:
        """Begin the time after which a silent DTU is given up, or one that stays away is reported.

        grace_s: it is not reported earlier.
        """
        self._stop_watch()
        patience_s = self._heartbeat_s if self.state is State.UP else max(grace_s, ABSENT_S)
        self._silence = self._reactor.callLater(patience_s, self._silent)

    def _stop_watch(self) -> None:
        _cancel(self._silence)
        self._silence = None

    def _silent(self) -> None:
        assert self._user is not None
        was_up = self.state is State.UP
        self.drop()
        if was_up:
            self._user.link_lost()
        self._watch_silence()
        self._user.link_down(f"the DTU was silent for {self._heartbeat_s:g} s" if was_up else "the DTU did not dial in")

    def _hang_up(self) -> None:
        caller, self._caller = self._caller, None
        self._held = b""
        _cancel(self._release)
        if caller is not None:
            caller.link = None
            caller.transport.abortConnection()


def dial_in_ports(reactor: Any) -> Callable[[str, int], DialInPort]:
    """Return a function that gives the one listening port of an address, made when it is first asked for."""
    ports: dict[tuple[str, int], DialInPort] = {}

    def port_of(host: str, port: int) -> DialInPort:
        return ports.setdefault((host, port), DialInPort(reactor, host, port))

    return port_of

"""What the listener makes of DTUs, and of others that dial in, whose packets look like answers."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock, StringTransport

from drivers import dlt645, dlt645_frame
from drivers.dial_in import PENDING_MAX, REGISTER_S, DialInLink, DialInPort
from drivers.lines import State
from drivers.outcome import Reply

BEAT = b"\xfe\xfe"  # also how every DL/T 645 and CJ/T 188 frame may begin


class Transport(StringTransport):  # type: ignore[misc]
    """One end of a real connection, whose reading the test does."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.aborted = False

    def getHandle(self) -> socket.socket:
        return self.near

    def setTcpNoDelay(self, enabled: bool) -> None:
        assert enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:
        assert enabled

    def abortConnection(self) -> None:
        self.aborted = True


class User:
    """What the link tells its line."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.told: list[str] = []
        self.states: list[State] = []

    def link_up(self) -> None:
        self.told.append("up")

    def link_down(self, reason: str) -> None:
        self.told.append("down")

    def link_lost(self) -> None:
        self.told.append("lost")
        self.states.append(self.link.state)

    def link_data(self, data: bytes) -> None:
        self.heard.append(data)

    link: DialInLink


class Bench:
    """A port with two links."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.port = DialInPort(self.reactor, "127.0.0.1", 9000)
        self.users = {name: User() for name in (b"DTU-A", b"DTU-B")}
        for name, user in self.users.items():
            user.link = DialInLink(self.reactor, self.port, name.decode(), name, BEAT, 90.0)
            user.link.open(user)
        self.transports: list[Transport] = []

    def dial(self, *packets: bytes) -> Any:
        caller = self.reactor.tcpServers[0][1].buildProtocol(None)
        if caller is None:
            return None
        transport = Transport()
        self.transports.append(transport)
        caller.makeConnection(transport)
        for packet in packets:
            caller.dataReceived(packet)
        return caller

    def close(self) -> None:
        for user in self.users.values():
            user.link.close()
        for transport in self.transports:
            transport.near.close()
            transport.far.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def answer_to(question: Any, data: bytes, wake_bytes: int) -> bytes:
    return dlt645_frame.encode_frame(question.address, 0x91, question.lead + data, wake_bytes)


@pytest.mark.parametrize("wake_bytes", [0, 1, 2, 3, 4])
def test_a_heartbeat_that_looks_like_a_part_of_the_answer_takes_nothing_out_of_it(
    bench: Bench, wake_bytes: int
) -> None:
    """CB + 33 is FE: bytes that a network cuts off right there are a value, not a heartbeat."""
    question = dlt645.read("000000000001", 0x0400_0501, 4)
    frame = answer_to(question, b"\xcb\xcb\xcb\xcb", wake_bytes)
    user, caller = bench.users[b"DTU-A"], bench.dial(b"DTU-A")
    for first in range(1, len(frame)):
        for second in range(first + 1, len(frame) + 1):
            user.heard.clear()
            user.link.discard_input()
            user.link.write(question.wire)
            for piece in (BEAT, frame[:first], frame[first:second], frame[second:], BEAT):
                if piece:
                    caller.dataReceived(piece)
            items = question.scanner().feed(b"".join(user.heard))
            assert [question.judge(item) for item in items if isinstance(item, bytes)] == [Reply(b"\xcb" * 4)]


def test_an_answer_whose_end_looks_like_the_begin_of_a_packet_is_not_late(bench: Bench) -> None:
    user, caller = bench.users[b"DTU-A"], bench.dial(b"DTU-A")
    user.link.write(b"?")
    for piece in (b"answer", b"D"):
        caller.dataReceived(piece)
    assert b"".join(user.heard) == b"answerD"


def test_heartbeats_between_answers_are_nobodys(bench: Bench) -> None:
    user, caller = bench.users[b"DTU-A"], bench.dial(b"DTU-A" + BEAT)
    for piece in (b"\xfe", b"\xfe", BEAT + BEAT, b"DTU", b"-A"):
        caller.dataReceived(piece)
    assert user.heard == []


def test_what_came_before_a_question_is_thrown_away_although_the_kernel_still_holds_it(bench: Bench) -> None:
    user = bench.users[b"DTU-A"]
    bench.dial(b"DTU-A")
    bench.transports[-1].far.sendall(b"late answer")
    user.link.discard_input()
    with pytest.raises(BlockingIOError):
        bench.transports[-1].near.recv(100)


def test_a_registration_inside_the_data_of_another_dtu_moves_nothing(bench: Bench) -> None:
    caller = bench.dial(b"DTU-A")
    bench.users[b"DTU-A"].link.write(b"?")
    caller.dataReceived(b"xDTU-B")
    assert b"".join(bench.users[b"DTU-A"].heard) == b"xDTU-B"
    assert bench.users[b"DTU-B"].told == []
    assert bench.users[b"DTU-B"].link.state is State.WAITING


def test_a_replaced_connection_says_and_ends_nothing(bench: Bench) -> None:
    user = bench.users[b"DTU-A"]
    old = bench.dial(b"DTU-A")
    bench.dial(b"DTU-A")
    assert user.told == ["up", "lost", "up"]
    assert State.UP not in user.states, "nothing may be sent between two connections"
    assert bench.transports[0].aborted
    old.dataReceived(b"late")
    old.connectionLost()
    assert user.heard == []
    assert user.told == ["up", "lost", "up"]
    assert user.link.state is State.UP


def test_strangers_that_say_nothing_fill_neither_memory_nor_port_for_long(bench: Bench) -> None:
    for _ in range(1000):
        bench.dial()
    assert sum(not transport.aborted for transport in bench.transports) == PENDING_MAX
    bench.reactor.advance(REGISTER_S + 1)
    assert all(transport.aborted for transport in bench.transports)
    bench.dial(b"DTU-A")
    assert bench.users[b"DTU-A"].link.state is State.UP


def test_a_connection_that_is_hung_up_as_suspect_is_told_as_down(bench: Bench) -> None:
    """What waits for it must fail now, not when the DTU dials in again."""
    user = User()
    user.link = DialInLink(bench.reactor, bench.port, "C", b"DTU-C", b"", 90.0)
    user.link.open(user)
    bench.dial(b"DTU-C")
    user.link.suspect()
    assert user.told == ["up", "down"]
    assert user.link.state is State.WAITING
    user.link.close()

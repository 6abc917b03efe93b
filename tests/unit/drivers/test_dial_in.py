"""DTUs that dial in, on real sockets: who they are, what they say of their own accord, and who may not come in."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from harness import until
from line_asker import Asker, ask_of, payload
from rtu_bus import RtuBus, words_of

from drivers.dial_in import PENDING_MAX, DialInLink, DialInPort
from drivers.lines import State
from drivers.outcome import Reply


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Dtu:
    """A DTU as it behaves on the wire."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.bus = RtuBus()

    async def dial(self, *packets: bytes) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.bus.talk = self.writer.write
        for packet in packets:
            self.writer.write(packet)
            await self.writer.drain()
            await asyncio.sleep(0.02)

    async def serve(self, frames: int) -> None:
        while len(self.bus.heard) < frames:
            data = await self.reader.read(4096)
            if not data:
                return
            self.bus.hear(data)

    async def hung_up(self) -> bool:
        """Tell whether the listener ended the connection, by FIN or RST."""
        try:
            return await self.reader.read(10) == b""
        except ConnectionError:
            return True

    def hang_up(self) -> None:
        self.writer.close()
        self.bus.end()


@asynccontextmanager
async def dialled(
    reactor: Any, port: int, beat: bytes = b"BEAT", beat_s: float = 60.0, **links: bytes
) -> AsyncIterator[tuple[DialInPort, dict[str, Asker]]]:
    listener = DialInPort(reactor, "127.0.0.1", port)
    askers = {
        name: Asker(reactor, DialInLink(reactor, listener, name, packet, beat, beat_s))
        for name, packet in links.items()
    }  # fmt: skip
    try:
        yield listener, askers
    finally:
        for asker in askers.values():
            await asker.close()


def test_dtus_are_told_apart_by_their_registration(reactor_loop: Any, free_port: int) -> None:
    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A", b=b"DTU-B") as (listener, askers):
            first, second = Dtu(free_port), Dtu(free_port)
            await second.dial(b"DT", b"U-B")  # split over two packets
            await first.dial(b"DTU-ABEAT")  # with the first heartbeat glued on
            await askers["a"].up()
            await askers["b"].up()
            answers = [askers["a"].ask(ask_of(1)), askers["b"].ask(ask_of(2))]
            await asyncio.gather(first.serve(1), second.serve(1))
            assert await asyncio.gather(*answers) == [payload(100), payload(200)]
            assert [first.bus.heard[0][0], second.bus.heard[0][0]] == [1, 2]
            assert not listener.refused
            first.hang_up()
            second.hang_up()

    reactor_loop.run(story())


def test_heartbeats_do_not_reach_the_meters_line(reactor_loop: Any, free_port: int) -> None:
    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A") as (_, askers):
            dtu = Dtu(free_port)
            await dtu.dial(b"DTU-A")
            await askers["a"].up()

            async def beating(frame: bytes) -> bytes:
                dtu.writer.write(b"BE")
                await asyncio.sleep(0.02)
                dtu.writer.write(b"AT")
                return b"BEAT" + words_of(frame, 9) + b"BEAT"

            dtu.bus.answer = beating
            answer = askers["a"].ask(ask_of(1))
            await dtu.serve(1)
            assert await answer == payload(9)
            assert not askers["a"].line.figures.violations
            dtu.hang_up()

    reactor_loop.run(story())


def test_a_dtu_that_dials_again_replaces_its_old_connection(reactor_loop: Any, free_port: int) -> None:
    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A") as (_, askers):
            old, new = Dtu(free_port), Dtu(free_port)
            await old.dial(b"DTU-A")
            await askers["a"].up()
            answer = askers["a"].ask(ask_of(1))
            await old.serve(1)
            assert await answer == payload(100)
            await new.dial(b"DTU-A")
            assert await old.hung_up()
            await askers["a"].up()
            answer = askers["a"].ask(ask_of(1))
            await new.serve(1)
            assert await answer == payload(100)
            new.hang_up()
            old.hang_up()

    reactor_loop.run(story())


def test_an_unknown_registration_is_refused(reactor_loop: Any, free_port: int) -> None:
    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A") as (listener, askers):
            stranger = Dtu(free_port)
            await stranger.dial(b"DTX")
            assert await stranger.hung_up()
            assert listener.refused["127.0.0.1"] == 1
            assert askers["a"].line.state is State.WAITING
            stranger.hang_up()

    reactor_loop.run(story())


def test_a_longer_number_of_the_same_kind_is_another_dtu(reactor_loop: Any, free_port: int) -> None:
    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-0001") as (listener, askers):
            stranger = Dtu(free_port)
            await stranger.dial(b"DTU-00012")
            assert await stranger.hung_up()
            assert listener.refused["127.0.0.1"] == 1
            assert askers["a"].line.state is State.WAITING
            stranger.hang_up()
            own = Dtu(free_port)
            await own.dial(b"DTU-0001\r\n")
            await askers["a"].up()
            own.hang_up()

    reactor_loop.run(story())


def test_a_registration_may_have_an_answer_glued_on(reactor_loop: Any, free_port: int) -> None:
    """The DTU lost its connection while a meter answered: the rest of that answer is not taken for the next one."""

    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"\x86\x01\x02") as (_, askers):
            dtu = Dtu(free_port)
            await dtu.dial(b"\x86", b"\x01\x02" + words_of(bytes.fromhex("0103000000020000"), 7))
            await askers["a"].up()
            answer = askers["a"].ask(ask_of(1))
            await dtu.serve(1)
            assert await answer == payload(100)
            dtu.hang_up()

    reactor_loop.run(story())


def test_a_long_heartbeat_is_taken_out_of_the_middle_of_an_answer(reactor_loop: Any, free_port: int) -> None:
    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A", beat=b"HEARTBEAT") as (_, askers):
            dtu = Dtu(free_port)
            await dtu.dial(b"DTU-A")
            await askers["a"].up()

            async def torn(frame: bytes) -> bytes:
                right = words_of(frame, 9)
                return right[:4] + b"HEARTBEAT" + right[4:]

            dtu.bus.answer = torn
            answer = askers["a"].ask(ask_of(1))
            await dtu.serve(1)
            assert await answer == payload(9)
            dtu.hang_up()

    reactor_loop.run(story())


@pytest.mark.parametrize("beat", [b"\x00", b"\xfe\x01"])
def test_a_short_heartbeat_never_eats_a_frame(reactor_loop: Any, free_port: int, beat: bytes) -> None:
    """A frame that ends, or begins, as a heartbeat does stays whole; heartbeats alone do not reach the line."""

    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A", beat=beat) as (_, askers):
            dtu = Dtu(free_port)
            await dtu.dial(b"DTU-A" + beat)
            await askers["a"].up()
            dtu.writer.write(beat * 3)

            async def ends_so(frame: bytes) -> bytes:
                numbers = range(60_000)
                return next(reply for number in numbers if (reply := words_of(frame, number)).endswith(beat))

            dtu.bus.answer = ends_so
            answer = askers["a"].ask(ask_of(1))
            await dtu.serve(1)
            assert isinstance(await answer, Reply)
            dtu.hang_up()

    reactor_loop.run(story())


def test_strangers_who_say_nothing_keep_nobody_out(reactor_loop: Any, free_port: int) -> None:
    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A") as (listener, askers):
            mute = [Dtu(free_port) for _ in range(PENDING_MAX + 3)]
            for stranger in mute:
                await stranger.dial()
            dtu = Dtu(free_port)
            await dtu.dial(b"DTU-A")
            await askers["a"].up()
            assert listener.refused["127.0.0.1"] >= 3
            assert await mute[0].hung_up()
            for stranger in (*mute, dtu):
                stranger.hang_up()

    reactor_loop.run(story())


def test_a_dtu_that_stays_away_is_reported(reactor_loop: Any, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.dial_in.ABSENT_S", 0.05)

    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, beat_s=0.1, a=b"DTU-A") as (_, askers):
            await until(lambda: len(askers["a"].downs) >= 3, "it counts as failed attempts to connect")
            assert askers["a"].downs[0] == "the DTU did not dial in"

    reactor_loop.run(story())


def test_a_dtu_that_dials_again_in_the_middle_of_an_answer_is_asked_again(reactor_loop: Any, free_port: int) -> None:
    """Half the answer came over the old connection, the other half comes over the new one, behind the registration."""

    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A") as (_, askers):
            old, new = Dtu(free_port), Dtu(free_port)
            await old.dial(b"DTU-A")
            await askers["a"].up()
            answer = askers["a"].ask(ask_of(1))
            frame = await old.reader.readexactly(8)
            whole = words_of(frame, 7)
            old.writer.write(whole[:4])
            await old.writer.drain()
            await asyncio.sleep(0.02)
            await new.dial(b"DTU-A" + whole[4:])
            await new.serve(2)  # an answer that the old one may still owe is asked for twice
            assert await answer == payload(100), "the answer to the second sending, not two halves"
            new.hang_up()
            old.hang_up()

    reactor_loop.run(story())


def test_two_dtus_with_one_registration_leave_the_line_usable_when_one_goes(reactor_loop: Any, free_port: int) -> None:
    """They throw each other out; no question of the line is lost for ever, and no answer is mixed of both."""

    async def story() -> None:
        async with dialled(reactor_loop.reactor, free_port, a=b"DTU-A") as (_, askers):
            outcomes = []
            for turn in range(12):
                dtu = Dtu(free_port)
                await dtu.dial(b"DTU-A")
                await askers["a"].up()
                outcomes.append(askers["a"].ask(ask_of(1)))
                if turn % 3 == 0:
                    dtu.writer.write(words_of(ask_of(1).wire, 7)[:3])
            serving = asyncio.ensure_future(dtu.serve(100))
            told = await asyncio.gather(*outcomes)
            serving.cancel()
            assert told[-1] == payload(100)
            assert {outcome.payload for outcome in told if isinstance(outcome, Reply)} == {payload(100).payload}
            dtu.hang_up()

    reactor_loop.run(story())

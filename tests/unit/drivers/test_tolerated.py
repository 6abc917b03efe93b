"""What a meter may do otherwise without harm is counted by its line, and shown in the frame log."""

import asyncio
import random
from typing import Any

from harness import until

from drivers import cjt188
from drivers.cjt188 import Station, address_bytes, encode_frame
from drivers.device import LineFormat
from drivers.frame_log import outcome_text
from drivers.halfduplex import BusLine
from drivers.lines import State
from drivers.outcome import Outcome, Reply
from drivers.transports import TcpLink
from scada.clock import SystemClock

METER = Station(address_bytes("12345678"), 0x20, di_low_first=True, any_type=True, wake_bytes=0)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as the meter of a printed frame does: T 25 for 20, sequence number 03 for 12."""
    while len(request := await reader.read(64)) >= 16:
        writer.write(encode_frame(0x25, request[2:9], 0x81, request[11:13] + b"\x03" + bytes(43)))
    writer.close()


def test_another_sequence_number_is_taken_and_counted(reactor_loop: Any) -> None:
    async def story() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        link = TcpLink(reactor_loop.reactor, "127.0.0.1", port, random.Random(1))
        line = BusLine(reactor_loop.reactor, SystemClock(), link, LineFormat(), 5.0, 0.0)
        outcomes: list[Outcome] = []
        line.open()
        await until(lambda: line.state is State.UP, "connected")
        for sequence in (0x12, 0x03):
            question = cjt188.read(METER, 0x901F, 43, sequence)
            line.ask(question, lambda outcome, _: outcomes.append(outcome))
        await until(lambda: len(outcomes) == 2, "answered")
        assert outcomes == [Reply(bytes(43)), Reply(bytes(43))]
        assert line.figures.tolerated == {"sequence number": 1, "meter type": 1}
        assert line.figures.violations == {}
        assert [outcome_text(o) for o in outcomes] == ["reply, another sequence number", "reply, another meter type"]
        await line.close().asFuture(asyncio.get_running_loop())
        server.close()
        await server.wait_closed()

    reactor_loop.run(story())

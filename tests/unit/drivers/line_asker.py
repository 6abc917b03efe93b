"""A half-duplex line and what came of what it was asked, for tests of lines and links."""

import asyncio
from typing import Any

from harness import until

from drivers.device import LineFormat
from drivers.halfduplex import BusLine
from drivers.lines import State
from drivers.modbus import read_request
from drivers.modbus_rtu import Question
from drivers.outcome import Outcome, Reply
from scada.clock import SystemClock

FORM = LineFormat(19200, "N", 1)
TIMEOUT_S = 0.3


def ask_of(unit: int, address: int = 0) -> Question:
    return Question(read_request(unit, 3, address, 2))


def payload(first: int) -> Reply:
    return Reply(first.to_bytes(2, "big") + (first + 1).to_bytes(2, "big"))


class Asker:
    """A line and what came of what it was asked."""

    def __init__(self, reactor: Any, link: Any, **more: Any) -> None:
        self.downs: list[str] = []
        self.line = BusLine(reactor, SystemClock(), link, FORM, TIMEOUT_S, 0.01, on_down=self.downs.append, **more)
        self.line.open()

    async def up(self) -> None:
        await until(lambda: self.line.state is State.UP, "the line is up")

    def ask(self, question: Any, urgent: bool = False) -> "asyncio.Future[Outcome]":
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.line.ask(question, lambda outcome, _: answer.set_result(outcome), urgent)
        return answer

    async def close(self) -> None:
        await self.line.close().asFuture(asyncio.get_running_loop())

"""A half-duplex line over a link that the test holds, second by second on a clock that the test holds, too."""

from typing import Any

from twisted.internet.task import Clock as FakeReactor

from drivers.device import LineFormat
from drivers.halfduplex import BusLine
from drivers.lines import State
from drivers.outcome import Outcome

TIMEOUT_S = 0.5
GAP_S = 0.01


class SteppedClock:
    """The clock of the fake reactor."""

    speed = 1

    def __init__(self, reactor: FakeReactor) -> None:
        self._reactor = reactor

    def utc_ns(self) -> int:
        return round(self._reactor.seconds() * 1e9)

    def mono_ns(self) -> int:
        return round(self._reactor.seconds() * 1e9)


class HeldLink:
    """A link whose connection the test holds."""

    name = "held"

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.sent: list[bytes] = []

    def open(self, user: BusLine) -> None:
        self.user = user
        self.state = State.CONNECTING

    def close(self) -> None:
        self.state = State.CLOSED

    def drop(self) -> None:
        self.state = State.CONNECTING

    def suspect(self) -> None:
        self.drop()

    def write(self, data: bytes) -> None:
        assert self.state is State.UP, "nothing is sent without a connection"
        self.sent.append(data)

    def discard_input(self) -> None:
        pass

    # what the test does to it

    def up(self) -> None:
        self.state = State.UP
        self.user.link_up()

    def lose(self) -> None:
        self.state = State.CONNECTING
        self.user.link_lost()


class Bench:
    """A line that is up, and what came of its questions."""

    def __init__(self, **more: Any) -> None:
        self.reactor = FakeReactor()
        self.link = HeldLink()
        form = LineFormat(19200, "N", 1)
        self.line = BusLine(self.reactor, SteppedClock(self.reactor), self.link, form, TIMEOUT_S, GAP_S, **more)
        self.line.open()
        self.link.up()
        self.pass_s(GAP_S)
        self.outcomes: dict[str, Outcome] = {}

    def ask(self, name: str, question: Any, urgent: bool = False) -> None:
        def done(outcome: Outcome, elapsed_ns: int) -> None:
            assert name not in self.outcomes, "done is called once"
            self.outcomes[name] = outcome

        self.line.ask(question, done, urgent)

    def pass_s(self, seconds: float, step_s: float = 0.001) -> None:
        for _ in range(round(seconds / step_s)):
            self.reactor.advance(step_s)

    def hear(self, data: bytes) -> None:
        self.line.link_data(data)

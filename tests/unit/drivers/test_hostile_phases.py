"""Every hostile class of the simulated field, played into a half-duplex line in every phase of a transaction.

Whatever is played: a question ends once, never in a value that its meter does not show, and the line serves the next
meter within a time that is bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from held_line import TIMEOUT_S, Bench
from rtu_bus import words_of

from drivers import cjt188, dlt645, dlt645_frame
from drivers.field.frames import Family
from drivers.field.hostile import Burst, Lie, Mouth, classes_for
from drivers.lines import State
from drivers.modbus import read_request
from drivers.modbus_rtu import Question
from drivers.outcome import Outcome, Reply, Silence

SPARE_S: Final = 45.0  # a fence ends after 30 s whatever comes
THINKS_S: Final = 0.02
# What is wrong in the data and not in the frame is the decoder's business (test_bulk).
IN_THE_DATA: Final = frozenset({"absent", "bad-digits", "unknown-unit"})
WATER: Final = bytes.fromhex("78563412 2C 00000000 2C 00000000000000 0000")


@dataclass(frozen=True)
class Tongue:
    """One protocol: the same question to two meters, and the right answer with a value at will."""

    family: Family
    question: Callable[[int], Any]
    reply: Callable[[Any, int], bytes]
    value: Callable[[int], bytes]  # the payload of the reply


def station(number: int) -> cjt188.Station:
    return cjt188.Station(cjt188.address_bytes(f"{number:010d}"))


def dlt645_reply(question: Any, value: int) -> bytes:
    return dlt645_frame.encode_frame(question.address, question.function | 0x80, question.lead + bytes((value,) * 4))


def cjt188_reply(question: Any, value: int) -> bytes:
    data = question.identifier + bytes((question.sequence,)) + bytes((value,)) + WATER[1:]
    return cjt188.encode_frame(0x10, question.station.address, 0x81, data)


TONGUES: Final[dict[Family, Tongue]] = {
    "rtu": Tongue(
        "rtu",
        lambda number: Question(read_request(number, 3, 0, 2)),
        lambda question, value: words_of(question.wire, value),
        lambda value: value.to_bytes(2, "big") + (value + 1).to_bytes(2, "big"),
    ),
    "dlt645": Tongue(
        "dlt645",
        lambda number: dlt645.read(f"{number:012d}", 0x0001_0000, 4),
        dlt645_reply,
        lambda value: bytes((value,) * 4),
    ),
    "cjt188": Tongue(
        "cjt188",
        lambda number: cjt188.read(station(number), 0x901F, len(WATER)),
        cjt188_reply,
        lambda value: bytes((value,)) + WATER[1:],
    ),
}
OLD, NOW, OTHER = 0x11, 0x12, 0x55  # what the hostile meter showed before, shows now, and what the other one shows


class Stage:
    """A line with a hostile meter, number 1, and an honest one, number 2."""

    def __init__(self, tongue: Tongue, lie: str) -> None:
        self.tongue = tongue
        self.bench = Bench()
        self.bench.link.write = self.hear  # type: ignore[method-assign]
        self.first, self.second = tongue.question(1), tongue.question(2)
        self.mouth = Mouth(said=tongue.reply(self.first, OLD))
        self.lie = Lie(lie, -1)
        self.hostile = True  # the hostile meter is left to the phase
        self.sent: list[bytes] = []

    def hear(self, data: bytes) -> None:
        assert self.bench.link.state is State.UP, "nothing is sent without a connection"
        self.sent.append(data)
        if data == self.second.wire:
            self.later(THINKS_S, self.tongue.reply(self.second, OTHER))
        elif not self.hostile:
            self.later(THINKS_S, self.tongue.reply(self.first, NOW))

    def later(self, delay_s: float, data: bytes) -> None:
        self.bench.reactor.callLater(delay_s, self.arrive, data)

    def arrive(self, data: bytes) -> None:
        if self.bench.link.state is State.UP:
            self.bench.hear(data)

    def speak(self, delay_s: float = THINKS_S) -> None:
        """Let the hostile meter answer the first question."""
        bursts: list[Burst] = self.mouth.speak(
            self.lie, self.tongue.family, self.first.wire, self.tongue.reply(self.first, NOW)
        )
        for burst in bursts:
            delay_s += burst.pause_s
            self.later(delay_s, burst.data)

    def run(self, seconds: float) -> None:
        """Let time pass, from event to event."""
        reactor = self.bench.reactor
        end = reactor.seconds() + seconds
        while (due := min((call.getTime() for call in reactor.getDelayedCalls()), default=end)) < end:
            reactor.advance(max(0.0, due - reactor.seconds()))
        reactor.advance(max(0.0, end - reactor.seconds()))

    def outcome(self, name: str) -> Outcome | None:
        return self.bench.outcomes.get(name)


def question_out(at: Stage) -> None:
    at.bench.ask("first", at.first)
    at.speak()


def answer_in_part(at: Stage) -> None:
    at.bench.ask("first", at.first)
    right = at.tongue.reply(at.first, NOW)
    at.later(THINKS_S, right[: len(right) // 2])
    at.speak(2 * THINKS_S)


def behind_the_answer(at: Stage) -> None:
    at.bench.ask("first", at.first)
    at.later(THINKS_S, at.tongue.reply(at.first, NOW))
    at.bench.ask("second", at.second)
    at.speak(THINKS_S + 0.002)  # inside the gap


def fence_up(at: Stage) -> None:
    at.bench.ask("first", at.first)
    at.run(1.5 * TIMEOUT_S)
    at.bench.ask("second", at.second)
    at.speak()


def link_lost_and_back(at: Stage) -> None:
    at.bench.ask("first", at.first)
    at.run(THINKS_S / 2)
    at.bench.link.lose()
    at.bench.ask("second", at.second)
    at.run(THINKS_S)
    at.bench.link.up()
    at.hostile = False
    at.speak()


def link_lost_in_the_answer(at: Stage) -> None:
    at.bench.ask("first", at.first)
    at.speak()
    at.run(THINKS_S + 0.0005)
    at.bench.link.lose()
    at.bench.link.up()
    at.hostile = False


PHASES: Final = {
    phase.__name__: phase
    for phase in (
        question_out, answer_in_part, behind_the_answer, fence_up, link_lost_and_back, link_lost_in_the_answer,
    )
}  # fmt: skip


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("family", "lie"),
    [
        (family, lie)
        for family in TONGUES
        for lie in [*classes_for(family), "exception-1", "exception-6", "exception-2"]
    ],
)
def test_a_lie_in_any_phase_shows_no_wrong_value_and_holds_the_line_up_for_a_bounded_time(
    family: Family, lie: str, phase: str
) -> None:
    tongue = TONGUES[family]
    at = Stage(tongue, lie)
    PHASES[phase](at)
    at.run(SPARE_S)
    at.hostile = False
    if "second" not in at.bench.outcomes:
        at.bench.ask("second", at.second)
    at.run(SPARE_S)
    at.bench.ask("third", at.second)
    at.bench.ask("again", at.first)
    at.run(SPARE_S)
    assert set(at.bench.outcomes) == {"first", "second", "third", "again"}, "a question never ended"
    shown = {tongue.value(NOW), tongue.value(OLD)}
    first, second = at.outcome("first"), at.outcome("second")
    assert not isinstance(first, Reply) or first.payload in shown or lie in IN_THE_DATA
    assert not isinstance(second, Reply) or second.payload == tongue.value(OTHER)
    assert at.outcome("third") == Reply(tongue.value(OTHER)), "the line serves the others again"
    assert at.outcome("again") == Reply(tongue.value(NOW))


@pytest.mark.parametrize("lie", [*classes_for("dlt645"), "exception-2"])
@pytest.mark.parametrize("part", [1, 2])
def test_a_lie_in_a_follow_up_part_shows_no_half_value(lie: str, part: int) -> None:
    """Two bytes in the first frame, one in each of the others; the lie spoils one of them."""
    at = Stage(TONGUES["dlt645"], lie)
    pieces = [b"\x11\x22", b"\x33\x01", b"\x44\x02"]  # a number ends each follow-up part
    said: list[bytes] = []

    def hear(data: bytes) -> None:
        if data == at.second.wire:
            at.later(THINKS_S, at.tongue.reply(at.second, OTHER))
            return
        number = 0 if data == at.first.wire else data[-3] - 0x33
        more = 0x20 if number < 2 else 0
        function = 0x91 if number == 0 else 0x92
        right = dlt645_frame.encode_frame(at.first.address, function | more, at.first.lead + pieces[number])
        spoilt = at.lie if number == part and data not in said else None
        said.append(data)
        delay_s = THINKS_S
        for burst in at.mouth.speak(spoilt, "dlt645", data, right):
            delay_s += burst.pause_s
            at.later(delay_s, burst.data)

    at.bench.link.write = hear  # type: ignore[method-assign]
    at.bench.ask("first", at.first)
    at.bench.ask("second", at.second)
    at.run(SPARE_S)
    at.bench.ask("third", at.second)
    at.bench.ask("again", at.first)
    at.run(SPARE_S)
    whole = Reply(b"\x11\x22\x33\x44")
    assert set(at.bench.outcomes) == {"first", "second", "third", "again"}
    assert at.outcome("first") == whole or not isinstance(at.outcome("first"), Reply) or lie in IN_THE_DATA
    assert at.outcome("third") == Reply(at.tongue.value(OTHER))
    assert at.outcome("again") == whole


@pytest.mark.parametrize("quiet_s", [2.0, 10.0, 600.0])
@pytest.mark.parametrize("family", TONGUES)
def test_an_answer_held_back_until_the_next_question_is_not_believed_however_old(
    family: Family, quiet_s: float
) -> None:
    at, shown = Stage(TONGUES[family], "late"), [OLD]
    lie = Lie("late", 1)

    def hear(data: bytes) -> None:
        for burst in at.mouth.speak(lie, family, data, at.tongue.reply(at.first, shown[0])):
            at.later(THINKS_S, burst.data)

    at.bench.link.write = hear  # type: ignore[method-assign]
    at.bench.ask("held back", at.first)
    at.run(quiet_s)
    assert at.outcome("held back") == Silence("timeout", True)
    shown[0] = NOW
    at.bench.ask("next", at.first)
    at.run(SPARE_S)
    assert at.outcome("next") == Reply(at.tongue.value(NOW))

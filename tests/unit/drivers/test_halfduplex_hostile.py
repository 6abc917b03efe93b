"""What a half-duplex line does when the world around it misbehaves, second by second on a clock that the test holds."""

import random

import pytest
from held_line import GAP_S, TIMEOUT_S, Bench
from rtu_bus import words_of

from drivers.frame_log import FRAME_MAX
from drivers.halfduplex import BABBLE_S_MAX, FENCE_S_MAX, MUTE_MAX, PROOF_TIMEOUTS
from drivers.lines import QUEUE_MAX, State
from drivers.modbus import read_request, write_request
from drivers.modbus_rtu import Question, with_crc
from drivers.outcome import Reply, Silence

PROOF_S = PROOF_TIMEOUTS * TIMEOUT_S


def block(address: int, unit: int = 1, count: int = 2) -> Question:
    return Question(read_request(unit, 3, address, count))


def answer(question: Question, first: int) -> bytes:
    return words_of(question.wire, first)


def payload(first: int, count: int = 2) -> Reply:
    return Reply(b"".join(number.to_bytes(2, "big") for number in range(first, first + count)))


def test_noise_that_never_ends_does_not_stop_the_line() -> None:
    """A byte every 5 ms never leaves the gap of 10 ms; still the line goes on, and no command waits to be sent late."""
    bench = Bench()
    bench.ask("first", block(0))
    bench.hear(answer(block(0), 7))
    assert bench.outcomes["first"] == payload(7)
    bench.ask("second", block(0))
    for _ in range(round((BABBLE_S_MAX + 1) / 0.005)):
        bench.hear(b"\x00")
        bench.pass_s(0.005)
        if len(bench.link.sent) == 2:
            break
    assert len(bench.link.sent) == 2, "the second question was never sent"
    bench.hear(b"\x00" + answer(block(0), 8))
    assert bench.outcomes["second"] == payload(8)


@pytest.mark.parametrize("fenced", [False, True], ids=["in flight", "fenced"])
def test_a_late_answer_over_the_next_connection_is_nobodys(fenced: bool) -> None:
    """A gateway that lost its connection sends what its meter answers to whoever is connected then."""
    bench = Bench()
    bench.ask("lost", Question(write_request(1, 6, 9, (0,))) if not fenced else block(8))
    if fenced:
        bench.pass_s(TIMEOUT_S + 0.1)
        assert bench.outcomes["lost"] == Silence("timeout", True)
    bench.link.lose()
    bench.ask("next", block(0))
    bench.link.up()
    bench.pass_s(0.1)
    late = answer(block(8), 666)
    bench.hear(late[:4])
    bench.pass_s(0.05)
    bench.hear(late[4:])
    for _ in range(1000):
        bench.pass_s(0.002, 0.002)
        if len(bench.link.sent) == 2:
            break
    bench.hear(answer(block(0), 7))
    assert bench.outcomes["next"] == payload(7)


def test_a_read_sent_again_over_the_next_connection_takes_one_answer_only() -> None:
    """Both sendings of it are answered; the second answer must not become that to the question behind it."""
    bench = Bench()
    bench.ask("first", block(8))
    bench.link.lose()
    bench.link.up()
    bench.ask("second", block(0))
    bench.pass_s(0.2)
    bench.hear(answer(block(8), 666))  # to the first sending
    bench.pass_s(0.2)
    if len(bench.link.sent) > 1:
        bench.hear(answer(block(8), 666))  # to the second
    bench.pass_s(2 * TIMEOUT_S)
    assert bench.outcomes.get("second") != payload(666)


def test_a_line_that_babbles_for_an_hour_keeps_nothing() -> None:
    bench = Bench()
    rng = random.Random(5)
    asked = 0
    for _ in range(3600):
        if len(bench.outcomes) == asked:
            asked += 1
            bench.ask(f"q{asked}", block(asked % 50))
        bench.hear(rng.randbytes(200))
        bench.pass_s(1.0, 0.25)
    assert asked > 3600 / (FENCE_S_MAX + 3)
    assert not any(isinstance(outcome, Reply) for outcome in bench.outcomes.values())
    assert len(bench.line.figures.violations) < 10
    assert len(bench.line._urgent) + len(bench.line._normal) <= 1


def test_the_time_out_that_makes_a_connection_suspect_is_fenced_too() -> None:
    """A DTU that sends heartbeats keeps its connection, and a serial port is only opened anew."""
    bench = Bench()
    bench.link.suspect = lambda: None  # type: ignore[method-assign]
    for number in range(MUTE_MAX):
        bench.ask(f"dead {number}", block(8))
        bench.pass_s(2 * TIMEOUT_S + 0.2 if number + 1 < MUTE_MAX else TIMEOUT_S + 0.05)
    assert len(bench.outcomes) == MUTE_MAX
    bench.ask("next", block(0))
    bench.pass_s(0.1)
    bench.hear(answer(block(8), 666))  # one of eight that are owed
    bench.pass_s(0.1)
    assert len(bench.link.sent) == MUTE_MAX, "the fence holds"
    bench.pass_s(TIMEOUT_S)
    for first in (666, 7):  # asked twice
        assert "next" not in bench.outcomes
        bench.hear(answer(block(0), first))
        bench.pass_s(PROOF_S + 2 * GAP_S)
    assert bench.outcomes["next"] == payload(7)


def test_what_waits_for_a_fence_is_not_sent_when_it_is_withdrawn_or_the_line_closes() -> None:
    bench = Bench()
    bench.ask("late", block(8))
    command = Question(write_request(1, 6, 9, (0,)))
    bench.pass_s(TIMEOUT_S + 0.1)
    bench.ask("command", command, urgent=True)
    bench.ask("read", block(0))
    bench.line.withdraw(command)
    bench.line.close()
    bench.pass_s(3.0)
    assert bench.link.sent == [block(8).wire]
    assert bench.outcomes["read"] == Silence("closed", False)
    assert "command" not in bench.outcomes


def test_a_command_that_waits_for_a_line_that_goes_away_fails_and_is_not_sent_when_it_comes_back() -> None:
    """A DTU may dial in again minutes later; a command that waited for it would then switch when nobody expects it."""
    bench = Bench()
    bench.ask("read", block(0))
    bench.ask("command", Question(write_request(1, 6, 9, (0,))), urgent=True)
    bench.link.state = State.WAITING
    bench.link.user.link_lost()
    assert bench.outcomes["command"] == Silence("not connected", False)
    bench.link.up()
    bench.pass_s(2 * TIMEOUT_S + 0.1)
    assert bench.link.sent == [block(0).wire] * 2


def test_more_commands_than_a_line_keeps_fail_each_for_itself() -> None:
    """All supplies of a long line at once: an exception here would end the core, which carries every one of them."""
    bench = Bench()
    for number in range(QUEUE_MAX + 20):
        bench.ask(f"{number}", Question(write_request(1, 6, 9, (0,))), urgent=True)
    refused = [outcome for outcome in bench.outcomes.values() if outcome == Silence("too many wait", False)]
    assert len(refused) == 19, "one is on the wire"
    bench.line.close()
    assert len(bench.outcomes) == QUEUE_MAX + 20


def test_a_flood_costs_no_more_time_than_a_babbling_line() -> None:
    """A peer on the network can send far more than a serial line carries, and every byte of it is searched."""
    bench = Bench()
    fed: list[int] = []

    class Counting:
        def feed(self, data: bytes) -> list[bytes]:
            fed.append(len(data))
            return []

    question = block(0)
    flood = bytes.fromhex("010364") * 20_000
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Question, "scanner", lambda self: Counting())
        bench.ask("first", question)
        for _ in range(20):
            bench.hear(flood)
            bench.pass_s(0.1, 0.05)
    assert sum(fed) <= 2 * FRAME_MAX, "once for the answer, once for the fence"
    bench.pass_s(FENCE_S_MAX, 0.1)
    bench.ask("second", question)
    for _ in range(2):  # the first answer could be the one to the first question
        bench.hear(answer(question, 7))
        bench.pass_s(TIMEOUT_S, 0.05)
    assert bench.outcomes["second"] == payload(7)
    assert not isinstance(bench.outcomes["first"], Reply)


# ---- answers later than the fence: a device answers in the order in which it is asked, however late


def given_up(bench: Bench, question: Question) -> None:
    """Ask what is not answered, and let its fence pass."""
    bench.ask("given up", question)
    bench.pass_s(2 * TIMEOUT_S + 0.1)
    assert bench.outcomes["given up"] == Silence("timeout", True)


def test_an_answer_later_than_the_fence_is_not_taken_for_the_next_one_of_its_shape() -> None:
    """The question is asked again after a silence, because its first answer may be that to the one given up."""
    bench = Bench()
    given_up(bench, block(8))
    bench.ask("next", block(0))
    assert bench.link.sent == [block(8).wire, block(0).wire]
    bench.hear(answer(block(8), 666))
    assert "next" not in bench.outcomes
    bench.pass_s(0.1)
    bench.hear(answer(block(0), 5))  # the true one to the first asking: it only lengthens the silence
    bench.pass_s(PROOF_S - 0.05)
    assert len(bench.link.sent) == 2
    bench.pass_s(0.1)
    assert bench.link.sent[2:] == [block(0).wire]
    bench.hear(answer(block(0), 7))
    assert "next" not in bench.outcomes
    bench.pass_s(PROOF_S + GAP_S)
    assert bench.outcomes["next"] == payload(7)
    bench.ask("later", block(8))
    bench.pass_s(2 * GAP_S)
    bench.hear(answer(block(8), 9))
    assert bench.outcomes["later"] == payload(9), "nothing is in doubt any more"


def test_what_a_network_held_back_comes_at_once_and_falls_into_the_silence() -> None:
    bench = Bench()
    for number in range(3):
        bench.ask(f"given up {number}", block(8 + number))
        bench.pass_s(2 * TIMEOUT_S + 0.1)
    bench.ask("next", block(0))
    for number in range(3):
        bench.hear(answer(block(8 + number), 666 + number))
        bench.pass_s(0.2)
    bench.pass_s(PROOF_S)
    bench.hear(answer(block(0), 7))
    bench.pass_s(PROOF_S + GAP_S)
    assert bench.outcomes["next"] == payload(7)


def test_a_device_that_answers_another_shape_first_owes_nothing() -> None:
    """A mark of another shape, known to be answered, is asked before the question; it costs no silence."""
    bench = Bench()
    mark = block(20, count=1)
    bench.ask("known", mark)
    bench.hear(answer(mark, 3))
    bench.pass_s(GAP_S)
    given_up(bench, block(8))
    bench.ask("next", block(0))
    assert bench.link.sent[2:] == [mark.wire]
    bench.hear(answer(block(8), 666))
    bench.pass_s(0.05)
    bench.hear(answer(mark, 4))
    bench.pass_s(2 * GAP_S)
    assert bench.link.sent[3:] == [block(0).wire]
    bench.hear(answer(block(0), 7))
    assert bench.outcomes["next"] == payload(7)


def test_a_dead_device_costs_one_time_out_and_no_more_although_it_is_in_doubt() -> None:
    bench = Bench()
    bench.ask("known", block(20, count=1))
    bench.hear(answer(block(20, count=1), 3))
    bench.pass_s(GAP_S)
    given_up(bench, block(8))
    for number in range(3):
        bench.ask(f"{number}", block(0))
        bench.ask(f"neighbour {number}", block(0, unit=2))
        bench.pass_s(TIMEOUT_S + 0.1)
        assert bench.outcomes[f"{number}"] == Silence("timeout", True)
        bench.pass_s(TIMEOUT_S)
        assert bench.link.sent[3 + 2 * number :] == [block(0, unit=2).wire]
        bench.hear(answer(block(0, unit=2), 50))
        assert bench.outcomes[f"neighbour {number}"] == payload(50)
        bench.pass_s(GAP_S)


def test_a_device_that_refuses_its_mark_is_asked_twice() -> None:
    bench = Bench()
    mark = block(20, count=1)
    bench.ask("known", mark)
    bench.hear(answer(mark, 3))
    bench.pass_s(GAP_S)
    given_up(bench, block(8))
    bench.ask("next", block(0))
    bench.hear(with_crc(bytes((1, 0x83, 2))))
    bench.pass_s(2 * GAP_S)
    bench.hear(answer(block(8), 666))
    bench.pass_s(PROOF_S + 2 * GAP_S)
    assert bench.link.sent[2:] == [mark.wire, block(0).wire, block(0).wire]
    bench.hear(answer(block(0), 7))
    bench.pass_s(PROOF_S + GAP_S)
    assert bench.outcomes["next"] == payload(7)


def test_a_late_answer_inside_the_fence_leaves_no_doubt() -> None:
    bench = Bench()
    bench.ask("late", block(8))
    bench.pass_s(1.5 * TIMEOUT_S)
    bench.hear(answer(block(8), 666))
    bench.pass_s(2 * GAP_S)
    bench.ask("next", block(0))
    bench.hear(answer(block(0), 7))
    assert bench.outcomes == {"late": Silence("timeout", True), "next": payload(7)}


def test_a_command_and_a_neighbour_wait_for_no_proof() -> None:
    bench = Bench()
    given_up(bench, block(8))
    command = Question(write_request(1, 6, 9, (0,)))
    bench.ask("command", command, urgent=True)
    bench.hear(command.wire)
    bench.pass_s(GAP_S)
    bench.ask("neighbour", block(0, unit=2))
    bench.hear(answer(block(0, unit=2), 50))
    assert bench.outcomes["command"] == Reply(b"")
    assert bench.outcomes["neighbour"] == payload(50)


@pytest.mark.parametrize("lag", [2.2, 3.0, 4.5, 7.3])
def test_a_device_that_always_answers_so_late_is_never_believed(lag: float) -> None:
    """Every answer comes, in order, a fixed time after its question; none is that to the question on the wire."""
    bench = Bench()
    due: list[tuple[float, bytes]] = []

    def hear(frame: bytes) -> None:
        due.append((bench.reactor.seconds() + lag * TIMEOUT_S, words_of(frame, 100 * frame[3])))

    bench.link.write = hear  # type: ignore[method-assign]
    rng = random.Random(round(10 * lag))
    asked: list[int] = []
    for _ in range(20_000):
        bench.pass_s(0.01, 0.01)
        while due and due[0][0] <= bench.reactor.seconds():
            bench.hear(due.pop(0)[1])
        if len(bench.outcomes) == len(asked):
            asked.append(rng.randrange(60))
            bench.ask(str(len(asked)), block(asked[-1], count=rng.choice((2, 2, 3))))
    replies = {name: outcome for name, outcome in bench.outcomes.items() if isinstance(outcome, Reply)}
    assert not replies
    assert len(asked) > 50


def test_an_answer_that_came_while_the_core_stood_still_is_not_late() -> None:
    bench = Bench()
    bench.ask("held up", block(0))
    bench.reactor.advance(5.0)
    bench.hear(answer(block(0), 7))
    assert bench.outcomes["held up"] == payload(7)
    bench.pass_s(0.1)
    bench.ask("silent", block(0))
    bench.reactor.advance(5.0)
    bench.pass_s(0.1)
    assert bench.outcomes["silent"] == Silence("timeout", True)


class Meter:
    """Answers every question by its address, late at will, in pieces, and over whatever connection there is then."""

    def __init__(self, bench: Bench, rng: random.Random) -> None:
        self.bench, self.rng = bench, rng
        self.due: list[tuple[float, bytes]] = []
        self.kept: list[bytes] = []  # while there is no connection
        bench.link.write = self.hear  # type: ignore[method-assign]

    def hear(self, frame: bytes) -> None:
        if self.rng.random() < 0.1:
            return
        late_s = self.rng.choice((0.02, 0.05, TIMEOUT_S - 0.001, TIMEOUT_S + 0.001, 1.4 * TIMEOUT_S, 1.8 * TIMEOUT_S))
        whole = words_of(frame, 100 * frame[3])
        cut = self.rng.randrange(len(whole))
        at_s = self.bench.reactor.seconds() + late_s
        self.due += [(at_s, whole[:cut]), (at_s + self.rng.uniform(0.0, 0.09), whole[cut:])]

    def talk(self) -> None:
        now = self.bench.reactor.seconds()
        ready = [item for item in sorted(self.due, key=lambda item: item[0]) if item[0] <= now]
        self.due = [item for item in self.due if item not in ready]
        self.kept += [piece for _, piece in ready if piece]
        if self.bench.link.state is State.UP:
            for piece in self.kept:
                self.bench.hear(piece)
            self.kept.clear()


@pytest.mark.parametrize("seed", range(8))
def test_no_walk_of_late_split_and_lost_answers_gives_a_wrong_value(seed: int) -> None:
    """As long as no answer is later than two time-outs, which is what the fence covers."""
    rng, bench = random.Random(seed), Bench()
    meter = Meter(bench, rng)
    asked: list[int] = []
    for _ in range(30_000):
        bench.pass_s(0.01, 0.01)
        meter.talk()
        if len(bench.outcomes) == len(asked):
            asked.append(rng.randrange(60))
            bench.ask(str(len(asked)), block(asked[-1]))
        if rng.random() < 0.003 and bench.link.state is State.UP:
            bench.link.lose()
        elif bench.link.state is State.CONNECTING and rng.random() < 0.05:
            bench.link.up()
        if rng.random() < 0.002 and bench.link.state is State.UP:
            bench.hear(rng.randbytes(9))
    replies = {name: outcome for name, outcome in bench.outcomes.items() if isinstance(outcome, Reply)}
    assert len(replies) > 50
    assert {name: payload(100 * asked[int(name) - 1]) for name in replies} == replies

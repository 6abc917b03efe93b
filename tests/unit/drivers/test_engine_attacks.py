"""What a gateway may do to the engine between two calls of Python: frames to be judged that come in one segment."""

import contextlib
import errno
import random
import struct
from collections.abc import Iterator

import pytest
from harness import profile, register
from wired import NoLoop, PolledBench

from drivers import engine_tables as col
from drivers.device import Device
from drivers.engine import Engine
from drivers.engine_cycle import Cycle
from drivers.lines import State
from drivers.modbus import Request, read_request, write_request
from drivers.outcome import ExceptionReply, Outcome, Reply, Silence, Violation
from drivers.replies import ReplyStore

UNIT = 5
PLACES = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60)  # six blocks of one shape: nothing but the bookkeeping tells them apart
READS = {slot: read_request(UNIT, 3, place, 2) for slot, place in enumerate(PLACES)}
WRITE = write_request(UNIT, 6, 0x100, (1,))


class AlikeBench(PolledBench):
    """Six blocks of one device that all look alike on the wire."""

    def engine(self) -> Engine:
        words = [register(f"w{place + i}", place + i) for place in PLACES for i in range(2)]
        self.store = ReplyStore([Device("m", "g", UNIT, profile(*words), 1, 1, {})])
        self.reading = Engine(self.reactor, self.clock, self.store, 1, NoLoop())
        return self.reading

    def requests(self) -> list[bytes]:
        sent = self.sent()
        assert len(sent) % 12 == 0
        return [sent[at : at + 12] for at in range(0, len(sent), 12)]

    def begin(self, *chains: list[int]) -> list[bytes]:
        assert self.line.seat is not None
        self.line.seat.begin(Cycle(chains))
        return self.requests()

    def command(self, told: list[Outcome]) -> None:
        self.line.ask(WRITE, lambda outcome, _: told.append(outcome), urgent=True)


@pytest.fixture
def bench() -> Iterator[AlikeBench]:
    made = AlikeBench(8, READS)
    yield made
    made.close()


def reply(request: bytes, pdu: bytes, unit: int = UNIT) -> bytes:
    return request[:2] + struct.pack(">HHB", 0, 1 + len(pdu), unit) + pdu


def right(request: bytes, turn: int = 0) -> bytes:
    """Return the answer to a read: the address that was asked for, and a number that says when."""
    return reply(request, b"\x03\x04" + request[8:10] + turn.to_bytes(2, "big"))


def refusal(request: bytes, code: int = 2) -> bytes:
    return reply(request, bytes((request[7] | 0x80, code)))


def lie(request: bytes) -> bytes:
    return reply(request, b"\x03\x04" + bytes(4), unit=UNIT + 1)


@pytest.mark.parametrize("behind", [b"\0\0\0\7\0\6rubbish", bytes(6) + b"rubbish"], ids=["protocol", "length"])
def test_a_cycle_ends_although_the_stream_breaks_right_behind_its_last_answer(bench: AlikeBench, behind: bytes) -> None:
    """Nothing of it is left to be asked or in flight; if nobody ended it, the gateway would never be polled again."""
    (poll,) = bench.begin([0])
    bench.play(right(poll) + behind)
    assert bench.transport.aborted
    assert bench.cycles == 1
    assert bench.payload(0) == b"\0\x10\0\0"


def test_a_cycle_ends_although_a_command_is_lied_to_right_behind_its_last_answer(bench: AlikeBench) -> None:
    told: list[Outcome] = []
    (poll,) = bench.begin([0])
    bench.command(told)
    (written,) = bench.requests()
    bench.play(right(poll) + lie(written))
    assert told == [Violation("unit")]
    assert bench.cycles == 1


def test_a_command_whose_answer_stands_behind_a_lie_is_told_as_lost(bench: AlikeBench) -> None:
    told: list[Outcome] = []
    polls = bench.begin([0], [1])
    bench.command(told)
    (written,) = bench.requests()
    bench.play(refusal(polls[0]) + lie(polls[1]) + written)
    assert bench.outcomes == [ExceptionReply(2), Violation("unit")]
    assert told == [Silence("lost", True)], "whoever waits for it must hear that nobody knows"


def test_a_cycle_lasts_until_what_came_together_is_judged(bench: AlikeBench) -> None:
    """Else the next cycle begins while a poll of this one flies, whose answer then fills another poll's slot."""
    polls = bench.begin([0], [1, 2])
    bench.play(refusal(polls[0]) + refusal(polls[1]))
    assert bench.outcomes == [ExceptionReply(2)] * 2
    assert bench.cycles == 0, "slot 2 was not asked yet"
    (third,) = bench.requests()
    bench.play(right(third))
    assert bench.payload(2) == b"\x00\x30\x00\x00"
    assert bench.cycles == 1


def test_followed_answers_that_come_together_end_one_cycle_once(bench: AlikeBench) -> None:
    bench.line.log.follow(bench.clock.mono_ns())
    polls = bench.begin([0], [1, 2], [3])
    bench.play(b"".join(map(right, polls)))
    assert bench.cycles == 0
    (last,) = bench.requests()
    bench.play(right(last))
    assert bench.cycles == 1
    assert bench.outcomes == [Reply(bytes((0, PLACES[slot], 0, 0))) for slot in (0, 1, 3, 2)]


def test_a_send_that_fails_while_frames_wait_to_be_judged_loses_none_of_them(bench: AlikeBench) -> None:
    """The watch of a switch asks again inside the outcome of its question, and the peer takes nothing any more."""
    told: list[Outcome] = []

    def ask_twice(outcome: Outcome, _: int) -> None:
        told.append(outcome)
        bench.line.ask(READS[4], lambda outcome, _: told.append(outcome), urgent=True)
        bench.transport.writeSomeData = lambda data: 0  # type: ignore[method-assign]
        bench.line.ask(READS[5], lambda outcome, _: told.append(outcome), urgent=True)

    bench.line.ask(READS[0], ask_twice, urgent=True)
    (first,) = bench.requests()
    bench.command(told)
    (written,) = bench.requests()
    bench.begin([1])
    bench.play(right(first) + written)
    assert bench.transport.aborted
    bench.reactor.advance(60)
    bench.connect()
    bench.play(b"".join(map(right, bench.requests())))
    assert len(told) == 4, told
    assert bench.cycles == 1


def test_a_peer_that_takes_nothing_any_more_is_fenced_and_the_cycle_goes_on_over_the_next_connection(
    bench: AlikeBench,
) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            bench.transport.near.send(bytes(65536))
    assert bench.line.seat is not None
    bench.line.seat.begin(Cycle([[0], [1]]))
    assert bench.transport.aborted
    assert bench.cycles == 0
    bench.reactor.advance(15)
    bench.connect()
    again = bench.requests()
    bench.play(b"".join(map(right, again)))
    assert bench.cycles == 1
    assert [bench.payload(slot)[:2] for slot in (0, 1)] == [b"\0\x10", b"\0\x20"]


def test_a_peer_that_has_gone_when_the_cycle_begins_is_no_fault_of_a_device(bench: AlikeBench) -> None:
    bench.transport.far.close()
    assert bench.line.seat is not None
    bench.line.seat.begin(Cycle([[0], [1]]))
    assert bench.transport.aborted
    bench.wire.connectionLost()
    bench.reactor.advance(15)
    bench.connect()
    bench.play(b"".join(map(right, bench.requests())))
    assert bench.cycles == 1
    assert bench.outcomes == [Reply(b"\0\x10\0\0"), Reply(b"\0\x20\0\0")]


def test_a_connection_that_cannot_be_watched_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection took the last descriptor, so that none is left for the engine's own."""

    def exhausted() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("drivers.engine.select.epoll", exhausted)
        bench = AlikeBench(8, READS)
    try:
        assert bench.transport.aborted
        assert bench.line.state is State.WAITING
        told: list[Outcome] = []
        bench.command(told)
        assert told == [Silence("not connected", False)]
        bench.wire.connectionLost()
        bench.reactor.advance(15)
        bench.connect()
        (poll,) = bench.begin([0])
        bench.play(right(poll))
        assert bench.cycles == 1
    finally:
        bench.close()


def test_answers_that_came_while_the_core_stood_still_are_not_late(bench: AlikeBench) -> None:
    """The process was stopped, or its loop was held up, for longer than a time-out."""
    polls = bench.begin([0, 3], [1, 4], [2])
    bench.reactor.advance(0.02)
    bench.transport.far.sendall(b"".join(map(right, polls)))
    bench.reactor.advance(5.0)
    assert not bench.transport.aborted
    bench.play(b"".join(map(right, bench.requests())))
    assert bench.cycles == 1
    assert bench.store.fresh.tolist() == [1, 1, 1, 1, 1, 0]
    assert bench.line.figures.timeouts == 0


def test_a_cycle_that_begins_without_a_connection_goes_on_when_there_is_one(bench: AlikeBench) -> None:
    bench.line.fence()
    assert bench.begin([0], [1]) == []
    bench.reactor.advance(15)
    bench.connect()
    bench.play(b"".join(map(right, bench.requests())))
    assert bench.cycles == 1


def test_transaction_ids_wrap_while_eight_fly(bench: AlikeBench) -> None:
    bench.reading.tables.conns[0, col.C_NEXT] = 0xFFFD
    polls = bench.begin(*[[slot] for slot in range(len(PLACES))])
    assert [int.from_bytes(poll[:2], "big") for poll in polls] == [0xFFFD, 0xFFFE, 0xFFFF, 0, 1, 2]
    bench.reading.tables.conns[0, col.C_NEXT] = 0xFFFE  # once round, while they still fly
    told: list[Outcome] = []
    bench.command(told)
    (written,) = bench.requests()
    assert written[:2] == b"\0\3"
    bench.play(written + b"".join(map(right, reversed(polls))))
    assert told == [Reply(b"")]
    assert [bench.payload(slot)[1] for slot in range(len(PLACES))] == list(PLACES)


class WideBench(PolledBench):
    """A read of 24 coils whose echo has the form of its answer."""

    def engine(self) -> Engine:
        bits = [register(f"b{i}", 0x0310 + i, "bit", function=1) for i in range(24)]
        self.store = ReplyStore([Device("m", "g", UNIT, profile(*bits), 1, 1, {})])
        self.reading = Engine(self.reactor, self.clock, self.store, 1, NoLoop())
        return self.reading


def test_an_echo_that_has_the_form_of_the_answer_fills_no_slot() -> None:
    coils = read_request(UNIT, 1, 0x0310, 24)
    bench = WideBench(1, {0: coils})
    try:
        bench.ask(coils)
        transaction = struct.pack(">H", bench.reading.tables.flights[0, 0, col.F_TRANSACTION])
        bench.play(transaction + coils.wire_tail)
        assert not bench.store.fresh[0]
        assert bench.outcomes == [Violation("echo")]
        bench.reactor.advance(15)
        bench.connect()
        bench.ask(coils)
        transaction = struct.pack(">H", bench.reading.tables.flights[0, 0, col.F_TRANSACTION])
        bench.play(transaction + bytes.fromhex("0000 0006 05 01 03 010200"))
        assert bench.outcomes[1:] == [Reply(b"\x01\x02\x00")]
        assert bench.store.fresh[0]
    finally:
        bench.close()


class Walk:
    """A gateway that answers, refuses, lies, doubles, forgets and hangs up at random, in pieces and in any order."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = AlikeBench(self.rng.choice((1, 2, 3, 8, 16)), READS)
        self.waiting: list[bytes] = []  # requests not answered yet
        self.turn = 0
        self.asked = 0
        self.told: list[tuple[int, Outcome]] = []
        self.begun = 0
        self.connected = True

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        self.settle()

    def step(self) -> None:
        rng, bench = self.rng, self.bench
        seat = bench.line.seat
        assert seat is not None
        if not self.connected:
            self.connect()
            return
        if not seat.running:
            slots = rng.sample(range(len(PLACES)), rng.randint(0, len(PLACES)))
            cuts = sorted(rng.sample(range(len(slots) + 1), min(rng.randint(0, 4), len(slots))))
            chains = [slots[a:b] for a, b in zip([0, *cuts], [*cuts, len(slots)], strict=True)]
            self.begun += 1
            seat.tell(rng.random() < 0.5)
            if rng.random() < 0.3:
                bench.line.log.follow(bench.clock.mono_ns())
            seat.begin(Cycle([chain for chain in chains if chain]))
        if rng.random() < 0.3:
            self.ask()
        self.waiting += bench.requests()
        if rng.random() < 0.03:
            bench.reactor.advance(1.1)
        elif rng.random() < 0.02:
            bench.transport.far.close()
            bench.reading.ready()
        else:
            self.answer()
        self.follow_up()

    def ask(self) -> None:
        number, self.asked = self.asked, self.asked + 1
        question: Request = self.rng.choice((WRITE, *READS.values()))
        slot = next((slot for slot, known in READS.items() if known is question), -1)

        def done(outcome: Outcome, _: int) -> None:
            assert number not in dict(self.told), "done is called once"
            self.told.append((number, outcome))
            if isinstance(outcome, Reply) and slot >= 0:
                assert outcome.payload[:2] == PLACES[slot].to_bytes(2, "big"), "the answer to another question"
            if self.rng.random() < 0.1 and self.asked < 10_000:
                self.ask()

        self.bench.line.ask(question, done, urgent=self.rng.random() < 0.5)

    def answer(self) -> None:
        rng = self.rng
        rng.shuffle(self.waiting)
        count = rng.randint(0, len(self.waiting))
        chosen, self.waiting = self.waiting[:count], self.waiting[count:]
        self.turn += 1
        stream = b"".join(self.spoken(request) for request in chosen)
        while stream:
            size = rng.choice((len(stream), rng.randint(1, len(stream))))
            if self.bench.transport.aborted:
                return
            self.bench.play(stream[:size])
            stream = stream[size:]

    def spoken(self, request: bytes) -> bytes:
        good = request if request[7] == 6 else right(request, self.turn)
        kinds = ("good",) * 12 + ("refused", "refused", "twice", "silent", "lie", "unasked", "noise")
        match self.rng.choice(kinds):
            case "refused":
                return refusal(request, self.rng.choice((1, 2, 6, 0x0B)))
            case "twice":
                return good * 2
            case "silent":
                return b""
            case "lie":
                return lie(request)
            case "unasked":
                return right(bytes((request[0] ^ 0x80,)) + request[1:]) + good
            case "noise":
                return self.rng.randbytes(self.rng.randint(1, 20))
        return good

    def follow_up(self) -> None:
        bench = self.bench
        for slot in range(len(PLACES)):
            if bench.store.fresh[slot]:
                assert bench.payload(slot)[:2] == PLACES[slot].to_bytes(2, "big"), "another block's answer in the slot"
        if bench.transport.aborted:
            self.connected = False
            self.waiting.clear()
            bench.wire.connectionLost()

    def connect(self) -> None:
        if self.bench.line.state.value == "waiting":
            self.bench.reactor.advance(15)
        if self.rng.random() < 0.1:
            self.bench.reactor.tcpClients[-1][2].clientConnectionFailed(None, Refused())
            return
        self.bench.connect()
        self.connected = True

    def settle(self) -> None:
        """Answer everything rightly until nothing is left."""
        for _ in range(200):
            if not self.connected:
                self.bench.reactor.advance(15)
                self.bench.connect()
                self.connected = True
            asked = self.waiting + self.bench.requests()
            self.waiting = []
            if not asked:
                self.bench.reactor.advance(1.1)
                self.follow_up()
            for request in asked:
                self.bench.play(request if request[7] == 6 else right(request))
            assert self.bench.line.seat is not None
            if self.connected and not self.bench.line.seat.running and len(self.told) == self.asked:
                return


class Refused:
    def getErrorMessage(self) -> str:
        return "refused"


@pytest.mark.parametrize("seed", range(40))
def test_no_walk_loses_a_question_or_puts_an_answer_into_another_slot(seed: int) -> None:
    walk = Walk(seed)
    try:
        walk.run(300)
        assert sorted(number for number, _ in walk.told) == list(range(walk.asked)), "an outcome was never told"
        assert walk.bench.cycles == walk.begun, "a cycle that never ends: the line stands still"
        conn = walk.bench.reading.tables.conns[0]
        assert conn[col.C_FLYING] == conn[col.C_POLLS] == 0, "nothing flies any more"
        assert not walk.bench.line.seat._asked  # type: ignore[union-attr]
    finally:
        walk.bench.close()

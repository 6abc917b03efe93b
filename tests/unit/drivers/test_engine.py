"""The compiled engine against its twins, and what it does between a socket and the reply store."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from harness import profile, register
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from wired import NoLoop, PolledBench, SteppedClock

from drivers import engine_tables as col
from drivers.device import Device
from drivers.engine import Engine
from drivers.engine_cycle import Cycle
from drivers.engine_kernel import bucket_of, is_answer
from drivers.modbus import Request, check_reply, read_request
from drivers.outcome import ExceptionReply, Reply, Violation
from drivers.replies import ReplyStore

TRANSACTION = 0x1234
UNIT = 5
REQUESTS = {
    "coils": (read_request(UNIT, 1, 16, 11), b"\x01\x02\xff\x07"),
    "inputs": (read_request(UNIT, 2, 16, 8), b"\x02\x01\xff"),
    "holding": (read_request(UNIT, 3, 16, 4), b"\x03\x08\x00\x12\xd6\x87\x08\xfc\x00\x00"),
    "input registers": (read_request(UNIT, 4, 16, 1), b"\x04\x02\x00\xf0"),
    "longest": (read_request(UNIT, 3, 100, 125), b"\x03\xfa" + bytes(range(250))),
}
COILS = read_request(UNIT, 1, 0x10, 11)
WORDS = read_request(UNIT, 3, 0x10, 4)
SLOTS = {0: COILS, 1: WORDS}


def frame(pdu: bytes, transaction: int = TRANSACTION, unit: int = UNIT) -> bytes:
    return struct.pack(">HHHB", transaction, 0, 1 + len(pdu), unit) + pdu


class Judge:
    """The compiled check with one poll for each of REQUESTS."""

    def __init__(self) -> None:
        reactor = MemoryReactorClock()
        points = [register(f"c{i}", 16 + i, "bit", function=1) for i in range(11)]
        points += [register(f"i{i}", 16 + i, "bit", function=2) for i in range(8)]
        points += [register(f"h{i}", 16 + i) for i in range(4)] + [register(f"l{i}", 100 + i) for i in range(125)]
        points += [register("r", 16, function=4)]
        meter = profile(*points, merge_gap=0)
        self.store = ReplyStore([Device("m", "g", UNIT, meter, 1, 1, {})])
        self.engine = Engine(reactor, SteppedClock(reactor), self.store, 1, NoLoop())
        self.slots: dict[str, int] = {}
        for table in self.store.tables:
            for name, (request, _) in REQUESTS.items():
                if (table.block.function, table.block.count) == (request.function, request_count(request)):
                    self.engine.plan(table.first_slot, request)
                    self.slots[name] = table.first_slot

    def __call__(self, name: str, data: bytes) -> bool:
        room = np.zeros((1, 600), dtype=np.uint8)
        room[0, : len(data)] = np.frombuffer(data, dtype=np.uint8)
        return bool(is_answer(self.engine.tables, self.slots[name], TRANSACTION, room, 0, 0, len(data)))


def request_count(request: Request) -> int:
    return int.from_bytes(request.wire_tail[-2:], "big")


JUDGE = Judge()


def twin(name: str, data: bytes) -> bool:
    return isinstance(check_reply(REQUESTS[name][0], TRANSACTION, data), Reply)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_byte_value_in_every_field_is_judged_as_by_the_twin(name: str) -> None:
    right = frame(REQUESTS[name][1])
    assert JUDGE(name, right)
    for at in range(min(len(right), 16)):
        for value in range(256):
            changed = right[:at] + bytes((value,)) + right[at + 1 :]
            assert JUDGE(name, changed) == twin(name, changed), (at, value)
    for value in range(256):
        changed = right[:-1] + bytes((value,))
        assert JUDGE(name, changed) == twin(name, changed), value


@given(st.sampled_from(sorted(REQUESTS)), st.data())
def test_cut_lengthened_and_mixed_frames_are_judged_as_by_the_twin(name: str, data: st.DataObject) -> None:
    right = frame(REQUESTS[data.draw(st.sampled_from(sorted(REQUESTS)))][1])
    cut = right[: data.draw(st.integers(7, len(right)))] + data.draw(st.binary(max_size=4))
    assert JUDGE(name, cut) == twin(name, cut)


@given(st.sampled_from(sorted(REQUESTS)), st.binary(min_size=9, max_size=260))
def test_noise_is_judged_as_by_the_twin(name: str, noise: bytes) -> None:
    assert JUDGE(name, noise) == twin(name, noise)


def test_a_slot_takes_no_request_that_does_not_fill_it() -> None:
    with pytest.raises(ValueError, match="not filled"):
        JUDGE.engine.plan(JUDGE.slots["holding"], REQUESTS["longest"][0])


@given(st.integers(0, 20_000_000_000))
def test_buckets_of_response_times_never_fall(elapsed_ns: int) -> None:
    assert 0 <= bucket_of(elapsed_ns) <= bucket_of(elapsed_ns + 1_000) < col.BUCKETS


@pytest.fixture
def bench() -> Iterator[PolledBench]:
    made = PolledBench(1, SLOTS)
    yield made
    made.close()


@pytest.fixture
def bench_of_four() -> Iterator[PolledBench]:
    made = PolledBench(4, SLOTS)
    yield made
    made.close()


def begin(bench: PolledBench, *chains: list[int]) -> list[bytes]:
    """Begin a cycle; return the requests that went out."""
    assert bench.line.seat is not None
    bench.line.seat.begin(Cycle(chains))
    return requests(bench)


def requests(bench: PolledBench) -> list[bytes]:
    sent = bench.sent()
    assert len(sent) % 12 == 0
    return [sent[at : at + 12] for at in range(0, len(sent), 12)]


def answer(request: bytes, fill: int = 0) -> bytes:
    """Return a right answer to a request of SLOTS."""
    pdu = b"\x01\x02\x01\x02" if request[7] == 1 else b"\x03\x08" + bytes((fill,)) * 8
    return frame(pdu, request[0] << 8 | request[1])


def test_the_blocks_of_a_device_are_asked_one_after_the_other(bench_of_four: PolledBench) -> None:
    first = begin(bench_of_four, [0, 1])
    assert [request[2:] for request in first] == [COILS.wire_tail], "although four may fly"
    bench_of_four.play(answer(first[0]))
    second = requests(bench_of_four)
    assert [request[2:] for request in second] == [WORDS.wire_tail]
    assert bench_of_four.cycles == 0
    bench_of_four.play(answer(second[0], 7))
    assert bench_of_four.outcomes == [Reply(b"\x01\x02"), Reply(b"\x07" * 8)]
    assert bench_of_four.cycles == 1


def test_devices_fly_together_and_answer_in_any_order(bench_of_four: PolledBench) -> None:
    both = begin(bench_of_four, [0], [1])
    assert len(both) == 2
    bench_of_four.play(answer(both[1], 9) + answer(both[0]))
    assert bench_of_four.payload(1) == b"\x09" * 8
    assert bench_of_four.store.fresh.tolist() == [1, 1]
    assert bench_of_four.cycles == 1


def test_an_empty_cycle_ends_at_once(bench: PolledBench) -> None:
    assert begin(bench) == []
    assert bench.cycles == 1


def test_a_command_goes_before_what_is_left_of_the_cycle(bench: PolledBench) -> None:
    polled = begin(bench, [0], [1])
    bench.line.ask(COILS, lambda outcome, _: bench.outcomes.append(outcome), urgent=True)
    assert requests(bench) == [], "one may fly"
    bench.play(answer(polled[0]))
    asked = requests(bench)
    assert [request[2:] for request in asked] == [COILS.wire_tail]
    assert bench.cycles == 0, "the cycle waits"
    bench.play(answer(asked[0]))
    assert bench.outcomes == [Reply(b"\x01\x02")] * 2
    rest = requests(bench)
    assert [request[2:] for request in rest] == [WORDS.wire_tail], "the cycle goes on"
    bench.play(answer(rest[0]))
    assert bench.cycles == 1


def test_bytes_behind_a_lie_are_nobodys(bench_of_four: PolledBench) -> None:
    both = begin(bench_of_four, [0], [1])
    lie = frame(b"\x01\x02\x01\x02", both[0][0] << 8 | both[0][1], unit=UNIT + 1)
    bench_of_four.play(lie + answer(both[1], 5))
    assert bench_of_four.payload(1) == bytes(8)
    assert bench_of_four.transport.aborted
    assert [type(outcome) for outcome in bench_of_four.outcomes] == [Violation]


def test_an_exception_of_one_block_lets_the_next_be_asked(bench: PolledBench) -> None:
    first = begin(bench, [0, 1])
    bench.play(frame(b"\x81\x02", first[0][0] << 8 | first[0][1]))
    second = requests(bench)
    assert [request[2:] for request in second] == [WORDS.wire_tail]
    bench.play(answer(second[0]))
    assert bench.outcomes == [ExceptionReply(2), Reply(bytes(8))]
    assert bench.cycles == 1


def test_a_cycle_that_a_fence_interrupted_goes_on_over_the_new_connection(bench_of_four: PolledBench) -> None:
    both = begin(bench_of_four, [0], [1])
    bench_of_four.play(answer(both[0]) + frame(b"\x03\x08", both[1][0] << 8 | both[1][1], unit=9))
    assert isinstance(bench_of_four.outcomes[-1], Violation)
    assert bench_of_four.cycles == 1, "the liar is not asked again, and nothing else was left"
    bench_of_four.reactor.advance(60)
    bench_of_four.connect()
    assert requests(bench_of_four) == []
    again = begin(bench_of_four, [1])
    bench_of_four.play(answer(again[0], 1))
    assert bench_of_four.payload(1) == b"\x01" * 8


def test_a_cycle_ends_when_no_connection_can_be_made(bench: PolledBench) -> None:
    begin(bench, [0], [1])
    bench.reactor.advance(1.01)
    assert bench.cycles == 0, "the second device waits for the connection"
    bench.reactor.advance(60)
    bench.reactor.tcpClients[-1][2].clientConnectionFailed(None, Refused())
    assert bench.cycles == 1


class Refused:
    def getErrorMessage(self) -> str:
        return "refused"


def test_followed_frames_reach_the_log_and_the_store(bench: PolledBench) -> None:
    bench.line.log.follow(bench.clock.mono_ns())
    first = begin(bench, [1])
    bench.play(answer(first[0], 4))
    assert bench.payload(1) == b"\x04" * 8
    entries = bench.line.log.entries()
    assert [(entry.sent, entry.good) for entry in entries] == [(first[0], True)]


def test_response_times_are_kept(bench: PolledBench) -> None:
    first = begin(bench, [1])
    bench.reactor.advance(0.25)
    bench.play(answer(first[0]))
    poll = bench.reading.tables.polls[1]
    assert poll[col.P_GOOD] == 1
    assert 0.25e9 <= poll[col.P_LAST_NS] == poll[col.P_MAX_NS] == poll[col.P_SUM_NS] < 0.5e9
    assert bench.reading.tables.buckets[1].sum() == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(pieces=st.lists(st.integers(1, 40), min_size=1, max_size=30), order=st.permutations([0, 1]))
def test_any_cut_of_the_answers_fills_the_store(pieces: list[int], order: list[int]) -> None:
    bench = PolledBench(2, SLOTS)
    try:
        both = begin(bench, [0], [1])
        stream = b"".join(answer(both[i], 6) for i in order)
        for size in pieces:
            bench.play(stream[:size])
            stream = stream[size:]
        bench.play(stream)
        assert bench.store.fresh.tolist() == [1, 1]
        assert bench.payload(1) == b"\x06" * 8
        assert not bench.transport.aborted
    finally:
        bench.close()

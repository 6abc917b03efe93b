"""Replies that would bill wrongly: every class is played into a line, and none may ever become a value.

Each class is a function of the right reply. The line gets the bytes, then time passes until it gives up; the request
must end in anything but a `Reply`.
"""

import struct
from collections.abc import Callable, Iterator

import pytest
from wired import ASKED, LINE, POLLED, Bench, make_bench

from drivers.modbus import (
    ExceptionReply,
    Reply,
    Request,
    Violation,
    Wrong,
    identify_request,
    read_request,
    read_write_request,
    write_request,
)
from drivers.modbus_tcp import UNSOLICITED_MAX
from drivers.outcome import Silence

UNIT, FUNCTION, ADDRESS, COUNT = 5, 3, 0x10, 4
READ = read_request(UNIT, FUNCTION, ADDRESS, COUNT)
COILS = read_request(UNIT, 1, ADDRESS, 11)
WRITE_6 = write_request(UNIT, 6, 13, [0xFF00])
WRITE_5 = write_request(UNIT, 5, 1, [1])
WRITE_15 = write_request(UNIT, 15, 1, [1, 0, 1])
WRITE_16 = write_request(UNIT, 16, 13, [1, 2])
READ_WRITE = read_write_request(UNIT, ADDRESS, COUNT, 13, [1])
WHO = identify_request(UNIT)
VALUES = bytes.fromhex("0012D68708FC0000")
SLOTS = {0: COILS, 1: READ}  # as the poll plan orders them


@pytest.fixture(params=[LINE, ASKED, POLLED])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = make_bench(request.param, 1, SLOTS)
    yield made
    made.close()


@pytest.fixture(params=[LINE, ASKED, POLLED])
def bench_of_two(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = make_bench(request.param, 2, SLOTS)
    yield made
    made.close()


def frame(transaction: int, pdu: bytes, unit: int = UNIT, protocol: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, 1 + len(pdu) if length is None else length, unit) + pdu


def read_pdu(payload: bytes = VALUES, function: int = FUNCTION, count: int | None = None) -> bytes:
    return bytes((function, len(payload) if count is None else count)) + payload


Hostile = Callable[[int], bytes]

# name -> bytes on the wire, made from the transaction id of the request
READ_CLASSES: dict[str, Hostile] = {
    "transaction of the previous request": lambda t: frame((t - 1) % 65536, read_pdu()),
    "transaction of a future request": lambda t: frame((t + 1) % 65536, read_pdu()),
    "transaction with swapped bytes": lambda t: frame(t >> 8 | (t & 0xFF) << 8 ^ 1, read_pdu()),
    "transaction zero": lambda t: frame(0, read_pdu()),
    "transaction inverted": lambda t: frame(t ^ 0xFFFF, read_pdu()),
    "old reply repeated five times": lambda t: 5 * frame((t - 1) % 65536, read_pdu()),
    "unit of the next meter": lambda t: frame(t, read_pdu(), unit=UNIT + 1),
    "unit 0": lambda t: frame(t, read_pdu(), unit=0),
    "unit 255": lambda t: frame(t, read_pdu(), unit=255),
    "function 4 for 3": lambda t: frame(t, read_pdu(function=4)),
    "function 1 for 3": lambda t: frame(t, read_pdu(function=1)),
    "function 6 for 3": lambda t: frame(t, bytes.fromhex("0600100001")),
    "function 16 for 3": lambda t: frame(t, bytes.fromhex("1000100004")),
    "function 0": lambda t: frame(t, read_pdu(function=0)),
    "function 23 for 3": lambda t: frame(t, read_pdu(function=23)),
    "protocol id 7": lambda t: frame(t, read_pdu(), protocol=7),
    "protocol id 1": lambda t: frame(t, read_pdu(), protocol=1),
    "protocol id 0x0100": lambda t: frame(t, read_pdu(), protocol=0x100),
    "one register fewer": lambda t: frame(t, read_pdu(VALUES[:6])),
    "one register only": lambda t: frame(t, read_pdu(VALUES[:2])),
    "no register": lambda t: frame(t, read_pdu(b"")),
    "three registers more": lambda t: frame(t, read_pdu(VALUES + VALUES[:6])),
    "one register more": lambda t: frame(t, read_pdu(VALUES + b"\0\0")),
    "125 registers": lambda t: frame(t, read_pdu(bytes(250))),
    "byte count too small": lambda t: frame(t, read_pdu(count=2)),
    "byte count too big": lambda t: frame(t, read_pdu(count=20)),
    "byte count 0 with values": lambda t: frame(t, read_pdu(count=0)),
    "byte count 255": lambda t: frame(t, read_pdu(count=255)),
    "odd byte count with as many bytes": lambda t: frame(t, read_pdu(VALUES[:7])),
    "odd byte count one too many": lambda t: frame(t, read_pdu(VALUES + b"\0")),
    "odd byte count, even bytes": lambda t: frame(t, read_pdu(count=7)),
    "count in registers instead of bytes": lambda t: frame(t, read_pdu(count=COUNT)),
    "length 0": lambda t: frame(t, read_pdu(), length=0),
    "length 1": lambda t: frame(t, read_pdu(), length=1),
    "length 2": lambda t: frame(t, read_pdu(), length=2),
    "length one too short": lambda t: frame(t, read_pdu(), length=10),
    "length one too long, then the next byte": lambda t: frame(t, read_pdu(), length=12) + b"\0",
    "length 255": lambda t: frame(t, read_pdu(), length=255) + bytes(300),
    "length 65535": lambda t: frame(t, read_pdu(), length=65535) + bytes(300),
    "truncated in the header": lambda t: frame(t, read_pdu())[:4],
    "truncated before the unit": lambda t: frame(t, read_pdu())[:6],
    "truncated in the values": lambda t: frame(t, read_pdu())[:-1],
    "garbage before": lambda t: b"\xff\xfe\xfd\xfc\xfb\xfa\xf9" + frame(t, read_pdu()),
    "one byte before": lambda t: b"\0" + frame(t, read_pdu()),
    "text of a web server": lambda t: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "RTU frame instead of TCP": lambda t: bytes.fromhex("05030800 12D68708FC0000ABCD"),
    "request echoed": READ.encode,
    "exception of another function": lambda t: frame(t, bytes((0x84, 2))),
    "exception bit with the values": lambda t: frame(t, read_pdu(function=FUNCTION | 0x80)),
    "exception without a code": lambda t: frame(t, bytes((0x83,))),
    "exception with two codes": lambda t: frame(t, bytes((0x83, 2, 2))),
    "exception of another unit": lambda t: frame(t, bytes((0x83, 2)), unit=UNIT + 1),
    "exception with code 0": lambda t: frame(t, bytes((0x83, 0))),
    "exception with a maker's code": lambda t: frame(t, bytes((0x83, 0x4B))),
    "exception 5, acknowledge": lambda t: frame(t, bytes((0x83, 5))),
    "exception 6, busy": lambda t: frame(t, bytes((0x83, 6))),
    "exception 0A, no path": lambda t: frame(t, bytes((0x83, 0x0A))),
    "exception 0B, target silent": lambda t: frame(t, bytes((0x83, 0x0B))),
    "nothing": lambda t: b"",
}
COIL_CLASSES: dict[str, Hostile] = {
    "coils: padding bits set": lambda t: frame(t, b"\x01\x02\xff\xff"),
    "coils: one byte fewer": lambda t: frame(t, b"\x01\x01\xff"),
    "coils: one byte more": lambda t: frame(t, b"\x01\x03\xff\x07\x00"),
    "coils: function 2 for 1": lambda t: frame(t, b"\x02\x02\xff\x07"),
}
WRITE_CLASSES: dict[str, tuple[Request, Hostile]] = {
    "write: another value echoed": (WRITE_6, lambda t: frame(t, bytes.fromhex("06000DFF01"))),
    "write: another address echoed": (WRITE_6, lambda t: frame(t, bytes.fromhex("06000EFF00"))),
    "write: echo cut": (WRITE_6, lambda t: frame(t, bytes.fromhex("06000DFF"))),
    "write: echo too long": (WRITE_6, lambda t: frame(t, bytes.fromhex("06000DFF0000"))),
    "write: echo of function 5": (WRITE_6, lambda t: frame(t, bytes.fromhex("05000DFF00"))),
    "write: coil echoed off": (WRITE_5, lambda t: frame(t, bytes.fromhex("0500010000"))),
    "write: quantity wrong": (WRITE_16, lambda t: frame(t, bytes.fromhex("10000D0001"))),
    "write: whole request echoed": (WRITE_16, WRITE_16.encode),
    "15: quantity wrong": (WRITE_15, lambda t: frame(t, bytes.fromhex("0F00010004"))),
    "15: echo of function 16": (WRITE_15, lambda t: frame(t, bytes.fromhex("1000010003"))),
    "15: whole request echoed": (WRITE_15, WRITE_15.encode),
    "23: one register fewer": (READ_WRITE, lambda t: frame(t, read_pdu(VALUES[:6], 23))),
    "23: one register more": (READ_WRITE, lambda t: frame(t, read_pdu(VALUES + bytes(2), 23))),
    "23: odd byte count": (READ_WRITE, lambda t: frame(t, read_pdu(VALUES[:7], 23))),
    "23: function 3": (READ_WRITE, lambda t: frame(t, read_pdu())),
    "23: whole request echoed": (READ_WRITE, READ_WRITE.encode),
    "43: another MEI type": (WHO, lambda t: frame(t, bytes.fromhex("2B0D0101000000"))),
    "43: another access": (WHO, lambda t: frame(t, bytes.fromhex("2B0E0201000000"))),
    "43: more follows, from the start": (WHO, lambda t: frame(t, bytes.fromhex("2B0E0101FF0001000141"))),
    "43: fewer objects than said": (WHO, lambda t: frame(t, bytes.fromhex("2B0E01010000020001 41"))),
    "43: an object longer than the frame": (WHO, lambda t: frame(t, bytes.fromhex("2B0E010100000100F041"))),
    "43: a byte behind the objects": (WHO, lambda t: frame(t, bytes.fromhex("2B0E0101000001000141 42"))),
    "43: cut": (WHO, lambda t: frame(t, bytes.fromhex("2B0E0101"))),
    "43: whole request echoed": (WHO, WHO.encode),
}
CLASSES: dict[str, tuple[Request, Hostile]] = (
    {name: (READ, make) for name, make in READ_CLASSES.items()}
    | {name: (COILS, make) for name, make in COIL_CLASSES.items()}
    | WRITE_CLASSES
)


def test_there_are_at_least_forty_classes() -> None:
    assert len(CLASSES) >= 40


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("drip", [False, True], ids=["whole", "byte by byte"])
def test_a_hostile_reply_is_never_a_value(name: str, drip: bool, bench: Bench) -> None:
    request, hostile = CLASSES[name]
    data = hostile(bench.ask(request))
    for piece in [data[i : i + 1] for i in range(len(data))] if drip else [data]:
        bench.play(piece)
    bench.reactor.advance(1.01)
    assert len(bench.outcomes) == 1
    assert isinstance(bench.outcomes[0], ExceptionReply | Violation | Silence)
    if not isinstance(bench.outcomes[0], ExceptionReply):
        assert bench.transport.aborted, "the connection must be fenced"


@pytest.mark.parametrize("name", CLASSES)
def test_after_a_fence_the_right_reply_on_the_old_connection_is_nobodys(name: str, bench: Bench) -> None:
    request, hostile = CLASSES[name]
    transaction = bench.ask(request)
    bench.play(hostile(transaction))
    bench.reactor.advance(1.01)
    old = bench.wire
    if bench.transport.aborted:
        before = len(bench.outcomes)
        bench.reactor.advance(60)
        bench.connect()
        again = bench.ask(request)
        bench.play(frame(again, read_pdu()) + frame(transaction, read_pdu()), old)
        assert len(bench.outcomes) == before


@pytest.mark.parametrize(
    ("request_", "pdu", "payload"),
    [
        (READ, read_pdu(), VALUES),
        (COILS, b"\x01\x02\xff\x07", b"\xff\x07"),
        (WRITE_6, bytes.fromhex("06000DFF00"), b""),
        (WRITE_5, bytes.fromhex("050001FF00"), b""),
        (WRITE_15, bytes.fromhex("0F00010003"), b""),
        (WRITE_16, bytes.fromhex("10000D0002"), b""),
        (READ_WRITE, read_pdu(VALUES, 23), VALUES),
        (WHO, bytes.fromhex("2B0E0101000001000141"), bytes.fromhex("0E0101000001000141")),
    ],
)
@pytest.mark.parametrize("drip", [False, True], ids=["whole", "byte by byte"])
def test_the_right_replies_are_values(request_: Request, pdu: bytes, payload: bytes, drip: bool, bench: Bench) -> None:
    data = frame(bench.ask(request_), pdu)
    for piece in [data[i : i + 1] for i in range(len(data))] if drip else [data]:
        bench.play(piece)
    assert bench.outcomes == [Reply(payload)]
    assert not bench.transport.aborted


def test_a_duplicate_is_ignored_and_counted(bench: Bench) -> None:
    first = bench.ask(READ)
    right = frame(first, read_pdu())
    bench.play(right + right)
    second = bench.ask(READ)
    bench.play(right)
    assert bench.outcomes == [Reply(VALUES)]
    assert bench.line.figures.unsolicited == 2
    bench.play(frame(second, read_pdu(bytes(8))))
    assert bench.outcomes == [Reply(VALUES), Reply(bytes(8))]


def test_a_flood_of_replies_nobody_asked_for_is_fenced(bench: Bench) -> None:
    transaction = bench.ask(READ)
    for _ in range(UNSOLICITED_MAX):
        bench.play(frame(transaction ^ 1, read_pdu()))
    assert not bench.transport.aborted
    bench.play(frame(transaction ^ 1, read_pdu()))
    assert bench.transport.aborted


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("exception of another unit", Wrong.UNIT),
        ("exception of another function", Wrong.FUNCTION),
        ("unit of the next meter", Wrong.UNIT),
        ("protocol id 7", Wrong.PROTOCOL_ID),
        ("length 65535", Wrong.LENGTH),
        ("odd byte count, even bytes", Wrong.BYTE_COUNT),
        ("one register fewer", Wrong.COUNT),
        ("write: another value echoed", Wrong.ECHO),
    ],
)
def test_a_violation_is_counted_under_its_kind(name: str, wrong: Wrong, bench: Bench) -> None:
    request, hostile = CLASSES[name]
    bench.play(hostile(bench.ask(request)))
    assert bench.outcomes == [Violation(wrong)]
    assert bench.line.figures.violations == {wrong: 1}


def test_a_write_in_flight_at_a_fence_is_undetermined_and_never_sent_again(bench_of_two: Bench) -> None:
    bench = bench_of_two
    bench.ask(WRITE_6)
    read = bench.ask(READ)
    bench.play(frame(read, read_pdu(), unit=UNIT + 1))
    assert Silence("lost", True) in bench.outcomes
    bench.reactor.advance(60)
    bench.connect()
    assert bench.sent() == b""


def test_a_read_in_flight_at_a_fence_is_sent_once_more(bench_of_two: Bench) -> None:
    bench = bench_of_two
    bench.ask(READ)
    other = bench.ask(COILS)
    bench.play(frame(other, read_pdu()))
    bench.reactor.advance(60)
    bench.connect()
    again = bench.sent()
    assert again[2:] == READ.wire_tail
    bench.play(frame(again[0] << 8 | again[1], read_pdu()))
    assert Reply(VALUES) in bench.outcomes


@pytest.mark.parametrize("function", [1, 2])
def test_an_echo_that_has_the_form_of_the_answer_is_none(bench: Bench, function: int) -> None:
    """The high byte 03 of the address stands where the answer announces its three bytes."""
    coils = read_request(UNIT, function, 0x0310, 24)
    transaction = bench.ask(coils)
    bench.play(coils.encode(transaction))
    assert bench.outcomes == [Violation(Wrong.ECHO)]

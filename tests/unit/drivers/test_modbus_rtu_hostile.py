"""Replies on a Modbus RTU line that would bill wrongly: every class is played in, and none may ever become a value."""

import pytest
from halfduplex import bytewise, heard

from drivers.modbus import (
    Wrong,
    identify_request,
    read_request,
    read_write_request,
    write_request,
)
from drivers.modbus_rtu import FRAME_MAX, Question, with_crc
from drivers.outcome import ExceptionReply, Reply, Violation

UNIT, ADDRESS, COUNT = 5, 0x10, 4
READ = Question(read_request(UNIT, 3, ADDRESS, COUNT))
COILS = Question(read_request(UNIT, 1, ADDRESS, 11))
WRITE_5 = Question(write_request(UNIT, 5, 1, [1]))
WRITE_6 = Question(write_request(UNIT, 6, 13, [0xFF00]))
WRITE_15 = Question(write_request(UNIT, 15, 1, [1, 0, 1]))
WRITE_16 = Question(write_request(UNIT, 16, 13, [1, 2]))
READ_WRITE = Question(read_write_request(UNIT, ADDRESS, COUNT, 13, [1]))
WHO = Question(identify_request(UNIT))
VALUES = bytes.fromhex("0012D68708FC0000")


def frame(pdu: str | bytes, unit: int = UNIT) -> bytes:
    return with_crc(bytes((unit,)) + (bytes.fromhex(pdu) if isinstance(pdu, str) else pdu))


def read(payload: bytes = VALUES, function: int = 3, count: int | None = None, unit: int = UNIT) -> bytes:
    return frame(bytes((function, len(payload) if count is None else count)) + payload, unit)


RIGHT = read()
READ_CLASSES: dict[str, bytes] = {
    "unit of the next meter": read(unit=UNIT + 1),
    "unit 0": read(unit=0),
    "unit 255": read(unit=255),
    "unit with the top bit": read(unit=UNIT | 0x80),
    "function 4 for 3": read(function=4),
    "function 1 for 3": read(function=1),
    "function 23 for 3": read(function=23),
    "function 0": read(function=0),
    "function 6 for 3": frame("06 00 10 00 01"),
    "function 16 for 3": frame("10 00 10 00 04"),
    "one register fewer": read(VALUES[:6]),
    "one register only": read(VALUES[:2]),
    "no register": read(b""),
    "one register more": read(VALUES + b"\0\0"),
    "three registers more": read(VALUES + VALUES[:6]),
    "125 registers": read(bytes(250)),
    "byte count too small": read(count=2),
    "byte count too big": read(count=20),
    "byte count 0 with values": read(count=0),
    "byte count 255": read(count=255),
    "odd byte count with as many bytes": read(VALUES[:7]),
    "odd byte count, even bytes": read(count=7),
    "count in registers instead of bytes": read(count=COUNT),
    "byte count missing": frame(b"\x03" + VALUES),
    "crc with swapped bytes": RIGHT[:-2] + RIGHT[:-3:-1],
    "crc one bit off": RIGHT[:-1] + bytes((RIGHT[-1] ^ 1,)),
    "crc zero": RIGHT[:-2] + b"\0\0",
    "crc FFFF": RIGHT[:-2] + b"\xff\xff",
    "crc missing": RIGHT[:-2],
    "half a crc": RIGHT[:-1],
    "crc of the reply without its unit": RIGHT[:-2] + with_crc(RIGHT[1:-2])[-2:],
    "a bit of a value turned over": RIGHT[:4] + bytes((RIGHT[4] ^ 0x80,)) + RIGHT[5:],
    "two registers exchanged": RIGHT[:3] + RIGHT[5:7] + RIGHT[3:5] + RIGHT[7:],
    "a byte lost": RIGHT[:5] + RIGHT[6:],
    "a byte doubled": RIGHT[:5] + RIGHT[4:],
    "a byte lost, then the next frame's unit": RIGHT[:5] + RIGHT[6:] + RIGHT[:1],
    "cut in the head": RIGHT[:2],
    "cut in the values": RIGHT[:7],
    "the front of one and the back of another": RIGHT[:7] + read(bytes(8))[7:],
    "our request echoed": READ.wire,
    "our request echoed three times": 3 * READ.wire,
    "reply as Modbus TCP": bytes.fromhex("0001 0000 000B 0503080012D68708FC0000"),
    "reply as Modbus ASCII": b":0503080012D68708FC00007D\r\n",
    "a CJ/T 188 reply": bytes.fromhex("68 10 69 05 90 05 15 33 78 84 05 A0 17 01 00 00 7C 16"),
    "registration packet of a DTU": b"ID:0012345678\r\n",
    "exception of another function": frame("84 02"),
    "exception of another unit": frame("83 02", UNIT + 1),
    "exception bit with the values": read(function=0x83),
    "exception without a code": frame("83"),
    "exception with two codes": frame("83 02 02"),
    "exception with a wrong crc": frame("83 02")[:-1] + b"\0",
    "exception 2": frame("83 02"),
    "exception 5, acknowledge": frame("83 05"),
    "exception 6, busy": frame("83 06"),
    "exception 0A, no path": frame("83 0A"),
    "exception 0B, target silent": frame("83 0B"),
    "exception with code 0": frame("83 00"),
    "noise of the unit": bytes((UNIT,)) * 600,
    "noise of the head": bytes((UNIT, 3, 8)) * 200,
    "noise of FF": b"\xff" * 600,
    "nothing": b"",
}
OTHERS: dict[str, tuple[Question, bytes]] = {
    "coils: padding bits set": (COILS, frame("01 02 FF FF")),
    "coils: one byte fewer": (COILS, frame("01 01 FF")),
    "coils: one byte more": (COILS, frame("01 03 FF 07 00")),
    "coils: function 2 for 1": (COILS, frame("02 02 FF 07")),
    "5: echoed off": (WRITE_5, frame("05 00 01 00 00")),
    "6: another value echoed": (WRITE_6, frame("06 00 0D FF 01")),
    "6: another address echoed": (WRITE_6, frame("06 00 0E FF 00")),
    "6: another unit": (WRITE_6, frame("06 00 0D FF 00", UNIT + 1)),
    "6: echo cut": (WRITE_6, frame("06 00 0D FF")),
    "6: echo too long": (WRITE_6, frame("06 00 0D FF 00 00")),
    "6: echo of function 5": (WRITE_6, frame("05 00 0D FF 00")),
    "15: quantity wrong": (WRITE_15, frame("0F 00 01 00 04")),
    "15: echo of function 16": (WRITE_15, frame("10 00 01 00 03")),
    "15: whole request echoed": (WRITE_15, WRITE_15.wire),
    "16: quantity wrong": (WRITE_16, frame("10 00 0D 00 01")),
    "16: address wrong": (WRITE_16, frame("10 00 0E 00 02")),
    "16: whole request echoed": (WRITE_16, WRITE_16.wire),
    "23: one register fewer": (READ_WRITE, read(VALUES[:6], 23)),
    "23: one register more": (READ_WRITE, read(VALUES + b"\0\0", 23)),
    "23: whole request echoed": (READ_WRITE, READ_WRITE.wire),
    "23: function 3": (READ_WRITE, RIGHT),
    "43: another MEI type": (WHO, frame("2B 0D 01 01 00 00 00")),
    "43: another access": (WHO, frame("2B 0E 02 01 00 00 00")),
    "43: more follows, from the start": (WHO, frame("2B 0E 01 01 FF 00 01 00 01 41")),
    "43: more follows is no flag": (WHO, frame("2B 0E 01 01 01 01 01 00 01 41")),
    "43: fewer objects than said": (WHO, frame("2B 0E 01 01 00 00 02 00 01 41")),
    "43: an object longer than the frame": (WHO, frame("2B 0E 01 01 00 00 01 00 F0 41")),
    "43: a byte behind the objects": (WHO, frame("2B 0E 01 01 00 00 01 00 01 41 42")),
    "43: whole request echoed": (WHO, WHO.wire),
}
TRUE_EXCEPTIONS = {
    "exception 2",
    "exception 5, acknowledge",
    "exception 6, busy",
    "exception 0A, no path",
    "exception 0B, target silent",
    "exception with code 0",
}
CLASSES = {name: (READ, data) for name, data in READ_CLASSES.items()} | OTHERS


def test_there_are_at_least_forty_classes() -> None:
    assert len(CLASSES) >= 40


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("lead", [b"", b"\x00\xff\x05\x03"], ids=["", "noise"])
@pytest.mark.parametrize("drip", [False, True], ids=["whole", "byte by byte"])
def test_a_hostile_reply_is_never_a_value(name: str, lead: bytes, drip: bool) -> None:
    question, data = CLASSES[name]
    answer, _ = heard(question, bytewise(lead + data) if drip else [lead + data])
    assert answer is None or isinstance(answer, ExceptionReply)
    assert isinstance(answer, ExceptionReply) == (name in TRUE_EXCEPTIONS)


@pytest.mark.parametrize("name", CLASSES)
def test_a_frame_that_reaches_the_judge_without_a_scanner_is_no_value_either(name: str) -> None:
    question, data = CLASSES[name]
    assert not isinstance(question.judge(data), Reply)


@pytest.mark.parametrize("name", sorted(READ_CLASSES.keys() - TRUE_EXCEPTIONS))
@pytest.mark.parametrize("drip", [False, True], ids=["whole", "byte by byte"])
def test_the_right_reply_behind_a_hostile_one_is_found_at_its_last_byte(name: str, drip: bool) -> None:
    data = READ_CLASSES[name] + RIGHT
    assert heard(READ, bytewise(data) if drip else [data])[0] == Reply(VALUES)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("one register fewer", Wrong.COUNT),
        ("125 registers", Wrong.COUNT),
        ("odd byte count with as many bytes", Wrong.BYTE_COUNT),
        ("crc one bit off", Wrong.CRC),
        ("a bit of a value turned over", Wrong.CRC),
        ("coils: padding bits set", Wrong.PADDING),
        ("6: another value echoed", Wrong.ECHO),
        ("16: quantity wrong", Wrong.ECHO),
        ("43: more follows, from the start", Wrong.OBJECTS),
    ],
)
@pytest.mark.parametrize("drip", [False, True], ids=["whole", "byte by byte"])
def test_a_violation_is_counted_once_under_its_kind(name: str, wrong: Wrong, drip: bool) -> None:
    question, data = CLASSES[name]
    assert heard(question, bytewise(data) if drip else [data]) == (None, [Violation(wrong)])


def test_a_foreign_frame_is_passed_over() -> None:
    assert heard(READ, [READ_CLASSES["unit of the next meter"]]) == (None, [])
    assert READ.judge(READ_CLASSES["unit of the next meter"]) is None
    assert READ.judge(read(function=4)) is None


def test_a_scanner_keeps_less_than_a_frame() -> None:
    scanner = READ.scanner()
    for _ in range(100):
        scanner.feed(bytes((UNIT, 3, 250)) * 100)
        assert len(scanner._rest) < FRAME_MAX


@pytest.mark.parametrize("count", [17, 20, 24])
@pytest.mark.parametrize("function", [1, 2])
def test_an_echo_that_has_the_form_of_the_answer_is_none(function: int, count: int) -> None:
    """The high byte 03 of the address stands where the answer announces its three bytes, and the CRC is right."""
    question = Question(read_request(UNIT, function, 0x0310, count))
    answer, wrong = heard(question, [question.wire])
    assert answer is None
    assert len(wrong) == 1
    right = frame(bytes((function, 3, 1, 2, 0)))
    assert heard(question, [question.wire + right])[0] == Reply(b"\x01\x02\x00")

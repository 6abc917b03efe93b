"""Replies on a CJ/T 188 line that would bill wrongly: every class is played in, and none may ever become a value."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from halfduplex import bytewise, heard
from harness import device, profile, register

from drivers import cjt188
from drivers.cjt188 import DATA_MAX, Question, Station, Wrong, address_bytes, encode_frame
from drivers.dialects import dialect_of
from drivers.outcome import ExceptionReply, Reply, Violation
from drivers.profile import Switch
from scada.position import CLOSED, OPEN

METER = Station(address_bytes("78331505900569"), 0x10, di_low_first=True, wake_bytes=0)
NEIGHBOUR = address_bytes("78331505900570")
SEQUENCE = 7
READ = cjt188.read(METER, 0x901F, 19, SEQUENCE)
VALVE = cjt188.set_valve(METER, cjt188.VALVE_CLOSE, SEQUENCE)
WHO = cjt188.read_address(Station(b"\xaa" * 7, 0xAA, wake_bytes=0), SEQUENCE)
CLOCK = cjt188._write(METER, cjt188.CLOCK_DI, bytes(7), SEQUENCE)
PAYLOAD = bytes.fromhex("45 23 01 00 2C 00 00 01 00 2C 30 20 10 15 07 26 20 05 00")
DI = b"\x1f\x90"


def frame(
    data: bytes = DI + bytes((SEQUENCE,)) + PAYLOAD,
    control: int = 0x81,
    address: bytes = METER.address,
    kind: int = 0x10,
) -> bytes:
    return encode_frame(kind, address, control, data)


RIGHT = frame()


def at(place: int, value: int, summed: bool = True) -> bytes:
    """Return the right reply with one byte changed, with a right or with the old check sum."""
    changed = bytearray(RIGHT)
    changed[place] = value
    if summed:
        changed[-2] = sum(changed[:-2]) & 0xFF
    return bytes(changed)


def di(identifier: bytes) -> bytes:
    return frame(identifier + RIGHT[13:-2])


STATUS = b"\x17\xa0" + bytes((SEQUENCE, 1, 0))
READ_CLASSES: dict[str, bytes] = {
    "address of the neighbour": frame(address=NEIGHBOUR),
    "address with its bytes reversed": frame(address=METER.address[::-1]),
    "address of another maker": at(8, 0x79),
    "address wild": frame(address=b"\xaa" * 7),
    "address zero": frame(address=bytes(7)),
    "another meter type": frame(kind=0x20),
    "type of a gas meter": frame(kind=0x30),
    "type wild": frame(kind=0xAA),
    "type that does not exist": frame(kind=0x05),
    "our request echoed": READ.wire,
    "our request echoed twice": 2 * READ.wire,
    "direction bit missing": frame(control=0x01),
    "reply to read address": frame(b"\x0a\x81\x07", control=0x83),
    "reply to read address with the data": frame(control=0x83),
    "reply to a write": frame(STATUS, control=0x84),
    "reply to a write with the data": frame(control=0x84),
    "reply to read key version": frame(control=0x89),
    "function that does not exist": frame(control=0x82),
    "follow-up promised": frame(control=0xA1),
    "error bit with the data": frame(control=0xC1),
    "error and follow-up": frame(bytes((SEQUENCE, 0, 0)), control=0xE1),
    "error without status": frame(bytes((SEQUENCE,)), control=0xC1),
    "error with half a status": frame(bytes((SEQUENCE, 0)), control=0xC1),
    "error with an identifier": frame(DI + bytes((SEQUENCE, 0, 0)), control=0xC1),
    "error of the neighbour": frame(bytes((SEQUENCE, 0, 0)), control=0xC1, address=NEIGHBOUR),
    "error to a write": frame(bytes((SEQUENCE, 0, 0)), control=0xC4),
    "late answer: last settlement": di(b"\x20\xd1"),
    "late answer: heat and cooling": di(b"\x1f\x91"),
    "identifier in the other order": di(b"\x90\x1f"),
    "identifier zero": di(b"\0\0"),
    "no data": frame(b""),
    "identifier only": frame(DI),
    "no payload": frame(DI + bytes((SEQUENCE,))),
    "one byte fewer": frame(RIGHT[11:-3]),
    "one byte more": frame(RIGHT[11:-2] + b"\0"),
    "sequence number missing": frame(DI + PAYLOAD),
    "heat layout instead of volume": frame(RIGHT[11:14] + bytes(43)),
    "longest data": frame(RIGHT[11:14] + bytes(DATA_MAX - 3)),
    "check sum one off": RIGHT[:-2] + bytes((RIGHT[-2] ^ 1, 0x16)),
    "check sum with 0x33": at(-2, (RIGHT[-2] + 0x33) & 0xFF, summed=False),
    "check sum zero": at(-2, 0, summed=False),
    "end mark wrong": at(-1, 0x17, summed=False),
    "end mark missing": RIGHT[:-1],
    "start mark wrong": at(0, 0x67),
    "length one less": at(10, 0x15),
    "length one more": at(10, 0x17),
    "length 0": at(10, 0),
    "length 255": at(10, 0xFF) + bytes(300),
    "length in words": at(10, 0x0B),
    "a digit changed": at(14, 0x46, summed=False),
    "a unit changed": at(18, 0x2D, summed=False),
    "two digits changed that keep the sum": RIGHT[:14] + b"\x46\x22" + RIGHT[16:-2] + bytes((RIGHT[-2] ^ 0xFF, 0x16)),
    "cut in the head": RIGHT[:9],
    "cut in the data": RIGHT[:20],
    "cut and begun again, cut": RIGHT[:20] + RIGHT[:-1],
    "a byte lost": RIGHT[:16] + RIGHT[17:],
    "a byte doubled": RIGHT[:16] + RIGHT[15:],
    "0x33 added as in DL/T 645": frame(bytes((b + 0x33) & 0xFF for b in RIGHT[11:-2])),
    "the reply inside a neighbour's data": frame(DI + b"\x07" + RIGHT + bytes(8), address=NEIGHBOUR),
    "a DL/T 645 reply": bytes.fromhex("68 69 05 90 05 15 33 68 91 08 33 33 34 33 78 56 34 33 5F 16"),
    "a Modbus reply": bytes.fromhex("01 03 04 00 12 D6 87 44 34"),
    "registration packet of a DTU": b"ID:0012345678\r\n",
    "noise of wake-up bytes": b"\xfe" * 300,
    "noise of start marks": b"\x68" * 300,
    "noise of zeros": bytes(300),
    "nothing": b"",
}
VALVE_CLASSES: dict[str, bytes] = {
    "valve: the command echoed": VALVE.wire,
    "valve: no status": frame(STATUS[:3], control=0x84),
    "valve: half a status": frame(STATUS[:4], control=0x84),
    "valve: three bytes of status": frame(STATUS + b"\0", control=0x84),
    "valve: reply of the neighbour": frame(STATUS, control=0x84, address=NEIGHBOUR),
    "valve: reply to a clock write": frame(b"\x15\xa0" + STATUS[2:], control=0x84),
    "valve: reply to a read": frame(),
    "valve: reply of a gas meter": frame(STATUS, control=0x84, kind=0x30),
    "valve: refused": frame(bytes((SEQUENCE, 0, 0)), control=0xC4),
    "valve: refused, abnormal": frame(bytes((SEQUENCE, 3, 0)), control=0xC4),
}
WHO_CLASSES: dict[str, bytes] = {
    "who: address with letters": frame(b"\x81\x0a\x07", control=0x83, address=b"\x0f" * 7),
    "who: address wild": frame(b"\x81\x0a\x07", control=0x83, address=b"\xaa" * 7),
    "who: another identifier": frame(b"\x0a\x81\x07", control=0x83),
    "who: with data": frame(b"\x81\x0a\x07\x00", control=0x83),
    "who: two meters at once": bytes(a | b for a, b in zip(RIGHT, frame(address=NEIGHBOUR), strict=True)),
}
CLASSES: dict[str, tuple[Question, bytes]] = (
    {name: (READ, data) for name, data in READ_CLASSES.items()}
    | {name: (VALVE, data) for name, data in VALVE_CLASSES.items()}
    | {name: (WHO, data) for name, data in WHO_CLASSES.items()}
    | {"clock: with a status": (CLOCK, frame(b"\x15\xa0\x07\0\0", control=0x84))}
)


def test_there_are_at_least_forty_classes() -> None:
    assert len(CLASSES) >= 40


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("lead", [b"", b"\xfe\xfe\xfe\xfe"], ids=["", "wake-up bytes"])
@pytest.mark.parametrize("drip", [False, True], ids=["whole", "byte by byte"])
def test_a_hostile_reply_is_never_a_value(name: str, lead: bytes, drip: bool) -> None:
    question, data = CLASSES[name]
    answer, _ = heard(question, bytewise(lead + data) if drip else [lead + data])
    assert answer is None or isinstance(answer, ExceptionReply)


@pytest.mark.parametrize("name", CLASSES)
def test_a_frame_that_reaches_the_judge_without_a_scanner_is_no_value_either(name: str) -> None:
    question, data = CLASSES[name]
    assert not isinstance(question.judge(data), Reply)


@pytest.mark.parametrize("name", READ_CLASSES)
def test_the_right_reply_behind_a_hostile_one_is_found(name: str) -> None:
    """At once, or as soon as the broken frame before it has run out."""
    data = READ_CLASSES[name]
    answer, _ = heard(READ, [data, RIGHT, bytes(DATA_MAX + 13)])
    assert answer == Reply(PAYLOAD)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("another meter type", Wrong.TYPE),
        ("follow-up promised", Wrong.FOLLOW_UP),
        ("error with half a status", Wrong.EXCEPTION_FORM),
        ("one byte fewer", Wrong.LENGTH),
        ("heat layout instead of volume", Wrong.LENGTH),
        ("check sum one off", Wrong.CHECKSUM),
        ("end mark wrong", Wrong.END),
        ("valve: no status", Wrong.LENGTH),
        ("who: address with letters", Wrong.ADDRESS),
    ],
)
def test_a_violation_is_counted_once_under_its_kind(name: str, wrong: Wrong) -> None:
    question, data = CLASSES[name]
    assert heard(question, [data]) == (None, [Violation(wrong)])


@pytest.mark.parametrize(
    "name", ["address of the neighbour", "our request echoed", "late answer: last settlement", "reply to a write"]
)
def test_what_is_meant_for_another_question_is_passed_over(name: str) -> None:
    assert heard(READ, [READ_CLASSES[name]]) == (None, [])


@pytest.mark.parametrize("drip", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize(
    "crowd",
    [
        WHO_CLASSES["who: two meters at once"],
        b"\x68\x10" + bytes(7) + b"\x83\x03\x00",
        bytes(range(0x20, 0x40)),
        frame(b"\x81\x0a\x07", control=0x83)[:-1] + b"\x17",
    ],
    ids=["mixed", "cut", "noise", "end mark"],
)
def test_several_meters_that_answer_who_is_there_are_told_from_silence(crowd: bytes, drip: bool) -> None:
    """Garbage is reported once, and a frame that comes through behind it is one meter of several: not the answer."""
    data = crowd + frame(b"\x81\x0a\x07", control=0x83)
    assert heard(WHO, bytewise(data) if drip else [data]) == (None, [Violation(Wrong.CROWD)])


def test_two_whole_answers_at_once_are_a_crowd_and_one_is_not() -> None:
    one = frame(b"\x81\x0a\x07", control=0x83)
    assert heard(WHO, [one + frame(b"\x81\x0a\x07", control=0x83, address=NEIGHBOUR)])[0] is None
    assert heard(WHO, [WHO.wire + b"\x00\xfe\xfe" + one])[0] == Reply(b"\x10" + METER.address)
    assert heard(WHO, []) == (None, [])


def test_a_refusal_says_what_it_means() -> None:
    plain, _ = heard(VALVE, [VALVE_CLASSES["valve: refused"]])
    stuck, _ = heard(VALVE, [VALVE_CLASSES["valve: refused, abnormal"]])
    weak, _ = heard(VALVE, [frame(bytes((SEQUENCE, 4, 0)), control=0xC4)])
    assert isinstance(plain, ExceptionReply)
    assert isinstance(stuck, ExceptionReply)
    assert isinstance(weak, ExceptionReply)
    assert (plain.meaning.answer, stuck.meaning.answer, weak.meaning.answer) == ("refused", "fault", "fault")
    assert (plain.code, stuck.code, weak.code) == (0, 3, 4)


def test_what_a_profile_may_tolerate_is_told_and_nothing_else_is() -> None:
    lenient = cjt188.read(replace(METER, any_type=True), 0x901F, 19, SEQUENCE)
    odd, _ = heard(lenient, [frame(kind=0x25)])
    assert isinstance(odd, Reply)
    assert odd.tolerated == "meter type"
    old, _ = heard(READ, [frame(DI + b"\x08" + PAYLOAD)])
    assert isinstance(old, Reply)
    assert old.tolerated == "sequence number"
    right, _ = heard(READ, [RIGHT])
    assert isinstance(right, Reply)
    assert right.tolerated == ""


def test_a_type_that_does_not_exist_is_refused_even_where_any_is_taken() -> None:
    anyone = cjt188.read(replace(METER, meter_type=0xAA), 0x901F, 19, SEQUENCE)
    assert anyone.judge(frame(kind=0x31)) == Reply(PAYLOAD)
    for kind in (0x00, 0x0F, 0x4A, 0x7B, 0xAA, 0xFF):
        assert anyone.judge(frame(kind=kind)) == Violation(Wrong.TYPE)


def test_an_address_with_wild_bytes_takes_the_real_one() -> None:
    question = cjt188.read(replace(METER, address=address_bytes("AAAA1505900569")), 0x901F, 19, SEQUENCE)
    assert heard(question, [RIGHT])[0] == Reply(PAYLOAD)
    assert heard(question, [frame(address=NEIGHBOUR)]) == (None, [])


def test_a_read_of_unknown_length_takes_what_comes() -> None:
    question = cjt188.read(METER, 0x901F, sequence=SEQUENCE)
    assert heard(question, [frame(RIGHT[11:20])])[0] == Reply(PAYLOAD[:6])
    assert heard(question, [frame(DI)]) == (None, [Violation(Wrong.LENGTH)])


def test_a_gas_profile_never_opens_its_valve_whatever_type_the_meter_shows() -> None:
    switch = Switch("Status", ((0, CLOSED), (1, OPEN)), 0, 0, cjt188.VALVE_CLOSE, cjt188.VALVE_OPEN)
    model = replace(profile(register("Status", 0), switch=switch), protocol="cjt188", medium="gas", meter_type=0x10)
    meter = replace(device(0), profile=model, address="12345678")
    dialect = dialect_of("cjt188", False)
    assert dialect.switch(meter, switch, OPEN, 0).writes
    with pytest.raises(ValueError, match="gas"):
        dialect.switch(meter, switch, CLOSED, 0)
    water = replace(meter, profile=replace(model, medium="water"))
    assert dialect.switch(water, switch, CLOSED, 0).writes


@pytest.mark.parametrize("framed", [True, False])
def test_a_gas_valve_on_modbus_stays_shut_too(framed: bool) -> None:
    switch = Switch("Status", ((0, CLOSED), (1, OPEN)), 5, 7, 0, 1)
    meter = replace(device(0), profile=replace(profile(register("Status", 0), switch=switch), medium="gas"))
    dialect = dialect_of("modbus", framed)
    assert dialect.switch(meter, switch, OPEN, 0).writes
    with pytest.raises(ValueError, match="gas"):
        dialect.switch(meter, switch, CLOSED, 0)


Refused = Callable[[], object]
GAS = replace(METER, meter_type=0x30)
WILD = replace(METER, address=b"\xaa" * 7)


@pytest.mark.parametrize(
    "make",
    [
        lambda: cjt188.set_valve(GAS, cjt188.VALVE_OPEN),
        lambda: cjt188.set_valve(replace(METER, meter_type=0x39), cjt188.VALVE_OPEN),
        lambda: cjt188.set_valve(replace(METER, meter_type=0xAA), cjt188.VALVE_OPEN),
        lambda: cjt188.set_valve(METER, 0x56),
        lambda: cjt188.set_valve(WILD, cjt188.VALVE_CLOSE),
        lambda: cjt188.set_settlement_day(METER, 31),
        lambda: cjt188.set_reading_day(METER, 0),
        lambda: cjt188.set_settlement_day(WILD, 1),
        lambda: cjt188.read(METER, 0x1_0000),
        lambda: cjt188.read(METER, 0x901F, DATA_MAX),
        lambda: cjt188.read(METER, 0x901F, 19, 256),
        lambda: Station(b"\0" * 6),
        lambda: Station(METER.address, 0x05),
        lambda: Station(METER.address, wake_bytes=21),
        lambda: address_bytes(""),
        lambda: address_bytes("123456789012345"),
        lambda: address_bytes("12345A7890"),
        lambda: address_bytes("1234567 90"),
        lambda: encode_frame(0x10, METER.address, 0x81, bytes(DATA_MAX + 1)),
    ],
)
def test_what_must_never_be_sent_cannot_be_made(make: Refused) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        make()


def test_gas_may_be_closed_and_opened_only_on_someone_s_word() -> None:
    assert cjt188.set_valve(GAS, cjt188.VALVE_CLOSE).writes
    assert cjt188.set_valve(GAS, cjt188.VALVE_OPEN, gas_may_open=True).wire[14] == 0x55

"""DL/T 645 replies that would bill wrongly: every class goes through scanner and judgement, and none becomes a value.

Each class is a question, the bytes that come instead of the right answer, and how that must end. It is played whole and
byte by byte; afterwards the right answer must still be found behind it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from drivers import dlt645, dlt645_1997
from drivers.bcd import decode_bcd, decode_sbcd
from drivers.device import Secret
from drivers.dlt645_frame import (
    ANYONE,
    BROADCAST,
    FRAME_MAX,
    NOISE_MAX,
    FrameScanner,
    Wrong,
    address_bytes,
    encode_frame,
)
from drivers.dlt645_question import PARTS_MAX, Request
from drivers.outcome import Continue, ExceptionReply, Reply, Violation

ADDRESS = "112233445566"
METER = address_bytes(ADDRESS)
OTHER = address_bytes("112233445567")
SECRET = Secret("123456")

DI = bytes.fromhex("00000100")
REVERSE = bytes.fromhex("00000200")
VALUE = bytes.fromhex("78563412")
BLOCK_DI = bytes.fromhex("00FF0100")
BLOCK = bytes(range(0x10, 0x24))

READ = dlt645.read(ADDRESS, 0x0001_0000, 4)
ANY_READ = dlt645.read("AAAAAAAA5566", 0x0001_0000, 4)
READ_1997 = dlt645_1997.read(ADDRESS, 0x9010, 4)
TRIP = dlt645.control(ADDRESS, dlt645.TRIP, SECRET, bytes(6))
WRITE = dlt645.write(ADDRESS, 0x0400_1001, bytes(4), SECRET)
WHOLE = dlt645.read(ADDRESS, 0x0001_FF00, len(BLOCK))
WHO = dlt645.read_address()
TIME = dlt645.broadcast_time(0)
FREEZE_ALL = dlt645.freeze("999999999999")


def frame(control: int, data: bytes = b"", address: bytes = METER) -> bytes:
    return encode_frame(address, control, data)


def summed(text: bytes) -> bytes:
    """Close a frame that was tampered with: a right checksum over wrong contents."""
    return text[:-2] + bytes((sum(text[:-2]) & 0xFF,)) + text[-1:]


def at(text: bytes, place: int, value: int, close: bool = True) -> bytes:
    """Put a byte into a frame, and the right checksum behind it unless told otherwise."""
    changed = bytearray(text)
    changed[place] = value
    return summed(bytes(changed)) if close else bytes(changed)


def following(*parts: bytes, question: Request | None = None) -> Request:
    """Return the question that follows after good parts of the block."""
    asked = question or dlt645.read(ADDRESS, 0x0001_FF00, len(BLOCK))
    for number, part in enumerate(parts):
        control, tail = (0xB1, b"") if number == 0 else (0xB2, bytes((number,)))
        judged = asked.judge(frame(control, BLOCK_DI + part + tail))
        assert isinstance(judged, Continue)
        assert isinstance(judged.exchange, Request)
        asked = judged.exchange
    return asked


RIGHT = frame(0x91, DI + VALUE)
FIRST = following(BLOCK[:8])  # waits for part 1
SECOND = following(BLOCK[:8], BLOCK[8:12])  # waits for part 2
PART_1 = frame(0xB2, BLOCK_DI + BLOCK[8:12] + b"\x01")
LAST_2 = frame(0x92, BLOCK_DI + BLOCK[12:] + b"\x02")
RIGHT_1 = frame(0x92, BLOCK_DI + BLOCK[8:] + b"\x01")
ANSWER_1997 = frame(0x81, bytes.fromhex("1090") + VALUE)
ACCEPTED = frame(0x9C)
WRITTEN = frame(0x94)
NAMED = frame(0x93, METER)
RANDOM = random.Random(645).randbytes(500)

# The right answer to each question, for what comes behind a hostile class.
ANSWERS: list[tuple[Request, bytes, Reply]] = [
    (READ, RIGHT, Reply(VALUE)),
    (ANY_READ, RIGHT, Reply(VALUE)),
    (READ_1997, ANSWER_1997, Reply(VALUE)),
    (TRIP, ACCEPTED, Reply(b"")),
    (WRITE, WRITTEN, Reply(b"")),
    (WHOLE, frame(0x91, BLOCK_DI + BLOCK), Reply(BLOCK)),
    (FIRST, RIGHT_1, Reply(BLOCK)),
    (SECOND, LAST_2, Reply(BLOCK)),
]
DROPPED: None = None  # answers something else: wait on


@dataclass(frozen=True)
class Hostile:
    asked: Request
    stream: bytes
    ends: Any  # DROPPED, a Wrong, or an ExceptionReply


def read(stream: bytes, ends: Any = DROPPED) -> Hostile:
    return Hostile(READ, stream, ends)


CLASSES: dict[str, Hostile] = {
    # -- the envelope
    "checksum one too high": read(at(RIGHT, -2, RIGHT[-2] + 1 & 0xFF, close=False), Wrong.CHECKSUM),
    "checksum one too low": read(at(RIGHT, -2, RIGHT[-2] - 1 & 0xFF, close=False), Wrong.CHECKSUM),
    "checksum counts the lead-in": read(
        b"\xfe" * 4 + at(RIGHT, -2, (RIGHT[-2] + 4 * 0xFE) & 0xFF, close=False), Wrong.CHECKSUM
    ),
    "checksum of the data without 33": read(at(RIGHT, -2, (RIGHT[-2] - 8 * 0x33) & 0xFF, close=False), Wrong.CHECKSUM),
    "wrong end mark": read(at(RIGHT, -1, 0x17, close=False), Wrong.END),
    "end mark missing": read(RIGHT[:-1]),
    "a value byte changed": read(at(RIGHT, 15, 0x99, close=False), Wrong.CHECKSUM),
    "a byte lost": read(RIGHT[:14] + RIGHT[15:] + b"\xfe", Wrong.END),
    "a byte doubled": read(RIGHT[:15] + RIGHT[14:], Wrong.END),
    "truncated": read(RIGHT[:-4]),
    "truncated, then a neighbour's frame": read(RIGHT[:-4] + frame(0x91, DI + VALUE, OTHER), Wrong.END),
    "second start mark missing": read(at(RIGHT, 7, 0x67)),
    "top bit stripped by a 7E1 adapter": read(bytes(byte & 0x7F for byte in RIGHT), Wrong.CHECKSUM),
    "sent as text": read(RIGHT.hex(" ").encode()),
    "a frame of CJ/T 188": read(bytes.fromhex("FEFE6810440000000000018116901F00" + "00" * 19 + "3416")),
    "a frame of Modbus RTU": read(bytes.fromhex("010304001 2D68744 34".replace(" ", ""))),
    # -- who speaks
    "another address": read(frame(0x91, DI + VALUE, OTHER)),
    "address in paper order": read(frame(0x91, DI + VALUE, METER[::-1])),
    "address zero": read(frame(0x91, DI + VALUE, bytes(6))),
    "address of wildcards in the reply": read(frame(0x91, DI + VALUE, ANYONE)),
    "broadcast address in the reply": read(frame(0x91, DI + VALUE, BROADCAST)),
    "address with a nibble above 9 to a wildcard": Hostile(
        ANY_READ, frame(0x91, DI + VALUE, METER[:5] + b"\x1f"), Wrong.ADDRESS
    ),
    "wildcards in the reply to a wildcard": Hostile(
        ANY_READ, frame(0x91, DI + VALUE, METER[:2] + ANYONE[2:]), Wrong.ADDRESS
    ),
    "a meter whose low digits differ, to a wildcard": Hostile(ANY_READ, frame(0x91, DI + VALUE, OTHER), DROPPED),
    "echo of our own request": read(READ.wire),
    "another master's question": read(frame(0x11, REVERSE)),
    "direction bit missing": read(frame(0x11, DI + VALUE)),
    "reply to a broadcast of the time": Hostile(TIME, frame(0x88), DROPPED),
    "reply to a broadcast of the time from its address": Hostile(TIME, frame(0x88, b"", BROADCAST), DROPPED),
    "reply to a broadcast freeze": Hostile(FREEZE_ALL, frame(0x96), DROPPED),
    # -- what it answers
    "another function": read(frame(0x94, DI + VALUE)),
    "function of follow-up data": read(frame(0x92, DI + VALUE + b"\x01")),
    "function of 1997": read(frame(0x81, DI + VALUE)),
    "address reply to a read": read(frame(0x93, METER)),
    "another identifier": read(frame(0x91, REVERSE + VALUE)),
    "identifier high byte first": read(frame(0x91, DI[::-1] + VALUE)),
    "identifier of the block": read(frame(0x91, BLOCK_DI + VALUE)),
    "identifier of the last settlement": read(frame(0x91, bytes.fromhex("01000100") + VALUE)),
    "late reply to the question before": read(frame(0x91, REVERSE + VALUE)),
    "late reply to the question before, twice": read(2 * frame(0x91, REVERSE + VALUE)),
    "late acceptance of a control": read(ACCEPTED),
    "late value to a control": Hostile(TRIP, RIGHT, DROPPED),
    "acceptance of a write to a control": Hostile(TRIP, WRITTEN, DROPPED),
    "acceptance of a control to a write": Hostile(WRITE, ACCEPTED, DROPPED),
    "reply of the other edition, 2007 to 1997": Hostile(READ_1997, RIGHT, DROPPED),
    "reply of 1997 with another identifier": Hostile(READ_1997, frame(0x81, b"\x11\x90" + VALUE), DROPPED),
    # -- how long it is
    "one byte short": read(frame(0x91, DI + VALUE[:3]), Wrong.LENGTH),
    "one byte long": read(frame(0x91, DI + VALUE + b"\x00"), Wrong.LENGTH),
    "whole block instead of one value": read(frame(0x91, DI + BLOCK), Wrong.LENGTH),
    "no data": read(frame(0x91), Wrong.LENGTH),
    "half an identifier": read(frame(0x91, DI[:2]), Wrong.LENGTH),
    "identifier alone": read(frame(0x91, DI), Wrong.LENGTH),
    "length field one low": read(at(RIGHT, 9, 7, close=False), Wrong.END),
    "length field one high": read(at(RIGHT, 9, 9, close=False) + b"\xfe", Wrong.END),
    "length field zero": read(at(RIGHT, 9, 0, close=False), Wrong.END),
    "length field 255": read(at(RIGHT, 9, 255, close=False), Wrong.LENGTH),
    "length field above what the standard allows": read(at(RIGHT, 9, 201, close=False), Wrong.LENGTH),
    "data without 33": read(summed(RIGHT[:10] + DI + VALUE + RIGHT[-2:])),
    "33 added twice": read(frame(0x91, bytes(byte + 0x33 & 0xFF for byte in DI + VALUE))),
    "short reply of 1997": Hostile(READ_1997, frame(0x81, b"\x10\x90" + VALUE[:3]), Wrong.LENGTH),
    "acceptance with data": Hostile(TRIP, frame(0x9C, b"\x00"), Wrong.LENGTH),
    "acceptance with our command in it": Hostile(TRIP, frame(0x9C, bytes(16)), Wrong.LENGTH),
    "written, with data": Hostile(WRITE, frame(0x94, bytes(4)), Wrong.LENGTH),
    # -- flags
    "more frames promised behind a whole value": read(frame(0xB1, DI + VALUE), Wrong.FLAGS),
    "more frames promised, nothing here": read(frame(0xB1, DI), Wrong.LENGTH),
    "more frames promised behind a control": Hostile(TRIP, frame(0xBC), Wrong.FLAGS),
    "refused without an error word": read(frame(0xD1), Wrong.ERROR_FORM),
    "refused with two error words": read(frame(0xD1, b"\x02\x00"), Wrong.ERROR_FORM),
    "refused with the value": read(frame(0xD1, DI + VALUE), Wrong.ERROR_FORM),
    "refused, more to follow": read(frame(0xF1, b"\x02"), Wrong.ERROR_FORM),
    "refusal of another function": read(frame(0xDC, b"\x04")),
    "refusal of another meter": read(frame(0xD1, b"\x02", OTHER)),
    "refused, no such data": read(frame(0xD1, b"\x02"), ExceptionReply(0x02)),
    "refused, undefined word FE": read(frame(0xD1, b"\xfe"), ExceptionReply(0xFE)),
    "refused, word 00": read(frame(0xD1, b"\x00"), ExceptionReply(0)),
    "control refused": Hostile(TRIP, frame(0xDC, b"\x04"), ExceptionReply(0x04)),
    "1997 refused": Hostile(READ_1997, frame(0xC1, b"\x02"), ExceptionReply(0x02)),
    # -- several parts
    "part missing: the flag is clear too early": Hostile(
        WHOLE, frame(0x91, BLOCK_DI + BLOCK[:8]), Wrong.LENGTH
    ),
    "sequence number ahead": Hostile(FIRST, frame(0x92, BLOCK_DI + BLOCK[8:] + b"\x02"), Wrong.SEQUENCE),
    "sequence number 0": Hostile(FIRST, frame(0x92, BLOCK_DI + BLOCK[8:] + b"\x00"), Wrong.SEQUENCE),
    "sequence number 255": Hostile(FIRST, frame(0x92, BLOCK_DI + BLOCK[8:] + b"\xff"), Wrong.SEQUENCE),
    "sequence number missing": Hostile(FIRST, frame(0x92, BLOCK_DI + BLOCK[8:]), Wrong.SEQUENCE),
    "sequence number alone missing": Hostile(FIRST, frame(0x92, BLOCK_DI), Wrong.LENGTH),
    "part repeated": Hostile(SECOND, PART_1, DROPPED),
    "first part repeated": Hostile(FIRST, frame(0xB1, BLOCK_DI + BLOCK[:8]), DROPPED),
    "part of another identifier": Hostile(FIRST, frame(0x92, DI + BLOCK[8:] + b"\x01"), DROPPED),
    "part from another meter": Hostile(FIRST, frame(0x92, BLOCK_DI + BLOCK[8:] + b"\x01", OTHER), DROPPED),
    "last part too short": Hostile(FIRST, frame(0x92, BLOCK_DI + BLOCK[8:-1] + b"\x01"), Wrong.LENGTH),
    "last part too long": Hostile(FIRST, frame(0x92, BLOCK_DI + BLOCK[8:] + b"\x00\x01"), Wrong.LENGTH),
    "more promised behind the whole block": Hostile(FIRST, frame(0xB2, BLOCK_DI + BLOCK[8:] + b"\x01"), Wrong.FLAGS),
    "part without data that promises more": Hostile(FIRST, frame(0xB2, BLOCK_DI + b"\x01"), Wrong.LENGTH),
    "refusal in the middle": Hostile(FIRST, frame(0xD2, b"\x02"), ExceptionReply(0x02)),
    # -- noise
    "silence": read(b""),
    "flood of FE": read(b"\xfe" * 1000),
    "flood of 00": read(bytes(1000)),
    "flood of 16": read(b"\x16" * 1000),
    "flood of 68": read(b"\x68" * 1000),
    "flood of AA": read(b"\xaa" * 1000),
    "random noise": read(RANDOM),
    "the right answer inside a neighbour's data": read(frame(0x91, DI + bytes(b - 0x33 & 0xFF for b in RIGHT), OTHER)),
    "our answer's end inside another frame": read(frame(0x91, REVERSE + VALUE + b"\xe3")),
    # -- read address: nobody else may be on the line
    "address reply whose data name another meter": Hostile(WHO, frame(0x93, OTHER), Wrong.ADDRESS),
    "address reply with a nibble above 9": Hostile(WHO, frame(0x93, b"\xff" * 6, b"\xff" * 6), Wrong.ADDRESS),
    "address reply from wildcards": Hostile(WHO, frame(0x93, ANYONE, ANYONE), Wrong.ADDRESS),
    "address reply from the broadcast address": Hostile(WHO, frame(0x93, BROADCAST, BROADCAST), Wrong.ADDRESS),
    "address reply too short": Hostile(WHO, frame(0x93, METER[:5]), Wrong.LENGTH),
    "two meters give their address": Hostile(WHO, NAMED + frame(0x93, OTHER, OTHER), Wrong.CROWD),
    "two meters speak at once": Hostile(WHO, bytes(a & b for a, b in zip(NAMED, RANDOM, strict=False)), Wrong.CROWD),
    "one meter over the other's end": Hostile(WHO, NAMED[:12] + frame(0x93, OTHER, OTHER), Wrong.CROWD),
    "address reply with a wrong checksum": Hostile(WHO, at(NAMED, -2, NAMED[-2] ^ 1, close=False), Wrong.CROWD),
    "address reply behind noise": Hostile(WHO, bytes(NOISE_MAX + 1) + NAMED, Wrong.CROWD),
}  # fmt: skip


def play(asked: Request, pieces: list[bytes]) -> list[Any]:
    """Return what each item of a stream is, in order: judged frames (dropped ones left out) and violations."""
    scanner = asked.scanner()
    found: list[Any] = []
    for piece in pieces:
        for item in scanner.feed(piece):
            judged = item if isinstance(item, Violation) else asked.judge(item)
            if judged is not None:
                found.append(judged)
    return found


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("cut", [lambda stream: [stream], bytewise], ids=["whole", "byte by byte"])
def test_no_hostile_reply_is_a_value(name: str, cut: Callable[[bytes], list[bytes]]) -> None:
    case = CLASSES[name]
    found = play(case.asked, cut(case.stream))
    if len(found) > 1 and case.asked is WHO:  # the first of two meters is heard before the second
        assert found[-1] == Violation(Wrong.CROWD)
        return
    assert not [outcome for outcome in found if isinstance(outcome, Reply | Continue)]
    if case.ends is DROPPED:
        assert found == []
    else:
        assert set(found) == {Violation(case.ends) if isinstance(case.ends, Wrong) else case.ends}


@pytest.mark.parametrize("name", [name for name, case in CLASSES.items() if case.asked not in (WHO, TIME, FREEZE_ALL)])
def test_the_right_answer_is_found_behind_it(name: str) -> None:
    """What follows is not swallowed, unless a lying length field takes it in: then it comes free when that ends."""
    case = CLASSES[name]
    right, reply = next((answer, reply) for asked, answer, reply in ANSWERS if asked is case.asked)
    stream = case.stream + right + b"\xfe" * FRAME_MAX
    for pieces in ([stream], bytewise(stream)):
        assert play(case.asked, pieces)[-1] == reply


def test_there_are_enough_classes() -> None:
    assert len(CLASSES) >= 40


# -- a well-formed frame whose value is none

VALUES: dict[str, tuple[Callable[[bytes], int | None], str, Any]] = {
    "nibble A": (decode_bcd, "0A000000", ValueError),
    "high nibble F": (decode_bcd, "F0000000", ValueError),
    "half absent": (decode_bcd, "FFFF0000", ValueError),
    "top half absent": (decode_bcd, "0000FFFF", ValueError),
    "the pattern EE": (decode_bcd, "EEEEEEEE", ValueError),
    "sign bit in an unsigned number": (decode_bcd, "000000A1", ValueError),
    "all FF": (decode_bcd, "FFFFFFFF", None),
    "all FF, signed": (decode_sbcd, "FFFFFF", None),
    "nibble A, signed": (decode_sbcd, "00000A", ValueError),
    "nibble above 9 beside the sign": (decode_sbcd, "0000FA", ValueError),
    "FF but for the sign": (decode_sbcd, "FFFF7F", ValueError),
    "no bytes": (decode_bcd, "", ValueError),
    "no bytes, signed": (decode_sbcd, "", ValueError),
}


@pytest.mark.parametrize("name", VALUES)
def test_no_hostile_value_is_a_number(name: str) -> None:
    decode, text, ends = VALUES[name]
    data = bytes.fromhex(text)
    asked = dlt645.read(ADDRESS, 0x0001_0000, len(data))
    (judged,) = play(asked, [frame(0x91, DI + data)])
    assert judged == Reply(data), "the frame itself is right"
    if ends is None:
        assert decode(judged.payload) is None
    else:
        with pytest.raises(ends, match="no packed decimal"):
            decode(judged.payload)


# -- what looks hostile and is right

FRIENDLY: dict[str, bytes] = {
    "without lead-in": RIGHT,
    "with more FE than the standard allows": b"\xfe" * 40 + RIGHT,
    "behind a start mark of noise": b"\x68" + RIGHT,
    "behind a truncated copy": RIGHT[:-3] + RIGHT + b"\xfe" * len(RIGHT),
    "behind our own echo": READ.wire + RIGHT,
    "behind a late reply": frame(0x91, REVERSE + VALUE) + RIGHT,
    "behind a header that promises too much": RIGHT[:9] + b"\xff" + RIGHT,
    "inside a broken frame": frame(0x91, bytes(40), OTHER)[:15] + RIGHT + b"\xfe" * 40,
}


@pytest.mark.parametrize("name", FRIENDLY)
def test_the_right_answer_is_a_value(name: str) -> None:
    for pieces in ([FRIENDLY[name]], bytewise(FRIENDLY[name])):
        assert [item for item in play(READ, pieces) if isinstance(item, Reply)] == [Reply(VALUE)]


@pytest.mark.parametrize("value", ["68686868", "16161616", "35353535", "E3E3E3E3", "FEFEFEFE", "333568E3"])
def test_marks_inside_the_data_end_nothing(value: str) -> None:
    """The bytes on the wire look like start, end and lead-in; length alone ends the frame."""
    data = bytes.fromhex(value)
    assert play(READ, bytewise(frame(0x91, DI + data))) == [Reply(data)]


def test_an_address_of_start_and_end_marks() -> None:
    asked = dlt645.read("161668681668", 0x0001_0000, 4)
    answer = frame(0x91, DI + VALUE, address_bytes("161668681668"))
    assert play(asked, bytewise(answer)) == [Reply(VALUE)]


def test_the_answer_to_wildcards_carries_the_real_address() -> None:
    assert play(ANY_READ, [RIGHT]) == [Reply(VALUE)]
    assert play(dlt645.read("AAAAAAAAAAAA", 0x0001_0000), [RIGHT]) == [Reply(VALUE)]


def test_the_parts_of_a_long_answer_come_from_the_meter_that_began() -> None:
    asked = dlt645.read("AAAAAAAA5566", 0x0001_FF00, len(BLOCK))
    (first,) = play(asked, [frame(0xB1, BLOCK_DI + BLOCK[:8])])
    assert first.exchange.address == METER
    assert play(first.exchange, [frame(0x92, BLOCK_DI + BLOCK[8:] + b"\x01", address_bytes("772233445566"))]) == []
    (second,) = play(first.exchange, [PART_1])
    assert play(second.exchange, [LAST_2]) == [Reply(BLOCK)]


def test_an_endless_answer_ends() -> None:
    asked, parts = dlt645.read(ADDRESS, 0x0001_FF00), 0
    judged: Any = asked.judge(frame(0xB1, BLOCK_DI + b"\x00"))
    while isinstance(judged, Continue):
        parts += 1
        judged = judged.exchange.judge(frame(0xB2, BLOCK_DI + b"\x00" + bytes((parts,))))
    assert judged == Violation(Wrong.PARTS)
    assert parts == PARTS_MAX


def test_the_parts_of_1997_have_no_number() -> None:
    asked = dlt645_1997.read(ADDRESS, 0x901F, 20)
    lead = bytes.fromhex("1F90")
    (first,) = play(asked, [frame(0xA1, lead + BLOCK[:8])])
    assert first.exchange.wire == encode_frame(METER, 0x02, lead, 4)
    assert play(first.exchange, [frame(0x82, lead + BLOCK[8:-1])]) == [Violation(Wrong.LENGTH)]
    assert play(first.exchange, [frame(0x82, lead + BLOCK[8:])]) == [Reply(BLOCK)]


def test_a_crowd_is_told_once() -> None:
    scanner = WHO.scanner()
    told = [item for piece in bytewise(bytes(50) + NAMED + NAMED) for item in scanner.feed(piece)]
    assert told == [Violation(Wrong.CROWD)]


def test_one_meter_alone_gives_its_address_behind_our_echo_and_a_glitch() -> None:
    assert play(WHO, [WHO.wire + bytes(NOISE_MAX) + b"\xfe" * 4 + NAMED]) == [Reply(METER)]


def test_a_broken_frame_is_counted_once() -> None:
    """Start marks inside the extent of a broken frame are no further faults."""
    broken = at(frame(0x91, DI + b"\x35" * 60), -2, 0, close=False)
    assert FrameScanner().feed(broken + RIGHT + b"\xfe" * FRAME_MAX) == [Violation(Wrong.CHECKSUM), RIGHT]


def test_an_echo_of_a_changed_baud_rate_must_be_ours() -> None:
    asked = dlt645.change_baud(ADDRESS, 0x08)
    assert play(asked, [frame(0x97, b"\x08")]) == [Reply(b"")]
    assert play(asked, [frame(0x97, b"\x20")]) == [Violation(Wrong.ECHO)]


def test_an_authentication_is_refused_with_two_bytes() -> None:
    asked = dlt645.ask(dlt645.EDITION, METER, 0x03, bytes(4), 0)
    assert play(asked, [frame(0xC3, b"\x02\x01")]) == [ExceptionReply(0x0102)]
    assert play(asked, [frame(0xC3, b"\x02")]) == [Violation(Wrong.ERROR_FORM)]

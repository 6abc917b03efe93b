"""Modbus RTU: every printed frame is encoded, found and judged, and one judgement holds for TCP and RTU."""

import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest
from harness import profile, register
from pymodbus.framer import FramerRTU

from drivers.decode import Decoder
from drivers.modbus import (
    Request,
    Wrong,
    check_reply,
    identify_request,
    read_request,
    read_write_request,
    write_request,
)
from drivers.modbus_identity import next_request, objects, objects_bytes
from drivers.modbus_rtu import Question, crc16, with_crc
from drivers.outcome import Continue, ExceptionReply, Reply, Violation
from drivers.pollplan import plan_blocks

FOLDER = Path(__file__).parents[2] / "vectors"
TCP = tomllib.loads((FOLDER / "modbus.toml").read_text(encoding="utf-8"))
RTU = tomllib.loads((FOLDER / "modbus_rtu.toml").read_text(encoding="utf-8"))
UNIT = 1


def answer(question: Question, frame: bytes) -> object:
    assert question.scanner().feed(frame) == [frame]
    return question.judge(frame)


def tcp(pdu: bytes) -> bytes:
    return struct.pack(">HHHB", 7, 0, 1 + len(pdu), UNIT) + pdu


def test_the_crc_is_that_of_another_implementation() -> None:
    data = bytes(range(256))
    assert struct.pack("<H", crc16(data)) == struct.pack(">H", FramerRTU.compute_CRC(data))


@pytest.mark.parametrize("vector", TCP["read"] + TCP["exception"], ids=lambda v: v["name"])
def test_a_printed_read_is_encoded_and_judged(vector: dict[str, Any]) -> None:
    asked = bytes.fromhex(vector["request"])
    reply = bytes.fromhex(vector["reply"])
    question = Question(read_request(asked[0], *struct.unpack(">BHH", asked[1:-2])))
    assert question.wire == asked
    right = ExceptionReply(vector["code"]) if "code" in vector else Reply(reply[3:-2])
    assert answer(question, reply) == right
    assert question.reply_bytes == len(reply) or isinstance(right, ExceptionReply)


@pytest.mark.parametrize("vector", RTU["request"], ids=lambda v: v["name"])
def test_a_printed_request_is_encoded(vector: dict[str, Any]) -> None:
    question = Question(read_request(UNIT, vector["function"], vector["address"], vector["count"]))
    assert question.wire == bytes.fromhex(vector["frame"])
    assert not question.writes


@pytest.mark.parametrize("vector", RTU["write"] + TCP["write"], ids=lambda v: v["name"])
def test_a_printed_write_is_encoded_and_its_echo_accepted(vector: dict[str, Any]) -> None:
    question = Question(write_request(UNIT, vector["function"], vector["address"], vector["values"]))
    frame = bytes.fromhex(vector["frame"])
    assert question.wire == frame
    assert question.writes
    assert answer(question, frame) == Reply(b"")
    assert question.reply_bytes == len(frame)


def request_of(vector: dict[str, Any]) -> Request:
    if vector["function"] == 23:
        return read_write_request(UNIT, vector["address"], vector["count"], vector["write_address"], vector["values"])
    return write_request(UNIT, vector["function"], vector["address"], vector["values"])


@pytest.mark.parametrize("vector", RTU["pdu"], ids=lambda v: v["name"])
def test_an_example_of_the_specification_goes_over_tcp_and_rtu(vector: dict[str, Any]) -> None:
    request = request_of(vector)
    asked, reply = bytes.fromhex(vector["request"]), bytes.fromhex(vector["reply"])
    right = Reply(bytes.fromhex(vector.get("payload", "")))
    assert request.writes
    assert request.encode(7) == tcp(asked)
    assert check_reply(request, 7, tcp(reply)) == right
    question = Question(request)
    assert question.wire == with_crc(bytes((UNIT,)) + asked)
    frame = with_crc(bytes((UNIT,)) + reply)
    assert answer(question, frame) == right
    assert question.reply_bytes == len(frame)


@pytest.mark.parametrize("vector", RTU["identify"], ids=lambda v: v["name"])
def test_a_device_identification_is_asked_for_to_its_end(vector: dict[str, Any]) -> None:
    """Over RTU the line goes on with what a Continue says; over TCP the caller asks for the next request."""
    expected = {number: text.encode() for number, text in enumerate(vector["objects"])}
    request: Request | None = identify_request(UNIT)
    question: Question | None = Question(identify_request(UNIT))
    collected = b""
    for text in vector["replies"]:
        pdu = bytes.fromhex(text)
        assert request is not None
        assert question is not None
        judged = check_reply(request, 7, tcp(pdu))
        assert isinstance(judged, Reply)
        collected += objects_bytes(judged.payload)
        request = next_request(request, judged.payload)
        over_rtu = answer(question, with_crc(bytes((UNIT,)) + pdu))
        if isinstance(over_rtu, Reply):
            assert objects(over_rtu.payload) == expected
            question = None
        else:
            assert isinstance(over_rtu, Continue)
            assert isinstance(over_rtu.exchange, Question)
            question = over_rtu.exchange
    assert request is None
    assert question is None
    assert objects(collected) == expected
    assert identify_request(UNIT).wire_tail[5:] == bytes.fromhex(vector["request"])


@pytest.mark.parametrize("vector", RTU["order"], ids=lambda v: v["name"])
def test_a_word_order_gives_the_same_number(vector: dict[str, Any]) -> None:
    model = profile(register("Energy", 0, "u32", order=vector["name"]))
    decoded = Decoder(model, 1, 1, plan_blocks(model)).decode(0, bytes.fromhex(vector["registers"]))
    assert list(decoded.values) == [vector["value"]]


@pytest.mark.parametrize(
    "part",
    [
        "0E 01 01 FF 00 01 00 01 41",  # more follows, from the object that was asked for: without end
        "0E 01 01 01 00 01 00 01 41",  # "more follows" is 00 or FF
        "0E 01 01 00 00 02 00 01 41",  # two objects announced, one there
        "0E 01 01 00 00 01 00 05 41",  # the object is longer than the frame
        "0E 01 01 00 00 00 41",  # a byte behind the last object
        "0E 02 01 00 00 00",  # another access
        "0D 01 01 00 00 00",  # another MEI type
        "0E 01 01",
    ],
)
def test_a_false_identification_is_a_violation(part: str) -> None:
    judged = check_reply(identify_request(UNIT), 7, tcp(b"\x2b" + bytes.fromhex(part)))
    assert isinstance(judged, Violation)
    assert judged.wrong in (Wrong.OBJECTS, Wrong.ECHO)


@pytest.mark.parametrize(
    "make",
    [
        lambda: write_request(1, 15, 0, [1] * 1969),
        lambda: write_request(1, 23, 0, [1]),
        lambda: write_request(0, 15, 0, [1]),
        lambda: read_write_request(1, 0, 126, 0, [1]),
        lambda: read_write_request(1, 0, 1, 0, [1] * 122),
        lambda: read_write_request(1, 0, 1, 0xFFFF, [1, 2]),
        lambda: read_write_request(0, 0, 1, 0, [1]),
        lambda: read_write_request(1, 0, 1, 0, [0x1_0000]),
        lambda: identify_request(256),
        lambda: identify_request(1, access=5),
        lambda: identify_request(1, first_object=256),
    ],
)
def test_an_illegal_request_is_never_made(make: Any) -> None:
    with pytest.raises(ValueError, match=r"unit|write"):
        make()

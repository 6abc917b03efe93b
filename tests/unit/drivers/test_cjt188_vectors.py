"""Printed CJ/T 188 frames: encoded as they stand, found by the scanner, and judged to what they are known to say."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers import cjt188
from drivers.cjt188 import Question, Station, address_bytes, address_text
from drivers.outcome import ExceptionReply, Reply

VECTORS = tomllib.loads((Path(__file__).parents[2] / "vectors" / "cjt188.toml").read_text(encoding="utf-8"))


def station(vector: dict[str, Any]) -> Station:
    return Station(
        address_bytes(vector.get("address", "AA" * 7)),
        vector["type"],
        vector.get("low_first", False),
        vector.get("any_type", False),
        wake_bytes=0,
    )


def answer(question: Question, vector: dict[str, Any]) -> object:
    """Send the printed reply through a scanner with wake-up bytes before it and return what it is judged to be."""
    frame = bytes.fromhex(vector["reply"])
    assert question.scanner().feed(b"\xfe\xfe\xfe" + frame) == [frame]
    return question.judge(frame)


@pytest.mark.parametrize("vector", VECTORS["read"], ids=lambda v: v["name"])
def test_a_printed_read_is_encoded_and_its_reply_accepted(vector: dict[str, Any]) -> None:
    payload = bytes.fromhex(vector.get("payload", ""))
    question = cjt188.read(station(vector), 0x901F, len(payload) or 19, vector["sequence"])
    assert question.wire == bytes.fromhex(vector["request"])
    assert not question.writes
    if "reply" in vector:
        judged = answer(question, vector)
        assert judged == Reply(payload)
        assert isinstance(judged, Reply)
        assert judged.tolerated == vector.get("tolerated", "")
        assert question.reply_bytes == 4 + len(bytes.fromhex(vector["reply"]))


@pytest.mark.parametrize("vector", VECTORS["valve"], ids=lambda v: v["name"])
def test_a_printed_valve_command_is_encoded_and_its_reply_judged(vector: dict[str, Any]) -> None:
    question = cjt188.set_valve(station(vector), vector["value"], vector["sequence"])
    assert question.wire == bytes.fromhex(vector["request"])
    assert question.writes
    if "status" in vector:
        assert answer(question, vector) == Reply(bytes.fromhex(vector["status"]))
    if "refused" in vector:
        assert answer(question, vector) == ExceptionReply(vector["refused"])


@pytest.mark.parametrize("vector", VECTORS["address"], ids=lambda v: v["name"])
def test_a_printed_read_of_the_address_is_encoded_and_answered(vector: dict[str, Any]) -> None:
    question = cjt188.read_address(station(vector), vector["sequence"])
    assert question.wire == bytes.fromhex(vector["request"])
    if "reply" in vector:
        judged = answer(question, vector)
        assert isinstance(judged, Reply)
        assert judged.payload[0] == vector["found_type"]
        assert address_text(judged.payload[1:]) == vector["found"]


def test_wake_up_bytes_lead_the_request() -> None:
    question = cjt188.read(Station(address_bytes("12345678"), wake_bytes=20), 0x901F, 19)
    assert question.wire == b"\xfe" * 20 + bytes.fromhex("68 10 78 56 34 12 00 00 00 01 03 90 1F 00 3F 16")

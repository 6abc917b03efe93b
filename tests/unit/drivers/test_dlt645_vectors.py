"""Every published DL/T 645 frame: what we send is the frame, what the meter sent is the value, and nothing else is."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers import dlt645, dlt645_1997
from drivers.bcd import decode_bcd, decode_sbcd, encode_bcd, encode_sbcd
from drivers.device import Secret
from drivers.dlt645_frame import FrameScanner, Wrong, address_text, encode_frame, open_frame
from drivers.dlt645_question import Request
from drivers.outcome import Continue, ExceptionReply, Reply, Violation

VECTORS: dict[str, list[dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parents[2] / "vectors" / "dlt645.toml").read_text(encoding="utf-8")
)
SECRET = Secret("123456", "00000000")
ADDRESS = "112233445566"
BROADCAST = "999999999999"


def named(table: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[table], ids=lambda vector: vector["name"])


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def answer(request: Request, stream: bytes) -> Any:
    """Return how the one frame of a stream is judged."""
    items = request.scanner().feed(stream)
    assert len(items) == 1, items
    return items[0] if isinstance(items[0], Violation) else request.judge(items[0])


def wake_of(vector: dict[str, Any]) -> int:
    return octets(vector["request"]).index(0x68)


def check_read(module: Any, vector: dict[str, Any]) -> None:
    if "request" in vector:
        assert module.read(vector["address"], vector["di"], 4, wake_of(vector)).wire == octets(vector["request"])
    if "reply" not in vector:
        return
    size = len(octets(vector["payload"])) if "payload" in vector else vector["size"] * len(vector["values"])
    for expected in (size, dlt645.ANY_LENGTH):
        reply = answer(module.read(vector["address"], vector["di"], expected), octets(vector["reply"]))
        assert isinstance(reply, Reply)
        assert len(reply.payload) == size
    if "payload" in vector:
        assert reply.payload == octets(vector["payload"])
    decode = {"bcd": decode_bcd, "sbcd": decode_sbcd}.get(vector.get("type", ""))
    for number, value in enumerate(vector.get("values", ())):
        assert decode is not None
        item = reply.payload[number * vector["size"] : (number + 1) * vector["size"]]
        assert decode(item) == (None if value == "absent" else value)
    wrong = module.read(vector["address"], vector["di"], size + 1)
    assert answer(wrong, octets(vector["reply"])) == Violation(Wrong.LENGTH)
    other = module.read(vector["address"], vector["di"] ^ 1, size)
    assert answer(other, octets(vector["reply"])) is None


@named("read")
def test_reads(vector: dict[str, Any]) -> None:
    check_read(dlt645, vector)


@named("read_1997")
def test_reads_of_1997(vector: dict[str, Any]) -> None:
    check_read(dlt645_1997, vector)


@named("error")
def test_error_words(vector: dict[str, Any]) -> None:
    request = (
        dlt645.read(vector["address"], 0x0001_0000, 4)
        if vector["function"] == dlt645.READ
        else dlt645.control(vector["address"], dlt645.TRIP, SECRET, bytes(6))
    )
    reply = answer(request, octets(vector["frame"]))
    assert reply == ExceptionReply(vector["code"])
    assert reply.meaning.name == vector["meaning"]


@named("address")
def test_addresses(vector: dict[str, Any]) -> None:
    if "request" in vector:
        assert dlt645.read_address(0).wire == octets(vector["request"])
    reply = answer(dlt645.read_address(), octets(vector["reply"]))
    assert isinstance(reply, Reply)
    assert address_text(reply.payload) == vector["address"]


@named("control")
def test_controls(vector: dict[str, Any]) -> None:
    secret = Secret(vector["password"], "00000000")
    expiry = octets(vector["expiry"])
    request = dlt645.control(vector["address"], vector["n1"], secret, expiry, level=vector["level"], wake_bytes=0)
    assert request.wire == octets(vector["request"])
    assert request.writes
    assert answer(request, octets(vector["reply"])) == Reply(b"")


def follow_up() -> Request:
    first = dlt645.read(ADDRESS, 0x0001_FF01, wake_bytes=0)
    part = encode_frame(first.address, 0xB1, first.lead + b"\x01")
    continued = first.judge(part)
    assert isinstance(continued, Continue)
    assert isinstance(continued.exchange, Request)
    return continued.exchange


MADE: dict[str, Callable[[], Request]] = {
    "T9 baud rate 2400": lambda: dlt645.change_baud("201901120001", dlt645.BAUD_WORDS[2400], 0),
    "follow-up of 0001FF01, number 1": follow_up,
    "write 04001001 = 50.00": lambda: dlt645.write(ADDRESS, 0x0400_1001, encode_bcd(5000, 4), SECRET, 2, 0),
    "broadcast time 2026-07-15 10:20:30": lambda: dlt645.broadcast_time(1784082030 * 10**9, wake_bytes=0),
    "broadcast freeze now": lambda: dlt645.freeze(BROADCAST, wake_bytes=0),
    "monthly freeze, day 1 00:00": lambda: dlt645.freeze(ADDRESS, "9901", "0000", 0),
}


@named("made")
def test_made_frames(vector: dict[str, Any]) -> None:
    request = MADE[vector["name"]]()
    assert request.wire == octets(vector["request"])
    if "reply" in vector:
        assert answer(request, octets(vector["reply"])) == Reply(b"")


def test_every_made_frame_has_its_call() -> None:
    assert set(MADE) == {vector["name"] for vector in VECTORS["made"]}


@named("bad")
def test_bad_frames(vector: dict[str, Any]) -> None:
    frame = octets(vector["frame"])
    assert FrameScanner().feed(frame) == [Violation(Wrong.CHECKSUM)]
    mended = frame[:-2] + octets(vector["right"]) + frame[-1:]
    assert FrameScanner().feed(mended) == [mended]
    assert open_frame(mended).data == bytes(4)


@named("signed")
def test_signed_numbers(vector: dict[str, Any]) -> None:
    data = octets(vector["bytes"])
    assert decode_sbcd(data) == vector["signed"]
    assert encode_sbcd(vector["signed"], len(data)) == data
    if "unsigned" in vector:
        assert decode_bcd(data) == vector["unsigned"]
        assert encode_bcd(vector["unsigned"], len(data)) == data
    else:
        with pytest.raises(ValueError, match="no packed decimal"):
            decode_bcd(data)

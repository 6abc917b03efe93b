"""Published frames: encoded as they are printed, and decoded to the values they are known to mean."""

import struct
import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from harness import profile, register
from pymodbus.framer import FramerRTU

from drivers.decode import Decoder
from drivers.modbus import ExceptionReply, Reply, check_reply, read_request, write_request
from drivers.pollplan import plan_blocks
from drivers.profile import WORDS, Billing
from scada.quality import BAD_SENSOR_FAILURE, GOOD

VECTORS = tomllib.loads((Path(__file__).parents[2] / "vectors" / "modbus.toml").read_text(encoding="utf-8"))


def pdu_of(rtu: str) -> tuple[int, bytes]:
    """Return unit and PDU of a printed RTU frame after checking its CRC with another implementation."""
    frame = bytes.fromhex(rtu)
    assert struct.unpack(">H", frame[-2:])[0] == FramerRTU.compute_CRC(frame[:-2])
    return frame[0], frame[1:-2]


def tcp(transaction: int, unit: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHB", transaction, 0, 1 + len(pdu), unit) + pdu


@pytest.mark.parametrize("vector", VECTORS["read"], ids=lambda v: v["name"])
def test_a_published_read_is_encoded_checked_and_decoded(vector: dict[str, Any]) -> None:
    unit, asked = pdu_of(vector["request"])
    _, answered = pdu_of(vector["reply"])
    function, address, count = struct.unpack(">BHH", asked)
    request = read_request(unit, function, address, count)
    assert request.encode(7) == tcp(7, unit, asked)
    reply = check_reply(request, 7, tcp(7, unit, answered))
    assert isinstance(reply, Reply)

    words = WORDS[vector["type"]]
    scale = Fraction(*vector.get("scale", (1, 1)))
    absent = int(vector["absent"], 16) if "absent" in vector else None
    registers = [
        register(f"R{at}", at, vector["type"], function, scale=scale, absent=absent)
        for at in range(address, address + count, words)
    ]
    billing = Billing("R" + str(address), 1, 10**12) if "billing" in vector else None
    model = profile(*registers, billing=billing)
    decoded = Decoder(model, 1, 1, plan_blocks(model)).decode(0, reply.payload)
    if vector.get("bad"):
        assert set(decoded.quality) == {BAD_SENSOR_FAILURE}
    else:
        assert list(decoded.values) == vector["values"]
        assert set(decoded.quality) == {GOOD}
    assert decoded.billing_raw == vector.get("billing")


@pytest.mark.parametrize("vector", VECTORS["write"], ids=lambda v: v["name"])
def test_a_published_write_is_encoded_and_its_echo_accepted(vector: dict[str, Any]) -> None:
    unit, pdu = pdu_of(vector["frame"])
    request = write_request(unit, vector["function"], vector["address"], vector["values"])
    assert request.encode(9) == tcp(9, unit, pdu)
    assert check_reply(request, 9, tcp(9, unit, pdu)) == Reply(b"")


@pytest.mark.parametrize("vector", VECTORS["exception"], ids=lambda v: v["name"])
def test_a_published_exception_is_an_exception(vector: dict[str, Any]) -> None:
    unit, asked = pdu_of(vector["request"])
    _, answered = pdu_of(vector["reply"])
    request = read_request(unit, *struct.unpack(">BHH", asked))
    assert check_reply(request, 1, tcp(1, unit, answered)) == ExceptionReply(vector["code"])


@pytest.mark.parametrize("vector", VECTORS["tcp"], ids=lambda v: v["name"])
def test_a_published_tcp_frame_is_encoded(vector: dict[str, Any]) -> None:
    request = read_request(vector["unit"], vector["function"], vector["address"], vector["count"])
    assert request.encode(vector["transaction"]) == bytes.fromhex(vector["frame"])

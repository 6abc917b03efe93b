"""Frames explained: every byte belongs to one field, and what is wrong is said."""

import json

import pytest

from drivers.asking import entry_from_json, entry_to_json
from drivers.explain import Field, shown
from drivers.frame_log import Entry, FrameLog
from drivers.masking import masked, secret_places
from drivers.modbus_rtu import crc16
from drivers.modbus_words import explain_pdu, explain_rtu, explain_tcp
from drivers.outcome import Silence
from drivers.tools import show
from drivers.tools.words import Words

RTU = {
    "01 04 00 00 00 06 70 08": ("sent", "read input registers", "0x0000 (0)", "6 (0x0006)"),
    "01 03 04 00 12 D6 87 44 34": ("received", "read holding registers", "0012 D687"),
    "01 84 02 C2 C1": ("received", "exception", "illegal data address"),
    "01 06 00 0D FF 00 59 F9": ("sent", "write single register", "0x000D (13)", "65280 (0xFF00)"),
    "01 05 00 01 FF 00 DD FA": ("received", "write single coil"),
    "01 04 02 00 F0 B9 74": ("received", "00F0"),
}
SECRET_1C = "68 66 55 44 33 22 11 68 1C 10 35 89 67 45 33 33 33 33 4D 33 33 33 45 34 34 63 8D 16"
WRITE_2007 = "68 66 55 44 33 22 11 68 14 10 34 43 33 37 35 89 67 45 33 33 33 33 33 83 33 33 8C 16"


def text(fields: list[Field]) -> str:
    return " | ".join(f"{field.en}: {field.value}" for field in fields)


def covered(fields: list[Field], frame: bytes) -> bool:
    """Tell whether the fields cover a frame once, in order and to its end."""
    at = 0
    for field in fields:
        if field.at != at:
            return False
        at += field.size
    return at == len(frame)


@pytest.mark.parametrize("line", RTU)
def test_every_byte_of_an_rtu_frame_is_explained(line: str) -> None:
    frame = bytes.fromhex(line)
    direction, *wanted = RTU[line]
    fields = explain_rtu(frame, direction == "sent")
    assert covered(fields, frame)
    assert all(word in text(fields) for word in wanted), text(fields)
    assert any(field.wrong for field in fields) == ("exception" in text(fields))
    assert all(field.zh and field.en for field in fields)


@pytest.mark.parametrize(
    ("line", "sent", "wrong"),
    [
        ("00 01 00 00 00 06 05 03 00 00 00 02", True, []),
        ("00 01 00 00 00 07 05 03 04 00 12 D6 87", False, []),
        ("00 01 00 07 00 07 05 03 04 00 12 D6 87", False, ["protocol"]),
        ("00 01 00 00 00 08 05 03 04 00 12 D6 87", False, ["length"]),
        ("00 01 00 00 00 07 05 03 06 00 12 D6 87", False, ["byte count"]),
        ("00 01 00 00 00 03 05 83 0B", False, ["exception"]),
        ("00 01 00 00", False, []),
    ],
)
def test_a_tcp_frame_is_explained_and_its_faults_named(line: str, sent: bool, wrong: list[str]) -> None:
    frame = bytes.fromhex(line)
    fields = explain_tcp(frame, sent)
    assert covered(fields, frame)
    assert [field.en for field in fields if field.wrong] == wrong


def test_a_device_identification_is_read_out() -> None:
    asked = explain_pdu(bytes.fromhex("2B 0E 01 00"), sent=True)
    assert "access: 0E 01 basic | first object: 0" in text(asked)
    pdu = bytes.fromhex("2B 0E 01 01 FF 02 02 00 05 4D 61 6B 65 72 01 02 4D 31")
    fields = explain_pdu(pdu, sent=False)
    assert covered(fields, pdu)
    assert "more follows: yes | next object: 2 | number of objects: 2 | vendor: Maker | product code: M1" in text(
        fields
    )
    cut = explain_pdu(pdu[:-1], sent=False)
    assert covered(cut, pdu[:-1])


@pytest.mark.parametrize("function", range(256))
def test_no_bytes_make_an_explanation_fail(function: int) -> None:
    for sent in (True, False):
        for length in range(20):
            frame = bytes((1, function, *range(length)))
            assert covered(explain_rtu(frame, sent), frame)
            assert covered(explain_tcp(bytes(6) + frame, sent), bytes(6) + frame)


def test_the_crc_is_that_of_the_published_frames() -> None:
    for line in RTU:
        frame = bytes.fromhex(line)
        assert crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


@pytest.mark.parametrize("lead", ["", "FE FE FE FE "])
@pytest.mark.parametrize(("line", "first"), [(SECRET_1C, 10), (WRITE_2007, 14)])
def test_a_password_is_not_kept(lead: str, line: str, first: int) -> None:
    frame = bytes.fromhex(lead + line)
    kept, hidden = masked(frame)
    ahead = len(frame) - len(bytes.fromhex(line))
    assert list(hidden) == [*range(ahead + first, ahead + first + 8), len(frame) - 2]  # level, password, operator
    assert bytes.fromhex("89 67 45") not in kept
    assert shown(kept, hidden).split().count("**") == 9


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_password_that_an_adapter_hears_is_not_kept(cut: int) -> None:
    """The adapter gives the request back before the answer comes, whole or broken off."""
    echo = bytes.fromhex(SECRET_1C)
    heard = echo[: len(echo) - cut]
    heard += bytes.fromhex("FE FE 68 66 55 44 33 22 11 68 9C 00 00 16") if not cut else b""
    log = FrameLog()
    log.note("question", echo, heard, Silence("timeout", True), 1, 1, 1)
    (entry,) = log.entries()
    assert "89 67 45" not in "\n".join(show.entry_lines(entry, "dlt645-2007", False, Words("en")))
    assert bytes.fromhex("89 67 45") not in entry.received
    assert entry_from_json(entry_to_json(entry)) == entry
    said = json.dumps(show.entry_json(entry, "dlt645-2007", False))
    assert "89 67 45" not in said and said.count("** ** ** ** ** ** ** **") == 2


def test_a_read_has_no_secret() -> None:
    assert secret_places(bytes.fromhex("68 66 55 44 33 22 11 68 11 04 33 33 34 33 17 16")) == ()


def test_an_echo_and_the_answer_behind_it_are_explained_each_as_what_it_is() -> None:
    asked, reply = bytes.fromhex("01 04 00 00 00 06 70 08"), bytes.fromhex("01 04 02 00 F0 B9 74")
    said = show.entry_json(Entry(1, 1, 1, asked, asked + reply, "reply", True), "modbus", False)
    fields = said["received_fields"]
    assert [field["en"] for field in fields] == [
        "station", "function", "address", "count", "CRC", "station", "function", "byte count", "registers", "CRC",
    ]  # fmt: skip
    assert not any(field["wrong"] for field in fields)
    assert fields[-1]["at"] + fields[-1]["size"] == len(asked + reply)

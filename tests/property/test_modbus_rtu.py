"""Properties of Modbus RTU: any cut gives the same answer, noise hides none, and one wrong byte is never a value."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import identify_request, read_request, read_write_request, write_request
from drivers.modbus_rtu import FRAME_MAX, Question, crc16, has_right_crc, with_crc
from drivers.outcome import Continue, ExceptionReply, Reply, Violation

UNIT = 5
WHO_DATA = b"\x03ABC"
VALUES = bytes.fromhex("0012D68708FC0000")
HEADS = bytes((UNIT, 3, 12)) * 4
# name -> question, PDU of its right reply, payload
QUESTIONS: dict[str, tuple[Question, bytes, bytes]] = {
    "coils": (Question(read_request(UNIT, 1, 16, 11)), b"\x01\x02\xff\x07", b"\xff\x07"),
    "inputs": (Question(read_request(UNIT, 2, 16, 8)), b"\x02\x01\xff", b"\xff"),
    "holding": (Question(read_request(UNIT, 3, 16, 4)), b"\x03\x08" + VALUES, VALUES),
    "input registers": (Question(read_request(UNIT, 4, 16, 1)), b"\x04\x02\x05\x04", b"\x05\x04"),
    "longest": (Question(read_request(UNIT, 3, 0, 125)), b"\x03\xfa" + bytes(range(250)), bytes(range(250))),
    "full of heads": (Question(read_request(UNIT, 3, 0, 6)), b"\x03\x0c" + HEADS, HEADS),
    "coil": (Question(write_request(UNIT, 5, 1, [1])), b"\x05\x00\x01\xff\x00", b""),
    "register": (Question(write_request(UNIT, 6, 13, [0xFF00])), b"\x06\x00\x0d\xff\x00", b""),
    "many coils": (Question(write_request(UNIT, 15, 13, [1, 0, 1])), b"\x0f\x00\x0d\x00\x03", b""),
    "registers": (Question(write_request(UNIT, 16, 13, [1, 2])), b"\x10\x00\x0d\x00\x02", b""),
    "read and write": (Question(read_write_request(UNIT, 1, 4, 13, [1])), b"\x17\x08" + VALUES, VALUES),
    "who": (Question(identify_request(UNIT)), b"\x2b\x0e\x01\x01\x00\x00\x01\x00" + WHO_DATA, b"\x00" + WHO_DATA),
}
NAMES = st.sampled_from(sorted(QUESTIONS))
# Noise that looks like frames: the unit, functions, byte counts
NOISE = st.lists(st.sampled_from(b"\x05\x05\x03\x83\x08\x02\x00\xff"), max_size=80).map(bytes) | st.binary(max_size=80)


def right(name: str, unit: int = UNIT) -> bytes:
    return with_crc(bytes((unit,)) + QUESTIONS[name][1])


def scan(name: str, stream: bytes, cuts: list[int]) -> list[bytes | Violation]:
    scanner = QUESTIONS[name][0].scanner()
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [item for a, b in itertools.pairwise(places) for item in scanner.feed(stream[a:b])]


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_split_of_the_right_reply_gives_it(name: str) -> None:
    frame = right(name)
    cuts = range(len(frame) + 1)
    pairs = itertools.combinations_with_replacement(cuts, 2) if len(frame) < 40 else ((cut, cut) for cut in cuts)
    for pair in pairs:
        assert scan(name, frame, list(pair)) == [frame]
    assert scan(name, frame, list(cuts)) == [frame], "byte by byte"
    assert QUESTIONS[name][0].judge(frame) == Reply(QUESTIONS[name][2])


@given(NAMES, NOISE, NOISE, st.lists(st.integers(0, 400), max_size=6))
def test_cuts_do_not_matter(name: str, before: bytes, after: bytes, cuts: list[int]) -> None:
    stream = before + right(name) + after
    whole = scan(name, stream, [])
    assert scan(name, stream, cuts) == whole
    assert scan(name, stream, list(range(len(stream)))) == whole, "byte by byte"


@given(NAMES, NOISE)
def test_noise_before_hides_no_answer_and_delays_none(name: str, noise: bytes) -> None:
    assert scan(name, noise + right(name), [])[-1] == right(name)


@given(NAMES, NOISE)
def test_the_answer_in_front_is_first(name: str, noise: bytes) -> None:
    assert scan(name, right(name) + noise, [])[0] == right(name)


@given(NAMES, st.integers(0, 255).filter(lambda unit: unit != UNIT), NOISE)
def test_a_frame_of_another_unit_is_skipped(name: str, unit: int, noise: bytes) -> None:
    question = QUESTIONS[name][0]
    assert question.judge(right(name, unit)) is None
    assert scan(name, right(name, unit) + right(name), [])[-1] == right(name)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_byte_value_in_every_field(name: str) -> None:
    """One byte changed, with the old CRC and with a right one: only payload bytes may still give a reply."""
    question, _, payload = QUESTIONS[name]
    frame = right(name)
    payload_from = len(frame) - 2 - len(payload)
    for at in range(len(frame)):
        for value in set(range(256)) - {frame[at]}:
            changed = frame[:at] + bytes((value,)) + frame[at + 1 :]
            assert not isinstance(question.judge(changed), Reply | ExceptionReply), (at, value)
            if at < payload_from:
                # The conformity level of an identification is the device's own to say.
                judged = question.judge(with_crc(changed[:-2]))
                assert not isinstance(judged, Reply | Continue) or (name, at) in (("who", 4), ("who", 6)), (at, value)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_other_length_is_refused(name: str) -> None:
    question, pdu, _ = QUESTIONS[name]
    for size in set(range(1, 254)) - {len(pdu)}:
        resized = (pdu + bytes(254))[:size]
        assert not isinstance(question.judge(with_crc(bytes((UNIT,)) + resized)), Reply)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_exception_code_is_found_and_is_an_exception(name: str) -> None:
    question, pdu, _ = QUESTIONS[name]
    for code in range(256):
        frame = with_crc(bytes((UNIT, pdu[0] | 0x80, code)))
        assert scan(name, b"\x05" + frame, []) == [frame]
        assert question.judge(frame) == ExceptionReply(code)


@given(NAMES, st.binary(max_size=300))
def test_no_bytes_make_the_judge_fail(name: str, data: bytes) -> None:
    assert not isinstance(QUESTIONS[name][0].judge(data), Reply)


@given(NAMES, st.lists(NOISE, max_size=20))
def test_a_scanner_keeps_less_than_a_frame(name: str, pieces: list[bytes]) -> None:
    scanner = QUESTIONS[name][0].scanner()
    for piece in pieces:
        scanner.feed(piece)
        assert len(scanner._rest) < FRAME_MAX


@given(st.binary(max_size=254), st.integers(0, 2047), st.integers(1, 0xFFFF))
def test_the_crc_sees_every_burst_of_sixteen_bits(data: bytes, at: int, burst: int) -> None:
    frame = int.from_bytes(with_crc(data), "big")
    size = len(data) + 2
    changed = frame ^ burst << at % (8 * size - 15)
    assert has_right_crc(frame.to_bytes(size, "big"))
    assert not has_right_crc(changed.to_bytes(size, "big"))
    assert crc16(b"123456789") == 0x4B37, "the check value of CRC-16/MODBUS"

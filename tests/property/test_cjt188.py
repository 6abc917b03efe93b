"""Properties of CJ/T 188: any cut gives the same frames, noise hides none, and one wrong byte is never a value."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import cjt188
from drivers.cjt188 import (
    ADDRESS_AT,
    DATA_AT,
    DATA_MAX,
    FRAME_MIN,
    FUNCTIONS,
    FrameScanner,
    Question,
    Station,
    address_bytes,
    address_text,
    encode_frame,
)
from drivers.outcome import ExceptionReply, Reply, Violation

METER = Station(address_bytes("78331505900569"), 0x10, di_low_first=True, wake_bytes=0)
READ = cjt188.read(METER, 0x901F, 19, 7)
QUESTIONS: dict[str, tuple[Question, bytes, bytes]] = {
    "read": (READ, b"\x1f\x90\x07" + bytes(range(0x60, 0x73)), bytes(range(0x60, 0x73))),
    "heat": (cjt188.read(METER, 0x901F, 43), b"\x1f\x90\x00" + bytes(range(43)), bytes(range(43))),
    "valve": (cjt188.set_valve(METER, cjt188.VALVE_CLOSE), b"\x17\xa0\x00\x01\x00", b"\x01\x00"),
    "day": (cjt188.set_settlement_day(METER, 20), b"\x11\xa0\x00", b""),
    "address": (cjt188.read_address(METER), b"\x0a\x81\x00", b"\x10" + METER.address),
}
TYPES = st.integers(0x10, 0x49)
ADDRESSES = st.binary(min_size=7, max_size=7)
CONTROLS = st.builds(lambda f, bits: f | bits << 5, st.sampled_from(sorted(FUNCTIONS)), st.integers(0, 7))
FRAMES = st.builds(encode_frame, TYPES, ADDRESSES, CONTROLS, st.binary(max_size=DATA_MAX))
# Noise that looks like frames: start marks, types, functions, end marks
NOISE = st.lists(st.sampled_from(b"\x68\x68\x10\x20\x81\x01\x16\x16\x00\xfe"), max_size=120).map(bytes) | st.binary(
    max_size=120
)


def right(name: str) -> bytes:
    question, data, _ = QUESTIONS[name]
    return encode_frame(0x10, METER.address, question.function | 0x80, data)


def scan(stream: bytes, cuts: list[int]) -> list[bytes | Violation]:
    scanner = FrameScanner()
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [item for a, b in itertools.pairwise(places) for item in scanner.feed(stream[a:b])]


@given(st.lists(st.tuples(st.integers(0, 6), FRAMES), max_size=5), st.lists(st.integers(0, 700), max_size=8))
def test_any_cut_of_a_stream_gives_the_same_frames(led: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(b"\xfe" * wakes + frame for wakes, frame in led)
    frames = [frame for _, frame in led]
    assert scan(stream, cuts) == frames
    assert scan(stream, list(range(len(stream)))) == frames, "byte by byte"


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_split_of_the_right_reply_gives_it(name: str) -> None:
    frame = right(name)
    for first, second in itertools.combinations_with_replacement(range(len(frame) + 1), 2):
        assert scan(frame, [first, second]) == [frame]
    assert QUESTIONS[name][0].judge(frame) == Reply(QUESTIONS[name][2])


@given(NOISE, NOISE, st.lists(st.integers(0, 300), max_size=6))
def test_cuts_do_not_matter_in_noise_either(before: bytes, after: bytes, cuts: list[int]) -> None:
    stream = before + right("read") + after
    whole = scan(stream, [])
    assert scan(stream, cuts) == whole
    assert scan(stream, list(range(len(stream)))) == whole, "byte by byte"


@given(NOISE)
def test_the_next_good_frame_is_always_found(noise: bytes) -> None:
    """Noise may end in a head that promises up to DATA_MAX bytes; when they have come, the frame inside is found."""
    items = scan(noise + right("read") + bytes(DATA_MAX + FRAME_MIN), [])
    assert right("read") in items


@given(st.binary(max_size=300).filter(lambda noise: b"\x68" not in noise))
def test_noise_without_a_start_mark_delays_nothing(noise: bytes) -> None:
    assert scan(noise + right("read"), []) == [right("read")]


@given(st.lists(NOISE, max_size=30))
def test_a_scanner_keeps_less_than_a_frame(pieces: list[bytes]) -> None:
    scanner = FrameScanner()
    for piece in pieces:
        scanner.feed(piece)
        assert len(scanner._rest) < FRAME_MIN + DATA_MAX


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_byte_value_in_every_field(name: str) -> None:
    """One byte changed, the check sum made right: only payload and sequence number may still give a reply."""
    question, _, _ = QUESTIONS[name]
    frame = right(name)
    assert isinstance(question.judge(frame), Reply)
    for at in range(len(frame) - 2):
        free = at == DATA_AT + 2 or at >= DATA_AT + 3
        for value in set(range(256)) - {frame[at]}:
            changed = frame[:at] + bytes((value,)) + frame[at + 1 : -2]
            summed = changed + bytes((sum(changed) & 0xFF, 0x16))
            assert isinstance(question.judge(summed), Reply) == free, (at, value)
            assert not isinstance(question.judge(changed + frame[-2:]), Reply), (at, value)


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("at", [-1, -2])
def test_every_other_check_sum_and_end_mark_is_refused(name: str, at: int) -> None:
    frame = bytearray(right(name))
    kept = frame[at]
    for value in set(range(256)) - {kept}:
        frame[at] = value
        assert not isinstance(QUESTIONS[name][0].judge(bytes(frame)), Reply)
        assert not any(isinstance(item, bytes) for item in scan(bytes(frame), []))


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_other_length_is_refused(name: str) -> None:
    question, data, _ = QUESTIONS[name]
    for size in set(range(DATA_MAX + 1)) - {len(data)}:
        resized = (data + bytes(DATA_MAX))[:size]
        judged = question.judge(encode_frame(0x10, METER.address, question.function | 0x80, resized))
        assert not isinstance(judged, Reply)


@given(st.sampled_from(sorted(QUESTIONS)), TYPES, ADDRESSES | st.just(METER.address), CONTROLS, st.binary(max_size=60))
def test_a_reply_is_a_value_only_when_every_field_is_right(
    name: str, kind: int, address: bytes, control: int, data: bytes
) -> None:
    question, wanted, _ = QUESTIONS[name]
    judged = question.judge(encode_frame(kind, address, control, data))
    if isinstance(judged, Reply):
        assert (kind, address, control) == (0x10, METER.address, question.function | 0x80)
        assert data[:2] == wanted[:2]
        assert len(data) == len(wanted)
    if isinstance(judged, ExceptionReply):
        assert (kind, address, control, len(data)) == (0x10, METER.address, question.function | 0xC0, 3)


@given(st.binary(max_size=130))
def test_no_bytes_make_the_judge_fail(data: bytes) -> None:
    for question, _, _ in QUESTIONS.values():
        assert not isinstance(question.judge(data), Reply)


@given(st.integers(0, 10**10 - 1), st.integers(0, 0xFFFF))
def test_an_address_comes_back_as_it_was_printed(number: int, maker: int) -> None:
    text = f"{maker:04X}{number:010d}"
    assert address_text(address_bytes(text)) == text
    assert address_bytes(str(number)) == address_bytes(f"0000{number:010d}")


@given(st.binary(min_size=7, max_size=7), st.sets(st.integers(0, 6)))
def test_wild_bytes_match_anything_and_others_only_themselves(shown: bytes, wild: set[int]) -> None:
    asked = bytes(0xAA if at in wild else 0x11 for at in range(7))
    frame = encode_frame(0x10, shown, 0x81, QUESTIONS["read"][1])
    fits = all(at in wild or shown[at] == 0x11 for at in range(7))
    question = cjt188.read(replace(METER, address=asked), 0x901F, 19, 7)
    assert isinstance(question.judge(frame), Reply) == fits
    assert frame[ADDRESS_AT : ADDRESS_AT + 7] == shown

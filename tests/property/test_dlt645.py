"""Properties of DL/T 645: any cut of a stream gives the same frames, noise hides none, one wrong byte is no value."""

import itertools
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers import dlt645, dlt645_1997
from drivers.bcd import decode_bcd, decode_sbcd, encode_bcd, encode_sbcd, is_bcd
from drivers.device import Secret
from drivers.dlt645_frame import (
    CONTROLS,
    DATA_MAX,
    FRAME_MAX,
    WAKE,
    FrameScanner,
    address_bytes,
    address_matches,
    address_text,
    encode_frame,
    is_one_meter,
    open_frame,
)
from drivers.dlt645_question import Request
from drivers.outcome import Continue, ExceptionReply, Reply, Violation
from tests.fuzz.dlt645_parsers import slow_frames

ADDRESS = "112233445566"
METER = address_bytes(ADDRESS)
SECRET = Secret("123456")
VALUE = bytes.fromhex("78563412")
FILL = bytes((WAKE,)) * FRAME_MAX  # ends every header that promises more than came

BLOCK = bytes(range(0x10, 0x24))
BLOCK_DI = bytes.fromhex("00FF0100")


def second_question() -> Request:
    judged = dlt645.read(ADDRESS, 0x0001_FF00, 20).judge(encode_frame(METER, 0xB1, BLOCK_DI + BLOCK[:8]))
    assert isinstance(judged, Continue)
    assert isinstance(judged.exchange, Request)
    return judged.exchange


# Question, its right answer, its payload, and where in the answer stand the bytes that may differ.
QUESTIONS: dict[str, tuple[Request, bytes, bytes, range]] = {
    "read": (
        dlt645.read(ADDRESS, 0x0001_0000, 4),
        encode_frame(METER, 0x91, bytes.fromhex("00000100") + VALUE),
        VALUE,
        range(14, 18),
    ),
    "read of 1997": (
        dlt645_1997.read(ADDRESS, 0x9010, 4),
        encode_frame(METER, 0x81, b"\x10\x90" + VALUE),
        VALUE,
        range(12, 16),
    ),
    "follow-up": (
        second_question(),
        encode_frame(METER, 0x92, BLOCK_DI + BLOCK[8:] + b"\x01"),
        BLOCK,
        range(14, 26),
    ),
    "control": (dlt645.control(ADDRESS, dlt645.TRIP, SECRET, bytes(6)), encode_frame(METER, 0x9C), b"", range(0)),
    "write": (
        dlt645.write(ADDRESS, 0x0400_1001, bytes(4), SECRET),
        encode_frame(METER, 0x94),
        b"",
        range(0),
    ),
    "clear demand": (dlt645.clear_demand(ADDRESS, SECRET), encode_frame(METER, 0x99), b"", range(0)),
    "freeze": (dlt645.freeze(ADDRESS), encode_frame(METER, 0x96), b"", range(0)),
    "read address": (dlt645.read_address(), encode_frame(METER, 0x93, METER), METER, range(0)),
}
VECTORS: dict[str, list[dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parents[1] / "vectors" / "dlt645.toml").read_text(encoding="utf-8")
)
PUBLISHED = sorted(
    {
        bytes.fromhex(row[key])
        for table, rows in VECTORS.items()
        for row in rows
        for key in ("request", "reply", "frame")
        if key in row and table != "bad"
    }
)

FRAMES = st.builds(
    encode_frame, st.binary(min_size=6, max_size=6), st.sampled_from(sorted(CONTROLS)), st.binary(max_size=DATA_MAX)
)
QUIET_NOISE = st.binary(max_size=80).map(lambda noise: noise.replace(b"\x68", b"\xfe"))


def scan(stream: bytes, cuts: list[int]) -> tuple[list[bytes | Violation], int]:
    scanner = FrameScanner()
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    items: list[bytes | Violation] = []
    for a, b in itertools.pairwise(places):
        items += scanner.feed(stream[a:b])
        assert scanner.pending_bytes < FRAME_MAX
    return items, scanner.noise_bytes


def judged(request: Request, stream: bytes) -> list[Any]:
    return [item if isinstance(item, Violation) else request.judge(item) for item in request.scanner().feed(stream)]


def summed(frame: bytes) -> bytes:
    return frame[:-2] + bytes((sum(frame[:-2]) & 0xFF,)) + frame[-1:]


@pytest.mark.parametrize("frame", PUBLISHED, ids=lambda frame: frame.hex())
def test_every_published_frame_at_every_cut(frame: bytes) -> None:
    """Whole, byte by byte, in two parts at every place, with noise before and bytes behind."""
    bare = frame.lstrip(b"\xfe")
    for cuts in ([], list(range(len(frame))), *([cut] for cut in range(len(frame)))):
        assert scan(frame, cuts) == ([bare], 0)
    for before, behind in ((b"\x00\xff\x16", b""), (b"\x68", FILL), (b"", b"\x00\x16"), (bare[:-1], FILL)):
        items, _ = scan(before + frame + behind, [])
        assert [item for item in items if isinstance(item, bytes)] == [bare]
    two, _ = scan(frame + frame, list(range(2 * len(frame))))
    assert two == [bare, bare]


@given(st.lists(FRAMES | QUIET_NOISE, max_size=6), st.lists(st.integers(0, 900), max_size=8))
def test_any_cut_gives_the_same_items_and_counts(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    whole = scan(stream, [])
    assert scan(stream, cuts) == whole
    assert scan(stream, list(range(len(stream)))) == whole, "byte by byte"


@given(st.lists(st.tuples(QUIET_NOISE, FRAMES), max_size=5), QUIET_NOISE)
def test_noise_without_a_start_mark_hides_no_frame(parts: list[tuple[bytes, bytes]], behind: bytes) -> None:
    stream = b"".join(noise + frame for noise, frame in parts) + behind
    items, noise_bytes = scan(stream, [])
    assert items == [frame for _, frame in parts]
    assert noise_bytes == sum(len(noise) - noise.count(WAKE) for noise in [*(n for n, _ in parts), behind])


@given(st.binary(max_size=500), FRAMES)
@example(b"\x68" * 300, encode_frame(METER, 0x91, VALUE))
@example(b"\x68\x00\x00\x00\x00\x00\x00\x68\x91\xc8", encode_frame(METER, 0x91, VALUE))
def test_any_noise_ends_and_the_slow_scanner_agrees(noise: bytes, frame: bytes) -> None:
    """Noise may only hide a frame by being one itself: whole, in length and checksum, over its beginning."""
    stream = noise + frame + FILL
    found = [item for item in scan(stream, [])[0] if isinstance(item, bytes)]
    assert found == slow_frames(stream)
    if frame not in found:
        assert any(stream.find(item) < len(noise) < stream.find(item) + len(item) for item in found)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_byte_value_in_every_field(name: str) -> None:
    """Change one byte of the right answer to every other value: with the old checksum nothing is taken, with a right
    one only what may differ."""
    request, right, payload, free = QUESTIONS[name]
    assert judged(request, right) == [Reply(payload)]
    for place in range(len(right)):
        for value in set(range(256)) - {right[place]}:
            changed = right[:place] + bytes((value,)) + right[place + 1 :]
            assert not [out for out in judged(request, changed + FILL) if isinstance(out, Reply | Continue)]
            if place < len(right) - 2:
                closed = [out for out in judged(request, summed(changed) + FILL) if isinstance(out, Reply | Continue)]
                assert len(closed) == (place in free), (place, value)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_other_length_is_refused(name: str) -> None:
    request, right, _, _ = QUESTIONS[name]
    shown = open_frame(right)
    for size in set(range(DATA_MAX + 1)) - {len(shown.data)}:
        resized = (shown.data + bytes(DATA_MAX))[:size]
        outcomes = judged(request, encode_frame(METER, shown.control, resized))
        assert not [out for out in outcomes if isinstance(out, Reply | Continue)], size


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name != "read address"])
def test_every_error_word_is_an_exception(name: str) -> None:
    request, right, _, _ = QUESTIONS[name]
    for code in range(256):
        (outcome,) = judged(request, encode_frame(METER, right[8] | 0x40, bytes((code,))))
        assert outcome == ExceptionReply(code)
        assert outcome.meaning.name


@given(st.sampled_from(sorted(QUESTIONS)), st.sampled_from(sorted(CONTROLS)), st.binary(max_size=30), st.booleans())
def test_a_reply_is_a_value_only_when_every_field_is_right(name: str, control: int, data: bytes, led: bool) -> None:
    request, right, _, free = QUESTIONS[name]
    frame = encode_frame(METER, control, (request.lead if led else b"") + data)
    for outcome in judged(request, frame):
        if isinstance(outcome, Reply):
            assert control == right[8]
            assert len(frame) == len(right)
            fixed = [place for place in range(len(right) - 2) if place not in free]
            assert [frame[place] for place in fixed] == [right[place] for place in fixed]


@given(st.binary(min_size=1, max_size=600), st.lists(st.integers(1, 190), min_size=8, max_size=60), st.booleans())
def test_an_answer_in_parts_is_the_whole_answer(payload: bytes, sizes: list[int], known: bool) -> None:
    request: Any = dlt645.read("AAAAAAAAAAAA", 0x0001_FF00, len(payload) if known else dlt645.ANY_LENGTH)
    pieces: list[bytes] = []
    rest = payload
    for size in sizes:
        pieces, rest = ([*pieces, rest[:size]], rest[size:]) if rest else (pieces, rest)
    pieces = [*pieces, rest] if rest and len(rest) <= 190 else pieces
    payload = b"".join(pieces)
    request = dlt645.read("AAAAAAAAAAAA", 0x0001_FF00, len(payload) if known else dlt645.ANY_LENGTH)
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        control = (0x92 if number else 0x91) | (0 if last else 0x20)
        tail = bytes((number,)) if number else b""
        assert open_frame(request.wire[4:]).data == BLOCK_DI + tail
        outcome = request.judge(encode_frame(METER, control, BLOCK_DI + piece + tail))
        if last:
            assert outcome == Reply(payload)
        else:
            assert isinstance(outcome, Continue)
            request = outcome.exchange
            assert request.address == METER


@given(
    st.binary(min_size=6, max_size=6),
    st.sampled_from(sorted(CONTROLS)),
    st.binary(max_size=DATA_MAX),
    st.integers(0, 4),
)
def test_a_frame_comes_back_as_it_was_made(address: bytes, control: int, data: bytes, wake_bytes: int) -> None:
    wire = encode_frame(address, control, data, wake_bytes)
    assert wire.startswith(b"\xfe" * wake_bytes + b"\x68")
    assert open_frame(wire[wake_bytes:]) == (address, control, data)


@given(st.from_regex(r"\A(AA){0,6}[0-9]{0,12}\Z"))
def test_addresses_come_back(text: str) -> None:
    if not text or len(text) > 12 or (text.startswith("A") and len(text) != 12):
        return
    wire = address_bytes(text)
    assert address_text(wire) == text.rjust(12, "0")
    assert is_one_meter(wire) == ("A" not in text and text != "9" * 12)


@given(st.binary(min_size=6, max_size=6), st.binary(min_size=6, max_size=6))
def test_only_a_wildcard_byte_matches_another(asked: bytes, shown: bytes) -> None:
    expected = all(a == b or a == 0xAA for a, b in zip(asked, shown, strict=True))
    assert address_matches(asked, shown) == expected
    assert address_matches(asked, asked)


@given(st.integers(1, 8), st.data())
def test_numbers_come_back(size: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, 10 ** (2 * size) - 1))
    assert decode_bcd(encode_bcd(value, size)) == value
    signed = data.draw(st.integers(-8 * 10 ** (2 * size - 1) + 1, 8 * 10 ** (2 * size - 1) - 1))
    assert decode_sbcd(encode_sbcd(signed, size)) == signed
    for encode, beyond in ((encode_bcd, 10 ** (2 * size)), (encode_bcd, -1), (encode_sbcd, 8 * 10 ** (2 * size - 1))):
        with pytest.raises(ValueError, match="does not fit"):
            encode(beyond, size)


@given(st.binary(min_size=1, max_size=8))
def test_only_digits_are_a_number(data: bytes) -> None:
    try:
        value = decode_bcd(data)
    except ValueError:
        assert not is_bcd(data)
        return
    assert value is None if set(data) == {0xFF} else encode_bcd(value or 0, len(data)) == data


def test_every_byte_as_a_number() -> None:
    for byte in range(256):
        data = bytes((byte,))
        digits = byte >> 4 <= 9 and byte & 0xF <= 9
        if byte == 0xFF:
            assert decode_bcd(data) is decode_sbcd(data) is None
        elif digits:
            assert decode_bcd(data) == (byte >> 4) * 10 + (byte & 0xF)
        else:
            with pytest.raises(ValueError, match="no packed decimal"):
                decode_bcd(data)

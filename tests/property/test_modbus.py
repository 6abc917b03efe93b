"""Properties of the Modbus protocol: any cut of a stream gives the same frames, and one wrong byte is never a value."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import (
    LENGTH_MAX,
    ExceptionReply,
    Parser,
    Reply,
    Request,
    Violation,
    check_reply,
    identify_request,
    read_request,
    read_write_request,
    write_request,
)
from drivers.modbus_identity import next_request, objects, objects_bytes

TRANSACTION = 0x1234
REQUESTS: dict[str, tuple[Request, bytes]] = {
    "coils": (read_request(5, 1, 16, 11), b"\x01\x02\xff\x07"),
    "inputs": (read_request(5, 2, 16, 8), b"\x02\x01\xff"),
    "holding": (read_request(5, 3, 16, 4), b"\x03\x08\x00\x12\xd6\x87\x08\xfc\x00\x00"),
    "input registers": (read_request(5, 4, 16, 1), b"\x04\x02\x00\xf0"),
    "longest": (read_request(5, 3, 0, 125), b"\x03\xfa" + bytes(range(250))),
    "coil": (write_request(5, 5, 1, [1]), b"\x05\x00\x01\xff\x00"),
    "register": (write_request(5, 6, 13, [0xFF00]), b"\x06\x00\x0d\xff\x00"),
    "registers": (write_request(5, 16, 13, [1, 2]), b"\x10\x00\x0d\x00\x02"),
    "many coils": (write_request(5, 15, 13, [1, 0, 1]), b"\x0f\x00\x0d\x00\x03"),
    "read and write": (read_write_request(5, 16, 2, 13, [1]), b"\x17\x04\x00\x12\xd6\x87"),
}
WHO = identify_request(5)
WHO_PDU = b"\x2b\x0e\x01\x01\x00\x00\x02\x00\x03ABC\x01\x00"


def frame(pdu: bytes, transaction: int = TRANSACTION, unit: int = 5) -> bytes:
    return struct.pack(">HHHB", transaction, 0, 1 + len(pdu), unit) + pdu


def parse(stream: bytes, cuts: list[int]) -> list[bytes | Violation]:
    parser = Parser()
    places = [0, *sorted(cuts), len(stream)]
    return [item for a, b in itertools.pairwise(places) for item in parser.feed(stream[a:b])]


PDUS = st.binary(min_size=2, max_size=LENGTH_MAX - 1)


@given(st.lists(PDUS, max_size=5), st.data())
def test_any_cut_of_a_stream_gives_the_same_frames(pdus: list[bytes], data: st.DataObject) -> None:
    frames = [frame(pdu, number) for number, pdu in enumerate(pdus)]
    stream = b"".join(frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert parse(stream, cuts) == frames
    assert parse(stream, list(range(len(stream)))) == frames, "byte by byte"


@given(PDUS, st.binary(max_size=5))
def test_bytes_after_a_frame_stay_out_of_it(pdu: bytes, more: bytes) -> None:
    assert parse(frame(pdu) + more, [])[0] == frame(pdu)


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=6))
def test_noise_never_breaks_the_parser_and_cuts_do_not_matter(noise: bytes, cuts: list[int]) -> None:
    whole = parse(noise, [])
    assert parse(noise, [min(cut, len(noise)) for cut in cuts]) == whole
    assert all(not isinstance(item, Violation) for item in whole[:-1]), "nothing follows a violation"


@pytest.mark.parametrize("name", REQUESTS)
def test_every_byte_value_in_every_field(name: str) -> None:
    """Change one byte of the right reply to every other value: only payload bytes may still give a reply."""
    request, pdu = REQUESTS[name]
    right = frame(pdu)
    assert isinstance(check_reply(request, TRANSACTION, right), Reply)
    payload_from = request.payload_at
    for at in range(payload_from):
        for value in set(range(256)) - {right[at]}:
            changed = right[:at] + bytes((value,)) + right[at + 1 :]
            assert not isinstance(check_reply(request, TRANSACTION, changed), Reply), (at, value)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_other_length_is_refused(name: str) -> None:
    request, pdu = REQUESTS[name]
    for size in set(range(1, 254)) - {len(pdu)}:
        resized = (pdu + bytes(254))[:size]
        assert not isinstance(check_reply(request, TRANSACTION, frame(resized)), Reply)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_exception_code_is_an_exception(name: str) -> None:
    request, _ = REQUESTS[name]
    for code in range(256):
        reply = frame(bytes((request.function | 0x80, code)))
        assert check_reply(request, TRANSACTION, reply) == ExceptionReply(code)


@given(st.sampled_from(sorted(REQUESTS)), st.binary(min_size=2, max_size=253), st.integers(0, 255))
def test_a_reply_is_a_value_only_when_every_field_is_right(name: str, pdu: bytes, unit: int) -> None:
    request, right = REQUESTS[name]
    outcome = check_reply(request, TRANSACTION, frame(pdu, unit=unit))
    if isinstance(outcome, Reply):
        assert unit == 5
        assert pdu[:2] == right[:2]
        assert len(pdu) == len(right)


@given(
    st.integers(0, 255),
    st.sampled_from([1, 2, 3, 4]),
    st.integers(0, 0xFFFF),
    st.integers(1, 125),
    st.integers(0, 65535),
)
def test_a_read_says_what_was_asked(unit: int, function: int, address: int, count: int, transaction: int) -> None:
    if address + count > 0x1_0000:
        with pytest.raises(ValueError, match="address"):
            read_request(unit, function, address, count)
        return
    wire = read_request(unit, function, address, count).encode(transaction)
    assert wire == struct.pack(">HHHBBHH", transaction, 0, 6, unit, function, address, count)


@pytest.mark.parametrize(
    ("function", "count"), [(3, 0), (3, 126), (4, 126), (1, 2001), (2, 0), (5, 1), (0, 1), (23, 1), (3, -1)]
)
def test_an_illegal_read_is_refused(function: int, count: int) -> None:
    with pytest.raises(ValueError, match="count"):
        read_request(1, function, 0, count)


@pytest.mark.parametrize(
    ("unit", "function", "values"),
    [
        (0, 6, [1]),
        (1, 6, [1, 2]),
        (1, 6, []),
        (1, 6, [0x10000]),
        (1, 6, [-1]),
        (1, 16, [0] * 124),
        (1, 3, [1]),
        (256, 6, [1]),
    ],
)
def test_an_illegal_write_is_refused(unit: int, function: int, values: list[int]) -> None:
    with pytest.raises(ValueError, match="unit"):
        write_request(unit, function, 0, values)


def test_every_byte_value_in_every_field_of_an_identification() -> None:
    """Only the objects and what the device says of itself may differ; an object's length only if all still fit."""
    right = frame(WHO_PDU)
    assert check_reply(WHO, TRANSACTION, right) == Reply(WHO_PDU[1:])
    free = {10, 12, *range(14, 20)}  # conformity, next object (none follows), object 0 with its text, object 1
    for at in set(range(len(right))) - free:
        for value in set(range(256)) - {right[at]}:
            changed = right[:at] + bytes((value,)) + right[at + 1 :]
            assert not isinstance(check_reply(WHO, TRANSACTION, changed), Reply), (at, value)


@given(st.binary(max_size=254))
def test_any_part_of_an_identification_is_read_to_its_end_or_refused(part: bytes) -> None:
    judged = check_reply(WHO, TRANSACTION, frame(b"\x2b" + part))
    if isinstance(judged, Reply):
        texts = objects(objects_bytes(judged.payload))
        assert len(texts) <= part[5]
        following = next_request(WHO, judged.payload)
        assert following is None or following.wire_tail[-1] > WHO.wire_tail[-1]

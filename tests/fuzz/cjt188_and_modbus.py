"""What must hold for any bytes on lines of CJ/T 188, Modbus RTU and Modbus TCP; a target takes bytes and asserts.

The first byte of an input chooses the question, the next two how the stream is cut; the rest is the stream. With the
top bit of the first byte the stream gets its check sum or length made right, so that more than noise is judged.
"""

from collections.abc import Callable, Sequence
from typing import Final

from drivers import cjt188, cjt188_explain, modbus_words
from drivers.cjt188 import DATA_MAX, FRAME_MIN, Station, address_bytes
from drivers.explain import Field
from drivers.modbus import (
    MBAP_BYTES,
    Parser,
    Request,
    check_reply,
    identify_request,
    read_request,
    read_write_request,
    write_request,
)
from drivers.modbus_identity import next_request, objects, objects_bytes
from drivers.modbus_rtu import FRAME_MAX, Question, ReplyScanner, has_right_crc, with_crc
from drivers.outcome import ExceptionReply, Reply, Violation

HEAD: Final = 3
METER: Final = Station(address_bytes("12345678"), 0x10, di_low_first=True, wake_bytes=0)
CJT188: Final = (
    cjt188.read(METER, 0x901F, 19),
    cjt188.read(METER, 0x901F),
    cjt188.read(Station(bytes((0xAA,)) * 7, 0xAA, any_type=True, wake_bytes=0), 0x901F, 43, 1),
    cjt188.set_valve(METER, cjt188.VALVE_CLOSE),
    cjt188.read_address(Station(bytes((0xAA,)) * 7, 0xAA, wake_bytes=0)),
)
REQUESTS: Final = (
    read_request(1, 1, 16, 11),
    read_request(1, 3, 16, 4),
    read_request(1, 4, 0, 125),
    write_request(1, 5, 1, [1]),
    write_request(1, 6, 13, [0xFF00]),
    write_request(1, 15, 13, [1, 0, 1]),
    write_request(1, 16, 13, [1, 2]),
    read_write_request(1, 16, 2, 13, [1]),
    identify_request(1),
)
TRANSACTION: Final = 7


def fuzz_cjt188(data: bytes) -> None:
    """A frame is taken only whole and summed; a reply only in the shape asked for; every cut tells the same."""
    question = CJT188[_choice(data) % len(CJT188)]
    stream = data[HEAD:]
    if _mended(data) and FRAME_MIN <= len(stream) <= FRAME_MIN + DATA_MAX:
        body = b"\x68" + stream[1:10] + bytes((len(stream) - FRAME_MIN,)) + stream[11:-2]
        stream = body + bytes((sum(body) & 0xFF, 0x16))
    items = _scan(question.scanner, data, stream)
    for item in items:
        if isinstance(item, Violation):
            continue
        assert item in stream
        assert len(item) == FRAME_MIN + item[10] <= FRAME_MIN + DATA_MAX
        assert item[-1] == 0x16
        assert sum(item[:-2]) & 0xFF == item[-2]
        judged = question.judge(item)
        if isinstance(judged, Reply):
            assert item[9] == question.function | 0x80
            assert all(a in (b, 0xAA) for a, b in zip(question.station.address, item[2:9], strict=True))
            assert item[11:13] == question.identifier
            if question.payload_bytes >= 0 and question.function != cjt188.READ_ADDRESS:
                assert len(judged.payload) == question.payload_bytes
        _check_fields(cjt188_explain.explain(item), item)
    assert not isinstance(question.judge(stream), Reply) or items == [stream]
    _check_fields(cjt188_explain.explain(stream), stream)


def fuzz_modbus_rtu(data: bytes) -> None:
    """A reply has the unit, the function, the shape and the CRC of the answer; every cut tells the same."""
    request = REQUESTS[_choice(data) % len(REQUESTS)]
    question = Question(request)
    stream = with_crc(data[HEAD:]) if _mended(data) else data[HEAD:]
    for item in _scan(question.scanner, data, stream):
        if isinstance(item, Violation):
            continue
        assert item in stream
        assert len(item) <= FRAME_MAX
        assert has_right_crc(item)
        judged = question.judge(item)
        assert judged is not None, "the scanner gives only what answers this request"
        if isinstance(judged, Reply | ExceptionReply):
            assert item[0] == request.unit
            assert item[1] & 0x7F == request.function
        if isinstance(judged, Reply) and request.reply_frame_bytes:
            assert len(item) == question.reply_bytes
            assert judged.payload == item[request.payload_at - MBAP_BYTES + 1 : -2]
        for sent in (True, False):
            _check_fields(modbus_words.explain_rtu(item, sent), item)


def fuzz_modbus_tcp(data: bytes) -> None:
    """A frame ends by its length; a reply agrees in every field; every cut tells the same."""
    request = REQUESTS[_choice(data) % len(REQUESTS)]
    stream = data[HEAD:]
    if _mended(data):
        stream = TRANSACTION.to_bytes(2, "big") + b"\0\0" + len(stream).to_bytes(2, "big") + stream
    for item in _scan(Parser, data, stream):
        if isinstance(item, Violation):
            continue
        assert len(item) == 6 + int.from_bytes(item[4:6], "big")
        judged = check_reply(request, TRANSACTION, item)
        if isinstance(judged, Reply):
            assert item[:4] == TRANSACTION.to_bytes(2, "big") + b"\0\0"
            assert (item[6], item[7]) == (request.unit, request.function)
            assert request.reply_frame_bytes in (0, len(item))
            _check_identification(request, judged)
        for sent in (True, False):
            _check_fields(modbus_words.explain_tcp(item, sent), item)


def _choice(data: bytes) -> int:
    return data[0] & 0x7F if data else 0


def _mended(data: bytes) -> bool:
    return data[:1] >= b"\x80"


def _check_identification(request: Request, judged: Reply) -> None:
    if request.reply_frame_bytes:
        return
    following = next_request(request, judged.payload)
    assert following is None or following.wire_tail[-1] > request.wire_tail[-1], "it comes to an end"
    assert len(objects(objects_bytes(judged.payload))) <= judged.payload[5]


def _scan(
    make: Callable[[], cjt188.FrameScanner | ReplyScanner | Parser], data: bytes, stream: bytes
) -> Sequence[bytes | Violation]:
    """Return what a scanner says of a stream, after it has said the same of the stream in pieces and in bytes."""
    step = (data[1] if len(data) > 1 else 0) % 17 + 1
    first = data[2] if len(data) > 2 else 0
    whole = make().feed(stream)
    pieces = make()
    cut = pieces.feed(stream[:first])
    for at in range(first, len(stream), step):
        cut += pieces.feed(stream[at : at + step])
    if not isinstance(pieces, cjt188.LonelyScanner):  # it judges what came together
        assert cut == whole
    return whole


def _check_fields(fields: Sequence[Field], frame: bytes) -> None:
    at = 0
    for field in fields:
        assert field.at == at
        at += field.size
    assert at == len(frame)


def seeds() -> list[bytes]:
    """Return inputs from which a fuzzer finds the rest: each right reply, whole."""
    right = cjt188.encode_frame(0x10, METER.address, 0x81, b"\x1f\x90\x00" + bytes(19))
    rtu = bytes.fromhex("01030800000000000000004D14")
    tcp = TRANSACTION.to_bytes(2, "big") + b"\0\0\0\x0b\x01\x03\x08" + bytes(8)
    who = TRANSACTION.to_bytes(2, "big") + b"\0\0\0\x0b\x01\x2b\x0e\x01\x01\x00\x00\x01\x00\x01A"
    return [
        bytes(HEAD) + right, b"\x01\x03\x05" + right, b"\x04\0\0" + right, b"\x01\0\0" + rtu, b"\x01\0\0" + tcp,
        b"\x08\0\0" + who, bytes(HEAD + MBAP_BYTES), b"\x81\0\0" + right, b"\x81\0\0" + rtu[:-2], b"\x81\0\0" + tcp[6:],
        b"\x88\0\0" + who[6:],
    ]  # fmt: skip


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "cjt188": fuzz_cjt188,
    "modbus-rtu": fuzz_modbus_rtu,
    "modbus-tcp": fuzz_modbus_tcp,
}

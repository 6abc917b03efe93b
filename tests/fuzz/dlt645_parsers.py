"""What must hold for any bytes on a line of DL/T 645, 2007 and 1997; a target takes bytes and asserts.

The first byte of an input chooses the question, the next two how the stream is cut; the rest is the stream. With the
top bit of the first byte the stream gets a right head, length and checksum, so that more than noise is judged.

The slow check beside the driver is written from the frame's picture alone: it shares no code with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from drivers import dlt645, dlt645_1997
from drivers.bcd import decode_bcd, decode_sbcd
from drivers.device import Secret
from drivers.dlt645_explain import explain
from drivers.dlt645_frame import FRAME_MAX, FrameScanner, LonelyScanner
from drivers.dlt645_question import Request
from drivers.outcome import Continue, ExceptionReply, Reply, Violation

HEAD: Final = 3
ADDRESS: Final = "112233445566"
SECRET: Final = Secret("123456")
PARTS_MAX: Final = 70  # more than an answer may have


@dataclass(frozen=True)
class Asked:
    """A question with what its answer must show, said once more in plain numbers."""

    request: Request
    address: str  # in wire order, pairs of digits, "AA" for any
    function: int
    identifier: bytes  # DI0 first
    size: int  # -1: any


def _asked(request: Request, function: int, identifier: str, size: int, address: str = "665544332211") -> Asked:
    return Asked(request, address, function, bytes.fromhex(identifier), size)


QUESTIONS: Final[dict[str, tuple[Asked, ...]]] = {
    "dlt645-2007": (
        _asked(dlt645.read(ADDRESS, 0x0001_0000, 4, 0), 0x11, "00000100", 4),
        _asked(dlt645.read(ADDRESS, 0x0001_FF00, wake_bytes=0), 0x11, "00FF0100", -1),
        _asked(dlt645.read("AAAAAAAA5566", 0x0201_FF00, 6), 0x11, "00FF0102", 6, "6655AAAAAAAA"),
        _asked(dlt645.read("AAAAAAAAAAAA", 0x0001_FF00, 20), 0x11, "00FF0100", 20, "AA" * 6),
        _asked(dlt645.control(ADDRESS, dlt645.TRIP, SECRET, bytes(6)), 0x1C, "", 0),
        _asked(dlt645.write(ADDRESS, 0x0400_1001, bytes(4), SECRET), 0x14, "", 0),
        _asked(dlt645.read_address(), 0x13, "", 6, "AA" * 6),
        _asked(dlt645.broadcast_time(0), 0x08, "", 0, "99" * 6),
    ),
    "dlt645-1997": (
        _asked(dlt645_1997.read(ADDRESS, 0x9010, 4, 0), 0x01, "1090", 4),
        _asked(dlt645_1997.read(ADDRESS, 0x901F, wake_bytes=0), 0x01, "1F90", -1),
        _asked(dlt645_1997.read("AAAAAAAAAAAA", 0xB611, 2), 0x01, "11B6", 2, "AA" * 6),
        _asked(dlt645_1997.write(ADDRESS, 0xC032, bytes(6), "00123456"), 0x04, "", 0),
    ),
}


def run(edition: str, data: bytes) -> None:
    """Scan and judge an input; AssertionError when something is taken that the slow check refuses."""
    asked = QUESTIONS[edition][_choice(data) % len(QUESTIONS[edition])]
    stream = _mended(asked, data[HEAD:]) if data[:1] >= b"\x80" else data[HEAD:]
    items = _scan(asked.request, data, stream)
    frames = [item for item in items if isinstance(item, bytes)]
    if isinstance(asked.request.scanner(), FrameScanner) and not isinstance(asked.request.scanner(), LonelyScanner):
        assert frames == slow_frames(stream)
    for frame in frames:
        _judge(asked, frame)
        _explained(frame)
    _explained(stream)


def _judge(asked: Asked, frame: bytes) -> None:
    """Play one frame into the question, and then into each question for a further part, as a lying meter would."""
    judged: Any = asked.request.judge(frame)
    for _ in range(PARTS_MAX):
        if not isinstance(judged, Continue):
            break
        assert _answers(asked, frame)
        assert frame[8] & 0x20, "another part is asked for only when it was promised"
        following = judged.exchange
        assert following.wire.endswith(b"\x16")
        assert not isinstance(following.judge(frame), Reply), "the first part is no further one"
        sequence = following.sequence  # type: ignore[attr-defined]
        judged = following.judge(_next_part(frame, sequence, asked.request.edition.sequenced))
    else:
        raise AssertionError("an answer without an end")
    if isinstance(judged, Reply):
        assert _answers(asked, frame)
        assert asked.size in (-1, len(judged.payload))
        if not frame[8] & 0x20:
            assert judged.payload == bytes((b - 0x33) % 256 for b in frame[10:-2])[len(asked.identifier) :]
        for decode in (decode_bcd, decode_sbcd):
            _number(decode, judged.payload)
    elif isinstance(judged, ExceptionReply):
        assert _comes_from(asked, frame)


def _answers(asked: Asked, frame: bytes) -> bool:
    """Tell, from the picture of a frame alone, whether it may answer a question."""
    data = bytes((byte - 0x33) % 256 for byte in frame[10:-2])
    return _comes_from(asked, frame) and not frame[8] & 0x40 and data[: len(asked.identifier)] == asked.identifier


def _comes_from(asked: Asked, frame: bytes) -> bool:
    shown = frame[1:7].hex().upper()
    matches = all(
        asked.address[i : i + 2] in ("AA", shown[i : i + 2]) for i in range(0, 12, 2)
    ) and asked.address != "99" * 6  # fmt: skip
    one = all(digit in "0123456789" for digit in shown) and shown != "99" * 6
    return matches and one and frame[8] >= 0x80 and frame[8] % 32 == asked.function


def _next_part(frame: bytes, sequence: int, sequenced: bool) -> bytes:
    """Return the frame as the next part of itself: function of follow-up data, and the number that is expected."""
    function = frame[8] & 0xE0 | {0x11: 0x12, 0x12: 0x12}.get(frame[8] & 0x1F, 0x02)
    body = frame[10:-2] + (bytes(((sequence + 0x33) % 256,)) if sequenced else b"")
    head = frame[:8] + bytes((function, len(body) & 0xFF)) + body
    return head + bytes((sum(head) % 256, 0x16))


def _number(decode: Callable[[bytes], int | None], payload: bytes) -> None:
    """Decode a payload as one number: only decimal digits are one."""
    try:
        value = decode(payload)
    except ValueError:
        return
    if value is None:
        assert payload == b"\xff" * len(payload)
        return
    digits = "".join(f"{byte:02X}" for byte in reversed(payload))
    if decode is decode_sbcd and digits[0] in "89ABCDEF":
        digits = f"{int(digits[0], 16) - 8}{digits[1:]}"
    assert abs(value) == int(digits)


def slow_frames(stream: bytes) -> list[bytes]:
    """Return the frames of a stream by trying every place, byte by byte; what may still become one hides the rest."""
    frames: list[bytes] = []
    at = 0
    while at < len(stream):
        piece = stream[at:]
        if piece[0] == 0x68 and len(piece) < 10:
            break
        possible = piece[0] == 0x68 and piece[7] == 0x68 and (piece[8] >= 0x80 or piece[8] < 0x20)
        if possible and piece[9] <= 200:
            if len(piece) < 12 + piece[9]:
                break
            frame = piece[: 12 + piece[9]]
            total = 0
            for byte in frame[:-2]:
                total = (total + byte) % 256
            if frame[-1] == 0x16 and frame[-2] == total:
                frames.append(frame)
                at += len(frame)
                continue
        at += 1
    return frames


def _scan(request: Request, data: bytes, stream: bytes) -> list[bytes | Violation]:
    """Return what the scanner says of a stream, after it has said the same of it in pieces."""
    step = (data[1] if len(data) > 1 else 0) % 17 + 1
    first = data[2] if len(data) > 2 else 0
    whole = request.scanner().feed(stream)
    pieces = request.scanner()
    cut: list[bytes | Violation] = list(pieces.feed(stream[:first]))
    for at in range(first, len(stream), step):
        cut += pieces.feed(stream[at : at + step])
        assert pieces.pending_bytes < FRAME_MAX  # type: ignore[attr-defined]
    if not isinstance(pieces, LonelyScanner):  # it judges what came together
        assert cut == whole
    return whole


def _explained(frame: bytes) -> None:
    at = 0
    for field in explain(frame):
        assert field.size == 0 or field.at == at
        at += field.size
    assert at == len(frame)


def _mended(asked: Asked, rest: bytes) -> bytes:
    """Return a frame made of an input: control byte, one byte of mischief with the head, and data as on the wire."""
    control = asked.function | 0x80 if not rest or rest[0] % 2 else rest[0]
    body = rest[2:202]
    lead = bytes((byte + 0x33) % 256 for byte in asked.identifier)
    data = (lead + body)[:200] if len(rest) < 2 or rest[1] % 4 else body
    head = b"\x68" + bytes.fromhex(ADDRESS)[::-1] + b"\x68" + bytes((control, len(data))) + data
    return head + bytes((sum(head) % 256, 0x16))


def _choice(data: bytes) -> int:
    return data[0] & 0x7F if data else 0


def fuzz_2007(data: bytes) -> None:
    """A frame is taken only whole and summed, a reply only in the shape asked for, and every cut tells the same."""
    run("dlt645-2007", data)


def fuzz_1997(data: bytes) -> None:
    """The same for the edition of 1997."""
    run("dlt645-1997", data)


def seeds() -> list[bytes]:
    """Return inputs from which a fuzzer finds the rest: right replies, refusals, parts, and noise around them."""
    right = bytes.fromhex("6866554433221168910833333433AB8967457B16")
    block = bytes.fromhex("68665544332211689118333234333333433333333433333336333333373333333533C016")
    old = bytes.fromhex("6866554433221168810643C3AB896745A216")
    refused = bytes.fromhex("6866554433221168D101353C16")
    part = b"\x81\0\0\x20\x01" + bytes(range(0x33, 0x43))
    named = bytes.fromhex("FEFEFEFE682064313203006893065397646536336F16")
    return [
        bytes(HEAD) + right, b"\x01\x03\x05" + block, b"\x02\0\0" + right, bytes(HEAD) + old, bytes(HEAD) + refused,
        b"\x00\x01\0" + b"\xfe" * 4 + right, bytes(HEAD) + right[:-3] + right, part, b"\x06\0\0" + named,
        b"\x80\0\0\x01\x01\xab\x89\x67\x45", b"\x84\0\0\x01\x01", b"\x81\0\0\xb1\x01" + bytes(8),
        b"\x81\0\0\xa1\x01" + bytes(8),
    ]  # fmt: skip


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"dlt645-2007": fuzz_2007, "dlt645-1997": fuzz_1997}

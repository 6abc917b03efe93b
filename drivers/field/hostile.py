"""Hostile replies: every way in which a device of the simulated field can be told to answer wrongly.

One table for the control port, the command line and the tests; a class is a change to one part of the right reply, or
to how its bytes come. The classes of Modbus follow those under which published clients took a wrong reply for a
reading; those of DL/T 645 and CJ/T 188 are their counterparts.
Rule: bytes in, bytes and pauses out; no socket, no clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from drivers.field.frames import WAKE, Family, MeterParts, ModbusParts, split
from drivers.field.shapes import mix

DRIP_S: Final = 0.2  # between two bytes: longer than any gateway needs, shorter than most time-outs
PAUSE_S: Final = 0.6  # longer than the 500 ms that DL/T 645 allows inside a frame
FLOOD_BYTES: Final = 300
MODBUS: Final[frozenset[Family]] = frozenset({"mbap", "rtu"})
METERS: Final[frozenset[Family]] = frozenset({"dlt645", "cjt188"})
ALL: Final = MODBUS | METERS
EXCEPTION: Final = "exception-"  # and a code 1 to 255: an exception of Modbus, an error word of a meter


class Burst(NamedTuple):
    """Bytes that go out together, after a pause."""

    pause_s: float
    data: bytes


@dataclass(slots=True)
class Lie:
    """What a device has been told to do with its replies."""

    name: str
    left: int  # replies it still spoils; negative: all


@dataclass(slots=True)
class Mouth:
    """What one address has said on its line: old replies are what some lies are made of."""

    said: bytes = b""  # the last right reply
    held: bytes = b""  # a reply that is still to come, too late
    count: int = field(default=0)

    def speak(self, lie: Lie | None, family: Family, request: bytes, reply: bytes) -> list[Burst]:
        """Return what goes out for a right reply; a held reply goes out before it."""
        self.count += 1
        before = [Burst(0.0, self.held)] if self.held else []
        self.held = b""
        if lie is None or lie.left == 0:
            self.said = reply
            return [*before, Burst(0.0, reply)]
        lie.left -= lie.left > 0
        bursts = before + _spoil(self, lie.name, family, request, reply)
        self.said = reply
        return bursts


def _spoil(mouth: Mouth, name: str, family: Family, request: bytes, reply: bytes) -> list[Burst]:
    if name.startswith(EXCEPTION):
        return [Burst(0.0, _exception(family, reply, int(name.removeprefix(EXCEPTION))))]
    wrong = BY_NAME[name]
    if wrong.timing is not None:
        return wrong.timing(mouth, request, reply)
    parts = split(family, reply)
    if isinstance(parts, ModbusParts):
        assert wrong.modbus is not None  # `classes_for` lets only fitting classes pass
        wrong.modbus(parts)
    else:
        assert wrong.meter is not None
        wrong.meter(parts)
    return [Burst(0.0, parts.join())]


def _exception(family: Family, reply: bytes, code: int) -> bytes:
    parts = split(family, reply)
    if isinstance(parts, ModbusParts):
        parts.pdu = bytes([parts.pdu[0] | 0x80, code])
        return parts.join()
    parts.control = parts.control & 0x9F | 0x40
    parts.data = bytes([code]) if family == "dlt645" else bytes([parts.data[2] if len(parts.data) > 2 else 0, code, 0])
    return parts.join()


def classes_for(family: Family) -> list[str]:
    """Return the names that a device of a family can be given, without the exceptions."""
    return [wrong.name for wrong in CLASSES if family in wrong.families]


# ---- changes to one part ---------------------------------------------------------------------------------------------


def _put(**changes: Callable[[ModbusParts], object]) -> Callable[[ModbusParts], None]:
    def change(parts: ModbusParts) -> None:
        for name, new in changes.items():
            setattr(parts, name, new(parts))

    return change


def _set(**changes: Callable[[MeterParts], object]) -> Callable[[MeterParts], None]:
    def change(parts: MeterParts) -> None:
        for name, new in changes.items():
            setattr(parts, name, new(parts))

    return change


def _with_data(pdu: bytes, data: bytes, claimed: int | None = None) -> bytes:
    """Return a read reply with other data; claimed: the byte count it shows when that is not their length."""
    return bytes([pdu[0], (len(data) if claimed is None else claimed) & 0xFF]) + data


def _at(data: bytes, place: int, value: int) -> bytes:
    """Return data with one byte changed, when it has that byte."""
    return data[:place] + bytes([value & 0xFF]) + data[place + 1 :] if place < len(data) else data


def _value_from(parts: MeterParts) -> int:
    """Return where the value begins behind the identifier (and the request counter of CJ/T 188)."""
    if parts.family == "cjt188":
        return 3
    return 4 if parts.control & 0x1F >= 0x10 else 2  # identifiers of 1997 are two bytes long


def _filled(parts: MeterParts, byte: int) -> bytes:
    at = _value_from(parts)
    return parts.data[:at] + bytes([byte]) * len(parts.data[at:])


def _no_length(parts: ModbusParts) -> None:
    if parts.rtu:
        parts.pdu = parts.pdu[:1]  # RTU has no length field: an empty answer
    else:
        parts.length = 0


def _all_length(parts: ModbusParts) -> None:
    if parts.rtu:
        parts.pdu = _with_data(parts.pdu, parts.pdu[2:], 0xFF)
    else:
        parts.length = 0xFFFF


def _no_units(parts: MeterParts) -> bytes:
    """Return a CJ/T 188 payload with an unknown code behind (and before) its first value."""
    return _at(_at(parts.data, 3 + 4, 0x7F), 3 + 9, 0x7F)


# ---- changes to how the bytes come -----------------------------------------------------------------------------------


def _noise(count: int, seed: int) -> bytes:
    return bytes(mix(seed, index) & 0xFF for index in range(count))


def _hold(mouth: Mouth, _request: bytes, reply: bytes) -> list[Burst]:
    mouth.held = reply
    return []


def _apart(pause_s: float) -> Callable[[Mouth, bytes, bytes], list[Burst]]:
    return lambda _mouth, _request, reply: [
        Burst(pause_s if at else 0.0, reply[at : at + 1]) for at in range(len(reply))
    ]


def _halves(_mouth: Mouth, _request: bytes, reply: bytes) -> list[Burst]:
    half = len(reply) // 2
    return [Burst(0.0, reply[:half]), Burst(PAUSE_S, reply[half:])]


Timing = Callable[[Mouth, bytes, bytes], list[Burst]]


def _whole(make: Callable[[Mouth, bytes, bytes], bytes]) -> Timing:
    return lambda mouth, request, reply: [Burst(0.0, make(mouth, request, reply))]


@dataclass(frozen=True, slots=True)
class HostileClass:
    """One way to answer wrongly. One of modbus, meter (or both) and timing is set."""

    name: str
    zh: str
    en: str
    families: frozenset[Family]
    modbus: Callable[[ModbusParts], None] | None = None
    meter: Callable[[MeterParts], None] | None = None
    timing: Timing | None = None


_MBAP: Final[frozenset[Family]] = frozenset({"mbap"})
_CHECKED: Final[frozenset[Family]] = frozenset({"rtu", "dlt645", "cjt188"})
_DLT: Final[frozenset[Family]] = frozenset({"dlt645"})
_CJT: Final[frozenset[Family]] = frozenset({"cjt188"})

CLASSES: Final[tuple[HostileClass, ...]] = (
    HostileClass("wrong-transaction", "事务号错误", "wrong transaction id", _MBAP,
                 _put(transaction=lambda p: p.transaction + 1 & 0xFFFF)),
    HostileClass("protocol-id", "协议标识为 7", "protocol id 7", _MBAP, _put(protocol=lambda p: 7)),
    HostileClass("wrong-unit", "从站号或表号错误", "wrong unit id, or wrong meter address", ALL,
                 _put(unit=lambda p: p.unit + 1 & 0xFF), _set(address=lambda p: _at(p.address, 0, p.address[0] ^ 1))),
    HostileClass("wrong-function", "功能码错误", "wrong function or control code", ALL,
                 _put(pdu=lambda p: _at(p.pdu, 0, p.pdu[0] ^ 7)), _set(control=lambda p: p.control ^ 5)),
    HostileClass("fewer", "数据少一个", "less data than asked for", ALL,
                 _put(pdu=lambda p: _with_data(p.pdu, p.pdu[2:-2])), _set(data=lambda p: p.data[:-1])),
    HostileClass("more", "数据多三个", "more data than asked for", ALL,
                 _put(pdu=lambda p: _with_data(p.pdu, p.pdu[2:] + bytes(6))), _set(data=lambda p: p.data + bytes(3))),
    HostileClass("count-small", "长度字节偏小", "byte count or length smaller than the data", ALL,
                 _put(pdu=lambda p: _with_data(p.pdu, p.pdu[2:], 2)),
                 _set(length=lambda p: max(0, len(p.data) - 2))),
    HostileClass("count-big", "长度字节偏大", "byte count or length greater than the data", ALL,
                 _put(pdu=lambda p: _with_data(p.pdu, p.pdu[2:], len(p.pdu) + 6)),
                 _set(length=lambda p: len(p.data) + 8)),
    HostileClass("odd-count", "字节数为奇数", "odd byte count", MODBUS,
                 _put(pdu=lambda p: _with_data(p.pdu, p.pdu[2:-1]))),
    HostileClass("length-0", "长度为 0", "length 0", ALL,
                 _no_length, _set(data=lambda p: b"")),
    HostileClass("length-max", "长度为最大值", "length 65535 (RTU: byte count 255; meters: length 255)", ALL,
                 _all_length, _set(length=lambda p: 0xFF)),
    HostileClass("checksum", "校验错误", "wrong checksum", _CHECKED,
                 _put(checksum_error=lambda p: 1), _set(checksum_error=lambda p: 1)),
    HostileClass("wrong-di", "数据标识错误", "another data identifier", METERS,
                 meter=_set(data=lambda p: _at(p.data, 1, (p.data[1] if len(p.data) > 1 else 0) ^ 1))),
    HostileClass("wrong-direction", "传送方向错误", "direction bit of a request", METERS,
                 meter=_set(control=lambda p: p.control & 0x7F)),
    HostileClass("more-follows", "谎称有后续帧", "promises a follow-up that does not exist", METERS,
                 meter=_set(control=lambda p: p.control | 0x20)),
    HostileClass("no-offset", "数据未加 33H", "data without the offset 33H", _DLT, meter=_set(offset=lambda p: 0)),
    HostileClass("wrong-start", "第二起始符错误", "wrong second start mark", _DLT,
                 meter=_set(second_start=lambda p: 0x69)),
    HostileClass("wrong-end", "结束符错误", "wrong end mark", METERS, meter=_set(end=lambda p: 0x17)),
    HostileClass("wrong-type", "表类型错误", "another meter type T", _CJT, meter=_set(kind=lambda p: p.kind ^ 0x20)),
    HostileClass("wrong-counter", "序列号错误", "another request counter SER", _CJT,
                 meter=_set(data=lambda p: _at(p.data, 2, (p.data[2] if len(p.data) > 2 else 0) + 1))),
    HostileClass("unknown-unit", "单位代码未知", "unknown unit codes", _CJT, meter=_set(data=_no_units)),
    HostileClass("bad-digits", "非 BCD 数字", "digits beyond 9", METERS, meter=_set(data=lambda p: _filled(p, 0xAA))),
    HostileClass("absent", "数据为 FF", "every data byte FF: absent", METERS,
                 meter=_set(data=lambda p: _filled(p, 0xFF))),
    HostileClass("repeat-old", "重复旧应答", "the previous reply again", ALL,
                 timing=_whole(lambda mouth, _request, reply: mouth.said or reply)),
    HostileClass("late", "应答迟到", "the reply comes with the next request's", ALL, timing=_hold),
    HostileClass("duplicate", "应答两次", "the reply twice", ALL, timing=_whole(lambda _m, _request, reply: reply * 2)),
    HostileClass("garbage", "前有乱码", "noise before the reply", ALL,
                 timing=_whole(lambda m, _request, reply: _noise(9, m.count) + reply)),
    HostileClass("noise", "全为乱码", "noise instead of the reply", ALL,
                 timing=_whole(lambda m, _request, reply: _noise(len(reply), m.count))),
    HostileClass("truncated", "应答中断", "the reply stops half-way", ALL,
                 timing=_whole(lambda _m, _request, reply: reply[: len(reply) // 2])),
    HostileClass("echo", "请求回显", "the request comes back before the reply", ALL,
                 timing=_whole(lambda _m, request, reply: request + reply)),
    HostileClass("echo-only", "只有回显", "the request comes back instead of a reply", ALL,
                 timing=_whole(lambda _m, request, _reply: request)),
    HostileClass("wake-flood", "FE 过多", "hundreds of wake-up bytes before the reply", _CHECKED,
                 timing=_whole(lambda _m, _request, reply: bytes([WAKE]) * FLOOD_BYTES + reply)),
    HostileClass("drip", "逐字节缓慢", "one byte every 200 ms", ALL, timing=_apart(DRIP_S)),
    HostileClass("split", "逐字节", "every byte alone, without a pause", ALL, timing=_apart(0.001)),
    HostileClass("pause", "中间停顿", "a pause of 600 ms inside the reply", ALL, timing=_halves),
    HostileClass("silence", "无应答", "no reply", ALL, timing=lambda _mouth, _request, _reply: []),
)  # fmt: skip
BY_NAME: Final = {wrong.name: wrong for wrong in CLASSES}

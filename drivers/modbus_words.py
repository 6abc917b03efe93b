"""Modbus frames explained field by field, in Chinese and English.

Rule: pure; tables name what the standard names. Whoever asks says which way a frame went, because the two directions of
one function look different and no bit of the frame tells them apart.

Source: MODBUS Application Protocol V1.1b3, section 6 (functions) and 7 (exceptions).
"""

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from drivers.explain import Field
from drivers.modbus import (
    EXCEPTION_BIT,
    HEAD_BYTES,
    IDENTIFY,
    MBAP_BYTES,
    MEI_IDENTIFY,
    MORE_FOLLOWS,
    PART_BYTES,
)
from drivers.modbus_identity import OBJECT_NAMES
from drivers.modbus_rtu import crc16

FUNCTIONS: Final[dict[int, tuple[str, str]]] = {
    1: ("读线圈", "read coils"),
    2: ("读离散输入", "read discrete inputs"),
    3: ("读保持寄存器", "read holding registers"),
    4: ("读输入寄存器", "read input registers"),
    5: ("写单个线圈", "write single coil"),
    6: ("写单个寄存器", "write single register"),
    15: ("写多个线圈", "write multiple coils"),
    16: ("写多个寄存器", "write multiple registers"),
    22: ("屏蔽写寄存器", "mask write register"),
    23: ("读写多个寄存器", "read/write multiple registers"),
    43: ("读设备标识", "read device identification"),
}
EXCEPTION_NAMES: Final[dict[int, tuple[str, str]]] = {
    0x01: ("非法功能码", "illegal function"),
    0x02: ("非法数据地址", "illegal data address"),
    0x03: ("非法数据值", "illegal data value"),
    0x04: ("从站设备故障", "device failure"),
    0x05: ("确认,处理需要较长时间", "acknowledge: it takes long"),
    0x06: ("从站忙", "busy"),
    0x08: ("存储奇偶校验错", "memory parity error"),
    0x0A: ("网关路径不可用", "gateway path unavailable"),
    0x0B: ("网关目标设备无响应", "gateway target failed to respond"),
}
ACCESS_NAMES: Final[dict[int, tuple[str, str]]] = {
    1: ("基本", "basic"),
    2: ("常规", "regular"),
    3: ("扩展", "extended"),
    4: ("单个对象", "one object"),
}
READS: Final = frozenset({1, 2, 3, 4})
SINGLE_WRITES: Final = frozenset({5, 6})
MULTIPLE_WRITES: Final = frozenset({15, 16})


def explain_tcp(frame: bytes, sent: bool) -> list[Field]:
    """Explain a Modbus TCP frame. sent: it went to the device."""
    if len(frame) < MBAP_BYTES + 1:
        return [_rest(frame, 0)]
    transaction, protocol, length = struct.unpack_from(">HHH", frame)
    follows = len(frame) - HEAD_BYTES
    return [
        Field(0, 2, "事务标识", "transaction", str(transaction)),
        Field(2, 2, "协议标识", "protocol", str(protocol), wrong=protocol != 0),
        Field(4, 2, "后续长度", "length", f"{length}", wrong=length != follows),
        Field(6, 1, "单元号", "unit", str(frame[6])),
        *_moved(explain_pdu(frame[MBAP_BYTES:], sent), MBAP_BYTES),
    ]


def explain_rtu(frame: bytes, sent: bool) -> list[Field]:
    """Explain a Modbus RTU frame with its CRC. sent: it went to the device."""
    if len(frame) < 4:
        return [_rest(frame, 0)]
    crc, right = int.from_bytes(frame[-2:], "little"), crc16(frame[:-2])
    check = Field(len(frame) - 2, 2, "CRC 校验", "CRC", f"{crc:04X}")
    if crc != right:
        check = replace(check, value=f"{crc:04X}, not {right:04X}", value_zh=f"{crc:04X},应为 {right:04X}", wrong=True)
    return [
        Field(0, 1, "从站地址", "station", str(frame[0])),
        *_moved(explain_pdu(frame[1:-2], sent), 1),
        check,
    ]


def explain_pdu(pdu: bytes, sent: bool) -> list[Field]:
    """Explain function code and data; places are counted from the function code."""
    function = pdu[0]
    if function & EXCEPTION_BIT and not sent:
        return [_function(function), *_exception(pdu)]
    return [_function(function), *(_request if sent else _reply)(function, pdu)]


def _function(code: int) -> Field:
    zh, en = FUNCTIONS.get(code & ~EXCEPTION_BIT, ("未知功能", "unknown function"))
    if code & EXCEPTION_BIT:
        zh, en = f"{zh},异常应答", f"{en}, exception"
    return Field(0, 1, "功能码", "function", f"{code:02X} {en}", f"{code:02X} {zh}")


def _exception(pdu: bytes) -> Iterator[Field]:
    if len(pdu) > 1:
        zh, en = EXCEPTION_NAMES.get(pdu[1], ("厂家自定义异常", "exception of the maker"))
        yield Field(1, 1, "异常码", "exception", f"{pdu[1]:02X} {en}", f"{pdu[1]:02X} {zh}", wrong=True)
    yield from _left(pdu, 2)


def _request(function: int, pdu: bytes) -> Iterator[Field]:
    at = 1
    if function in READS | SINGLE_WRITES | MULTIPLE_WRITES | {23} and len(pdu) >= 5:
        yield _address(pdu, 1)
        yield _word(pdu, 3, *(("写入值", "value") if function in SINGLE_WRITES else ("数量", "count")))
        at = 5
    if function == 23 and len(pdu) >= 9:
        yield _address(pdu, 5)
        yield _word(pdu, 7, "写入数量", "count to write")
        at = 9
    if function in MULTIPLE_WRITES | {23} and len(pdu) > at:
        yield Field(at, 1, "字节数", "byte count", str(pdu[at]), wrong=pdu[at] != len(pdu) - at - 1)
        yield _data(pdu, at + 1, bits=function == 15)
        return
    if function == IDENTIFY and len(pdu) >= 4 and pdu[1] == MEI_IDENTIFY:
        yield _access(pdu)
        yield Field(3, 1, "起始对象", "first object", str(pdu[3]))
        at = 4
    yield from _left(pdu, at)


def _reply(function: int, pdu: bytes) -> Iterator[Field]:
    if function in READS | {23} and len(pdu) >= 2:
        yield Field(1, 1, "字节数", "byte count", str(pdu[1]), wrong=pdu[1] != len(pdu) - 2)
        if len(pdu) > 2:
            yield _data(pdu, 2, bits=function in (1, 2))
        return
    if function in SINGLE_WRITES | MULTIPLE_WRITES and len(pdu) >= 5:
        yield _address(pdu, 1)
        yield _word(pdu, 3, *(("写入值", "value") if function in SINGLE_WRITES else ("数量", "count")))
        yield from _left(pdu, 5)
        return
    if function == IDENTIFY and len(pdu) > PART_BYTES and pdu[1] == MEI_IDENTIFY:
        yield from _identification(pdu)
        return
    yield from _left(pdu, 1)


def _identification(pdu: bytes) -> Iterator[Field]:
    yield _access(pdu)
    more = ("有", "yes") if pdu[4] == MORE_FOLLOWS else ("无", "no")
    yield Field(3, 1, "一致性级别", "conformity", f"{pdu[3]:02X}")
    yield Field(4, 1, "后续对象", "more follows", more[1], more[0], wrong=pdu[4] not in (0, MORE_FOLLOWS))
    yield Field(5, 1, "下一对象", "next object", str(pdu[5]))
    yield Field(6, 1, "对象数", "number of objects", str(pdu[6]))
    at = 1 + PART_BYTES
    for _ in range(pdu[6]):
        if len(pdu) < at + 2 or len(pdu) < at + 2 + pdu[at + 1]:
            break
        zh, en = OBJECT_NAMES.get(pdu[at], (f"对象 {pdu[at]}", f"object {pdu[at]}"))
        size = 2 + pdu[at + 1]
        yield Field(at, size, zh, en, pdu[at + 2 : at + size].decode("ascii", "backslashreplace"))
        at += size
    yield from _left(pdu, at)


def _access(pdu: bytes) -> Field:
    zh, en = ACCESS_NAMES.get(pdu[2], ("未知", "unknown"))
    return Field(1, 2, "读取方式", "access", f"{pdu[1]:02X} {pdu[2]:02X} {en}", f"{pdu[1]:02X} {pdu[2]:02X} {zh}")


def _address(pdu: bytes, at: int) -> Field:
    address = int.from_bytes(pdu[at : at + 2], "big")
    return Field(at, 2, "起始地址", "address", f"0x{address:04X} ({address})")


def _word(pdu: bytes, at: int, zh: str, en: str) -> Field:
    value = int.from_bytes(pdu[at : at + 2], "big")
    return Field(at, 2, zh, en, f"{value} (0x{value:04X})")


def _data(pdu: bytes, at: int, bits: bool) -> Field:
    data = pdu[at:]
    if bits:
        return Field(at, len(data), "位", "bits", " ".join(f"{byte:08b}"[::-1] for byte in data))
    words = [data[i : i + 2].hex().upper() for i in range(0, len(data), 2)]
    return Field(at, len(data), "寄存器", "registers", " ".join(words))


def _left(pdu: bytes, at: int) -> Iterator[Field]:
    if len(pdu) > at:
        yield _rest(pdu, at)


def _rest(data: bytes, at: int) -> Field:
    return Field(at, len(data) - at, "其余字节", "other bytes", data[at:].hex(" ").upper())


def _moved(fields: list[Field], by: int) -> Iterator[Field]:
    for field in fields:
        yield replace(field, at=field.at + by)

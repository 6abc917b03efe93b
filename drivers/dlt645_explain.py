"""DL/T 645 frames of both editions explained field by field, in Chinese and English.

Rule: never raises and never shows a password; bytes that fit nothing are shown as bytes. The layouts are tables: a
function code names the parts of its data, a part names how its bytes are read.

Source: DL/T 645-2007 section 7, DL/T 645-1997 section 6.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from drivers.dlt645 import BAUD_WORDS, CONTROL
from drivers.dlt645_frame import (
    ANY,
    BROADCAST,
    DATA_AT,
    END,
    FRAME_MIN,
    FROM_METER,
    FUNCTION,
    MORE,
    REFUSED,
    START,
    WAKE,
    address_text,
    plain,
)
from drivers.dlt645_items import Item, item_of, item_of_1997
from drivers.dlt645_values import Text, clock_text, hex_text, item_texts
from drivers.dlt645_words import CONTROL_NAMES, ERROR_BITS_1997, ERROR_BITS_2007, error_bits
from drivers.explain import Field

SECRET_TEXT: Final = "******"
_WAKES: Final = bytes((WAKE,))
REST: Final = -1  # size of a part that takes what the parts after it leave

FUNCTIONS: Final[Mapping[int, Text]] = {
    0x01: ("读数据（1997）", "read (1997)"),
    0x02: ("读后续数据（1997）", "read follow-up (1997)"),
    0x03: ("重读数据（1997）或安全认证（2007）", "read again (1997) or authentication (2007)"),
    0x04: ("写数据（1997）", "write (1997)"),
    0x08: ("广播校时", "broadcast time"),
    0x0A: ("写设备地址（1997）", "write address (1997)"),
    0x0C: ("更改通信速率（1997）", "change baud rate (1997)"),
    0x0F: ("修改密码（1997）", "change password (1997)"),
    0x10: ("最大需量清零（1997）", "clear demand (1997)"),
    0x11: ("读数据", "read"),
    0x12: ("读后续数据", "read follow-up"),
    0x13: ("读通信地址", "read address"),
    0x14: ("写数据", "write"),
    0x15: ("写通信地址", "write address"),
    0x16: ("冻结", "freeze"),
    0x17: ("更改通信速率", "change baud rate"),
    0x18: ("修改密码", "change password"),
    0x19: ("最大需量清零", "clear demand"),
    0x1A: ("电表清零", "clear meter"),
    0x1B: ("事件清零", "clear events"),
    0x1C: ("跳合闸、报警、保电", "trip, close, alarm, protected supply"),
    0x1D: ("多功能端子输出控制", "output select"),
}
EDITION_1997: Final = frozenset({0x01, 0x02, 0x04, 0x0A, 0x0C, 0x0F, 0x10})

MAY_HOLD_SECRET: Final = frozenset({0x10})  # some meters of 1997 want a password before they clear the demand


class Part(NamedTuple):
    """A part of the data of a frame. `kind` is a key of READERS, or "di" and "value", which belong together."""

    kind: str
    size: int
    zh: str = ""
    en: str = ""


_DI: Final = Part("di", 4, "数据标识", "data identifier")
_DI2: Final = Part("di", 2, "数据标识", "data identifier")
_VALUE: Final = Part("value", REST)
_SEQUENCE: Final = Part("number", 1, "帧序号", "sequence number")
_LEVEL: Final = Part("level", 1, "权限等级", "access level")
_PASSWORD: Final = Part("secret", 3, "密码", "password")
_NEW_LEVEL: Final = Part("level", 1, "新权限等级", "new access level")
_NEW_PASSWORD: Final = Part("secret", 3, "新密码", "new password")
_OPERATOR: Final = Part("digits", 4, "操作者代码", "operator code")
_ADDRESS: Final = Part("digits", 6, "通信地址", "address")
_BAUD: Final = Part("baud", 1, "通信速率特征字", "baud rate word")
_CLOCK: Final = Part("clock", 6, "日期时间", "date and time")
_KEY: Final = (_LEVEL, _PASSWORD, _OPERATOR)

REQUESTS: Final[Mapping[int, tuple[Part, ...]]] = {
    0x01: (_DI2,),
    0x02: (_DI2,),
    0x04: (_DI2, _LEVEL, _PASSWORD, _VALUE),
    0x08: (_CLOCK,),
    0x0A: (_ADDRESS,),
    0x0C: (_BAUD,),
    0x0F: (_LEVEL, _PASSWORD, _NEW_LEVEL, _NEW_PASSWORD),
    0x11: (_DI,),
    0x12: (_DI, _SEQUENCE),
    0x14: (_DI, *_KEY, _VALUE),
    0x15: (_ADDRESS,),
    0x16: (Part("freeze", 4, "冻结时间", "freeze time"),),
    0x17: (_BAUD,),
    0x18: (_DI, _LEVEL, _PASSWORD, _NEW_LEVEL, _NEW_PASSWORD),
    0x19: _KEY,
    0x1A: _KEY,
    0x1B: (*_KEY, Part("di", 4, "事件的数据标识", "identifier of the events")),
    0x1C: (
        *_KEY,
        Part("control", 1, "控制命令类型N1", "class of control N1"),
        Part("number", 1, "保留N2", "reserved N2"),
        Part("clock", 6, "命令有效截止时间", "void after"),
    ),
}
REPLIES: Final[Mapping[int, tuple[Part, ...]]] = {
    0x01: (_DI2, _VALUE),
    0x02: (_DI2, _VALUE),
    0x0C: (_BAUD,),
    0x0F: (_NEW_LEVEL, _NEW_PASSWORD),
    0x11: (_DI, _VALUE),
    0x12: (_DI, _VALUE, _SEQUENCE),
    0x13: (_ADDRESS,),
    0x17: (_BAUD,),
    0x18: (_NEW_LEVEL, _NEW_PASSWORD),
}


def explain(data: bytes) -> list[Field]:
    """Explain a request or a reply, or several in a row: follow-up frames, or an echo and the answer to it.

    Lead-in and whatever else stands around them are fields too.
    """
    fields: list[Field] = []
    at = 0
    while (start := _start(data, at)) >= 0:
        fields += (replace(field, at=field.at + at) for field in _before(data[at:start]))
        found, at = _frame(data[start:], start)
        fields += found
    if fields:
        return [*fields, *_stray(data[at:], at, "帧后的字节", "bytes behind the frame")]
    lead = len(data) - len(data.lstrip(_WAKES))
    return [*_before(data[:lead]), *_stray(data[lead:], lead, "不是完整的DL/T 645帧", "no whole DL/T 645 frame")]


def _frame(body: bytes, head: int) -> tuple[list[Field], int]:
    """Explain the frame at the start of `body`, which stands at `head`; return its fields, and the place behind it."""
    control, length = body[8], body[9]
    end = min(DATA_AT + length, len(body) - 2)
    names = _control_text(control)
    secret = _holds_secret(control, end - DATA_AT)
    fields = [
        Field(head, 1, "帧起始符", "start", "68"),
        _field(head + 1, 6, ("地址域", "address"), _address_text(body[1:7])),
        Field(head + 7, 1, "帧起始符", "start", "68"),
        _field(head + 8, 1, ("控制码", "control code"), (f"{control:02X} {names[0]}", f"{control:02X} {names[1]}")),
        Field(head + 9, 1, "数据域长度", "length of the data", str(length), wrong=end != DATA_AT + length),
        *_data(control, plain(body[DATA_AT:end]), head + DATA_AT),
        *_tail(body, end, head, secret),
    ]
    return fields, head + end + 2


def _start(data: bytes, begin: int) -> int:
    """Return where the next frame begins: the first start mark that has its second one; -1 for nowhere."""
    for at in range(begin, len(data) - FRAME_MIN + 1):
        if data[at] == START == data[at + 7]:
            return at
    return -1


def _before(data: bytes) -> Iterator[Field]:
    """Explain what stands before a frame: noise, and the lead-in."""
    noise = len(data.rstrip(_WAKES))
    yield from _stray(data[:noise], 0, "帧前的字节", "bytes before the frame")
    if noise < len(data):
        yield Field(noise, len(data) - noise, "前导字节", "lead-in", f"{len(data) - noise} x FE")


def _stray(data: bytes, at: int, zh: str, en: str) -> list[Field]:
    return [Field(at, len(data), zh, en, f"{len(data)} bytes", f"{len(data)}字节", wrong=True)] if data else []


def _tail(body: bytes, at: int, head: int, secret: bool) -> Iterator[Field]:
    """Explain checksum and end mark. Beside a password the sum is not shown: it would give a part of it away."""
    right = sum(body[:at]) & 0xFF == body[at]
    yield Field(head + at, 1, "校验码", "checksum", SECRET_TEXT if secret else f"{body[at]:02X}", wrong=not right)
    ended = body[at + 1] == END
    value = f"{body[at + 1]:02X}" if ended or not secret else SECRET_TEXT
    yield Field(head + at + 1, 1, "结束符", "end", value, wrong=not ended)


def _holds_secret(control: int, size: int) -> bool:
    return control in MAY_HOLD_SECRET or any(part.kind == "secret" for part in _parts(control, size))


def _field(at: int, size: int, name: Text, text: Text, wrong: bool = False) -> Field:
    """Make a field; the Chinese text is left out where it is the same."""
    return Field(at, size, *name, text[1], "" if text[0] == text[1] else text[0], wrong)


def _address_text(address: bytes) -> Text:
    text = address_text(address)
    if address == BROADCAST:
        return f"{text}，广播", f"{text}, broadcast"
    if ANY in address:
        return f"{text}，AA为通配", f"{text}, AA: any"
    return text, text


def _control_text(control: int) -> Text:
    """Say direction, function and flags of a control code."""
    name = FUNCTIONS.get(control & FUNCTION, ("未定义的功能", "undefined function"))
    zh = [("应答" if control & FROM_METER else "请求") + f"：{name[0]}"]
    en = [("reply: " if control & FROM_METER else "request: ") + name[1]]
    if control & REFUSED:
        zh.append("异常应答")
        en.append("refused")
    if control & MORE:
        zh.append("有后续帧")
        en.append("more frames follow")
    return "，".join(zh), ", ".join(en)


def _parts(control: int, size: int) -> tuple[Part, ...]:
    """Return the parts of the data of a frame; () when none are known for it."""
    function = control & FUNCTION
    if control & REFUSED and control & FROM_METER:
        return (Part("error 1997" if function in EDITION_1997 else "error", 1, "错误信息字", "error word"),)
    if function == 0x03 and size >= 2:  # the only code that both editions have for different things
        return (_DI2, _VALUE) if control & FROM_METER else (_DI2,)
    return (REPLIES if control & FROM_METER else REQUESTS).get(function, ())


def _data(control: int, data: bytes, at: int) -> Iterator[Field]:
    """Explain the data part by part; what is left over, or missing, is shown as wrong."""
    parts = _parts(control, len(data))
    fixed = sum(part.size for part in parts if part.size != REST)
    place, item = 0, None
    for part in parts:
        size = max(len(data) - fixed, 0) if part.size == REST else part.size
        piece = data[place : place + size]
        if len(piece) < size:
            yield Field(at + place, len(piece), part.zh, part.en, "too short", "太短", wrong=True)
            return
        if part.kind == "di":
            item = _item(part, piece)
            yield _field(at + place, size, (part.zh, part.en), _di_text(piece, item))
        elif part.kind == "value":
            yield from _values(item, piece, at + place)
        else:
            yield _field(at + place, size, (part.zh, part.en), READERS[part.kind](piece))
        place += size
    if place < len(data):
        wrong = bool(parts) or control & FUNCTION == CONTROL
        text = SECRET_TEXT if control in MAY_HOLD_SECRET else hex_text(data[place:])
        yield Field(at + place, len(data) - place, "其余数据", "further data", text, wrong=wrong)


def _item(part: Part, di: bytes) -> Item | None:
    value = int.from_bytes(di, "little")
    return item_of(value) if part.size == 4 else item_of_1997(value)


def _di_text(di: bytes, item: Item | None) -> Text:
    digits = di[::-1].hex().upper()
    return (f"{digits} {item.zh}", f"{digits} {item.en}") if item else (digits, digits)


def _values(item: Item | None, data: bytes, at: int) -> Iterator[Field]:
    """Explain the value, or the values of a block one by one."""
    if item is None:
        if data:
            yield Field(at, len(data), "数据", "data", hex_text(data))
        return
    for value in item_texts(item, data):
        name = value.name if value.name != ("", "") else ("数据", "value")
        yield _field(at + value.at, value.size, name, value.text, value.wrong)


def _number(data: bytes) -> Text:
    text = str(int.from_bytes(data, "little"))
    return text, text


def _digits(data: bytes) -> Text:
    text = data[::-1].hex().upper()
    return text, text


def _level(data: bytes) -> Text:
    """Say an access level; 98 and 99 need the security module of the State Grid."""
    names = {0x98: ("密文+MAC", "ciphertext and MAC"), 0x99: ("明文+MAC", "plaintext and MAC")}
    zh, en = names.get(data[0], ("", ""))
    return f"{data[0]:02X} {zh}".rstrip(), f"{data[0]:02X} {en}".rstrip()


def _baud(data: bytes) -> Text:
    text = next((f"{baud} Bd" for baud, word in BAUD_WORDS.items() if word == data[0]), "?")
    return f"{data[0]:02X} {text}", f"{data[0]:02X} {text}"


def _freeze(data: bytes) -> Text:
    """Say when to freeze: the highest place that is not 99 gives the period."""
    digits = data[::-1].hex()
    month, day, hour, minute = (digits[at : at + 2] for at in range(0, 8, 2))
    if digits == "99999999":
        return "立即冻结", "at once"
    if month + day + hour == "999999":
        return f"每小时{minute}分", f"every hour at minute {minute}"
    if month + day == "9999":
        return f"每日{hour}:{minute}", f"every day at {hour}:{minute}"
    return f"每月{day}日{hour}:{minute}", f"every month on day {day} at {hour}:{minute}"


def _control_class(data: bytes) -> Text:
    zh, en = CONTROL_NAMES.get(data[0], ("未定义", "undefined"))
    return f"{data[0]:02X} {zh}", f"{data[0]:02X} {en}"


def _error(data: bytes, edition_1997: bool = False) -> Text:
    bits = error_bits(data[0], ERROR_BITS_1997 if edition_1997 else ERROR_BITS_2007)
    zh = "、".join(bit.zh for bit in bits) or "标准未定义"
    en = ", ".join(bit.en for bit in bits) or "not defined by the standard"
    return f"{data[0]:02X} {zh}", f"{data[0]:02X} {en}"


READERS: Final[Mapping[str, Callable[[bytes], Text]]] = {
    "number": _number,
    "digits": _digits,
    "secret": lambda _: (SECRET_TEXT, SECRET_TEXT),
    "level": _level,
    "baud": _baud,
    "clock": lambda data: clock_text("smhDMY", data),
    "freeze": _freeze,
    "control": _control_class,
    "error": _error,
    "error 1997": lambda data: _error(data, edition_1997=True),
}

"""CJ/T 188 frames explained field by field, in Chinese and English.

Rule: never raises, and every byte belongs to one field; bytes that fit nothing are shown as bytes. The names are those
of drivers/cjt188_words.py.

Source: CJ/T 188-2004 section 7 with the additions of the 2018 edition.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Final

from drivers.cjt188 import (
    ADDRESS_AT,
    ADDRESS_BYTES,
    ANY,
    CONTROL_AT,
    DATA_AT,
    END,
    FRAME_MIN,
    FROM_METER,
    FUNCTION,
    LENGTH_AT,
    MORE,
    REFUSAL_BYTES,
    REFUSED,
    START,
    VALVE_CLOSE,
    VALVE_DI,
    VALVE_OPEN,
    WAKE,
    WRITE_DATA,
    address_text,
)
from drivers.cjt188_words import (
    BATTERY_LOW,
    BATTERY_NAME,
    DI_NAMES,
    FUNCTION_NAMES,
    LAYOUTS,
    PLAIN_TYPES,
    TYPE_NAMES,
    UNIT_CODES,
    UNIT_NAMES,
    VALVE_MASK,
    VALVE_NAMES,
    Place,
    layout_bytes,
)
from drivers.explain import Field

Text = tuple[str, str]  # Chinese, English
_UNKNOWN: Final[Text] = ("未知", "unknown")
_VALVE: Final[dict[int, Text]] = {VALVE_OPEN: ("开阀", "open the valve"), VALVE_CLOSE: ("关阀", "close the valve")}
CURRENT_DI: Final = 0x901F
SETTLEMENT_DIS: Final = range(0xD120, 0xD12C)
CLOCK_BYTES: Final = 7
STATUS_BYTES: Final = 2
_WAKES: Final = bytes((WAKE,))


def explain(data: bytes) -> list[Field]:
    """Explain a frame of either direction, or several in a row, with what stands before, between and behind them."""
    fields: list[Field] = []
    at = 0
    while (start := _start(data, at)) >= 0:
        end = start + FRAME_MIN + data[start + LENGTH_AT]
        fields += _before(data[at:start], at)
        fields += (replace(field, at=field.at + start) for field in _frame(data[start:end]))
        at = end
    if fields or not data:
        return fields + ([_raw(at, data[at:], "帧后字节", "bytes after the frame")] if at < len(data) else [])
    lead = len(data) - len(data.lstrip(_WAKES))
    body = data[lead:]
    return [*_before(data[:lead], 0), *([_raw(lead, body, "不是完整帧", "no whole frame")] if body else [])]


def _start(data: bytes, at: int) -> int:
    """Return where the next frame begins that is whole by its length, -1 for nowhere.

    Behind the wake-up bytes any does; amid noise one with a known type and its end mark.
    """
    lead = at + len(data[at:]) - len(data[at:].lstrip(_WAKES))
    for start in range(at, len(data) - FRAME_MIN + 1):
        end = start + FRAME_MIN + data[start + LENGTH_AT]
        if data[start] != START or end > len(data):
            continue
        if start == lead or (data[start + 1] in (*PLAIN_TYPES, ANY) and data[end - 1] == END):
            return start
    return -1


def _before(data: bytes, at: int) -> Iterator[Field]:
    """Explain what stands before a frame: noise, and wake-up bytes."""
    noise = len(data.rstrip(_WAKES))
    if noise:
        yield _raw(at, data[:noise], "帧前字节", "bytes before the frame")
    if noise < len(data):
        yield Field(at + noise, len(data) - noise, "唤醒字节", "wake-up bytes", f"FE × {len(data) - noise}")


def _frame(frame: bytes) -> Iterator[Field]:
    control, check = frame[CONTROL_AT], sum(frame[:-2]) & 0xFF
    yield Field(0, 1, "帧起始符", "start", f"{START:02X}")
    kind = TYPE_NAMES.get(frame[1], _UNKNOWN)
    yield _named(1, "仪表类型", "meter type", frame[1], kind, wrong=frame[1] not in PLAIN_TYPES and frame[1] != ANY)
    yield _address(frame[ADDRESS_AT:CONTROL_AT])
    yield _control(control)
    yield Field(LENGTH_AT, 1, "数据长度", "length", str(frame[LENGTH_AT]))
    data = frame[DATA_AT:-2]
    yield from (replace(field, at=field.at + DATA_AT) for field in _data(control, data))
    text = f"{frame[-2]:02X}"
    fault = frame[-2] != check
    yield Field(
        len(frame) - 2, 1, "校验码", "checksum",
        f"{text}, not {check:02X}" if fault else text, f"{text}，应为 {check:02X}" if fault else "", wrong=fault,
    )  # fmt: skip
    yield Field(len(frame) - 1, 1, "结束符", "end", f"{frame[-1]:02X}", wrong=frame[-1] != END)


def _address(address: bytes) -> Field:
    text = address_text(address)
    maker, number = text[:4], text[4:]
    wild = text == "AA" * ADDRESS_BYTES
    value = ("任意表", "any meter") if wild else (f"{number}，厂商代码 {maker}", f"{number}, maker {maker}")
    return Field(ADDRESS_AT, ADDRESS_BYTES, "地址", "address", value[1], value[0])


def _control(control: int) -> Field:
    zh, en = FUNCTION_NAMES.get(control & FUNCTION, _UNKNOWN)
    flags: list[Text] = [("应答", "reply") if control & FROM_METER else ("请求", "request")]
    flags += [("异常", "refused")] if control & REFUSED else []
    flags += [("有后续帧", "more follows")] if control & MORE else []
    return Field(
        CONTROL_AT, 1, "控制码", "control",
        f"{control:02X} {en}, " + ", ".join(flag[1] for flag in flags),
        f"{control:02X} {zh}，" + "，".join(flag[0] for flag in flags),
        wrong=bool(control & REFUSED) or control & FUNCTION not in FUNCTION_NAMES,
    )  # fmt: skip


def _data(control: int, data: bytes) -> Iterator[Field]:
    """Explain the data of a frame; places are counted from their start."""
    if control & REFUSED and len(data) == REFUSAL_BYTES:
        yield _sequence(0, data)
        yield _status(1, data[1:])
    elif len(data) < 3:
        if data:
            yield _raw(0, data)
    else:
        di, low_first = _identifier(data)
        zh, en = DI_NAMES.get(di, _UNKNOWN)
        order = ("，低字节在前", ", low byte first") if low_first else ("", "")
        yield Field(0, 2, "数据标识", "data identifier", f"{di:04X} {en}{order[1]}", f"{di:04X} {zh}{order[0]}")
        yield _sequence(2, data)
        write = control & FUNCTION == WRITE_DATA
        payload = data[3:]
        fields = _written(control, di, payload) if write else _read(di, payload)
        yield from (replace(field, at=field.at + 3) for field in fields)


def _identifier(data: bytes) -> tuple[int, bool]:
    """Return an identifier and whether its low byte came first; what is known in neither order is taken high first."""
    low = int.from_bytes(data[:2], "little")
    high = int.from_bytes(data[:2], "big")
    return (low, True) if low in DI_NAMES and high not in DI_NAMES else (high, False)


def _written(control: int, di: int, payload: bytes) -> Iterator[Field]:
    if control & FROM_METER and len(payload) == STATUS_BYTES:
        yield _status(0, payload)
    elif di == VALVE_DI and len(payload) == 1:
        text = _VALVE.get(payload[0], _UNKNOWN)
        yield _named(0, "阀门命令", "valve command", payload[0], text, wrong=payload[0] not in _VALVE)
    elif len(payload) == CLOCK_BYTES:
        yield _clock(Place("Clock", "标准时间", "clock", 0, CLOCK_BYTES), payload)
    elif payload:
        yield _raw(0, payload, "数据", "data")


def _read(di: int, payload: bytes) -> Iterator[Field]:
    layout = _layout(di, payload)
    if not layout:
        if payload:
            yield _raw(0, payload, "数据", "data")
        return
    parts = [part for place in LAYOUTS[layout] for part in _place(place, payload)]
    yield from sorted(parts, key=lambda field: field.at)


def _layout(di: int, payload: bytes) -> str:
    """Return which layout a payload has: by its length, and the order of units by where known unit codes stand."""
    names = ["settlement"] if di in SETTLEMENT_DIS else [name for name in LAYOUTS if name != "settlement"]
    if di != CURRENT_DI and di not in SETTLEMENT_DIS:
        return ""
    fitting = [name for name in names if layout_bytes(name) == len(payload)]
    return max(fitting, key=lambda name: _known_units(name, payload), default="")


def _known_units(layout: str, payload: bytes) -> int:
    return sum(payload[place.unit_at] in UNIT_CODES for place in LAYOUTS[layout] if place.unit_at >= 0)


def _place(place: Place, payload: bytes) -> Iterator[Field]:
    data = payload[place.at : place.at + place.size]
    if place.kind == "status":
        yield _status(place.at, data)
        return
    if place.kind == "clock":
        yield _clock(place, data)
        return
    unit, known = place.unit, True
    if place.unit_at >= 0:
        code = payload[place.unit_at]
        unit, known = UNIT_NAMES.get(code, ""), code in UNIT_CODES
    number = _number(data, place.scale)
    value = f"{number or data.hex(' ').upper()} {unit}".strip()
    yield Field(place.at, place.size, place.name_zh, place.name_en, value, wrong=not number)
    if place.unit_at >= 0:
        text = (unit, unit) if known else _UNKNOWN
        yield _named(place.unit_at, f"{place.name_zh}单位", f"unit of {place.name_en}", code, text, wrong=not known)


def _number(data: bytes, scale: Fraction) -> str:
    """Return packed decimal digits with the decimals of their field, "" when they are none."""
    digits = data[::-1].hex()
    if not digits.isdecimal():
        return ""
    decimals = len(str(scale.denominator)) - 1
    return f"{int(digits) // 10**decimals}.{int(digits) % 10**decimals:0{decimals}d}" if decimals else f"{int(digits)}"


def _clock(place: Place, data: bytes) -> Field:
    digits = data[::-1].hex()
    year, rest = digits[:4], [digits[at : at + 2] for at in range(4, 14, 2)]
    text = f"{year}-{rest[0]}-{rest[1]} {rest[2]}:{rest[3]}:{rest[4]}"
    return Field(place.at, place.size, place.name_zh, place.name_en, text, wrong=not _is_time(digits))


def _is_time(digits: str) -> bool:
    if not digits.isdecimal():
        return False
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
    return 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60


def _status(at: int, data: bytes) -> Field:
    word = int.from_bytes(data, "little")
    valve = VALVE_NAMES[word & VALVE_MASK]
    low = BATTERY_NAME if word & BATTERY_LOW else ("", "")
    rest = word & ~(VALVE_MASK | BATTERY_LOW)
    more = (f"，厂商位 {rest:04X}", f", maker's bits {rest:04X}") if rest else ("", "")
    return Field(
        at, len(data), "状态ST", "status",
        f"{word:04X} {valve[1]}{', ' + low[1] if low[1] else ''}{more[1]}",
        f"{word:04X} {valve[0]}{'，' + low[0] if low[0] else ''}{more[0]}",
    )  # fmt: skip


def _sequence(at: int, data: bytes) -> Field:
    return Field(at, 1, "序列号SER", "sequence number", f"{data[at]:02X}")


def _named(at: int, zh: str, en: str, code: int, text: Text, wrong: bool = False) -> Field:
    return Field(at, 1, zh, en, f"{code:02X} {text[1]}", f"{code:02X} {text[0]}", wrong)


def _raw(at: int, data: bytes, zh: str = "其余字节", en: str = "other bytes") -> Field:
    return Field(at, len(data), zh, en, data.hex(" ").upper())

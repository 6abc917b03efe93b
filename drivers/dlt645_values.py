"""Values of DL/T 645 data as people read them: exact decimals with their unit, times, status bits, absent and invalid.

Rule: pure; a number goes from its digits to text without a float, and a pattern that is no number says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from drivers.bcd import decode_bcd, decode_sbcd, is_bcd
from drivers.dlt645_items import Item
from drivers.dlt645_words import STATUS_WORD_NAMES, decode_status, undefined_bits

Text = tuple[str, str]  # Chinese, English

ABSENT: Final[Text] = ("无", "absent")
INVALID: Final[Text] = ("不是有效数据", "not valid")
DEMAND_BYTES: Final = 3  # of a demand; the rest says when it was
WEEKDAYS: Final = ("星期日", "星期一", "星期二", "星期三", "星期四", "星期五", "星期六")
WEEKDAYS_EN: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


@dataclass(frozen=True, slots=True)
class ValueText:
    """One value of a reply in words."""

    at: int  # in the data behind the identifier
    size: int
    name: Text  # of the value inside a block; ("", "") when there is only one
    text: Text
    wrong: bool = False


def decimal_text(value: int, decimals: int) -> str:
    """Return an integer count as a decimal number, all digits kept: -1412 with 2 decimals is "-14.12"."""
    if not decimals:
        return str(value)
    digits = f"{abs(value):0{decimals + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def hex_text(data: bytes) -> str:
    """Return bytes as people write them."""
    return data.hex(" ").upper()


def clock_text(layout: str, data: bytes) -> Text:
    """Return a date, a time or a row of a schedule; `layout` names the bytes in wire order."""
    if not is_bcd(data):
        return ABSENT if data.count(0xFF) == len(data) > 0 else INVALID
    shown = {letter: f"{byte:02X}" for letter, byte in zip(layout, data, strict=True)}
    date = "-".join(shown[letter] for letter in "YMD" if letter in shown)
    time = ":".join(shown[letter] for letter in "hms" if letter in shown)
    text = " ".join(part for part in ("20" * ("Y" in shown) + date, time) if part)
    zh = en = text
    if "W" in shown:
        weekday = int(shown["W"])
        zh += " " + (WEEKDAYS[weekday] if weekday < 7 else "?")
        en += " " + (WEEKDAYS_EN[weekday] if weekday < 7 else "?")
    if "N" in shown:
        zh, en = f"{zh} → {shown['N']}", f"{en} -> {shown['N']}"
    return zh, en


def item_texts(item: Item, data: bytes) -> Iterator[ValueText]:
    """Yield the values of an identifier in order; data of another length than its own end with a wrong rest."""
    count = len(data) // item.size if item.block else min(len(data) // item.size, 1)
    for number in range(count):
        at = number * item.size
        piece = data[at : at + item.size]
        if item.kind == "status":
            yield from _status(item.decimals + number, piece, at)
        else:
            name = item.parts[number] if number < len(item.parts) else ("", "")
            if item.block and name == ("", ""):
                name = (f"第{number + 1}项", f"no. {number + 1}")
            text = value_text(item, piece)
            yield ValueText(at, item.size, name, text, wrong=text == INVALID)
    if count * item.size < len(data) or not count:
        at = count * item.size
        rest = hex_text(data[at:]) or "-"
        yield ValueText(at, len(data) - at, ("其余数据", "further data"), (rest, rest), wrong=True)


def value_text(item: Item, data: bytes) -> Text:
    """Return one value in words, with its unit."""
    if item.kind == "digits":
        text = data[::-1].hex().upper()
        return text, text
    if item.kind == "time":
        return clock_text(item.layout, data)
    if item.kind == "bytes":
        return hex_text(data), hex_text(data)
    if item.kind == "demand":
        number = _number_text(item, data[:DEMAND_BYTES], signed=True)
        when = clock_text("mhDMY", data[DEMAND_BYTES:])
        if INVALID in (number, when):
            return INVALID
        return f"{number[0]}，{when[0]}", f"{number[1]} at {when[1]}"
    return _number_text(item, data, item.kind == "sbcd")


def _number_text(item: Item, data: bytes, signed: bool) -> Text:
    try:
        value = decode_sbcd(data) if signed else decode_bcd(data)
    except ValueError:
        return INVALID
    if value is None:
        return ABSENT
    number = decimal_text(value, item.decimals)
    return f"{number} {item.unit_zh or item.unit}".rstrip(), f"{number} {item.unit}".rstrip()


def _status(number: int, data: bytes, at: int) -> Iterator[ValueText]:
    """Yield a status word bit by bit; a place of its own for each of its two bytes would hide what belongs together."""
    if number not in STATUS_WORD_NAMES:
        yield ValueText(at, len(data), ("其余数据", "further data"), (hex_text(data), hex_text(data)), wrong=True)
        return
    word = int.from_bytes(data, "little")
    yield ValueText(at, len(data), STATUS_WORD_NAMES[number], (f"{word:04X}", f"{word:04X}"))
    for found in decode_status(number, data):
        place = f"{found.bits.bit}" if found.bits.width == 1 else f"{found.bits.bit}-{found.bits.bit + 1}"
        name = (f"  位{place} {found.bits.zh}", f"  bit {place} {found.bits.en}")
        yield ValueText(at + found.bits.bit // 8, 0, name, (found.zh, found.en))
    unnamed = undefined_bits(number, data)
    if unnamed:
        yield ValueText(at, 0, ("  未定义的位", "  undefined bits"), (f"{unnamed:04X}", f"{unnamed:04X}"))

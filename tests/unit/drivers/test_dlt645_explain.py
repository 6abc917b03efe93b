"""DL/T 645 explained: every published frame byte by byte, tables without gaps or doubles, and never a password."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers import dlt645, dlt645_1997
from drivers.device import Secret
from drivers.dlt645_explain import FUNCTIONS, READERS, REPLIES, REQUESTS, SECRET_TEXT, explain
from drivers.dlt645_frame import FROM_METER, MORE, REFUSED, address_bytes, encode_frame
from drivers.dlt645_items import ITEMS, ITEMS_1997, PHASE_VALUES, REGISTERS, item_of, item_of_1997
from drivers.dlt645_values import clock_text, decimal_text, item_texts
from drivers.dlt645_words import (
    ERRORS_1997,
    ERRORS_2007,
    STATUS_WORD_NAMES,
    STATUS_WORDS,
    decode_status,
    undefined_bits,
)
from drivers.explain import Field

VECTORS: dict[str, list[dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parents[2] / "vectors" / "dlt645.toml").read_text(encoding="utf-8")
)
FRAMES = {
    f"{row['name']}, {key}": bytes.fromhex(row[key])
    for table in VECTORS.values()
    for row in table
    for key in ("request", "reply", "frame")
    if key in row
}
METER = address_bytes("112233445566")


def covers(fields: list[Field], size: int) -> bool:
    """Tell whether the fields cover every byte once, in order."""
    places = [(field.at, field.size) for field in fields if field.size]
    ends = [0, *(at + length for at, length in places)]
    return [at for at, _ in places] == ends[:-1] and ends[-1] == size


@pytest.mark.parametrize("name", FRAMES)
def test_every_published_frame_is_explained_whole(name: str) -> None:
    fields = explain(FRAMES[name])
    assert covers(fields, len(FRAMES[name]))
    assert [field.en for field in fields if field.wrong] == (["checksum"] if name.startswith("N1") else [])
    assert all(field.zh and field.en for field in fields)


def said(frame: bytes) -> dict[str, str]:
    return {field.en.strip(): field.value for field in explain(frame)}


def said_zh(frame: bytes) -> dict[str, str]:
    return {field.zh.strip(): field.value_zh or field.value for field in explain(frame)}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("T1 forward active energy, 0.26 kWh, reply", "value", "0.26 kWh"),
        ("T2 voltage A, 100.1 V, reply", "value", "100.1 V"),
        ("T6 the undefined word FE of a real meter, frame", "error word", "FE not defined by the standard"),
        ("password wrong, to control 1C, frame", "error word", "04 password wrong or not authorised"),
        ("T7 trip, level 0, expiry 2018-05-12 15:41:24, request", "class of control N1", "1A trip"),
        ("T7 trip, level 0, expiry 2018-05-12 15:41:24, request", "void after", "2018-05-12 15:41:24"),
        ("T9 baud rate 2400, request", "baud rate word", "08 2400 Bd"),
        ("T10 frequency, 50.03 Hz, reply", "value", "50.03 Hz"),
        ("T11 meter number 002241020208, reply", "value", "002241020208"),
        ("active power, -12.3456 kW, reply", "value", "-12.3456 kW"),
        ("power factor, 0.985, reply", "value", "0.985"),
        ("maximum demand, 45.6789 kW at 2026-07-15 14:30, reply", "value", "45.6789 kW at 2026-07-15 14:30"),
        ("block of voltages, the third phase is absent, reply", "phase C", "absent"),
        ("status word 3, relay open by command, reply", "bit 4 relay position", "open"),
        ("status word 3, relay open by command, reply", "bit 6 relay command", "trip"),
        ("status word 3, protected supply, reply", "bit 12 protected supply", "yes"),
        ("B611 voltage A, 100 V, reply", "value", "100 V"),
        ("broadcast time 2026-07-15 10:20:30, request", "date and time", "2026-07-15 10:20:30"),
        ("monthly freeze, day 1 00:00, request", "freeze time", "every month on day 01 at 00:00"),
    ],
)
def test_what_the_frames_say(name: str, field: str, value: str) -> None:
    assert said(FRAMES[name])[field] == value


def test_the_same_in_chinese() -> None:
    block = said_zh(
        FRAMES["block of forward energies: total 1000, sharp 100, peak 300, flat 400, valley 200 kWh, reply"]
    )
    assert {block[name] for name in "总尖峰平谷"} == {f"{n}00.00 kWh" for n in (10, 1, 3, 4, 2)}
    assert said_zh(FRAMES["remaining money, 88.60 yuan, reply"])["数据"] == "88.60 元"
    assert said_zh(FRAMES["status word 3, protected supply, reply"])["位12 保电状态"] == "保电"
    assert said_zh(FRAMES["trip, request"])["控制命令类型N1"] == "1A 跳闸"


SECRET, NEW = Secret("918273", "00000000"), Secret("645546")
GUARDED = {
    "write": dlt645.write("1", 0x0400_1001, bytes(4), SECRET),
    "control": dlt645.control("1", dlt645.TRIP, SECRET, bytes(6)),
    "clear demand": dlt645.clear_demand("1", SECRET),
    "clear meter": dlt645.clear_meter("1", SECRET),
    "clear events": dlt645.clear_events("1", SECRET),
    "change password": dlt645.change_password("1", 0x0400_0C01, SECRET, NEW),
    "write of 1997": dlt645_1997.write("1", 0xC032, bytes(6), "00918273"),
}


@pytest.mark.parametrize("name", GUARDED)
def test_no_password_is_shown_however_much_of_the_frame_there_is(name: str) -> None:
    wire = GUARDED[name].wire
    pieces = {f"{digit:02X}" for digit in (0x91, 0x82, 0x73, 0x64, 0x55, 0x46)}
    for size in range(len(wire) + 1):
        shown = [field.value for field in explain(wire[:size])]
        assert not pieces & {word for value in shown for word in value.split()}, size
        if size == len(wire):
            assert SECRET_TEXT in shown
            assert said(wire)["checksum"] == SECRET_TEXT


def test_the_password_that_a_meter_echoes_is_hidden() -> None:
    echo = encode_frame(METER, dlt645.CHANGE_PASSWORD | FROM_METER, b"\x02" + bytes.fromhex("735291"))
    assert said(echo)["new password"] == said(echo)["checksum"] == SECRET_TEXT


@given(st.binary(max_size=60), st.binary(max_size=8), st.integers(0, 255), st.binary(max_size=60))
@example(b"", b"", 0x91, b"")
@example(b"", b"", 0x91, b"\x00\xff\x05\x04" + bytes(20))
@example(b"\x68" * 40, b"", 0x11, b"")
def test_anything_is_explained_without_an_error(noise: bytes, more: bytes, control: int, data: bytes) -> None:
    for frame in (noise, noise + encode_frame(METER, control, data, 2) + more):
        assert covers(explain(frame), len(frame))


@given(st.sampled_from(sorted(ITEMS)), st.binary(max_size=30))
def test_the_data_of_every_identifier_are_explained_whole(di: int, data: bytes) -> None:
    frame = encode_frame(METER, 0x91, di.to_bytes(4, "little") + data)
    assert covers(explain(frame), len(frame))
    assert said(frame)["data identifier"] == f"{di:08X} {ITEMS[di].en}"


def test_broken_data_are_marked() -> None:
    def wrong(control: int, data: bytes) -> list[str]:
        return [field.en for field in explain(encode_frame(METER, control, data)) if field.wrong]

    energy = bytes.fromhex("00000100")
    assert wrong(0x91, energy + bytes.fromhex("1A000000")) == ["value"]
    assert wrong(0x91, energy + bytes(3)) == ["further data"]
    assert wrong(0x91, energy + bytes(5)) == ["further data"]
    assert wrong(0x91, energy[:3]) == ["data identifier"]
    assert wrong(0x91 | MORE, energy + bytes(4)) == []
    assert wrong(0x91 | REFUSED, b"") == ["error word"]
    assert wrong(0x9C, b"\x00") == ["further data"]
    assert wrong(0x91, bytes.fromhex("FF050004") + bytes(14)) == []
    assert wrong(0x91, bytes.fromhex("FF050004") + bytes(16)) == ["further data"]


def test_tables_of_identifiers() -> None:
    for table, find in ((ITEMS, item_of), (ITEMS_1997, item_of_1997)):
        for di, item in table.items():
            assert find(di) is item
            assert item.zh
            assert item.en
            if item.kind == "time":
                assert len(item.layout) == item.size
    for rows in (ITEMS, ITEMS_1997):
        assert len({item.zh for item in rows.values()}) == len(rows), "two identifiers of one name"
        assert len({item.en for item in rows.values()}) == len(rows)
    assert not {di >> 16 for di in ITEMS} & (set(REGISTERS) | set(PHASE_VALUES)), "a family and a single row overlap"


@pytest.mark.parametrize(
    ("di", "en", "zh"),
    [
        (0x0001_0100, "forward active energy, sharp", "正向有功电能 尖"),
        (0x0001_0500, "forward active energy, rate 5", "正向有功电能 费率5"),
        (0x0001_040C, "forward active energy, settlement day -12, valley", "正向有功电能（上12结算日） 谷"),
        (0x0203_0000, "active power, total", "瞬时有功功率 总"),
        (0x0203_FF00, "active power, block", "瞬时有功功率数据块"),
        (0x0201_0300, "voltage, phase C", "电压 C相"),
    ],
)
def test_names_of_families(di: int, en: str, zh: str) -> None:
    item = item_of(di)
    assert item is not None
    assert (item.en, item.zh) == (en, zh)


@pytest.mark.parametrize(
    "di", [0x0001_000D, 0x0001_4000, 0x0201_0000, 0x0201_0400, 0x0201_0101, 0x1234_5678, 0xFFFF_FFFF]
)
def test_identifiers_that_nobody_knows(di: int) -> None:
    assert item_of(di) is None


def test_identifiers_of_1997() -> None:
    names = {
        di: getattr(item_of_1997(di), "en", None) for di in (0x9010, 0x9014, 0x901F, 0x9420, 0xB613, 0xB630, 0xB63F)
    }
    assert names == {
        0x9010: "forward active energy, present, total",
        0x9014: "forward active energy, present, valley",
        0x901F: "forward active energy, present, block",
        0x9420: "reverse active energy, last month, total",
        0xB613: "voltage, phase C",
        0xB630: "active power, total",
        0xB63F: "active power, block",
    }
    for di in (0xB610, 0xB614, 0x9030, 0x9110, 0x0000):
        assert item_of_1997(di) is None


def test_tables_of_functions() -> None:
    assert set(REQUESTS) | set(REPLIES) <= set(FUNCTIONS)
    for parts in (*REQUESTS.values(), *REPLIES.values()):
        assert {part.kind for part in parts} <= set(READERS) | {"di", "value"}
        assert sum(part.size < 0 for part in parts) <= 1


def test_status_words_name_each_bit_once() -> None:
    assert set(STATUS_WORDS) == set(STATUS_WORD_NAMES) == set(range(1, 8))
    for number, table in STATUS_WORDS.items():
        places = [bit for bits in table for bit in range(bits.bit, bits.bit + bits.width)]
        assert places == sorted(set(places)), number
        assert places[-1] < 16
        assert all(len(bits.states) == 1 << bits.width for bits in table)
        assert len({bits.en for bits in table}) == len(table)


@given(st.sampled_from(sorted(STATUS_WORDS)), st.integers(0, 0xFFFF))
def test_status_words_say_every_bit(number: int, word: int) -> None:
    data = word.to_bytes(2, "little")
    rebuilt = sum(found.value << found.bits.bit for found in decode_status(number, data))
    assert rebuilt | undefined_bits(number, data) == word
    assert rebuilt & undefined_bits(number, data) == 0


def test_a_status_word_has_two_bytes() -> None:
    with pytest.raises(ValueError, match="two bytes, not 3"):
        decode_status(3, bytes(3))


def test_error_words() -> None:
    assert [ERRORS_2007[1 << bit].name for bit in range(8)] == [
        "other error", "no such data", "password wrong or not authorised", "baud rate cannot be changed",
        "too many year zones", "too many day slots", "too many tariffs", "unknown exception",
    ]  # fmt: skip
    assert ERRORS_2007[0].name == ERRORS_2007[0xFE].name == ERRORS_1997[0x08].name == "unknown exception"
    assert ERRORS_2007[6].name == "no such data, password wrong or not authorised"
    assert ERRORS_2007[1].answer == "fault"
    assert ERRORS_2007[2].answer == ERRORS_1997[1].answer == "refused"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0, 2, "0.00"), (5, 2, "0.05"), (-5, 2, "-0.05"), (-1412, 2, "-14.12"), (7, 0, "7"), (12345678, 2, "123456.78")],
)
def test_decimals_are_exact(value: int, decimals: int, text: str) -> None:
    assert decimal_text(value, decimals) == text


@pytest.mark.parametrize(
    ("layout", "data", "en"),
    [
        ("WDMY", "03150726", "2026-07-15 Wednesday"),
        ("WDMY", "09150726", "2026-07-15 ?"),
        ("smh", "302010", "10:20:30"),
        ("smhWDMY", "30201003150726", "2026-07-15 10:20:30 Wednesday"),
        ("hD", "0001", "01 00"),
        ("NDM", "020107", "07-01 -> 02"),
        ("Nmh", "033008", "08:30 -> 03"),
        ("mhDMY", "FFFFFFFFFF", "absent"),
        ("smh", "3F2010", "not valid"),
    ],
)
def test_times(layout: str, data: str, en: str) -> None:
    assert clock_text(layout, bytes.fromhex(data))[1] == en


def test_a_block_is_as_long_as_the_meter_makes_it() -> None:
    block = item_of(0x0001_FF00)
    assert block is not None
    names = [value.name[1] for value in item_texts(block, bytes(28))]
    assert names == ["total", "sharp", "peak", "flat", "valley", "no. 6", "no. 7"]


def test_several_frames_in_a_row_are_all_explained() -> None:
    """An adapter that hears itself gives the request back before the answer; a long answer comes in parts."""
    asked = bytes.fromhex("FE FE 68 66 55 44 33 22 11 68 11 04 33 33 34 33 17 16".replace("17", "AE"))
    reply = bytes.fromhex("FE 68 66 55 44 33 22 11 68 91 08 33 33 34 33 9A 78 56 45 C0 16")
    fields = explain(asked + reply + b"\x00")
    assert [field.value for field in fields if field.en == "control code"] == ["11 request: read", "91 reply: read"]
    assert [field.en for field in fields][-2:] == ["end", "bytes behind the frame"]
    ends = [field.at + field.size for field in fields]
    assert [field.at for field in fields] == [0, *ends[:-1]]
    assert ends[-1] == len(asked + reply) + 1


def test_noise_is_not_taken_for_a_frame() -> None:
    (field,) = explain(bytes(range(0x80, 0x94)))
    assert (field.en, field.value, field.wrong) == ("no whole DL/T 645 frame", "20 bytes", True)

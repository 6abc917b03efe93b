"""CJ/T 188 frames explained: every byte belongs to one field, whatever the bytes are."""

import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.cjt188_explain import explain
from drivers.cjt188_words import LAYOUTS
from drivers.explain import Field

VECTORS = tomllib.loads((Path(__file__).parents[2] / "vectors" / "cjt188.toml").read_text(encoding="utf-8"))
FRAMES = [bytes.fromhex(v[key]) for v in chain(*VECTORS.values()) for key in ("request", "reply") if key in v]


def covered(fields: list[Field], frame: bytes) -> bool:
    ends = [field.at + field.size for field in fields]
    return [field.at for field in fields] == [0, *ends[:-1]][: len(fields)] and (ends or [0])[-1] == len(frame)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda f: f[:14].hex())
def test_every_byte_of_a_printed_frame_is_explained_in_two_languages(frame: bytes) -> None:
    fields = explain(b"\xfe\xfe" + frame + b"\x00")
    assert covered(fields, b"\xfe\xfe" + frame + b"\x00")
    assert all(field.zh and field.en for field in fields)
    wrong = {field.en for field in fields if field.wrong}
    assert wrong == ({"control"} if frame[9] == 0xC4 else set())


@pytest.mark.parametrize("vector", [v for v in VECTORS["read"] if "values" in v], ids=lambda v: v["name"])
def test_a_printed_reply_says_what_it_is_known_to_mean(vector: dict[str, Any]) -> None:
    shown = {field.en: field.value for field in explain(bytes.fromhex(vector["reply"]))}
    names = {place.measure: place.name_en for place in LAYOUTS[vector["layout"]]}
    assert {measure: shown[names[measure]] for measure in vector["values"]} == vector["values"]


@pytest.mark.parametrize(
    ("frame", "zh", "en"),
    [
        ("68 10 78 56 34 12 00 00 00 04 04 17 A0 01 99 E5 16", "99 关阀", "99 close the valve"),
        ("68 10 78 56 34 12 00 00 00 C4 03 01 00 00 54 16", "C4 写数据，应答，异常", "C4 write data, reply, refused"),
        ("68 AA AA AA AA AA AA AA AA 03 03 81 0A 00 49 16", "任意表", "any meter"),
        ("68 20 78 56 34 12 00 11 11 01 03 1F 90 01 72 16", "0012345678，厂商代码 1111", "0012345678, maker 1111"),
        ("68 20 78 56 34 12 00 11 11 01 03 1F 90 01 73 16", "73，应为 72", "73, not 72"),
    ],
)
def test_what_people_see(frame: str, zh: str, en: str) -> None:
    fields = explain(bytes.fromhex(frame))
    assert zh in {field.value_zh for field in fields}
    assert en in {field.value for field in fields}


def test_what_is_wrong_in_the_data_is_marked() -> None:
    """An unknown unit, digits that are none, an impossible date."""
    reply = "68 10 78 56 34 12 00 00 00 81 16 1F 90 00 45 23 A1 00 2C 00 00 01 00 2A 30 20 10 15 13 26 20 05 00 00 16"
    wrong = {field.en for field in explain(bytes.fromhex(reply)) if field.wrong}
    assert wrong == {"volume", "unit of volume at settlement", "clock", "checksum"}


@given(st.binary(max_size=80) | st.sampled_from(FRAMES).flatmap(lambda f: st.integers(0, len(f)).map(lambda n: f[:n])))
def test_any_bytes_are_explained_without_a_gap(data: bytes) -> None:
    assert covered(explain(data), data)


@given(st.sampled_from(FRAMES), st.integers(0, 60), st.integers(0, 255))
def test_a_changed_frame_is_explained_without_a_gap(frame: bytes, at: int, value: int) -> None:
    changed = frame[: at % len(frame)] + bytes((value,)) + frame[at % len(frame) + 1 :]
    assert covered(explain(changed), changed)


def test_several_frames_with_noise_between_them_are_all_explained() -> None:
    asked, reply = (bytes.fromhex(VECTORS["read"][0][key]) for key in ("request", "reply"))
    data = b"\x01\x68\x10" + b"\xfe\xfe" + asked + b"\x00\xfe" + reply
    fields = explain(data)
    assert covered(fields, data)
    assert [field.at for field in fields if field.en == "start"] == [5, len(data) - len(reply)]
    assert [field.en for field in fields].count("bytes before the frame") == 2

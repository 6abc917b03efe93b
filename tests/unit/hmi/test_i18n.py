"""Every text a person reads has its Chinese, every code its word; what is in the catalogue is used."""

import re
from pathlib import Path
from typing import get_args

import pytest
from babel.messages.extract import extract_from_file

import hmi
from alarms.lifecycle import STATES as ALARM_STATES
from billing_core.plan import RATES
from config.plant import Plant
from hmi.i18n import read_catalogue, read_languages
from hmi.switch_words import Kind
from hmi.words import WORDS, of_tag, refusal, word
from scada.command import STATES as COMMAND_STATES
from scada.quality import NAMES
from scada.roles import PERMISSIONS
from scada.topology import ENERGISED_STATES

ROOT = Path(hmi.__file__).parent
KEYWORDS = {"_": None, "N_": None, "texts": None}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"\{[a-z_]+\}")


def used_texts() -> set[str]:
    found: set[str] = set()
    for method, pattern in (("python", "*.py"), ("jinja2.ext:babel_extract", "*.html")):
        for path in ROOT.rglob(pattern):
            for _, message, _, _ in extract_from_file(method, str(path), keywords=KEYWORDS):
                if isinstance(message, str):
                    found.add(message)
    return found


def test_every_text_has_a_translation() -> None:
    chinese = read_catalogue("zh")
    missing = sorted(text for text in used_texts() if not CHINESE.search(chinese.get(text, "")))
    assert not missing
    assert len(used_texts()) > 150  # the extraction saw templates and code


def test_english_is_the_source_text() -> None:
    english = read_catalogue("en")
    assert english == {text: text for text in used_texts()}


def test_no_translation_is_left_over() -> None:
    assert set(read_catalogue("zh")) == used_texts()


def test_placeholders_survive_translation() -> None:
    for text, translated in read_catalogue("zh").items():
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(translated)), text


@pytest.mark.parametrize(
    ("group", "codes"),
    [
        ("command", COMMAND_STATES),
        ("alarm", ALARM_STATES),
        ("rate", RATES),
        ("energised", ENERGISED_STATES),
        ("role", tuple(PERMISSIONS)),
        ("quality", tuple(NAMES.values())),
    ],
)
def test_every_code_has_a_word(group: str, codes: tuple[str, ...]) -> None:
    assert not set(codes) - set(WORDS[group])


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_state_of_the_plant_has_a_chinese_word(plant: Plant, kind: Kind) -> None:
    texts = read_languages()["zh"]
    for tag in plant.tags.tags:
        if tag.kind in ("enum", "boolean"):
            assert all(CHINESE.search(text) for text in of_tag(tag.name, tag.states, kind, texts)), tag.id


def test_unknown_codes_show_themselves() -> None:
    texts = read_languages()["zh"]
    assert word("command", "teleported", texts) == "teleported"
    assert refusal("new.code", "An English sentence", texts) == "An English sentence"
    assert CHINESE.search(refusal("interlock.stale", "", texts))

"""Passwords of meters: who may read them, which words a meter gets, and that nothing ever shows one."""

import shutil
from pathlib import Path

import pytest

import run
from config import profiling
from config.loader import read_sources
from config.plant import load
from config.secrets import secret_faults

CONFIG = Path(__file__).parents[3] / "config"
METERS = """id,name_zh,name_en,profile,gateway,unit,address,serial,building
d1,一,One,dlt645-2007-1p,g,,1,s1,a
d2,二,Two,dlt645-2007-1p,g,,2,s2,a
d3,三,Three,acrel-adl3000,g,7,,s3,a
"""
WORDS = """[profile.dlt645-2007-1p]
password = "246813"
operator = "00000042"
level = 0x04

[meter.d2]
password = "975310"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "meters.csv").write_text(METERS, encoding="utf-8")
    return tmp_path


def write(folder: Path, text: str, mode: int = 0o600) -> None:
    path = folder / "secrets.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def said(folder: Path) -> list[str]:
    sources = read_sources(folder)
    own = [fault for fault in sources.faults if fault.file == "secrets.toml"]
    return [str(fault) for fault in [*own, *secret_faults(sources)]]


def test_a_meter_gets_its_own_words_else_its_models_else_the_usual(folder: Path) -> None:
    write(folder, WORDS)
    assert said(folder) == []
    sources = read_sources(folder)
    models, meters = profiling.profiles(sources), sources.by_id("meter")
    secret_of = profiling.secrets(sources)
    first, second, third = (secret_of(meters[name], models[meters[name].profile]) for name in ("d1", "d2", "d3"))
    assert (first.password, first.operator, first.level) == ("246813", "00000042", 0x04)
    assert (second.password, second.operator, second.level) == ("975310", "00000042", 0x04)
    assert (third.password, third.operator, third.level) == ("000000", "00000000", 0x02)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620])
def test_a_file_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    write(folder, WORDS, mode)
    (fault,) = said(folder)
    assert fault == f"secrets.toml: file: mode {mode:03o} lets others read it; allowed: chmod 600 secrets.toml"


def test_words_that_are_no_secret_belong_to_a_simulated_field(folder: Path) -> None:
    write(folder, "[secrets]\npublic = true\n" + WORDS, 0o644)
    assert said(folder) == [
        "secrets.toml: secrets.public: true, and this plant is not simulated; allowed: false, and a file that only its"
        " owner can read (chmod 600)"
    ]
    (folder / "field.toml").write_text('[load]\nd1 = { nominal = 100, shape = "flat", seed = 1 }\n', encoding="utf-8")
    assert said(folder) == []


SLIPS = [
    ('[meter.d9]\npassword = "975310"\n', "meter.d9.id: unknown meter 'd9'"),
    ('[profile.dlt645-2007-2p]\npassword = "975310"\n', "profile.dlt645-2007-2p.id: unknown profile 'dlt645-2007-2p'"),
    ('[meter.d3]\npassword = "975310"\n', "meter.d3.id: protocol modbus has no passwords"),
    ('[meter.d1]\npassword = "97531"\n', "meter.d1.password: something else"),
    ("[meter.d1]\npassword = 975310\n", "meter.d1.password: something else"),
    ('[meter.d1]\npasword = "975310"\n', "meter.d1.pasword: unknown key (did you mean 'password'?)"),
    ('[meter.d1]\noperator = "975310"\n', "meter.d1.operator: something else"),
    ('[meters.d1]\noperator = "975310"\n', "meters: unknown table (did you mean 'meter'?)"),
    ('[meter.d1]\npassword = "975310\n', "file: not TOML"),
]


@pytest.mark.parametrize(("text", "start"), SLIPS)
def test_a_slip_is_told_without_the_word(folder: Path, text: str, start: str) -> None:
    write(folder, text)
    (fault,) = said(folder)
    assert fault.startswith(f"secrets.toml: {start}")
    assert "9753" not in fault


def test_no_word_is_ever_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does it change the image's layout: who may switch has nothing to do with where values stand."""
    site = tmp_path / "site"
    shutil.copytree(CONFIG / "demo", site)
    before = load(site).layout
    profile = next(device.profile.id for device in load(site).devices)
    write(site, f'[profile.{profile}]\npassword = "975310"\noperator = "86421357"\n')
    assert run.main(["check", str(site)]) == 2  # those of the demonstration that comes without are Modbus
    shown = capsys.readouterr()
    assert "protocol modbus has no passwords" in shown.out
    write(site, "")
    plant = load(site)
    assert plant.layout == before
    sources = read_sources(tmp_path)
    shown_too = [repr(plant.devices[:3])]
    write(tmp_path, WORDS)
    (tmp_path / "meters.csv").write_text(METERS, encoding="utf-8")
    sources = read_sources(tmp_path)
    models, meters = profiling.profiles(sources), sources.by_id("meter")
    shown_too += [repr(sources), repr(profiling.secrets(sources)(meters["d2"], models["dlt645-2007-1p"]))]
    text = "".join([shown.out, shown.err, *shown_too])
    assert not any(word in text for word in ("975310", "86421357", "246813", "00000042"))

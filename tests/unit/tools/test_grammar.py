"""What a command line may say, and what is answered when it says it wrongly."""

import pytest

from drivers.device import LineFormat
from drivers.tools.scanning import numbers, ranges
from drivers.tools.spoken import BAUDS
from drivers.tools.target import di_of, format_of, place_of, register_of
from drivers.tools.words import TEXTS, Words, usual_lang
from scada.errors import Refused
from tests.unit.tools.conftest import Tool

LINE = ("--line", "modbus-tcp:127.0.0.1:9")
WRONG = {
    "no target": ((), "target.missing: name a configured meter"),
    "unknown": (("e-a1O1",), "there is no meter 'e-a1O1'; did you mean e-a101"),
    "line": (("--line", "tcp:1"), "write modbus-tcp:HOST:PORT"),
    "port": (("--line", "tcp:host:70000", "--protocol", "cjt188"), "write modbus-tcp:HOST:PORT"),
    "silent": (("--line", "tcp:h:1"), "say --protocol, one of dlt645-2007"),
    "framed": (("--line", "tcp:h:1", "--protocol", "modbus-tcp"), "it wants modbus-tcp:HOST:PORT"),
    "bare": (("--line", "modbus-tcp:h:1", "--protocol", "cjt188", "--address", "1"), "it wants tcp:HOST:PORT"),
    "nothing": (LINE, "say what to read: --profile ID, or --register"),
    "profile": ((*LINE, "--profile", "acme"), "there is no profile 'acme'; known: abb-b23"),
    "other profile": ((*LINE, "--profile", "cjt188-gas"), "it wants tcp:HOST:PORT"),
    "measure": ((*LINE, "--profile", "abb-b23", "Volt"), "abb-b23 has no Volt; it has Active"),
    "modbus address": ((*LINE, "--address", "1", "--register", "3:0:1"), "Modbus stations have a --unit"),
    "no address": (("--line", "tcp:h:1", "--protocol", "dlt645-2007"), "AAAAAAAAAAAA asks whoever is alone"),
    "bad address": (("--line", "tcp:h:1", "--protocol", "dlt645-2007", "--address", "12X"), "no meter address"),
    "cjt address": (("--line", "tcp:h:1", "--protocol", "cjt188", "--address", "Z"), "no meter address"),
    "di": (("--line", "tcp:h:1", "--protocol", "dlt645-2007", "--address", "1", "--di", "9010"), "8 hexadecimal"),
    "modbus di": ((*LINE, "--di", "00010000"), "Modbus has no data identifiers"),
    "register": ((*LINE, "--register", "3:0x0A"), "write FUNCTION:ADDRESS:COUNT"),
    "type": ((*LINE, "--register", "3:0:1:u32"), "u32 covers 2 registers, not 1"),
    "format": (("--line", "tcp:h:1", "--protocol", "cjt188", "--address", "1", "--format", "7E1"), "write 8E1"),
    "via": (("--via", "nowhere", "--register", "3:0:1"), "there is no gateway 'nowhere'; known: gw-a1"),
    "via away": (("--via", "gw-a1", "--register", "3:0:1"), "no core is running"),
    "configured": (("e-a101", "--baud", "9600", "--unit", "3"), "e-a101 is configured: leave out --unit, --baud"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_what_would_be_right(tool: Tool, case: str) -> None:
    words, wanted = WRONG[case]
    code, out, err = tool("meter", "read", *words)
    assert (code, out) == (1, "")
    assert wanted in err


def test_a_switching_needs_a_desk_or_force(tool: Tool) -> None:
    code, _, err = tool("meter", "trip", "e-a101", "--yes")
    assert (code, "no core is running" in err, "--force" in err) == (1, True, True)
    _, _, err = tool("meter", "close", *LINE, "--profile", "wattkeeper-demo-1p", "--yes")
    assert "not configured: there are no interlocks and no journal" in err
    _, _, err = tool("meter", "trip", *LINE, "--profile", "abb-b23", "--yes", "--force")
    assert "profile abb-b23 has no [switch]" in err


@pytest.mark.parametrize("words", [("g-a201",), ("--line", "tcp:h:1", "--profile", "cjt188-gas", "--address", "1")])
def test_gas_is_never_opened(tool: Tool, words: tuple[str, ...]) -> None:
    code, _, err = tool("meter", "close", *words, "--yes", "--force")
    assert code == 1
    assert "gas valve is opened on the spot" in err or "there is no meter" in err


def test_frames_need_a_core(tool: Tool) -> None:
    code, _, err = tool("meter", "frames", "e-a101")
    assert (code, "no core is running" in err) == (1, True)


@pytest.mark.parametrize("text", ["0-3", "1-248", "5-2", "a", "", "1,,2"])
def test_a_list_of_stations_that_is_none(text: str) -> None:
    with pytest.raises(Refused, match=r"write 1-247 or 1-32,40"):
        ranges(text)


def test_lists() -> None:
    assert ranges("1-3,40, 2") == [1, 2, 3, 40]
    assert numbers("9600, 2400", BAUDS) == [9600, 2400]
    with pytest.raises(Refused, match="no baud rate"):
        numbers("9601", BAUDS)


def test_lines_and_formats() -> None:
    assert place_of("modbus-tcp:gw.local:502") == ("modbus-tcp", "gw.local", 502, "")
    assert place_of("tcp:[::1]:8000") == ("tcp", "::1", 8000, "")
    assert place_of("serial:/dev/ttyUSB0") == ("serial", "", 0, "/dev/ttyUSB0")
    assert format_of("8n2", LineFormat(2400, "E")) == LineFormat(2400, "N", 2)


def test_registers_and_identifiers() -> None:
    register = register_of("4:0x0048:2:f32:1:CDAB")
    assert (register.function, register.address, register.type, register.order) == (4, 0x48, "f32", "CDAB")
    assert register_of("3:10:4").type == "u64"
    assert register_of("1:5:1").type == "bit"
    assert di_of("9010", "dlt645-1997") == 0x9010


def test_both_languages_have_the_same_blanks() -> None:
    import re

    for name, (zh, en) in TEXTS.items():
        assert sorted(re.findall(r"{\w+", zh)) == sorted(re.findall(r"{\w+", en)), name
        assert re.search(r"[一-鿿]", zh) and not re.search(r"[一-鿿]", en), name


def test_the_language_follows_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert (usual_lang(), Words("zh").pick("中", "en")) == ("zh", "中")
    monkeypatch.setenv("LANG", "C.UTF-8")
    assert usual_lang() == "en"

"""`meter read` and `watch` on real lines: every protocol, frames explained, and failures that say where to look."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.plant import load
from drivers.adhoc import DirectLine
from drivers.asking import StationSpec
from drivers.device import Gateway
from drivers.dialects import dialect_of
from drivers.frame_log import Entry
from drivers.outcome import Silence, Violation
from drivers.pollplan import Block
from drivers.tools import looking
from drivers.tools.reading import as_heard
from scada.errors import WattkeeperError
from tests.unit.tools.conftest import DLT645, FRAMED, ROOT, SERIAL, TCP, VALVE, WATER, Bench, Tool


def read(tool: Tool, bench: Bench, line: str, *words: str) -> dict[str, object]:
    code, out, err = tool("meter", "read", "--line", bench.place(line), "--json", *words)
    assert code == 0, err
    said: dict[str, object] = json.loads(out)
    return said


def test_modbus_tcp_registers_by_address(tool: Tool, bench: Bench) -> None:
    said = read(tool, bench, FRAMED, "--unit", "3", "--register", "3:0x000A:2:u32:0.01")
    (value,) = said["values"]  # type: ignore[misc]
    assert (value["value"], value["quality"], value["raw"]) == ("12345.67", "Good", "00 12 D6 87")
    (frame,) = said["frames"]  # type: ignore[misc]
    assert [field["value"] for field in frame["sent_fields"]][3:] == [
        "3", "03 read holding registers", "0x000A (10)", "2 (0x0002)"
    ]  # fmt: skip
    assert frame["received_fields"][-1]["value"] == "0012 D687"


def test_modbus_rtu_by_profile_on_a_serial_port(tool: Tool, bench: Bench) -> None:
    said = read(tool, bench, SERIAL, "--unit", "4", "--profile", "hiking-dds238-2", "ActiveEnergyImportTotal")
    (value,) = said["values"]  # type: ignore[misc]
    assert (value["value"], value["unit"]) == ("12345.67", "kWh")
    assert said["protocol"] == "modbus-rtu"
    assert [f["en"] for f in said["frames"][0]["received_fields"]][-1] == "CRC"  # type: ignore[index]


@pytest.mark.parametrize("address", [DLT645, "AAAAAAAAAAAA", "AAAAAAAA5566"])
def test_dlt645_by_identifier_and_wildcards(tool: Tool, bench: Bench, address: str) -> None:
    words = ("--protocol", "dlt645-2007", "--address", address, "--di", "00010000", "--di", "02010100")
    said = read(tool, bench, TCP, *words)
    energy, voltage = said["values"]  # type: ignore[misc]
    assert (energy["value"], energy["zh"]) == ("12345.67 kWh", "正向有功电能 总")
    assert voltage["value"].endswith(" V")
    assert said["frames"][0]["sent"].startswith("FE FE FE FE 68 ")  # type: ignore[index]


def test_cjt188_by_profile(tool: Tool, bench: Bench) -> None:
    said = read(tool, bench, WATER, "--profile", "cjt188-cold-water", "--address", VALVE)
    volumes = [value for value in said["values"] if value["unit"] == "m3"]  # type: ignore[attr-defined]
    assert volumes[0]["value"] == "12345.67"


def test_cjt188_without_a_profile_shows_what_the_standard_says(tool: Tool, bench: Bench) -> None:
    low = bench.gateways[WATER] and "--di-low-first"
    said = read(tool, bench, WATER, "--protocol", "cjt188", "--address", VALVE, low)
    assert {"volume", "clock", "status"} <= {value["en"] for value in said["values"]}  # type: ignore[attr-defined]


def cjt188(tool: Tool, bench: Bench, *words: str) -> tuple[int, str, str]:
    return tool("meter", "read", "--line", bench.place(WATER), "--address", VALVE, "--timeout", "0.3", *words)


BARE = ("--protocol", "cjt188", "--di-low-first")
ASKED = ("--type", "30")


@pytest.fixture
def forgiving(bench: Bench) -> Bench:
    """A water meter that hears a question to any type, as many in the field do, and answers with its own."""
    slave: Any = next(s for line in bench.lines for s in line.slaves.values() if s.device_id == "water")
    hears = slave.hears
    slave.hears = lambda frame: hears(bytes((frame[0], 0x10)) + frame[2:])
    return bench


def test_a_meter_of_another_medium_is_named_in_either_language(tool: Tool, forgiving: Bench) -> None:
    code, out, err = cjt188(tool, forgiving, *BARE, *ASKED, "--json")
    said = json.loads(out)
    (told,) = said["failures"]
    assert (code, err) == (1, "")
    assert "asked for 30 gas, and a meter of another medium answered: 10 cold water" in told
    assert "--profile; do not bill by it" in told
    code, _, err = cjt188(tool, forgiving, *BARE, *ASKED, "--lang", "zh")
    assert (code, "请求的是 30 燃气表,应答的却是另一种介质的表 10 冷水表" in err) == (1, True)


def test_another_type_of_the_same_medium_is_a_remark(tool: Tool, forgiving: Bench) -> None:
    code, out, _ = cjt188(tool, forgiving, *BARE, "--type", "11", "--json")
    said = json.loads(out)
    (told,) = said["remarks"]
    assert (code, said["failures"]) == (0, [])
    assert "asked for 11 domestic hot water, and 10 cold water answered" in told
    assert {"volume", "clock"} <= {value["en"] for value in said["values"]}


def test_the_type_that_was_asked_needs_no_word(tool: Tool, forgiving: Bench) -> None:
    for words in (BARE, (*BARE, "--type", "AA")):
        code, out, _ = cjt188(tool, forgiving, *words, "--json")
        said = json.loads(out)
        assert (code, said["remarks"], said["failures"]) == (0, [], [])


def test_a_profile_shows_nothing_of_a_meter_of_another_medium(tool: Tool, forgiving: Bench) -> None:
    """The layouts of water and gas are alike: without its type, gas would be shown that is water."""
    code, out, _ = cjt188(tool, forgiving, "--profile", "cjt188-gas", "--json")
    said = json.loads(out)
    assert (code, said["values"], len(said["failures"])) == (1, [], 1)
    assert "asked for 30 gas, and a meter of another medium answered: 10 cold water" in said["failures"][0]
    code, out, _ = cjt188(tool, forgiving, "--profile", "cjt188-hot-water", "--json")
    said = json.loads(out)
    assert (code, said["values"], len(said["failures"])) == (1, [], 1)  # its profile takes no other type
    assert "asked for 11 domestic hot water, and 10 cold water answered" in said["failures"][0]


def test_the_frames_are_printed_field_by_field_in_either_language(tool: Tool, bench: Bench) -> None:
    words = ("meter", "read", "--line", bench.place(FRAMED), "--unit", "3", "--register", "3:0x61:1")
    code, out, _ = tool(*words)
    assert code == 0
    assert "-> sent" in out and "transaction" in out and "0x0061 (97)" in out
    code, out, _ = tool(*words, "--lang", "zh")
    assert "-> 发送" in out and "事务标识" in out
    code, out, _ = tool(*words, "--no-frames")
    assert "transaction" not in out


def test_silence_says_where_to_look(tool: Tool, bench: Bench) -> None:
    words = ("--protocol", "dlt645-2007", "--address", "1", "--timeout", "0.2")
    code, out, err = tool("meter", "read", "--line", bench.place(TCP), *words)
    assert code == 1
    assert "no answer to DI 00010000" in err and "wires A and B" in err
    assert "(nothing)" in out


def test_garbage_is_not_called_silence() -> None:
    """Two meters that answer a wildcard at once, or another baud rate: somebody is there."""
    asked = Entry(1, 1, 1, b"\x68", b"", "timeout", False)
    silent = Silence("timeout", True)
    assert as_heard(silent, [asked]) == silent
    assert as_heard(silent, [replace(asked, received=b"\xa4\x32")]) == Violation("garbage")
    assert as_heard(silent, [replace(asked, received=b"\x68")]) == Violation("the question alone came back")


def test_an_exception_and_a_gateway_that_finds_nobody_are_told(tool: Tool, bench: Bench) -> None:
    line = bench.place(FRAMED)
    _, _, refused = tool("meter", "read", "--line", line, "--unit", "3", "--register", "3:0x7000:1")
    assert "refuses 03:0x7000+1: 02 illegal data address" in refused
    code, _, absent = tool("meter", "read", "--line", line, "--unit", "77", "--register", "3:0:1")
    assert (code, "gateway target failed to respond" in absent) == (1, True)


def test_a_line_that_is_not_there(tool: Tool) -> None:
    code, _, err = tool("meter", "read", "--line", "modbus-tcp:127.0.0.1:1", "--register", "3:0:1")
    assert (code, "modbus-tcp:127.0.0.1:1 cannot be opened: Connection refused" in err) == (1, True)
    words = ("--protocol", "modbus-rtu", "--register", "3:0x0C:1")
    code, _, err = tool("meter", "read", "--line", "serial:/nowhere/port", *words)
    assert (code, "serial:/nowhere/port 9600 8N1 cannot be opened" in err) == (1, True)


def test_a_serial_port_has_one_owner(tool: Tool, bench: Bench) -> None:
    import serial

    words = ("--line", bench.place(SERIAL), "--unit", "4", "--protocol", "modbus-rtu", "--register", "3:0x0C:1")
    with serial.Serial(bench.place(SERIAL).removeprefix("serial:"), exclusive=True):
        code, _, err = tool("meter", "read", *words)
    assert (code, "another process holds it" in err) == (1, True)
    assert tool("meter", "read", *words)[0] == 0


def test_watch_marks_what_changed_and_ends(tool: Tool, bench: Bench) -> None:
    words = ("--profile", "acrel-adl3000", "VoltageL1", "ActiveEnergyImportTotal", "--every", "0.05", "--rounds", "3")
    code, out, err = tool("meter", "watch", "--line", bench.place(FRAMED), "--unit", "3", *words, "--json")
    rounds = [json.loads(line) for line in out.splitlines()]
    assert (code, len(rounds), rounds[0]["changed"]) == (0, 3, [])
    assert "ended after 3 rounds" in err


def test_a_register_may_be_read_whatever_the_profile_has(tool: Tool, bench: Bench) -> None:
    words = ("--unit", "3", "--profile", "acrel-adl3000", "--register", "3:0x000A:2:u32:0.01")
    said = read(tool, bench, FRAMED, *words)
    assert [value["measure"] for value in said["values"]] == ["R3_000A"]  # type: ignore[attr-defined]
    words = ("--address", DLT645, "--profile", "dlt645-2007-1p", "--di", "04000503")
    said = read(tool, bench, TCP, *words)
    assert {value["measure"] for value in said["values"]} == {"Di04000503"}  # type: ignore[attr-defined]


def test_a_register_of_a_configured_meter(tool: Tool, bench: Bench, tmp_path: Path) -> None:
    """The meter's gateway and unit are those of its configuration, the register is the engineer's."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "config" / "demo", site)
    plant = (site / "plant.toml").read_text(encoding="utf-8")
    old = next(gateway.port for gateway in load(site).gateways if gateway.id == "gw-a1")
    port = bench.gateways[FRAMED].port
    (site / "plant.toml").write_text(plant.replace(f"port = {old}\n", f"port = {port}\n"), encoding="utf-8")
    words = ("e-a103", "--config", str(site), "--json")
    code, out, err = tool("meter", "read", *words, "--register", "3:0x000A:2:u32:0.01")
    assert code == 0, err
    assert [value["value"] for value in json.loads(out)["values"]] == ["12345.67"]


def test_a_profile_that_is_a_file(tool: Tool, bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    ours = (ROOT / "config" / "profiles" / "acrel-adl3000.toml").read_text(encoding="utf-8")
    file.write_text(ours.replace('id = "acrel-adl3000"', 'id = "mine"'), encoding="utf-8")
    said = read(tool, bench, FRAMED, "--unit", "3", "--profile", str(file), "ActiveEnergyImportTotal")
    (value,) = said["values"]  # type: ignore[misc]
    assert value["value"] == "12345.67"
    file.write_text(ours, encoding="utf-8")  # its id is another file's
    words = ("meter", "read", "--line", bench.place(FRAMED), "--unit", "3", "--profile")
    code, out, err = tool(*words, str(file))
    assert (code, out, "mine.toml: id: 'acrel-adl3000' in a file of another name" in err) == (2, "", True)
    code, _, err = tool(*words, str(tmp_path / "nowhere.toml"))
    assert (code, "nowhere.toml: file: missing" in err) == (2, True)


def test_watch_goes_on_when_the_line_comes_back(tool: Tool, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, rounds = looking.read_blocks, []

    def read_or_fail(*words: Any) -> Any:
        rounds.append(1)
        if len(rounds) == 2:
            raise WattkeeperError("the line cannot be opened: Connection refused")
        return asked(*words)

    monkeypatch.setattr(looking, "read_blocks", read_or_fail)
    words = ("--unit", "3", "--profile", "acrel-adl3000", "VoltageL1", "--every", "0.05", "--rounds", "3", "--json")
    code, out, err = tool("meter", "watch", "--line", bench.place(FRAMED), *words)
    assert (code, len(out.splitlines()), "Connection refused" in err) == (0, 2, True)


def test_an_adapter_that_is_pulled_out_is_a_lost_line() -> None:
    master, slave = os.openpty()
    line = DirectLine(Gateway("g", "", 0, timeout_s=0.2, transport="serial", path=os.ttyname(slave)))
    os.close(slave)
    with line:
        line._ready()
        os.close(master)
        question = dialect_of("modbus", False).read(StationSpec("modbus", unit=1).device(), Block(3, 0, 1, ()))
        assert line.ask(question)[0] == Silence("lost", True)


@pytest.mark.parametrize("form", ["8E1", "8O2", "8E1"])
def test_a_port_with_parity_is_read_again_and_again(tool: Tool, bench: Bench, form: str) -> None:
    """A pseudo-terminal says EINVAL when its parity is set a second time, by one tool or the next."""
    words = ("--unit", "4", "--profile", "hiking-dds238-2", "--format", form, "--baud", "19200")
    for _ in range(2):
        said = read(tool, bench, SERIAL, *words)
        assert "12345.67" in [value["value"] for value in said["values"]]  # type: ignore[attr-defined]


def test_names_may_stand_behind_options(tool: Tool, bench: Bench) -> None:
    words = ("--line", bench.place(FRAMED), "VoltageL1", "--unit", "3", "--profile", "acrel-adl3000", "CurrentL1")
    code, out, err = tool("meter", "read", *words, "--json")
    assert code == 0, err
    assert {value["measure"] for value in json.loads(out)["values"]} == {"VoltageL1", "CurrentL1"}
    for wrong in (("meter", "read", "e-a101", "--nonsense"), ("meter", "frames", "e-a101", "--last", "1", "e-a102")):
        with pytest.raises(SystemExit, match="2"):
            tool(*wrong)

"""`meter identify` and `bus scan` on real lines: who is there, what it speaks, which profile fits."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.device import Device, Gateway, LineFormat
from drivers.tools.probing import Found
from drivers.tools.scanning import keep
from scada.errors import WattkeeperError
from tests.unit.tools.conftest import DLT645, FRAMED, SECOND, SERIAL, TCP, VALVE, WATER, Bench, Tool, free_ports
from tests.unit.tools.conftest import OLD as OLD_METER


def identify(tool: Tool, bench: Bench, line: str, *words: str) -> dict[str, Any]:
    code, out, err = tool("meter", "identify", "--line", bench.place(line), "--json", *words)
    assert code == 0, err
    said: dict[str, Any] = json.loads(out)
    return said


def scan(tool: Tool, bench: Bench, line: str, *words: str) -> list[dict[str, Any]]:
    code, out, err = tool("bus", "scan", "--line", bench.place(line), "--json", *words)
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)["found"]
    return found


def test_a_dlt645_meter_alone_on_its_line_tells_its_address_and_its_models(tool: Tool, bench: Bench) -> None:
    said = identify(tool, bench, TCP, "--timeout", "0.3")
    assert (said["spoken"], said["address"]) == ("dlt645-2007", DLT645)
    assert said["models"][0]["profile"].startswith("dlt645-2007")
    assert {frame["outcome"] for frame in said["frames"]} == {"reply"}


def test_a_water_meter_is_found_behind_the_electricity_protocols(tool: Tool, bench: Bench) -> None:
    said = identify(tool, bench, WATER, "--timeout", "0.3")
    assert (said["spoken"], said["address"], said["meter_type"]) == ("cjt188", VALVE, 0x10)
    assert said["models"][0]["profile"] == "cjt188-cold-water"


def test_a_modbus_meter_is_told_by_the_profile_it_answers(tool: Tool, bench: Bench) -> None:
    said = identify(tool, bench, FRAMED, "--unit", "3")
    assert (said["spoken"], said["unit"]) == ("modbus-tcp", 3)
    assert "acrel-adl3000" in [model["profile"] for model in said["models"] if model["score"] > 0.8]


def test_nobody_is_told_with_all_that_was_tried(tool: Tool, bench: Bench) -> None:
    code, _, err = tool("meter", "identify", "--line", bench.place(FRAMED), "--unit", "99")
    assert (code, "nobody answers. Tried: modbus-tcp" in err) == (1, True)


def test_scan_of_modbus_tcp_finds_the_stations_and_writes_rows(tool: Tool, bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "found.csv"
    words = ("--units", "1-8", "--gateway", "gw-1", "--models", "--csv", str(file))
    found = scan(tool, bench, FRAMED, *words)
    assert [(one["protocol"], one["unit"]) for one in found] == [("modbus-tcp", 3), ("modbus-tcp", 5)]
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")  # a spreadsheet on Windows shows Chinese only so
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    shown = [(row["id"], row["gateway"], row["unit"], row["profile"]) for row in rows]
    assert shown == [("m-gw-1-3", "gw-1", "3", "acrel-adl3000"), ("m-gw-1-5", "gw-1", "5", "wattkeeper-demo-1p")]


def test_scan_of_a_transparent_gateway_finds_each_protocol_once(tool: Tool, bench: Bench) -> None:
    words = ("--timeout", "0.2", "--units", "1-2")
    (meter,) = scan(tool, bench, TCP, *words)
    assert (meter["protocol"], meter["address"], meter["form"]) == ("dlt645-2007", DLT645, "")
    assert meter["remark"] == ""  # it refuses the question of 1997
    (water,) = scan(tool, bench, WATER, *words)
    assert (water["protocol"], water["address"]) == ("cjt188", VALVE)


def test_scan_of_a_serial_port_tries_baud_rates(tool: Tool, bench: Bench) -> None:
    words = ("--protocol", "modbus-rtu", "--baud", "9600,4800", "--units", "3-4", "--timeout", "0.1")
    found = scan(tool, bench, SERIAL, *words)
    assert ("modbus-rtu", 4, "9600 8N1") in {(one["protocol"], one["unit"], one["form"]) for one in found}


def test_nobody_on_the_line(tool: Tool, bench: Bench) -> None:
    code, out, err = tool("bus", "scan", "--line", bench.place(FRAMED), "--units", "90-91")
    assert (code, "0 stations found" in out, "2 steps" in err) == (1, True, True)


def test_two_meters_that_answer_together_are_told_as_a_crowd(tool: Tool, known: Any, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    gateway = Gateway(TCP, "127.0.0.1", port, transport="tcp", line=LineFormat(9600, "E"))
    meters = [
        Device(name, TCP, 0, known["dlt645-2007-1p"], 1, 1, {}, address=address)
        for name, address in (("one", DLT645), ("two", SECOND))
    ]
    with Bench([gateway], meters, tmp_path) as two:
        words = ("bus", "scan", "--line", two.place(TCP), "--protocol", "dlt645-2007", "--timeout", "0.3")
        _, _, err = tool(*words)
        assert "garbage" in err
        code, out, _ = tool(*words, "--addresses", f"{SECOND},{DLT645},000000000008")
    assert code == 0
    assert SECOND in out and DLT645 in out and "2 stations found" in out


def test_ctrl_c_shows_what_was_found_so_far(tool: Tool, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from drivers.tools import scanning

    asked = scanning.put

    def interrupted(session: Any, probe: Any, timeout_s: float) -> Any:
        if probe.device.unit > 4:
            raise KeyboardInterrupt
        return asked(session, probe, timeout_s)

    monkeypatch.setattr(scanning, "put", interrupted)
    code, out, err = tool("bus", "scan", "--line", bench.place(FRAMED), "--units", "1-100")
    assert (code, "stopped; this is what was found so far" in err) == (0, True)
    assert "1 stations found" in out


def test_ctrl_c_while_models_are_compared_keeps_what_was_found(
    tool: Tool, bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from drivers.tools import scanning

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scanning, "models", interrupted)
    file = tmp_path / "found.csv"
    words = ("bus", "scan", "--line", bench.place(FRAMED), "--units", "1-5", "--models", "--csv", str(file))
    code, out, err = tool(*words)
    assert (code, "stopped; this is what was found so far" in err, "2 stations found" in out) == (0, True, True)
    assert len(file.read_text(encoding="utf-8-sig").splitlines()) == 3


def test_a_line_that_is_lost_in_the_middle_keeps_what_was_found(
    tool: Tool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivers.tools import scanning

    asked = scanning.put

    def lost(session: Any, probe: Any, timeout_s: float) -> Any:
        if probe.device.unit > 4:
            raise WattkeeperError("the line cannot be opened: Connection refused")
        return asked(session, probe, timeout_s)

    monkeypatch.setattr(scanning, "put", lost)
    code, out, err = tool("bus", "scan", "--line", bench.place(FRAMED), "--units", "1-100")
    assert (code, "1 stations found" in out) == (1, True)
    assert "ended early: the line cannot be opened: Connection refused" in err


def test_rows_that_somebody_filled_in_are_not_overwritten(tool: Tool, bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "found.csv"
    file.write_text("an hour of work", encoding="utf-8")
    words = ("bus", "scan", "--line", bench.place(FRAMED), "--units", "3", "--csv")
    code, out, err = tool(*words, str(file))
    assert (code, out, "is there already; name another file" in err) == (1, "", True)
    assert file.read_text(encoding="utf-8") == "an hour of work"
    code, out, err = tool(*words, str(tmp_path / "nowhere" / "found.csv"))
    assert (code, out, "no such folder" in err) == (1, "", True)


def test_a_second_target_is_not_passed_over(tool: Tool) -> None:
    code, _, err = tool("meter", "identify", "e-a101", "e-a102")
    assert (code, "identify wants one meter" in err) == (1, True)


def test_a_meter_of_1997_is_not_taken_for_one_that_refuses_in_2007() -> None:
    refused = Found("dlt645-2007", "", address="000000000097", refused=True)
    good = replace(refused, spoken="dlt645-1997", refused=False)
    for order in ((refused, good), (good, refused)):
        found: dict[Any, Found] = {}
        for one in order:
            keep(found, one)
        assert list(found.values()) == [good]


def test_a_meter_of_1997_is_scanned_and_identified(tool: Tool, known: Any, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    gateway = Gateway(TCP, "127.0.0.1", port, transport="tcp", line=LineFormat(9600, "E"))
    meter = Device("old", TCP, 0, known["dlt645-1997"], 1, 1, {}, address=OLD_METER)
    with Bench([gateway], [meter], tmp_path) as one:
        words = ("--timeout", "0.3", "--units", "1", "--addresses", OLD_METER, "--models")
        (found,) = scan(tool, one, TCP, *words)
        assert (found["protocol"], found["profile"]) == ("dlt645-1997", "dlt645-1997")
        said = identify(tool, one, TCP, "--timeout", "0.3")
    assert (said["spoken"], said["address"]) == ("dlt645-1997", OLD_METER)


def test_a_serial_port_with_parity_is_identified(tool: Tool, bench: Bench) -> None:
    """Three protocols with parity are tried on the port before the right one without."""
    said = identify(tool, bench, SERIAL, "--unit", "4", "--timeout", "0.1")
    assert (said["spoken"], said["unit"], said["form"]) == ("modbus-rtu", 4, "9600 8N1")

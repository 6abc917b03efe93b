"""`meter trip` and `close` past the control desk, on a simulated breaker, relay and valve: steps, proof, refusals."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from drivers.tools import way
from drivers.tools.switching import _said
from drivers.tools.words import TEXTS, Words
from scada.command import STATES
from scada.interlocks import INTERLOCKS
from tests.unit.tools.conftest import DLT645, FRAMED, ROOT, TCP, Bench, Tool


def force(tool: Tool, verb: str, *words: str) -> tuple[int, dict[str, Any], str]:
    code, out, err = tool("meter", verb, "--force", "--yes", "--json", *words)
    return code, json.loads(out) if out else {}, err


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("000000\n", encoding="utf-8")
    return file


def test_a_breaker_is_tripped_and_closed_with_proof(tool: Tool, bench: Bench) -> None:
    words = ("--line", bench.place(FRAMED), "--unit", "5", "--profile", "wattkeeper-demo-1p")
    code, said, err = force(tool, "trip", *words)
    assert (code, said["state"]) == (0, "verified")
    assert "WARNING: past interlocks" in err
    assert [step["step"] for step in said["steps"]] == ["step select", "step accept", "step verify"]
    code, said, _ = force(tool, "close", *words)
    assert (code, said["state"]) == (0, "verified")


def test_a_relay_is_tripped_with_a_password_that_nobody_sees(tool: Tool, bench: Bench, password: Path) -> None:
    words = ("--line", bench.place(TCP), "--address", DLT645, "--profile", "dlt645-2007-1p", "--baud", "9600")
    code, said, err = force(tool, "trip", *words, "--password-file", str(password))
    assert (code, said["state"]) == (0, "verified"), (said, err)


def test_a_wrong_password_is_refused_by_the_meter(tool: Tool, bench: Bench, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("987654", encoding="utf-8")
    words = (
        "--line",
        bench.place(TCP),
        "--address",
        DLT645,
        "--profile",
        "dlt645-2007-1p",
        "--password-file",
        str(wrong),
    )
    code, said, _ = force(tool, "trip", *words)
    assert (code, said["state"]) == (1, "failed")
    assert "password wrong" in said["steps"][-1]["text"]
    assert "987654" not in json.dumps(said)


def test_a_password_that_is_none_is_not_shown(tool: Tool, bench: Bench, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.write_text("secret77", encoding="utf-8")
    words = (
        "--line",
        bench.place(TCP),
        "--address",
        DLT645,
        "--profile",
        "dlt645-2007-1p",
        "--password-file",
        str(odd),
    )
    code, _, err = force(tool, "trip", *words)
    assert (code, "six digits" in err, "secret77" in err) == (1, True, False)


def test_the_last_digits_are_asked_for(tool: Tool, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("meter", "trip", "--force", "--line", bench.place(TCP), "--address", DLT645, "--profile", "dlt645-2007-1p")
    monkeypatch.setattr("builtins.input", lambda prompt: "6655")
    code, _, err = tool(*words)
    assert (code, "not the digits; nothing was done" in err) == (1, True)
    monkeypatch.setattr("builtins.input", lambda prompt: DLT645[-4:])
    assert tool(*words)[0] == 0


def test_a_meter_that_protects_its_supply_is_not_tripped(tool: Tool, bench: Bench) -> None:
    bench.stations["meter"].panel.protected = True
    words = ("--line", bench.place(TCP), "--address", DLT645, "--profile", "dlt645-2007-1p")
    code, _, err = force(tool, "trip", *words)
    assert (code, "field.protected" in err) == (1, True)


def test_a_configured_protected_supply_is_not_tripped_by_force_either(tool: Tool, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(ROOT / "config" / "demo", site)
    text = (site / "meters.csv").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("e-a102,"))
    cells = line.split(",")
    cells[text.splitlines()[0].split(",").index("protected")] = "yes"
    (site / "meters.csv").write_text(text.replace(line, ",".join(cells)), encoding="utf-8")
    code, _, err = tool("meter", "trip", "e-a102", "--yes", "--force", "--config", str(site))
    assert (code, "field.protected: e-a102 is protected" in err) == (1, True)


def test_no_switch_is_moved_past_a_core_that_uses_the_gateway(
    tool: Tool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station may be one that the core knows; only its desk may move that."""
    gateway = bench.gateways[FRAMED]
    line = {"line": "gw-1", "transport": "modbus-tcp", "host": gateway.host, "port": gateway.port, "path": ""}
    monkeypatch.setattr(way.console, "answers", lambda core_socket: True)
    monkeypatch.setattr(way, "lines_of", lambda core_socket: [line])
    words = ("--line", bench.place(FRAMED), "--unit", "5", "--profile", "wattkeeper-demo-1p")
    code, _, err = force(tool, "trip", *words)
    assert (code, "target.owned: the running core uses this gateway; switch with --via gw-1" in err) == (1, True)
    assert bench.field.states["tcp-5"].conducts
    code, _, err = tool("meter", "read", *words, "Position")
    assert (code, "WARNING: the core uses gw-1" in err) == (0, True)


@pytest.mark.parametrize(
    ("raw", "told"), [(None, "cannot be read: No such file"), (b"\xff\xfe98", "is no text")], ids=["missing", "binary"]
)
def test_a_password_file_that_is_none(tool: Tool, bench: Bench, tmp_path: Path, raw: bytes | None, told: str) -> None:
    file = tmp_path / "word"
    if raw is not None:
        file.write_bytes(raw)
    words = ("--line", bench.place(TCP), "--address", DLT645, "--profile", "dlt645-2007-1p")
    code, _, err = force(tool, "trip", *words, "--password-file", str(file))
    assert (code, told in err, "98" in err) == (1, True, False)


def test_nobody_there_to_type_the_password(tool: Tool, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    words = ("--line", bench.place(TCP), "--address", DLT645, "--profile", "dlt645-2007-1p", "--ask-password")
    code, _, err = force(tool, "trip", *words)
    assert (code, "nobody typed a password" in err) == (1, True)


def test_what_is_asked_of_a_person_does_not_spoil_the_document(
    tool: Tool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--line", bench.place(FRAMED), "--unit", "5", "--profile", "wattkeeper-demo-1p", "--force", "--json")
    monkeypatch.setattr("sys.stdin", io.StringIO("0000\n"))
    code, out, err = tool("meter", "trip", *words)
    assert (code, json.loads(out)["state"], "Type its last 4 digits" in err) == (1, "cancelled", True)


def test_every_state_and_interlock_is_said_in_both_languages() -> None:
    assert {f"state {state}" for state in STATES} - set(TEXTS) == {
        "state idle",
        "state selected",
    }  # where every command begins
    assert {lock.code for lock in INTERLOCKS} == {text for text in TEXTS if text.startswith("interlock.")}
    said = {"code": "interlock.stale", "detail": "The position is fresh (read 0.3 s ago, at most 5.0 s)"}
    assert _said(said, Words("zh")) == "位置数据是最新的 (read 0.3 s ago, at most 5.0 s)"
    assert _said(said, Words("en")) == said["detail"]

"""`meter trip` and `close` past the control desk, on a simulated breaker, relay and valve: steps, proof, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.conftest import DLT645, FRAMED, TCP, Bench, Tool


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

"""The check command: exit codes and what it prints."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config.commands import add_commands

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy


def check(folder: Path) -> int:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    arguments = parser.parse_args(["check", str(folder)])
    code: int = arguments.run(arguments)
    return code


def test_a_sound_configuration_exits_0_with_one_line(demo_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(demo_folder) == 0
    printed = capsys.readouterr().out
    told, head, *rows = printed.splitlines()
    assert "shortest s" in head
    assert {row.split()[0] for row in rows} == {"gw-b4", "gw-b5", "gw-bw", "gw-dtu"}, "the lines that we time"
    assert "东湖智造园 / Donghu Smart Manufacturing Park: 12 gateways, 103 devices, 89 supply points" in told


def test_a_faulty_one_exits_2_with_a_line_for_each_fault(copy: "Copy", capsys: pytest.CaptureFixture[str]) -> None:
    copy.edit("tenants.csv", ",8.50,200,50,", ",8.50,50,200,")
    copy.edit("plant.toml", "port = 15022", "port = 15021")
    assert check(copy.folder) == 2
    assert capsys.readouterr().out.splitlines() == [
        "plant.toml: gateway.gw-a1.port: 127.0.0.1:15021 is already gateway 'gw-ss'; allowed: another host or port",
        "tenants.csv: line 2, column 'alarm2': 200 is above alarm1 50; allowed: at most alarm1",
    ]


def test_a_folder_that_is_not_there_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "nowhere") == 2
    assert "plant.toml: file: missing" in capsys.readouterr().out

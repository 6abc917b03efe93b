"""The command line has the commands of every trade."""

import pytest

from run import parser

COMMANDS = [
    "account",
    "audit",
    "check",
    "credit",
    "inject",
    "ledger",
    "meter",
    "migrate",
    "replay",
    "tariff",
    "tenant",
    "user",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_trade_is_on_the_command_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    assert f"run.py {command}" in capsys.readouterr().out

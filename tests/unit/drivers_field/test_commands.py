"""`inject`: orders from the command line to a running field."""

import argparse
import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from drivers import commands
from drivers.field.catalogue import ORDERS


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py")
    commands.add_commands(parser.add_subparsers())
    return parser


def run(parser: argparse.ArgumentParser, *words: str) -> int:
    args = parser.parse_args(words)
    return int(args.run(args))


def test_orders_reach_the_field(
    make_park: Callable[..., Any], run_checked: Any, parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    park = make_park()
    port = f"--control-port={park.control_port}"

    async def work() -> None:
        async with park.served():
            assert await asyncio.to_thread(run, parser, "inject", "slow", "shop", "25", port) == 0
            assert capsys.readouterr().out == "done\n"
            assert await asyncio.to_thread(run, parser, "inject", "list", port) == 0
            assert json.loads(capsys.readouterr().out)["devices"]["shop"] == ["slow 25 ms"]
            assert await asyncio.to_thread(run, parser, "inject", "freeze", "nobody", port) == 1
            assert "allowed: feeder, shop" in capsys.readouterr().err

    run_checked(work())


def test_no_field_is_said_plainly(
    make_park: Callable[..., Any], parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    port = make_park().control_port  # nobody listens there
    assert run(parser, "inject", "list", f"--control-port={port}") == 1
    assert f"no simulated field answers on 127.0.0.1:{port}" in capsys.readouterr().err


def test_help_has_a_line_for_every_order(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["inject", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for order in ORDERS:
        assert any(line.startswith(f"  {order.name}") and order.help in line for line in lines), order.name


@pytest.mark.parametrize("words", [["explode"], ["list", "--control-port", "70000"], []])
def test_wrong_words_end_with_code_2(parser: argparse.ArgumentParser, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["inject", *words])
    assert ended.value.code == 2

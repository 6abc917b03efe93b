"""`run.py user` on a real data base: people are made, given new passwords, shut out and let in again."""

import argparse
import re

import argon2
import psycopg
import pytest

from hmi import commands
from scada.errors import WattkeeperError


def run(dsn: str, *words: str) -> int:
    parser = argparse.ArgumentParser()
    commands.add_commands(parser.add_subparsers(), lambda _: dsn)
    arguments = parser.parse_args(["user", *words])
    return int(arguments.run(arguments))


def stored(dsn: str, login: str) -> tuple[str, str, bool, bool]:
    with psycopg.connect(dsn) as connection:
        statement = "SELECT password_hash, role, disabled, must_change FROM wattkeeper.app_user WHERE login = %s"
        row = connection.execute(statement, [login]).fetchone()
    assert row is not None
    return row[0], row[1], row[2], row[3]


def printed_password(text: str) -> str:
    found = re.search(r"one-time password: (\S+)", text)
    assert found
    return found[1]


def test_the_life_of_a_user(postgres_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(postgres_dsn, "add", "wang.li", "--role", "operator") == 0
    first = printed_password(capsys.readouterr().out)
    hashed, role, disabled, must_change = stored(postgres_dsn, "wang.li")
    assert (role, disabled, must_change) == ("operator", False, True)
    assert argon2.PasswordHasher().verify(hashed, first)

    assert run(postgres_dsn, "reset", "wang.li") == 0
    second = printed_password(capsys.readouterr().out)
    assert second != first
    assert argon2.PasswordHasher().verify(stored(postgres_dsn, "wang.li")[0], second)

    assert run(postgres_dsn, "disable", "wang.li") == 0
    assert stored(postgres_dsn, "wang.li")[2] is True
    assert run(postgres_dsn, "enable", "wang.li") == 0
    assert stored(postgres_dsn, "wang.li")[2] is False
    capsys.readouterr()
    assert run(postgres_dsn, "list") == 0
    assert "wang.li" in capsys.readouterr().out


def test_what_is_refused_says_why(postgres_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(postgres_dsn, "add", "wang.li")
    capsys.readouterr()
    assert run(postgres_dsn, "add", "wang.li") == 1
    assert "exists already" in capsys.readouterr().err
    assert run(postgres_dsn, "reset", "nobody.here") == 1
    assert "no user 'nobody.here'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(postgres_dsn, "add", "Wang Li")
    assert "lower-case letters" in capsys.readouterr().err
    assert run("host=/nowhere dbname=x", "list") == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_a_data_base_that_was_never_started_on_says_so(empty_postgres_dsn: str) -> None:
    with pytest.raises(WattkeeperError, match=r"start run\.py once"):
        run(empty_postgres_dsn, "list")

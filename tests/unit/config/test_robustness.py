"""A damaged configuration is always answered with faults: no other error, and no fault that says nothing."""

import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy

FILES = (
    "plant.toml",
    "tariffs.toml",
    "alarms.toml",
    "field.toml",
    "meters.csv",
    "supply_points.csv",
    "tenants.csv",
    "profiles/wattkeeper-demo-3p.toml",
    "profiles/dlt645-2007-3p.toml",
    "profiles/cjt188-heat.toml",
)
ROUNDS = 10  # of each file
PIECES = (
    "",
    "0",
    "-1",
    "x",
    '"',
    "'",
    "[",
    "]",
    "{}",
    "=",
    ",",
    "\n",
    "#",
    "1e400",
    "nan",
    "电",
    "true",
    "99999999999999999999",
)
WRONG_TYPES = ("3", '"text"', "[]", "[1, 2]", "2026-11-23", "nan")
KEYS_MAX = 10  # of each file


def damage(text: str, luck: random.Random) -> str:
    """Return a text with a few pieces replaced, inserted or lost."""
    for _ in range(luck.randint(1, 4)):
        at = luck.randrange(len(text))
        text = text[:at] + luck.choice(PIECES) + text[at + luck.randint(0, 5) :]
    return text


@pytest.mark.parametrize("file", FILES)
def test_damaged_text(copy: "Copy", file: str) -> None:
    luck = random.Random(file)
    path = copy.folder / file
    sound = path.read_text(encoding="utf-8")
    for _ in range(ROUNDS):
        path.write_text(damaged := damage(sound, luck), encoding="utf-8")
        for fault in copy.faults():
            assert fault.file and fault.place and fault.wrong and fault.allowed, damaged


@pytest.mark.parametrize("wrong", WRONG_TYPES)
@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".toml")])
def test_every_key_with_a_wrong_type(copy: "Copy", file: str, wrong: str) -> None:
    """Give one key after the other a value of another type."""
    path = copy.folder / file
    lines = path.read_text(encoding="utf-8").splitlines()
    seen: set[str] = set()
    for number, line in enumerate(lines):
        key, equals, _ = line.partition(" = ")
        if not equals or key in seen or key.startswith((" ", "#")) or line.endswith("["):
            continue
        seen.add(key)
        path.write_text("\n".join([*lines[:number], f"{key} = {wrong}", *lines[number + 1 :]]), encoding="utf-8")
        for fault in copy.faults():
            assert fault.file and fault.place and fault.wrong and fault.allowed, (key, wrong)
        if len(seen) >= KEYS_MAX:
            break

"""docs/commissioning.md, followed to the letter on the running demonstration park: exit codes and what is printed.

The page says in a comment at its top what must come as it stands there and what is anyone's.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.plant.park import ROOT, Park

PAGE: Final = (ROOT / "docs" / "commissioning.md").read_text(encoding="utf-8")
BLOCK: Final = re.compile(r"^```console\n(.*?)^```\n(?:\s*(?:\(shortened\)\s*)?^```text\n(.*?)^```$)?", re.M | re.S)
PROGRAM: Final = ".venv/bin/python run.py "
ENGLISH: Final = {**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
COMMAND_S: Final = 60
SIDE_BY_SIDE: Final = 3
ANY: Final = "..."
ANYONES: Final = (  # what differs from day to day, and what is compared instead
    (r"\d{4}-\d\d-\d\d ", ""),
    (r"\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
    (r"[+-]\d+ s\b", "SECONDS"),
    (r"-?\b\d+\.\d+\b", "NUMBER"),
    (r"\b[0-9A-F]{2}( [0-9A-F]{2})+\b", "BYTES"),
    (r"\b[0-9A-F]{4}( [0-9A-F]{4})+\b", "WORDS"),
    (r"\b[0-9A-F]{2} checksum [0-9A-F]{2}\b", "CHECKSUM"),
    (r"\btransaction \d+", "TRANSACTION"),
    (r"^((?:modbus|dlt645|cjt188)\S* (?:\d\S* )?\d+) \d+", r"\1 MS"),  # a station that a scan found
    (r"^\* |(?<=TIME) \* .*", ""),  # changed since the last round, or not
)


def commands(section: str) -> Iterator[tuple[str, str]]:
    """Yield every command of a section with what it prints; "" where the page does not say."""
    for block, printed in BLOCK.findall(section):
        lines = [line.removeprefix("$ ") for line in block.splitlines()]
        yield from ((line, "") for line in lines[:-1])
        yield lines[-1], printed


def stable(text: str) -> list[str]:
    """Return the lines of an output without what differs from day to day."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    for pattern, instead in ANYONES:
        lines = [re.sub(pattern, instead, line) for line in lines]
    return lines


def missing(page: list[str], printed: list[str]) -> list[str]:
    """Return the first run of the page's lines that was not printed where the page shows it; nothing when all were."""
    runs: list[list[str]] = [[]]
    for line in page:
        if line == ANY:
            runs.append([])
        else:
            runs[-1].append(line)
    at = 0
    for k, run in enumerate(runs):
        last = len(printed) - len(run)
        first = last if k == len(runs) - 1 and run else at  # no "..." at the end: the output ends with it
        places = range(max(first, at), (at if k == 0 else last) + 1)
        found = next((place for place in places if printed[place : place + len(run)] == run), None)
        if found is None:
            return run
        at = found + len(run)
    return []


def follow(park: Park, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one line of the page as a person would, on this park's ports and folders."""
    for shipped, port in park.moved.items():
        line = line.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{port}")
    line = line.replace("config/demo", str(park.config))
    if line.startswith(PROGRAM):
        line = shlex.join(park.command(*shlex.split(line.removeprefix(PROGRAM))))
    return subprocess.run(
        ["/bin/sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=folder,
        env=ENGLISH, timeout=COMMAND_S,
    )  # fmt: skip


def test_what_is_compared_finds_a_lie() -> None:
    told = stable("a 1.5 kWh\nunit 3\n...\nend\n")
    assert missing(told, stable("a  2.25 kWh\nunit 3\nmore\nend\n")) == []
    assert missing(told, stable("a 1.5 kWh\nunit 4\nend\n")) == ["a NUMBER kWh", "unit 3"]
    assert missing(told, stable("a 1.5 MWh\nunit 3\nend\n"))
    assert missing(told, stable("a 1.5 kWh\nunit 3\nend\nagain\n")) == ["end"]
    assert missing(stable("a\n"), stable("a\nb\n")) == ["a"]
    assert stable("02 illegal data address") == ["02 illegal data address"]
    assert stable("modbus-tcp     6    0  exception 02") == ["modbus-tcp 6 MS exception 02"]


def lies_of(park: Park, steps: list[tuple[str, str]], folder: Path) -> list[str]:
    """Follow one section in its order; return what is not as the page says."""
    lies = []
    for line, printed in steps:
        done = follow(park, line, folder)
        told = done.stdout.replace(str(park.config), "config/demo")
        for shipped, port in park.moved.items():
            told = told.replace(f"127.0.0.1:{port}", f"127.0.0.1:{shipped}")
        absent = missing(stable(printed), stable(told)) if printed else []
        if done.returncode or absent:
            lies.append(f"$ {line}\nexit code {done.returncode}, not as the page says: {absent}\n{told}")
    return lies


@pytest.mark.plant
@pytest.mark.timeout(240)
def test_the_page_is_true(make_park, tmp_path: Path) -> None:
    """Sections run side by side, as two engineers on one site would work; each keeps its order."""
    sections = [list(commands(section)) for section in PAGE.split("\n## ")]
    assert sum(bool(printed) for steps in sections for _, printed in steps) >= 10, "the page's blocks are not found"
    park = make_park().start()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        lies = [lie for found in pool.map(lambda steps: lies_of(park, steps, tmp_path), sections) for lie in found]
    assert not lies, "\n\n".join(lies)

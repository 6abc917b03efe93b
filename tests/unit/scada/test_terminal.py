"""The terminal of a command line: letters it does not have, and readers that have gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run_it(line: str, encoding: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": ""}
    command = ["/bin/bash", "-o", "pipefail", "-c", f"{sys.executable} {ROOT / 'run.py'} {line}"]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=env)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk"])
def test_help_is_shown_on_every_terminal(encoding: str) -> None:
    done = run_it("meter read --help", encoding)
    assert (done.returncode, done.stderr, "--register" in done.stdout) == (0, "", True)


@pytest.mark.parametrize("reader", ["true", "head -1"])
def test_a_reader_that_has_gone_is_no_error(reader: str) -> None:
    """What is short enough waits for the end of the program, where the interpreter would complain of it."""
    done = run_it(f"profile show abb-b23 | {reader}", "utf-8")
    assert done.returncode in (0, 141)  # 141: as shells say of a reader that has read enough
    assert done.stderr == ""

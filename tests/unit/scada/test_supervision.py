"""A supervisor of real processes: whoever stops the reactor, and whatever fails in a start, everything ends."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]
ENDED_S = 20.0

# A data base that lives until it is told to end, one room, and a preparation that the test chooses.
SCRIPT = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from scada.errors import DatabaseAway
from scada.supervision import Supervisor

LIVE = ["sleep", "600"]

def wait():
    reactor.callFromThread({stop})
    supervisor.ending.wait()
    raise DatabaseAway("given up")

def ready():
    {ready}

supervisor = Supervisor(reactor, LIVE, ready, {{"room": LIVE}}, lambda: reactor.callFromThread({stop}))
reactor.callWhenRunning(lambda: ensureDeferred(supervisor.run()))
reactor.run()
sys.exit(supervisor.exit_code)
"""


def supervised(ready: str, stop: str = "supervisor.stop") -> tuple[int, str]:
    """Run the script to its end; return exit code and what it said. AssertionError when a child outlives it."""
    mark = {"WATTKEEPER_TEST": str(uuid.uuid4())}
    command = [sys.executable, "-c", SCRIPT.format(ready=ready, stop=stop)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | mark, capture_output=True, text=True, check=False)
    left = [process for process in psutil.process_iter() if is_marked(process, mark)]
    assert not left
    return done.returncode, done.stderr


def is_marked(process: psutil.Process, mark: dict[str, str]) -> bool:
    try:
        return bool(mark.items() <= process.environ().items())
    except psutil.Error:  # gone meanwhile, or another user's
        return False


@pytest.mark.timeout(ENDED_S)
@pytest.mark.parametrize("stop", ["supervisor.stop", "reactor.stop", "lambda: (supervisor.stop(), supervisor.stop())"])
@pytest.mark.parametrize("ready", ["wait()", "pass"], ids=["prepares", "runs"])
def test_everything_ends_whoever_stops_it(ready: str, stop: str) -> None:
    code, said = supervised(ready, stop)
    assert code == 0, said
    assert "Traceback" not in said


@pytest.mark.timeout(ENDED_S)
@pytest.mark.parametrize(
    ("ready", "words"),
    [
        ("raise DatabaseAway('no disk')", "wattkeeper: no disk"),
        ("raise ValueError('nobody thought of it')", "nobody thought of it"),
    ],
    ids=["told", "unexpected"],
)
def test_a_start_that_fails_ends_with_its_reason(ready: str, words: str) -> None:
    code, said = supervised(ready)
    assert code == 1
    assert words in said

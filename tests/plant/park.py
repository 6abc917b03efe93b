"""A whole park for a test: the demonstration configuration on free ports, started as a user starts it, and killable."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from config.plant import Plant, load
from drivers.field.call import call as order
from scada import embedded_postgres
from scada.image import ImageGone, ImageReader, Snapshot
from scada.paths import DataDirectory
from scada.quality import BAD_WAITING_FOR_INITIAL_DATA
from tests.plant.amp_client import call

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.05
CHECKPOINT = r"checkpoint_s = [\d.]+"  # tests do not wait ten seconds for the books
T = TypeVar("T")
WHO = {"user": "tester", "role": "admin", "station": "test"}


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def wait_for(what: Callable[[], T], timeout_s: float, why: str) -> T:
    """Return the first true answer of `what`; AssertionError naming `why` after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain: {why}"
        time.sleep(POLL_S)


class Park:
    """One park in its own folders. `start` returns when the first whole image is there and the books are open."""

    def __init__(
        self,
        folder: Path,
        openings: Mapping[str, str] | None = None,
        files: Mapping[str, Mapping[str, str]] | None = None,
        **changes: str,
    ) -> None:
        """openings: account -> opening balance; changes: regular expression -> replacement in plant.toml.

        files: the same for other files of the configuration; one in profiles/ makes the site have its own profiles.
        """
        self.config = folder / "config"
        self.log = folder / "log.txt"
        shutil.copytree(ROOT / "config" / "demo", self.config)
        text = (self.config / "plant.toml").read_text(encoding="utf-8")
        shipped = sorted(set(re.findall(r"port = (\d+)", text)))
        *_, self.http_port, self.opcua_port = ports = free_ports(len(shipped) + 2)
        self.moved = dict(zip(shipped, ports, strict=False))  # port of the demonstration -> this park's
        for old, new in self.moved.items():
            text = re.sub(rf"port = {old}\b", f"port = {new}", text)
        for pattern, replacement in ({CHECKPOINT: "checkpoint_s = 1.0"} | changes).items():
            text, found = re.subn(pattern, replacement, text)
            assert found, f"plant.toml has nothing like {pattern!r}"
        (self.config / "plant.toml").write_text(text, encoding="utf-8")
        tenants = (self.config / "tenants.csv").read_text(encoding="utf-8-sig")
        for account, opening in (openings or {}).items():
            tenants, found = re.subn(rf"^({account},[^,]*,[^,]*),[^,]*", rf"\g<1>,{opening}", tenants, flags=re.M)
            assert found == 1, account
        (self.config / "tenants.csv").write_text(tenants, encoding="utf-8")
        for name, replacements in (files or {}).items():
            self._edit(name, replacements)
        self.data = DataDirectory(folder / "data")
        self.plant: Plant = load(self.config)
        self.process: subprocess.Popen[bytes] | None = None
        self._reader = ImageReader(self.data.image, self.plant.layout)

    def _edit(self, name: str, replacements: Mapping[str, str]) -> None:
        """Replace regular expressions in one file of the configuration, each of them exactly once."""
        if name.startswith("profiles/") and not (self.config / "profiles").exists():
            shutil.copytree(ROOT / "config" / "profiles", self.config / "profiles")
        text = (self.config / name).read_text(encoding="utf-8-sig")
        for pattern, replacement in replacements.items():
            text, found = re.subn(pattern, replacement, text, flags=re.M)
            assert found == 1, f"{name} has {found} of {pattern!r}"
        (self.config / name).write_text(text, encoding="utf-8")

    # ---- life

    def command(self, *words: str) -> list[str]:
        ports = ["--http-port", str(self.http_port), "--opcua-port", str(self.opcua_port)]
        return [
            sys.executable, str(ROOT / "run.py"), *words,
            "--config", str(self.config), "--data", str(self.data.root), *ports,
        ]  # fmt: skip

    def start(self, speed: int = 1, timeout_s: float = 60.0) -> "Park":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command(), "--demo-speed", str(speed)], stdout=log, stderr=subprocess.STDOUT, cwd=ROOT
            )
        wait_for(lambda: self.tag("X", "core", "DatabaseConnected") == (1.0, 0), timeout_s, "the books to open")
        wait_for(self.is_whole, timeout_s, "the first whole image")
        return self

    def is_whole(self) -> bool:
        """Tell whether every tag has had its first value, but those that are read seldom or over slow lines."""
        snapshot = self.snapshot()
        if snapshot is None:
            return False
        waiting = snapshot.columns.tags.quality == BAD_WAITING_FOR_INITIAL_DATA
        waiting[self.slow_rows()] = False
        return not waiting.any()

    def slow_rows(self) -> list[int]:
        """Return the rows of what is read seldom or over slow lines; their first round takes what the bus takes."""
        slow = {gateway.id for gateway in self.plant.gateways if gateway.transport != "modbus-tcp"}
        rows = [gateway.cycle_ms_row for gateway in self.plant.gateways if gateway.id in slow]
        for device in self.plant.devices:
            seldom = [r.measure for r in device.profile.registers if r.poll != "scan" or device.gateway in slow]
            rows += [device.rows[measure] for measure in seldom]
            rows += [device.online_row, device.errors_row, device.response_ms_row] if device.gateway in slow else []
        lines = [row for gateway in self.plant.gateways if gateway.id in slow for row in gateway.rows.values()]
        lines += [row for g in self.plant.gateways if g.id in slow for row in (g.online_row, g.timeouts_row)]
        return rows + lines

    def stop(self, timeout_s: float = 10.0) -> int:
        """End the park as Ctrl-C does; return the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout_s)
        self.process = None
        return code

    def refused(self) -> tuple[int, str]:
        """Start in vain; return exit code and what was said."""
        done = subprocess.run(self.command(), capture_output=True, text=True, check=False, cwd=ROOT, timeout=30)
        return done.returncode, done.stderr

    def destroy(self) -> None:
        """Kill what a failed test left behind."""
        for pid in self.pids().values():
            os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pids(self) -> dict[str, int]:
        """Return room -> process id of this park's living processes, the supervisor as "run"."""
        found = {}
        for name, pid, words in _processes():
            if str(self.data.root) in words and str(ROOT / "run.py") in words:
                room = words[2] if len(words) > 2 and not words[2].startswith("-") else "run"
                found[room] = pid
            elif name == "postgres" and str(self.data.pg) in words:
                found["database"] = pid
        return found

    def kill(self, room: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a room; return the process id it had."""
        pid = self.pids()[room]
        os.kill(pid, number)
        return pid

    # ---- what it shows

    def snapshot(self) -> Snapshot | None:
        try:
            return self._reader.snapshot()
        except ImageGone:
            return None

    def tag(self, letter: str, owner: str, measure: str) -> tuple[float, int] | None:
        """Return (value, quality) of a tag, None while there is no image."""
        snapshot = self.snapshot()
        if snapshot is None:
            return None
        row = self.plant.row(letter, owner, measure)
        return float(snapshot.columns.tags.value[row]), int(snapshot.columns.tags.quality[row])

    def alarm_state(self, alarm_id: str) -> int:
        """Return the state of an alarm, an index into alarms.lifecycle.STATES; -1 without an image."""
        snapshot = self.snapshot()
        row = [alarm.id for alarm in self.plant.alarms].index(alarm_id)
        return int(snapshot.columns.alarms.state[row]) if snapshot else -1

    # ---- what it is asked

    def ask(self, command: str, /, **arguments: str) -> dict[str, str]:
        """Send one command to the core; arguments of "who" are filled in."""
        return call(self.data.core_socket, command, **arguments)

    def switch(self, breaker: str, position: str) -> str:
        """Select and operate a breaker; return the command's id."""
        command = self.ask("SelectBreaker", breaker=breaker, position=position, **WHO)["command"]
        self.ask("OperateBreaker", command=command, reason="test", **WHO)
        return command

    def command_state(self, command: str) -> str:
        return self.ask("CommandState", command=command)["state"]

    def top_up(self, account: str, amount_minor: int, key: str) -> dict[str, str]:
        return self.ask("TopUp", account=account, amount_minor=str(amount_minor), channel="cash", key=key, **WHO)

    def inject(self, name: str, target: str = "", value: str = "") -> dict[str, Any]:
        """Give the simulated field a fault over its control port."""
        answer = order(self.plant.field.control_port, name, target, value)
        assert answer.get("ok"), answer
        return answer

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement on the park's data base and return its rows."""
        with psycopg.connect(embedded_postgres.dsn(self.data.sockets)) as connection:
            return connection.execute("SET search_path TO wattkeeper").connection.execute(statement, values).fetchall()

    def audit(self) -> tuple[int, str]:
        """Run the audit; return exit code and last line."""
        done = subprocess.run(self.command("audit"), capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
        lines = done.stdout.strip().splitlines()
        return done.returncode, lines[-1] if lines else done.stderr


def _processes() -> Iterator[tuple[str, int, list[str]]]:
    """Yield (name, pid, command line) of every process we may look at."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            name = (entry / "comm").read_text().strip()
        except OSError:  # gone meanwhile
            continue
        yield name, int(entry.name), words

"""Supervision: the rooms of one start as child processes, restarted when they die and ended together.

Twisted's ProcessMonitor does the watching. The data base is watched apart, because it must be the first to start and
the last to end. Rule: this file knows command lines and signals, not what a room does.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loguru import logger
from twisted.internet import error
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.task import deferLater
from twisted.runner.procmon import ProcessMonitor
from zope.interface import implementer

from scada.errors import WattkeeperError

RESTART_THRESHOLD_S: Final = 2.0  # a room that lived shorter is restarted with a growing delay
RESTART_DELAY_MIN_S: Final = 0.2
RESTART_DELAY_MAX_S: Final = 2.0  # with some 2 s of imports a killed room is back within 5 s
END_ROOMS_S: Final = 3.0  # a room drains for 2 s at most; then it is killed
END_DATABASE_S: Final = 1.5  # fast shutdown writes a checkpoint; a killed server recovers from its log
POLL_S: Final = 0.02
ANSWER_S: Final = 0.2
ATTEND_POLL_S: Final = 0.1  # how soon a short command is given up when everything ends


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP port that a room is going to listen on."""

    host: str
    port: int
    owner: str


def taken(endpoints: Sequence[Endpoint]) -> list[str]:
    """Return one sentence for each port that something else already listens on."""
    sentences = []
    for endpoint in endpoints:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((endpoint.host, endpoint.port))
            except OSError as failure:
                sentences.append(
                    f"port {endpoint.port} on {endpoint.host} for the {endpoint.owner} is not free: {failure.strerror}"
                )
    return sentences


def answer(port: int, path: Path) -> bool:
    """Tell whether somebody listens on both: a TCP port of this machine, and a local socket."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S):
            pass
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(path))
    except OSError:
        return False
    return True


@implementer(IReactorTime, IReactorProcess)
class _Inheriting:
    """A reactor whose children write to our own stdout and stderr, and read nothing."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._null = os.open(os.devnull, os.O_RDONLY)
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater
        self.getDelayedCalls = reactor.getDelayedCalls

    def spawnProcess(self, protocol: Any, executable: str, args: Sequence[str], **options: Any) -> Any:
        return self._reactor.spawnProcess(
            protocol, executable, args=args, childFDs={0: self._null, 1: 1, 2: 2}, **options
        )


class RoomMonitor(ProcessMonitor):  # type: ignore[misc]
    """A ProcessMonitor that ends its processes with a chosen signal and tells when they are gone."""

    threshold = RESTART_THRESHOLD_S
    minRestartDelay = RESTART_DELAY_MIN_S
    maxRestartDelay = RESTART_DELAY_MAX_S

    def __init__(self, reactor: Any, end_signal: str, end_s: float) -> None:
        super().__init__(_Inheriting(reactor))
        self._end_signal = end_signal
        self.killTime = end_s

    def _monitoredProcessExited(self, name: str, reason: Any = None) -> None:
        if self.running:
            cause = reason.value if reason is not None else "unknown"
            logger.warning("room {} ended ({}); starting it again", name, cause)
        super()._monitoredProcessExited(name, reason)

    def stopProcess(self, name: str) -> None:
        if name not in self.protocols or name in self.murder:
            return
        transport = self.protocols[name].transport
        try:
            transport.signalProcess(self._end_signal)
        except error.ProcessExitedAlready:
            return
        self.murder[name] = self._clock.callLater(self.killTime, self._forceStopProcess, transport)

    @property
    def pids(self) -> dict[str, int]:
        """Return name -> process id of what runs now."""
        return {name: protocol.transport.pid for name, protocol in self.protocols.items()}


class Supervisor:
    """Start the data base, run the preparation, start the rooms, keep them, end everything in order.

    database   command line of the embedded server, empty when the site has its own
    ready      blocking callable run in a thread until the data base answers and its schema is current
    rooms      room name -> command line
    """

    def __init__(
        self,
        reactor: Any,
        database: Sequence[str],
        ready: Callable[[], None],
        rooms: Mapping[str, Sequence[str]],
        announce: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._ready = ready
        self._announce = announce
        self.rooms = RoomMonitor(reactor, "TERM", END_ROOMS_S)
        self.database = RoomMonitor(reactor, "INT", END_DATABASE_S)
        if database:
            self.database.addProcess("database", list(database), env=dict(os.environ))
        for name, command in rooms.items():
            self.rooms.addProcess(name, list(command), env=dict(os.environ))
        self.ending = threading.Event()  # `ready` gives up when it is set
        self.exit_code = 0

    async def run(self) -> None:
        """Bring everything up; on a failure before the rooms run, end with exit code 1 and the reason.

        Whoever stops the reactor, and be it Twisted itself at a signal before ours are handled, ends everything first.
        """
        from twisted.internet.threads import deferToThread

        self._reactor.addSystemEventTrigger("before", "shutdown", lambda: ensureDeferred(self._end()))
        self.database.startService()
        try:
            await deferToThread(self._ready)
        except WattkeeperError as failure:
            self._fail(f"wattkeeper: {failure}")
        except Exception:  # noqa: BLE001 - nobody else would hear of it, and a start that hangs is worse than its end
            self._fail(traceback.format_exc())
        if self.ending.is_set():
            return
        self.rooms.startService()
        self._announce()

    def _fail(self, reason: str) -> None:
        """End with exit code 1, unless we are ending anyway: then a preparation that fails is what we asked for."""
        if not self.ending.is_set():
            print(reason, file=sys.stderr)
            self.exit_code = 1
            self.stop()

    def stop(self) -> None:
        """Stop the reactor, which first ends everything. Safe to call twice."""
        self.ending.set()
        with contextlib.suppress(error.ReactorNotRunning):  # it is stopping already
            self._reactor.stop()

    def attend(self, command: Sequence[str], failure: str) -> None:
        """Run a short command to its end, in the thread of `ready`; WattkeeperError when it fails or we are ending."""
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = ""
        while process.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                said = process.communicate(timeout=ATTEND_POLL_S)[1]
            if self.ending.is_set():
                process.kill()  # whatever it did is one transaction
        if process.returncode:
            raise WattkeeperError(f"{failure}: {said.strip()}")

    async def _end(self) -> None:
        """End the rooms, then the data base."""
        self.ending.set()
        for monitor in (self.rooms, self.database):
            if monitor.running:
                monitor.stopService()
            while monitor.protocols:
                await deferLater(self._reactor, POLL_S)
        logger.info("everything has ended")

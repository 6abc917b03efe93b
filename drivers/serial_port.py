"""A serial port of this machine as a link: opened for us alone, set as its meters want, opened again when it vanished.

A USB adapter that is pulled out and a pseudo-terminal whose other end goes away look alike: the port hangs up.
Rule: two programs on one RS-485 line destroy each other's frames, so a port that somebody else holds is refused.
"""

import errno
import fcntl
import os
import random
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.fdesc import writeToFD

from drivers.device import LineFormat
from drivers.lines import State
from drivers.serial_setup import open_port, reason_of
from drivers.transports import READ_BYTES, LinkUser, Retry


class _Port(FileDescriptor):  # type: ignore[misc]
    """The open port in the reactor."""

    connected = 1

    def __init__(self, reactor: Any, fd: int, link: "SerialLink") -> None:
        super().__init__(reactor)
        self._fd = fd
        self._link = link
        self.startReading()

    def fileno(self) -> int:
        return self._fd

    def writeSomeData(self, data: bytes) -> Any:
        return writeToFD(self._fd, data)

    def doRead(self) -> Any:
        try:
            data = os.read(self._fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            return error
        if not data:
            return OSError(errno.EIO, "the port hung up")
        self._link.port_data(self, data)
        return None

    def connectionLost(self, reason: Any) -> None:
        """Close the descriptor, once, whoever ends it."""
        super().connectionLost(reason)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                fcntl.ioctl(fd, termios.TIOCNXCL)
            os.close(fd)
            self._link.port_lost(self, reason)


class SerialLink:
    """One serial port."""

    def __init__(self, reactor: Any, path: Path, form: LineFormat, rng: random.Random) -> None:
        self.name = str(path)
        self.state = State.CLOSED
        self._reactor = reactor
        self._form = form
        self._retry = Retry(reactor, rng, self._connect)
        self._user: LinkUser | None = None
        self._port: _Port | None = None

    def open(self, user: LinkUser) -> None:
        """Open the port soon, and keep it open until `close`."""
        self._user = user
        if self.state is State.CLOSED:
            self.state = State.CONNECTING
            self._retry.later()

    def close(self) -> "Deferred[None]":
        """Close the port."""
        self.state = State.CLOSED
        self._retry.cancel()
        self._give_back()
        return succeed(None)

    def drop(self) -> None:
        """Throw away what came: a serial line has no connection to renew."""
        self.discard_input()

    def suspect(self) -> None:
        """Open the port anew: some adapters hang until then."""
        if self.state is State.UP:
            self._give_back()
            self.state = State.CONNECTING
            self._retry.later()

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens while the port is not open."""
        if self._port is not None:
            self._port.write(data)

    def discard_input(self) -> None:
        """Throw away what the kernel holds."""
        if self._port is not None:
            with suppress(termios.error):  # the port is going away, which the reactor reports
                termios.tcflush(self._port.fileno(), termios.TCIFLUSH)

    def _connect(self) -> None:
        assert self._user is not None
        try:
            fd = open_port(self.name, self._form)
        except OSError as error:
            self.state = State.WAITING
            self._retry.later()
            self._user.link_down(f"serial port {self.name} cannot be opened: {reason_of(error)}")
            return
        self.state = State.UP
        self._port = _Port(self._reactor, fd, self)
        self._user.link_up()

    def _give_back(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            port.stopReading()
            port.stopWriting()
            port.connectionLost(None)

    def port_data(self, port: _Port, data: bytes) -> None:
        """Pass bytes on."""
        if port is self._port and self._user is not None:
            self._retry.reset()
            self._user.link_data(data)

    def port_lost(self, port: _Port, reason: Any) -> None:
        """Open a port again that hung up."""
        if port is not self._port or self._user is None:
            return
        self._port = None
        self.state = State.WAITING
        self._retry.later()
        self._user.link_lost()
        self._user.link_down(f"serial port {self.name} vanished")

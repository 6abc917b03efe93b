"""A line of the tool's own: one question at a time, blocking, for as long as a command runs.

It is for lines that no running core owns. A serial port is opened for this process alone; after a time-out what comes
late is thrown away (serial, transparent) or the connection is made anew (Modbus TCP), so that it answers nothing else.
Rule: bytes and judged outcomes only; protocols are the question's matter, people the command's.
"""

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from drivers import modbus
from drivers.device import Gateway
from drivers.dialects import Question
from drivers.frame_log import Entry, outcome_text
from drivers.masking import masked
from drivers.outcome import Continue, Exchange, Outcome, Reply, Silence, Violation
from drivers.serial_setup import open_port, reason_of
from scada.errors import WattkeeperError

CONNECT_S: Final = 3.0  # two SYN retransmissions of a lossy network fit in
CHUNK_BYTES: Final = 4096
PAUSE_S: Final = 0.5  # DL/T 645-2007: at most 500 ms between two bytes of one frame
GAP_S: Final = 0.03  # silence between two transactions of one bus: more than 3.5 characters at 1200 baud
LATE_S: Final = 1.0  # what a device answers after its time-out is waited for so long, or until the line is silent
HELD: Final = (errno.EBUSY, errno.EWOULDBLOCK)


class Stream(Protocol):
    """Bytes to and from the other side."""

    def write(self, data: bytes) -> None:
        """Send all of it. OSError when the other side is gone."""
        ...

    def read(self, timeout_s: float) -> bytes:
        """Return what comes within a time, b"" when nothing does. OSError when the other side is gone."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class TcpStream:
    """A TCP connection."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), CONNECT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self, timeout_s: float) -> bytes:
        ready, _, _ = select.select([self._socket], [], [], max(timeout_s, 0.0))
        if not ready:
            return b""
        data = self._socket.recv(CHUNK_BYTES)
        if not data:
            raise ConnectionResetError("the other side closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()


class SerialStream:
    """A serial port, for this process alone."""

    def __init__(self, gateway: Gateway) -> None:
        self._fd = open_port(gateway.path, gateway.line)

    def write(self, data: bytes) -> None:
        while data:
            select.select([], [self._fd], [], PAUSE_S)
            data = data[os.write(self._fd, data) :]

    def read(self, timeout_s: float) -> bytes:
        ready, _, _ = select.select([self._fd], [], [], max(timeout_s, 0.0))
        if not ready:
            return b""
        data = os.read(self._fd, CHUNK_BYTES)
        if not data:
            raise OSError(errno.EIO, "the port hung up")
        return data

    def close(self) -> None:
        os.close(self._fd)


def open_stream(gateway: Gateway) -> Stream:
    """Open what a gateway's line is. WattkeeperError says which line and what stands against it."""
    if gateway.transport == "dial-in":
        raise WattkeeperError(f"{gateway.id}: its meters dial in to the core; start the core and ask through it")
    try:
        return SerialStream(gateway) if gateway.transport == "serial" else TcpStream(gateway.host, gateway.port)
    except OSError as error:
        reason = _port_reason(error) if gateway.transport == "serial" else error.strerror or str(error)
        raise WattkeeperError(f"{where(gateway)} cannot be opened: {reason}") from error


def _port_reason(error: OSError) -> str:
    if error.errno in HELD:
        return "another process holds it; a running core asks for you when you name a configured meter or --via"
    return reason_of(error)


def where(gateway: Gateway) -> str:
    """Return what a line is, in the words of --line."""
    form = f" {gateway.line.baud} 8{gateway.line.parity}{gateway.line.stop_bits}"
    if gateway.transport == "serial":
        return f"serial:{gateway.path}{form}"
    text = f"{gateway.transport}:{gateway.host}:{gateway.port}"
    return text if gateway.transport == "modbus-tcp" else text + form


@dataclass(slots=True)
class _Heard:
    """What came in one transaction."""

    sent: bytes = b""
    received: bytes = b""


class DirectLine:
    """One line, opened at the first question."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.framed = gateway.transport == "modbus-tcp"
        self._stream: Stream | None = None
        self._transaction = time.monotonic_ns() & 0xFFFF
        self._late = False  # the last question ended without its answer
        self._number = 0

    def __enter__(self) -> "DirectLine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the line."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def ask(self, question: Question, timeout_s: float = 0.0) -> tuple[Outcome, Entry]:
        """Ask and wait; return how it ended and what went over the line. WattkeeperError when it cannot be opened."""
        patience_s = timeout_s or self.gateway.timeout_s
        stream = self._ready()
        heard, begun = _Heard(), time.monotonic_ns()
        try:
            if isinstance(question, modbus.Request):
                outcome = self._ask_framed(stream, question, patience_s, heard)
            else:
                outcome = self._ask_bare(stream, question, patience_s, heard)
        except OSError:
            self.close()
            outcome = Silence("lost", bool(heard.sent))
        self._late = isinstance(outcome, Silence | Violation)
        self._number += 1
        sent, hidden = masked(heard.sent)
        received, hidden_received = masked(heard.received)
        elapsed = time.monotonic_ns() - begun
        good, text = isinstance(outcome, Reply), outcome_text(outcome)
        return outcome, Entry(
            self._number, time.time_ns(), elapsed, sent, received, text, good, hidden, hidden_received
        )

    def _ready(self) -> Stream:
        """Return the open line with no late bytes in it."""
        if self._stream is not None and self._late and self.framed:
            self.close()
        if self._stream is None:
            self._stream = open_stream(self.gateway)
            return self._stream
        with contextlib.suppress(OSError):
            self._silence(self._stream)
        return self._stream

    def _silence(self, stream: Stream) -> None:
        """Throw away what comes, until the line was silent for long enough."""
        quiet_s = max(GAP_S, self.gateway.line.gap_s)
        until = time.monotonic() + (LATE_S if self._late else quiet_s)
        while time.monotonic() < until:
            if not stream.read(quiet_s):
                return

    def _ask_framed(self, stream: Stream, request: modbus.Request, patience_s: float, heard: _Heard) -> Outcome:
        self._transaction = (self._transaction + 1) & 0xFFFF
        heard.sent = request.encode(self._transaction)
        stream.write(heard.sent)
        parser = modbus.Parser()
        for data in _until(stream, patience_s, patience_s):
            heard.received += data
            for item in parser.feed(data):
                if isinstance(item, Violation):
                    return item
                if modbus.transaction_of(item) == self._transaction:
                    return modbus.check_reply(request, self._transaction, item)
        return Silence("timeout", True)

    def _ask_bare(self, stream: Stream, exchange: Exchange, patience_s: float, heard: _Heard) -> Outcome:
        """Ask, and ask for every further part. A broadcast is answered by nobody: that is success."""
        wrong: Violation | None = None
        while True:
            heard.sent += exchange.wire
            stream.write(exchange.wire)
            if exchange.broadcast:
                return Reply(b"")
            judged, broken = self._answer(stream, exchange, patience_s, heard)
            wrong = wrong or broken
            if not isinstance(judged, Continue):
                return judged or wrong or Silence("timeout", True)
            exchange = judged.exchange
            time.sleep(max(GAP_S, self.gateway.line.gap_s))

    def _answer(
        self, stream: Stream, exchange: Exchange, patience_s: float, heard: _Heard
    ) -> tuple[Reply | Any, Violation | None]:
        """Return the first frame's judgement that counts, and the first broken frame; None for neither."""
        scanner = exchange.scanner()
        wrong: Violation | None = None
        for data in _until(stream, self._first_s(exchange, patience_s), PAUSE_S):
            heard.received += data
            for item in scanner.feed(data):
                judged = item if isinstance(item, Violation) else exchange.judge(item)
                if isinstance(judged, Violation):
                    wrong = wrong or judged
                elif judged is not None:
                    return judged, wrong
        return None, wrong

    def _first_s(self, exchange: Exchange, patience_s: float) -> float:
        """Return how long the first byte may take: the question's own way over the wire, and the device's patience."""
        return patience_s + len(exchange.wire) * self.gateway.line.char_s


def _until(stream: Stream, first_s: float, pause_s: float) -> Iterator[bytes]:
    """Yield what comes: the first byte within first_s, every other within pause_s after the one before.

    A line that never falls silent is left after ten times the patience.
    """
    end = time.monotonic() + 10 * first_s
    left_s = first_s
    while time.monotonic() < end and (data := stream.read(left_s)):
        yield data
        left_s = pause_s

"""What the simulated gateways of the Modbus and scale benches share: a process, sockets, memory that the bench sees.

    bench --spawned--> process: attach memory, `run` --Sockets.serve--> the bench's own compiled loop, again and again

Rule: nothing here reads a request or writes a reply; how that is done is what a bench measures against.
"""

import multiprocessing
import multiprocessing.shared_memory
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np

REQUEST_BYTES: Final = 12
REPLY_HEAD_BYTES: Final = 9
READY_MAX: Final = 512  # events of one look
EVENT_BYTES_MAX: Final = 16
WAIT_MS: Final = 1000
BACKLOG: Final = 1024
MSG: Final = 0x4040  # MSG_DONTWAIT | MSG_NOSIGNAL
WORD_BYTES: Final = 8


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def descriptor(ready, i, event_bytes):  # type: ignore[no-untyped-def]
    """Return the descriptor of event number i that epoll_wait left in `ready`."""
    at = (i + 1) * event_bytes - 8
    return np.int64(ready[at]) | np.int64(ready[at + 1]) << 8 | np.int64(ready[at + 2]) << 16


def read_reply(unit: int, payload: bytes) -> Any:
    """Return the reply to a read of holding registers; its transaction number is 0."""
    head = struct.pack(">HHHBBB", 0, 0, 3 + len(payload), unit, 3, len(payload))
    return np.frombuffer(head + payload, dtype=np.uint8).copy()


class Sockets:
    """The listener, the connections and the buffers of one simulator."""

    def __init__(self, host: str, reply_bytes: int, requests_at_once: int) -> None:
        self._listener = socket.create_server((host, 0), backlog=BACKLOG)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self.numbers = (self._epoll.fileno(), self._listener.fileno())  # the first arguments of a compiled loop
        self.buffers = (  # events, requests, replies
            np.zeros(READY_MAX * EVENT_BYTES_MAX, dtype=np.uint8),
            np.zeros(REQUEST_BYTES * requests_at_once, dtype=np.uint8),
            np.zeros(reply_bytes * requests_at_once, dtype=np.uint8),
        )

    def serve(
        self, ready_end: Any, answer: Callable[[int], int], taken: Callable[[socket.socket], None] | None = None
    ) -> None:
        """Serve until killed; tell the port when all is compiled.

        answer  wait_ms -> the descriptor that wants to connect or has gone, -1 when nothing came for wait_ms
        taken   what is to be known of a new connection before its first request
        """
        answer(0)  # compiled before the first request
        ready_end.send(self._listener.getsockname()[1])
        while True:
            about = answer(WAIT_MS)
            if about == self._listener.fileno():
                self._take(taken)
            elif about >= 0:
                self._connections.pop(about).close()

    def _take(self, taken: Callable[[socket.socket], None] | None) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if taken is not None:
            taken(connection)
        self._epoll.register(connection.fileno(), select.EPOLLIN)
        self._connections[connection.fileno()] = connection


@dataclass
class Spawned:
    """A simulator that answers."""

    port: int
    pid: int
    words: Any  # int64, seen by both sides


@contextmanager
def spawned(run: Callable[..., None], words: int, *arguments: Any) -> Iterator[Spawned]:
    """Call run(ready_end, words, *arguments) in a process of its own until the block ends."""
    context = multiprocessing.get_context("spawn")
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=WORD_BYTES * words)
    seen = _words(memory, words)
    seen[:] = 0
    here, there = context.Pipe()
    process = context.Process(target=_enter, args=(run, there, memory.name, words, *arguments), daemon=True)
    process.start()
    try:
        yield Spawned(here.recv(), process.pid or 0, seen)
    finally:
        process.kill()
        process.join()
        del seen
        memory.close()
        memory.unlink()


def _enter(run: Callable[..., None], ready_end: Any, memory_name: str, words: int, *arguments: Any) -> None:
    memory = multiprocessing.shared_memory.SharedMemory(memory_name)
    run(ready_end, _words(memory, words), *arguments)


def _words(memory: multiprocessing.shared_memory.SharedMemory, words: int) -> Any:
    return np.ndarray(words, dtype=np.int64, buffer=memory.buf)

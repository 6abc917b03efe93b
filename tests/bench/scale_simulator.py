"""The meters of the scale bench: one process, compiled, that is every gateway and knows the truth of every register.

A meter's billing register goes on by one count with each read, unless the bench holds it; the last register told and
the number of reads stand in memory that the bench sees.
"""

import multiprocessing
import multiprocessing.shared_memory
import resource
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np

from drivers.engine import EPOLL_EVENT_BYTES
from drivers.libc import c_epoll_wait, c_recv, c_send
from tests.bench import scale_plant

REGISTERS: Final = scale_plant.REGISTERS
REQUEST_BYTES: Final = 12
REPLY_BYTES: Final = 9 + 2 * scale_plant.REGISTERS
REQUESTS_AT_ONCE: Final = 256
READY_MAX: Final = 512
FDS_MAX: Final = 8192
MSG: Final = 0x4040  # MSG_DONTWAIT | MSG_NOSIGNAL
HELD, STRANGE, HEAD = 0, 1, 2  # the first words of the shared memory; behind them registers, then reads
BASE: Final = 1000


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def serve(epoll_fd, listener_fd, event_bytes, reply, first_meter, ready, incoming, outgoing, shared, meters, wait_ms):  # type: ignore[no-untyped-def]
    """Answer until somebody wants to connect or has gone; return that descriptor, -1 when nothing came for wait_ms."""
    while True:
        found = c_epoll_wait(epoll_fd, ready.ctypes.data, READY_MAX, wait_ms)
        if found <= 0:
            return -1
        for i in range(found):
            at = (i + 1) * event_bytes - 8
            fd = np.int64(ready[at]) | np.int64(ready[at + 1]) << 8 | np.int64(ready[at + 2]) << 16
            if fd == listener_fd:
                return fd
            got = c_recv(fd, incoming.ctypes.data, REQUEST_BYTES * REQUESTS_AT_ONCE, MSG)
            if got <= 0:
                return fd
            if got % REQUEST_BYTES != 0:
                shared[STRANGE] += 1
            size = 0
            for begin in range(0, got - REQUEST_BYTES + 1, REQUEST_BYTES):
                meter = first_meter[fd] + incoming[begin + 6] - 1
                right = incoming[begin + 7] == 3 and incoming[begin + 9] == 0 and incoming[begin + 11] == REGISTERS
                if not right or meter >= meters:
                    shared[STRANGE] += 1
                    continue
                if shared[HELD] == 0:
                    shared[HEAD + meter] += 1
                shared[HEAD + meters + meter] += 1
                register = shared[HEAD + meter]
                outgoing[size] = incoming[begin]
                outgoing[size + 1] = incoming[begin + 1]
                for j in range(2, REPLY_BYTES):
                    outgoing[size + j] = reply[j]
                outgoing[size + 6] = incoming[begin + 6]
                for j in range(4):
                    outgoing[size + 9 + j] = (register >> (24 - 8 * j)) & 255
                size += REPLY_BYTES
            if size:
                c_send(fd, outgoing.ctypes.data, size, MSG)


def _reply() -> Any:
    head = struct.pack(">HHHBBB", 0, 0, 3 + 2 * REGISTERS, 0, 3, 2 * REGISTERS)
    return np.frombuffer(head + struct.pack(f">{REGISTERS}H", *scale_plant.words()), dtype=np.uint8).copy()


def _run(ready_end: Any, memory_name: str, meters: int) -> None:
    """Serve until killed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FDS_MAX), most))
    memory = multiprocessing.shared_memory.SharedMemory(memory_name)
    shared = np.ndarray(HEAD + 2 * meters, dtype=np.int64, buffer=memory.buf)
    listener = socket.create_server(("0.0.0.0", 0), backlog=1024)
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    first_meter = np.zeros(FDS_MAX, dtype=np.int64)
    buffers = (
        np.zeros(READY_MAX * 16, dtype=np.uint8), np.zeros(REQUEST_BYTES * REQUESTS_AT_ONCE, dtype=np.uint8),
        np.zeros(REPLY_BYTES * REQUESTS_AT_ONCE, dtype=np.uint8),
    )  # fmt: skip
    fixed = (epoll.fileno(), listener.fileno(), EPOLL_EVENT_BYTES, _reply(), first_meter, *buffers, shared, meters)
    serve(*fixed, 0)  # compiled before the first request
    ready_end.send(listener.getsockname()[1])
    connections: dict[int, socket.socket] = {}
    while True:
        about = serve(*fixed, 1000)
        if about == listener.fileno():
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            gateway = scale_plant.number_of(connection.getsockname()[0])
            first_meter[connection.fileno()] = scale_plant.UNITS_EACH * gateway
            epoll.register(connection.fileno(), select.EPOLLIN)
            connections[connection.fileno()] = connection
        elif about >= 0:
            connections.pop(about).close()


@dataclass
class Simulator:
    """A running simulator of `meters` meters."""

    port: int
    pid: int
    shared: Any
    meters: int

    def hold(self, held: bool) -> None:
        """Let the registers stand, or go on."""
        self.shared[HELD] = int(held)

    def registers(self) -> Any:
        """Return (meters,) the register that each meter told last."""
        return self.shared[HEAD : HEAD + self.meters].copy()

    def reads(self) -> Any:
        """Return (meters,) how often each was asked."""
        return self.shared[HEAD + self.meters :].copy()

    def strange(self) -> int:
        return int(self.shared[STRANGE])


@contextmanager
def simulator(meters: int) -> Iterator[Simulator]:
    """Run a simulator whose registers stand at BASE until they are let go."""
    context = multiprocessing.get_context("spawn")
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=8 * (HEAD + 2 * meters))
    shared = np.ndarray(HEAD + 2 * meters, dtype=np.int64, buffer=memory.buf)
    shared[:] = 0
    shared[HELD] = 1
    shared[HEAD : HEAD + meters] = BASE
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(there, memory.name, meters), daemon=True)
    process.start()
    try:
        running = Simulator(here.recv(), process.pid or 0, shared, meters)
        yield running
        del running.shared
    finally:
        process.kill()
        process.join()
        del shared
        memory.close()
        memory.unlink()

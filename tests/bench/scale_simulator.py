"""The meters of the scale bench: one process, compiled, that is every gateway and knows the truth of every register.

A meter's billing register goes on by one count with each read, unless the bench holds it; the last register told and
the number of reads stand in memory that the bench sees.
"""

import resource
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
from tests.bench.simulated_gateways import (
    MSG,
    READY_MAX,
    REPLY_HEAD_BYTES,
    REQUEST_BYTES,
    Sockets,
    descriptor,
    read_reply,
    spawned,
)

REGISTERS: Final = scale_plant.REGISTERS
REPLY_BYTES: Final = REPLY_HEAD_BYTES + 2 * REGISTERS
REQUESTS_AT_ONCE: Final = 256
FDS_MAX: Final = 8192
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
            fd = descriptor(ready, i, event_bytes)
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


def _run(ready_end: Any, shared: Any, meters: int) -> None:
    """Serve until killed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FDS_MAX), most))
    sockets = Sockets("0.0.0.0", REPLY_BYTES, REQUESTS_AT_ONCE)
    pattern = read_reply(0, struct.pack(f">{REGISTERS}H", *scale_plant.words()))
    first_meter = np.zeros(FDS_MAX, dtype=np.int64)

    def taken(connection: socket.socket) -> None:
        gateway = scale_plant.number_of(connection.getsockname()[0])
        first_meter[connection.fileno()] = scale_plant.UNITS_EACH * gateway

    fixed = (*sockets.numbers, EPOLL_EVENT_BYTES, pattern, first_meter, *sockets.buffers, shared, meters)
    sockets.serve(ready_end, lambda wait_ms: int(serve(*fixed, wait_ms)), taken)


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
    with spawned(_run, HEAD + 2 * meters, meters) as running:
        running.words[HELD] = 1  # nobody knows the port yet
        running.words[HEAD : HEAD + meters] = BASE
        told = Simulator(running.port, running.pid, running.words, meters)
        yield told
        del told.shared

"""The gateways of the Modbus benches: one process that answers reads of 20 registers as fast as compiled code can.

Meter values depend on the unit alone, so that every client can compare everything it gets. It counts what it was asked,
by unit, in memory that the bench sees, and what it could not read.
"""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np

from drivers.engine import EPOLL_EVENT_BYTES
from drivers.libc import c_epoll_wait, c_recv, c_send
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

REGISTERS = 20
UNITS = 256
REPLY_BYTES = REPLY_HEAD_BYTES + 2 * REGISTERS
REQUESTS_AT_ONCE = 340
IDLE_LOOKS = 20_000  # some milliseconds
STRANGE = UNITS  # counts[STRANGE]: reads that were no whole number of right requests
COUNTS = UNITS + 1

_LOOKUP = [
    struct.pack(f">{REGISTERS}H", *((unit * 251 + i * 7) & 0xFFFF for i in range(REGISTERS))) for unit in range(UNITS)
]


def expected(unit: int) -> bytes:
    """Return the payload that a read of a meter must deliver."""
    return _LOOKUP[unit]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def serve(epoll_fd, listener_fd, event_bytes, replies, ready, incoming, outgoing, counts, wait_ms):  # type: ignore[no-untyped-def]
    """Answer until somebody wants to connect or has gone; return that descriptor, -1 when nothing came for wait_ms.

    It looks IDLE_LOOKS times before it sleeps, because to be woken costs a client on the other core more than a poll.
    """
    idle = 0
    while True:
        found = c_epoll_wait(epoll_fd, ready.ctypes.data, READY_MAX, 0 if idle < IDLE_LOOKS else wait_ms)
        if found <= 0:
            if idle == IDLE_LOOKS:
                return -1
            idle += 1
            continue
        idle = 0
        for i in range(found):
            fd = descriptor(ready, i, event_bytes)
            if fd == listener_fd:
                return fd
            got = c_recv(fd, incoming.ctypes.data, REQUEST_BYTES * REQUESTS_AT_ONCE, MSG)
            if got <= 0:
                return fd
            if got % REQUEST_BYTES != 0:
                counts[STRANGE] += 1
            size = 0
            for begin in range(0, got - REQUEST_BYTES + 1, REQUEST_BYTES):
                unit = incoming[begin + 6]
                counts[unit if incoming[begin + 7] == 3 and incoming[begin + 11] == REGISTERS else STRANGE] += 1
                outgoing[size] = incoming[begin]
                outgoing[size + 1] = incoming[begin + 1]
                for j in range(2, REPLY_BYTES):
                    outgoing[size + j] = replies[unit, j]
                size += REPLY_BYTES
            if size:
                c_send(fd, outgoing.ctypes.data, size, MSG)


def _run(ready_end: Any, counts: Any, core: int) -> None:
    """Serve until killed."""
    os.sched_setaffinity(0, {core})
    sockets = Sockets("127.0.0.1", REPLY_BYTES, REQUESTS_AT_ONCE)
    replies = np.stack([read_reply(unit, expected(unit)) for unit in range(UNITS)])
    fixed = (*sockets.numbers, EPOLL_EVENT_BYTES, replies, *sockets.buffers, counts)
    sockets.serve(ready_end, lambda wait_ms: int(serve(*fixed, wait_ms)))


@dataclass
class Simulator:
    """A running simulator."""

    port: int
    pid: int
    counts: Any

    def asked(self) -> int:
        """Return how many right requests came."""
        return int(self.counts[:UNITS].sum())

    def strange(self) -> int:
        return int(self.counts[STRANGE])

    def cpu_s(self) -> float:
        """Return the processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def simulator(core: int) -> Iterator[Simulator]:
    """Run a simulator on a core of its own."""
    with spawned(_run, COUNTS, core) as running:
        yield Simulator(running.port, running.pid, running.words)


def cores() -> tuple[int, int]:
    """Return (the core of the client, the core of the simulator)."""
    able = sorted(os.sched_getaffinity(0))
    return able[0], able[-1]


def cpu_s() -> float:
    return time.process_time()

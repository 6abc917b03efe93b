"""The tables of the Modbus TCP engine: connections, transactions in flight, polls, cycles and events, as arrays.

One row of `conns` is one line for the whole life of the process; its connections come and go. A *poll* is one block of
one device with everything its right answer must show; its row is its slot in the reply store. A *cycle* of a line is a
list of chains, a chain the due blocks of one device, asked one after the other.
Rule: only arrays and the names of their columns, no behaviour.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from drivers.modbus import HEAD_BYTES, LENGTH_MAX
from drivers.replies import ReplyStore

FLIGHTS: Final = 16  # MODBUS Messaging Guide 4.2: NumberMaxOfServerTransaction is 1 to 16
FRAME_MAX: Final = HEAD_BYTES + LENGTH_MAX
BUFFER_BYTES: Final = FLIGHTS * FRAME_MAX + 192  # every answer that can be due at once, and some nobody asked for
REQUEST_BYTES: Final = 12  # a read: head, unit, function, address, count
EVENTS_MAX: Final = 1024  # records between two visits of Python; a full table ends the step, nothing is lost
EVENTS_EACH: Final = FLIGHTS + 4  # the most that one visit of a connection can push
READY_MAX: Final = 512  # sockets taken from the kernel at once
EPOLL_EVENT_MAX_BYTES: Final = 16  # struct epoll_event: 12 bytes on x86-64, where it is packed, else 16
BUCKETS: Final = 48  # response times by half powers of two microseconds, up to 16 s

# conns
C_FD: Final = 0  # -1 while there is no connection
C_HALTED: Final = 1  # Python has to judge something before the next byte is looked at
C_WANTED: Final = 2  # Python has requests of its own waiting: no poll of the cycle takes a place before them
C_TELL: Final = 3  # every good reply is an event: the gateway was in trouble
C_LIMIT: Final = 4  # transactions in flight at once
C_FLYING: Final = 5
C_POLLS: Final = 6  # of them polls of the cycle
C_NEXT: Final = 7  # transaction id
C_HAVE: Final = 8  # bytes in the buffer
C_AT: Final = 9  # the next chain to start, a place in `starts` ...
C_END: Final = 10  # ... and the end of the list
C_RUNNING: Final = 11  # a cycle is under way
C_TIMEOUT_NS: Final = 12
C_GOOD: Final = 13  # good replies to polls, counted for ever
C_SENT: Final = 14  # polls sent, counted for ever
C_LIFE: Final = 15  # connections it has had
C_WATCHED: Final = 16  # somebody follows the frames: every answer goes to Python
CONN_WIDTH: Final = 17

# times
T_SECONDS: Final = 0  # struct timespec, written by the kernel
T_NANOSECONDS: Final = 1
T_SYSTEM_NS: Final = 2  # CLOCK_MONOTONIC when the step began ...
T_MONO_NS: Final = 3  # ... and what the site's clock said then
T_UTC_NS: Final = 4
T_SPEED: Final = 5  # of plant time
TIMES: Final = 6

# flights (conn, place)
F_TRANSACTION: Final = 0  # NOBODY: the place is free
F_ITEM: Final = 1  # place in `items`; NOBODY: a question of Python's
F_SENT_NS: Final = 2  # monotonic
FLIGHT_WIDTH: Final = 3
NOBODY: Final = -1

# polls
P_FRAME_BYTES: Final = 0  # of the right answer
P_PAYLOAD_AT: Final = 1  # where the payload begins in it
P_PADDING: Final = 2  # bits of its last byte that must be 0
P_TELL: Final = 3  # a good reply is an event: the block was refused before
P_GOOD: Final = 4  # good replies
P_SUM_NS: Final = 5  # their response times
P_MAX_NS: Final = 6
P_LAST_NS: Final = 7
POLL_WIDTH: Final = 8

# heads (poll, byte)
H_WIRE: Final = 0  # a request from the protocol id on
H_REPLY: Final = 10  # its answer from the protocol id to the byte count
HEAD_WIDTH: Final = 17
REPLY_HEAD_BYTES: Final = HEAD_WIDTH - H_REPLY

# events
E_KIND: Final = 0
E_CONN: Final = 1
E_ITEM: Final = 2
E_ELAPSED_NS: Final = 3
E_BYTES: Final = 4  # of the frame beside it
E_TRANSACTION: Final = 5
E_LIFE: Final = 6  # of the connection it is about: one that was fenced since has no events any more
EVENT_WIDTH: Final = 7

GOOD: Final = 1  # a right answer while somebody wants to hear of it
FRAME: Final = 2  # a whole frame that is not the right answer to a poll; the connection is halted
BROKEN: Final = 3  # the stream has no frame border any more; E_ELAPSED_NS holds what is wrong; halted
GONE: Final = 4  # the peer closed or reset; halted
STUCK: Final = 5  # the kernel does not take what is to be sent; halted
ROOM: Final = 6  # a place is free and Python has requests waiting
ENDED: Final = 7  # every chain of the cycle has been asked and no poll is in flight
LATE: Final = 8  # the oldest transaction is over its time; halted

WRONG_PROTOCOL: Final = 1  # in E_ELAPSED_NS of BROKEN
WRONG_LENGTH: Final = 2

Table = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


class Tables(NamedTuple):
    """Everything the engine reads and writes. int64 where nothing else is said."""

    conns: Table  # (n_lines, CONN_WIDTH)
    flights: npt.NDArray[Any]  # (n_conns, FLIGHTS, FLIGHT_WIDTH)
    buffers: Octets  # (n_conns, BUFFER_BYTES) bytes received that are not a whole frame yet
    polls: Table  # (n_polls, POLL_WIDTH)
    heads: Octets  # (n_polls, HEAD_WIDTH)
    buckets: npt.NDArray[Any]  # (n_polls, BUCKETS) uint32 histogram of response times
    items: Table  # (n_polls,) poll << 1 | last of its chain
    starts: Table  # (n_polls,) items that begin a chain, by line
    events: Table  # (EVENTS_MAX, EVENT_WIDTH)
    frames: Octets  # (EVENTS_MAX, FRAME_MAX)
    pushed: Table  # (1,) events since Python took them
    scratch: Octets  # (FLIGHTS * REQUEST_BYTES,) what goes out next
    ready: Octets  # (READY_MAX * EPOLL_EVENT_MAX_BYTES,)
    times: Table  # (TIMES,)
    arena: Octets  # of the reply store
    payload_at: Table
    received_ns: Table
    fresh: Octets


_TABLE: Final = numba.int64[:, ::1]
_COLUMN: Final = numba.int64[::1]
_OCTETS: Final = numba.uint8[::1]
_OCTET_TABLE: Final = numba.uint8[:, ::1]
TABLES: Final = numba.types.NamedTuple(
    (
        _TABLE, numba.int64[:, :, ::1], _OCTET_TABLE,
        _TABLE, _OCTET_TABLE, numba.uint32[:, ::1], _COLUMN, _COLUMN,
        _TABLE, _OCTET_TABLE, _COLUMN, _OCTETS, _OCTETS, _COLUMN,
        _OCTETS, _COLUMN, _COLUMN, _OCTETS,
    ),
    Tables,
)  # fmt: skip


def make_tables(conns: int, polls: int, store: ReplyStore) -> Tables:
    """Return empty tables for so many lines and polls over the arena of `store`."""
    tables = Tables(
        conns=np.zeros((conns, CONN_WIDTH), dtype=np.int64),
        flights=np.full((conns, FLIGHTS, FLIGHT_WIDTH), NOBODY, dtype=np.int64),
        buffers=np.zeros((conns, BUFFER_BYTES), dtype=np.uint8),
        polls=np.zeros((polls, POLL_WIDTH), dtype=np.int64),
        heads=np.zeros((polls, HEAD_WIDTH), dtype=np.uint8),
        buckets=np.zeros((polls, BUCKETS), dtype=np.uint32),
        items=np.zeros(polls, dtype=np.int64),
        starts=np.zeros(polls, dtype=np.int64),
        events=np.zeros((EVENTS_MAX, EVENT_WIDTH), dtype=np.int64),
        frames=np.zeros((EVENTS_MAX, FRAME_MAX), dtype=np.uint8),
        pushed=np.zeros(1, dtype=np.int64),
        scratch=np.zeros(FLIGHTS * REQUEST_BYTES, dtype=np.uint8),
        ready=np.zeros(READY_MAX * EPOLL_EVENT_MAX_BYTES, dtype=np.uint8),
        times=np.zeros(TIMES, dtype=np.int64),
        arena=store.arena,
        payload_at=store.payload_at,
        received_ns=store.received_ns,
        fresh=store.fresh,
    )
    tables.conns[:, C_FD] = NOBODY
    return tables

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

from drivers.modbus import HEAD_BYTES, LENGTH_MAX, MBAP_BYTES
from drivers.replies import ReplyStore

FLIGHTS: Final = 16  # MODBUS Messaging Guide 4.2: NumberMaxOfServerTransaction is 1 to 16
FRAME_MAX: Final = HEAD_BYTES + LENGTH_MAX
BUFFER_BYTES: Final = FLIGHTS * FRAME_MAX + 192  # every answer that can be due at once, and some nobody asked for
REQUEST_BYTES: Final = 12  # a read: head, unit, function, address, count
PAYLOAD_AT: Final = MBAP_BYTES + 2  # of the answer to a read: behind function and byte count
CACHE_LINE_BYTES: Final = 64
EVENTS_MAX: Final = 1024  # records between two visits of Python; a full table ends the step, nothing is lost
EVENTS_EACH: Final = FLIGHTS + 4  # the most that one visit of a connection can push
READY_MAX: Final = 512  # sockets taken from the kernel at once
EPOLL_EVENT_MAX_BYTES: Final = 16  # struct epoll_event: 12 bytes on x86-64, where it is packed, else 16
BUCKETS: Final = 48  # response times by half powers of two microseconds, up to 16 s

# conns; what every poll touches stands in the first 128 bytes of a row
C_FD: Final = 0  # -1 while there is no connection
C_HALTED: Final = 1  # Python has to judge something before the next byte is looked at
C_WANTED: Final = 2  # Python has requests of its own waiting: no poll of the cycle takes a place before them
C_WATCHED: Final = 3  # somebody follows the frames: every answer goes to Python
C_TELL: Final = 4  # every good reply is an event: the gateway was in trouble
C_LIMIT: Final = 5  # transactions in flight at once
C_FLYING: Final = 6
C_POLLS: Final = 7  # of them polls of the cycle
C_NEXT: Final = 8  # transaction id
C_HAVE: Final = 9  # bytes in the buffer
C_AT: Final = 10  # the next chain to start, a place in `starts` ...
C_END: Final = 11  # ... and the end of the list
C_RUNNING: Final = 12  # a cycle is under way
C_GOOD: Final = 13  # good replies to polls, counted for ever
C_SENT: Final = 14  # polls sent, counted for ever
C_TIMEOUT_NS: Final = 16
C_LIFE: Final = 17  # connections it has had
CONN_WIDTH: Final = 24

# times
T_SECONDS: Final = 0  # struct timespec, written by the kernel
T_NANOSECONDS: Final = 1
T_SYSTEM_NS: Final = 2  # CLOCK_MONOTONIC when the step began ...
T_MONO_NS: Final = 3  # ... and what the site's clock said then
T_UTC_NS: Final = 4
T_SPEED: Final = 5  # of plant time
T_URGENT: Final = 6  # no time: 1 when an event waits for Python that a connection or a command stands still for
TIMES: Final = 7

# flights (conn, place)
F_TRANSACTION: Final = 0  # NOBODY: the place is free
F_ITEM: Final = 1  # place in `items`; NOBODY: a question of Python's
F_SENT_NS: Final = 2  # monotonic
FLIGHT_WIDTH: Final = 3
NOBODY: Final = -1

# polls; 64 bytes, one line of the processor's cache
P_ASK: Final = 0  # unit, function, address and count, as the last six bytes of the request
P_FRAME_BYTES: Final = 1  # of the right answer, from which its length field and its byte count follow
P_PADDING: Final = 2  # bits of its last byte that must be 0
P_TELL: Final = 3  # a good reply is an event: the block was refused before
P_GOOD: Final = 4  # good replies
P_SUM_NS: Final = 5  # their response times
P_MAX_NS: Final = 6
P_LAST_NS: Final = 7
POLL_WIDTH: Final = 8

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
HALTING: Final = frozenset({FRAME, BROKEN, GONE, STUCK, LATE})

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
        _TABLE, numba.uint32[:, ::1], _COLUMN, _COLUMN,
        _TABLE, _OCTET_TABLE, _COLUMN, _OCTETS, _OCTETS, _COLUMN,
        _OCTETS, _COLUMN, _COLUMN, _OCTETS,
    ),
    Tables,
)  # fmt: skip


def make_tables(conns: int, polls: int, store: ReplyStore) -> Tables:
    """Return empty tables for so many lines and polls over the arena of `store`."""
    tables = Tables(
        conns=_aligned(conns, CONN_WIDTH),
        flights=np.full((conns, FLIGHTS, FLIGHT_WIDTH), NOBODY, dtype=np.int64),
        buffers=np.zeros((conns, BUFFER_BYTES), dtype=np.uint8),
        polls=_aligned(polls, POLL_WIDTH),
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


def _aligned(rows: int, width: int) -> Table:
    """Return zeros whose rows do not straddle more cache lines than they must."""
    size = 8 * rows * width
    room = np.zeros(size + CACHE_LINE_BYTES, dtype=np.uint8)
    begin = -room.ctypes.data % CACHE_LINE_BYTES
    return room[begin : begin + size].view(np.int64).reshape(rows, width)

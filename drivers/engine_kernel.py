"""The Modbus TCP engine, compiled: takes bytes from sockets, checks answers, keeps payloads and sends the next requests.

It knows one thing only: whether a frame is the right answer to a poll in flight, byte for byte. Everything else (an
exception, a lie, a frame for Python, the end of a connection) becomes an event, and the connection stands still until
Python has judged it with `modbus.check_reply`, the slow and exact twin of `is_answer`.
Rule: no meaning of registers, no decision about time or blame; plain functions over the arrays of engine_tables.py.
"""

from typing import Final

import numba

from drivers.compiled import compiled
from drivers.engine_tables import (
    BROKEN,
    BUCKETS,
    BUFFER_BYTES,
    C_AT,
    C_END,
    C_FD,
    C_FLYING,
    C_GOOD,
    C_HALTED,
    C_HAVE,
    C_LIFE,
    C_LIMIT,
    C_NEXT,
    C_POLLS,
    C_RUNNING,
    C_SENT,
    C_TELL,
    C_TIMEOUT_NS,
    C_WANTED,
    C_WATCHED,
    E_BYTES,
    E_CONN,
    E_ELAPSED_NS,
    E_ITEM,
    E_KIND,
    E_LIFE,
    E_TRANSACTION,
    ENDED,
    EVENTS_EACH,
    EVENTS_MAX,
    F_ITEM,
    F_SENT_NS,
    F_TRANSACTION,
    FLIGHTS,
    FRAME,
    FRAME_MAX,
    GONE,
    GOOD,
    H_REPLY,
    H_WIRE,
    LATE,
    NOBODY,
    P_FRAME_BYTES,
    P_GOOD,
    P_LAST_NS,
    P_MAX_NS,
    P_PADDING,
    P_PAYLOAD_AT,
    P_SUM_NS,
    P_TELL,
    READY_MAX,
    REPLY_HEAD_BYTES,
    REQUEST_BYTES,
    ROOM,
    STUCK,
    T_MONO_NS,
    T_NANOSECONDS,
    T_SECONDS,
    T_SPEED,
    T_SYSTEM_NS,
    T_UTC_NS,
    TABLES,
    WRONG_LENGTH,
    WRONG_PROTOCOL,
    Octets,
    Tables,
)  # fmt: skip
from drivers.libc import c_clock_gettime, c_epoll_ctl, c_epoll_wait, c_errno, c_recv, c_send
from drivers.modbus import HEAD_BYTES, LENGTH_MAX, LENGTH_MIN, TRANSACTIONS
from drivers.replies import FRESH_SLOT
from scada.clock import NS_PER_S

MSG_DONTWAIT: Final = 0x40
MSG_NOSIGNAL: Final = 0x4000
CLOCK_MONOTONIC: Final = 1
EPOLL_CTL_ADD: Final = 1
EPOLLIN: Final = 1
EINTR: Final = 4
EAGAIN: Final = 11
STEP_NS: Final = 2_000_000  # a step ends after this; the event loop's other work waits no longer
NS_PER_US: Final = 1_000

_INT: Final = numba.int64
_BOOL: Final = numba.boolean
_VOID: Final = numba.void
_OCTETS: Final = numba.uint8[::1]
_OCTET_TABLE: Final = numba.uint8[:, ::1]
_COLUMN: Final = numba.int64[::1]


@compiled((_COLUMN,), inner=True)
def _system_ns(times: Octets) -> int:
    c_clock_gettime(CLOCK_MONOTONIC, times.ctypes.data)
    return times[T_SECONDS] * NS_PER_S + times[T_NANOSECONDS]


@compiled((TABLES, _INT, _INT, _INT), _VOID, inner=True)
def _set_times(t: Tables, mono_ns: int, utc_ns: int, speed: int) -> None:
    t.times[T_SYSTEM_NS] = _system_ns(t.times)
    t.times[T_MONO_NS] = mono_ns
    t.times[T_UTC_NS] = utc_ns
    t.times[T_SPEED] = speed


@compiled((TABLES, _INT, _INT, _INT, _INT, _INT), inner=True)
def _push(t: Tables, kind: int, conn: int, item: int, elapsed_ns: int, transaction: int) -> int:
    """Record an event and return its row; there is room, because a visit begins only when EVENTS_EACH rows are free."""
    row = t.count[0]
    t.count[0] = row + 1
    t.events[row, E_KIND] = kind
    t.events[row, E_CONN] = conn
    t.events[row, E_ITEM] = item
    t.events[row, E_ELAPSED_NS] = elapsed_ns
    t.events[row, E_BYTES] = 0
    t.events[row, E_TRANSACTION] = transaction
    t.events[row, E_LIFE] = t.conns[conn, C_LIFE]
    return row


@compiled((TABLES, _INT, _INT, _INT), inner=True)
def _halt(t: Tables, conn: int, kind: int, what: int) -> int:
    t.conns[conn, C_HALTED] = 1
    return _push(t, kind, conn, NOBODY, what, NOBODY)


@compiled((TABLES, _INT, _INT, _INT, _INT), _VOID, inner=True)
def _show(t: Tables, event: int, conn: int, at: int, size: int) -> None:
    """Put received bytes beside an event."""
    t.events[event, E_BYTES] = size
    for i in range(size):
        t.frames[event, i] = t.buffers[conn, at + i]


@compiled((TABLES, _INT, _INT), inner=True)
def _place_of(t: Tables, conn: int, transaction: int) -> int:
    """Return the place of a transaction in flight, NOBODY when it is not; NOBODY as transaction finds a free place."""
    for place in range(FLIGHTS):
        if t.flights[conn, place, F_TRANSACTION] == transaction:
            return place
    return NOBODY


@compiled((TABLES, _INT, _INT, _INT), inner=True)
def _take_off(t: Tables, conn: int, item: int, mono_ns: int) -> int:
    """Put a question in flight under the next free transaction id and return that."""
    transaction = t.conns[conn, C_NEXT]
    while _place_of(t, conn, transaction) != NOBODY:
        transaction = (transaction + 1) % TRANSACTIONS
    t.conns[conn, C_NEXT] = (transaction + 1) % TRANSACTIONS
    place = _place_of(t, conn, NOBODY)
    t.flights[conn, place, F_TRANSACTION] = transaction
    t.flights[conn, place, F_ITEM] = item
    t.flights[conn, place, F_SENT_NS] = mono_ns
    t.conns[conn, C_FLYING] += 1
    if item != NOBODY:
        t.conns[conn, C_POLLS] += 1
    return transaction


@compiled((TABLES, _INT, _INT), _VOID, inner=True)
def _land(t: Tables, conn: int, place: int) -> None:
    t.conns[conn, C_FLYING] -= 1
    if t.flights[conn, place, F_ITEM] != NOBODY:
        t.conns[conn, C_POLLS] -= 1
    t.flights[conn, place, F_TRANSACTION] = NOBODY


@compiled((TABLES, _INT, _INT, _OCTET_TABLE, _INT, _INT, _INT), _BOOL)
def is_answer(t: Tables, poll: int, transaction: int, data: Octets, row: int, at: int, frame_bytes: int) -> bool:
    """Tell whether the frame at data[row, at:at + frame_bytes] is the right answer to a poll. Twin: check_reply.

    The length is compared with the length that the right answer has, so that nothing behind the frame is looked at.
    """
    if frame_bytes != t.polls[poll, P_FRAME_BYTES]:
        return False
    if (_INT(data[row, at]) << 8 | _INT(data[row, at + 1])) != transaction:
        return False
    for i in range(REPLY_HEAD_BYTES):
        if data[row, at + 2 + i] != t.heads[poll, H_REPLY + i]:
            return False
    return _INT(data[row, at + frame_bytes - 1]) & t.polls[poll, P_PADDING] == 0


@compiled((_INT,))
def bucket_of(elapsed_ns: int) -> int:
    """Return the bucket of a response time: two for each power of two microseconds."""
    rest = elapsed_ns // NS_PER_US
    power = 0
    while rest > 3:
        rest >>= 1
        power += 2
    return min(power + rest, BUCKETS - 1)


@compiled((TABLES, _INT, _INT, _INT, _INT, _INT), _VOID, inner=True)
def _keep(t: Tables, poll: int, conn: int, at: int, elapsed_ns: int, utc_ns: int) -> None:
    """Put the payload of a right answer into its slot, and note how long it took."""
    target = t.payload_at[poll]
    begin = at + t.polls[poll, P_PAYLOAD_AT]
    for i in range(at + t.polls[poll, P_FRAME_BYTES] - begin):
        t.arena[target + i] = t.buffers[conn, begin + i]
    t.received_ns[poll] = utc_ns
    t.fresh[poll] = FRESH_SLOT
    t.polls[poll, P_GOOD] += 1
    t.polls[poll, P_SUM_NS] += elapsed_ns
    t.polls[poll, P_LAST_NS] = elapsed_ns
    t.polls[poll, P_MAX_NS] = max(t.polls[poll, P_MAX_NS], elapsed_ns)
    t.buckets[poll, bucket_of(elapsed_ns)] += 1


@compiled((TABLES, _INT, _INT, _INT), _VOID, inner=True)
def _write_request(t: Tables, poll: int, transaction: int, at: int) -> None:
    t.scratch[at] = transaction >> 8
    t.scratch[at + 1] = transaction & 0xFF
    for i in range(REQUEST_BYTES - 2):
        t.scratch[at + 2 + i] = t.heads[poll, H_WIRE + i]


@compiled((TABLES, _INT, _INT), _VOID, inner=True)
def _fill(t: Tables, conn: int, mono_ns: int) -> None:
    """Send as many polls of the cycle as may fly, all in one write."""
    row = t.conns[conn]
    size = 0
    while row[C_FLYING] < row[C_LIMIT] and row[C_AT] < row[C_END] and not row[C_WANTED]:
        item = t.starts[row[C_AT]]
        row[C_AT] += 1
        _write_request(t, t.items[item] >> 1, _take_off(t, conn, item, mono_ns), size)
        size += REQUEST_BYTES
    if size:
        row[C_SENT] += size // REQUEST_BYTES
        sent = c_send(row[C_FD], t.scratch.ctypes.data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent != size:
            _halt(t, conn, GONE if sent < 0 and c_errno()[0] != EAGAIN else STUCK, 0)


@compiled((TABLES, _INT, _INT, _INT, _INT), _VOID, inner=True)
def _raise_frame(t: Tables, conn: int, at: int, frame_bytes: int, mono_ns: int) -> None:
    """Give Python a frame that is not plainly good, with the poll it belongs to, and stand still."""
    transaction = _INT(t.buffers[conn, at]) << 8 | _INT(t.buffers[conn, at + 1])
    place = _place_of(t, conn, transaction)
    item = NOBODY
    elapsed_ns = 0
    if place != NOBODY:
        item = t.flights[conn, place, F_ITEM]
        elapsed_ns = mono_ns - t.flights[conn, place, F_SENT_NS]
        _land(t, conn, place)
    _show(t, _push(t, FRAME, conn, item, elapsed_ns, transaction), conn, at, frame_bytes)
    t.conns[conn, C_HALTED] = 1


@compiled((TABLES, _INT, _INT, _INT, _INT, _INT), _BOOL, inner=True)
def _accept(t: Tables, conn: int, at: int, frame_bytes: int, mono_ns: int, utc_ns: int) -> bool:
    """Take a whole frame when it is the right answer to a poll in flight."""
    transaction = _INT(t.buffers[conn, at]) << 8 | _INT(t.buffers[conn, at + 1])
    place = _place_of(t, conn, transaction)
    if place == NOBODY:
        return False
    item = t.flights[conn, place, F_ITEM]
    if item == NOBODY or t.conns[conn, C_WATCHED]:
        return False
    entry = t.items[item]
    poll = entry >> 1
    if not is_answer(t, poll, transaction, t.buffers, conn, at, frame_bytes):
        return False
    elapsed_ns = mono_ns - t.flights[conn, place, F_SENT_NS]
    _keep(t, poll, conn, at, elapsed_ns, utc_ns)
    _land(t, conn, place)
    row = t.conns[conn]
    row[C_GOOD] += 1
    if row[C_TELL] or t.polls[poll, P_TELL]:
        _push(t, GOOD, conn, item, elapsed_ns, transaction)
    if not entry & 1:  # its chain goes on, in the place that the chain left when it started
        row[C_AT] -= 1
        t.starts[row[C_AT]] = item + 1
    return True


@compiled((TABLES, _INT, _INT, _INT), _VOID, inner=True)
def _cut(t: Tables, conn: int, mono_ns: int, utc_ns: int) -> None:
    """Take the whole frames in the buffer, one after the other, until one of them has to be judged by Python."""
    row = t.conns[conn]
    have = row[C_HAVE]
    at = 0
    while have - at >= HEAD_BYTES and not row[C_HALTED]:
        length = _INT(t.buffers[conn, at + 4]) << 8 | _INT(t.buffers[conn, at + 5])
        if t.buffers[conn, at + 2] or t.buffers[conn, at + 3]:
            _show(t, _halt(t, conn, BROKEN, WRONG_PROTOCOL), conn, at, min(have - at, FRAME_MAX))
        elif length < LENGTH_MIN or length > LENGTH_MAX:
            _show(t, _halt(t, conn, BROKEN, WRONG_LENGTH), conn, at, min(have - at, FRAME_MAX))
        else:
            end = at + HEAD_BYTES + length
            if end > have:
                break
            if not _accept(t, conn, at, end - at, mono_ns, utc_ns):
                _raise_frame(t, conn, at, end - at, mono_ns)
            at = end
    for i in range(have - at if at else 0):
        t.buffers[conn, i] = t.buffers[conn, at + i]
    row[C_HAVE] = have - at


@compiled((TABLES, _INT), _VOID, inner=True)
def _visit(t: Tables, conn: int) -> None:
    """Take what one connection has received, then send what may follow."""
    passed_ns = _system_ns(t.times) - t.times[T_SYSTEM_NS]
    mono_ns = t.times[T_MONO_NS] + passed_ns
    _cut(t, conn, mono_ns, t.times[T_UTC_NS] + passed_ns * t.times[T_SPEED])
    row = t.conns[conn]
    if row[C_HALTED]:
        return
    _fill(t, conn, mono_ns)
    if row[C_HALTED]:
        return
    if row[C_WANTED] and row[C_FLYING] < row[C_LIMIT]:
        _push(t, ROOM, conn, NOBODY, 0, NOBODY)
    if row[C_RUNNING] and row[C_AT] == row[C_END] and row[C_POLLS] == 0:
        row[C_RUNNING] = 0
        _push(t, ENDED, conn, NOBODY, 0, NOBODY)


@compiled((TABLES, _INT), _VOID, inner=True)
def _receive(t: Tables, conn: int) -> None:
    row = t.conns[conn]
    if row[C_FD] == NOBODY or row[C_HALTED]:
        return
    have = row[C_HAVE]
    place = numba.uintp(_INT(t.buffers.ctypes.data) + conn * BUFFER_BYTES + have)
    got = c_recv(row[C_FD], place, BUFFER_BYTES - have, MSG_DONTWAIT)
    if got > 0:
        row[C_HAVE] = have + got
        _visit(t, conn)
    elif got == 0 or c_errno()[0] not in (EAGAIN, EINTR):
        _halt(t, conn, GONE, 0)


@compiled((TABLES, _INT, _INT, _INT, _INT))
def watch(t: Tables, epoll_fd: int, event_bytes: int, fd: int, conn: int) -> int:
    """Let the kernel report what `fd` receives under the row `conn`; return 0, or the error number."""
    t.ready[:event_bytes] = 0
    t.ready[0] = EPOLLIN
    for i in range(3):
        t.ready[event_bytes - 8 + i] = conn >> 8 * i & 0xFF
    return 0 if c_epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, t.ready.ctypes.data) == 0 else _INT(c_errno()[0])


@compiled((TABLES, _INT, _INT, _INT, _INT, _INT))
def step(t: Tables, epoll_fd: int, event_bytes: int, mono_ns: int, utc_ns: int, speed: int) -> int:
    """Serve every connection that has something to read, until none has, Python is wanted or STEP_NS are over.

    epoll_fd     descriptor whose events carry the row of `conns`     event_bytes  sizeof(struct epoll_event)
    mono_ns, utc_ns, speed  what the site's clock says now            Returns how many events wait for Python.
    """
    _set_times(t, mono_ns, utc_ns, speed)
    while t.count[0] == 0:
        ready = c_epoll_wait(epoll_fd, t.ready.ctypes.data, READY_MAX, 0)
        if ready <= 0:
            break
        for i in range(ready):
            if t.count[0] > EVENTS_MAX - EVENTS_EACH:
                break
            at = (i + 1) * event_bytes - 8  # the data of the event, whatever the padding before it
            conn = _INT(t.ready[at]) | _INT(t.ready[at + 1]) << 8 | _INT(t.ready[at + 2]) << 16
            _receive(t, conn)
        if _system_ns(t.times) - t.times[T_SYSTEM_NS] > STEP_NS:
            break
    return t.count[0]


@compiled((TABLES, _INT, _INT, _INT, _INT))
def look(t: Tables, conn: int, mono_ns: int, utc_ns: int, speed: int) -> int:
    """Go on with one connection after Python judged something or gave it work; return how many events wait."""
    _set_times(t, mono_ns, utc_ns, speed)
    t.conns[conn, C_HALTED] = 0
    if t.conns[conn, C_FD] != NOBODY and t.count[0] <= EVENTS_MAX - EVENTS_EACH:
        _visit(t, conn)
    return t.count[0]


@compiled((TABLES, _INT, _INT))
def reserve(t: Tables, conn: int, mono_ns: int) -> int:
    """Put a question of Python's in flight and return its transaction id; the caller sends it and saw that there is room."""
    return _take_off(t, conn, NOBODY, mono_ns)


@compiled((TABLES, _INT))
def sweep(t: Tables, mono_ns: int) -> int:
    """Find, on every connection, whether its oldest transaction is over its time; return how many events wait."""
    for conn in range(len(t.conns)):
        row = t.conns[conn]
        if row[C_FD] == NOBODY or row[C_FLYING] == 0 or row[C_HALTED]:
            continue
        oldest = NOBODY
        for place in range(FLIGHTS):
            if t.flights[conn, place, F_TRANSACTION] != NOBODY and (
                oldest == NOBODY or t.flights[conn, place, F_SENT_NS] < t.flights[conn, oldest, F_SENT_NS]
            ):
                oldest = place
        if mono_ns - t.flights[conn, oldest, F_SENT_NS] < row[C_TIMEOUT_NS]:
            continue
        if t.count[0] > EVENTS_MAX - EVENTS_EACH:
            break
        item = t.flights[conn, oldest, F_ITEM]
        _push(t, LATE, conn, item, row[C_TIMEOUT_NS], t.flights[conn, oldest, F_TRANSACTION])
        _land(t, conn, oldest)
        row[C_HALTED] = 1
    return t.count[0]

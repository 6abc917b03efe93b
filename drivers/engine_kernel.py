"""The Modbus TCP engine, compiled: takes bytes from sockets, checks answers, keeps payloads and sends what is next.

It knows one thing only: whether a frame is the right answer to a poll in flight, byte for byte. Everything else (an
exception, a lie, a frame for Python, the end of a connection) becomes an event, and the connection stands still until
Python has judged it with `modbus.check_reply`, the slow and exact twin of `is_answer`.
Rule: no meaning of registers, no decision about time or blame; plain functions over the arrays of engine_tables.py.
"""

from typing import Final

import numba

from drivers import engine_tables as col
from drivers.engine_tables import TABLES, Octets, Table, Tables
from drivers.libc import c_clock_gettime, c_epoll_ctl, c_epoll_wait, c_errno, c_recv, c_send
from drivers.modbus import HEAD_BYTES, LENGTH_MAX, LENGTH_MIN, TRANSACTIONS
from drivers.replies import FRESH_SLOT
from scada.clock import NS_PER_S
from scada.compiled import compiled

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


@compiled((_COLUMN,), inner=True, forced=True)
def _system_ns(times: Table) -> int:
    c_clock_gettime(CLOCK_MONOTONIC, times.ctypes.data)
    now_ns: int = times[col.T_SECONDS] * NS_PER_S + times[col.T_NANOSECONDS]
    return now_ns


@compiled((TABLES, _INT, _INT, _INT), _VOID, inner=True, forced=True)
def _set_times(t: Tables, mono_ns: int, utc_ns: int, speed: int) -> None:
    t.times[col.T_SYSTEM_NS] = _system_ns(t.times)
    t.times[col.T_MONO_NS] = mono_ns
    t.times[col.T_UTC_NS] = utc_ns
    t.times[col.T_SPEED] = speed
    t.times[col.T_URGENT] = 0


@compiled((TABLES, _INT, _INT, _INT, _INT, _INT), inner=True, forced=True)
def _push(t: Tables, kind: int, conn: int, item: int, elapsed_ns: int, transaction: int) -> int:
    """Record an event and return its row; there is room, because a visit begins only when EVENTS_EACH rows are free."""
    row: int = t.pushed[0]
    t.pushed[0] = row + 1
    if kind not in (col.GOOD, col.ENDED):
        t.times[col.T_URGENT] = 1
    t.events[row, col.E_KIND] = kind
    t.events[row, col.E_CONN] = conn
    t.events[row, col.E_ITEM] = item
    t.events[row, col.E_ELAPSED_NS] = elapsed_ns
    t.events[row, col.E_BYTES] = 0
    t.events[row, col.E_TRANSACTION] = transaction
    t.events[row, col.E_LIFE] = t.conns[conn, col.C_LIFE]
    return row


@compiled((TABLES, _INT, _INT, _INT), inner=True, forced=True)
def _halt(t: Tables, conn: int, kind: int, what: int) -> int:
    t.conns[conn, col.C_HALTED] = 1
    return _push(t, kind, conn, col.NOBODY, what, col.NOBODY)


@compiled((TABLES, _INT, _INT, _INT, _INT), _VOID, inner=True, forced=True)
def _show(t: Tables, event: int, conn: int, at: int, size: int) -> None:
    """Put received bytes beside an event."""
    t.events[event, col.E_BYTES] = size
    for i in range(size):
        t.frames[event, i] = t.buffers[conn, at + i]


@compiled((TABLES, _INT, _INT), inner=True, forced=True)
def _place_of(t: Tables, conn: int, transaction: int) -> int:
    """Return the place of a transaction in flight, NOBODY when it is not; NOBODY as transaction finds a free place."""
    for place in range(t.conns[conn, col.C_LIMIT]):
        if t.flights[conn, place, col.F_TRANSACTION] == transaction:
            return place
    return col.NOBODY


@compiled((TABLES, _INT, _INT, _INT), inner=True, forced=True)
def _take_off(t: Tables, conn: int, item: int, mono_ns: int) -> int:
    """Put a question in flight under the next free transaction id and return that."""
    transaction: int = t.conns[conn, col.C_NEXT]
    while _place_of(t, conn, transaction) != col.NOBODY:
        transaction = (transaction + 1) % TRANSACTIONS
    t.conns[conn, col.C_NEXT] = (transaction + 1) % TRANSACTIONS
    place = _place_of(t, conn, col.NOBODY)
    t.flights[conn, place, col.F_TRANSACTION] = transaction
    t.flights[conn, place, col.F_ITEM] = item
    t.flights[conn, place, col.F_SENT_NS] = mono_ns
    t.conns[conn, col.C_FLYING] += 1
    if item != col.NOBODY:
        t.conns[conn, col.C_POLLS] += 1
    return transaction


@compiled((TABLES, _INT, _INT), _VOID, inner=True, forced=True)
def _land(t: Tables, conn: int, place: int) -> None:
    t.conns[conn, col.C_FLYING] -= 1
    if t.flights[conn, place, col.F_ITEM] != col.NOBODY:
        t.conns[conn, col.C_POLLS] -= 1
    t.flights[conn, place, col.F_TRANSACTION] = col.NOBODY


@compiled((TABLES, _INT, _INT, _OCTET_TABLE, _INT, _INT, _INT), _BOOL)
def is_answer(t: Tables, poll: int, transaction: int, data: Octets, row: int, at: int, frame_bytes: int) -> bool:
    """Tell whether the frame at data[row, at:at + frame_bytes] is the right answer to a poll. Twin: check_reply.

    The length is compared with the length that the right answer has, so that nothing behind the frame is looked at.
    """
    if frame_bytes != t.polls[poll, col.P_FRAME_BYTES]:
        return False
    ask = t.polls[poll, col.P_ASK]
    right: bool = (
        (_INT(data[row, at]) << 8 | _INT(data[row, at + 1])) == transaction
        and data[row, at + 2] == 0
        and data[row, at + 3] == 0
        and (_INT(data[row, at + 4]) << 8 | _INT(data[row, at + 5])) == frame_bytes - HEAD_BYTES
        and data[row, at + 6] == ask >> 40
        and data[row, at + 7] == ask >> 32 & 0xFF
        and data[row, at + 8] == frame_bytes - col.PAYLOAD_AT
        and _INT(data[row, at + frame_bytes - 1]) & t.polls[poll, col.P_PADDING] == 0
    )
    return right


@compiled((_INT,))
def bucket_of(elapsed_ns: int) -> int:
    """Return the bucket of a response time: two for each power of two microseconds."""
    rest = elapsed_ns // NS_PER_US
    power = 0
    while rest > 3:
        rest >>= 1
        power += 2
    return min(power + rest, col.BUCKETS - 1)


@compiled((TABLES, _INT, _INT, _INT, _INT, _INT), _VOID, inner=True, forced=True)
def _keep(t: Tables, poll: int, conn: int, at: int, elapsed_ns: int, utc_ns: int) -> None:
    """Put the payload of a right answer into its slot, and note how long it took."""
    target = t.payload_at[poll]
    begin = at + col.PAYLOAD_AT
    for i in range(t.polls[poll, col.P_FRAME_BYTES] - col.PAYLOAD_AT):
        t.arena[target + i] = t.buffers[conn, begin + i]
    t.received_ns[poll] = utc_ns
    t.fresh[poll] = FRESH_SLOT
    t.polls[poll, col.P_GOOD] += 1
    t.polls[poll, col.P_SUM_NS] += elapsed_ns
    t.polls[poll, col.P_LAST_NS] = elapsed_ns
    t.polls[poll, col.P_MAX_NS] = max(t.polls[poll, col.P_MAX_NS], elapsed_ns)
    t.buckets[poll, bucket_of(elapsed_ns)] += 1


@compiled((TABLES, _INT, _INT, _INT), _VOID, inner=True, forced=True)
def _write_request(t: Tables, poll: int, transaction: int, at: int) -> None:
    t.scratch[at] = transaction >> 8
    t.scratch[at + 1] = transaction & 0xFF
    t.scratch[at + 2] = t.scratch[at + 3] = t.scratch[at + 4] = 0  # protocol id, and a length ...
    t.scratch[at + 5] = col.REQUEST_BYTES - HEAD_BYTES  # ... of six bytes
    ask = t.polls[poll, col.P_ASK]
    for i in range(col.REQUEST_BYTES - HEAD_BYTES):
        t.scratch[at + 6 + i] = ask >> (40 - 8 * i) & 0xFF


@compiled((TABLES, _INT, _INT), _VOID, inner=True, forced=True)
def _fill(t: Tables, conn: int, mono_ns: int) -> None:
    """Send as many polls of the cycle as may fly, all in one write."""
    row = t.conns[conn]
    size = 0
    while row[col.C_FLYING] < row[col.C_LIMIT] and row[col.C_AT] < row[col.C_END] and not row[col.C_WANTED]:
        item = t.starts[row[col.C_AT]]
        row[col.C_AT] += 1
        _write_request(t, t.items[item] >> 1, _take_off(t, conn, item, mono_ns), size)
        size += col.REQUEST_BYTES
    if size:
        row[col.C_SENT] += size // col.REQUEST_BYTES
        sent = c_send(row[col.C_FD], t.scratch.ctypes.data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent != size:
            _halt(t, conn, col.GONE if sent < 0 and c_errno()[0] != EAGAIN else col.STUCK, 0)


@compiled((TABLES, _INT, _INT, _INT, _INT), _VOID, inner=True, forced=True)
def _raise_frame(t: Tables, conn: int, at: int, frame_bytes: int, mono_ns: int) -> None:
    """Give Python a frame that is not plainly good, with the poll it belongs to, and stand still."""
    transaction = _INT(t.buffers[conn, at]) << 8 | _INT(t.buffers[conn, at + 1])
    place = _place_of(t, conn, transaction)
    item = col.NOBODY
    elapsed_ns = 0
    if place != col.NOBODY:
        item = t.flights[conn, place, col.F_ITEM]
        elapsed_ns = mono_ns - t.flights[conn, place, col.F_SENT_NS]
        _land(t, conn, place)
    _show(t, _push(t, col.FRAME, conn, item, elapsed_ns, transaction), conn, at, frame_bytes)
    t.conns[conn, col.C_HALTED] = 1


@compiled((TABLES, _INT, _INT, _INT, _INT, _INT), _BOOL, inner=True, forced=True)
def _accept(t: Tables, conn: int, at: int, frame_bytes: int, mono_ns: int, utc_ns: int) -> bool:
    """Take a whole frame when it is the right answer to a poll in flight."""
    transaction = _INT(t.buffers[conn, at]) << 8 | _INT(t.buffers[conn, at + 1])
    place = _place_of(t, conn, transaction)
    if place == col.NOBODY:
        return False
    item = t.flights[conn, place, col.F_ITEM]
    if item == col.NOBODY or t.conns[conn, col.C_WATCHED]:
        return False
    entry = t.items[item]
    poll = entry >> 1
    if not is_answer(t, poll, transaction, t.buffers, conn, at, frame_bytes):
        return False
    elapsed_ns = mono_ns - t.flights[conn, place, col.F_SENT_NS]
    _keep(t, poll, conn, at, elapsed_ns, utc_ns)
    _land(t, conn, place)
    row = t.conns[conn]
    row[col.C_GOOD] += 1
    if row[col.C_TELL] or t.polls[poll, col.P_TELL]:
        _push(t, col.GOOD, conn, item, elapsed_ns, transaction)
    if not entry & 1:  # its chain goes on, in the place that the chain left when it started
        row[col.C_AT] -= 1
        t.starts[row[col.C_AT]] = item + 1
    return True


@compiled((TABLES, _INT, _INT, _INT), _VOID, inner=True, forced=True)
def _cut(t: Tables, conn: int, mono_ns: int, utc_ns: int) -> None:
    """Take the whole frames in the buffer, one after the other, until one of them has to be judged by Python."""
    row = t.conns[conn]
    have = row[col.C_HAVE]
    at = 0
    while have - at >= HEAD_BYTES and not row[col.C_HALTED]:
        length = _INT(t.buffers[conn, at + 4]) << 8 | _INT(t.buffers[conn, at + 5])
        if t.buffers[conn, at + 2] or t.buffers[conn, at + 3]:
            _show(t, _halt(t, conn, col.BROKEN, col.WRONG_PROTOCOL), conn, at, min(have - at, col.FRAME_MAX))
        elif length < LENGTH_MIN or length > LENGTH_MAX:
            _show(t, _halt(t, conn, col.BROKEN, col.WRONG_LENGTH), conn, at, min(have - at, col.FRAME_MAX))
        else:
            end = at + HEAD_BYTES + length
            if end > have:
                break
            if not _accept(t, conn, at, end - at, mono_ns, utc_ns):
                _raise_frame(t, conn, at, end - at, mono_ns)
            at = end
    for i in range(have - at if at else 0):
        t.buffers[conn, i] = t.buffers[conn, at + i]
    row[col.C_HAVE] = have - at


@compiled((TABLES, _INT), _VOID, inner=True, forced=True)
def _visit(t: Tables, conn: int) -> None:
    """Take what one connection has received, then send what may follow."""
    passed_ns = _system_ns(t.times) - t.times[col.T_SYSTEM_NS]
    mono_ns = t.times[col.T_MONO_NS] + passed_ns
    _cut(t, conn, mono_ns, t.times[col.T_UTC_NS] + passed_ns * t.times[col.T_SPEED])
    row = t.conns[conn]
    if row[col.C_HALTED]:
        return
    _fill(t, conn, mono_ns)
    if row[col.C_HALTED]:
        return
    if row[col.C_WANTED] and row[col.C_FLYING] < row[col.C_LIMIT]:
        _push(t, col.ROOM, conn, col.NOBODY, 0, col.NOBODY)
    if row[col.C_RUNNING] and row[col.C_AT] == row[col.C_END] and row[col.C_POLLS] == 0:
        row[col.C_RUNNING] = 0
        _push(t, col.ENDED, conn, col.NOBODY, 0, col.NOBODY)


@compiled((TABLES, _INT), _VOID, inner=True, forced=True)
def _receive(t: Tables, conn: int) -> None:
    row = t.conns[conn]
    if row[col.C_FD] == col.NOBODY or row[col.C_HALTED]:
        return
    have = row[col.C_HAVE]
    place = numba.uintp(_INT(t.buffers.ctypes.data) + conn * col.BUFFER_BYTES + have)
    got = c_recv(row[col.C_FD], place, col.BUFFER_BYTES - have, MSG_DONTWAIT)
    if got > 0:
        row[col.C_HAVE] = have + got
        _visit(t, conn)
    elif got == 0 or c_errno()[0] not in (EAGAIN, EINTR):
        _halt(t, conn, col.GONE, 0)


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
    """Serve every connection that has something to read, until none has, Python is wanted at once or STEP_NS are over.

    epoll_fd     descriptor whose events carry the row of `conns`     event_bytes  sizeof(struct epoll_event)
    mono_ns, utc_ns, speed  what the site's clock says now            Returns how many events wait for Python.
    """
    _set_times(t, mono_ns, utc_ns, speed)
    while not t.times[col.T_URGENT] and t.pushed[0] <= col.EVENTS_MAX - col.EVENTS_EACH:
        ready = c_epoll_wait(epoll_fd, t.ready.ctypes.data, col.READY_MAX, 0)
        if ready <= 0:
            break
        for i in range(ready):
            if t.pushed[0] > col.EVENTS_MAX - col.EVENTS_EACH:
                break
            at = (i + 1) * event_bytes - 8  # the data of the event, whatever the padding before it
            conn = _INT(t.ready[at]) | _INT(t.ready[at + 1]) << 8 | _INT(t.ready[at + 2]) << 16
            _receive(t, conn)
        if _system_ns(t.times) - t.times[col.T_SYSTEM_NS] > STEP_NS:
            break
    pushed: int = t.pushed[0]
    return pushed


@compiled((TABLES, _INT, _INT, _INT, _INT))
def look(t: Tables, conn: int, mono_ns: int, utc_ns: int, speed: int) -> int:
    """Go on with one connection after Python judged something or gave it work; return how many events wait."""
    _set_times(t, mono_ns, utc_ns, speed)
    t.conns[conn, col.C_HALTED] = 0
    if t.conns[conn, col.C_FD] != col.NOBODY:
        _visit(t, conn)  # there is room for its events: Python takes them after every compiled call
    pushed: int = t.pushed[0]
    return pushed


@compiled((TABLES, _INT, _INT, _COLUMN, _COLUMN, _INT, _INT, _INT))
def begin(t: Tables, conn: int, first: int, items: Table, starts: Table, mono_ns: int, utc_ns: int, speed: int) -> int:
    """Begin a cycle of one line at its place `first` of the lists; return how many events wait."""
    for i in range(len(items)):
        t.items[first + i] = items[i]
    for i in range(len(starts)):
        t.starts[first + i] = first + starts[i]
    t.conns[conn, col.C_AT] = first
    t.conns[conn, col.C_END] = first + len(starts)
    t.conns[conn, col.C_RUNNING] = 1
    _set_times(t, mono_ns, utc_ns, speed)
    if t.conns[conn, col.C_FD] != col.NOBODY and not t.conns[conn, col.C_HALTED]:
        _visit(t, conn)
    pushed: int = t.pushed[0]
    return pushed


@compiled((TABLES, _INT, _INT))
def reserve(t: Tables, conn: int, mono_ns: int) -> int:
    """Put a question of Python's in flight and return its transaction id; the caller has seen that there is room."""
    return _take_off(t, conn, col.NOBODY, mono_ns)


@compiled((TABLES, _INT))
def sweep(t: Tables, mono_ns: int) -> int:
    """Find, on every connection, whether its oldest transaction is over its time; return how many events wait."""
    for conn in range(len(t.conns)):
        row = t.conns[conn]
        if row[col.C_FD] == col.NOBODY or row[col.C_FLYING] == 0 or row[col.C_HALTED]:
            continue
        oldest = col.NOBODY
        for place in range(row[col.C_LIMIT]):
            if t.flights[conn, place, col.F_TRANSACTION] != col.NOBODY and (
                oldest == col.NOBODY or t.flights[conn, place, col.F_SENT_NS] < t.flights[conn, oldest, col.F_SENT_NS]
            ):
                oldest = place
        if mono_ns - t.flights[conn, oldest, col.F_SENT_NS] < row[col.C_TIMEOUT_NS]:
            continue
        if t.pushed[0] > col.EVENTS_MAX - col.EVENTS_EACH:
            break
        item = t.flights[conn, oldest, col.F_ITEM]
        _push(t, col.LATE, conn, item, row[col.C_TIMEOUT_NS], t.flights[conn, oldest, col.F_TRANSACTION])
        _land(t, conn, oldest)
        row[col.C_HALTED] = 1
    pushed: int = t.pushed[0]
    return pushed

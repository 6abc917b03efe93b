"""What every line with meters offers to the poller, whatever carries its bytes, and what it counts.

A line moves questions and judged outcomes: `drivers.modbus_tcp.Line` several at once, `drivers.halfduplex.BusLine` one
at a time. Rule: the poller knows this face alone; only `drivers.linemaking` knows which line stands behind a gateway.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from drivers.frame_log import FrameLog
from drivers.outcome import Outcome

RECONNECT_FIRST_S: Final = 0.05  # a gateway that just dropped us is asked again at once, but not in a busy loop
RECONNECT_MAX_S: Final = 10.0  # a gateway that comes back is seen within ten seconds
CONNECT_TIMEOUT_S: Final = 3.0  # two SYN retransmissions (1 s, 2 s) of a lossy network fit in
JITTER: Final = 0.25  # spread of every delay, so that gateways that failed together do not return together
QUEUE_MAX: Final = 256  # requests waiting on one line: one per unit id (247) and a few commands; more is a bug

Done = Callable[[Outcome, int], None]  # outcome, nanoseconds from sending to the end


class State(Enum):
    """Where a line is in its life."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    UP = "up"
    WAITING = "waiting"  # for the next attempt to connect


@dataclass(slots=True)
class LineFigures:
    """What a line has counted since it was made."""

    connects: int = 0
    requests: int = 0  # sent
    good: int = 0  # right answers
    exceptions: int = 0
    timeouts: int = 0
    fences: int = 0
    unsolicited: int = 0  # frames nobody asked for, or not any more
    busy_ns: int = 0  # time the line was taken, from sending to the end
    overtime_ns: int = 0  # time that fences lasted beyond their silence, because bytes went on coming
    violations: Counter[str] = field(default_factory=Counter)
    tolerated: Counter[str] = field(default_factory=Counter)  # deviations of right answers, by name


class Line(Protocol):
    """The face of a line. One thread: the reactor's."""

    figures: LineFigures
    log: FrameLog

    @property
    def state(self) -> State:
        """Return where the line is in its life."""
        ...

    @property
    def fence_s(self) -> float:
        """Return how long the line serves nobody after a time-out."""
        ...

    def open(self) -> None:
        """Start to connect, and keep connected until `close`."""
        ...

    def close(self) -> Any:
        """End the connection and fail what waits; the Deferred fires when nothing is held any more."""
        ...

    def ask(self, question: Any, done: Done, urgent: bool = False) -> None:
        """Send a question when its turn comes; `done` is called exactly once, possibly before this returns."""
        ...

    def withdraw(self, question: Any) -> None:
        """Forget an urgent question that waits, without its `done`."""
        ...

"""What a Modbus TCP line needs of the thing that holds its transactions in flight, and the plain one in Python.

The other one is `engine.Seat`: there compiled code sees the bytes first.
Rule: a flight counts, finds and times transactions; judging, fencing and connecting are the line's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from drivers.modbus import TRANSACTIONS, Request
from drivers.outcome import Outcome
from scada.clock import NS_PER_S, Clock

IN_FLIGHT_MAX: Final = 16  # MODBUS Messaging Guide 4.2: NumberMaxOfServerTransaction is 1 to 16

Done = Callable[[Outcome, int], None]  # outcome, nanoseconds from sending to the end


@dataclass(slots=True)
class Pending:
    """A request that waits or flies."""

    request: Request
    done: Done
    sent_ns: int = 0
    sends: int = 0
    transaction: int = 0  # of the last sending


class Flight(Protocol):
    """The transactions in flight on one line."""

    @property
    def answered(self) -> bool:
        """Tell whether a right answer came on the present connection that the line has not seen itself."""
        ...

    def attach(self, transport: Any) -> bool:
        """Begin with a new connection; True when the flight reads its bytes itself. OSError when it cannot."""
        ...

    def detach(self) -> None:
        """End with the connection."""
        ...

    def room(self) -> int:
        """Return how many more transactions may fly."""
        ...

    def launch(self, pending: Pending) -> int:
        """Put a request in flight; return its transaction id."""
        ...

    def waiting(self, any_left: bool) -> None:
        """Note whether the line still has requests that want a place."""
        ...

    def take_all(self) -> list[Pending]:
        """Return what flies, oldest first; nothing flies any more."""
        ...

    def abandon(self) -> None:
        """Give up what was planned and has not been sent."""
        ...


class PlainFlight:
    """Transactions in a dictionary, oldest first; one timer serves all, so that a poll costs none."""

    answered = False

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        in_flight: int,
        timeout_ns: int,
        first: int,
        on_late: Callable[[Pending], None],
    ) -> None:
        """first: the first transaction id. on_late: the oldest is over its time and has left the flight."""
        self._reactor = reactor
        self._clock = clock
        self._in_flight = in_flight
        self._timeout_ns = timeout_ns
        self._next = first
        self._on_late = on_late
        self._flying: dict[int, Pending] = {}
        self._watchdog: Any = None

    def attach(self, transport: Any) -> bool:
        return False

    def detach(self) -> None:
        pass  # the wire that is gone brings no bytes

    def room(self) -> int:
        return self._in_flight - len(self._flying)

    def launch(self, pending: Pending) -> int:
        while self._next in self._flying:
            self._next = (self._next + 1) % TRANSACTIONS
        transaction = self._next
        self._next = (transaction + 1) % TRANSACTIONS
        self._flying[transaction] = pending
        if self._watchdog is None:
            self._watchdog = self._reactor.callLater(self._timeout_ns / NS_PER_S, self._watch)
        return transaction

    def land(self, transaction: int) -> Pending | None:
        """Return the request that was sent under a transaction id, None when there is none."""
        return self._flying.pop(transaction, None)

    def waiting(self, any_left: bool) -> None:
        pass  # the line asks for room after every answer anyway

    def take_all(self) -> list[Pending]:
        flown, self._flying = self._flying, {}
        return list(flown.values())

    def abandon(self) -> None:
        pass  # nothing is planned ahead here

    def close(self) -> None:
        if self._watchdog is not None and self._watchdog.active():
            self._watchdog.cancel()
        self._watchdog = None

    def _watch(self) -> None:
        self._watchdog = None
        if not self._flying:
            return
        oldest = next(iter(self._flying))
        left_ns = self._timeout_ns - (self._clock.mono_ns() - self._flying[oldest].sent_ns)
        if left_ns > 0:
            self._watchdog = self._reactor.callLater(left_ns / NS_PER_S, self._watch)
        else:
            self._on_late(self._flying.pop(oldest))

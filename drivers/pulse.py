"""Coarse timers of a site behind one timer of the reactor: hundreds of gateways that begin a cycle every second.

A reactor's own timers cost more than the cycles that they begin, since each one is scheduled in the event loop anew.
Rule: nothing here is due earlier than asked, and at most BEAT_S later.
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Any, Final

BEAT_S: Final = 0.01  # a hundredth of the usual poll period


class CoarseCall:
    """One call that is due; the face of Twisted's DelayedCall, as far as it is used here."""

    def __init__(self, pulse: "Pulse", call: Callable[[], None]) -> None:
        self._pulse = pulse
        self._call: Callable[[], None] | None = call
        self.ticket = 0  # the place in the queue that counts: an older one is void

    def active(self) -> bool:
        return self._call is not None

    def cancel(self) -> None:
        self._call = None
        self._pulse.release()

    def reset(self, delay_s: float) -> None:
        """Make it due `delay_s` from now instead."""
        self._pulse.enter(self, delay_s)

    def run(self) -> None:
        call, self._call = self._call, None
        self._pulse.release()
        if call is not None:
            call()


class Pulse:
    """A beat that runs while anybody needs it, and the calls that wait for it."""

    def __init__(self, reactor: Any, on_beat: Callable[[], None]) -> None:
        """on_beat: is called at every beat too."""
        self._reactor = reactor
        self._on_beat = on_beat
        self._queue: list[tuple[float, int, CoarseCall]] = []
        self._tickets = itertools.count(1)
        self._holders = 0
        self._timer: Any = None

    def hold(self) -> None:
        """Keep it beating until `release`."""
        self._holders += 1
        if self._timer is None:
            self._timer = self._reactor.callLater(BEAT_S, self._beat)

    def release(self) -> None:
        """End a hold; the last one ends the beat."""
        self._holders -= 1
        if not self._holders and self._timer is not None and self._timer.active():
            self._timer.cancel()
            self._timer = None
            self._queue.clear()

    def callLater(self, delay_s: float, call: Callable[[], None]) -> CoarseCall:
        """Call something once, `delay_s` from now or a beat later; named as the reactor's, which it stands for."""
        self.hold()
        later = CoarseCall(self, call)
        self.enter(later, delay_s)
        return later

    def enter(self, later: CoarseCall, delay_s: float) -> None:
        """Put a call into the queue; its older place, if it had one, is void."""
        later.ticket = next(self._tickets)
        heapq.heappush(self._queue, (self._reactor.seconds() + delay_s, later.ticket, later))

    def _beat(self) -> None:
        self._timer = self._reactor.callLater(BEAT_S, self._beat)
        self._on_beat()
        now = self._reactor.seconds()
        while self._queue and self._queue[0][0] <= now:
            _, ticket, later = heapq.heappop(self._queue)
            if ticket == later.ticket and later.active():
                later.run()

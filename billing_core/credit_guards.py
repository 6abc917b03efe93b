"""Guards over all tenants together: too many due at once, a clock that jumped, too many switch-offs in an interval.

Rule: pure; a guard says whether, never what. A price fault, a data fault and a wrong clock all look alike here: many
tenants owe money at the same time who did not owe any before.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from loguru import logger

from billing_core.credit_holds import MASS_HOLD, RELEASE, CreditEvent
from scada.clock import NS_PER_S
from scada.scan import Instant

LEAST_TENANTS_HELD: Final = 2  # the mass-trip guard never holds a single tenant, however small the park
ANCHOR_S: Final = 3600.0  # real seconds over which the two clocks are compared: slow setting by NTP is no jump


class MassGuard:
    """Holds when more tenants fell due within one interval than `percent` of all; only a person releases it."""

    def __init__(self, percent: float, interval_s: float) -> None:
        self._percent = percent
        self._interval_s = interval_s
        self._fell_due: dict[str, int] = {}  # account -> plant second; one who falls twice counts once
        self.held = False
        self.count = 0  # tenants that wait for it

    def most(self, tenants: int) -> int:
        """Return how many of so many tenants may fall due within an interval."""
        return int(max(self._percent / 100 * tenants, LEAST_TENANTS_HELD))

    def fell_due(self, account: str, at_s: int) -> None:
        """Note that a tenant fell due."""
        self._fell_due[account] = at_s

    def restore(self, fell_due_s: Mapping[str, int], events: Iterable[CreditEvent], now_s: int) -> None:
        """Go on where an earlier core stopped: a hold outlives it, and so does what a person released."""
        guarded = [event for event in events if event.verb in (MASS_HOLD, RELEASE)]
        released_s = max((event.at_s for event in guarded if event.verb == RELEASE), default=0)
        since_s = max(released_s, now_s - self._interval_s)
        self._fell_due = {account: at_s for account, at_s in fell_due_s.items() if at_s > since_s}
        self.held = bool(guarded) and guarded[-1].verb == MASS_HOLD

    def judge(self, now_s: int, tenants: int, pending: int) -> None:
        """Hold when too many fell due; end the hold when nobody is due any more."""
        for account in [name for name, at_s in self._fell_due.items() if at_s <= now_s - self._interval_s]:
            del self._fell_due[account]
        self.count = pending
        if len(self._fell_due) > self.most(tenants) and not self.held:
            self.held = True
            logger.error("credit: {} tenants fell due at once; switch-offs wait for a person", pending)
        if self.held and pending == 0:
            self.held = False
            self._fell_due.clear()
            logger.warning("credit: nobody is due any more; the hold of switch-offs has ended")

    def release(self) -> None:
        """End the hold; whoever fell due so far is not counted again."""
        self.held = False
        self._fell_due.clear()


class ClockGuard:
    """Suspends automatic stops when plant time jumped against the monotonic clock, until time was steady for long.

    Every delay of credit control counts plant time; a clock set wrong would use all of them up at once.
    """

    def __init__(self, jump_s: float, steady_s: float, speed: int) -> None:
        """jump_s: plant seconds; steady_s: real seconds; speed: plant seconds in a real one."""
        self._jump_s = jump_s
        self._steady_s = steady_s
        self._speed = speed
        self._anchor: Instant | None = None
        self._jumped_mono_ns: int | None = None

    @property
    def suspended(self) -> bool:
        return self._jumped_mono_ns is not None

    def watch(self, instant: Instant) -> None:
        """Compare both clocks with those of an anchor that is at most ANCHOR_S old."""
        anchor = self._anchor or instant
        elapsed_ns = instant.mono_ns - anchor.mono_ns
        off_s = (instant.utc_ns - anchor.utc_ns - elapsed_ns * self._speed) / NS_PER_S
        if abs(off_s) > self._jump_s:
            logger.error("credit: the clock jumped by {:.0f} s; no automatic stops until it is steady", off_s)
            self._jumped_mono_ns = instant.mono_ns
        if abs(off_s) > self._jump_s or elapsed_ns >= ANCHOR_S * NS_PER_S:
            anchor = instant
        self._anchor = anchor
        if self._jumped_mono_ns is not None and instant.mono_ns - self._jumped_mono_ns >= self._steady_s * NS_PER_S:
            self._jumped_mono_ns = None
            logger.warning("credit: the clock has been steady for {:.0f} s; automatic stops go on", self._steady_s)

    def release(self) -> None:
        """Let a person end the suspension: the clock is right."""
        self._jumped_mono_ns = None


class RateGuard:
    """Counts the switch-offs and the load they dropped within an interval."""

    def __init__(self, stops_max: int, load_max_kw: float, interval_s: float) -> None:
        self._stops_max = stops_max
        self._load_max_kw = load_max_kw
        self._interval_s = interval_s
        self._sent: deque[tuple[int, float]] = deque()  # plant second, kW

    def forget(self, now_s: int) -> None:
        """Drop what is older than the interval."""
        while self._sent and self._sent[0][0] <= now_s - self._interval_s:
            self._sent.popleft()

    def sent(self, at_s: int, load_kw: float) -> None:
        """Note a switch-off."""
        self._sent.append((at_s, load_kw))

    def restore(self, stopped_s: Iterable[int]) -> None:
        """Count switch-offs of an earlier core; the load they dropped is not known any more."""
        self._sent = deque(sorted((at_s, 0.0) for at_s in stopped_s))

    def allows_stop(self, wished: int) -> bool:
        """Tell whether one more switch-off fits, beside so many wished in this scan."""
        return len(self._sent) + wished < self._stops_max

    def allows_load(self, load_kw: float) -> bool:
        """Tell whether so much load may be dropped."""
        return sum(kw for _, kw in self._sent) + load_kw <= self._load_max_kw

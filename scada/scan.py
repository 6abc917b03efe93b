"""The scan: publish, bill, alarm, decide, act, record, at a fixed rate, each phase timed, no skip unnoticed.

Rule: this file knows the order and the time, not what a phase does; `run.py` hands the phases in.
A programmer's error in a phase stops the scan and the room; the supervisor starts a new one from the books.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from loguru import logger
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from scada.clock import Clock
from scada.image import Columns, ImageWriter

PHASES: Final = ("publish", "bill", "alarm", "decide", "act", "record")
NS_PER_MS: Final = 1_000_000


class Instant(NamedTuple):
    """The one instant that every rule of a scan sees."""

    scan: int
    utc_ns: int  # plant time
    mono_ns: int  # real monotonic time


Phase = Callable[[Instant], None]


@dataclass(slots=True)
class ScanFigures:
    """What the last scan cost; the publish phase of the next one turns it into tags."""

    phase_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    scan_ms: float = 0.0
    jitter_ms: float = 0.0
    overruns: int = 0


class Scan:
    """Run the phases every `period_s` seconds and publish the image after the last one."""

    def __init__(
        self,
        clock: Clock,
        phases: Sequence[tuple[str, Phase]],
        work: Columns,
        image: ImageWriter,
        period_s: float,
        reactor: Any,
        first_scan: int = 0,
    ) -> None:
        self._clock = clock
        self._phases = tuple(phases)
        self._work = work
        self._image = image
        self._period_s = period_s
        self._number = first_scan
        self._due_ns = 0
        self.figures = ScanFigures()
        self._loop = LoopingCall.withCount(self._tick)
        self._loop.clock = reactor

    def start(self) -> "Deferred[Any]":
        """Start scanning; the Deferred fails when a phase raised, after the loop has stopped."""
        self._due_ns = self._clock.mono_ns()
        return self._loop.start(self._period_s, now=True)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _tick(self, count: int) -> None:
        period_ns = int(self._period_s * 1e9)
        now_ns = self._clock.mono_ns()
        if count > 1:
            self.figures.overruns += count - 1
            logger.warning(
                "scan overrun: {} intervals skipped, last scan took {:.1f} ms", count - 1, self.figures.scan_ms
            )
        self._due_ns += period_ns * (count if self._number else 0)
        self.figures.jitter_ms = (now_ns - self._due_ns) / NS_PER_MS
        self._number += 1
        self.once(Instant(self._number, self._clock.utc_ns(), now_ns))

    def once(self, instant: Instant) -> None:
        """Run one scan at a given instant: every phase in order, then the publication."""
        begun = at = self._clock.mono_ns()
        for name, phase in self._phases:
            phase(instant)
            now = self._clock.mono_ns()
            self.figures.phase_ms[name] = (now - at) / NS_PER_MS
            at = now
        self._image.publish(self._work, instant.scan, instant.utc_ns, self._clock.mono_ns())
        self.figures.scan_ms = (self._clock.mono_ns() - begun) / NS_PER_MS

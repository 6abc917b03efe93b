"""Clocks: plant time, which prices and histories use, and the monotonic clock, which intervals use.

Rule: nobody else asks the operating system for the time. Plant time equals UTC at speed 1; in a demonstration it
runs `speed` times faster from a common origin, so that field and core, two processes, see the same instant.
Delays of the process (alarm delays, tariffs) count plant time; delays of machines (time-outs) count monotonic time.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

NS_PER_S: Final = 1_000_000_000


class Clock(Protocol):
    """What a room may ask about time."""

    @property
    def speed(self) -> int: ...

    def utc_ns(self) -> int:
        """Return plant time, nanoseconds since 1970-01-01 UTC."""

    def mono_ns(self) -> int:
        """Return monotonic time in real nanoseconds; only differences mean anything."""


class SystemClock:
    """The wall clock of the machine: plant time is UTC."""

    speed: int = 1

    def utc_ns(self) -> int:
        return time.time_ns()

    def mono_ns(self) -> int:
        return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class PlantClock:
    """Plant time that left `origin_utc_ns` when the monotonic clock stood at `origin_mono_ns`, and runs `speed` times.

    CLOCK_MONOTONIC is one clock for all processes of a machine, so two rooms with the same origin agree.
    """

    speed: int
    origin_utc_ns: int
    origin_mono_ns: int

    def utc_ns(self) -> int:
        return self.origin_utc_ns + (time.monotonic_ns() - self.origin_mono_ns) * self.speed

    def mono_ns(self) -> int:
        return time.monotonic_ns()


def write_clock(path: Path, speed: int, not_before_utc_ns: int = 0) -> None:
    """Write the origin that every room of this start shares.

    not_before_utc_ns: last plant time the books know; plant time never runs backwards over a restart.
    """
    origin = max(time.time_ns(), not_before_utc_ns)
    scratch = path.with_suffix(".new")
    scratch.write_text(
        json.dumps({"speed": speed, "origin_utc_ns": origin, "origin_mono_ns": time.monotonic_ns(), "boot": _boot()}),
        encoding="utf-8",
    )
    scratch.replace(path)


def read_clock(path: Path) -> Clock:
    """Return the clock of this start: the system's when no file was written or it runs at speed 1 on true time.

    A file from before the machine's last start is void, because its monotonic clock has gone.
    """
    if not path.exists():
        return SystemClock()
    origin = json.loads(path.read_text(encoding="utf-8"))
    if origin["boot"] != _boot():
        return SystemClock()
    lead_ns = origin["origin_utc_ns"] - origin["origin_mono_ns"] - (time.time_ns() - time.monotonic_ns())
    if origin["speed"] == 1 and abs(lead_ns) < NS_PER_S:
        return SystemClock()
    return PlantClock(origin["speed"], origin["origin_utc_ns"], origin["origin_mono_ns"])


def _boot() -> str:
    """Return what identifies this start of the machine, or "" where the system does not tell."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""

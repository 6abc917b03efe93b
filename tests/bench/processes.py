"""What the processes below one supervisor cost: memory and CPU time, room by room.

A room is a direct child of the supervisor with everything below it, so that PostgreSQL counts with all its backends.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Cost:
    """What a room holds and has spent. CPU seconds include ended children that were waited for."""

    processes: int = 0
    pss_bytes: int = 0  # shared pages divided among those who share them: the sum is what the machine gives
    rss_bytes: int = 0  # shared pages counted in every process again
    cpu_s: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.processes + other.processes,
            self.pss_bytes + other.pss_bytes,
            self.rss_bytes + other.rss_bytes,
            self.cpu_s + other.cpu_s,
        )


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all that live below it."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def costs(supervisor: int, rooms: Mapping[str, int]) -> dict[str, Cost]:
    """Return room -> cost; rooms: name -> process id, the supervisor's own under any name."""
    found: dict[str, Cost] = {}
    for name, pid in rooms.items():
        members = [psutil.Process(pid)] if pid == supervisor else tree(pid)
        found[name] = sum(filter(None, map(_cost, members)), Cost())
    return found


def _cost(process: psutil.Process) -> Cost | None:
    """Return what one process costs, None when it ended meanwhile (a backend of a short command)."""
    try:
        memory, cpu = process.memory_full_info(), process.cpu_times()
    except psutil.NoSuchProcess:
        return None
    return Cost(1, memory.pss, memory.rss, cpu.user + cpu.system + cpu.children_user + cpu.children_system)


def wait_gone(processes: list[psutil.Process], timeout_s: float) -> list[str]:
    """Return when all have ended, or after timeout_s, the names of those that still run."""
    deadline = time.monotonic() + timeout_s
    while (names := list(filter(None, map(_running, processes)))) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return names


def _running(process: psutil.Process) -> str:
    """Return what a process is called, "" when it has ended; a zombie has: it waits for init to take note."""
    try:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return f"{process.name()} {process.pid}"
    except psutil.NoSuchProcess:
        pass
    return ""


def others_share(supervisor: int, before: Mapping[int, float], elapsed_s: float) -> float:
    """Return the cores that foreign processes took since `before` (all_cpu_s): what disturbed the run."""
    mine = {process.pid for process in tree(supervisor)} | {psutil.Process().pid}
    now = all_cpu_s()
    spent: Counter[int] = Counter({pid: cpu_s - before.get(pid, 0.0) for pid, cpu_s in now.items() if pid not in mine})
    return sum(spent.values()) / elapsed_s


def all_cpu_s() -> dict[int, float]:
    """Return process id -> CPU seconds of everything that runs on the machine."""
    return {
        process.pid: times.user + times.system
        for process in psutil.process_iter(["cpu_times"])
        if (times := process.info["cpu_times"]) is not None
    }

"""What every room does around its own work: one event loop for everything, a log, a clean end.

Rule: a room ends when asked (SIGTERM, SIGINT) and when its supervisor is gone; it never outlives it.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from loguru import logger

from scada.clock import Clock
from scada.errors import ConfigurationError
from scada.paths import DataDirectory

PR_SET_PDEATHSIG: Final = 1  # prctl(2): the kernel sends this signal when the parent dies
# mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX; setting the first two ends their growth
MALLOC_OPTIONS: Final = ((-3, 8 << 20), (-1, 16 << 20), (-8, 1))
GIVE_BACK_FIRST_S: Final = 15.0  # a start is over: configuration read, columns made, books open
GIVE_BACK_EVERY_S: Final = 60.0
EXIT_FAILED: Final = 1
EXIT_CONFIGURATION: Final = 2


@dataclass(slots=True)
class Room:
    """What a room's main coroutine is given."""

    name: str
    reactor: Any  # Twisted's asyncioreactor, running on `loop`
    data: DataDirectory
    clock: Clock
    database_url: str  # libpq connection string
    stop: asyncio.Event = field(default_factory=asyncio.Event)  # set when the room shall end


def configure_log(name: str, data: DataDirectory | None) -> None:
    """Configure loguru once for this process: short lines on stderr, and a rotated file when there is a place."""
    logger.remove()
    line = f"<green>{{time:HH:mm:ss.SSS}}</green> <cyan>{name:<8}</cyan> <level>{{level:<7}}</level> {{message}}"
    logger.add(sys.stderr, format=line, level="INFO", enqueue=False)
    if data is not None:
        logger.add(
            data.log / f"{name}.log",
            format="{time:YYYY-MM-DDTHH:mm:ss.SSSZ} {level} {name} {message}",
            level="INFO",
            rotation="10 MB",
            retention=5,
        )


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies (Linux; elsewhere the supervisor's own end must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def keep_memory_small() -> None:
    """Let glibc give the largest blocks back to the machine whenever they are freed, not the first time only.

    What a load of the configuration or a batch of history leaves free is a tenth of a big site's memory. Blocks of a
    column's size are kept: each scan wants them again. Other C libraries have no such switch and need none.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in MALLOC_OPTIONS:
            libc.mallopt(option, value)


def give_memory_back(loop: asyncio.AbstractEventLoop, after_s: float = GIVE_BACK_FIRST_S) -> None:
    """Give back to the machine, now and then, what is free in the middle of the heap; glibc by itself gives its end.

    A start, a flood of alarms or a long catch-up leave a twentieth of a big site's memory so. It takes a millisecond.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):

        def give_back() -> None:
            libc.malloc_trim(0)
            loop.call_later(GIVE_BACK_EVERY_S, give_back)

        loop.call_later(after_s, give_back)


def leave_terminal(supervisor: int) -> None:
    """Make this process one that only its supervisor ends; SystemExit when that one has died already.

    Ctrl-C then reaches the supervisor alone, which ends its children in order. The supervisor says who it is, because a
    child whose parent died while it was importing has another parent by now.
    """
    os.setsid()
    die_with_parent()
    if os.getppid() != supervisor:
        sys.exit(EXIT_FAILED)


def install_loop() -> tuple[asyncio.AbstractEventLoop, Any]:
    """Install uvloop with Twisted's asyncioreactor on it; must run before anything imports a reactor."""
    import uvloop
    from twisted.internet import asyncioreactor

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
    from twisted.internet import reactor

    return loop, reactor


def run_room(
    name: str,
    data: DataDirectory,
    clock: Clock,
    database_url: str,
    main: Callable[[Room], Awaitable[None]],
    supervisor: int = 0,
) -> int:
    """Run one room until it is told to stop; return the exit code. An error that nobody handled ends the room.

    supervisor: process id of the parent that the room must not outlive, 0 for a room that is run alone
    """
    keep_memory_small()
    configure_log(name, data)
    if supervisor:
        leave_terminal(supervisor)
    loop, reactor = install_loop()
    give_memory_back(loop)
    exit_code = 0

    async def live() -> None:
        nonlocal exit_code
        room = Room(name, reactor, data, clock, database_url)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, room.stop.set)
        try:
            await main(room)
        except ConfigurationError as refused:
            for fault in refused.faults:
                logger.error("{}", fault)
            exit_code = EXIT_CONFIGURATION
        except Exception:  # noqa: BLE001 - the outermost frame: log everything once, then end so that the supervisor restarts us
            logger.exception("room {} failed", name)
            exit_code = EXIT_FAILED
        finally:
            reactor.stop()

    tasks: set[asyncio.Task[None]] = set()
    reactor.callWhenRunning(lambda: tasks.add(loop.create_task(live())))
    reactor.run(installSignalHandlers=False)
    return exit_code

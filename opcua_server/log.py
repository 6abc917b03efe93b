"""What the OPC UA library has to say, in the room's own log and within a budget.

Rule: a hostile or broken client must not be able to fill a disk with log lines.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from loguru import logger

LINES_PER_MINUTE: Final = 20  # enough to see what is wrong; the rest is counted
MINUTE_NS: Final = 60_000_000_000


class BudgetHandler(logging.Handler):
    """Forward records of the standard logging module to loguru, LINES_PER_MINUTE at most, without tracebacks."""

    def __init__(self, mono_ns: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(logging.WARNING)
        self._mono_ns = mono_ns
        self._since_ns = mono_ns()
        self._lines = 0
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        now = self._mono_ns()
        if now - self._since_ns >= MINUTE_NS:
            if self._dropped:
                logger.warning("opcua: {} more lines of the library were dropped in the last minute", self._dropped)
            self._since_ns, self._lines, self._dropped = now, 0, 0
        if self._lines >= LINES_PER_MINUTE:
            self._dropped += 1
            return
        self._lines += 1
        cause = f" ({record.exc_info[1]!r})" if record.exc_info else ""
        logger.log(record.levelname, "opcua: {}{}", record.getMessage(), cause)


def adopt_library_log() -> None:
    """Send the library's warnings and errors through one BudgetHandler, and nowhere else."""
    library = logging.getLogger("asyncua")
    library.setLevel(logging.ERROR)  # its warnings repeat what status codes already tell the client
    library.propagate = False
    library.handlers = [BudgetHandler()]

"""The terminal: what a command line does when whoever reads its output has read enough (`... | head`)."""

import os
import select
import sys
from typing import Final

EXIT_PIPE: Final = 141  # as shells say: ended by SIGPIPE


def end_quietly(broken: BrokenPipeError) -> int:
    """Return the exit code when nobody reads our output any more; raise `broken` again when another pipe was meant."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        raise broken
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it goes nowhere
    return EXIT_PIPE

"""The terminal: letters that it does not have, and readers that have read enough (`... | head`)."""

import io
import os
import select
import sys
from typing import Final

EXIT_PIPE: Final = 141  # as shells say: ended by SIGPIPE


def show_what_it_has() -> None:
    """Print a question mark for a letter that the terminal does not have: help and names are Chinese as well."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def end_quietly(broken: BrokenPipeError) -> int:
    """Return the exit code when nobody reads our output any more; raise `broken` again when another pipe was meant."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        raise broken
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it goes nowhere
    return EXIT_PIPE

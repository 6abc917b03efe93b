"""A serial cable: two pseudo-terminals whose far ends are joined, so that two programs can each open a serial port."""

import contextlib
import os
import select
import threading
import tty
from collections.abc import Iterator
from typing import Final

POLL_S: Final = 0.05  # how soon it sees that it shall end


@contextlib.contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """Yield the paths of both ends; what is written to one is read from the other."""
    pairs = [os.openpty(), os.openpty()]
    for _, end in pairs:
        tty.setraw(end)  # held open here, so that a program may close its end and open it again
    (one, _), (two, _) = pairs
    other = {one: two, two: one}
    ending = threading.Event()

    def carry() -> None:
        while not ending.is_set():
            for ready in select.select([one, two], [], [], POLL_S)[0]:
                os.write(other[ready], os.read(ready, 4096))

    thread = threading.Thread(target=carry, name="cable")
    thread.start()
    try:
        yield os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])
    finally:
        ending.set()
        thread.join()
        for pair in pairs:
            for descriptor in pair:
                os.close(descriptor)

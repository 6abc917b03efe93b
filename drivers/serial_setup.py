"""Opening a serial port of this machine: for us alone, set as its meters want, with reasons that a person can mend.

Rule: no reactor, so that a tool opens a port exactly as the core does. Two programs on one RS-485 line destroy each
other's frames, so a port that somebody else holds is refused.
"""

import errno
import fcntl
import os
import termios
from typing import Final

from drivers.device import LineFormat

BAUDS: Final = {
    int(name[1:]): getattr(termios, name) for name in dir(termios) if name.startswith("B") and name[1:].isdigit()
}
PARITIES: Final = {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}
PSEUDO: Final = "/dev/pts/"
# Why a port cannot be opened, as a person at the site mends it.
REASONS: Final = {
    errno.EBUSY: "another program has it open; stop that program",
    errno.EWOULDBLOCK: "another program holds its lock; stop that program",
    errno.EACCES: "permission denied; add the user to the group that owns the port (usually dialout)",
    errno.ENOENT: "there is no such port; is the adapter plugged in?",
    errno.ENXIO: "there is no such port; is the adapter plugged in?",
    errno.ENOTTY: "it is not a serial port",
}


def open_port(path: str, form: LineFormat) -> int:
    """Open a serial port for us alone and set it up; return its descriptor. OSError says what is wrong."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # holds against root, too, whom TIOCEXCL lets pass
        fcntl.ioctl(fd, termios.TIOCEXCL)
        _set_up(fd, form)
    except termios.error as error:
        os.close(fd)
        raise OSError(*error.args) from error
    except BaseException:
        os.close(fd)
        raise
    return fd


def _set_up(fd: int, form: LineFormat) -> None:
    """Set raw bytes of 8 bits, baud rate, parity, stop bits; a byte of wrong parity arrives as 0: its frame fails."""
    if form.baud not in BAUDS:
        raise OSError(errno.EINVAL, f"{form.baud} baud is not possible; one of {', '.join(map(str, sorted(BAUDS)))}")
    speed = BAUDS[form.baud]
    flags = termios.CS8 | termios.CREAD | termios.CLOCAL | PARITIES[form.parity]
    flags |= termios.CSTOPB if form.stop_bits == 2 else 0
    check = termios.INPCK if form.parity != "N" else 0
    characters = termios.tcgetattr(fd)[6]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    if os.ttyname(fd).startswith(PSEUDO):  # it carries no parity, and says EINVAL to whom asks for it a second time
        flags, check = flags & ~PARITIES["O"], 0
    termios.tcsetattr(fd, termios.TCSANOW, [check, 0, flags, 0, speed, speed, characters])
    termios.tcflush(fd, termios.TCIOFLUSH)


def reason_of(error: OSError) -> str:
    """Return why a port cannot be used, in words that help."""
    return REASONS.get(error.errno or 0, error.strerror or str(error))

"""Where the rooms of one start meet on disk: everything below one data directory, held by one supervisor.

data/pg/       the embedded data base         data/run/image   the process image
data/run/      sockets, plant clock, locks    data/spool/      what waits for the data base
data/pki/      OPC UA certificates            data/log/        a log file for each room
data/anchor/   heads of the ledger's chain: better on another disk than data/pg
"""

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO, Final

from scada.errors import WattkeeperError

SOCKET_PATH_MAX: Final = 100  # sun_path holds 108 bytes on Linux, 104 on BSD; PostgreSQL adds a suffix to its own


class DataDirectory:
    """One data directory. Making one creates the folders; `hold` makes sure that only one supervisor uses it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.pg = self.root / "pg"
        self.run = self.root / "run"
        self.spool = self.root / "spool"
        self.pki = self.root / "pki"
        self.log = self.root / "log"
        self.anchor = self.root / "anchor"
        for folder in (self.root, self.run, self.spool, self.pki, self.log, self.anchor):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.image = self.run / "image"
        self.clock = self.run / "clock.json"
        self._held: IO[str] | None = None

    @property
    def sockets(self) -> Path:
        """Folder for Unix sockets: data/run, or a private temporary folder when that path is too long for a socket."""
        if len(os.fsencode(self.run)) + len("/.s.PGSQL.5432") <= SOCKET_PATH_MAX:
            return self.run
        short = Path(tempfile.gettempdir()) / f"wattkeeper-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]}"
        short.mkdir(mode=0o700, exist_ok=True)
        if short.stat().st_uid != os.getuid():
            raise WattkeeperError(f"{short} belongs to somebody else; choose a data directory with a shorter path")
        return short

    @property
    def core_socket(self) -> Path:
        return self.sockets / "core.sock"

    def hold(self) -> None:
        """Hold the directory until this process ends; WattkeeperError when another supervisor holds it."""
        file = (self.run / "supervisor.lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise WattkeeperError(
                f"data directory {self.root} is in use by Wattkeeper process {holder}; stop it or choose another --data"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._held = file

    def try_hold(self) -> bool:
        """Hold the directory if nobody else does; tell whether it is held now."""
        try:
            self.hold()
        except WattkeeperError:
            return False
        return True

    def release(self) -> None:
        """Let the directory go; the end of the process does the same."""
        if self._held is not None:
            self._held.close()
            self._held = None

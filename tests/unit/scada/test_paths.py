"""The data directory: one holder, and sockets whose path the kernel accepts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scada.errors import WattkeeperError
from scada.paths import SOCKET_PATH_MAX, DataDirectory

ROOT = Path(__file__).resolve().parents[3]


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.hold()
    script = "from pathlib import Path; from scada.paths import DataDirectory; DataDirectory(Path(%r)).hold()"
    with pytest.raises(WattkeeperError, match=rf"in use by Wattkeeper process {os.getpid()}\b"):
        DataDirectory(tmp_path).hold()
    command = [sys.executable, "-c", script % str(tmp_path)]
    other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert other.returncode != 0
    assert str(os.getpid()) in other.stderr
    data.release()


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    script = (
        "import os; from pathlib import Path; from scada.paths import DataDirectory;"
        f"DataDirectory(Path({str(tmp_path)!r})).hold(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == -9
    data = DataDirectory(tmp_path)
    data.hold()
    data.release()


@pytest.mark.parametrize("depth", [1, 12])
def test_sockets_fit_the_kernels_limit(tmp_path: Path, depth: int) -> None:
    data = DataDirectory(tmp_path.joinpath(*["a-rather-long-name"] * depth))
    assert len(os.fsencode(data.sockets / ".s.PGSQL.5432")) <= SOCKET_PATH_MAX + 10
    assert data.sockets.stat().st_mode & 0o077 == 0
    if data.sockets != data.run:
        data.sockets.rmdir()

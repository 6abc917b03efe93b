"""What each long-lived process carries in memory: its own libraries and no other's."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# LLVM alone is a hundred megabytes in every process that maps it; the schema is brought up to date by a short command.
COMPILER = {"numba", "llvmlite"}
MIGRATIONS = {"alembic", "sqlalchemy", "mako"}
WORKBOOKS = {"openpyxl"}
CALENDARS = {"holidays"}  # of all the world; China's are in config/chinese_festivals.py
WEB = {"nicegui", "fastapi", "uvicorn"}
OPCUA = {"asyncua"}
SIMULATED = {"pymodbus"}
NOWHERE = MIGRATIONS | WORKBOOKS | CALENDARS
NOT_IN: dict[str, set[str]] = {
    "config.plant": NOWHERE | COMPILER | WEB | OPCUA | SIMULATED,  # the supervisor, and what every room loads
    "hmi.room": NOWHERE | COMPILER | OPCUA | SIMULATED,
    "opcua_server.room": NOWHERE | COMPILER | WEB | SIMULATED,
    "drivers.field.room": NOWHERE | COMPILER | WEB | OPCUA,
    "scada.core": NOWHERE | WEB | OPCUA | SIMULATED,
}
CARRIED = """
import sys
import run
run.parser()
import config.plant
config.plant.load(run.DEMO)
import {room}
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


@pytest.mark.parametrize("room", NOT_IN)
def test_a_room_carries_no_library_that_it_does_not_use(room: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CARRIED.format(room=room)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert NOT_IN[room] & set(done.stdout.split()) == set()

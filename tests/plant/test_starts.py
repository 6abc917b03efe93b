"""A start that is ended before it is through: whatever is under way then ends too, and the next start works."""

import signal
import subprocess
import sys
import time

import pytest

from scada.clock import NS_PER_S
from tests.plant.park import ROOT, Park, wait_for

GONE_S = 20.0  # much more than it takes, and less than any wait for a server that does not come
MOMENTS_S = (0.6, 1.2, 2.0, 3.0)  # while it imports, makes the cluster, migrates, starts the rooms

ENDED_AFTER_MIGRATION = """
import os, signal, sys, time
import run
from scada.supervision import Supervisor

def attend(self, *words, _attend=Supervisor.attend):
    _attend(self, *words)
    os.kill(os.getpid(), signal.SIGTERM)
    self.ending.wait()
    time.sleep(1)  # until the server takes no more connections

Supervisor.attend = attend
sys.exit(run.main(sys.argv[1:]))
"""

pytestmark = [pytest.mark.plant]


def begin(park: Park) -> subprocess.Popen[bytes]:
    with park.log.open("ab") as log:
        return subprocess.Popen(park.command(), stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_a_start_that_is_ended_halfway_leaves_no_process(make_park, number: signal.Signals) -> None:
    park = make_park()
    for moment_s in MOMENTS_S:
        started = begin(park)
        time.sleep(moment_s)
        started.send_signal(number)
        started.wait(GONE_S)
        wait_for(lambda: not park.pids(), GONE_S, f"every process to end after {number.name} at {moment_s} s")
    park.start()
    assert park.stop(timeout_s=GONE_S) == 0


@pytest.mark.timeout(120)
def test_a_start_that_is_ended_between_the_migration_and_the_rooms_waits_for_no_server(make_park) -> None:
    park = make_park()
    command = [sys.executable, "-c", ENDED_AFTER_MIGRATION, *park.command()[2:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=GONE_S)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    wait_for(lambda: not park.pids(), GONE_S, "every process to end")


@pytest.mark.timeout(120)
def test_plant_time_never_runs_behind_the_books(make_park) -> None:
    """A fast demonstration left the books in the future, and the image that knew of it is lost."""
    park = make_park().start(speed=3600)
    wait_for(lambda: park.sql("SELECT 1 FROM charge LIMIT 1"), 20, "the first charge")
    park.stop()
    park.data.image.unlink()
    park.start()
    (books_s,) = park.sql("SELECT extract(epoch FROM plant_time)::bigint FROM book")[0]
    assert books_s > time.time() + 600
    assert park.snapshot().scan_utc_ns >= books_s * NS_PER_S
    charges = park.sql("SELECT count(*) FROM charge")
    wait_for(lambda: park.sql("SELECT count(*) FROM charge") > charges, 20, "charges to go on")

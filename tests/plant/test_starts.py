"""A start that is ended before it is through: whatever is under way then ends too, and the next start works."""

import signal
import subprocess
import time

import pytest

from tests.plant.park import ROOT, Park, wait_for

GONE_S = 5.0
MOMENTS_S = (0.6, 1.2, 2.0, 3.0)  # while it imports, makes the cluster, migrates, starts the rooms

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

"""Scans of 3,000 meters of 20 registers behind 500 gateways: how long one takes, and what it costs.

A scan begins on all lines at once, one transaction in flight on each, and ends when every meter has answered, every
payload has been compared with what the simulator must have said, and all 60,000 registers have been decoded in bulk
into the stage. CPU counts this process alone: the event loop, the engine, the comparison and the decoding.

Run: python -m tests.bench.bench_modbus_scan [scans] [period, s]
"""

import asyncio
import os
import sys
import time
from typing import Any

import numpy as np

from drivers.bulk import BulkDecoder
from scada.image import Columns, Layout
from scada.stage import Stage
from tests.bench.modbus_ours import Park, run_with_reactor
from tests.bench.modbus_simulator import REGISTERS, Simulator, cores, expected, simulator

CONNECTIONS = 500
METERS = 6
SCANS = 600
PERIOD_S = 0.1
BAR_MS, AIM_MS = 80.0, 45.0
CPU_BAR_S = 10.6 / 15  # for a million registers: a fifteenth of what FUXA 1.3.4 needs to poll them alone
NS_PER_MS = 1e6


class Decoding:
    """The bulk decoder over the replies of a park, and the image that is compared."""

    def __init__(self, park: Park) -> None:
        devices = [device for table in park.store.tables for device in table.devices]
        rows = len(devices) * REGISTERS
        layout = Layout({"tags": rows, "points": 1, "accounts": 0, "alarms": 0}, bytes(32))
        self.stage = Stage(layout, np.ones(rows, dtype=np.bool_), 1.0, 1)
        self.work = Columns.private(layout)
        for number, device in enumerate(devices):
            device.rows.update({f"R{i}": REGISTERS * number + i for i in range(REGISTERS)})
        self.bulk = BulkDecoder(park.store, self.stage)
        self.right = np.concatenate([np.frombuffer(expected(d.unit), dtype=">u2").astype(np.float64) for d in devices])
        self.right /= 10

    def decode(self) -> None:
        """Decode every fresh payload into the stage, as the scan does before it publishes."""
        self.bulk.collect(time.time_ns())

    def check(self, scan: int) -> None:
        """AssertionError when a value in the image differs from what the simulated meter holds."""
        self.stage.publish(self.work, scan, time.time_ns())
        assert np.array_equal(self.work.tags.value, self.right), "a value in the image is wrong"
        assert not self.work.tags.quality.any(), "a quality in the image is not good"
        self.work.tags.value[:] = 0
        self.bulk.store.arena[:] = 0


class Scanning:
    """One park, scanned again and again."""

    def __init__(self, reactor: Any, port: int) -> None:
        self.park = Park(reactor, port, CONNECTIONS, METERS, 1)
        self.decoding = Decoding(self.park)
        self.loop = asyncio.get_running_loop()
        self.left = 0
        self.finished = self.loop.create_future()
        for line in self.park.lines:
            line.wipes = False
            line.on_end = self.ended

    def ended(self) -> None:
        self.left -= 1
        if not self.left:
            self.finished.set_result(None)

    async def scan(self) -> int:
        """Scan all meters once; return how long it took, ns."""
        self.left = CONNECTIONS
        self.finished = self.loop.create_future()
        begun = time.perf_counter_ns()
        for line in self.park.lines:
            line.begin()
        await self.finished
        self.decoding.decode()
        return time.perf_counter_ns() - begun


async def measure(reactor: Any, sim: Simulator, scans: int, period_s: float) -> None:
    """Scan, compare, and print the figures."""
    scanning = Scanning(reactor, sim.port)
    await scanning.park.connected()
    for _ in range(3):  # the pages of the tables are touched, the connections have grown their windows
        await scanning.scan()
    asked_before, cpu_s = sim.asked(), 0.0
    spent_ms = np.zeros(scans)
    for number in range(scans):
        cpu_before = time.process_time()
        spent_ms[number] = await scanning.scan() / NS_PER_MS
        cpu_s += time.process_time() - cpu_before
        scanning.decoding.check(number + 1)
        await asyncio.sleep(max(0.0, period_s - spent_ms[number] / 1000))
    polls = scans * CONNECTIONS * METERS
    assert sim.asked() - asked_before == polls, "the simulator was asked something else"
    scanning.park.check()
    await scanning.park.close()
    p50, p99 = np.percentile(spent_ms, (50, 99))
    per_million_s = cpu_s / (polls * REGISTERS) * 1e6
    print(
        f"{scans} scans of {CONNECTIONS * METERS:,} meters: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest "
        f"{spent_ms.max():.1f} ms (bar {BAR_MS:.0f}, aim {AIM_MS:.0f}: {verdict(p99, BAR_MS, AIM_MS)})\n"
        f"CPU for a million registers polled and decoded: {per_million_s:.2f} s "
        f"(bar {CPU_BAR_S:.2f}: {verdict(per_million_s, CPU_BAR_S, CPU_BAR_S)}); every value of every scan compared; "
        f"load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def verdict(figure: float, bar: float, aim: float) -> str:
    return "aim reached" if figure <= aim else "reached" if figure <= bar else "NOT REACHED"


def main(scans: int = SCANS, period_s: float = PERIOD_S) -> None:
    """Start the simulator, scan, end the simulator."""
    mine, its = cores()
    with simulator(its) as sim:
        os.sched_setaffinity(0, {mine})
        run_with_reactor(lambda reactor: measure(reactor, sim, scans, period_s))


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))

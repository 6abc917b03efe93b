"""The whole chain at scale: 10,000 meters of 20 values at 1 s, polled, decoded, billed, alarmed and recorded.

A compiled simulator is all gateways; it lets every billing register go on by one count with each read, and counts what
it was asked. The core and the embedded data base run as a site runs them. At the end the registers are held, and what
every supply point was billed is compared with the simulator's truth, and every account with its points.

Run: python -m tests.bench.bench_scale [--meters N] [--seconds S]     5,080 meters are 200,000 tags
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from config.plant import Plant, load
from scada import embedded_postgres
from scada.image import ImageGone, ImageReader, Snapshot
from scada.paths import DataDirectory
from scada.quality import GOOD
from scada.scan import PHASES
from tests.bench import scale_plant
from tests.bench.figures import Figure, percentile, report
from tests.bench.processes import Cost, costs
from tests.bench.scale_simulator import BASE, Simulator, simulator

ROOT: Final = Path(__file__).resolve().parents[2]
METERS: Final = 10_000
SECONDS: Final = 600.0
START_S: Final = 180.0
LOOK_S: Final = 0.4
SETTLE_SCANS: Final = 5
MIB: Final = 1 << 20
MEMORY_MIB: Final = 400_000_000 / MIB  # the bar is in megabytes
MEMORY_TAGS: Final = 200_000  # up to so many tags
PRICE_MICRO: Final = 723_600
NANO: Final = 1_000_000_000
RATE_LEAST: Final = 0.97  # of one read a second; a cycle may begin a little later than its period
PHASE_TAGS: Final = {phase: f"{phase.capitalize()}Ms" for phase in PHASES}


class Site:
    """The core and its data base on a plant of so many meters."""

    def __init__(self, folder: Path, meters: int, port: int) -> None:
        self.config = folder / "config"
        scale_plant.write(self.config, meters, port)
        begun = time.monotonic()
        self.plant: Plant = load(self.config)
        self.load_s = time.monotonic() - begun
        self.data = DataDirectory(folder / "data")
        self._reader = ImageReader(self.data.image, self.plant.layout)
        self._log = folder / "log.txt"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self._run("database")
        embedded_postgres.wait_ready(embedded_postgres.dsn(self.data.sockets, "postgres"), START_S)
        subprocess.run(self._words("migrate"), check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        self._run("core")

    def stop(self) -> None:
        for name in ("core", "database"):
            if name in self.processes:
                self.processes[name].send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.processes[name].wait(20.0)
                self.processes[name].kill()

    def _words(self, room: str) -> list[str]:
        return [sys.executable, "run.py", room, "--config", str(self.config), "--data", str(self.data.root)]

    def _run(self, room: str) -> None:
        with self._log.open("ab") as log:
            self.processes[room] = subprocess.Popen(self._words(room), cwd=ROOT, stdout=log, stderr=log)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def snapshot(self) -> Snapshot | None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise AssertionError(f"{name} has ended:\n{self.log()[-4000:]}")
        try:
            return self._reader.snapshot()
        except ImageGone:
            return None

    def core(self, snapshot: Snapshot, measure: str) -> float:
        return float(snapshot.columns.tags.value[self.plant.row("X", "core", measure)])

    def scans(self) -> Iterator[Snapshot]:
        """Yield the image of one scan after the other."""
        last = -1
        while True:
            seen = self.snapshot()
            if seen is not None and seen.scan != last:
                last = seen.scan
                yield seen
            time.sleep(LOOK_S)


def begin(site: Site) -> float:
    """Wait until every point is billed from the register at which all meters stand; return the seconds it took."""
    begun = time.monotonic()
    whole = 0
    for seen in site.scans():
        points = seen.columns.points
        ready = site.core(seen, "DatabaseConnected") == 1.0 and bool((points.price_micro == PRICE_MICRO).all())
        whole = whole + 1 if ready and _all_good(points) and bool((points.raw == BASE).all()) else 0
        if whole == SETTLE_SCANS:
            return time.monotonic() - begun
        if time.monotonic() - begun > START_S:
            raise AssertionError(f"the plant did not become whole:\n{site.log()[-4000:]}")
    raise AssertionError("unreachable")


def _all_good(points: Any) -> bool:
    return bool((points.quality == GOOD).all() and (points.held == 0).all())


class Run:
    """What the scans of a run cost."""

    def __init__(self, site: Site, simulated: Simulator) -> None:
        self._site = site
        self._simulated = simulated
        self._pids = {name: process.pid for name, process in site.processes.items()} | {"simulator": simulated.pid}
        self.seen: list[Snapshot] = []
        self._figures: dict[str, list[float]] = {}
        self._bad: list[int] = []
        self._memory: list[float] = []

    def measure(self, seconds: float) -> list[Figure]:
        site, simulated = self._site, self._simulated
        before, reads, begun = costs(os.getpid(), self._pids), simulated.reads(), time.monotonic()
        first = last = next(site.scans())
        simulated.hold(False)
        for last in site.scans():
            self._take(last)
            if time.monotonic() - begun >= seconds:
                break
        elapsed_s = time.monotonic() - begun
        after, asked = costs(os.getpid(), self._pids), simulated.reads() - reads
        simulated.hold(True)
        self._print(before, after, elapsed_s)
        overruns = site.core(last, "Overruns") - site.core(first, "Overruns")
        scan_ms = self._figures["ScanMs"]
        memory_mib = MEMORY_MIB if len(site.plant.tags) <= MEMORY_TAGS else None
        values = scale_plant.VALUES_EACH * len(asked)
        return [
            Figure("scans", last.scan - first.scan, ""),
            Figure("overruns", overruns, "", 0),
            Figure("scan work, p50", percentile(scan_ms, 0.5), "ms"),
            Figure("scan work, p99", percentile(scan_ms, 0.99), "ms"),
            Figure("scan work, longest", max(scan_ms), "ms"),
            *(Figure(f"  {name}, p50", percentile(self._figures[tag], 0.5), "ms") for name, tag in PHASE_TAGS.items()),
            Figure("meters asked less than once a second", float((asked < elapsed_s * RATE_LEAST - 2).sum()), "", 0),
            Figure("reads of a meter, least", float(asked.min()), ""),
            Figure("values asked a second", values / elapsed_s * float(asked.mean()), "1/s"),
            Figure("points that were not good in a scan, most", max(self._bad), "", 0),
            Figure("memory of the core, RSS, most", max(self._memory), "MiB", memory_mib),
            Figure("CPU of core", _share(before, after, "core", elapsed_s), "cores"),
            Figure("CPU of data base", _share(before, after, "database", elapsed_s), "cores"),
            Figure("CPU of simulator", _share(before, after, "simulator", elapsed_s), "cores"),
        ]  # fmt: skip

    def _take(self, seen: Snapshot) -> None:
        for measure in ("ScanMs", "JitterMs", *PHASE_TAGS.values()):
            self._figures.setdefault(measure, []).append(self._site.core(seen, measure))
        self._bad.append(int((seen.columns.points.quality != GOOD).sum()))
        pages = int(Path(f"/proc/{self._pids['core']}/statm").read_text(encoding="ascii").split()[1])
        self._memory.append(pages * os.sysconf("SC_PAGESIZE") / MIB)

    def _print(self, before: dict[str, Cost], after: dict[str, Cost], elapsed_s: float) -> None:
        print(f"\n{'process':<10} {'RSS MiB':>9} {'PSS MiB':>9} {'CPU':>8}   over {elapsed_s:.0f} s")
        for name, cost in after.items():
            share = _share(before, after, name, elapsed_s)
            print(f"{name:<10} {cost.rss_bytes / MIB:>9.0f} {cost.pss_bytes / MIB:>9.0f} {share:>8.1%}")


def _share(before: dict[str, Cost], after: dict[str, Cost], name: str, elapsed_s: float) -> float:
    return (after[name].cpu_s - before[name].cpu_s) / elapsed_s


def truth(site: Site, simulated: Simulator) -> list[Figure]:
    """Compare what was billed with what the meters have told, and the accounts with the points."""
    deadline = time.monotonic() + START_S
    told = simulated.registers()
    for seen in site.scans():
        points, accounts = seen.columns.points, seen.columns.accounts
        shown = len(site.plant.accounts)
        settled = bool((accounts.balance_nano[:shown] == accounts.committed_nano[:shown]).all())
        if (settled and bool((points.raw == told).all())) or time.monotonic() > deadline:
            break
    expected_milli = (told - BASE) * scale_plant.MILLI_PER_COUNT
    wrong = int((points.billed_milli != expected_milli).sum() + (points.raw != told).sum())
    charged_nano = expected_milli * PRICE_MICRO
    owed_nano = np.add.reduceat(charged_nano, np.arange(0, len(told), scale_plant.METERS_EACH))
    opening_nano = scale_plant.OPENING * NANO
    balances = int((accounts.committed_nano[:shown] != opening_nano - owed_nano).sum())
    return [
        Figure("registers compared with the simulator", len(told), "", None, len(told)),
        Figure("counts told beyond the first register, least", float((told - BASE).min()), "", None, 1),
        Figure("registers billed that differ from the truth", wrong, "", 0),
        Figure("accounts in the ledger that differ from the truth", balances, "", 0),
        Figure("requests that were not understood", simulated.strange(), "", 0),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=METERS, help=f"default {METERS}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"default {SECONDS:g}")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wattkeeper-scale-") as name, simulator(args.meters) as simulated:
        site = Site(Path(name), args.meters, simulated.port)
        tags, alarms = len(site.plant.tags), len(site.plant.alarms)
        print(f"{args.meters} meters, {tags} tags, {alarms} alarms, {len(site.plant.accounts)} accounts")
        try:
            site.start()
            figures = [Figure("configuration loaded in", site.load_s, "s"), Figure("whole after", begin(site), "s")]
            figures += Run(site, simulated).measure(args.seconds)
            figures += truth(site, simulated)
        finally:
            site.stop()
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())

"""The demonstration park, whole: start, scan, memory, CPU, switching, image to browser, stop, each with its bar.

Run: python -m tests.bench.bench_park [--quick]

The park is started as `make run` starts it, in a fresh data directory and on free ports, with the shipped checkpoint
period. Three browsers' websockets stay open throughout and check every value they are sent against the image of the
same scan; the books are audited at the end. What else ran on the machine is printed, because it disturbs every figure.
"""

import argparse
import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from hmi.livesocket import FRAME
from hmi.lookup import Lookup
from hmi.users import FIRST_LOGIN
from hmi.views import Views
from scada.image import ImageReader, Snapshot
from scada.position import CLOSED, OPEN
from scada.quality import GOOD, good_mask
from tests.bench import clicks
from tests.bench.browsers import Publications, Screen, answers, browser, log_in_first
from tests.bench.figures import Figure, percentile, report
from tests.bench.processes import Cost, all_cpu_s, costs, others_share, tree, wait_gone
from tests.plant.park import CHECKPOINT, Park, wait_for

START_S = 15.0  # the bars of the first whole Wattkeeper
SCAN_MS = 20.0
MEMORY_MB = 1000.0
CORES = 0.5
SWITCH_S = 2.0
BROWSER_MS = 1500.0
STOP_S = 5.0

SETTLE_S = 5.0  # after the start: imports, first balances and the first checkpoint are not the steady state
SCANS = 150
SCANS_QUICK = 30
SWITCHINGS = (20, 12)  # asked of the core; clicked in a browser
SWITCHINGS_QUICK = (5, 3)
STATE_EVERY_S = 0.01
SWITCH_GIVE_UP_S = 15.0
STOP_GIVE_UP_S = 20.0
FORECASTS = ("/DaysLeft", "/ForecastEmpty")  # need days of costs before they are good
PAGES = ("overview", "meters", "diagram/ss1")
PASSWORD = "a bench looks at the park"
MIB = 2**20


async def start(park: Park) -> tuple[float, float, float]:
    """Start a park; return the seconds to three things.

    The first image that is complete but for what slow lines and slow poll classes bring, an HMI that answers with live
    values, and the first image with those, too.
    """
    begun = time.monotonic()
    starting = asyncio.create_task(asyncio.to_thread(park.start))
    address = f"http://127.0.0.1:{park.http_port}"

    async def since_begun(there: Callable[[], Awaitable[bool]]) -> float:
        while True:
            if await there():
                return time.monotonic() - begun
            await asyncio.sleep(STATE_EVERY_S)

    every = [row for row, tag in enumerate(park.plant.tags.tags) if not tag.id.endswith(FORECASTS)]
    slow = set(park.slow_rows())
    quick = [row for row in every if row not in slow]

    async def complete(wanted: list[int]) -> bool:
        snapshot = park.snapshot()
        return snapshot is not None and bool(good_mask(snapshot.columns.tags.quality[wanted]).all())

    async with browser() as client, asyncio.timeout(120):
        image_s, hmi_s, every_s, _ = await asyncio.gather(
            since_begun(lambda: complete(quick)),
            since_begun(lambda: answers(client, address)),
            since_begun(lambda: complete(every)),
            starting,
        )
    return image_s, hmi_s, every_s


def stop(park: Park) -> tuple[float, list[str]]:
    """End a park as Ctrl-C does; return the seconds until its last process has gone, and what stayed behind."""
    assert park.process is not None
    members = tree(park.process.pid)
    begun = time.monotonic()
    code = park.stop(timeout_s=STOP_GIVE_UP_S)
    left = wait_gone(members, STOP_GIVE_UP_S - (time.monotonic() - begun))
    lasted_s = time.monotonic() - begun
    left += [f"{room} {pid}" for room, pid in park.pids().items()]
    return lasted_s, left if code == 0 else [*left, f"exit code {code}"]


@contextlib.contextmanager
def numba_cache(folder: Path | None) -> Iterator[None]:
    """Let parks started inside keep compiled kernels in a folder of their own, as on a machine that never ran one."""
    if folder is None:
        yield
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["NUMBA_CACHE_DIR"]


async def starts(folder: Path) -> list[Figure]:
    """Measure two starts that end again: the very first on a machine, and one of the same park thereafter."""
    park = Park(folder / "first")
    figures = []
    try:
        for name in ("very first start, kernels not compiled yet", "start on an existing data directory"):
            with numba_cache(folder / "kernels"):
                image_s, hmi_s, _ = await start(park)
            figures.append(Figure(f"{name}: image complete, HMI live", max(image_s, hmi_s), "s", START_S))
            lasted_s, left = await asyncio.to_thread(stop, park)
            figures.append(Figure(f"{name}: stop", lasted_s, "s", STOP_S))
            figures.append(Figure(f"{name}: processes left", len(left), "", 0))
    finally:
        park.destroy()
    return figures


class Steady:
    """What the scans and the processes of a running park show over a while."""

    def __init__(self, park: Park) -> None:
        self._park = park
        self._overruns = park.plant.row("X", "core", "Overruns")
        self._scan_ms = park.plant.row("X", "core", "ScanMs")
        self._jitter_ms = park.plant.row("X", "core", "JitterMs")

    async def measure(self, publications: Publications, scans: int) -> list[Figure]:
        """Follow so many scans; print the table of rooms, return the figures."""
        park, first = self._park, await publications.next()
        assert park.process is not None
        pid, rooms = park.process.pid, park.pids()
        before, everything, begun = costs(pid, rooms), all_cpu_s(), time.monotonic()
        seen: list[Snapshot] = []
        while len(seen) < scans:
            seen.append(await publications.next())
        elapsed_s = time.monotonic() - begun
        after = costs(pid, park.pids())
        busy = others_share(pid, everything, elapsed_s)
        _print_rooms(before, after, elapsed_s)
        print(f"other programs on the machine meanwhile: {busy:.2f} cores; this bench's browsers are not counted\n")
        total = sum(after.values(), Cost())
        cores = (total.cpu_s - sum(before.values(), Cost()).cpu_s) / elapsed_s
        scan_ms = [float(each.columns.tags.value[self._scan_ms]) for each in seen]
        jitter_ms = [abs(float(each.columns.tags.value[self._jitter_ms])) for each in seen]
        overruns = [float(each.columns.tags.value[self._overruns]) for each in (first, seen[-1])]
        return [
            Figure(f"scan work, p50 of {scans}", percentile(scan_ms, 0.5), "ms"),
            Figure(f"scan work, p99 of {scans}", percentile(scan_ms, 0.99), "ms", SCAN_MS),
            Figure("scan work, longest", max(scan_ms), "ms"),
            Figure("jitter, p99", percentile(jitter_ms, 0.99), "ms"),
            Figure("overruns", overruns[1] - overruns[0], "", 0),
            Figure("memory of all rooms, PSS", total.pss_bytes / MIB, "MiB", MEMORY_MB),
            Figure("memory of all rooms, RSS", total.rss_bytes / MIB, "MiB", MEMORY_MB),
            Figure("CPU of all rooms", cores, "cores", CORES),
        ]


def _print_rooms(before: dict[str, Cost], after: dict[str, Cost], elapsed_s: float) -> None:
    print(f"\n{'room':<10} {'processes':>9} {'PSS MiB':>9} {'RSS MiB':>9} {'CPU':>8}   over {elapsed_s:.0f} s")
    for room, cost in after.items():
        share = (cost.cpu_s - before[room].cpu_s) / elapsed_s
        print(f"{room:<10} {cost.processes:>9} {cost.pss_bytes / MIB:>9.0f} {cost.rss_bytes / MIB:>9.0f} {share:>8.1%}")


def switch_off(park: Park, breaker: str) -> float:
    """Select and operate a breaker; return the seconds from the selection to the verified position."""
    begun = time.monotonic()
    command = park.switch(breaker, "open")
    while (state := park.command_state(command)) != "verified":
        if state in ("failed", "undetermined") or time.monotonic() - begun > SWITCH_GIVE_UP_S:
            raise AssertionError(f"{breaker}: switch-off ended as {state!r}")
        time.sleep(STATE_EVERY_S)
    return time.monotonic() - begun


def tenants_switches(park: Park) -> list[str]:
    """Return the breakers of tenants that are closed and may be opened."""
    owned = {breaker for account in park.plant.accounts for breaker in account.breakers}
    return [
        each.id
        for each in park.plant.breakers
        if each.id in owned and not each.protected and park.tag("M", each.id, "Position") == (float(CLOSED), GOOD)
    ]


def shown_open(park: Park, breaker: str) -> None:
    """Wait for the scan that shows the position; verified is known before it."""
    wait_for(lambda: park.tag("M", breaker, "Position") == (float(OPEN), GOOD), 3, f"{breaker} to be shown open")


async def switchings(park: Park, asked: int, clicked: int) -> list[Figure]:
    """Switch off tenants one after the other, at moments that have nothing to do with the scan; then in a browser."""
    tenants = tenants_switches(park)
    asked_s = []
    for place, breaker in enumerate(tenants[:asked]):
        await asyncio.sleep(0.3 + 0.137 * place)
        asked_s.append(await asyncio.to_thread(switch_off, park, breaker))
        await asyncio.to_thread(shown_open, park, breaker)
    address, chosen = f"http://127.0.0.1:{park.http_port}", tenants[asked : asked + clicked]
    clicked_s = await asyncio.to_thread(clicks.clicked_s, address, FIRST_LOGIN, PASSWORD, chosen)
    return [
        Figure(f"switch-off selected to verified in the core, p50 of {asked}", percentile(asked_s, 0.5), "s"),
        Figure("switch-off selected to verified in the core, longest", max(asked_s), "s", SWITCH_S),
        Figure(f"switch-off clicked to verified on the page, p50 of {clicked}", percentile(clicked_s, 0.5), "s"),
        Figure("switch-off clicked to verified on the page, longest", max(clicked_s), "s", SWITCH_S),
    ]


@contextlib.asynccontextmanager
async def watched(park: Park) -> AsyncIterator[tuple[Publications, list[Screen]]]:
    """Log in and keep the pages open in as many browsers."""
    address = f"http://127.0.0.1:{park.http_port}"
    printed = re.search(r"一次性密码\s+(\S+)", park.log.read_text(encoding="utf-8"))
    assert printed, f"the first start printed no one-time password of {FIRST_LOGIN}"
    views = Views(Lookup(park.plant))
    publications = Publications(ImageReader(park.data.image, park.plant.layout))
    screens = [Screen(page, {page: views(page), FRAME: views(FRAME)}) for page in PAGES]
    async with browser() as client:
        await log_in_first(client, address, printed[1], PASSWORD)
        watching = [asyncio.create_task(publications.follow())]
        watching += [asyncio.create_task(screen.watch(client, address, publications)) for screen in screens]
        try:
            yield publications, screens
            for task in watching:
                assert not task.done(), task
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


def live_figures(screens: list[Screen]) -> list[Figure]:
    """Return how old frames were when they arrived, and whether all was right."""
    ages_ms = [age for screen in screens for age in screen.age_ms]
    wrong = [line for screen in screens for line in screen.wrong]
    print(*wrong[:10], sep="\n", end="\n" if wrong else "")
    return [
        Figure(f"image to browser, p50 of {len(ages_ms)} frames", percentile(ages_ms, 0.5), "ms"),
        Figure("image to browser, p95", percentile(ages_ms, 0.95), "ms", BROWSER_MS),
        Figure("image to browser, longest", max(ages_ms, default=float("nan")), "ms"),
        Figure("values on screens compared with the image", sum(screen.compared for screen in screens), "", None, 1),
        Figure("values that were wrong or missing", len(wrong), "", 0),
    ]


async def run(folder: Path, scans: int, switched: tuple[int, int]) -> list[Figure]:
    """Measure everything on one park."""
    park = Park(folder / "park", **{CHECKPOINT: "checkpoint_s = 10.0"})
    try:
        image_s, hmi_s, every_s = await start(park)
        figures = [
            Figure("fresh data directory: first image, but for slow lines", image_s, "s", START_S),
            Figure("fresh data directory: HMI live", hmi_s, "s", START_S),
            Figure("fresh data directory: slow lines once around", every_s, "s"),
        ]
        async with watched(park) as (publications, screens):
            await asyncio.sleep(SETTLE_S)
            figures += await Steady(park).measure(publications, scans)
            figures += await switchings(park, *switched)
        figures += live_figures(screens)
        lasted_s, left = await asyncio.to_thread(stop, park)
        print(*left, sep="\n", end="\n" if left else "")
        figures += [Figure("stop", lasted_s, "s", STOP_S), Figure("processes left behind", len(left), "", 0)]
        code, last = await asyncio.to_thread(park.audit)
        print(last)
        differences = re.search(r"(\d+) differences$", last)
        found = int(differences[1]) if differences and code == 0 else float("nan")
        return [*figures, Figure("differences found by the audit", found, "", 0)]
    finally:
        park.destroy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{SCANS_QUICK} scans instead of {SCANS}")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="wattkeeper-bench-") as name:
        folder = Path(name)
        figures = [] if quick else asyncio.run(starts(folder))
        figures += asyncio.run(run(folder, SCANS_QUICK if quick else SCANS, SWITCHINGS_QUICK if quick else SWITCHINGS))
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())

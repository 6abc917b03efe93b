"""Browsers that look at one page of 200 values changing at 1 Hz: our live websocket against stock NiceGUI labels (P12).

Run: python -m tests.bench.bench_livesocket [--quick]

Server and browsers are two processes, each on a core of its own; the two servers take turns. Our updates count from the
publication of the image (so the wait until the room looks at it is in the figure), the peer's from its page's timer (so
it waits for nothing). Each message is parsed once and every value in it compared; browsers
that are sent fewer updates than there are seconds are found.
"""

import argparse
import ast
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvloop

from tests.bench.figures import Figure, percentile, report
from tests.bench.live_servers import PAGE, VALUES, text, value
from tests.plant.park import ROOT, free_ports

LATENCY_MS = 250.0  # reference P12: a server that needs longer at p99 has broken under its browsers
DELIVERED = 0.9  # one update of a run of twenty may lie outside its window
OPEN_S = 60.0
WARM_S = 4.0
OPEN_AT_ONCE = 10
ACK_S = 3.0  # how often NiceGUI's browser side acknowledges
EIO_OPEN, EIO_PING, EIO_PONG, SIO_CONNECT, EVENT = "0", "2", "3", "40", "42"  # Engine.IO 4 and Socket.IO 5 packets
UPDATE = '42["update"'


@dataclass
class Load:
    """What all browsers of a run received."""

    measuring: bool = False
    age_ms: list[float] = field(default_factory=list)
    octets: int = 0
    checked: dict[bytes, int] = field(
        default_factory=dict
    )  # message -> instant in it, ms; None of them is parsed twice
    ready: int = 0
    dropped: int = 0

    def take(self, message: bytes, sent_ms: int) -> None:
        if self.measuring:
            self.age_ms.append(time.time_ns() / 1e6 - sent_ms)
            self.octets += len(message)


async def our_browser(client: aiohttp.ClientSession, address: str, load: Load) -> None:
    async with client.ws_connect(f"{address}/live/{PAGE}", headers={"Origin": address}) as socket:
        load.ready += 1
        async for received in socket:
            message = received.data
            if message not in load.checked:
                load.checked[message] = _check(json.loads(message))
            if sent_ms := load.checked[message]:
                load.take(message, sent_ms)
    raise AssertionError("the server closed a websocket")


def _check(message: dict[str, Any]) -> int:
    """Compare every value of a message; return its instant, ms; 0 for the frame around pages and for whole frames."""
    if message["p"] != PAGE:
        return 0
    expected = [[place, value(message["s"], place), 0] for place in range(VALUES)]
    if message["d"] != expected:
        raise AssertionError(f"scan {message['s']} arrived as {message['d'][:5]}...")
    return 0 if message.get("full") else int(message["t"])


async def their_browser(client: aiohttp.ClientSession, address: str, load: Load) -> None:
    """Load the page and speak Socket.IO as NiceGUI's own script does."""
    # as browsers do, the websocket gets a connection of its own: uvicorn's keep-alive timer ends one that served a page
    async with client.get(f"{address}/", headers={"Connection": "close"}) as page:
        found = re.search(r"query: (\{.*?\}),\n", await page.text())
    assert found, "NiceGUI's page looks different from what this client knows"
    query = ast.literal_eval(found[1]) | {"document_id": uuid.uuid4(), "tab_id": uuid.uuid4(), "old_tab_id": ""}
    parameters = {name: str(each).lower() if isinstance(each, bool) else str(each) for name, each in query.items()}
    url, transport = f"{address}/_nicegui_ws/socket.io/", {"EIO": "4", "transport": "websocket"}
    acked = time.monotonic()
    async with client.ws_connect(url, params=transport | parameters) as socket:
        async for received in socket:
            message = received.data
            if message.startswith(EIO_OPEN):
                await socket.send_str(SIO_CONNECT)
            elif message == EIO_PING:
                await socket.send_str(EIO_PONG)
            elif message.startswith(SIO_CONNECT):
                load.ready += 1
            elif message.startswith(UPDATE):
                next_id = _take_labels(message, load) + 1
                if time.monotonic() - acked > ACK_S:
                    acked = time.monotonic()
                    about = {"client_id": query["client_id"], "next_message_id": next_id}
                    await socket.send_str("42" + json.dumps(["ack", about]))
            else:
                raise AssertionError(f"NiceGUI says {message[:200]}")
    load.dropped += 1  # under load NiceGUI lets browsers go (its ping waits two seconds): a figure of its own


def _take_labels(message: str, load: Load) -> int:
    """Check an update and count it; return its number."""
    update = json.loads(message[len(EVENT) :])[1]
    number = int(update.pop("_id"))
    if sent_ms := _check_labels(update):
        load.take(message.encode(), sent_ms)
    return number


def _check_labels(update: dict[str, Any]) -> int:
    """Compare every label of an update; return the instant in its first one, ms, 0 for updates of other things."""
    texts = [element["text"] for _, element in sorted(update.items(), key=lambda item: int(item[0])) if element]
    if len(texts) != VALUES + 1:
        return 0
    scan, sent_ms = map(int, texts[0].split())
    if texts[1:] != [text(scan, place) for place in range(VALUES)]:
        raise AssertionError(f"labels of scan {scan} arrived as {texts[:5]}...")
    return sent_ms


BROWSERS = {"ours": our_browser, "nicegui": their_browser}


async def browse(kind: str, address: str, count: int, run_s: float, server: psutil.Process) -> dict[str, float]:
    """Open so many browsers and measure; return the figures."""
    load, tasks = Load(), []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client, asyncio.TaskGroup() as group:
        begun = time.monotonic()
        async with asyncio.timeout(OPEN_S):
            while load.ready < count:
                if len(tasks) < min(count, load.ready + OPEN_AT_ONCE):
                    tasks.append(group.create_task(BROWSERS[kind](client, address, load)))
                else:
                    await asyncio.sleep(0.005)
        opened_s = time.monotonic() - begun
        await asyncio.sleep(WARM_S)
        cpu, begun, load.measuring = server.cpu_times(), time.monotonic(), True
        await asyncio.sleep(run_s)
        load.measuring = False
        elapsed_s, after = time.monotonic() - begun, server.cpu_times()
        for task in tasks:
            task.cancel()
    updates = len(load.age_ms)
    return {
        "opened_s": opened_s,
        "p50_ms": percentile(load.age_ms, 0.5),
        "p99_ms": percentile(load.age_ms, 0.99),
        "delivered": updates / (count * elapsed_s),
        "octets": load.octets / max(updates, 1),
        "dropped": load.dropped,
        "cores": (after.user + after.system - cpu.user - cpu.system) / elapsed_s,
    }


@contextlib.contextmanager
def serving(kind: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run a server on the machine's last core; yields its address and process."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "tests.bench.live_servers", kind, str(port), folder]
        process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, env=_plain_environment(Path(folder)))
        server = psutil.Process(process.pid)
        server.cpu_affinity([max(os.sched_getaffinity(0))])
        try:
            yield f"http://127.0.0.1:{port}", server
        finally:
            process.kill()
            process.wait()


def _plain_environment(folder: Path) -> dict[str, str]:
    """Return the environment without what a test runner sets, with NiceGUI's files in a folder that goes."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST", "NICEGUI"))}
    return kept | {"NICEGUI_STORAGE_PATH": str(folder)}


async def listening(address: str) -> None:
    """Return when something listens there."""
    host, port = address.removeprefix("http://").split(":")
    async with asyncio.timeout(OPEN_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                return
            await asyncio.sleep(0.05)


def measure(kind: str, count: int, run_s: float) -> dict[str, float]:
    async def run() -> dict[str, float]:
        await listening(address)
        return await browse(kind, address, count, run_s, server)

    with serving(kind) as (address, server):
        found = uvloop.run(run())
    print(
        f"{kind:<8} {count:>4} browsers: p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms, "
        f"{found['delivered']:.2f} updates/s each, {found['octets']:.0f} bytes each, "
        f"{found['cores']:.1%} of a core, {found['dropped']:.0f} dropped, opened in {found['opened_s']:.1f} s",
        flush=True,
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 and 100 browsers, five seconds each")
    quick = parser.parse_args().quick
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    few, many, run_s = (20, 100, 5.0) if quick else (100, 500, 20.0)
    runs = [(kind, measure(kind, few, run_s)) for kind in ("ours", "nicegui", "nicegui", "ours")]
    means = {
        kind: {key: sum(found[key] for name, found in runs if name == kind) / 2 for key in runs[0][1]}
        for kind in BROWSERS
    }
    most = measure("ours", many, run_s)
    mine, theirs = means["ours"], means["nicegui"]
    return report(
        [
            Figure(f"{many} browsers: image to browser p99", most["p99_ms"], "ms", LATENCY_MS),
            Figure(f"{many} browsers: updates a second and browser", most["delivered"], "", None, DELIVERED),
            Figure(f"{many} browsers: CPU of the server", most["cores"], "cores"),
            Figure(f"{few} browsers: p99, NiceGUI / ours", theirs["p99_ms"] / mine["p99_ms"], "x"),
            Figure(f"{few} browsers: CPU, NiceGUI / ours", theirs["cores"] / mine["cores"], "x"),
            Figure(f"{few} browsers: bytes an update, NiceGUI / ours", theirs["octets"] / mine["octets"], "x"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

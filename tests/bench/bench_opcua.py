"""What the OPC UA room costs: 1,500 tags, all changing once a second, all monitored by one client.

Run: python tests/bench/bench_opcua.py [tags] [seconds]. Prints one line for each figure.
The client runs in a process of its own, so that the CPU time is the room's alone.
"""

import asyncio
import datetime
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from asyncua import Client, ua

from opcua_server import certificate
from scada.tags import Tag
from tests.unit.opcua_server.harness import Site, make_plant, serve

TAGS_PER_DEVICE = 15


def tags(count: int) -> tuple[Tag, ...]:
    made = []
    for number in range(count):
        device, measure = f"d{number // TAGS_PER_DEVICE}", f"M{number % TAGS_PER_DEVICE}"
        made.append(Tag(f"park/M/{device}/{measure}", measure, ("Meters", device), "kW", "double", "有功", "Power"))
    return tuple(made)


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def datachange_notification(self, node: object, value: object, data: object) -> None:
        self.count += 1


async def listen(url: str, ids: list[str], seconds: float) -> None:
    """Monitor every tag; print what came and how fast reads are."""
    async with Client(url, timeout=30) as client:
        nodes = [client.get_node(ua.NodeId(identifier, 3)) for identifier in ids]
        start = time.perf_counter()
        await client.read_values(nodes)
        print(f"read of {len(nodes)} values: {(time.perf_counter() - start) * 1e3:.0f} ms (asyncua client included)")
        counter = Counter()
        subscription = await client.create_subscription(500, counter, queue_maxsize=len(ids) * 4)
        await subscription.subscribe_data_change(nodes)
        await asyncio.sleep(2)
        counter.count = 0
        await asyncio.sleep(seconds)
        print(f"notifications: {counter.count / seconds:.0f} /s of {len(ids)} expected")


def listener(url: str, ids: list[str], seconds: float) -> None:
    asyncio.run(listen(url, ids, seconds))


async def main(count: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pki = Path(folder) / "pki"
        pki.mkdir()
        now = datetime.datetime.now(datetime.UTC)
        certificate.load_or_make(pki, "urn:wattkeeper:park", ["localhost"], now, 2048)
        start = time.perf_counter()
        async with serve(Path(folder) / "data", pki, make_plant(tags(count))) as site:
            print(f"ready with {count} tags: {time.perf_counter() - start:.2f} s")
            changing = asyncio.create_task(change(site))
            await measure("nobody connected", seconds)
            ids = [tag.id for tag in site.plant.tags.tags]
            process = multiprocessing.get_context("spawn").Process(target=listener, args=(site.url, ids, seconds + 4))
            process.start()
            await asyncio.sleep(4)
            await measure("every tag changing at 1 Hz, monitored by one client", seconds)
            await asyncio.to_thread(process.join)
            changing.cancel()


async def change(site: Site) -> None:
    """Change every value once a second."""
    work = site.core.work.tags
    while True:
        work.value[:] += 1.0
        work.quality[:] = 0
        work.source_time[:] = time.time_ns()
        await asyncio.sleep(1)


async def measure(what: str, seconds: float) -> None:
    """Print the share of a core that this process uses: the room, and the test's core, which is next to nothing."""
    cpu, start = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    share = (time.process_time() - cpu) / (time.perf_counter() - start)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    print(f"{what}: {share:.1%} of a core, {pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.0f} MiB resident")


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]]
    asyncio.run(main(arguments[0] if arguments else 1500, arguments[1] if len(arguments) > 1 else 10))

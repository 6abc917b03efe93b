"""The hmi room in a process of its own, beside an image that a test can stop. Arguments: data directory, DSN, port."""

import asyncio
import os
import sys
from pathlib import Path

from config.plant import Plant, load
from hmi.room import run_hmi
from scada.clock import SystemClock
from scada.image import Columns, ImageWriter
from scada.paths import DataDirectory
from scada.room import Room, run_room

DEMO = Path(__file__).parents[2] / "config" / "demo"
FREEZE = "freeze"  # while a file of this name lies in the data directory, no scan is published


async def publish(room: Room, plant: Plant) -> None:
    """Publish a scan a second: every tag good, power equal to the number of the scan."""
    work = Columns.private(plant.layout)
    work.tags.quality[:] = 0
    powers = [row for row, tag in enumerate(plant.tags.tags) if tag.name == "ActivePowerTotal"]
    writer = ImageWriter(room.data.image, plant.layout)
    scan = 0
    while True:
        scan += 1
        work.tags.value[powers] = scan
        if not (room.data.root / FREEZE).exists():
            writer.publish(work, scan, room.clock.utc_ns(), room.clock.mono_ns())
        await asyncio.sleep(1)


async def main(room: Room) -> None:
    plant = load(DEMO)
    publishing = asyncio.ensure_future(publish(room, plant))
    try:
        await run_hmi(room, plant, int(sys.argv[3]))
    finally:
        publishing.cancel()


if __name__ == "__main__":
    sys.exit(run_room("hmi", DataDirectory(Path(sys.argv[1])), SystemClock(), sys.argv[2], main, os.getppid()))

"""Two servers that show 200 values changing once a second: our live websocket, and a stock NiceGUI page of labels.

Run as a process by bench_livesocket: python -m tests.bench.live_servers ours|nicegui PORT FOLDER
"""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

VALUES = 200
PERIOD_S = 1.0
PAGE = "bench"
STAMPS = 1_000_000  # values of a scan depend on its number; larger than any run has scans


def value(scan: int, place: int) -> float:
    """Return what a place shows at a scan; every value differs from the one before."""
    return ((scan * 7 + place * 13) % STAMPS) / 10


def text(scan: int, place: int) -> str:
    return f"{value(scan, place):.1f}"


async def ours(port: int, folder: Path) -> None:
    """Serve the image of a scan a second through hub, websocket and gate, as the room does."""
    import uvicorn
    from fastapi import FastAPI

    from hmi.gate import Gate
    from hmi.live import Hub, View
    from hmi.livesocket import serve_live
    from hmi.sessions import Session
    from scada.image import Columns, ImageReader, ImageWriter, Layout

    now = datetime.now(UTC)
    visitor = Session(bytes(32), "bench", "viewer", False, now, now, now + timedelta(days=1), "127.0.0.1")

    class OpenHouse:
        """Sessions in which everybody is the same visitor: logging in 500 people is not what is measured."""

        def by_token(self, _: str | None) -> Session:
            return visitor

        def alive(self, _: bytes) -> Session:
            return visitor

    layout = Layout({"tags": VALUES, "points": 0, "accounts": 0, "alarms": 0}, bytes(32))
    rows = np.arange(VALUES)
    views = {PAGE: View(rows, np.ones(VALUES, dtype=np.int64)), "frame": View(rows[:0], rows[:0])}
    writer, work = ImageWriter(folder / "image", layout), Columns.private(layout)
    work.tags.quality[:] = 0
    hub = Hub(ImageReader(folder / "image", layout), views.__getitem__, PERIOD_S)
    app = FastAPI()
    serve_live(app, hub)
    app.add_middleware(Gate, sessions=OpenHouse())

    async def publish() -> None:
        scan = 0
        while True:
            scan += 1
            work.tags.value[:] = [value(scan, place) for place in range(VALUES)]
            writer.publish(work, scan, time.time_ns(), time.monotonic_ns())
            await asyncio.sleep(PERIOD_S)

    config = uvicorn.Config(app, port=port, log_level="warning", access_log=False, ws_per_message_deflate=False)
    await asyncio.gather(publish(), hub.run(), uvicorn.Server(config).serve())


def nicegui(port: int) -> None:
    """Serve labels that a timer of each page sets once a second. The first label tells scan and instant, ms."""
    from nicegui import ui

    @ui.page("/")
    def page() -> None:
        labels = [ui.label() for _ in range(VALUES + 1)]
        scan = 0

        def tick() -> None:
            nonlocal scan
            scan += 1
            labels[0].text = f"{scan} {time.time_ns() // 1_000_000}"
            for place, label in enumerate(labels[1:]):
                label.text = text(scan, place)

        ui.timer(PERIOD_S, tick)

    ui.run(host="127.0.0.1", port=port, show=False, reload=False, show_welcome_message=False, access_log=False)


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        import uvloop

        uvloop.run(ours(int(sys.argv[2]), Path(sys.argv[3])))
    else:
        nicegui(int(sys.argv[2]))

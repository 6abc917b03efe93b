"""Browsers for a bench: they log in as people do, keep a page's websocket open, and check every value that arrives.

`Publications` follows the image beside them. A frame is as old as the time between the scan's publication and its
arrival, both on CLOCK_MONOTONIC; what a browser's screen shows after a frame must be that very scan, row by row.
"""

import asyncio
import json
import time
from typing import Any

import aiohttp
import numpy as np

from hmi.live import View
from scada.image import HEADER, ImageGone, ImageReader, Snapshot

LOOK_S = 0.02
KEPT = 30  # scans that a late frame may still belong to


class Publications:
    """Every scan that the core publishes, as a reader of the image sees it."""

    def __init__(self, reader: ImageReader) -> None:
        self._reader = reader
        self._seen: dict[int, tuple[int, Snapshot]] = {}
        self._news = asyncio.Condition()
        self.last = 0

    async def follow(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                snapshot = self._reader.snapshot()
            except ImageGone:
                snapshot = None
            if snapshot is not None and snapshot.scan != self.last:
                head = np.frombuffer(snapshot.columns.bytes, dtype=HEADER, count=1)[0]
                self._seen[snapshot.scan] = (int(head["heartbeat_mono_ns"]), snapshot)
                self._seen.pop(snapshot.scan - KEPT, None)
                self.last = snapshot.scan
                async with self._news:
                    self._news.notify_all()
            await asyncio.sleep(LOOK_S)

    async def next(self) -> Snapshot:
        """Return the next scan that is published."""
        after = self.last
        async with self._news:
            await self._news.wait_for(lambda: self.last != after)
        return self._seen[self.last][1]

    async def of(self, scan: int) -> tuple[int, Snapshot]:
        """Return (publication, monotonic ns; snapshot) of a scan; KeyError when it was never seen."""
        if scan > self.last:
            async with self._news:
                await asyncio.wait_for(self._news.wait_for(lambda: self.last >= scan), 1.0)
        return self._seen[scan]


class Screen:
    """What one page shows in one browser, and what was measured on the way."""

    def __init__(self, page: str, views: dict[str, View]) -> None:
        """views: the page's own and that of the frame around it, by their keys in messages."""
        self.page = page
        self._views = views
        self._shown: dict[str, dict[Any, tuple[float | None, int]]] = {key: {} for key in views}
        self._alarms: dict[str, list[Any]] = {}
        self.age_ms: list[float] = []  # of every delta
        self.octets = 0
        self.compared = 0
        self.wrong: list[str] = []

    async def watch(self, browser: aiohttp.ClientSession, address: str, publications: Publications) -> None:
        """Show the page until cancelled."""
        async with browser.ws_connect(f"{address}/live/{self.page}", headers={"Origin": address}) as socket:
            async for message in socket:
                arrived_ns = time.monotonic_ns()
                self.octets += len(message.data)
                await self._take(arrived_ns, json.loads(message.data), publications)
        self.wrong.append(f"{self.page}: the server closed the websocket")

    async def _take(self, arrived_ns: int, message: dict[str, Any], publications: Publications) -> None:
        if message.get("gone"):
            self.wrong.append(f"{self.page}: told that the image is gone")
            return
        key = message["p"]
        if message.get("full"):
            self._shown[key] = {}
        self._shown[key].update({cell: (value, quality) for cell, value, quality in message["d"]})
        if "a" in message:
            self._alarms[key] = message["a"]
        try:
            published_ns, snapshot = await publications.of(message["s"])
        except (KeyError, TimeoutError):
            self.wrong.append(f"{self.page}: a frame of scan {message['s']}, which was not published")
            return
        if not message.get("full"):
            self.age_ms.append((arrived_ns - published_ns) / 1e6)
        self._compare(key, snapshot)

    def _compare(self, key: str, snapshot: Snapshot) -> None:
        """Compare the whole screen with the scan, so that a value that was left out is found too."""
        view, shown, tags = self._views[key], self._shown[key], snapshot.columns.tags
        for row, decimals in zip(view.rows.tolist(), view.decimals.tolist(), strict=True):
            value, severity = float(tags.value[row]), int(tags.quality[row]) >> 30
            there, quality = shown.get(row, (None, -1))
            near = there is not None and abs(there - value) <= 0.5000001 * 10.0**-decimals
            if not (near or (there is None and not np.isfinite(value))) or quality != min(severity, 2):
                self.wrong.append(f"{self.page} scan {snapshot.scan} row {row}: {there}/{quality}, not {value}")
        figures = view.figures(snapshot) if view.figures else {}
        for name, pair in figures.items():
            if shown.get(name) != tuple(pair):
                self.wrong.append(f"{self.page} scan {snapshot.scan} {name}: {shown.get(name)}, not {pair}")
        if view.alarms:
            self._compare_alarms(key, snapshot)
        self.compared += len(view.rows) + len(figures)

    def _compare_alarms(self, key: str, snapshot: Snapshot) -> None:
        view = self._views[key]
        assert view.alarms is not None
        if self._alarms.get(key) != view.alarms(snapshot):
            self.wrong.append(f"{self.page} scan {snapshot.scan}: the list of alarms is another")


def browser() -> aiohttp.ClientSession:
    """Return a browser without a login; its cookies are kept for an address without a name, too."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def answers(client: aiohttp.ClientSession, address: str) -> bool:
    """Tell whether the HMI answers and has live values."""
    try:
        async with client.get(f"{address}/health") as answer:
            return answer.status == 200 and bool((await answer.json())["live"])
    except aiohttp.ClientConnectionError:
        return False


async def log_in_first(client: aiohttp.ClientSession, address: str, one_time: str, password: str) -> None:
    """Log in with the one-time password of the first start and replace it, as the page asks."""
    forms = (
        ("/login", {"login": "admin", "password": one_time}, "/password"),
        ("/password", {"password": password, "again": password}, "/"),
    )
    for path, form, then in forms:
        async with client.post(address + path, data=form, headers={"Origin": address}, allow_redirects=False) as answer:
            if answer.status != 303 or answer.headers["Location"] != then:
                raise AssertionError(f"{path} answered {answer.status}: {await answer.text()}")

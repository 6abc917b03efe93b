"""Live values: one delta per scan and page, encoded once, and the same bytes sent to every browser of that page.

A view says what a page shows: rows of the image's tags, and figures computed from a snapshot. An encoder remembers
what it sent last. A mailbox is one browser's queue; a reader that falls behind loses its queue and is sent a whole
frame. Rule: nothing in this file knows a language, a page's layout or a session; texts travel in both languages.

Message, JSON: {"p": page, "s": scan, "t": plant time ms, "full": true?, "d": [[key, value, quality], ...],
"a": [alarm, ...]?}
key: tag row, or the name of a figure. value: number, or null when there is none. quality: 0 good, 1 uncertain, 2 bad.
{"gone": true} when the image cannot be trusted: the browser then marks the whole screen.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from loguru import logger

from scada.image import ImageGone, ImageReader, Snapshot
from scada.quality import SEVERITY_SHIFT

GOOD: Final = 0
UNCERTAIN: Final = 1
BAD: Final = 2
MAILBOX_MAX: Final = 4  # deltas a browser may be behind before it is sent a whole frame instead
POLL_PART: Final = 0.2  # the image is looked at this often within a scan period
POLL_S_MAX: Final = 0.25
GONE_EVERY_S: Final = 1.0  # how often browsers are told that the image is gone
GONE: Final = b'{"gone":true}'
MS_NS: Final = 1_000_000

Figures = Mapping[str, tuple[float | None, int]]  # name -> (value, quality)


@dataclass(frozen=True)
class View:
    """What one page shows."""

    rows: npt.NDArray[np.int64]  # (n,) tag rows, ascending
    decimals: npt.NDArray[np.int64]  # (n,) decimals worth sending
    figures: Callable[[Snapshot], Figures] | None = None
    alarms: Callable[[Snapshot], list[list[Any]]] | None = None


class Encoder:
    """Turns snapshots into messages; knows what the browsers of its page have been sent."""

    def __init__(self, page: str, view: View) -> None:
        self._page = page
        self._view = view
        self._scale = np.power(10.0, view.decimals)
        self._values: npt.NDArray[np.float64] = np.full(len(view.rows), np.nan)
        self._quality: npt.NDArray[np.uint32] = np.full(len(view.rows), BAD, dtype=np.uint32)
        self._figures: dict[str, tuple[float | None, int]] = {}
        self._alarms: list[list[Any]] = []
        self._head: dict[str, Any] = {}
        self.encoded = 0  # messages made; tests compare it with the number of browsers

    def delta(self, snapshot: Snapshot) -> bytes:
        """Return what changed since the last snapshot and remember this one."""
        values, quality = self._read(snapshot)
        same = (values == self._values) | (np.isnan(values) & np.isnan(self._values))
        changed = np.flatnonzero(~same | (quality != self._quality))
        self._values, self._quality = values, quality
        figures = dict(self._view.figures(snapshot)) if self._view.figures else {}
        changed_figures = {name: pair for name, pair in figures.items() if self._figures.get(name) != pair}
        self._figures = figures
        alarms = self._view.alarms(snapshot) if self._view.alarms else []
        alarms_changed = alarms != self._alarms
        self._alarms = alarms
        self._head = {"p": self._page, "s": snapshot.scan, "t": snapshot.scan_utc_ns // MS_NS, "x": snapshot.speed}
        return self._encode(changed, changed_figures, alarms_changed, full=False)

    def full(self) -> bytes:
        """Return everything as it was sent last, for a browser that has nothing yet."""
        if not self._head:
            return GONE
        return self._encode(np.arange(len(self._view.rows)), self._figures, True, full=True)

    def _read(self, snapshot: Snapshot) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint32]]:
        tags = snapshot.columns.tags
        values = np.rint(tags.value[self._view.rows] * self._scale) / self._scale
        return values, np.minimum(tags.quality[self._view.rows] >> SEVERITY_SHIFT, BAD)

    def _encode(self, places: npt.NDArray[np.intp], figures: Figures, with_alarms: bool, full: bool) -> bytes:
        cells: list[list[Any]] = [
            [row, _short(value), quality]
            for row, value, quality in zip(
                self._view.rows[places].tolist(),
                self._values[places].tolist(),
                self._quality[places].tolist(),
                strict=True,
            )
        ]
        cells += [
            [name, None if value is None else _short(value), quality] for name, (value, quality) in figures.items()
        ]
        message: dict[str, Any] = {**self._head, "d": cells}
        if full:
            message["full"] = True
        if with_alarms and self._view.alarms:
            message["a"] = self._alarms
        self.encoded += 1
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _short(value: float) -> float | int | None:
    """Return a number in its shortest JSON form; None for what JSON cannot say."""
    if not np.isfinite(value):
        return None
    return int(value) if value == int(value) else value


@dataclass(eq=False)
class Mailbox:
    """What waits to be sent to one browser."""

    waiting: deque[tuple[str, bytes]] = field(default_factory=deque)
    resync: set[str] = field(default_factory=set)  # pages whose next message must be a whole frame
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, page: str, message: bytes) -> None:
        """Queue one message; a full queue is emptied and the pages are marked for a whole frame."""
        if len(self.waiting) >= MAILBOX_MAX:
            self.resync.update(name for name, _ in self.waiting)
            self.waiting.clear()
        if page in self.resync:
            message = b""
        if not any(name == page and not body for name, body in self.waiting):
            self.waiting.append((page, message))
        self.ready.set()


class Hub:
    """Every page that somebody looks at, its encoder and its browsers. One task reads the image for all of them."""

    def __init__(self, reader: ImageReader, view_of: Callable[[str], View], scan_period_s: float) -> None:
        self._reader = reader
        self._view_of = view_of
        self._pause_s = min(scan_period_s * POLL_PART, POLL_S_MAX)
        self._encoders: dict[str, Encoder] = {}
        self._browsers: dict[str, set[Mailbox]] = {}
        self._snapshot: Snapshot | None = None
        self._gone_told = False

    @property
    def snapshot(self) -> Snapshot | None:
        """The last snapshot, None while the image cannot be trusted."""
        return self._snapshot

    @property
    def browsers(self) -> int:
        return sum(map(len, self._browsers.values()))

    def join(self, mailbox: Mailbox, pages: Sequence[str]) -> None:
        """Let a browser have these pages; its first message of each is a whole frame. KeyError: no such page."""
        for page in pages:
            if page not in self._encoders:
                encoder = Encoder(page, self._view_of(page))
                if self._snapshot is not None:
                    encoder.delta(self._snapshot)
                self._encoders[page] = encoder
            self._browsers.setdefault(page, set()).add(mailbox)
            mailbox.resync.add(page)
            mailbox.put(page, b"")

    def leave(self, mailbox: Mailbox) -> None:
        """Forget a browser, and the encoder of a page that nobody looks at any more."""
        for page in [name for name, boxes in self._browsers.items() if mailbox in boxes]:
            self._browsers[page].discard(mailbox)
            if not self._browsers[page]:
                del self._browsers[page], self._encoders[page]

    def take(self, mailbox: Mailbox) -> list[bytes]:
        """Return what a browser is to be sent now."""
        messages = []
        while mailbox.waiting:
            page, message = mailbox.waiting.popleft()
            if page in mailbox.resync:
                mailbox.resync.discard(page)
                message = GONE if self._snapshot is None else self._encoders[page].full()
            if message:
                messages.append(message)
        mailbox.ready.clear()
        return messages

    def publish(self, snapshot: Snapshot) -> None:
        """Encode one scan once for each page and queue it to all of the page's browsers."""
        self._snapshot = snapshot
        self._gone_told = False
        for page, encoder in self._encoders.items():
            self._send(page, encoder.delta(snapshot))

    def lose(self) -> None:
        """Tell every browser that the values they show must not be trusted."""
        self._snapshot = None
        for page in self._encoders:
            for mailbox in self._browsers[page]:
                mailbox.resync.add(page)
                mailbox.put(page, b"")

    def _send(self, page: str, message: bytes) -> None:
        for mailbox in self._browsers[page]:
            mailbox.put(page, message)

    async def run(self) -> None:
        """Follow the image until cancelled."""
        scan = -1
        while True:
            try:
                snapshot = self._reader.snapshot()
            except ImageGone as error:
                if self._snapshot is not None or not self._gone_told:
                    logger.warning("live values are gone: {}", error)
                    self._gone_told = True
                self.lose()
                scan = -1
                await asyncio.sleep(GONE_EVERY_S)
                continue
            if snapshot.scan != scan:
                if scan == -1:
                    logger.info("live values at scan {}", snapshot.scan)
                scan = snapshot.scan
                self.publish(snapshot)
            await asyncio.sleep(self._pause_s)

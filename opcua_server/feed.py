"""The process image as OPC UA values: reads are answered from the last whole scan, subscriptions get what changed.

No value is stored in a node: a read builds its DataValue from the columns, and a scan costs only the rows that both
changed and are monitored. Rule: a value leaves this file with its status and times, and a bad one without a value.
"""

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.server.address_space import AttributeValue
from loguru import logger

from scada.clock import NS_PER_S, Clock
from scada.errors import WattkeeperError
from scada.image import ImageGone, ImageReader, LayoutChanged
from scada.quality import BAD, BAD_NO_COMMUNICATION, is_bad
from scada.tags import Kind, TagTable

POLL_S: Final = 0.1  # how often the image is looked at; adds at most this much to a client's delay
LAYOUT_GRACE_NS: Final = 3 * NS_PER_S  # core and rooms are restarted together; longer means that we were forgotten
EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

VARIANT_TYPE: Final[dict[Kind, ua.VariantType]] = {
    "double": ua.VariantType.Double,
    "int64": ua.VariantType.Int64,
    "boolean": ua.VariantType.Boolean,
    "enum": ua.VariantType.Int32,
}
CONVERT: Final[dict[Kind, Callable[[float], Any]]] = {"double": float, "int64": int, "boolean": bool, "enum": int}
NULL: Final = ua.Variant(None, ua.VariantType.Null)


@dataclass(frozen=True, slots=True)
class Frame:
    """What the server shows now: the columns of one scan, each (n_tags,)."""

    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint32]
    source_time: npt.NDArray[np.int64]
    server_utc_ns: int  # plant time at which these values were published or lost

    def differs(self, other: "Frame", with_times: bool) -> npt.NDArray[np.int64]:
        """Return the rows whose value or quality differ (bit by bit, so NaN equals itself), or whose time does."""
        moved = (self.value.view(np.int64) != other.value.view(np.int64)) | (self.quality != other.quality)
        if with_times:
            moved |= self.source_time != other.source_time
        return np.flatnonzero(moved)


class ConfigurationOutdated(WattkeeperError):
    """The core has been running on another configuration for longer than a restart takes."""


class Feed:
    """Follows the image. `attributes[row]` is the Value attribute of a tag's node, set by space.build."""

    def __init__(self, reader: ImageReader, tags: TagTable, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._kinds: list[Kind] = [tag.kind for tag in tags.tags]
        self.attributes: Sequence[AttributeValue] = ()
        size = len(tags)
        lost = np.full(size, BAD_NO_COMMUNICATION, dtype=np.uint32)
        self._frame = Frame(np.zeros(size), lost, np.zeros(size, dtype=np.int64), clock.utc_ns())
        self._scan = -1
        self._foreign_since_ns: int | None = None
        self.alive = False

    def data_value(self, row: int) -> ua.DataValue:
        """Return what a read of one tag is answered with."""
        return self._encode(self._frame, row)

    def look(self) -> bool:
        """Take the newest frame; tell whether it is another one. Raises ConfigurationOutdated."""
        try:
            snapshot = self._reader.snapshot()
        except LayoutChanged as changed:
            self._foreign(changed)
            return self._lose(changed)
        except ImageGone as gone:
            self._foreign_since_ns = None
            return self._lose(gone)
        self._foreign_since_ns = None
        if self.alive and snapshot.scan == self._scan:
            return False
        if not self.alive:
            logger.info("opcua: the core is there, values are live")
        self.alive, self._scan = True, snapshot.scan
        tags = snapshot.columns.tags
        self._frame = Frame(tags.value, tags.quality, tags.source_time, snapshot.scan_utc_ns)
        return True

    async def step(self, with_times: bool) -> None:
        """Look at the image once and report what changed.

        with_times  also report rows of which only the source time moved
        Raises ConfigurationOutdated when this room must be started again.
        """
        before = self._frame
        if self.look():
            await self._report(before, self._frame, with_times)

    def _lose(self, reason: ImageGone) -> bool:
        if not self.alive:
            return False
        logger.warning("opcua: every value is bad now: {}", reason)
        self.alive = False
        lost = np.full(len(self._frame.quality), BAD_NO_COMMUNICATION, dtype=np.uint32)
        self._frame = replace(self._frame, quality=lost, server_utc_ns=self._clock.utc_ns())
        return True

    def _foreign(self, reason: LayoutChanged) -> None:
        now = self._clock.mono_ns()
        self._foreign_since_ns = self._foreign_since_ns or now
        if now - self._foreign_since_ns > LAYOUT_GRACE_NS:
            raise ConfigurationOutdated(str(reason))

    async def _report(self, before: Frame, frame: Frame, with_times: bool) -> None:
        for row in frame.differs(before, with_times).tolist():
            listeners = self.attributes[row].datachange_callbacks
            if listeners:
                value = self._encode(frame, row)
                for handle, callback in tuple(listeners.items()):
                    await callback(handle, value)

    def _encode(self, frame: Frame, row: int) -> ua.DataValue:
        quality = int(frame.quality[row])
        value = float(frame.value[row])
        kind = self._kinds[row]
        if kind != "double" and not math.isfinite(value) and not is_bad(quality):
            quality = BAD  # no whole number to show
        source_ns = int(frame.source_time[row])
        return ua.DataValue(
            Value=NULL if is_bad(quality) else ua.Variant(CONVERT[kind](value), VARIANT_TYPE[kind]),
            StatusCode=ua.StatusCode(quality),
            SourceTimestamp=_datetime(source_ns) if source_ns else None,
            ServerTimestamp=_datetime(frame.server_utc_ns),
        )


def _datetime(utc_ns: int) -> datetime.datetime:
    return EPOCH + datetime.timedelta(microseconds=utc_ns // 1000)

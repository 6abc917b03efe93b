"""Setting the clocks of meters: one broadcast on a line of DL/T 645, one write to a CJ/T 188 meter, well guarded.

    run.py meter sync-clock --scada.console.perform("field.sync_clock")--> SyncDesk --> the record on disk --> the line

A clock that is set wrongly charges a month at the wrong rate, so: only what is less than five minutes wrong, not near
the end of a rate period or a day, once a day for each line, and written down with who did it before it is sent.
Rule: nobody answers a broadcast; what it did is known when the meters' clocks are read again.

Source: DL/T 645-2007 7.5 (a meter takes one broadcast a day, of at most five minutes, and not within five of midnight);
CJ/T 188-2018 A015.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from loguru import logger

from drivers import cjt188, dlt645, dlt645_1997
from drivers.asking import outcome_to_json
from drivers.bus import FieldBus
from drivers.device import Device, Gateway
from drivers.dialects import Question
from scada.clock import NS_PER_S, Clock
from scada.errors import Refused
from scada.operations import Operation, Who
from scada.quality import is_good

MOST_S: Final = 300.0
MARGIN_MINUTES: Final = 5  # around every full hour, where rate periods, freezes and days end
MINUTES: Final = 60
KEPT: Final = 10_000  # records on disk; the oldest go
BROADCASTS: Final = {"dlt645-2007": dlt645.broadcast_time, "dlt645-1997": dlt645_1997.broadcast_time}


@dataclass(frozen=True, slots=True)
class SyncArguments:
    """Set the clocks of all meters on a line, or of one meter; a DL/T 645 meter means its line."""

    target: str


@dataclass(frozen=True, slots=True)
class Record:
    """One setting of clocks, as it stands on disk, one JSON object a line."""

    utc_ns: int
    scope: str  # the line, or the one meter
    user: str
    station: str
    deviations_s: Mapping[str, float]  # of the meters before


class SyncRecords:
    """What was set when, over restarts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._records = [_record(line) for line in lines[-KEPT:] if line.endswith("}")]  # a torn last line is dropped
        if len(self._records) != len(lines):
            self._rewrite()

    def last_ns(self, scope: str) -> int:
        """Return when the clocks of a scope were last set, 0 for never."""
        return max((record.utc_ns for record in self._records if record.scope == scope), default=0)

    def keep(self, record: Record) -> None:
        """Write a record to the disk, for good, before anything is sent. OSError when it cannot be written."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._records.append(record)

    def _rewrite(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text("".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in self._records), "utf-8")
        new.replace(self._path)


def _record(line: str) -> Record:
    return Record(**json.loads(line))


class SyncDesk:
    """Carries out the operation. One thread, the core's."""

    def __init__(
        self, bus: FieldBus, gateways: Sequence[Gateway], devices: Sequence[Device], clock: Clock, zone: str, path: Path
    ) -> None:
        """zone: IANA name of the time that meters show. path: where the records are kept."""
        self._bus = bus
        self._gateways = {gateway.id for gateway in gateways}
        self._devices = {device.id: device for device in devices}
        self._clock = clock
        self._zone = ZoneInfo(zone)
        self._records = SyncRecords(path)

    async def sync(self, who: Who, arguments: SyncArguments) -> dict[str, Any]:
        """Set the clocks; answer which meters were wrong by how much, and which stay wrong. Refused "clock.*"."""
        scope, line, meters = self._whom(arguments.target)
        utc_ns = self._clock.utc_ns()
        deviations = {device.id: self._deviation_s(device) for device in meters}
        known = {name: shown for name, shown in deviations.items() if shown is not None}
        if self._bus.state_of(line) != "up":
            raise Refused("clock.line", f"{line} is not connected")
        near = judge(known, utc_ns, self._records.last_ns(scope), self._zone)
        record = Record(utc_ns, scope, who.user, who.station, {name: round(known[name], 1) for name in sorted(known)})
        try:
            self._records.keep(record)
        except OSError as error:
            raise Refused("clock.record", f"who set the clocks cannot be written down: {error}") from error
        logger.warning("{} at {} sets the clocks of {} ({} meters)", who.user, who.station, scope, len(meters))
        outcomes = [
            outcome_to_json((await self._bus.ask(line, question))[0]) for question in self._questions(meters, utc_ns)
        ]
        for device in meters:
            self._bus.pollers[line].read_clock(device.id)
        left = sorted(set(deviations) - near)
        return {"scope": scope, "deviations_s": deviations, "left": left, "outcomes": outcomes}

    def _whom(self, target: str) -> tuple[str, str, list[Device]]:
        """Return (scope, line, meters). Refused when no meter of it can be set from here."""
        device = self._devices.get(target)
        if device is not None and device.profile.protocol == "cjt188":
            found = [device]
            scope, line = target, device.gateway
        elif device is not None or target in self._gateways:
            line = device.gateway if device is not None else target
            scope = line
            found = [d for d in self._devices.values() if d.gateway == line and d.profile.protocol in BROADCASTS]
        else:
            raise Refused("clock.target", f"there is no line and no meter {target!r}")
        found = [device for device in found if device.profile.clock]
        if not found:
            raise Refused("clock.none", f"no meter of {target} shows a clock that can be set from here")
        return scope, line, found

    def _deviation_s(self, device: Device) -> float | None:
        """Return how far a meter's clock was ahead when it was last read well; None when that is not known."""
        value, quality, _ = self._bus.newest(device.rows[device.profile.clock])
        return value if is_good(quality) else None

    def _questions(self, meters: Sequence[Device], utc_ns: int) -> list[Question]:
        """Return one broadcast for each edition on the line, or one write."""
        civil = datetime.fromtimestamp(utc_ns // NS_PER_S, self._zone)
        offset = civil.utcoffset()
        offset_s = 0 if offset is None else round(offset.total_seconds())
        first = {device.profile.protocol: device for device in meters}
        return [
            cjt188.set_clock(cjt188.station_of(device), civil)
            if protocol == "cjt188"
            else BROADCASTS[protocol](utc_ns, offset_s, device.profile.wake_bytes)
            for protocol, device in first.items()
        ]


def judge(deviations_s: Mapping[str, float], utc_ns: int, last_ns: int, zone: tzinfo) -> set[str]:
    """Return the meters whose clocks may be set now. Refused with the reason when nothing may be sent.

    deviations_s: of the meters that have shown their clocks. last_ns: when this was last done.
    """
    if not deviations_s:
        raise Refused("clock.unknown", "no meter has shown its clock yet; it is read once an hour")
    near = {name for name, deviation_s in deviations_s.items() if abs(deviation_s) <= MOST_S}
    if 2 * len(near) <= len(deviations_s) or not near:
        worst = max(deviations_s, key=lambda name: abs(deviations_s[name]))
        raise Refused(
            "clock.far",
            f"{len(deviations_s) - len(near)} of {len(deviations_s)} clocks are more than {MOST_S:.0f} s wrong"
            f" ({worst}: {deviations_s[worst]:+.0f} s): look at this computer's clock, or set them on the spot",
        )
    if last_ns and _day(last_ns, zone) >= _day(utc_ns, zone):
        raise Refused("clock.today", f"done today already, at {_civil(last_ns, zone):%H:%M}; meters take it once a day")
    for shift_s in (0.0, *(deviations_s[name] for name in near)):
        shown = _civil(utc_ns + int(shift_s * NS_PER_S), zone)
        if not MARGIN_MINUTES <= shown.minute < MINUTES - MARGIN_MINUTES:
            raise Refused(
                "clock.hour",
                f"a meter's clock shows {shown:%H:%M}; not within {MARGIN_MINUTES} minutes of a full hour, where rate"
                " periods and days end",
            )
    return near


def _civil(utc_ns: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(utc_ns // NS_PER_S, UTC).astimezone(zone)


def _day(utc_ns: int, zone: tzinfo) -> str:
    return _civil(utc_ns, zone).date().isoformat()


def operations(
    bus: FieldBus, gateways: Sequence[Gateway], devices: Sequence[Device], clock: Clock, zone: str, path: Path
) -> list[Operation]:
    """Return the operation. zone: IANA name of the time that meters show. path: where the records are kept."""
    desk = SyncDesk(bus, gateways, devices, clock, zone, path)
    return [Operation("field.sync_clock", "meter.manage", SyncArguments, desk.sync)]

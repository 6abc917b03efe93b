"""Setting the clocks of meters: what is refused and why, and a simulated line that really takes the broadcast."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from drivers import agenda, clock_sync
from drivers.bus import FieldBus
from drivers.clock_sync import SyncDesk, SyncRecords, judge
from drivers.device import Device, Gateway
from drivers.dlt645_question import Request
from drivers.field.dlt645_slave import Dlt645Slave
from drivers.field.frames import Ear
from drivers.field.model import Field, SimMeter
from drivers.field.station import Station
from drivers.profile import Profile
from scada.clock import NS_PER_S, SystemClock
from scada.errors import Refused
from scada.image import Columns, Layout
from scada.operations import OperationDesk, Who
from scada.stage import Stage

from .conftest import DLT645, START_NS, TCP, VALVE, WATER, Bench

ZONE = "Asia/Shanghai"
HALF_PAST_NS = START_NS + 1800 * NS_PER_S  # the bench lives at midnight of ZONE
DAY_NS = 86_400 * NS_PER_S
ENGINEER = Who("li", "engineer", "desk")


@pytest.mark.parametrize(
    ("deviations", "minutes", "last_ns", "code"),
    [
        ({}, 30, 0, "clock.unknown"),
        ({"a": 301.0}, 30, 0, "clock.far"),
        ({"a": -4000.0, "b": 10.0}, 30, 0, "clock.far"),
        ({"a": 20.0}, 2, 0, "clock.hour"),
        ({"a": 20.0}, 57, 0, "clock.hour"),
        ({"a": 280.0}, 52, 0, "clock.hour"),  # by the meter's own clock it is nearly the full hour
        ({"a": -280.0}, 8, 0, "clock.hour"),
        ({"a": 20.0}, 30, HALF_PAST_NS, "clock.today"),
        ({"a": 20.0}, 30, HALF_PAST_NS + 1, "clock.today"),
    ],
)
def test_what_is_refused(deviations: Mapping[str, float], minutes: int, last_ns: int, code: str) -> None:
    with pytest.raises(Refused) as refused:
        judge(deviations, START_NS + minutes * 60 * NS_PER_S, last_ns, ZoneInfo(ZONE))
    assert refused.value.code == code


def test_what_is_set() -> None:
    found = judge({"a": 299.0, "b": -1.0, "c": 9000.0}, HALF_PAST_NS, HALF_PAST_NS - DAY_NS, ZoneInfo(ZONE))
    assert found == {"a", "b"}


class Shifted(SystemClock):
    """A clock that began at HALF_PAST_NS."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = self.mono_ns()

    def utc_ns(self) -> int:
        return HALF_PAST_NS + self.mono_ns() - self._begun


class Core:
    """Bus, stage and operation over the lines of a bench."""

    def __init__(self, reactor: Any, bench: Bench, known: Mapping[str, Profile], folder: Path) -> None:
        self.clock, self.path = Shifted(), folder / "clock-sync.jsonl"
        self.devices = [
            self.device("meter", TCP, known["dlt645-2007-1p"], DLT645),
            self.device("w-1", WATER, known["cjt188-cold-water"], VALVE),
        ]
        layout = Layout({"tags": 64, "points": 0, "accounts": 0, "alarms": 0}, bytes(32))
        self.stage = Stage(layout, np.ones(64, dtype=np.bool_), 1.0, 1)
        self.work = Columns.private(layout)
        gateways = [replace(bench.gateways[name], period_s=0.1) for name in (TCP, WATER)]
        self.bus = FieldBus(reactor, self.clock, gateways, self.devices, self.stage, zone=ZONE)
        self.desk = OperationDesk(clock_sync.operations(self.bus, gateways, self.devices, self.clock, ZONE, self.path))

    def device(self, name: str, line: str, profile: Profile, address: str) -> Device:
        first = 32 * (name == "w-1")
        rows = {register.measure: first + i for i, register in enumerate(profile.registers)}
        return Device(name, line, 0, profile, 1, 1, rows, address=address)

    async def shows(self, number: int, deviation_s: float) -> None:
        """Wait until a meter's clock is read as so far ahead."""
        row = self.devices[number].rows["ClockDeviation"]
        for _ in range(2000):
            self.stage.publish(self.work, 1, self.clock.utc_ns())
            if self.work.tags.quality[row] == 0 and abs(self.work.tags.value[row] - deviation_s) < 15.0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"the clock of meter {number} never shows {deviation_s}: {self.work.tags.value[row]}")

    async def sync(self, target: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(
            await self.desk.perform("field.sync_clock", json.dumps({"target": target}), ENGINEER)
        )
        return answer


def test_meters_on_real_lines_take_it_once_a_day(
    reactor_loop: Any, bench: Bench, known: Mapping[str, Profile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda, "SPREAD_S", 0.0)

    async def story() -> None:
        bench.stations["meter"].clock_offset_s = 1800.0 + 120.0
        bench.stations["water"].clock_offset_s = 1800.0 - 90.0
        core = Core(reactor_loop.reactor, bench, known, tmp_path)
        core.bus.start()
        try:
            await core.shows(0, 120.0)
            await core.shows(1, -90.0)
            answer = await core.sync(TCP)
            assert answer["scope"] == TCP and answer["left"] == []
            assert abs(answer["deviations_s"]["meter"] - 120.0) < 15.0
            await core.shows(0, 0.0)
            with pytest.raises(Refused, match="once a day"):
                await core.sync("meter")  # which means its line
            answer = await core.sync("w-1")
            assert answer["outcomes"] == [{"kind": "reply", "payload": ""}]
            await core.shows(1, 0.0)
            with pytest.raises(Refused, match="no meter of"):
                await core.sync(WATER)
        finally:
            await core.bus.stop()
        kept = [json.loads(line) for line in core.path.read_text("utf-8").splitlines()]
        assert [(record["scope"], record["user"], record["station"]) for record in kept] == [
            (TCP, "li", "desk"),
            ("w-1", "li", "desk"),
        ]

    reactor_loop.run(story())


def whom(known: Mapping[str, Profile], folder: Path, profile: str, target: str) -> tuple[SyncDesk, list[Device]]:
    """Return the desk of a line with one meter, and the meters it would set."""
    model = known[profile]
    old = model.protocol != "modbus"
    device = Device("m", "g", 0 if old else 1, model, 1, 1, {}, address="000000000097" if old else "")
    nobody: Any = None
    desk = SyncDesk(nobody, [Gateway("g", "h", 1)], [device], nobody, ZONE, folder / "clock-sync.jsonl")
    return desk, desk._whom(target)[2]


@pytest.mark.parametrize("profile", ["acrel-adl3000", "schneider-iem3155", "schneider-pm5300"])
@pytest.mark.parametrize("target", ["m", "g"])
def test_clocks_of_modbus_meters_are_watched_and_not_set(
    known: Mapping[str, Profile], tmp_path: Path, profile: str, target: str
) -> None:
    with pytest.raises(Refused) as refused:
        whom(known, tmp_path, profile, target)
    assert refused.value.code == "clock.none"


@pytest.mark.parametrize("target", ["m", "g"])
def test_a_meter_of_1997_takes_the_broadcast_of_its_line(
    known: Mapping[str, Profile], tmp_path: Path, target: str
) -> None:
    desk, meters = whom(known, tmp_path, "dlt645-1997", target)
    field = Field([SimMeter(meters[0])], ZoneInfo(ZONE))
    field.step(HALF_PAST_NS, 0)
    slave = Dlt645Slave(Station(field, field.states["m"]))
    slave.station.clock_offset_s = 120.0
    (question,) = desk._questions(meters, HALF_PAST_NS)
    assert isinstance(question, Request) and question.broadcast
    (frame,) = Ear("dlt645").feed(question.wire, 1.0)
    assert slave.hears(frame) and slave.answer(frame) is None
    assert slave.station.clock_offset_s == 0.0


def test_a_restart_remembers_and_a_torn_record_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "clock-sync.jsonl"
    SyncRecords(path).keep(clock_sync.Record(5, "g1", "li", "desk", {"m": 1.5}))
    with path.open("a") as file:
        file.write('{"utc_ns": 9, "scope": "g1", "us')
    again = SyncRecords(path)
    assert (again.last_ns("g1"), again.last_ns("g2")) == (5, 0)
    again.keep(clock_sync.Record(7, "g2", "li", "desk", {}))
    assert SyncRecords(path).last_ns("g2") == 7

"""Counters of devices and gateways as tags, over real sockets: with the compiled engine and over a transparent line."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from harness import FakeGateway, Plant, device, exception, seeded, until

from config import tagging
from drivers import cjt188, dlt645_frame, health, modbus
from drivers.bus import FieldBus
from drivers.counters import DEVICE_COUNTERS, GATEWAY_COUNTERS, KINDS, kind_of
from scada.image import Columns, Layout
from scada.stage import Stage

UNITS = 4
SILENT, BROKEN, REFUSING = 2, 3, 4  # units; unit 1 is honest


class CountedPlant(Plant):
    """A plant with rows for all counters."""

    def __init__(self, devices: int) -> None:
        super().__init__(devices)
        first = len(self.work.tags.value)
        width = len(DEVICE_COUNTERS)
        self.devices = tuple(replace(device(n), counters_row=first + n * width) for n in range(devices))
        self.of_gateway = first + devices * width
        tags = self.of_gateway + len(GATEWAY_COUNTERS)
        self.layout = Layout({"tags": tags, "points": devices, "accounts": 0, "alarms": 0}, bytes(32))
        self.stage = Stage(self.layout, np.ones(tags, dtype=np.bool_), 1.0, 1)
        self.work = Columns.private(self.layout)

    def shown(self, number: int) -> dict[str, float]:
        at = self.devices[number].counters_row
        values = self.publish().tags.value[at : at + len(DEVICE_COUNTERS)]
        return dict(zip(DEVICE_COUNTERS, map(float, values), strict=True))

    def shown_of_gateway(self) -> dict[str, float]:
        values = self.publish().tags.value[self.of_gateway :]
        return dict(zip(GATEWAY_COUNTERS, map(float, values), strict=True))


async def mixed(gateway: FakeGateway, frame: bytes, writer: Any) -> bytes:
    """Answer well, not at all, with a wrong function code, or with an exception: one unit each."""
    unit = frame[6]
    if unit == BROKEN:
        answer = bytearray(gateway.answer(frame))
        answer[7] = 4
        return bytes(answer)
    if unit == SILENT:
        return b""
    return exception(frame, 2) if unit == REFUSING else gateway.answer(frame)


@pytest.mark.parametrize("engine", [True, False])
def test_every_poll_is_counted_once_under_what_became_of_it(
    reactor_loop: Any, monkeypatch: pytest.MonkeyPatch, engine: bool
) -> None:
    monkeypatch.setattr(health, "LOOK_S", 0.0)
    if not engine:
        monkeypatch.setattr("drivers.bus.engine_for", lambda *_: None)

    async def story() -> None:
        gateway, plant = FakeGateway(UNITS, mixed), CountedPlant(UNITS)
        await gateway.start()
        rows = {name: plant.of_gateway + i for i, name in enumerate(GATEWAY_COUNTERS)}
        gateways = [plant.gateway(gateway.port, rows=rows)]
        bus = FieldBus(reactor_loop.reactor, plant.clock, gateways, plant.devices, plant.stage, seeded())
        bus.start()
        try:
            await until(lambda: plant.shown(0)["GoodReplies"] > 5, "the honest meter has answered")
            await until(lambda: plant.shown(SILENT - 1)["Timeouts"] > 1, "time-outs are counted")
            await until(lambda: plant.shown(BROKEN - 1)["BadFrames"] > 1, "bad frames are counted")
            await until(lambda: plant.shown(REFUSING - 1)["Exceptions"] > 1, "exceptions are counted")
        finally:
            await bus.stop()
            await gateway.stop()
        each = [plant.shown(n) for n in range(UNITS)]
        for shown in each:
            parts = ("GoodReplies", "Timeouts", "BadFrames", "Exceptions")
            assert shown["Requests"] == sum(shown[part] for part in parts)
        assert each[0]["BadFrames"] == each[0]["Exceptions"] == 0
        assert 0 < each[0]["ResponseMeanMs"] <= each[0]["ResponseMaxMs"]
        assert 0 < each[0]["ResponseP95Ms"] <= each[0]["ResponseMaxMs"]
        assert abs(each[0]["LastGood"] - plant.clock.utc_ns() / 1e9) < 60
        assert each[SILENT - 1]["GoodReplies"] == each[SILENT - 1]["LastGood"] == 0
        whole = plant.shown_of_gateway()
        for name in ("Requests", "GoodReplies", "Timeouts", "Exceptions"):
            assert whole[name] == sum(shown[name] for shown in each)
        assert whole["BadFunction"] == whole["BadFrames"] > 1
        assert whole["LastGood"] == each[0]["LastGood"]
        assert 0 <= whole["BusLoad"] <= 100

    reactor_loop.run(story())


def test_every_thing_a_frame_can_have_wrong_has_its_kind() -> None:
    named = set().union(*KINDS.values())
    wrongs = {str(wrong) for enum in (modbus.Wrong, dlt645_frame.Wrong, cjt188.Wrong) for wrong in enum}
    assert named <= wrongs
    assert {wrong for wrong in wrongs if kind_of(wrong) == "BadOther"} == {"more than one meter or noise"}


def test_the_tags_stand_in_the_order_in_which_they_are_staged() -> None:
    names = [offer.name for offer in tagging.DEVICE_OFFERS]
    at = names.index(DEVICE_COUNTERS[0])
    assert tuple(names[at : at + len(DEVICE_COUNTERS)]) == DEVICE_COUNTERS
    assert set(GATEWAY_COUNTERS) <= {offer.name for offer in tagging.GATEWAY_OFFERS}

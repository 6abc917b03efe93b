"""One story told to both ways of polling Modbus TCP: by the compiled engine, and poll by poll."""

from dataclasses import replace
from typing import Any

import pytest
from harness import CLOSED_WORD, METER, STATUS_AT, VOLTAGE_AT, FakeGateway, Plant, exception, seeded, until

from drivers.bus import FieldBus
from scada.position import CLOSED
from scada.quality import GOOD, UNCERTAIN_NO_COMMUNICATION

POSITION, VOLTAGE, ONLINE = 2, 1, 3
UNITS = 3
SLOW_VOLTAGE = replace(
    METER,
    registers=tuple(replace(r, poll="hour") if r.measure == "Voltage" else r for r in METER.registers),
)


class Script:
    """What the gateway does just now."""

    def __init__(self) -> None:
        self.silent: set[int] = set()
        self.refused = False
        self.busy = 0

    async def react(self, gateway: FakeGateway, frame: bytes, writer: Any) -> bytes:
        if frame[6] in self.silent:
            return b""
        if self.refused and frame[9] == STATUS_AT:
            return exception(frame, 2)
        if self.busy and frame[9] == VOLTAGE_AT:
            self.busy -= 1
            return exception(frame, 6)
        return gateway.answer(frame)


@pytest.mark.parametrize("compiled", [True, False], ids=["engine", "poll by poll"])
def test_both_ways_tell_the_same(reactor_loop: Any, monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    monkeypatch.setattr("drivers.agenda.AGAIN_S", 1.0)
    monkeypatch.setattr("drivers.agenda.Agenda.again.__defaults__", (1.0,))
    if not compiled:
        monkeypatch.setattr("numba.config.DISABLE_JIT", True)

    async def story() -> None:
        script = Script()
        script.busy = 9  # more than one cycle repeats: the hourly block must not wait an hour for its next chance
        gateway, plant = FakeGateway(UNITS, script.react), Plant(UNITS)
        plant.devices = tuple(replace(device, profile=SLOW_VOLTAGE) for device in plant.devices)
        await gateway.start()
        bus = FieldBus(
            reactor_loop.reactor, plant.clock, [plant.gateway(gateway.port, in_flight=2)], plant.devices, plant.stage,
            seeded(),
        )  # fmt: skip
        assert (bus.engine is not None) is compiled
        bus.start()

        async def good(what: str, *places: tuple[int, int]) -> None:
            await until(lambda: all(plant.quality(n, at) == GOOD for n, at in places), what)

        everything = tuple((n, at) for n in range(UNITS) for at in (0, VOLTAGE, POSITION))
        try:
            await good("everything is read, the hourly block that was busy too", *everything)
            assert [plant.value(n, 0) for n in range(UNITS)] == [10.01, 10.02, 10.03]
            assert plant.value(1, VOLTAGE) == 230.0
            assert plant.value(1, POSITION) == CLOSED
            script.refused = True
            await until(lambda: plant.quality(1, POSITION) >> 30 == 2, "the refused block is bad")
            await good("the others of the device stay good", (1, 0), (1, VOLTAGE), (1, ONLINE))
            assert plant.value(1, ONLINE) == 1.0
            script.refused = False
            await good("the block is answered again", (1, POSITION))
            script.silent = {2}
            await until(lambda: plant.quality(1) == UNCERTAIN_NO_COMMUNICATION, "the silent one is lost")
            assert plant.quality(1, POSITION) == UNCERTAIN_NO_COMMUNICATION
            assert plant.value(1, 0) == 10.02, "the value stays"
            await good("its neighbours are good", (0, 0), (2, 0), (0, VOLTAGE))
            script.silent = set()
            gateway.registers[2][STATUS_AT] = CLOSED_WORD
            await good("it is back, with its hourly block", (1, 0), (1, VOLTAGE), (1, POSITION))
            await gateway.stop()
            await until(lambda: plant.quality(0) != GOOD, "lost")
            await until(lambda: plant.value(0, ONLINE) == 0.0, "lost for good")
            await gateway.start()
            await good("everything is back, the hourly blocks too", *everything)
        finally:
            await bus.stop()
            await gateway.stop()

    reactor_loop.run(story())

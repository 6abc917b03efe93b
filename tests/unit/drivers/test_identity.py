"""Meters that are exchanged, crossed or copied: they are not charged until the right number is back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from harness import ENERGY_AT, METER, ROWS_EACH, FakeGateway, Plant, honest, register, seeded, until

from billing_core.engine import BillingEngine
from billing_core.points import AccountSpec, PointSpec
from drivers import agenda, identity
from drivers.bus import FieldBus
from drivers.device import Device
from drivers.identity import DOUBLE, NONE, UNREAD, WRONG
from scada.image import Columns, Layout
from scada.quality import BAD_CONFIGURATION_ERROR, GOOD
from scada.scan import Instant
from scada.stage import Stage
from tests.plans import plan

NUMBER_AT = 40
PROFILE = replace(
    METER,
    registers=(*METER.registers, register("Number", NUMBER_AT, "u32", poll="connect")),
    identity="Number",
)


class NumberedPlant(Plant):
    """Meters 1001, 1002, ... whose profile reads their number."""

    def __init__(self, devices: int) -> None:
        super().__init__(devices)
        self.first = len(self.work.tags.value)
        self.devices = tuple(self.numbered(n, device) for n, device in enumerate(self.devices))
        tags = self.first + 2 * devices
        self.layout = Layout({"tags": tags, "points": devices, "accounts": 1, "alarms": 0}, bytes(32))
        self.stage = Stage(self.layout, np.ones(tags, dtype=np.bool_), 1.0, 1)
        self.work = Columns.private(self.layout)

    def numbered(self, n: int, device: Device) -> Device:
        at = self.first + 2 * n
        rows = {**device.rows, "Number": at}
        return replace(device, profile=PROFILE, rows=rows, identity_row=at + 1, serial=f"SN 000{1001 + n}")

    def fault(self, n: int) -> int:
        return int(self.publish().tags.value[self.first + 2 * n + 1])

    def charged(self, n: int) -> bool:
        return int(self.publish().points.quality[n]) == GOOD


class Setup:
    def __init__(self, gateway: FakeGateway, plant: NumberedPlant, bus: FieldBus) -> None:
        self.gateway, self.plant, self.bus = gateway, plant, bus

    def show(self, n: int, number: int) -> None:
        self.gateway.registers[n + 1][NUMBER_AT + 1] = number

    async def becomes(self, n: int, fault: int, charged: bool) -> None:
        what = f"meter {n} has fault {fault}, charged {charged}"
        await until(lambda: (self.plant.fault(n), self.plant.charged(n)) == (fault, charged), what)

    def reconnect(self) -> None:
        for writer in tuple(self.gateway.open):
            writer.transport.abort()


@asynccontextmanager
async def running(reactor: Any, units: int, serials: Sequence[str] = ()) -> AsyncIterator[Setup]:
    """serials: of the configuration, where they are not 1001 and following."""
    gateway, plant = FakeGateway(units), NumberedPlant(units)
    for n, serial in enumerate(serials):
        plant.devices = (*plant.devices[:n], replace(plant.devices[n], serial=serial), *plant.devices[n + 1 :])
    setup = Setup(gateway, plant, FieldBus(reactor, plant.clock, [], [], plant.stage))
    for n in range(units):
        setup.show(n, 1001 + n)
    await gateway.start()
    setup.bus = FieldBus(reactor, plant.clock, [plant.gateway(gateway.port)], plant.devices, plant.stage, seeded())
    setup.bus.start()
    try:
        yield setup
    finally:
        await setup.bus.stop()
        await gateway.stop()


@pytest.fixture(params=[True, False], ids=["engine", "line"])
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait a minute for a second look, with the compiled engine and without."""
    monkeypatch.setattr(agenda, "IDENTIFY_S", 0.0)
    monkeypatch.setattr(identity, "RECHECK_S", 0.1)
    if not request.param:
        monkeypatch.setattr("drivers.bus.engine_for", lambda *_: None)


@pytest.mark.usefixtures("quick")
def test_an_exchanged_meter_is_not_charged_until_the_right_one_is_back(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 2) as setup:
            await setup.becomes(0, NONE, charged=True)
            setup.show(0, 7777)
            setup.reconnect()
            await setup.becomes(0, WRONG, charged=False)
            assert setup.plant.publish().points.quality[0] == BAD_CONFIGURATION_ERROR
            await setup.becomes(1, NONE, charged=True)
            setup.gateway.registers[1][ENERGY_AT + 1] = 5000
            before = setup.plant.clock.utc_ns()
            setup.show(0, 1001)
            await setup.becomes(0, NONE, charged=True)
            points = setup.plant.publish().points
            assert points.source_time[0] > before and points.raw[0] == 5000, (
                "what it counted meanwhile is in one reading"
            )

    reactor_loop.run(story())


@pytest.mark.usefixtures("quick")
def test_two_meters_with_one_number_both_stop(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 3) as setup:
            for n in range(3):
                await setup.becomes(n, NONE, charged=True)
            setup.show(1, 1001)
            setup.reconnect()
            await setup.becomes(1, WRONG, charged=False)
            await setup.becomes(0, DOUBLE, charged=False)
            await setup.becomes(2, NONE, charged=True)
            setup.show(1, 1002)
            await setup.becomes(0, NONE, charged=True)
            await setup.becomes(1, NONE, charged=True)

    reactor_loop.run(story())


@pytest.mark.usefixtures("quick")
def test_nothing_is_charged_before_the_number_was_read(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as setup:
            del setup.gateway.registers[1][NUMBER_AT]  # the simulated meter breaks off when it is asked for it

            def values_come() -> bool:
                return setup.plant.value(0, 0) > 0 and setup.plant.quality(0) == GOOD

            await until(values_come, "the other registers are read")
            assert not setup.plant.charged(0)
            setup.gateway.registers[1][NUMBER_AT] = 0
            await setup.becomes(0, NONE, charged=True)

    reactor_loop.run(story())


@pytest.mark.usefixtures("quick")
def test_what_an_exchanged_meter_counts_is_never_charged_and_the_right_one_loses_nothing(reactor_loop: Any) -> None:
    account = AccountSpec("t", "", "", "CNY", 0, 0, 0, 0, 0, False, ())
    point = PointSpec("p", "m0", 0, 0, "electricity", "kWh", 10, 10**8, 10**9)
    engine = BillingEngine([point], [account], [plan("flat", {2: 1_000_000})])

    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as setup:
            seen: list[int] = []
            words, work = setup.gateway.registers[1], setup.plant.work

            def charged_milli() -> int:
                setup.plant.publish()
                engine.bill(Instant(setup.plant.scan, setup.plant.clock.utc_ns(), 0), work)
                seen.append(int(work.points.billed_milli[0]))
                return seen[-1]

            charged_milli()
            await setup.becomes(0, NONE, charged=True)
            charged_milli()
            words[ENERGY_AT + 1] = 1101
            await until(lambda: charged_milli() == 1000, "the first hundred counts are charged")
            words[ENERGY_AT + 1] = 60_000
            setup.show(0, 7777)
            setup.reconnect()
            await until(lambda: (charged_milli(), setup.plant.fault(0))[1] == WRONG, "the other meter is noticed")
            await until(lambda: work.points.raw[0] == 60_000 or not charged_milli(), "its register is read")
            for _ in range(10):
                charged_milli()
            words[ENERGY_AT + 1] = 1301
            setup.show(0, 1001)
            await until(lambda: charged_milli() == 3000, "all that was used meanwhile is charged")
            assert sorted(set(seen)) == [0, 1000, 3000], "and only once, and nothing of the other meter"

    reactor_loop.run(story())


def test_a_number_that_is_refused_is_told(reactor_loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda, "IDENTIFY_S", 0.0)

    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as setup:

            async def refuse(gateway: FakeGateway, frame: bytes, writer: Any) -> bytes:
                refused = frame[8:10] == NUMBER_AT.to_bytes(2, "big")
                return frame[:4] + bytes((0, 3, frame[6], frame[7] | 0x80, 2)) if refused else gateway.answer(frame)

            setup.gateway.react = refuse
            await setup.becomes(0, UNREAD, charged=False)
            await until(lambda: setup.plant.quality(0) == GOOD, "what it measures is shown all the same")

    reactor_loop.run(story())


@pytest.mark.usefixtures("quick")
def test_another_model_that_refuses_its_number_at_the_hourly_read_is_not_charged(reactor_loop: Any) -> None:
    """It took the place of ours without a moment's interruption, and has no such register."""

    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as setup:
            await setup.becomes(0, NONE, charged=True)

            async def refuse(gateway: FakeGateway, frame: bytes, writer: Any) -> bytes:
                refused = frame[8:10] == NUMBER_AT.to_bytes(2, "big")
                return frame[:4] + bytes((0, 3, frame[6], frame[7] | 0x80, 2)) if refused else gateway.answer(frame)

            setup.gateway.react = refuse
            setup.bus.identity._ask_again(setup.plant.devices[0])  # the hour has passed
            await setup.becomes(0, UNREAD, charged=False)
            setup.gateway.react = honest
            await setup.becomes(0, NONE, charged=True)

    reactor_loop.run(story())


@pytest.mark.usefixtures("quick")
def test_a_meter_without_a_number_in_the_configuration_is_charged_whatever_it_shows(reactor_loop: Any) -> None:
    """And one that refuses to tell it, which is how a model without the register is put into service."""

    async def story() -> None:
        async with running(reactor_loop.reactor, 3, serials=("", "none", "SN 1003")) as setup:

            async def refuse(gateway: FakeGateway, frame: bytes, writer: Any) -> bytes:
                refused = frame[6] == 2 and frame[8:10] == NUMBER_AT.to_bytes(2, "big")
                return frame[:4] + bytes((0, 3, frame[6], frame[7] | 0x80, 2)) if refused else gateway.answer(frame)

            setup.gateway.react = refuse
            setup.show(0, 7777)
            setup.reconnect()
            for n in range(3):
                await setup.becomes(n, NONE, charged=True)

    reactor_loop.run(story())


@pytest.mark.parametrize("engine", [True, False])
def test_a_meter_that_tells_its_number_is_asked_at_once_whenever_its_line_is_connected_anew(
    reactor_loop: Any, monkeypatch: pytest.MonkeyPatch, engine: bool
) -> None:
    """Only one that is silent to the question waits a minute: else each lost connection would cost all of them one."""
    if not engine:
        monkeypatch.setattr("drivers.bus.engine_for", lambda *_: None)
    monkeypatch.setattr(identity, "RECHECK_S", 3600.0)

    async def story() -> None:
        async with running(reactor_loop.reactor, 2) as setup:
            for _ in range(3):
                for n in range(2):
                    await setup.becomes(n, NONE, charged=True)
                setup.reconnect()
                await until(lambda: not setup.plant.charged(0), "it is in doubt")

    reactor_loop.run(story())


@pytest.mark.usefixtures("quick")
def test_a_binary_register_may_show_the_end_of_the_number_on_the_nameplate(reactor_loop: Any) -> None:
    async def story() -> None:
        serials = ("2026-262611001", "2026-262611002", "2026-262611003")
        async with running(reactor_loop.reactor, 3, serials=serials) as setup:
            for n, (high, low) in enumerate(((4007, 8249), (39, 54_939), (0, 11_003))):  # 262611001, 2610843, 11003
                setup.gateway.registers[n + 1][NUMBER_AT] = high
                setup.show(n, low)
            await setup.becomes(0, NONE, charged=True)
            await setup.becomes(1, WRONG, charged=False)
            await setup.becomes(2, WRONG, charged=False)  # five digits are too few

    reactor_loop.run(story())


@pytest.mark.parametrize(
    ("shown", "configured", "ending", "same"),
    [
        ("20262611271", "SN 20262611271", False, True),
        ("000012", "12", False, True),
        ("262611271", "20262611271", True, True),
        ("262611271", "20262611271", False, False),
        ("11271", "20262611271", True, False),
        ("20262611271", "262611271", True, False),
        ("262611272", "20262611271", True, False),
    ],
)
def test_what_is_the_same_number(shown: str, configured: str, ending: bool, same: bool) -> None:
    assert identity.same_number(shown, configured, ending) is same


def test_the_register_of_a_short_number_shows_the_last_digits() -> None:
    plant = Plant(1)
    short = replace(register("Number", 0, "bcd"), size=4)
    profile = replace(METER, registers=(*METER.registers, short), identity="Number")
    device = replace(plant.devices[0], profile=profile, serial="2026-0012345678", address="000000000042")
    assert identity._numbers_of(device) == [12345678.0, 42.0]
    assert len(device.rows) + 3 == ROWS_EACH

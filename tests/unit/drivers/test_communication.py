"""Who is online, from the start on: nobody is called lost before he could have been heard."""

from typing import Any

import pytest
from harness import Plant, seeded
from test_dial_in_hostile import Transport
from twisted.internet.testing import MemoryReactorClock
from virtual_line import FORM, VirtualClock, right

from drivers.bus import FieldBus
from drivers.dial_in import ABSENT_S
from scada.quality import BAD_WAITING_FOR_INITIAL_DATA, GOOD

HEARTBEAT_S = 60.0
REGISTRATION = b"DTU-0001"
METERS = 2
GATEWAY_ONLINE, METER_ONLINE = (METERS, 0), (0, 3)


class Site:
    """Two meters behind a DTU that dials in, or not, on a clock that the test holds."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.plant = Plant(METERS)
        self.plant.clock = VirtualClock(self.reactor)  # type: ignore[assignment]
        more = {"registration": REGISTRATION, "heartbeat_s": HEARTBEAT_S, "period_s": 1.0}
        gateway = self.plant.gateway(1, transport="dial-in", line=FORM, **more)
        self.bus = FieldBus(self.reactor, self.plant.clock, [gateway], self.plant.devices, self.plant.stage, seeded())
        self.bus.start()
        self.shown: list[tuple[float, tuple[int, float], tuple[int, float]]] = []
        self.transport: Transport | None = None
        self.wire: Any = None

    def dial(self) -> None:
        self.wire = self.reactor.tcpServers[0][1].buildProtocol(None)
        self.transport = Transport()
        self.wire.makeConnection(self.transport)
        self.wire.dataReceived(REGISTRATION)

    def pass_s(self, seconds: float) -> None:
        """Let time pass with a scan each second; the meters answer at once."""
        for _ in range(round(10 * seconds)):
            self.reactor.advance(0.1)
            if self.transport is not None and (asked := self.transport.value()):
                self.transport.clear()
                self.wire.dataReceived(right(asked))
            self.shown.append((self.reactor.seconds(), self._online(*GATEWAY_ONLINE), self._online(*METER_ONLINE)))

    def _online(self, number: int, offset: int) -> tuple[int, float]:
        return self.plant.quality(number, offset), self.plant.value(number, offset)

    def called_lost(self) -> float:
        """Return when a good 0 was first shown of the gateway or a meter, for only that raises an alarm; 0: never."""
        return next((at_s for at_s, *tags in self.shown if (GOOD, 0.0) in tags), 0.0)

    def close(self) -> None:
        self.bus.pollers["g1"].stop()
        if self.transport is not None:
            self.transport.near.close()
            self.transport.far.close()


@pytest.fixture
def site() -> Any:
    site = Site()
    yield site
    site.close()


def test_a_dtu_that_dials_in_late_was_never_lost(site: Site) -> None:
    site.pass_s(0.8 * HEARTBEAT_S)
    assert site._online(*GATEWAY_ONLINE) == (BAD_WAITING_FOR_INITIAL_DATA, 0.0)
    site.dial()
    site.pass_s(20.0)
    assert site._online(*GATEWAY_ONLINE) == site._online(*METER_ONLINE) == (GOOD, 1.0)
    assert site.plant.quality(0) == GOOD
    assert site.called_lost() == 0.0


def test_a_dtu_that_stays_away_is_lost_after_its_heartbeat(site: Site) -> None:
    site.pass_s(2 * HEARTBEAT_S)
    assert HEARTBEAT_S <= site.called_lost() < HEARTBEAT_S + 3.0
    assert site._online(*GATEWAY_ONLINE) == site._online(*METER_ONLINE) == (GOOD, 0.0)


def test_a_dtu_that_hangs_up_is_lost_without_a_grace(site: Site) -> None:
    site.dial()
    site.pass_s(20.0)
    site.wire.connectionLost()
    site.transport.clear()
    hung_up_s = site.reactor.seconds()
    site.pass_s(3 * ABSENT_S)
    assert hung_up_s + ABSENT_S <= site.called_lost() < hung_up_s + ABSENT_S + 3.0

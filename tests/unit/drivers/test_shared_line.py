"""The rule of 5 %: what one bad device may cost the others on a line that all share, counted in questions."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from harness import METER, Plant, seeded
from virtual_line import CUT, FORM, QUICK_S, Answer, FramedReactor, VirtualClock, VirtualReactor, good, right

from drivers.bus import FieldBus
from drivers.profile import Profile
from scada.quality import GOOD

WARM_S = 60.0
RUN_S = 900.0
BAD = 5  # the unit that misbehaves
DEVICES = 10
TIMEOUT_S = 1.0
ONE_SHAPE = replace(METER, merge_gap=32)  # all in one block


class Line:
    """A line with DEVICES meters whose unit BAD answers as told."""

    def __init__(
        self,
        answer: Answer = good,
        without: bool = False,
        period_s: float = 0.1,
        timeout_s: float = TIMEOUT_S,
        framed: bool = False,
        model: Profile = METER,
    ) -> None:
        """framed: behind a Modbus TCP gateway, which takes a second connection."""
        answers = dict.fromkeys(range(1, DEVICES + 1), good) | {BAD: answer}
        self.reactor = FramedReactor(answers) if framed else VirtualReactor(answers)
        self.plant = Plant(DEVICES)
        self.plant.clock = VirtualClock(self.reactor)  # type: ignore[assignment]
        devices = [replace(d, profile=model) for d in self.plant.devices if not (without and d.unit == BAD)]
        transport = "modbus-tcp" if framed else "tcp"
        gateway = self.plant.gateway(1, transport=transport, timeout_s=timeout_s, period_s=period_s, line=FORM)
        self.bus = FieldBus(self.reactor, self.plant.clock, [gateway], devices, self.plant.stage, seeded())
        self.bus.start()

    def run(self, warm_s: float = WARM_S) -> float:
        """Return how often a good device is asked, questions a second, from `warm_s` on."""
        self.reactor.run_for(warm_s)
        before = self.reactor.asked[1]
        self.reactor.run_for(RUN_S)
        return (self.reactor.asked[1] - before) / RUN_S


def dead(request: bytes) -> tuple[float, bytes]:
    return 0.0, b""


def slow(request: bytes) -> tuple[float, bytes]:
    return 0.9 * TIMEOUT_S, right(request)


def lying(request: bytes) -> tuple[float, bytes]:
    reply = right(request)
    return QUICK_S, reply[:-1] + bytes((reply[-1] ^ 1,))


def too_late(request: bytes) -> tuple[float, bytes]:
    return 1.5 * TIMEOUT_S, right(request)


def babbling(request: bytes) -> tuple[float, bytes, float]:
    """Its transmitter hangs: the fence behind its time-out lasts as long as anything comes."""
    return QUICK_S, bytes(50), 0.2


def cutting(request: bytes) -> tuple[float, bytes]:
    """Its gateway stumbles over its answer and hangs up."""
    return QUICK_S, CUT


def later_than_the_fence(request: bytes) -> tuple[float, bytes]:
    return 2.6 * TIMEOUT_S, right(request)


def every_second_time() -> Answer:
    turns = count()
    return lambda request: good(request) if next(turns) % 2 else dead(request)


def two_of_three() -> Answer:
    """It answers everything that it is asked aside, and the first question in the cycle not."""
    turns = count()
    return lambda request: good(request) if next(turns) % 3 else dead(request)


def deaf_to_one_block(request: bytes) -> tuple[float, bytes]:
    """It answers the question by which a lost device is probed, and not the other one."""
    return good(request) if request[2:4] == b"\0\0" else dead(request)


BAD_ANSWERS = [
    pytest.param(lambda: dead, id="dead"),
    pytest.param(lambda: slow, id="slow"),
    pytest.param(lambda: lying, id="lying"),
    pytest.param(lambda: too_late, id="answers after the time-out"),
    pytest.param(lambda: later_than_the_fence, id="answers after the fence"),
    pytest.param(every_second_time, id="answers every second time"),
    pytest.param(lambda: deaf_to_one_block, id="deaf to one question"),
]


@pytest.fixture(scope="module")
def without() -> float:
    """Questions a second to a good device on a line that never had the bad one."""
    return Line(without=True).run()


@pytest.fixture(scope="module")
def undisturbed() -> float:
    """Questions a second to a good device on a line of good devices only."""
    return Line().run()


@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_a_bad_device_delays_no_other_by_more_than_5_percent(answer: Callable[[], Answer], undisturbed: float) -> None:
    line = Line(answer())
    assert line.run() >= 0.95 * undisturbed
    assert line.reactor.asked[BAD] >= 15, "it is not forgotten"


@pytest.mark.parametrize("answer", [every_second_time, lambda: later_than_the_fence], ids=["every second time", "late"])
def test_nor_does_one_that_has_no_mark_and_is_asked_twice(answer: Callable[[], Answer]) -> None:
    line = Line(answer(), model=ONE_SHAPE)
    assert line.run() >= 0.95 * Line(model=ONE_SHAPE).run()
    assert line.reactor.asked[BAD] >= 15, "it is not forgotten"


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll Modbus TCP without compiled code, which reads real sockets only."""
    monkeypatch.setattr("drivers.bus.engine_for", lambda *_: None)


@pytest.mark.parametrize("answer", [*BAD_ANSWERS, pytest.param(two_of_three, id="answers two of three")])
@pytest.mark.usefixtures("no_engine")
def test_a_bad_device_behind_a_modbus_tcp_gateway_delays_no_other_by_more_than_5_percent(
    answer: Callable[[], Answer],
) -> None:
    quiet = Line(framed=True).run()
    line = Line(answer(), framed=True)
    assert line.run() >= 0.95 * quiet
    assert line.reactor.asked[BAD] >= 15, "it is not forgotten"


@pytest.mark.usefixtures("no_engine")
def test_devices_that_failed_together_are_all_back_in_the_cycle_soon() -> None:
    """Half a building without power: what each of them cost once must not add up to a quarter of an hour."""
    line = Line(framed=True, timeout_s=3.0)
    line.reactor.run_for(WARM_S)
    for unit in range(1, DEVICES + 1, 2):
        line.reactor.answers[unit] = dead
    line.reactor.run_for(60.0)
    for unit in range(1, DEVICES + 1, 2):
        line.reactor.answers[unit] = good
    line.reactor.run_for(130.0)  # a minute until the last is found, and a minute until all is paid
    stations = line.bus.pollers["g1"]._numbered
    assert [station.id for station in stations if station.aside] == []


def test_a_device_that_goes_on_babbling_pays_for_the_fence_that_it_prolongs(undisturbed: float) -> None:
    line = Line(babbling)
    assert line.run() >= 0.95 * undisturbed
    assert line.reactor.asked[BAD] >= 4, "it is not forgotten"


def test_a_device_that_breaks_the_connection_pays_for_the_fence_that_follows(undisturbed: float) -> None:
    line = Line(cutting, timeout_s=3.0)
    assert line.run() >= 0.95 * undisturbed
    assert line.reactor.asked[BAD] >= 6, "it is not forgotten"


@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_nor_against_a_line_that_never_had_it(answer: Callable[[], Answer], without: float) -> None:
    assert Line(answer()).run() >= without / 1.05


def test_a_slow_device_keeps_good_values_and_returns_when_it_is_quick_again(undisturbed: float) -> None:
    line = Line(slow)
    line.reactor.run_for(WARM_S)
    asked = line.reactor.asked[BAD]
    line.reactor.run_for(RUN_S)
    seldom = (line.reactor.asked[BAD] - asked) / RUN_S
    assert seldom < undisturbed / 5
    assert line.plant.value(BAD - 1, 3) == 1.0, "it is online"
    assert line.plant.value(BAD - 1, 1) == pytest.approx(0.1)
    line.reactor.answers[BAD] = good
    line.reactor.run_for(WARM_S)
    asked = line.reactor.asked[BAD]
    line.reactor.run_for(RUN_S)
    assert (line.reactor.asked[BAD] - asked) / RUN_S == pytest.approx(undisturbed, rel=0.02)


def test_a_slow_device_holds_nobody_up_on_a_line_with_time_to_spare() -> None:
    line = Line(slow, period_s=10.0)
    line.reactor.run_for(RUN_S)
    assert line.reactor.asked[BAD] >= 0.95 * line.reactor.asked[1], "it is asked as often as the others"


def test_a_device_that_dies_is_lost_within_seconds_and_found_again() -> None:
    line = Line()
    line.reactor.run_for(WARM_S)
    line.reactor.answers[BAD] = dead
    line.reactor.run_for(15.0)
    assert line.plant.value(BAD - 1, 3) == 0.0, "offline"
    line.reactor.answers[BAD] = good
    line.reactor.run_for(90.0)
    assert line.plant.value(BAD - 1, 3) == 1.0, "online"
    assert line.plant.quality(BAD - 1) == GOOD


def test_devices_for_which_there_is_no_time_to_look_again_are_lost_all_the_same() -> None:
    line = Line()
    line.reactor.run_for(WARM_S)
    for unit in range(1, 7):
        line.reactor.answers[unit] = dead
    line.reactor.run_for(60.0)
    assert [line.plant.value(unit - 1, 3) for unit in range(1, 11)] == [0.0] * 6 + [1.0] * 4
    before = line.reactor.asked[10]
    line.reactor.run_for(RUN_S)
    assert (line.reactor.asked[10] - before) / RUN_S > 0.94 * Line().run()


def test_all_that_come_back_together_are_asked_again_soon() -> None:
    line = Line()
    line.reactor.run_for(WARM_S)
    for unit in range(1, DEVICES + 1):
        line.reactor.answers[unit] = dead
    line.reactor.run_for(600.0)
    for unit in range(1, DEVICES + 1):
        line.reactor.answers[unit] = good
    line.reactor.run_for(30.0)
    assert all(line.plant.quality(number) == GOOD for number in range(DEVICES))

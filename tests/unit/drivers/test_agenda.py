"""Poll classes: what is due when, and how short the period of a line can be."""

import random
from dataclasses import replace
from fractions import Fraction

from harness import METER, Plant

from drivers.agenda import AGAIN_S, SPREAD_S, Agenda
from drivers.budget import budget_of, period_of
from drivers.device import Gateway, LineFormat
from drivers.profile import Profile, Register
from scada.clock import NS_PER_S


def test_a_block_of_a_slow_class_is_asked_at_its_own_pace() -> None:
    agenda = Agenda(("scan", "minute", "hour"), random.Random(5), 0)
    asked = {0: 0, 1: 0, 2: 0}
    for second in range(2 * 3600):
        now = second * NS_PER_S
        for block in agenda.due(now):
            asked[block] += 1
            agenda.asked(block, now)
    assert asked[0] == 2 * 3600
    assert 120 <= asked[1] <= 134, "every minute, up to a tenth early"
    assert 2 <= asked[2] <= 3


def test_slow_blocks_of_many_devices_do_not_fall_due_together() -> None:
    rng = random.Random(7)
    agendas = [Agenda(("scan", "hour"), rng, 0) for _ in range(200)]
    first = [next(s for s in range(100) if agenda.timed_due(s * NS_PER_S)) for agenda in agendas]
    assert max(first) <= SPREAD_S + 1
    assert max(map(first.count, set(first))) < 100
    for agenda in agendas:
        agenda.asked(1, int(SPREAD_S * NS_PER_S))
    again = [next(s for s in range(0, 4000, 10) if agenda.timed_due(s * NS_PER_S)) for agenda in agendas]
    assert min(again) > 3000
    assert len(set(again)) > 10


def test_a_device_that_came_back_is_asked_for_everything_soon() -> None:
    agenda = Agenda(("scan", "day", "connect"), random.Random(1), 0)
    for block in (1, 2):
        agenda.asked(block, int(SPREAD_S * NS_PER_S))
    later = 600 * NS_PER_S
    assert agenda.timed_due(later) == ()
    agenda.again(later)
    assert agenda.timed_due(later + int(AGAIN_S * NS_PER_S)) == (1, 2)


def test_the_shortest_period_follows_from_bytes_delays_and_gaps() -> None:
    """Computed by hand: DL/T 645 at 2400 Bd 8E1 has 11 bits = 4.583 ms a character."""
    energy = Register(
        "Energy", 0, 0, "bcd", Fraction(1, 100), "kWh", "电能", "Energy", di=0x00010000, size=4
    )  # fmt: skip
    profile = Profile(
        "m", "any", "any", "electricity", (energy, replace(energy, measure="Slow", di=0x02010100, poll="minute")),
        None, None, protocol="dlt645-2007",
    )  # fmt: skip
    device = replace(Plant(1).devices[0], profile=profile, address="112233445566", rows={"Energy": 0, "Slow": 1})
    gateway = Gateway("g", "", 0, transport="serial", line=LineFormat(2400, "E", 1), period_s=1.0)
    budget = budget_of(gateway, [device])
    each_s = (20 + 24) * 11 / 2400 + 0.1 + 0.03  # request with four FE, reply with four data bytes and four FE
    assert budget.questions == 1
    assert abs(budget.scan_s - each_s) < 0.02
    assert abs(budget.timed_share - each_s / 60) < 0.001
    assert budget.shortest_s > budget.scan_s
    assert budget.kept
    assert not budget_of(replace(gateway, period_s=0.2), [device]).kept
    hasty = replace(gateway, period_s=0.2)
    assert period_of(gateway, [device]) == gateway.period_s
    assert period_of(hasty, [device]) == budget_of(hasty, [device]).shortest_s, "what is wished cannot be had"
    assert METER.protocol == "modbus"

"""Faults of a running park: what dies comes back, what is not known is not shown as good, and the books stay right."""

import os
import random
import signal
import time
from typing import Any

import psycopg
import pytest
from pymodbus.client import ModbusTcpClient

from alarms.lifecycle import STATES as ALARM_STATES
from drivers.device import Device
from scada import quality
from scada.clock import NS_PER_S
from scada.embedded_postgres import servers_on
from scada.image import Snapshot
from tests.plant.park import Park, wait_for

BACK_S = 5.0  # a killed room is back within five seconds
SETTLED_S = 150  # meters on slow lines may not have been read once between two kills; all are read in a minute
KILLS = 20
SPEED = 600  # ten minutes in a second: rate periods change while rooms die
KILL_SEED = int(os.environ.get("WATTKEEPER_SEED", "20261123"))

pytestmark = [pytest.mark.plant]


def is_good(park: Park, letter: str, owner: str, measure: str) -> bool:
    found = park.tag(letter, owner, measure)
    return found is not None and quality.is_good(found[1])


def register_on_the_wire(park: Park, device: Device) -> int:
    """Read a meter's billing register with a foreign client; on other lines than Modbus TCP, ask the meter's maker."""
    billing = device.profile.billing
    assert billing is not None
    register = next(each for each in device.profile.registers if each.measure == billing.measure)
    gateway = next(each for each in park.plant.gateways if each.id == device.gateway)
    if gateway.transport != "modbus-tcp":
        return int(park.inject("show", device.id)["counts"]) % billing.modulus_counts
    with ModbusTcpClient(gateway.host, port=gateway.port) as client:
        read = client.read_holding_registers if register.function == 3 else client.read_input_registers
        answer = read(register.address, count=register.words, device_id=device.unit)
    assert not answer.isError(), answer
    words = answer.registers if register.order == "ABCD" else answer.registers[::-1]
    number = 0
    for word in words:
        number = number << 16 | word
    return number


def assert_books_are_right(park: Park) -> None:
    """Audit, and compare what was charged with what the registers say, to the last unit."""
    code, last = park.audit()
    assert code == 0, last
    assert last.endswith(" 0 differences")
    rows = park.sql(
        "SELECT s.point, s.billed_milli, s.last_raw, s.first_raw, t.milli_per_count, t.modulus_counts,"
        " coalesce((SELECT sum(c.milli) FROM charge c JOIN terms u ON u.id = c.terms WHERE u.point = s.point), 0)"
        " FROM point_state s JOIN terms t ON t.id = s.terms"
    )
    assert len(rows) == len(park.plant.points)
    for point, billed, last_raw, first_raw, milli_per_count, modulus, charged in rows:
        assert charged == billed == (last_raw - first_raw) % modulus * milli_per_count, point
    assert any(row[1] for row in rows)


def assert_nothing_is_missing_at_the_meters(park: Park) -> None:
    """Stop everything that is supplied, wait for the books, and compare the last billed register with the meter."""
    points = [point for point in park.plant.points if not point.virtual]
    devices = {device.id: device for device in park.plant.devices}
    for medium in {point.medium for point in points}:
        park.inject("supply-off", medium)

    def settled() -> bool:
        kept = dict(park.sql("SELECT point, last_raw FROM point_state"))
        return all(kept.get(point.id) == register_on_the_wire(park, devices[point.meter]) for point in points)

    wait_for(settled, SETTLED_S, "the books to reach every meter's own register")


@pytest.mark.timeout(450)
def test_a_core_killed_twenty_times_charges_every_unit_once(make_park) -> None:
    park = make_park().start(speed=SPEED)
    dice = random.Random(KILL_SEED)
    print(f"seed {KILL_SEED}")
    for _ in range(KILLS):
        time.sleep(dice.uniform(0.05, 2.5))
        old = park.kill("core")
        wait_for(lambda old=old: park.pids().get("core", old) != old, BACK_S, "a new core")
        wait_for(lambda: park.tag("X", "core", "DatabaseConnected") == (1.0, 0), 20, "its books")
        code, last = park.audit()
        assert code == 0, last
    assert_nothing_is_missing_at_the_meters(park)
    assert_books_are_right(park)


@pytest.mark.timeout(180)
def test_the_core_goes_on_without_its_data_base_and_catches_up(make_park) -> None:
    park = make_park().start(speed=SPEED)
    core = park.pids()["core"]
    server = park.pids()["database"]
    for pid in servers_on(park.data.pg):
        os.kill(pid, signal.SIGSTOP)  # it hangs, which is worse than gone
    before = park.snapshot()
    wait_for(lambda: park.tag("X", "core", "LedgerBehindS")[0] > 4, 20, "the books to fall behind")
    during = park.snapshot()
    assert during.scan > before.scan
    assert (during.columns.points.charged_nano > before.columns.points.charged_nano).any()
    assert is_good(park, "M", park.plant.points[0].meter, "Online")
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: park.pids().get("database", server) != server, BACK_S, "the server to be started again")
    wait_for(lambda: park.tag("X", "core", "LedgerBehindS")[0] < 3, 30, "the books to catch up")
    assert park.pids()["core"] == core
    assert_books_are_right(park)
    wait_for(lambda: history_rows(park, before, during) > 0, 60, "the history of the time without a data base")


def history_rows(park: Park, before: Snapshot, after: Snapshot) -> int:
    """Return how many values are recorded between two scans."""
    bounds = [snapshot.scan_utc_ns / NS_PER_S for snapshot in (before, after)]
    statement = "SELECT count(*) FROM history WHERE time > to_timestamp(%s) AND time < to_timestamp(%s)"
    return int(park.sql(statement, *bounds)[0][0])


@pytest.mark.timeout(120)
def test_every_room_comes_back_and_the_others_never_stop(make_park) -> None:
    park = make_park().start()
    for room in ("hmi", "opcua", "field", "core", "database"):
        others = {name: pid for name, pid in wait_for(lambda: full(park), 20, "all rooms").items() if name != room}
        old = park.kill(room)
        wait_for(lambda room=room, old=old: park.pids().get(room, old) != old, BACK_S, f"room {room}")
        assert {name: pid for name, pid in park.pids().items() if name != room} == others
        wait_for(lambda: is_good(park, "M", "e-a101", "ActivePowerTotal"), 30, "live values")


def full(park: Park) -> dict[str, int]:
    pids = park.pids()
    return pids if len(pids) == 6 else {}


@pytest.mark.timeout(120)
def test_a_dead_gateway_turns_its_own_values_bad_and_raises_one_alarm(make_park) -> None:
    park = make_park().start()
    gateway = "gw-a1"
    mine = [device for device in park.plant.devices if device.gateway == gateway]
    others = [device for device in park.plant.devices if device.gateway != gateway]
    alarm = next(a.id for a in park.plant.alarms if a.source == gateway)
    wait_for(lambda: all(is_good(park, "M", d.id, measure(d)) for d in park.plant.devices), 20, "first values")
    time_before = times(park, mine)

    park.inject("gateway-kill", gateway)
    wait_for(lambda: not any(is_good(park, "M", d.id, measure(d)) for d in mine), 20, "no good value behind it")
    assert all(is_good(park, "M", d.id, measure(d)) for d in others)
    wait_for(lambda: ALARM_STATES[park.alarm_state(alarm)] == "unacknowledged", 60, "the alarm")
    assert times(park, mine) >= time_before

    park.inject("gateway-restore", gateway)
    wait_for(lambda: all(is_good(park, "M", d.id, measure(d)) for d in mine), 30, "values to be good again")
    wait_for(lambda: park.sql("SELECT 1 FROM charge LIMIT 1"), 20, "the first charge")
    assert_books_are_right(park)


def measure(device: Device) -> str:
    return device.profile.registers[0].measure


def times(park: Park, devices: list[Device]) -> list[int]:
    snapshot = park.snapshot()
    assert snapshot is not None
    return [int(snapshot.columns.tags.source_time[park.plant.row("M", d.id, measure(d))]) for d in devices]


@pytest.mark.timeout(180)
def test_a_register_that_rolls_over_is_billed_and_one_that_jumps_back_is_held(make_park) -> None:
    park = make_park().start(speed=SPEED)
    rows = {point.meter: at for at, point in enumerate(park.plant.points)}
    broken, rolling = rows["e-a103"], rows["e-aev2"]  # the second begins a hundred counts before its rollover
    billed_before = int(points(park).billed_milli[broken])
    park.inject("set-register", "e-a103", "5")
    wait_for(lambda: points(park).held[broken] != 0, 20, "the register to be held")
    held_at = int(points(park).billed_milli[broken])
    assert held_at - billed_before < 100_000
    held = next(a.id for a in park.plant.alarms if a.source == park.plant.points[broken].id)
    wait_for(lambda: ALARM_STATES[park.alarm_state(held)] == "unacknowledged", 10, "its alarm")

    wait_for(lambda: points(park).raw[rolling] < 10_000, 90, "the register to roll over")
    billed_at_rollover = int(points(park).billed_milli[rolling])
    wait_for(lambda: points(park).billed_milli[rolling] > billed_at_rollover, 30, "charges after the rollover")
    assert points(park).held[rolling] == 0
    assert points(park).billed_milli[broken] == held_at
    wait_for(lambda: park.tag("X", "core", "LedgerBehindS")[0] < 2, 10, "a checkpoint")
    assert_books_are_right(park)


def points(park: Park) -> Any:
    snapshot = wait_for(park.snapshot, 5, "an image")
    return snapshot.columns.points


def test_a_second_start_and_a_taken_port_are_told_and_stop(make_park) -> None:
    first = make_park("first").start()
    second = make_park("second")
    second.data, second.config = first.data, first.config
    code, text = second.refused()
    assert code == 1
    assert f"in use by Wattkeeper process {first.pids()['run']}" in text
    third = make_park("third")
    third.http_port = first.http_port
    code, text = third.refused()
    assert code == 1
    assert f"port {first.http_port} on 127.0.0.1 for the HMI is not free" in text
    assert first.stop(timeout_s=5.0) == 0
    with pytest.raises(psycopg.OperationalError):
        first.sql("SELECT 1")


def test_a_core_that_was_overtaken_puts_its_history_away_before_it_ends(make_park) -> None:
    park = make_park().start()
    old = park.pids()["core"]
    park.sql("UPDATE book SET epoch = epoch + 1 RETURNING epoch")  # as another core does that takes the books
    wait_for(lambda: park.pids().get("core", old) != old, 2 * BACK_S, "the core to end and come back")
    log = (park.data.log / "core.log").read_text(encoding="utf-8")
    assert "Overtaken" in log
    assert "ends before its last records" in log
    wait_for(lambda: park.tag("X", "core", "DatabaseConnected") == (1.0, 0), 20, "its books")
    assert park.audit()[0] == 0

"""The demonstration park as a plant: what it must have, and numbers worked out by hand."""

import dataclasses
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from billing_core import columns, credit_levels, rate_check
from billing_core.columns import E_PRICES
from billing_core.plan import RATES, TierOptions
from billing_core.schedule import unroll
from billing_core.zones import DAY_S
from config.plant import FriendlyHours, Plant, load
from drivers.counters import IDENTITY_STATES
from drivers.device import NO_ROW
from scada import command, topology
from scada.image import SECTIONS
from scada.position import POSITIONS
from scada.tags import Tag

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy


@pytest.fixture(scope="module")
def plant(demo_folder: Path) -> Plant:
    return load(demo_folder)


def test_the_demonstration_is_as_large_as_promised(plant: Plant) -> None:
    media = Counter(point.medium for point in plant.points)
    assert len(plant.points) >= 70
    assert media["electricity"] >= 44
    assert set(media) == {"electricity", "water", "gas", "steam", "heat", "cooling"}
    assert len(plant.accounts) >= 44
    assert len(plant.buildings) == 2
    assert {gateway.transport for gateway in plant.gateways} == {"modbus-tcp", "tcp", "serial", "dial-in"}
    protocols = {device.profile.protocol for device in plant.devices}
    assert protocols == {"modbus", "dlt645-2007", "dlt645-1997", "cjt188"}
    real = [point for point in plant.points if not point.virtual]
    phases = {plant.device_phases[point.meter] for point in real if point.medium == "electricity"}
    assert phases == {1, 3}
    assert any(device.ct > 1 and device.point >= 0 for device in plant.devices)


def test_a_meter_without_a_number_is_not_asked_for_it(copy: "Copy") -> None:
    devices = {device.id: device for device in load(copy.folder).devices}
    assert devices["e-adc2"].profile.identity
    assert (devices["e-adc2"].serial, devices["e-adc2"].identity_row) == ("", NO_ROW)
    copy.edit("meters.csv", ",abb-b23,gw-a1,9,,", ",abb-b23,gw-a1,9,26261127,")
    assert {device.id: device for device in load(copy.folder).devices}["e-adc2"].identity_row != NO_ROW


def test_every_gateway_carries_a_believable_bus(plant: Plant) -> None:
    units = Counter(device.gateway for device in plant.devices)
    assert units.keys() == {gateway.id for gateway in plant.gateways}
    assert all(3 <= count <= 20 for count in units.values())


def test_the_station_has_incomers_a_bus_section_and_a_dozen_feeders(plant: Plant) -> None:
    (network,) = plant.networks
    kinds = Counter(edge.kind for edge in network.edges)
    assert kinds["transformer"] == 2
    assert kinds["breaker"] == 2 + 1 + 14
    assert Counter(node.kind for node in network.nodes)["source"] == 2
    switches = {breaker.id for breaker in plant.breakers}
    assert {edge.device for edge in network.edges if edge.device} <= switches
    assert plant.field.open_at_start == {"q-tie", "q-f14"}


def test_some_purses_pay_for_several_media(plant: Plant) -> None:
    media: dict[int, set[str]] = {}
    for point in plant.points:
        media.setdefault(point.account, set()).add(point.medium)
    assert sum(len(found) >= 2 for found in media.values()) >= 10
    assert max(map(len, media.values())) >= 3


def test_protected_purses_have_no_breaker_that_credit_may_open(plant: Plant) -> None:
    protected = [account for account in plant.accounts if account.protected]
    assert {account.id for account in protected} == {"t-fire", "t-dc"}
    assert all(account.breakers == () for account in protected)
    assert [account.id for account in plant.accounts if account.opening_nano <= 0] == ["t-house"]


def test_vacant_rooms_belong_to_an_account_that_is_never_switched_off(plant: Plant, copy: "Copy") -> None:
    house = next(account for account in plant.accounts if account.id == plant.ledger.house)
    assert (house.breakers, house.overdraft_nano) == ((), 1_000_000 * 10**9)
    copy.edit("plant.toml", 'house = "t-house"', 'house = "t-hose"')
    copy.edit("plant.toml", "least = 5\n", "least = 9000\n")
    faults = [str(fault) for fault in copy.faults()]
    assert any("ledger.house: unknown tenant 't-hose' (did you mean 't-house'?)" in fault for fault in faults)
    assert any("account_class.resident" in fault and "least <= most" in fault for fault in faults)
    assert any("no supply point is paid by 't-house'" in fault for fault in faults)


def test_account_classes_carry_limits(plant: Plant) -> None:
    assert plant.account_classes.keys() == {"standard", "resident", "business"}
    assert plant.account_classes["resident"].emergency_nano == 20 * 10**9
    assert {account.account_class for account in plant.accounts} == {"standard", "resident", "business"}
    flat = next(account for account in plant.accounts if account.id == "t-r01")
    assert (flat.account_class, flat.tenant) == ("resident", "t-r01")


def test_names_exist_in_both_languages(plant: Plant) -> None:
    owners = {tag.id.split("/")[2] for tag in plant.tags.tags} | {
        folder for tag in plant.tags.tags for folder in tag.path
    }
    assert owners <= plant.names.keys()
    assert all(name.zh and name.en for name in plant.names.values())
    assert all(tag.description_zh and tag.description_en for tag in plant.tags.tags)


def test_rows_index_the_tag_table(plant: Plant) -> None:
    for device in plant.devices:
        for measure, row in device.rows.items():
            assert plant.tags.tags[row].id == f"park/M/{device.id}/{measure}"
        assert plant.row("M", device.id, "Online") == device.online_row
        if device.point >= 0:
            assert plant.points[device.point].meter == device.id
    for breaker in plant.breakers:
        assert plant.tags.tags[breaker.position_row].states == POSITIONS
        if breaker.current_row != NO_ROW:  # a water valve has none
            assert plant.tags.tags[breaker.current_row].name == "CurrentL1"
        assert plant.tags.tags[breaker.discrepancy_row].name == "Discrepancy"


def test_tags_that_the_core_computes_cannot_grow_stale(plant: Plant) -> None:
    def of(tag_id: str) -> Tag:
        return plant.tags.tags[plant.tags.index[tag_id]]

    assert of("park/M/e-a101/ActivePowerTotal").field
    assert of("park/M/e-a101/ActiveEnergyImportTotal").deadband == 0.0
    for tag_id in ("M/e-a101/Online", "N/gw-ss/CycleMs", "P/p-e-a101/Held", "T/t-s01/BalanceMinor", "X/core/ScanMs"):
        assert not of(f"park/{tag_id}").field
    assert of("park/P/p-g-a102/Billed").unit == "m3"
    assert of("park/T/t-s01/Balance").currency == "CNY"
    assert of("park/D/n-bus1/Energised").path == ("Stations", "ss1", "n-bus1")
    assert of("park/M/e-a101/VoltageL1").path == ("Areas", "a", "e-a101")


def test_ratios_and_limits_worked_out_by_hand(plant: Plant) -> None:
    points = {point.id: point for point in plant.points}
    # 100/5 A transformers: 0.01 kWh x 20 = 0.2 kWh = 200 milli; 100 A x 220 V x 3 x 1.2 / 3600 = 22 Wh/s
    assert (points["p-e-a102"].milli_per_count, points["p-e-a102"].max_milli_per_s) == (200, 22)
    # direct meter: 0.01 kWh; 60 A x 220 V x 1.2 / 3600 = 4.4 Wh/s, rounded up
    assert (points["p-e-a101"].milli_per_count, points["p-e-a101"].max_milli_per_s) == (10, 5)
    # gas 0.01 m3 a count; 16 m3/h x 1.2 = 5.33 L/s, rounded up
    assert (points["p-g-a102"].milli_per_count, points["p-g-a102"].max_milli_per_s) == (10, 6)
    # cooling 0.1 kWh a count
    assert (points["p-c-a201"].milli_per_count, points["p-c-a201"].unit) == (100, "kWh")


def test_a_position_counts_as_fresh_for_two_reads_of_its_line(plant: Plant) -> None:
    fresh_s = {breaker.id: breaker.fresh_s for breaker in plant.breakers}
    assert fresh_s["e-a101"] == 3.0  # Modbus TCP, every second
    assert fresh_s["w-b401"] == 21.0  # its line is read every ten seconds
    assert fresh_s["e-b501"] == 13.0  # every six seconds


def test_money_is_exact(plant: Plant) -> None:
    accounts = {account.id: account for account in plant.accounts}
    assert accounts["t-s01"].opening_nano == 8_500_000_000
    assert accounts["t-dc"].overdraft_nano == 3_000_000_000_000
    plans = {plan.id: plan.versions[0] for plan in plant.plans}
    assert [plans["e-commercial"].price_micro(rate, 0) for rate in range(5)] == [
        1_381_200, 1_151_000, 723_600, 341_500, 201_800,
    ]  # fmt: skip
    assert [plans["w-commercial"].price_micro(rate, 0) for rate in range(5)] == [-1, -1, 4_950_000, -1, -1]


def test_every_minute_of_every_plan_has_one_rate_with_a_price(plant: Plant) -> None:
    from_s = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    for plan in plant.plans:
        entries = unroll(plan, TierOptions(), from_s, from_s + 366 * DAY_S).entries
        assert (entries[:-1, E_PRICES] >= 0).all(), plan.id


def test_layout_counts_and_hash(plant: Plant, copy: "Copy") -> None:
    sizes = {"tags": len(plant.tags), "points": len(plant.points), "accounts": 49 + 32, "alarms": len(plant.alarms)}
    assert dict(plant.layout.counts) == sizes
    assert plant.layout.counts.keys() == SECTIONS.keys()
    assert load(copy.folder).layout.hash == plant.layout.hash
    copy.edit("tenants.csv", ",8.50,", ",9.50,")
    assert load(copy.folder).layout.hash == plant.layout.hash  # no row has moved
    copy.edit("alarms.toml", 'name = "BalanceLow"', 'name = "BalanceScarce"')
    assert load(copy.folder).layout.hash != plant.layout.hash


def test_places_feeders_and_loads(plant: Plant) -> None:
    place = plant.point_places["p-e-a102"]
    assert (place.building, place.floor, place.room) == ("a", "1F", "102")
    assert plant.device_places["q-f01"].building == "ss1"
    assert plant.device_feeder["e-a102"] == "q-f01"
    assert plant.device_feeder["q-f01"] == "q-in1"
    assert plant.device_feeder["q-in1"] == ""
    assert {point.meter for point in plant.points if not point.virtual} == plant.field.loads.keys()
    assert plant.field.control_port == 15010


def test_gas_is_never_closed_remotely(copy: "Copy") -> None:
    """A gas meter with a valve becomes a switch that may be shut and not opened again from afar."""
    text = (copy.folder / "profiles/wattkeeper-demo-1p.toml").read_text(encoding="utf-8")
    switch = text[text.index("[switch]") :].replace('current = "CurrentL1"', "")
    switch = switch.replace("close_value = 0xAAAA", "")
    copy.append("profiles/wattkeeper-demo-gas.toml", "\n" + switch)
    copy.edit(
        "profiles/wattkeeper-demo-gas.toml",
        "registers = [",
        'registers = [{ measure = "Position", function = 3, address = 9, type = "u16", zh = "阀位", en = "Valve" },',
    )
    breakers = {breaker.id: breaker for breaker in load(copy.folder).breakers}
    valve = breakers["g-a102"]
    assert (valve.kind, valve.medium, valve.remote_close, valve.current_row) == ("valve", "gas", False, -1)
    assert breakers["e-a102"].remote_close
    accounts = {account.id: account for account in load(copy.folder).accounts}
    assert accounts["t-s02"].breakers == ("e-a102",)


def test_friendly_hours_cross_midnight(copy: "Copy") -> None:
    copy.edit("plant.toml", "friendly = []", 'friendly = [{ days = ["mon"], start = "17:00", end = "09:00" }]')
    assert load(copy.folder).credit.friendly == (FriendlyHours(frozenset({0}), 17 * 60, 9 * 60),)


def test_the_plant_is_frozen_and_loads_fast(plant: Plant, demo_folder: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        plant.scan_period_s = 2.0  # type: ignore[misc]
    begun = time.process_time()
    load(demo_folder)
    assert time.process_time() - begun < 1.0  # processor seconds; it takes about 0.05


def test_states_are_those_of_the_trades(plant: Plant) -> None:
    """The texts of an enum come from the package that writes its numbers."""
    states = {tag.name: tag.states for tag in plant.tags.tags if tag.kind == "enum"}
    assert states == {
        "Position": POSITIONS,
        "CommandState": command.STATES,
        "RatePeriod": RATES,
        "Held": columns.HELD,
        "RateRegisters": rate_check.STATES,
        "CreditState": credit_levels.STATES,
        "StopsHeld": credit_levels.STOPS_HELD,
        "IdentityFault": IDENTITY_STATES,
        "Energised": topology.ENERGISED_STATES,
    }

"""Alarm rules expand to alarms with the limits, texts and names of the things they watch."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alarms.definition import AlarmDefinition
from config.plant import Plant, load

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy


@pytest.fixture(scope="module")
def plant(demo_folder: Path) -> Plant:
    return load(demo_folder)


@pytest.fixture(scope="module")
def alarms(plant: Plant) -> dict[str, AlarmDefinition]:
    return {alarm.id: alarm for alarm in plant.alarms}


def test_ids_are_unique_and_name_their_tag(plant: Plant, alarms: dict[str, AlarmDefinition]) -> None:
    assert len(alarms) == len(plant.alarms)
    for alarm in plant.alarms:
        assert alarm.id.rpartition("/")[0] == plant.tags.tags[alarm.tag_row].id
        assert alarm.source in plant.names


def test_a_limit_follows_the_rating_of_the_device(alarms: dict[str, AlarmDefinition]) -> None:
    alarm = alarms["park/M/q-f01/CurrentL2/HighHigh"]
    assert (alarm.comparison, alarm.limit, alarm.deadband, alarm.priority) == ("above", 350.0, 17.5, 2)
    assert alarm.text_zh == "A座1层商铺馈线 B相电流超过额定 350 A"
    assert alarm.text_en == "Tower A shops feeder: Current L2 above the rated 350 A"


def test_voltage_limits_follow_the_nominal_voltage(alarms: dict[str, AlarmDefinition]) -> None:
    low, high = alarms["park/M/e-a101/VoltageL1/Low"], alarms["park/M/e-a101/VoltageL1/High"]
    assert (low.comparison, low.limit) == ("below", pytest.approx(198.0))
    assert (high.comparison, high.limit) == ("above", pytest.approx(235.4))


def test_balance_alarms_follow_the_purse(alarms: dict[str, AlarmDefinition]) -> None:
    first, last = alarms["park/T/t-s01/Balance/BalanceLow"], alarms["park/T/t-s01/Balance/BalanceLowLow"]
    assert (first.limit, first.deadband, first.unit) == (200.0, 20.0, "CNY")
    assert (last.limit, last.deadband) == (50.0, 5.0)
    assert "park/T/t-house/Balance/BalanceLow" not in alarms  # nobody tops up vacant rooms


def test_every_kind_of_alarm_is_there(plant: Plant, alarms: dict[str, AlarmDefinition]) -> None:
    kinds = Counter((alarm.id.split("/")[1], alarm.id.rpartition("/")[2]) for alarm in plant.alarms)
    assert kinds["M", "CommunicationLoss"] == len(plant.devices)
    assert kinds["N", "CommunicationLoss"] == len(plant.gateways)
    assert kinds["M", "Discrepancy"] == len(plant.breakers)
    assert kinds["T", "BalanceLow"] == kinds["T", "BalanceLowLow"] == len(plant.accounts) - 1  # not the house
    assert alarms["park/X/core/OverrunActive/ScanOverrun"].comparison == "equal"
    assert alarms["park/X/core/DatabaseConnected/DatabaseDisconnected"].limit == 0.0


def test_a_rule_may_be_narrowed_to_profiles(copy: "Copy") -> None:
    copy.edit("alarms.toml", 'name = "High"', 'name = "High"\nprofiles = ["abb-b23"]')
    alarms = [alarm for alarm in load(copy.folder).alarms if alarm.id.endswith("/High")]
    assert [alarm.source for alarm in alarms] == ["e-adc2"] * 3
    assert alarms[0].limit == pytest.approx(230.0 * 1.07)

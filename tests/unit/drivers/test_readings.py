"""What a device's failures do to the stage before it is published."""

import struct

from harness import Plant

from drivers.readings import DeviceReadings
from scada.quality import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_LAST_USABLE


def test_what_never_held_a_value_is_bad_and_not_last_usable() -> None:
    plant = Plant(1)
    readings = DeviceReadings(plant.devices[0], plant.stage)
    readings.accept(0, struct.pack(">IH", 1000, 2300), 5)
    readings.lose(UNCERTAIN_LAST_USABLE)
    staged = plant.stage._columns
    assert list(staged.tags.quality[:3]) == [UNCERTAIN_LAST_USABLE, UNCERTAIN_LAST_USABLE, BAD_NO_COMMUNICATION]
    assert list(staged.points.quality) == [UNCERTAIN_LAST_USABLE]
    assert list(staged.points.raw) == [1000]
    assert list(staged.tags.source_time[:2]) == [5, 5]


def test_an_impossible_register_is_not_taken_over() -> None:
    plant = Plant(1)
    readings = DeviceReadings(plant.devices[0], plant.stage)
    readings.accept(0, struct.pack(">IH", 1000, 2300), 5)
    assert list(plant.stage._columns.points.quality) == [GOOD]
    readings.accept(0, struct.pack(">IH", 10**8, 2300), 6)
    assert list(plant.stage._columns.points.raw) == [1000]
    assert list(plant.stage._columns.points.source_time) == [5]
    assert list(plant.stage._columns.points.quality) != [GOOD]

"""What a device's failures do to the stage before it is published."""

import struct

from harness import Plant, profile, register

from drivers.bulk import BulkDecoder
from drivers.device import Device
from drivers.profile import Billing
from drivers.readings import DeviceReadings
from drivers.replies import ReplyStore
from scada.image import NO_RATE, RATE_COLUMNS
from scada.quality import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_LAST_USABLE


def readings_of(plant: Plant, device: Device) -> DeviceReadings:
    return DeviceReadings(device, BulkDecoder(ReplyStore([device]), plant.stage))


def test_what_never_held_a_value_is_bad_and_not_last_usable() -> None:
    plant = Plant(1)
    readings = readings_of(plant, plant.devices[0])
    readings.accept(0, struct.pack(">IH", 1000, 2300), 5)
    readings.lose(UNCERTAIN_LAST_USABLE)
    staged = plant.stage._columns
    assert list(staged.tags.quality[:3]) == [UNCERTAIN_LAST_USABLE, UNCERTAIN_LAST_USABLE, BAD_NO_COMMUNICATION]
    assert list(staged.points.quality) == [UNCERTAIN_LAST_USABLE]
    assert list(staged.points.raw) == [1000]
    assert list(staged.tags.source_time[:2]) == [5, 5]


def test_an_impossible_register_is_not_taken_over() -> None:
    plant = Plant(1)
    readings = readings_of(plant, plant.devices[0])
    readings.accept(0, struct.pack(">IH", 1000, 2300), 5)
    plant.publish()
    assert list(plant.stage._columns.points.quality) == [GOOD]
    readings.accept(0, struct.pack(">IH", 10**8, 2300), 6)
    plant.publish()
    assert list(plant.stage._columns.points.raw) == [1000]
    assert list(plant.stage._columns.points.source_time) == [5]
    assert list(plant.stage._columns.points.quality) != [GOOD]


def test_rate_registers_come_with_the_total() -> None:
    """A register beyond the modulus is not known; the total is billed all the same."""
    plant = Plant(1)
    model = profile(
        register("Energy", 0, "u32"),
        register("EnergyPeak", 2, "u32"),
        register("EnergyValley", 4, "u32"),
        billing=Billing("Energy", 10, 10**8, ("", "EnergyPeak", "", "EnergyValley", "")),
    )
    rows = {"Energy": 0, "EnergyPeak": 1, "EnergyValley": 2}
    readings = readings_of(plant, Device("m", "g", 1, model, 1, 1, rows, point=0))
    readings.accept(0, struct.pack(">III", 1000, 700, 300), 5)
    work = plant.publish()
    assert [int(getattr(work.points, name)[0]) for name in RATE_COLUMNS] == [NO_RATE, 700, NO_RATE, 300, NO_RATE]
    readings.accept(0, struct.pack(">III", 1001, 10**8, 301), 6)
    work = plant.publish()
    assert [int(getattr(work.points, name)[0]) for name in RATE_COLUMNS] == [NO_RATE, NO_RATE, NO_RATE, 301, NO_RATE]
    assert (int(work.points.raw[0]), int(plant.stage._columns.points.quality[0])) == (1001, GOOD)

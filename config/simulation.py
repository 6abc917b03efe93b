"""The meters of the simulated field: every device of a plant with what field.toml says of its load.

Rule: imported by the room `field` alone; a real plant has no use for it.
"""

from typing import Final

from config.plant import Plant
from config.settings import LoadSettings
from drivers.device import Device
from drivers.field.model import SimMeter

UNLOADED: Final = LoadSettings(nominal=0.0, shape="flat", seed=0)  # carries only what hangs below it


def simulated_meters(plant: Plant) -> list[SimMeter]:
    """Return every device of the plant as the field simulates it."""
    return [_simulated(plant, device) for device in plant.devices]


def _simulated(plant: Plant, device: Device) -> SimMeter:
    load = plant.field.loads.get(device.id, UNLOADED)
    return SimMeter(
        device,
        nominal=load.nominal,
        parent=plant.device_feeder[device.id],
        shape=load.shape,
        seed=load.seed,
        phases=plant.device_phases[device.id],
        initial_counts=load.initial_counts,
        closed=device.id not in plant.field.open_at_start,
        rate_minutes=plant.rate_minutes.get(device.id, ()),
    )

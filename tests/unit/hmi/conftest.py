"""The demonstration plant, and an image of it that a test fills as it likes."""

from pathlib import Path

import pytest

from config.plant import Plant, load
from hmi.lookup import Lookup
from scada.image import Columns, Snapshot

DEMO = Path(__file__).parents[3] / "config" / "demo"


@pytest.fixture(scope="session")
def plant() -> Plant:
    return load(DEMO)


@pytest.fixture
def lookup(plant: Plant) -> Lookup:
    return Lookup(plant)


@pytest.fixture
def snapshot(plant: Plant) -> Snapshot:
    columns = Columns.private(plant.layout)
    columns.tags.quality[:] = 0
    return Snapshot(1, 1_700_000_000_000_000_000, 1, columns)

"""Rooms by the names people give them."""

from pathlib import Path

import pytest

from config.plant import Plant, load
from config.rooms import points_of_room
from scada.errors import Refused


@pytest.fixture(scope="module")
def plant(demo_folder: Path) -> Plant:
    return load(demo_folder)


def test_a_room_is_found_by_any_part_of_its_place(plant: Plant) -> None:
    assert points_of_room(plant, "a/1F/101") == points_of_room(plant, "a/101") == points_of_room(plant, "1F/101")
    assert "p-e-a101" in points_of_room(plant, "a/1F/101")


@pytest.mark.parametrize(("room", "code"), [("a/9F/101", "room.unknown"), ("nowhere", "room.unknown")])
def test_an_unknown_room_is_refused(plant: Plant, room: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        points_of_room(plant, room)
    assert refused.value.code == code

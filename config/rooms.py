"""The supply points of a room, by the name a person gives it: "101", "1F/101", "a/1F/101" or "a/101".

Rule: a room is a place of the configuration (`Plant.point_places`); nothing here opens or closes anything.
"""

from config.plant import Plant
from scada.errors import Refused


def points_of_room(plant: Plant, room: str) -> list[str]:
    """Return the ids of a room's supply points. Refused "room.unknown", "room.ambiguous"."""
    words = room.split("/")
    found: dict[tuple[str, str, str], list[str]] = {}
    for point, place in plant.point_places.items():
        parts = (place.building, place.floor, place.room)
        if place.room == words[-1] and all(word in parts[:2] for word in words[:-1]):
            found.setdefault(parts, []).append(point)
    if not found:
        raise Refused("room.unknown", f"no supply point stands in room {room!r}; write it as building/floor/room")
    if len(found) > 1:
        places = ", ".join("/".join(filter(None, parts)) for parts in found)
        raise Refused("room.ambiguous", f"there is more than one room {room!r}: {places}")
    return next(iter(found.values()))

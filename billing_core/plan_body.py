"""Bodies of plans: everything that decides a price, as plain JSON data, and the hash that names it.

A body is self-contained: holidays are spelled out as dates and the zone is named, so that a charge can be computed
again from the books alone in ten years. Rule: pure; what is stored is never read with the help of a configuration.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from billing_core.components import BaseQuantity, Capacity, Component, Demand, FixedCharge, Minimum, PowerFactor
from billing_core.plan import (
    ALWAYS_S,
    FOREVER_S,
    NO_PRICE_MICRO,
    RATES,
    Days,
    DayTable,
    Plan,
    PricePart,
    Season,
    Slot,
    Tax,
    Tiers,
    Version,
)

KIND_OF: Final[Mapping[type[Component], str]] = {
    FixedCharge: "fixed",
    Demand: "demand",
    Capacity: "capacity",
    PowerFactor: "power_factor",
    Minimum: "minimum",
    BaseQuantity: "base_quantity",
}
COMPONENT: Final = {kind: component for component, kind in KIND_OF.items()}
PIECE: Final = 1500  # characters; a text in an operation has at most 2000
PACKED_MOST: Final = 60_000
BODY_BYTES_MOST: Final = 4_000_000
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def plan_body(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain JSON data; equal plans have equal bodies."""
    return {
        "id": plan.id,
        "name_zh": plan.name_zh,
        "name_en": plan.name_en,
        "medium": plan.medium,
        "unit": plan.unit,
        "currency": plan.currency,
        "timezone": plan.timezone,
        "versions": [_version_body(version) for version in plan.versions],
    }


def plan_of(body: Mapping[str, Any]) -> Plan:
    """Return the plan that a stored body describes. Raises KeyError, TypeError or ValueError when it describes none."""
    versions = tuple(map(_version_of, body["versions"])) if "versions" in body else (_plain_version(body),)
    return Plan(
        id=body["id"],
        name_zh=body.get("name_zh", ""),
        name_en=body.get("name_en", ""),
        medium=body["medium"],
        unit=body["unit"],
        currency=body["currency"],
        timezone=body["timezone"],
        versions=versions,
    )


def body_hash(body: Mapping[str, Any]) -> bytes:
    """Return the hash that names a body."""
    return hashlib.sha256(_canonical(body)).digest()


def plan_hash(plan: Plan) -> bytes:
    """Return the hash of a plan's body."""
    return body_hash(plan_body(plan))


def pack(body: Mapping[str, Any]) -> list[str]:
    """Return a body as short pieces of text that fit into one message to the core, whose values hold 64 kB.

    Raises ValueError when it is too large even so; a body of hundreds of versions goes by a restart.
    """
    text = base64.b85encode(zlib.compress(_canonical(body), 9)).decode("ascii")
    if len(text) > PACKED_MOST:
        raise ValueError(f"plan {body['id']} takes {len(text)} bytes packed; at most {PACKED_MOST} fit")
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def unpack(pieces: Sequence[str]) -> Any:
    """Return what was packed. Raises ValueError for anything else."""
    try:
        opener = zlib.decompressobj()
        raw = opener.decompress(base64.b85decode("".join(pieces)), BODY_BYTES_MOST)
        if not opener.eof:
            raise ValueError(f"a body has at most {BODY_BYTES_MOST} bytes")
        return json.loads(raw)
    except zlib.error as error:
        raise ValueError("this is no packed plan") from error


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")


def _version_body(version: Version) -> dict[str, Any]:
    return {
        "from_s": version.from_s,
        "to_s": version.to_s,
        "tables": [
            {
                "seasons": [[list(season.first), list(season.last)] for season in table.seasons],
                "kinds": sorted(table.kinds),
                "slots": sorted([slot.start_minute, slot.end_minute, slot.rate] for slot in table.slots),
            }
            for table in version.tables
        ],
        "days": {
            "holidays": sorted(version.days.holidays),
            "make_up": sorted(version.days.make_up),
            "special": [[name, sorted(days)] for name, days in version.days.special],
        },
        "parts": [asdict(part) | {"price_micro": list(map(list, part.price_micro))} for part in version.parts],
        "tiers": None if version.tiers is None else asdict(version.tiers) | {"bounds_milli": list(_bounds(version))},
        "tax": asdict(version.tax),
        "components": [_component_body(component) for component in version.components],
    }


def _bounds(version: Version) -> tuple[int, ...]:
    return () if version.tiers is None else version.tiers.bounds_milli


def _component_body(component: Component) -> dict[str, Any]:
    """Return a component with the word for its kind; tuples become lists, as they come back from JSON."""
    fields: dict[str, Any] = json.loads(json.dumps(asdict(component)))
    return fields | {"kind": KIND_OF[type(component)]}


def _version_of(body: Mapping[str, Any]) -> Version:
    days, tiers = body["days"], body["tiers"]
    return Version(
        from_s=body["from_s"],
        to_s=body["to_s"],
        tables=tuple(map(_table_of, body["tables"])),
        days=Days(
            frozenset(days["holidays"]),
            frozenset(days["make_up"]),
            tuple((name, frozenset(named)) for name, named in days["special"]),
        ),
        parts=tuple(PricePart(**part | {"price_micro": _tuples(part["price_micro"])}) for part in body["parts"]),
        tiers=None if tiers is None else Tiers(**tiers | {"bounds_milli": tuple(tiers["bounds_milli"])}),
        tax=Tax(**body["tax"]),
        components=tuple(map(_component_of, body["components"])),
    )


def _table_of(body: Mapping[str, Any]) -> DayTable:
    return DayTable(
        tuple(Season((first[0], first[1]), (last[0], last[1])) for first, last in body["seasons"]),
        frozenset(body["kinds"]),
        tuple(Slot(*slot) for slot in body["slots"]),
    )


def _component_of(body: Mapping[str, Any]) -> Component:
    fields = {name: value for name, value in body.items() if name != "kind"}
    if body["kind"] == "power_factor":
        fields |= {"steps": _tuples(fields["steps"]), "parts": tuple(fields["parts"])}
    return COMPONENT[body["kind"]](**fields)


def _tuples(rows: Sequence[Sequence[int]]) -> tuple[Any, ...]:
    return tuple(map(tuple, rows))


def _plain_version(body: Mapping[str, Any]) -> Version:
    """Return the only version of a body of the first releases: prices by rate, slots by weekday (0 Monday)."""
    prices = {int(rate): int(price) for rate, price in body["price_micro"].items()}
    tables = tuple(
        DayTable(
            (),
            frozenset((name,)),
            tuple(Slot(start, end, rate) for days, start, end, rate in body["slots"] if weekday in days),
        )
        for weekday, name in enumerate(WEEKDAYS)
    )
    part = PricePart("price", "", "", tuple((prices.get(rate, NO_PRICE_MICRO),) for rate in range(len(RATES))))
    return Version(ALWAYS_S, FOREVER_S, tables, Days(), (part,))

"""The CJ/T 188 profiles that come with Wattkeeper read each quantity where the layouts of the standard have it."""

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from config.profile_schema import ProfileTable
from config.profiling import profile_of
from drivers import cjt188
from drivers.cjt188 import Station, address_bytes
from drivers.cjt188_words import LAYOUTS, UNITS, layout_bytes
from drivers.pollplan import plan_blocks
from drivers.profile import Profile

PROFILES = sorted((Path(__file__).parents[3] / "config" / "profiles").glob("cjt188-*.toml"))
LAYOUT_OF = {"cjt188-heat-43": "heat, short", "cjt188-heat-unit-first": "heat, unit first"}


def load(path: Path) -> Profile:
    return profile_of(ProfileTable.model_validate(tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)))


def layout_of(model: Profile) -> str:
    return LAYOUT_OF.get(model.id, "heat, unit last" if model.medium in ("heat", "cooling") else "volume")


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_each_register_stands_where_the_layout_has_it(path: Path) -> None:
    model = load(path)
    places = {place.at: place for place in LAYOUTS[layout_of(model)]}
    for register in model.registers:
        if register.di != 0x901F:
            continue
        place = places[register.at]
        assert (register.size or 2, register.unit_at) == (place.size, place.unit_at), register.measure
        if place.kind == "bcd":
            assert register.scale == place.scale, register.measure
            assert register.unit in UNITS if place.unit_at >= 0 else register.unit == place.unit, register.measure


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_the_read_asks_for_the_whole_layout(path: Path) -> None:
    """The right reply has one length; a plan that expects another would refuse every reply."""
    model = load(path)
    (block,) = [block for block in plan_blocks(model) if block.address == 0x901F]
    assert block.payload_bytes == layout_bytes(layout_of(model))
    question = cjt188.read(Station(address_bytes("1"), model.meter_type), block.address, block.payload_bytes)
    assert question.payload_bytes == block.payload_bytes


def test_there_are_profiles_for_water_gas_and_heat() -> None:
    assert {"water", "gas", "heat", "cooling"} <= {load(path).medium for path in PROFILES}

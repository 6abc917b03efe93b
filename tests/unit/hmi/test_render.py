"""How a page shows what is no quantity: a moment as a time of the site, a meter's own number without grouping."""

from dataclasses import replace

import pytest

from config.plant import Plant
from hmi.i18n import read_languages
from hmi.lookup import Lookup
from hmi.render import Renderer


@pytest.fixture
def lookup(plant: Plant) -> Lookup:
    return Lookup(plant)


def shown(lookup: Lookup, letter: str, owner: str, measure: str) -> str:
    row = lookup.row(letter, owner, measure)
    assert row >= 0
    return str(Renderer(lookup)._live(row, read_languages()["zh"], "span", True))


def test_the_last_good_reply_is_a_time_without_a_unit(lookup: Lookup) -> None:
    html = shown(lookup, "M", "e-b501", "LastGood")
    assert 'data-as="moment"' in html
    assert "wk-unit" not in html


def test_a_number_on_a_nameplate_is_digits(lookup: Lookup) -> None:
    assert 'data-as="digits"' in shown(lookup, "M", "e-b501", "MeterNumber")
    assert lookup.tag(lookup.row("M", "e-b501", "MeterNumber")).kind == "int64"
    assert 'data-decimals="2"' in shown(lookup, "M", "e-b501", "ActiveEnergyImportTotal")


def test_a_valve_is_told_from_a_breaker(lookup: Lookup) -> None:
    assert lookup.kind_of("w-b401") == "valve"
    assert lookup.kind_of("e-b501") == "breaker"
    assert lookup.kind_of("e-adc1") == "breaker"  # no switch at all
    assert "已关" in shown(lookup, "M", "w-b401", "Position")
    assert "已关" not in shown(lookup, "M", "e-b501", "Position")


def test_gas_is_never_offered_to_be_opened(lookup: Lookup) -> None:
    assert lookup.targets_of("w-b401") == lookup.targets_of("e-b501") == ("open", "closed")
    assert lookup.targets_of("g-bw104") == ("open",)


def test_what_is_closed_on_the_spot_only_is_never_offered_to_be_closed(lookup: Lookup) -> None:
    lookup.breakers["e-b501"] = replace(lookup.breakers["e-b501"], remote_close=False)
    assert lookup.targets_of("e-b501") == ("open",)

"""A station that nobody configured must not be a configured device under another name: its switch has a desk."""

import pytest

from drivers.asking import StationSpec
from drivers.field_operations import same_station


@pytest.mark.parametrize(
    ("protocol", "one", "other", "same"),
    [
        ("cjt188", "0000000001", "1", True),
        ("cjt188", "0000000001", "33780000000001", True),  # with the maker's code, which some meters ignore
        ("cjt188", "0000000001", "33780000000002", False),
        ("dlt645-2007", "000000000001", "1", True),
        ("dlt645-2007", "990000000001", "1", False),
    ],
)
def test_one_meter_under_two_names_is_one_station(protocol: str, one: str, other: str, same: bool) -> None:
    def station(address: str) -> StationSpec:
        return StationSpec(protocol=protocol, address=address)  # type: ignore[arg-type]

    assert same_station(station(one).device(), station(other).device()) is same

"""The plan of folders: every tag once, no folder too large."""

from collections.abc import Iterator
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeManagementService
from asyncua.server.standard_address_space.standard_address_space import fill_address_space
from hypothesis import given, settings
from hypothesis import strategies as st

from opcua_server.space import CHILDREN_MAX, Builder, Folder, Namespaces, plan
from scada.tags import Tag
from tests.unit.opcua_server.harness import make_plant


def tag(number: int, path: tuple[str, ...]) -> Tag:
    return Tag(f"park/M/d{number}/V", "V", path, "V", "double", "电压", "Voltage")


def walk(folder: Folder) -> Iterator[Folder]:
    yield folder
    for child in folder.folders.values():
        yield from walk(child)


def test_tags_of_one_sort_share_all_attributes_but_their_own() -> None:
    """Ten objects of the library for each attribute of each tag were fifty megabytes in a demonstration."""
    space = AddressSpace()
    fill_address_space(NodeManagementService(space))
    tags = (
        tag(1, ("Meters", "d1")),
        tag(2, ("Meters", "d2")),
        Tag("park/M/d2/I", "I", ("Meters", "d2"), "A", "double", "电流", "Current"),
    )
    values = Builder(space, Namespaces(1, 2, "urn:types"), make_plant(tags)).build(
        lambda row: ua.DataValue(ua.Variant(float(row)))
    )

    def attributes(identifier: str) -> dict[Any, Any]:
        node = space[ua.NodeId(identifier, 2)]
        assert node.attributes[ua.AttributeIds.NodeId].value.Value.Value == node.nodeid
        return node.attributes

    def shared(one: str, other: str) -> set[str]:
        a, b = attributes(one), attributes(other)
        assert list(a) == list(b)
        return {name.name for name in a if a[name] is b[name]}

    every = {name.name for name in attributes(tags[0].id)}
    assert shared(tags[0].id, tags[1].id) == every - {"NodeId", "Value"}
    assert shared(f"{tags[0].id}/EngineeringUnits", f"{tags[1].id}/EngineeringUnits") == every - {"NodeId"}
    assert shared(tags[1].id, tags[2].id) == set()
    assert [values[row].value_callback(None, None).Value.Value for row in range(3)] == [0.0, 1.0, 2.0]


def test_a_crowded_folder_is_cut_into_groups() -> None:
    tree = plan(tuple(tag(n, ("Meters", f"d{n}")) for n in range(1201)))
    meters = tree.folders["Meters"]
    assert list(meters.folders)[:2] == ["1-200", "201-400"]
    assert list(meters.folders)[-1] == "1201-1201"
    assert max(folder.children for folder in walk(tree)) <= CHILDREN_MAX
    labels = [(folder.path, folder.group) for folder in walk(tree)]
    assert len(labels) == len(set(labels))  # they become node ids


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=300))
def test_every_tag_has_one_place_and_no_folder_is_too_large(paths: list[tuple[str, str]]) -> None:
    tree = plan(tuple(tag(n, path) for n, path in enumerate(paths)), children_max=7, group_size=3)
    rows = sorted(row for folder in walk(tree) for row in folder.rows)
    assert rows == list(range(len(paths)))
    assert all(folder.children <= 7 for folder in walk(tree))
    labels = [(folder.path, folder.group) for folder in walk(tree)]
    assert len(labels) == len(set(labels))

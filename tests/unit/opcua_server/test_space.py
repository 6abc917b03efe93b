"""The plan of folders: every tag once, no folder too large."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from opcua_server.space import CHILDREN_MAX, Folder, plan
from scada.tags import Tag


def tag(number: int, path: tuple[str, ...]) -> Tag:
    return Tag(f"park/M/d{number}/V", "V", path, "V", "double", "电压", "Voltage")


def walk(folder: Folder) -> Iterator[Folder]:
    yield folder
    for child in folder.folders.values():
        yield from walk(child)


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

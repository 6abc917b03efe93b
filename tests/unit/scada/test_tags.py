"""The tag table: rows by id, without a string or a dictionary entry for each of hundreds of thousands of tags."""

import pytest

from scada.tags import Tag, TagTable


def tag(owner: str, measure: str) -> Tag:
    return Tag(f"{owner}/{measure}", measure, ("Areas", owner), "V", "double", "电压", "Voltage")


TABLE = TagTable(tuple(tag(owner, measure) for owner in ("park/M/e1", "park/M/e2", "park/T/t1") for measure in "UIP"))


def test_every_id_leads_to_its_row_and_back() -> None:
    assert [TABLE.index[each.id] for each in TABLE.tags] == list(range(9))
    assert list(TABLE.index) == list(TABLE.ids) == [each.id for each in TABLE.tags]
    assert TABLE.ids[3:5] == ("park/M/e2/U", "park/M/e2/I")
    assert TABLE.rows(["park/T/t1/P", "park/M/e1/U"]).tolist() == [8, 0]
    assert len(TABLE.index) == len(TABLE.ids) == len(TABLE) == 9


@pytest.mark.parametrize("unknown", ["park/M/e1/X", "park/M/e3/U", "park/M/e1", "U", ""])
def test_an_unknown_id_is_named(unknown: str) -> None:
    assert unknown not in TABLE.index
    assert TABLE.index.get(unknown) is None
    with pytest.raises(KeyError, match=f"'{unknown}'"):
        TABLE.rows([unknown])


def test_owners_of_one_kind_share_what_their_tags_have_in_common() -> None:
    first, second = TABLE.tags[0], TABLE.tags[3]
    assert first.owner is TABLE.tags[1].owner
    assert first.sort is second.sort
    assert not hasattr(first, "__dict__")


@pytest.mark.parametrize("tags", [[("a", "U"), ("a", "U")], [("a", "U"), ("b", "U"), ("a", "I")]])
def test_two_tags_of_one_id_and_owners_that_are_torn_apart_are_refused(tags: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="share one id, or do not stand together"):
        TagTable(tuple(tag(*each) for each in tags))


def test_an_id_ends_with_its_measure() -> None:
    with pytest.raises(ValueError, match="does not end with its measure"):
        Tag("park/M/e1/U", "I", ("Areas",), "V", "double", "电压", "Voltage")

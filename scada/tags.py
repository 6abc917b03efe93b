"""Tags: the named live values of a site, as one table whose row numbers index every column of the process image.

Rule: a tag's id is made of configuration ids, is stable for life and is the OPC UA NodeId string.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

Kind = Literal["double", "int64", "boolean", "enum"]


class Sort(NamedTuple):
    """What the tags of one measure have in common on every device of a model: one object for thousands of tags."""

    name: str  # the measure: PascalCase, no unit inside
    unit: str  # a symbol of scada.units, or "" for a ratio, a state or money
    kind: Kind
    description_zh: str
    description_en: str
    deadband: float = 0.0  # historian: absolute change worth recording; 0 records every change
    history: bool = True
    field: bool = True  # comes from a device, so it can grow stale; False for values the core computes
    states: tuple[str, ...] = ()  # texts of an enum, by value
    currency: str = ""  # ISO 4217 code when the value is money in major units


_sorts: dict[Sort, Sort] = {}


class Tag:
    """One named live value; never changed. A site has hundreds of thousands, so it holds only what is its own."""

    __slots__ = ("owner", "path", "sort")

    def __init__(self, id: str, name: str, path: tuple[str, ...], *common: Any, **named: Any) -> None:
        """id: "<site>/<kind letter>/<configuration id>/<Measure>", e.g. "park/M/e-a101/ActivePowerTotal".

        path: folder ids below the site, e.g. ("Areas", "a", "e-a101").   common, named: the other fields of Sort
        ValueError for an id that does not end with the measure.
        """
        owner, _, measure = id.rpartition("/")
        if measure != name:
            raise ValueError(f"the id {id!r} of a tag does not end with its measure {name!r}")
        self.owner = sys.intern(owner)
        self.path = path
        made = Sort(name, *common, **named)
        self.sort = _sorts.setdefault(made, made)

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.sort.name}"

    @property
    def name(self) -> str:
        return self.sort.name

    @property
    def unit(self) -> str:
        return self.sort.unit

    @property
    def kind(self) -> Kind:
        return self.sort.kind

    @property
    def description_zh(self) -> str:
        return self.sort.description_zh

    @property
    def description_en(self) -> str:
        return self.sort.description_en

    @property
    def deadband(self) -> float:
        return self.sort.deadband

    @property
    def history(self) -> bool:
        return self.sort.history

    @property
    def field(self) -> bool:
        return self.sort.field

    @property
    def states(self) -> tuple[str, ...]:
        return self.sort.states

    @property
    def currency(self) -> str:
        return self.sort.currency

    def __repr__(self) -> str:
        return f"Tag({self.id!r})"


class TagIds(Sequence[str]):
    """The ids of tags in image order, each made when it is asked for."""

    def __init__(self, tags: tuple[Tag, ...]) -> None:
        self._tags = tags

    def __len__(self) -> int:
        return len(self._tags)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> tuple[str, ...]: ...

    def __getitem__(self, row: int | slice) -> str | tuple[str, ...]:
        return tuple(tag.id for tag in self._tags[row]) if isinstance(row, slice) else self._tags[row].id


class TagIndex(Mapping[str, int]):
    """Tag id -> image row. Owners of one kind have the same measures, so that one dictionary serves thousands."""

    def __init__(self, tags: tuple[Tag, ...]) -> None:
        self._tags = tags
        self._owners: dict[str, tuple[int, dict[str, int]]] = {}  # -> first row, measure -> place behind it
        known: dict[tuple[str, ...], dict[str, int]] = {}
        row = 0
        for owner, members in groupby(tags, attrgetter("owner")):
            names = tuple(tag.name for tag in members)
            places = known.setdefault(names, {name: place for place, name in enumerate(names)})
            if owner in self._owners or len(places) < len(names):  # the configuration checks name them before this
                raise ValueError(f"two tags of {owner} share one id, or do not stand together")
            self._owners[owner] = row, places
            row += len(names)

    def __getitem__(self, tag_id: str) -> int:
        owner, _, measure = tag_id.rpartition("/")
        first, places = self._owners.get(owner, (0, {}))
        if measure not in places:
            raise KeyError(tag_id)
        return first + places[measure]

    def __iter__(self) -> Iterator[str]:
        return iter(TagIds(self._tags))

    def __len__(self) -> int:
        return len(self._tags)


@dataclass(frozen=True)
class TagTable:
    """The tags of a site in image order. The tags of one owner stand together."""

    tags: tuple[Tag, ...]
    index: TagIndex = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", TagIndex(self.tags))

    def __len__(self) -> int:
        return len(self.tags)

    @property
    def ids(self) -> TagIds:
        return TagIds(self.tags)

    def rows(self, ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the image rows of tag ids; KeyError names the first unknown id."""
        return np.array([self.index[tag_id] for tag_id in ids], dtype=np.int64)

    def mask(self, attribute: str) -> npt.NDArray[np.bool_]:
        """Return (n,) bool of a boolean attribute, e.g. mask("field")."""
        return np.array([getattr(tag, attribute) for tag in self.tags], dtype=np.bool_)


def layout_hash(parts: Sequence[Sequence[object]]) -> bytes:
    """Return the SHA-256 that ties an image to the configuration that made it (ids in order, column types)."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).digest()

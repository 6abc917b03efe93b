"""Tags: the named live values of a site, as one table whose row numbers index every column of the process image.

Rule: a tag's id is made of configuration ids, is stable for life and is the OPC UA NodeId string.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["double", "int64", "boolean", "enum"]


@dataclass(frozen=True, slots=True)
class Tag:
    """One named live value."""

    id: str  # "<site>/<kind letter>/<configuration id>/<Measure>", e.g. "park/M/e-a101/ActivePowerTotal"
    name: str  # the measure: PascalCase, no unit inside
    path: tuple[str, ...]  # folder ids below the site, e.g. ("Areas", "a", "e-a101")
    unit: str  # a symbol of scada.units, or "" for a ratio, a state or money
    kind: Kind
    description_zh: str
    description_en: str
    deadband: float = 0.0  # historian: absolute change worth recording; 0 records every change
    history: bool = True
    field: bool = True  # comes from a device, so it can grow stale; False for values the core computes
    states: tuple[str, ...] = ()  # texts of an enum, by value
    currency: str = ""  # ISO 4217 code when the value is money in major units


@dataclass(frozen=True)
class TagTable:
    """The tags of a site in image order."""

    tags: tuple[Tag, ...]
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", {tag.id: row for row, tag in enumerate(self.tags)})
        if len(self.index) != len(self.tags):
            raise ValueError("two tags share one id")  # the configuration checks name them before this

    def __len__(self) -> int:
        return len(self.tags)

    def rows(self, ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the image rows of tag ids; KeyError names the first unknown id."""
        return np.array([self.index[tag_id] for tag_id in ids], dtype=np.int64)

    def mask(self, attribute: str) -> npt.NDArray[np.bool_]:
        """Return (n,) bool of a boolean attribute, e.g. mask("field")."""
        return np.array([getattr(tag, attribute) for tag in self.tags], dtype=np.bool_)


def layout_hash(parts: Sequence[Sequence[object]]) -> bytes:
    """Return the SHA-256 that ties an image to the configuration that made it (ids in order, column types)."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).digest()

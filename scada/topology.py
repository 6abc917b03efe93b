"""The network of a station: nodes (sources, busbars, loads) joined by edges (breakers, transformers), and who is live.

Rule: positions come in as Dbpos numbers, energised states go out; nothing here draws or reads a tag.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

DEAD: Final = 0
LIVE: Final = 1
UNDETERMINED: Final = 2
ENERGISED_STATES: Final = ("dead", "live", "undetermined")

NodeKind = Literal["source", "busbar", "load"]
EdgeKind = Literal["breaker", "transformer", "line"]


@dataclass(frozen=True, slots=True)
class Node:
    """One electrical node. Its tag is "<site>/D/<id>/Energised"."""

    id: str
    kind: NodeKind
    name_zh: str
    name_en: str
    voltage_v: float


@dataclass(frozen=True, slots=True)
class Edge:
    """One connection between two nodes. A breaker edge names the device that shows and moves it."""

    id: str
    kind: EdgeKind
    a: str
    b: str
    name_zh: str
    name_en: str
    device: str = ""  # device id of a breaker edge


@dataclass(frozen=True, slots=True)
class Network:
    """One station's single-line diagram as a graph."""

    id: str
    name_zh: str
    name_en: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def energised(network: Network, positions: Mapping[str, int]) -> dict[str, int]:
    """Return node id -> DEAD, LIVE or UNDETERMINED.

    positions: edge id -> Dbpos (0 intermediate, 1 open, 2 closed, 3 bad) of breaker edges; an edge that is missing
    from it, or neither open nor closed, passes "undetermined" on. Other edges always conduct.
    """
    raise NotImplementedError

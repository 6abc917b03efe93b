"""The network of a station: nodes (sources, busbars, loads) joined by edges (breakers, transformers), and who is live.

Rule: positions come in as Dbpos numbers, energised states go out; nothing here draws or reads a tag.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scada.position import CLOSED, OPEN

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

    Source of the rule: energised is what a live source reaches through closed switches; behind a switch whose position
    is unknown it is undetermined, unless another path makes it live. Sources count as live.
    """
    sources = {node.id for node in network.nodes if node.kind == "source"}
    closed, perhaps_closed = [], []
    for edge in network.edges:
        position = positions.get(edge.id) if edge.kind == "breaker" else CLOSED
        if position == CLOSED:
            closed.append(edge)
        if position != OPEN:
            perhaps_closed.append(edge)
    live = _reached(sources, closed)
    doubtful = _reached(sources, perhaps_closed) - live
    return {
        node.id: LIVE if node.id in live else UNDETERMINED if node.id in doubtful else DEAD for node in network.nodes
    }


def _reached(start: Iterable[str], edges: Iterable[Edge]) -> set[str]:
    """Return every node id that the edges, which conduct both ways, join to a start node."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        neighbours[edge.a].append(edge.b)
        neighbours[edge.b].append(edge.a)
    reached = set(start)
    frontier = list(reached)
    while frontier:
        for node in neighbours[frontier.pop()]:
            if node not in reached:
                reached.add(node)
                frontier.append(node)
    return reached

"""Checks of stations: diagrams that can be drawn and coloured.

Rule: a diagram is a graph of nodes and edges; only breakers may close a loop, because only they can open it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from config.loader import Sources, listed, nearest
from scada.errors import Fault


def ends(sources: Sources) -> Iterator[Fault]:
    """An edge joins two different nodes of its own station."""
    for placed in sources.many("station"):
        known = [node.id for node in placed.item.node]
        for edge in placed.item.edge:
            for side in ("a", "b"):
                name = getattr(edge, side)
                if name not in known:
                    wrong = f"unknown node '{name}'{nearest(name, known)}"
                    yield placed.fault(f"edge.{edge.id}.{side}", wrong, listed(known))
            if edge.a == edge.b:
                yield placed.fault(f"edge.{edge.id}.b", f"joins '{edge.a}' to itself", "two different nodes")


def lonely_nodes(sources: Sources) -> Iterator[Fault]:
    for placed in sources.many("station"):
        joined = {name for edge in placed.item.edge for name in (edge.a, edge.b)}
        for node in placed.item.node:
            if node.id not in joined:
                yield placed.fault(f"node.{node.id}", "no edge reaches this node", "at least one edge")
        if not any(node.kind == "source" for node in placed.item.node):
            yield placed.fault("node", "no source", "at least one node of kind 'source'")


def solid_loops(sources: Sources) -> Iterator[Fault]:
    """Transformers and lines alone form no loop: no switch could ever open it."""
    for placed in sources.many("station"):
        root: dict[str, str] = {}
        for edge in placed.item.edge:
            if edge.kind == "breaker" or edge.a == edge.b:
                continue
            a, b = _root(root, edge.a), _root(root, edge.b)
            if a == b:
                wrong = f"closes a loop of transformers and lines between '{edge.a}' and '{edge.b}'"
                yield placed.fault(f"edge.{edge.id}", wrong, "loops that a breaker can open")
            root[a] = b


def breaker_devices(sources: Sources) -> Iterator[Fault]:
    """A breaker edge names a device with a switch, and a device is drawn once."""
    meters, profiles = sources.by_id("meter"), sources.by_id("profile")
    known = sources.ids.get("meter", set())
    drawn: dict[str, str] = {}
    for placed in sources.many("station"):
        for edge in (edge for edge in placed.item.edge if edge.device):
            place = f"edge.{edge.id}.device"
            if edge.device not in known:
                if "meter" in sources.unread:
                    continue
                wrong = f"unknown meter '{edge.device}'{nearest(edge.device, known)}"
                yield placed.fault(place, wrong, listed(known))
                continue
            profile = profiles.get(meters[edge.device].profile) if edge.device in meters else None
            if profile is not None and profile.switch is None:
                wrong = f"'{edge.device}' has no switch (profile {profile.id})"
                yield placed.fault(place, wrong, "a device whose profile has a [switch]")
            if edge.device in drawn:
                wrong = f"'{edge.device}' is already drawn by edge '{drawn[edge.device]}'"
                yield placed.fault(place, wrong, "a device of its own")
            drawn.setdefault(edge.device, edge.id)


def loops(parents: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield every circle of a child -> parent table once, from its first member in the order of the table."""
    done: set[str] = set()
    for start in parents:
        path: list[str] = []
        at: Any = start
        while at and at in parents and at not in done:
            done.add(at)
            path.append(at)
            at = parents[at]
        if at in path:
            yield tuple(path[path.index(at) :])


def _root(root: dict[str, str], node: str) -> str:
    while root.get(node, node) != node:
        node = root[node]
    return node


NETWORK_CHECKS: Final[tuple[Callable[[Sources], Iterator[Fault]], ...]] = (
    ends,
    lonely_nodes,
    solid_loops,
    breaker_devices,
)

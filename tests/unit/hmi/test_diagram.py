"""Diagrams: every breaker and node is drawn, and no symbol or label covers another."""

from itertools import combinations

import pytest

from config.plant import Plant
from hmi.diagram import Drawing, lay_out, text_width, wrap
from scada.topology import Edge, Network, Node


def overlaps(drawing: Drawing) -> list[tuple[str, str]]:
    return [(a.owner, b.owner) for a, b in combinations(drawing.boxes(), 2) if a.overlaps(b)]


def station(feeders: tuple[int, ...], sources: int) -> Network:
    """Return busbars in a row with so many feeders each, the first `sources` of them with a transformer."""
    nodes, edges = [], []
    for bar, count in enumerate(feeders):
        nodes.append(Node(f"b{bar}", "busbar", "母线", "Busbar", 400))
        if bar < sources:
            nodes += [Node(f"s{bar}", "source", "进线", "Line", 10_000), Node(f"lv{bar}", "busbar", "低压", "LV", 400)]
            edges.append(Edge(f"t{bar}", "transformer", f"s{bar}", f"lv{bar}", "变压器", "Transformer"))
            edges.append(Edge(f"in{bar}", "breaker", f"lv{bar}", f"b{bar}", "受总", "Incomer", f"q-in{bar}"))
        if bar:
            edges.append(Edge(f"tie{bar}", "breaker", f"b{bar - 1}", f"b{bar}", "母联", "Tie", f"q-tie{bar}"))
        for place in range(count):
            nodes.append(Node(f"l{bar}-{place}", "load", "负荷", "Load", 400))
            edges.append(Edge(f"f{bar}-{place}", "breaker", f"b{bar}", f"l{bar}-{place}", "馈", "F", f"q{bar}-{place}"))
    return Network("n", "站", "Station", tuple(nodes), tuple(edges))


def test_demo_diagrams_have_no_overlaps(plant: Plant) -> None:
    assert plant.networks
    for network in plant.networks:
        assert overlaps(lay_out(network)) == []


@pytest.mark.parametrize("feeders", [(1,), (3,), (12,), (6, 6), (4, 1, 5), (7, 7)])
@pytest.mark.parametrize("sources", [1, 2])
def test_stations_have_no_overlaps(feeders: tuple[int, ...], sources: int) -> None:
    drawing = lay_out(station(feeders, sources))
    assert overlaps(drawing) == []
    assert all(
        box.left >= 0 and box.right <= drawing.width and box.top >= 0 and box.bottom <= drawing.height
        for box in drawing.boxes()
    )


def test_everything_is_drawn_once(plant: Plant) -> None:
    for network in (*plant.networks, station((4, 1, 5), 2)):
        drawing = lay_out(network)
        assert sorted(e.edge.id for e in drawing.edges) == sorted(e.id for e in network.edges)
        assert sorted(n.node.id for n in drawing.nodes) == sorted(n.id for n in network.nodes)


def test_coupled_busbars_stand_side_by_side() -> None:
    drawing = lay_out(station((3, 3), 1))
    bars = {n.node.id: n for n in drawing.nodes}
    assert bars["b0"].y == bars["b1"].y
    assert bars["b0"].x2 < bars["b1"].x1
    tie = next(e for e in drawing.edges if e.edge.id == "tie1")
    assert tie.way == "along"
    assert bars["b0"].x2 < tie.x < bars["b1"].x1


def test_labels_break_where_a_reader_would() -> None:
    assert wrap("A座消防与电梯馈线", width=60) == ["A座消防", "与电梯", "馈线"]
    assert wrap("Tower A fire and lifts", width=90) == ["Tower A", "fire and", "lifts"]
    assert wrap("A座1层商铺", width=72) == ["A座1层", "商铺"]
    assert wrap("Tower A data room", width=72) == ["Tower A", "data", "room"]
    assert wrap("Block B flats", width=60) == ["Block B", "flats"]
    assert wrap("", width=50) == [""]
    assert wrap("一二三四五六七八九十", lines=2, width=45)[-1].endswith("…")
    assert text_width("合") > text_width("A")

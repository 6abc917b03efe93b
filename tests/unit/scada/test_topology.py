"""Who is live: a station with two incomers and a coupler, every case one row."""

import pytest

from scada.position import BAD_STATE, CLOSED, INTERMEDIATE, OPEN
from scada.topology import DEAD, LIVE, UNDETERMINED, Edge, Network, Node, energised

#  grid-1 -[in-1]- bus-1 -[coupler]- bus-2 -[in-2]- grid-2
#                   |                  |
#                 [f-1]             (line)- load-2
#                 load-1
STATION = Network(
    "station",
    "配电站",
    "Station",
    (
        Node("grid-1", "source", "电源一", "Grid 1", 10_000),
        Node("grid-2", "source", "电源二", "Grid 2", 10_000),
        Node("bus-1", "busbar", "一段母线", "Busbar 1", 400),
        Node("bus-2", "busbar", "二段母线", "Busbar 2", 400),
        Node("load-1", "load", "负荷一", "Load 1", 400),
        Node("load-2", "load", "负荷二", "Load 2", 400),
    ),
    (
        Edge("in-1", "breaker", "grid-1", "bus-1", "进线一", "Incomer 1", "d1"),
        Edge("in-2", "breaker", "grid-2", "bus-2", "进线二", "Incomer 2", "d2"),
        Edge("coupler", "breaker", "bus-1", "bus-2", "母联", "Coupler", "d3"),
        Edge("f-1", "breaker", "bus-1", "load-1", "馈线一", "Feeder 1", "d4"),
        Edge("cable", "line", "load-2", "bus-2", "电缆", "Cable"),
    ),
)
O, C, I, B, N = OPEN, CLOSED, INTERMEDIATE, BAD_STATE, None  # noqa: E741 - columns of a table
D, L, U = DEAD, LIVE, UNDETERMINED

# in-1 in-2 coupler f-1 | bus-1 bus-2 load-1 load-2
CASES = [
    ((C, C, O, C), (L, L, L, L)),  # as usual
    ((O, C, C, C), (L, L, L, L)),  # the coupler carries busbar 1
    ((O, C, O, C), (D, L, D, L)),  # busbar 1 has lost its incomer
    ((O, O, C, C), (D, D, D, D)),  # all dark
    ((C, C, O, O), (L, L, D, L)),  # a feeder open
    ((C, C, O, I), (L, L, U, L)),  # a feeder on its way
    ((C, C, O, N), (L, L, U, L)),  # a feeder nobody can read
    ((I, C, O, C), (U, L, U, L)),  # an unknown incomer, everything behind it doubtful
    ((B, C, C, C), (L, L, L, L)),  # an unknown incomer, but the coupler makes it live
    ((O, C, N, C), (U, L, U, L)),  # an unknown coupler
    ((O, O, N, C), (D, D, D, D)),  # an unknown coupler between two dead busbars passes nothing on
    ((N, O, N, O), (U, U, D, U)),  # doubt passes through doubt, and stops at an open switch
]


@pytest.mark.parametrize(("positions", "states"), CASES)
def test_energised(positions: tuple[int | None, ...], states: tuple[int, ...]) -> None:
    known = {
        edge: position
        for edge, position in zip(("in-1", "in-2", "coupler", "f-1"), positions, strict=True)
        if position is not None
    }
    found = energised(STATION, known)
    assert tuple(found[node] for node in ("bus-1", "bus-2", "load-1", "load-2")) == states
    assert found["grid-1"] == found["grid-2"] == LIVE


def test_a_ring_ends() -> None:
    ring = Network(
        "ring",
        "环",
        "Ring",
        tuple(Node(name, "source" if name == "a" else "busbar", name, name, 400) for name in "abc"),
        tuple(Edge(a + b, "line", a, b, "线", "Line") for a, b in ("ab", "bc", "ca")),
    )
    assert energised(ring, {}) == {"a": LIVE, "b": LIVE, "c": LIVE}

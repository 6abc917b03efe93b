"""Single-line diagrams: where every symbol and label of a network goes, computed from the graph.

Sources stand on top, each level of the network one row below; busbars of one voltage that a breaker joins stand side by
side with their coupler between them. Rule: geometry only, no tag and no SVG, so a test can measure it.
Symbols after IEC 60617 as SCADA systems draw them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from scada.topology import Edge, Network, Node

PITCH: Final = 76  # column width: a value with its unit at 14 px; fifteen columns fit a screen of 1440 px
TERMINAL_EDGES: Final = 2
LEVEL: Final = 156  # height of one level: breaker, then three values, then the next node
MARGIN_X: Final = 64  # the word of a position stands left of its breaker
MARGIN_Y: Final = 56
MARGIN_RIGHT: Final = 8
OVERHANG: Final = 34  # busbar beyond its outermost column
SLOTS_MIN: Final = 3  # a busbar has room for its name left of its incomer
SYMBOL_Y: Final = 40  # breaker below the node above
VALUES_Y: Final = 72  # first line of values below the node above
VALUE_STEP: Final = 18
VALUE_LINES: Final = 3
LABEL_LINES: Final = 3
LABEL_STEP: Final = 17
WRAP_STEP: Final = 4
CHINESE: Final = 0x2E80  # characters from here on are as wide as they are high
BREAKER_W: Final = 18
BREAKER_H: Final = 26
CIRCLE_R: Final = 15


@dataclass(frozen=True, slots=True)
class Box:
    """What a symbol or label covers, for the eye and for the test."""

    owner: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


@dataclass(frozen=True, slots=True)
class PlacedNode:
    """A node: a horizontal line from x1 to x2 at y (one point for a source or a load)."""

    node: Node
    x: float
    y: float
    x1: float
    x2: float


@dataclass(frozen=True, slots=True)
class PlacedEdge:
    """An edge drawn downwards from (x, y1) to (x, y2), or, for a coupler, along the busbars from x1 to x2 at y1."""

    edge: Edge
    upper: str  # node id at the upper or left end
    lower: str
    way: Literal["down", "along"]
    x: float  # symbol
    y: float
    y1: float
    y2: float
    x1: float
    x2: float


@dataclass(slots=True)
class Drawing:
    """A network laid out."""

    nodes: list[PlacedNode] = field(default_factory=list)
    edges: list[PlacedEdge] = field(default_factory=list)
    width: float = 0
    height: float = 0

    def boxes(self) -> list[Box]:
        """Return what symbols and labels cover."""
        return [box for edge in self.edges for box in _edge_boxes(edge)] + [
            box for node in self.nodes for box in _node_boxes(node)
        ]


def lay_out(network: Network) -> Drawing:
    """Place every node and every edge of a network."""
    return _Layout(network).drawing()


class _Layout:
    def __init__(self, network: Network) -> None:
        self._nodes = {node.id: node for node in network.nodes}
        self._edges = network.edges
        self._lines = _busbar_ids(network)
        self._couplers = [edge for edge in network.edges if self._is_coupler(edge)]
        self._sections = self._join(self._couplers)
        self._depth, self._below = self._levels()
        self._column = 0
        self._span: dict[str, tuple[float, float, float]] = {}  # node id -> x, x1, x2
        self._gap: dict[str, float] = {}  # coupler id -> x of its symbol
        self._parents: dict[str, int] = defaultdict(int)

    def _is_coupler(self, edge: Edge) -> bool:
        a, b = self._nodes[edge.a], self._nodes[edge.b]
        return edge.kind == "breaker" and {a.id, b.id} <= self._lines and a.voltage_v == b.voltage_v

    def _join(self, couplers: Sequence[Edge]) -> dict[str, list[str]]:
        """Return node id -> the row of busbars it stands in (itself alone when no coupler joins it)."""
        rows = {node_id: [node_id] for node_id in self._nodes}
        for edge in couplers:
            if rows[edge.a] is not rows[edge.b]:
                row = rows[edge.a] + rows[edge.b]
                for node_id in row:
                    rows[node_id] = row
        return rows

    def _levels(self) -> tuple[dict[str, int], dict[str, list[tuple[Edge, str]]]]:
        """Return depth of every node, and for each node the edges that lead down from it."""
        depth: dict[str, int] = {}
        frontier = [n.id for n in self._nodes.values() if n.kind == "source"] or list(self._nodes)[:1]
        level = 0
        while frontier:
            row = [m for node_id in frontier for m in self._sections[node_id]]
            depth.update({m: level for m in row if m not in depth})
            frontier = [
                other for edge in self._edges for here, other in _ends(edge) if here in row and other not in depth
            ]
            frontier = list(dict.fromkeys(frontier))
            level += 1
        for node_id in self._nodes:  # an island nobody feeds is drawn below, not forgotten
            depth.setdefault(node_id, level)
        below: dict[str, list[tuple[Edge, str]]] = defaultdict(list)
        for edge in self._edges:
            if edge not in self._couplers:
                upper, lower = (edge.a, edge.b) if depth[edge.a] <= depth[edge.b] else (edge.b, edge.a)
                below[upper].append((edge, lower))
        return depth, below

    def drawing(self) -> Drawing:
        for node_id in sorted(self._nodes, key=lambda n: self._depth[n]):
            self._place(node_id)
        drawing = Drawing()
        drawing.nodes = [self._placed_node(node_id) for node_id in self._nodes]
        drawing.edges = [
            self._placed_down(upper, edge, lower) for upper, edges in self._below.items() for edge, lower in edges
        ] + [self._placed_along(edge) for edge in self._couplers]
        drawing.width = max(box.right for box in drawing.boxes()) + MARGIN_RIGHT
        drawing.height = max(box.bottom for box in drawing.boxes()) + MARGIN_Y / 2
        return drawing

    def _place(self, node_id: str) -> float:
        """Place a node, its row and all below it; return the x where a wire from above meets it."""
        if node_id in self._span:
            self._parents[node_id] += 1
            x, x1, x2 = self._span[node_id]
            return min(x + self._parents[node_id] * PITCH, x2) if x2 > x1 else x
        row = self._sections[node_id]
        for place, member in enumerate(row):
            if place:
                self._reserve_coupler(row[:place], member)
            self._place_one(member)
        return self._span[node_id][0]

    def _place_one(self, node_id: str) -> None:
        first = self._column
        xs = [self._place(lower) for _, lower in self._below[node_id]]
        is_busbar = node_id in self._lines
        least = SLOTS_MIN if is_busbar else 1
        fresh = self._column - first
        if fresh < least and not (xs and not is_busbar):
            xs += [_x(self._column + k) for k in range(least - fresh)]
            self._column += least - fresh
        x1, x2 = min(xs), max(xs)
        overhang = OVERHANG if is_busbar else 0
        self._span[node_id] = ((x1 + x2) / 2, x1 - overhang, x2 + overhang)

    def _reserve_coupler(self, placed: Sequence[str], member: str) -> None:
        for edge in self._couplers:
            if member in (edge.a, edge.b) and (edge.a in placed or edge.b in placed) and edge.id not in self._gap:
                self._gap[edge.id] = _x(self._column)
                self._column += 1

    def _y(self, node_id: str) -> float:
        return MARGIN_Y + self._depth[node_id] * LEVEL

    def _placed_node(self, node_id: str) -> PlacedNode:
        x, x1, x2 = self._span[node_id]
        return PlacedNode(self._nodes[node_id], x, self._y(node_id), x1, x2)

    def _placed_down(self, upper: str, edge: Edge, lower: str) -> PlacedEdge:
        x = self._meeting_x(upper, lower)
        y1, y2 = self._y(upper), self._y(lower)
        return PlacedEdge(edge, upper, lower, "down", x, y1 + SYMBOL_Y, y1, y2, x, x)

    def _meeting_x(self, upper: str, lower: str) -> float:
        """Return where a wire runs down: in the column of whichever end is a single point."""
        upper_x, upper_1, upper_2 = self._span[upper]
        lower_x, lower_1, lower_2 = self._span[lower]
        return lower_x if upper_1 <= lower_x <= upper_2 else min(max(upper_x, lower_1), lower_2)

    def _placed_along(self, edge: Edge) -> PlacedEdge:
        left, right = sorted((edge.a, edge.b), key=lambda n: self._span[n][0])
        x1, x2 = self._span[left][2], self._span[right][1]
        x, y = self._gap.get(edge.id, (x1 + x2) / 2), self._y(left)
        return PlacedEdge(edge, left, right, "along", x, y, y, y, x1, x2)


def _x(column: int) -> float:
    return MARGIN_X + column * PITCH


def _busbar_ids(network: Network) -> set[str]:
    """Return the nodes drawn as a busbar: not the terminal between a transformer or line and its only breaker."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for edge in network.edges:
        kinds[edge.a].append(edge.kind)
        kinds[edge.b].append(edge.kind)
    terminals = {n for n, found in kinds.items() if len(found) <= TERMINAL_EDGES and set(found) != {"breaker"}}
    return {node.id for node in network.nodes if node.kind == "busbar" and node.id not in terminals}


def _ends(edge: Edge) -> tuple[tuple[str, str], tuple[str, str]]:
    return (edge.a, edge.b), (edge.b, edge.a)


def _edge_boxes(placed: PlacedEdge) -> list[Box]:
    edge, x, y = placed.edge, placed.x, placed.y
    if edge.kind == "transformer":
        return [
            Box(edge.id, x - CIRCLE_R, y - CIRCLE_R, x + CIRCLE_R, y + 2.4 * CIRCLE_R),
            Box(f"{edge.id} name", x + 22, y, x + PITCH + 30, y + LABEL_STEP),
        ]
    if edge.kind != "breaker":
        return []
    half_w, half_h = (BREAKER_H / 2, BREAKER_W / 2) if placed.way == "along" else (BREAKER_W / 2, BREAKER_H / 2)
    boxes = [Box(edge.id, x - half_w, y - half_h, x + half_w, y + half_h)]
    if placed.way == "along":
        boxes.append(Box(f"{edge.id} name", x - 50, y - 42, x + 50, y - 24))
        return boxes
    boxes.append(Box(f"{edge.id} word", x - PITCH + BREAKER_W, y - 9, x - 13, y + 9))
    top = placed.y1 + VALUES_Y - 14
    boxes.append(Box(f"{edge.id} values", x + 6, top, x + PITCH - 4, top + VALUE_LINES * VALUE_STEP))
    return boxes


def _node_boxes(placed: PlacedNode) -> list[Box]:
    node, x, y = placed.node, placed.x, placed.y
    if node.kind == "busbar" and x - placed.x1 < OVERHANG:
        return []  # a terminal: a dot without a name
    if node.kind == "busbar":
        return [Box(f"{node.id} name", placed.x1, y - 22, placed.x1 + 1.2 * PITCH, y - 5)]
    if node.kind == "source":
        return [Box(node.id, x - 10, y - 18, x + 10, y), Box(f"{node.id} name", x + 14, y - 22, x + PITCH, y - 5)]
    half = PITCH / 2 - 1
    return [Box(f"{node.id} name", x - half, y + 8, x + half, y + 8 + LABEL_LINES * LABEL_STEP)]


def wrap(text: str, lines: int = LABEL_LINES, width: float = PITCH - 4) -> list[str]:
    """Break a label into lines that fit a column at 14 px; no last line of a single character if it can be helped."""
    found = _broken(text, width)
    for narrower in range(int(width), 0, -WRAP_STEP):
        closer = _broken(text, narrower)
        if len(closer) > len(found) or text_width(found[-1]) >= max(map(text_width, found)) / 2:
            break
        found = closer
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1].rstrip() + "…"]
    return found


def _broken(text: str, width: float) -> list[str]:
    """Fill lines of a width one after another: between Chinese characters, at spaces in Latin text."""
    found: list[str] = [""]
    for piece in _pieces(text):
        if found[-1] and text_width((found[-1] + piece).rstrip()) > width:
            found.append("")
        found[-1] += piece
    return [line.strip() for line in found]


def text_width(text: str, size_px: float = 14) -> float:
    """Estimate the width of a text: a Chinese character is square, a Latin one a little over half as wide."""
    return sum(size_px if ord(character) > CHINESE else 0.58 * size_px for character in text)


def _pieces(text: str) -> list[str]:
    """Split a text where a line may end: after a space, and after a Chinese character."""
    pieces: list[str] = []
    for character in text:
        after = pieces[-1][-1] if pieces else " "
        if after == " " or ord(after) > CHINESE:
            pieces.append(character)
        else:
            pieces[-1] += character  # "1层" and "A座" stay together
    return pieces


def devices(drawing: Drawing) -> Mapping[str, PlacedEdge]:
    """Return device id -> the breaker edge that shows it."""
    return {placed.edge.device: placed for placed in drawing.edges if placed.edge.device}

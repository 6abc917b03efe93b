"""Single-line diagrams: geometry from hmi.diagram, live values by websocket; a click leads to the faceplate."""

from dataclasses import dataclass

from nicegui import ui
from starlette.requests import Request

from hmi.context import Context
from hmi.diagram import Drawing, lay_out, wrap
from hmi.frame import admitted, fragment, frame
from hmi.lookup import CURRENT, POWER, VOLTAGE, Lookup
from hmi.visitor import Visitor
from scada.topology import Edge, Network, Node

KILO = 1000
SCALE_MAX = 1.35  # a wide screen shows the same drawing larger


@dataclass(frozen=True, slots=True)
class BreakerRows:
    """What is shown beside one breaker."""

    position: int
    discrepancy: int
    values_: tuple[int, ...]


def register(context: Context) -> None:
    """Add the pages."""
    drawings = {network.id: lay_out(network) for network in context.plant.networks}

    @ui.page("/diagram")
    async def first(request: Request) -> None:
        _draw(Visitor(context, request), context.plant.networks[0].id, drawings)

    @ui.page("/diagram/{network}")
    async def one(request: Request, network: str) -> None:
        _draw(Visitor(context, request), network, drawings)


def _draw(visitor: Visitor, key: str, drawings: dict[str, Drawing]) -> None:
    if not admitted(visitor, "view"):
        return
    lookup = visitor.context.lookup
    network = lookup.networks.get(key)
    if network is None:
        with frame(visitor, visitor.texts("Single-line diagram")):
            ui.label(visitor.texts("There is no such diagram."))
        return
    with frame(visitor, visitor.texts.pick(network), f"diagram/{key}"):
        fragment(
            visitor,
            "diagram.html",
            network=network,
            networks=visitor.context.plant.networks,
            drawing=drawings[key],
            rows={edge.id: _rows(lookup, edge, network) for edge in network.edges},
            scale_max=SCALE_MAX,
            energised={node.id: lookup.row("D", node.id, "Energised") for node in network.nodes},
            unit_of=lambda row: lookup.tag(row).unit,
            voltage=_voltage,
            wrap=wrap,
        )


def _rows(lookup: Lookup, edge: Edge, network: Network) -> BreakerRows:
    """Return what stands beside a breaker: the voltage beside those between busbars only, a feeder has the same."""
    if not edge.device:
        return BreakerRows(-1, -1, ())
    loads = {node.id for node in network.nodes if node.kind == "load"}
    measures = (POWER, CURRENT) if {edge.a, edge.b} & loads else (POWER, CURRENT, VOLTAGE)
    values = tuple(lookup.row("M", edge.device, *names) for names in measures)
    return BreakerRows(lookup.row("M", edge.device, "Position"), lookup.row("M", edge.device, "Discrepancy"), values)


def _voltage(node: Node) -> str:
    """Return the nominal voltage for a busbar's name, unless the name says it."""
    text = f"{node.voltage_v / KILO:g} kV"
    said = {name.replace(" ", "") for name in (node.name_zh, node.name_en)}
    return "" if any(text.replace(" ", "") in name for name in said) else text

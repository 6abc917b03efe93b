"""Overview, level 1: the whole park on one screen, nothing to operate."""

from nicegui import ui
from starlette.requests import Request

from hmi.context import Context
from hmi.frame import admitted, fragment, frame
from hmi.trend import Trend
from hmi.views import PRIORITIES
from hmi.visitor import Visitor


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/")
    async def overview(request: Request) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "view"):
            return
        with frame(visitor, visitor.texts("Overview"), "overview"):
            fragment(visitor, "overview.html", **_facts(context))
            with ui.element("div").classes("wk-grid four").style("margin-top:12px"):
                incomers = [row for rows in context.views.stations.values() for row in rows]
                if incomers:
                    await Trend(visitor, visitor.texts("Power"), _named(visitor, incomers)).draw("two")
                with ui.element("section").classes("wk-panel two"):
                    fragment(visitor, "communication.html", gateways=_gateways(context))


def _facts(context: Context) -> dict[str, object]:
    lookup, plant = context.lookup, context.plant
    return {
        "stations": [network for network, rows in context.views.stations.items() if rows],
        "buildings": [building for building in plant.buildings if context.views.buildings[building.id]],
        "media": context.today.media,
        "credit_states": lookup.credit_states(),
        "priorities": PRIORITIES,
        "currency": plant.site.currency,
    }


def _gateways(context: Context) -> list[tuple[str, int, int]]:
    """Return (id, row of Online, number of devices) of every gateway."""
    devices = [device.gateway for device in context.plant.devices]
    return [(g.id, context.lookup.row("N", g.id, "Online"), devices.count(g.id)) for g in context.plant.gateways]


def _named(visitor: Visitor, rows: list[int]) -> list[tuple[int, str]]:
    """Return each row with the name of its owner."""
    lookup = visitor.context.lookup
    return [(row, lookup.name(lookup.tag(row).id.split("/")[2], visitor.texts.language)) for row in rows]

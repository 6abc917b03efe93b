"""Overview, level 1: the whole park on one screen, nothing to operate."""

from datetime import datetime
from zoneinfo import ZoneInfo

from nicegui import ui
from starlette.requests import Request

from hmi import queries
from hmi.context import Context
from hmi.frame import admitted, fragment, frame
from hmi.money import money, quantity
from hmi.views import PRIORITIES
from hmi.visitor import Visitor
from scada.errors import DatabaseAway


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/")
    async def overview(request: Request) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "view"):
            return
        today, note = await _today(visitor)
        with frame(visitor, visitor.texts("Overview"), "overview"):
            fragment(visitor, "overview.html", **_facts(context), today=today, today_note=note)


def _facts(context: Context) -> dict[str, object]:
    lookup, plant = context.lookup, context.plant
    devices = [device.gateway for device in plant.devices]
    return {
        "stations": [network for network, rows in context.views.stations.items() if rows],
        "buildings": [building for building in plant.buildings if context.views.buildings[building.id]],
        "credit_states": lookup.credit_states(),
        "priorities": PRIORITIES,
        "currency": plant.site.currency,
        "gateways": [(g.id, lookup.row("N", g.id, "Online"), devices.count(g.id)) for g in plant.gateways],
    }


async def _today(visitor: Visitor) -> tuple[list[tuple[str, str, str, str]], str]:
    """Return (medium, quantity, unit, amount) of what was charged since midnight, and a note when there is nothing."""
    context = visitor.context
    zone = ZoneInfo(context.plant.site.timezone)
    now = queries.utc_of(context.clock.utc_ns()).astimezone(zone)
    midnight = datetime(now.year, now.month, now.day, tzinfo=zone)
    try:
        async with context.reads.transaction() as cursor:
            found = await queries.charged_since(cursor, midnight)
    except DatabaseAway as error:
        return [], visitor.explain(error)
    lines = [(line.medium, quantity(line.milli), line.unit, money(line.nano)) for line in found]
    return lines, visitor.texts("Nothing charged yet")

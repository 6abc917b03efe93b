"""Lines: which bus is sick, how loaded it is, how fast it can be, and when each of its meters answered last."""

from nicegui import ui
from starlette.requests import Request

from hmi.context import Context
from hmi.frame import admitted, fragment, frame
from hmi.pages.meter import label_of
from hmi.views import LINE_MEASURES, LINE_METER_MEASURES
from hmi.visitor import Visitor
from hmi.words import word


def register(context: Context) -> None:
    """Add the pages."""

    @ui.page("/lines")
    async def lines(request: Request) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "view"):
            return
        with frame(visitor, visitor.texts("Lines"), "lines"):
            fragment(visitor, "lines.html", lines=[_line(visitor, gateway) for gateway in context.lookup.gateways])

    @ui.page("/line/{gateway}")
    async def line(request: Request, gateway: str) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "view"):
            return
        if gateway not in context.lookup.gateways:
            with frame(visitor, gateway):
                ui.label(visitor.texts("There is no such line."))
            return
        with frame(visitor, context.lookup.name(gateway, visitor.texts.language), f"line/{gateway}"):
            fragment(
                visitor,
                "line.html",
                line=_line(visitor, gateway),
                values=[(row, label_of(visitor, row)) for row in context.lookup.rows_of("N", gateway)],
                meters=_meters(context, gateway),
            )


def _line(visitor: Visitor, gateway_id: str) -> dict[str, object]:
    """Return what a line is, and the rows of what is counted about it."""
    lookup = visitor.context.lookup
    gateway = lookup.gateways[gateway_id]
    kind, line = word("transport", gateway.transport, visitor.texts), gateway.line
    timed = gateway.transport != "modbus-tcp"  # bytes take their time on a serial line
    if timed:
        kind += f" {line.baud} 8{line.parity}{line.stop_bits}"
    return {
        "id": gateway.id,
        "kind": kind,
        "timed": timed,
        "wished_ms": f"{gateway.period_s * 1000:,.1f}",
        "devices": sum(device.gateway == gateway.id for device in visitor.context.plant.devices),
        "rows": {name: lookup.row("N", gateway.id, name) for name in LINE_MEASURES},
    }


def _meters(context: Context, gateway: str) -> list[dict[str, object]]:
    """Return the devices of a line with the rows of their communication."""
    find = context.lookup.row
    return [
        {
            "id": device.id,
            "address": device.address or device.unit,
            "rows": {name: find("M", device.id, name) for name in LINE_METER_MEASURES},
        }
        for device in context.plant.devices
        if device.gateway == gateway
    ]

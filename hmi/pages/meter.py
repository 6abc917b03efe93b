"""Meter faceplate, level 3: live values, communication, trend of the last day, and the switch with its conditions."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from nicegui import ui
from starlette.requests import Request

from hmi import queries
from hmi.context import Context
from hmi.frame import admitted, fragment, frame
from hmi.lookup import NO_ROW, POWER
from hmi.pages.lists import place
from hmi.pages.switching import switch_panel
from hmi.visitor import Visitor
from scada.errors import DatabaseAway

TREND_HOURS = 24
TREND_POINTS = 600  # more than the pixels the chart has
COMPUTED = ("Online", "ErrorCount", "ResponseTimeMs")


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/meter/{device}")
    async def meter(request: Request, device: str) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "view"):
            return
        if device not in context.lookup.devices:
            with frame(visitor, device):
                ui.label(visitor.texts("There is no such meter."))
            return
        points = await _history(visitor, device)
        with frame(visitor, context.lookup.name(device, visitor.texts.language), f"meter/{device}"):
            fragment(visitor, "meter.html", **_facts(visitor, device))
            with ui.element("div").classes("wk-grid").style("margin-top:12px"):
                breaker = context.lookup.breaker_of(device)
                if breaker:
                    switch_panel(visitor, breaker, device)
                _trend(visitor, device, points)


def _facts(visitor: Visitor, device: str) -> dict[str, object]:
    lookup = visitor.context.lookup
    account = lookup.account_of(device) if visitor.may("account.view") else None
    point = lookup.point_of.get(device)
    rows = lookup.rows_of("M", device)
    labelled = [(row, _label(visitor, row)) for row in rows]
    gateway = lookup.devices[device].gateway
    return {
        "device": lookup.devices[device],
        "values": [pair for pair in labelled if lookup.tag(pair[0]).name not in COMPUTED],
        "communication": [pair for pair in labelled if lookup.tag(pair[0]).name in COMPUTED]
        + [(row, _label(visitor, row)) for row in lookup.rows_of("N", gateway)],
        "account": account,
        "balance": lookup.row("T", account.id, "Balance") if account else NO_ROW,
        "credit": lookup.row("T", account.id, "CreditState") if account else NO_ROW,
        "point_values": [(row, _label(visitor, row)) for row in lookup.rows_of("P", point.id)] if point else [],
        "place": place(visitor, device),
        "serial": visitor.context.plant.serials.get(device, ""),
    }


def _label(visitor: Visitor, row: int) -> str:
    tag = visitor.context.lookup.tag(row)
    return tag.description_zh if visitor.texts.language == "zh" else tag.description_en


async def _history(visitor: Visitor, device: str) -> list[tuple[int, float]] | str:
    """Return (plant time ms, value) of the last day, or the sentence that says why there is none."""
    context = visitor.context
    row = context.lookup.row("M", device, *POWER)
    if row == NO_ROW:
        return visitor.texts("This meter has no power or flow to draw.")
    now = queries.utc_of(context.clock.utc_ns())
    try:
        async with context.reads.transaction() as cursor:
            found = await queries.history(
                cursor, context.lookup.tag(row).id, now - timedelta(hours=TREND_HOURS), now, TREND_POINTS
            )
    except DatabaseAway as error:
        return visitor.explain(error)
    return found or visitor.texts("No history yet.")


def _trend(visitor: Visitor, device: str, points: list[tuple[int, float]] | str) -> None:
    texts, lookup = visitor.texts, visitor.context.lookup
    with ui.element("section").classes("wk-panel wk-trend").style("min-width:420px"):
        fragment_title = texts("Last {hours} hours", hours=TREND_HOURS)
        ui.html(f"<h2>{fragment_title}</h2>", sanitize=False)
        if isinstance(points, str):
            ui.label(points).classes("wk-note")
            return
        tag = lookup.tag(lookup.row("M", device, *POWER))
        zone = ZoneInfo(visitor.context.plant.site.timezone)
        shift_ms = (
            int(
                (
                    queries.utc_of(visitor.context.clock.utc_ns()).astimezone(zone).utcoffset() or timedelta()
                ).total_seconds()
            )
            * 1000
        )
        ui.echart(
            {
                "useUTC": True,  # the axis shows plant time: points are shifted by the zone's offset
                "animation": False,
                "grid": {"left": 56, "right": 16, "top": 30, "bottom": 28},
                "tooltip": {"trigger": "axis"},
                "xAxis": {"type": "time"},
                "yAxis": {"type": "value", "name": tag.unit, "scale": True},
                "series": [
                    {
                        "type": "line",
                        "step": "end",
                        "showSymbol": False,
                        "lineStyle": {"color": "#101a4d", "width": 1.5},
                        "data": [[at + shift_ms, round(value, 3)] for at, value in points],
                    }
                ],
            }
        ).classes("w-full").style("height:240px")

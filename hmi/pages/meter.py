"""Meter faceplate, level 3: live values, communication, trend of the last day, and the switch with its conditions."""

from nicegui import ui
from starlette.requests import Request

from config.tagging import DEVICE_OFFERS, IDENTITY_OFFERS
from hmi.context import Context
from hmi.frame import admitted, fragment, frame
from hmi.lookup import MOMENTS, NO_ROW, POWER
from hmi.pages.lists import place
from hmi.pages.switching import switch_panel
from hmi.trend import Trend
from hmi.visitor import Visitor
from hmi.words import symbol

COMPUTED = tuple(offer.name for offer in DEVICE_OFFERS + IDENTITY_OFFERS)
OF_GATEWAY = ("Online", "TimeoutCount", "CycleMs", "BusLoad")  # what concerns one meter behind it
SWITCH = ("Position", "CommandState", "Discrepancy")  # shown with the switch


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
        title = context.lookup.name(device, visitor.texts.language)
        with frame(visitor, title, f"meter/{device}"):
            fragment(visitor, "heading.html", title=title, id=device)
            await _faceplate(visitor, device)


async def _faceplate(visitor: Visitor, device: str) -> None:
    """Draw three columns: what is measured, what is supplied and its trend, the switch."""
    lookup = visitor.context.lookup
    breaker = lookup.breaker_of(device)
    power = lookup.row("M", device, *POWER)
    with ui.element("div").classes("wk-columns three" if breaker else "wk-columns"):
        fragment(visitor, "meter.html", **measured(visitor, device)).classes("wk-column")
        with ui.element("div").classes("wk-column"):
            fragment(visitor, "supply.html", **_supply(visitor, device))
            if power != NO_ROW:
                label = label_of(visitor, power)
                await Trend(visitor, label, [(power, label)]).draw()
        if breaker:
            with ui.element("div").classes("wk-column"):
                switch_panel(visitor, breaker, device)


def measured(visitor: Visitor, device: str) -> dict[str, object]:
    """Return the live values of a device and of its communication."""
    lookup = visitor.context.lookup
    rows, gateway = lookup.rows_of("M", device), lookup.devices[device].gateway
    profile = lookup.devices[device].profile
    own = (profile.identity, profile.clock)  # what the meter tells of itself
    of_line = [row for name in COMPUTED + own for row in rows if lookup.tag(row).name == name]
    of_line += [row for row in lookup.rows_of("N", gateway) if lookup.tag(row).name in OF_GATEWAY]
    values = [row for row in rows if lookup.tag(row).name not in (*COMPUTED, *SWITCH, *own)]
    return {
        "device": lookup.devices[device],
        "values": [(row, label_of(visitor, row)) for row in values],
        "communication": [(row, label_of(visitor, row)) for row in of_line],
    }


def _supply(visitor: Visitor, device: str) -> dict[str, object]:
    """Return whom a device supplies, where, and how it is charged."""
    lookup = visitor.context.lookup
    account = lookup.account_of(device) if visitor.may("account.view") else None
    point = lookup.point_of.get(device)
    rows = lookup.rows_of("P", point.id) if point and account else []  # what it is charged is the tenant's matter
    return {
        "device": lookup.devices[device],
        "account": account,
        "balance": lookup.row("T", account.id, "Balance") if account else NO_ROW,
        "credit": lookup.row("T", account.id, "CreditState") if account else NO_ROW,
        "point_values": [
            (row, label_of(visitor, row), symbol(point.unit) if point and lookup.tag(row).name == "Price" else "")
            for row in rows
        ],
        "place": place(visitor, device),
        "serial": visitor.context.plant.serials.get(device, ""),
    }


def label_of(visitor: Visitor, row: int) -> str:
    """Return what a tag is called; a moment is shown as a time, so that how it is counted is left out."""
    tag = visitor.context.lookup.tag(row)
    label = tag.description_zh if visitor.texts.language == "zh" else tag.description_en
    return label.removesuffix("(UTC 秒)").removesuffix(", UTC seconds") if tag.name in MOMENTS else label

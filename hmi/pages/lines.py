"""Lines: which bus is sick, how loaded it is, how fast it can be, and what each of its meters answers.

Rule: whatever the core counts about a line is shown; what no group below names stands in the first one.
"""

from typing import Final

from nicegui import ui
from starlette.requests import Request

from hmi.context import Context
from hmi.frame import admitted, fragment, frame
from hmi.i18n import N_
from hmi.lookup import CLOCK
from hmi.pages.meter import label_of
from hmi.views import LINE_MEASURES
from hmi.visitor import Visitor
from hmi.words import word

MS_PER_S: Final = 1000
UNTIMED: Final = "modbus-tcp"  # its serial side, where bytes take their time, is not ours
SHORTEST: Final = "ShortestPeriodMs"

# heading -> measures of a line; docs/field-health.md says how they are read
GROUPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (N_("Line"), ("Online", "BusLoad", "CycleMs", SHORTEST, "LastGood")),
    (
        N_("Requests and answers"),
        (
            "Requests", "GoodReplies", "Timeouts", "TimeoutCount", "BadFrames", "Exceptions",
            "ResponseMeanMs", "ResponseP95Ms", "ResponseMaxMs",
        ),
    ),
    (
        N_("Bad frames by kind"),
        ("BadChecksum", "BadAddress", "BadFunction", "BadLength", "BadIdentifier", "BadOther", "LateFrames"),
    ),
)  # fmt: skip

# column of `Lookup.line_rows`, heading, class of its cells
COLUMNS: Final = (
    ("Online", N_("State"), ""),
    ("LastGood", N_("Last good reply"), "at"),
    ("Requests", N_("Requests"), "right"),
    ("GoodReplies", N_("Right answers"), "right"),
    ("Timeouts", N_("No answer"), "right"),
    ("BadFrames", N_("Bad frames"), "right"),
    ("Exceptions", N_("Exceptions"), "right"),
    ("ResponseMeanMs", N_("Answer on average"), "right"),
    ("ResponseP95Ms", N_("95 % answer within"), "right"),
    ("ResponseMaxMs", N_("Longest answer"), "right"),
    (CLOCK, N_("Clock deviation"), "right"),
    ("IdentityFault", N_("Meter number"), ""),
)

# transport -> where the line goes, as the configuration says it
PLACES: Final = {
    "modbus-tcp": "{gateway.host}:{gateway.port}",
    "tcp": "{gateway.host}:{gateway.port}",
    "serial": "{gateway.path}",
    "dial-in": "{gateway.host}:{gateway.port}",
}


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
            fragment(visitor, "line.html", **facts_of_line(visitor, gateway))


def facts_of_line(visitor: Visitor, gateway: str) -> dict[str, object]:
    """Return what the page of a line is made of."""
    lookup = visitor.context.lookup
    return {
        "line": _line(visitor, gateway),
        "groups": _groups(visitor, gateway),
        "columns": COLUMNS,
        "frames": f"run.py meter frames {gateway} --follow" if visitor.may("field.ask") else "",
        "meters": [
            {
                "id": device,
                "address": lookup.devices[device].address or lookup.devices[device].unit,
                "rows": lookup.line_rows(device),
            }
            for device in lookup.behind(gateway)
        ],
    }


def _line(visitor: Visitor, gateway_id: str) -> dict[str, object]:
    """Return what a line is, and the rows of what is counted about it."""
    lookup = visitor.context.lookup
    gateway = lookup.gateways[gateway_id]
    kind, line = word("transport", gateway.transport, visitor.texts), gateway.line
    timed = gateway.transport != UNTIMED
    if timed:
        kind += f" {line.baud} 8{line.parity}{line.stop_bits}"
    return {
        "id": gateway.id,
        "kind": kind,
        "timed": timed,
        "where": PLACES[gateway.transport].format(gateway=gateway),
        "wished_ms": f"{gateway.period_s * MS_PER_S:,.1f}",
        "timeout_ms": f"{gateway.timeout_s * MS_PER_S:,.1f}",
        "devices": len(lookup.behind(gateway.id)),
        "rows": {name: lookup.row("N", gateway.id, name) for name in LINE_MEASURES},
    }


def _groups(visitor: Visitor, gateway_id: str) -> list[tuple[str, list[tuple[int, str]]]]:
    """Return (heading, [(row, label), ...]) of every tag of a line; a line that is not timed has no shortest period."""
    lookup = visitor.context.lookup
    rows = {lookup.tag(row).name: row for row in lookup.rows_of("N", gateway_id)}
    if lookup.gateways[gateway_id].transport == UNTIMED:
        del rows[SHORTEST]
    groups = [(heading, [rows.pop(name) for name in names if name in rows]) for heading, names in GROUPS]
    groups[0][1].extend(rows.values())
    return [(heading, [(row, label_of(visitor, row)) for row in found]) for heading, found in groups]

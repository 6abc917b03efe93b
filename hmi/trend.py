"""Trend: a panel with the last hours of one or a few tags, read from history again while the page is open."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from nicegui import ui

from hmi import queries
from hmi.visitor import Visitor
from hmi.words import symbol
from scada.errors import DatabaseAway

HOURS: Final = 24
POINTS_MAX: Final = 600  # more than the pixels the chart has
REFRESH_S: Final = 15.0
COLOURS: Final = ("#101a4d", "#7a5c00", "#3d7a7a", "#6b4a6b")  # dark and calm; red is for alarms
DASHES: Final = ("solid", "dashed", "dotted", "solid")  # colour is doubled by shape
TEXT: Final = {"color": "#505050", "fontSize": 13}
MS_PER_S: Final = 1000
FINER: Final = 2  # decimals beyond those of the live value: a small load is a line, not stairs


class Trend:
    """The panel on one open page."""

    def __init__(self, visitor: Visitor, title: str, rows: Sequence[tuple[int, str]]) -> None:
        """rows: image row of a tag and the name of its line; all of one unit."""
        self._visitor = visitor
        self._title = title
        self._rows = rows
        self._zone = ZoneInfo(visitor.context.plant.site.timezone)

    async def draw(self, classes: str = "") -> None:
        texts = self._visitor.texts
        with ui.element("section").classes(f"wk-panel wk-trend {classes}"):
            ui.label(texts("{what}, last {hours} hours", what=self._title, hours=HOURS)).classes("wk-heading")
            self._note = ui.label().classes("wk-note")
            self._chart = ui.echart(self._options()).classes("wk-chart")
        await self._refresh()
        ui.timer(REFRESH_S, self._refresh)

    def _options(self) -> dict[str, Any]:
        several = len(self._rows) > 1
        unit = symbol(self._visitor.context.lookup.tag(self._rows[0][0]).unit)
        line = {"type": "line", "step": "end", "showSymbol": False, "data": []}
        return {
            "useUTC": True,  # points are shifted by the offset of the plant's zone, so that the axis shows plant time
            "animation": False,
            "color": list(COLOURS),
            "grid": {"left": 64, "right": 20, "top": 34, "bottom": 28},
            "legend": {"show": several, "right": 10, "top": 0, "itemWidth": 28, "textStyle": TEXT},
            "tooltip": {"trigger": "axis", "textStyle": {"fontSize": 13}},
            "xAxis": {"type": "time", "axisLabel": TEXT | {"hideOverlap": True}, "splitNumber": 6},
            "yAxis": {"type": "value", "name": unit, "nameTextStyle": TEXT, "axisLabel": TEXT, "scale": True},
            "series": [
                line | {"name": name, "lineStyle": {"color": COLOURS[k % 4], "width": 1.6, "type": DASHES[k % 4]}}
                for k, (_, name) in enumerate(self._rows)
            ],
        }

    async def _refresh(self) -> None:
        if self._visitor.context.sessions.alive(self._visitor.session_hash) is None:
            return
        try:
            lines = await self._read()
        except DatabaseAway as error:
            self._note.text = self._visitor.explain(error)
            return
        self._note.text = "" if any(lines) else self._visitor.texts("No history yet.")
        self._note.set_visibility(not any(lines))
        self._chart.set_visibility(any(lines))
        for series, points in zip(self._chart.options["series"], lines, strict=True):
            series["data"] = points
        self._chart.update()

    async def _read(self) -> list[list[list[float | None]]]:
        """Return [[axis ms, value], ...] for each line; None breaks the line where the value was not usable."""
        context = self._visitor.context
        now = queries.utc_of(context.clock.utc_ns())
        shift_ms = int((now.astimezone(self._zone).utcoffset() or timedelta()).total_seconds()) * MS_PER_S
        since = now - timedelta(hours=HOURS)
        lines = []
        async with context.reads.transaction() as cursor:
            for row, _ in self._rows:
                tag = context.lookup.tag(row)
                found = await queries.history(cursor, tag.id, since, now, POINTS_MAX)
                decimals = context.lookup.decimals(row) + FINER
                lines.append([[at + shift_ms, None if v is None else round(v, decimals)] for at, v in found])
        return lines

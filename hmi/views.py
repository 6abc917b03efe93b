"""Views: which rows and figures each page shows, by the page's key ("overview", "diagram/<id>", "meter/<id>", ...).

Rule: a view is the same for everybody who looks at a page; languages and roles are the template's matter.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np

from alarms.lifecycle import CONDITION_ON, STATES
from hmi.live import BAD, GOOD, UNCERTAIN, Figures, View
from hmi.lookup import CORE, CURRENT, ENERGY, NO_ROW, POWER, VOLTAGE, Lookup
from hmi.today import Today
from hmi.words import symbol
from scada.image import Snapshot
from scada.quality import bad_mask, good_mask
from scada.topology import Network

BANNER_MAX: Final = 5  # ISA-101 practice: the 3-5 most urgent
ALARMS_MAX: Final = 500  # rows a person can still read in one list
PRIORITIES: Final = (1, 2, 3, 4)
NORMAL: Final = STATES.index("normal")
ACTIVE: Final = tuple(state in CONDITION_ON for state in STATES)
UNACKNOWLEDGED: Final = tuple(state in ("unacknowledged", "returned") for state in STATES)
LINE_MEASURES: Final = (
    "Online", "BusLoad", "CycleMs", "ShortestPeriodMs", "ResponseP95Ms", "Timeouts", "BadFrames", "Exceptions",
    "LastGood",
)  # fmt: skip
MS_PER_S: Final = 1000
FRAME_MEASURES: Final = ("ScanMs", "DatabaseConnected", "LedgerBehindS", "CreditHeld")


class Views:
    """Makes the view of a page key; KeyError when there is no such page."""

    def __init__(self, lookup: Lookup, today: Today | None = None) -> None:
        self._lookup = lookup
        self._today = today
        self._kinds: dict[str, Callable[[str], View]] = {
            "frame": lambda _: self._frame(),
            "overview": lambda _: self._overview(),
            "lines": lambda _: self._lines(),
            "line": self._line,
            "diagram": self._diagram,
            "meter": self._meter,
            "device": self._device,
            "meters": lambda _: self._meters(),
            "accounts": lambda _: self._accounts(),
            "account": self._account,
            "alarms": lambda _: self._alarms(),
            "none": lambda _: self._view([]),
        }
        self.stations = {network.id: self._incomer_rows(network) for network in lookup.plant.networks}
        self.buildings = {building.id: self._building_rows(building.id) for building in lookup.plant.buildings}

    def __call__(self, page: str) -> View:
        kind, _, key = page.partition("/")
        return self._kinds[kind](key)

    def _view(self, rows: Iterable[int], **more: Any) -> View:
        shown = sorted({row for row in rows if row != NO_ROW})
        decimals = [self._lookup.decimals(row) for row in shown]
        return View(np.array(shown, dtype=np.int64), np.array(decimals, dtype=np.int64), **more)

    def _frame(self) -> View:
        rows = [self._lookup.row("X", CORE, measure) for measure in FRAME_MEASURES]
        return self._view(rows, figures=_alarm_figures, alarms=lambda s: self._alarm_list(s, BANNER_MAX, True))

    def _overview(self) -> View:
        find = self._lookup.row
        rows = [find("N", gateway, "Online") for gateway in self._lookup.gateways]
        return self._view(rows, figures=self._overview_figures)

    def _incomer_rows(self, network: Network) -> list[int]:
        """Return the rows of the power that enters a network: from each source, the first breaker that is measured."""
        rows: list[int] = []
        reached = {node.id for node in network.nodes if node.kind == "source"}
        frontier = set(reached)
        while frontier:
            below: set[str] = set()
            for edge in network.edges:
                if (edge.a in frontier) == (edge.b in frontier):
                    continue
                row = self._lookup.row("M", edge.device, *POWER) if edge.device else NO_ROW
                if row != NO_ROW:
                    rows.append(row)
                else:
                    below |= {edge.a, edge.b} - reached
            reached |= below
            frontier = below
        return rows

    def _building_rows(self, building: str) -> list[int]:
        places = self._lookup.plant.point_places
        meters = [
            point.meter
            for point in self._lookup.plant.points
            if point.medium == "electricity" and places[point.id].building == building
        ]
        rows = [self._lookup.row("M", meter, *POWER) for meter in meters]
        return [row for row in rows if row != NO_ROW]

    def _overview_figures(self, snapshot: Snapshot) -> Figures:
        figures: dict[str, tuple[float | None, int]] = dict(_alarm_figures(snapshot))
        if self._today is not None:
            figures.update(self._today.figures(snapshot))
        for building, rows in self.buildings.items():
            figures[f"power/{building}"] = _sum(snapshot, rows)
        for network, rows in self.stations.items():
            figures[f"station/{network}"] = _sum(snapshot, rows)
        names = self._lookup.credit_states()
        tenants = snapshot.columns.accounts.credit_state[: len(self._lookup.plant.accounts)]  # no spare rows
        counts = np.bincount(tenants, minlength=len(names))
        figures.update({f"credit/{state}": (int(counts[k]), GOOD) for k, state in enumerate(names)})
        owed = np.minimum(snapshot.columns.accounts.balance_nano, 0).sum()
        figures["owed"] = (round(-int(owed) / 1e9, 2), GOOD)
        figures.update(self._answering(snapshot))
        return figures

    def _answering(self, snapshot: Snapshot) -> Figures:
        """Return how many devices of each gateway answer."""
        tags = snapshot.columns.tags
        figures: dict[str, tuple[float | None, int]] = {}
        for gateway in self._lookup.gateways:
            found = [self._lookup.row("M", device, "Online") for device in self._lookup.behind(gateway)]
            rows = [row for row in found if row != NO_ROW]
            online = int(((tags.value[rows] == 1) & good_mask(tags.quality[rows])).sum())
            figures[f"online/{gateway}"] = (online, GOOD)
        return figures

    def _lines(self) -> View:
        find = self._lookup.row
        rows = [find("N", gateway, name) for gateway in self._lookup.gateways for name in LINE_MEASURES]
        return self._view(rows, figures=lambda snapshot: {**self._answering(snapshot), **self._too_short(snapshot)})

    def _too_short(self, snapshot: Snapshot) -> Figures:
        """Return for each line whether its wished period is shorter than it can be."""
        figures: dict[str, tuple[float | None, int]] = {}
        for gateway in self._lookup.gateways.values():
            shortest_ms = snapshot.columns.tags.value[self._lookup.row("N", gateway.id, "ShortestPeriodMs")]
            figures[f"short/{gateway.id}"] = (int(shortest_ms > gateway.period_s * MS_PER_S), GOOD)
        return figures

    def _line(self, key: str) -> View:
        gateway = self._lookup.gateways[key]
        rows = [row for device in self._lookup.behind(gateway.id) for row in self._lookup.line_rows(device).values()]
        return self._view([*self._lookup.rows_of("N", gateway.id), *rows], figures=self._too_short)

    def _diagram(self, key: str) -> View:
        network = self._lookup.networks[key]
        find = self._lookup.row
        rows = [find("D", node.id, "Energised") for node in network.nodes]
        for edge in network.edges:
            if edge.device:
                rows += [find("M", edge.device, *names) for names in (POWER, CURRENT, VOLTAGE)]
                rows += [find("M", edge.device, name) for name in ("Position", "Discrepancy", "CommandState", "Online")]
        return self._view(rows)

    def _device_rows(self, key: str) -> list[int]:
        """Return the rows of a device's page that everybody may see."""
        device = self._lookup.devices[key]
        rows = [*self._lookup.rows_of("M", device.id), *self._lookup.rows_of("N", device.gateway)]
        breaker = self._lookup.breaker_of(key)
        if breaker:
            rows += self._lookup.rows_of("M", breaker)
        return rows

    def _device(self, key: str) -> View:
        return self._view(self._device_rows(key))

    def _meter(self, key: str) -> View:
        rows = self._device_rows(key)
        point = self._lookup.point_of.get(key)
        if point is not None:
            rows += self._lookup.rows_of("P", point.id)
        account = self._lookup.account_of(key)
        if account is not None:
            rows += self._lookup.rows_of("T", account.id)
        return self._view(rows)

    def _meters(self) -> View:
        find = self._lookup.row
        rows = []
        for device in self._lookup.devices:
            rows += [find("M", device, *POWER), find("M", device, *ENERGY)]
            rows += [find("M", device, name) for name in ("Online", "Position")]
        return self._view(rows)

    def _accounts(self) -> View:
        rows = [
            self._lookup.row("T", account, name)
            for account in self._lookup.accounts
            for name in ("Balance", "CreditState")
        ]
        return self._view(rows)

    def _account(self, key: str) -> View:
        account = self._lookup.accounts[key]
        rows = list(self._lookup.rows_of("T", key))
        for point in self._lookup.points_of[key]:
            rows += self._lookup.rows_of("P", point.id)
            rows += [self._lookup.row("M", point.meter, *POWER), self._lookup.row("M", point.meter, "Online")]
        rows += [self._lookup.row("M", breaker, "Position") for breaker in account.breakers]
        return self._view([row for row in rows if row != NO_ROW])  # a virtual meter has no tags of its own

    def _alarms(self) -> View:
        return self._view([], alarms=lambda s: self._alarm_list(s, ALARMS_MAX, False))

    def _alarm_list(self, snapshot: Snapshot, most: int, unacknowledged_only: bool) -> list[list[Any]]:
        """Return the alarms that are not normal: unacknowledged, priority, active, newest."""
        alarms = snapshot.columns.alarms
        rows = np.flatnonzero(alarms.state != NORMAL)
        known = [
            (
                not UNACKNOWLEDGED[alarms.state[row]],
                int(alarms.priority[row]),
                not ACTIVE[alarms.state[row]],
                -int(alarms.since[row]),
                row,
            )
            for row in rows.tolist()
        ]
        if unacknowledged_only:
            known = [key for key in known if not key[0]]
        return [self._alarm(snapshot, key[-1]) for key in sorted(known)[:most]]

    def _alarm(self, snapshot: Snapshot, row: int) -> list[Any]:
        """Return one alarm in the order of FIELDS in static/live.js."""
        alarms, definition = snapshot.columns.alarms, self._lookup.plant.alarms[row]
        source = [self._lookup.name(definition.source, language) for language in ("zh", "en")]
        state, value = int(alarms.state[row]), float(alarms.value[row])
        tag = self._lookup.tag(definition.tag_row)
        # a state's number says nothing, and whoever sees the alarm need not be one who may see the balance
        measured = tag.kind in ("double", "int64") and not tag.currency
        return [
            definition.id,
            state,
            definition.priority,
            int(ACTIVE[state]),
            int(UNACKNOWLEDGED[state]),
            round(value, 3) if measured and np.isfinite(value) else None,
            int(alarms.since[row]) // 1_000_000,
            symbol(definition.unit),
            [
                without_name(text, name)
                for text, name in zip((definition.text_zh, definition.text_en), source, strict=True)
            ],
            source,
            self._lookup.page_of(definition.source),
        ]


def without_name(text: str, name: str) -> str:
    """Return an alarm's text without the name of its source, which stands beside it."""
    text = text.removeprefix(name).removeprefix(":").strip()
    return text[:1].upper() + text[1:]


def _sum(snapshot: Snapshot, rows: list[int]) -> tuple[float | None, int]:
    """Return the sum of what is known and its quality: uncertain when some rows are bad, bad when all are."""
    tags = snapshot.columns.tags
    known = ~bad_mask(tags.quality[rows])
    if not known.any():
        return None, BAD
    total = round(float(tags.value[rows][known].sum()), 1)
    return total, GOOD if good_mask(tags.quality[rows]).all() else UNCERTAIN


def _alarm_figures(snapshot: Snapshot) -> Figures:
    """Return how many alarms of each priority are active, and how many nobody has acknowledged."""
    alarms = snapshot.columns.alarms
    active = np.array(ACTIVE)[alarms.state]
    waiting = np.array(UNACKNOWLEDGED)[alarms.state]
    figures: dict[str, tuple[float | None, int]] = {}
    for priority in PRIORITIES:
        mine = alarms.priority == priority
        figures[f"active/{priority}"] = (int((active & mine).sum()), GOOD)
        figures[f"waiting/{priority}"] = (int((waiting & mine).sum()), GOOD)
    return figures

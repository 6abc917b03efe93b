"""Tags that the core computes itself: figures of the scan, money, energised nodes, written beside the field's tags.

Rule: nothing is computed here that another room would have to compute again; these are copies in the units of people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scada.clock import NS_PER_S
from scada.image import Columns
from scada.quality import BAD_WAITING_FOR_INITIAL_DATA, GOOD, UNCERTAIN_SUBNORMAL, is_good
from scada.scan import PHASES, Instant, ScanFigures
from scada.topology import UNDETERMINED, Network, energised

NANO: Final = 1_000_000_000
MICRO: Final = 1_000_000
MILLI: Final = 1_000
OVERRUN_SHOWN_S: Final = 60  # OverrunActive stays 1 this long after an overrun, so that it can be alarmed

Rows = npt.NDArray[np.int64]

NO_ROWS: Final[Rows] = np.zeros(0, dtype=np.int64)
DAYS_LEFT_MOST: Final = 9999.0  # shown for a purse that nothing is taken from

SYSTEM_MEASURES: Final = (
    "ScanCount",
    "ScanMs",
    "JitterMs",
    "Overruns",
    "OverrunActive",
    *(f"{phase.capitalize()}Ms" for phase in PHASES),
    "LedgerBehindS",
    "DatabaseConnected",
    "HistoryQueueRows",
    "HistoryLostRows",
    "CreditHeld",
    "StopsHeld",
)


class Health(NamedTuple):
    """How the core is, beside its scan; in the order of the last of SYSTEM_MEASURES."""

    ledger_behind_s: float
    connected: bool
    queue_rows: int
    lost_rows: int  # history given up because memory and spool were full
    credit_held: int  # tenants whose stop the mass-trip guard holds for a person
    stops_held: int  # why no supply is switched off at all, index into the states of the tag


@dataclass(frozen=True, slots=True)
class DerivedRows:
    """Image rows of every computed tag, in the order of the sections they copy."""

    system: Rows  # one for each of SYSTEM_MEASURES
    balance: Rows  # one for each account
    balance_minor: Rows
    credit_state: Rows
    billed: Rows  # one for each point
    charged: Rows
    price: Rows
    rate: Rows
    held: Rows
    rate_check: Rows
    minor_nano: int  # nano in one minor unit of the currency (10_000_000 for fen)
    days_left: Rows = field(default_factory=lambda: NO_ROWS)  # one for each account
    empty_s: Rows = field(default_factory=lambda: NO_ROWS)


def write(tags: Any, rows: Rows, values: Any, quality: Any, instant: Instant) -> None:
    """Set computed tags: value, quality (one, or one a row) and this scan's time; note the scan where one differs."""
    values = np.asarray(values, dtype=np.float64)
    changed = (tags.value[rows] != values) | (tags.quality[rows] != quality)
    tags.value[rows] = values
    tags.quality[rows] = quality
    tags.source_time[rows] = instant.utc_ns
    tags.changed_scan[rows[changed]] = instant.scan


class DerivedTags:
    """Writes the computed tags of every scan."""

    def __init__(
        self,
        work: Columns,
        rows: DerivedRows,
        networks: Sequence[Network],
        position_rows: Mapping[str, int],
        node_rows: Mapping[str, int],
    ) -> None:
        """position_rows: breaker edge id -> row of its Position tag; node_rows: node id -> row of its Energised tag."""
        self._work = work
        self._rows = rows
        self._networks = tuple(networks)
        self._position_rows = dict(position_rows)
        self._node_rows = dict(node_rows)
        self._overruns = 0
        self._overrun_ns = 0

    def network(self, instant: Instant) -> None:
        """Work out which nodes are live from the positions of this scan."""
        tags = self._work.tags
        positions = {
            edge: int(tags.value[row]) for edge, row in self._position_rows.items() if is_good(int(tags.quality[row]))
        }
        for network in self._networks:
            live = energised(network, positions)
            rows = np.array([self._node_rows[node] for node in live], dtype=np.int64)
            write(tags, rows, list(live.values()), GOOD, instant)
            unsure = [self._node_rows[node] for node, state in live.items() if state == UNDETERMINED]
            tags.quality[unsure] = UNCERTAIN_SUBNORMAL

    def money(self, instant: Instant, books_open: bool) -> None:
        """Copy balances and charges; before the books are read they wait for their first data."""
        quality = GOOD if books_open else BAD_WAITING_FOR_INITIAL_DATA
        tags, rows = self._work.tags, self._rows
        accounts, points = self._work.accounts, self._work.points
        shown = len(rows.balance)  # the rows behind are spare: opened while running, and without tags
        balance_nano = accounts.balance_nano[:shown]
        write(tags, rows.balance, balance_nano / NANO, quality, instant)
        write(tags, rows.balance_minor, balance_nano // rows.minor_nano, quality, instant)
        write(tags, rows.credit_state, accounts.credit_state[:shown], quality, instant)
        write(tags, rows.billed, points.billed_milli / MILLI, quality, instant)
        write(tags, rows.charged, points.charged_nano / NANO, quality, instant)
        write(tags, rows.price, points.price_micro / MICRO, quality, instant)
        write(tags, rows.rate, points.rate, quality, instant)
        write(tags, rows.held, points.held, quality, instant)
        write(tags, rows.rate_check, points.rate_check, quality, instant)

    def forecast(self, instant: Instant, outlook: Any) -> None:
        """Copy a forecast (days_left, empty_s and `known` of each account); what is not known yet is uncertain, -1."""
        tags, rows = self._work.tags, self._rows
        shown = len(rows.days_left)
        known = outlook.known[:shown]
        days_left = np.where(known, np.minimum(outlook.days_left[:shown], DAYS_LEFT_MOST), -1.0)
        quality = np.where(known, GOOD, UNCERTAIN_SUBNORMAL).astype(np.uint32)
        write(tags, rows.days_left, days_left, quality, instant)
        write(tags, rows.empty_s, np.where(known, np.maximum(outlook.empty_s[:shown], 0), -1), quality, instant)

    def system(self, instant: Instant, figures: ScanFigures, health: "Health") -> None:
        """Turn the figures of the scan before this one into tags."""
        if figures.overruns != self._overruns:
            self._overruns = figures.overruns
            self._overrun_ns = instant.mono_ns
        recent = self._overrun_ns and instant.mono_ns - self._overrun_ns < OVERRUN_SHOWN_S * NS_PER_S
        values = [
            instant.scan,
            figures.scan_ms,
            figures.jitter_ms,
            figures.overruns,
            1 if recent else 0,
            *(figures.phase_ms[phase] for phase in PHASES),
            *health,
        ]
        write(self._work.tags, self._rows.system, values, GOOD, instant)

"""The settlement of a plant, made from its configuration: desk, clock, and what the clock sees of the running core.

Rule: makes and returns; what runs when is `run.py`'s.
"""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from billing_core import settle_operations
from billing_core.engine import BillingEngine
from billing_core.plan import Plan
from billing_core.plan_body import plan_hash
from billing_core.points import PointSpec
from billing_core.settle_clock import Live, SettlementClock, Supply
from billing_core.settle_desk import SettlementDesk, Site
from billing_core.settle_store import SettleStore
from billing_core.shares import Place
from billing_core.store import LedgerStore
from config.computed import reactive_milli_of
from config.plant import Plant
from scada.clock import NS_PER_S, Clock
from scada.core import Core
from scada.database import Database
from scada.derived import NANO
from scada.image import Columns
from scada.operations import Operation


def month_end(
    plant: Plant,
    database_url: str,
    core: Core,
    billing: BillingEngine,
    books: LedgerStore,
    account_rows: Mapping[str, int],
    clock: Clock,
) -> SettlementDesk:
    """Return the settlement desk of a core, and let the core run its clock.

    account_rows: account -> row of the image; grows with accounts that are opened
    """
    core.account_rows = account_rows
    desk = settlement_desk(
        plant, database_url, clock, books, lambda account, nano: billing.credit(account_rows[account], nano)
    )
    core.also.append(settlement_clock(plant, desk, billing, core.work, clock, lambda: core.books_open).run)
    return desk


def settlement_desk(
    plant: Plant, database_url: str, clock: Clock, books: LedgerStore, credit_now: Callable[[str, int], None]
) -> SettlementDesk:
    """Return the desk of a plant, on connections of its own."""
    settings = plant.settlement
    site = Site(
        ZoneInfo(plant.site.timezone),
        settings.day,
        NANO // int(10**plant.site.currency_exponent),
        settings.groups,
        settings.places,
    )
    store = SettleStore(Database(database_url, "read"), Database(database_url, "ledger"))
    return SettlementDesk(site, store, books, credit_now, lambda: clock.utc_ns() // NS_PER_S)


def settlement_clock(
    plant: Plant, desk: SettlementDesk, billing: BillingEngine, work: Columns, clock: Clock, ready: Callable[[], bool]
) -> SettlementClock:
    """Return the periodic work of a plant's settlement."""
    supplies = LiveSupplies(plant, billing)
    live = Live(supplies, supplies.plans, reactive_milli_of(plant, work), work, ready)
    return SettlementClock(desk, live, clock)


def operations(plant: Plant, desk: SettlementDesk) -> list[Operation]:
    return settle_operations.operations(desk, plant.settlement.purchases)


class LiveSupplies:
    """How every supply point is billed now; made again only when the engine's points or plans changed."""

    def __init__(self, plant: Plant, billing: BillingEngine) -> None:
        self._settings = plant.settlement
        self._billing = billing
        self._points: list[PointSpec] = []
        self._plans: tuple[Plan, ...] = ()
        self._hashes: tuple[str, ...] = ()
        self._supplies: tuple[Supply, ...] = ()

    def __call__(self) -> tuple[Supply, ...]:
        points, plans = self._billing.points, self._billing.plans
        if points != self._points or plans != self._plans:
            self.plans()
            self._points = list(points)
            self._supplies = tuple(self._supply(row, point) for row, point in enumerate(points))
        return self._supplies

    def plans(self) -> dict[str, Plan]:
        """Return hash -> plan of the plans in force."""
        plans = self._billing.plans
        if plans != self._plans:
            self._plans, self._hashes = plans, tuple(plan_hash(plan).hex() for plan in plans)
        return dict(zip(self._hashes, self._plans, strict=True))

    def _supply(self, row: int, point: PointSpec) -> Supply:
        return Supply(
            point.id,
            row,
            self._billing.accounts[point.account].id,
            self._hashes[point.tariff],
            point.meter,
            point.milli_per_count,
            point.modulus_counts,
            point.max_milli_per_s,
            self._settings.contract_w.get(point.id, 0),
            self._settings.places.get(point.id, Place()).capacity_va,
        )

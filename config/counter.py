"""What a plant's billing works with, made from its configuration: who pays for what, the books, the office.

Rule: makes and returns; what runs when is `run.py`'s.
"""

import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from billing_core import account_store, operation_tables
from billing_core.anchor import Anchor
from billing_core.credit import CreditControl
from billing_core.engine import BillingEngine
from billing_core.last_statements import LastStatements
from billing_core.office import ChangePort, Office, QuietPort
from billing_core.residents import Residents
from billing_core.settle_desk import SettlementDesk
from billing_core.state import Terms
from billing_core.store import LedgerStore
from config.plant import Plant
from scada.clock import NS_PER_S, Clock
from scada.control import ControlDesk
from scada.database import Database
from scada.derived import NANO
from scada.operations import Operation
from scada.position import OPEN


def engine(plant: Plant) -> BillingEngine:
    """Return the billing engine of a plant, with rows for accounts that are opened later."""
    return BillingEngine(plant.points, plant.accounts, plant.plans, spare_accounts=plant.ledger.spare_accounts)


def residents(plant: Plant) -> Residents:
    """Return who pays for what by the configuration; the books know what changed since."""
    switches = [breaker.id for breaker in plant.breakers if breaker.medium == "electricity" and not breaker.protected]
    return Residents.configured(
        plant.points, plant.accounts, plant.account_classes, plant.ledger.house, switches, plant.ledger.spare_accounts
    )


def ledger_store(plant: Plant, database: Database, root: Path, clock: Clock, known: Residents) -> LedgerStore:
    """Return the books of the plant, held under this machine's and data directory's name."""
    holder = f"{platform.node()}:{root}"
    return LedgerStore(
        database,
        plant.site.id,
        holder,
        known.limits,
        plant.checkpoint_s,
        clock,
        coin_nano(plant),
        Anchor(root / "anchor"),
    )


def follow(known: Residents, credit: CreditControl, clock: Clock) -> None:
    """Let credit control hear of accounts that are opened, closed, or pay for other points than before."""
    known.adopt = lambda spec, row, points: credit.adopt(spec, row, points, clock.utc_ns() // NS_PER_S)
    known.leave = lambda account: credit.leave(account, clock.utc_ns() // NS_PER_S)


def operations(
    plant: Plant,
    clock: Clock,
    billing: BillingEngine,
    books: LedgerStore,
    known: Residents,
    change: ChangePort,
    quietly: QuietPort,
    desk: ControlDesk,
    month_end: SettlementDesk | None = None,
) -> list[Operation]:
    """Return what people can ask the core for, trade by trade. month_end: posts the last statement of a closing."""
    office = Office(
        site=plant.site.id,
        timezone=plant.site.timezone,
        minor_nano=coin_nano(plant),
        clock=clock,
        engine=billing,
        books=books,
        change=change,
        quietly=quietly,
        credit_now=lambda account, nano: billing.credit(known.rows[account], nano),
        switch_off=lambda breaker, reason: desk.automatic(breaker, OPEN, "settlement", reason),
        points={point.id: point for point in plant.points},
        accounts=known.specs,
        plans={plan.id: plan for plan in plant.plans},
        register_milli={d.id: d.profile.billing.milli_per_count for d in plant.devices if d.profile.billing},
    )
    return operation_tables.tables(office, known, LastStatements(month_end) if month_end else None)


def coin_nano(plant: Plant) -> int:
    """Return the smallest coin of the plant's currency."""
    return NANO // int(10**plant.site.currency_exponent)


async def open_billing(plant: Plant, billing: BillingEngine, books: LedgerStore, known: Residents) -> Any:
    """Take the books: accounts that were opened while running take their rows again, then the engine begins there."""
    for spec in known.restore(await account_store.opened_in(books)):
        billing.adopt(spec)
    state = await books.prepare(plant.points, known.accounts(), plant.plans)
    billing.restore(state)
    for difference in overridden(plant, state.terms):
        logger.warning("{}", difference)
    known.pay({row: terms.account for row, terms in state.terms.items()})
    return state


def overridden(plant: Plant, terms: Mapping[int, Terms]) -> Iterator[str]:
    """Yield a sentence for each supply point whose meter or ratio a person set otherwise than the configuration says.

    The books hold: what was swapped or re-rated while running is billed so until the configuration agrees.
    """
    for row, one in sorted(terms.items()):
        point = plant.points[row]
        for what, books, configured in (
            ("meter", one.meter, point.meter),
            ("thousandths per count (ratio)", one.milli_per_count, point.milli_per_count),
            ("range of the register", one.modulus_counts, point.modulus_counts),
        ):
            if books != configured:
                yield (
                    f"supply point {point.id}: {what} is {books} in the books, by a swap or change of ratio, and "
                    f"{configured} in the configuration; the books hold, mend meters.csv or supply_points.csv"
                )

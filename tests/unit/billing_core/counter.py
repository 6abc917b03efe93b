"""A counter over real books for the tests of accounts: two tenants, a house, limits that are easily met."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from billing_core.account_desk import Counter
from billing_core.account_rules import STANDARD, AccountClass
from billing_core.account_store import opened_in
from billing_core.engine import BillingEngine
from billing_core.office import Office
from billing_core.operation_tables import tables
from billing_core.residents import Residents
from billing_core.store import LedgerStore
from scada.database import Database
from scada.image import Columns, Layout
from scada.operations import OperationDesk, Who
from tests.unit.billing_core.park import ACCOUNTS, BEGIN_S, LAYOUT, POINTS, TARIFFS, YUAN, Park

FEN = YUAN // 100
SPARE = 4
ANN = Who("ann", "finance", "desk-1")
BOB = Who("bob", "finance", "desk-2")
LIMITS = replace(
    STANDARD,
    recovery_percent=50,
    emergency_nano=20 * YUAN,
    refund_limit_nano=50 * YUAN,
    correction_limit_nano=30 * YUAN,
)


@dataclass
class Clock:
    """Plant time that a test sets."""

    now_s: int = BEGIN_S
    speed: int = 1

    def utc_ns(self) -> int:
        return self.now_s * 10**9

    def mono_ns(self) -> int:
        return self.now_s * 10**9


@dataclass
class Till:
    """The core as the operations see it: engine, books, operations by name."""

    park: Park
    books: LedgerStore
    residents: Residents
    counter: Counter
    desk: OperationDesk
    clock: Clock
    stopped: list[str] = field(default_factory=list)
    refuse_switching: str = ""

    async def ask(self, name: str, who: Who = ANN, **arguments: Any) -> Mapping[str, Any]:
        import json

        found: Mapping[str, Any] = json.loads(await self.desk.perform(name, json.dumps(arguments), who))
        return found

    async def commit(self) -> None:
        checkpoint = self.park.engine.cut()
        if checkpoint is not None:
            await self.books.commit(checkpoint)
            self.park.engine.applied(checkpoint)

    def live(self, account: str) -> int:
        self.park.step(gap_s=0)
        return int(self.park.work.accounts.balance_nano[self.residents.rows[account]])


@contextlib.asynccontextmanager
async def till(
    dsn: str,
    limits: Mapping[str, AccountClass] | None = None,
    database: type[Database] = Database,
    statements: Any = None,
) -> AsyncIterator[Till]:
    """Open the books of the small park and everything that acts on its accounts. statements: office -> Statements."""
    clock = Clock()
    residents = Residents.configured(
        POINTS, ACCOUNTS, limits or {"standard": LIMITS}, house="t2", switches=("m1", "m2"), spare=SPARE
    )
    store = LedgerStore(database(dsn, "ledger"), "demo", "here", residents.limits, clock=clock)  # type: ignore[arg-type]
    park = Park(
        BillingEngine(POINTS, ACCOUNTS, TARIFFS, spare_accounts=SPARE),
        Columns.private(Layout({**LAYOUT.counts, "accounts": len(ACCOUNTS) + SPARE}, b"\0" * 32)),
    )
    try:
        for spec in residents.restore(await opened_in(store)):
            park.engine.adopt(spec)
        state = await store.prepare(POINTS, residents.accounts(), TARIFFS)
        park.engine.restore(state)
        residents.pay({row: terms.account for row, terms in state.terms.items()})

        async def change(make: Any) -> Any:
            await opened.commit()
            made = make()
            await opened.commit()
            return made

        async def quietly(work: Any) -> Any:
            await opened.commit()
            return await work()

        def switch_off(breaker: str, reason: str) -> str:
            from scada.errors import Refused

            if opened.refuse_switching:
                raise Refused(opened.refuse_switching, "does not hold")
            opened.stopped.append(breaker)
            return f"c-{len(opened.stopped)}"

        office = Office(
            site="demo",
            timezone="Asia/Shanghai",
            minor_nano=FEN,
            clock=clock,  # type: ignore[arg-type]
            engine=park.engine,
            books=store,
            change=change,
            quietly=quietly,
            credit_now=lambda account, nano: park.engine.credit(residents.rows[account], nano),
            switch_off=switch_off,
            points={point.id: point for point in POINTS},
            accounts=residents.specs,
            plans={plan.id: plan for plan in TARIFFS},
            register_milli={"m1": 10, "m2": 10, "m3": 1},
        )
        operations = tables(office, residents, statements(office) if statements else None)
        opened = Till(
            park,
            store,
            residents,
            Counter(office, residents),
            OperationDesk(operations),
            clock,
        )
        yield opened
    finally:
        await store.close()

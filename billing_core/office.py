"""The office: what the operations of the billing core work with. run.py fills it; each trade's table takes it.

Rule: data and callables only; what an operation does is in its own file.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from billing_core.engine import BillingEngine
from billing_core.plan import Plan
from billing_core.points import AccountSpec, PointSpec
from billing_core.store import LedgerStore
from scada.clock import Clock


class ChangePort(Protocol):
    """scada.core.Core.change."""

    def __call__(self, make: Callable[[], Any]) -> Awaitable[Any]: ...


class QuietPort(Protocol):
    """scada.core.Core.quietly."""

    def __call__(self, work: Callable[[], Awaitable[Any]]) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Office:
    """One site's billing, as operations see it."""

    site: str
    timezone: str
    minor_nano: int  # nano of the smallest coin
    clock: Clock
    engine: BillingEngine
    books: LedgerStore
    change: ChangePort
    quietly: QuietPort
    credit_now: Callable[[str, int], None]  # (account id, nano): let a posted transfer count in the live balance
    switch_off: Callable[[str, str], str]  # (breaker id, reason) -> command id; Refused by an interlock
    points: Mapping[str, PointSpec]
    accounts: Mapping[str, AccountSpec]
    plans: Mapping[str, Plan]
    register_milli: Mapping[str, int]  # device -> thousandths of the unit per count as its display shows it

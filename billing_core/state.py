"""What the engine hands to the books and gets back from them: state at start, checkpoints, terms of supply.

Rule: plain immutable data; the store and the engine meet here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from billing_core.columns import HELD_METER, HELD_NONE, NEVER, S_HELD, S_LAST_S, STATE_KEPT, Table
from billing_core.plan import Plan, TierOptions


@dataclass(frozen=True, slots=True)
class Terms:
    """What a supply point is billed by. The engine numbers them as they come up; the store gives each its own id."""

    point: str
    meter: str
    account: str  # account id, not the ledger's wallet
    medium: str
    unit: str
    milli_per_count: int
    modulus_counts: int
    plan: Plan
    options: TierOptions


@dataclass(frozen=True, slots=True)
class Change:
    """A change of registers, terms or tariffs by a person: it enters the chain with the checkpoint that carries it."""

    key: str  # idempotency key
    kind: str  # "release", "reject", "swap", "ratio", "tenancy", "plan", ...
    who: str
    station: str
    memo: str  # the reason
    document: Mapping[str, Any]  # plain JSON data: everything needed to do it again


@dataclass(frozen=True, slots=True)
class BillingState:
    """The books as the engine needs them when it starts."""

    checkpoint_seq: int  # last committed checkpoint
    plant_time_s: int  # latest plant time the books know; plant time must not run behind it
    points: Table  # (n_points, STATE_KEPT); LAST_S = NEVER where there is no reading yet
    committed_nano: npt.NDArray[np.int64]  # (n_accounts,) balances
    held_meters: npt.NDArray[np.int64]  # rows of points whose meter or register is not the one in the books


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that happened since the last one; committed as one transaction or not at all."""

    seq: int  # dense, one more than the last committed
    plant_time_s: int
    rows: Table  # (k, ROW_WIDTH) charges, in the order they were closed
    point_rows: npt.NDArray[np.int64]  # (m,) points whose state changed
    points: Table  # (m, STATE_KEPT) their state
    account_nano: npt.NDArray[np.int64]  # (n_accounts,) what the charges debit, >= 0
    terms: tuple[Terms, ...] = ()  # what rows and points are billed by: their terms columns index this
    change: Change | None = None


def fresh_state(points: int, accounts: int) -> BillingState:
    """Return the state of empty books: no reading yet, every balance zero."""
    kept = np.zeros((points, STATE_KEPT), dtype=np.int64)
    kept[:, S_LAST_S] = NEVER
    nobody = np.zeros(0, dtype=np.int64)
    return BillingState(0, 0, kept, np.zeros(accounts, dtype=np.int64), nobody)


def hold_changed_meters(state: BillingState) -> Table:
    """Return the kept point state with every point held whose meter is not the one the books were billed by.

    A hold of an earlier start ends where the configuration names the meter of the books again.
    """
    kept = state.points.copy()
    kept[kept[:, S_HELD] == HELD_METER, S_HELD] = HELD_NONE
    kept[state.held_meters, S_HELD] = HELD_METER
    return kept

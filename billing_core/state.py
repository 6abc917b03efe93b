"""What the engine hands to the books and gets back from them: state at start, checkpoints, terms of supply.

Rule: plain immutable data; the store and the engine meet here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from billing_core.columns import (
    EVIDENCE_WIDTH,
    HELD_METER,
    HELD_NONE,
    NEVER,
    NO_REGISTER,
    RATES_MOST,
    S_BILLED_MILLI,
    S_CHARGED_NANO,
    S_HELD,
    S_HELD_RAW,
    S_HELD_S,
    S_LAST_RAW,
    S_LAST_S,
    S_PERIOD,
    S_POSITION_MILLI,
    S_RATE_RAW,
    STATE_KEPT,
    Table,
)
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
class Act:
    """Who changes registers, terms or tariffs, and why."""

    key: str  # idempotency key
    who: str
    station: str
    memo: str  # the reason
    kind: str = ""  # kind of the Change; "" leaves it to the method: "release", "reject", "retarget", "publish"
    document: Mapping[str, Any] = field(default_factory=dict)  # what the trade adds to the document of the Change


@dataclass(frozen=True, slots=True)
class Target:
    """What a supply point is billed by from now on. None: as it was.

    Without `final_raw` the point is cut at its last billed register. With it, the interval up to (final_raw, at_s) is
    billed by the old terms first; the register goes on from `first_raw` (a new meter) or from `final_raw`.
    """

    row: int  # of the supply point
    account: int | None = None  # row of the account that pays
    plan: str | None = None  # id of a plan the engine knows
    options: TierOptions | None = None
    meter: str | None = None
    milli_per_count: int | None = None
    modulus_counts: int | None = None
    max_milli_per_s: int | None = None
    final_raw: int | None = None  # last register under the old terms, in old counts ...
    at_s: int | None = None  # ... and when it was read, UTC; not after the last scan; None: the last scan
    first_raw: int | None = None  # first register under the new terms, in new counts, at that time, too
    gap_milli: int = 0  # what was used between the two, estimated; charged at the price of the last scan
    position_milli: int | None = None  # carried tier position of the period in force (旧表基础电量)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A point that is held: what would be billed if the doubtful register were believed."""

    held: str  # word of columns.HELD
    raw_from: int  # last billed register
    from_s: int
    raw_to: int  # doubtful register
    to_s: int
    milli: int  # between the two; a register that went back counts as rolled over


class Standing(NamedTuple):
    """Where a supply point stands, in the order of STANDING."""

    held: int  # index into columns.HELD
    last_raw: int
    last_s: int  # NEVER before the first reading
    held_raw: int
    held_s: int
    billed_milli: int
    charged_nano: int
    position_milli: int
    period: int


STANDING: Final = (
    S_HELD, S_LAST_RAW, S_LAST_S, S_HELD_RAW, S_HELD_S, S_BILLED_MILLI, S_CHARGED_NANO, S_POSITION_MILLI, S_PERIOD,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Register:
    """The register of a supply point as it was last billed."""

    point: str
    meter: str
    raw: int
    at_s: int  # columns.NEVER before the first reading
    milli_per_count: int
    held: str  # word of columns.HELD


@dataclass(frozen=True, slots=True)
class BillingState:
    """The books as the engine needs them when it starts."""

    checkpoint_seq: int  # last committed checkpoint
    plant_time_s: int  # latest plant time the books know; plant time must not run behind it
    points: Table  # (n_points, STATE_KEPT); LAST_S = NEVER where there is no reading yet
    committed_nano: npt.NDArray[np.int64]  # (n_accounts,) balances
    held_meters: npt.NDArray[np.int64]  # rows of points whose meter or register is not the one in the books
    terms: Mapping[int, Terms] = field(default_factory=dict)  # row -> terms set by a person: they beat the config


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that happened since the last one; committed as one transaction or not at all."""

    seq: int  # dense, one more than the last committed
    plant_time_s: int
    rows: Table  # (k, ROW_WIDTH) charges, in the order they were closed
    point_rows: npt.NDArray[np.int64]  # (m,) points whose state changed
    points: Table  # (m, STATE_KEPT) their state
    account_nano: npt.NDArray[np.int64]  # (n_accounts,) what the charges debit
    terms: tuple[Terms, ...] = ()  # what rows and points are billed by: their terms columns index this
    change: Change | None = None
    point_terms: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # (m,) of points
    accounts: tuple[str, ...] = ()  # account ids by row
    evidence: Table = field(default_factory=lambda: np.zeros((0, EVIDENCE_WIDTH), dtype=np.int64))
    # (n, EVIDENCE_WIDTH) rate registers of the intervals that they split; `terms` index as in rows


def fresh_state(points: int, accounts: int) -> BillingState:
    """Return the state of empty books: no reading yet, every balance zero."""
    kept = np.zeros((points, STATE_KEPT), dtype=np.int64)
    kept[:, S_LAST_S] = NEVER
    kept[:, S_RATE_RAW : S_RATE_RAW + RATES_MOST] = NO_REGISTER
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

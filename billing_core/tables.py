"""Makes the desk: lays schedules, live terms, state and the columns that people see beside each other.

Rule: allocates what a desk needs and nothing else; what is done on it is the kernel's and the engine's.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from billing_core.columns import (
    EVIDENCE_WIDTH,
    METHOD_REGISTERS,
    NO_REGISTER,
    R_FROM_S,
    R_METHOD,
    R_POINT,
    R_TERMS,
    R_TO_S,
    RATES_MOST,
    Table,
)
from billing_core.desk import Desk
from billing_core.rate_registers import SPLIT_HEIGHT
from billing_core.schedule import Schedules

FENCES: Final = Desk._fields[Desk._fields.index("last_raw") : Desk._fields.index("billed_milli")]
FENCE_TYPES: Final = (np.int64, np.uint32, np.uint32, np.int64, np.uint32, np.int32, np.int32, np.int64, np.uint32)
SHOWN_OF_POINTS: Final = Desk._fields[Desk._fields.index("billed_milli") : Desk._fields.index("balance_nano")]
EVIDENCE_KEY: Final = (R_POINT, R_TERMS, R_FROM_S, R_TO_S)  # columns V_POINT to V_TO_S

Fences = dict[str, npt.NDArray[Any]]


def fences_of(points: int) -> Fences:
    """Return the columns of the fences, all closed until they are raised."""
    return {name: np.zeros(points, dtype=kind) for name, kind in zip(FENCES, FENCE_TYPES, strict=True)}


def rate_registers_of(points: int) -> Table:
    """Return (points, RATES_MOST) rate registers, none read yet."""
    return np.full((points, RATES_MOST), NO_REGISTER, dtype=np.int64)


def evidence_of(rows: int) -> Table:
    """Return (rows, 2 * RATES_MOST) room for rate registers beside charges: before and after."""
    return np.zeros((rows, 2 * RATES_MOST), dtype=np.int64)


def evidence_in(rows: Table, evidence: Table) -> Table:
    """Return (m, EVIDENCE_WIDTH) the rate registers of every interval among some charges that they split.

    rows (k, ROW_WIDTH); evidence as Desk.evidence, beside them
    """
    if not len(evidence):
        return np.zeros((0, EVIDENCE_WIDTH), dtype=np.int64)
    begins = np.ones(len(rows), dtype=np.bool_)
    begins[1:] = (rows[1:, R_POINT : R_TO_S + 1] != rows[:-1, R_POINT : R_TO_S + 1]).any(axis=1)
    at = np.flatnonzero(begins & (rows[:, R_METHOD] == METHOD_REGISTERS))
    return np.hstack([rows[at][:, EVIDENCE_KEY], evidence[at]])


def desk_of(
    terms: Table,
    state: Table,
    fences: Fences,
    shown: Any,
    balance_nano: npt.NDArray[Any],
    account_scan: npt.NDArray[Any],
    rows: Table,
    schedules: Schedules,
    clock: npt.NDArray[Any],
    rate_raw: Table,
    evidence: Table,
) -> Desk:
    """Return the tables of one site. shown: the points section of an image, or anything with its columns."""
    return Desk(
        terms=terms,
        state=state,
        rate_raw=rate_raw,
        split=np.zeros((SPLIT_HEIGHT, RATES_MOST), dtype=np.int64),
        now_s=clock,
        **fences,
        **{name: getattr(shown, name) for name in SHOWN_OF_POINTS},
        balance_nano=balance_nano,
        account_scan=account_scan,
        rows=rows,
        evidence=evidence,
        entries=schedules.entries,
        prices=schedules.prices,
        bounds=schedules.bounds,
        volume=schedules.volume,
        first=schedules.first,
    )

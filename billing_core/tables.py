"""Makes the desk: lays schedules, live terms, state and the columns that people see beside each other.

Rule: allocates what a desk needs and nothing else; what is done on it is the kernel's and the engine's.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from billing_core.columns import NO_REGISTER, RATES_MOST, Table
from billing_core.desk import Desk
from billing_core.rate_registers import SPLIT_HEIGHT
from billing_core.schedule import Schedules

FENCES: Final = Desk._fields[Desk._fields.index("last_raw") : Desk._fields.index("billed_milli")]
FENCE_TYPES: Final = (np.int64, np.uint32, np.uint32, np.int64, np.uint32, np.int32, np.int32, np.int64, np.uint32)
SHOWN_OF_POINTS: Final = Desk._fields[Desk._fields.index("billed_milli") : Desk._fields.index("balance_nano")]

Fences = dict[str, npt.NDArray[Any]]


def fences_of(points: int) -> Fences:
    """Return the columns of the fences, all closed until they are raised."""
    return {name: np.zeros(points, dtype=kind) for name, kind in zip(FENCES, FENCE_TYPES, strict=True)}


def rate_registers_of(points: int) -> Table:
    """Return (points, RATES_MOST) rate registers, none read yet."""
    return np.full((points, RATES_MOST), NO_REGISTER, dtype=np.int64)


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
        entries=schedules.entries,
        prices=schedules.prices,
        bounds=schedules.bounds,
        volume=schedules.volume,
        first=schedules.first,
    )

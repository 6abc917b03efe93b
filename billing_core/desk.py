"""The tables of one site's billing, as one value that compiled functions take: terms, state, purses, schedules, rows.

Rule: only arrays, no behaviour; columns.py says what their columns are.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy.typing as npt

from billing_core.columns import Table

TABLE: Final = numba.int64[:, ::1]
COLUMN: Final = numba.int64[::1]
OCTETS: Final = numba.uint8[::1]
INT: Final = numba.int64
PAIR: Final = numba.types.UniTuple(numba.int64, 2)


class Desk(NamedTuple):
    """Everything the kernel reads and writes besides the readings; int64 where nothing else is said; in place."""

    terms: Table  # (n_points, TERMS_WIDTH)
    state: Table  # (n_points, STATE_WIDTH)
    rate_raw: Table  # (n_points, RATES_MOST) rate registers as read now, or no rows where the image has none
    split: Table  # (2, RATES_MOST) scratch: quantity of each rate, and its seconds
    balance_nano: npt.NDArray[Any]  # (n_accounts,) live
    account_scan: npt.NDArray[Any]  # (n_accounts,) scan in which a balance last changed
    price_micro: npt.NDArray[Any]  # (n_points,) price of the next unit at now_s, to show
    rate: npt.NDArray[Any]  # (n_points,) uint8 rate period at now_s, to show
    now_s: npt.NDArray[Any]  # (2,) instant of the scan, and its number
    rows: Table  # (capacity, ROW_WIDTH) charges that are not yet in a checkpoint
    entries: Table  # (m, ENTRY_WIDTH) schedules one after the other ...
    prices: Table  # (p, TIERS_MOST) micro
    bounds: Table  # (b, TIERS_MOST) milli
    volume: npt.NDArray[Any]  # (b,) 1: the whole period at the price of the tier reached
    first: npt.NDArray[Any]  # (n_schedules + 1,) ... from entries[first[s]] to entries[first[s + 1]]


DESK: Final = numba.types.NamedTuple(
    (TABLE, TABLE, TABLE, TABLE, COLUMN, COLUMN, COLUMN, OCTETS, COLUMN, TABLE, TABLE, TABLE, TABLE, COLUMN, COLUMN),
    Desk,
)

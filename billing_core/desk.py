"""The tables of one site's billing, as one value that compiled functions take: terms, state, purses, schedules, rows.

What one reading of an open charge needs lies in short columns of their own, the *fences* (fences.py): a scan of a
million points is bound by memory, and the wide rows of `state` are for the readings that are not the common case.
Rule: only arrays, no behaviour; columns.py says what the columns of the tables are.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy.typing as npt

from billing_core.columns import Table

TABLE: Final = numba.int64[:, ::1]
COLUMN: Final = numba.int64[::1]
SCANS: Final = numba.uint64[::1]
WORDS: Final = numba.uint32[::1]
SHORTS: Final = numba.int32[::1]
OCTETS: Final = numba.uint8[::1]
INT: Final = numba.int64
PAIR: Final = numba.types.UniTuple(numba.int64, 2)


class Desk(NamedTuple):
    """Everything the kernel reads and writes besides the readings; int64 where nothing else is said; in place."""

    terms: Table  # (n_points, TERMS_WIDTH)
    state: Table  # (n_points, STATE_WIDTH); behind the fences until fences.settle
    rate_raw: Table  # (n_points, RATES_MOST) rate registers as read now, or no rows where no point has any
    split: Table  # (SPLIT_HEIGHT, RATES_MOST) scratch of rate_registers.py
    now_s: npt.NDArray[Any]  # (2,) instant of the scan, and its number
    # the fences, (n_points,)
    last_raw: npt.NDArray[Any]  # last billed register
    last_s: npt.NDArray[Any]  # uint32, its time
    moved_s: npt.NDArray[Any]  # uint32, when it last moved
    fence_raw: npt.NDArray[Any]  # last register of which this all is true: the next tier, rollover or limit lies beyond
    fence_s: npt.NDArray[Any]  # uint32, and the last second: the calendar entry ends there
    step_max: npt.NDArray[Any]  # int32 counts that the connection can carry even between two scans
    per_count_milli: npt.NDArray[Any]  # int32
    per_count_nano: npt.NDArray[Any]  # price in force of one count
    account: npt.NDArray[Any]  # uint32 row of the account that pays
    # what people see, columns of the image, (n_points,)
    billed_milli: npt.NDArray[Any]
    charged_nano: npt.NDArray[Any]
    price_micro: npt.NDArray[Any]  # of the next unit, at now_s
    rate: npt.NDArray[Any]  # uint8 rate period at now_s
    held: npt.NDArray[Any]  # uint8
    changed_scan: npt.NDArray[Any]  # uint64
    balance_nano: npt.NDArray[Any]  # (n_accounts,) live
    account_scan: npt.NDArray[Any]  # (n_accounts,) uint64 scan in which a balance last changed
    # charges and schedules
    rows: Table  # (capacity, ROW_WIDTH) charges that are not yet in a checkpoint
    evidence: Table  # (capacity, 2 * RATES_MOST) beside the first row of an interval that rate registers split: they
    entries: Table  # (m, ENTRY_WIDTH) schedules one after the other ...
    prices: Table  # (p, TIERS_MOST) micro
    bounds: Table  # (b, TIERS_MOST) milli
    volume: npt.NDArray[Any]  # (b,) 1: the whole period at the price of the tier reached
    first: npt.NDArray[Any]  # (n_schedules + 1,) ... from entries[first[s]] to entries[first[s + 1]]


FENCES: Final = (COLUMN, WORDS, WORDS, COLUMN, WORDS, SHORTS, SHORTS, COLUMN, WORDS)
SHOWN: Final = (COLUMN, COLUMN, COLUMN, OCTETS, OCTETS, SCANS, COLUMN, SCANS)
DESK: Final = numba.types.NamedTuple(
    (*[TABLE] * 4, COLUMN, *FENCES, *SHOWN, *[TABLE] * 5, COLUMN, COLUMN),
    Desk,
)

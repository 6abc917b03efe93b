"""Rows that the books would never take: found before anything is written, so that one supply point stops no other.

The kernel makes no such row; a damaged memory or a mistake in it might. Charges and state of that point stay out of the
checkpoint and stand in the chain as a document; its registers are where they were last billed, so nothing is lost.
Rule: pure; the conditions are those of the table `charge`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from billing_core.columns import (
    KIND_REVERSAL,
    KIND_UPLIFT,
    KINDS,
    METHOD_PERSON,
    METHODS,
    R_FROM_S,
    R_KIND,
    R_METHOD,
    R_MILLI,
    R_NANO,
    R_POINT,
    R_POSITION_MILLI,
    R_PRICE_MICRO,
    R_RATE,
    R_RAW_FROM,
    R_RAW_TO,
    R_SEGMENT_FROM_S,
    R_SEGMENT_TO_S,
    R_TIER,
    R_TO_S,
    RATES_MOST,
    V_POINT,
    Table,
)
from billing_core.plan import TIERS_MOST
from billing_core.points import PointSpec
from billing_core.state import Checkpoint


def faulty(rows: Table) -> npt.NDArray[np.bool_]:
    """Return (k,) which rows the books would refuse. A wrong product of quantity and price is one of them."""
    signed = (rows[:, R_KIND] == KIND_UPLIFT) | (rows[:, R_KIND] == KIND_REVERSAL)
    found = (rows[:, R_RAW_FROM] < 0) | (rows[:, R_RAW_TO] < 0) | (rows[:, R_POSITION_MILLI] < 0)
    found |= (rows[:, R_SEGMENT_FROM_S] < rows[:, R_FROM_S]) | (rows[:, R_TO_S] < rows[:, R_SEGMENT_TO_S])
    by_person = rows[:, R_METHOD] == METHOD_PERSON  # an estimate for a swap may have no length of its own
    found |= rows[:, R_SEGMENT_FROM_S] + np.where(by_person, 0, 1) > rows[:, R_SEGMENT_TO_S]
    for column, most in ((R_RATE, RATES_MOST), (R_TIER, TIERS_MOST), (R_KIND, len(KINDS)), (R_METHOD, len(METHODS))):
        found |= (rows[:, column] < 0) | (rows[:, column] >= most)
    found |= ~signed & ((rows[:, R_MILLI] <= 0) | (rows[:, R_NANO] < 0) | (rows[:, R_PRICE_MICRO] < 0))
    found |= rows[:, R_NANO] != rows[:, R_MILLI] * rows[:, R_PRICE_MICRO]
    return found


def separate(checkpoint: Checkpoint, points: Sequence[PointSpec]) -> tuple[Checkpoint, dict[str, Any] | None]:
    """Return the checkpoint without the points that have a faulty row, and a document about these; None: all is well.

    account_nano of what is left is not kept in step: the books move by the rows.
    """
    wrong = faulty(checkpoint.rows)
    if not wrong.any():
        return checkpoint, None
    out = np.unique(checkpoint.rows[wrong, R_POINT])
    of_them = np.isin(checkpoint.rows[:, R_POINT], out)
    stays = ~np.isin(checkpoint.point_rows, out)
    document = {
        "checkpoint": checkpoint.seq,
        "points": [
            {"point": points[row].id, "rows": checkpoint.rows[checkpoint.rows[:, R_POINT] == row].tolist()}
            for row in out.tolist()
        ],
    }
    clean = replace(
        checkpoint,
        rows=checkpoint.rows[~of_them],
        evidence=checkpoint.evidence[~np.isin(checkpoint.evidence[:, V_POINT], out)],
        point_rows=checkpoint.point_rows[stays],
        points=checkpoint.points[stays],
        point_terms=checkpoint.point_terms[stays],
    )
    return clean, document

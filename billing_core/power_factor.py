"""Power-factor adjustment: the month's power factor in hundredths, the tables of the 1983 rule, the amount.

Rule: tables are data and a plan may bring its own; a factor is found with integers, so that no float decides a step.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Final

from billing_core.amounts import MILLION, round_half_up

PPM_PER_TENTH: Final = 1_000  # 0.1 %
Steps = tuple[tuple[int, int], ...]  # (power factor in hundredths, ppm of the base), every hundredth from 0 to 100

# Rule 水电财字215号 of 1983. For each standard (hundredths): bonus by hundredth in thousandths of a per cent above it,
# the last one holding up to 1.00; and below it, three runs of (down to hundredth, tenths of a per cent per hundredth).
_BONUS: Final[Mapping[int, tuple[int, ...]]] = {
    90: (150, 300, 450, 600, 750),
    85: (100, 200, 300, 400, 500, 650, 800, 950, 1100),
    80: (100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1150, 1300),
}
_PENALTY: Final[Mapping[int, tuple[tuple[int, int], ...]]] = {
    90: ((70, 5), (65, 10), (0, 20)),
    85: ((65, 5), (60, 10), (0, 20)),
    80: ((60, 5), (55, 10), (0, 20)),
}
_PPM_PER_BONUS: Final = 10  # thousandths of a per cent -> millionths


def hundredths(active_milli: int, reactive_milli: int) -> int | None:
    """Return P / sqrt(P^2 + Q^2) in hundredths, rounded half up; None when nothing was consumed (no adjustment).

    Both >= 0, in equal units. With x = floor(200 pf), the factor is (x + 1) // 2 hundredths.
    """
    if active_milli == 0:
        return None
    square = active_milli * active_milli
    return (isqrt(200 * 200 * square // (square + reactive_milli * reactive_milli)) + 1) // 2


def standard_steps(standard_hundredths: int) -> Steps:
    """Return the table of one of the rule's standards (90, 85, 80) for every hundredth from 0 to 100."""
    bonus, runs = _BONUS[standard_hundredths], _PENALTY[standard_hundredths]
    table = {standard_hundredths: 0}
    for above in range(standard_hundredths + 1, 101):
        step = min(above - standard_hundredths, len(bonus)) - 1
        table[above] = -bonus[step] * _PPM_PER_BONUS
    penalty_ppm, floor = 0, standard_hundredths
    for lowest, tenths in runs:
        for below in range(floor - 1, lowest - 1, -1):
            penalty_ppm += tenths * PPM_PER_TENTH
            table[below] = penalty_ppm
        floor = lowest
    return tuple(sorted(table.items()))


def step_ppm(steps: Steps, factor_hundredths: int | None) -> int:
    """Return the adjustment at a power factor, ppm of the base; 0 when there was no consumption."""
    return 0 if factor_hundredths is None else dict(steps)[factor_hundredths]


def adjustment_nano(base_nano: int, ppm: int) -> int:
    """Return the amount: base x ppm, rounded half up to the nano; negative gives back."""
    return round_half_up(base_nano * ppm, MILLION)

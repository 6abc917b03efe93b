"""Exact steps between nano and coins: rounding half up, posting with the remainder carried, tax inside an amount.

Rule: integers only. A rounded amount always leaves its remainder somewhere: carried to the next posting, or in the tax.
"""

from typing import Final, NamedTuple

MILLION: Final = 1_000_000


class Split(NamedTuple):
    """A gross amount taken apart; net + tax = gross, always."""

    net: int
    tax: int


def round_half_up(amount: int, step: int) -> int:
    """Return amount / step rounded to a whole number, halves away from zero; step > 0.

    Rounding of bill lines in China and of `decimal.ROUND_HALF_UP`: -0.5 becomes -1, as a bill's reversal must.
    """
    rounded = (2 * abs(amount) + step) // (2 * step)
    return rounded if amount >= 0 else -rounded


def posting(accumulated_nano: int, posted_minor: int, minor_nano: int) -> int:
    """Return what a line posts now, in coins: round_half_up(accumulated) - already posted. The remainder is carried."""
    return round_half_up(accumulated_nano, minor_nano) - posted_minor


def tax_inside(gross: int, ppm: int) -> Split:
    """Take apart an amount with tax inside, in coins: net = round(gross / (1 + rate)), tax = the rest."""
    net = round_half_up(gross * MILLION, MILLION + ppm)
    return Split(net, gross - net)


def tax_on_top(net: int, ppm: int) -> Split:
    """Add tax to an amount without it, in coins: tax = round(net x rate)."""
    return Split(net, round_half_up(net * ppm, MILLION))

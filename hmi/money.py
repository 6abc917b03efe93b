"""Money and quantities as text: exact integers to decimals, never through a float."""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Final

from scada.errors import Refused

NANO: Final = 1_000_000_000
MILLI: Final = 1_000
TOP_UP_MAX: Final = Decimal(1_000_000)  # a slip of the finger, not a payment at a counter


def money(nano: int, decimals: int = 2) -> str:
    """Return an amount of nano with its thousands separated, rounded for the eye only."""
    return f"{(Decimal(nano) / NANO).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN):,}"


def quantity(milli: int) -> str:
    """Return a quantity of thousandths of its unit, exactly."""
    return f"{Decimal(milli) / MILLI:,.3f}"


def amount_minor(text: str, exponent: int) -> int:
    """Return what a person typed as minor units; Refused("amount") when it is not a positive amount."""
    try:
        amount = Decimal(text.strip().replace(",", "").replace(",", ""))
    except InvalidOperation as error:
        raise Refused("amount", f"{text!r} is not an amount") from error
    if not amount.is_finite() or not 0 < amount <= TOP_UP_MAX:
        raise Refused("amount", f"{text!r} is not between 0 and {TOP_UP_MAX}")
    minor = amount.scaleb(exponent)
    if minor != minor.to_integral_value():
        raise Refused("amount", f"{text!r} has more than {exponent} decimals")
    return int(minor)

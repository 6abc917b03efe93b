"""Reading what an order to the simulated field says, and refusing it with what would be allowed.

Rule: no order is half understood; everything that is wrong ends in `Refused`.
"""

from typing import Any, Final, NoReturn

from scada.errors import Refused

NAMES_SHOWN: Final = 12  # of an unknown target's alternatives


def refuse(wrong: str, allowed: Any) -> NoReturn:
    """Refuse an order, naming what would be allowed."""
    names = list(allowed)
    more = f", ... ({len(names)} in all)" if len(names) > NAMES_SHOWN else ""
    raise Refused("field.order", f"{wrong}; allowed: {', '.join(names[:NAMES_SHOWN]) or 'nothing'}{more}")


def number(text: str, what: str, low: float, high: float) -> float:
    """Read a number of an order; Refused names the range."""
    try:
        value = float(text)
    except ValueError:
        refuse(f"{text!r} is not a number of {what}", (f"{low:g} to {high:g}",))
    if not low <= value <= high:
        refuse(f"{text} {what} is out of range", (f"{low:g} to {high:g}",))
    return value


def whole(text: str, low: int, high: int) -> int:
    """Read whole counts of an order; a float would lose the last digits of a 64 bit register."""
    if not text.isdecimal() or not low <= int(text) <= high:
        refuse(f"{text!r} is no number of counts in range", (f"{low} to {high}",))
    return int(text)

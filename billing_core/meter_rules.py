"""Registers as people write them, ratios, and what is at stake when a register is doubted. Pure.

People write a register as the meter shows it (12345.67); the books hold counts. `register_milli` says how many
thousandths of the unit one count is on the meter's own display, before current and voltage transformers.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

from billing_core import reference
from billing_core.columns import HELD, HELD_NONE, NEVER
from billing_core.plan import Plan
from billing_core.points import PointSpec
from billing_core.schedule import unroll
from billing_core.state import Standing
from billing_core.zones import DAY_S
from scada.errors import Refused

MILLI: Final = 1000
WRITTEN_MAX: Final = 10**15  # more digits than any meter shows, few enough for exact decimals
RATIO_MAX: Final = 100_000  # as in the configuration: a 500 kV transformer has 5000

# What is wrong with a held point, and what a person can do about it.
HELD_TEXT: Final = {
    "reverse": ("表底倒走:换表、清零或篡改", "register went back: meter replaced, reset or tampered with"),
    "jump": ("表底跳变:超过线路可承载量", "register jumped: more than the connection can carry"),
    "no_price": ("该时段无电价", "no price for a part of the interval"),
    "range": ("读数超出表计量程", "reading outside the range of the register"),
    "limit": ("金额或余额超出量程", "charge or balance beyond the scale"),
    "meter": ("配置的表计与账簿不一致", "the configuration names another meter than the books"),
}
HELD_DO: Final = {
    "reverse": "meter swap, meter reject, or meter release --rollover",
    "jump": "meter release or meter reject",
    "no_price": "publish a version of the plan that covers it",
    "range": "wait for a sound reading, or repair the meter",
    "limit": "meter reject",
    "meter": "meter swap",
}


def counts_of(text: str, register_milli: int, modulus: int) -> int:
    """Return the counts of a register as the meter shows it. Refused "meter.register" says what is wrong.

    register_milli 0: not known, the register is given in counts
    """
    try:
        shown = Decimal(text)
    except InvalidOperation:
        raise Refused("meter.register", f"{text!r} is no register; write what it shows, such as 12345.67") from None
    if not shown.is_finite() or abs(shown) >= WRITTEN_MAX:
        raise Refused("meter.register", f"{text!r} is no register")
    counts = shown * MILLI / register_milli if register_milli else shown
    if counts % 1:
        step = Decimal(register_milli) / MILLI if register_milli else Decimal(1)
        raise Refused("meter.register", f"{text!r} has more decimals than the meter, which counts in steps of {step}")
    if not 0 <= counts < modulus:
        last = shown_of(modulus - 1, register_milli)
        raise Refused("meter.register", f"{text!r} is beyond the meter's last register {last}")
    return int(counts)


def shown_of(counts: int, register_milli: int) -> str:
    """Return a register as the meter shows it; plain counts when its steps are not known."""
    if not register_milli:
        return str(counts)
    value = Decimal(counts) * register_milli / MILLI
    decimals = max(0, -int(Decimal(register_milli).scaleb(-3).normalize().as_tuple().exponent))
    return f"{value:.{decimals}f}"


def ratio_of(text: str) -> int:
    """Return CT x PT of "40", "40/1" or "40/10". Refused "meter.ratio"."""
    parts = text.split("/")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise Refused("meter.ratio", f"{text!r} is no ratio; write CT or CT/PT in whole numbers, such as 40 or 40/10")
    product = 1
    for part in parts:
        product *= int(part)
    if not 1 <= product <= RATIO_MAX:
        raise Refused("meter.ratio", f"a ratio is 1 to {RATIO_MAX}")
    return product


def milli_of(text: str) -> int:
    """Return thousandths of the unit of a quantity, exactly. Refused "meter.quantity"."""
    try:
        quantity = Decimal(text)
    except InvalidOperation:
        raise Refused("meter.quantity", f"{text!r} is no quantity; write it like 12.5") from None
    if not quantity.is_finite() or not 0 <= quantity < WRITTEN_MAX or quantity * MILLI % 1:
        raise Refused("meter.quantity", f"{text!r}: not negative, at most 3 decimals")
    return int(quantity * MILLI)


def stake(point: PointSpec, plan: Plan, standing: Standing) -> tuple[int, int] | None:
    """Return (milli, nano) that releasing a held point would charge; None where nothing can be said.

    A register that went back is taken as it would be on rejection: nothing.
    """
    if standing.held == HELD_NONE or standing.last_s == NEVER or standing.held_s <= standing.last_s:
        return None
    counts = standing.held_raw - standing.last_raw
    if counts < 0:
        return 0, 0
    return price_of(point, plan, standing, standing.held_raw, standing.held_s)


def price_of(point: PointSpec, plan: Plan, standing: Standing, raw: int, at_s: int) -> tuple[int, int] | None:
    """Return (milli, nano) of going on from the last billed register to (raw, at_s); None without a price."""
    book = reference.book_of(unroll(plan, point.options, standing.last_s - DAY_S, at_s + DAY_S))
    counts = (raw - standing.last_raw) % point.modulus_counts
    position = reference.Position(standing.position_milli, standing.period)
    last = reference.Reading(standing.last_raw, standing.last_s)
    terms = reference.Point(point.milli_per_count, point.modulus_counts, 0, 0, last, position=position)
    try:
        parts, _ = reference.price(terms, reference.Reading(raw, at_s), counts, book)
    except reference.NoPrice:
        return None
    return counts * point.milli_per_count, sum(part.nano for part in parts)


def word_of(held: int) -> str:
    return HELD[held]

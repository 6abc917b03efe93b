"""What a person types at the counter, and what they read."""

import pytest

from hmi.money import amount_minor, money, quantity
from scada.errors import Refused


@pytest.mark.parametrize(
    ("text", "minor"), [("200", 20000), ("0.01", 1), (" 1,234.50 ", 123450), ("1000000", 100000000)]
)
def test_amounts(text: str, minor: int) -> None:
    assert amount_minor(text, 2) == minor


@pytest.mark.parametrize("text", ["", "0", "-5", "abc", "1.005", "1e9", "NaN", "Infinity", "1000000.01"])
def test_what_is_not_a_payment_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        amount_minor(text, 2)
    assert refused.value.code == "amount"


def test_shown_exactly() -> None:
    assert money(-1_234_567_890_000) == "-1,234.57"
    assert money(9_007_199_254_740_993_000_000_000, 4) == "9,007,199,254,740,993.0000"
    assert quantity(1_234_567) == "1,234.567"

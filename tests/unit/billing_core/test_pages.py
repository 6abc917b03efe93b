"""Pages of balances and registers: packed, read back, grown, and found again by name."""

import numpy as np
import pytest

from billing_core.columns import HELD_METER, HELD_NONE, S_HELD, STATE_KEPT
from billing_core.pages import (
    ACCOUNTS_A_PAGE,
    BALANCE_PAGE_BYTES,
    PERSONAL,
    POINT_PAGE_BYTES,
    POINTS_A_PAGE,
    Accounts,
    Points,
)


@pytest.mark.parametrize("count", [1, ACCOUNTS_A_PAGE, ACCOUNTS_A_PAGE + 1, 5 * ACCOUNTS_A_PAGE])
def test_balances_come_back_from_their_pages(count: int) -> None:
    names = [(f"wallet:{number}", "CNY") for number in range(count)]
    accounts = Accounts(names)
    pages = accounts.move({name: (-1) ** n * (2**61 - n) for n, (name, _) in enumerate(names)}, 7)
    body = accounts.packed(pages)
    assert len(body) == len(pages) * BALANCE_PAGE_BYTES
    stored = [(int(page), body[at * BALANCE_PAGE_BYTES :][:BALANCE_PAGE_BYTES]) for at, page in enumerate(pages)]
    again = Accounts(names, stored)
    for name, _ in names:
        assert again.balance(name) == accounts.balance(name) != 0
        assert again.used(name)


def test_only_the_pages_that_changed_are_written() -> None:
    accounts = Accounts([(f"a{number}", "CNY") for number in range(3 * ACCOUNTS_A_PAGE)])
    assert accounts.move({"a0": 1, f"a{2 * ACCOUNTS_A_PAGE}": -1}, 1).tolist() == [0, 2]
    assert not accounts.used("a1")
    assert accounts.balance("nobody") == 0
    assert "nobody" not in accounts


def kept(rows: int, held: int = HELD_NONE) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    table = np.arange(rows * STATE_KEPT, dtype=np.int64).reshape(rows, STATE_KEPT) - 5
    table[:, S_HELD] = held
    return table


def test_registers_come_back_from_their_pages() -> None:
    names = [f"p{number}" for number in range(POINTS_A_PAGE + 3)]
    points = Points()
    assert points.open(names) == names
    assert points.open([*names, "late"]) == ["late"]
    pages = points.save(names, np.arange(1, len(names) + 1), kept(len(names)), changed=False)
    body = points.packed(pages)
    stored = [(int(page), body[at * POINT_PAGE_BYTES :][:POINT_PAGE_BYTES]) for at, page in enumerate(pages)]
    again = Points.read(points.slots, stored)
    assert np.array_equal(again.state, points.state)
    assert again.state[again.slots["p17"], 0] == 18


def test_a_point_held_for_its_meter_keeps_the_terms_it_was_billed_by() -> None:
    points = Points()
    points.open(["p"])
    points.save(["p"], np.array([4]), kept(1, HELD_METER), changed=False)
    assert points.state[0, 0] == 4  # it had none before
    points.save(["p"], np.array([9]), kept(1, HELD_METER), changed=False)
    assert points.state[0, 0] == 4
    points.save(["p"], np.array([9]), kept(1), changed=False)
    assert points.state[0, [0, PERSONAL]].tolist() == [9, 0]
    points.save(["p"], np.array([10]), kept(1), changed=True)  # by a person: it beats the configuration from now on
    assert points.state[0, [0, PERSONAL]].tolist() == [10, 1]

"""Balances and registers as the books keep them: pages of packed integers, and the writer's copy of them in memory.

A checkpoint moves nearly every balance and every register. One row each would cost an update each; a page costs one for
sixty-four accounts or sixteen points. Views give both back row by row under their names (`balance`, `point_state`).

Rule: pure. There is one writer, so its copy is the truth until a transaction fails; then it is read again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from billing_core.columns import (
    HELD_METER,
    S_BILLED_MILLI,
    S_CHARGED_NANO,
    S_HELD,
    S_PERIOD,
    S_POSITION_MILLI,
    STATE_KEPT,
    Table,
)

IntArray = npt.NDArray[np.int64]

ACCOUNTS_A_PAGE: Final = 64  # 1 KB: several versions of it fit on one page of the data base
POINTS_A_PAGE: Final = 16
POINT_WIDTH: Final = 24  # number of the terms, the kept columns of the kernel's state, the rest spare
BALANCE_PAGE_BYTES: Final = ACCOUNTS_A_PAGE * 2 * 8
POINT_PAGE_BYTES: Final = POINTS_A_PAGE * POINT_WIDTH * 8
PERSONAL: Final = POINT_WIDTH - 1  # 1: the terms were set by a person and beat the configuration
assert STATE_KEPT < PERSONAL


class Accounts:
    """The balances of all ledger accounts, by the number that the books gave each."""

    def __init__(self, rows: Iterable[tuple[str, str]] = (), pages: Iterable[tuple[int, bytes]] = ()) -> None:
        """rows: (account, currency) in the order of their numbers, which are dense; pages: (page, body)."""
        self.currencies: dict[str, str] = {}
        self.numbers: dict[str, int] = {}
        self._state: Table = np.zeros((0, 2), dtype=np.int64)  # nano; last transfer that moved it, 0 for none
        for account, currency in rows:
            self.open(account, currency)
        for page, body in pages:
            self._reach((page + 1) * ACCOUNTS_A_PAGE)
            at = page * ACCOUNTS_A_PAGE
            self._state[at : at + ACCOUNTS_A_PAGE] = np.frombuffer(body, dtype=">i8").reshape(ACCOUNTS_A_PAGE, 2)

    def __contains__(self, account: str) -> bool:
        return account in self.numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def open(self, account: str, currency: str) -> int:
        """Give an account the next number; return it."""
        number = self.numbers.setdefault(account, len(self.numbers))
        self.currencies[account] = currency
        self._reach(number + 1)
        return number

    def balance(self, account: str) -> int:
        """Return the balance of an account, 0 for one that is not open."""
        number = self.numbers.get(account)
        return 0 if number is None else int(self._state[number, 0])

    def used(self, account: str) -> bool:
        """Tell whether any transfer moved this account."""
        return bool(self._state[self.numbers[account], 1])

    def move(self, moved: Mapping[str, int], seq: int) -> IntArray:
        """Add nano to balances; return the numbers of the pages that changed."""
        numbers = np.array([self.numbers[account] for account in moved], dtype=np.int64)
        return self.move_numbers(numbers, np.array(list(moved.values()), dtype=np.int64), seq)

    def move_numbers(self, numbers: IntArray, nano: IntArray, seq: int) -> IntArray:
        """Add nano to the balances of some numbers, none named twice; return the pages that changed."""
        self._state[numbers, 0] += nano
        self._state[numbers, 1] = seq
        return np.unique(numbers // ACCOUNTS_A_PAGE)

    def packed(self, pages: IntArray) -> bytes:
        """Return the content of some pages, one after the other."""
        return self._state.reshape(-1, ACCOUNTS_A_PAGE * 2)[pages].astype(">i8").tobytes()

    def _reach(self, count: int) -> None:
        self._state = _grown(self._state, count, ACCOUNTS_A_PAGE)


@dataclass(slots=True)
class Points:
    """The registers of all supply points that the books know, by the slot that each was given."""

    slots: dict[str, int] = field(default_factory=dict)
    state: Table = field(default_factory=lambda: np.zeros((0, POINT_WIDTH), dtype=np.int64))

    @classmethod
    def read(cls, slots: Mapping[str, int], pages: Iterable[tuple[int, bytes]]) -> "Points":
        points = cls()
        for page, body in pages:
            points._reach((page + 1) * POINTS_A_PAGE)
            at = page * POINTS_A_PAGE
            points.state[at : at + POINTS_A_PAGE] = np.frombuffer(body, dtype=">i8").reshape(-1, POINT_WIDTH)
        points.slots = dict(slots)
        points._reach(len(slots))
        return points

    def open(self, names: Iterable[str]) -> list[str]:
        """Give a slot to each point that has none; return those."""
        fresh = [name for name in dict.fromkeys(names) if name not in self.slots]
        for name in fresh:
            self.slots[name] = len(self.slots)
        self._reach(len(self.slots))
        return fresh

    def save(self, names: Iterable[str], terms: IntArray, kept: Table, changed: bool) -> IntArray:
        """Take over the state of points; return the numbers of the pages that changed.

        changed: a change by a person comes with it; what terms are new now were set by that person.

        A point that is held for its meter keeps the terms it was last billed by: they are what the meter is compared
        with.  terms (m,), kept (m, STATE_KEPT)
        """
        rows = np.array([self.slots[name] for name in names], dtype=np.int64)
        before = self.state[rows, 0]
        self.state[rows, 1 : 1 + STATE_KEPT] = kept
        self.state[rows, 0] = np.where((kept[:, S_HELD] == HELD_METER) & (before > 0), before, terms)
        if changed:
            self.state[rows, PERSONAL] |= (before > 0) & (self.state[rows, 0] != before)
        return np.unique(rows // POINTS_A_PAGE)

    def shift(self, point: str, milli: int, nano: int, position: tuple[int, int] | None) -> IntArray:
        """Move what a restatement changed of a point's state; return the number of its page.

        milli, nano: more charged than before; position: (milli, period), where the point stands in its tiers now
        """
        slot = self.slots[point]
        self.state[slot, 1 + S_BILLED_MILLI] += milli
        self.state[slot, 1 + S_CHARGED_NANO] += nano
        if position is not None and self.state[slot, 1 + S_PERIOD] == position[1]:
            self.state[slot, 1 + S_POSITION_MILLI] = position[0]
        return np.array([slot // POINTS_A_PAGE], dtype=np.int64)

    def packed(self, pages: IntArray) -> bytes:
        """Return the content of some pages, one after the other."""
        return self.state.reshape(-1, POINTS_A_PAGE * POINT_WIDTH)[pages].astype(">i8").tobytes()

    def _reach(self, count: int) -> None:
        self.state = _grown(self.state, count, POINTS_A_PAGE)


def _grown(state: Table, count: int, page: int) -> Table:
    """Return the table with room for `count` rows, in whole pages."""
    missing = -(-count // page) * page - len(state)
    return state if missing <= 0 else np.vstack([state, np.zeros((missing, state.shape[1]), dtype=np.int64)])

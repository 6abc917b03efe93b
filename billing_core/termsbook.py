"""Terms of supply as the books number them: which number stands for which meter, purse, ratio, plan and options.

Rule: pure but for `enter`, which writes what is new. Numbers that a transaction gave are forgotten when it fails.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from psycopg.types.json import Jsonb

from billing_core import ledger, sql
from billing_core.pages import Accounts, IntArray
from billing_core.plan import Plan
from billing_core.plan_body import body_hash, plan_body
from billing_core.state import Terms
from scada.database import Cursor

HASH_BYTES: Final = 32
ASKED_AT_ONCE: Final = 5_000  # terms of one question, so that ten thousand points open their books in seconds
NAMES: Final = (*ledger.TERMS, *ledger.OPTIONS)

Key = tuple[Any, ...]  # one value for each of NAMES


class TermsBook:
    """Numbers, hashes and ledger accounts of the terms that were used since the books were read."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._last: tuple[Terms, ...] = ()
        self._last_numbers: IntArray = np.zeros(0, dtype=np.int64)
        self._plans: dict[int, tuple[Plan, bytes]] = {}  # by identity: comparing whole plans would take longer
        self._hashes = np.zeros((0, HASH_BYTES), dtype=np.uint8)
        self._wallets: IntArray = np.zeros(0, dtype=np.int64)
        self._revenues: IntArray = np.zeros(0, dtype=np.int64)

    async def numbers(self, cursor: Cursor, accounts: Accounts, terms: Sequence[Terms]) -> IntArray:
        """Return the number of each of the terms; enter those that are new."""
        terms = tuple(terms)
        if terms != self._last:  # the same objects as last time, as a rule: quickly compared
            keys = [_key(one, await self._plan(cursor, one.plan)) for one in terms]
            unknown = {key: one for key, one in zip(keys, terms, strict=True) if key not in self._numbers}
            news = list(unknown)
            for start in range(0, len(news), ASKED_AT_ONCE):
                part = news[start : start + ASKED_AT_ONCE]
                await self._enter(cursor, accounts, {key: unknown[key] for key in part})
            self._last_numbers = np.array([self._numbers[key] for key in keys], dtype=np.int64)
            self._last = terms
        return self._last_numbers

    def hashes(self, numbers: IntArray) -> bytes:
        """Return the hashes of the terms of some numbers, one after the other."""
        return self._hashes[numbers].tobytes()

    def wallets(self, numbers: IntArray) -> IntArray:
        """Return the number of the ledger account that each of the terms debits."""
        return self._wallets[numbers]

    def revenues(self, numbers: IntArray) -> IntArray:
        """Return the number of the ledger account that each of the terms credits."""
        return self._revenues[numbers]

    async def _enter(self, cursor: Cursor, accounts: Accounts, wanted: dict[Key, Terms]) -> None:
        """Find the numbers of terms that are not known here; those that the books do not have either are added."""
        found = await self._find(cursor, list(wanted))
        missing = [key for key in wanted if key not in found]
        if missing:
            await cursor.execute(sql.ADD_TERMS, _columns(missing))
            found |= await self._find(cursor, missing)
        for key, terms in wanted.items():
            self._keep(found[key], ledger.terms_hash(_named(key)), accounts, terms)
            self._numbers[key] = found[key]

    async def _find(self, cursor: Cursor, keys: list[Key]) -> dict[Key, int]:
        await cursor.execute(sql.FIND_TERMS, _columns(keys))
        return {keys[place - 1]: int(number) for place, number in await cursor.fetchall()}

    async def _plan(self, cursor: Cursor, plan: Plan) -> bytes:
        kept = self._plans.get(id(plan))
        if kept is None:
            body = plan_body(plan)
            kept = self._plans[id(plan)] = (plan, body_hash(body))
            await cursor.execute(sql.ADD_TARIFF, {"hash": kept[1], "tariff": plan.id, "body": Jsonb(body)})
        return kept[1]

    def _keep(self, number: int, hashed: bytes, accounts: Accounts, terms: Terms) -> None:
        missing = number + 1 - len(self._wallets)
        if missing > 0:
            room = max(missing, len(self._wallets))  # doubling, so that entering many costs no square
            self._hashes = np.vstack([self._hashes, np.zeros((room, HASH_BYTES), dtype=np.uint8)])
            self._wallets = np.concatenate([self._wallets, np.zeros(room, dtype=np.int64)])
            self._revenues = np.concatenate([self._revenues, np.zeros(room, dtype=np.int64)])
        self._hashes[number] = np.frombuffer(hashed, dtype=np.uint8)
        self._wallets[number] = accounts.numbers[ledger.wallet(terms.account)]
        self._revenues[number] = accounts.numbers[ledger.revenue(terms.medium)]


def _key(terms: Terms, plan_hash: bytes) -> Key:
    return (
        terms.point, terms.meter, ledger.wallet(terms.account), terms.medium, terms.unit, terms.milli_per_count,
        terms.modulus_counts, plan_hash, terms.options.household, terms.options.opened_s,
    )  # fmt: skip


def _named(key: Key) -> dict[str, Any]:
    return dict(zip(NAMES, key, strict=True))


def _columns(keys: Sequence[Key]) -> dict[str, list[Any]]:
    """Return the keys as one list for each of NAMES."""
    return {name: list(column) for name, column in zip(NAMES, zip(*keys, strict=True), strict=True)}

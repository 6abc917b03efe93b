"""The same billing as people would otherwise write it: whole-column numpy, and Decimal point by point.

Both judge (quality, order, rollover, what the connection can carry), split at rate borders by time and at tier borders
by position, keep register, quantity, money and balance, and must agree with the kernel to the nano.
"""

from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from billing_core.columns import E_BOUNDS, E_PERIOD, E_PRICES, E_START_S
from billing_core.schedule import Schedule

TOTAL_MAX: Final = 2**61
UNCERTAIN_FROM: Final = 0x4000_0000
REFRESH_S: Final = 900
Ints = npt.NDArray[np.int64]


class NumpyPeer:
    """Columns and whole-column operations."""

    def __init__(
        self, schedule: Schedule, raw: Ints, at_s: int, per_count: int, modulus: int, rate: int, most: int, tiers: int
    ) -> None:
        count = len(raw)
        self._schedule = schedule
        self._tiers = tiers
        self._per_count, self._modulus = np.full(count, per_count), np.full(count, modulus)
        self._rate, self._most = np.full(count, rate), np.full(count, most)
        self._held = np.zeros(count, np.int64)
        self._changed, self._account_changed = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._last, self._last_s, self._moved_s = raw.copy(), np.full(count, at_s), np.full(count, at_s)
        first = int(np.searchsorted(schedule.entries[:, E_START_S], at_s, side="right")) - 1
        self._position, self._period = np.zeros(count, np.int64), np.full(count, schedule.entries[first, E_PERIOD])
        self.billed, self.charged = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.balance, self._account = np.zeros(count, np.int64), np.arange(count)

    def scan(self, number: int, instant_s: int, raw: Ints, quality: npt.NDArray[np.uint32], source_ns: Ints) -> None:
        now_s = source_ns // 10**9
        counts = raw - self._last
        wrapped = (counts < 0) & (self._last > self._modulus - self._modulus // 10) & (raw < self._modulus // 10)
        counts = np.where(wrapped, counts + self._modulus, counts)
        still_s = np.minimum(self._last_s - self._moved_s, REFRESH_S)
        believed = self._rate * (now_s - self._last_s + still_s + 1)
        new = (quality < UNCERTAIN_FROM) & (now_s > self._last_s) & (now_s <= instant_s)
        milli = counts * self._per_count
        fast = (milli - self._per_count > believed) | (milli > self._most)
        doubt = np.where((raw < 0) | (raw >= self._modulus), 4, np.where(counts < 0, 1, np.where(fast, 2, 0)))
        fit = new & (doubt == 0)
        np.copyto(self._held, doubt, where=new)
        milli = np.where(fit, milli, 0)
        nano = self._price(milli, now_s)
        within = (self.billed + milli <= TOTAL_MAX) & (self.charged + nano <= TOTAL_MAX)
        assert within.all(), "a limit is held, not passed"
        np.copyto(self._last, raw, where=fit)
        np.copyto(self._last_s, now_s, where=fit)
        moved = milli > 0
        np.copyto(self._moved_s, now_s, where=moved)
        np.copyto(self._changed, number, where=moved)
        self._account_changed[self._account[moved]] = number
        self.billed += milli
        self.charged += nano
        np.subtract.at(self.balance, self._account, nano)

    def _price(self, milli: Ints, now_s: Ints) -> Ints:
        """Return the money of each quantity used from last_s to now_s; moves the tier positions."""
        starts = self._schedule.entries[:, E_START_S]
        begin = int(np.searchsorted(starts, self._last_s.min(), side="right")) - 1
        end = int(np.searchsorted(starts, now_s.max(), side="left"))
        nano, done = np.zeros_like(milli), np.zeros_like(milli)
        for k in range(begin, end):
            if end - begin == 1:
                share = milli
            else:
                elapsed_s = np.clip(np.minimum(starts[k + 1], now_s) - self._last_s, 0, None)
                upto = milli * elapsed_s // np.maximum(now_s - self._last_s, 1)
                share, done = upto - done, upto
            nano += self._tiered(share, k)
        return nano

    def _tiered(self, share: Ints, k: int) -> Ints:
        entry = self._schedule.entries[k]
        changed = self._period != entry[E_PERIOD]
        if changed.any():
            self._position[changed], self._period[changed] = 0, entry[E_PERIOD]
        after = self._position + share
        below, nano = 0, np.zeros_like(share)
        for tier in range(self._tiers):
            bound = int(self._schedule.bounds[entry[E_BOUNDS], tier])
            part = np.clip(np.minimum(after, bound) - np.maximum(self._position, below), 0, None)
            nano += part * self._schedule.prices[entry[E_PRICES], tier]
            below = bound
        self._position = after
        return nano


class DecimalPeer:
    """One point as an accountant would write it down."""

    def __init__(self, schedule: Schedule, raw: int, at_s: int, per_count: int, modulus: int, rate: int) -> None:
        self._starts = schedule.entries[:, E_START_S].tolist()
        self._entries = schedule.entries.tolist()
        self._prices = [[Decimal(int(p)) / 10**6 for p in row] for row in schedule.prices]
        self._bounds = [[Decimal(int(b)) / 1000 for b in row] for row in schedule.bounds]
        self._last, self._last_s = Decimal(raw), at_s
        self._per_count, self._modulus, self._rate = Decimal(per_count) / 1000, modulus, Decimal(rate) / 1000
        self._k = next(k for k, start in enumerate(self._starts) if start > at_s) - 1
        self._position, self._period = Decimal(0), self._entries[self._k][E_PERIOD]
        self.balance = Decimal(0)

    def read(self, raw: int, at_s: int) -> None:
        counts = Decimal(raw) - self._last
        if counts < 0:
            counts += self._modulus
        if (counts - 1) * self._per_count > self._rate * (at_s - self._last_s + 1):
            return
        energy = counts * self._per_count
        if at_s <= self._starts[self._k + 1]:
            self._charge(energy)
        else:
            self._split(energy, at_s)
        self._last, self._last_s = Decimal(raw), at_s

    def _split(self, energy: Decimal, at_s: int) -> None:
        done, begin_s, total_s = Decimal(0), self._last_s, at_s - self._last_s
        while True:
            until_s = min(self._starts[self._k + 1], at_s)
            upto = Decimal(int(energy * 1000) * (until_s - begin_s) // total_s) / 1000
            self._charge(upto - done)
            done = upto
            if until_s == at_s:
                return
            self._k += 1

    def _charge(self, energy: Decimal) -> None:
        entry: list[Any] = self._entries[self._k]
        if entry[E_PERIOD] != self._period:
            self._position, self._period = Decimal(0), entry[E_PERIOD]
        prices, bounds = self._prices[entry[E_PRICES]], self._bounds[entry[E_BOUNDS]]
        for price, bound in zip(prices, bounds, strict=True):
            part = min(energy, bound - self._position)
            if part > 0:
                self.balance -= part * price
                self._position += part
                energy -= part
            if energy <= 0:
                return

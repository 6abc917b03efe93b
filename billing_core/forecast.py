"""Days left and the hour a purse is empty: what the last weeks cost says about the next.

    charges --Costs.add--> cost of each hour --outlook--> days left (median), empty and limit (by hour of the week)

Two answers, for two questions. Days left = balance / the median cost of the last seven days of 24 hours: one day of
moving house or of welding does not change it. The hour comes from a profile of the week: every hour of the week costs
what it cost on average in the weeks known, and the balance is walked down along it. Both are integers, nano.
Rule: pure numpy over (accounts, hours) tables. A forecast is never used to switch anything; its median reminds.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

HOUR_S: Final = 3600
DAY_H: Final = 24
WEEK_H: Final = 7 * DAY_H
WEEKS: Final = 2  # of hours kept for each account, 2.7 kB: a profile follows a change of habits within a fortnight
KEPT_H: Final = WEEKS * WEEK_H
NEVER_S: Final = -1  # at the cost so far the purse is not empty within FORECAST_WEEKS_MAX
UNKNOWN_S: Final = -2  # less than a day is known of this account
FORECAST_WEEKS_MAX: Final = 520  # ten years; a purse that lasts longer is not forecast to the hour

Nano = npt.NDArray[np.int64]


class Outlook(NamedTuple):
    """One answer for each account row."""

    daily_nano: Nano  # usual cost of a day; 0 where it is not known, or nothing was used
    known: npt.NDArray[np.bool_]  # at least one whole day is known
    days_left: npt.NDArray[np.float64]  # for display: nan where not known, inf where nothing is used
    empty_s: Nano  # UTC second at which the balance is 0, or NEVER_S, UNKNOWN_S
    limit_s: Nano  # UTC second at which the overdraft is used up, or NEVER_S, UNKNOWN_S


class Costs:
    """What each account cost in each of the last KEPT_H hours: a ring, hour h (UTC second // 3600) in h % KEPT_H."""

    def __init__(self, accounts: int) -> None:
        self.nano: Nano = np.zeros((accounts, KEPT_H), dtype=np.int64)
        self.since_h: Nano = np.full(accounts, -1, dtype=np.int64)  # first hour that is known whole, -1: none yet
        self.now_h = -1  # hour that is running; older than now_h - KEPT_H + 1 is forgotten
        self.touched: set[int] = set()  # hours that are not kept in the data base as they are now
        self.stale = True  # whole hours changed since `stale` was last cleared: median and profile are old

    def advance(self, now_s: int) -> None:
        """Let time go on: hours that fell out of the ring are forgotten."""
        now_h = now_s // HOUR_S
        if self.now_h < 0 or now_h - self.now_h >= KEPT_H:
            self.nano[:] = 0
        elif now_h > self.now_h:
            self.nano[:, np.arange(self.now_h + 1, now_h + 1) % KEPT_H] = 0
        if now_h > self.now_h:
            self.now_h, self.stale = now_h, True
            self.touched = {hour for hour in self.touched if hour > now_h - KEPT_H}

    def add(self, account: Nano, from_s: Nano, to_s: Nano, nano: Nano) -> None:
        """Add charges: (k,) account row, interval and amount. One over several hours is spread in proportion to time.

        What lies before the ring is forgotten. Amounts stay whole: the last hour takes what rounding leaves.
        """
        if len(nano) == 0 or self.now_h < 0:
            return
        first_h, last_h = from_s // HOUR_S, np.maximum(to_s - 1, from_s) // HOUR_S
        self._begin(account, first_h)
        short = first_h == last_h
        self._put(account[short], first_h[short], nano[short])
        for k in np.flatnonzero(~short).tolist():
            hours = np.arange(first_h[k], last_h[k] + 1)
            ends = np.minimum((hours + 1) * HOUR_S, to_s[k])
            upto = int(nano[k]) // int(to_s[k] - from_s[k]) * (ends - from_s[k])
            upto[-1] = nano[k]
            self._put(np.full(len(hours), account[k]), hours, np.diff(upto, prepend=0))

    def restore(self, now_s: int, hours: Nano) -> None:
        """Take over (k, 3) account row, hour and nano; an account is known from its first hour on."""
        self.advance(now_s)
        account, hour = hours[:, 0], hours[:, 1]
        self._begin(account, hour)
        self._put(account, hour, hours[:, 2])
        self.touched.clear()

    def forget(self, account: int) -> None:
        """Empty the row of an account, for another one that takes its place."""
        self.nano[account] = 0
        self.since_h[account] = -1

    def _begin(self, account: Nano, first_h: Nano) -> None:
        """An account is known from the hour after its first charge."""
        new = self.since_h[account] < 0
        if new.any():
            begun = np.full(len(self.since_h), np.iinfo(np.int64).max)
            np.minimum.at(begun, account[new], first_h[new] + 1)
            rows = np.flatnonzero(begun != np.iinfo(np.int64).max)
            self.since_h[rows] = begun[rows]

    def _put(self, account: Nano, hour: Nano, nano: Nano) -> None:
        kept = (hour > self.now_h - KEPT_H) & (hour <= self.now_h)
        np.add.at(self.nano, (account[kept], hour[kept] % KEPT_H), nano[kept])
        hours = set(np.unique(hour[kept]).tolist())
        self.touched |= hours
        self.stale |= bool(hours - {self.now_h})


def daily_median(costs: Costs) -> tuple[Nano, npt.NDArray[np.bool_]]:
    """Return (daily_nano, known): the median of the last seven whole days of 24 hours; of as many as are known."""
    accounts = len(costs.nano)
    hours = np.arange(costs.now_h - WEEK_H, costs.now_h) % KEPT_H  # oldest first; the running hour is not whole
    days = costs.nano[:, hours].reshape(accounts, 7, DAY_H).sum(axis=2)
    whole = np.where(costs.since_h < 0, 0, np.clip((costs.now_h - costs.since_h) // DAY_H, 0, 7))
    daily = np.zeros(accounts, dtype=np.int64)
    for count in range(1, 8):
        rows = np.flatnonzero(whole == count)
        if len(rows):
            newest = np.sort(days[rows, 7 - count :], axis=1)
            daily[rows] = (newest[:, (count - 1) // 2] + newest[:, count // 2]) // 2
    return np.maximum(daily, 0), whole > 0


def week_profile(costs: Costs) -> Nano:
    """Return (accounts, WEEK_H) nano: what each hour to come usually costs, the running hour first.

    The average of the same hour of the weeks known; an hour that never was known takes the average of those that were.
    """
    accounts = len(costs.nano)
    hours = np.arange(costs.now_h - KEPT_H, costs.now_h)
    known = (costs.since_h >= 0)[:, None] & (hours >= costs.since_h[:, None])
    known[:, 0] = False  # its place in the ring is the running hour's by now
    weeks = np.where(known, costs.nano[:, hours % KEPT_H], 0).reshape(accounts, WEEKS, WEEK_H)
    counts = known.reshape(accounts, WEEKS, WEEK_H).sum(axis=1)
    sums = weeks.sum(axis=1)
    average = sums.sum(axis=1) // np.maximum(counts.sum(axis=1), 1)
    profile: Nano = np.maximum(np.where(counts > 0, sums // np.maximum(counts, 1), average[:, None]), 0)
    return profile


def reached(profile: Nano, now_s: int, reserve_nano: Nano) -> Nano:
    """Return (accounts,) the UTC second at which reserves are used up along the profile, to the hour; or NEVER_S.

    profile: as week_profile returns it    reserve_nano: what is left to spend; used up at once where it is not above 0
    """
    into_s = now_s % HOUR_S
    first = profile[:, 0] * (HOUR_S - into_s) // HOUR_S
    steps = np.concatenate([first[:, None], profile[:, 1:], (profile[:, 0] - first)[:, None]], axis=1)
    total = steps.sum(axis=1)
    weeks = np.where(total > 0, reserve_nano // np.maximum(total, 1), FORECAST_WEEKS_MAX)
    never = (weeks >= FORECAST_WEEKS_MAX) & (reserve_nano > 0)
    rest = reserve_nano - np.where(never, 0, weeks) * total
    slot = (np.cumsum(steps, axis=1) < rest[:, None]).sum(axis=1)
    hour_s = now_s - into_s
    found = hour_s + (weeks * WEEK_H + slot) * HOUR_S
    found = np.where(reserve_nano <= 0, now_s, np.maximum(found, now_s))
    return np.where(never, NEVER_S, found).astype(np.int64)


class Forecaster:
    """Costs, with the median and the profile of the hours that are whole; these are worked out once an hour."""

    def __init__(self, accounts: int) -> None:
        self.costs = Costs(accounts)
        self._daily, self._known = daily_median(self.costs)
        self._profile = week_profile(self.costs)

    def outlook(self, now_s: int, balance_nano: Nano, overdraft_nano: Nano) -> Outlook:
        """Return what the costs so far say about every account. (accounts,) balances and overdrafts, nano."""
        self.costs.advance(now_s)
        if self.costs.stale:
            self._daily, self._known = daily_median(self.costs)
            self._profile = week_profile(self.costs)
            self.costs.stale = False
        daily, known = self._daily, self._known
        with np.errstate(divide="ignore", invalid="ignore"):
            days_left = np.maximum(balance_nano, 0) / daily
        days_left = np.where(daily > 0, days_left, np.where(balance_nano > 0, np.inf, 0.0))
        empty = np.where(known, reached(self._profile, now_s, balance_nano), UNKNOWN_S)
        limit = np.where(known, reached(self._profile, now_s, balance_nano + overdraft_nano), UNKNOWN_S)
        return Outlook(daily, known, np.where(known, days_left, np.nan), empty, limit)

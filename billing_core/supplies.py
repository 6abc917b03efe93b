"""Who is supplied on which terms, live: supply points, accounts, plans, and the table of terms the kernel reads.

Terms are numbered as they come up: first those of the configuration, one for each point in its order, then one more for
each change. Charges and states name them by that number (`Checkpoint.terms`).

Rule: memory only; what may be changed is decided in `changing.py`.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from billing_core.bounds import check_bounds, reading_max_milli, terms_row
from billing_core.columns import T_SCHEDULE, T_TERMS, TERMS_WIDTH, Table
from billing_core.plan import Plan, TierOptions, Version
from billing_core.points import AccountSpec, PointSpec
from billing_core.schedule import options_used
from billing_core.state import Terms
from scada.errors import ConfigurationError, Fault


class Supplies:
    """The live terms of every supply point. `table` (n_points, TERMS_WIDTH) is changed in place."""

    def __init__(
        self, points: Sequence[PointSpec], accounts: Sequence[AccountSpec], plans: Sequence[Plan], rooms: int = 0
    ) -> None:
        """rooms: rows of accounts there are in all; those beyond `accounts` are spare. Raises ConfigurationError."""
        if faults := check_bounds(points, plans):
            raise ConfigurationError(faults)
        self.points = list(points)
        self.accounts = list(accounts)
        self.rooms = max(rooms, len(accounts))
        self.plans = list(plans)
        self.table: Table = np.zeros((len(points), TERMS_WIDTH), dtype=np.int64)
        self.schedules: list[tuple[int, TierOptions]] = []  # (index of the plan, options)
        self._numbers: dict[tuple[int, TierOptions], int] = {}
        self._most = [reading_max_milli(plan) for plan in plans]
        self._listed: tuple[Terms, ...] = ()
        self.terms = [self._terms_of(point) for point in points]
        self.payers = [point.account for point in points]  # by number of terms: row of the account that pays
        for row, point in enumerate(points):
            self._fill(row, point, row)

    def override(self, given: Mapping[int, Terms]) -> None:
        """Take the terms that the books know for some rows instead of the configured ones."""
        accounts = {account.id: row for row, account in enumerate(self.accounts)}
        for row, terms in given.items():
            if terms.account not in accounts:
                fault = Fault("books", terms.point, f"account {terms.account!r} is not open", "an account of the books")
                raise ConfigurationError([fault])
            point = replace(
                self.points[row], meter=terms.meter, account=accounts[terms.account],
                milli_per_count=terms.milli_per_count, modulus_counts=terms.modulus_counts,
                tariff=self.plan_index(terms.plan), options=terms.options,
            )  # fmt: skip
            self.set(row, point)

    def plan_index(self, plan: Plan) -> int:
        """Return the place of the plan with this one's id, the plan itself appended when there is none."""
        for index, known in enumerate(self.plans):
            if known.id == plan.id:
                return index
        self.plans.append(plan)
        self._most.append(reading_max_milli(plan))
        return len(self.plans) - 1

    def set(self, row: int, point: PointSpec) -> None:
        """Bill a point by other terms from now on. Raises ConfigurationError when they would leave the scale."""
        if faults := check_bounds([point], self.plans):
            raise ConfigurationError(faults)
        self.points[row] = point
        self.number(row)

    def number(self, row: int) -> None:
        """Give a point's terms a new number."""
        self.terms.append(self._terms_of(self.points[row]))
        self.payers.append(self.points[row].account)
        self._fill(row, self.points[row], len(self.terms) - 1)

    def listed(self) -> tuple[Terms, ...]:
        """Return all terms by number."""
        if len(self._listed) != len(self.terms):
            self._listed = tuple(self.terms)
        return self._listed

    def publish(self, plans: Sequence[Plan]) -> None:
        """Take plans in place of the ones with their ids, and new ones. Raises ConfigurationError."""
        for plan in plans:
            index = self.plan_index(plan)
            self.plans[index], self._most[index] = plan, reading_max_milli(plan)
        if faults := check_bounds(self.points, self.plans):
            raise ConfigurationError(faults)
        self._numbers.clear()  # other options may matter now; what the points use is filled in again
        self.schedules.clear()
        for row, point in enumerate(self.points):
            self._fill(row, point, int(self.table[row, T_TERMS]))

    def copy(self) -> "Supplies":
        """Return the same terms, for putting them back."""
        kept = copy(self)
        for name in ("points", "accounts", "plans", "payers", "schedules", "terms", "_numbers", "_most", "table"):
            setattr(kept, name, getattr(self, name).copy())
        return kept

    def become(self, kept: "Supplies") -> None:
        """Put back what `copy` kept; the table stays the same array."""
        table = self.table
        self.__dict__.update(kept.__dict__)
        table[:] = kept.table
        self.table = table

    def pairs(self) -> list[tuple[Plan, TierOptions]]:
        """Return what the schedules are unrolled from, in their order."""
        return [(self.plans[plan], options) for plan, options in self.schedules]

    def _terms_of(self, point: PointSpec) -> Terms:
        return Terms(
            point=point.id,
            meter=point.meter,
            account=self.accounts[point.account].id,
            medium=point.medium,
            unit=point.unit,
            milli_per_count=point.milli_per_count,
            modulus_counts=point.modulus_counts,
            plan=self.plans[point.tariff],
            options=point.options,
        )

    def _fill(self, row: int, point: PointSpec, number: int) -> None:
        self.table[row] = terms_row(point, self._most[point.tariff])
        self.table[row, T_TERMS] = number
        self.table[row, T_SCHEDULE] = self._schedule(point.tariff, point.options)

    def _schedule(self, plan: int, options: TierOptions) -> int:
        """Return the number of the schedule of a plan and options; points that look at the same share one."""
        if (plan, options) not in self._numbers:
            key = (plan, options_used(self.plans[plan], options))
            if key not in self._numbers:
                self._numbers[key] = len(self.schedules)
                self.schedules.append(key)
            self._numbers[plan, options] = self._numbers[key]
        return self._numbers[plan, options]


def past(plan: Plan, before_s: int) -> tuple[Version, ...]:
    """Return what a plan says of the time before a second."""
    return tuple(replace(v, to_s=min(v.to_s, before_s)) for v in plan.versions if v.from_s < before_s)

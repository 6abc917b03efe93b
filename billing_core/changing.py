"""What a person may do to registers and terms while the system runs, and how it is refused.

Each step does one thing to one point or raises Refused with a sentence that says how to mend; the engine undoes what
was done before in the same change (engine._attempt).
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from billing_core import charging, kernel
from billing_core.bounds import TOTAL_MAX
from billing_core.columns import (
    HELD,
    HELD_JUMP,
    HELD_METER,
    HELD_NONE,
    HELD_REVERSE,
    NEVER,
    NO_REGISTER,
    RATES_MOST,
    S_CHANGED_SCAN,
    S_CHARGED_NANO,
    S_HELD,
    S_HELD_RAW,
    S_HELD_S,
    S_LAST_RAW,
    S_LAST_S,
    S_MOVED_S,
    S_POSITION_MILLI,
    S_RATE_RAW,
    T_MAX_MILLI_PER_S,
    T_MILLI_PER_COUNT,
    T_MODULUS,
    T_READING_MAX_MILLI,
)
from billing_core.desk import Desk
from billing_core.plan import Plan
from billing_core.plan_past import past_difference
from billing_core.points import PointSpec
from billing_core.registers import follow
from billing_core.state import Doubt, Target
from billing_core.supplies import Supplies
from scada.errors import Refused

HOUSEHOLD_MOST: Final = 1000  # persons, as in the configuration
OPENED_S_MOST: Final = 2**32  # the year 2106
FOR_A_PERSON: Final = (HELD_REVERSE, HELD_JUMP, HELD_METER)


class Clerk:
    """Carries out one change on the live tables. `used` is the number of rows in use, before and after."""

    def __init__(self, desk: Desk, supplies: Supplies, scan: int, used: int, room: int) -> None:
        self.desk = desk
        self.used = used
        self._supplies = supplies
        self._scan = scan
        self._room = room
        self._now_s = int(desk.now_s[0])

    def doubt(self, row: int) -> Doubt:
        """Return what is doubtful about a point. Refused "hold.none", "hold.not-for-a-person", "hold.no-reading"."""
        state, name = self.desk.state[row], self._supplies.points[row].id
        held = int(state[S_HELD])
        if held == HELD_NONE:
            raise Refused("hold.none", f"supply point {name} is not held; there is nothing to decide")
        if held not in FOR_A_PERSON:
            raise Refused(
                "hold.not-for-a-person",
                f"supply point {name} is held as {HELD[held]!r}; that ends when its cause is mended, not by decision",
            )
        if state[S_LAST_S] == NEVER or state[S_HELD_S] <= state[S_LAST_S]:
            raise Refused("hold.no-reading", f"supply point {name} has no register to decide on; wait for a reading")
        terms = self.desk.terms[row]
        counts = (int(state[S_HELD_RAW]) - int(state[S_LAST_RAW])) % int(terms[T_MODULUS])
        return Doubt(
            HELD[held], int(state[S_LAST_RAW]), int(state[S_LAST_S]), int(state[S_HELD_RAW]), int(state[S_HELD_S]),
            counts * int(terms[T_MILLI_PER_COUNT]),
        )  # fmt: skip

    def release(self, row: int, rollover: bool) -> dict[str, Any]:
        """Bill up to the doubtful register as one interval."""
        doubt, name = self.doubt(row), self._supplies.points[row].id
        if doubt.raw_to < doubt.raw_from and not rollover:
            raise Refused(
                "hold.reverse",
                f"the register of {name} went back from {doubt.raw_from} to {doubt.raw_to}; reject it to bill on from "
                "there, or release it as a rollover when the register really passed its end",
            )
        nano = self._bill(row, doubt.raw_to, doubt.to_s, doubt.milli)
        self.desk.state[row, S_HELD] = HELD_NONE
        return {"point": name, **asdict(doubt), "nano": nano, "rollover": doubt.raw_to < doubt.raw_from}

    def reject(self, row: int) -> dict[str, Any]:
        """Bill on from the doubtful register; what lies before it is written down and not charged."""
        doubt = self.doubt(row)
        self.cut(row)
        self._rebase(row, doubt.raw_to, doubt.to_s)
        charging.place(self.desk, row)
        return {"point": self._supplies.points[row].id, **asdict(doubt)}

    def settle(self, target: Target, after: PointSpec) -> dict[str, Any]:
        """Close a point's account with its old terms: final register, gap, and the register it goes on from."""
        row, desk = target.row, self.desk
        before, state = self._supplies.points[row], desk.state[row]
        entry: dict[str, Any] = {"point": before.id, "before": self._spec(before), "after": self._spec(after)}
        if state[S_LAST_S] == NEVER:
            if target.final_raw is not None or target.gap_milli:
                raise Refused("point.never-read", f"{before.id} has never been read; there is nothing to bill up to")
            return entry
        if after.meter != before.meter and target.first_raw is None:
            raise Refused("meter.first-missing", f"give the first register of the new meter of {before.id}")
        if target.final_raw is not None:
            self._final(target)
        self.cut(row)
        entry |= {"final_raw": int(state[S_LAST_RAW]), "final_s": int(state[S_LAST_S])}
        if target.gap_milli:
            entry["gap_nano"] = self._gap(target)
        entry["gap_milli"] = target.gap_milli
        moved = (after.meter, after.modulus_counts) != (before.meter, before.modulus_counts)
        if target.first_raw is not None:
            begun_s = self._now_s if target.at_s is None else min(target.at_s, self._now_s)
            self._rebase(row, target.first_raw, max(begun_s, int(state[S_LAST_S])))
        elif target.final_raw is not None or moved:
            self._rebase(row, int(state[S_LAST_RAW]), int(state[S_LAST_S]))
        if not 0 <= state[S_LAST_RAW] < after.modulus_counts:
            wrong = f"register {int(state[S_LAST_RAW])} does not exist on a meter of {after.modulus_counts} counts"
            raise Refused("meter.range", f"{before.id}: {wrong}; check it and the ratio")
        return entry | {"first_raw": int(state[S_LAST_RAW]), "first_s": int(state[S_LAST_S])}

    def carry(self, target: Target) -> None:
        """Begin the open charge under the new terms, at a tier position that was carried along when one is given."""
        row, state = target.row, self.desk.state[target.row]
        if state[S_LAST_S] == NEVER:
            if target.position_milli is not None:
                raise Refused("point.never-read", "a carried tier position needs a first reading; wait for it")
            return
        charging.place(self.desk, row)
        if target.position_milli is not None:
            if not 0 <= target.position_milli <= TOTAL_MAX:
                raise Refused("tier.position", f"a tier position is 0 to {TOTAL_MAX} thousandths")
            state[S_POSITION_MILLI] = target.position_milli
            charging.place(self.desk, row)
        charging.show(self.desk, row)

    def _final(self, target: Target) -> None:
        """Bill up to the last register under the old terms."""
        step = self.final_step(target)
        if step is not None:
            per_count = int(self.desk.terms[target.row][T_MILLI_PER_COUNT])
            self._bill(target.row, int(target.final_raw or 0), step[1], step[0] * per_count)

    def final_step(self, target: Target) -> tuple[int, int] | None:
        """Return (counts, UTC second) from the last billed register to a final one; None: nothing is left to bill.

        Refused "meter.final-implausible", "meter.final-time", "meter.range". Changes nothing.
        """
        row, state, terms = target.row, self.desk.state[target.row], self.desk.terms[target.row]
        name, last_raw, last_s = self._supplies.points[row].id, int(state[S_LAST_RAW]), int(state[S_LAST_S])
        raw, at_s = int(target.final_raw or 0), self._now_s if target.at_s is None else target.at_s
        if raw == last_raw and at_s >= last_s:
            return None
        if target.at_s is None:
            at_s = max(at_s, last_s + 1)
        elif not last_s < at_s <= self._now_s:
            raise Refused(
                "meter.final-time", f"{name} was last billed at second {last_s}; the final register must be read later"
            )
        modulus, per_count = int(terms[T_MODULUS]), int(terms[T_MILLI_PER_COUNT])
        if not 0 <= raw < modulus:
            raise Refused("meter.range", f"{name}: the final register must be 0 to {modulus - 1} counts")
        reason, counts = follow.py_func(  # type: ignore[attr-defined]
            last_raw, last_s, int(state[S_MOVED_S]), raw, at_s, per_count, modulus, int(terms[T_MAX_MILLI_PER_S]),
            int(terms[T_READING_MAX_MILLI]),
        )  # fmt: skip
        if reason != HELD_NONE:
            raise Refused(
                "meter.final-implausible",
                f"{name}: {raw} does not follow from {last_raw} ({HELD[reason]}); check it, or leave the final "
                "register out and give the quantity as an estimate",
            )
        return int(counts), at_s

    def _bill(self, row: int, raw: int, to_s: int, milli: int) -> int:
        """Charge one interval from the last billed register; return the money. Refused when it cannot be charged."""
        state, terms = self.desk.state[row], self.desk.terms[row]
        if milli > terms[T_READING_MAX_MILLI]:
            raise Refused("hold.too-much", f"{milli} thousandths in one interval leave the scale; reject and estimate")
        before = int(state[S_CHARGED_NANO])
        counts = milli // int(terms[T_MILLI_PER_COUNT])
        reason, self.used = kernel.charge(self.desk, self.used, self._room, self._scan, row, raw, to_s, counts)
        self._granted(row, reason)
        return int(state[S_CHARGED_NANO]) - before

    def _gap(self, target: Target) -> int:
        state, most = self.desk.state[target.row], int(self.desk.terms[target.row, T_READING_MAX_MILLI])
        if not 0 < target.gap_milli <= most:
            raise Refused("meter.gap", f"an estimate is 0 to {most} thousandths of the unit")
        before = int(state[S_CHARGED_NANO])
        reason, self.used = kernel.estimate(
            self.desk, self.used, self._room, self._scan, target.row, target.gap_milli
        )  # fmt: skip
        self._granted(target.row, reason)
        return int(state[S_CHARGED_NANO]) - before

    def _granted(self, row: int, reason: int) -> None:
        if reason == kernel.WAITING:
            raise Refused("billing.full", "there is no room for rows while the data base is away; try again later")
        if reason != HELD_NONE:
            name = self._supplies.points[row].id
            raise Refused(f"billing.{HELD[reason]}", f"{name} cannot be charged for this interval: {HELD[reason]}")

    def cut(self, row: int) -> None:
        """Turn a point's open charge into a row."""
        if self.used + 1 > self._room:
            self._granted(row, kernel.WAITING)
        self.used = charging.close(self.desk, self.used, row)

    def _rebase(self, row: int, raw: int, at_s: int) -> None:
        """Go on from another register. The open charge must be closed."""
        state = self.desk.state[row]
        state[S_LAST_RAW], state[S_LAST_S], state[S_MOVED_S] = raw, at_s, at_s
        state[S_RATE_RAW : S_RATE_RAW + RATES_MOST] = NO_REGISTER
        state[S_HELD] = HELD_NONE
        state[S_CHANGED_SCAN] = self._scan

    def _spec(self, point: PointSpec) -> dict[str, Any]:
        return {
            "account": self._supplies.accounts[point.account].id,
            "plan": self._supplies.plans[point.tariff].id,
            "options": asdict(point.options),
            "meter": point.meter,
            "milli_per_count": point.milli_per_count,
            "modulus_counts": point.modulus_counts,
            "max_milli_per_s": point.max_milli_per_s,
        }


def check_row(supplies: Supplies, row: int) -> None:
    """Refused "point.unknown"."""
    if not 0 <= row < len(supplies.points):
        raise Refused("point.unknown", f"there is no supply point in row {row}")


def wanted(supplies: Supplies, target: Target) -> PointSpec:
    """Return the point as a target wants it. Refused: "account.unknown", "tier.options", "plan.*" (plan_row)."""
    point = supplies.points[target.row]
    given: dict[str, Any] = {
        name: value
        for name in ("account", "options", "meter", "milli_per_count", "modulus_counts", "max_milli_per_s")
        if (value := getattr(target, name)) is not None
    }
    if not 0 <= given.get("account", 0) < len(supplies.accounts):
        raise Refused("account.unknown", f"there is no account in row {given['account']}")
    options = target.options
    if options is not None and not (
        0 <= options.household <= HOUSEHOLD_MOST and 0 <= options.opened_s <= OPENED_S_MOST
    ):
        wrong = f"{options.household} persons since second {options.opened_s}"
        raise Refused(
            "tier.options", f"{point.id}: {wrong}; 0 to {HOUSEHOLD_MOST} persons, since a second from 1970 on"
        )
    if target.plan is not None:
        given["tariff"] = plan_row(supplies, target.plan, point)
    return replace(point, **given)


def plan_row(supplies: Supplies, name: str, point: PointSpec) -> int:
    """Return the index of a plan that may price a point. Refused: "plan.unknown", "plan.unit"."""
    for index, plan in enumerate(supplies.plans):
        if plan.id == name:
            if (plan.medium, plan.unit) != (point.medium, point.unit):
                wrong = f"plan {name} prices {plan.medium} by {plan.unit}"
                raise Refused("plan.unit", f"{wrong}; {point.id} is {point.medium} by {point.unit}")
            return index
    known = ", ".join(plan.id for plan in supplies.plans)
    raise Refused("plan.unknown", f"there is no plan {name!r}; known: {known}")


def check_publication(supplies: Supplies, plans: Mapping[str, Plan], now_s: int) -> None:
    """Refuse plans that change what was in force: "plan.past", "plan.unit"."""
    for known in supplies.plans:
        new = plans.get(known.id)
        if new is None:
            continue
        if (new.medium, new.unit, new.currency) != (known.medium, known.unit, known.currency):
            raise Refused("plan.unit", f"plan {new.id}: medium, unit and currency stay; use another id")
        if where := past_difference(known, new, now_s):
            raise Refused("plan.past", f"plan {new.id} changes the past, {where}; add a version with a later `from`")

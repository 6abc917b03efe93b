"""What people decide about registers: release, reject, swap, ratio, late readings.

    run.py meter ... --scada.console.perform("meter.swap")--> handler --> core.change --> BillingEngine --> the chain

Rule: a handler reads what people wrote, lets the engine do it between two scans, and answers what was done. Whatever is
refused leaves no trace; whatever is done stands in the chain with who, where and why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from billing_core import late_readings, meter_rules
from billing_core.columns import HELD_NONE
from billing_core.meter_rules import counts_of, milli_of, ratio_of, shown_of
from billing_core.office import Office
from billing_core.points import PointSpec
from billing_core.posting import Posted
from billing_core.restatement import Given
from billing_core.state import Act, Change, Target
from scada.errors import Refused
from scada.operations import Operation, Who
from scada.roles import Permission

MANAGE: Final[Permission] = "meter.manage"


@dataclass(frozen=True, slots=True)
class HeldArguments:
    """List the supply points whose charge waits."""


@dataclass(frozen=True, slots=True)
class ReleaseArguments:
    """Believe the doubtful register of a held point: bill up to it."""

    point: str
    reason: str
    key: str
    rollover: bool = False  # the register went back because it passed its end


@dataclass(frozen=True, slots=True)
class RejectArguments:
    """Bill on from the doubtful register; what lies before it is written down and not charged."""

    point: str
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class SwapArguments:
    """Another meter measures the point from now on. Registers as the meters show them."""

    point: str
    old_final: str
    new_first: str
    reason: str
    key: str
    new_meter: str = ""  # the configured one when empty
    ratio: str = ""  # CT or CT/PT of the new meter; the configured one when empty
    gap: str = "0"  # what was used between the two, estimated, in units
    serial: str = ""  # of the new meter
    at_s: int = 0  # UTC second of the swap; 0: now. What the new meter counted since then is billed
    preview: bool = False


@dataclass(frozen=True, slots=True)
class RatioArguments:
    """The transformers of a point were changed: cut at the old ratio, on with the new."""

    point: str
    ratio: str
    reason: str
    key: str
    register: str = ""  # read at the change; the last billed one when empty


@dataclass(frozen=True, slots=True)
class LateArguments:
    """Readings that came late or correct others: [[UTC second, register as the meter shows it], ...]."""

    point: str
    readings: list[tuple[int, str]]
    reason: str
    key: str
    preview: bool = False


class MeterDesk:
    """Carries out what people ask."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._rows = {name: row for row, name in enumerate(office.points)}
        self._one = asyncio.Lock()  # a key that comes twice at once finds what was done the first time

    async def held(self, who: Who, arguments: HeldArguments) -> dict[str, Any]:
        """Return every held point with what is doubtful and how much money waits."""
        engine = self._office.engine
        found = []
        for name, row in self._rows.items():
            standing = engine.standing(row)
            if standing.held == HELD_NONE:
                continue
            point = engine.point(row)
            word, unit = meter_rules.word_of(standing.held), self._unit(point.meter)
            stake = meter_rules.stake(point, engine.plans[point.tariff], standing)
            text_zh, text_en = meter_rules.HELD_TEXT[word]
            found.append(
                {
                    "point": name,
                    "account": engine.accounts[point.account].id,
                    "meter": point.meter,
                    "held": word,
                    "why_zh": text_zh,
                    "why_en": text_en,
                    "do": meter_rules.HELD_DO[word],
                    "last_register": shown_of(standing.last_raw, unit),
                    "last_s": standing.last_s,
                    "doubtful_register": shown_of(standing.held_raw, unit),
                    "since_s": standing.held_s,
                    "unit": point.unit,
                    "stake_milli": None if stake is None else stake[0],
                    "stake_nano": None if stake is None else stake[1],
                }
            )
        return {"held": found}

    async def release(self, who: Who, arguments: ReleaseArguments) -> dict[str, Any]:
        row = self._row(arguments.point)
        act = self._act(who, arguments.key, arguments.reason, "release")
        return await self._once(
            arguments.key, arguments.point, lambda: self._office.engine.release(row, act, arguments.rollover)
        )

    async def reject(self, who: Who, arguments: RejectArguments) -> dict[str, Any]:
        row = self._row(arguments.point)
        act = self._act(who, arguments.key, arguments.reason, "reject")
        return await self._once(arguments.key, arguments.point, lambda: self._office.engine.reject(row, act))

    async def swap(self, who: Who, arguments: SwapArguments) -> dict[str, Any]:
        """Bill the old meter to its end, estimate the gap, go on with the new meter's first register.

        Refused "meter.not-configured" when the configuration does not name the new meter on this point yet.
        """
        row = self._row(arguments.point)
        engine, configured = self._office.engine, self._office.points[arguments.point]
        live, standing = engine.point(row), engine.standing(row)
        target = self._swapped(row, arguments, live, configured)
        if arguments.preview:
            engine.check_final(target)
        assert target.final_raw is not None
        now_s = self._office.clock.utc_ns() // 1_000_000_000
        if not 0 <= arguments.at_s <= now_s:  # a calendar is unrolled up to it
            raise Refused(
                "meter.final-time", f"a swap takes place between 1970 and now, not at second {arguments.at_s}"
            )
        final_s = max(arguments.at_s or now_s, standing.last_s + 1)
        old = meter_rules.price_of(live, engine.plans[live.tariff], standing, target.final_raw, final_s)
        facts = {
            "old_meter": live.meter,
            "new_meter": target.meter or live.meter,
            "serial": arguments.serial,
            "old_final": arguments.old_final,
            "new_first": arguments.new_first,
            "old_milli_per_count": live.milli_per_count,
            "new_milli_per_count": target.milli_per_count,
        }
        if arguments.preview:
            last = shown_of(standing.last_raw, self._unit(live.meter))
            told = {"point": arguments.point, "last_register": last, "unit": live.unit, "gap_milli": target.gap_milli}
            told |= {"old_milli": None if old is None else old[0], "old_nano": None if old is None else old[1]}
            return facts | told | {"preview": True}
        act = self._act(who, arguments.key, arguments.reason, "swap", {"swap": facts})
        return await self._once(arguments.key, arguments.point, lambda: engine.retarget([target], act))

    def _swapped(self, row: int, arguments: SwapArguments, live: PointSpec, configured: PointSpec) -> Target:
        """Return what the point is to be billed by after a swap."""
        new_meter = arguments.new_meter or configured.meter
        if new_meter != configured.meter:
            raise Refused(
                "meter.not-configured",
                f"supply_points.csv names {configured.meter!r} on {arguments.point}; write {new_meter!r} there, "
                "restart the core, and swap then: the point is held meanwhile and nothing is lost",
            )
        old_unit, new_unit = self._unit(live.meter), self._unit(new_meter)
        per_count = configured.milli_per_count
        if arguments.ratio:
            per_count = (new_unit or 1) * ratio_of(arguments.ratio)
        return Target(
            row,
            meter=new_meter,
            milli_per_count=per_count,
            modulus_counts=configured.modulus_counts,
            max_milli_per_s=configured.max_milli_per_s,
            final_raw=counts_of(arguments.old_final, old_unit, live.modulus_counts),
            first_raw=counts_of(arguments.new_first, new_unit, configured.modulus_counts),
            gap_milli=milli_of(arguments.gap),
            at_s=arguments.at_s or None,
        )

    async def ratio(self, who: Who, arguments: RatioArguments) -> dict[str, Any]:
        """Bill on by another ratio from the last billed register, or from the one that was read at the change."""
        row = self._row(arguments.point)
        engine = self._office.engine
        live = engine.point(row)
        unit = self._unit(live.meter)
        per_count = (unit or 1) * ratio_of(arguments.ratio)
        if per_count == live.milli_per_count:
            raise Refused("meter.ratio", f"{arguments.point} is billed by this ratio already")
        final = counts_of(arguments.register, unit, live.modulus_counts) if arguments.register else None
        target = Target(row, milli_per_count=per_count, final_raw=final)
        act = self._act(who, arguments.key, arguments.reason, "ratio")
        return await self._once(arguments.key, arguments.point, lambda: engine.retarget([target], act))

    async def late(self, who: Who, arguments: LateArguments) -> dict[str, Any]:
        """Restate what was charged by readings that came late or correct others."""
        row = self._row(arguments.point)
        live = self._office.engine.point(row)
        unit = self._unit(live.meter)
        given = [Given(at_s, counts_of(register, unit, live.modulus_counts)) for at_s, register in arguments.readings]
        act = self._act(who, arguments.key, arguments.reason, "late")
        async with self._one:
            return await late_readings.restate(self._office, row, given, act, who, arguments.preview)

    # ---- within

    def _row(self, point: str) -> int:
        row = self._rows.get(point)
        if row is None:
            raise Refused("point.unknown", f"there is no supply point {point!r}")
        return row

    def _unit(self, meter: str) -> int:
        """Return how many thousandths of the unit one count of a meter's display is; 1 for a virtual meter."""
        return self._office.register_milli.get(meter, 1)

    @staticmethod
    def _act(who: Who, key: str, reason: str, kind: str, document: Mapping[str, Any] | None = None) -> Act:
        if not reason:
            raise Refused("meter.reason", "say why; it goes into the books")
        return Act(key, who.user, who.station, reason, kind, document or {})

    async def _once(self, key: str, point: str, make: Callable[[], Change]) -> dict[str, Any]:
        """Carry out a change once per key; a repeated key answers what was done then."""
        async with self._one:
            posted = await self._office.books.find(key)
            if posted is not None:
                return repeated(posted, point)
            change: Change = await self._office.change(make)
        return {"point": point, "change": change.kind, "repeated": False, **told(change.document)}


def repeated(posted: Posted, point: str) -> dict[str, Any]:
    """Return what a key did before; Refused "ledger.key-reused" when it did something else."""
    document = posted.document or {}
    points = [entry.get("point") for entry in document.get("points", [document])]
    if posted.kind != "change" or points != [point]:
        raise Refused("ledger.key-reused", f"key {posted.key!r} belongs to transfer {posted.seq}, a {posted.kind}")
    return {"point": point, "change": document["change"], "repeated": True, **told(document)}


def told(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a change's document as an answer: the only point it names, laid flat."""
    points = document.get("points")
    flat = {name: value for name, value in document.items() if name not in ("points", "change")}
    return {**flat, **points[0]} if points else flat


def operations(office: Office) -> list[Operation]:
    """Return the operations of this trade."""
    desk = MeterDesk(office)
    table: tuple[tuple[str, type, Callable[[Who, Any], Awaitable[Mapping[str, Any]]]], ...] = (
        ("meter.held", HeldArguments, desk.held),
        ("meter.release", ReleaseArguments, desk.release),
        ("meter.reject", RejectArguments, desk.reject),
        ("meter.swap", SwapArguments, desk.swap),
        ("meter.ratio", RatioArguments, desk.ratio),
        ("meter.late", LateArguments, desk.late),
    )
    return [Operation(name, MANAGE, arguments, handler) for name, arguments, handler in table]

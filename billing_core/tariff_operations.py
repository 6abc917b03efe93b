"""What people ask of tariffs: which are in force, publish a new body, bill a supply point by another plan.

    run.py tariff publish --scada.console.perform("tariff.publish")--> handler --> core.change --> engine.publish

Rule: handlers check what they are given and hand it on; whether the past stays is decided by the engine.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from billing_core import plan_books, plan_checks
from billing_core.office import Office
from billing_core.plan import Plan, TierOptions
from billing_core.plan_body import body_hash, pack, plan_body, plan_hash, plan_of, unpack
from billing_core.posting import key_reused
from billing_core.state import Act, Change, Target
from scada.errors import ConfigurationError, Refused
from scada.operations import Operation, Who


@dataclass(frozen=True, slots=True)
class ListArguments:
    """Which plans are in force, with the hash of the body of each."""


@dataclass(frozen=True, slots=True)
class ShowArguments:
    """The body of a plan that is in force, packed (plan_body.unpack)."""

    plan: str


@dataclass(frozen=True, slots=True)
class PublishArguments:
    """Put a body in force: only what lies in the future may differ from the one before."""

    packed: tuple[str, ...]  # plan_body.pack
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class AssignArguments:
    """Bill a supply point by another plan from now on; None leaves household and opening as they are."""

    point: str
    plan: str
    reason: str
    key: str
    household: int | None = None
    opened_s: int | None = None


def operations(office: Office) -> list[Operation]:
    """Return the operations of this trade."""
    desk = _Desk(office)
    return [
        Operation("tariff.list", "view", ListArguments, desk.list),
        Operation("tariff.show", "view", ShowArguments, desk.show),
        Operation("tariff.publish", "tariff.publish", PublishArguments, desk.publish),
        Operation("tariff.assign", "tariff.publish", AssignArguments, desk.assign),
    ]


def plan_unpacked(packed: tuple[str, ...]) -> Plan:
    """Return the plan of a message. Refused "plan.unsound" names everything that is wrong with it."""
    try:
        body = unpack(packed)
        plan = plan_of(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused("plan.unsound", f"this describes no plan: {error!r}") from error
    if plan_body(plan) != body:
        raise Refused("plan.unsound", f"plan {plan.id}: the body is not in the form of this release; publish it again")
    if found := plan_checks.faults(plan):
        raise Refused("plan.unsound", f"plan {plan.id}: {'; '.join(found)}")
    return plan


class _Desk:
    """The handlers, over one site's billing."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._one = asyncio.Lock()  # a key that comes twice at once finds what was done the first time

    async def list(self, who: Who, _: ListArguments) -> Mapping[str, Any]:
        return {
            "plans": [
                {"id": plan.id, "name_zh": plan.name_zh, "name_en": plan.name_en, "medium": plan.medium,
                 "unit": plan.unit, "versions": len(plan.versions), "hash": plan_hash(plan).hex()}
                for plan in self._office.engine.plans
            ]
        }  # fmt: skip

    async def show(self, who: Who, asked: ShowArguments) -> Mapping[str, Any]:
        for plan in self._office.engine.plans:
            if plan.id == asked.plan:
                return {"packed": pack(plan_body(plan))}
        raise self._unknown(asked.plan)

    async def publish(self, who: Who, asked: PublishArguments) -> Mapping[str, Any]:
        plan = plan_unpacked(asked.packed)
        body = plan_body(plan)
        if any(known == plan for known in self._office.engine.plans):
            return {"plan": plan.id, "hash": body_hash(body).hex(), "published": False}
        act = Act(asked.key, who.user, who.station, _given(asked.reason), document={plan_books.PUBLISHED: [body]})
        done = await self._change(
            lambda: self._office.engine.publish([plan], act),
            act,
            lambda stood: stood.get(plan_books.PUBLISHED) == [body],
        )
        return {"plan": plan.id, "hash": body_hash(body).hex(), "published": True, "points": done["points"]}

    async def assign(self, who: Who, asked: AssignArguments) -> Mapping[str, Any]:
        rows = {name: row for row, name in enumerate(self._office.points)}
        if asked.point not in rows:
            raise Refused("point.unknown", f"there is no supply point {asked.point!r}")
        row = rows[asked.point]
        old = self._office.engine.point(row).options
        options = TierOptions(
            old.household if asked.household is None else asked.household,
            old.opened_s if asked.opened_s is None else asked.opened_s,
        )
        wanted = {
            "point": asked.point, "plan": asked.plan, "household": options.household, "opened_s": options.opened_s
        }  # fmt: skip
        act = Act(asked.key, who.user, who.station, _given(asked.reason), document={"assigned": wanted})
        target = Target(row, plan=asked.plan, options=options)
        done = await self._change(
            lambda: self._office.engine.retarget([target], act), act, lambda stood: stood.get("assigned") == wanted
        )
        return {"point": asked.point, "plan": asked.plan, "change": done}

    async def _change(
        self, make: Callable[[], Change], act: Act, same: Callable[[Mapping[str, Any]], bool]
    ) -> dict[str, Any]:
        """Carry out a change once per key; return its document. same: tells whether one that stands is this one."""
        async with self._one:
            posted = await self._office.books.find(act.key)
            if posted is not None:
                if posted.document is None or not same(posted.document):
                    raise key_reused(posted, f"is another {posted.kind}")
                return dict(posted.document)
            try:
                made: Change = await self._office.change(make)
            except ConfigurationError as error:
                raise Refused("plan.unsound", "; ".join(map(str, error.faults))) from error
        return dict(made.document)

    def _unknown(self, name: str) -> Refused:
        known = ", ".join(plan.id for plan in self._office.engine.plans)
        return Refused("plan.unknown", f"there is no plan {name!r}; known: {known}")


def _given(reason: str) -> str:
    """Return a reason; Refused when there is none."""
    if not reason:
        raise Refused("reason", "say why; it goes into the books")
    return reason

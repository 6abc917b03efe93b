"""What people ask of tenants: store a preset, open, preview a closing, move out, hand over.

    run.py tenant ... --scada.console.perform("tenant.open")--> handler --> Lives, Leavings --> engine and books

Rule: a table of operations; the steps stand in `tenancy_desk` and `leaving_desk`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from billing_core import account_store as store
from billing_core import posting
from billing_core.account_operations import AccountOperations
from billing_core.account_rules import ApprovalNeeded
from billing_core.leaving_desk import Leaving, Leavings
from billing_core.posting import Balances, Draft
from billing_core.tenancy_desk import Lives, TenantWish
from scada.database import Cursor
from scada.errors import Refused
from scada.operations import Operation, Who


@dataclass(frozen=True, slots=True)
class PresetArguments:
    """Keep what is to be opened later, under an id."""

    id: str
    tenant: TenantWish


@dataclass(frozen=True, slots=True)
class OpenArguments:
    """Open a tenant: from a preset, or as given."""

    key: str
    preset: str = ""
    tenant: TenantWish | None = None
    accept_stale: bool = False


@dataclass(frozen=True, slots=True)
class PreviewArguments:
    """Show every line of closing an account now."""

    account: str


@dataclass(frozen=True, slots=True)
class LeaveArguments:
    """Close an account as it was previewed."""

    account: str
    token: str
    key: str
    reason: str
    channel: str = "cash"
    unpaid: str = "refuse"
    within_nano: int = 0
    accept_stale: bool = False


@dataclass(frozen=True, slots=True)
class HandOverArguments:
    """Close an account and open its successor in one cut."""

    account: str
    token: str
    key: str
    reason: str
    successor: TenantWish
    channel: str = "cash"
    unpaid: str = "refuse"
    within_nano: int = 0
    accept_stale: bool = False
    carry: bool = False


class TenantOperations:
    """Handlers of the table below."""

    def __init__(self, lives: Lives, leavings: Leavings, acts: AccountOperations) -> None:
        self._lives = lives
        self._leavings = leavings
        self._acts = acts
        acts.repeaters["tenant.move-out"] = self._move_out_agreed
        acts.repeaters["tenant.hand-over"] = self._hand_over_agreed

    async def preset(self, who: Who, wanted: PresetArguments) -> Mapping[str, Any]:
        body = json.loads(TypeAdapter(TenantWish).dump_json(wanted.tenant))
        facts = {"preset": wanted.id, "tenant": body}

        async def also(cursor: Cursor, seq: int) -> None:
            await cursor.execute(store.KEEP_PRESET, {"id": wanted.id, "body": Jsonb(body), "who": who.user})

        def build(balances: Balances) -> Draft:
            return Draft((), f"preset {wanted.id}", {"asked": facts}, also=also)

        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        key = f"preset:{wanted.id}:{self._lives.counter.now_s()}:{digest}"
        await self._lives.office.books.post(key, "account", who, build, same=posting.asked(facts))
        return {"preset": wanted.id, "tenant": body}

    async def open(self, who: Who, wanted: OpenArguments) -> Mapping[str, Any]:
        wish = wanted.tenant
        if (wish is None) == (not wanted.preset):
            raise Refused("tenant.open", "name a preset, or say what to open, and not both")
        if wish is None:
            wish = await self._preset(wanted.preset)
        return await self._lives.open(who, wish, wanted.key, wanted.accept_stale)

    async def preview(self, who: Who, wanted: PreviewArguments) -> Mapping[str, Any]:
        return await self._leavings.show(who, wanted.account)

    async def move_out(self, who: Who, wanted: LeaveArguments) -> Mapping[str, Any]:
        try:
            return await self._leavings.move_out(who, _leaving(asdict(wanted)))
        except ApprovalNeeded as needed:
            return await self._acts.keep_request(who, wanted.key, "tenant.move-out", asdict(wanted), needed)

    async def hand_over(self, who: Who, wanted: HandOverArguments) -> Mapping[str, Any]:
        given = asdict(wanted)
        try:
            return await self._leavings.hand_over(who, _leaving(given), wanted.successor, wanted.carry)
        except ApprovalNeeded as needed:
            arguments = json.loads(TypeAdapter(HandOverArguments).dump_json(wanted))
            return await self._acts.keep_request(who, wanted.key, "tenant.hand-over", arguments, needed)

    async def _move_out_agreed(self, who: Who, given: Mapping[str, Any], approved_by: str) -> Mapping[str, Any]:
        return await self._leavings.move_out(who, replace(_leaving(given), approved_by=approved_by))

    async def _hand_over_agreed(self, who: Who, given: Mapping[str, Any], approved_by: str) -> Mapping[str, Any]:
        wanted = TypeAdapter(HandOverArguments).validate_python(given)
        leaving = replace(_leaving(given), approved_by=approved_by)
        return await self._leavings.hand_over(who, leaving, wanted.successor, wanted.carry)

    async def _preset(self, name: str) -> TenantWish:
        found: list[Mapping[str, Any]] = []

        async def read(cursor: Cursor) -> None:
            found.append(await store.read_preset(cursor, name))

        await self._lives.office.books.look(read)
        return TypeAdapter(TenantWish).validate_python(found[0])


def _leaving(given: Mapping[str, Any]) -> Leaving:
    names = ("account", "token", "channel", "reason", "key", "unpaid", "within_nano", "accept_stale")
    return Leaving(**{name: given[name] for name in names})


def operations(acts: TenantOperations) -> list[Operation]:
    """Return the table of what can be asked of tenants."""
    return [
        Operation("tenant.preset", "account.manage", PresetArguments, acts.preset),
        Operation("tenant.open", "account.manage", OpenArguments, acts.open),
        Operation("tenant.preview", "account.manage", PreviewArguments, acts.preview),
        Operation("tenant.move-out", "account.manage", LeaveArguments, acts.move_out),
        Operation("tenant.hand-over", "account.manage", HandOverArguments, acts.hand_over),
    ]

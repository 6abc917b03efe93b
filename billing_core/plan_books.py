"""Bodies of plans in the books: which one is in force, and that the next one leaves the past alone.

Rule: steps of a transaction that `store.py` runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from loguru import logger
from psycopg.types.json import Jsonb

from billing_core import sql
from billing_core.plan import Plan
from billing_core.plan_body import body_hash, plan_body, plan_hash, plan_of
from billing_core.plan_past import past_difference
from scada.database import Cursor
from scada.errors import ConfigurationError, Fault

PUBLISHED: Final = "bodies"  # key in the document of a publication: the bodies it brings
IN_FORCE: Final = """
    SELECT f.plan, f.body, v.body FROM plan_in_force f JOIN tariff_version v ON v.hash = f.body
    WHERE f.plan = ANY(%(plans)s)
"""
KEEP: Final = """
    INSERT INTO plan_in_force (plan, body) VALUES (%(plan)s, %(hash)s)
    ON CONFLICT (plan) DO UPDATE SET body = excluded.body
"""


async def begin(cursor: Cursor, plans: Iterable[Plan], until_s: int) -> None:
    """Put the plans of the configuration in force at a start.

    Raises ConfigurationError with every plan that says something else of the time before `until_s` (the latest second
    that the books know) than the body in force did.
    """
    by_id = {plan.id: plan for plan in plans}
    await cursor.execute(IN_FORCE, {"plans": list(by_id)})
    in_force = await cursor.fetchall()
    refuse(by_id, in_force, until_s)
    for name, number, _ in in_force:
        if bytes(number) != plan_hash(by_id[name]):
            text = "tariff {}: the configuration says another future than the one in force until now ({}); it holds"
            logger.warning(text, name, bytes(number).hex()[:12])
    for plan in by_id.values():
        await put(cursor, plan_body(plan))


def refuse(plans: Mapping[str, Plan], in_force: Iterable[Sequence[Any]], until_s: int) -> None:
    """Raise ConfigurationError with every plan that says something else of the past; in_force: rows of IN_FORCE."""
    faults = [
        Fault("tariffs.toml", f"tariff.{name}", f"changes the past, {where}", "a new version with `from` in the future")
        for name, number, body in in_force
        if bytes(number) != plan_hash(plans[name])
        and (where := past_difference(plan_of(body), plans[name], until_s, prices_only="versions" not in body))
    ]
    if faults:
        raise ConfigurationError(faults)


async def published(cursor: Cursor, document: Mapping[str, Any]) -> None:
    """Put in force what a publication brings."""
    for body in document.get(PUBLISHED, ()):
        await put(cursor, body)


async def put(cursor: Cursor, body: Mapping[str, Any]) -> None:
    """Store a body when it is new, and note that it is in force."""
    given = {"hash": body_hash(body), "tariff": body["id"], "plan": body["id"], "body": Jsonb(body)}
    await cursor.execute(sql.ADD_TARIFF, given)
    await cursor.execute(KEEP, given)

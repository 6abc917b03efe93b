"""Carry out a restatement: read what stands, compute, post it, and let the running engine follow.

The supply point waits meanwhile (`BillingEngine.pause`): its register stands in memory, everything it used before is in
the books, and what it uses now is billed with its next reading. No checkpoint is cut in between (`Office.quietly`), so
that the books and the memory change together.

Rule: when the data base goes away in the middle, the same posting is repeated under its key until it is known to stand.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from loguru import logger

from billing_core import books, reference
from billing_core.columns import KIND_REVERSAL
from billing_core.office import Office
from billing_core.posting import Posted, check_key
from billing_core.reference import Position
from billing_core.restatement import Charge, Facts, Given, Restatement, Row, amounts
from billing_core.restatement import restate as restated
from billing_core.schedule import unroll
from billing_core.state import Act, Terms
from billing_core.store import Restating
from billing_core.zones import DAY_S
from scada.database import Cursor
from scada.errors import DatabaseAway, Refused
from scada.operations import Who

RETRY_S: Final = 1.0
READINGS_MOST: Final = 10_000  # a year of hourly readings; more is another file

# What stands of a point, from the interval before a second on, in the order of time.
STANDING_CHARGES: Final = """
    WITH own AS (
        SELECT c.* FROM charge c JOIN terms t ON t.id = c.terms
        WHERE t.point = %(point)s AND c.kind <> 2
          AND NOT EXISTS (SELECT FROM charge r
                          WHERE r.kind = 2 AND (r.reverses_seq, r.reverses_line) = (c.seq, c.line))
    )
    SELECT seq, line, terms, raw_from, extract(epoch FROM time_from)::bigint, raw_to,
           extract(epoch FROM time_to)::bigint, extract(epoch FROM segment_from)::bigint,
           extract(epoch FROM segment_to)::bigint, rate, tier, position_milli, price_micro, milli, nano, kind, method
    FROM own
    WHERE time_to >= coalesce((SELECT max(time_to) FROM own WHERE time_to < to_timestamp(%(from_s)s)), 'epoch')
    ORDER BY time_from, time_to, segment_from, seq, line
"""


async def restate(
    office: Office, row: int, given: Sequence[Given], act: Act, who: Who, preview: bool
) -> dict[str, Any]:
    """Restate a point's charges by readings of a person; return what was, or would be, taken back and charged again.

    Refused: restatement.restate's codes, "ledger.key-reused".
    """
    point = office.engine.point(row).id
    check_key(act.key)
    if not 1 <= len(given) <= READINGS_MOST:
        raise Refused("late.order", f"give 1 to {READINGS_MOST} readings")
    if max(reading.at_s for reading in given) > office.clock.utc_ns() // 1_000_000_000:
        raise Refused("late.after", "a reading lies in the future; times are seconds since 1970, UTC")
    if min(reading.at_s for reading in given) < 0:
        raise Refused("late.before", "a reading lies before 1970; times are seconds since then, UTC")
    if (posted := await office.books.find(act.key)) is not None:
        return _repeated(posted, point)
    if preview:
        found, facts = await _computed(office, row, given)
        return _told(point, found, facts) | {"preview": True}
    office.engine.pause(row)  # Refused "billing.no-scan" before anything is posted
    try:
        told: dict[str, Any] = await office.quietly(lambda: _carry_out(office, row, given, act))
        return told
    finally:
        office.engine.resume(row)


async def _carry_out(office: Office, row: int, given: Sequence[Given], act: Act) -> dict[str, Any]:
    """Do it while the point waits and no checkpoint is cut."""
    if not office.engine.waits(row):
        raise Refused("billing.begun-again", "billing has just begun again from the books; try again in a second")
    point = office.engine.point(row).id
    found, facts = await _computed(office, row, given)
    now = office.engine.standing(row)
    position = found.position if found.stood == Position(now.position_milli, now.period) else None
    told = _told(point, found, facts)
    document = {"late": told, "readings": [list(reading) for reading in given]}
    order = Restating(
        act, document, point, columns_of(found), found.milli, found.nano, position,
        office.clock.utc_ns() // 1_000_000_000,
    )  # fmt: skip
    posted = await _posted(office, order)
    office.engine.restated(row, found.milli, found.nano, position)
    for (account, _), nano in amounts(found, facts).items():
        office.credit_now(account, -nano)
    return told | {"seq": posted.seq, "repeated": False}


async def _posted(office: Office, order: Restating) -> Posted:
    while True:
        try:
            return await office.books.restate(order)
        except DatabaseAway as away:
            logger.debug("a restatement waits for the data base: {}", away)
            await asyncio.sleep(RETRY_S)


async def _computed(office: Office, row: int, given: Sequence[Given]) -> tuple[Restatement, Mapping[int, Facts]]:
    """Return what the readings change of what stands in the books now."""
    charges: list[Charge] = []
    terms: dict[int, Terms] = {}
    point = office.engine.point(row)

    async def read(cursor: Cursor) -> None:
        wanted = {"point": point.id, "from_s": min(reading.at_s for reading in given)}
        await cursor.execute(STANDING_CHARGES, wanted)
        charges[:] = [Charge(found[0], found[1], Row._make(found[2:])) for found in await cursor.fetchall()]
        terms.update(await books.terms_numbered(cursor, {charge.row.terms for charge in charges}))

    await office.books.look(read)
    facts = facts_of(charges, terms, point.max_milli_per_s)
    return restated(charges, given, facts), facts


def facts_of(charges: Sequence[Charge], terms: Mapping[int, Terms], max_milli_per_s: int) -> dict[int, Facts]:
    """Return what each number of terms says, with its plan unrolled over the charges in question."""
    if not charges:
        raise Refused("late.before", "nothing has been charged to this supply point yet")
    from_s = min(charge.row.from_s for charge in charges) - DAY_S
    to_s = max(charge.row.to_s for charge in charges) + DAY_S
    return {
        number: Facts(
            one.account, one.medium, one.milli_per_count, one.modulus_counts, max_milli_per_s,
            reference.book_of(unroll(one.plan, one.options, from_s, to_s)),
        )
        for number, one in terms.items()
    }  # fmt: skip


def columns_of(found: Restatement) -> list[tuple[int | None, ...]]:
    """Return the rows to write, as sql.ADD_RESTATED takes them after seq and line: reversals first."""
    back = [
        (*_stored(charge.row._replace(milli=-charge.row.milli, nano=-charge.row.nano, kind=KIND_REVERSAL)),
         charge.seq, charge.line)
        for charge in found.reversed
    ]  # fmt: skip
    return [*back, *((*_stored(row), None, None) for row in found.rows)]


def _stored(row: Row) -> tuple[int, ...]:
    """Return a row in the order of ledger.CHARGE."""
    return (
        *row[:8], row.price_micro, row.milli, row.nano, row.tier, row.position_milli, row.kind, row.method,
    )  # fmt: skip


def _told(point: str, found: Restatement, facts: Mapping[int, Facts]) -> dict[str, Any]:
    moved = amounts(found, facts)
    return {
        "point": point,
        "reversed": len(found.reversed),
        "recharged": len(found.rows),
        "milli": found.milli,
        "nano": found.nano,
        "accounts": {account: nano for (account, _), nano in sorted(moved.items())},
    }


def _repeated(posted: Posted, point: str) -> dict[str, Any]:
    told = (posted.document or {}).get("late", {})
    if posted.kind != "restatement" or told.get("point") != point:
        raise Refused("ledger.key-reused", f"key {posted.key!r} belongs to transfer {posted.seq}, a {posted.kind}")
    return {**told, "seq": posted.seq, "repeated": True}

"""What credit control keeps in the data base: notices, decisions, how accounts stand, what hours cost.

Rule: waits, never decides. Everything here may be repeated: a notice is known by account, kind and time, a decision by
its key, the rest are projections. The board has delivered a notice as soon as it is committed.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from billing_core.credit import CreditControl
from billing_core.credit_holds import CreditEvent
from billing_core.credit_rules import Kept, Remembered
from billing_core.forecast import HOUR_S, KEPT_H
from billing_core.notices import BOARD, DELIVERED, Notice
from scada.database import Cursor, Database
from scada.errors import Refused

ADD_NOTICE: Final = """
    INSERT INTO notice (account, kind, created, channel, delivered, result, balance_nano, stop_not_before, due, text_zh,
                        text_en)
    VALUES (%(account)s, %(kind)s, to_timestamp(%(created_s)s), %(channel)s, to_timestamp(%(delivered_s)s), %(result)s,
            %(balance_nano)s, to_timestamp(nullif(%(stop_s)s::bigint, 0)), to_timestamp(nullif(%(due_s)s::bigint, 0)),
            %(text_zh)s, %(text_en)s)
    ON CONFLICT (account, kind, created, channel) DO NOTHING
"""
ADD_EVENT: Final = """
    INSERT INTO credit_event (key, verb, account, at, until, owner, reason, who, station)
    VALUES (%(key)s, %(verb)s, %(account)s, to_timestamp(%(at_s)s), to_timestamp(nullif(%(until_s)s::bigint, 0)),
            %(owner)s, %(reason)s, %(who)s, %(station)s)
    ON CONFLICT (key) DO NOTHING
"""
EVENT: Final = """
    SELECT key, verb, account, extract(epoch FROM at)::bigint, coalesce(extract(epoch FROM until)::bigint, 0), owner,
           reason, who, station FROM credit_event
"""
KEEP_STATES: Final = """
    INSERT INTO credit_account
    SELECT * FROM unnest(%s::text[], %s::smallint[], %s::smallint[], %s::bigint[], %s::bigint[])
    ON CONFLICT (account) DO UPDATE SET
        state = excluded.state, told_state = excluded.told_state, since_s = excluded.since_s, due_s = excluded.due_s
"""
# The notices of the running clock prove their own delivery.
READ_STATES: Final = """
    SELECT c.account, c.state, c.told_state, c.since_s, c.due_s,
           coalesce(extract(epoch FROM min(n.delivered) FILTER (WHERE n.kind = 'final'))::bigint, 0),
           coalesce(extract(epoch FROM max(n.delivered) FILTER (WHERE n.kind = 'again'))::bigint, 0)
    FROM credit_account c
        LEFT JOIN notice n ON n.account = c.account AND c.due_s > 0 AND n.due = to_timestamp(c.due_s)
    GROUP BY c.account
"""
LAST_NOTICES: Final = "SELECT account, kind, extract(epoch FROM max(created))::bigint FROM notice GROUP BY 1, 2"
KEEP_HOURS: Final = """
    INSERT INTO cost_hour SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[])
    ON CONFLICT (account, hour) DO UPDATE SET nano = excluded.nano
"""
FORGET_HOURS: Final = "DELETE FROM cost_hour WHERE hour < %s"
READ_HOURS: Final = "SELECT account, hour, nano FROM cost_hour WHERE hour > %s AND hour <= %s"
# What was charged after the last hour that was kept: an hour or so, and two weeks at most after an upgrade. Of a charge
# that began before, the part in proportion to time, as `Costs.add` spreads it.
CHARGED_HOURS: Final = """
    WITH late AS (
        SELECT substr(t.account, 8) AS account, extract(epoch FROM c.segment_from)::bigint AS from_s,
               extract(epoch FROM c.segment_to)::bigint AS to_s, c.nano
        FROM charge c JOIN terms t ON t.id = c.terms
        WHERE c.segment_to > to_timestamp(%(after_s)s) AND t.account LIKE 'wallet:%%'
    )
    SELECT account, (to_s - 1) / 3600,
           sum(nano - nano / (to_s - from_s) * greatest(%(after_s)s - from_s, 0))::bigint
    FROM late GROUP BY 1, 2
"""


class CreditStore:
    """The tables of credit control."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, now_s: int) -> Remembered:
        """Read back what was kept. now_s: plant time; costs of the two weeks before it are read."""
        now_h = now_s // HOUR_S
        async with self._database.transaction() as cursor:
            await cursor.execute(READ_STATES)
            kept = tuple(Kept(*row) for row in await cursor.fetchall())
            await cursor.execute(EVENT + " ORDER BY id")
            events = tuple(CreditEvent(*row) for row in await cursor.fetchall())
            await cursor.execute(LAST_NOTICES)
            told_s = {(str(account), str(kind)): int(at_s) for account, kind, at_s in await cursor.fetchall()}
            await cursor.execute(READ_HOURS, [now_h - KEPT_H, now_h])
            hours = await cursor.fetchall()
            last_h = max((hour for _, hour, _ in hours), default=now_h - KEPT_H)
            await cursor.execute(CHARGED_HOURS, {"after_s": (last_h + 1) * HOUR_S})
            hours += await cursor.fetchall()
        return Remembered(kept, events, told_s, tuple((str(a), int(h), int(n)) for a, h, n in hours))

    async def keep(self, control: CreditControl, now_s: Callable[[], int]) -> None:
        """Write what credit control has to keep; its notices are delivered then. DatabaseAway: call again."""
        notices, states, events = control.notices(), control.changed(), control.events()
        hours, rows = control.whole_hours()
        if not (notices or states or events or hours):
            return
        at_s = now_s()
        async with self._database.transaction() as cursor:
            if notices:
                await cursor.executemany(ADD_NOTICE, [_notice(notice, at_s) for notice in notices])
            for event in events:
                await cursor.execute(ADD_EVENT, _event(event))
            if states:
                await _keep_states(cursor, states)
            if hours:
                await cursor.execute(KEEP_HOURS, [list(column) for column in zip(*rows, strict=True)] or [[], [], []])
                await cursor.execute(FORGET_HOURS, [max(hours) - KEPT_H])
        control.delivered(len(notices), at_s)
        control.kept(states, len(events), hours)

    async def is_repeated(self, event: CreditEvent) -> bool:
        """Tell whether this decision is kept already. Refused "credit.key-reused" when its key is another one's."""
        async with self._database.transaction() as cursor:
            await cursor.execute(EVENT + " WHERE key = %s", [event.key])
            row = await cursor.fetchone()
        if row is None:
            return False
        found = CreditEvent(*row)
        if (found.verb, found.account, found.reason) != (event.verb, event.account, event.reason):
            raise Refused("credit.key-reused", f"this key is of {found.verb} {found.account or 'all'} at {found.at_s}")
        return True

    async def decide(self, event: CreditEvent) -> None:
        """Keep a decision of a person, once per key."""
        async with self._database.transaction() as cursor:
            await cursor.execute(ADD_EVENT, _event(event))


def _notice(notice: Notice, at_s: int) -> dict[str, Any]:
    return {
        "account": notice.account, "kind": notice.kind, "created_s": notice.created_s, "channel": BOARD,
        "delivered_s": at_s, "result": DELIVERED, "balance_nano": notice.balance_nano, "stop_s": notice.stop_s,
        "due_s": notice.due_s, "text_zh": notice.text_zh, "text_en": notice.text_en,
    }  # fmt: skip


def _event(event: CreditEvent) -> dict[str, Any]:
    return {
        "key": event.key, "verb": event.verb, "account": event.account, "at_s": event.at_s, "until_s": event.until_s,
        "owner": event.owner, "reason": event.reason, "who": event.who, "station": event.station,
    }  # fmt: skip


async def _keep_states(cursor: Cursor, states: Sequence[Kept]) -> None:
    columns = zip(*((s.account, s.state, s.told_state, s.since_s, s.due_s) for s in states), strict=True)
    await cursor.execute(KEEP_STATES, [list(column) for column in columns])

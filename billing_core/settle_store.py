"""The settlement's side of the data base: reads the facts of a month in one snapshot, keeps what the clock notes.

Rule: money moves through LedgerStore.post alone; rows that belong to a transfer are written by its draft's `also`, in
the transfer's own transaction. Everything read for one document comes from one snapshot.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from billing_core import settle_sql as sql
from billing_core.assessment import Assessment
from billing_core.components import BaseQuantity
from billing_core.demand_watch import Window
from billing_core.month_facts import Facts, Movement, Posted, Usage
from billing_core.periods import Month
from billing_core.plan import FOREVER_S, Plan
from billing_core.plan_body import plan_of
from billing_core.supply import History, Span
from scada.database import Cursor, Database
from scada.errors import Refused

UNITS_AT_ONCE: Final = 2_000  # first charges of a month that are read at a time while the free quantity lasts
REACTIVE_LATE_S: Final = 2 * 86_400  # a reactive reading stands for a border when it came within two days of it
NO_STATEMENT: Final = -1


def part_milli(milli: int, segment_from_s: int, segment_to_s: int, from_s: int, to_s: int) -> int:
    """Return what of a charge lies in [from_s, to_s), by time, cumulatively rounded down; a reversal mirrors it."""

    def until(at_s: int) -> int:
        elapsed_s = min(max(at_s - segment_from_s, 0), segment_to_s - segment_from_s)
        return abs(milli) * elapsed_s // (segment_to_s - segment_from_s)

    part = until(to_s) - until(from_s)
    return part if milli >= 0 else -part


class SettleStore:
    """Reads and notes for the settlement. Every method may raise DatabaseAway and may be repeated."""

    def __init__(self, reading: Database, writing: Database) -> None:
        self._reading = reading
        self._writing = writing

    async def close(self) -> None:
        await self._reading.close()
        await self._writing.close()

    # ---- one account's month

    async def facts(self, account: str, month: Month, zone: ZoneInfo, minor_nano: int, close_s: int = 0) -> Facts:
        """Return what the books hold for the account's next statement of a month.

        close_s: the tenancy ends here, within the month. Refused "account.unknown", "settle.order" when an earlier
        month is not settled, "settle.settled" when this one is.
        """
        async with self._reading.transaction() as cursor:
            await cursor.execute(sql.SNAPSHOT)
            return await _Reader(cursor, account, month, zone, minor_nano, close_s).read()

    async def wallets(self) -> list[str]:
        """Return the accounts that have ever moved."""
        return [str(row[0]) for row in await self._rows(sql.WALLETS, {})]

    async def documents(self, account: str, label: str) -> list[dict[str, Any]]:
        """Return the documents of an account's statements of a month, of closings in it too."""
        return [row[0] for row in await self._rows(sql.STATEMENT, {"account": account, "label": label})]

    async def statements(self, label: str) -> list[tuple[str, str, int, int, int]]:
        """Return (account, label, seq, opening nano, closing nano) of the statements of a month."""
        return [tuple(row) for row in await self._rows(sql.STATEMENTS, {"label": label})]

    # ---- the clock

    async def clock_s(self) -> int | None:
        """Return the plant time up to which midnights are posted, None before the first."""
        rows = await self._rows(sql.CLOCK, {})
        return int(rows[0][0]) if rows else None

    async def set_clock(self, done_s: int) -> None:
        await self._write(sql.SET_CLOCK, [{"done_s": done_s}])

    async def histories(self, media: Mapping[str, tuple[str, str]]) -> dict[str, History]:
        """Return point -> its history; media: point -> (medium, unit)."""
        async with self._reading.transaction() as cursor:
            await cursor.execute(sql.SNAPSHOT)
            return await read_histories(cursor, await read_plans(cursor), media)

    async def add_spans(self, spans: Sequence[Mapping[str, Any]]) -> None:
        """Note from when on points are paid by an account under a plan: point, since_s, account, plan, ..."""
        await self._write(sql.ADD_SPAN, spans)

    async def add_reactive(self, readings: Sequence[Mapping[str, Any]]) -> None:
        """Note reactive registers: point, at_s, meter, milli, read_s."""
        await self._write(sql.ADD_REACTIVE, readings)

    async def posted_in(self, month: Month) -> dict[tuple[str, str], dict[str, int]]:
        """Return (point, account) -> component -> nano posted for a month so far."""
        found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for point, account, component, nano in await self._rows(
            sql.POSTED_IN_MONTH, {"from_s": month.from_s, "to_s": month.to_s}
        ):
            found[point, account][component] = int(nano)
        return found

    async def stops(self, from_s: int, to_s: int) -> dict[str, list[tuple[int, int]]]:
        """Return account -> times [from, to) in which credit had switched it off."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for account, stopped_s, ended_s in await self._rows(sql.STOPS, {"from_s": from_s, "to_s": to_s}):
            found[account].append((int(stopped_s), int(ended_s)))
        return found

    async def demands(self, month: str) -> dict[tuple[str, str, str], int]:
        """Return (point, component, account) -> highest W of the month so far."""
        rows = await self._rows(sql.DEMANDS, {"month": month})
        return {(point, component, account): int(watt) for point, component, account, watt in rows}

    # ---- shares

    async def point_costs(self, points: Sequence[str], month: Month) -> dict[tuple[str, str], tuple[int, int]]:
        """Return (point, account) -> (milli, nano) of a month: charges and what was assessed besides them."""
        async with self._reading.transaction() as cursor:
            await cursor.execute(sql.SNAPSHOT)
            await cursor.execute(sql.HEAD)
            given = {
                "points": list(points),
                "from_s": month.from_s,
                "to_s": month.to_s,
                "cut": (await cursor.fetchall())[0][0],
            }
            await cursor.execute(sql.POINT_SUMS, given)
            found = {(p, a): (int(milli), int(nano)) for p, a, milli, nano in await cursor.fetchall()}
            await cursor.execute(sql.POINT_COSTS, given)
            for point, account, kind, milli, nano, price, begin_s, end_s in await cursor.fetchall():
                before = found.get((point, account), (0, 0))
                if kind == 1:
                    added = (0, nano) if month.from_s < end_s <= month.to_s else (0, 0)
                else:
                    part = part_milli(milli, begin_s, end_s, month.from_s, month.to_s)
                    added = (part, part * price)
                found[point, account] = (before[0] + added[0], before[1] + added[1])
            await cursor.execute(sql.POINT_ASSESSED, given)
            for point, account, nano in await cursor.fetchall():
                before = found.get((point, account), (0, 0))
                found[point, account] = (before[0], before[1] + nano)
        return found

    async def share_bills(self, month: str) -> dict[str, tuple[str, dict[str, Any], int | None]]:
        """Return group -> (state, document, seq): the confirmed bill of a month, else the latest draft."""
        rows = await self._rows(sql.SHARE_BILLS, {"month": month})
        return {group: (state, document, seq) for group, state, document, seq in rows}

    async def add_draft(self, document: Mapping[str, Any], who: str, made_s: int) -> None:
        await self._write(sql.ADD_SHARE_BILL, [_share_bill(document, "draft", None, who, made_s)])

    # ---- inside

    async def known_assessments(self, keys: Sequence[str]) -> set[str]:
        """Return which of these keys are posted already."""
        return {str(row[0]) for row in await self._rows(sql.KNOWN_ASSESSMENTS, {"keys": list(keys)})}

    async def _rows(self, statement: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._reading.transaction() as cursor:
            await cursor.execute(statement, given)
            return await cursor.fetchall()

    async def _write(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            async with self._writing.transaction() as cursor:
                await cursor.executemany(statement, rows)


# ---- rows that belong to a transfer, written in its transaction


async def write_assessments(cursor: Cursor, seq: int, items: Sequence[Assessment]) -> None:
    rows = [
        {
            "key": item.key, "seq": seq, "kind": item.kind, "account": item.account, "point": item.point,
            "medium": item.medium, "component": item.component, "name_zh": item.name_zh, "name_en": item.name_en,
            "from_s": item.from_s, "to_s": item.to_s, "tax_ppm": item.tax_ppm, "nano": item.nano,
            "inputs": Jsonb(dict(item.inputs)),
        }
        for item in items
    ]  # fmt: skip
    if rows:
        await cursor.executemany(sql.ADD_ASSESSMENT, rows)


async def write_demand(
    cursor: Cursor, seq: int, item: Assessment, month: str, window: Window, milli_per_count: int
) -> None:
    await cursor.execute(
        sql.ADD_DEMAND,
        {
            "point": item.point, "component": item.component, "account": item.account, "month": month,
            "from_s": window.from_s, "to_s": window.to_s, "raw_from": window.raw_from, "raw_to": window.raw_to,
            "milli_per_count": milli_per_count, "watt": window.watt, "seq": seq,
        },
    )  # fmt: skip


async def write_statement(cursor: Cursor, seq: int, document: Mapping[str, Any]) -> None:
    names = ("account", "label", "from_s", "to_s", "cut_seq", "opening_nano", "closing_nano")
    await cursor.execute(sql.ADD_STATEMENT, {name: document[name] for name in names} | {"seq": seq})


async def write_share_bill(cursor: Cursor, seq: int, document: Mapping[str, Any], who: str, made_s: int) -> None:
    await cursor.execute(sql.ADD_SHARE_BILL, _share_bill(document, "confirmed", seq, who, made_s))


def _share_bill(document: Mapping[str, Any], state: str, seq: int | None, who: str, made_s: int) -> dict[str, Any]:
    return {
        "group": document["group"], "month": document["month"], "state": state, "document": Jsonb(dict(document)),
        "seq": seq, "who": who, "made_s": made_s,
    }  # fmt: skip


# ---- reading, inside a snapshot


async def read_plans(cursor: Cursor) -> dict[str, Plan]:
    await cursor.execute(sql.PLANS)
    return {str(name): plan_of(body) for name, body in await cursor.fetchall()}


async def read_histories(
    cursor: Cursor, plans: Mapping[str, Plan], media: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, History]:
    """Return point -> history; without media each point's are its last plan's."""
    await cursor.execute(sql.SPANS)
    rows: dict[str, list[tuple[int, str, str, int, int]]] = defaultdict(list)
    for point, *row in await cursor.fetchall():
        rows[point].append(tuple(row))
    found = {}
    for point, own in rows.items():
        ends = [row[0] for row in own[1:]] + [FOREVER_S]
        spans = tuple(
            Span(since_s, end_s, account, plans[plan], contract_w, capacity_va)
            for (since_s, account, plan, contract_w, capacity_va), end_s in zip(own, ends, strict=True)
        )
        medium, unit = (media or {}).get(point) or (spans[-1].plan.medium, spans[-1].plan.unit)
        found[point] = History(point, medium, unit, spans)
    return found


class _Reader:
    """Reads the facts of one account and month; all statements run in one snapshot."""

    def __init__(
        self, cursor: Cursor, account: str, month: Month, zone: ZoneInfo, minor_nano: int, close_s: int
    ) -> None:
        self._cursor = cursor
        self._month = month
        self._zone = zone
        self._minor_nano = minor_nano
        self._close_s = close_s
        self._account = account
        self._given: dict[str, Any] = {"account": account, "wallet": f"wallet:{account}", "to_s": close_s or month.to_s}

    async def read(self) -> Facts:
        account = await self._rows(sql.ACCOUNT)
        if not account:
            raise Refused("account.unknown", f"there is no account {self._account!r}")
        name_zh, name_en, currency, balance_nano, _ = account[0]
        self._given["cut"] = (await self._rows(sql.HEAD))[0][0]
        closing_nano, carried = await self._begin()
        plans = await read_plans(self._cursor)
        histories = await self._histories(plans)
        self._borders(plans)
        usages, crossing_after = await self._usages()
        after = (
            crossing_after + (await self._rows(sql.CHARGED_AFTER))[0][0] + (await self._rows(sql.POSTED_AFTER))[0][0]
        )
        moved_after = (await self._rows(sql.MOVED_AFTER))[0][0]
        stops = [(s, e) for a, s, e in await self._rows(sql.STOPS) if a == self._account]
        return Facts(
            account=self._account,
            name_zh=name_zh,
            name_en=name_en,
            currency=currency,
            label=self._month.label + ("/close" if self._close_s else ""),
            month=self._month,
            from_s=self._given["from_s"],
            to_s=self._given["to_s"],
            cut_seq=self._given["cut"],
            minor_nano=self._minor_nano,
            zone=self._zone,
            balance_nano=balance_nano,
            after_nano=moved_after - after,
            previous_closing_nano=closing_nano,
            usages=usages,
            posted=[Posted(*row) for row in await self._rows(sql.POSTED)],
            movements=[Movement(*row) for row in await self._rows(sql.MOVEMENTS)],
            histories=histories,
            plans=plans,
            highest_w={(p, c): int(watt) for p, c, watt in await self._rows(sql.HIGHEST)},
            reactive_milli=await self._reactive(histories),
            free_units=await self._free_units(histories),
            registers=await self._registers(),
            carried=carried,
            stopped=lambda at_s: any(begin <= at_s < end for begin, end in stops),
            notes=tuple(f"not-read-to-the-end:{row[0]}" for row in await self._behind(histories)),
        )

    async def _rows(self, statement: str, **more: Any) -> list[tuple[Any, ...]]:
        await self._cursor.execute(statement, self._given | more)
        return await self._cursor.fetchall()

    async def _begin(self) -> tuple[int | None, dict[str, int]]:
        """Find where the last statement ended; return its closing balance and what its rounding left over."""
        self._given |= {"prev": NO_STATEMENT, "from_s": self._month.from_s}
        last = await self._rows(sql.LAST_STATEMENT)
        if not last:
            return None, {}
        label, to_s, cut, closing_nano, left = last[0]
        if to_s >= self._given["to_s"]:
            raise Refused("settle.settled", f"{self._account} is settled up to {label}")
        if to_s < self._month.from_s:
            raise Refused("settle.order", f"{self._account} is settled up to {label}; settle the months after it first")
        self._given |= {"prev": cut, "from_s": to_s}
        return closing_nano, {key: int(nano) for key, nano in (left or {}).items()}

    async def _histories(self, plans: Mapping[str, Plan]) -> list[History]:
        every = await read_histories(self._cursor, plans)
        from_s, to_s = self._given["from_s"], self._given["to_s"]
        return [every[point] for point in sorted(every) if every[point].last_of(self._account, from_s, to_s)]

    def _borders(self, plans: Mapping[str, Plan]) -> None:
        """Give the seconds at which a plan's version changes within the period: a charge lies between two of them."""
        from_s, to_s = self._given["from_s"], self._given["to_s"]
        borders = {from_s} | {v.from_s for plan in plans.values() for v in plan.versions if from_s < v.from_s < to_s}
        self._given["borders"] = sorted(borders)

    async def _usages(self) -> tuple[list[Usage], int]:
        """Return what was used in the period, and the nano of charges over its end that lie beyond it."""
        borders, from_s = self._given["borders"], self._given["from_s"]
        found = []
        for row in await self._rows(sql.USAGES):
            point, medium, unit, plan, bucket, rate, tier, kind, price, late, milli, estimated, nano = row
            at_s = borders[bucket - 1] if bucket else from_s - 1
            found.append(Usage(point, medium, unit, plan, at_s, rate, tier, kind, price, milli, estimated, nano, late))
        after_nano = 0
        for row in await self._rows(sql.CROSSING):
            for part, where in self._taken_apart(row):
                if where == "after":
                    after_nano += part.nano
                else:
                    found.append(part)
        return [usage for usage in found if usage.milli or usage.nano], after_nano

    def _taken_apart(self, row: tuple[Any, ...]) -> list[tuple[Usage, str]]:
        """Return the parts of a charge over a border: late, within, after; not what an earlier statement had."""
        point, medium, unit, plan, rate, tier, kind, method, price, milli, nano, begin_s, end_s, seq = row
        from_s, to_s, prev = self._given["from_s"], self._given["to_s"], self._given["prev"]
        windows = [("within", from_s, to_s), ("after", to_s, FOREVER_S)]
        if prev != NO_STATEMENT and seq > prev:
            windows.insert(0, ("late", 0, from_s))
        parts = []
        for where, low_s, high_s in windows:
            if kind == 1:  # units priced again, at the instant at which the bound was crossed
                inside = low_s < end_s <= high_s
                part, part_nano = (milli, nano) if inside else (0, 0)
            else:
                part = part_milli(milli, begin_s, end_s, low_s, high_s)
                part_nano = part * price
            at_s = max(low_s, begin_s)
            usage = Usage(
                point, medium, unit, plan, at_s, rate, tier, kind, price, part, part if method == 1 else 0, part_nano,
                where == "late",
            )  # fmt: skip
            parts.append((usage, where))
        return parts

    async def _reactive(self, histories: Sequence[History]) -> dict[str, int]:
        """Return point -> reactive energy between the readings at both ends of the period, of one meter."""
        points = [history.point for history in histories]
        from_s, to_s = self._given["from_s"], self._given["to_s"]
        readings: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
        for point, at_s, meter, milli in await self._rows(sql.REACTIVE, points=points, late_s=to_s + REACTIVE_LATE_S):
            readings[point].append((at_s, meter, milli))
        found = {}
        for point, own in readings.items():
            first = next((r for r in own if r[0] - from_s <= REACTIVE_LATE_S), None)
            last = next((r for r in own if r[0] >= to_s), None)
            if first and last and first[1] == last[1] and last[2] >= first[2]:
                found[point] = last[2] - first[2]
        return found

    async def _free_units(self, histories: Sequence[History]) -> dict[str, list[tuple[int, int]]]:
        """Return point -> its first charges (milli, price), as many as its free quantity may cover."""
        found = {}
        for history in histories:
            span = history.last_of(self._account, self._given["from_s"], self._given["to_s"])
            assert span is not None, "histories are those of the account"
            components = [c for version in span.plan.versions for c in version.components]
            free = max((c.milli for c in components if isinstance(c, BaseQuantity)), default=0)
            if free:
                found[history.point] = await self._first_units(history.point, free)
        return found

    async def _first_units(self, point: str, free: int) -> list[tuple[int, int]]:
        runs: list[tuple[int, int]] = []
        taken = skip = 0
        while taken < free:
            rows = await self._rows(sql.FIRST_UNITS, point=point, most=UNITS_AT_ONCE, skip=skip)
            for whole, price, begin_s, end_s in rows:
                milli = part_milli(whole, begin_s, end_s, self._given["from_s"], self._given["to_s"])
                taken += milli
                if runs and runs[-1][1] == price:
                    runs[-1] = (runs[-1][0] + milli, price)
                else:
                    runs.append((milli, price))
                if taken >= free:
                    return runs
            skip += len(rows)
            if len(rows) < UNITS_AT_ONCE:
                return runs
        return runs

    async def _registers(self) -> list[dict[str, Any]]:
        names = ("point", "meter", "unit", "milli_per_count", "raw_from", "from_s", "raw_to", "to_s")
        return [dict(zip(names, row, strict=True)) for row in await self._rows(sql.REGISTERS)]

    async def _behind(self, histories: Sequence[History]) -> list[tuple[Any, ...]]:
        return await self._rows(sql.BEHIND, points=[history.point for history in histories])

"""The settlement clock: the periodic work of the core that is charged besides the unit, driven by plant time.

Each step notes who is supplied under which plan, samples registers for the demand, posts what the local midnights since
the last step charge, in order, and posts new maxima. Plant time may run a day per second, and the core may have been
down for days: midnights are caught up one after the other, each assessment once by its key.
Rule: nothing here computes money; `daily`, `demand_watch` and `assessment` do.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
from loguru import logger

from billing_core import daily, periods, settle_store, settlement
from billing_core.assessment import Assessment, assessed
from billing_core.components import Demand, PowerFactor
from billing_core.demand_watch import DemandWatch, Watched, Window
from billing_core.periods import Month
from billing_core.plan import Plan
from billing_core.posting import Draft
from billing_core.settle_desk import SYSTEM, SettlementDesk, assessments_document
from scada.clock import NS_PER_S, Clock
from scada.database import Cursor
from scada.errors import DatabaseAway, Refused
from scada.image import Columns
from scada.quality import is_good

STEP_S: Final = 0.5  # real seconds between two steps: at speed 60 a step lasts half a minute of the plant
REFUSED_RETRY_S: Final = 30.0  # real seconds; what the books refuse needs a person, not a busy loop
ITEMS_MOST: Final = 500  # assessments in one transfer: a document of about 400 kB
DEMAND_EVERY_S: Final = 900  # plant seconds between two postings of one point's growing maximum


class Supply(NamedTuple):
    """How a supply point is billed now."""

    point: str
    row: int  # in the image
    account: str
    plan: str  # hash of its body
    meter: str
    milli_per_count: int
    modulus_counts: int
    max_milli_per_s: int
    contract_w: int
    capacity_va: int


@dataclass(frozen=True, slots=True)
class Live:
    """What the clock sees of the running core."""

    supplies: Callable[[], Sequence[Supply]]  # of every point, in the order of rows
    plans: Callable[[], dict[str, Plan]]  # by hash
    reactive_milli: Callable[[str], int | None]  # meter -> its reactive register now, kvarh in thousandths
    work: Columns
    ready: Callable[[], bool]  # the books are open


class Charged(NamedTuple):
    """A demand component that is watched."""

    supply: Supply
    component: Demand
    tax_ppm: int
    medium: str


class SettlementClock:
    """One site's periodic work. `run` lives as long as the core."""

    def __init__(self, desk: SettlementDesk, live: Live, clock: Clock) -> None:
        self._desk = desk
        self._live = live
        self._clock = clock
        self._supplies: tuple[Supply, ...] = ()
        self._noted: dict[str, tuple[Any, ...]] | None = None  # point -> the span that the data base knows last
        self._done_s: int | None = None
        self._month: Month | None = None
        self._charged: list[Charged] = []
        self._watch = DemandWatch(())
        self._due: dict[tuple[str, str, str, str], tuple[Window, Charged, Month]] = {}  # newest maximum to post
        self._posted_nano: dict[str, dict[tuple[str, str, str], int]] = {}
        """label of a month -> (point, component, account) -> reserved; no label: the data base has to be asked"""
        self._posted_s: dict[str, int] = {}  # point -> plant time of its last demand posting

    async def run(self) -> None:
        """Step until cancelled, then close the store. A data base that is away delays the work and loses none of it."""
        try:
            while True:  # noqa: ASYNC110 - plant time passes whether anybody tells or not
                await asyncio.sleep(await self._try_step())
        finally:
            await self._desk.store.close()

    async def _try_step(self) -> float:
        """Step when the books are open; return how long to wait, real seconds."""
        if not self._live.ready():
            return STEP_S
        try:
            await self.step(self._clock.utc_ns() // NS_PER_S)
        except DatabaseAway as away:
            logger.debug("settlement waits for the data base: {}", away)
        except Refused as refused:
            logger.error("settlement cannot post, and tries again in {} s: {}", REFUSED_RETRY_S, refused)
            return REFUSED_RETRY_S
        return STEP_S

    async def step(self, now_s: int) -> None:
        """Do everything that is due at a plant time."""
        await self._note_supplies(now_s)
        await self._turn_month(now_s)
        self._sample()
        await self._midnights(now_s)
        await self._post_demands(now_s)

    # ---- who is supplied under which plan

    async def _note_supplies(self, now_s: int) -> None:
        supplies = tuple(self._live.supplies())
        if supplies == self._supplies:
            return
        if self._noted is None:
            histories = await self._desk.store.histories({})
            plans = {plan: name for name, plan in self._live.plans().items()}
            self._noted = {
                h.point: (s.account, plans.get(s.plan, ""), s.contract_w, s.capacity_va)
                for h in histories.values()
                for s in h.spans[-1:]
            }
        spans = {s.point: (s.account, s.plan, s.contract_w, s.capacity_va) for s in supplies}
        changed = [point for point, span in spans.items() if self._noted.get(point) != span]
        names = ("account", "plan", "contract_w", "capacity_va")
        rows = [{"point": p, "since_s": now_s} | dict(zip(names, spans[p], strict=True)) for p in changed]
        await self._desk.store.add_spans(rows)
        self._noted |= spans
        self._follow(supplies, now_s)
        self._supplies = supplies

    def _follow(self, supplies: tuple[Supply, ...], now_s: int) -> None:
        """Watch the points that have a demand charge now; keep the samples of those whose register is the same."""
        plans = self._live.plans()
        charged = [
            Charged(supply, component, version.tax.ppm, plans[supply.plan].medium)
            for supply in supplies
            if (version := plans[supply.plan].version_at(now_s)) is not None
            for component in version.components
            if isinstance(component, Demand)
        ]
        watch = DemandWatch([_watched(c) for c in charged])
        watch.inherit(self._watch, [_same_register(c, self._charged) for c in charged])
        for place, new in enumerate(charged):
            if _same_account(new, self._charged) is None and self._month is not None:
                watch.restart(place, now_s, 0)  # a new tenant's demand begins with its own windows
        self._watch, self._charged = watch, charged

    # ---- demand

    async def _turn_month(self, now_s: int) -> None:
        """Begin a settlement month: maxima begin again with what the data base knows of it."""
        month = periods.month_at(self._desk.site.zone, now_s, self._desk.site.settlement_day)
        if month == self._month:
            return
        highest = await self._desk.store.demands(month.label)
        self._month = month
        self._follow(self._supplies, now_s)
        for place, charged in enumerate(self._charged):
            key = (charged.supply.point, charged.component.id, charged.supply.account)
            self._watch.restart(place, month.from_s, highest.get(key, 0))

    def _sample(self) -> None:
        assert self._month is not None, "a month has begun"
        points, rows = self._live.work.points, self._watch.rows
        if not len(rows):
            return
        qualities = points.quality[rows]
        good = np.fromiter((is_good(int(q)) for q in qualities), dtype=np.bool_, count=len(rows))
        self._watch.observe(points.raw[rows], points.source_time[rows] // NS_PER_S, good & (points.held[rows] == 0))
        for window in self._watch.take():
            charged = self._charged[window.watched]
            if self._month.from_s <= window.from_s and window.to_s <= self._month.to_s:
                key = (charged.supply.point, charged.component.id, charged.supply.account, self._month.label)
                self._due[key] = (window, charged, self._month)

    async def _post_demands(self, now_s: int) -> None:
        for key, (window, charged, month) in list(self._due.items()):
            last_s = self._posted_s.get(charged.supply.point, 0)
            if month == self._month and 0 <= now_s - last_s < DEMAND_EVERY_S:
                continue
            await self._post_demand(window, charged, month)
            self._posted_s[charged.supply.point] = now_s
            if self._due[key][0] is window:  # a higher one may have come while this one was posted
                del self._due[key]

    async def _post_demand(self, window: Window, charged: Charged, month: Month) -> None:
        """Post the increase of a month's maximum, with the two readings that prove it."""
        supply, component = charged.supply, charged.component
        key = (supply.point, component.id, supply.account)
        reserved = await self._reserved(month)
        inputs = {
            "price_nano_per_kw": component.price_nano_per_kw,
            "watt": window.watt,
            "month": month.label,
            "raw_from": window.raw_from,
            "raw_to": window.raw_to,
            "milli_per_count": supply.milli_per_count,
            "posted_nano": reserved.get(key, 0),
        }
        item = assessed(
            f"demand:{supply.point}:{component.id}:{window.to_s}", "demand-reserve", supply.account, supply.point,
            charged.medium, component, window.from_s, window.to_s, charged.tax_ppm, inputs,
        )  # fmt: skip

        async def also(cursor: Cursor, seq: int) -> None:
            await settle_store.write_assessments(cursor, seq, [item])
            await settle_store.write_demand(cursor, seq, item, month.label, window, supply.milli_per_count)

        document = assessments_document([item], "new maximum demand")
        draft = Draft(settlement.recompute(document), f"demand {supply.point}", document, also=also)
        del self._posted_nano[month.label]  # until the answer is here, only the data base knows
        await self._desk.post(item.key, "demand", SYSTEM, draft)
        self._posted_nano[month.label] = reserved | {key: reserved.get(key, 0) + item.nano}

    async def _reserved(self, month: Month) -> dict[tuple[str, str, str], int]:
        """Return (point, component, account) -> nano that was posted for a month so far."""
        if month.label not in self._posted_nano:
            posted = await self._desk.store.posted_in(month)
            found = {(p, c, a): nano for (p, a), own in posted.items() for c, nano in own.items()}
            self._posted_nano = {month.label: found}  # of one month at a time: another one is read again
        return self._posted_nano[month.label]

    # ---- midnights

    async def _midnights(self, now_s: int) -> None:
        """Post what every local midnight since the last one charges, in order."""
        if self._done_s is None:
            self._done_s = await self._desk.store.clock_s()
        if self._done_s is None:  # a new site: what lies before its first step is nobody's
            await self._desk.store.set_clock(now_s)
            self._done_s = now_s
        zone, last_s = self._desk.site.zone, 0
        for day in periods.days_begun(zone, self._done_s, now_s):
            last_s = periods.midnight_s(zone, day)
            await self._midnight(day)
            await self._desk.store.set_clock(last_s)
            self._done_s = last_s
        if last_s:
            self._follow(self._supplies, now_s)  # a version with another demand charge may have begun
            await self._read_reactive(last_s, now_s)

    async def _midnight(self, day: int) -> None:
        site, store = self._desk.site, self._desk.store
        month = periods.month_of_day(site.zone, day, site.settlement_day)
        posted, stops = await store.posted_in(month), await store.stops(month.from_s, month.to_s)
        at_s = periods.midnight_s(site.zone, day)
        items: list[Assessment] = []
        for point, history in sorted((await store.histories({})).items()):
            span = history.at(at_s)
            if span is not None:
                already = posted.get((point, span.account), {})
                items += daily.day_items(history, day, month, site.zone, _stopped(stops.get(span.account, ())), already)
        known = await store.known_assessments([item.key for item in items])
        await self._post_day(day, [item for item in items if item.key not in known])

    async def _post_day(self, day: int, items: Sequence[Assessment]) -> None:
        name = date.fromordinal(day).isoformat()
        for first in range(0, len(items), ITEMS_MOST):
            chunk = items[first : first + ITEMS_MOST]
            digest = hashlib.sha256("\n".join(item.key for item in chunk).encode()).hexdigest()[:16]

            async def also(cursor: Cursor, seq: int, chunk: Sequence[Assessment] = chunk) -> None:
                await settle_store.write_assessments(cursor, seq, chunk)

            document = assessments_document(chunk, f"day {name}")
            draft = Draft(settlement.recompute(document), f"day {name}", document, also=also)
            await self._desk.post(f"fixed:{name}:{digest}", "fixed", SYSTEM, draft)

    async def _read_reactive(self, at_s: int, now_s: int) -> None:
        """Note the reactive registers at a midnight, of points with a power-factor adjustment."""
        plans, rows = self._live.plans(), []
        for supply in self._supplies:
            version = plans[supply.plan].version_at(now_s)
            if version is None or not any(isinstance(c, PowerFactor) for c in version.components):
                continue
            milli = self._live.reactive_milli(supply.meter)
            if milli is not None:
                rows.append(
                    {"point": supply.point, "at_s": at_s, "meter": supply.meter, "milli": milli, "read_s": now_s}
                )
        await self._desk.store.add_reactive(rows)


def _watched(charged: Charged) -> Watched:
    supply, component = charged.supply, charged.component
    return Watched(
        supply.row, supply.milli_per_count, supply.modulus_counts, supply.max_milli_per_s, component.window_s,
        component.slide_s,
    )  # fmt: skip


def _same_register(new: Charged, old: Sequence[Charged]) -> int | None:
    """Return the place in the old watch whose samples are of the same register and window, None when there is none."""
    for place, other in enumerate(old):
        same_register = (new.supply.meter, _watched(new)) == (other.supply.meter, _watched(other))
        if same_register and new.component.id == other.component.id:
            return place
    return None


def _same_account(new: Charged, old: Sequence[Charged]) -> int | None:
    for place, other in enumerate(old):
        if (new.supply.point, new.supply.account, new.component.id) == (
            other.supply.point, other.supply.account, other.component.id,
        ):  # fmt: skip
            return place
    return None


def _stopped(times: Sequence[tuple[int, int]]) -> Callable[[int], bool]:
    return lambda at_s: any(begin_s <= at_s < end_s for begin_s, end_s in times)

"""The health of the field in figures: what was asked, answered, missed and refused, by device and by gateway, as tags.

    poller --note(device, outcome)--> columns --look, every few seconds--> stage
    engine tables (good answers of Modbus TCP) ------^

One row a device, one column a counter; nothing here is an object per device. Counters grow from the start of the core;
response times speak of the last quarter to half an hour. docs/field-health.md says how they are read.
Rule: these are facts about the line, known whatever the line does, so they are always good.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from drivers.counters import (
    BROKEN,
    COUNTS,
    DEVICE_COUNTERS,
    EXCEPTIONS,
    GATEWAY_COUNTERS,
    KINDS,
    REPLIES,
    REQUESTS,
    TIMEOUTS,
    kind_of,
)
from drivers.device import NO_ROW, Device, Gateway
from drivers.health_kernel import gather
from drivers.lines import Line
from drivers.outcome import ExceptionReply, Outcome, Reply, Silence, Violation
from drivers.replies import ReplyStore
from drivers.response_times import BUCKETS, Figures, Floats, Histogram, Ints, Sums, Window, bucket_of
from scada.clock import NS_PER_S, Clock
from scada.quality import GOOD
from scada.stage import Stage

if TYPE_CHECKING:
    from drivers.engine import Engine

LOOK_S: Final = 5.0  # people look at counters, not control loops
PERCENT: Final = 100.0

COLUMN_OF: Final[Mapping[type, int]] = {Reply: REPLIES, ExceptionReply: EXCEPTIONS, Violation: BROKEN}


class Watched(NamedTuple):
    """One gateway as it is counted."""

    gateway: Gateway
    lines: tuple[Line, ...]


class FieldHealth:
    """The counters of a site. One thread: the stage's."""

    def __init__(self, clock: Clock, gateways: Sequence[Gateway], devices: Sequence[Device], store: ReplyStore) -> None:
        self._clock = clock
        self._store = store
        number = {gateway.id: g for g, gateway in enumerate(gateways)}
        self._gateway_of: Ints = np.array([number[device.gateway] for device in devices], dtype=np.int64)
        self._number = {device.id: n for n, device in enumerate(devices)}
        n, g = len(devices), len(gateways)
        self._counts: Ints = np.zeros((n, COUNTS), dtype=np.int64)
        self._spent_ns: Ints = np.zeros(n, dtype=np.int64)
        self._max_ns: Ints = np.zeros(n, dtype=np.int64)
        self._buckets: Histogram = np.zeros((n, BUCKETS), dtype=np.uint32)
        self._slots = _Slots(store, devices)
        self._rows: Ints = _rows([d.counters_row for d in devices], len(DEVICE_COUNTERS))
        self._gateway_rows: Ints = np.array(
            [[gateway.rows.get(name, NO_ROW) for name in GATEWAY_COUNTERS] for gateway in gateways], dtype=np.int64
        ).reshape(g, len(GATEWAY_COUNTERS))
        self._window = Window(n, clock.mono_ns())
        self._gateway_window = Window(g, clock.mono_ns())
        self._watched: list[Watched] = []
        self._engine: Engine | None = None
        self._busy_before: Ints = np.zeros(g, dtype=np.int64)
        self._looked_ns = clock.mono_ns()
        self._due_ns = 0

    def watch(self, watched: Sequence[Watched], engine: "Engine | None") -> None:
        """Count these gateways, in the order in which they were named; engine: who counts good answers itself."""
        self._watched = list(watched)
        self._engine = engine

    def numbers(self, devices: Sequence[Device]) -> list[int]:
        """Return the rows of devices, for `note`."""
        return [self._number[device.id] for device in devices]

    def note(self, number: int, outcome: Outcome, elapsed_ns: int) -> None:
        """Count one finished poll that the engine has not counted; a line that is down is nobody's poll."""
        if isinstance(outcome, Silence):
            if outcome.sent:
                self._counts[number, REQUESTS] += 1
                self._counts[number, TIMEOUTS] += 1
            return
        self._counts[number, REQUESTS] += 1
        self._counts[number, COLUMN_OF[type(outcome)]] += 1
        if isinstance(outcome, Reply):
            self._spent_ns[number] += elapsed_ns
            self._max_ns[number] = max(int(self._max_ns[number]), elapsed_ns)
            self._buckets[number, bucket_of(elapsed_ns)] += 1

    def look(self, stage: Stage, utc_ns: int) -> None:
        """Stage all counters, every LOOK_S; a stage calls this before each scan."""
        now_ns = self._clock.mono_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + int(LOOK_S * NS_PER_S)
        counts, sums, max_ns, good_ns = self._now()
        figures = self._window.figures(sums, max_ns)
        shown = self._rows[:, 0] != NO_ROW
        _stage(stage, self._rows[shown], _table(counts, figures, good_ns)[shown], utc_ns)
        self._look_at_gateways(stage, counts, sums, max_ns, good_ns, now_ns, utc_ns)
        if self._window.turned(sums, max_ns, now_ns):
            self._max_ns[:] = 0
            if self._engine is not None:
                self._slots.forget_longest(self._engine)

    def _now(self) -> tuple[Ints, Sums, Ints, Ints]:
        """Return (counts, sums, longest times, last good UTC) of every device: own figures and the engine's."""
        counts, sums = self._counts, Sums(self._counts[:, REPLIES], self._spent_ns, self._buckets)
        max_ns, good_ns = self._max_ns, self._slots.greatest(self._store.received_ns)
        if self._engine is not None:
            good, spent_ns, longest_ns, buckets = self._slots.of_engine(self._engine, self._buckets)
            counts = counts.copy()
            counts[:, REQUESTS] += good
            counts[:, REPLIES] += good
            sums = Sums(counts[:, REPLIES], sums.spent_ns + spent_ns, buckets)
            max_ns = np.maximum(max_ns, longest_ns)
        return counts, sums, max_ns, good_ns

    def _look_at_gateways(
        self, stage: Stage, counts: Ints, sums: Sums, max_ns: Ints, good_ns: Ints, now_ns: int, utc_ns: int
    ) -> None:
        if not self._watched:
            return
        g, of = len(self._watched), self._gateway_of
        total = np.zeros((g, COUNTS), dtype=np.int64)
        np.add.at(total, of, counts)
        spent_ns, longest_ns, last_ns = (np.zeros(g, dtype=np.int64) for _ in range(3))
        buckets: Histogram = np.zeros((g, BUCKETS), dtype=np.uint32)
        np.add.at(spent_ns, of, sums.spent_ns)
        gather(of, sums.buckets, buckets)
        np.maximum.at(longest_ns, of, max_ns)
        np.maximum.at(last_ns, of, good_ns)
        kinds = np.array([_kinds(watched.lines) for watched in self._watched], dtype=np.int64)
        total[:, BROKEN] = kinds.sum(axis=1)
        of_gateways = Sums(total[:, REPLIES].copy(), spent_ns, buckets)
        figures = self._gateway_window.figures(of_gateways, longest_ns)
        self._gateway_window.turned(of_gateways, longest_ns, now_ns)
        late = [sum(line.figures.unsolicited for line in watched.lines) for watched in self._watched]
        load = self._load(spent_ns, now_ns)
        shown = np.column_stack((_table(total, figures, last_ns), load, kinds, late))
        known = self._gateway_rows[:, 0] != NO_ROW
        _stage(stage, self._gateway_rows[known], shown[known], utc_ns)

    def _load(self, spent_ns: Ints, now_ns: int) -> Floats:
        """Return the share of time in which each line was taken since the last look, percent.

        A line that takes several transactions at once is full when all its places are.
        """
        busy = [_busy_ns(watched, int(spent)) for watched, spent in zip(self._watched, spent_ns, strict=True)]
        places = [watched.gateway.in_flight if framed(watched.gateway) else 1 for watched in self._watched]
        busy_ns = np.array(busy, dtype=np.int64)
        passed_ns = max(now_ns - self._looked_ns, 1)
        load: Floats = PERCENT * (busy_ns - self._busy_before) / (passed_ns * np.maximum(places, 1))
        self._busy_before, self._looked_ns = busy_ns, now_ns
        return np.minimum(load, PERCENT)


class _Slots:
    """Which slots of the store are whose; sums over the slots of a device."""

    def __init__(self, store: ReplyStore, devices: Sequence[Device]) -> None:
        self._devices = len(devices)
        number = {device.id: n for n, device in enumerate(devices)}
        self._of: Ints = np.zeros(len(store.fresh), dtype=np.int64)
        for table in store.tables:
            mine = slice(table.first_slot, table.first_slot + len(table.devices))
            self._of[mine] = [number[device.id] for device in table.devices]

    def greatest(self, column: Ints) -> Ints:
        """Return the greatest number of each device."""
        found: Ints = np.zeros(self._devices, dtype=np.int64)
        np.maximum.at(found, self._of, column)
        return found

    def of_engine(self, engine: "Engine", own: Histogram) -> tuple[Ints, Ints, Ints, Histogram]:
        """Return (answers, their time, the longest) of what the engine counted, and its histogram with ours."""
        from drivers import engine_tables as col

        polls = engine.tables.polls
        good, spent_ns = np.zeros(self._devices, dtype=np.int64), np.zeros(self._devices, dtype=np.int64)
        np.add.at(good, self._of, polls[:, col.P_GOOD])
        np.add.at(spent_ns, self._of, polls[:, col.P_SUM_NS])
        buckets = own.copy()
        gather(self._of, engine.tables.buckets, buckets)
        return good, spent_ns, self.greatest(polls[:, col.P_MAX_NS]), buckets

    def forget_longest(self, engine: "Engine") -> None:
        from drivers import engine_tables as col

        engine.tables.polls[:, col.P_MAX_NS] = 0


def framed(gateway: Gateway) -> bool:
    """Tell whether a gateway takes several transactions at once."""
    return gateway.transport == "modbus-tcp"


def _kinds(lines: Sequence[Line]) -> list[int]:
    found = dict.fromkeys(KINDS, 0)
    for line in lines:
        for wrong, count in line.figures.violations.items():
            found[kind_of(wrong)] += count
    return list(found.values())


def _busy_ns(watched: Watched, spent_ns: int) -> int:
    if framed(watched.gateway):
        return spent_ns
    return sum(line.figures.busy_ns for line in watched.lines)


def _table(counts: Ints, figures: Figures, good_ns: Ints) -> Floats:
    """Return (n, len(DEVICE_COUNTERS)) as the tags show them."""
    return np.column_stack((counts, *figures, good_ns // NS_PER_S))


def _rows(first: Sequence[int], width: int) -> Ints:
    """Return (n, width) rows that stand together from `first` on; NO_ROW for a thing without them."""
    begin: Ints = np.array(first, dtype=np.int64).reshape(-1, 1)
    found: Ints = np.where(begin == NO_ROW, NO_ROW, begin + np.arange(width))
    return found


def _stage(stage: Stage, rows: Ints, values: Floats, utc_ns: int) -> None:
    stage.put(rows.ravel(), values.ravel(), GOOD, utc_ns)


Note = Callable[[int, Outcome, int], None]  # device number behind its gateway, outcome, elapsed ns

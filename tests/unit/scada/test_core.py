"""The core over ports of a test: what waits for the data base is repeated as it was; no scan waits for it."""

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from twisted.internet.task import Clock as TwistedClock

from scada import core as core_module
from scada.core import ALARM_PATIENCE_S, Core, Ports
from scada.derived import SYSTEM_MEASURES, DerivedRows, DerivedTags
from scada.errors import DatabaseAway, Refused
from scada.image import Columns, ImageWriter, Layout
from scada.scan import Instant
from scada.stage import Stage

SYSTEM = len(SYSTEM_MEASURES)
LAYOUT = Layout({"tags": SYSTEM + 9, "points": 1, "accounts": 1, "alarms": 0}, bytes(32))
ROWS = DerivedRows(np.arange(SYSTEM), *(np.array([SYSTEM + at]) for at in range(9)), minor_nano=10_000_000)


class StandingClock:
    speed = 1

    def __init__(self) -> None:
        self.now_ns = 0

    def utc_ns(self) -> int:
        return self.now_ns

    def mono_ns(self) -> int:
        return self.now_ns


@dataclass
class Trades:
    """Every port at once; `away` makes the data base refuse."""

    away: bool = False
    said: list[str] = field(default_factory=list)
    cuts: list[object] = field(default_factory=list)
    kept: list[object] = field(default_factory=list)
    pending: object | None = None
    credited: list[tuple[int, int]] = field(default_factory=list)
    late: tuple[tuple[str, int], ...] = ()
    held: bool = False
    held_count: int = 0
    stops_held: int = 0
    outlook: Any = None
    queue_rows: int = 0
    lost_rows: int = 0
    wishes: tuple[Any, ...] = ()

    def bill(self, instant: Instant, work: Columns) -> None:
        self.said.append("bill")

    def evaluate(self, instant: Instant, work: Columns) -> None:
        self.said.append("alarm")

    def decide(self, instant: Instant, work: Columns) -> tuple[Any, ...]:
        self.said.append("decide")
        return self.wishes

    def charged(self, checkpoint: Any) -> None:
        self.said.append("charged")

    def refused(self, wish: Any, code: str, instant: Instant) -> None:
        self.said.append(f"refused {code}")

    def sent(self, wish: Any, command: str, instant: Instant) -> None:
        self.said.append(f"sent {command}")

    def automatic(self, breaker: str, target: int, origin: str, reason: str) -> str:
        if breaker == "stale":
            raise Refused("interlock.stale", "too old")
        return f"command-{breaker}"

    def step(self, instant: Instant) -> None:
        self.said.append("act")

    def record(self, instant: Instant, work: Columns) -> None:
        self.said.append("record")

    def cut(self) -> object | None:
        if self.pending is None:
            self.pending = object()
        return self.pending

    def applied(self, checkpoint: object) -> None:
        assert checkpoint is self.pending
        self.pending = None

    def credit(self, row: int, nano: int) -> None:
        self.credited.append((row, nano))

    async def commit(self, checkpoint: object) -> Any:
        self.cuts.append(checkpoint)
        if self.away:
            raise DatabaseAway("gone")
        self.kept.append(checkpoint)
        return SimpleNamespace(late_credits=self.late, quarantined=())

    async def nothing(self) -> None:
        """Open the books, keep stops, drain: nothing to do here."""


@pytest.fixture
def make(tmp_path: Path) -> Any:
    writers = []

    def core_of(trades: Trades) -> tuple[Core, StandingClock]:
        clock = StandingClock()
        work = Columns.private(LAYOUT)
        writers.append(ImageWriter(tmp_path / "image", LAYOUT))
        stage = Stage(LAYOUT, np.zeros(LAYOUT.counts["tags"], dtype=np.bool_), 1.0, 1)
        derived = DerivedTags(work, ROWS, [], {}, {})
        one: Any = trades
        ports = Ports(one, one, one, one, one, one, one, None, one.nothing, one.nothing, one.nothing)
        room: Any = SimpleNamespace(clock=clock, reactor=TwistedClock())
        return Core(room, ports, work, stage, derived, writers[0], ["t-1"], 1.0, 10.0), clock

    yield core_of
    for writer in writers:
        writer.close()


def scan(core: Core, clock: StandingClock, number: int) -> None:
    core.scan.once(Instant(number, clock.now_ns, clock.now_ns))


def test_a_new_core_waits_for_the_alarms_it_had_but_not_for_ever(make: Callable[..., Any]) -> None:
    trades = Trades()
    core, clock = make(trades)
    scan(core, clock, 1)
    assert trades.said == ["act", "record"]  # neither money nor alarms before the books are read
    clock.now_ns = int(ALARM_PATIENCE_S * 1e9)
    scan(core, clock, 2)
    assert trades.said[2:] == ["alarm", "act", "record"]
    core.books_open = True
    scan(core, clock, 3)
    assert trades.said[5:] == ["bill", "alarm", "decide", "act", "record"]


def test_what_an_interlock_refuses_goes_back_to_credit_control_by_its_code(make: Callable[..., Any]) -> None:
    wishes = tuple(SimpleNamespace(breaker=breaker, target=1, reason="credit.exhausted") for breaker in ("stale", "q1"))
    trades = Trades(wishes=wishes)
    core, clock = make(trades)
    core.books_open = True
    scan(core, clock, 1)
    assert "refused interlock.stale" in trades.said
    assert "sent command-q1" in trades.said


def test_the_same_cut_is_repeated_until_the_data_base_has_it(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scada.core.RETRY_S", 0.01)
    trades = Trades(late=(("t-1", 7),))
    core, clock = make(trades)

    async def outage() -> None:
        clock.now_ns = 5_000_000_000
        original = trades.commit

        async def commit(checkpoint: object) -> Any:
            trades.away = len(trades.cuts) < 3
            clock.now_ns += 4_000_000_000
            return await original(checkpoint)

        core.ports.books.commit = commit
        await core._commit()

    asyncio.run(outage())
    assert len(trades.cuts) == 4
    assert len(set(map(id, trades.cuts))) == 1
    assert trades.pending is None
    assert trades.credited == [(0, 7)]
    assert core._behind_s() == pytest.approx(16.0)  # as old as the cut, not as young as its commit


def test_a_top_up_before_the_books_are_open_is_refused_and_nothing_is_taken(make: Callable[..., Any]) -> None:
    trades = Trades()
    core, _ = make(trades)
    with pytest.raises(DatabaseAway, match="nothing was taken"):
        asyncio.run(core.top_up("t-1", 100, "cash", "k", "li", "desk"))
    with pytest.raises(Refused, match=r"account\.unknown"):
        asyncio.run(core.top_up("t-9", 100, "cash", "k", "li", "desk"))
    assert trades.credited == []


def test_a_disk_that_fails_stops_neither_core_nor_later_records(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_module, "FLUSH_S", 0.0)
    monkeypatch.setattr(core_module, "RETRY_S", 0.0)

    class Failing(Trades):
        async def flush(self, database: Any) -> None:
            self.said.append("flush")
            if len(self.said) < 3:
                raise OSError(errno.EIO, "Input/output error")
            flushed.set()

    flushed = asyncio.Event()
    core, _ = make(Failing())

    async def keep() -> None:
        tasks = [asyncio.create_task(core._keep_records()), asyncio.create_task(flushed.wait())]
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert done == {tasks[1]}, "the task goes on until the disk takes records again"

    asyncio.run(keep())


def test_billing_whose_charges_the_books_refuse_begins_again_from_the_books(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data base goes away in between: the books are still opened before anything else is cut."""
    monkeypatch.setattr("scada.core.RETRY_S", 0.01)
    trades = Trades()
    core, _ = make(trades)
    opened: list[bool] = []

    async def open_books() -> None:
        opened.append(len(opened) > 0)
        if len(opened) == 1:
            raise DatabaseAway("gone")
        trades.pending = None

    async def commit(checkpoint: object) -> Any:
        trades.cuts.append(checkpoint)
        return SimpleNamespace(late_credits=(), quarantined=("p1",) if len(trades.cuts) == 1 else ())

    trades.commit = commit  # type: ignore[method-assign]
    core.ports = replace(core.ports, open_books=open_books)
    asyncio.run(core._commit())
    assert opened == [False, True]
    assert len(set(map(id, trades.cuts))) == 2
    assert trades.said == ["charged"]


@pytest.mark.parametrize("request_", ["change", "quietly"])
def test_what_an_earlier_request_left_behind_is_not_all_that_was_charged(
    make: Callable[..., Any], request_: str
) -> None:
    """Away, a request leaves its cut behind; the next one must have what was charged since in the books, too."""
    trades = Trades(away=True)
    core, _ = make(trades)
    core.books_open = True
    seen: list[int] = []

    async def ask() -> None:
        async def work() -> None:
            seen.append(len(trades.kept))

        with pytest.raises(DatabaseAway):
            await core.quietly(work)
        trades.away = False
        await (core.quietly(work) if request_ == "quietly" else core.change(lambda: seen.append(len(trades.kept))))

    asyncio.run(ask())
    assert seen == [2]

"""The desk: who may do what when, what the journal gets, and that nothing goes out without it."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scada import control
from scada.clock import NS_PER_S
from scada.command import ACTIVE, STATES, TRANSITIONS, Actor, Command
from scada.control import Breaker, ControlDesk
from scada.discrepancy import DiscrepancyWatch
from scada.errors import Refused
from scada.image import Columns, Layout
from scada.journal import JournalStopped
from scada.position import CLOSED, INTERMEDIATE, OPEN
from scada.quality import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_NO_COMMUNICATION, UNCERTAIN_SUBNORMAL
from scada.readback import JUDGEMENTS, Sample, find
from scada.scan import Instant

COUNT = 3
LAYOUT = Layout({"tags": 5 * COUNT, "points": 0, "accounts": 0, "alarms": 0}, bytes(32))
LI = ("li", "operator", "desk-1")
WANG = ("wang", "operator", "desk-2")


def breaker(place: int, **changes: Any) -> Breaker:
    rows = range(5 * place, 5 * place + 5)
    fields = {"kind": "breaker", "medium": "electricity", "verify_s": 4.0, "protected": False, "remote_close": True}
    names = ("position_row", "current_row", "online_row", "command_row", "discrepancy_row")
    return Breaker(
        id=f"b{place}", name_zh="断路器", name_en="Breaker", **dict(zip(names, rows, strict=True)), **(fields | changes)
    )


class Desk:
    """A desk with three closed breakers, read this instant, whose field accepts everything at once."""

    def __init__(self) -> None:
        self.clock = SimpleNamespace(speed=1, ns=1_800_000_000 * NS_PER_S)
        self.clock.utc_ns = self.clock.mono_ns = lambda: self.clock.ns
        self.records: list[Mapping[str, Any]] = []
        self.journal_error: JournalStopped | None = None
        self.sent: list[tuple[str, int]] = []
        self.work = Columns.private(LAYOUT)
        breakers = [breaker(0), breaker(1, protected=True), breaker(2, medium="gas", kind="valve", remote_close=False)]
        self.staged: dict[int, tuple[float, int, int]] = {}  # what was read since the last scan
        self.desk = ControlDesk(breakers, self.work, self.clock, self, self.actuate, newest=self.newest)
        self.read(CLOSED)

    def newest(self, row: int) -> tuple[float, int, int]:
        tags = self.work.tags
        return self.staged.get(row) or (float(tags.value[row]), int(tags.quality[row]), int(tags.source_time[row]))

    def write(self, stream: str, record: Mapping[str, Any]) -> str:
        raise AssertionError("the desk writes all records of a step in one call")

    def write_many(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
        if self.journal_error:
            raise self.journal_error
        self.records += records

    async def actuate(self, breaker_id: str, target: int) -> None:
        self.sent.append((breaker_id, target))

    def read(self, position: int) -> None:
        tags = self.work.tags
        for place in range(COUNT):
            tags.value[5 * place : 5 * place + 3] = (position, 0, 1)
            tags.quality[5 * place : 5 * place + 3] = GOOD
            tags.source_time[5 * place : 5 * place + 3] = self.clock.ns

    def wait(self, seconds: float) -> None:
        self.clock.ns += int(seconds * NS_PER_S)

    def step(self) -> None:
        self.desk.step(Instant(1, self.clock.ns, self.clock.ns))


def on_desk(test: Callable[[Desk], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run an async test on a fresh desk, and see that it leaves no task behind."""

    async def run() -> None:
        rig = Desk()
        await test(rig)
        await rig.desk.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def wrapped() -> None:
        asyncio.run(run())

    wrapped.__name__ = test.__name__
    wrapped.__doc__ = test.__doc__
    return wrapped


def code_of(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(Refused) as refused:
        call(*arguments)
    return refused.value.code


@on_desk
async def test_a_read_back_counts_before_the_scan_that_publishes_it(rig: Desk) -> None:
    command = rig.desk.operate(rig.desk.select("b0", OPEN, *LI).id, "test", *LI)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rig.desk.state(command.id).state == "accepted"
    rig.desk.look()
    assert rig.desk.state(command.id).state == "accepted"  # the position was read before the command
    rig.wait(0.5)
    rig.staged = {0: (OPEN, BAD_NO_COMMUNICATION, rig.clock.ns), 1: (0.0, GOOD, rig.clock.ns)}
    rig.desk.look()
    assert rig.desk.state(command.id).state == "accepted"  # a bad position proves nothing
    rig.staged = {0: (OPEN, GOOD, rig.clock.ns), 1: (3.0, GOOD, rig.clock.ns)}
    rig.desk.look()
    assert rig.desk.state(command.id).state == "accepted"  # current still flows
    rig.staged = {0: (OPEN, GOOD, rig.clock.ns), 1: (0.0, GOOD, rig.clock.ns)}
    rig.desk.look()
    assert rig.desk.state(command.id).state == "verified"
    assert rig.records[-1]["state"] == "verified"
    assert rig.work.tags.value[0] == CLOSED  # the columns wait for their scan


@on_desk
async def test_a_second_select_is_refused_whoever_asks(rig: Desk) -> None:
    rig.desk.select("b0", OPEN, *LI)
    assert code_of(rig.desk.select, "b0", OPEN, *WANG) == "interlock.busy"
    assert code_of(rig.desk.select, "b0", OPEN, *LI) == "interlock.busy"


@on_desk
async def test_another_person_or_place_can_neither_operate_nor_cancel(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    assert code_of(rig.desk.operate, command.id, "why", *WANG) == "command.owner"
    assert code_of(rig.desk.operate, command.id, "why", "li", "operator", "desk-2") == "command.owner"
    assert code_of(rig.desk.cancel, command.id, "wang", "desk-2") == "command.owner"
    assert rig.sent == []
    assert rig.desk.state(command.id).state == "selected"


@on_desk
async def test_roles_without_the_permission_are_refused(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    for role in ("viewer", "finance", "engineer", ""):
        assert code_of(rig.desk.select, "b1", OPEN, "li", role, "desk-1") == "role"
        assert code_of(rig.desk.operate, command.id, "why", "li", role, "desk-1") == "role"


@on_desk
async def test_a_command_is_operated_once(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    rig.desk.operate(command.id, "why", *LI)
    assert code_of(rig.desk.operate, command.id, "why", *LI) == "command.state"
    assert code_of(rig.desk.cancel, command.id, "li", "desk-1") == "command.state"
    await asyncio.sleep(0)
    assert rig.sent == [("b0", OPEN)]


@on_desk
async def test_a_late_operate_is_refused_before_any_scan_noticed(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    rig.wait(control.SELECT_S)
    rig.read(CLOSED)
    assert code_of(rig.desk.operate, command.id, "why", *LI) == "command.expired"


@on_desk
async def test_a_position_on_a_slow_line_is_fresh_for_as_long_as_its_line_needs(rig: Desk) -> None:
    slow = breaker(0, fresh_s=20.0)
    desk = ControlDesk([slow], rig.work, rig.clock, rig, rig.actuate, newest=rig.newest)
    rig.wait(19)
    assert all(condition.ok for condition in desk.interlocks("b0", OPEN))
    rig.wait(2)
    assert [each.code for each in desk.interlocks("b0", OPEN) if not each.ok] == ["interlock.stale"]


@on_desk
async def test_interlocks_are_judged_again_at_operate(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    rig.wait(control.FRESH_S + 1)
    assert code_of(rig.desk.operate, command.id, "why", *LI) == "interlock.stale"
    rig.read(OPEN)
    assert code_of(rig.desk.operate, command.id, "why", *LI) == "interlock.already"
    rig.work.tags.quality[0] = UNCERTAIN_NO_COMMUNICATION
    assert code_of(rig.desk.operate, command.id, "why", *LI) == "interlock.quality"
    assert rig.sent == []


@on_desk
async def test_unknown_things_are_refused(rig: Desk) -> None:
    assert code_of(rig.desk.select, "b9", OPEN, *LI) == "breaker.unknown"
    assert code_of(rig.desk.interlocks, "b9", OPEN) == "breaker.unknown"
    assert code_of(rig.desk.select, "b0", INTERMEDIATE, *LI) == "command.target"
    assert code_of(rig.desk.operate, "none", "why", *LI) == "command.unknown"
    assert code_of(rig.desk.state, "none") == "command.unknown"


@on_desk
async def test_protected_supplies_stay_and_gas_is_not_opened(rig: Desk) -> None:
    assert code_of(rig.desk.select, "b1", OPEN, *LI) == "interlock.protected"
    assert code_of(rig.desk.automatic, "b1", OPEN, "credit", "used up") == "interlock.protected"
    rig.read(OPEN)
    assert code_of(rig.desk.select, "b2", CLOSED, *LI) == "interlock.gas"
    assert code_of(rig.desk.automatic, "b2", CLOSED, "credit", "paid") == "interlock.gas"


@on_desk
async def test_without_a_journal_nothing_is_sent(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    rig.journal_error = JournalStopped("No space left on device")
    assert code_of(rig.desk.operate, command.id, "why", *LI) == "command.journal"
    await asyncio.sleep(0)
    assert rig.sent == []
    assert rig.desk.state(command.id).state == "selected"
    rig.journal_error = None
    assert rig.desk.operate(command.id, "why", *LI).state == "sent"  # it may be tried again


@on_desk
async def test_an_acceptance_that_cannot_be_noted_ends_in_reading_back(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    rig.desk.operate(command.id, "why", *LI)
    rig.journal_error = JournalStopped("No space left on device")
    await asyncio.sleep(0)
    rig.wait(control.ANSWER_S)
    rig.read(OPEN)
    rig.step()  # the scan goes on
    assert rig.desk.state(command.id).state == "sent"
    rig.journal_error = None
    rig.step()
    rig.step()
    assert rig.desk.state(command.id).state == "verified"
    assert [record["state"] for record in rig.records] == ["selected", "sent", "undetermined", "verified"]


@on_desk
async def test_the_journal_tells_the_whole_life(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    rig.wait(2)
    rig.desk.operate(command.id, "maintenance", *LI)
    await asyncio.sleep(0)
    rig.wait(1)
    rig.read(OPEN)
    rig.step()
    assert [record["state"] for record in rig.records] == ["selected", "sent", "accepted", "verified"]
    assert [record["elapsed_ns"] // NS_PER_S for record in rig.records] == [0, 2, 2, 3]
    assert [len(record["conditions"]) > 0 for record in rig.records] == [True, True, False, False]
    sent = rig.records[1]
    assert (sent["user"], sent["role"], sent["station"], sent["origin"]) == (*LI, "operator")
    assert (sent["breaker"], sent["target"], sent["reason"]) == ("b0", "open", "maintenance")
    assert {key: value for key, value in sent["conditions"][2].items() if key != "detail"} == {
        "code": "interlock.stale",
        "ok": True,
        "blocks": True,
    }


@on_desk
async def test_finished_commands_are_forgotten_in_the_end(rig: Desk) -> None:
    first = rig.desk.select("b0", OPEN, *LI)
    rig.desk.cancel(first.id, "li", "desk-1")
    for _ in range(control.FINISHED_KEPT - 1):
        rig.desk.cancel(rig.desk.select("b0", OPEN, *LI).id, "li", "desk-1")
    assert rig.desk.state(first.id).state == "cancelled"
    rig.desk.cancel(rig.desk.select("b0", OPEN, *LI).id, "li", "desk-1")
    assert code_of(rig.desk.state, first.id) == "command.unknown"


@on_desk
async def test_a_programmers_error_in_the_field_stops_the_scan(rig: Desk) -> None:
    async def broken(breaker_id: str, target: int) -> None:
        raise ZeroDivisionError

    rig.desk._actuate = broken
    rig.desk.operate(rig.desk.select("b0", OPEN, *LI).id, "why", *LI)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError):
        rig.step()


@on_desk
async def test_a_send_that_hangs_is_cancelled(rig: Desk) -> None:
    ended = asyncio.Event()

    async def hangs(breaker_id: str, target: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    rig.desk._actuate = hangs
    command = rig.desk.select("b0", OPEN, *LI)
    rig.desk.operate(command.id, "why", *LI)
    await asyncio.sleep(0)
    rig.wait(control.ANSWER_S)
    rig.step()
    await ended.wait()
    assert rig.desk.state(command.id).state == "undetermined"


@on_desk
async def test_a_send_is_cancelled_in_time_even_when_the_journal_stands_still(rig: Desk) -> None:
    ended = asyncio.Event()

    async def waits(breaker_id: str, target: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    rig.desk._actuate = waits
    command = rig.desk.select("b0", OPEN, *LI)
    rig.desk.operate(command.id, "why", *LI)
    await asyncio.sleep(0)
    rig.journal_error = JournalStopped("No space left on device")
    rig.wait(control.ANSWER_S)
    rig.step()
    await asyncio.wait_for(ended.wait(), 5)
    assert rig.desk.state(command.id).state == "sent"
    rig.journal_error = None
    rig.step()
    assert rig.desk.state(command.id).state == "undetermined"


@on_desk
async def test_an_undetermined_command_blocks_while_it_may_move(rig: Desk) -> None:
    rig.desk.restore([_sent_command(rig)], {"b0": OPEN}, {})
    rig.read(CLOSED)
    assert code_of(rig.desk.select, "b0", OPEN, *LI) == "interlock.busy"
    rig.wait(4)
    rig.read(CLOSED)
    assert rig.desk.select("b0", OPEN, *LI).state == "selected"


@on_desk
async def test_an_acceptance_after_the_time_was_up_changes_nothing(rig: Desk) -> None:
    async def stubborn(breaker_id: str, target: int) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    rig.desk._actuate = stubborn
    command = rig.desk.select("b0", OPEN, *LI)
    rig.desk.operate(command.id, "why", *LI)
    await asyncio.sleep(0)
    rig.wait(control.ANSWER_S)
    rig.step()
    await asyncio.sleep(0)
    rig.step()  # no programmer's error came of it either
    assert rig.desk.state(command.id).state == "undetermined"


@on_desk
async def test_a_later_command_ends_the_wait_for_an_undetermined_one(rig: Desk) -> None:
    rig.desk.restore([_sent_command(rig)], {"b0": OPEN}, {})
    rig.wait(4)
    rig.read(OPEN)
    rig.work.tags.quality[1] = BAD_NO_COMMUNICATION  # open, but nobody can say whether current flows
    rig.step()
    later = rig.desk.select("b0", CLOSED, *LI)
    rig.desk.operate(later.id, "why", *LI)
    await asyncio.sleep(0)
    rig.wait(1)
    rig.read(CLOSED)
    rig.step()
    assert rig.desk.state(later.id).state == "verified"
    assert rig.desk.state("c").state == "undetermined"  # not "failed" by the work of another command


@on_desk
async def test_restore_passes_over_breakers_that_are_gone(rig: Desk) -> None:
    command = Command("c", "gone", OPEN, Actor(*LI), state="sent", times_utc_ns={"sent": 1})
    rig.desk.restore([command], {"gone": OPEN}, {"gone": OPEN})
    assert [(record["breaker"], record["state"]) for record in rig.records] == [("gone", "undetermined")]
    rig.step()


@on_desk
async def test_restore_leaves_alone_what_this_core_has_commanded(rig: Desk) -> None:
    """The data base may come late: its journal then tells of commands of this very core as if another had left them."""
    operated = rig.desk.select("b0", OPEN, *LI)
    rig.desk.operate(operated.id, "why", *LI)
    await asyncio.sleep(0)
    assert rig.desk.state(operated.id).state == "accepted"
    told = len(rig.records)
    left = [Command(operated.id, "b0", OPEN, Actor(*LI), state="sent", times_utc_ns={"sent": rig.clock.ns})]
    rig.desk.restore(left, {"b0": CLOSED}, {"b0": CLOSED})
    assert len(rig.records) == told
    assert rig.desk.state(operated.id).state == "accepted"
    rig.wait(1)
    rig.read(OPEN)
    rig.step()
    assert rig.desk.state(operated.id).state == "verified"
    rig.wait(4)
    rig.read(OPEN)
    rig.step()
    assert rig.work.tags.value[4] == 0, "no discrepancy with what an earlier core commanded"


@on_desk
async def test_restore_leaves_a_living_selection_to_its_owner(rig: Desk) -> None:
    command = rig.desk.select("b0", OPEN, *LI)
    old = Command("old", "b0", OPEN, Actor(*LI), state="sent", times_utc_ns={"sent": 1})
    lived = Command(command.id, "b0", OPEN, Actor(*LI), state="selected", times_utc_ns={"selected": rig.clock.ns})
    rig.desk.restore([old, lived], {"b0": OPEN}, {})
    assert rig.desk.state(command.id).state == "selected"
    assert rig.desk.state("old").state == "undetermined"


def _sent_command(rig: Desk) -> Command:
    return Command(
        "c", "b0", OPEN, Actor(*LI), state="sent", proof_after_utc_ns=rig.clock.ns, times_utc_ns={"sent": rig.clock.ns}
    )


# ---- the tables


def test_every_state_leads_on_or_is_an_end() -> None:
    assert set(TRANSITIONS) == set(STATES)
    ends = {state for state, following in TRANSITIONS.items() if not following}
    assert ends == {"verified", "failed", "cancelled", "expired"}
    assert not ends & ACTIVE


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
def test_only_the_table_lets_a_command_advance(before: Any, after: Any) -> None:
    command = Command("c", "b0", OPEN, Actor(*LI), state=before)
    if after in TRANSITIONS[before]:
        assert command.advance(after, 1, 1).state == after
    else:
        with pytest.raises(ValueError, match=f"{before} -> {after}"):
            command.advance(after, 1, 1)


def test_judgements_are_transitions() -> None:
    for (state, _, _), (after, _) in JUDGEMENTS.items():
        assert after in TRANSITIONS[state]


def test_a_negative_judgement_needs_the_time_to_be_up() -> None:
    assert {after for (_, late, _), (after, _) in JUDGEMENTS.items() if not late} == {"verified"}


# position (value, quality, time), current | finding for a trip at time 100 when fresh means from 200
FINDINGS = [
    ((OPEN, GOOD, 101), (0.0, GOOD, 101), "reached"),
    ((OPEN, GOOD, 101), (0.5, GOOD, 101), "reached"),
    ((OPEN, GOOD, 101), None, "reached"),
    ((OPEN, GOOD, 100), None, "unknown"),  # read before
    ((OPEN, BAD_NO_COMMUNICATION, 101), None, "unknown"),
    ((OPEN, UNCERTAIN_NO_COMMUNICATION, 101), None, "unknown"),
    ((INTERMEDIATE, GOOD, 201), None, "unknown"),
    ((OPEN, GOOD, 101), (0.0, GOOD, 100), "unknown"),
    ((OPEN, GOOD, 101), (0.0, BAD_NO_COMMUNICATION, 101), "unknown"),
    ((OPEN, GOOD, 201), (0.6, GOOD, 201), "flowing"),
    ((OPEN, GOOD, 201), (0.6, GOOD, 199), "unknown"),
    ((CLOSED, GOOD, 200), (9.0, GOOD, 201), "elsewhere"),
    ((CLOSED, GOOD, 199), (9.0, GOOD, 201), "unknown"),  # too old to prove that nothing moved
]


@pytest.mark.parametrize(("position", "current", "finding"), FINDINGS)
def test_find(position: tuple[int, int, int], current: tuple[float, int, int] | None, finding: str) -> None:
    assert find(OPEN, 100, 200, Sample(*position), Sample(*current) if current else None) == finding


def test_discrepancy_is_uncertain_until_the_position_is_known() -> None:
    work = Columns.private(LAYOUT)
    watch = DiscrepancyWatch([0, 5], [1, -1], [4, 9], [4.0, 4.0])
    work.tags.value[5], work.tags.quality[5] = CLOSED, GOOD
    watch.step(work.tags, Instant(7, 70, 1))
    assert work.tags.quality[[4, 9]].tolist() == [UNCERTAIN_SUBNORMAL, GOOD]
    assert work.tags.changed_scan[[4, 9]].tolist() == [7, 7]
    watch.step(work.tags, Instant(8, 80, 2))
    assert work.tags.changed_scan[[4, 9]].tolist() == [7, 7]  # written when it changes


def test_no_breakers_at_all() -> None:
    DiscrepancyWatch([], [], [], []).step(Columns.private(LAYOUT).tags, Instant(1, 1, 1))
    assert np.all(Columns.private(LAYOUT).tags.value == 0)

"""The frame log: anomalies always, everything while somebody follows, never beyond its budget."""

from drivers.frame_log import BUDGET_BYTES, ENTRY_BYTES, FOLLOW_NS, FRAME_MAX, Entry, FrameLog
from drivers.outcome import ExceptionReply, Outcome, Reply, Silence, Violation

GOOD = Reply(b"\0\1")
BAD: tuple[Outcome, ...] = (ExceptionReply(2), Violation("crc"), Silence("timeout", True))


def note(log: FrameLog, outcome: Outcome = GOOD, question: object = None, mono_ns: int = 0, size: int = 8) -> None:
    log.note(question, bytes(size), b"\1" * size, outcome, 5, mono_ns, 7)


def test_only_what_went_wrong_is_wanted_while_nobody_follows() -> None:
    log = FrameLog()
    assert [log.wants(outcome) for outcome in (GOOD, *BAD)] == [False, True, True, True]
    for outcome in BAD:
        note(log, outcome)
    assert [(entry.outcome, entry.good) for entry in log.entries()] == [
        ("exception 02, unknown exception", False), ("wrong reply: crc", False), ("timeout", False)
    ]  # fmt: skip


def test_who_follows_gets_everything_and_who_is_gone_costs_nothing() -> None:
    log = FrameLog()
    log.follow(0)
    assert log.wants(GOOD)
    note(log, mono_ns=FOLLOW_NS - 1)
    assert log.wants(GOOD)
    note(log, mono_ns=FOLLOW_NS)
    assert not log.wants(GOOD)
    assert [entry.number for entry in log.entries(after=1)] == [2]


def test_a_line_may_log_its_frames_always() -> None:
    log = FrameLog(log_frames=True)
    note(log, mono_ns=10 * FOLLOW_NS)
    assert log.wants(GOOD)


def test_one_question_is_captured_alone() -> None:
    log, mine, other = FrameLog(), object(), object()
    taken: list[Entry] = []
    log.capture(mine, taken.append)
    note(log, question=other)
    note(log, question=mine)
    log.release(mine, 0)
    note(log, BAD[0], question=mine)
    assert [entry.number for entry in taken] == [2]
    assert not log.wants(GOOD)


def test_the_budget_holds_and_the_newest_stay() -> None:
    log = FrameLog(log_frames=True)
    for _ in range(2000):
        note(log, size=100)
    kept = log.entries()
    assert len(kept) == BUDGET_BYTES // (ENTRY_BYTES + 200)
    assert kept[-1].number == 2000
    note(log, size=10 * FRAME_MAX)
    assert sum(len(entry.received) for entry in log.entries()) <= BUDGET_BYTES

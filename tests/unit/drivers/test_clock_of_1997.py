"""The clock of a DL/T 645-1997 meter, time and date in two answers: never the time of one day with another's date."""

from typing import Any

import pytest

from drivers import dlt645_1997
from drivers.dlt645_1997 import ClockRead, read_clock
from drivers.dlt645_frame import Wrong, encode_frame
from drivers.outcome import Continue, ExceptionReply, Reply, Violation

ADDRESS = "000000000097"
METER = bytes.fromhex(ADDRESS)[::-1]
TIME, DATE = bytes.fromhex("11C0"), bytes.fromhex("10C0")


def time(text: str) -> bytes:
    return encode_frame(METER, 0x81, TIME + bytes.fromhex(text.replace(":", ""))[::-1])


def date(text: str, weekday: int = 3) -> bytes:
    return encode_frame(METER, 0x81, DATE + bytes((weekday,)) + bytes.fromhex(text.replace("-", ""))[::-1])


def play(*frames: bytes) -> tuple[list[bytes], Any]:
    """Let a meter answer; return the identifiers that were asked for, and the judgement of the last frame."""
    part: Any = read_clock(ADDRESS, 2)
    asked, judged = [identifier(part)], None
    for frame in frames:
        judged = part.judge(frame)
        if isinstance(judged, Continue):
            part = judged.exchange
            asked.append(identifier(part))
    return asked, judged


def identifier(part: ClockRead) -> bytes:
    assert part.wire == encode_frame(METER, 0x01, part.asked.lead, 2)
    assert not part.writes and not part.broadcast
    return part.asked.lead


def test_the_date_belongs_to_the_time() -> None:
    asked, judged = play(time("10:20:30"), date("26-07-15"), time("10:20:31"))
    assert asked == [TIME, DATE, TIME]
    assert judged == Reply(bytes.fromhex("312010 03 150726"))


@pytest.mark.parametrize("between", ["26-07-15", "26-07-16"])
def test_a_midnight_between_the_questions_asks_for_the_date_again(between: str) -> None:
    """Whichever day the date was read on, it is not put before a time of which nobody knows the day."""
    asked, judged = play(
        time("23:59:59"), date(between), time("00:00:00"), date("26-07-16", 4), time("00:00:01")
    )  # fmt: skip
    assert asked == [TIME, DATE, TIME, DATE, TIME]
    assert judged == Reply(bytes.fromhex("010000 04 160726"))


def test_a_clock_that_runs_backwards_is_no_clock() -> None:
    frames: list[bytes] = []
    for hour in (9, 8, 7, 6):
        frames += [time(f"{hour:02}:00:00"), date("26-07-15")]
    asked, judged = play(*frames[:-1])
    assert judged == Violation(Wrong.SEQUENCE)
    assert len(asked) == 2 * dlt645_1997.MIDNIGHTS_MAX + 3


def test_what_answers_something_else_is_waited_past() -> None:
    asked, judged = play(time("10:20:30"), time("10:20:30"), date("26-07-15"), date("26-07-15"), time("10:20:31"))
    assert asked == [TIME, DATE, TIME]
    assert judged == Reply(bytes.fromhex("312010 03 150726"))


def test_a_meter_without_a_date_says_no() -> None:
    _, judged = play(time("10:20:30"), encode_frame(METER, 0xC1, b"\x02"))
    assert judged == ExceptionReply(2)


def test_a_short_time_is_no_time() -> None:
    _, judged = play(encode_frame(METER, 0x81, TIME + b"\x30\x20"))
    assert judged == Violation(Wrong.LENGTH)

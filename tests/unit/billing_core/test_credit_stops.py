"""What credit switched off, from the books and the command journal together after a restart."""

import pytest

from billing_core.credit_stops import known_stops
from scada.clock import NS_PER_S
from scada.control_store import LastSent
from scada.position import CLOSED, OPEN

ACCOUNT_OF = {"b1": "t1", "b2": "t2"}


@pytest.mark.parametrize(
    ("booked", "ended", "sent", "known"),
    [
        ([], {}, {}, []),
        ([("t1", "b1", 10)], {}, {}, [("t1", "b1", 10)]),
        # the frame went out, the core died before the next checkpoint
        ([], {}, {"b1": LastSent(OPEN, "credit", 10 * NS_PER_S)}, [("t1", "b1", 10)]),
        ([], {"b1": 5}, {"b1": LastSent(OPEN, "credit", 10 * NS_PER_S)}, [("t1", "b1", 10)]),
        ([("t1", "b1", 10)], {}, {"b1": LastSent(OPEN, "credit", 10 * NS_PER_S)}, [("t1", "b1", 10)]),
        # closed on the spot since, so there was no later command: what opened it again was not credit
        ([], {"b1": 20}, {"b1": LastSent(OPEN, "credit", 10 * NS_PER_S)}, []),
        ([], {}, {"b1": LastSent(OPEN, "operator", 10 * NS_PER_S)}, []),
        ([], {}, {"b1": LastSent(CLOSED, "credit", 10 * NS_PER_S)}, []),
        ([], {}, {"b9": LastSent(OPEN, "credit", 10 * NS_PER_S)}, []),  # nobody's breaker by now
    ],
)
def test_known_stops(
    booked: list[tuple[str, str, int]],
    ended: dict[str, int],
    sent: dict[str, LastSent],
    known: list[tuple[str, str, int]],
) -> None:
    assert known_stops(booked, ended, sent, ACCOUNT_OF) == known

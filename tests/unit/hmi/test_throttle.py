"""Throttle: tries run out, come back with time, and the table stays small."""

from hmi.throttle import KEYS_MAX, Throttle

S = 1_000_000_000


def test_tries_run_out_and_come_back() -> None:
    throttle = Throttle(tries=3, refill_ns=10 * S)
    for _ in range(3):
        assert throttle.wait_s("a", 0) == 0
        throttle.failed("a", 0)
    assert throttle.wait_s("a", 0) == 10
    assert throttle.wait_s("b", 0) == 0
    assert throttle.wait_s("a", 10 * S) == 0
    throttle.failed("a", 10 * S)
    assert throttle.wait_s("a", 10 * S) == 10


def test_a_success_forgives() -> None:
    throttle = Throttle(tries=2)
    throttle.failed("a", 0)
    throttle.failed("a", 0)
    throttle.succeeded("a")
    assert throttle.wait_s("a", 0) == 0


def test_the_table_is_bounded() -> None:
    throttle = Throttle()
    for key in range(KEYS_MAX * 2):
        throttle.failed(str(key), key)
    assert len(throttle._spent) == KEYS_MAX

"""Coarse timers: never early, at most a beat late, and no timer left when nobody needs one."""

from twisted.internet.task import Clock

from drivers.pulse import BEAT_S, Pulse


class Bench:
    def __init__(self) -> None:
        self.reactor = Clock()
        self.beats = 0
        self.pulse = Pulse(self.reactor, self.beat)
        self.calls: list[str] = []

    def beat(self) -> None:
        self.beats += 1

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / BEAT_S)):
            self.reactor.advance(BEAT_S)


def test_a_call_is_never_early_and_at_most_a_beat_late() -> None:
    bench = Bench()
    bench.pulse.callLater(0.995, lambda: bench.calls.append(f"{bench.reactor.seconds():.2f}"))
    bench.run(0.99)
    assert bench.calls == []
    bench.run(2 * BEAT_S)
    assert bench.calls == ["1.00"]


def test_calls_come_in_the_order_in_which_they_are_due() -> None:
    bench = Bench()
    for delay_s, name in ((0.5, "b"), (0.1, "a"), (0.5, "c")):
        bench.pulse.callLater(delay_s, lambda name=name: bench.calls.append(name))  # type: ignore[misc]
    bench.run(1.0)
    assert bench.calls == ["a", "b", "c"]


def test_a_call_that_is_reset_comes_once_at_its_new_time() -> None:
    bench = Bench()
    later = bench.pulse.callLater(5.0, lambda: bench.calls.append("x"))
    later.reset(0.1)
    bench.run(0.2)
    assert bench.calls == ["x"]
    assert not later.active()
    bench.run(6.0)
    assert bench.calls == ["x"]


def test_a_call_that_is_cancelled_never_comes_and_leaves_no_timer() -> None:
    bench = Bench()
    later = bench.pulse.callLater(0.1, lambda: bench.calls.append("x"))
    later.cancel()
    assert bench.reactor.getDelayedCalls() == []
    bench.run(1.0)
    assert bench.calls == []


def test_it_beats_only_while_somebody_needs_it() -> None:
    bench = Bench()
    bench.pulse.hold()
    bench.run(0.1)
    assert bench.beats == 10
    bench.pulse.release()
    assert bench.reactor.getDelayedCalls() == []
    bench.pulse.callLater(0.02, lambda: bench.calls.append("x"))
    bench.run(0.1)
    assert bench.calls == ["x"], "it begins again"
    assert bench.reactor.getDelayedCalls() == []


def test_a_call_may_ask_for_the_next_one() -> None:
    bench = Bench()

    def again() -> None:
        bench.calls.append("x")
        bench.pulse.callLater(0.1, again)

    bench.pulse.callLater(0.1, again)
    bench.run(1.0)
    assert 8 <= len(bench.calls) <= 10

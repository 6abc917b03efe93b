"""The scan: phases in order at one instant, every skipped interval counted, a phase that raises ends it."""

from pathlib import Path

import pytest
from twisted.internet.task import Clock as TwistedClock

from scada.image import Columns, ImageReader, ImageWriter, Layout
from scada.scan import PHASES, Instant, Scan

LAYOUT = Layout({"tags": 2, "points": 0, "accounts": 0, "alarms": 0}, bytes(32))


class PlantTime:
    """A clock that stands where the Twisted test clock stands."""

    speed = 1

    def __init__(self, reactor: TwistedClock) -> None:
        self._reactor = reactor

    def utc_ns(self) -> int:
        return 1_000_000 + int(self._reactor.seconds() * 1e9)

    def mono_ns(self) -> int:
        return int(self._reactor.seconds() * 1e9)


@pytest.fixture
def bench(tmp_path: Path) -> tuple[TwistedClock, Scan, list[tuple[str, Instant]], ImageWriter]:
    reactor = TwistedClock()
    seen: list[tuple[str, Instant]] = []
    phases = [(name, lambda instant, name=name: seen.append((name, instant))) for name in PHASES]
    writer = ImageWriter(tmp_path / "image", LAYOUT)
    scan = Scan(PlantTime(reactor), phases, Columns.private(LAYOUT), writer, 1.0, reactor)
    return reactor, scan, seen, writer


def test_every_phase_sees_the_same_instant_in_order(bench) -> None:
    reactor, scan, seen, writer = bench
    scan.start()
    reactor.pump([1.0] * 4)
    assert [name for name, _ in seen] == list(PHASES) * 5
    scans = [seen[at : at + len(PHASES)] for at in range(0, len(seen), len(PHASES))]
    assert all(len({instant for _, instant in group}) == 1 for group in scans)
    assert [instant.scan for name, instant in seen if name == "publish"] == [1, 2, 3, 4, 5]
    assert scan.figures.overruns == 0
    assert scan.figures.jitter_ms == 0
    scan.stop()
    writer.close()


def test_skipped_intervals_are_counted_and_no_scan_is_made_up_for_them(bench) -> None:
    reactor, scan, seen, writer = bench
    scan.start()
    reactor.advance(1.0)
    reactor.advance(3.0)  # the process stood still for three intervals
    assert [instant.scan for name, instant in seen if name == "publish"] == [1, 2, 3]
    assert scan.figures.overruns == 2
    reactor.advance(1.0)
    assert scan.figures.overruns == 2
    assert scan.figures.jitter_ms == 0
    scan.stop()
    writer.close()


def test_each_scan_is_published_whole(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reactor, scan, _, writer = bench
    scan.start()
    monkeypatch.setattr("scada.image.time.monotonic_ns", lambda: int(reactor.seconds() * 1e9))
    reactor.advance(1.0)
    snapshot = ImageReader(tmp_path / "image", LAYOUT).snapshot()
    assert (snapshot.scan, snapshot.scan_utc_ns) == (2, 1_000_000 + 1_000_000_000)
    scan.stop()
    writer.close()


def test_an_error_of_a_phase_ends_the_scan_and_is_not_swallowed(tmp_path: Path) -> None:
    reactor = TwistedClock()
    writer = ImageWriter(tmp_path / "image", LAYOUT)

    def broken(instant: Instant) -> None:
        if instant.scan == 3:
            raise ZeroDivisionError("a programmer's error")

    scan = Scan(PlantTime(reactor), [("publish", broken)], Columns.private(LAYOUT), writer, 1.0, reactor)
    ended: list[object] = []
    scan.start().addErrback(lambda failure: ended.append(failure.value))
    reactor.pump([1.0] * 6)
    assert isinstance(ended[0], ZeroDivisionError)
    assert scan.figures.phase_ms["publish"] == 0
    writer.close()

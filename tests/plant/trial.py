"""A park under field faults: every scan of it is kept, so that a test can look back at what a fault did to whom."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alarms.lifecycle import CONDITION_ON, STATES
from scada import quality
from tests.plant.park import Park, wait_for

SPEED: Final = 600  # ten minutes a second: registers move at every read
LOOK_S: Final = 0.1
# Slow lines cost a test's time, not its truth: with a higher baud rate their meters are read every few seconds.
QUICK_LINES: Final = {
    r'(id = "gw-b5"[^[]*)baud = 9600([^[]*)period_s = 6.0': r"\g<1>baud = 19200\g<2>period_s = 5.0",
    r'(id = "gw-bw"[^[]*)baud = 2400([^[]*)period_s = 10.0': r"\g<1>baud = 9600\g<2>period_s = 4.0",
    r'(id = "gw-dtu"[^[]*)timeout_s = 3.0([^[]*)period_s = 10.0': r"\g<1>timeout_s = 0.5\g<2>period_s = 2.0",
}
THIRSTY: Final = ("w-b3", "w-b4", "w-b5", "w-b6")  # flats use so little water that their meters would stand
Verdict = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Sight:
    """The billing points at one scan, by row."""

    quality: npt.NDArray[np.uint32]
    raw: npt.NDArray[np.int64]
    source_time: npt.NDArray[np.int64]
    billed_milli: npt.NDArray[np.int64]
    held: npt.NDArray[np.int64]


class Watcher(threading.Thread):
    """Keeps what every scan showed."""

    def __init__(self, park: Park) -> None:
        super().__init__(daemon=True)
        self.sights: list[Sight] = []
        self.end = threading.Event()
        self._park = park

    def run(self) -> None:
        scan = -1
        while not self.end.wait(LOOK_S):
            snapshot = self._park.snapshot()
            if snapshot is None or snapshot.scan == scan:
                continue
            scan = snapshot.scan
            seen = snapshot.columns.points
            columns = (seen.quality, seen.raw, seen.source_time, seen.billed_milli, seen.held)
            self.sights.append(Sight(*(np.array(column) for column in columns)))

    def stop(self) -> None:
        self.end.set()
        self.join()


class Trial:
    """A running park, its meters by id, and the memory of its scans."""

    def __init__(self, park: Park) -> None:
        self.park = park
        self.row = {point.meter: row for row, point in enumerate(park.plant.points) if not point.virtual}
        self.devices = {device.id: device for device in park.plant.devices}
        self.watcher = Watcher(park)
        self.held: set[str] = set()  # meters whose register a test has spoilt for good
        self.begun_ns = 0  # plant time when every meter had been charged, before any fault

    def hurry(self) -> None:
        """Let the meters of flats count so much that they move while a test waits."""
        self.inject_all({meter: ("load", "10") for meter in self.row if meter.startswith(THIRSTY)})

    # ---- faults

    def inject_all(self, orders: Mapping[str, tuple[str, str]]) -> None:
        """Give devices their orders: device -> (order, value)."""
        for device, (order, value) in orders.items():
            self.park.inject(order, device, value)

    def clear(self, devices: Iterable[str]) -> None:
        for device in devices:
            self.park.inject("clear", device)

    def tell_aside(self, plan: Mapping[str, list[str]], timeout_s: float) -> "Future[None]":
        """Let devices tell their lies while other things happen; the Future has the AssertionError of `tell`."""
        pool = ThreadPoolExecutor(1)
        told = pool.submit(self.tell, plan, timeout_s)
        pool.shutdown(wait=False)  # no more work is coming; this goes on
        return told

    def tell(self, plan: Mapping[str, list[str]], timeout_s: float) -> None:
        """Let devices tell their lies one by one, all devices at once; between two a device is read well."""
        liars = [Liar(device, list(lies)) for device, lies in plan.items()]

        def done() -> bool:
            assert not self.watcher.end.wait(LOOK_S), "the park was stopped"
            active = self.park.inject("list")["devices"]
            for liar in liars:
                if not any(fault.startswith("hostile") for fault in active[liar.device]):
                    self._go_on(liar)
            return all(liar.done for liar in liars)

        try:
            wait_for(done, timeout_s, "every lie to be told")
        except AssertionError as why:
            waiting = [f"{self.described(liar.device)}: {liar.left}" for liar in liars if not liar.done]
            raise AssertionError(f"{why}: {waiting}") from None

    def _go_on(self, liar: "Liar") -> None:
        """Give a device its next lie, once it was read well after the last one."""
        read_ns = int(self.now().source_time[self.row[liar.device]])
        if liar.telling:
            liar.telling, liar.told_ns = False, read_ns
        if read_ns == liar.told_ns:
            return
        liar.done = not liar.left
        if liar.left:
            self.park.inject("hostile", liar.device, f"{liar.left.pop(0)} 1")
            liar.telling = True

    # ---- what is seen

    def mark(self) -> int:
        """Return where the memory of scans ends now."""
        return len(self.watcher.sights)

    def now(self) -> Sight:
        return self.watcher.sights[-1]

    def of(self, meter: str, column: str) -> int:
        """Return what one column of a meter's point shows now."""
        return int(getattr(self.now(), column)[self.row[meter]])

    def billed(self, meters: Iterable[str]) -> dict[str, int]:
        return {meter: self.of(meter, "billed_milli") for meter in meters}

    def since(self, mark: int, meter: str, column: str) -> list[int]:
        """Return what one column of a meter's point showed in every scan since a mark."""
        return [int(getattr(sight, column)[self.row[meter]]) for sight in self.watcher.sights[mark:]]

    def is_good(self, meter: str) -> bool:
        return quality.is_good(self.of(meter, "quality"))

    def counter(self, meter: str, measure: str) -> float:
        """Return a counter of a device, or of a gateway."""
        found = self.park.tag("N" if meter.startswith("gw-") else "M", meter, measure)
        assert found is not None
        return found[0]

    def counter_of_core(self, measure: str) -> float:
        found = self.park.tag("X", "core", measure)
        assert found is not None
        return found[0]

    def wait_quality(self, meters: Iterable[str], verdict: Verdict, timeout_s: float, why: str) -> None:
        meters = list(meters)
        self._wait_none(lambda: [m for m in meters if not verdict(self.of(m, "quality"))], timeout_s, why)

    def wait_billed(self, meters: Iterable[str], timeout_s: float) -> None:
        """Wait until every meter is read well and charged anew."""
        before = self.billed(meters)

        def waiting() -> list[str]:
            return [m for m in before if self.of(m, "billed_milli") <= before[m] or not self.is_good(m)]

        self._wait_none(waiting, timeout_s, "charges")

    def wait_held(self, meters: Iterable[str], timeout_s: float) -> None:
        meters = list(meters)
        self._wait_none(lambda: [m for m in meters if not self.of(m, "held")], timeout_s, "registers to be held")

    def wait_reads(self, mark: int, meters: Iterable[str], count: int, timeout_s: float) -> None:
        """Wait until every meter was read so often since a mark."""
        meters = list(meters)
        self._wait_none(lambda: [m for m in meters if len(self.read_ns(mark, m)) < count], timeout_s, "readings")

    def _wait_none(self, waiting: Callable[[], list[str]], timeout_s: float, why: str) -> None:
        """Wait until nobody waits any more; say who did, and how he stands."""
        try:
            wait_for(lambda: not waiting(), timeout_s, why)
        except AssertionError as late:
            raise AssertionError(f"{late}: {[self.described(meter) for meter in waiting()]}") from None

    def described(self, meter: str) -> str:
        """Return how a meter stands, for people."""
        faults = self.park.inject("list")["devices"][meter]
        word = quality.name(self.of(meter, "quality"))
        shown = {column: self.of(meter, column) for column in ("raw", "billed_milli", "held")}
        return f"{meter} {word} {shown} {faults}"

    def wait_alarm(self, source: str, name: str, timeout_s: float) -> None:
        """Wait for the alarm `name` of a point, device or gateway."""
        alarm = next(a.id for a in self.park.plant.alarms if a.source == source and name in a.id)
        wait_for(lambda: STATES[self.park.alarm_state(alarm)] in CONDITION_ON, timeout_s, f"alarm {alarm}")

    def point_of(self, meter: str) -> str:
        return self.park.plant.points[self.row[meter]].id

    def others_on(self, gateway: str, but: Iterable[str] = ()) -> list[str]:
        """Return the meters behind a gateway that a fault does not concern."""
        left_out = {*but, *self.held}
        return [m for m in self.row if self.devices[m].gateway == gateway and m not in left_out]

    def read_ns(self, mark: int, meter: str) -> list[int]:
        """Return the instants at which a meter was read that were seen since a mark, plant time."""
        return sorted(set(self.since(mark, meter, "source_time")))

    def pace(self, mark: int, meters: Iterable[str]) -> float:
        """Return how often meters were read since a mark against their line's period, the mean; 1.0: exactly so often.

        Readings are counted by the time between the first and the last of them, so that none is cut in two. The period
        is no shorter than two scans, or some would not be seen.
        """
        found = []
        for meter in meters:
            gateway = next(g for g in self.park.plant.gateways if g.id == self.devices[meter].gateway)
            times = self.read_ns(mark, meter)
            wished_ns = gateway.period_s * SPEED * 1e9 * (len(times) - 1)
            found.append(wished_ns / (times[-1] - times[0]))
        return sum(found) / len(found)

    # ---- verdicts

    def assert_undisturbed(self, mark: int, meters: Iterable[str]) -> None:
        """The meters were read well in every scan since a mark, were read anew and charged, and none is held."""
        for meter in meters:
            qualities = {quality.name(q) for q in self.since(mark, meter, "quality")}
            assert qualities == {"Good"}, (meter, qualities)
            assert len(self.read_ns(mark, meter)) > 1, f"{meter} was not read again"
            assert not any(self.since(mark, meter, "held")), meter

    def assert_never_back(self, mark: int, meters: Iterable[str]) -> None:
        """No register shown since a mark went back, and no charge did: nothing false was taken for a reading."""
        for meter in meters:
            for column in ("raw", "billed_milli"):
                values = self.since(mark, meter, column)
                assert all(a <= b for a, b in pairwise(values)), (meter, column, values)
            assert not any(self.since(mark, meter, "held")), meter

    def stages(self, mark: int, meter: str) -> list[str]:
        """Return the severities of a point since a mark, each change once."""
        found: list[str] = []
        for value in self.since(mark, meter, "quality"):
            word = "good" if quality.is_good(value) else "bad" if quality.is_bad(value) else "uncertain"
            if found[-1:] != [word]:
                found.append(word)
        return found

    def true_milli(self, meter: str, first_raw: int) -> int:
        """Return what a meter has really counted since the register at which its billing began."""
        point = self.park.plant.points[self.row[meter]]
        counts = int(self.park.inject("show", meter)["counts"]) - first_raw
        return counts % point.modulus_counts * point.milli_per_count

    def settle(self, meters: Iterable[str], timeout_s: float) -> None:
        """Stop every flow and wait until the books hold what the meters have counted, to the last count."""
        for medium in {point.medium for point in self.park.plant.points}:
            self.park.inject("supply-off", medium)
        time.sleep(1.0)  # the registers show it at their next save
        meters = list(meters)
        left: dict[str, Any] = {}

        def settled() -> bool:
            kept = {p: (b, f) for p, b, f in self.park.sql("SELECT point, billed_milli, first_raw FROM point_state")}
            left.clear()
            for meter in meters:
                billed, first = kept[self.point_of(meter)]
                true = self.true_milli(meter, first)
                if billed != true:
                    left[meter] = (billed, true)
            return not left

        try:
            wait_for(settled, timeout_s, "the books to reach the meters")
        except AssertionError:
            raise AssertionError(f"meter: (billed, counted): {left}") from None

    def assert_audit(self) -> None:
        """The audit finds no difference."""
        code, last = self.park.audit()
        assert code == 0, last
        assert last.endswith(" 0 differences")


@dataclass(slots=True)
class Liar:
    """A device and the lies it has still to tell."""

    device: str
    left: list[str]
    telling: bool = False  # it was told to, and has perhaps not been asked yet
    told_ns: int = -1  # the last good reading when a lie was gone; another one means that it was read since
    done: bool = False


def make_trial(park: Park, timeout_s: float = 120.0) -> Trial:
    """Start a park, begin to watch, and wait until every meter has been charged."""
    trial = Trial(park.start(speed=SPEED, timeout_s=90.0))
    trial.watcher.start()
    wait_for(lambda: trial.watcher.sights, 10, "a scan")
    trial.hurry()
    trial.wait_billed(trial.row, timeout_s)
    trial.begun_ns = wait_for(park.snapshot, 5, "an image").scan_utc_ns
    return trial

"""A park under field faults: every scan of it is kept, so that a test can look back at what a fault did to whom."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
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
        self._park = park
        self._end = threading.Event()

    def run(self) -> None:
        scan = -1
        while not self._end.wait(LOOK_S):
            snapshot = self._park.snapshot()
            if snapshot is None or snapshot.scan == scan:
                continue
            scan = snapshot.scan
            seen = snapshot.columns.points
            columns = (seen.quality, seen.raw, seen.source_time, seen.billed_milli, seen.held)
            self.sights.append(Sight(*(np.array(column) for column in columns)))

    def stop(self) -> None:
        self._end.set()
        self.join()


class Trial:
    """A running park, its meters by id, and the memory of its scans."""

    def __init__(self, park: Park) -> None:
        self.park = park
        self.row = {point.meter: row for row, point in enumerate(park.plant.points) if not point.virtual}
        self.devices = {device.id: device for device in park.plant.devices}
        self.watcher = Watcher(park)
        self.held: set[str] = set()  # meters whose register a test has spoilt for good

    # ---- faults

    def inject_all(self, orders: Mapping[str, tuple[str, str]]) -> None:
        """Give devices their orders: device -> (order, value)."""
        for device, (order, value) in orders.items():
            self.park.inject(order, device, value)

    def clear(self, devices: Iterable[str]) -> None:
        for device in devices:
            self.park.inject("clear", device)

    def tell_lies(self, plan: Mapping[str, list[str]], timeout_s: float) -> None:
        """Let devices tell their lies, each once, all devices at the same time; between two a device is read well."""
        left = {device: list(lies) for device, lies in plan.items()}

        def done() -> bool:
            active = self.park.inject("list")["devices"]
            for device, lies in left.items():
                if lies and self.is_good(device) and not any(f.startswith("hostile") for f in active[device]):
                    self.park.inject("hostile", device, f"{lies.pop(0)} 1")
                    active[device].append("hostile")
            return not any(f.startswith("hostile") for device in left for f in active[device])

        try:
            wait_for(done, timeout_s, "every lie to be told")
        except AssertionError:
            waiting = [self.described(device) for device in left if left[device] or not self.is_good(device)]
            raise AssertionError(f"not told: {left}; {waiting}") from None

    # ---- what is seen

    def mark(self) -> int:
        """Return where the memory of scans ends now."""
        return len(self.watcher.sights)

    def now(self) -> Sight:
        return self.watcher.sights[-1]

    def since(self, mark: int, meter: str, column: str) -> list[int]:
        """Return what one column of a meter's point showed in every scan since a mark."""
        return [int(getattr(sight, column)[self.row[meter]]) for sight in self.watcher.sights[mark:]]

    def is_good(self, meter: str) -> bool:
        return quality.is_good(int(self.now().quality[self.row[meter]]))

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

        def all_so() -> bool:
            return all(verdict(int(self.now().quality[self.row[meter]])) for meter in meters)

        wait_for(all_so, timeout_s, f"{why}: {meters}")

    def wait_billed(self, meters: Iterable[str], timeout_s: float) -> None:
        """Wait until every meter is read well and charged anew."""
        meters = list(meters)
        before = {meter: int(self.now().billed_milli[self.row[meter]]) for meter in meters}

        def waiting() -> list[str]:
            now = self.now()
            return [m for m in meters if int(now.billed_milli[self.row[m]]) <= before[m] or not self.is_good(m)]

        try:
            wait_for(lambda: not waiting(), timeout_s, "charges")
        except AssertionError:
            raise AssertionError(f"no charges: {[self.described(meter) for meter in waiting()]}") from None

    def described(self, meter: str) -> str:
        """Return how a meter stands, for people."""
        now, row = self.now(), self.row[meter]
        faults = self.park.inject("list")["devices"][meter]
        word = quality.name(int(now.quality[row]))
        return f"{meter} {word} raw {now.raw[row]} billed {now.billed_milli[row]} held {now.held[row]} {faults}"

    def wait_held(self, meters: Iterable[str], timeout_s: float) -> None:
        meters = list(meters)
        wait_for(lambda: all(self.now().held[self.row[m]] for m in meters), timeout_s, f"{meters} to be held")

    def wait_alarm(self, source: str, name: str, timeout_s: float) -> None:
        """Wait for the alarm `name` of a point, device or gateway."""
        alarm = next(a.id for a in self.park.plant.alarms if a.source == source and name in a.id)
        wait_for(lambda: STATES[self.park.alarm_state(alarm)] in CONDITION_ON, timeout_s, f"alarm {alarm}")

    def point_of(self, meter: str) -> str:
        return self.park.plant.points[self.row[meter]].id

    def others_on(self, gateway: str, but: Iterable[str]) -> list[str]:
        """Return the meters behind a gateway that a fault does not concern."""
        left_out = {*but, *self.held}
        return [m for m in self.row if self.devices[m].gateway == gateway and m not in left_out]

    # ---- verdicts

    def assert_undisturbed(self, mark: int, meters: Iterable[str]) -> None:
        """The meters were read well in every scan since a mark, were read anew and charged, and none is held."""
        for meter in meters:
            qualities = {quality.name(q) for q in self.since(mark, meter, "quality")}
            assert qualities == {"Good"}, (meter, qualities)
            assert len(set(self.since(mark, meter, "source_time"))) > 1, f"{meter} was not read again"
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


def make_trial(park: Park) -> Trial:
    """Start a park, wait until every meter has been charged, and begin to watch."""
    trial = Trial(park.start(speed=SPEED, timeout_s=90.0))
    trial.watcher.start()
    wait_for(lambda: trial.watcher.sights, 10, "a scan")
    return trial

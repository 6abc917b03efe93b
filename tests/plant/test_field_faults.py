"""Meters that lie, stay silent or jump, on every protocol at once: nothing false is billed, nothing true is lost.

One park. While some meters of every line tell their lies one by one, the tests try other faults on meters of their own;
the last one looks at what became of the lies, and compares the books with what the meters counted.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain
from typing import Final

import pytest

from drivers.field.hostile import EXCEPTION, classes_for
from scada import quality
from tests.plant.park import Park, wait_for
from tests.plant.trial import QUICK_LINES, Trial, make_trial

pytestmark = [pytest.mark.plant, pytest.mark.timeout(500)]

ROLLING: Final = {  # meter -> its modulus and the register it begins with
    "e-aev2": (10**8, 10**8 - 400),  # Modbus TCP, u32
    "e-b503": (10**8, 10**8 - 400),  # DL/T 645, eight digits
    "w-b503": (10**8, 10**8 - 60),  # CJ/T 188, eight digits
    "s-bw104": (2**32, 2**32 - 1500),
    "h-bw201": (2**16, 2**16 - 1500),
}
HASTE: Final = {"e-aev2": "3", "e-b503": "8"}  # load of those that would take long, once their billing has begun
FILES: Final = {
    "field.toml": {
        rf"^({meter} = .*initial_counts =) \d+": rf"\g<1> {first}" for meter, (_, first) in ROLLING.items()
    } | {r"^(h-a402 = .*initial_counts =) \d+": r"\g<1> 1000", r"^(h-a801 = .*initial_counts =) \d+": r"\g<1> 2000"},
    "profiles/wattkeeper-demo-steam.toml": {r"modulus_counts = .*": f"modulus_counts = {2**32}"},
    "profiles/wattkeeper-demo-heat.toml": {r"modulus_counts = .*": f"modulus_counts = {2**16}"},
    "meters.csv": {  # registers of floats
        rf"^({meter},.*),wattkeeper-demo-1p,": r"\g<1>,eastron-sdm120,"
        for meter in ("e-b401", "e-b402", "e-b403", "e-a901")
    },
}  # fmt: skip
BROKEN_SENSORS: Final = {
    "e-b401": "nan", "e-b402": "inf", "e-b403": "-inf", "e-a901": "denormal",  # floats
    "e-b602": "nan", "w-b401": "inf", "w-bw202": "denormal",  # decimal digits: FF, EE, AA
}  # fmt: skip
REPLACED: Final = ("e-a402", "e-b504", "w-b601")
JUMPING: Final = ("e-a601", "e-bw201", "g-bw104")
REFUSING: Final = ("e-a802", "e-b602", "w-b401", "w-bw202")  # Modbus TCP, DL/T 645, CJ/T 188 on two lines
SWAPPED_WORDS: Final = ("e-a301", "e-a701")
WRONG_SCALE: Final = {  # meter -> the factor that its registers have against the profile's scale, and how it is held
    "e-bw103": ("10", 2), "e-bw102c": ("0.1", 1), "e-b602": ("100", 2), "w-b401": ("0.1", 1),
}  # fmt: skip

HARMLESS: Final = {  # read all the same, or out of an older reading
    "garbage", "duplicate", "split", "echo", "wake-flood", "pause", "repeat-old", "wrong-counter",
}  # fmt: skip
# Modbus TCP: every class, dealt out. A connection that one lie ends may take another one's reply with it, so that the
# exceptions are told behind a gateway where nobody lies.
LIARS: Final = ("e-a201ac", "e-a202", "e-a302", "e-a401", "e-a501", "e-a501ac", "e-a502", "e-a602", "e-a602ac",
                "e-a702", "e-a801", "e-a902")  # fmt: skip
CLASSES: Final = [name for name in classes_for("mbap") if name not in ("silence", "late")]
BUSY: Final = {"e-bw101": ["exception-5"], "e-bw104": ["exception-6"]}  # acknowledge, busy
# A line that all share pays for each lie with a time-out and its fence, and pays slowly: four such lies a line.
TOLD: Final[dict[str, list[str]]] = {
    **{meter: CLASSES[at :: len(LIARS)] for at, meter in enumerate(LIARS)},
    **BUSY,
    "e-a102": ["late"],
    "e-bpump": ["exception-1", "exception-2"],
    "e-blight": ["exception-3", "exception-4"],
    "e-bw102": ["exception-7", "exception-8"],
    "e-bw203": ["exception-9", "exception-10"],
    "e-bw203c": ["exception-11"],
    # Modbus RTU
    "e-bw202": [*(f"{EXCEPTION}{code}" for code in range(1, 7)), "checksum", "wrong-unit", "truncated", "duplicate"],
    "e-bw204": [
        *(f"{EXCEPTION}{code}" for code in range(7, 12)), "late", "garbage", "wake-flood",
    ],
    # DL/T 645, of 1997 and of 2007: one bit of the error word each, and all of them
    "e-b404": ["exception-1", "exception-2", "wrong-di", "duplicate"],
    "e-b501": ["exception-4", "exception-8", "checksum", "echo"],
    "e-b502": ["exception-16", "exception-32", "late", "garbage"],
    "e-b601": ["exception-64", "exception-255", "truncated", "split"],
    # CJ/T 188: the codes stand where the status word does
    "w-b403": ["exception-1", "exception-2", "checksum", "late", "split"],
    "w-b501": ["exception-3", "wrong-type", "wrong-unit", "duplicate", "wrong-counter"],
    # the same behind the DTU
    "w-bw204": [
        "exception-1", "exception-3", "checksum", "truncated", "wrong-di", "wrong-function", "split",
    ],
}  # fmt: skip
SHARED_LINES: Final = ("gw-b4", "gw-b5", "gw-bw", "gw-dtu")  # one transaction at a time: nothing is lost with another
SHORT_PATIENCE: Final = {  # or lies would cost the time of the test
    r'(id = "gw-(?:b4|b5|bw|dtu)"[^[]*)timeout_s = [\d.]+': r"\g<1>timeout_s = 0.4"
}


@dataclass(frozen=True, slots=True)
class Telling:
    """The lies that are told all the time, and how things stood before."""

    told: "Future[None]"
    mark: int
    before: dict[str, dict[str, float]]  # counters of meters and of lines


@pytest.fixture(scope="module")
def trial(make_shared_park: Callable[..., Park]) -> Iterator[Trial]:
    changes = {"automatic = true": "automatic = false", **QUICK_LINES, **SHORT_PATIENCE}
    trial = make_trial(make_shared_park(files=FILES, **changes))
    for meter, factor in HASTE.items():
        trial.park.inject("load", meter, factor)
    yield trial
    trial.watcher.stop()


@pytest.fixture(scope="module", autouse=True)
def telling(trial: Trial) -> Telling:
    lines = {trial.devices[meter].gateway for meter in TOLD}
    wait_for(lambda: all(trial.counter(line, "Requests") for line in lines), 20, "the first counters")
    before = {owner: counters(trial, owner) for owner in (*TOLD, *lines)}
    return Telling(trial.tell_aside(TOLD, 400), trial.mark(), before)


def counters(trial: Trial, owner: str) -> dict[str, float]:
    """Return what a device or a gateway counts of what it did not take for a reading."""
    names = ("BadFrames", "Timeouts", "Exceptions")
    found = {name: trial.counter(owner, name) for name in names}
    found["failed"] = sum(found.values())
    if owner in trial.devices:
        return found
    found |= {name: trial.counter(owner, name) for name in ("LateFrames", "BadChecksum")}
    found["discarded"] = found["failed"] - found["Exceptions"] + found["LateFrames"]
    return found


def test_a_meter_that_refuses_is_not_good_and_loses_nothing(trial: Trial) -> None:
    mark = trial.mark()
    trial.inject_all(dict.fromkeys(REFUSING, ("hostile", f"{EXCEPTION}2")))
    trial.wait_quality(REFUSING, lambda q: not quality.is_good(q), 60, "values that are refused not be good")
    trial.inject_all(dict.fromkeys(REFUSING, ("hostile", "off")))
    trial.wait_billed(REFUSING, 120)
    trial.assert_never_back(mark, REFUSING)


def test_what_is_no_number_is_bad_and_is_not_billed(trial: Trial) -> None:
    mark = trial.mark()
    trial.inject_all({meter: ("sensor", pattern) for meter, pattern in BROKEN_SENSORS.items()})
    trial.wait_quality(BROKEN_SENSORS, quality.is_bad, 60, "what is no number to be bad")
    trial.inject_all(dict.fromkeys(BROKEN_SENSORS, ("sensor", "off")))
    trial.wait_billed(BROKEN_SENSORS, 120)
    trial.assert_never_back(mark, BROKEN_SENSORS)


def test_a_wrong_word_order_or_scale_is_found_by_what_the_register_cannot_have_counted(trial: Trial) -> None:
    wrong = [*SWAPPED_WORDS, *WRONG_SCALE]
    mark = trial.mark()
    trial.inject_all(dict.fromkeys(SWAPPED_WORDS, ("word-order", "CDAB")))
    trial.inject_all({meter: ("scale", factor) for meter, (factor, _) in WRONG_SCALE.items()})
    trial.wait_held(WRONG_SCALE, 60)
    wait_for(
        lambda: all(trial.of(m, "held") or not trial.is_good(m) for m in SWAPPED_WORDS), 30, "words to be rejected"
    )
    for meter, (_, held) in WRONG_SCALE.items():
        assert set(trial.since(mark, meter, "held")) - {0} == {held}, meter
        trial.wait_alarm(trial.point_of(meter), "ChargeHeld", 30)
    frozen = trial.billed(wrong)
    trial.wait_reads(trial.mark(), WRONG_SCALE, 3, 60)
    assert trial.billed(wrong) == frozen
    trial.inject_all(dict.fromkeys(SWAPPED_WORDS, ("word-order", "off")))
    trial.inject_all(dict.fromkeys(WRONG_SCALE, ("scale", "off")))
    trial.wait_billed(wrong, 120)
    for meter in wrong:
        billed = trial.since(mark, meter, "billed_milli")
        assert billed == sorted(billed), meter
        assert not trial.of(meter, "held"), meter


def test_a_register_that_goes_back_or_jumps_is_held_for_a_person(trial: Trial) -> None:
    billed = trial.billed(REPLACED + JUMPING)
    mark = trial.mark()
    trial.held.update(REPLACED, JUMPING)
    trial.inject_all(dict.fromkeys(REPLACED, ("replace", "7")))
    trial.inject_all(dict.fromkeys(JUMPING, ("jump", "5000000")))
    trial.wait_held(REPLACED + JUMPING, 60)
    for meter in REPLACED + JUMPING:
        trial.wait_alarm(trial.point_of(meter), "ChargeHeld", 30)
        held = [h for h in trial.since(mark, meter, "held") if h]
        assert set(held) == {1 if meter in REPLACED else 2}, (meter, held)
        true_before_fault = trial.of(meter, "billed_milli") - billed[meter]
        assert 0 <= true_before_fault < 100_000, f"{meter} was charged {true_before_fault} milli of a doubtful register"


def test_registers_that_roll_over_are_charged_to_the_count(trial: Trial) -> None:
    def rolled() -> bool:
        return all(trial.of(meter, "raw") < first for meter, (_, first) in ROLLING.items())

    wait_for(rolled, 150, "every register to roll over")
    begun = dict(trial.park.sql("SELECT point, first_raw FROM point_state"))
    for meter, (_, near) in ROLLING.items():
        assert begun[trial.point_of(meter)] >= near, f"{meter} rolled over before it was billed"
        assert not any(trial.since(0, meter, "held")), meter
    wait_for(lambda: all(exact(trial, m, begun[trial.point_of(m)]) for m in ROLLING), 90, "every count to be charged")


def exact(trial: Trial, meter: str, first_raw: int) -> bool:
    """Tell whether a meter was charged what its register says, over the end of its range."""
    sight, row = trial.now(), trial.row[meter]
    counts = (int(sight.raw[row]) - first_raw) % ROLLING[meter][0]
    return int(sight.billed_milli[row]) == counts * trial.park.plant.points[row].milli_per_count


@pytest.mark.at_the_end
def test_no_lie_is_billed_all_are_counted_and_the_books_are_what_the_meters_counted(
    trial: Trial, telling: Telling
) -> None:
    telling.told.result(420)
    trial.wait_billed(TOLD, 150)  # a meter with a number is charged when that was read again, at most once a minute
    trial.assert_never_back(telling.mark, TOLD)
    others = [*TOLD, *ROLLING, *SWAPPED_WORDS, *REPLACED]
    trial.assert_undisturbed(telling.mark, [*trial.others_on("gw-a1", others), *trial.others_on("gw-a2", others)])
    trial.assert_undisturbed(telling.mark, BUSY)  # asked again within the cycle: nobody noticed
    missing: list[str] = []

    def counted() -> bool:
        missing[:] = uncounted(trial, telling)
        return not missing

    try:
        wait_for(counted, 30, "the lies to be counted")
    except AssertionError as late:
        raise AssertionError(missing) from late
    trial.park.inject("clear")
    trial.settle([meter for meter in trial.row if meter not in trial.held], 150)
    trial.assert_audit()


def uncounted(trial: Trial, telling: Telling) -> list[str]:
    """Return what was told and is not in the counters."""
    missing = []
    for owner, before in telling.before.items():
        grown = {name: value - before[name] for name, value in counters(trial, owner).items()}
        for name, least in wanted_of(trial, owner).items():
            missing += [f"{owner}: {name} {grown[name]:g} of {least}"] if grown[name] < least else []
    return missing


def wanted_of(trial: Trial, owner: str) -> dict[str, int]:
    """Return by how much the counters of a device or a line must have grown; harmless lies are good replies."""
    mine = TOLD[owner] if owner in TOLD else chain(*(TOLD[m] for m in TOLD if trial.devices[m].gateway == owner))
    told = [lie for lie in mine if lie not in HARMLESS]
    lies = [lie for lie in told if not lie.startswith(EXCEPTION)]
    if owner in LIARS:
        return {}  # another one's lie may have cost its reply; their lines count
    if owner in TOLD:
        return {"failed": len(told), "Exceptions": len(told) > len(lies), "Timeouts": "late" in lies}
    if owner in SHARED_LINES:
        return {"discarded": len(lies), "BadChecksum": 1}
    return {"discarded": 1} if lies else {}

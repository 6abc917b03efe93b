"""Meters that lie, stay silent or jump, on every protocol at once: nothing false is billed, nothing true is lost.

One park; every test has devices of its own, and the last one compares the books with what the meters counted.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from drivers.field.hostile import classes_for
from scada import quality
from tests.plant.park import Park, wait_for
from tests.plant.trial import Trial, make_trial

pytestmark = [pytest.mark.plant, pytest.mark.timeout(400)]

ROLLING: Final = {  # meter -> its modulus and the register it begins with
    "e-aev2": (10**8, 10**8 - 200),  # Modbus TCP, u32
    "e-b503": (10**8, 10**8 - 100),  # DL/T 645, eight digits
    "w-b503": (10**8, 10**8 - 60),  # CJ/T 188, eight digits
    "s-bw104": (2**32, 2**32 - 1500),
    "h-bw201": (2**16, 2**16 - 1500),
}
FILES: Final = {
    "field.toml": {
        rf"^({meter} = .*initial_counts =) \d+": rf"\g<1> {first}" for meter, (_, first) in ROLLING.items()
    } | {r"^(h-a402 = .*initial_counts =) \d+": r"\g<1> 1000", r"^(h-a801 = .*initial_counts =) \d+": r"\g<1> 2000"},
    "profiles/wattkeeper-demo-steam.toml": {r"modulus_counts = .*": f"modulus_counts = {2**32}"},
    "profiles/wattkeeper-demo-heat.toml": {r"modulus_counts = .*": f"modulus_counts = {2**16}"},
    "meters.csv": {r"^(e-b403,.*),wattkeeper-demo-1p,": r"\g<1>,eastron-sdm120,"},  # a register of floats
}  # fmt: skip
LATE: Final = ("e-a102", "e-bw204", "e-b502", "w-b403")
NANS: Final = ("e-b403", "e-b602")  # floats, and decimal digits
REPLACED: Final = ("e-a402", "e-b504", "w-b601")
JUMPING: Final = ("e-a601", "e-bw201", "g-bw104")
SWAPPED_WORDS: Final = ("e-a301", "e-a701")

# Modbus TCP meters that tell every lie of the catalogue, and those behind the half-duplex lines that tell some.
LIARS: Final = ("e-a201ac", "e-a202", "e-a302", "e-a401", "e-a501", "e-a501ac", "e-a502", "e-a602", "e-a602ac",
                "e-a702", "e-a801", "e-a802", "e-a901", "e-a902")  # fmt: skip
# What a line of all pays with its time, it pays slowly: two lies a line cost a time-out, the others cost nothing.
SHARED_LINES: Final = {
    "e-bw204": ["wrong-unit", "checksum", "duplicate", "split"],  # Modbus RTU
    "e-b404": ["wrong-di", "duplicate"],  # DL/T 645
    "e-b502": ["garbage", "repeat-old"],
    "e-b601": ["truncated", "split"],
    "w-b403": ["checksum", "split"],  # CJ/T 188
    "w-b501": ["duplicate", "wrong-type"],
    "w-bw204": ["wrong-counter", "split"],  # the same behind the DTU
}
HARMLESS: Final = {  # read all the same, or out of an older reading
    "garbage", "duplicate", "split", "echo", "wake-flood", "pause", "repeat-old", "wrong-counter",
}  # fmt: skip


@pytest.fixture(scope="module")
def trial(make_shared_park: Callable[..., Park]) -> Iterator[Trial]:
    park = make_shared_park(files=FILES, **{"automatic = true": "automatic = false"})
    trial = make_trial(park)
    for meter in trial.row:  # flats use so little water that their meters would stand
        if meter.startswith(("w-b4", "w-b5", "w-b6")):
            park.inject("load", meter, "10")
    trial.wait_billed(LATE, 60)
    yield trial
    trial.watcher.stop()


def test_replies_that_come_too_late_are_never_read_as_the_next_answer(trial: Trial) -> None:
    mark = trial.mark()
    before = {meter: trial.counter(meter, "Timeouts") for meter in LATE}
    trial.tell_lies({meter: ["late"] for meter in LATE}, 60)
    wait_for(lambda: all(trial.counter(m, "Timeouts") >= before[m] + 1 for m in LATE), 30, "the time-outs be counted")
    trial.wait_billed(LATE, 120)
    for gateway in {trial.devices[meter].gateway for meter in LATE}:
        trial.assert_never_back(mark, trial.others_on(gateway, ROLLING))
    trial.assert_undisturbed(mark, trial.others_on("gw-a1", [*LATE, *ROLLING]))


def test_wrong_broken_and_repeated_replies_are_counted_and_never_billed(trial: Trial) -> None:
    lies = [name for name in classes_for("mbap") if name not in ("silence", "late")]
    plan = {meter: lies[at :: len(LIARS)] for at, meter in enumerate(LIARS)} | SHARED_LINES
    mark = trial.mark()
    gateways = {trial.devices[meter].gateway for meter, told in plan.items() if set(told) - HARMLESS}
    before = {gateway: discarded(trial, gateway) for gateway in gateways}
    trial.tell_lies(plan, 200)
    trial.wait_billed(plan, 200)
    trial.assert_never_back(mark, plan)
    trial.assert_undisturbed(mark, trial.others_on("gw-a2", [*plan, *SWAPPED_WORDS, *REPLACED]))
    for gateway in gateways:
        wait_for(lambda g=gateway: discarded(trial, g) > before[g], 20, f"what {gateway} discarded to be counted")


def discarded(trial: Trial, gateway: str) -> float:
    """Return how many replies of a gateway's meters were bad, late, foreign, or missing at the time-out."""
    return sum(trial.counter(gateway, measure) for measure in ("BadFrames", "LateFrames", "Timeouts"))


def test_exceptions_are_mapped_and_a_busy_meter_is_asked_again(trial: Trial) -> None:
    codes = dict(zip(LIARS, range(1, 12), strict=False))
    mark = trial.mark()
    before = {meter: trial.counter(meter, "Exceptions") for meter in codes}
    for meter, code in codes.items():
        trial.park.inject("hostile", meter, f"exception-{code} 1")
    wait_for(lambda: all(trial.counter(m, "Exceptions") > before[m] for m in codes), 30, "every exception be counted")
    trial.wait_billed(codes, 30)
    trial.assert_never_back(mark, codes)
    busy = [meter for meter, code in codes.items() if code in (5, 6)]
    trial.assert_undisturbed(mark, busy)  # repeated within the cycle: nobody noticed

    mark = trial.mark()
    refusing = {LIARS[0]: "exception-2", "e-b601": "exception-2"}
    for meter, lie in refusing.items():
        trial.park.inject("hostile", meter, lie)
    trial.wait_quality(refusing, lambda q: not quality.is_good(q), 30, "values that are refused not be good")
    trial.clear(refusing)
    trial.wait_billed(refusing, 60)
    trial.assert_never_back(mark, refusing)


def test_registers_that_roll_over_are_charged_to_the_count(trial: Trial) -> None:
    def rolled() -> bool:
        now = trial.now()
        return all(int(now.raw[trial.row[meter]]) < first for meter, (_, first) in ROLLING.items())

    wait_for(rolled, 90, "every register to roll over")
    begun = dict(trial.park.sql("SELECT point, first_raw FROM point_state"))
    for meter, (modulus, near) in ROLLING.items():
        first = begun[trial.point_of(meter)]
        assert first >= near, f"{meter} rolled over before it was billed"
        assert not any(trial.since(0, meter, "held")), meter
        sight = trial.now()
        counts = (int(sight.raw[trial.row[meter]]) - first) % modulus
        point = trial.park.plant.points[trial.row[meter]]
        assert int(sight.billed_milli[trial.row[meter]]) == counts * point.milli_per_count, meter


def test_a_register_that_goes_back_or_jumps_is_held_for_a_person(trial: Trial) -> None:
    billed = {meter: int(trial.now().billed_milli[trial.row[meter]]) for meter in REPLACED + JUMPING}
    mark = trial.mark()
    trial.held.update(REPLACED, JUMPING)
    trial.inject_all(dict.fromkeys(REPLACED, ("replace", "7")))
    trial.inject_all(dict.fromkeys(JUMPING, ("jump", "5000000")))
    trial.wait_held(REPLACED + JUMPING, 60)
    for meter in REPLACED + JUMPING:
        trial.wait_alarm(trial.point_of(meter), "ChargeHeld", 15)
        held = [h for h in trial.since(mark, meter, "held") if h]
        assert set(held) == {1 if meter in REPLACED else 2}, (meter, held)
        row = trial.row[meter]
        true_before_fault = int(trial.now().billed_milli[row]) - billed[meter]
        assert 0 <= true_before_fault < 100_000, f"{meter} was charged {true_before_fault} milli of a doubtful register"


def test_a_wrong_word_order_is_found_by_what_the_register_cannot_have_counted(trial: Trial) -> None:
    mark = trial.mark()
    for meter in SWAPPED_WORDS:
        trial.park.inject("word-order", meter, "CDAB")

    def rejected() -> bool:
        now = trial.now()
        return all(now.held[trial.row[m]] or not trial.is_good(m) for m in SWAPPED_WORDS)

    wait_for(rejected, 30, "the registers to be rejected")
    frozen = {meter: int(trial.now().billed_milli[trial.row[meter]]) for meter in SWAPPED_WORDS}
    trial.wait_billed(trial.others_on("gw-a3", [*LIARS, *SWAPPED_WORDS, *JUMPING])[:1] or ["e-a105"], 30)
    assert frozen == {meter: int(trial.now().billed_milli[trial.row[meter]]) for meter in SWAPPED_WORDS}
    for meter in SWAPPED_WORDS:
        trial.park.inject("word-order", meter, "off")
    trial.wait_billed(SWAPPED_WORDS, 30)
    for meter in SWAPPED_WORDS:
        billed = trial.since(mark, meter, "billed_milli")
        assert billed == sorted(billed), meter


def test_what_is_no_number_is_bad_and_is_not_billed(trial: Trial) -> None:
    for pattern in ("nan", "inf", "-inf", "denormal"):
        for meter in NANS:
            trial.park.inject("sensor", meter, pattern)
        trial.wait_quality(NANS, quality.is_bad, 30, f"{pattern} to be bad")
    mark = trial.mark()
    for meter in NANS:
        assert not trial.is_good(meter)
        trial.park.inject("sensor", meter, "off")
    trial.wait_billed(NANS, 60)
    trial.assert_never_back(mark, NANS)


@pytest.mark.at_the_end
def test_the_books_are_what_the_meters_counted(trial: Trial) -> None:
    trial.park.inject("clear")
    trial.settle([meter for meter in trial.row if meter not in trial.held], 90)
    code, last = trial.park.audit()
    assert code == 0, last
    assert last.endswith(" 0 differences")

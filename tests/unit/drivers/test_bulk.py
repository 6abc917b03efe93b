"""The bulk decoder against its slow twin on random payloads, and the order of replies and failures in one scan."""

import struct
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from harness import CLOSED_WORD, OPEN_WORD, Plant, profile, register
from hypothesis import given
from hypothesis import strategies as st

from drivers import bulk_twin
from drivers.bulk import BulkDecoder
from drivers.bulk_program import make_program
from drivers.device import Device
from drivers.pollplan import plan_blocks
from drivers.profile import Billing, Profile, Switch
from drivers.readings import DeviceReadings
from drivers.replies import ReplyStore
from scada.clock import NS_PER_S
from scada.image import RATE_COLUMNS, Columns, Layout
from scada.position import BAD_STATE, CLOSED, OPEN
from scada.quality import (
    BAD_CONFIGURATION_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_SENSOR_FAILURE,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    UNCERTAIN_LAST_USABLE,
    UNCERTAIN_NO_COMMUNICATION,
    is_bad,
)
from scada.stage import Stage

NOW_NS = 1_780_000_000 * NS_PER_S + 123_456_789
OFFSET_S = 8 * 3600
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
NO_ROW = -1

scales = st.sampled_from(
    [Fraction(1), Fraction(1, 100), Fraction(1, 10), Fraction(1, 1000), Fraction(3), Fraction(5, 7)]
)
limits = st.tuples(st.none() | st.floats(-1e6, 0), st.none() | st.floats(1, 1e9))


@st.composite
def registers(draw: st.DrawFn, name: str, at: int, modbus: bool) -> Any:
    """Draw a register of any type that begins at a byte (an even one for Modbus)."""
    kinds = ["u16", "s16", "u32", "s32", "u64", "s64", "f32", "bcd", "sbcd", "clock", "masked", "bit"]
    kind = draw(st.sampled_from(kinds if modbus else [*kinds, "unit"]))
    low, high = draw(limits)
    more: dict[str, Any] = {
        "low": low,
        "high": high,
        "scale": draw(scales),
        "ratio": draw(st.sampled_from(["", "ct", "ctpt"])),
    }
    if modbus:
        place, function = {"address": at // 2}, 3
    else:
        place, function = {"address": 0}, 0
        more |= {"di": 0x901F, "at": at}
    if kind == "clock":
        layouts = ["smhDMYC-", "smhwDMY-", "YMDhms--", "smh-", "mh"]
        layout = draw(st.sampled_from([*layouts, "-YMDhmtt", "tthm"] if modbus else layouts))
        more |= {"size": len(layout), "layout": layout, "scale": Fraction(1), "ratio": ""}
    elif kind in ("bcd", "sbcd"):
        more["size"] = draw(st.sampled_from([2, 4, 6, 8] if modbus else [1, 2, 3, 4, 5, 6, 8]))
    elif kind == "unit":
        kind = "bcd"
        more |= {"size": 4, "unit_at": at + 4, "scale": Fraction(1, 100)}
    elif kind == "masked":
        kind = draw(st.sampled_from(["u16", "s16", "u32"]))
        more["mask"] = draw(st.integers(1, 0xFFFF))
    if kind in ("u16", "s16", "u32", "s32", "u64", "s64", "f32"):
        more["order"] = draw(st.sampled_from(ORDERS))
        more["absent"] = draw(st.sampled_from([None, 0, 0xFFFF, 0x7FC00000, 0xFFFF_FFFF]))
    made = register(name, place["address"], kind, function, **more)
    return replace(made, unit=draw(st.sampled_from(["m3", "kWh", "L"]))) if made.unit_at >= 0 else made


@st.composite
def models(draw: st.DrawFn) -> Profile:
    """Draw a profile of some registers, one of which is charged and one the position of a switch, perhaps."""
    modbus = draw(st.booleans())
    found, at = [], 0
    for number in range(draw(st.integers(1, 6))):
        made = draw(registers(f"R{number}", at, modbus))
        found.append(made)
        at += made.bytes + (made.unit_at >= 0)
        at += at % 2
    charged = [r for r in found if r.type not in ("clock", "bit", "f32") and not r.mask]
    floats = [r for r in found if r.type == "f32"]
    billing = None
    if charged:
        rates = tuple(draw(st.sampled_from(["", *(r.measure for r in charged)])) for _ in RATE_COLUMNS)
        billing = Billing(
            draw(st.sampled_from(charged)).measure, 10, draw(st.sampled_from([100, 10**8, 2**40, 2**63])), rates
        )
    elif floats and floats[0].scale.denominator != 7:
        billing = Billing(floats[0].measure, draw(st.sampled_from([1, 10, 1000])), 10**9)
    whole = [
        r for r in found if r.type in ("u16", "s16", "u32", "bit") and (billing is None or r.measure != billing.measure)
    ]
    named = {billing.measure, *billing.rates} if billing else set()
    switch = None
    if whole and whole[0].measure not in named:
        switch = Switch(whole[0].measure, ((0, OPEN), (1, CLOSED), (0xFFFF, OPEN)), 6, 0, 0, 1)
    return profile(*found, billing=billing, switch=switch, protocol="modbus" if modbus else "cjt188", merge_gap=4)


interesting = st.sampled_from(
    [b"\x00", b"\xff", b"\x99", b"\x12", b"\x7f", b"\x80", b"\x2c", b"\x29", b"\x20", b"\x05", b"\x01"]
)


@st.composite
def payloads(draw: st.DrawFn, size: int) -> bytes:
    """Draw random bytes, or digits, or what meters send when they have nothing."""
    kind = draw(st.sampled_from(["any", "digits", "interesting"]))
    if kind == "any":
        return draw(st.binary(min_size=size, max_size=size))
    if kind == "digits":
        return bytes.fromhex("".join(f"{draw(st.integers(0, 99)):02d}" for _ in range(size)))
    return b"".join(draw(interesting) for _ in range(size))


def plant_of(model: Profile, ratios: list[tuple[int, int]]) -> tuple[list[Device], Stage, Columns]:
    k = len(model.registers)
    devices = [
        Device(
            f"m{n}", "g", n + 1, model, ct, pt, {r.measure: n * k + i for i, r in enumerate(model.registers)},
            point=n if model.billing else NO_ROW,
        )
        for n, (ct, pt) in enumerate(ratios)
    ]  # fmt: skip
    layout = Layout({"tags": k * len(devices), "points": len(devices), "accounts": 0, "alarms": 0}, bytes(32))
    return devices, Stage(layout, np.zeros(k * len(devices), dtype=np.bool_), 1.0, 1), Columns.private(layout)


@given(st.data())
def test_the_kernel_says_what_its_slow_twin_says(data: st.DataObject) -> None:
    """Payload after payload of several devices: values, qualities, times, registers, rates; bad rows keep what was."""
    model = data.draw(models())
    devices, stage, work = plant_of(model, [(1, 1), (40, 1), (40, 100)])
    store = ReplyStore(devices)
    bulk = BulkDecoder(store, stage, ZoneInfo("Asia/Shanghai"))
    plan = plan_blocks(model)
    want_tags = [[0.0, BAD_WAITING_FOR_INITIAL_DATA, 0] for _ in range(len(work.tags.value))]
    want_points: list[list[Any]] = [[0, BAD_WAITING_FOR_INITIAL_DATA, 0, (-1,) * 5] for _ in devices]
    for turn in range(2):
        now_ns = NOW_NS + turn
        for n, device in enumerate(devices):
            for number, block in enumerate(plan):
                payload = data.draw(payloads(block.payload_bytes))
                store.put(store.slot(device.id, number), payload, now_ns)
                told = bulk_twin.read(model, block, device.ct, device.pt, payload, now_ns, OFFSET_S)
                expect(device, model, block.registers, told, want_tags, want_points[n], now_ns)
        stage.publish(work, turn + 1, now_ns)
        assert not store.fresh.any()
    tags, points = work.tags, work.points
    columns = (tags.value.tolist(), tags.quality.tolist(), tags.source_time.tolist())
    got_tags = [list(row) for row in zip(*columns, strict=True)]
    assert got_tags == want_tags
    rates = zip(*(getattr(points, name).tolist() for name in RATE_COLUMNS), strict=True)
    got = zip(points.raw.tolist(), points.quality.tolist(), points.source_time.tolist(), rates, strict=True)
    if model.billing is not None:
        assert [list(row) for row in got] == want_points
    assert bulk.store is store


def expect(
    device: Device,
    model: Profile,
    members: tuple[int, ...],
    told: bulk_twin.Reading,
    tags: Any,
    point: Any,
    now_ns: int,
) -> None:
    """Do to the expected columns what a reply does."""
    for index, each in zip(members, told.registers, strict=True):
        row = tags[device.rows[model.registers[index].measure]]
        row[1] = each.quality
        if not is_bad(each.quality):
            row[0], row[2] = each.value, now_ns
    if told.billed:
        point[1] = told.quality
        if told.raw is not None:
            point[0], point[2], point[3] = told.raw, now_ns, told.rates


# ---- order in one scan


def one_meter() -> tuple[Plant, DeviceReadings]:
    plant = Plant(1)
    return plant, DeviceReadings(plant.devices[0], BulkDecoder(ReplyStore(plant.devices), plant.stage))


def shown(plant: Plant) -> tuple[float, int, int, int, int]:
    """Return value, quality and time of the energy, then register and quality of its point."""
    work = plant.publish()
    tags, points = work.tags, work.points
    tag = (float(tags.value[0]), int(tags.quality[0]), int(tags.source_time[0]))
    return (*tag, int(points.raw[0]), int(points.quality[0]))


def recent(plant: Plant) -> int:
    return plant.clock.utc_ns()


def test_a_reply_before_a_failure_gives_its_value_and_the_failure_its_quality() -> None:
    plant, readings = one_meter()
    now_ns = recent(plant)
    readings.accept(0, struct.pack(">IH", 1234, 2300), now_ns)
    readings.lose(UNCERTAIN_LAST_USABLE)
    assert shown(plant) == (12.34, UNCERTAIN_LAST_USABLE, now_ns, 1234, UNCERTAIN_LAST_USABLE)


def test_a_reply_after_a_failure_is_good() -> None:
    plant, readings = one_meter()
    now_ns = recent(plant)
    readings.accept(0, struct.pack(">IH", 1234, 2300), now_ns - 1)
    readings.lose(UNCERTAIN_LAST_USABLE)
    readings.accept(0, struct.pack(">IH", 1235, 2300), now_ns)
    assert shown(plant) == (12.35, GOOD, now_ns, 1235, GOOD)


def test_a_refusal_after_a_reply_in_one_scan_stands() -> None:
    plant, readings = one_meter()
    now_ns = recent(plant)
    readings.accept(0, struct.pack(">IH", 1234, 2300), now_ns)
    readings.reject(0, BAD_DEVICE_FAILURE)
    assert shown(plant) == (12.34, BAD_DEVICE_FAILURE, now_ns, 1234, BAD_DEVICE_FAILURE)
    readings.lose(UNCERTAIN_NO_COMMUNICATION)
    assert shown(plant)[1] == BAD_NO_COMMUNICATION, "what was given up never becomes the last usable"


def test_failures_alone_never_make_a_value() -> None:
    plant, readings = one_meter()
    readings.lose(UNCERTAIN_LAST_USABLE)
    assert shown(plant) == (0.0, BAD_NO_COMMUNICATION, 0, 0, BAD_NO_COMMUNICATION)


def test_the_position_is_known_at_once() -> None:
    plant, readings = one_meter()
    block = readings.switch_blocks[0]
    assert readings.accept_now(block, struct.pack(">H", OPEN_WORD), recent(plant)) == OPEN
    assert plant.stage.newest(2)[0] == OPEN
    assert readings.accept_now(block, struct.pack(">H", CLOSED_WORD), recent(plant)) == CLOSED
    assert readings.accept_now(block, struct.pack(">H", 0x55), recent(plant)) == BAD_STATE


def test_a_position_that_is_absent_proves_nothing() -> None:
    switch = Switch("P", ((0xFFFF, OPEN), (1, CLOSED)), 6, 0, 0, 1)
    model = profile(register("P", 0, absent=0xFFFF), switch=switch)
    devices, stage, _ = plant_of(model, [(1, 1)])
    readings = DeviceReadings(devices[0], BulkDecoder(ReplyStore(devices), stage))
    assert readings.accept_now(0, b"\xff\xff", NOW_NS) is None


# ---- single meanings, by hand


def decoded(model: Profile, payload: bytes, now_ns: int = NOW_NS) -> Columns:
    devices, stage, work = plant_of(model, [(1, 1)])
    store = ReplyStore(devices)
    BulkDecoder(store, stage, ZoneInfo("Asia/Shanghai"))
    store.put(0, payload, now_ns)
    stage.publish(work, 1, now_ns)
    return work


def water(unit: int) -> Columns:
    model = profile(
        register("Volume", 0, "bcd", 0, scale=Fraction(1, 100), di=0x901F, size=4, unit_at=4),
        billing=Billing("Volume", 10, 10**8), protocol="cjt188",
    )  # fmt: skip
    model = replace(model, registers=(replace(model.registers[0], unit="m3"),))
    return decoded(model, bytes.fromhex("45230100") + bytes([unit]))


@pytest.mark.parametrize(
    ("unit", "value", "raw"), [(0x2C, 123.45, 12345), (0x2D, 1234.5, 123450), (0x2E, 12345.0, 1234500)]
)
def test_a_unit_byte_scales_value_and_billing_exactly(unit: int, value: float, raw: int) -> None:
    work = water(unit)
    assert (work.tags.value[0], work.points.raw[0], work.points.quality[0]) == (value, raw, GOOD)


@pytest.mark.parametrize(
    ("unit", "quality"), [(0x29, BAD_CONFIGURATION_ERROR), (0x05, BAD_SENSOR_FAILURE), (0xFF, BAD_SENSOR_FAILURE)]
)
def test_a_unit_that_cannot_be_billed_is_bad(unit: int, quality: int) -> None:
    work = water(unit)
    assert (work.points.raw[0], work.points.quality[0], work.tags.quality[0]) == (0, quality, quality)


@pytest.mark.parametrize(
    ("text", "ahead_s"),
    [("20260715102030", 0.0), ("20260715102130", 60.0), ("20260714102030", -86400.0), ("20260230102030", None),
     ("2026071510203A", None), ("20261315102030", None), ("20260715242030", None)],
)  # fmt: skip
def test_a_clock_is_compared_with_our_receipt(text: str, ahead_s: float | None) -> None:
    model = profile(register("ClockDeviation", 0, "clock", 0, di=1, size=7, layout="smhDMYC"), protocol="cjt188")
    ours = datetime(2026, 7, 15, 10, 20, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
    work = decoded(
        model,
        bytes.fromhex(text)[::-1][:5] + bytes.fromhex(text[2:4]) + bytes.fromhex(text[:2]),
        round(ours.timestamp()) * NS_PER_S,
    )
    if ahead_s is None:
        assert work.tags.quality[0] == BAD_SENSOR_FAILURE
    else:
        assert (work.tags.value[0], work.tags.quality[0]) == (ahead_s, GOOD)
    assert ours.astimezone(UTC).hour == 2


# What registers show, and how far that is ahead of 2026-07-15 10:20:30.500 in Shanghai
MODBUS_CLOCKS = [
    ("YMDhms", "1A07 0F0A 141E", -0.5),  # Acrel
    ("YMDhms", "1A07 0F0A 151E", 59.5),
    ("YMDhms", "1207 0F0A 141E", -0.5 - 2922 * 86_400),  # 2018
    ("YMDhms", "1A02 1E0A 141E", None),
    ("YMDhms", "FFFF FFFF FFFF", None),
    ("-YMDhmtt", "001A 070F 0A14 7724", 0.0),  # Schneider Electric: 30,500 ms of the minute
    ("-YMDhmtt", "001A 078F 8A94 7724", 0.0),  # with weekday 4, summer time and the mark of validity
    ("-YMDhmtt", "001A 070F 0A14 EA5F", 29.499),
    ("-YMDhmtt", "001A 070F 0A14 EA60", None),  # a minute ends at 59,999 ms
    ("-YMDhmtt", "001A 070F 0A3C 0000", None),
    ("-YMDhmtt", "007F 070F 0A14 0000", None),
    ("-YMDhmtt", "FFFF FFFF FFFF FFFF", None),
]


@pytest.mark.parametrize(("layout", "words", "ahead_s"), MODBUS_CLOCKS)
def test_a_clock_in_registers_is_binary(layout: str, words: str, ahead_s: float | None) -> None:
    payload = bytes.fromhex(words)
    model = profile(register("ClockDeviation", 0x3C, "clock", size=len(payload), layout=layout))
    ours = datetime(2026, 7, 15, 10, 20, 30, 500_000, tzinfo=ZoneInfo("Asia/Shanghai"))
    work = decoded(model, payload, round(ours.timestamp() * 10) * NS_PER_S // 10)
    if ahead_s is None:
        assert work.tags.quality[0] == BAD_SENSOR_FAILURE
    else:
        assert (work.tags.value[0], work.tags.quality[0]) == (ahead_s, GOOD)


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (register("R", 0, "clock", size=4, layout="ttmh"), ""),
        (register("R", 0, "clock", size=4, layout="tmh-"), "is not one letter"),
        (register("R", 0, "clock", size=6, layout="ttsmh-"), "is not one letter"),
        (register("R", 0, "clock", 0, di=1, size=4, layout="ttmh"), "is not one letter"),
        (register("R", 0, "bcd", 0, di=1, size=9), "can be decoded"),
        (register("R", 0, "u32", 0, di=1, size=3, order="CDAB"), "cannot swap"),
        (register("R", 0, "f32", mask=1), "cannot have a mask"),
        (register("R", 0, "clock", 0, di=1, size=2, layout="DM"), "no time"),
        (register("R", 0, "clock", 0, di=1, size=2, layout="m"), "is not one letter"),
    ],
)
def test_a_profile_that_cannot_be_decoded_is_named(made: Any, wrong: str) -> None:
    model = profile(made, protocol="modbus" if made.function else "cjt188")
    if not wrong:
        make_program(model, plan_blocks(model)[0], [(1, 1)])
        return
    with pytest.raises(ValueError, match=wrong):
        make_program(model, plan_blocks(model)[0], [(1, 1)])


def test_what_is_read_seldom_grows_stale_later() -> None:
    """A value of class "hour" is good for three hours; one behind a gateway of 60 s for three minutes."""
    model = profile(register("Often", 0), register("Seldom", 9, poll="hour"))
    devices, _, work = plant_of(model, [(1, 1), (1, 1)])
    devices[1] = replace(devices[1], gateway="slow")
    layout = Layout({"tags": 4, "points": 2, "accounts": 0, "alarms": 0}, bytes(32))
    stage = Stage(layout, np.ones(4, dtype=np.bool_), 1.0, 1)
    store = ReplyStore(devices)
    BulkDecoder(store, stage, UTC, {"g": 1.0, "slow": 60.0})
    for slot in range(4):
        store.put(slot, b"\0\1", NOW_NS)
    stage.publish(work, 1, NOW_NS)
    assert (work.tags.quality == GOOD).all()
    ages = {
        11: [UNCERTAIN_NO_COMMUNICATION, GOOD, GOOD, GOOD],
        181: [BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_NO_COMMUNICATION, GOOD],
    }
    for scan, (age_s, qualities) in enumerate(ages.items(), start=2):
        stage.publish(work, scan, NOW_NS + age_s * NS_PER_S)
        assert work.tags.quality.tolist() == qualities
    stage.publish(work, 9, NOW_NS + 3 * 3600 * NS_PER_S + NS_PER_S)
    assert work.tags.quality[1] == work.tags.quality[3] == UNCERTAIN_NO_COMMUNICATION

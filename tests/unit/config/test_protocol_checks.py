"""Checks of profiles of every protocol, seen to fail: one slip in a profile gives exactly the faults of its row."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from config.loader import read_sources
from config.profile_checks import PROFILE_CHECKS
from config.protocol_checks import PROTOCOL_CHECKS

PROFILES = Path(__file__).parents[3] / "config" / "profiles"
DLT, OLD, WATER, GAS, HEAT = "dlt645-2007-3p", "dlt645-1997", "cjt188-cold-water", "cjt188-gas", "cjt188-heat"
MODBUS, SWITCHED = "acrel-adl3000", "wattkeeper-demo-1p"


class Case(NamedTuple):
    """One slip: `old` becomes `new` in a profile; `faults` is what is said about it."""

    profile: str
    old: str
    new: str
    faults: list[str]


CASES = (
    # keys of one protocol only
    Case(MODBUS, "merge_gap = 8", "merge_gap = 8\nwake_bytes = 4", ["wake_bytes: means nothing with protocol modbus"]),
    Case(
        MODBUS,
        "address = 0x000A, ",
        "",
        ["registers.ActiveEnergyImportTotal.address: missing, and protocol modbus needs it"],
    ),
    Case(
        MODBUS,
        "address = 0x0077, ",
        "address = 0x0077, at = 2, ",
        ["registers.Frequency.at: means nothing with protocol modbus"],
    ),
    Case(
        MODBUS,
        'address = 0x0077, type = "u16"',
        'address = 0x0077, type = "bcd"',
        ["registers.Frequency.type: 'bcd' with protocol modbus"],
    ),
    Case(DLT, "phases = 3", "phases = 3\nmerge_gap = 8", ["merge_gap: means nothing with protocol dlt645-2007"]),
    Case(
        DLT,
        'di = "02800002"',
        'function = 3, address = 1, di = "02800002"',
        [
            "registers.Frequency.address: means nothing with protocol dlt645-2007",
            "registers.Frequency.function: means nothing with protocol dlt645-2007",
        ],
    ),
    Case(DLT, 'di = "02800002"', 'di = "9010"', ["registers.Frequency.di: '9010' with protocol dlt645-2007"]),
    Case(OLD, "phases = 3", "phases = 3\nlevel = 4", ["level: means nothing with protocol dlt645-1997"]),
    Case(WATER, "meter_type = 0x10", "meter_type = 0x10\nlevel = 4", ["level: means nothing with protocol cjt188"]),
    # forms
    Case(
        MODBUS,
        'address = 0x0077, type = "u16"',
        'address = 0x0077, size = 2, type = "u16"',
        ["registers.Frequency.size: means nothing with type u16 of protocol modbus"],
    ),
    Case(
        MODBUS,
        'size = 6, layout = "YMDhms"',
        'size = 5, layout = "YMDhm"',
        ["registers.ClockDeviation.size: 5 bytes of a clock in registers"],
    ),
    Case(MODBUS, 'size = 6, layout = "YMDhms"', 'size = 8, layout = "-YMDhmtt"', []),
    Case(
        MODBUS,
        'size = 6, layout = "YMDhms"',
        'size = 8, layout = "YMDhmstt"',
        [
            "registers.ClockDeviation.layout: 'YMDhmstt' names a byte twice",
            "registers.ClockDeviation.layout: 'YMDhmstt' has milliseconds",
        ],
    ),
    Case(
        MODBUS,
        'size = 6, layout = "YMDhms"',
        'size = 6, layout = "YMDhmt"',
        ["registers.ClockDeviation.layout: 'YMDhmt' has milliseconds"],
    ),
    Case(
        MODBUS,
        'size = 6, layout = "YMDhms"',
        'size = 6, layout = "YMDhms", order = "CDAB"',
        ["registers.ClockDeviation.order: means nothing with type clock, whose layout names each byte"],
    ),
    Case(
        MODBUS,
        'address = 0x003C, type = "clock"',
        'address = 0x0027, type = "clock"',
        ["registers.ClockDeviation.address: 0x0027-0x0029 overlaps 'ReactiveEnergyTotal'"],
    ),
    Case(
        MODBUS,
        'address = 0x003C, type = "clock"',
        'address = 0xFFFE, type = "clock"',
        ["registers.ClockDeviation.address: ends behind register 65535"],
    ),
    Case(
        WATER,
        'layout = "smhDMYC"',
        'layout = "tthDMYm"',
        [
            "registers.ClockDeviation.layout: 'tthDMYm' names a byte twice",
            "registers.ClockDeviation.layout: 'tthDMYm' has milliseconds",
        ],
    ),
    Case(
        DLT,
        'en = "Frequency", size = 2',
        'en = "Frequency"',
        ["registers.Frequency.size: missing, and type bcd needs it"],
    ),
    Case(
        DLT,
        'en = "Switch position", order',
        'en = "Switch position", size = 4, order',
        ["registers.Position.size: 4 bytes of type u16"],
    ),
    Case(
        DLT,
        'en = "Frequency", size = 2',
        'en = "Frequency", size = 2, order = "DCBA"',
        ["registers.Frequency.order: means nothing with type bcd, whose lowest byte comes first"],
    ),
    Case(
        DLT,
        'en = "Frequency", size = 2',
        'en = "Frequency", size = 2, layout = "sm"',
        ["registers.Frequency.layout: means nothing with type bcd"],
    ),
    Case(
        DLT,
        'layout = "smhwDMY"',
        'layout = "smhwDM"',
        [
            "registers.ClockDeviation.layout: 'smhwDM' for 7 bytes",
            "registers.ClockDeviation.layout: 'smhwDM' lacks Y",
        ],
    ),
    Case(
        DLT,
        'layout = "smhwDMY"',
        'layout = "mmhwDMY"',
        ["registers.ClockDeviation.layout: 'mmhwDMY' names a byte twice"],
    ),
    Case(DLT, 'layout = "smhwDMY"', 'layout = "xmhwDMY"', ["registers.ClockDeviation.layout: 'xmhwDMY'"]),
    Case(
        DLT,
        'type = "clock", unit = "s"',
        'type = "clock"',
        ["registers.ClockDeviation.unit: '', and the value of a clock is its deviation"],
    ),
    Case(
        WATER,
        'unit = "m3", zh = "累计水量"',
        'unit = "t", zh = "累计水量"',
        ["registers.WaterVolume.unit: 't' has no unit code in CJ/T 188"],
    ),
    # places
    Case(
        DLT,
        'di = "0001FF00", at = 4,',
        'di = "0001FF00", at = 3,',
        ["registers.ActiveEnergyImportSharp.at: bytes 3 to 6 of 0001FF00 overlap 'ActiveEnergyImportTotal'"],
    ),
    Case(
        DLT,
        "mask = 0x0040",
        "mask = 0x0050",
        ["registers.RelayCommand.at: bytes 0 to 1 of 04000503 overlap 'Position'"],
    ),
    Case(DLT, "mask = 0x0040", "mask = 0x10000", ["registers.RelayCommand.mask: 0x10000 does not fit"]),
    Case(
        DLT,
        'en = "Frequency", size = 2',
        'en = "Frequency", size = 2, mask = 1',
        ["registers.Frequency.mask: means nothing with type bcd"],
    ),
    Case(
        WATER,
        'zh = "电池欠压", en = "Battery low", order',
        'zh = "电池欠压", en = "Battery low", poll = "hour", order',
        ["registers.BatteryLow.poll: 'hour', and 'WaterVolume' of the same identifier is read each 'scan'"],
    ),
    Case(
        WATER,
        "size = 4, unit_at = 4",
        "size = 4, unit_at = 3",
        ["registers.WaterVolume.unit_at: 3 is within its digits"],
    ),
    Case(WATER, "any", "any", []),
    Case(
        WATER,
        "[billing]",
        '[[data]]\ndi = "901F"\nbytes = 18\n\n[billing]',
        ["data.901F: 18 bytes, and its registers reach to byte 19"],
    ),
    Case(
        WATER,
        "[billing]",
        '[[data]]\ndi = "901F"\nbytes = 19\n[[data]]\ndi = "901F"\nbytes = 19\n\n[billing]',
        ["data.901F: stands twice"],
    ),
    Case(
        WATER,
        "[billing]",
        '[[data]]\ndi = "911F"\nbytes = 19\n\n[billing]',
        ["data.911F: no register reads it (did you mean '901F'?)"],
    ),
    # identity, clock
    Case(
        DLT,
        'identity = "MeterNumber"',
        'identity = "MeterNo"',
        ["identity: unknown measure 'MeterNo' (did you mean 'MeterNumber'?)"],
    ),
    Case(
        DLT,
        'identity = "MeterNumber"',
        'identity = "ActivePowerL1"',
        ["identity: 'ActivePowerL1' is of type sbcd, scale 0.0001"],
    ),
    Case(
        "abb-b23",
        'poll = "connect"',
        'poll = "hour"',
        ["identity: 'MeterNumber' is read each 'hour'"],
    ),
    Case(DLT, 'clock = "ClockDeviation"', 'clock = "MeterNumber"', ["clock: 'MeterNumber' is of type bcd, scale 1"]),
    # switch
    Case(DLT, 'open = "trip"', "", ["switch.open: missing, and protocol dlt645-2007 needs it"]),
    Case(DLT, 'open = "trip"', 'open = "tripp"', ["switch.open: 'tripp' (did you mean 'trip'?)"]),
    Case(DLT, 'close = "direct-close"', 'close = "trip"', ["switch.close: 'trip'"]),
    Case(
        DLT,
        'open = "trip"',
        'open = "trip"\nopen_value = 1',
        ["switch.open_value: means nothing with protocol dlt645-2007"],
    ),
    Case(
        SWITCHED,
        "open_value = 0x5555",
        "open_value = 0x5555\nn2 = 1",
        ["switch.n2: means nothing with protocol modbus"],
    ),
    Case(SWITCHED, "function = 6\n", "", ["switch.function: missing, and protocol modbus needs it"]),
    Case(WATER, 'close = "open-valve"', "", ["switch.close: missing, and protocol cjt188 needs it"]),
    Case(
        GAS,
        'open = "shut-valve"',
        'open = "shut-valve"\nclose = "open-valve"',
        ["switch.close: opens a gas valve from afar"],
    ),
    Case(
        OLD,
        "[billing]",
        '[switch]\nposition = "Position"\nopen_raw = [1]\nclosed_raw = [0]\n\n[billing]',
        [
            "switch.position: unknown measure 'Position'",
            "switch: protocol dlt645-1997 has no command for a relay",
        ],
    ),
    # write whitelist
    Case(
        MODBUS,
        "merge_gap = 8",
        "merge_gap = 8\nwritable = [{ function = 16, first = 0x0000, last = 0x000A }]",
        ["writable.1: 0x0000-0x000a covers 'ActiveEnergyImportTotal', which counts"],
    ),
    Case(
        MODBUS,
        "merge_gap = 8",
        "merge_gap = 8\nwritable = [{ function = 16, first = 3, last = 2 }]",
        ["writable.1: 0x0003 is behind 0x0002"],
    ),
    Case(MODBUS, "merge_gap = 8", "merge_gap = 8\nwritable = [{ function = 5, first = 0, last = 0xFF }]", []),
    # billing of packed decimals
    Case(
        DLT,
        "modulus_counts = 100_000_000",
        "modulus_counts = 100_000_001",
        ["billing.modulus_counts: 100000001 does not fit into bcd"],
    ),
    Case(
        DLT,
        'measure = "ActiveEnergyImportTotal"\nmilli_per_count = 10',
        'measure = "ActivePowerL1"\nmilli_per_count = 10',
        [
            "billing.measure: 'ActivePowerL1' is of type sbcd",
        ],
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.profile} {case.new}"[:70])
def test_one_slip(tmp_path: Path, case: Case) -> None:
    assert said(tmp_path, case) == case.faults


def said(folder: Path, case: Case) -> list[str]:
    """Return what the checks of profiles say about a copy with a slip in it, without what is allowed."""
    text = (PROFILES / f"{case.profile}.toml").read_text(encoding="utf-8")
    assert case.old in text, f"{case.profile} no longer holds {case.old!r}"
    own = folder / "profiles"
    own.mkdir()
    (own / f"{case.profile}.toml").write_text(text.replace(case.old, case.new, 1), encoding="utf-8")
    sources = read_sources(folder)
    faults = [fault for fault in sources.faults if fault.file.startswith("profiles/")]
    faults += [fault for check in PROFILE_CHECKS + PROTOCOL_CHECKS for fault in check(sources)]
    assert all(fault.allowed for fault in faults)
    return [str(fault).removeprefix(f"{fault.file}: ").partition("; allowed: ")[0] for fault in faults]


def test_every_check_has_a_case(tmp_path: Path) -> None:
    silent = set(PROTOCOL_CHECKS)
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        said(folder, case)
        sources = read_sources(folder)
        silent -= {check for check in silent if list(check(sources))}
        shutil.rmtree(folder)
    assert silent == set()

"""Profiles and single stations for the tests of what the simulated field says on raw lines."""

from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from drivers.device import Device, Secret
from drivers.field.model import Field, SimMeter
from drivers.field.station import Station
from drivers.profile import Billing, DataItem, Profile, Register, Switch
from scada.position import CLOSED, OPEN

NOON_NS = 1_763_524_800_000_000_000  # Wednesday 2025-11-19 12:00 in Shanghai
SECOND_NS = 1_000_000_000


def item(measure: str, di: int, kind: Any, size: int, scale: str, unit: str, **more: Any) -> Register:
    return Register(measure, 0, 0, kind, Fraction(scale), unit, measure, measure, di=di, size=size, **more)


STATUS = {"kind": "u16", "size": 2, "scale": "1", "unit": "", "order": "BADC"}
DLT_2007 = Profile(
    "d07", "test", "d07", "electricity",
    (
        item("ActiveEnergyImportTotal", 0x00010000, "bcd", 4, "1/100", "kWh", ratio="ct"),
        item("VoltageL1", 0x02010100, "bcd", 2, "1/10", "V"),
        item("CurrentL1", 0x02020100, "sbcd", 3, "1/1000", "A", ratio="ct"),
        item("ActivePowerTotal", 0x02030000, "sbcd", 3, "1/10000", "kW", ratio="ct"),
        item("Position", 0x04000503, mask=0x10, **STATUS),
        item("ClockDeviation", 0x0400010C, "clock", 7, "1", "s", layout="smhwDMY"),
        item("MeterNumber", 0x04000402, "bcd", 6, "1", ""),
    ),
    Billing("ActiveEnergyImportTotal", 10, 100_000_000),
    Switch("Position", ((0, CLOSED), (1, OPEN)), 0, 0, 0x1A, 0x1C, "CurrentL1"),
    protocol="dlt645-2007", identity="MeterNumber", clock="ClockDeviation",
)  # fmt: skip
DLT_1997 = Profile(
    "d97", "test", "d97", "electricity",
    (
        item("ActiveEnergyImportTotal", 0x9010, "bcd", 4, "1/100", "kWh"),
        item("VoltageL1", 0xB611, "bcd", 2, "1", "V"),
    ),
    Billing("ActiveEnergyImportTotal", 10, 100_000_000), None, protocol="dlt645-1997",
)  # fmt: skip
CJT_WATER = Profile(
    "c188", "test", "c188", "water",
    (
        item("WaterVolume", 0x901F, "bcd", 4, "1/100", "m3", unit_at=4),
        item("ClockDeviation", 0x901F, "clock", 7, "1", "s", at=10, layout="smhDMYC"),
        item("Position", 0x901F, at=17, mask=0x03, **STATUS),
    ),
    Billing("WaterVolume", 10, 100_000_000),
    Switch("Position", ((0, CLOSED), (1, OPEN)), 0, 0, 0x99, 0x55),
    protocol="cjt188", data=(DataItem(0x901F, 19),), clock="ClockDeviation", di_low_first=True,
)  # fmt: skip


def raw_meter(name: str, profile: Profile, address: str, gateway: str = "line", **more: Any) -> SimMeter:
    secret = Secret("123456", "00000000")
    ct = more.pop("ct", 1)
    device = Device(
        name, gateway, more.pop("unit", 0), profile, ct, 1, {}, address=address, serial=address, secret=secret
    )
    return SimMeter(device, shape="flat", **more)


def raw_station(profile: Profile, address: str, **more: Any) -> Station:
    field = Field([raw_meter("m", profile, address, **more)], ZoneInfo("Asia/Shanghai"))
    field.step(NOON_NS, 0)
    return Station(field, field.states["m"])


def go_on(station: Station, seconds: float) -> None:
    """Let plant and real time pass for a single station."""
    field = station.field
    field.step(field.utc_ns + int(seconds * SECOND_NS), field.mono_ns + int(seconds * SECOND_NS))
    field.latch()


def octets(text: str) -> bytes:
    return bytes.fromhex(text)

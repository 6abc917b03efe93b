"""The words of CJ/T 188: unit codes, meter types, data identifiers, status bits and reply layouts, as tables.

Rule: data and look-ups only; `drivers.cjt188` makes and judges frames, the bulk decoder and profiles read the tables.
Source: CJ/T 188-2004 with the additions of the 2018 edition; [V] seen in public material, [K] to be proven on a device.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from drivers.outcome import ExceptionMeaning
from scada.quality import BAD_CONFIGURATION_ERROR, BAD_DEVICE_FAILURE

PLAIN_TYPES: Final = range(0x10, 0x4A)  # T: 1x water, 2x heat and cooling, 3x gas, 4x others
GAS_TYPES: Final = range(0x30, 0x3A)
# T -> names; [V], 22 since 2018
TYPE_NAMES: Final[dict[int, tuple[str, str]]] = {
    0x10: ("冷水表", "cold water"),
    0x11: ("生活热水表", "domestic hot water"),
    0x12: ("直饮水表", "drinking water"),
    0x13: ("中水表", "reclaimed water"),
    0x20: ("热量表（计热量）", "heat"),
    0x21: ("热量表（计冷量）", "cooling"),
    0x22: ("冷热量表", "heat and cooling"),
    0x30: ("燃气表", "gas"),
    0x40: ("电表或其他", "electricity or other"),
    0xAA: ("任意类型", "any type"),
}
# The first digit of T: what a type that has no name of its own measures
FAMILY_NAMES: Final[dict[int, tuple[str, str]]] = {
    1: ("水表", "water"),
    2: ("冷热量表", "heat or cooling"),
    3: ("燃气表", "gas"),
    4: ("电表或其他", "electricity or other"),
}
FUNCTION_NAMES: Final[dict[int, tuple[str, str]]] = {
    0x01: ("读数据", "read data"),
    0x03: ("读地址", "read address"),
    0x04: ("写数据", "write data"),
    0x09: ("读密钥版本号", "read key version"),
    0x15: ("写地址", "write address"),
    0x16: ("写机电同步数据", "write mechanical sync value"),
}
# Data identifiers [V]; D121 to D12B follow D120
DI_NAMES: Final[dict[int, tuple[str, str]]] = {
    0x901F: ("当前计量数据", "current data"),
    0x911F: ("当前冷热量数据", "current heat and cooling data"),
    0x8102: ("价格表", "price table"),
    0x8103: ("结算日", "settlement day"),
    0x8104: ("抄表日", "reading day"),
    0x8105: ("购入金额", "purchase"),
    0x810A: ("表地址", "address"),
    0xA010: ("写价格表", "write price table"),
    0xA011: ("写结算日", "write settlement day"),
    0xA012: ("写抄表日", "write reading day"),
    0xA013: ("写购入金额", "write purchase"),
    0xA014: ("写新密钥", "write key"),
    0xA015: ("写标准时间", "write clock"),
    0xA016: ("写机电同步数据", "write mechanical sync value"),
    0xA017: ("写阀门控制", "valve control"),
    0xA018: ("写地址", "write address"),
    0xA019: ("写出厂启用", "leave factory mode"),
} | {0xD120 + n: (f"上{n + 1}次结算日数据", f"settlement {n + 1} back") for n in range(12)}

# Bytes behind the sequence number in the answer to a write: the status word; of the others nothing. [V] A017, [K] A016
WRITE_REPLY_BYTES: Final[dict[int, int]] = {0xA016: 2, 0xA017: 2}

# Status word ST, low byte first. [V]; bits 3 to 15 are the maker's.
VALVE_MASK: Final = 0x0003
VALVE_ABNORMAL: Final = 3
BATTERY_LOW: Final = 0x0004
BATTERY_NAME: Final = ("电池欠压", "battery low")
VALVE_NAMES: Final[dict[int, tuple[str, str]]] = {
    0: ("阀门开", "valve open"),
    1: ("阀门关", "valve closed"),
    2: ("阀门状态未定义", "valve state undefined"),
    VALVE_ABNORMAL: ("阀门异常", "valve abnormal"),
}


def type_name(meter_type: int) -> tuple[str, str]:
    """Return the names of a meter type T; of the family where the standard names no such type."""
    return TYPE_NAMES.get(meter_type) or FAMILY_NAMES.get(meter_type >> 4, ("未知", "unknown"))


def refusal_meaning(wrote: bool, status: int) -> ExceptionMeaning:
    """Return what a refusal (C1, C4) with a status word means; the standard gives no reason, only the status."""
    if wrote and status & VALVE_MASK == VALVE_ABNORMAL:
        return ExceptionMeaning("refused, valve abnormal", "fault", BAD_DEVICE_FAILURE)
    if wrote and status & BATTERY_LOW:
        return ExceptionMeaning("refused, battery low", "fault", BAD_DEVICE_FAILURE)
    return ExceptionMeaning("write refused" if wrote else "read refused", "refused", BAD_CONFIGURATION_ERROR)


_JOULE_WH: Final = Fraction(1, 3600)

# Unit byte -> (base unit, base units per counted unit). An engineering value is its BCD digits times the decimals of
# its field (two for volumes and energies, see LAYOUTS) times this factor. [V] A code that is not here is refused:
# guessing a power of ten would bill ten times too much.
UNIT_CODES: Final[dict[int, tuple[str, Fraction]]] = {
    0x01: ("Wh", _JOULE_WH),  # J
    0x02: ("Wh", Fraction(1)),
    0x05: ("Wh", Fraction(10**3)),  # kWh
    0x06: ("Wh", Fraction(10**4)),
    0x07: ("Wh", Fraction(10**5)),
    0x08: ("Wh", Fraction(10**6)),  # MWh
    0x09: ("Wh", Fraction(10**7)),
    0x0A: ("Wh", Fraction(10**8)),
    0x0B: ("Wh", 10**3 * _JOULE_WH),  # kJ
    0x0E: ("Wh", 10**6 * _JOULE_WH),  # MJ
    0x11: ("Wh", 10**9 * _JOULE_WH),  # GJ
    0x12: ("Wh", 10**10 * _JOULE_WH),
    0x13: ("Wh", 10**11 * _JOULE_WH),
    0x14: ("W", Fraction(1)),
    0x17: ("W", Fraction(10**3)),  # kW
    0x1A: ("W", Fraction(10**6)),  # MW
    0x29: ("L", Fraction(1)),
    0x2C: ("L", Fraction(10**3)),  # m3
    0x2D: ("L", Fraction(10**4)),
    0x2E: ("L", Fraction(10**5)),
    0x32: ("L/h", Fraction(1)),
    0x35: ("L/h", Fraction(10**3)),  # m3/h
    0x40: ("W", _JOULE_WH),  # J/h
    0x43: ("W", 10**3 * _JOULE_WH),  # kJ/h
    0x46: ("W", 10**6 * _JOULE_WH),  # MJ/h
    0x49: ("W", 10**9 * _JOULE_WH),  # GJ/h
}
# Unit byte -> what it is called
UNIT_NAMES: Final[dict[int, str]] = {
    0x01: "J", 0x02: "Wh", 0x05: "kWh", 0x06: "kWh×10", 0x07: "kWh×100", 0x08: "MWh", 0x09: "MWh×10", 0x0A: "MWh×100",
    0x0B: "kJ", 0x0E: "MJ", 0x11: "GJ", 0x12: "GJ×10", 0x13: "GJ×100", 0x14: "W", 0x17: "kW", 0x1A: "MW",
    0x29: "L", 0x2C: "m³", 0x2D: "m³×10", 0x2E: "m³×100", 0x32: "L/h", 0x35: "m³/h",
    0x40: "J/h", 0x43: "kJ/h", 0x46: "MJ/h", 0x49: "GJ/h",
}  # fmt: skip
# Unit of a register in a profile -> (base unit, base units in one of it)
UNITS: Final[dict[str, tuple[str, Fraction]]] = {
    "Wh": ("Wh", Fraction(1)),
    "kWh": ("Wh", Fraction(10**3)),
    "MWh": ("Wh", Fraction(10**6)),
    "MJ": ("Wh", 10**6 * _JOULE_WH),
    "GJ": ("Wh", 10**9 * _JOULE_WH),
    "W": ("W", Fraction(1)),
    "kW": ("W", Fraction(10**3)),
    "MW": ("W", Fraction(10**6)),
    "L": ("L", Fraction(1)),
    "m3": ("L", Fraction(10**3)),
    "L/h": ("L/h", Fraction(1)),
    "m3/h": ("L/h", Fraction(10**3)),
}


def unit_factor(code: int, unit: str) -> Fraction | None:
    """Return how many of `unit` one counted unit of a unit byte is, exactly.

    None when the code is unknown or counts another quantity (litres where the register wants kWh): the value is bad.
    KeyError for a unit that no CJ/T 188 register can have; the profile is wrong.
    """
    base, size = UNITS[unit]
    counted = UNIT_CODES.get(code)
    if counted is None or counted[0] != base:
        return None
    return counted[1] / size


@dataclass(frozen=True, slots=True)
class Place:
    """One quantity in the data of a reply, counted in bytes behind identifier and sequence number."""

    measure: str
    name_zh: str
    name_en: str
    at: int
    size: int
    scale: Fraction = Fraction(1)  # decimals of the digits; the unit byte scales the rest
    unit_at: int = -1  # -1: `unit` holds
    unit: str = ""
    kind: str = "bcd"  # or clock, status


CLOCK_LAYOUT: Final = "smhDMYC"  # letters as in drivers.profile.Register.layout
_CENTI: Final = Fraction(1, 100)
_FINE: Final = Fraction(1, 10_000)


def _clock_and_status(at: int) -> tuple[Place, Place]:
    return (
        Place("Clock", "实时时间", "clock", at, 7, kind="clock"),
        Place("Status", "状态ST", "status", at + 7, 2, kind="status"),
    )


def _heat(unit_first: bool, small: int, temperature: int, hours: int) -> tuple[Place, ...]:
    """Lay out a heat reply; `small`: bytes of power and flow; values of five fields carry a unit byte."""
    named: tuple[tuple[str, str, str, int, Fraction], ...] = (
        ("SettlementEnergy", "结算日热量", "energy at settlement", 4, _CENTI),
        ("HeatEnergyTotal", "当前热量", "energy", 4, _CENTI),
        ("ThermalPower", "热功率", "power", small, _CENTI),
        ("VolumeFlow", "流量", "flow", small, _FINE),
        ("VolumeTotal", "累积流量", "volume", 4, _CENTI),
    )
    places: list[Place] = []
    at = 0
    for measure, zh, en, size, scale in named:
        value_at, unit_at = (at + 1, at) if unit_first else (at, at + size)
        places.append(Place(measure, zh, en, value_at, size, scale, unit_at))
        at += size + 1
    plain = (
        ("SupplyTemperature", "供水温度", "supply temperature", temperature, _CENTI, "°C"),
        ("ReturnTemperature", "回水温度", "return temperature", temperature, _CENTI, "°C"),
        ("OperatingHours", "累积工作时间", "operating hours", hours, Fraction(1), "h"),
    )
    for measure, zh, en, size, scale, unit in plain:
        places.append(Place(measure, zh, en, at, size, scale, unit=unit))
        at += size
    return (*places, *_clock_and_status(at))


# Replies to 901F by layout name. [V] water; heat of 46 bytes in both unit orders; the short one is 43 bytes with both.
LAYOUTS: Final[dict[str, tuple[Place, ...]]] = {
    "volume": (
        Place("VolumeTotal", "当前累积流量", "volume", 0, 4, _CENTI, 4),
        Place("SettlementVolume", "结算日累积流量", "volume at settlement", 5, 4, _CENTI, 9),
        *_clock_and_status(10),
    ),
    "heat, unit last": _heat(False, 4, 3, 3),
    "heat, unit first": _heat(True, 4, 3, 3),
    "heat, short": _heat(False, 3, 2, 4),
    "settlement": (Place("SettlementVolume", "结算日累积流量", "volume at settlement", 0, 4, _CENTI, 4),),
}


def layout_bytes(layout: str) -> int:
    """Return how many bytes of data a layout covers."""
    last = LAYOUTS[layout][-1]
    return max(last.at + last.size, last.unit_at + 1)

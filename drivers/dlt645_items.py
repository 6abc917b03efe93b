"""The data identifiers of DL/T 645 by name: what they are, how many bytes, which format, which unit. For people.

Polling takes its sizes and units from the profile, not from here.
Rule: tables, and one function for each edition that finds the row of an identifier.
Source: DL/T 645-2007 annex A tables A.1 to A.20, DL/T 645-1997 annex A.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

# bcd, sbcd: numbers. demand: three bytes of sbcd and when it was. digits: an address or number, all digits shown.
# time: bytes that `layout` names. status: status words, `decimals` is the number of the first. bytes: as they are.
Kind = Literal["bcd", "sbcd", "demand", "digits", "time", "status", "bytes"]
BLOCK: Final = 0xFF


@dataclass(frozen=True, slots=True)
class Item:
    """What an identifier means."""

    zh: str
    en: str
    kind: Kind
    size: int  # bytes of one value
    decimals: int = 0
    unit: str = ""
    unit_zh: str = ""  # where it differs
    layout: str = ""  # of kind time: wire order, s m h D M Y, W weekday, N number of a table
    parts: tuple[tuple[str, str], ...] = ()  # names of the values of a block, in order
    block: bool = False  # several values one after the other, as many as the meter has


RATES: Final = (("总", "total"), ("尖", "sharp"), ("峰", "peak"), ("平", "flat"), ("谷", "valley"))
PHASES: Final = (("A相", "phase A"), ("B相", "phase B"), ("C相", "phase C"))
TOTAL_AND_PHASES: Final = (("总", "total"), *PHASES)


def _energy(zh: str, en: str, unit: str = "kWh", kind: Kind = "bcd") -> Item:
    return Item(zh, en, kind, 4, 2, unit)


def _demand(zh: str, en: str, unit: str = "kW") -> Item:
    return Item(zh, en, "demand", 8, 4, unit)


# DI3 DI2 -> energies and demands; DI1 is the rate (FF: all of them), DI0 the settlement day (00: now).
REGISTERS: Final[Mapping[int, Item]] = {
    0x0000: _energy("组合有功电能", "combined active energy", kind="sbcd"),
    0x0001: _energy("正向有功电能", "forward active energy"),
    0x0002: _energy("反向有功电能", "reverse active energy"),
    0x0003: _energy("组合无功1电能", "combined reactive energy 1", "kvarh", "sbcd"),
    0x0004: _energy("组合无功2电能", "combined reactive energy 2", "kvarh", "sbcd"),
    0x0005: _energy("第一象限无功电能", "reactive energy quadrant I", "kvarh"),
    0x0006: _energy("第二象限无功电能", "reactive energy quadrant II", "kvarh"),
    0x0007: _energy("第三象限无功电能", "reactive energy quadrant III", "kvarh"),
    0x0008: _energy("第四象限无功电能", "reactive energy quadrant IV", "kvarh"),
    0x0009: _energy("正向视在电能", "forward apparent energy", "kVAh"),
    0x000A: _energy("反向视在电能", "reverse apparent energy", "kVAh"),
    0x0015: _energy("A相正向有功电能", "forward active energy phase A"),
    0x0029: _energy("B相正向有功电能", "forward active energy phase B"),
    0x003D: _energy("C相正向有功电能", "forward active energy phase C"),
    0x0101: _demand("正向有功最大需量及发生时间", "maximum forward active demand and its time"),
    0x0102: _demand("反向有功最大需量及发生时间", "maximum reverse active demand and its time"),
}
# DI3 DI2 -> values by phase; DI1 00 total, 01..03 phases, FF block. The second says whether there is a total.
PHASE_VALUES: Final[Mapping[int, tuple[Item, bool]]] = {
    0x0201: (Item("电压", "voltage", "bcd", 2, 1, "V"), False),
    0x0202: (Item("电流", "current", "sbcd", 3, 3, "A"), False),
    0x0203: (Item("瞬时有功功率", "active power", "sbcd", 3, 4, "kW"), True),
    0x0204: (Item("瞬时无功功率", "reactive power", "sbcd", 3, 4, "kvar"), True),
    0x0205: (Item("瞬时视在功率", "apparent power", "sbcd", 3, 4, "kVA"), True),
    0x0206: (Item("功率因数", "power factor", "sbcd", 2, 3), True),
    0x0207: (Item("相角", "phase angle", "bcd", 2, 1, "°"), False),
    0x0208: (Item("电压波形失真度", "voltage distortion", "bcd", 2, 2, "%"), False),
    0x0209: (Item("电流波形失真度", "current distortion", "bcd", 2, 2, "%"), False),
}
_MONEY: Final = Item("", "", "bcd", 4, 2, "yuan", "元")
_PRICE: Final = Item("", "", "bcd", 4, 4, "yuan/kWh", "元/kWh")


def _money(zh: str, en: str) -> Item:
    return replace(_MONEY, zh=zh, en=en)


def _price(zh: str, en: str) -> Item:
    return replace(_PRICE, zh=zh, en=en)


ITEMS: Final[Mapping[int, Item]] = {
    0x0280_0001: Item("零线电流", "neutral current", "bcd", 3, 3, "A"),
    0x0280_0002: Item("电网频率", "frequency", "bcd", 2, 2, "Hz"),
    0x0280_0003: Item("一分钟有功总平均功率", "average active power of one minute", "bcd", 3, 4, "kW"),
    0x0280_0004: Item("当前有功需量", "present active demand", "sbcd", 3, 4, "kW"),
    0x0280_0005: Item("当前无功需量", "present reactive demand", "sbcd", 3, 4, "kvar"),
    0x0280_0006: Item("当前视在需量", "present apparent demand", "sbcd", 3, 4, "kVA"),
    0x0280_0007: Item("表内温度", "temperature inside the meter", "sbcd", 2, 1, "°C"),
    0x0280_0008: Item("时钟电池电压", "clock battery voltage", "bcd", 2, 2, "V"),
    0x0280_0009: Item("停电抄表电池电压", "outage reading battery voltage", "bcd", 2, 2, "V"),
    0x0280_000A: Item("内部电池工作时间", "battery work time", "bcd", 4, 0, "min", "分钟"),
    0x0280_000B: _price("当前阶梯电价", "present step price"),
    0x0280_0020: _price("当前电价", "present price"),
    0x0280_0021: _price("当前费率电价", "present price of the rate period"),
    0x0090_0100: _energy("剩余电量", "remaining energy"),
    0x0090_0101: _energy("透支电量", "overdraft energy"),
    0x0090_0200: _money("剩余金额", "remaining money"),
    0x0090_0201: _money("透支金额", "overdraft money"),
    0x0333_0201: Item("上1次购电后总购电次数", "purchases after the last one", "bcd", 2),
    0x0400_0101: Item("日期及星期", "date and weekday", "time", 4, layout="WDMY"),
    0x0400_0102: Item("时间", "time", "time", 3, layout="smh"),
    0x0400_010C: Item("日期时间", "date and time", "time", 7, layout="smhWDMY"),
    0x0400_0103: Item("最大需量周期", "demand period", "bcd", 1, 0, "min", "分钟"),
    0x0400_0104: Item("滑差时间", "sliding time of the demand", "bcd", 1, 0, "min", "分钟"),
    0x0400_0108: Item("两套分时费率切换时间", "switch to the second tariff set", "time", 5, layout="mhDMY"),
    0x0400_0109: Item("两套梯度电价切换时间", "switch to the second step set", "time", 5, layout="mhDMY"),
    0x0400_0306: Item("电流互感器变比", "current transformer ratio", "bcd", 3),
    0x0400_0307: Item("电压互感器变比", "voltage transformer ratio", "bcd", 3),
    0x0400_0401: Item("通信地址", "address", "digits", 6),
    0x0400_0402: Item("表号", "meter number", "digits", 6),
    **{0x0400_0500 + n: Item(f"电表运行状态字{n}", f"status word {n}", "status", 2, n) for n in range(1, 8)},
    0x0400_05FF: Item("电表运行状态字数据块", "all status words", "status", 2, 1, block=True),
    0x0400_0B01: Item("每月第1结算日", "settlement day 1", "time", 2, layout="hD"),
    0x0400_0B02: Item("每月第2结算日", "settlement day 2", "time", 2, layout="hD"),
    0x0400_0B03: Item("每月第3结算日", "settlement day 3", "time", 2, layout="hD"),
    0x0400_0F01: _energy("报警电量1限值", "alarm energy 1"),
    0x0400_0F02: _energy("报警电量2限值", "alarm energy 2"),
    0x0400_1001: _money("报警金额1限值", "alarm amount 1"),
    0x0400_1002: _money("报警金额2限值", "alarm amount 2"),
    0x0400_1003: _money("透支金额限值", "overdraft limit"),
    0x0400_1004: _money("囤积金额限值", "hoarding limit"),
    0x0400_1005: _money("合闸允许金额限值", "close-permit amount"),
    0x0400_1401: Item("跳闸延时时间", "trip delay", "bcd", 2, 0, "min", "分钟"),
    0x0400_1402: Item("继电器拉闸控制电流门限值", "largest current at which the relay opens", "bcd", 3, 3, "A"),
    0x0401_0000: Item("第一套时区表", "year zones, set 1", "time", 3, layout="NDM", block=True),
    0x0402_0000: Item("第二套时区表", "year zones, set 2", "time", 3, layout="NDM", block=True),
    **{
        base + n: Item(f"第{zh}套第{n}日时段表", f"day table {n}, set {s}", "time", 3, layout="Nmh", block=True)
        for base, zh, s in ((0x0401_0000, "一", 1), (0x0402_0000, "二", 2))
        for n in range(1, 9)
    },
    0x0501_FF01: Item("上1次定时冻结数据块", "last timed freeze, block", "bytes", 1, block=True),
    0x0504_FF01: Item("上1次整点冻结数据块", "last hourly freeze, block", "bytes", 1, block=True),
    0x0506_FF01: Item("上1次日冻结数据块", "last daily freeze, block", "bytes", 1, block=True),
    0x0507_FF01: Item("上1次结算日冻结数据块", "last settlement freeze, block", "bytes", 1, block=True),
    **{0x0405_0100 + n: _price(f"第一套费率{n}电价", f"price of rate {n}, set 1") for n in range(1, 5)},
}  # fmt: skip

# DI1 of the 1997 edition: high byte -> energies of this, the last and the month before; DI0 high nibble: direction.
ENERGIES_1997: Final[Mapping[int, tuple[str, str]]] = {
    0x90: ("当前", "present"),
    0x94: ("上月", "last month"),
    0x98: ("上上月", "month before last"),
}
DIRECTIONS_1997: Final[Mapping[int, tuple[str, str]]] = {
    1: ("正向有功电能", "forward active energy"),
    2: ("反向有功电能", "reverse active energy"),
}
PHASE_VALUES_1997: Final[Mapping[int, tuple[Item, bool]]] = {  # DI1, DI0 high nibble; the low one: 0 total, 1..3, F
    0xB61: (Item("电压", "voltage", "bcd", 2, 0, "V"), False),
    0xB62: (Item("电流", "current", "bcd", 2, 2, "A"), False),
    0xB63: (Item("瞬时有功功率", "active power", "bcd", 3, 4, "kW"), True),
    0xB64: (Item("瞬时无功功率", "reactive power", "bcd", 2, 2, "kvar"), True),
    0xB65: (Item("功率因数", "power factor", "bcd", 2, 3), True),
}
ITEMS_1997: Final[Mapping[int, Item]] = {
    0xA010: Item("正向有功最大需量", "maximum forward active demand", "bcd", 3, 4, "kW"),
    0xB010: Item("正向有功最大需量发生时间", "time of the maximum demand", "time", 4, layout="mhDM"),
    0xC010: Item("日期及周次", "date and weekday", "time", 4, layout="WDMY"),
    0xC011: Item("时间", "time", "time", 3, layout="smh"),
    0xC032: Item("表号", "meter number", "digits", 6),
}


def item_of(di: int) -> Item | None:
    """Return what an identifier of four bytes means; None when this table does not know it."""
    if di in ITEMS:
        return ITEMS[di]
    family, second, day = di >> 16, di >> 8 & 0xFF, di & 0xFF
    if family in REGISTERS and day <= 12 and (second <= 0x3F or second == BLOCK):
        item = REGISTERS[family]
        since = ("", "") if day == 0 else (f"（上{day}结算日）", f", settlement day -{day}")
        named = replace(item, zh=item.zh + since[0], en=item.en + since[1])
        return _part(named, second, RATES, "费率", "rate")
    if family in PHASE_VALUES and day == 0:
        item, total = PHASE_VALUES[family]
        return _phase(item, second, total)
    return None


def item_of_1997(di: int) -> Item | None:
    """Return what an identifier of two bytes means; None when this table does not know it."""
    if di in ITEMS_1997:
        return ITEMS_1997[di]
    low = BLOCK if di & 0xF == 0xF else di & 0xF
    if di >> 8 in ENERGIES_1997 and di >> 4 & 0xF in DIRECTIONS_1997:
        month, direction = ENERGIES_1997[di >> 8], DIRECTIONS_1997[di >> 4 & 0xF]
        item = _energy(f"{month[0]}{direction[0]}", f"{direction[1]}, {month[1]}")
        return _part(item, low, RATES, "费率", "rate")
    if di >> 4 in PHASE_VALUES_1997:
        item, total = PHASE_VALUES_1997[di >> 4]
        return _phase(item, low, total)
    return None


def _phase(item: Item, number: int, total: bool) -> Item | None:
    if number == BLOCK:
        return _part(item, number, TOTAL_AND_PHASES if total else PHASES, "", "")
    if number > 3 or (number == 0 and not total):
        return None
    return _part(item, number, TOTAL_AND_PHASES, "", "")


def _part(item: Item, number: int, names: tuple[tuple[str, str], ...], zh: str, en: str) -> Item:
    """Name one value of a family, or the block of all of them."""
    if number == BLOCK:
        return replace(item, zh=item.zh + "数据块", en=item.en + ", block", parts=names, block=True)
    name = names[number] if number < len(names) else (f"{zh}{number}", f"{en} {number}")
    return replace(item, zh=f"{item.zh} {name[0]}", en=f"{item.en}, {name[1]}")

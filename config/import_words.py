"""What the columns and sheets of an imported table may be called, in Chinese and English, and what stands in them.

Rule: one table for each kind of row. A test holds it against the models: no column is missing and no word means two.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

KINDS: Final[Mapping[str, str]] = {"meter": "meters.csv", "point": "supply_points.csv", "tenant": "tenants.csv"}
# Names of sheets and files, beside the names of the files themselves
SHEETS: Final[Mapping[str, tuple[str, ...]]] = {
    "meter": ("meters", "meter", "仪表", "表计", "电表", "设备", "仪表清单", "表计清单"),
    "point": ("supplypoints", "supplypoint", "计费点", "用能点", "供能点"),
    "tenant": ("tenants", "tenant", "租户", "客户", "用户"),
}
_BRACKETS: Final = re.compile(r"[(\[（【].*?[)\]）】]")
_FILLING: Final = re.compile(r"[\s_\-*.:：、]+")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what people call it, and what to write into it."""

    zh: str
    also: tuple[str, ...]  # other names in any language
    what_zh: str
    what_en: str


def _c(zh: str, also: str, what_zh: str, what_en: str) -> Column:
    return Column(zh, tuple(filter(None, also.split("|"))), what_zh, what_en)


_ID: Final = _c(
    "编号",
    "代码|id号",
    "小写字母、数字和连字符，全站唯一，终身不变",
    "lower-case letters, digits, hyphens; never changes",
)
_NAME_ZH: Final = _c("中文名称", "名称|中文名|chinese name", "界面上的中文名称", "the Chinese name on screens")
_NAME_EN: Final = _c("英文名称", "英文名|english name|name", "界面上的英文名称", "the English name on screens")
_YES_NO: Final = "是 / 否，空为否"

COLUMNS: Final[Mapping[str, Mapping[str, Column]]] = {
    "meter": {
        "id": _c(_ID.zh, "表计编号|设备编号|仪表编号|meter id|device id", _ID.what_zh, _ID.what_en),
        "name_zh": _NAME_ZH,
        "name_en": _NAME_EN,
        "profile": _c("型号模板", "型号|表型|仪表型号|meter profile|model", "下拉选择", "one of the meter profiles"),
        "gateway": _c("网关", "采集器|通信网关|集中器", "下拉选择", "one of the gateways"),
        "unit": _c(
            "站号", "从站地址|从站号|modbus地址|unit id|slave id|slave", "Modbus 仪表填 1 至 247", "Modbus: 1 to 247"
        ),
        "address": _c(
            "通信地址",
            "表地址|地址|meter address",
            "DL/T 645 最多 12 位；CJ/T 188 为 10 位，或前加 4 位厂商代码；文本格式",
            "DL/T 645: up to 12 digits; CJ/T 188: 10, or 14 with the maker's code; as text",
        ),
        "serial": _c(
            "出厂编号",
            "表号|序列号|资产编号|serial number",
            "铭牌上的编号，全站唯一",
            "number on the nameplate, unique",
        ),
        "ct": _c(
            "CT变比",
            "电流变比|电流互感器变比|倍率|ct ratio",
            "如 20 或 100/5，直通表留空",
            "20 or 100/5; empty for a direct meter",
        ),
        "pt": _c(
            "PT变比",
            "电压变比|电压互感器变比|pt ratio",
            "如 100 或 10000/100，直通表留空",
            "100 or 10000/100; empty when direct",
        ),
        "rated_current_a": _c(
            "额定电流", "rated current", "一次侧安培；计费电表必填", "primary amperes; electricity that is charged"
        ),
        "max_per_h": _c(
            "最大小时用量", "max per hour", "其他介质每小时最大用量；计费时必填", "other media: most units an hour"
        ),
        "building": _c(
            "楼栋", "建筑|楼宇|楼号", "下拉选择；变电所设备留空", "one of the buildings; empty in a station"
        ),
        "floor": _c("楼层", "层", "楼栋中列出的楼层", "a floor that the building lists"),
        "feeder": _c("上级开关", "上级|馈线|上级设备", "给本设备供能的开关的编号", "id of the switch that supplies it"),
        "protected": _c("保电", "是否保电", f"{_YES_NO}；从不遥控分闸", "yes: never switched off remotely"),
        "rate_table": _c(
            "费率时段表", "费率表|时段表|rate table", "编入表内的时段表", "the rate table programmed into it"
        ),
    },
    "point": {
        "id": _c(_ID.zh, "计费点编号|supply point id|point id", _ID.what_zh, _ID.what_en),
        "name_zh": _NAME_ZH,
        "name_en": _NAME_EN,
        "meter": _c("表计", "仪表|表计编号|meter id", "计量它的仪表的编号", "id of the meter that measures it"),
        "account": _c("租户", "账户|付费租户|tenant", "付费租户的编号", "id of the tenant who pays"),
        "tariff": _c("资费", "电价|价格方案", "下拉选择", "one of the tariffs"),
        "building": _c("楼栋", "建筑|楼宇|楼号", "下拉选择", "one of the buildings"),
        "floor": _c("楼层", "层", "楼栋中列出的楼层", "a floor that the building lists"),
        "room": _c("房间", "房号|室", "房间号", "room"),
        "rate_registers": _c("按表内费率", "使用表内费率", _YES_NO, "yes: split by the meter's rate registers"),
        "catch_up": _c("补算方式", "", "time 或 rate-registers", "time or rate-registers"),
        "household": _c("家庭人数", "人口", "阶梯用", "persons, for tiers"),
        "opened": _c("开户日期", "立户日期", "YYYY-MM-DD", "YYYY-MM-DD"),
        "contract_kw": _c("合同需量", "", "kW", "kW"),
        "capacity_kva": _c("变压器容量", "受电容量", "kVA", "kVA"),
        "area_m2": _c("面积", "建筑面积|area", "m2，公摊用", "m2, key of shared costs"),
        "heads": _c("公摊人数", "", "公摊用", "key of shared costs"),
        "weight": _c("公摊权重", "权重", "公摊用", "key of shared costs"),
    },
    "tenant": {
        "id": _c(_ID.zh, "租户编号|tenant id", _ID.what_zh, _ID.what_en),
        "name_zh": _NAME_ZH,
        "name_en": _NAME_EN,
        "opening": _c("期初余额", "opening balance", "元，首次见到账户时入账一次", "posted once, when first seen"),
        "alarm1": _c("提醒余额", "一级报警金额", "元", "balance of the reminder"),
        "alarm2": _c("警告余额", "二级报警金额", "元，不大于提醒余额", "balance of the last warning, at most alarm1"),
        "overdraft": _c("透支限额", "", "元，可为 0", "how far below zero supply goes on"),
        "reconnect": _c("复电余额", "恢复余额", "元", "balance at which supply may return"),
        "protected": _c("保电", "是否保电", f"{_YES_NO}；从不欠费停供", "yes: never switched off by credit"),
        "account_class": _c("账户类别", "类别", "plant.toml 中的 account_class", "an account class"),
        "tenant": _c("所属租户", "主租户", "同一租户有多个账户时填写", "whose purse this is, when one has several"),
    },
}


def plain(text: str) -> str:
    """Return a heading without brackets, spaces and marks, in lower case."""
    return _FILLING.sub("", _BRACKETS.sub("", text)).lower()


def names_of(kind: str) -> dict[str, str]:
    """Return every plain word for a column of a kind -> the column."""
    found = {}
    for column, words in COLUMNS[kind].items():
        for word in (column, words.zh, *words.also):
            found[plain(word)] = column
    return found


def column_of(kind: str, heading: str) -> str:
    """Return the column that a heading names, "" for none. It may give several names, line by line or with a slash."""
    known = names_of(kind)
    for part in (heading, *re.split(r"[/\n]", heading)):
        if plain(part) in known:
            return known[plain(part)]
    return ""


def kind_of_name(name: str) -> str:
    """Return the kind of rows that the name of a sheet or file says, "" when it says none."""
    parts = {plain(part) for part in (name, *re.split(r"[\s/]+", name))}
    return next((kind for kind, words in SHEETS.items() if parts & set(words)), "")


def kind_of_headings(headings: Iterable[str], least: int) -> str:
    """Return the kind of which a heading line names the most columns; "" when no id or fewer than `least` are named."""
    named = {kind: {column_of(kind, heading) for heading in headings} for kind in KINDS}
    best = max(named, key=lambda kind: len(named[kind]))
    return best if "id" in named[best] and len(named[best]) >= least else ""

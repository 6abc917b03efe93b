"""The tags of a plant: one table of what each kind of thing offers, and the tag table made from it.

Rule: this file alone knows how a tag id is made: "<site>/<letter>/<owner id>/<Measure>".
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from billing_core.columns import HELD
from billing_core.credit_levels import STATES as CREDIT_STATES
from billing_core.credit_levels import STOPS_HELD
from billing_core.plan import RATES
from billing_core.rate_check import STATES as RATE_STATES
from config.addresses import is_identified
from config.loader import Sources
from config.profile_schema import ProfileTable, RegisterTable
from config.schema import MeterRow
from drivers.counters import IDENTITY_STATES
from scada.command import STATES as COMMAND_STATES
from scada.position import POSITIONS
from scada.tags import Kind, Tag, TagTable
from scada.topology import ENERGISED_STATES

METER, GATEWAY, POINT, ACCOUNT, NODE, CORE = "M", "N", "P", "T", "D", "X"
CORE_OWNER: Final = "core"
PRICED_UNIT: Final = "priced"  # stands in the tables below for the unit of the supply point


@dataclass(frozen=True, slots=True)
class Offer:
    """A tag that the core computes for every thing of a kind."""

    name: str
    zh: str
    en: str
    kind: Kind = "double"
    unit: str = ""
    states: tuple[str, ...] = ()
    money: bool = False
    deadband: float = 0.0
    history: bool = True


COUNTER_OFFERS: Final = (  # in the order of drivers.health.DEVICE_COUNTERS; a device has them side by side
    Offer("Requests", "请求次数", "Requests", "int64", history=False),
    Offer("GoodReplies", "正确应答次数", "Good replies", "int64", history=False),
    Offer("Timeouts", "无应答次数", "Requests without an answer", "int64"),
    Offer("BadFrames", "错误报文次数", "Bad frames", "int64"),
    Offer("Exceptions", "异常应答次数", "Exception replies", "int64"),
    Offer("ResponseMeanMs", "平均响应时间", "Response time, mean", unit="ms", history=False),
    Offer("ResponseP95Ms", "响应时间 95% 分位", "Response time, 95th percentile", unit="ms", history=False),
    Offer("ResponseMaxMs", "最长响应时间", "Response time, longest", unit="ms", history=False),
    Offer("LastGood", "最近正确应答时间(UTC 秒)", "Last good reply, UTC seconds", "int64", unit="s", history=False),
)
DEVICE_OFFERS: Final = (
    Offer("Online", "通信正常", "Communication up", "boolean"),
    Offer("ErrorCount", "通信错误次数", "Communication errors", "int64"),
    Offer("ResponseTimeMs", "响应时间", "Response time", unit="ms", history=False),
    *COUNTER_OFFERS,
)
IDENTITY_OFFERS: Final = (
    Offer("IdentityFault", "表号核对", "Check of the meter number", "enum", states=IDENTITY_STATES),
)
SWITCH_OFFERS: Final = (
    Offer("CommandState", "遥控状态", "Command state", "enum", states=COMMAND_STATES),
    Offer("Discrepancy", "位置与命令不符", "Position differs from command", "boolean"),
)
GATEWAY_OFFERS: Final = (
    Offer("Online", "网关在线", "Gateway connected", "boolean"),
    Offer("TimeoutCount", "超时次数", "Time-outs", "int64"),
    Offer("CycleMs", "轮询周期", "Poll cycle", unit="ms", deadband=50.0),
    *COUNTER_OFFERS,
    Offer("BusLoad", "总线负载率", "Bus load", unit="%", deadband=5.0),
    Offer("BadChecksum", "校验错误报文", "Bad frames: checksum", "int64"),
    Offer("BadAddress", "地址错误报文", "Bad frames: address", "int64"),
    Offer("BadFunction", "功能码错误报文", "Bad frames: function", "int64"),
    Offer("BadLength", "长度错误报文", "Bad frames: length", "int64"),
    Offer("BadIdentifier", "标识错误报文", "Bad frames: identifier", "int64"),
    Offer("BadOther", "其他错误报文", "Bad frames: other", "int64"),
    Offer("LateFrames", "迟到或多余报文", "Frames late or not asked for", "int64"),
    Offer("ShortestPeriodMs", "最短轮询周期", "Shortest possible poll period", unit="ms"),
)
POINT_OFFERS: Final = (
    Offer("Billed", "已计费用量", "Quantity charged", unit=PRICED_UNIT, history=False),
    Offer("Charged", "已计费金额", "Money charged", money=True, history=False),
    Offer("Price", "当前单价", "Price in force", money=True),
    Offer("RatePeriod", "当前时段", "Rate period in force", "enum", states=RATES),
    Offer("Held", "计费挂起原因", "Reason the charge is held", "enum", states=HELD),
    Offer("RateRegisters", "费率表底使用情况", "Use of the rate registers", "enum", states=RATE_STATES),
)
ACCOUNT_OFFERS: Final = (
    Offer("Balance", "余额", "Balance", money=True, deadband=0.01),
    Offer("BalanceMinor", "余额(分)", "Balance in minor units", "int64", history=False),
    Offer("CreditState", "信用状态", "Credit state", "enum", states=CREDIT_STATES),
    Offer("DaysLeft", "预计可用天数", "Days left at the usual cost", unit="d", deadband=0.1),
    Offer("ForecastEmpty", "预计用尽时间(UTC 秒)", "Balance used up at, UTC seconds", "int64", unit="s", history=False),
)
NODE_OFFERS: Final = (Offer("Energised", "带电状态", "Energised", "enum", states=ENERGISED_STATES),)
CORE_OFFERS: Final = (
    Offer("ScanCount", "扫描次数", "Scans", "int64", history=False),
    Offer("ScanMs", "扫描耗时", "Scan time", unit="ms", deadband=1.0),
    Offer("JitterMs", "扫描抖动", "Scan jitter", unit="ms", deadband=1.0),
    Offer("Overruns", "扫描超时次数", "Scan overruns", "int64"),
    Offer("OverrunActive", "扫描超时", "Scan overrun within the last minute", "int64"),
    Offer("PublishMs", "发布耗时", "Publish phase", unit="ms", deadband=1.0),
    Offer("BillMs", "计费耗时", "Bill phase", unit="ms", deadband=1.0),
    Offer("AlarmMs", "报警耗时", "Alarm phase", unit="ms", deadband=1.0),
    Offer("DecideMs", "决策耗时", "Decide phase", unit="ms", deadband=1.0),
    Offer("ActMs", "执行耗时", "Act phase", unit="ms", deadband=1.0),
    Offer("RecordMs", "记录耗时", "Record phase", unit="ms", deadband=1.0),
    Offer("LedgerBehindS", "账本滞后", "Ledger behind by", unit="s", deadband=5.0),
    Offer("DatabaseConnected", "数据库已连接", "Data base connected", "boolean"),
    Offer("HistoryQueueRows", "历史队列行数", "Rows waiting for the historian", "int64", deadband=1000.0),
    Offer("HistoryLostRows", "历史丢弃行数", "Rows the historian had to give up", "int64"),
    Offer("CreditHeld", "欠费断电挂起户数", "Tenants whose stop waits for a person", "int64"),
    Offer("StopsHeld", "自动断电暂停原因", "Why no supply is switched off", "enum", states=STOPS_HELD),
)
RESERVED: Final = frozenset(
    offer.name for offer in DEVICE_OFFERS + IDENTITY_OFFERS + SWITCH_OFFERS
)  # no register may be called so


def tag_id(site: str, letter: str, owner: str, measure: str) -> str:
    """Return the id of a tag, which is also its OPC UA NodeId string."""
    return f"{site}/{letter}/{owner}/{measure}"


def rows_of(sources: Sources, tags: TagTable) -> Callable[[str, str, str], int]:
    """Return what finds the image row of a tag by letter, owner and measure; it raises KeyError when there is none."""
    site = sources.one("site").id
    return lambda letter, owner, measure: tags.index[tag_id(site, letter, owner, measure)]


def build_tags(sources: Sources) -> TagTable:
    """Return every tag of a checked configuration in image order: devices, gateways, points, accounts, nodes, core."""
    return TagTable(tuple(_all_tags(sources)))


def device_folders(sources: Sources) -> dict[str, tuple[str, ...]]:
    """Return device id -> folder ids: a station's device in its station, any other in its building."""
    station = {
        edge.device: placed.item.id for placed in sources.many("station") for edge in placed.item.edge if edge.device
    }
    return {
        meter.id: ("Stations", station[meter.id], meter.id)
        if meter.id in station
        else ("Areas", meter.building, meter.id)
        for meter in (placed.item for placed in sources.many("meter"))
    }


def _all_tags(sources: Sources) -> Iterator[Tag]:
    site = sources.one("site")
    profiles = sources.by_id("profile")
    meters: Mapping[str, MeterRow] = sources.by_id("meter")
    folders = device_folders(sources)
    offered = _Offered(site.id, site.currency)
    for meter in meters.values():
        profile = profiles[meter.profile]
        for register in profile.registers:
            yield _register_tag(site.id, meter.id, folders[meter.id], profile, register)
        extra = DEVICE_OFFERS + (IDENTITY_OFFERS if is_identified(profile.identity, meter) else ())
        extra += SWITCH_OFFERS if profile.switch else ()
        yield from offered.tags(METER, meter.id, folders[meter.id], extra)
    for gateway in sources.by_id("gateway").values():
        yield from offered.tags(GATEWAY, gateway.id, ("Gateways", gateway.id), GATEWAY_OFFERS)
    tariffs = sources.by_id("tariff")
    for point in sources.by_id("point").values():
        path = ("Tenants", point.account, point.id)
        yield from offered.tags(POINT, point.id, path, POINT_OFFERS, tariffs[point.tariff].unit)
    for tenant in sources.by_id("tenant").values():
        yield from offered.tags(ACCOUNT, tenant.id, ("Tenants", tenant.id), ACCOUNT_OFFERS)
    for station in sources.by_id("station").values():
        for node in station.node:
            yield from offered.tags(NODE, node.id, ("Stations", station.id, node.id), NODE_OFFERS)
    yield from offered.tags(CORE, CORE_OWNER, ("System", CORE_OWNER), CORE_OFFERS)


def _register_tag(site: str, owner: str, path: tuple[str, ...], profile: ProfileTable, register: RegisterTable) -> Tag:
    position = profile.switch is not None and register.measure == profile.switch.position
    flag = register.type == "bit" or register.mask.bit_count() == 1
    name = register.measure == profile.identity  # digits that are no quantity
    kind: Kind = "enum" if position else "boolean" if flag else "int64" if name else "double"
    return Tag(
        id=tag_id(site, METER, owner, register.measure),
        name=register.measure,
        path=path,
        unit=register.unit,
        kind=kind,
        description_zh=register.zh,
        description_en=register.en,
        deadband=register.deadband,
        states=POSITIONS if position else (),
    )


@dataclass(frozen=True, slots=True)
class _Offered:
    """Makes the tags that the core computes."""

    site: str
    currency: str

    def tags(
        self, letter: str, owner: str, path: tuple[str, ...], offers: tuple[Offer, ...], priced_unit: str = ""
    ) -> Iterator[Tag]:
        for offer in offers:
            yield Tag(
                id=tag_id(self.site, letter, owner, offer.name),
                name=offer.name,
                path=path,
                unit=priced_unit if offer.unit == PRICED_UNIT else offer.unit,
                kind=offer.kind,
                description_zh=offer.zh,
                description_en=offer.en,
                deadband=offer.deadband,
                history=offer.history,
                field=False,
                states=offer.states,
                currency=self.currency if offer.money else "",
            )

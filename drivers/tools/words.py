"""What the commissioning tools say, in Chinese and English.

Rule: one table; a sentence that people see stands here in both languages, with the same blanks.
"""

import os
from dataclasses import dataclass
from typing import Any, Final, Literal

Lang = Literal["zh", "en"]

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "quantity": ("名称", "quantity"),
    "register": ("寄存器", "register"),
    "value": ("数值", "value"),
    "unit": ("单位", "unit"),
    "quality": ("质量", "quality"),
    "raw": ("原始字节", "raw bytes"),
    "sent": ("发送", "sent"),
    "received": ("接收", "received"),
    "nothing": ("(无应答)", "(nothing)"),
    "via core": ("经运行中的核心 {line} 询问", "asked through the running core, line {line}"),
    "via line": ("直接打开线路 {where}", "on a line of our own, {where}"),
    "timeout": (
        "{who}: {what} 超时无应答。请检查地址、波特率与校验位、A/B 接线、唤醒字节数",
        "{who}: no answer to {what} in time. Check address, baud rate and parity, wires A and B, wake-up bytes",
    ),
    "lost": ("{who}: {what} 期间连接中断", "{who}: the connection ended while it was asked for {what}"),
    "not connected": (
        "{who}: 线路未接通,未发送。请检查网关电源、网络和端口",
        "{who}: the line is down, nothing was sent. Check power, network and port of the gateway",
    ),
    "closed": ("{who}: 线路已关闭", "{who}: the line is closed"),
    "too many wait": (
        "{who}: 线路上排队的命令过多,未发送",
        "{who}: too many commands wait for the line, nothing was sent",
    ),
    "violation": (
        "{who}: {what} 的应答有误({detail})。线上可能有干扰、地址重复或波特率不符",
        "{who}: wrong reply to {what} ({detail}). Noise, two stations of one address, or another baud rate",
    ),
    "other type": (
        "{who}: 请求的是 {asked},应答的是 {answered}。以上数值来自应答的表;请核对表地址与表型",
        "{who}: asked for {asked}, and {answered} answered. The values are those of the meter that answered; check "
        "address and profile",
    ),
    "other medium": (
        "{who}: 请求的是 {asked},应答的却是另一种介质的表 {answered}。请核对表地址、--type 或 --profile,勿据此计费",
        "{who}: asked for {asked}, and a meter of another medium answered: {answered}. Check the address, --type or "
        "--profile; do not bill by it",
    ),
    "exception": ("{who}: 拒绝 {what}: {detail}", "{who}: refuses {what}: {detail}"),
    "changed": ("* 有变化", "* changed since the last round"),
    "watching": ("每 {every:g} 秒读取一次,Ctrl-C 结束", "every {every:g} s; Ctrl-C ends it"),
    "ended": ("已结束,共 {rounds} 轮", "ended after {rounds} rounds"),
    "address is": ("表地址 {address}", "address {address}"),
    "serial is": ("表号 {serial}", "serial number {serial}"),
    "as configured": ("与配置一致", "as configured"),
    "differs": (
        "与配置 {configured} 不一致:请勿计费,检查是否接错或换表",
        "differs from the configured {configured}: do not bill; wired to another meter, or swapped?",
    ),
    "nameplate": (
        "该表型不能读出表号;请与铭牌核对:配置为 {serial}",
        "this model does not tell its number; compare the nameplate with the configured {serial}",
    ),
    "speaks": ("应答协议 {protocol},{form}", "speaks {protocol}, {form}"),
    "tries": ("尝试 {protocol} {form} ...", "trying {protocol} {form} ..."),
    "nobody": (
        "没有设备应答。已试 {tried}",
        "nobody answers. Tried: {tried}",
    ),
    "crowd": (
        "收到多台设备的混合应答:线上不止一台,请逐台给出 --address",
        "several answered at once: more than one meter on the line; give --address of each",
    ),
    "models": ("最可能的表型(读出寄存器数/合理性)", "best matching profiles (registers read and plausible)"),
    "maker says": ("设备自述: {said}", "the device says: {said}"),
    "interlocks": ("联锁条件", "interlocks"),
    "interlock.offline": ("设备通信正常", "the device answers"),
    "interlock.quality": ("位置数据质量良好", "the position is read with good quality"),
    "interlock.stale": ("位置数据是最新的", "the position is fresh"),
    "interlock.position": ("位置为分或合", "the position is open or closed"),
    "interlock.already": ("尚未处于目标位置", "it is not already in this position"),
    "interlock.busy": ("没有其他遥控正在进行", "no other command is under way here"),
    "interlock.protected": ("非保电用户", "the supply is not protected"),
    "interlock.gas": ("燃气只能就地打开", "gas is let flow on the spot only"),
    "interlock.local-close": ("允许远方合闸", "it may be closed remotely"),
    "interlock.tag": ("无挂牌或保护跳闸闭锁", "no lock-out tag or protection trip forbids it"),
    "interlock.discrepancy": ("分闸状态下无电流", "no current flows while it is open"),
    "interlock.opened-by-itself": ("由遥控分闸,而非自行分闸", "it was opened by a command, not by itself"),
    "interlock.feeder-dead": ("上级馈线带电", "the feeder is live"),
    "state sent": ("已发送", "sent"),
    "state accepted": ("设备已接受", "accepted"),
    "state verified": ("已回读校核", "verified"),
    "state failed": ("失败", "failed"),
    "state undetermined": ("不确定,请查看位置,不要重复", "undetermined"),
    "state cancelled": ("已取消", "cancelled"),
    "state expired": ("已过期", "expired"),
    "goes on": (
        "命令已在核心中执行,不因此中断;请查看位置",
        "the core goes on with the command; look at the position",
    ),
    "type digits": (
        "将{verb} {name}(表号 {number})。确认请输入表号后四位: ",
        "About to {verb} {name} (meter number {number}). Type its last 4 digits to confirm: ",
    ),
    "not confirmed": ("输入不符,未执行任何操作", "not the digits; nothing was done"),
    "trip": ("分闸/断开", "trip"),
    "close": ("合闸/接通", "close"),
    "step select": ("1 选择", "1 select"),
    "step operate": ("2 执行", "2 operate"),
    "step accept": ("3 接受", "3 accept"),
    "step verify": ("4 校核", "4 verify"),
    "done": ("完成", "done"),
    "password": ("表计密码(6 位,不回显): ", "Password of the meter (6 digits, not shown): "),
    "warn adhoc": (
        "警告:绕过联锁、权限与操作日志,直接对设备操作",
        "WARNING: past interlocks, permissions and the journal, straight to the device",
    ),
    "warn tcp": (
        "警告:核心正在使用 {line};第二个客户端可能干扰轮询,建议用 --via {line}",
        "WARNING: the core uses {line}; a second client may disturb its polling, better --via {line}",
    ),
    "undetermined": (
        "不确定:命令已发出而无应答,以回读位置为准,不要重复发送",
        "undetermined: it was sent and no answer came; the position decides, do not repeat it",
    ),
    "no core": ("核心未运行({socket})", "no core is running ({socket})"),
    "scan head": (
        "扫描 {where}: {steps} 步,最多约 {longest},找到一台会更快",
        "scan of {where}: {steps} steps, at most about {longest}, less where stations answer",
    ),
    "scan found": ("找到 {count} 台", "{count} stations found"),
    "scan stopped": ("已中断,以下为目前找到的", "stopped; this is what was found so far"),
    "scan broken": (
        "扫描中断: {failure}。以下为目前找到的",
        "the scan ended early: {failure}; this is what was found so far",
    ),
    "scan noise": ("{form}: 有杂乱应答(多台或波特率不符)", "{form}: garbage (several at once, or another baud rate)"),
    "csv": ("可用于 run.py import 的行:", "rows for run.py import:"),
    "frames none": (
        "没有记录。正常报文仅在 --follow 期间或 log_frames 打开时记录",
        "nothing kept. Good frames are kept while somebody follows, or with log_frames",
    ),
    "clock unknown": ("未知", "unknown"),
    "clock left": ("未校时:偏差过大或未知", "not set: too far off, or unknown"),
    "clock sent": (
        "{scope}: 校时已发送,下一次抄读时钟后可见结果(测点 ClockDeviation)",
        "{scope}: sent; the next reading of the clocks shows what it did (tag ClockDeviation)",
    ),
    "clock failed": ("{scope}: 校时未发出或被拒绝,详见 --json", "{scope}: not sent, or refused; see --json"),
    "saved": ("已存入 {path}: {count} 条", "{count} transactions saved in {path}"),
    "protocol": ("协议", "protocol"),
    "line": ("线路", "line"),
    "station": ("站号/地址", "station"),
    "ms": ("应答毫秒", "ms"),
    "remark": ("备注", "remark"),
    "profile": ("表型", "profile"),
}


@dataclass(frozen=True, slots=True)
class Words:
    """The texts in one language."""

    lang: Lang

    def __call__(self, text: str, **blanks: Any) -> str:
        """Return a text of the table with its blanks filled. KeyError for one that is not there."""
        return self.pick(*TEXTS[text]).format(**blanks)

    def pick(self, zh: str, en: str) -> str:
        """Return one of two texts; the other when it is empty."""
        return (zh or en) if self.lang == "zh" else (en or zh)


def usual_lang() -> Lang:
    """Return the language that the terminal is set to: Chinese, or else English."""
    told = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "zh" if told.lower().startswith("zh") else "en"

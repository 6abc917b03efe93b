"""`run.py meter read|watch|identify|trip|close|sync-clock|frames` and `run.py bus scan`: tools of commissioning.

Every command works on a configured meter (through the running core when there is one) and on any station of any line.
`--json` prints one JSON document, `--lang` chooses Chinese or English. Exit code 0: done; 1: refused, or no answer.
Rule: grammar only; what a command does stands in the file of its name.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from drivers.tools.spoken import BAUDS, LINE_HELP, PROTOCOLS, Ports
from drivers.tools.words import Words, usual_lang

Run = Callable[[argparse.Namespace, Ports, Words], int]
ADHOC: Final = "a station that no configuration names / 未配置的设备"


def add_commands(verbs: Any, commands: Any, ports: Ports) -> None:
    """Add the verbs of `meter` and the command `bus`. ports: configuration and the core's socket."""
    read = _verb(verbs, ports, "read", "read registers now / 立即抄读寄存器", _read)
    _target(read)
    _reading(read)
    watch = _verb(verbs, ports, "watch", "read again and again, changes marked / 连续抄读,标出变化", _watch)
    _target(watch)
    _reading(watch)
    watch.add_argument(
        "--every", type=_seconds, default=2.0, metavar="S", help="seconds between two rounds / 间隔秒数 (2)"
    )
    watch.add_argument("--rounds", type=_whole, default=0, metavar="N", help="end after so many / 轮数 (0: Ctrl-C)")
    identify = _verb(
        verbs, ports, "identify", "who is there: protocol, number, model / 识别协议、表号与表型", _identify
    )
    _target(identify)
    for name, text in (
        ("trip", "interrupt the supply: breaker open, valve shut / 分闸、关阀"),
        ("close", "restore the supply: breaker closed, valve open / 合闸、开阀"),
    ):
        _switching(_verb(verbs, ports, name, text, _switch), name)
    clock = _verb(
        verbs, ports, "sync-clock", "set the clocks of a line or a meter, through the core / 广播校时", _sync_clock
    )
    clock.add_argument("words", nargs=1, metavar="ID", help="gateway or meter / 网关或表计编号")
    frames = _verb(verbs, ports, "frames", "the frame log of a device or gateway / 设备或网关的报文记录", _frames)
    frames.add_argument("words", nargs=1, metavar="ID", help="meter or gateway / 表计或网关编号")
    frames.add_argument("--follow", action="store_true", help="everything, as it happens, until Ctrl-C / 实时跟踪")
    frames.add_argument(
        "--save", type=Path, metavar="FILE", help="also append to a file, one JSON object a line / 存入文件"
    )
    frames.add_argument(
        "--last", type=_whole, default=20, metavar="N", help="transactions to begin with / 先显示最近 N 条 (20)"
    )
    text = "find stations and baud rates on a line / 扫描线路上的站号与波特率"
    bus = commands.add_parser("bus", help=text, description=text).add_subparsers(metavar="VERB", required=True)
    _scan_options(_verb(bus, ports, "scan", text, _scan))


def _verb(verbs: Any, ports: Ports, name: str, text: str, run: Run) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print one JSON document / 输出 JSON")
    parser.add_argument("--lang", choices=("zh", "en"), default=usual_lang(), help="language / 语言 (LANG)")
    parser.set_defaults(run=lambda args: run(args, ports, Words(args.lang)), verb=name)
    return parser


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="TARGET NAME", help="meter, then registers / 表计编号,寄存器名")
    parser.set_defaults(many_words=True)
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument(
        "--frames", action="store_true", default=None, help="show and explain the frames / 显示并解释报文"
    )
    frames.add_argument("--no-frames", action="store_false", dest="frames", help="values alone / 不显示报文")
    _station(parser)


def _reading(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is read, of any station / 抄读内容")
    group.add_argument("--register", action="append", metavar="F:A:N[:T]", help="3:0x000A:2:u32[:0.01[:ABCD]] / 寄存器")
    group.add_argument("--di", action="append", metavar="HEX", help="data identifier: 00010000, 901F / 数据标识")


def _station(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(ADHOC)
    group.add_argument("--line", default="", metavar="LINE", help=f"{LINE_HELP} / 线路")
    group.add_argument(
        "--via", default="", metavar="GATEWAY", help="through this line of the running core / 经核心的线路"
    )
    group.add_argument("--protocol", choices=PROTOCOLS, help="what it speaks / 协议")
    group.add_argument("--address", default="", help="DL/T 645 and CJ/T 188, AA: any / 表地址,AA 为通配")
    group.add_argument("--unit", type=_unit, default=1, metavar="N", help="Modbus station 0 to 255 / 站号 (1)")
    group.add_argument(
        "--profile", default="", metavar="ID", help="model of config/profiles, or a TOML file / 表型或其文件"
    )
    _line_form(group)
    group.add_argument("--type", type=_byte, default=0x10, metavar="HEX", help="CJ/T 188 meter type T / 表类型 (10)")
    group.add_argument("--di-low-first", action="store_true", help="CJ/T 188 identifier as 1F 90 / 标识低字节在前")
    group.add_argument(
        "--wake", type=int, default=4, choices=range(21), metavar="N", help="FE before a request / 前导字节数 (4)"
    )
    group.add_argument("--ct", type=int, default=1, metavar="N", help="current transformer ratio / 电流互感器变比 (1)")
    group.add_argument("--pt", type=int, default=1, metavar="N", help="voltage transformer ratio / 电压互感器变比 (1)")
    group.add_argument(
        "--force", action="store_true", help="switch although nothing is configured / 强制操作未配置设备"
    )


def _line_form(group: Any) -> None:
    group.add_argument("--baud", type=int, choices=BAUDS, metavar="N", help="baud rate / 波特率 (by protocol)")
    group.add_argument(
        "--format", default="", metavar="8E1", help="data bits, parity, stop bits / 数据格式 (by protocol)"
    )
    group.add_argument("--timeout", type=_seconds, default=0.0, metavar="S", help="patience / 超时秒数 (by protocol)")


def _switching(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("words", nargs="*", metavar="TARGET", help="configured meter / 表计编号")
    parser.add_argument("--reason", default="commissioning", help="why; it goes into the journal / 原因,记入日志")
    parser.add_argument("--yes", action="store_true", help="do not ask for the last 4 digits / 不再询问表号后四位")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="password of the meter / 表计密码文件")
    parser.add_argument("--ask-password", action="store_true", help="type the password, not shown / 键入密码,不回显")
    parser.set_defaults(target="open" if name == "trip" else "closed", many_words=True)
    parser.set_defaults(frames=None, register=None, di=None)
    _station(parser)


def _scan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--line", default="", metavar="LINE", help=f"{LINE_HELP} / 线路")
    parser.add_argument("--via", default="", metavar="GATEWAY", help="a line of the running core / 经核心的线路")
    parser.add_argument(
        "--protocol", action="append", choices=PROTOCOLS, help="again for several / 可多次 (by the line)"
    )
    parser.add_argument("--baud", default="", metavar="LIST", help="2400,9600,1200,4800, serial lines only / 波特率")
    parser.add_argument(
        "--format", default="", metavar="8E1", help="data bits, parity, stop bits / 数据格式 (by protocol)"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=0.0, metavar="S", help="of one question / 单次超时 (by protocol)"
    )
    parser.add_argument("--units", default="1-247", metavar="LIST", help="1-32,40 Modbus stations / 站号范围")
    parser.add_argument(
        "--addresses", default="", metavar="LIST", help="meters to look for, comma between / 要找的表地址"
    )
    parser.add_argument(
        "--wake", type=int, default=4, choices=range(21), metavar="N", help="FE before a request / 前导字节数 (4)"
    )
    parser.add_argument("--models", action="store_true", help="also find the profile that fits / 同时匹配表型")
    parser.add_argument("--gateway", default="", metavar="ID", help="gateway of the rows / 生成行所用的网关编号")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="rows for `run.py import` / 存为可导入的 CSV")


def _seconds(text: str) -> float:
    number = float(text)
    if not 0.01 <= number <= 3600:
        raise argparse.ArgumentTypeError(f"{text}: seconds from 0.01 to 3600")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: a whole number, 0 or more")
    return int(text)


def _unit(text: str) -> int:
    number = int(text, 0)
    if not 0 <= number <= 255:
        raise argparse.ArgumentTypeError(f"{text}: a station is 0 to 255")
    return number


def _byte(text: str) -> int:
    number = int(text, 16)
    if not 0 <= number <= 0xFF:
        raise argparse.ArgumentTypeError(f"{text}: a byte in hexadecimal, 10 water, 20 heat, 30 gas, AA any")
    return number


# The commands import what they need when they run: every other command of run.py starts without it.


def _read(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    from drivers.tools.looking import read

    return read(args, ports, words)


def _watch(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    from drivers.tools.looking import watch

    return watch(args, ports, words)


def _identify(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    from drivers.tools.identify import identify

    return identify(args, ports, words)


def _switch(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    from drivers.tools.switching import switch

    return switch(args, ports, words)


def _frames(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    from drivers.tools.following import frames

    return frames(args, ports, words)


def _sync_clock(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    from drivers.tools.clocks import sync_clock

    return sync_clock(args, ports, words)


def _scan(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    from drivers.tools.scanning import scan

    return scan(args, ports, words)

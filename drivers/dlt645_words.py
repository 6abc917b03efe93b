"""What single bits of DL/T 645 mean: error words of both editions and the status words of a meter, with their names.

Rule: tables only, and the plainest possible reading of them. Bits that the standard leaves open are shown as bits.
Source: DL/T 645-2007 tables of section 7 (error word) and annex A.6 (status words), DL/T 645-1997 section 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drivers.outcome import UNKNOWN_EXCEPTION, Answer, ExceptionMeaning
from scada.quality import BAD_COMMUNICATION_ERROR, BAD_CONFIGURATION_ERROR


@dataclass(frozen=True, slots=True)
class ErrorBit:
    """One bit of an error word."""

    bit: int
    zh: str
    en: str
    answer: Answer


ERROR_BITS_2007: Final = (
    ErrorBit(0, "其他错误", "other error", "fault"),
    ErrorBit(1, "无请求数据", "no such data", "refused"),
    ErrorBit(2, "密码错或未授权", "password wrong or not authorised", "refused"),
    ErrorBit(3, "通信速率不能更改", "baud rate cannot be changed", "refused"),
    ErrorBit(4, "年时区数超", "too many year zones", "refused"),
    ErrorBit(5, "日时段数超", "too many day slots", "refused"),
    ErrorBit(6, "费率数超", "too many tariffs", "refused"),
)
ERROR_BITS_1997: Final = (
    ErrorBit(0, "非法数据", "illegal data", "refused"),
    ErrorBit(1, "数据标识错", "no such data", "refused"),
    ErrorBit(2, "密码错", "password wrong", "refused"),
    ErrorBit(4, "年时区数超", "too many year zones", "refused"),
    ErrorBit(5, "日时段数超", "too many day slots", "refused"),
    ErrorBit(6, "费率数超", "too many tariffs", "refused"),
)
_QUALITY: Final = {"refused": BAD_CONFIGURATION_ERROR}


def error_bits(word: int, bits: tuple[ErrorBit, ...]) -> tuple[ErrorBit, ...]:
    """Return the bits that are set, lowest first; () for a word with none or with a bit the standard leaves open."""
    defined = sum(1 << entry.bit for entry in bits)
    return () if word & ~defined else tuple(entry for entry in bits if word >> entry.bit & 1)


def _meaning(word: int, bits: tuple[ErrorBit, ...]) -> ExceptionMeaning:
    """Return the meaning of an error word; real meters also send words that the standard does not know."""
    found = error_bits(word, bits)
    if not found:
        return UNKNOWN_EXCEPTION
    answer = "refused" if any(entry.answer == "refused" for entry in found) else found[0].answer
    name = ", ".join(entry.en for entry in found)
    return ExceptionMeaning(name, answer, _QUALITY.get(answer, BAD_COMMUNICATION_ERROR))


ERRORS_2007: Final[Mapping[int, ExceptionMeaning]] = {word: _meaning(word, ERROR_BITS_2007) for word in range(256)}
ERRORS_1997: Final[Mapping[int, ExceptionMeaning]] = {word: _meaning(word, ERROR_BITS_1997) for word in range(256)}


@dataclass(frozen=True, slots=True)
class StatusBits:
    """One named place of a status word. A single bit without states reads "normal" at 0."""

    bit: int  # the lowest, counted in the 16 bit word
    zh: str
    en: str
    states: tuple[tuple[str, str], ...] = (("正常", "normal"), ("有", "active"))  # (zh, en) by value
    width: int = 1


_DIRECTION: Final = (("正向", "forward"), ("反向", "reverse"))
_BATTERY: Final = (("正常", "normal"), ("欠压", "low"))
_SETS: Final = (("第一套", "set 1"), ("第二套", "set 2"))
_YES: Final = (("否", "no"), ("是", "yes"))

_PHASE_WORD: Final = (
    StatusBits(0, "失压", "voltage loss"),
    StatusBits(1, "欠压", "under-voltage"),
    StatusBits(2, "过压", "over-voltage"),
    StatusBits(3, "失流", "current loss"),
    StatusBits(4, "过流", "over-current"),
    StatusBits(5, "过载", "overload"),
    StatusBits(6, "潮流反向", "power reverse"),
    StatusBits(7, "断相", "phase break"),
    StatusBits(8, "断流", "current break"),
)
STATUS_WORDS: Final[Mapping[int, tuple[StatusBits, ...]]] = {
    1: (
        StatusBits(1, "需量积算方式", "demand method", (("滑差", "sliding"), ("区间", "block"))),
        StatusBits(2, "时钟电池", "clock battery", _BATTERY),
        StatusBits(3, "停电抄表电池", "outage reading battery", _BATTERY),
        StatusBits(4, "有功功率方向", "active power direction", _DIRECTION),
        StatusBits(5, "无功功率方向", "reactive power direction", _DIRECTION),
    ),
    2: (
        *(StatusBits(n, f"{p}相有功方向", f"active direction {p}", _DIRECTION) for n, p in enumerate("ABC")),
        *(StatusBits(n + 4, f"{p}相无功方向", f"reactive direction {p}", _DIRECTION) for n, p in enumerate("ABC")),
    ),
    3: (
        StatusBits(0, "当前运行时段", "day-slot tables", _SETS),
        StatusBits(
            1, "供电方式", "supplied by",
            (("主电源", "mains"), ("辅助电源", "auxiliary supply"), ("电池", "battery"), ("未定义", "undefined")), 2,
        ),
        StatusBits(3, "编程允许", "programming permitted", _YES),
        StatusBits(4, "继电器状态", "relay position", (("通", "closed"), ("断", "open"))),
        StatusBits(5, "当前运行时区", "year-zone tables", _SETS),
        StatusBits(6, "继电器命令状态", "relay command", (("通", "close"), ("断", "trip"))),
        StatusBits(7, "预跳闸报警状态", "pre-trip alarm"),
        StatusBits(
            8, "电能表类型", "kind of meter",
            (("非预付费表", "not prepaid"), ("电量型预付费表", "energy prepaid"), ("电费型预付费表", "money prepaid"),
             ("未定义", "undefined")), 2,
        ),
        StatusBits(10, "当前运行分时费率", "tariff prices", _SETS),
        StatusBits(11, "当前阶梯", "step prices", _SETS),
        StatusBits(12, "保电状态", "protected supply", (("非保电", "no"), ("保电", "yes"))),
        StatusBits(13, "身份认证状态", "authentication", (("失效", "none"), ("有效", "valid"))),
        StatusBits(14, "本地开户", "opened locally", _YES),
        StatusBits(15, "远程开户", "opened remotely", _YES),
    ),
    4: _PHASE_WORD,
    5: _PHASE_WORD,
    6: _PHASE_WORD,
    7: (
        StatusBits(0, "电压逆相序", "voltage phase sequence"),
        StatusBits(1, "电流逆相序", "current phase sequence"),
        StatusBits(2, "电压不平衡", "voltage unbalance"),
        StatusBits(3, "电流不平衡", "current unbalance"),
        StatusBits(4, "辅助电源失电", "auxiliary supply lost"),
        StatusBits(5, "掉电", "power down"),
        StatusBits(6, "需量超限", "demand exceeded"),
        StatusBits(7, "总功率因数超下限", "total power factor low"),
        StatusBits(8, "电流严重不平衡", "severe current unbalance"),
    ),
}  # fmt: skip
STATUS_WORD_NAMES: Final[Mapping[int, tuple[str, str]]] = {
    1: ("运行状态字1", "status word 1"),
    2: ("运行状态字2", "status word 2"),
    3: ("运行状态字3（操作类）", "status word 3, operation"),
    4: ("运行状态字4（A相）", "status word 4, phase A"),
    5: ("运行状态字5（B相）", "status word 5, phase B"),
    6: ("运行状态字6（C相）", "status word 6, phase C"),
    7: ("运行状态字7（合相）", "status word 7, all phases"),
}


@dataclass(frozen=True, slots=True)
class StatusBit:
    """A named place of a status word as a meter sent it."""

    bits: StatusBits
    value: int

    @property
    def zh(self) -> str:
        """Say its state in Chinese."""
        return self.bits.states[self.value][0]

    @property
    def en(self) -> str:
        """Say its state in English."""
        return self.bits.states[self.value][1]


def decode_status(number: int, data: bytes) -> list[StatusBit]:
    """Return the named bits of status word 1..7, lowest first; `data` are its two bytes, low byte first.

    KeyError for another word, ValueError for another length.
    """
    if len(data) != 2:
        raise ValueError(f"a status word has two bytes, not {len(data)}")
    word = int.from_bytes(data, "little")
    return [StatusBit(bits, word >> bits.bit & (1 << bits.width) - 1) for bits in STATUS_WORDS[number]]


def undefined_bits(number: int, data: bytes) -> int:
    """Return the bits of a status word that are set although the standard does not name them."""
    named = 0
    for bits in STATUS_WORDS[number]:
        named |= ((1 << bits.width) - 1) << bits.bit
    return int.from_bytes(data, "little") & ~named


# N1 of control 1C. 1D and 1E re-close by themselves; they are named because a log may show them, and are never sent.
CONTROL_NAMES: Final[Mapping[int, tuple[str, str]]] = {
    0x1A: ("跳闸", "trip"),
    0x1B: ("合闸允许", "close permit"),
    0x1C: ("直接合闸", "direct close"),
    0x1D: ("跳闸-自动合闸允许", "trip, close permit by itself"),
    0x1E: ("跳闸-自动直接合闸", "trip, close by itself"),
    0x2A: ("报警", "alarm on"),
    0x2B: ("报警解除", "alarm off"),
    0x3A: ("保电", "protected supply on"),
    0x3B: ("保电解除", "protected supply off"),
}

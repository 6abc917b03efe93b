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

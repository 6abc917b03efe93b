"""Notices to tenants: their kinds, their words, and when one is due.

Rule: pure. A notice counts as delivered when the channel says so; the board (the tenant's own page, out of the data
base) has delivered what was committed. Source of the lead times: supply rules ask for days in writing before a stop and
for one more word shortly before it; every notice is kept with channel, time and result, so that it can be proved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from billing_core.credit_levels import OVERDRAWN, PENDING_STOP, PROTECTED, REMIND1, REMIND2

BOARD: Final = "board"  # the data base, shown to the tenant
DELIVERED: Final = "delivered"
FINAL: Final = "final"
AGAIN: Final = "again"  # shortly before the stop
REPEATED: Final = {  # state -> notice that is repeated while it lasts
    REMIND1: "remind1", REMIND2: "remind2", OVERDRAWN: "overdrawn", PENDING_STOP: FINAL, PROTECTED: "debt",
}  # fmt: skip
AGAIN_VALID_S: Final = 86_400  # a word before the stop is old after a day, and given once more

TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "remind1": ("余额 {balance} 元,{left}请及时充值。", "Balance {balance}. {left}Please top up."),
    "remind2": ("余额仅剩 {balance} 元,{left}请尽快充值。", "Only {balance} left. {left}Please top up soon."),
    "overdrawn": ("余额已用尽({balance} 元),正在使用透支额度。", "The balance is used up ({balance}): overdraft runs."),
    "final": (
        "余额 {balance} 元,透支额度已用尽。如未充值,最早将于 {stop} 停止供电。",
        "Balance {balance}, overdraft used up. Without a top-up the supply is switched off, not before {stop}.",
    ),
    "again": (
        "余额 {balance} 元。即将停止供电(最早 {stop}),请立即充值。",
        "Balance {balance}. The supply is about to be switched off (not before {stop}): top up now.",
    ),
    "debt": ("余额 {balance} 元,供电受保护,欠费继续累计。", "Balance {balance}. The supply is protected; debt grows."),
    "stopped": ("余额 {balance} 元,已停止供电。", "Balance {balance}. The supply was switched off."),
    "permitted": ("余额 {balance} 元,可以恢复供电。", "Balance {balance}. The supply may be switched on again."),
    "restored": ("已恢复供电,余额 {balance} 元。", "The supply is back. Balance {balance}."),
}
LEFT: Final = ("预计可用 {days} 天。", "It lasts about {days} days. ")


@dataclass(frozen=True, slots=True)
class Notice:
    """One word to a tenant."""

    account: str
    kind: str  # of TEXTS
    created_s: int
    balance_nano: int
    stop_s: int  # earliest second of the stop it speaks of; 0: of none
    due_s: int  # when the overdraft was used up that it speaks of; 0: of none
    text_zh: str
    text_en: str


@dataclass(slots=True)
class Told:
    """What one tenant has been told so far."""

    last_s: dict[str, int]  # kind -> plant second of the newest
    final_s: int = 0  # when the final notice of the running clock was delivered; 0: not yet
    again_s: int = 0  # when the last word before the stop was delivered

    def is_repeated(self, state: int, now_s: int, repeat_s: float) -> bool:
        """Tell whether the notice of a lasting state is due once more; repeat_s 0: never."""
        kind = REPEATED.get(state)
        return kind is not None and repeat_s > 0 and now_s - self.last_s.get(kind, now_s) >= repeat_s

    def is_informed(self, now_s: int, lead_s: float) -> bool:
        """Tell whether the final notice was delivered at least lead_s ago."""
        return bool(self.final_s) and now_s - self.final_s >= lead_s

    def is_reminded(self, now_s: int, lead_s: float) -> bool:
        """Tell whether the word before the stop was delivered at least lead_s, and at most a day, ago."""
        return lead_s == 0 or (bool(self.again_s) and lead_s <= now_s - self.again_s <= lead_s + AGAIN_VALID_S)

    def needs_again(self, now_s: int, lead_s: float) -> bool:
        """Tell whether the word before the stop is to be given (once more)."""
        given_s = max(self.again_s, self.last_s.get(AGAIN, 0))
        return lead_s > 0 and (given_s == 0 or now_s - given_s > lead_s + AGAIN_VALID_S)

    def stands_again(self) -> None:
        """Forget the notices of a stop that is not due any more."""
        self.final_s = self.again_s = 0
        self.last_s.pop(AGAIN, None)


def compose(
    account: str, kind: str, now_s: int, balance_nano: int, days_left: float, stop_s: int, due_s: int, zone: ZoneInfo
) -> Notice:
    """Return a notice in words. days_left: nan or inf when it cannot be told."""
    stop = datetime.fromtimestamp(stop_s, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M") if stop_s else ""
    texts = []
    for template, left in zip(TEXTS[kind], LEFT, strict=True):
        days = left.format(days=f"{days_left:.1f}") if 0 <= days_left < 10_000 else ""
        texts.append(template.format(balance=money(balance_nano), left=days, stop=stop).strip())
    return Notice(account, kind, now_s, balance_nano, stop_s, due_s, *texts)


def money(nano: int) -> str:
    """Return nano in major units, cut to two decimals towards zero: "-12.34"."""
    cents = abs(nano) // 10_000_000
    return f"{'-' if nano < 0 and cents else ''}{cents // 100}.{cents % 100:02d}"

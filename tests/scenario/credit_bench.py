"""A park for the scenarios of credit control: tenants with one point and one breaker each, scanned by hand."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from billing_core.credit import STATES, CreditControl, Wish
from billing_core.credit_holds import CreditEvent
from billing_core.points import AccountSpec, PointSpec
from scada.control import Breaker
from scada.image import Columns, Layout
from scada.position import CLOSED
from scada.quality import GOOD
from scada.scan import Instant

NOON_S = 1_792_987_200  # Monday 2026-10-26 12:00 in Shanghai
SHANGHAI = ZoneInfo("Asia/Shanghai")
YUAN = 1_000_000_000
MINUTE = 60
HOUR = 3600
DAY = 86_400
TENANTS = 60

SETTINGS = SimpleNamespace(
    automatic=True, reconnect=True, grace_s=60.0, stops_max=2, stops_interval_s=600.0, load_max_kw=100.0,
    hold_percent=5.0, hold_interval_s=600.0, reconnect_spacing_s=2.0, friendly=(), closed_days=frozenset(), classes={},
    notice_lead_s=0.0, again_lead_s=0.0, notice_repeat_s=86_400.0, remind1_days=7, remind2_days=3, clock_jump_s=300.0,
    clock_steady_s=3600.0, house="",
)  # fmt: skip


def settings(**changes: Any) -> Any:
    return SimpleNamespace(**{**vars(SETTINGS), **changes})


def hours(days: set[int], start_minute: int, end_minute: int) -> Any:
    return SimpleNamespace(days=frozenset(days), start_minute=start_minute, end_minute=end_minute)


def account(row: int, **changes: Any) -> AccountSpec:
    spec = AccountSpec(
        f"t{row}", "租户", "Tenant", "CNY", 0, 50 * YUAN, 20 * YUAN, 10 * YUAN, 5 * YUAN, False, (f"b{row}",)
    )
    return replace(spec, **changes)


def breaker(row: int, **changes: Any) -> Breaker:
    spec = Breaker(f"b{row}", "断路器", "Breaker", "breaker", "electricity", row, -1, -1, -1, -1, 1.0, False, True)
    return replace(spec, **changes)


@dataclass
class Bench:
    """A park of TENANTS tenants, each with a point and a breaker, all rich and supplied at the start."""

    settings: Any = field(default_factory=lambda: SETTINGS)
    accounts: list[AccountSpec] = field(default_factory=lambda: [account(row) for row in range(TENANTS)])
    breakers: list[Breaker] = field(default_factory=lambda: [breaker(row) for row in range(TENANTS)])
    load: float = 0.0
    at_s: int = NOON_S

    def __post_init__(self) -> None:
        layout = Layout({"tags": TENANTS, "points": TENANTS, "accounts": TENANTS, "alarms": 0}, b"\0" * 32)
        self.work = Columns.private(layout)
        self.work.points.quality[:] = self.work.tags.quality[:] = GOOD
        self.work.tags.value[:] = CLOSED
        self.work.accounts.committed_nano[:] = 1000 * YUAN
        self.scans = 0
        self.mono_s = 1000
        self.told: list[tuple[str, str]] = []
        self.control = self.new_control()

    def new_control(self) -> CreditControl:
        """Return credit control as a new core begins with it."""
        points = [
            PointSpec(f"p{r}", f"b{r}", r, 0, "electricity", "kWh", 1, 1000, 1) for r in range(len(self.accounts))
        ]
        return CreditControl(
            self.accounts, points, self.breakers, self.settings, "Asia/Shanghai", lambda breaker, work: self.load
        )

    def pay(self, row: int, yuan: int) -> None:
        self.work.accounts.committed_nano[row] = yuan * YUAN

    def scan(self, after_s: int = 1, follow: bool = True, deliver: bool = True, jump_s: int = 0) -> list[Wish]:
        """Let time pass and decide; the desk sends every wish, the breakers follow, notices reach the tenants.

        jump_s: by so much the clock is set on
        """
        self.at_s += after_s + jump_s
        self.mono_s += after_s
        self.scans += 1
        instant = self.instant()
        wishes = list(self.control.decide(instant, self.work))
        for wish in wishes:
            self.control.sent(wish, f"c{self.scans}", instant)
            if follow:
                self.work.tags.value[int(wish.breaker[1:])] = wish.target
        if deliver:
            self.told += [(notice.account, notice.kind) for notice in self.control.notices()]
            self.control.delivered(len(self.control.notices()), self.at_s)
        return wishes

    def instant(self) -> Instant:
        return Instant(self.scans, self.at_s * 10**9, self.mono_s * 10**9)

    def state(self, row: int = 0) -> str:
        return STATES[self.work.accounts.credit_state[row]]

    def kinds(self, row: int = 0) -> list[str]:
        """Return what a tenant was told so far, oldest first."""
        return [kind for name, kind in self.told if name == f"t{row}"]

    def event(self, verb: str, account: str = "t0", until_s: int = 0) -> CreditEvent:
        """Let a person decide something."""
        event = CreditEvent(f"{verb}:{self.scans}", verb, account, self.at_s, until_s, "ann", "why", "ann", "desk")
        self.control.apply(event)
        return event

    def costs(self, row: int, yuan_a_day: list[int]) -> None:
        """Let one account have cost so much on each of the last days, the newest last."""
        now_h = self.at_s // HOUR
        found = [(row, now_h - 24 * len(yuan_a_day) - 1, 0)]
        found += [(row, now_h - 24 * (len(yuan_a_day) - day) + 3, y * YUAN) for day, y in enumerate(yuan_a_day)]
        self.control.forecaster.costs.restore(self.at_s, np.array(found, dtype=np.int64))

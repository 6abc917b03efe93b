"""The settings of credit control and what it knows of one tenant: plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from billing_core.credit_holds import CreditEvent
from billing_core.credit_levels import NORMAL
from billing_core.friendly import Hours
from billing_core.notices import Told
from billing_core.points import AccountSpec
from scada.control import Breaker


class Settings(Protocol):
    """Table [credit] of the configuration; seconds are plant seconds where nothing else is said."""

    @property
    def automatic(self) -> bool: ...
    @property
    def reconnect(self) -> bool: ...
    @property
    def grace_s(self) -> float: ...
    @property
    def notice_lead_s(self) -> float: ...  # from the delivered final notice to the stop
    @property
    def again_lead_s(self) -> float: ...  # from the last word to the stop; 0: no last word
    @property
    def notice_repeat_s(self) -> float: ...  # 0: a notice is not repeated while its state lasts
    @property
    def remind1_days(self) -> int: ...  # 0: remind by amount only
    @property
    def remind2_days(self) -> int: ...
    @property
    def stops_max(self) -> int: ...
    @property
    def stops_interval_s(self) -> float: ...
    @property
    def load_max_kw(self) -> float: ...
    @property
    def hold_percent(self) -> float: ...
    @property
    def hold_interval_s(self) -> float: ...
    @property
    def reconnect_spacing_s(self) -> float: ...
    @property
    def clock_jump_s(self) -> float: ...
    @property
    def clock_steady_s(self) -> float: ...  # real seconds
    @property
    def house(self) -> str: ...  # account of vacant rooms: there is nobody to tell
    @property
    def friendly(self) -> Sequence[Hours]: ...
    @property
    def closed_days(self) -> frozenset[int]: ...  # holidays, the days before, declared dates; ordinals
    @property
    def classes(self) -> Mapping[str, "Settings"]: ...  # class of tenants -> settings with what differs


@dataclass(slots=True)
class Tenant:
    """What credit control knows about one account."""

    spec: AccountSpec
    row: int
    breakers: tuple[Breaker, ...]
    points: npt.NDArray[np.int64]
    rules: Settings
    state: int = NORMAL
    told_state: int = NORMAL  # state of the last notice that was due; stands while control is paused
    due_s: int = 0  # plant second at which the overdraft was used up
    permitted: bool = False  # a person let the supply return where the configuration does not by itself
    refusal: str = ""
    told: Told = field(default_factory=lambda: Told({}))

    def remember(self, stand: "Kept") -> None:
        """Go on as an earlier core kept it."""
        self.state, self.told_state, self.due_s = stand.state, stand.told_state, stand.due_s
        self.told.final_s, self.told.again_s = stand.final_s, stand.again_s

    def take_over(self, before: "Tenant") -> None:
        """Go on with what was known of the same account before its terms changed."""
        self.state, self.told_state, self.due_s = before.state, before.told_state, before.due_s
        self.permitted, self.refusal, self.told = before.permitted, before.refusal, before.told


@dataclass(frozen=True, slots=True)
class Kept:
    """How one account stands, as it is kept for the next core; what was delivered is read from its notices."""

    account: str
    state: int
    told_state: int
    since_s: int
    due_s: int
    final_s: int
    again_s: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an earlier core kept."""

    kept: tuple[Kept, ...] = ()
    events: tuple[CreditEvent, ...] = ()  # decisions of people, oldest first
    told_s: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (account, kind) -> second of the newest
    hours: tuple[tuple[str, int, int], ...] = ()  # account, hour, nano: what the accounts cost

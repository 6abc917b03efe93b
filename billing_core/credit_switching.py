"""What credit control switched: stops in force, tries that wait, reconnections that follow one another, their records.

Rule: pure; only what is noted here as a stop of an account is ever closed for it. A wish that was refused, or that a
breaker did not follow, is tried again after 1, 5 and then every 15 minutes, so that a breaker that was offline is not
forgotten.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from loguru import logger

from billing_core.credit_stops import Stop
from scada.clock import NS_PER_S
from scada.control import Breaker
from scada.image import Columns
from scada.position import CLOSED, OPEN
from scada.quality import is_good
from scada.scan import Instant

RETRY_S: Final = (60, 300, 900)  # real seconds: 1, 5, 15 minutes; the last one repeats


@dataclass(frozen=True, slots=True)
class Wish:
    """A switching that credit control asks the control desk for."""

    breaker: str
    target: int  # OPEN or CLOSED
    account: str
    reason: str


@dataclass(frozen=True, slots=True)
class StopRecord:
    """A supply was switched off for want of credit, or is supplied again; to be kept in the books."""

    account: str
    breaker: str
    stopped: bool
    at_s: int
    balance_nano: int
    reason: str


@dataclass(slots=True)
class _Try:
    """How often a breaker was asked to move to one target, and when it may be asked again."""

    target: int
    count: int = 0
    not_before_ns: int = 0  # monotonic


class Switching:
    """The switchings of all accounts."""

    def __init__(self, spacing_s: float) -> None:
        """spacing_s: plant seconds between two reconnections, because of inrush."""
        self._spacing_s = spacing_s
        self._stops: dict[str, str] = {}  # breaker -> account
        self._tries: dict[str, _Try] = {}
        self._reconnected_s = -1e18
        self.records: list[StopRecord] = []

    def restore(self, stops: Iterable[Stop], mine: set[tuple[str, str]], now_s: int) -> None:
        """Take over stops of an earlier core; what carries another account's supply by now is not ours to close."""
        for account, breaker, _ in stops:
            if (account, breaker) in mine:
                self._stops[breaker] = account
            else:
                self.records.append(StopRecord(account, breaker, False, now_s, 0, "credit.reassigned"))

    def account_of(self, breaker: str) -> str | None:
        """Return the account for whose want of credit a breaker was opened."""
        return self._stops.get(breaker)

    def accounts(self) -> set[str]:
        """Return the accounts with a stop in force."""
        return set(self._stops.values())

    def end_foreign(self, mine: set[tuple[str, str]], now_s: int) -> None:
        """End every stop of a breaker that carries no supply of the stopped account any more."""
        for breaker, account in list(self._stops.items()):
            if (account, breaker) not in mine:
                self.end(breaker, now_s, 0, "credit.reassigned")

    def end(self, breaker: str, at_s: int, balance_nano: int, reason: str) -> None:
        """Note that a stop is over."""
        account = self._stops.pop(breaker)
        self._tries.pop(breaker, None)
        self.records.append(StopRecord(account, breaker, False, at_s, balance_nano, reason))

    def sent(self, wish: Wish, instant: Instant, balance_nano: int) -> bool:
        """Note that a wish was sent; tell whether it began a stop (a repetition does not)."""
        now_s = instant.utc_ns // NS_PER_S
        self.tried(wish, instant)
        if wish.target != OPEN:
            self._reconnected_s = now_s
            return False
        if wish.breaker in self._stops:
            return False
        self._stops[wish.breaker] = wish.account
        self.records.append(StopRecord(wish.account, wish.breaker, True, now_s, balance_nano, wish.reason))
        return True

    def tried(self, wish: Wish, instant: Instant) -> None:
        """Note a try, whatever became of it."""
        known = self._tries.get(wish.breaker)
        if known is None or known.target != wish.target:
            known = self._tries[wish.breaker] = _Try(wish.target)
        wait_s = RETRY_S[min(known.count, len(RETRY_S) - 1)]
        known.count += 1
        known.not_before_ns = instant.mono_ns + wait_s * NS_PER_S
        if known.count == len(RETRY_S) + 1:
            logger.error("credit: {} did not follow {} commands; a person is needed", wish.breaker, known.count)

    def may_try(self, breaker: str, target: int, instant: Instant) -> bool:
        """Tell whether a breaker may be asked (again) to move to a target."""
        known = self._tries.get(breaker)
        return known is None or known.target != target or instant.mono_ns >= known.not_before_ns

    def is_settled(self, breaker: str, instant: Instant) -> bool:
        """Tell whether a closed position can be believed: no trip of ours is still on its way."""
        known = self._tries.get(breaker)
        return known is None or known.target == CLOSED or instant.mono_ns >= known.not_before_ns

    def take_turn(self, now_s: int) -> bool:
        """Tell whether a reconnection may follow the last one by now; if so, the next one waits for it."""
        if now_s - self._reconnected_s < self._spacing_s:
            return False
        self._reconnected_s = now_s
        return True


def position(breaker: Breaker, work: Columns) -> int:
    """Return OPEN or CLOSED when the position is good, -1 when it cannot be relied on."""
    if not is_good(int(work.tags.quality[breaker.position_row])):
        return -1
    return int(work.tags.value[breaker.position_row])

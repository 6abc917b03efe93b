"""Throttle: how often an address or a login may try to log in.

Rule: time is a parameter. The table is bounded, so that an attacker who varies names cannot fill the memory.
"""

from collections import OrderedDict
from typing import Final

TRIES: Final = 6  # failed tries before the pause begins
REFILL_NS: Final = 20_000_000_000  # one more try every 20 s: three a minute
KEYS_MAX: Final = 4096
# One login over all addresses: wider than one address may spend, or one stranger could lock a known user out for good.
LOGIN_TRIES: Final = 30
LOGIN_REFILL_NS: Final = 5_000_000_000  # twelve a minute: four addresses at their limit


class Throttle:
    """A token bucket for each key; only failures cost a token."""

    def __init__(self, tries: int = TRIES, refill_ns: int = REFILL_NS) -> None:
        self._tries = tries
        self._refill_ns = refill_ns
        self._spent: OrderedDict[str, tuple[float, int]] = OrderedDict()  # key -> (failures counted, at mono_ns)

    def wait_s(self, key: str, mono_ns: int) -> int:
        """Return the seconds a key must wait before its next try; 0 when it may try now."""
        spent = self._current(key, mono_ns)
        over = spent - (self._tries - 1)
        return 0 if over <= 0 else max(1, round(over * self._refill_ns / 1e9))

    def failed(self, key: str, mono_ns: int) -> None:
        """Count one failure."""
        self._spent[key] = (min(self._current(key, mono_ns) + 1, self._tries), mono_ns)
        self._spent.move_to_end(key)
        while len(self._spent) > KEYS_MAX:
            self._spent.popitem(last=False)

    def succeeded(self, key: str) -> None:
        self._spent.pop(key, None)

    def _current(self, key: str, mono_ns: int) -> float:
        spent, at_ns = self._spent.get(key, (0.0, mono_ns))
        return max(0.0, spent - (mono_ns - at_ns) / self._refill_ns)

"""Is this the meter we think it is: the number that a meter shows, against the number it has in the configuration.

    identity register --bulk decoder--> stage --look, before each scan--> trust of the billing register, IdentityFault

A reading is charged only when it came after its meter was last identified. A device that was away, or whose line was
connected anew, may have been exchanged or crossed with another: it is in doubt until its number was read again. Nothing
is lost meanwhile, because the register is cumulative. Two meters that show one number are both in doubt.
Profiles without an identity register are trusted: in DL/T 645 and CJ/T 188 every reply carries its meter's address. So
are devices that have no number in the configuration.
Rule: this file compares and reports; when the number is read is the poller's business.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from loguru import logger

from drivers.counters import IDENTITY_STATES
from drivers.device import NO_ROW, Device
from drivers.profile import IDENTITY_DIGITS
from scada.clock import NS_PER_S, Clock
from scada.quality import (
    BAD_COMMUNICATION_ERROR,
    BAD_CONFIGURATION_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_SENSOR_FAILURE,
    GOOD,
    UNCERTAIN_LAST_USABLE,
)
from scada.stage import NEVER_NS, Stage

Ints = npt.NDArray[np.int64]

NONE, WRONG, DOUBLE, UNREAD = range(len(IDENTITY_STATES))
RECHECK_S: Final = 60.0  # a person who mends it sees the result within a minute
# What a meter says when it answers, but not with its number.
UNREADABLE: Final = (BAD_CONFIGURATION_ERROR, BAD_SENSOR_FAILURE, BAD_DEVICE_FAILURE, BAD_COMMUNICATION_ERROR)
NO_NUMBER: Final = -1.0
ENDING_DIGITS: Final = 6  # of a number that are enough, where the register holds less than what the nameplate prints
POWERS: Final = 10.0 ** np.arange(IDENTITY_DIGITS + 1)


class IdentityWatch:
    """All devices whose profile names an identity register. n of them. One thread: the stage's."""

    def __init__(
        self,
        clock: Clock,
        devices: Sequence[Device],
        stage: Stage,
        ask_again: Callable[[Device], None],
        told: Callable[[Device], None] = lambda device: None,
    ) -> None:
        """ask_again: read the number of a device soon; told: hears of each device that has shown one."""
        self._clock = clock
        self._stage = stage
        self._ask_again, self._told = ask_again, told
        self._devices = [device for device in devices if device.profile.identity and _numbers_of(device)]
        self._number = {device.id: i for i, device in enumerate(self._devices)}
        self._rows = _column([device.rows[device.profile.identity] for device in self._devices])
        self._points = _column([device.point for device in self._devices])
        self._fault_rows = _column([device.identity_row for device in self._devices])
        n = len(self._devices)
        expected = [(_numbers_of(device) * 2)[:2] for device in self._devices]
        self._expected = np.array(expected, dtype=np.float64).reshape(n, 2)
        self._may_end = np.array([may_end(device) for device in self._devices], dtype=np.bool_)
        self._doubted_ns: Ints = np.zeros(n, dtype=np.int64)
        self._seen_ns: Ints = np.zeros(n, dtype=np.int64)
        self._seen = np.full(n, NO_NUMBER)
        self._trusted_ns: Ints = np.full(n, NEVER_NS, dtype=np.int64)
        self._state: Ints = np.full(n, NONE, dtype=np.int64)
        self._recheck_ns = 0
        self._tell(np.ones(n, dtype=np.bool_), clock.utc_ns())

    def doubt(self, device_id: str) -> None:
        """Trust a device no more until its number was read again: it was away, or its line was connected anew."""
        number = self._number.get(device_id)
        if number is not None:
            self._doubted_ns[number] = self._clock.utc_ns()

    def look(self, utc_ns: int) -> None:
        """Compare what was read since the last look; a stage calls this before each scan."""
        if not self._devices:
            return
        staged = self._stage.staged
        read_ns = staged.tag_time[self._rows]
        new = (read_ns != self._seen_ns) & (read_ns > 0)
        self._seen_ns[new] = read_ns[new]
        self._seen[new] = np.rint(staged.value[self._rows[new]])
        for i in np.flatnonzero(new):
            self._told(self._devices[i])
        fresh = self._seen_ns > self._doubted_ns
        right = self._right()
        wrong = (self._seen_ns > 0) & ~right
        double = right & np.isin(self._seen, self._seen[wrong])
        unread = np.isin(staged.tag_quality[self._rows], UNREADABLE)  # also at a later look: by another model, perhaps
        state: Ints = np.select([wrong, double, unread], [WRONG, DOUBLE, UNREAD], NONE).astype(np.int64)
        trusted = fresh & (state == NONE)
        since_ns = np.where(new, self._seen_ns, utc_ns)  # what was read before may be another meter's
        since_ns = np.where(self._trusted_ns != NEVER_NS, self._trusted_ns, since_ns)
        trusted_ns = np.where(trusted, since_ns, NEVER_NS)
        changed = (state != self._state) | (trusted_ns != self._trusted_ns)
        if changed.any():
            self._report(state)
            self._state, self._trusted_ns = state, trusted_ns
            self._tell(changed, utc_ns)
        self._recheck(trusted)

    def _right(self) -> npt.NDArray[np.bool_]:
        """Tell whose number is the configured one, or ends it where the register may hold less than the nameplate."""
        digits = np.searchsorted(POWERS, self._seen, side="right").clip(0, IDENTITY_DIGITS)
        ending = np.fmod(self._expected, POWERS[digits][:, None]) == self._seen[:, None]
        enough = (digits >= ENDING_DIGITS) & self._may_end
        each = (self._seen[:, None] == self._expected) | (ending & enough[:, None])
        either: npt.NDArray[np.bool_] = each[:, 0] | each[:, 1]
        return either

    def _tell(self, changed: npt.NDArray[np.bool_], utc_ns: int) -> None:
        """Stage what changed: the fault, and from when on readings are charged."""
        shown = changed & (self._fault_rows != NO_ROW)
        self._stage.put(self._fault_rows[shown], self._state[shown].astype(np.float64), GOOD, utc_ns)
        billed = changed & (self._points != NO_ROW)
        quality = np.where(self._state != NONE, BAD_CONFIGURATION_ERROR, UNCERTAIN_LAST_USABLE).astype(np.uint32)
        self._stage.trust(self._points[billed], self._trusted_ns[billed], quality[billed])

    def _report(self, state: Ints) -> None:
        """Log every fault that began or ended."""
        for i in np.flatnonzero(state != self._state):
            device, expected, seen = self._devices[i], self._expected[i, 0], self._seen[i]
            name = f"device {device.id} on gateway {device.gateway}"
            if state[i] == WRONG:
                logger.warning("{}: shows the number {:.0f}, expected {:.0f}; not charged", name, seen, expected)
            elif state[i] == DOUBLE:
                logger.warning("{}: another meter shows its number {:.0f}, too; both are not charged", name, seen)
            elif state[i] == UNREAD:
                logger.warning("{}: answers, but does not tell its number; not charged", name)
            else:
                logger.info("{}: identified again", name)

    def _recheck(self, trusted: npt.NDArray[np.bool_]) -> None:
        """Have the numbers read again of whatever is not trusted."""
        now_ns = self._clock.mono_ns()
        if now_ns < self._recheck_ns:
            return
        self._recheck_ns = now_ns + int(RECHECK_S * NS_PER_S)
        for i in np.flatnonzero(~trusted):
            self._ask_again(self._devices[i])


def _column(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def may_end(device: Device) -> bool:
    """Tell whether the number that a device shows may be the end of its serial number: that of binary registers may.

    Makers print a number of the plant or of the year before the one that counts, and 32 bits end at ten digits. Decimal
    registers show as many of the last digits as they have.
    """
    return next(r for r in device.profile.registers if r.measure == device.profile.identity).type != "bcd"


def same_number(shown: str, configured: str, ending: bool) -> bool:
    """Tell whether a number that was shown is the configured one, as IdentityWatch does; ending: see may_end."""
    number, whole = (text.lstrip("0") for text in (_digits_of(shown), _digits_of(configured)))
    return number == whole or (ending and len(number) >= ENDING_DIGITS and whole.endswith(number))


def _digits_of(text: str) -> str:
    return "".join(letter for letter in text if letter in "0123456789")


def _numbers_of(device: Device) -> list[float]:
    """Return the numbers that are right for a device: its serial number and its address, as its register shows them."""
    register = next(r for r in device.profile.registers if r.measure == device.profile.identity)
    places = min(2 * register.size if register.type == "bcd" else IDENTITY_DIGITS, IDENTITY_DIGITS)
    texts = (_digits_of(text) for text in (device.serial, device.address))
    return [float(digits[-places:]) for digits in texts if digits]
